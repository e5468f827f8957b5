"""How the throughput of patch grows from one replica to two.

Two kinds of snapshot, each cut by one and by two replicas in turn (`strata scale` in between):
  slow reading   it comes at 40 MB/s, as from a shared file system (slow_read.c): a replica sleeps most of the time
  computing      a large one from memory: a replica needs a core. What the machine allows is measured in the same round: what
                 two processes compute against what one does
A replica reads with one thread: alone it would take all cores for that. The queue is filled while patch is stopped
(SIGSTOP); then the time is taken until the last snapshot is cut, as patch logs it. At the end the audit must say that every
snapshot was cut once.
"""
import datetime
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from bench import median

TITLE = 'snapshots cut by one and by two replicas of patch'
ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))
KINDS = {  # grid, snapshots, times that all of them are handed in a run, MB/s
    'slow reading': (480, 8, 3, 40),
    'computing': (960, 6, 4, None),
}
COMPUTE = '''
import time
end, n = time.monotonic() + 1, 0
while time.monotonic() < end:
    sum(range(20000))
    n += 1
print(n)
'''


def machine():
    """How much more two processes compute than one."""
    def rate(processes):
        running = [subprocess.Popen([sys.executable, '-c', COMPUTE], stdout=subprocess.PIPE, text=True) for _ in range(processes)]
        return sum(int(p.communicate()[0]) for p in running)
    return rate(2) / rate(1)


class Campaign:
    """The membrane campaign with jobs that do nothing, and snapshots to hand in."""

    def __init__(self, build, grid, snapshots, times, rate):
        self.bin = os.path.join(os.path.abspath(build), 'bin')
        self.snapshots, self.times = snapshots, times
        self.work = tempfile.mkdtemp(prefix='strata-bench-')
        self.workspace = os.path.join(self.work, 'ws')
        self.env = dict(os.environ, STRATA_WORKSPACE=self.workspace, OMP_NUM_THREADS='1')
        self.handed_in = self.round = 0
        with open(os.path.join(ROOT, 'apps/membrane/campaign.yaml')) as f:
            text = re.sub(r'(?m)^workspace:.*', f'workspace: {self.workspace}', f.read())
        text = text.replace('{kind: network, model: encoder/model.pt,', '{kind: pca, model: encoder/pca.npz,')
        with open(os.path.join(self.work, 'campaign.yaml'), 'w') as f:
            f.write(re.sub(r'command: \["\{bin_dir\}/membrane-(macro|createsim)".*', 'command: [sleep, "100000"]', text))
        shutil.copytree(os.path.join(ROOT, 'apps/membrane/encoder'), os.path.join(self.work, 'encoder'))
        self.run(os.path.join(self.bin, 'membrane-macro'), '--out', os.path.join(self.work, 'macro'), '--no-mesh', '--nx', str(grid),
                 '--steps', str(snapshots), '--snapshot-every', '1', '--pace', '0', '--seed', '5')
        if rate:
            shim = os.path.join(self.work, 'slow_read.so')
            self.run('cc', '-D_GNU_SOURCE', '-O2', '-shared', '-fPIC', '-o', shim, os.path.join(ROOT, 'tests/bench/slow_read.c'), '-ldl')
            self.env.update(LD_PRELOAD=shim, SLOW_READ_MBPS=str(rate),
                            ASAN_OPTIONS=os.environ.get('ASAN_OPTIONS', '') + ':verify_asan_link_order=0')

    def run(self, *words):
        done = subprocess.run(words, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise RuntimeError(f'{" ".join(words)}: exit {done.returncode}\n{done.stdout[-2000:]}')
        return done.stdout

    def strata(self, *words):
        return self.run(os.path.join(self.bin, 'strata'), *words)

    def __enter__(self):
        self.strata('up', os.path.join(self.work, 'campaign.yaml'))
        return self

    def __exit__(self, *why):
        subprocess.run([os.path.join(self.bin, 'strata'), 'down'], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.work, ignore_errors=True)

    def patches(self):
        return [r['pid'] for r in json.loads(self.strata('status', '--json'))['replicas'] if r['service'] == 'patch' and not r['stopped']]

    def cut(self, since):
        """When each snapshot was cut since then, as patch's logs say."""
        times = []
        for path in glob.glob(os.path.join(self.workspace, 'log', 'patch-*.log')):
            with open(path) as f:
                stamps = [line[:23] + '+00:00' for line in f if 'snapshot-cut' in line]
            times += [t for t in (datetime.datetime.fromisoformat(s).timestamp() for s in stamps) if t >= since]
        return sorted(times)

    def rate(self, replicas):
        """Snapshots a second by so many replicas."""
        self.strata('scale', 'patch', str(replicas))
        pids = self.patches()
        if len(pids) != replicas:
            raise RuntimeError(f'{len(pids)} replicas of patch run, {replicas} are expected')
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        for _ in range(self.times):
            self.round += 1
            for i in range(1, self.snapshots + 1):
                self.strata('submit', 'snapshots', f'round-{self.round}', str(i), os.path.join(self.work, 'macro', f'snapshot.{i:08d}'))
        count = self.times * self.snapshots
        begin = time.time()
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        while len(self.cut(begin)) < count:
            if time.time() > begin + 300:
                raise RuntimeError(f'only {len(self.cut(begin))} of {count} snapshots were cut in 300 s')
            time.sleep(0.1)
        self.handed_in += count
        return {'rate': count / (self.cut(begin)[-1] - begin)}

    def check(self):
        self.strata('down')
        text = self.strata('audit')
        cut = re.search(r'(\d+) done, (\d+) batches', text)
        if not cut or {int(n) for n in cut.groups()} != {self.handed_in}:
            raise RuntimeError(f'{self.handed_in} snapshots were handed in; the audit says\n{text}')


def bench(b):
    for kind, (grid, snapshots, times, rate) in KINDS.items():
        if b.short:
            grid, snapshots, times = grid // 2, 4, 1
        with Campaign(b.build, grid, snapshots, times, rate) as campaign:
            programs = {f'{kind}, {n} of patch': (lambda n=n: campaign.rate(n)) for n in (1, 2)}
            if not rate:
                programs['machine'] = lambda: {'ratio': machine()}
            results = b.sample(programs)
            campaign.check()
        one, two = (results[f'{kind}, {n} of patch']['rate'] for n in (1, 2))
        allowed = '2: what sleeps needs no core' if rate else f"{median(results['machine']['ratio']):.2f}: two that compute, against one"
        b.row(f'{kind}: cut by two replicas', 'snapshots/s', two, 'by one', one, limit=allowed)
