#!/usr/bin/env bash
# Patches of the continuum model, to train an encoder on or to measure one with.
#   apps/membrane/encoder/patches.sh OUT SEED:RAS ...     BUILD=build: where the programs are; SNAPSHOTS=8 of each run
# OUT/SEED/patches: as a campaign cuts them, 37 x 37. OUT/SEED/wide: the same patches cut 45 x 45, so that 37 x 37 of them
# can be shifted by up to 4 points. A run of the model that is whole is not made again. About 1 minute a run on one core.
set -euo pipefail
case ${1:--h} in -h | --help) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
top=$(cd "$(dirname "$0")/../../.." && pwd)
build=${BUILD:-$top/build} snapshots=${SNAPSHOTS:-8} out=$1
shift
for program in membrane-macro strata-patch; do
    [ -x "$build/bin/$program" ] || { echo "patches.sh: no $build/bin/$program; build it with: make all" >&2; exit 1; }
done
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

cut () { # SNAPSHOT SEED FOLDER EDGE
    "$build/bin/strata-patch" --cut "$1" --out "$work/$3" --simulation "macro$2" --seed "$2" --lipid-only 6 \
        --points $((2 * $4 - 1)) --coarse "$4" | tail -n 1
}

for run; do
    seed=${run%:*} ras=${run#*:}
    [ ! -e "$out/$seed" ] || continue
    echo "seed $seed, $ras RAS: $snapshots snapshots"
    rm -rf "${work:?}"/*
    "$build/bin/membrane-macro" --out "$work/macro" --no-mesh --preset quick --seed "$seed" --ras "$ras" --threads 1 --pace 0 --nice 0 \
        --max-snapshots "$snapshots" > "$work/log" 2>&1 || { tail "$work/log" >&2; exit 1; }
    for snapshot in "$work"/macro/snapshot.*; do
        cut "$snapshot" "$seed" patches 37
        cut "$snapshot" "$seed" wide 45 > /dev/null
    done
    mkdir "$out/.$seed"
    mv "$work/patches" "$work/wide" "$out/.$seed"
    mv "$out/.$seed" "$out/$seed"
done
