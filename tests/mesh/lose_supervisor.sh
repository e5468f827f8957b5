#!/usr/bin/env bash
# The supervisor is killed: services end with it, jobs go on, status and down say so, and strata up takes all over again. Then
# everything is killed at once, as a power cut of processes would: strata run goes on and reaches the goal.
. "$(dirname "$0")/lib.sh"

make_campaign -e 's/--time-ns, "0.2"/--time-ns, "0.02"/' -e 's/buffer: 2/buffer: 1/' -e 's/--edge-nm, "9"/--edge-nm, "7"/' -e 's/^goal:.*/goal: {job: cg, successes: 1}/' \
    -e 's/frames: 40/frames: 2/' -e 's/seconds: 30/seconds: 5/' -e 's/--preset, quick\]/--preset, quick, --pace, "4", --snapshot-every, "10"]/'
"$bin/strata" up "$campaign" || fail "strata up"

services () { pgrep -f -- "strata-(stage|select|schedule|feedback|patch|status) .*$workspace" | sort; }
job () { "$bin/strata" jobs macro-000001 --json | json "d['$1']"; }
macro () { pgrep -f -- "membrane-macro .*$workspace" | sort | head -n 1; }
none_left () { [ -z "$(services)" ]; }

until_true 60 "a simulation is prepared" at_least schedule createsim_running 1

# ---- the supervisor alone ----
supervisor=$(head -n 1 "$workspace/up.lock")
[ "$(tail -n 1 "$workspace/up.lock")" = "${STRATA_NODE:-$(hostname)}" ] || fail "up.lock does not name the node: $(cat "$workspace/up.lock")"
attempt=$(job attempt)
before=$(macro)
[ -n "$before" ] || fail "the continuum does not run"
kill -KILL "$supervisor" && echo "  killed the supervisor (pid $supervisor)"
until_true 5 "the services have ended with it" none_left
"$bin/strata" status > "$work/status" 2>&1 && fail "strata status says all is well: $(cat "$work/status")"
echo "  status says: $(cat "$work/status")"
grep -q "not up" "$work/status" || fail "status does not say that the campaign is not up"
"$bin/strata" jobs > "$work/out" 2>&1 && fail "strata jobs answers without services"
"$bin/strata" down > "$work/down" 2>&1 || fail "strata down: $(cat "$work/down")"
echo "  down says: $(cat "$work/down")"
grep -q "not up" "$work/down" || fail "down does not say that the campaign is not up"
[ "$(macro)" = "$before" ] || fail "the continuum did not go on without the supervisor"
echo "  jobs go on under their shepherds"
"$bin/strata" up "$campaign" || fail "strata up after the supervisor was killed"
same () { [ "$(job state)" = running ] && [ "$(job attempt)" = "$attempt" ] && [ "$(macro)" = "$before" ]; }
until_true 20 "the same attempt of the continuum runs on (pid $before)" same

# ---- everything at once ----
until_true 60 "a simulation is in work" at_least schedule jobs_running 2
all=$(pgrep -f -- "$work")
kill -KILL $all
echo "  killed all $(echo "$all" | wc -w) processes at once"
gone () { [ -z "$(pgrep -f -- "$work")" ]; }
until_true 5 "nothing runs" gone
"$bin/strata" status > "$work/status" 2>&1 && fail "strata status says all is well: $(cat "$work/status")"
echo "  status says: $(cat "$work/status")"
"$bin/strata" audit > "$work/audit" 2>&1 || { cat "$work/audit"; fail "the audit of what was left found a violation"; }
start=$SECONDS
"$bin/strata" run "$campaign" --timeout 200 > "$work/run" 2>&1 || { tail -n 40 "$work/run"; fail "strata run after everything was killed"; }
echo "  strata run reached the goal in $((SECONDS - start)) s"
grep -q "is complete" "$work/run" || fail "strata run does not say that the campaign is complete"
pgrep -af -- "$work" && fail "processes are left after strata run"
audit_is_clean
