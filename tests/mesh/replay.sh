#!/usr/bin/env bash
# strata replay tells select, schedule, feedback and stage their recorded inputs again and gets the same stores, key by key, while the
# campaign runs and after it, across kills and checkpoints and with another number of threads. A record that was changed, and
# code that decides otherwise, are found and named. The record stays below its bound.
. "$(dirname "$0")/lib.sh"

keep_mb=40
shards="select-0 schedule-0 feedback-0 feedback-1 stage-0"
sed -e "s|^workspace:.*|workspace: $workspace|" -e 's/"2000"/"1000"/' tests/crash/campaign.yaml > "$campaign"
sed -i 's/^  frames: 200/  frames: 200\n  shards: 2/' "$campaign"
echo "replay: {keep_mb: $keep_mb, checkpoint_mb: 2, stage: true}" >> "$campaign"
"$bin/crash-load" model --out "$work/model.npz" --dimensions 4 --seed 7 || fail "crash-load model"
"$bin/strata" up "$campaign" || fail "strata up"

# The highest figure of a service's replicas: feedback has one for each of its two shards.
metric () {
    "$bin/strata" status --json 2> /dev/null | json "int(max([r['metrics'].get('$2',{}).get('value',0) for r in d['replicas'] if r['service']=='$1' and r['alive'] and r['active']] or [0]))" || echo 0
}
# kill_holder SERVICE: SIGKILL of the replica that works; it, or its standby, serves again.
kill_holder () {
    local pid
    pid=$("$bin/strata" status --json | json "next(r['pid'] for r in d['replicas'] if r['service']=='$1' and r['active'] and r['alive'])")
    [ "${pid:-0}" -gt 0 ] || fail "no pid of $1"
    kill -KILL "$pid"
    served () { "$bin/strata" status --json | json "any(r['service']=='$1' and r['active'] and r['alive'] and r['pid']!=$pid for r in d['replicas'])" | grep -q True; }
    until_true 20 "$1 serves again after a kill" served "$1"
}

until_true 60 "simulations are finished" at_least schedule simulation_succeeded 3
replays_identical $shards
# Records of a size that stands in segment files, beside the store.
cat > "$work/large.py" <<'PY'
import strata
with strata.Client() as client:
    for n in range(1, 101):
        client.append("large", "a-program", n, bytes([n]) * 50000)
    client.flush()
PY
strata_python "$work/large.py" || fail "appending large records"
ls "$workspace"/shards/stage-0/*/large.*.records > /dev/null || fail "large records stand in no segment: $(ls "$workspace"/shards/stage-0/*)"
replays_identical stage-0
for service in select schedule feedback stage schedule select feedback; do
    kill_holder $service
    replays_identical schedule-0
done
until_true 60 "more simulations are finished" at_least schedule simulation_succeeded 20
until_true 60 "a report was taken up" at_least feedback reports_taken 1
until_true 120 "feedback has made checkpoints while it ran" at_least feedback replay_checkpoints 2
for service in select schedule feedback stage; do
    bytes=$(metric $service replay_bytes)
    [ "$bytes" -gt 0 ] && [ "$bytes" -le $((keep_mb << 20)) ] || fail "$service has a record of $bytes bytes"
done
replays_identical $shards
"$bin/strata" down > /dev/null || fail "strata down"
audit_is_clean
echo "  the core was away for a checkpoint for $(grep -ho "inputs' record, .*" "$workspace"/log/*.log | sed 's/.*record, //' | sort -n | tail -n 1) at most"
for shard in $shards; do
    OMP_NUM_THREADS=1 replays_identical $shard
    one=$(json "d['digest']" < "$work/replay.json")
    for threads in 2 3; do
        OMP_NUM_THREADS=$threads replays_identical $shard
        [ "$one" = "$(json "d['digest']" < "$work/replay.json")" ] || fail "$shard differs with $threads threads"
    done
done

# ---- what must not go unseen ----
different () { # TEXT ARGUMENT...: a replay of select ends with 1 and says so
    local text=$1
    shift
    "$bin/strata-select" --workspace "$workspace" --replay select-0 "$@" > "$work/out" 2>&1
    [ $? = 1 ] || { cat "$work/out"; fail "not found: $text"; }
    grep -qF -- "$text" "$work/out" || { cat "$work/out"; fail "'$text' was not said"; }
    echo "  found: $(grep -m1 -F -- "$text" "$work/out" | cut -c1-150)"
}
# Code that decides otherwise: another rule of ranking.
sed -e 's/  k: 10/  k: 1/' "$campaign" > "$work/other.yaml"
different "first difference: turn" --campaign "$work/other.yaml"
grep -q "^    key  *[a-z]" "$work/out" && grep -q "^    recorded  *." "$work/out" && grep -q "^    replayed  *." "$work/out" || { cat "$work/out"; fail "the key and both values were not told"; }
# A record that was changed: one byte of a candidate's name, with the checksum made right again.
segment=$(ls "$workspace"/replay/select-0/*.inputs | head -n 1)
cp "$segment" "$work/segment"
/usr/bin/python3 - "$segment" <<'PY' || fail "the record could not be changed"
import struct, sys
table = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ 0x82F63B78 if n & 1 else n >> 1
    table.append(n)
def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF
data = bytearray(open(sys.argv[1], 'rb').read())
at = 68
while at < len(data):
    size, crc = struct.unpack_from('<II', data, at)
    turn, = struct.unpack_from('<Q', data, at + 8)
    end = at + 32 + size
    assert crc32c(data[at + 8:end]) == crc
    name = data.find(b'continuum-', at + 32, end)
    if name >= 0:
        data[name] = ord('C')
        struct.pack_into('<I', data, at + 4, crc32c(data[at + 8:end]))
        open(sys.argv[1], 'wb').write(data)
        print(f'  changed turn {turn}')
        sys.exit(0)
    at = end
sys.exit(1)
PY
different "first difference: turn" --campaign "$campaign"
# A bit that flipped is no input at all.
cp "$work/segment" "$segment"
printf 'X' | dd of="$segment" bs=1 seek=120 conv=notrunc 2> /dev/null
different "a record's checksum is wrong" --campaign "$campaign"
cp "$work/segment" "$segment"
replays_identical select-0
"$bin/strata" replay patch > "$work/out" 2>&1 && fail "a replay of patch, which has no record, succeeded"
"$bin/strata" replay nothing > "$work/out" 2>&1
[ $? = 2 ] && grep -q "no service 'nothing'" "$work/out" || { cat "$work/out"; fail "an unknown service was not refused"; }
