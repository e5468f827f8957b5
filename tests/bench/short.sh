#!/usr/bin/env bash
# A small run of every bench: each works here, and what comes out of the mesh is exactly what went in. Nothing is timed.
set -uo pipefail
cd "$(dirname "$0")/../.."
# Benches fork beside threads of libzmq's, which the search for leaks takes for its own and can't stop: "false leaks are possible".
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
exec /usr/bin/python3 tests/bench/run.py --build "${STRATA_BUILD:-build}" --short
