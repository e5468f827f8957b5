#!/usr/bin/env bash
# A consumer that stands still costs the producer disk, not memory; at a stream's bound the producer waits, and goes on when
# there is room again. In both cases every record then arrives, once and in order.
# STRATA_BACKPRESSURE=records: the long version (3000000 at 100,000 a second are 30 s and 3 GB).
set -uo pipefail
cd "$(dirname "$0")/../.."
build=${STRATA_BUILD:-build}
MAKEFLAGS='' make -s benches-built SAN="${SAN:-}" BUILD="${build#"$PWD"/}" || exit 1
records=${STRATA_BACKPRESSURE:-150000}
# AddressSanitizer keeps 256 MB of what was freed away from use, to find uses of it: that would be taken for memory that grows.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=8

run () { # TEXT ARGUMENT...
    echo "$1"
    shift
    "$build/bench/bench_backpressure" "$@" | sed 's/^/  /' || { echo "FAILED"; exit 1; }
}
run "$records records of 1 KB to a stopped consumer" --records "$records"
run "a bound of 32 MiB, and twice as much to keep" --records 65536 --bound 32
echo "passed"
