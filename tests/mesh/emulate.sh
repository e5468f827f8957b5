#!/usr/bin/env bash
# strata emulate: the campaign of the machine on a few nodes, as text, as JSON and as figures; twice the same; Ctrl-C ends it.
. "$(dirname "$0")/lib.sh"

file=$root/apps/membrane/machine.yaml
emulate () { "$bin/strata" emulate "$file" --machine summit:12 --hours 3 --seed 4 "$@"; }

emulate --json --plot "$work/plot" > "$work/one.json" || fail "strata emulate ended with $?"
emulate --json > "$work/two.json" || fail "strata emulate ended with $?"
same () { /usr/bin/python3 - "$work/one.json" "$work/two.json" <<'PY'
import json, sys
one, two = (json.load(open(f)) for f in sys.argv[1:])
for run in one, two:
    run.pop('costs')
    run['totals'].pop('longest_turn_started')  # which turn took longest is real time
assert one == two, 'the same seed is not the same run'
assert len(one['samples']) == 18 and one['samples'][-1]['gpus'] == 72, one['samples'][-1]
assert one['gpu_occupancy']['time_at_least_98'] >= 98 and one['gpu_occupancy']['mean'] >= 99, one['gpu_occupancy']
assert one['totals']['frames'] > 0 and one['totals']['reports'] > 0, one['totals']
PY
}
same || fail "the two runs differ, or are not as promised"
echo "  two runs of a seed are alike; 72 GPUs are busy"

[ "$(wc -l < "$work/plot/samples.tsv")" = 19 ] || fail "samples.tsv has $(wc -l < "$work/plot/samples.tsv") lines"
for f in occupancy histogram placed feedback; do
    grep -q '</svg>' "$work/plot/$f.svg" || fail "$f.svg is no figure"
done
echo "  four figures"

emulate --prepared 0 > "$work/text" || fail "strata emulate --prepared 0"
grep -q "was never loaded\|GPUs   mean" "$work/text" || { cat "$work/text"; fail "it says nothing of occupancy"; }
"$bin/strata" emulate "$file" --machine cray:3 2> "$work/err" && fail "an unknown machine was taken"
grep -q "must be summit:NODES or lassen:NODES" "$work/err" || { cat "$work/err"; fail "the sentence does not say what is allowed"; }
"$bin/strata" emulate "$root/apps/membrane/campaign.yaml" --machine summit:3 2> "$work/err" && fail "types without a model were taken"
grep -q "model.hours" "$work/err" || { cat "$work/err"; fail "the sentence does not say what is missing"; }

"$bin/strata" emulate "$file" --machine summit:12 --hours 80000 --json > "$work/cut.json" 2> "$work/err" &
run=$!
has_store () { ls -d "${TMPDIR:-/tmp}"/strata-emulate.* > /dev/null 2>&1; }
until_true 20 "it has stores" has_store
sleep 1
kill -INT $run
wait $run
rc=$?
[ $rc = 130 ] || fail "Ctrl-C: it ended with $rc, 130 is promised"
json "len(d['samples']) > 0" < "$work/cut.json" | grep -q True || fail "an interrupted run tells nothing of what it did"
echo "  Ctrl-C ends it with what it has so far"
