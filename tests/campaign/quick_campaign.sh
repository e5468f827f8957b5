#!/usr/bin/env bash
# The quick campaign as `make run` runs it: interrupted once by Ctrl-C, resumed, ended; then what it promises is counted.
. "$(dirname "$0")/../mesh/lib.sh"

make_shipped_campaign
peak=$work/peak
( # Memory of everything that belongs to this campaign: the mesh by its arguments, jobs and what they start by their environment.
    top=0
    while sleep 2; do
        pids=$(grep -lsF -- "$workspace" /proc/[0-9]*/cmdline /proc/[0-9]*/environ | cut -d/ -f3 | sort -u)
        sum=$(for p in $pids; do awk '/^Pss:/ {print $2}' "/proc/$p/smaps_rollup" 2> /dev/null; done | awk '{s += $1} END {print s + 0}')
        [ "$sum" -gt "$top" ] && top=$sum && echo "$top" > "$peak"
    done
) &
sampler=$!

start=$SECONDS
setsid "$bin/strata" run "$campaign" > "$work/run1" 2>&1 &
run=$!
has_simulation () { at_least schedule cg_running 1 && at_least feedback frames 5; }
until_true 240 "simulations run and frames are counted" has_simulation
kill -INT $run
wait $run
rc=$?
[ $rc = 130 ] || { tail -n 20 "$work/run1"; fail "strata run ended with $rc after Ctrl-C, 130 is promised"; }
pgrep -af -- "strata-.*$workspace|membrane-.*$workspace|gmx.*$workspace" && fail "processes are left after Ctrl-C"
echo "  Ctrl-C ended it cleanly ($((SECONDS - start)) s)"

timeout 600 "$bin/strata" run "$campaign" > "$work/run2" 2>&1
rc=$?
kill $sampler 2> /dev/null
tail -n 40 "$work/run2"
[ $rc = 0 ] || fail "strata run ended with $rc"
echo "  whole campaign: $((SECONDS - start)) s, peak memory $(($(cat "$peak") / 1024)) MiB"
[ $((SECONDS - start)) -le 600 ] || fail "it took more than 10 minutes"
[ "$(cat "$peak")" -le $((4 * 1024 * 1024)) ] || fail "it took more than 4 GiB"

done_files=("$workspace"/jobs/cg-*/done.json)
[ ${#done_files[@]} -ge 6 ] || fail "${#done_files[@]} simulations finished, at least 6 are promised"
for f in "${done_files[@]}"; do
    json "d['beads'] >= 2000 and d['time_ns'] >= 0.2 and d['frames'] > 0" < "$f" | grep -q True || fail "$f: $(cat "$f")"
done
uptakes=$(cat "$workspace"/jobs/macro-*/attempt-*/stdout | grep -c '^took up report')
[ "$uptakes" -ge 2 ] || fail "the continuum took up $uptakes reports, at least 2 are promised"
grep -q 'goes on from' "$workspace"/jobs/macro-*/attempt-*/stdout || fail "the continuum did not go on from its checkpoint"
echo "  ${#done_files[@]} simulations, $uptakes reports taken up by the continuum"
audit_is_clean

timeout 60 "$bin/strata" run "$campaign" > "$work/run3" 2>&1 || fail "running a complete campaign again ended with $?"
echo "  running it again says that it is complete"
