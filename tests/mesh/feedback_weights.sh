#!/usr/bin/env bash
# Reports weighted by select: each simulation weighs what select says when the report is made. Without select a report waits, and
# status says why; with it the reports go on, in text, as rdf.npz and in the archive of all rounds. The sums stay exact integers,
# whatever is killed, and a replay comes to the same store.
. "$(dirname "$0")/lib.sh"

make_small_campaign -e 's/^  uptake: uptakes/  uptake: uptakes\n  weights: true/' -e 's/^  seconds: 10/  seconds: 3/'
echo "replay: {keep_mb: 256, checkpoint_mb: 64}" >> "$campaign"
"$bin/strata" up "$campaign" > "$work/up" 2>&1 || { cat "$work/up"; fail "strata up"; }
until_true 60 "two reports are written" at_least feedback reports_written 2

# ---- without select ----
for pid in $("$bin/strata" status --json | json "' '.join(str(r['pid']) for r in d['replicas'] if r['service']=='select')"); do kill -STOP "$pid"; stopped="${stopped:-} $pid"; done
says () { "$bin/strata" status --json | json "[r['trouble'] for r in d['replicas'] if r['service']=='feedback']" | grep -q "waits for the weights"; }
until_true 60 "status says what a report waits for" says
reports=$(metric feedback reports_written)
kill -CONT $stopped
until_true 60 "reports go on with select" at_least feedback reports_written $((reports + 2))

# ---- feedback is killed in the middle of it all ----
for n in 1 2 3; do
    reports=$(metric feedback reports_written)
    kill -KILL "$("$bin/strata" status --json | json "next(r['pid'] for r in d['replicas'] if r['service']=='feedback' and r['alive'] and r['active'])")"
    until_true 60 "reports go on after a kill" at_least feedback reports_written $((reports + 1))
done
touch "$work/hold" # the small programs hand in nothing new
all_read () { "$bin/strata" status --json | json "[all(v >= s['next'] for v in s['consumers'].values()) for r in d['replicas'] for s in r['streams'] if r['service']=='stage' and s['stream']=='rdfs'][0]" | grep -q True; }
until_true 60 "all frames are read" all_read
"$bin/strata" down > "$work/down" 2>&1 || { cat "$work/down"; fail "strata down"; }
audit_is_clean
grep -q "rows of simulations add up to the sums" "$work/audit" || fail "the audit did not add up the simulations"
"$bin/crash-load" recount --workspace "$workspace" --frames 20 > "$work/recount" 2>&1 || { cat "$work/recount"; fail "the recount found violations"; }
replays_identical feedback-0

# ---- the newest round, read by numpy and by tar ----
/usr/bin/python3 - "$workspace/feedback/rdf" <<'PY' || fail "the newest round is not what it says"
import io, json, os, sys, tarfile
import numpy as np
root = sys.argv[1]
folder = os.path.realpath(root + "/current")
report, z = json.load(open(folder + "/report.json")), np.load(folder + "/rdf.npz", allow_pickle=False)
counts, weighted = z["counts"], z["weighted"]
assert counts.shape == weighted.shape == (18, 8, 599) and counts.dtype == np.int64 and weighted.dtype == np.float64
states = list(z["states"])
for s, name in enumerate(states):
    assert report["states"][name] == {"frames": int(z["frames"][s]), "counts": int(counts[s].sum())}, name
    rows = np.loadtxt(f"{folder}/rdf_{name}.txt", skiprows=1)
    assert (rows[1:, 1:] == np.floor(weighted[s].T + 0.5)).all(), name
    assert ((weighted[s] > 0) == (counts[s] > 0)).all(), name
weights = report["weights"]
assert weights["simulations"] + weights["without"] == report["simulations"] and weights["without"] == 0, weights
assert not np.allclose(weighted, counts), "nothing was weighed"
with tarfile.open(root + "/history.tar") as tar:
    names = set(tar.getnames())
    for n in range(1, report["round"] + 1):
        assert {f"round.{n:06d}/rdf.npz", f"round.{n:06d}/report.json"} <= names, f"round {n} is missing"
    newest = tar.extractfile(f"round.{report['round']:06d}/rdf.npz").read()
assert newest == open(folder + "/rdf.npz", "rb").read()
total = 0
for n in range(1, report["round"] + 1):
    with tarfile.open(root + "/history.tar") as tar:
        old = np.load(io.BytesIO(tar.extractfile(f"round.{n:06d}/rdf.npz").read()), allow_pickle=False)
    assert (old["counts"] >= total).all(), "sums went down"
    total = old["counts"]
print(f"  round {report['round']}: {report['frames']} frames of {weights['simulations']} weighted simulations, "
      f"{counts.sum()} counts weigh {weighted.sum():.1f}; {report['round']} rounds in the archive")
PY
