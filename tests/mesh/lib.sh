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

# flux_up BROKERS: a Flux instance of this test; FLUX_URI leads to it, until flux_down.
flux_up () {
    # shellcheck disable=SC2016 # $1 is the inner shell's
    flux start --test-size="$1" sh -c 'flux getattr local-uri > "$1/uri.new" && mv "$1/uri.new" "$1/uri" && while [ ! -e "$1/flux-end" ]; do sleep 0.2; done' \
        sh "$work" > "$work/flux.log" 2>&1 &
    instance=$!
    until_true 30 "a Flux instance of $1" test -e "$work/uri"
    FLUX_URI=$(cat "$work/uri")
    export FLUX_URI
}
flux_down () {
    touch "$work/flux-end"
    wait "$instance" || { tail -n 5 "$work/flux.log"; return 1; }
    unset FLUX_URI
}

# The process of the active schedule.
schedule_pid () { "$bin/strata" status --json 2> /dev/null | json "next(r['pid'] for r in d['replicas'] if r['service']=='schedule' and r['active'] and r['alive'])"; }
schedule_serves_anew () { local now; now=$(schedule_pid) && [ "$now" -gt 0 ] && [ "$now" != "$1" ]; }

# campaign_on_engine NAME [CORES]: the small campaign with one line changed; its schedule is killed again and again. A batch is on its
# way at most times; what the killed service submitted is found by the next.
campaign_on_engine () {
    local i before pid
    make_small_campaign -e "s/executor: local/executor: $1/"
    [ "$(diff tests/crash/campaign.yaml "$campaign" | grep -c '^>')" = 2 ] || fail "more than the workspace and one line was changed"
    "$bin/strata" up "$campaign" || fail "strata up"
    until_true 60 "jobs ran in $1" at_least schedule simulation_succeeded 3
    for i in 1 2 3; do
        before=$(metric schedule simulation_succeeded)
        pid=$(schedule_pid) || fail "no schedule is active"
        kill -KILL "$pid" || fail "kill schedule"
        echo "  killed schedule (pid $pid, $i)"
        until_true 30 "schedule serves again" schedule_serves_anew "$pid"
        [ -z "${2:-}" ] || [ "$(metric schedule cores)" = "$2" ] || fail "the $2 cores of $1 are not there"
        until_true 30 "a simulation more ended well" at_least schedule simulation_succeeded $((before + 2))
    done
}

nothing_submitted_twice () {
    local twice
    twice=$(grep -c 'has been run already\|another shepherd' "$workspace"/jobs/*/attempt-*/shepherd.log | awk -F: '{ n += $2 } END { print n + 0 }')
    echo "  attempts that were submitted twice: $twice"
    [ "$twice" = 0 ] || fail "an attempt was submitted twice"
}

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
