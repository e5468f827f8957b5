#!/usr/bin/env bash
# Several "nodes" on this machine, to try a campaign of many at home: each has a name and an address of its own (127.0.0.x), and
# believes that all of this machine's cores are its.
#
#   deploy/local.sh up|down|status|run CAMPAIGN-FILE [--nodes N] [--workspace DIR]     (default: 2 nodes)

set -euo pipefail
# shellcheck source=deploy/common.sh
. "$(dirname "$0")/common.sh"
count=2

take_option () { [ "$1" = --nodes ] && [[ $2 =~ ^[1-9][0-9]?$ ]] && count=$2; }
list_nodes () { for ((i = 1; i <= count; i++)); do echo "node$i"; done; }
on () { local node=$1; shift; env STRATA_NODE="$node" STRATA_ADDRESS="127.0.0.${node#node}" "$@"; }

launcher "$@"
