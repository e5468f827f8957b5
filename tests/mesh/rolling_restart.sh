#!/usr/bin/env bash
# Every service is restarted one replica by one, twice, while clients ask all of them all the time and a campaign of small
# programs runs: no request fails that the client library does not retry by itself, no job is stopped, new programs are
# picked up, the audit is clean.
. "$(dirname "$0")/lib.sh"

CLIENTS=6
cp -r "$bin" "$work/bin" || fail "the programs can't be copied"
bin=$work/bin
make_small_campaign -e 's/^replicas: {/replicas: {stage: 2, /'
"$bin/strata" up "$campaign" > "$work/up" 2>&1 || { cat "$work/up"; fail "strata up"; }
until_true 60 "simulations are done" at_least schedule simulation_succeeded 2

# ---- clients ----
pids=()
for i in $(seq $CLIENTS); do
    mkdir "$work/client-$i"
    "$bin/crash-load" requests --simulation "client-$i" --out "$work/client-$i" --hold "$work/enough" --seed "$i" --pace-ms 2 \
        > "$work/client-$i/out" 2>&1 &
    pids+=($!)
done

# Children of the supervisor: one that a service has just forked, to run a job, has its name for a moment.
supervisor=$(pgrep -o -f -- "strata (up|run) $campaign") || fail "no supervisor runs"
services () { pgrep -P "$supervisor" -f -- "strata-(stage|select|schedule|feedback|patch|status) .*$workspace" | sort; }
metric_of () { metric schedule "$1"; }
stopped_before=$("$bin/strata" jobs -a --json | json "sum(j['end'] == 'stopped' for j in d['jobs'])")
for round in 1 2; do
    # A new version is installed as package managers do it: under the same name, by rename.
    for program in "$bin"/strata*; do cp "$program" "$program.new" && mv "$program.new" "$program" || fail "$program"; done
    services > "$work/before"
    [ "$(wc -l < "$work/before")" = 11 ] || fail "$(wc -l < "$work/before") processes of services, not 11"
    jobs=$(metric_of jobs_succeeded)
    "$bin/strata" restart > "$work/restart" 2>&1 || { cat "$work/restart"; fail "strata restart, round $round"; }
    sed 's/^/    /' "$work/restart"
    services > "$work/after"
    kept=$(comm -12 "$work/before" "$work/after" | wc -l)
    [ "$kept" = 0 ] || fail "$kept processes of services are the same as before the restart"
    [ "$(wc -l < "$work/before")" = "$(wc -l < "$work/after")" ] || fail "not as many processes as before the restart"
    old=$(for pid in $(cat "$work/after"); do readlink "/proc/$pid/exe"; done | grep deleted)
    [ -z "$old" ] || fail "services still run the old programs: $old"
    goes_on () { [ "$(metric_of jobs_succeeded)" -gt "$jobs" ]; }
    until_true 30 "more jobs are finished" goes_on
done
touch "$work/enough"
for i in $(seq $CLIENTS); do
    wait "${pids[$((i - 1))]}" || { cat "$work/client-$i/out"; fail "client $i"; }
done
stopped=$("$bin/strata" jobs -a --json | json "sum(j['end'] == 'stopped' for j in d['jobs'])")
[ "$stopped" = "$stopped_before" ] || fail "$stopped jobs were stopped by a restart ($stopped_before before)"

# ---- what came of the requests ----
/usr/bin/python3 - "$work"/client-*/requests.json << 'END' || fail "requests failed, or were not carried out once"
import json, sys
clients = [json.load(open(name)) for name in sys.argv[1:]]
kinds = {}
for c in clients:
    for name, k in c["kinds"].items():
        all_of = kinds.setdefault(name, {"requests": 0, "failures": 0, "longest_s": 0})
        all_of["requests"] += k["requests"]
        all_of["failures"] += k["failures"]
        all_of["longest_s"] = max(all_of["longest_s"], k["longest_s"])
for name, k in kinds.items():
    print(f"  {name:9s} {k['requests']:7d} requests, {k['failures']} failed, longest wait {k['longest_s']:.2f} s")
total = {n: sum(k[n] for k in kinds.values()) for n in ("requests", "failures")}
offered, acknowledged = (sum(c[n] for c in clients) for n in ("offered", "acknowledged"))
print(f"  {total['requests']} requests of {len(clients)} clients, {sum(c['resent'] for c in clients)} sent again by the library, "
      f"{total['failures']} failed, longest wait {max(k['longest_s'] for k in kinds.values()):.2f} s")
print(f"  {offered} records offered to the queue, {acknowledged} acknowledged")
sys.exit(total["failures"] > 0 or min(k["requests"] for k in kinds.values()) == 0 or offered != acknowledged)
END
offered=$(cat "$work"/client-*/requests.json | /usr/bin/python3 -c 'import json,sys; print(sum(json.loads(l)["offered"] for l in sys.stdin))')
queue_is_done () {
    "$bin/strata" status --json | json "next((s['queue']['done'], s['queue']['waiting'] + s['queue']['leased'] + s['queue']['aside']) for r in d['replicas'] for s in r['streams'] if s['stream'] == 'requests-queue') == ($offered, 0) and next(s['next'] - 1 for r in d['replicas'] for s in r['streams'] if s['stream'] == 'requests-done') == $offered" | grep -q True
}
until_true 20 "each of the $offered records was handed out once, and has one output" queue_is_done

"$bin/strata" down > /dev/null || fail "strata down"
pgrep -af -- "$workspace" && fail "processes are left after strata down"
audit_is_clean
