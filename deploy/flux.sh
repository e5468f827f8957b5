#!/usr/bin/env bash
# The nodes of a Flux instance, inside flux batch or flux alloc: one `flux run` starts a supervisor on each. In a batch script:
#
#   deploy/flux.sh run CAMPAIGN-FILE [--workspace DIR]
#
#   deploy/flux.sh up|down|status|run CAMPAIGN-FILE [--workspace DIR]

set -euo pipefail
# shellcheck source=deploy/common.sh
. "$(dirname "$0")/common.sh"

inside () { flux uptime > /dev/null 2>&1 || die "no Flux instance answers: call it inside flux batch or flux alloc"; }
list_nodes () { inside; flux hostlist --expand --delimiter='\n' local; }
start_all () {
    local left
    inside
    # Before it, no job starts that can't end, and what runs is stopped in order.
    left=$(flux job timeleft 2> /dev/null || true)
    [[ -n ${STRATA_END:-} || ! $left =~ ^[0-9]+$ ]] || export STRATA_END=$(($(date +%s) + left))
    mkdir -p "${where[1]}"
    start_wide "${where[1]}/flux-run.log" flux run --nodes="$(list_nodes | wc -l)" --tasks-per-node=1 --exclusive "$here/node.sh" "$file" "${where[1]}"
}

launcher "$@"
