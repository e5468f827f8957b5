#!/usr/bin/env bash
# A damaged store is named and not served while the other services go on; `strata repair` makes it anew from what the others
# hold, or puts it back from its own files, and nothing is lost; what can only be put back with a loss is left until
# somebody accepts that, and the audit tells of it from then on.
. "$(dirname "$0")/lib.sh"
[ -x "$bin/crash-load" ] || { echo "$bin/crash-load is missing: make all"; exit 1; }

sed -e "s|^workspace:.*|workspace: $workspace|" -e 's/^replicas:.*/replicas: {patch: 1, select: 1, schedule: 1, feedback: 1}/' \
    -e 's/frames: 200/frames: 60\n  weights: true/' -e 's/seconds: 10/seconds: 3/' tests/crash/campaign.yaml > "$campaign"
"$bin/crash-load" model --out "$work/model.npz" --dimensions 4 --seed 1 || fail "no model"

# the folder with a shard's files, its newest log
store () { local d; d=$(ls -d "$workspace/shards/$1"/[0-9]*/ 2> /dev/null | tail -n 1); echo "${d:-$workspace/shards/$1}"; }
newest_log () { ls "$(store "$1")"/*.log | tail -n 1; }
# flip FILE FRACTION: one bit of the byte that far into the file
flip () { /usr/bin/python3 -c 'import sys
f = open(sys.argv[1], "r+b"); f.seek(0, 2); at = int(f.tell() * float(sys.argv[2])); f.seek(at)
byte = f.read(1)[0]; f.seek(at); f.write(bytes([byte ^ 16]))' "$1" "$2"; }
still_clean () { "$bin/strata" audit > "$work/audit" 2>&1 || { cat "$work/audit"; fail "the audit found a violation"; }; }
trouble_of () { "$bin/strata" status --json 2> /dev/null | json "next(r['trouble'] or '' for r in d['replicas'] if r['replica']=='$1')"; }
shows_trouble () { trouble_of "$1" | grep -q "$2"; }
down () { "$bin/strata" down > "$work/down.log" 2>&1 || { cat "$work/down.log"; fail "strata down"; }; }
up () { "$bin/strata" up "$campaign" > "$work/up.log" 2>&1 || { cat "$work/up.log"; fail "strata up"; }; }

up
until_true 60 "two reports are written" at_least feedback reports_written 2
until_true 60 "simulations have ended" at_least schedule jobs_succeeded 12
down
still_clean

echo "a flipped bit in select's log"
log=$(newest_log select-0)
flip "$log" 0.5
"$bin/strata" audit > "$work/audit" 2>&1 && fail "the audit finds nothing wrong with select's log"
grep -q "$(basename "$log")" "$work/audit" || { cat "$work/audit"; fail "the audit does not name $log"; }
"$bin/strata" up "$campaign" > "$work/up.log" 2>&1 && fail "strata up says nothing of a damaged store"
grep -q "select-0 can't serve: .*$(basename "$log")" "$work/up.log" || { cat "$work/up.log"; fail "strata up does not name $log"; }
until_true 20 "status shows it" shows_trouble select-0 "$(basename "$log")"
trouble_of select-0 | cut -c1-300
objects=$(metric stage objects)
until_true 60 "patches are cut all the same" at_least stage objects $((objects + 1))
is_alive select-0 && fail "select serves from a damaged store"
[ "$(grep -c 'select-0 started' "$workspace/log/supervisor.log")" -le 2 ] || fail "select-0 is started again and again"
"$bin/strata" repair > "$work/repair" 2>&1 || { cat "$work/repair"; fail "strata repair"; }
sed 's/^/  /' "$work/repair"
grep -q "select-0 .*made anew" "$work/repair" || fail "select's store was not made anew"
until_true 20 "select serves again, without a restart" is_alive select-0
selected=$(metric select candidates_selected)
until_true 60 "more is selected" at_least select candidates_selected $((selected + 1))
down
audit_is_clean

cp -r "$workspace/shards/stage-0" "$work/old-stage"

echo "a lost log of feedback"
rm "$(newest_log feedback-0)"
"$bin/strata" repair feedback-0 > "$work/repair" 2>&1 || { cat "$work/repair"; fail "strata repair"; }
sed 's/^/  /' "$work/repair"
grep -q "made anew" "$work/repair" || fail "feedback's store was not made anew"
still_clean

echo "an empty CURRENT, and a flipped bit in a MANIFEST, of stage"
: > "$(store stage-0)/CURRENT"
flip "$(ls "$(store stage-0)"/MANIFEST-* | tail -n 1)" 0.9
"$bin/strata" repair > "$work/repair" 2>&1 || { cat "$work/repair"; fail "strata repair"; }
sed 's/^/  /' "$work/repair"
grep -q "nothing is lost" "$work/repair" || fail "stage's store was not put back"
still_clean
up
jobs=$(metric schedule jobs_succeeded)
until_true 60 "the campaign goes on" at_least schedule jobs_succeeded $((jobs + 1))
down
still_clean

echo "a cut log of schedule"
log=$(newest_log schedule-0)
truncate -s "$(($(stat -c %s "$log") * 2 / 3))" "$log"
"$bin/strata" repair schedule-0 > "$work/repair" 2>&1 && { cat "$work/repair"; fail "a loss nobody accepted"; }
grep -q "would lose: changes" "$work/repair" || { cat "$work/repair"; fail "what would be lost is not told"; }
[ -e "$log" ] || fail "the damaged store was touched"
"$bin/strata" repair schedule-0 --accept-loss > "$work/repair" 2>&1 || { cat "$work/repair"; fail "strata repair --accept-loss"; }
sed 's/^/  /' "$work/repair"
"$bin/strata" audit --deep > "$work/audit" 2>&1 && fail "the audit does not tell of the loss"
grep "declared loss" "$work/audit" || { cat "$work/audit"; fail "the audit does not tell of the loss"; }
ls -d "$workspace"/damaged/schedule-0-* > /dev/null || fail "the damaged store was not kept"

echo "stage's store, put back from an old copy"
rm -rf "$workspace/shards/stage-0"
cp -r "$work/old-stage" "$workspace/shards/stage-0"
up
until_true 30 "feedback notices" shows_trouble feedback-0 'stage-0.*strata repair stage-0'
trouble_of feedback-0 | cut -c1-300
down
"$bin/strata" repair stage-0 > "$work/repair" 2>&1 && { cat "$work/repair"; fail "a loss nobody accepted"; }
grep -q "not known: " "$work/repair" || { cat "$work/repair"; fail "strata repair does not say who has read from another store"; }
"$bin/strata" repair stage-0 --accept-loss > "$work/repair" 2>&1 || { cat "$work/repair"; fail "strata repair --accept-loss"; }
sed 's/^/  /' "$work/repair"
"$bin/strata" repair > "$work/repair" 2>&1 || { cat "$work/repair"; fail "something is still damaged"; }
up
frames=$(metric feedback frames)
until_true 60 "feedback reads on" at_least feedback frames $((frames + 1))
trouble_of feedback-0 | grep -q . && fail "feedback still has trouble: $(trouble_of feedback-0)"
down
