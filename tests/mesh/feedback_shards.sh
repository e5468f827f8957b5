#!/usr/bin/env bash
# Two shards of feedback share the simulations, a third replica stands by. Both holders are killed and stopped in turn; the standby
# takes what they held, the reports go on, and each frame is in one report first: the audit and the recount from the jobs'
# folders say so. Both shards are replayed to the same stores.
. "$(dirname "$0")/lib.sh"

"$bin/crash-load" model --out "$work/model.npz" --dimensions 4 --seed 11 || fail "crash-load model"
sed -e "s|^workspace:.*|workspace: $workspace|" -e 's/feedback: 2}/feedback: 3}/' -e 's/^  uptake: uptakes/  uptake: uptakes\n  shards: 2/' \
    tests/crash/campaign.yaml > "$campaign"
echo "replay: {keep_mb: 256, checkpoint_mb: 64}" >> "$campaign"
"$bin/strata" up "$campaign" > "$work/up" 2>&1 || { cat "$work/up"; fail "strata up"; }

# holders: "shard replica pid" of those that hold one.
holders () { "$bin/strata" status --json 2> /dev/null | json "'\n'.join(f\"{r['shard']} {r['replica']} {r['pid']}\" for r in d['replicas'] if r['service']=='feedback' and r['alive'] and r['active'])"; }
both_held () { [ "$(holders | cut -d' ' -f1 | sort -u | tr -d '\n')" = 01 ]; }
of_shard () { "$bin/strata" status --json 2> /dev/null | json "int(next(r['metrics']['$2']['value'] for r in d['replicas'] if r['service']=='feedback' and r['alive'] and r['active'] and r['shard']==$1))" || echo 0; }
more () { [ "$(of_shard 0 frames)" -gt "$frames" ] && [ "$(of_shard 1 frames_of_shard)" -gt "$others" ] && [ "$(of_shard 0 reports_written)" -gt "$reports" ]; }
goes_on () { frames=$(of_shard 0 frames) others=$(of_shard 1 frames_of_shard) reports=$(of_shard 0 reports_written); until_true 60 "both shards sum, and reports are written" more; }

until_true 60 "both shards are held" both_held
goes_on
for signal in KILL STOP; do
    for shard in 1 0; do
        read -r _ replica pid < <(holders | grep "^$shard ") || fail "shard $shard is not held"
        kill -$signal "$pid"
        held_again () { both_held && ! holders | grep -q " $pid$"; }
        until_true 20 "$replica, which held shard $shard, got SIG$signal: the other two hold both" held_again
        goes_on
        [ $signal = STOP ] && kill -CONT "$pid"
        three () { [ "$("$bin/strata" status --json | json "sum(r['alive'] for r in d['replicas'] if r['service']=='feedback')")" = 3 ]; }
        until_true 20 "three replicas are alive" three
    done
done
"$bin/strata" audit > "$work/live" 2>&1 # (objects that the small programs delete meanwhile are none of this test's matter)
grep -E '^FAIL +(frames|reports)' -A 3 "$work/live" && fail "the audit beside the running mesh found a violation"
grep -q '^ok +frames\|^ok  *frames' "$work/live" || { cat "$work/live"; fail "the audit beside the running mesh did not recount frames"; }
touch "$work/hold" # the small programs hand in nothing new
sleep 2
all_read () { "$bin/strata" status --json | json "[all(v >= s['next'] for v in s['consumers'].values()) for r in d['replicas'] for s in r['streams'] if r['service']=='stage' and s['stream']=='rdfs'][0]" | grep -q True; }
until_true 60 "all frames are read" all_read
"$bin/strata" down > "$work/down" 2>&1 || { cat "$work/down"; fail "strata down"; }
pgrep -af -- "$workspace" && fail "processes are left after strata down"
audit_is_clean
"$bin/crash-load" recount --workspace "$workspace" --frames 20 > "$work/recount" 2>&1 || { cat "$work/recount"; fail "the recount found violations"; }
sed 's/^/  /' "$work/recount"
for shard in 0 1; do
    "$bin/strata" replay feedback --shard $shard > "$work/replay" 2>&1 || { cat "$work/replay"; fail "shard $shard of feedback was replayed differently"; }
    grep identical "$work/replay" | sed 's/^/  /'
done
