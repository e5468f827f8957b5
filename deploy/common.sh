# shellcheck shell=bash
# common.sh - sourced by the launchers: finds strata; `launcher ACTION FILE [OPTION...]` does what they have in common.
#
# A launcher says who the nodes are and how a command runs on one:
#   list_nodes          prints their names, a line each, the first one first
#   start_all           starts all at once (one srun); or, where there is none:
#   on NODE COMMAND...  runs a command there, with STRATA_NODE set

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# The program of this tree when it is built, else an installed one.
strata=$here/../build/bin/strata
[ -x "$strata" ] || strata=$(command -v strata || true)
[ -n "$strata" ] || { echo "$0: strata is not installed and not built; 'make all' builds it" >&2; exit 1; }
strata=$(realpath "$strata")

die () { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# The folder that the campaign file names, absolute: a relative one is meant from here.
workspace_of () { # FILE
    local named
    named=$("$strata" check "$1" | sed -n 's/^campaign .*, workspace \(.*\), seed .*/\1/p') || true
    [ -n "$named" ] || die "$1: strata check does not accept it"
    realpath -m "$named"
}

# A node that has a supervisor already stays as it is.
start_one () { # NODE [--join]
    local node=$1 out
    shift
    if out=$(on "$node" "$strata" up "$file" "$@" "${where[@]}" 2>&1); then
        echo "  $node: up"
    elif grep -qE 'has a supervisor of this campaign already|runs already' <<< "$out"; then
        echo "  $node: was up already"
    else
        printf '  %s: %s\n' "$node" "$out" >&2
        return 1
    fi
}

# How many nodes have joined.
joined () { sed -n 's/^ *"\([^"]*\)",*$/\1/p' "${where[1]}/nodes.json" 2> /dev/null | wc -l; }
is_up () { "$strata" status "${where[@]}" > /dev/null 2>&1; }

# start_wide LOG COMMAND...: in the background, until as many nodes as there are have joined.
start_wide () {
    local log=$1 pid i
    shift
    if is_up; then
        echo "  the campaign is up already"
        return 0
    fi
    setsid "$@" > "$log" 2>&1 < /dev/null &
    pid=$!
    for ((i = 0; i < 180; i++)); do
        sleep 1
        kill -0 "$pid" 2> /dev/null || { tail -n 20 "$log" >&2; die "${1##*/} has ended; its last lines are above, all are in $log"; }
        if is_up && [ "$(joined)" -ge "${#nodes[@]}" ]; then
            echo "  all ${#nodes[@]} nodes are up"
            return 0
        fi
    done
    die "$(joined) of ${#nodes[@]} nodes are up after 180 s; see $log and ${where[1]}/log"
}

up () {
    local nodes first node failed=0 pids=() pid
    mapfile -t nodes < <(list_nodes)
    [ ${#nodes[@]} -gt 0 ] || die "there are no nodes"
    echo "campaign $file on ${#nodes[@]} nodes"
    if declare -F start_all > /dev/null; then
        start_all
    else
        first=${nodes[0]}
        start_one "$first" || die "the first node, $first, can't be brought up"
        # At most 32 at a time: each is a connection.
        for node in "${nodes[@]:1}"; do
            while [ "$(jobs -rp | wc -l)" -ge 32 ]; do wait -n || failed=$((failed + 1)); done
            start_one "$node" --join &
            pids+=($!)
        done
        failed=0
        for pid in "${pids[@]}"; do wait "$pid" || failed=$((failed + 1)); done
    fi
    [ "$failed" = 0 ] || die "$failed of ${#nodes[@]} nodes are not up; the others are: mend what they say and call it again, or 'down'"
}

usage () {
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
    cat <<END

  up      starts the services on all nodes; nodes that are up stay as they are
  down    stops them everywhere; jobs are stopped so that they can go on later
  status  the nodes, and what runs on them
  run     up, the campaign until its goal is reached, down
  --workspace DIR   another folder than the file's; every node must see it
END
}

# take_option OPTION VALUE of a launcher: 0 when that is one of its own.
launcher () {
    local code=0
    case ${1:-} in
    -h | --help) usage; exit 0 ;;
    up | down | status | run) action=$1 ;;
    *) usage >&2; exit 2 ;;
    esac
    [ $# -ge 2 ] || { usage >&2; exit 2; }
    file=$(realpath -e "$2" 2> /dev/null) || die "$2 is not there; a campaign file is wanted"
    where=()
    shift 2
    while [ $# -gt 0 ]; do
        [ $# -ge 2 ] || die "$1 needs a value; see --help"
        if [ "$1" = --workspace ]; then where=(--workspace "$(realpath -m "$2")")
        elif ! { declare -F take_option > /dev/null && take_option "$1" "$2"; }; then die "$1 is not known; see --help"; fi
        shift 2
    done
    [ ${#where[@]} -gt 0 ] || where=(--workspace "$(workspace_of "$file")")
    case $action in
    up) up ;;
    down) "$strata" down "${where[@]}" ;;
    status) "$strata" node "${where[@]}" && "$strata" status "${where[@]}" ;;
    run)
        up
        "$strata" run "$file" "${where[@]}" || code=$?
        "$strata" down "${where[@]}" || code=1
        exit "$code"
        ;;
    esac
}
