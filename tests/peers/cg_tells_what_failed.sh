#!/usr/bin/env bash
# membrane-cg ends with the right exit code and one sentence that tells what is wrong, whatever GROMACS or its input do.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "${1:-${STRATA_BUILD:-$here/../../build}}" && pwd)/bin/membrane-cg
work=$(mktemp -d /tmp/strata-cg-XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work"
fail () { echo "FAIL: $*" >&2; exit 1; }
count=0

# expect CODE 'text in the message' command...
expect () {
    local code=0 want=$1 says=$2
    shift 2
    "$@" > out.log 2> err.log || code=$?
    [ $code = "$want" ] || fail "exit code $code where $want is expected: $* ($(cat out.log err.log))"
    grep -q -- "$says" err.log out.log || fail "'$says' is not said: $* ($(cat err.log))"
    count=$((count + 1))
}
run () { "$bin" --in "$1" --out "$2" --simulation s --time-ns 0.02 --frame-ps 5 --no-mesh "${@:3}"; }

/usr/bin/python3 "$here/make_membrane.py" good
/usr/bin/python3 "$here/make_membrane.py" hot --clash
/usr/bin/python3 "$here/make_membrane.py" lipids --no-protein

expect 2 'is missing' "$bin" --out x
expect 2 'not within' run good x --threads 0
expect 2 '1..200' "$bin" --in good --out x --simulation ../x
expect 0 'Usage' "$bin" --help
expect 1 'cannot find this folder' run nowhere x
expect 4 "no 'gmx' on the PATH" env PATH=/nonexistent "$bin" --in good --out x --simulation s --no-mesh
cp -r good topless; echo 'NOSUCH 3' >> topless/system.top
expect 3 'No such moleculetype NOSUCH' run topless y
cp -r good short; head -n 500 good/system.gro > short/system.gro
expect 3 'grompp failed' run short z
cp -r good warned; echo 'tau-p = 0.02' >> warned/cg.mdp
expect 3 'tau-p' run warned w
expect 3 'mdrun failed at 0.000 ns: the simulation blew up' run hot hot-out
expect 0 'done: s, 4 frames' run lipids lipids-out
[ ! -e lipids-out/analysis.jsonl ] || fail "a membrane without a protein was measured"
expect 0 'done: s, 4 frames' run good good-out
expect 0 'done already' run good good-out
rm good-out/done.json
expect 0 'done: s, 4 frames' run good good-out
expect 1 'is not a whole number' run good good-out2 --frame-ps 3
rm good-out/done.json
expect 1 'was begun with' run good good-out --frame-ps 10
# Two at once: the second waits for the first's lock and gives up.
flock --no-fork good-out/.lock sleep 15 &
sleep 0.3
expect 1 'is at work' run good good-out
kill $! 2>/dev/null || true
echo "ok: $count ends told apart"
