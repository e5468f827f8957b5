#!/bin/bash
# Every way in which an attempt of a job can end, shown with real processes under strata-shepherd.
# usage: tests/mesh/shepherd.sh [BUILD FOLDER]
set -u
build=$(cd "${1:-${STRATA_BUILD:-build}}" && pwd) || exit 2
shepherd=$build/bin/strata-shepherd
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
count=0

check () {  # sentence, then a command that must be true
    local sentence=$1
    shift
    count=$((count + 1))
    if "$@"; then
        echo "ok $count - $sentence"
    else
        echo "not ok $count - $sentence"
        failed=1
        [ -f "$dir/attempt-1/outcome.json" ] && sed 's/^/  # /' "$dir/attempt-1/outcome.json"
    fi
}

until_true () {  # seconds, command: waits for a condition, never for time
    local limit=$(($(date +%s%N) + $1 * 1000000000))
    shift
    until "$@"; do
        [ "$(date +%s%N)" -lt "$limit" ] || return 1
        sleep 0.02
    done
}

fresh () {  # a job's folder
    dir=$work/$1
    mkdir -p "$dir"
}

is () {  # key, value in outcome.json
    jq_value=$(/usr/bin/python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' \
        "$dir/attempt-1/outcome.json" "$1") && [ "$jq_value" = "$2" ]
}

ended () { is end "$1" && is code "$2"; }
has () { is_text=$(cat "$dir/attempt-1/outcome.json") && [[ $is_text == *"$1"* ]]; }
gone () { ! kill -0 "$1" 2>/dev/null; }
all_gone () { local p; for p in "$@"; do gone "$p" || return 1; done; }
run () { timeout 60 "$shepherd" --dir "$dir" --attempt 1 "$@" 2>"$dir/log"; }

fresh zero
run -- sh -c 'echo out; echo err >&2; echo "$STRATA_JOB $STRATA_ATTEMPT" > said'
check "a command that ends with 0 is told as exit 0" ended exit 0
check "its stdout and stderr stand in the attempt's folder" \
    [ "$(cat "$dir/attempt-1/stdout" "$dir/attempt-1/stderr" | tr '\n' ' ')" = "out err " ]
check "it runs in the job's folder and is told its job and attempt" [ "$(cat "$dir/said")" = "zero 1" ]

fresh three
run -- sh -c 'for i in $(seq 30); do echo "line $i" >&2; done; exit 3'
check "exit code 3 is told as exit 3" ended exit 3
check "the last 20 lines of stderr are kept" has 'line 11\nline 12'
check "earlier lines of stderr are not" eval '! has "line 10"'

fresh segv
run -- sh -c 'kill -SEGV $$'
check "a crash is told as signal 11" ended signal 11

fresh walltime
run --walltime 1 --grace 1 -- sleep 100
check "a job still running at its walltime is ended" ended walltime 0

fresh stubborn
run --walltime 1 --grace 1 -- sh -c 'trap "" TERM; while :; do sleep 100; done'
check "one that ignores SIGTERM is killed after its grace" ended walltime 0
check "and the outcome says so" has "by SIGKILL, 1 s after SIGTERM"

fresh memory
run --memory-mb 60 -- /usr/bin/python3 -c 'import time; x = bytearray (200 << 20); time.sleep (100)'
check "a job over its memory limit is ended for it" ended memory 0
check "and how much it used is told" has "where 60 are allowed"

fresh output
run --output-mb 2 -- sh -c 'yes & yes >&2'
check "a job that writes without end is ended for it" ended output 0

fresh little_output
run --output-mb 2 -- sh -c 'head -c 1500000 /dev/zero; sleep 0.6'
check "one that stays below its limit is not" ended exit 0

fresh tree_memory
run --memory-mb 60 -- sh -c '/usr/bin/python3 -c "import time; x = bytearray (200 << 20); time.sleep (100)" & wait'
check "the memory of its children counts too" ended memory 0

fresh nothing
run -- /no/such/program
check "a program that is not there is told as no-start with errno 2" ended no-start 2
check "and by its name" has "/no/such/program"

fresh missing
run --success done.json -- true
check "exit 0 without the file it must write is told as no-output" ended no-output 0
check "and by the file's name" has "done.json is missing"

fresh empty
run --success done.json -- touch done.json
check "an empty file is no output either" has "done.json is empty"

fresh written
run --success done.json -- sh -c 'echo x > done.json'
check "with the file it is a success" ended exit 0

fresh cancel
# A tree in sessions of its own that ignores SIGTERM: sh -> setsid sh -> sleep, all deaf.
run --grace 1 -- sh -c 'trap "" TERM; echo $$ >> pids
    setsid sh -c "trap \"\" TERM; echo \$\$ >> pids; sleep 1000 & echo \$! >> pids; wait" &
    (setsid sleep 1000 & echo $! >> pids); while :; do sleep 1000 & echo $! >> pids; wait; done' &
until_true 20 eval '[ "$(cat "$dir/pids" 2>/dev/null | wc -l || echo 0)" -ge 5 ]'
kill -TERM "$(cat "$dir/attempt-1/lock")"
wait
check "a cancelled job is told as stopped" ended stopped 0
check "nothing is left of a tree that ignores SIGTERM and makes its own sessions" all_gone $(cat "$dir/pids")

fresh leftover
run --grace 1 -- sh -c 'setsid sleep 1000 & echo $! > pids'
check "a command that leaves a process behind still ends with 0" ended exit 0
check "what it left behind is ended" all_gone $(cat "$dir/pids")

fresh lost
run -- sh -c 'echo $$ > pids; while :; do sleep 0.1; done' &
until_true 20 test -s "$dir/pids"
kill -KILL "$(cat "$dir/attempt-1/lock")"
check "when the shepherd is killed, its job dies" until_true 20 all_gone $(cat "$dir/pids")
check "its lock is free" until_true 20 flock -n "$dir/attempt-1/lock" true
check "and there is no outcome: it is lost" [ ! -e "$dir/attempt-1/outcome.json" ]
run -- true
check "a lost attempt is refused when it is started again" [ $? -eq 75 ]

fresh twice
run -- sh -c 'echo x >> ran; while [ ! -e go ]; do sleep 0.05; done' &
until_true 20 test -s "$dir/ran"
run -- sh -c 'echo x >> ran'
check "a second shepherd for a running attempt refuses" [ $? -eq 75 ]
touch "$dir/go"
wait
run -- sh -c 'echo x >> ran'
check "and for one that has ended" [ $? -eq 75 ]
check "the command ran once" [ "$(wc -l < "$dir/ran")" -eq 1 ]

fresh race
for _ in 1 2 3 4 5 6 7 8; do
    run -- sh -c 'echo x >> ran; sleep 0.2' &
done
wait
check "of eight shepherds at the same time one runs the command" [ "$(wc -l < "$dir/ran")" -eq 1 ]

fresh cores
core=$(taskset -cp $$ | sed 's/.*[ ,-]//')
run --cores "$core" -- grep Cpus_allowed_list /proc/self/status
check "a job is bound to its cores" [ "$(awk '{print $2}' "$dir/attempt-1/stdout")" = "$core" ]

fresh nocore
run --cores 9999 -- true
check "cores that the machine doesn't have are told as no-start" is end no-start

fresh full
mkdir "$dir/attempt-1" && mkdir "$dir/attempt-1/lock"
run -- true
check "a lock that can't be opened is refused with its path" grep -q "attempt-1/lock can't be opened" "$dir/log"

"$shepherd" --dir "$work" --attempt 0 -- true 2>/dev/null
check "a wrong argument ends with exit code 2" [ $? -eq 2 ]

# ---- in a cgroup of its own, where one may be made ----
root=/sys/fs/cgroup/unified
[ -e "$root/cgroup.procs" ] || root=/sys/fs/cgroup
STRATA_CGROUP=$root/strata-test-$$
if [ -e "$root/cgroup.procs" ] && mkdir "$STRATA_CGROUP" 2> /dev/null; then
    export STRATA_CGROUP
    trap 'rm -rf "$work"; rmdir "$STRATA_CGROUP"' EXIT
    none_left () { [ -z "$(find "$STRATA_CGROUP" -mindepth 1 -type d)" ]; }
    fresh grouped
    run -- sh -c 'grep ^0:: /proc/self/cgroup > said'
    check "a job runs in a cgroup of its own" grep -q "/strata-test-$$/strata-[0-9]*$" "$dir/said"
    check "which is gone when it has ended" none_left
    fresh grouped-none
    run -- /no/such/program
    check "a command that can't be started is told from there, too" ended no-start 2
    fresh grouped-tree
    run --grace 1 -- sh -c 'trap "" TERM; (setsid env -i sh -c "trap : TERM; while :; do sleep 1000; done" & echo $! >> pids); echo $$ >> pids; while :; do sleep 1000; done' &
    until_true 20 eval '[ "$(cat "$dir/pids" 2>/dev/null | wc -l || echo 0)" -ge 2 ]'
    kill -TERM "$(head -n 1 "$dir/attempt-1/lock")"
    wait
    check "a tree that ignores SIGTERM is told as stopped" ended stopped 0
    check "and nothing of it is left" all_gone $(cat "$dir/pids")
    check "its cgroup is gone" none_left
    if grep -qw memory "$STRATA_CGROUP/cgroup.controllers"; then
        fresh grouped-memory
        run --memory-mb 30 -- sh -c 'x=$(head -c 90000000 /dev/zero | tr "\0" x); sleep 1000'
        check "the kernel keeps the limit of its memory" is end memory
        check "and its reason says so" has "killed by the kernel"
    else
        echo "# the limit of a cgroup's memory: SKIPPED, there is no memory controller in cgroup version 2 here"
    fi
else
    echo "# cgroups: SKIPPED, none may be made below $root"
fi

echo "1..$count"
exit $failed
