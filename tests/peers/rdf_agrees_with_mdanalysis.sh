#!/usr/bin/env bash
# membrane-cg's histograms are those that MDAnalysis and numpy give for the same trajectory, bin for bin; its tilt, rotation
# and depth those that numpy gives from the definitions; a run that is killed leaves what one leaves that was let alone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "${1:-${STRATA_BUILD:-$here/../../build}}" && pwd)/bin/membrane-cg
work=$(mktemp -d /tmp/strata-cg-XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work"
fail () { echo "FAIL: $*" >&2; exit 1; }

/usr/bin/python3 "$here/make_membrane.py" in
run=("$bin" --in in --simulation peer --time-ns 0.3 --frame-ps 5 --threads 1 --no-mesh)
"${run[@]}" --out calm > calm.log || fail "the run failed: $(cat calm.log)"
[ "$(jq -r '.frames' calm/done.json)" = 60 ] || fail "done.json does not tell of 60 frames: $(cat calm/done.json)"
/usr/bin/python3 "$here/check_membrane.py" in calm 60 2> check.err || fail "$(cat check.err)"

stop_at () { # signal, frames, folder
    "${run[@]}" --out "$3" >> "$3.log" 2>&1 &
    pid=$!
    while [ "$(cat "$3/analysis.jsonl" 2>/dev/null | wc -l)" -lt "$2" ]; do
        kill -0 $pid 2>/dev/null || fail "it ended before it could be stopped: $(cat "$3.log")"
        sleep 0.02
    done
    kill -"$1" $pid
    code=0
    wait $pid 2>/dev/null || code=$?
}

# Killed without warning before its first checkpoint, and twice after it.
for frames in 4 15 42; do stop_at KILL $frames killed; done
"${run[@]}" --out killed >> killed.log 2>&1 || fail "it did not resume: $(cat killed.log)"
[ "$(grep -c 'going on from state.cpt' killed.log)" = 2 ] || fail "it did not go on from its checkpoint: $(cat killed.log)"
cmp calm/analysis.jsonl killed/analysis.jsonl || fail "the killed run measured other numbers"
cmp calm/traj_comp.xtc killed/traj_comp.xtc || fail "the killed run went another way"
[ "$(jq -r '.restarts' killed/done.json)" = 3 ] || fail "done.json does not tell of 3 restarts: $(cat killed/done.json)"
echo "ok: a run killed three times left the same trajectory and measurements, byte for byte"

# Told to stop: mdrun leaves a checkpoint where it is, and every published frame stays one of the trajectory.
stop_at TERM 15 stopped
[ $code = 143 ] || fail "SIGTERM made it exit with $code: $(cat stopped.log)"
[ -s stopped/state.cpt ] || fail "SIGTERM left no checkpoint"
"${run[@]}" --out stopped >> stopped.log 2>&1 || fail "it did not resume: $(cat stopped.log)"
/usr/bin/python3 "$here/check_membrane.py" in stopped 60 2> check.err || fail "$(cat check.err)"
echo "ok: a run told to stop went on where it was"
