"""mesh.py - a campaign in a workspace of its own, seen from outside: its processes, its status, its disk.

Used by killer.py and points.py. A process belongs to the campaign when the workspace's path, which is made for this run alone, stands in
its command line; nothing else is ever signalled.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from link import DEVICE, Link

PLAN = ["stage-0", "status-0", "patch-0", "patch-1", "select-0", "select-1", "schedule-0", "schedule-1", "feedback-0", "feedback-1",
        "feedback-2"]
# Two shards of feedback share the simulations, the third replica stands by. The other services have one shard, and one standby.
SHARDS = {"feedback": 2}
CHANGES = [("feedback: 2}", "feedback: 3}"), ("uptake: uptakes", "uptake: uptakes\n  shards: 2")]
# With two nodes the last of each service is on node b; the others, the stage, the supervisor and the killer are on node a.
ON_B = ["patch-1", "select-1", "schedule-1", "feedback-2"]
DISK_MB = 8192


class Process:
    def __init__(self, pid, kind, name):
        self.pid, self.kind, self.name = pid, kind, name


class Mesh:
    def __init__(self, bin_dir):
        self.bin = os.path.abspath(bin_dir)
        self.here = os.path.dirname(os.path.abspath(__file__))
        self.work = tempfile.mkdtemp(prefix="strata-crash-")
        self.disk = os.path.join(self.work, "disk")
        self.workspace = os.path.join(self.disk, "ws")
        self.campaign = os.path.join(self.work, "campaign.yaml")
        self.hold = os.path.join(self.work, "hold")
        self.filler = os.path.join(self.disk, "filler")
        self.env = dict(os.environ, STRATA_WORKSPACE=self.workspace)
        self.mounted = False
        self.link, self.node_b = None, None
        os.mkdir(self.disk)

    # ---- set-up ----

    def prepare(self, seed, changes=()):
        """changes: (text of campaign.yaml, what stands there instead)."""
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "strata-crash", self.disk]
        self.mounted = subprocess.run(mount, stderr=subprocess.DEVNULL).returncode == 0
        with open(os.path.join(self.here, "campaign.yaml")) as f:
            text = f.read()
        for old, new in [*CHANGES, *changes]:
            if old not in text:
                raise ValueError(f"campaign.yaml has no '{old}'")
            text = text.replace(old, new)
        if self.link:
            text = text.replace("patch: 2, select: 2, schedule: 2, feedback: 3", "patch: 1, select: 1, schedule: 1, feedback: 2")
            text += f"\nmesh: {{transport: tcp, interface: {DEVICE}}}\n"
        self.frames = int(re.search(r'--frames, "(\d+)"', text).group(1))
        text = text.replace("workspace: ws", f"workspace: {self.workspace}").replace("seed: 2026", f"seed: {seed}")
        with open(self.campaign, "w") as f:
            f.write(text)
        subprocess.run([os.path.join(self.bin, "crash-load"), "model", "--out", os.path.join(self.work, "model.npz"), "--dimensions", "4",
                        "--seed", str(seed)], check=True)

    def make_link(self):
        """Two nodes with a network between them. Raises OSError where that can't be made; call before prepare."""
        self.link = Link()

    def remove(self, keep=None):
        """Ends what is left, keeps logs in folder `keep`, removes everything else."""
        if self.node_b:
            self.node_b.end(signal.SIGKILL)
        for _ in range(100):  # again: what lives may have started more
            left = self.processes()
            for p in left:
                self.signal(p, signal.SIGKILL)
            if not left:
                break
            time.sleep(0.05)
        if keep:
            shutil.rmtree(keep, ignore_errors=True)
            os.makedirs(keep, exist_ok=True)
            shutil.copy(self.campaign, keep)
            for name in ("log", "shards"):
                if os.path.isdir(os.path.join(self.workspace, name)):
                    shutil.copytree(os.path.join(self.workspace, name), os.path.join(keep, name), ignore_dangling_symlinks=True)
        for _ in range(50):
            if not self.mounted or subprocess.run(["umount", self.disk], stderr=subprocess.DEVNULL).returncode == 0:
                break
            time.sleep(0.1)
        shutil.rmtree(self.work, ignore_errors=True)
        if self.link:
            self.link.remove()

    # ---- processes ----

    def command_line(self, pid):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                return f.read().split(b"\0")
        except OSError:
            return []

    def classify(self, pid):
        words = self.command_line(pid)
        if not any(self.work.encode() in w for w in words):
            return None
        program = os.path.basename(words[0].decode(errors="replace"))
        if program == "strata-shepherd":
            return Process(pid, "shepherd", "shepherd")
        if program == "crash-load":
            return Process(pid, "job", words[1].decode(errors="replace"))
        if program.startswith("strata-") and b"--replica" in words:
            return Process(pid, "service", f"{program[7:]}-{words[words.index(b'--replica') + 1].decode()}")
        if program == "strata" and len(words) > 1 and words[1] == b"up":
            return Process(pid, "supervisor", "supervisor")
        return None

    def is_continuum(self, process):
        return any(b"/jobs/continuum-" in w for w in self.command_line(process.pid))

    def processes(self, kind=None):
        found = [self.classify(pid) for pid in os.listdir("/proc") if pid.isdigit()]
        return sorted((p for p in found if p and (kind is None or p.kind == kind)), key=lambda p: (p.kind, p.name, int(p.pid)))

    def signal(self, process, signum):
        """False when it has ended meanwhile."""
        now = self.classify(process.pid)
        if not now or now.kind != process.kind:
            return False
        try:
            os.kill(int(process.pid), signum)
        except ProcessLookupError:
            return False
        return True

    def supervisor(self):
        """Its pid as up.lock says, when that process is one of ours."""
        try:
            with open(os.path.join(self.workspace, "up.lock")) as f:
                return next((p for p in self.processes("supervisor") if p.pid == f.readline().strip()), None)
        except OSError:
            return None

    # ---- commands ----

    def strata(self, *words, limit=180):
        return subprocess.run([os.path.join(self.bin, "strata"), *words], env=self.env, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=limit)

    def start_up(self):
        words = [os.path.join(self.bin, "strata"), "up", self.campaign]
        if self.link:
            words = self.link.on(0, words)
            if not self.node_b:
                self.node_b = NodeB(self)
        return subprocess.Popen(words, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def down(self):
        if self.node_b:     # first, while there is a stage to give leases back to
            self.node_b.end(signal.SIGTERM)
            self.node_b = None
        return self.strata("down")

    def status(self):
        """The status document, or None while status does not answer."""
        try:
            done = subprocess.run([os.path.join(self.bin, "strata"), "status", "--json"], env=self.env, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, timeout=10)
            return json.loads(done.stdout) if done.returncode == 0 else None
        except (subprocess.TimeoutExpired, ValueError):
            return None

    def healthy(self, status):
        """Every planned replica is alive in status, with the pid it has now, and one works on each shard of every service."""
        if not status:
            return False
        pids = {p.name: int(p.pid) for p in self.processes("service")}
        seen, active = set(), set()
        wanted = {(name.rsplit("-", 1)[0], 0) for name in PLAN} | {(s, n) for s, count in SHARDS.items() for n in range(count)}
        for r in status["replicas"]:
            if r["alive"] and r["age_s"] < 1.5 and pids.get(r["replica"]) == r["pid"]:
                seen.add(r["replica"])
                if r["active"] and not r["trouble"]:
                    active.add((r["service"], r["shard"] if r["service"] in SHARDS else 0))
        return seen >= set(PLAN) and active >= wanted

    @staticmethod
    def metric(status, service, name):
        """The figure of the working replica, of the first shard's; None when there is none."""
        for r in sorted((status or {}).get("replicas", []), key=lambda r: r["shard"]):
            if r["service"] == service and r["alive"] and r["active"] and name in r["metrics"]:
                return int(r["metrics"][name]["value"])
        return None

    @staticmethod
    def active(status, service):
        """The replica that works."""
        return next((r["replica"] for r in (status or {}).get("replicas", []) if r["service"] == service and r["alive"] and r["active"]), None)

    def finished(self, status):
        done = [self.metric(status, "schedule", name) for name in ("jobs_succeeded", "jobs_aside")]
        return None if None in done else sum(done)

    @staticmethod
    def stream(status, service, name):
        for r in (status or {}).get("replicas", []):
            for s in r["streams"]:
                if r["service"] == service and s["stream"] == name:
                    return s
        return None

    # ---- the disk ----

    def fill_disk(self):
        """The tmpfs is shrunk to what is in it and a little more, and that is filled: the same as a huge file, without its memory."""
        for _ in range(20):
            space = os.statvfs(self.disk)
            used = (space.f_blocks - space.f_bfree) * space.f_frsize
            size = (used >> 10) + 512
            if subprocess.run(["mount", "-o", f"remount,size={size}k", self.disk], stderr=subprocess.DEVNULL).returncode == 0:
                break
        else:
            return False
        self.fill_rest()
        return True

    def fill_rest(self):
        """What services freed meanwhile is filled too."""
        try:
            with open(self.filler, "ab", buffering=0) as f:
                while f.write(b"\0" * 4096) == 4096 and f.tell() < 64 << 20:
                    pass
        except OSError:
            pass

    def empty_disk(self):
        if os.path.exists(self.filler):
            os.unlink(self.filler)
        subprocess.run(["mount", "-o", f"remount,size={DISK_MB}m", self.disk], check=True)


class NodeB:
    """Keeps the replicas of node b running, as a supervisor does: starts each that has ended."""

    def __init__(self, mesh):
        self.mesh, self.children, self.ending = mesh, {}, False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def start(self, name):
        service, number = name.rsplit("-", 1)
        words = [os.path.join(self.mesh.bin, "strata-" + service), "--campaign", self.mesh.campaign, "--workspace", self.mesh.workspace,
                 "--replica", number]
        try:
            with open(os.path.join(self.mesh.workspace, "log", name + ".log"), "ab") as log:
                self.children[name] = subprocess.Popen(self.mesh.link.on(1, words), env=self.mesh.env, stdin=subprocess.DEVNULL,
                                                       stdout=log, stderr=log, start_new_session=True)
        except OSError:
            pass    # no workspace yet, or a full disk: again

    def run(self):
        while not self.ending:
            if os.path.exists(os.path.join(self.mesh.workspace, "keys", "service.cert_secret")):
                for name in ON_B:
                    child = self.children.get(name)
                    if not self.ending and (not child or child.poll() is not None):
                        self.start(name)
            time.sleep(0.15)

    def end(self, signum):
        self.ending = True
        self.thread.join()
        for child in self.children.values():
            if child.poll() is None:
                child.send_signal(signum)
        for child in self.children.values():
            try:
                child.wait(60)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
