#!/usr/bin/env bash
# `strata cp -r` between folders, archives and namespaces, over two stages on the tar and the redis backend: broken off and
# begun again; a Redis server killed meanwhile; what can't be copied is told; the audit reads every byte.
. "$(dirname "$0")/lib.sh"

redis=() # servers' pids
end_redis () { [ ${#redis[@]} = 0 ] || kill "${redis[@]}" 2> /dev/null; [ ${#redis[@]} = 0 ] || wait "${redis[@]}" 2> /dev/null; redis=(); }
trap 'end_redis; clean_up' EXIT
redis_start () { # N
    mkdir -p "$work/redis-$1"
    redis-server --port 0 --unixsocket "$work/redis-$1.sock" --dir "$work/redis-$1" --appendonly yes --appendfsync always --save '' \
        > "$work/redis-$1.out" 2>&1 &
    redis[$1]=$!
    until_true 20 "redis server $1 answers" redis-cli -s "$work/redis-$1.sock" ping
}

/usr/bin/python3 - "$work/in" <<'END'
import os, random, sys
r = random.Random(5)
for i in range(600):
    p = os.path.join(sys.argv[1], f'run-{i % 40}', f'frame-{i}')
    os.makedirs(os.path.dirname(p), exist_ok=True)
    with open(p, 'wb') as f:
        f.write(r.randbytes(r.choice([0, 1, 500, 20000, 70000])))
END

copy () { # EXPRESSION FROM TO
    "$bin/strata" cp -r --json "$2" "$3" > "$work/copy" 2> "$work/copy.err" || true
    json "$1" < "$work/copy" | grep -q True || { cat "$work/copy" "$work/copy.err"; fail "cp -r $2 $3: not $1"; }
}
same () { diff -r "$work/in" "$1" > "$work/diff" || { head "$work/diff"; fail "$1 is another copy"; }; }

for backend in tar redis; do
    if [ $backend = redis ]; then
        if ! command -v redis-server > "$work/which"; then echo "  skipped: redis-server is not installed"; break; fi
        redis_start 0
        redis_start 1
    fi
    mkdir -p "$workspace/redis"
    for n in "${!redis[@]}"; do echo "$work/redis-$n.sock" > "$workspace/redis/r$n"; done
    make_small_campaign -e "s/backend: file/backend: $backend/" -e 's/^replicas:.*/replicas: {stage: 2}/' -e '/^jobs:/,$d'
    cat >> "$campaign" <<'END'
jobs: [{name: nothing, start: selection, command: ["true"]}]
feedback: {from: rdfs, uptake: uptakes, states: [S], rows: [R]}
END
    echo "replay: {stage: true, keep_mb: 64, checkpoint_mb: 4}" >> "$campaign"
    "$bin/strata" up "$campaign" > "$work/up" 2>&1 || { cat "$work/up"; fail "strata up"; }

    # Broken off in the middle, then the same command again.
    "$bin/strata" cp -r --json "$work/in" copied:a- > "$work/first" 2> "$work/first.err" &
    copying=$!
    until_true 60 "$backend: some are copied" at_least stage objects 1
    kill -INT $copying 2> /dev/null
    wait $copying
    rc=$?
    [ $rc = 130 ] || [ $rc = 0 ] || { cat "$work/first" "$work/first.err"; fail "an interrupted copy exits $rc"; }
    copy "d['failed'] == 0 and d['there_already'] == $(json "d['copied']" < "$work/first") and d['copied'] + d['there_already'] == 600" \
        "$work/in" copied:a-
    echo "  $backend: broken off (exit $rc), gone on with"

    copy "d['copied'] == 600 and d['failed'] == 0" copied:a- other:
    copy "d['copied'] == 600 and d['failed'] == 0" other: "$work/$backend.tar"
    "$bin/strata" tar verify "$work/$backend.tar" > "$work/verify" || { cat "$work/verify"; fail "tar verify"; }
    copy "d['copied'] == 600 and d['failed'] == 0" "$work/$backend.tar" "$work/out-$backend"
    same "$work/out-$backend"
    copy "d['copied'] == 0 and d['there_already'] == 600" "$work/out-$backend" other:
    "$bin/strata" tar import "$work/$backend.tar" imported > "$work/import" 2>&1 || { cat "$work/import"; fail "tar import"; }
    [ "$("$bin/strata" ls imported | wc -l)" = 600 ] || fail "imported are $("$bin/strata" ls imported | wc -l) of 600"
    mkdir -p "$work/bad/a b" && echo 1 > "$work/bad/a b/c" && echo 2 > "$work/bad/fine"
    copy "d['copied'] == 1 and d['failed'] == 1" "$work/bad" bad:
    grep -q "a b/c: .*is not 1-200" "$work/copy.err" || { cat "$work/copy.err"; fail "what was refused is not told"; }
    [ "$("$bin/strata" get bad fine)" = 2 ] || fail "the good one is not there"

    if [ $backend = redis ]; then
        kill -KILL "${redis[0]}"
        wait "${redis[0]}" 2> /dev/null
        copy "d['copied'] == 600 and d['failed'] == 0" "$work/in" while-away: # to the one that is left
        redis_start 0
        until_true 30 "all servers are used again" "$bin/strata" get copied a-run-0/frame-0 --timeout 1
        rm -rf "$work/out" && copy "d['copied'] == 600 and d['failed'] == 0" copied:a- "$work/out"
        same "$work/out"
        echo "  redis: a server killed and back"
    else
        for stage in stage-0 stage-1; do # any tar program reads a stage's archives
            for archive in "$workspace"/archives/$stage/other/*.tar; do
                tar -t -f "$archive" > "$work/members" || fail "GNU tar does not read $archive"
                [ "$(wc -l < "$work/members")" -gt 0 ] || fail "$archive is empty"
            done
        done
        for stage in stage-0 stage-1; do
            pid=$(pid_of $stage)
            kill -KILL "$pid" && until_true 30 "$stage is there again" is_alive $stage "$pid"
        done
        rm -rf "$work/out" && copy "d['copied'] == 600 and d['failed'] == 0" copied:a- "$work/out"
        same "$work/out"
    fi
    "$bin/strata" down > "$work/down" 2>&1 || { cat "$work/down"; fail "strata down"; }
    audit_is_clean; replays_identical stage-0 stage-1
    grep -q "objects" "$work/audit" || fail "the audit does not speak of objects"
    rm -rf "$workspace"
done
