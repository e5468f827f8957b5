"""Patches of snapshots as large as the campaign's, and as many candidates as the mesh can take.

Full size: snapshots of 2400 x 2400 points (391.7 MB, bench_snapshot) wait in the queue while patch is stopped; then patch
reads them one after the other, cuts 333 patches of each, encodes them, puts them into staging, and the candidates stand in
the stream: all through the real services, everything on disk. The time is from one acknowledged snapshot to the next, beside
one `cat FILE > /dev/null`, each with the files out of the page cache and in it. A replica's memory is what the kernel says
it was at the most (VmHWM).

Through the mesh: snapshots of a coarse grid with 1,000 RAS, patches of 5 x 5 points, so that cutting is not what limits; from two
replicas of patch to the durable store of select, as select's own figure says.
"""
import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time

from bench import figures, median
from campaign import Campaign

TITLE = 'patches of snapshots of 391.7 MB; candidates through the mesh'
FLOOR_CAT, FLOOR_MEMORY, FLOOR_RATE = 1 / 3, 1, 20000


def make_snapshots(b, folder, count, **options):
    paths, size = [], 0
    for i in range(1, count + 1):
        size = b.program('bench_snapshot', out=folder, loop=i, **options)()['snapshot_bytes']
        paths.append(os.path.join(folder, f'snapshot.{i:08d}'))
    return paths, size


def densities(path):
    return os.path.join(path, 'densities#000000')


def drop(paths):
    """Out of the page cache."""
    for path in paths:
        fd = os.open(densities(path), os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def cat(paths):
    """Median seconds of one plain read, and of processor time."""
    walls, used = [], []
    for path in paths:
        before, start = os.times(), time.monotonic()
        with open(densities(path)) as f:
            subprocess.run(['cat'], stdin=f, stdout=subprocess.DEVNULL, check=True)
        walls.append(time.monotonic() - start)
        after = os.times()
        used.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return median(walls), median(used)


def cpu_seconds(pid):
    with open(f'/proc/{pid}/stat') as f:
        fields = f.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def peak_bytes(pid):
    with open(f'/proc/{pid}/status') as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith('VmHWM'))


def full_size(b, backend='rocksdb'):
    size = {'grid': 480, 'ras': 12} if b.short else {}
    folder = tempfile.mkdtemp(prefix='strata-bench-')
    edits = ((r'backend: file, quota_mb: \d+', f'backend: {backend}, quota_mb: 16384'), (r'lipid_only: \d+', f'lipid_only: {2 if b.short else 33}'))
    try:
        paths, bytes_ = make_snapshots(b, folder, 3 if b.short else 4, **size)
        with Campaign(b.build, edits) as campaign:
            results = {kind: {} for kind in ('cold', 'warm')}
            patch, stage = campaign.pids('patch')[0], campaign.pids('stage')[0]
            for _ in range(b.runs):
                for kind, prepare in (('cold', drop), ('warm', cat)):
                    prepare(paths)
                    wall, used = cat(paths)
                    before = cpu_seconds(patch), cpu_seconds(stage)
                    begin, done = campaign.hand_in(paths, lambda: prepare(paths))
                    each = [b_ - a for a, b_ in zip(done, done[1:])]
                    for name, value in (('cat', wall), ('cat_cpu', used), ('each', statistics.fmean(each)), ('first', done[0] - begin),
                                        ('patch_cpu', (cpu_seconds(patch) - before[0]) / len(paths)),
                                        ('stage_cpu', (cpu_seconds(stage) - before[1]) / len(paths))):
                        results[kind].setdefault(name, []).append(value)
            peak = peak_bytes(patch)
            seconds = re.findall(r'snapshot-cut.* (\d+) patches .*\) in ([\d.]+) s(?:, put in ([\d.]+) s, acknowledged in ([\d.]+) s)?', logs(campaign))
            campaign.check()
        for kind, state in (('cold', 'not in the page cache'), ('warm', 'in the page cache')):
            r = results[kind]
            b.row(f'{bytes_ / 1e6:.4g} MB to {seconds[0][0]} candidates in the stream, {state}', 's', r['each'], 'one cat', r['cat'],
                  floor=None if b.short else FLOOR_CAT, lower_is_better=True,
                  limit=f"CPU: patch {median(r['patch_cpu']):.3g} s, stage {median(r['stage_cpu']):.3g} s, cat {median(r['cat_cpu']):.3g} s")
        b.row('memory of patch at the most', 'MB', [peak / 1e6], '1.2 snapshots', [1.2 * bytes_ / 1e6],
              floor=None if b.short else FLOOR_MEMORY, lower_is_better=True)
        b.note('medians of a snapshot: ' + ', '.join(f'{what} {median([float(s[i]) for s in seconds if s[i]]):.3g} s' for i, what in
                                                     ((1, 'read, cut and encoded in'), (2, 'put into staging in'), (3, 'acknowledged in'))
                                                     if any(s[i] for s in seconds)))
    finally:
        shutil.rmtree(folder)


def logs(campaign):
    text = ''
    for name in sorted(os.listdir(os.path.join(campaign.workspace, 'log'))):
        if name.startswith('patch-'):
            with open(os.path.join(campaign.workspace, 'log', name)) as f:
                text += f.read()
    return text


def candidates_known(campaign):
    """Candidates that select has on its disk, as it counts them."""
    for replica in json.loads(campaign.strata('status', '--json'))['replicas']:
        if replica['service'] == 'select' and not replica['stopped'] and 'candidates_waiting' in replica['metrics']:
            return sum(replica['metrics'][f'candidates_{state}']['value'] for state in
                       ('waiting', 'proposed', 'selected', 'discarded', 'invalid'))
    return 0


class Small(Campaign):
    """Two replicas of patch; patches of 5 x 5 points, small enough that the mesh has to do more than they. Staging keeps them in
    archives, which are written once; a store of RocksDB moves each object again in its compactions (60 us of CPU an object)."""
    EDITS = ((r'backend: file, quota_mb: \d+', 'backend: tar, quota_mb: 16384'), (r'replicas: .*', 'replicas: {patch: 2}'),
             (r'lipid_only: \d+', 'lipid_only: 0\n  points: 9\n  coarse: 5'), (r'model: encoder/pca.npz', 'model: small.npz'))

    def __init__(self, build):
        super().__init__(build, self.EDITS, {'OMP_NUM_THREADS': '1'})
        self.run(os.path.join(self.bin, 'crash-load'), 'model', '--out', os.path.join(self.work, 'small.npz'), '--dimensions', '9')


def through_the_mesh(b):
    ras, grid, snapshots, times = (100, 96, 2, 1) if b.short else (1000, 240, 4, 30)
    folder = tempfile.mkdtemp(prefix='strata-bench-')
    try:
        paths, _ = make_snapshots(b, folder, snapshots, grid=grid, ras=ras)
        expected = snapshots * times * ras
        with Small(b.build) as campaign:
            rates, cpu = [], {}
            pids = {s: campaign.pids(s) for s in ('patch', 'stage', 'select')}
            for run in range(b.runs):
                before = {s: sum(cpu_seconds(p) for p in pids[s]) for s in pids}
                begin, _ = campaign.hand_in(paths * times)
                while candidates_known(campaign) < expected * (run + 1):
                    if time.time() > begin + 300:
                        raise RuntimeError(f'select knows {candidates_known(campaign):.0f} of {expected * (run + 1)} candidates after 300 s')
                    time.sleep(0.4)  # asking costs a process's start
                rates.append(expected / (time.time() - begin))
                for s in pids:
                    cpu.setdefault(s, []).append((sum(cpu_seconds(p) for p in pids[s]) - before[s]) / expected * 1e6)
            campaign.check()
        b.row('candidates from two replicas of patch to the store of select', '/s', rates, 'promised', [FLOOR_RATE],
              floor=None if b.short else 1,
              limit=f"CPU a candidate: {', '.join(f'{s} {median(cpu[s]):.3g} us' for s in cpu)}; all in {sum(median(c) for c in cpu.values()):.3g} us")
    finally:
        shutil.rmtree(folder)


def bench(b):
    full_size(b)
    through_the_mesh(b)
