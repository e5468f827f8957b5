#!/usr/bin/env bash
# A second stage joins a campaign that runs: each keeps its own part of the names, and both are killed again and again while
# simulations start, fail, and hand in all their records once more. Nothing is lost, nothing stands twice, whatever stage
# it is at.
. "$(dirname "$0")/lib.sh"

mkdir -p "$work"
sed -e "s|^workspace:.*|workspace: $workspace|" -e 's/^replicas:.*/replicas: {patch: 2}/' \
    -e 's/"--pace-ms", "2000"/"--pace-ms", "700"/' tests/crash/campaign.yaml > "$campaign"
"$bin/crash-load" model --out "$work/model.npz" --dimensions 4 --seed 3 || fail "crash-load model"
"$bin/strata" up "$campaign" || fail "strata up"

status () { "$bin/strata" status --json 2> /dev/null; }
figure () { status | json "int(next(r['metrics']['$2']['value'] for r in d['replicas'] if r['replica']=='$1'))"; }
records () { status | json "next((s['next'] - 1 for r in d['replicas'] if r['replica']=='$1' for s in r['streams'] if s['stream']=='$2'), 0)"; }
done_at_least () { [ "$(metric schedule simulation_succeeded)" -ge "$1" ]; }

until_true 60 "2 simulations are done" done_at_least 2
"$bin/strata" scale stage 2 || fail "strata scale stage 2"

# ---- each is killed in turn ----
for round in 1 2 3 4 5 6; do
    victim=stage-$((round % 2)) other=stage-$(((round + 1) % 2))
    pid=$(pid_of $victim)
    kill -KILL "$pid" || fail "kill $victim"
    until_true 20 "$victim is there again (kill $round)" is_alive $victim "$pid"
    is_alive $other || fail "$other ended with $victim"
    sleep 0.$((round * 3 % 10))
done
until_true 90 "8 simulations are done" done_at_least 8

# ---- both carry a share ----
for stage in stage-0 stage-1; do
    slots=$(figure $stage slots) frames=$(records $stage frames) rdfs=$(records $stage rdfs)
    echo "  $stage: $slots slots, $(figure $stage objects) objects, $frames frames, $rdfs RDFs"
    [ "$slots" -gt 0 ] && [ "$frames" -gt 0 ] && [ "$rdfs" -gt 0 ] || fail "$stage carries nothing"
done

# ---- a name is the same from everywhere ----
echo one > "$work/one"
for i in $(seq 1 20); do
    STRATA_NODE=node-$((i % 3)) "$bin/strata" put test "dir-$i/obj" "$work/one" || fail "put $i"
done
[ "$(STRATA_NODE=elsewhere "$bin/strata" ls test | wc -l)" = 20 ] || fail "a list from another node lacks some"
"$bin/strata" ls test > "$work/list"
[ "$(awk '{print $4}' "$work/list" | LC_ALL=C sort -c 2>&1)" = '' ] || fail "the merged list is not in order"
for i in $(seq 1 20); do
    STRATA_NODE=node-$(((i + 1) % 3)) "$bin/strata" put test "dir-$i/obj" "$work/one" || fail "put $i again"
done
[ "$("$bin/strata" ls test | awk '$3 == 2' | wc -l)" = 20 ] || fail "generations don't go on: $("$bin/strata" ls test)"

# ---- while one is away the other goes on, and what is missing is told ----
pid=$(pid_of stage-1)
kill -STOP "$pid"
got=0 missing=0
for i in $(seq 1 20); do
    if "$bin/strata" get test "dir-$i/obj" --timeout 1 > "$work/got" 2> "$work/err"; then
        got=$((got + 1))
    else
        grep -q "dir-$i/obj is kept by stage-1" "$work/err" || fail "not told who is away: $(cat "$work/err")"
        missing=$((missing + 1))
    fi
done
kill -CONT "$pid"
echo "  stage-1 stopped: $got objects read, $missing refused by name"
[ "$got" -gt 0 ] && [ "$missing" -gt 0 ] || fail "both stages must have some of the 20"

# ---- the end: all is read, then counted ----
touch "$work/hold"
all_read () { status | json "all(c == s['next'] for r in d['replicas'] if r['service']=='stage' for s in r['streams'] if s['stream']=='rdfs' for c in s['consumers'].values()) and all(s['queue']['waiting'] + s['queue']['leased'] == 0 for r in d['replicas'] if r['service']=='stage' for s in r['streams'] if s['stream']=='snapshots')" | grep -q True; }
until_true 60 "feedback has read all, and all snapshots are cut" all_read
"$bin/strata" down > /dev/null || fail "strata down"
audit_is_clean
grep -q "at 2 stages, each at one" "$work/audit" || fail "the audit has not seen both stages"
"$bin/crash-load" recount --workspace "$workspace" --frames 20 > "$work/recount" 2>&1 || fail "recount: $(cat "$work/recount")"
sed 's/^/  /' "$work/recount"
