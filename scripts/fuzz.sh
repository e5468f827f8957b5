#!/usr/bin/env bash
# Makes up inputs for the parsers of bytes from outside: scripts/fuzz.sh [target ...]   (all of tests/fuzz/fuzz_*.c)
#
# libFuzzer with AddressSanitizer and UndefinedBehaviorSanitizer, FUZZ_SECONDS (60) for each target, FUZZ_JOBS (2) at
# once. It begins with tests/fuzz/corpus/<target> and what earlier runs found (build-fuzz/found/<target>). An input that
# breaks a promise stays in build-fuzz/broken/<target>; mend the parser and put it into tests/fuzz/regressions/<target>,
# which `make test` feeds. An input that takes more than 10 s or 1 GiB counts as broken.
set -uo pipefail
cd "$(dirname "$0")/.."

say () { printf 'fuzz: %s\n' "$*"; }
die () { printf 'fuzz: %s\n' "$*" >&2; exit 1; }

seconds=${FUZZ_SECONDS:-60} jobs=${FUZZ_JOBS:-2} build=build-fuzz
[[ $seconds =~ ^[1-9][0-9]*$ && $jobs =~ ^[1-9][0-9]*$ ]] || die "FUZZ_SECONDS and FUZZ_JOBS are whole numbers from 1"
missing=()
for p in clang libclang-rt-14-dev libomp-dev; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
done
[ ${#missing[@]} = 0 ] || die "Debian packages are missing (${missing[*]}); apt-get install them"

targets=("$@")
if [ ${#targets[@]} = 0 ]; then
    for f in tests/fuzz/fuzz_*.c; do
        f=${f##*/fuzz_}
        targets+=("${f%.c}")
    done
fi
for t in "${targets[@]}"; do
    [ -e "tests/fuzz/fuzz_$t.c" ] || die "no target '$t'; see tests/fuzz/fuzz_*.c"
done
make --no-print-directory FUZZ=1 "${targets[@]/#/$build/fuzz/}" || exit 1

# The parsers make files of their input: in memory, not on disk.
FUZZ_TMP=$(mktemp -d "$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)/strata-fuzz.XXXXXX")
export FUZZ_TMP OMP_NUM_THREADS=1
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export LSAN_OPTIONS=suppressions=$PWD/tests/leaks.txt:print_suppressions=0
trap 'rm -rf "$FUZZ_TMP"' EXIT
trap 'exit 130' INT TERM

one () { # target seconds build
    local t=$1 length=8192 begin
    case $t in
        rdf|forcefield) length=32768 ;;
    esac
    mkdir -p "$3/found/$t" "$3/broken/$t" "$3/fuzz-log"
    local dict=() seeds=(tests/fuzz/corpus/"$t")
    [ -e "tests/fuzz/dict/$t" ] && dict=(-dict=tests/fuzz/dict/"$t")
    [ -d "tests/fuzz/regressions/$t" ] && seeds+=(tests/fuzz/regressions/"$t")
    "$3/fuzz/$t" -max_total_time="$2" -timeout=10 -rss_limit_mb=1024 -max_len=$length -print_final_stats=1 \
        -use_value_profile=1 -artifact_prefix="$3/broken/$t/" "${dict[@]}" "$3/found/$t" "${seeds[@]}" \
        > "$3/fuzz-log/$t.log" 2>&1 < /dev/null
    local rc=$? log=$3/fuzz-log/$t.log
    printf '%-12s %-7s %9s inputs  %7s a second  %6s edges of code\n' "$t" "$([ $rc = 0 ] && echo ok || echo BROKEN)" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
        "$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")" \
        "$(grep -o 'cov: [0-9]*' "$log" | tail -n 1 | cut -c 6-)"
    if [ $rc != 0 ]; then
        grep -m 3 -aE 'does not hold|ERROR: |runtime error|SUMMARY|Test unit written' "$log" | sed 's/^/    | /'
        printf '    | all of it: %s\n' "$log"
    fi
    return $rc
}
export -f one

say "${#targets[@]} targets, $seconds s each, $jobs at once"
printf '%s\n' "${targets[@]}" | xargs -P "$jobs" -I{} bash -c 'one {} '"$seconds $build"
[ "${PIPESTATUS[1]}" = 0 ] || die "a parser broke a promise; the inputs are in $build/broken"
say "no promise was broken"
