#!/usr/bin/python3
"""feedback_shards.py - how the throughput of feedback grows from one shard to two.

    tests/bench/feedback_shards.py [--runs 5] [--frames 150] [--bin build/bin] [--kind KIND]

Frames of 64 simulations (8 x 599 counts each, as the campaign of the paper has them) wait at the stage; feedback sums them up, with
one shard and with two in turn, --runs times each.
  computing      nothing but feedback runs: a shard needs a core; what the machine allows is measured beside it
  slow sync      every fdatasync takes 150 ms more, as on a shared file system: a shard sleeps most of the time
A run: the queue of frames is filled while feedback is stopped (SIGSTOP), then the time until all of them are read and the cursors
are on disk, as the shards' consumers tell the stage. Printed: frames/s (median), the ratio of each pair; at the end of
each run the audit: every frame is in the sums once.
"""
import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

from replicas import machine

KINDS = {"computing": 0, "slow sync": 150}
SIMULATIONS = 64

CAMPAIGN = """strata: 1
campaign: bench
workspace: {workspace}
seed: 1
replicas: {{feedback: {shards}}}
mesh: {{lease: 60}}
stage: {{backend: file, queue_mb: 16384}}
patch: {{snapshots: snapshots, candidates: patches, points: 9, coarse: 5, encoder: {{kind: pca, model: model.npz, dimensions: 4}}}}
select: {{from: patches, queues: [{{name: all, configuration: other, quota: 1}}]}}
jobs: [{{name: a, start: selection, command: ["true"]}}]
feedback:
  from: rdfs
  uptake: uptakes
  shards: {shards}
  states: [{states}]
  rows: [POPC, PAPC, POPE, DIPE, DPSM, PAPS, PAP6, CHOL]
  frames: 100000
  seconds: 600
"""


class Run:
    def __init__(self, bin_dir, shards, frames, slow_ms):
        self.bin, self.shards, self.frames = os.path.abspath(bin_dir), shards, frames
        self.work = tempfile.mkdtemp(prefix="strata-bench-")
        self.workspace = os.path.join(self.work, "ws")
        self.env = dict(os.environ, STRATA_WORKSPACE=self.workspace, OMP_NUM_THREADS="1")
        self.slow_ms = slow_ms

    def run(self, *words):
        done = subprocess.run([os.path.join(self.bin, words[0]), *words[1:]], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(words)}: {done.stdout}")
        return done.stdout

    def start(self):
        self.run("crash-load", "model", "--out", os.path.join(self.work, "model.npz"), "--dimensions", "4")
        path = os.path.join(self.work, "campaign.yaml")
        with open(path, "w") as f:
            f.write(CAMPAIGN.format(workspace=self.workspace, shards=self.shards, states=", ".join(f"S{i}" for i in range(18))))
        if self.slow_ms:
            shim = os.path.join(self.work, "slow_sync.so")
            source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "slow_sync.c")
            subprocess.run(["cc", "-D_GNU_SOURCE", "-O2", "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
            self.env.update(LD_PRELOAD=shim, SLOW_SYNC_MS=str(self.slow_ms), SLOW_SYNC_IN="strata-feedback")
        self.run("strata", "up", path)

    def status(self):
        return json.loads(self.run("strata", "status", "--json"))

    def holders(self):
        return [r["pid"] for r in self.status()["replicas"] if r["service"] == "feedback" and r["alive"] and r["active"]]

    def cpu(self, service):
        """Seconds of CPU that its replicas have used."""
        total = 0
        for r in self.status()["replicas"]:
            if r["service"] == service and r["alive"]:
                with open(f"/proc/{r['pid']}/stat") as f:
                    fields = f.read().rsplit(")", 1)[1].split()
                total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")

    def read(self):
        """Whether every shard has read all."""
        for r in self.status()["replicas"]:
            for s in r["streams"]:
                if r["service"] == "stage" and s["stream"] == "rdfs":
                    return len(s["consumers"]) == self.shards and all(v >= s["next"] for v in s["consumers"].values())
        return False

    def measure(self):
        """Frames a second."""
        end = time.monotonic() + 60
        while len(self.holders()) < self.shards:
            if time.monotonic() > end:
                raise SystemExit("not all shards of feedback are held")
            time.sleep(0.2)
        pids = self.holders()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        self.run("crash-load", "frames", "--workspace", self.workspace, "--frames", str(self.frames))
        before = {s: self.cpu(s) for s in ("feedback", "stage")}
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        begin = time.monotonic()
        while not self.read():
            if time.monotonic() - begin > 300:
                raise SystemExit("not all frames are read in 300 s")
            time.sleep(0.02)
        seconds = time.monotonic() - begin
        self.cpu_us = {s: (self.cpu(s) - before[s]) * 1e6 / (self.frames * SIMULATIONS) for s in before}
        self.run("strata", "down")
        text = self.run("strata", "audit")
        found = re.search(r"(\d+) of (\d+) records of stream rdfs are read, (\d+) frames in the sums", text)
        if not found or {int(n) for n in found.groups()} != {self.frames * SIMULATIONS}:
            raise SystemExit(f"{self.frames * SIMULATIONS} frames were handed in; the audit says\n{text}")
        return self.frames * SIMULATIONS / seconds

    def stop(self):
        subprocess.run([os.path.join(self.bin, "strata"), "down"], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.work, ignore_errors=True)


def once(*what):
    run = Run(*what)
    try:
        run.start()
        return run.measure(), run.cpu_us
    finally:
        run.stop()


def main():
    parser = argparse.ArgumentParser(description="throughput of feedback with one and two shards")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--frames", type=int, default=150, help="of each of 64 simulations")
    parser.add_argument("--bin", default="build/bin")
    parser.add_argument("--kind", choices=list(KINDS))
    args = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start, {args.runs} runs each, in turn", flush=True)
    for kind in [args.kind] if args.kind else KINDS:
        one, two, allowed = [], [], []
        for _ in range(args.runs):
            allowed.append(machine(2) / machine(1))
            one.append(once(args.bin, 1, args.frames, KINDS[kind]))
            two.append(once(args.bin, 2, args.frames, KINDS[kind]))
        us = {s: statistics.median(cpu[s] for _, cpu in one + two) for s in ("feedback", "stage")}
        one, two = [rate for rate, _ in one], [rate for rate, _ in two]
        ratios = [b / a for a, b in zip(one, two)]
        limit = f"{statistics.median(allowed):.2f}" if not KINDS[kind] else "2.00 (sleeping needs no core)"
        print(f"{kind:10s} {statistics.median(one):8.0f} frames/s by 1 shard, {statistics.median(two):8.0f} by 2; ratio {statistics.median(ratios):.2f} "
              f"({' '.join(f'{r:.2f}' for r in ratios)}); the machine allows {limit}; "
              f"CPU a frame: {us['feedback']:.0f} us of feedback, {us['stage']:.0f} us of stage; each frame summed once", flush=True)
    print(f"load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
