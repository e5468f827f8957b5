#!/usr/bin/env bash
# Each service is killed once with SIGKILL in the middle of a campaign with real simulations, a job and its shepherd too;
# the campaign reaches its goal and the audit finds nothing lost and nothing twice. Objects are in RocksDB here; the quick
# campaign keeps them as files.
. "$(dirname "$0")/lib.sh"

make_campaign -e 's/--time-ns, "0.2"/--time-ns, "0.06"/' -e 's/^goal:.*/goal: {job: cg, successes: 3, uptakes: 1}/' \
    -e 's/backend: file/backend: rocksdb/' -e 's/frames: 40/frames: 8/' -e 's/seconds: 30/seconds: 5/' -e 's/--preset, quick\]/--preset, quick, --pace, "4", --snapshot-every, "10"]/'
"$bin/strata" up "$campaign" || fail "strata up"

# kill_replica NAME: SIGKILL, then it is there again with another pid.
kill_replica () {
    local pid
    pid=$(pid_of "$1") && [ "$pid" -gt 0 ] || fail "no pid of $1"
    kill -KILL "$pid" || fail "kill $1"
    echo "  killed $1 (pid $pid)"
    until_true 20 "$1 serves again" is_alive "$1" "$pid"
}

until_true 60 "a snapshot is cut" at_least patch snapshots_cut 1
kill_replica patch-0
until_true 60 "a selection became a job" at_least schedule createsim_running 1
kill_replica select-0
kill_replica schedule-0
until_true 120 "a simulation runs" at_least schedule cg_running 1
kill_replica stage-0
until_true 60 "frames are counted" at_least feedback frames 3
kill_replica feedback-0
pid=$(pgrep -f -- "membrane-cg .*$workspace" | head -n 1)
if [ -n "$pid" ]; then kill -KILL "$pid" && echo "  killed a running simulation (pid $pid)"; fi
until_true 120 "a simulation runs again" at_least schedule cg_running 1
pid=$(pgrep -f -- "strata-shepherd .*$workspace/jobs/cg" | head -n 1)
if [ -n "$pid" ]; then kill -KILL "$pid" && echo "  killed a shepherd (pid $pid)"; fi
# status last: what it shows it rebuilds.
kill -KILL "$(pid_of status-0)" && echo "  killed status-0"
until_true 20 "status serves again" is_alive status-0

complete () { "$bin/strata" status --json | json "d['complete']" | grep -q True; }
until_true 300 "the goal is reached" complete
"$bin/strata" down || fail "strata down"
pgrep -af -- "$workspace" && fail "processes are left after strata down"
audit_is_clean
