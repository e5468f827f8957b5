"""How the throughput of patch grows from one replica to two.

Two kinds of snapshot, each cut by one and by two replicas in turn (`strata scale` in between):
  slow reading   it comes at 40 MB/s, as from a shared file system (slow_read.c): a replica sleeps most of the time
  computing      a large one from memory: a replica needs a core. What the machine allows is measured in the same round: what
                 two processes compute against what one does
A replica reads with one thread: alone it would take all cores for that. The queue is filled while patch is stopped
(SIGSTOP); then the time is taken until the last snapshot is cut, as patch logs it. At the end the audit must say that every
snapshot was cut once.
"""
import os
import subprocess
import sys

from bench import median
from campaign import ROOT, Campaign

TITLE = 'snapshots cut by one and by two replicas of patch'
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


class Snapshots(Campaign):
    """With snapshots to hand in, read at `rate` MB/s at most."""

    def __init__(self, build, grid, snapshots, times, rate):
        super().__init__(build, environment={'OMP_NUM_THREADS': '1'})
        self.times = times
        self.paths = [os.path.join(self.work, 'macro', f'snapshot.{i:08d}') for i in range(1, snapshots + 1)]
        self.run(os.path.join(self.bin, 'membrane-macro'), '--out', os.path.join(self.work, 'macro'), '--no-mesh', '--nx', str(grid),
                 '--steps', str(snapshots), '--snapshot-every', '1', '--pace', '0', '--seed', '5')
        if rate:
            shim = os.path.join(self.work, 'slow_read.so')
            self.run('cc', '-D_GNU_SOURCE', '-O2', '-shared', '-fPIC', '-o', shim, os.path.join(ROOT, 'tests/bench/slow_read.c'), '-ldl')
            self.env.update(LD_PRELOAD=shim, SLOW_READ_MBPS=str(rate),
                            ASAN_OPTIONS=os.environ.get('ASAN_OPTIONS', '') + ':verify_asan_link_order=0')

    def rate(self, replicas):
        """Snapshots a second by so many replicas."""
        self.strata('scale', 'patch', str(replicas))
        if len(self.pids('patch')) != replicas:
            raise RuntimeError(f"{len(self.pids('patch'))} replicas of patch run, {replicas} are expected")
        begin, done = self.hand_in(self.paths * self.times)
        return {'rate': len(done) / (done[-1] - begin)}


def bench(b):
    for kind, (grid, snapshots, times, rate) in KINDS.items():
        if b.short:
            grid, snapshots, times = grid // 2, 4, 1
        with Snapshots(b.build, grid, snapshots, times, rate) as campaign:
            programs = {f'{kind}, {n} of patch': (lambda n=n: campaign.rate(n)) for n in (1, 2)}
            if not rate:
                programs['machine'] = lambda: {'ratio': machine()}
            results = b.sample(programs)
            campaign.check()
        one, two = (results[f'{kind}, {n} of patch']['rate'] for n in (1, 2))
        allowed = '2: what sleeps needs no core' if rate else f"{median(results['machine']['ratio']):.2f}: two that compute, against one"
        b.row(f'{kind}: cut by two replicas', 'snapshots/s', two, 'by one', one, limit=allowed)
