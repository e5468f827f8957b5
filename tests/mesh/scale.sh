#!/usr/bin/env bash
# Replicas come and go while a campaign works: patch 1 -> 4 -> 1, standbys of select, feedback and schedule. What works stays,
# what leaves finishes first and takes its card along, the wanted numbers outlive the services, nothing is lost. A replica
# that hangs is shown dead, and a log that grows is bounded.
. "$(dirname "$0")/lib.sh"

make_small_campaign -e 's/^replicas:.*//' -e 's/--pace-ms, "2000"/--pace-ms, "300"/'
"$bin/strata" up "$campaign" > "$work/up" 2>&1 || { cat "$work/up"; fail "strata up"; }

service () { "$bin/strata" status --json | json "d['services']['$1']['$2']"; }   # SERVICE wanted|alive|active
processes () { pgrep -f -- "strata-$1 .*$workspace" | sort | tr '\n' ' '; }
active_of () { "$bin/strata" status --json | json "next(r['replica'] for r in d['replicas'] if r['service']=='$1' and r['active'] and r['alive'])"; }
scale () {
    "$bin/strata" scale "$@" > "$work/scale" 2>&1 || { cat "$work/scale"; fail "strata scale $*"; }
    tail -n 1 "$work/scale" | sed 's/^/  /'
    [ "$(processes "$1" | wc -w)" = "$2" ] || fail "$1 has processes $(processes "$1") after strata scale $*"
    [ "$(find "$workspace/cards" -name "$1-*.json" | wc -l)" = "$2" ] || fail "cards after strata scale $*: $(ls "$workspace/cards")"
}
refused () { # TEXT ARGUMENT...
    local text=$1
    shift
    "$bin/strata" scale "$@" > "$work/refused" 2>&1
    [ $? = 2 ] && grep -q "$text" "$work/refused" || fail "strata scale $*: $(cat "$work/refused")"
}

until_true 60 "simulations are done" at_least schedule simulation_succeeded 1

# ---- more ----
scale patch 4
before=$(processes patch)
all_cut () { "$bin/strata" status --json | json "min(r['metrics']['snapshots_cut']['value'] for r in d['replicas'] if r['service']=='patch' and r['alive']) > 0" | grep -q True; }
until_true 60 "each of four replicas of patch has cut a snapshot" all_cut
scale patch 4
[ "$(processes patch)" = "$before" ] || fail "a repeated strata scale changed the processes"
scale select 2
scale feedback 2
scale schedule 3

# ---- nonsense ----
refused "there is no service" patches 2
refused "at least one" patch 0
refused "not a number" patch 65
refused "not a number" patch two
(
    flock 9
    "$bin/strata" scale patch 2 > "$work/refused" 2>&1 && fail "two strata scale at once"
    grep -q "is at work" "$work/refused" || fail "$(cat "$work/refused")"
) 9> "$workspace/replicas.lock" || exit 1
echo '{"format": 7}' > "$work/broken"
cp "$workspace/replicas.json" "$work/kept" && cp "$work/broken" "$workspace/replicas.json"
"$bin/strata" scale patch 2 > "$work/refused" 2>&1 && fail "a broken replicas.json was taken"
grep -q "is not understood" "$work/refused" || fail "$(cat "$work/refused")"
says_so () { grep -q "is not understood" "$workspace/log/supervisor.log"; }
until_true 10 "the supervisor says that replicas.json is broken, and goes on" says_so
cp "$work/kept" "$workspace/replicas.json"
[ "$(processes patch)" = "$before" ] || fail "a broken replicas.json changed the processes"

# ---- the one that works stays ----
first=$(active_of select)
kill -KILL "$(pid_of "$first")"
other_works () { now=$(active_of select) && [ "$now" != "$first" ]; }
until_true 20 "the standby of select took over from $first" other_works
all_there () { [ "$(service select alive)" = 2 ]; }
until_true 20 "$first is there again" all_there
pid=$(pid_of "$now")
scale select 1
[ "$(active_of select) $(pid_of "$now")" = "$now $pid" ] || fail "$now (pid $pid) works, and was removed"

# ---- the numbers outlive the services, also when all of them were killed ----
scale feedback 3
kill -KILL $(pgrep -f -- "strata (up|run) $campaign")
none_left () { [ -z "$(processes "(stage|select|schedule|feedback|patch|status)")" ]; }
until_true 10 "the services have ended with their supervisor" none_left
"$bin/strata" scale feedback 1 > "$work/scale" 2>&1 || { cat "$work/scale"; fail "strata scale of a campaign that is down"; }
grep -q "not up" "$work/scale" || fail "$(cat "$work/scale")"
"$bin/strata" up "$campaign" > "$work/up" 2>&1 || { cat "$work/up"; fail "strata up"; }
as_wanted () { "$bin/strata" status --json | json "[d['services'][s][w] for s in ('patch', 'select', 'feedback', 'schedule') for w in ('wanted', 'alive')] == [4, 4, 1, 1, 1, 1, 3, 3]" | grep -q True; }
until_true 20 "after strata down and up: patch 4, select 1, feedback 1, schedule 3" as_wanted
no_dead () { "$bin/strata" status --json | json "all(r['alive'] for r in d['replicas'])" | grep -q True; }
until_true 20 "no card of a replica that is wanted no longer is shown dead" no_dead

# ---- fewer, in the middle of work ----
cut=$(metric patch snapshots_cut)
goes_on () { [ "$(metric patch snapshots_cut)" -gt "$cut" ]; }
until_true 60 "snapshots are cut" goes_on
scale patch 1
scale schedule 1
cut=$(metric patch snapshots_cut)
until_true 60 "the one that is left cuts" goes_on
jobs=$(metric schedule jobs_succeeded)
more_jobs () { [ "$(metric schedule jobs_succeeded)" -gt "$jobs" ]; }
until_true 60 "more jobs are finished" more_jobs

# ---- status does not lie ----
pid=$(pid_of patch-0)
stopped_at=$(date +%s%N)
kill -STOP "$pid"
shown_dead () { "$bin/strata" status --json | json "next(r['alive'] for r in d['replicas'] if r['replica']=='patch-0')" | grep -q False; }
until_true 4 "patch-0 hangs and is shown dead" shown_dead
echo "  shown dead $((($(date +%s%N) - stopped_at) / 1000000)) ms after it was stopped"
[ "$(service patch wanted) $(service patch alive)" = "1 0" ] || fail "status counts a dead replica"
kill -CONT "$pid"
until_true 20 "patch-0 is alive again" is_alive patch-0

# ---- logs are bounded ----
truncate -s 70M "$workspace/log/patch-0.log"
bounded () { [ "$(stat -c %s "$workspace/log/patch-0.log")" -lt 1000000 ] && [ "$(stat -c %s "$workspace/log/patch-0.log.1")" -ge 70000000 ]; }
until_true 20 "a log of 70 MB was put aside" bounded

"$bin/strata" down > /dev/null || fail "strata down"
pgrep -af -- "$workspace" && fail "processes are left after strata down"
audit_is_clean
