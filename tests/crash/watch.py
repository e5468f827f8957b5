"""watch.py - a campaign under test: it is brought up, looked at until something is so, drained, and judged.

Used by killer.py (random faults) and points.py (exact ones).
"""
import json
import os
import subprocess
import time

from mesh import PLAN

SLOW = float(os.environ.get("STRATA_SLOW") or 1)    # sanitizers, busy machines: all limits are longer


class Failure(Exception):
    pass


class Watch:
    def __init__(self, mesh):
        self.mesh = mesh
        self.last_status, self.finished = None, 0
        self.failing_up = []
        self.still_s = 2.5      # nothing new for so long: nobody hands in any more

    def look(self):
        """True when every planned replica serves."""
        status = self.mesh.status()
        finished = self.mesh.finished(status)
        if status:
            self.last_status = status
        if finished is not None:
            self.finished = max(self.finished, finished)
        return self.mesh.healthy(status)

    def who(self):
        pids = {p.name: int(p.pid) for p in self.mesh.processes("service")}
        replicas = {r["replica"]: r for r in (self.last_status or {}).get("replicas", [])}
        lines = []
        for name in PLAN:
            r = replicas.get(name)
            lines.append(f"{name} pid {pids.get(name, 'none')}, status says "
                         + (f"pid {r['pid']} alive {r['alive']} active {r['active']} age {r['age_s']:.1f} {r['trouble']}" if r else "nothing"))
        return "; ".join(lines)

    def wait(self, seconds, text, condition, pause=0.1):
        end = time.monotonic() + seconds * SLOW
        while not condition():
            if time.monotonic() > end:
                raise Failure(f"after {seconds * SLOW:.0f} s still not: {text}; {self.who()}")
            time.sleep(pause)

    def up(self, tries=3, meanwhile=None):
        """strata up; meanwhile() is called while the replicas start."""
        for _ in range(tries):
            started = self.mesh.start_up()
            if meanwhile:
                meanwhile()
            text = started.communicate(timeout=120 * SLOW)[0]
            if started.returncode == 0:
                return
            self.failing_up.append(text.strip().replace("\n", " | "))
        raise Failure(f"strata up failed {tries} times: {self.failing_up[-1]}")

    # ---- the end ----

    def drained(self):
        """Nobody hands in any more, and all was read: snapshots cut, candidates ranked, frames summed."""
        if not self.look():
            return False
        s = self.last_status
        rdfs, patches, queue = (self.mesh.stream(s, "stage", n) for n in ("rdfs", "patches", "snapshots"))
        if not rdfs or not patches or not queue:
            return False
        now = (rdfs["next"], patches["next"], queue["next"])
        # Every consumer is a shard, whoever holds it.
        read = all(st["consumers"] and min(st["consumers"].values()) >= st["next"] for st in (rdfs, patches))
        cut = queue["queue"]["waiting"] + queue["queue"]["leased"] == 0
        if not read or not cut or now != getattr(self, "still", None):
            self.still, self.still_since = now, time.monotonic()
        return time.monotonic() - self.still_since > self.still_s

    def drain(self):
        open(self.mesh.hold, "w").close()
        self.still = None
        self.wait(60, "all that was handed in is read", self.drained)

    def down(self):
        down = self.mesh.down()
        if down.returncode != 0:
            raise Failure(f"strata down: {down.stdout}")

    def judge(self):
        """With everything down: the audit's document. Raises Failure with every violation in it."""
        left = self.mesh.processes()
        if left:
            raise Failure("processes are left after strata down: " + ", ".join(f"{p.name} {p.pid}" for p in left))
        audit = self.mesh.strata("audit", "--json", limit=600)
        try:
            document = json.loads(audit.stdout)
        except ValueError:
            raise Failure(f"strata audit ended with {audit.returncode}: {audit.stdout[-2000:]}")
        recount = subprocess.run([os.path.join(self.mesh.bin, "crash-load"), "recount", "--workspace", self.mesh.workspace,
                                  "--frames", str(self.mesh.frames)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.recounted = recount.stdout.strip()
        violations = [v for check in document["checks"] for v in check["violations"][:20]]
        if audit.returncode != 0 or not document["ok"]:
            raise Failure(f"the audit found {document['violations']} violations:\n       ! " + "\n       ! ".join(violations))
        if recount.returncode != 0:
            raise Failure("the recount from the jobs' folders found violations:\n  " + self.recounted.replace("\n", "\n  "))
        return document
