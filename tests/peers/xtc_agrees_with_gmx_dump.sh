#!/usr/bin/env bash
# Every number that our XTC reader gives is the one that gmx dump prints: water boxes run by mdrun, at several
# precisions, of 3 (plain floats), 12 and 639 atoms, and one spread so wide that a coordinate takes more than 24 bits.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bin=${1:-${STRATA_BUILD:-$here/../../build}}/bin/membrane-cg
work=$(mktemp -d /tmp/strata-xtc-XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work"
export GMX_MAXBACKUP=-1

quiet () { "$@" >log 2>&1 || { tail -n 30 log >&2; echo "FAIL: $*" >&2; exit 1; }; }

cat > topol.top <<'TOP'
#include "oplsaa.ff/forcefield.itp"
#include "oplsaa.ff/spc.itp"
[ system ]
water
[ molecules ]
TOP
quiet gmx solvate -cs spc216.gro -box 1.9 1.9 1.9 -o all.gro
for molecules in 1 4 213; do
    atoms=$((3 * molecules))
    { echo water; echo $atoms; sed -n "3,$((2 + atoms))p" all.gro; echo "1.9 1.9 1.9"; } > part.gro
    { cat topol.top; echo "SOL $molecules"; } > part.top
    for precision in 10 1000 100000; do
        cat > run.mdp <<MDP
define = -DFLEXIBLE
integrator = md
dt = 0.0005
nsteps = 100
nstxout-compressed = 10
compressed-x-precision = $precision
coulombtype = reaction-field
rcoulomb = 0.8
rvdw = 0.8
MDP
        name=w$atoms-$precision
        quiet gmx grompp -f run.mdp -c part.gro -p part.top -o $name.tpr
        quiet gmx mdrun -s $name.tpr -deffnm $name -ntmpi 1 -ntomp 1 -pin off
    done
done
# 30 micrometres of empty space would not run; a converted structure does as well.
awk 'NR > 2 && NR < 642 { x = substr ($0, 21, 8); y = substr ($0, 29, 8); z = substr ($0, 37, 8)
         printf "%s%12.3f%12.3f%12.3f\n", substr ($0, 1, 20), x + (NR % 3) * 9000, y - (NR % 7) * 2500, z; next }
     NR == 642 { print "30000 30000 30000"; next } { print }' all.gro > far.gro
quiet gmx trjconv -ndec 3 -f far.gro -o far.xtc

count=0
for f in *.xtc; do
    gmx dump -f $f 2>/dev/null > theirs
    "$bin" --dump-xtc $f > ours
    [ -s theirs ] || { echo "FAIL: gmx dump printed nothing for $f" >&2; exit 1; }
    cmp theirs ours || { diff theirs ours | head -n 10 >&2; echo "FAIL: $f differs" >&2; exit 1; }
    count=$((count + $(grep -c '^ *x\[' ours)))
done
echo "ok: $count atoms of $(ls ./*.xtc | wc -l) trajectories are those of gmx dump, digit by digit"
