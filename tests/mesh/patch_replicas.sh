#!/usr/bin/env bash
# Two replicas of patch share one queue: each snapshot is cut once. What one of them holds when it is stopped or killed goes
# to the other when the lease ends; the stopped one's acknowledgement comes too late and is refused.
. "$(dirname "$0")/lib.sh"

N=20
LEASE=$((8 * slow))   # s; long enough for the other replica to cut all the rest meanwhile
make_campaign -e 's/^replicas:.*/replicas: {patch: 2}/' -e 's/^  lipid_only: 1/  lipid_only: 1\n  lease: '$LEASE'/' \
    -e 's|command: \["{bin_dir}/membrane-macro".*|command: [sleep, "100000"]|' \
    -e 's|command: \["{bin_dir}/membrane-createsim".*|command: [sleep, "100000"]|' -e 's/^goal:.*/goal: {job: cg, successes: 100}/'
# Four times the quick snapshot: cutting takes long enough to be met at it. Under ThreadSanitizer the quick one does.
nx=960
[ "${SAN:-}" != thread ] || nx=480
"$bin/membrane-macro" --out "$work/macro" --no-mesh --nx $nx --steps $N --snapshot-every 1 --pace 0 --seed 5 > "$work/out" 2>&1 || fail "membrane-macro: $(cat "$work/out")"
"$bin/strata" up "$campaign" || fail "strata up"

queue () { "$bin/strata" status --json 2> /dev/null | json "next(s['queue']['$1'] for r in d['replicas'] for s in r.get('streams') or [] if s['stream']=='snapshots')"; }
figure () { # REPLICA METRIC
    "$bin/strata" status --json 2> /dev/null | json "int(next(r['metrics']['$2']['value'] for r in d['replicas'] if r['replica']=='$1'))"
}
hand_in () { # SIMULATION: all snapshots
    local i
    for i in $(seq 1 $N); do
        "$bin/strata" submit snapshots "$1" "$i" "$(printf '%s/macro/snapshot.%08d' "$work" "$i")" > /dev/null || fail "submit $1 $i"
    done
    total=$((total + N))
}
all_done () { [ "$(queue done)" = "$total" ]; }
total=0

# ---- shared ----
hand_in shared
until_true 30 "all $N snapshots are cut" all_done
sum_is () { [ $(($(figure patch-0 snapshots_cut) + $(figure patch-1 snapshots_cut))) = "$1" ]; }
until_true 10 "both count $N together" sum_is $N
for r in patch-0 patch-1; do
    n=$(figure $r snapshots_cut)
    [ "$n" -ge 1 ] || fail "$r cut nothing"
    echo "  $r cut $n"
done

# holds_some: patch-1 is stopped at a moment when it holds a snapshot or two: the other has cut all else, and they are left under lease.
# Where it held none all are cut; then once more. Both are stopped while the queue is filled, so that both are busy after it.
holds_some () {
    local round before other
    pid=$(pid_of patch-1)
    other=$(pid_of patch-0)
    for round in 1 2 3 4 5 6 7 8; do
        before=$(queue done)
        kill -STOP "$pid" "$other"
        # Seconds of work: the figures that this waits for are a second old.
        hand_in "$1-$round-a"
        hand_in "$1-$round-b"
        hand_in "$1-$round-c"
        kill -CONT "$pid" "$other"
        begun () { [ "$(queue done)" -gt "$before" ]; }
        until_true 20 "both cut" begun
        kill -STOP "$pid"
        stopped_at=$(date +%s%N)
        # A replica holds up to two: one that it cuts, and one whose patches are on their way.
        held () { local n; n=$(queue leased); [ "${n:-0}" -ge 1 ] && [ "$n" -le 2 ]; }
        some_left_or_none () { all_done || { [ "$(queue waiting)" = 0 ] && held; }; }
        until_true 20 "patch-1 is stopped, the other has cut the rest" some_left_or_none
        # What the other one holds itself it gives back; its figures are half a second old at most.
        other_idle () { sleep 0.6; [ "$(figure patch-0 snapshots_in_work)" = 0 ]; }
        until_true 20 "the other holds none" other_idle
        held && return
        until_true 20 "patch-1 held none; all are cut" all_done
        kill -CONT "$pid"
    done
    fail "patch-1 never held a snapshot when it was stopped"
}
taken_over () { # nothing is handed out before the lease ends; it was renewed when a third of it had passed
    local ms
    until_true 30 "the other has cut that too" all_done
    ms=$((($(date +%s%N) - stopped_at) / 1000000))
    [ "$ms" -ge $((LEASE * 666)) ] || fail "taken over after $ms ms, before the lease of $LEASE s ended"
    echo "  taken over $ms ms after the stop"
}

# ---- stopped: its lease ends, its late acknowledgement is refused ----
lost=$(figure patch-1 leases_lost)
holds_some stopped
echo "  stopped patch-1 (pid $pid) with $(queue leased) in its hands"
taken_over
kill -CONT "$pid"
refused () { [ "$(figure patch-1 leases_lost)" -gt "$lost" ]; }
until_true 20 "the late acknowledgement was refused" refused
goes_on () { [ "$(figure patch-1 snapshots_cut)" -gt "$cut" ]; }
cut=$(figure patch-1 snapshots_cut)
hand_in after
until_true 30 "all is cut" all_done
until_true 10 "patch-1 cuts again" goes_on

# ---- killed ----
holds_some killed
kill -KILL "$pid"
echo "  killed patch-1 (pid $pid) with $(queue leased) in its hands"
taken_over
until_true 20 "patch-1 is there again" is_alive patch-1 "$pid"

"$bin/strata" down > /dev/null || fail "strata down"
audit_is_clean
grep -q "^ *$total done, $total batches of candidates, 0 waiting or leased, 0 aside" "$work/audit" || fail "not each of $total was cut once"
