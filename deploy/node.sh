#!/usr/bin/env bash
# One node's supervisor in the foreground: node.sh CAMPAIGN-FILE [WORKSPACE]. For a batch script, srun, flux run, or a container's
# entry point, started once on each node: the first one (rank 0) brings the campaign up, the others join it. SIGTERM ends the
# node's services cleanly, on the first node the campaign's.
set -euo pipefail
case ${1:-} in
-h | --help) sed -n '2,4s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac
if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    echo "usage: $0 CAMPAIGN-FILE [WORKSPACE]" >&2
    exit 2
fi
# shellcheck source=deploy/common.sh
. "$(dirname "$0")/common.sh"
file=$1
workspace=${2:-$(workspace_of "$file")}
rank=${STRATA_RANK:-${SLURM_PROCID:-${FLUX_TASK_RANK:-0}}}
# Several brokers of Flux on one host are a node each.
if [ -z "${STRATA_NODE:-}" ] && [ -n "${FLUX_TASK_RANK:-}" ] && [ -n "$(flux hostlist --expand --delimiter='\n' local | sort | uniq -d)" ]; then
    STRATA_NODE=$(hostname -s)-$rank
fi
export STRATA_NODE=${STRATA_NODE:-${SLURMD_NODENAME:-$(hostname -s)}}
[ "$rank" -gt 0 ] || exec "$strata" up "$file" --foreground --workspace "$workspace"
# The first node needs a moment; all others come at once.
for ((i = 0; i < 120; i++)); do
    if "$strata" status --workspace "$workspace" > /dev/null 2>&1; then
        exec "$strata" up "$file" --join --foreground --workspace "$workspace"
    fi
    sleep 1
done
die "node $STRATA_NODE: the campaign is not up on its first node after 120 s; see $workspace/log"
