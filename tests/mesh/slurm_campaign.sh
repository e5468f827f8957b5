#!/usr/bin/env bash
# A campaign on a real Slurm: one line of its file is changed (schedule.executor), the schedule service and slurmctld are killed
# in the middle, and the audit finds nothing lost and nothing twice.
. "$(dirname "$0")/lib.sh"

PATH=$PATH:/usr/sbin
for program in munged slurmctld slurmd; do
    command -v "$program" > /dev/null || { echo "$program is missing: make deps-tests"; exit 77; }
done
slurm=$work/slurm
slurm_down () { scripts/slurm.sh down "$slurm" > "$work/slurm-down" 2>&1 || cat "$work/slurm-down"; }
trap '"$bin/strata" down --workspace "$workspace" > /dev/null 2>&1; slurm_down; clean_up' EXIT
scripts/slurm.sh up "$slurm" --nodes 2 --cpus 8 || fail "slurm.sh up"
eval "$(scripts/slurm.sh env "$slurm")"

make_small_campaign -e 's/executor: local/executor: slurm/'
[ "$(diff tests/crash/campaign.yaml "$campaign" | grep -c '^>')" = 2 ] || fail "more than the workspace and one line was changed"
"$bin/strata" up "$campaign" || fail "strata up"
until_true 60 "jobs ran in Slurm" at_least schedule simulation_succeeded 3

active_pid () { "$bin/strata" status --json 2> /dev/null | json "next(r['pid'] for r in d['replicas'] if r['service']=='schedule' and r['active'] and r['alive'])"; }
serves_anew () { local now; now=$(active_pid) && [ "$now" -gt 0 ] && [ "$now" != "$1" ]; }

# A batch is on its way at most times; what the killed service submitted is found by the next.
for i in 1 2 3; do
    before=$(metric schedule simulation_succeeded)
    pid=$(active_pid) || fail "no schedule is active"
    kill -KILL "$pid" || fail "kill schedule"
    echo "  killed schedule (pid $pid, $i)"
    until_true 30 "schedule serves again" serves_anew "$pid"
    [ "$(metric schedule cores)" = 16 ] || fail "Slurm's 16 cores are not there"
    until_true 30 "a simulation more ended well" at_least schedule simulation_succeeded $((before + 2))
done

# Without slurmctld jobs go on, and status says what is wrong.
trouble () { "$bin/strata" status --json | json "[r.get('trouble','') for r in d['replicas'] if r['service']=='schedule' and r['active']]" | grep -q "$1"; }
scripts/slurm.sh stop "$slurm" ctld || fail "slurm.sh stop"
until_true 40 "status says that Slurm does not answer" trouble "Slurm does not answer"
is_alive schedule-0 || is_alive schedule-1 || fail "schedule died of it"
scripts/slurm.sh up "$slurm" || fail "slurm.sh up again"
until_true 40 "status says nothing any more" eval '! trouble Slurm'
before=$(metric schedule simulation_succeeded)
until_true 40 "simulations go on" at_least schedule simulation_succeeded $((before + 2))

"$bin/strata" down || fail "strata down"
[ -z "$(squeue -h -t pending,running -o %A)" ] || { squeue; fail "jobs are left in Slurm after strata down"; }
twice=$(grep -c 'has been run already\|another shepherd' "$workspace"/jobs/*/attempt-*/shepherd.log | awk -F: '{ n += $2 } END { print n + 0 }')
echo "  attempts that were submitted twice: $twice"
[ "$twice" = 0 ] || fail "an attempt was submitted twice"
audit_is_clean
