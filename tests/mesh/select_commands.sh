#!/usr/bin/env bash
# A DynIm workspace is the start of a campaign; what people take out stays out through a kill; the history tells all.
. "$(dirname "$0")/lib.sh"

expect () { # EXPRESSION FILE: true of the JSON in the file
    [ "$(json "$1" < "$2")" = True ] || { cat "$2"; fail "not so: $1"; }
}

make_small_campaign -e 's/select: 2/select: 1/' # the same replica comes back
"$bin/strata" up "$campaign" > "$work/out" 2>&1 || { cat "$work/out"; fail "strata up"; }
queue=$(/usr/bin/python3 -c "import re,sys; print(re.search(r'queues:.*?name: *([a-z0-9-]+)', open('$campaign').read(), re.S).group(1))")

# ---- a start: what DynIm's checkpoint holds, made by a class of DynIm's name ----
/usr/bin/python3 - "$work" <<'PY' || fail "no DynIm file"
import sys, types
import numpy as np
module = types.ModuleType("dynim.hdpoint")
class HDPoint:
    def __init__(self, id, coords, rank=np.float32("nan")):
        self.id, self.coords, self.rank = id, coords, rank
HDPoint.__module__ = "dynim.hdpoint"
module.HDPoint = HDPoint
sys.modules["dynim"] = types.ModuleType("dynim"); sys.modules["dynim.hdpoint"] = module
rng = np.random.default_rng(7)
def points(name, n):
    return [HDPoint(f"{name}-{i}", rng.normal(size=4).astype(np.float32), np.float32(i)) for i in range(n)]
waiting = points("old", 30)
np.savez_compressed(sys.argv[1] + "/s.data.npz", t="2021-01-01 00:00:00", type="SamplerImportance", name="s", cached=[],
                    candidates=np.array(waiting), selected=points("chosen", 12), discarded=points("gone", 5))
with open(sys.argv[1] + "/s.history.csv", "w") as f:
    f.write("tstamp, event, id, rank, nselected, ndiscarded, ncandidates, ncached\n")
    f.write("2021-01-01 00:00:01, selected, old-3, 2.5, 13, 5, 29, 0 \n")
class Evil:
    def __reduce__(self):
        return (print, ("run",))
np.savez(sys.argv[1] + "/evil.data.npz", cached=np.array([Evil()], dtype=object), candidates=[], selected=[], discarded=[])
PY
scripts/dynim_to_npz.py "$work/s.data.npz" --history "$work/s.history.csv" -o "$work/start.npz" > "$work/out" || fail "dynim_to_npz"
grep -qF "29 waiting, 13 selected, 5 discarded; 1 by the history alone" "$work/out" || { cat "$work/out"; fail "another start"; }
scripts/dynim_to_npz.py "$work/evil.data.npz" -o "$work/evil.npz" > "$work/out" 2>&1 && fail "a pickle that runs code was read"
grep -qF "no point and no array" "$work/out" || { cat "$work/out"; fail "the pickle was not refused by name"; }
"$bin/strata" import "$queue" "$work/start.npz" --json > "$work/out" || { cat "$work/out"; fail "import"; }
expect "d == {'added': 47, 'duplicate': 0, 'refused': 0}" "$work/out"
"$bin/strata" import "$queue" "$work/start.npz" --json > "$work/out" || fail "import again"
expect "d == {'added': 0, 'duplicate': 47, 'refused': 0}" "$work/out"
"$bin/strata" import nobody "$work/start.npz" > "$work/out" 2>&1 && fail "a queue that there is not was taken"
grep -qF "no queue 'nobody'" "$work/out" || fail "the queue was not named"
echo "  a DynIm workspace is in queue $queue"

# ---- candidates of the campaign come; some are taken out ----
until_true 60 "candidates have come" at_least select candidates_waiting 40
"$bin/strata" invalidate chosen-1 old-5 never-was --reason "made by a broken build" --json > "$work/out" || { cat "$work/out"; fail "invalidate"; }
expect "d['selected'] == 1 and d['unknown'] == 1 and d['invalidated'] + d['proposed'] + d['selected'] == 2 or d['selected'] == 2" "$work/out"
"$bin/strata" history --json > "$work/history"
snapshot=$(/usr/bin/python3 - "$work/history" <<'PY'
import json, re, sys
ids = [json.loads(line)["candidate"] for line in open(sys.argv[1]) if '"added"' in line]
print(next(m.group(1) + ":" + str(int(m.group(2))) for m in (re.match(r"(continuum.*)-(\d{8})-", i) for i in ids) if m))
PY
)
"$bin/strata" invalidate --reason "no snapshot named" > "$work/out" 2>&1
[ $? = 2 ] || fail "nothing to invalidate: not exit 2"
"$bin/strata" invalidate --snapshot macro --reason x > "$work/out" 2>&1
[ $? = 2 ] || fail "a snapshot without index: not exit 2"
"$bin/strata" invalidate --snapshot "$snapshot" --reason "a torn grid" --json > "$work/out" || { cat "$work/out"; fail "invalidate --snapshot"; }
expect "d['invalidated'] + d['proposed'] + d['selected'] + d['unchanged'] > 0" "$work/out"
echo "  snapshot $snapshot is out: $(tr -d '\n' < "$work/out")"

# ---- killed, it knows all that again ----
pid=$(pid_of select-0)
kill -KILL "$pid"
until_true 60 "select is there again" is_alive select-0 "$pid"
"$bin/strata" invalidate old-5 --reason again --json > "$work/out" || fail "invalidate after the kill"
expect "d['unchanged'] + d['selected'] + d['proposed'] == 1 and d['invalidated'] == 0" "$work/out"

# ---- the history, in DynIm's columns ----
"$bin/strata" history --csv --queue "$queue" > "$work/history.csv" || fail "history --csv"
/usr/bin/python3 - "$work/history.csv" <<'PY' || fail "the history is not what it should be"
import sys
import numpy as np
data = np.genfromtxt(sys.argv[1], delimiter=",", names=True, dtype=None, encoding=None)
assert data.dtype.names == ("tstamp", "event", "id", "rank", "nselected", "ndiscarded", "ncandidates", "ncached"), data.dtype
events = [str(e).strip() for e in data["event"]]
ids = [str(i).strip() for i in data["id"]]
assert events.count("added") >= 47 and ids.count("old-3") >= 2
waiting = selected = discarded = 0
for row, event in zip(data, events):
    waiting += {"added": 1, "selected": -1, "returned": 1, "discarded": -1, "invalidated:candidates": -1}.get(event, 0)
    selected += {"selected": 1, "returned": -1}.get(event, 0)
    discarded += event == "discarded"
    assert (row["nselected"], row["ndiscarded"], row["ncandidates"]) == (selected, discarded, waiting), row
print(f"  {len(data)} events in DynIm's columns; {waiting} wait, {selected} selected")
PY
"$bin/strata" down > "$work/out" 2>&1 || fail "strata down"
audit_is_clean

# ---- its store is damaged: what nobody else knows is read from it, and what can't be read there is said ----
store=$(ls -d "$workspace"/shards/select-0/[0-9]* | tail -n 1)
invalid () { "$bin/strata" audit --json > "$work/audit.json" || fail "the audit found a violation"; json "d['figures']['candidates_invalid']" < "$work/audit.json"; }
before=$(invalid)
[ "${before:-0}" -gt 0 ] || fail "nothing is invalid before the damage"
echo "store select-0: a test says that it is damaged" > "$store/DAMAGED"
"$bin/strata" repair select-0 > "$work/repair" 2>&1 || { cat "$work/repair"; fail "strata repair of a store that can be read"; }
sed 's/^/  /' "$work/repair"
grep -q "47 imported candidates.*1 invalidated snapshots; nothing is lost" "$work/repair" || fail "not all that was told was had back"
[ "$(invalid)" -ge "$before" ] || fail "$before candidates were invalid, $(invalid) are after the repair"
"$bin/strata" up "$campaign" > "$work/up" 2>&1 || { cat "$work/up"; fail "strata up"; }
candidates () { "$bin/strata" status --json | json "int(sum(m['value'] for r in d['replicas'] if r['service']=='select' for n, m in r['metrics'].items() if n in ('candidates_waiting', 'candidates_proposed', 'candidates_selected', 'candidates_discarded', 'candidates_invalid')))"; }
until_true 30 "select serves" is_alive select-0
had=$(candidates)
more_came () { [ "$(candidates)" -gt "$had" ]; }
until_true 60 "more candidates come" more_came
"$bin/strata" down > "$work/out" 2>&1 || fail "strata down"
store=$(ls -d "$workspace"/shards/select-0/[0-9]* 2> /dev/null | tail -n 1)
store=${store:-$workspace/shards/select-0}
log=$(ls "$store"/*.log | tail -n 1)
truncate -s "$(($(stat -c %s "$log") - 100))" "$log"
"$bin/strata" repair select-0 > "$work/repair" 2>&1 || { cat "$work/repair"; fail "strata repair of a cut log"; }
sed 's/^/  /' "$work/repair"
grep -q "its last [0-9]* changes can't be read: an invalidation or an import among them must be done again" "$work/repair" || fail "what was not had back is not said"
grep -q "nothing is lost" "$work/repair" && fail "a loss is called none"
"$bin/strata" up "$campaign" > "$work/up" 2>&1 || { cat "$work/up"; fail "strata up"; }
until_true 30 "select serves" is_alive select-0
"$bin/strata" import "$queue" "$work/start.npz" --json > "$work/out" || fail "import again"
expect "d == {'added': 0, 'duplicate': 47, 'refused': 0}" "$work/out"
"$bin/strata" down > "$work/out" 2>&1 || fail "strata down"
audit_is_clean
