#!/usr/bin/env bash
# Shards move: from a dead holder within 2 s; from one that is stopped, when its lease is over. Stopped for less it goes on. The
# stale one, woken, tells nobody anything, ends, and stands by; nothing is lost or counted twice. A campaign of small programs
# (tests/crash) works all the time.
. "$(dirname "$0")/lib.sh"

"$bin/crash-load" model --out "$work/model.npz" --dimensions 4 --seed 11 || fail "crash-load model"
sed -e "s|^workspace:.*|workspace: $workspace|" tests/crash/campaign.yaml > "$campaign"
"$bin/strata" up "$campaign" > "$work/up" 2>&1 || { cat "$work/up"; fail "strata up"; }

# holder SERVICE: "replica pid epoch" of the replica that holds the service's shard. move SERVICE SIGNAL: sends it the signal, and
# waits for another: the holder as above, then "replica epoch ms". Cards say who it is from the moment at which it serves.
holder () { move "$1" 0; }
move () {
    /usr/bin/python3 - "$workspace" "$1" "$2" << 'PY'
import glob, json, os, signal, sys, time
workspace, service, sent = sys.argv[1:]
def look():
    cards = []
    for path in glob.glob(f"{workspace}/cards/{service}-*.json"):
        try:
            cards.append(json.load(open(path)))
        except (OSError, ValueError):
            pass
    return max((c for c in cards if c["active"]), key=lambda c: c["epoch"], default={"epoch": 0})
was = look()
told = [was["replica"], was["pid"], was["epoch"]]
if sent != "0":
    start = time.monotonic()
    os.kill(was["pid"], signal.Signals["SIG" + sent])
    while (now := look())["epoch"] <= was["epoch"] or now["replica"] == was["replica"]:
        if time.monotonic() - start > 60:
            sys.exit(1)
        time.sleep(0.005)
    told += [now["replica"], now["epoch"], round((time.monotonic() - start) * 1000)]
print(*told)
PY
}
stale () { "$bin/strata" status --json 2> /dev/null | json "sum(int(r['metrics'].get('messages_stale',{}).get('value',0)) for r in d['replicas'] if r['alive'])"; }
one_generation () { local d; for d in "$workspace"/shards/*/; do [ "$(ls -A "$d" | wc -l)" = 1 ] || return 1; done; }
works () { [ "$(metric schedule jobs_succeeded)" -gt "$finished" ] && [ "$(metric feedback frames)" -gt "$frames" ]; }
goes_on () { finished=$(metric schedule jobs_succeeded) frames=$(metric feedback frames); until_true 60 "jobs end and frames are summed" works; }
until_true 60 "jobs are finished" at_least schedule jobs_succeeded 3
until_true 60 "frames are summed" at_least feedback frames 20

# ---- dead ----
for service in schedule select feedback; do
    read -r replica pid epoch next later ms < <(move $service KILL) || fail "nobody took the shard of $service"
    echo "  $replica killed: $next serves after $ms ms"
    [ "$ms" -le $((2000 * slow)) ] || fail "more than $((2000 * slow)) ms"
done
timeout $((20 * slow)) "$bin/strata" jobs --json > /dev/null || fail "strata jobs after the shard moved"
goes_on

# ---- stopped for less than the lease ----
for service in schedule select feedback; do
    read -r replica pid epoch < <(holder $service)
    kill -STOP "$pid"
    sleep 1
    kill -CONT "$pid"
done
goes_on
read -r replica2 pid2 epoch2 < <(holder feedback)
[ "$replica2 $pid2 $epoch2" = "$replica $pid $epoch" ] || fail "$replica was stopped for 1 s of a lease of 3 s and lost its shard to $replica2"

# ---- stopped for longer ----
before=$(cat "$workspace"/log/*.log | grep -c "was taken over by another process")
for service in schedule select feedback; do
    read -r replica pid epoch next later ms < <(move $service STOP) || fail "nobody took the shard of $service by force"
    echo "  $replica stopped: $next serves after $ms ms"
    [ "$ms" -ge 2400 ] || fail "$next did not wait for the lease of 3 s"
    goes_on
    kill -CONT "$pid"
    ended () { ! kill -0 "$pid" 2> /dev/null; }
    until_true 10 "$replica has ended" ended
    grep -q "was taken over by another process" "$workspace/log/$replica.log" || fail "$replica does not say why it ended"
    is_back () { [ "$("$bin/strata" status --json | json "[r['alive'] for r in d['replicas'] if r['replica']=='$replica'][0]")" = True ]; }
    until_true 20 "$replica is there again" is_back
    read -r now _ epoch < <(holder $service)
    [ "$now $epoch" = "$next $later" ] || fail "$next held the shard in epoch $later, now $now has it in epoch $epoch"
    goes_on
done
[ "$(cat "$workspace"/log/*.log | grep -c "was taken over by another process")" -ge $((before + 3)) ] || fail "not all three said so"
echo "  messages of stale holders refused: $(stale)"
"$bin/strata" events --json 2> /dev/null | grep -c '"shard-taken"' | sed 's/^/  takings by force among the events: /'
until_true 20 "each shard has one generation" one_generation

touch "$work/hold" # the small programs hand in nothing new
sleep 1
"$bin/strata" down > "$work/down" 2>&1 || { cat "$work/down"; fail "strata down"; }
pgrep -af -- "$workspace" && fail "processes are left after strata down"
audit_is_clean
