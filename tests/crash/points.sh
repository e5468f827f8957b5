#!/usr/bin/env bash
# Nothing is lost and nothing runs twice when a process dies exactly between a batch and its messages, between a launch and
# its record, between a file and its place: the places that tell most. `make crash-points` takes all of them, one by one.
set -uo pipefail
cd "$(dirname "$0")/../.."
build=${STRATA_BUILD:-$PWD/build}
MAKEFLAGS='' make -s -j"$(nproc)" all SAN="${SAN:-}" CRASH_POINTS=1 BUILD="${build#"$PWD"/}-points" || exit 1
export STRATA_BIN=$build-points/bin
exec /usr/bin/python3 tests/crash/points.py --short --seed "${SEED:-2026}" --keep "$build/points-failed"
