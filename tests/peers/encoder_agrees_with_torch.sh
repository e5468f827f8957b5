#!/usr/bin/env bash
# The patch encoder's network against PyTorch: the plug-in's numbers are Python's, of the shipped model too; copies of a patch
# that are turned or mirrored stay beside it; models that don't do what they say are refused; training is reproducible, also when
# it was interrupted; a program without the plug-in says what is missing.
# Usage: encoder_agrees_with_torch.sh [BUILD]   BUILD: the build folder, default $STRATA_BUILD or build
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
build=$(realpath "${1:-${STRATA_BUILD:-build}}")
program=$build/bin/strata-patch
[ -x "$program" ] || { echo "encoder_agrees_with_torch: no $program; build it with: make all" >&2; exit 1; }
[ -e "$build/lib/strata/encoder-network.so" ] || { echo "encoder_agrees_with_torch: skipped, built without libtorch"; exit 77; }
/usr/bin/python3 -c 'import torch' 2>/dev/null || { echo "encoder_agrees_with_torch: skipped, python3-torch is not installed"; exit 77; }
export OMP_NUM_THREADS=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail () { echo "encoder_agrees_with_torch: $*" >&2; exit 1; }
network=$top/apps/membrane/encoder/model.pt

cut () { # FOLDER SEED OPTION...
    local out=$1 seed=$2
    shift 2
    for snapshot in "$work/macro$seed"/snapshot.*; do
        "$program" --cut "$snapshot" --out "$out" --simulation "macro$seed" --lipid-only 4 --distance-nm 8 "$@"
    done
}

for seed in 1 2; do
    "$build/bin/membrane-macro" --out "$work/macro$seed" --no-mesh --nx 144 --ras 4 --steps 60 --snapshot-every 30 --pace 0 --nice 0 \
        --seed "$seed" > "$work/log" || fail "membrane-macro: $(cat "$work/log")"
done

# ---- the same numbers ----
cut "$work/patches" 1 --kind network --encoder "$network" > "$work/points"
cut "$work/patches" 2 --kind network --encoder "$network" >> "$work/points"
/usr/bin/python3 "$here/encoder_torch.py" copies "$network" "$work/points" "$work/patches"

# ---- models that are no good ----
/usr/bin/python3 "$here/encoder_torch.py" spoil "$network" "$work/spoilt"
one=$work/macro1/snapshot.00000030
while IFS='|' read -r name says; do
    if "$program" --cut "$one" --out "$work/again" --lipid-only 0 --kind network --encoder "$work/spoilt/$name.pt" > "$work/out" 2>&1; then fail "the model '$name' was taken"; fi
    grep -qF -- "$says" "$work/out" || fail "of the model '$name' was not said '$says', but: $(cat "$work/out")"
    grep -qF -- "$work/spoilt/$name.pt" "$work/out" || [ "$name" = nan-later ] || fail "the model's name was not said: $(cat "$work/out")"
    echo "  refused: $name: $says"
done << 'CASES'
nan-weight|holds a number that is not finite
nan-point|gives a number that is not finite for the mean patch
nan-later|its component 0 is nan
no-shape|lacks the integers edge, lipids and dimensions
no-deviation|lacks deviation[14]
zero-deviation|deviation has to be above 0
more-numbers|says that it gives 9 numbers, but gives 10
throws|this network has no answer
CASES

# ---- without the plug-in ----
mkdir "$work/bin"
cp "$program" "$work/bin/"
if "$work/bin/strata-patch" --cut "$one" --out "$work/again" --kind network --encoder "$network" > "$work/out" 2>&1; then
    fail "a program without the plug-in took a network"
fi
grep -qF "patch.encoder.kind: network needs $work/lib/strata/encoder-network.so" "$work/out" || fail "without the plug-in: $(cat "$work/out")"
"$work/bin/strata-patch" --cut "$one" --out "$work/again" --encoder "$top/apps/membrane/encoder/pca.npz" > "$work/out" 2>&1 \
    || fail "without the plug-in PCA must work: $(cat "$work/out")"
echo "  without the plug-in: networks are refused, PCA works"

# ---- training, interrupted and not ----
for seed in 1 2; do
    cut "$work/small$seed" "$seed" --points 13 --coarse 7 > /dev/null
    cut "$work/wide" "$seed" --points 21 --coarse 11 > /dev/null
done
train () { # FOLDER
    /usr/bin/python3 "$top/scripts/train_encoder.py" --data "$work/small1" --validate "$work/small2" --wide "$work/wide" --out "$1" \
        --epochs 6 --batch 4 --dimensions 5 --seed 7
}
train "$work/whole" > "$work/out" 2>&1 || fail "training: $(cat "$work/out")"
mkfifo "$work/pipe"
train "$work/broken" > "$work/pipe" 2> "$work/err" &
child=$!
while IFS= read -r line; do
    case $line in 'epoch 2/6'*) pkill -INT -P "$child" || kill -INT "$child" ;; esac
done < "$work/pipe"
wait "$child" && fail "training was not stopped by Ctrl-C"
[ ! -e "$work/broken/model.pt" ] || fail "an interrupted training wrote a model"
train "$work/broken" > "$work/out" 2>&1 || fail "training again: $(cat "$work/out")"
grep -q '^goes on after epoch' "$work/out" || fail "training began anew: $(cat "$work/out")"
cmp "$work/whole/model.pt" "$work/broken/model.pt" || fail "an interrupted training gave another model"
for file in report.md loss.png embedding.png; do [ -s "$work/whole/$file" ] || fail "no $file was written"; done
cut "$work/small3" 1 --points 13 --coarse 7 --kind network --encoder "$work/whole/model.pt" --dimensions 5 > "$work/points"
/usr/bin/python3 "$here/encoder_torch.py" compare "$work/whole/model.pt" "$work/points" "$work/small3"
if /usr/bin/python3 "$top/scripts/train_encoder.py" --data "$work/small2" --validate "$work/small1" --out "$work/whole" > "$work/out" 2>&1; then
    fail "a checkpoint of other data was gone on with"
fi
grep -q 'is of another data' "$work/out" || fail "of a checkpoint of other data was said: $(cat "$work/out")"
echo "  training: the same file when it was interrupted; a checkpoint of other data is refused"
