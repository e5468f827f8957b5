#!/usr/bin/env bash
# numpy reads our .npz archives without pickle; we read numpy's, stored and compressed, and refuse its pickled members.
# Usage: numpy_reads_npz.sh [BUILD]   BUILD: the build folder, default $STRATA_BUILD or build
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tool=${1:-${STRATA_BUILD:-build}}/tests/test_npz
[ -x "$tool" ] || { echo "numpy_reads_npz: no $tool; build it with: make $tool" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$tool" write "$work/ours.npz"
/usr/bin/python3 "$here/numpy_reads_npz.py" check "$work/ours.npz"
/usr/bin/python3 "$here/numpy_reads_npz.py" make "$work/stored.npz" "$work/deflated.npz"
"$tool" read "$work/stored.npz"
"$tool" read "$work/deflated.npz"
echo "numpy_reads_npz: ok"
