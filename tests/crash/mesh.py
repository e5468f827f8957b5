"""mesh.py - a campaign in a workspace of its own, seen from outside: its processes, its status, its disk.

Used by killer.py. A process belongs to the campaign when the workspace's path, which is made for this run alone, stands in
its command line; nothing else is ever signalled.
"""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

PLAN = ["stage-0", "status-0", "patch-0", "patch-1", "select-0", "select-1", "schedule-0", "schedule-1", "feedback-0", "feedback-1"]
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
        os.mkdir(self.disk)

    # ---- set-up ----

    def prepare(self, seed):
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "strata-crash", self.disk]
        self.mounted = subprocess.run(mount, stderr=subprocess.DEVNULL).returncode == 0
        with open(os.path.join(self.here, "campaign.yaml")) as f:
            text = f.read()
        text = text.replace("workspace: ws", f"workspace: {self.workspace}").replace("seed: 2026", f"seed: {seed}")
        with open(self.campaign, "w") as f:
            f.write(text)
        subprocess.run([os.path.join(self.bin, "crash-load"), "model", "--out", os.path.join(self.work, "model.npz"), "--dimensions", "4",
                        "--seed", str(seed)], check=True)

    def remove(self, keep=None):
        """Ends what is left, keeps logs in folder `keep`, removes everything else."""
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
                return next((p for p in self.processes("supervisor") if p.pid == f.read().strip()), None)
        except OSError:
            return None

    # ---- commands ----

    def strata(self, *words, limit=180):
        return subprocess.run([os.path.join(self.bin, "strata"), *words], env=self.env, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=limit)

    def start_up(self):
        return subprocess.Popen([os.path.join(self.bin, "strata"), "up", self.campaign], env=self.env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def status(self):
        """The status document, or None while status does not answer."""
        try:
            done = subprocess.run([os.path.join(self.bin, "strata"), "status", "--json"], env=self.env, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, timeout=10)
            return json.loads(done.stdout) if done.returncode == 0 else None
        except (subprocess.TimeoutExpired, ValueError):
            return None

    def healthy(self, status):
        """Every planned replica is alive in status, with the pid it has now, and every service has one that works."""
        if not status:
            return False
        pids = {p.name: int(p.pid) for p in self.processes("service")}
        seen, active = set(), set()
        for r in status["replicas"]:
            if r["alive"] and r["age_s"] < 1.5 and pids.get(r["replica"]) == r["pid"]:
                seen.add(r["replica"])
                if r["active"] and not r["trouble"]:
                    active.add(r["service"])
        return seen >= set(PLAN) and active >= {name.rsplit("-", 1)[0] for name in PLAN}

    @staticmethod
    def metric(status, service, name):
        """The working replica's figure; None when there is none."""
        for r in (status or {}).get("replicas", []):
            if r["service"] == service and r["alive"] and r["active"] and name in r["metrics"]:
                return int(r["metrics"][name]["value"])
        return None

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
