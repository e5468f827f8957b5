#!/usr/bin/env bash
# Makes pca.npz anew: runs the continuum model of several seeds, cuts its snapshots, trains on the patches.
# Usage: apps/membrane/encoder/train.sh [BUILD] [OUT]   defaults: build, apps/membrane/encoder/pca.npz; about 6 minutes
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
build=${1:-$top/build}
out=${2:-$here/pca.npz}
macro=$build/bin/membrane-macro
patch=$build/bin/strata-patch
for program in "$macro" "$patch"; do
    [ -x "$program" ] || { echo "train.sh: no $program; build it with: make all" >&2; exit 1; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Seed and number of RAS: crowded membranes too, so that the model has seen patches with neighbours.
for run in "1 12" "2 12" "3 12" "4 12" "5 24" "6 24" "7 40" "8 40"; do
    read -r seed ras <<< "$run"
    "$macro" --out "$work/macro" --no-mesh --preset quick --seed "$seed" --ras "$ras" --threads 1 --pace 0 --max-snapshots 8
    for snapshot in "$work"/macro/snapshot.*; do
        "$patch" --cut "$snapshot" --out "$work/patches" --simulation "macro$seed" --seed "$seed" --lipid-only 6 | tail -n 1
    done
    rm -rf "$work/macro"
done
/usr/bin/python3 "$top/scripts/train_pca.py" --dimensions 9 --out "$out" "$work/patches"
