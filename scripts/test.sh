#!/usr/bin/env bash
# Runs tests and says how each ended: scripts/test.sh BUILD [unit|mesh|peers|campaign|crash ...]   (all groups by default)
#
#   unit      build/tests/test_*        cmocka, pure cores and small pieces; some start a process of their own
#   mesh      tests/mesh/*.sh           real services, real kills
#   peers     tests/peers/*.sh          our files and numbers against other people's programs
#   campaign  tests/campaign/*.sh       the whole loop with GROMACS
#   crash     tests/crash/*.sh          a campaign of small programs under seeded faults
# A test is a program that exits 0. Each has a time limit; its output is shown when it fails and kept in BUILD/test-log.
set -uo pipefail
cd "$(dirname "$0")/.."

build=${1:?usage: scripts/test.sh BUILD [group ...]}
shift
groups=("$@")
[ ${#groups[@]} -gt 0 ] || groups=(unit mesh peers campaign crash)
export STRATA_BUILD=$PWD/$build STRATA_BIN=$PWD/$build/bin
# RocksDB and OpenMP keep some memory until the process ends; leaks of ours are still found.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0} LSAN_OPTIONS=${LSAN_OPTIONS:-suppressions=$PWD/tests/leaks.txt:print_suppressions=0}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}

passed=0 failed=0 failures=()
log=$build/test-log
mkdir -p "$log"

run () { # group name seconds command...
    local group=$1 name=$2 limit=$3 start=$SECONDS rc
    shift 3
    printf '%-9s %-34s ' "$group" "$name"
    timeout --kill-after=10 "$limit" "$@" > "$log/$name.log" 2>&1 < /dev/null
    rc=$?
    if [ $rc = 0 ]; then
        passed=$((passed + 1))
        printf 'ok      %4d s   %s\n' $((SECONDS - start)) "$(grep -ao '[0-9]* test(s)\.$' "$log/$name.log" | tail -1)"
    else
        failed=$((failed + 1))
        failures+=("$group/$name")
        [ $rc = 124 ] && printf 'FAILED  %4d s   still running after its limit of %s s\n' $((SECONDS - start)) "$limit" \
            || printf 'FAILED  %4d s   exit %d\n' $((SECONDS - start)) $rc
        tail -n 60 "$log/$name.log" | sed 's/^/    | /'
    fi
}

for group in "${groups[@]}"; do
    case $group in
    unit)
        make --no-print-directory tests-built SAN="${SAN:-}" || exit 1
        for t in "$build"/tests/test_*; do
            case $t in *.d|*.o) continue ;; esac
            run unit "$(basename "$t")" 300 "$t"
        done ;;
    mesh|peers|campaign|crash)
        for t in tests/"$group"/*.sh; do
            case $t in */lib.sh) continue ;; esac
            [ -e "$t" ] || continue
            run "$group" "$(basename "$t" .sh)" 840 bash "$t"
        done ;;
    *)
        echo "scripts/test.sh: no group '$group' (unit, mesh, peers, campaign, crash)" >&2
        exit 2 ;;
    esac
done

[ $failed = 0 ] || printf '\nfailed: %s\nwhole output: %s\n' "${failures[*]}" "$log"
printf '\n%d passed, %d failed\n' $passed $failed
[ $failed = 0 ] && [ $passed -gt 0 ]
