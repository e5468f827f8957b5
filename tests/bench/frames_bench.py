"""Frames of eight simulations into exact sums: as they come, beside the paper's pattern on Redis.

Each frame is 8 x 599 counts of 4 bytes. Ours, summed: a simulation adds up its own frames and appends the sums, each with the
numbers of its frames, and flushes every SUM frames: then they are on the stage's disk. Ours, one by one: each frame is a record.
Feedback reads them and adds them to sums that are on disk with the mark of each frame and the reading position: exactly once,
whatever dies. After each run the audit recounts; of summed frames each bin is compared with what the simulations made as well. Redis: SET, then SCAN, MGET, add, DEL and SET of the sums in one transaction, by programs in C, pipelined.
The time runs from the first frame until the last one is in the sums, on disk.
"""
import os
import re
import time

from bench import figures, median
from feedback_bench import Campaign

TITLE = 'frames of eight simulations into sums, exactly once'
PRODUCERS = 8
SUM = 256  # frames between two flushes
MORE = 20  # times as many frames when they are summed, so that the run lasts seconds


class Frames(Campaign):
    def rate(self, summed):
        self.wait(60, 'feedback is held', lambda: len(self.replicas('feedback')) == 1)
        used, begin = {s: self.cpu(s) for s in ('stage', 'feedback')}, time.monotonic()
        program = [os.path.join(self.bin, '../bench/bench_frames'), '--workspace', self.workspace, '--producers', str(PRODUCERS),
                   '--frames', str(self.frames)]
        mine = os.times()
        handed_in = figures(program + ['--sum', str(SUM if summed else 0)])['handed_in']
        mine = [b - a for a, b in zip(mine, os.times())]
        self.wait(600, 'all frames are read', self.all_read)
        seconds, count = time.monotonic() - begin, self.frames * PRODUCERS
        result = {'rate': count / seconds, 'handed_in': handed_in, **{s: (self.cpu(s) - used[s]) * 1e6 / count for s in used}}
        result['producers'] = (mine[2] + mine[3]) * 1e6 / count
        self.recount_frames(count, summed)
        if summed:
            figures(program + ['--check', '1'])
        return result

    def recount_frames(self, count, summed):
        self.run('strata', 'down')
        text = self.run('strata', 'audit')
        found = re.search(r'(\d+) of (\d+) records of stream rdfs are read, (\d+) frames in the sums', text)
        read, appended, frames = (int(n) for n in found.groups()) if found else (0, 1, 0)
        if read != appended or frames != count or 'sums recomputed' not in text or (not summed and read != count):
            raise RuntimeError(f'{count} frames were handed in; the audit says\n{text}')


def ours(build, frames, summed):
    with Frames(build, 1, frames * (MORE if summed else 1), 0) as campaign:
        return campaign.rate(summed)


def bench(b):
    frames = 50 if b.short else 10000
    with b.redis() as (always, version), b.redis('everysec') as (everysec, _):
        pattern = {'producers': PRODUCERS, 'frames': frames}
        results = b.sample({'summed': lambda: ours(b.build, frames, True), 'ours': lambda: ours(b.build, frames, False),
                            'adding': b.program('bench_frames', workspace='-', check=2),
                            'always': b.program('bench_frames_redis', socket=always, **pattern),
                            'everysec': b.program('bench_frames_redis', socket=everysec, **pattern)})
    summed, rate = results['summed'], results['ours']['rate']
    synced, lazy = results['always']['summed'], results['everysec']['summed']
    adding = median(results['adding']['adding'])
    b.row('19 KB frames into sums, on disk: summed where they are made', 'frames/s', summed['rate'], f'Redis {version}, synced', synced,
          floor=3, limit=f'{adding:,.0f}/s: one core that does nothing but add them')
    b.row('the same', 'frames/s', summed['rate'], f'Redis {version}, synced once a second', lazy, floor=3)
    copies = 1e6 / (median(results['ours']['stage']) + median(results['ours']['feedback']))
    limit = f'{copies:,.0f}/s: what stage and feedback together do on one core'
    b.row('each frame a record of its own', 'frames/s', rate, f'Redis {version}, synced', synced, floor=3, limit=limit)
    b.row('the same', 'frames/s', rate, f'Redis {version}, synced once a second', lazy)
    for name, r in (('summed', summed), ('a record each', results['ours'])):
        b.note(f"{name}: promised: 30,000 frames/s; {'kept' if median(r['rate']) >= 30000 else 'NOT KEPT'}. Handed in at {median(r['handed_in']):,.0f}/s; "
               f"CPU of a frame: {median(r['producers']):.1f} us of the producers, {median(r['stage']):.1f} us of the stage, {median(r['feedback']):.1f} us of feedback")
