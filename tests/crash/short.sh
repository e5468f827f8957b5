#!/usr/bin/env bash
# Nothing is lost and nothing runs twice under 60 faults: kills of services, jobs, shepherds, the supervisor and everything,
# stopped processes, full disks. `make crash` does the same with a thousand, and with longer faults.
set -uo pipefail
cd "$(dirname "$0")/../.."
build=${STRATA_BUILD:-$PWD/build}
export STRATA_BIN=$build/bin
[ -x "$STRATA_BIN/crash-load" ] || { echo "$STRATA_BIN/crash-load is missing: make all"; exit 1; }
exec /usr/bin/python3 tests/crash/killer.py --faults 60 --seed "${SEED:-2026}" --overlap 1.6 --short --keep "$build/crash-failed" --verbose
