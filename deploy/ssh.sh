#!/usr/bin/env bash
# The hosts of a list, by ssh. They see the workspace, this folder and strata at the same paths, and let you in without a password.
#
#   deploy/ssh.sh up|down|status|run CAMPAIGN-FILE --hosts HOST,HOST...|FILE [--ssh COMMAND] [--workspace DIR]
#
#   --hosts   names with commas, or a file of them, one a line (# begins a comment); the first one is the first node
#   --ssh     the command that runs another one on a host (default: ssh -o BatchMode=yes -o ConnectTimeout=10)

set -euo pipefail
# shellcheck source=deploy/common.sh
. "$(dirname "$0")/common.sh"
hosts='' ssh='ssh -o BatchMode=yes -o ConnectTimeout=10'

take_option () {
    case $1 in
    --hosts) hosts=$2 ;;
    --ssh) ssh=$2 ;;
    *) return 1 ;;
    esac
}
list_nodes () {
    [ -n "$hosts" ] || die "--hosts is needed: names with commas, or a file of them"
    if [ -f "$hosts" ]; then sed 's/#.*//' "$hosts" | tr -s ' \t,' '\n' | grep . || true; else tr ',' '\n' <<< "$hosts" | grep . || true; fi
}
# Words are quoted for the shell at the other end; a name of the list is the node's, whatever the host calls itself.
on () {
    local node=$1 words
    shift
    words=$(printf '%q ' env "STRATA_NODE=$node" "$@")
    # shellcheck disable=SC2086 # the command has words of its own
    $ssh "$node" "cd $(printf %q "$PWD") && $words" < /dev/null
}

launcher "$@"
