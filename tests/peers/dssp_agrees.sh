#!/usr/bin/env bash
# membrane-dssp gives every residue the letter that mkdssp gives it, over the real proteins that Debian's packages have for tests.
# Usage: dssp_agrees.sh [BUILD]   BUILD: the build folder, default $STRATA_BUILD or build
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=${1:-${STRATA_BUILD:-build}}/bin/membrane-dssp
command -v mkdssp >/dev/null || { echo "dssp_agrees: skipped: mkdssp is not installed (make deps-tests)"; exit 77; }

# 1tii has a HETATM water in the middle of a chain's sequence: mkdssp refuses it.
mapfile -t files < <(find /usr/share/freesasa/test-data /usr/share/pymol/data/demo /usr/share/pymol/data/tut /usr/share/pymol/test/dat/3al1.pdb \
    /usr/share/doc/mustang-testdata/examples/pdbs -name '*.pdb' ! -name 1tii.pdb | sort)
/usr/bin/python3 "$here/dssp_agrees.py" "$program" "${files[@]}"
