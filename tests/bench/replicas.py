#!/usr/bin/python3
"""replicas.py - how the throughput of patch grows from one replica to two.

    tests/bench/replicas.py [--runs 5] [--bin build/bin]

Two kinds of snapshot, each cut by one and by two replicas in turn (`strata scale` in between), --runs times:
  slow reading   the snapshot comes at 40 MB/s, as from a shared file system: a replica sleeps most of the time
  computing      large snapshots from memory: a replica needs a core; what the machine allows is measured beside it, by
                 one and by two processes that only compute, right before each pair
A replica reads with one thread (OMP_NUM_THREADS=1): alone it would take all cores for that.
A run: the queue is filled while patch is stopped (SIGSTOP), then the time until the last snapshot of it is cut, as patch
logs it. Printed: snapshots/s (median), the ratio of each pair (median and all), and at the end the audit: every snapshot was
cut once.
"""
import argparse
import datetime
import glob
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

KINDS = {  # grid, snapshots, rounds of them in a run, MB/s
    "slow reading": (480, 8, 3, 40),
    "computing": (960, 6, 4, None),
}


def compute(seconds):
    """Units of work that this process does in `seconds`."""
    end, n = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        sum(range(20000))
        n += 1
    return n


def machine(processes, seconds=1.0):
    """Units of work a second that so many processes do at once."""
    code = f"import sys; sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r}); import replicas; print(replicas.compute({seconds}))"
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    return sum(int(p.communicate()[0]) for p in running) / seconds


class Bench:
    def __init__(self, bin_dir, kind):
        self.bin = os.path.abspath(bin_dir)
        self.root = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
        self.grid, self.snapshots, self.rounds, self.rate = KINDS[kind]
        self.work = tempfile.mkdtemp(prefix="strata-bench-")
        self.workspace = os.path.join(self.work, "ws")
        self.campaign = os.path.join(self.work, "campaign.yaml")
        self.env = dict(os.environ, STRATA_WORKSPACE=self.workspace, OMP_NUM_THREADS="1")
        self.handed_in = self.round = 0

    def strata(self, *words):
        done = subprocess.run([os.path.join(self.bin, "strata"), *words], env=self.env, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise SystemExit(f"strata {' '.join(words)}: {done.stdout}")
        return done.stdout

    def start(self):
        with open(os.path.join(self.root, "apps/membrane/campaign.yaml")) as f:
            text = f.read()
        text = re.sub(r"(?m)^workspace:.*", f"workspace: {self.workspace}", text)
        text = re.sub(r'command: \["\{bin_dir\}/membrane-(macro|createsim)".*', 'command: [sleep, "100000"]', text)
        shutil.copytree(os.path.join(self.root, "apps/membrane/encoder"), os.path.join(self.work, "encoder"))
        with open(self.campaign, "w") as f:
            f.write(text)
        subprocess.run([os.path.join(self.bin, "membrane-macro"), "--out", os.path.join(self.work, "macro"), "--no-mesh", "--nx",
                        str(self.grid), "--steps", str(self.snapshots), "--snapshot-every", "1", "--pace", "0", "--seed", "5"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if self.rate:
            shim = os.path.join(self.work, "slow_read.so")
            subprocess.run(["cc", "-D_GNU_SOURCE", "-O2", "-shared", "-fPIC", "-o", shim,
                            os.path.join(self.root, "tests/bench/slow_read.c"), "-ldl"], check=True)
            self.env.update(LD_PRELOAD=shim, SLOW_READ_MBPS=str(self.rate))
        self.strata("up", self.campaign)

    def stop(self):
        subprocess.run([os.path.join(self.bin, "strata"), "down"], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.work, ignore_errors=True)

    def patches(self):
        return [r["pid"] for r in json.loads(self.strata("status", "--json"))["replicas"] if r["service"] == "patch" and not r["stopped"]]

    def cut(self, since):
        """When each snapshot was cut since then, as patch's logs say."""
        times = []
        for path in glob.glob(os.path.join(self.workspace, "log", "patch-*.log")):
            with open(path) as f:
                for line in f:
                    if "snapshot-cut" in line:
                        at = datetime.datetime.strptime(line[:23], "%Y-%m-%dT%H:%M:%S.%f").replace(tzinfo=datetime.timezone.utc).timestamp()
                        if at >= since:
                            times.append(at)
        return sorted(times)

    def run(self, replicas):
        """Snapshots a second."""
        self.strata("scale", "patch", str(replicas))
        pids = self.patches()
        if len(pids) != replicas:
            raise SystemExit(f"{len(pids)} replicas of patch, {replicas} are expected")
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        for _ in range(self.rounds):
            self.round += 1
            for index in range(1, self.snapshots + 1):
                self.strata("submit", "snapshots", f"round-{self.round}", str(index),
                            os.path.join(self.work, "macro", f"snapshot.{index:08d}"))
        count = self.rounds * self.snapshots
        begin = time.time()
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        end = begin + 300
        while len(self.cut(begin)) < count:
            if time.time() > end:
                raise SystemExit(f"only {len(self.cut(begin))} of {count} snapshots were cut in 300 s")
            time.sleep(0.1)
        self.handed_in += count
        return count / (self.cut(begin)[-1] - begin)

    def audit(self):
        self.strata("down")
        text = self.strata("audit")
        cut = re.search(r"(\d+) done, (\d+) batches", text)
        if not cut or cut.group(1) != cut.group(2) or int(cut.group(1)) != self.handed_in:
            raise SystemExit(f"{self.handed_in} snapshots were handed in; the audit says\n{text}")


def measure(kind, bin_dir, runs):
    bench = Bench(bin_dir, kind)
    one, two, ratios, machines = [], [], [], []
    try:
        bench.start()
        bench.run(1)  # warms up
        for _ in range(runs):
            if not bench.rate:
                machines.append(machine(2) / machine(1))
            one.append(bench.run(1))
            two.append(bench.run(2))
            ratios.append(two[-1] / one[-1])
        bench.audit()
    finally:
        bench.stop()
    allowed = f"{statistics.median(machines):.2f}" if machines else "2.00 (sleeping needs no core)"
    print(f"{kind:13s} {statistics.median(one):6.2f} snapshots/s by 1, {statistics.median(two):6.2f} by 2; ratio {statistics.median(ratios):.2f} "
          f"({' '.join(f'{r:.2f}' for r in ratios)}); the machine allows {allowed}; {bench.handed_in} snapshots, each cut once", flush=True)


def main():
    parser = argparse.ArgumentParser(description="throughput of patch with one and two replicas")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--bin", default="build/bin")
    parser.add_argument("--kind", choices=list(KINDS))
    args = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start, {args.runs} runs each, in turn", flush=True)
    for kind in [args.kind] if args.kind else KINDS:
        measure(kind, args.bin, args.runs)
    print(f"load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
