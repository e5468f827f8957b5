#!/usr/bin/env bash
# Makes an encoder's model anew from runs of the continuum model: pca.npz, or model.pt with its report.
#   apps/membrane/encoder/train.sh pca|network|measure [FOLDER]     BUILD=build: where the programs are
# FOLDER keeps patches and training, so that the same command goes on where it was (default: a temporary one that is removed).
# measure compares both on runs that neither has seen, and prints the tables of README.md.
# One minute of one core a run (8 for pca, 6 for network, 5 for measure), and 5 minutes for the network.
set -euo pipefail
case ${1:--h} in
pca | network | measure) ;;
*) sed -n '2,6s/^# \{0,1\}//p' "$0"; [ "${1:--h}" = -h ] || [ "$1" = --help ]; exit ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
folder=${2:-}
if [ -z "$folder" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
fi

# Seed and number of RAS: crowded membranes too, so that the model has seen patches with neighbours.
make_patches () { "$here/patches.sh" "$folder" "$@"; }
each () { local kind=$1 run; shift; for run; do echo "$folder/${run%:*}/$kind"; done; }

case $1 in
pca)
    runs=(1:12 2:12 3:12 4:12 5:24 6:24 7:40 8:40)
    make_patches "${runs[@]}"
    mapfile -t data < <(each patches "${runs[@]}")
    "$top/scripts/train_pca.py" --dimensions 9 --out "$here/pca.npz" "${data[@]}" ;;
network)
    runs=(1:12 2:12 5:24 7:40 8:40) held=4:12
    make_patches "${runs[@]}" "$held"
    mapfile -t data < <(each patches "${runs[@]}")
    mapfile -t wide < <(each wide "${runs[@]}" "$held")
    "$top/scripts/train_encoder.py" --data "${data[@]}" --wide "${wide[@]}" --validate "$(each patches "$held")" \
        --epochs 25 --out "$folder/network"
    cp "$folder"/network/{model.pt,report.md,loss.png,embedding.png} "$here" ;;
measure)
    runs=(101:24 102:24 103:24 104:24 105:24)
    make_patches "${runs[@]}"
    mapfile -t pools < <(each patches "${runs[@]}")
    "$top/scripts/measure_encoder.py" --network "$here/model.pt" --pca "$here/pca.npz" "${pools[@]}" ;;
esac
