#!/usr/bin/env bash
# The node's cache in a campaign that is up: status shows it, a killed stage goes on with it, and `strata down` leaves nothing of it.
. "$(dirname "$0")/lib.sh"

make_campaign -e "s|^stage: {|stage: {cache: {folder: $work/cache, mb: 8}, |" -e 's/^schedule:.*/schedule: {executor: local, cores: 1}/' \
    -e 's/^replicas:.*/replicas: {stage: 1}/'
grep -q "cache: {folder" "$campaign" || fail "the campaign has no cache"
echo "replay: {stage: true, keep_mb: 64, checkpoint_mb: 4}" >> "$campaign"
"$bin/strata" up "$campaign" > "$work/up" || fail "strata up: $(cat "$work/up")"
until_true 30 "stage is up" is_alive stage-0

head -c 3000000 /dev/urandom > "$work/bytes"
"$bin/strata" put cached run/one "$work/bytes" > /dev/null || fail "strata put"
"$bin/strata" get cached run/one "$work/got" > /dev/null && cmp "$work/bytes" "$work/got" || fail "strata get"

# ---- a program that maps it pins it ----
strata_python - > "$work/mapped" 2>&1 << 'END' &
import os, time, strata
work = os.path.dirname(os.environ['STRATA_WORKSPACE'])
with strata.Client(timeout=60) as s:
    view = s.map("cached", "run/one")
    print("mapped", len(view), flush=True)
    while not os.path.exists(work + "/done"):
        time.sleep(0.05)
    assert bytes(view) == open(work + "/bytes", "rb").read()
END
reader=$!
until_true 30 "a program has mapped it" grep -q "mapped 3000000" "$work/mapped"
shows () { "$bin/strata" status | grep '^storage' | tee "$work/storage" | grep -qE "$1"; }
until_true 10 "status shows that" shows 'objects 3.0 MB of .*; cache 3.0 MB of 8.4 MB \(1 objects, 1 pinned, 1 hits, 0 joined, 0 from peers, 1 from the origin, 0 evicted, 0 bypassed\)'
sed 's/^/  /' "$work/storage"

# ---- the stage is killed: who maps keeps what he has, who comes later finds it ----
pid=$(pid_of stage-0)
kill -KILL "$pid"
until_true 20 "stage is there again" is_alive stage-0 "$pid"
"$bin/strata" get cached run/one "$work/got" > /dev/null && cmp "$work/bytes" "$work/got" || fail "strata get after the kill"
until_true 10 "status shows that it was found" shows '1 pinned, 1 hits, 0 joined, 0 from peers, 0 from the origin'
touch "$work/done"
wait $reader || fail "what was mapped: $(cat "$work/mapped")"
until_true 10 "it is pinned no more" shows ' 0 pinned'

# ---- who asks first waits until it is put, on a node without a stage ----
STRATA_NODE=another-node "$bin/strata" get cached run/later "$work/late" --wait --timeout 60 > "$work/waits" 2>&1 &
asker=$!
waits () { [ "$(metric stage gets_waiting)" -ge 1 ]; }
until_true 30 "the stage knows of one who waits" waits
"$bin/strata" put cached run/later "$work/bytes" > /dev/null || fail "strata put"
wait $asker && cmp "$work/bytes" "$work/late" || fail "strata get --wait: $(cat "$work/waits")"
"$bin/strata" get cached run/never --wait --timeout 1 > "$work/never" 2>&1 && fail "an object that nobody put was waited for and got"
grep -q "run/never" "$work/never" || fail "what was waited for is not named: $(cat "$work/never")"

"$bin/strata" down > /dev/null || fail "strata down"
[ -z "$(ls -A "$work/cache")" ] || fail "left on the node: $(find "$work/cache")"
audit_is_clean
replays_identical stage-0
