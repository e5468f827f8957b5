#!/usr/bin/env bash
# membrane-cg's histograms are those that MDAnalysis and numpy give for the same trajectory, bin for bin; its tilt, rotation
# and depth those that numpy gives from the definitions; and a run stopped, resumed, killed and resumed leaves the
# same measurements as one that was left alone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "${1:-$here/../../build}" && pwd)/bin/membrane-cg
work=$(mktemp -d /tmp/strata-cg-XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work"
fail () { echo "FAIL: $*" >&2; exit 1; }

/usr/bin/python3 "$here/make_membrane.py" in
run=("$bin" --in in --simulation peer --time-ns 0.3 --frame-ps 5 --threads 1 --no-mesh)
"${run[@]}" --out calm > calm.log || fail "the run failed: $(cat calm.log)"
[ "$(jq -r '.frames' calm/done.json)" = 60 ] || fail "done.json does not tell of 60 frames: $(cat calm/done.json)"
/usr/bin/python3 "$here/check_membrane.py" in calm 60 2> check.err || fail "$(cat check.err)"

# Told to stop once it has a few frames (mdrun leaves a checkpoint), and killed without warning after it went on from there.
stop_at () { # signal, frames
    "${run[@]}" --out killed >> killed.log 2>&1 &
    pid=$!
    while [ "$(cat killed/analysis.jsonl 2>/dev/null | wc -l)" -lt "$2" ]; do
        kill -0 $pid 2>/dev/null || fail "it ended before it could be stopped: $(cat killed.log)"
        sleep 0.02
    done
    kill -"$1" $pid
    code=0
    wait $pid 2>/dev/null || code=$?
}
stop_at TERM 15
[ $code = 143 ] || fail "SIGTERM made it exit with $code: $(cat killed.log)"
[ -s killed/state.cpt ] || fail "SIGTERM left no checkpoint"
stop_at KILL 40
"${run[@]}" --out killed >> killed.log 2>&1 || fail "it did not resume: $(cat killed.log)"
[ "$(grep -c 'going on from state.cpt' killed.log)" = 2 ] || fail "it did not go on from its checkpoint: $(cat killed.log)"
cmp calm/analysis.jsonl killed/analysis.jsonl || fail "the killed run measured other numbers"
[ "$(jq -r '.restarts' killed/done.json)" = 2 ] || fail "done.json does not tell of 2 restarts: $(cat killed/done.json)"
echo "ok: a run stopped and killed measured the same 60 frames"
