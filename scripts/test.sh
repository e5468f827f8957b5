#!/usr/bin/env bash
# Runs tests and says how each ended: scripts/test.sh BUILD [GROUP or GROUP/NAME ...]   (all groups by default)
#
#   unit      BUILD/tests/test_*        cmocka, pure cores and small pieces; some start a process of their own
#   fuzz      BUILD/fuzz/*              each parser on the inputs kept in tests/fuzz; new ones are made by `make fuzz`
#   mesh      tests/mesh/*.sh           real services, real kills
#   peers     tests/peers/*.sh          our files and numbers against other people's programs
#   campaign  tests/campaign/*.sh       the whole loop with GROMACS
#   crash     tests/crash/*.sh          a campaign of small programs under seeded faults
#   bench     tests/bench/*.sh          a small run of each bench: that it works, and that its results are exact
#
# A test is a program that exits 0, or 77 when something that it needs is not on this machine (skipped; its last line
# says what). Each has a time limit; its output is shown when it fails and kept in BUILD/test-log. A test also fails when
# a sanitizer (SAN=1) found something in any program that it started, whatever became of that program's output, and when
# it leaves a process behind. STRATA_SLOW=N multiplies all time limits; with SAN=1 it is 5, with SAN=thread 10.
set -uo pipefail
cd "$(dirname "$0")/.."

build=${1:?usage: scripts/test.sh BUILD [group ...]}
shift
groups=("$@")
[ ${#groups[@]} -gt 0 ] || groups=(unit fuzz mesh peers campaign crash bench)
case $build in /*) ;; *) build=$PWD/$build ;; esac
log=$build/test-log
export STRATA_BUILD=$build STRATA_BIN=$build/bin
export SAN=${SAN:-}
case $SAN in '') slow=1 ;; thread) slow=10 ;; *) slow=5 ;; esac
export STRATA_SLOW=${STRATA_SLOW:-$slow}
mkdir -p "$log"

passed=0 skipped=0 failed=0 failures=() times=()

# Reports go to files, one a process: a service's stderr may be a log that is deleted, or /dev/null.
# tests/leaks.txt: what libraries keep until the process ends; leaks of ours are still found.
sanitizers () { # NAME
    rm -f "$log/$1".sanitizer.*
    export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:log_path=$log/$1.sanitizer
    export LSAN_OPTIONS=suppressions=$PWD/tests/leaks.txt:print_suppressions=0
    export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:log_path=$log/$1.sanitizer
    export TSAN_OPTIONS=die_after_fork=0:suppressions=$PWD/tests/tsan.txt:print_suppressions=0:log_path=$log/$1.sanitizer
}

# Processes of a test carry its mark in their environment, daemons too.
left_behind () { grep -lzx -- "STRATA_TEST=$1" /proc/[0-9]*/environ 2> /dev/null | cut -d/ -f3; }

# The names of processes that a test left behind; they are killed. What is on its way out gets 2 s.
sweep () { # MARK
    local pids names i
    for i in 1 2 3 4 5 6 7 8 9 10; do
        pids=$(left_behind "$1")
        [ -n "$pids" ] || return 0
        sleep 0.2
    done
    names=$(for pid in $pids; do tr '\0' ' ' < "/proc/$pid/cmdline" 2> /dev/null | cut -c1-100; echo; done | grep .)
    while [ -n "$pids" ]; do
        kill -KILL $pids 2> /dev/null
        sleep 0.1
        pids=$(left_behind "$1")
    done
    echo "$names"
}

run () { # group name seconds command...
    [ -z "$only" ] || [ "$2" = "$only" ] || return 0
    local group=$1 name=$2 limit=$(($3 * STRATA_SLOW)) start=$SECONDS rc took why='' left mark=$$-$2 reports
    shift 3
    printf '%-9s %-34s ' "$group" "$name"
    sanitizers "$name"
    STRATA_TEST=$mark timeout --kill-after=30 "$limit" "$@" > "$log/$name.log" 2>&1 < /dev/null
    rc=$?
    took=$((SECONDS - start))
    left=$(sweep "$mark")
    reports=("$log/$name".sanitizer.*)
    case $rc in
    0 | 77) ;;
    124) why="still running after its limit of $limit s" ;;
    *) why="exit $rc" ;;
    esac
    [ -z "$left" ] || why="${why:+$why; }it left processes behind"
    [ ! -e "${reports[0]}" ] || why="${why:+$why; }a sanitizer found something"
    times+=("$took $group/$name")
    if [ -n "$why" ]; then
        failed=$((failed + 1))
        failures+=("$group/$name")
        printf 'FAILED  %4d s   %s\n' "$took" "$why"
        tail -n 60 "$log/$name.log" | sed 's/^/    | /'
        [ -z "$left" ] || sed 's/^/    | left behind: /' <<< "$left"
        [ ! -e "${reports[0]}" ] || cat "${reports[@]}" | head -n 120 | sed 's/^/    | /'
    elif [ $rc = 77 ]; then
        skipped=$((skipped + 1))
        printf 'skipped %4d s   %s\n' "$took" "$(grep -a . "$log/$name.log" | tail -n 1)"
    else
        passed=$((passed + 1))
        printf 'ok      %4d s   %s\n' "$took" "$(grep -aoE '^[0-9]+ inputs$|[0-9]* test\(s\)\.$' "$log/$name.log" | tail -n 1)"
    fi
}

for group in "${groups[@]}"; do
    only=${group#*/} group=${group%%/*}
    [ "$only" != "$group" ] || only=
    case $group in
    unit)
        MAKEFLAGS='' make -s -j"$(nproc)" tests-built SAN="$SAN" BUILD="${build#"$PWD"/}" || exit 1
        for t in tests/unit/test_*.c; do
            name=$(basename "$t" .c)
            run unit "$name" 300 "$build/tests/$name"
        done ;;
    fuzz)
        MAKEFLAGS='' make -s -j"$(nproc)" fuzzers-built SAN="$SAN" BUILD="${build#"$PWD"/}" || exit 1
        for t in tests/fuzz/fuzz_*.c; do
            t=${t##*/fuzz_} t=${t%.c}
            inputs=(tests/fuzz/corpus/"$t")
            [ -d "tests/fuzz/regressions/$t" ] && inputs+=(tests/fuzz/regressions/"$t")
            run fuzz "fuzz_$t" 60 "$build/fuzz/$t" "${inputs[@]}"
        done ;;
    mesh|peers|campaign|crash|bench)
        [ "$group" != bench ] || MAKEFLAGS='' make -s -j"$(nproc)" benches-built SAN="$SAN" BUILD="${build#"$PWD"/}" || exit 1
        for t in tests/"$group"/*.sh; do
            case $t in */lib.sh) continue ;; esac
            [ -e "$t" ] || continue
            run "$group" "$(basename "$t" .sh)" 840 bash "$t"
        done ;;
    *)
        echo "scripts/test.sh: no group '$group' (unit, fuzz, mesh, peers, campaign, crash, bench)" >&2
        exit 2 ;;
    esac
done

[ $failed = 0 ] || printf '\nfailed: %s\nwhole output: %s\n' "${failures[*]}" "$log"
printf '\n%d s; slowest: %s\n' $SECONDS "$(printf '%s\n' "${times[@]}" | sort -rn | head -n 5 | awk '{printf "%s%s %d s", sep, $2, $1; sep = ", "}')"
printf '%d passed, %d failed, %d skipped\n' $passed $failed $skipped
[ $failed = 0 ] && [ $passed -gt 0 ]
