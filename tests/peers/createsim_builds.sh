#!/usr/bin/env bash
# membrane-createsim makes simulations that GROMACS runs: of a RAS and of a lipid-only patch made by numpy, then 1,000 steps
# at 20 fs of each; a second run finds them finished; SIGTERM ends it and its gmx; what can't be built is refused.
# Usage: createsim_builds.sh [BUILD]   BUILD: the build folder, default $STRATA_BUILD or build
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=$(realpath "${1:-${STRATA_BUILD:-build}}")/bin/membrane-createsim
[ -x "$program" ] || { echo "createsim_builds: no $program; build it with: make $program" >&2; exit 1; }
command -v gmx >/dev/null || { echo "createsim_builds: skipped, GROMACS is not installed"; exit 77; }
work=$(mktemp -d)
child=
trap '[ -z "$child" ] || kill -9 "$child" 2>/dev/null || true; rm -rf "$work"' EXIT
fail () { echo "createsim_builds: $*" >&2; exit 1; }

# expect CODE COMMAND...: runs it, output to $work/output
expect () {
    local want=$1 code=0
    shift
    "$@" >"$work/output" 2>&1 || code=$?
    [ "$code" -eq "$want" ] || { cat "$work/output" >&2; fail "exit code $code instead of $want: $*"; }
}

/usr/bin/python3 "$here/createsim_patches.py" make "$work"
for patch in ras lipids; do
    out=$work/$patch
    expect 0 "$program" --patch "$work/$patch.npz" --out "$out" --edge-nm 9 --threads 1 --seed 42
    cat "$work/output"
    /usr/bin/python3 "$here/createsim_patches.py" check "$out" 9
    [ ! -e "$out/work" ] || fail "$out/work was left behind"
    (cd "$out" && gmx grompp -f cg.mdp -c system.gro -p system.top -n index.ndx -o "$work/$patch.tpr" -po "$work/po.mdp" \
        && gmx mdrun -s "$work/$patch.tpr" -deffnm "$work/$patch-run" -ntmpi 1 -ntomp 1 -nsteps 1000) >"$work/output" 2>&1 \
        || { tail -n 30 "$work/output" >&2; fail "GROMACS can't run $patch"; }
    ! grep -q 'LINCS WARNING' "$work/output" || fail "$patch: LINCS warnings in production"
    /usr/bin/python3 "$here/createsim_patches.py" stable "$work/$patch-run.gro"
done

before=$(stat -c %Y.%i "$work/ras/sim.json")
expect 0 "$program" --patch "$work/ras.npz" --out "$work/ras" --edge-nm 9
grep -q 'already holds the finished simulation of patch test-ras' "$work/output" || fail "a second run did not say it is done"
[ "$before" = "$(stat -c %Y.%i "$work/ras/sim.json")" ] || fail "a second run wrote sim.json again"
expect 2 "$program" --patch "$work/lipids.npz" --out "$work/ras" --edge-nm 9

expect 3 "$program" --patch "$work/invalid.npz" --out "$work/none" --edge-nm 9
grep -q 'configuration is "invalid"' "$work/output" || fail "the reason is missing"
head -c 30000 "$work/ras.npz" >"$work/cut.npz"
expect 3 "$program" --patch "$work/cut.npz" --out "$work/none" --edge-nm 9
expect 4 "$program" --patch "$work/ras.npz" --out "$work/none" --edge-nm 9 --gmx no-such-gmx

# a gmx whose mdrun of stage "warm" fails: once, then always
cat >"$work/gmx" <<END
#!/bin/sh
case "\$*" in "mdrun -deffnm work/warm "*) [ -e "$work/failed" ] || { touch "$work/failed"; exec gmx mdrun -s nothing-there; } ;; esac
exec gmx "\$@"
END
chmod +x "$work/gmx"
expect 0 "$program" --patch "$work/lipids.npz" --out "$work/retried" --edge-nm 4 --gmx "$work/gmx"
grep -q 'stage warm: gmx mdrun failed.*once more, carefully' "$work/output" || fail "a failed stage was not reported"
grep -q '"attempt": 2' "$work/retried/sim.json" || fail "the second attempt is not in sim.json"
sed -i 's/; touch [^;]*//; s/{ touch [^;]*;/{/' "$work/gmx"
rm "$work/failed"
expect 3 "$program" --patch "$work/lipids.npz" --out "$work/none" --edge-nm 4 --gmx "$work/gmx"
grep -q "patch test-lipids: stage warm: gmx mdrun failed.*File 'nothing-there' does not exist" "$work/output" \
    || fail "the last error does not name stage and reason"

"$program" --patch "$work/lipids.npz" --out "$work/stopped" --edge-nm 9 >"$work/progress" 2>&1 &
child=$!
for ((i = 0; i < 400; i++)); do # until the first stage is over and the next one's gmx runs
    gmx_pid=
    if grep -q '^createsim: minimise' "$work/progress"; then gmx_pid=$(pgrep -P "$child" || true); fi
    [ -z "$gmx_pid" ] || break
    sleep 0.05
done
[ -n "$gmx_pid" ] || fail "no gmx child was seen"
kill -TERM "$child"
code=0
wait "$child" || code=$?
child=
[ "$code" -eq 143 ] || fail "exit code $code after SIGTERM"
! kill -0 "$gmx_pid" 2>/dev/null || fail "gmx outlived SIGTERM"
[ ! -e "$work/stopped/sim.json" ] || fail "sim.json of a stopped build"
echo "createsim_builds: ok"
