#!/usr/bin/env bash
# Feedback of patterns: structures of two proteins go to workers (membrane-dssp, behind a program that hangs or dies when it is told
# to), while the holder of feedback is killed again and again. Each structure is counted once, those that workers can't do are set
# aside with their reason, the report names the patterns; the audit and a replay say the same.
. "$(dirname "$0")/lib.sh"

structures=/usr/share/doc/mustang-testdata/examples/pdbs
[ -e "$structures/1ard.pdb" ] || fail "$structures is not there: make deps-tests"
cat > "$work/worker.py" << 'END'
"""A worker that hands frames on to membrane-dssp; one of simulation `hangs` hangs, one of `dies` dies, one of `dies-once` dies the
first time."""
import json, os, subprocess, sys, time
dssp = subprocess.Popen([sys.argv[1], "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
print(dssp.stdout.readline().decode(), end="", flush=True)
while line := sys.stdin.buffer.readline():
    head = json.loads(line)
    body = sys.stdin.buffer.read(head["bytes"])
    once = f"{sys.argv[2]}/died-{head['frame']}"
    if head["simulation"] == "hangs":
        time.sleep(1000)
    if head["simulation"] == "dies" or head["simulation"] == "dies-once" and not os.path.exists(once):
        open(once, "w").close()
        os._exit(3)
    dssp.stdin.write(line + body)
    dssp.stdin.flush()
    print(dssp.stdout.readline().decode(), end="", flush=True)
END
make_small_campaign -e 's/^replicas:.*/replicas: {feedback: 2}/' -e 's/pace-ms, "2000"/pace-ms, "60000"/' \
    -e "s|^  uptake: uptakes|&\n  patterns: {from: structures, command: [/usr/bin/python3, $work/worker.py, \"{bin_dir}/membrane-dssp\", $work], workers: 2, frame_s: 1, tries: 2, frames: 50, proteins: [zinc-a, zinc-b], regions: [{name: helix, chain: D, first: 117, last: 125, share: 0.25}, {name: turn, chain: I, first: 5, last: 9, share: 0.2, coil: PTSG}]}|"
touch "$work/hold"
"$bin/strata" up "$campaign" > "$work/up" 2>&1 || { cat "$work/up"; fail "strata up"; }

cat > "$work/producer.py" << 'END'
import sys, strata
a, b = (open(f"{sys.argv[1]}/{name}.pdb", "rb").read() for name in ("1ard", "1bboN"))
with strata.Client(timeout=120) as s:
    for frame in range(1, 101):
        s.append_structure("structures", "one", frame, "zinc-a", a if frame % 4 else b)
        s.append_structure("structures", "two", frame, "zinc-b", b)
    for frame in (1, 2):
        s.append_structure("structures", "hangs", frame, "zinc-a", a)
        s.append_structure("structures", "dies", frame, "zinc-a", a)
        s.append_structure("structures", "dies-once", frame, "zinc-a", a)
        s.append_structure("structures", "odd", frame, "zinc-a", b"no protein")
        s.append_structure("structures", "unknown", frame, "iron", a)
    for frame in range(101, 201):
        s.append_structure("structures", "one", frame, "zinc-a", a if frame % 4 else b)
        s.append_structure("structures", "two", frame, "zinc-b", b)
END
strata_python "$work/producer.py" "$structures" > "$work/producer" 2>&1 || { cat "$work/producer"; fail "the producer"; }

holder () { "$bin/strata" status --json 2> /dev/null | json "next(r['pid'] for r in d['replicas'] if r['service']=='feedback' and r['alive'] and r['active'])"; }
held () { at_least feedback workers_ready 1; }
for round in 1 2 3; do
    until_true 30 "workers are ready" held
    before=$(metric feedback structures)
    pid=$(holder) && kill -KILL "$pid" || fail "feedback has no holder"
    echo "  killed the holder of feedback, which had counted $before structures"
    another () { [ "$(holder)" != "$pid" ] && held; }
    until_true 30 "another holds it" another
done
all_done () { [ "$(metric feedback structures)" = 402 ] && [ "$(metric feedback structures_aside)" = 8 ] && [ "$(metric feedback structures_waiting)" = 0 ]; }
until_true 60 "402 structures are counted and 8 set aside" all_done
report=$workspace/feedback/patterns/current/patterns.json
written () { [ -e "$report" ]; }
until_true 20 "a report is written" written
/usr/bin/python3 - "$report" << 'END' || fail "the report"
import json, sys
d = json.load(open(sys.argv[1]))["proteins"]
helix, turn = d["zinc-a"]["regions"]["helix"], d["zinc-b"]["regions"]["turn"]
assert helix["in_force"] == "HHHHHHHHH" and helix["share"] == 1.0, helix
assert turn["in_force"] == "CCCCC" and turn["simulation"] == "two", turn
assert d["zinc-b"]["regions"]["helix"]["frames"] == 0 and d["zinc-b"]["regions"]["helix"]["in_force"] is None, d
END
"$bin/strata" status > "$work/status" 2>&1
leftover () { [ "$(pgrep -fc -- "$work/worker.py")" -le 2 ]; }
until_true 10 "no workers of killed holders are left" leftover
"$bin/strata" down > "$work/down" 2>&1 || { cat "$work/down"; fail "strata down"; }
pgrep -af -- "$work/worker.py" && fail "workers are left after strata down"
grep -h 'it took longer than 1 s\|exit code 3' "$workspace"/log/feedback-*.log | head -4 | cut -c1-160 | sed 's/^/  /'
audit_is_clean
grep -q '402 structures counted, 0 wait, 8 set aside' "$work/audit" || fail "the audit does not count them"
"$bin/strata" replay feedback --shard 0 > "$work/replay" 2>&1 || { cat "$work/replay"; fail "feedback was replayed differently"; }
grep identical "$work/replay" | sed 's/^/  /'
