# lib.sh - sourced by tests that start a mesh of their own in a temporary workspace.
# Waits are for conditions with a limit, never for time. The limits are for an ordinary build; STRATA_SLOW (a whole
# number, 5 with SAN=1) multiplies them.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD
bin=${STRATA_BIN:-$root/build/bin}
work=$(mktemp -d /tmp/strata-test-XXXXXX)
workspace=$work/ws
campaign=$work/campaign.yaml
slow=${STRATA_SLOW:-${SAN:+5}}
slow=${slow:-1}
export STRATA_WORKSPACE=$workspace
export LSAN_OPTIONS=${LSAN_OPTIONS:-suppressions=$root/tests/leaks.txt:print_suppressions=0}

fail () {
    echo "FAILED: $*"
    [ -d "$workspace" ] && { "$bin/strata" status 2>&1 | head -40; tail -n 25 "$workspace"/log/*.log; "$bin/strata" jobs 2>&1 | head -30; }
    exit 1
}

# What a sanitizer found in a program that a test started stands only where that program wrote: in a service's log, a
# job's stderr, or the output of a command that the test kept. True, and shown, when there is any.
sanitizer_found () {
    local found
    found=$(grep -rlaE --include='*.log' --include=stderr --include=stdout 'ERROR: (Address|Leak)Sanitizer|runtime error: ' "$workspace" 2> /dev/null
            grep -laE 'ERROR: (Address|Leak)Sanitizer|runtime error: ' "$work"/* 2> /dev/null)
    [ -n "$found" ] || return 1
    local f
    while IFS= read -r f; do
        echo "FAILED: a sanitizer speaks in $f:"
        grep -aE -A 30 'ERROR: (Address|Leak)Sanitizer|runtime error: ' "$f" | head -n 60
    done <<< "$found"
}

clean_up () {
    local rc=$?
    "$bin/strata" down --workspace "$workspace" > "$work/down.log" 2>&1
    if sanitizer_found && [ $rc = 0 ]; then rc=1; fi
    # Whatever a failed test left behind.
    local pid
    for pid in $(pgrep -f -- "$work"); do [ "$pid" = $$ ] || kill -KILL "$pid" 2> /dev/null; done
    rm -rf "$work"
    exit $rc
}
trap clean_up EXIT

# The shipped campaign in the temporary workspace, changed by the sed commands given.
make_shipped_campaign () {
    cp -r apps/membrane/encoder "$work/encoder"
    sed -e "s|^workspace:.*|workspace: $workspace|" "$@" apps/membrane/campaign.yaml > "$campaign"
}

# The same with principal components: for tests of coordination, whose many replicas need not load libtorch each.
make_campaign () {
    make_shipped_campaign -e 's|{kind: network, model: encoder/model.pt,|{kind: pca, model: encoder/pca.npz,|' "$@"
    grep -q 'kind: pca' "$campaign" || fail "the shipped campaign's encoder is not the one that is replaced here"
}

# The campaign of small programs (tests/crash) in the temporary workspace: jobs of a second, standbys of every service.
make_small_campaign () {
    sed -e "s|^workspace:.*|workspace: $workspace|" "$@" tests/crash/campaign.yaml > "$campaign"
    "$bin/crash-load" model --out "$work/model.npz" --dimensions 4 --seed 1 || fail "crash-load model"
}

# json EXPRESSION: Python on the document `d` from standard input.
json () { /usr/bin/python3 -c 'import json,sys
d=json.load(sys.stdin)
print(eval(sys.argv[1]))' "$1" 2> /dev/null; }

# metric SERVICE NAME: the active replica's figure, 0 when there is none.
metric () {
    "$bin/strata" status --json 2> /dev/null | json "int(next((r['metrics'].get('$2',{}).get('value',0) for r in d['replicas'] if r['service']=='$1' and r['alive'] and r['active']),0))" || echo 0
}
pid_of () { "$bin/strata" status --json 2> /dev/null | json "next(r['pid'] for r in d['replicas'] if r['replica']=='$1')"; }

# until_true SECONDS TEXT COMMAND...
until_true () {
    local limit=$(($1 * slow)) text=$2 start=$SECONDS
    shift 2
    until "$@" > /dev/null 2>&1; do
        [ $((SECONDS - start)) -lt "$limit" ] || fail "after $limit s still not: $text"
        sleep 0.2
    done
    echo "  $text ($((SECONDS - start)) s)"
}
at_least () { [ "$(metric "$1" "$2")" -ge "$3" ]; }   # SERVICE METRIC N
is_alive () { "$bin/strata" status --json 2> /dev/null | json "next(r['alive'] and r['active'] and r['pid']!=${2:-0} for r in d['replicas'] if r['replica']=='$1')" | grep -q True; }

audit_is_clean () { "$bin/strata" audit > "$work/audit" 2>&1 || { cat "$work/audit"; fail "the audit found a violation"; }; sed 's/^/  /' "$work/audit"; }

# replays_identical SHARD...: told its recorded inputs again, each comes out the same, turn by turn and key by key.
replays_identical () {
    local shard
    for shard in "$@"; do
        "$bin/strata" replay "${shard%-*}" --shard "$shard" --json > "$work/replay.json" 2> "$work/replay.err" \
            || { cat "$work/replay.json" "$work/replay.err"; fail "$shard was replayed differently"; }
        json "d['identical'] and d['turns'] > 0" < "$work/replay.json" | grep -q True || fail "$shard was replayed differently"
        echo "  $shard: $(json "'%d turns from %d, %d stores compared, inputs %s' % (d['turns'], d['from_turn'], d['stores_compared'], d['inputs'])" < "$work/replay.json")"
    done
}

# preloaded_python ARGUMENT...: Python that may load a library of ours, which a sanitizer's build needs help for.
# strata_python ARGUMENT...: one that finds the binding of the build tree.
library=$(dirname "$bin")/libstrata.so
preloaded_python () {
    local preload=
    if [ -n "${SAN:-}" ]; then # the library is built with the sanitizer, Python is not
        preload=$(gcc -print-file-name=libasan.so)
        export ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0
    fi
    LD_PRELOAD=$preload /usr/bin/python3 "$@"
}
strata_python () {
    [ -e "$library" ] || fail "$library is not built: make all"
    STRATA_LIBRARY=$library PYTHONPATH=$root/python preloaded_python "$@"
}
