#!/usr/bin/env bash
# The nodes of a Slurm allocation, inside sbatch or salloc: one srun starts a supervisor on each. In a batch script:
#
#   deploy/slurm.sh run CAMPAIGN-FILE [--workspace DIR]
#
#   deploy/slurm.sh up|down|status|run CAMPAIGN-FILE [--workspace DIR]

set -euo pipefail
# shellcheck source=deploy/common.sh
. "$(dirname "$0")/common.sh"

inside () { [ -n "${SLURM_JOB_ID:-}" ] || die "SLURM_JOB_ID is not set: call it inside sbatch or salloc"; }
list_nodes () { inside; scontrol show hostnames "$SLURM_JOB_NODELIST"; }
# --cpus-per-task: the supervisors, and the jobs below them, have all of the node.
start_all () {
    local log end
    inside
    # Before it, no job starts that can't end, and what runs is stopped in order. Newer Slurms say it by themselves.
    end=${STRATA_END:-${SLURM_JOB_END_TIME:-$(squeue --noheader --jobs "$SLURM_JOB_ID" --format=%e)}}
    [[ $end != *T* ]] || end=$(date -d "$end" +%s)
    [[ ! $end =~ ^[0-9]+$ ]] || export STRATA_END=$end
    mkdir -p "${where[1]}"
    log=${where[1]}/srun.$SLURM_JOB_ID.log
    start_wide "$log" srun --overlap --kill-on-bad-exit=0 --ntasks-per-node=1 --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" \
        --cpus-per-task="${SLURM_CPUS_ON_NODE:-1}" --cpu-bind=none "$here/node.sh" "$file" "${where[1]}"
}

launcher "$@"
