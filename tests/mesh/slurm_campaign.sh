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

campaign_on_engine slurm 16

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
! pgrep -f "strata-shepherd.*$workspace" > /dev/null || fail "jobs are left after strata down"
# What ended while slurmctld was away its step tells again after 15 s.
slurm_is_empty () { [ -z "$(squeue -h -t pending,running -o %A)" ]; }
until_true 40 "Slurm has no job of it left" slurm_is_empty
nothing_submitted_twice
audit_is_clean
