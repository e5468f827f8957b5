"""How the throughput of feedback grows from one shard to two.

Frames of 64 simulations (8 x 599 counts each, as the campaign of the paper has them) wait at the stage; feedback sums them up, with
one shard and with two in turn, each in a workspace of its own:
  slow sync      every sync takes feedback 150 ms more, as on a busy shared file system (slow_sync.c): a shard sleeps most of
                 the time
  computing      a shard needs a core. What the machine allows is measured in the same round: what two processes compute
                 against what one does
The stream is filled while feedback is stopped (SIGSTOP); then the time is taken until the stage has heard from every shard that all
is read and on disk. At the end of each run the audit must say that every frame is in the sums once, bin for bin.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from bench import median
from replicas_bench import ROOT, machine

TITLE = 'frames summed by one and by two shards of feedback'
SIMULATIONS = 64
KINDS = {'slow sync': 150, 'computing': 0}  # ms more for each sync

CAMPAIGN = """strata: 1
campaign: bench
workspace: {workspace}
seed: 1
replicas: {{feedback: {shards}}}
mesh: {{lease: 600}}
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


class Campaign:
    """A mesh without jobs; feedback alone has something to do."""

    def __init__(self, build, shards, frames, slow_ms):
        self.bin, self.shards, self.frames = os.path.join(os.path.abspath(build), 'bin'), shards, frames
        self.work = tempfile.mkdtemp(prefix='strata-bench-')
        self.workspace = os.path.join(self.work, 'ws')
        self.env = dict(os.environ, STRATA_WORKSPACE=self.workspace, OMP_NUM_THREADS='1')
        self.run('crash-load', 'model', '--out', os.path.join(self.work, 'model.npz'), '--dimensions', '4')
        with open(os.path.join(self.work, 'campaign.yaml'), 'w') as f:
            f.write(CAMPAIGN.format(workspace=self.workspace, shards=shards, states=', '.join(f'S{i}' for i in range(18))))
        if slow_ms:
            shim = os.path.join(self.work, 'slow_sync.so')
            subprocess.run(['cc', '-D_GNU_SOURCE', '-O2', '-shared', '-fPIC', '-o', shim, os.path.join(ROOT, 'tests/bench/slow_sync.c'),
                            '-ldl'], check=True)
            self.env.update(LD_PRELOAD=shim, SLOW_SYNC_MS=str(slow_ms), SLOW_SYNC_IN='strata-feedback',
                            ASAN_OPTIONS=os.environ.get('ASAN_OPTIONS', '') + ':verify_asan_link_order=0')

    def run(self, *words):
        done = subprocess.run([os.path.join(self.bin, words[0]), *words[1:]], env=self.env, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise RuntimeError(f'{" ".join(words)}: exit {done.returncode}\n{done.stdout[-2000:]}')
        return done.stdout

    def __enter__(self):
        self.run('strata', 'up', os.path.join(self.work, 'campaign.yaml'))
        return self

    def __exit__(self, *why):
        subprocess.run([os.path.join(self.bin, 'strata'), 'down'], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.work, ignore_errors=True)

    def replicas(self, service):
        status = json.loads(self.run('strata', 'status', '--json'))
        return [r for r in status['replicas'] if r['service'] == service and r['alive'] and r['active']]

    def cpu(self, service):
        """Seconds of CPU that its replicas have used."""
        ticks = 0
        for r in self.replicas(service):
            with open(f"/proc/{r['pid']}/stat") as f:
                ticks += sum(int(n) for n in f.read().rsplit(')', 1)[1].split()[11:13])
        return ticks / os.sysconf('SC_CLK_TCK')

    def all_read(self):
        streams = [s for r in self.replicas('stage') for s in r['streams'] if s['stream'] == 'rdfs']
        return bool(streams) and all(len(s['consumers']) == self.shards and min(s['consumers'].values()) >= s['next'] for s in streams)

    def wait(self, seconds, what, condition):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise RuntimeError(f'after {seconds} s still not: {what}')
            time.sleep(0.02)

    def recount(self, count):
        """Ends the campaign; so many frames must be in the sums, bin for bin."""
        self.run('strata', 'down')
        text = self.run('strata', 'audit')
        found = re.search(r'(\d+) of (\d+) records of stream rdfs are read, (\d+) frames in the sums', text)
        if not found or {int(n) for n in found.groups()} != {count} or 'sums recomputed' not in text:
            raise RuntimeError(f'{count} frames were handed in; the audit says\n{text}')

    def rate(self):
        """Frames a second, and microseconds of CPU that a frame takes."""
        self.wait(120, f'{self.shards} shards of feedback are held', lambda: len(self.replicas('feedback')) == self.shards)
        pids = [r['pid'] for r in self.replicas('feedback')]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        self.run('crash-load', 'frames', '--workspace', self.workspace, '--frames', str(self.frames))
        used, count = self.cpu('stage'), self.frames * SIMULATIONS
        begin = time.monotonic()
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        self.wait(600, 'all frames are read', self.all_read)
        seconds = time.monotonic() - begin
        figures = {'rate': count / seconds, 'feedback': self.cpu('feedback') * 1e6 / count, 'stage': (self.cpu('stage') - used) * 1e6 / count}
        self.recount(count)
        return figures


def once(build, shards, frames, slow_ms):
    with Campaign(build, shards, frames, slow_ms) as campaign:
        return campaign.rate()


def bench(b):
    frames = 4 if b.short else 150
    for kind, slow_ms in KINDS.items():
        programs = {f'{kind}, {n} shards': (lambda n=n: once(b.build, n, frames, slow_ms)) for n in (1, 2)}
        if not slow_ms:
            programs['machine'] = lambda: {'ratio': machine()}
        results = b.sample(programs)
        one, two = (results[f'{kind}, {n} shards'] for n in (1, 2))
        allowed = '2: what sleeps needs no core' if slow_ms else f"{median(results['machine']['ratio']):.2f}: two that compute, against one"
        b.row(f'{kind}: summed by two shards', 'frames/s', two['rate'], 'by one', one['rate'], limit=allowed)
        b.note(f"{kind}: a frame takes {median(one['feedback']):.0f} us of feedback's CPU, {median(one['stage']):.0f} us of the stage's")
