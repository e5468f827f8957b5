"""Frames of eight simulations into exact sums: as they come, beside the paper's pattern on Redis.

Each frame is 8 x 599 counts of 4 bytes. Ours: appended to the stage (acknowledged = on its disk, with the producer's sequence),
read by feedback, added to sums that are on disk with the mark of each frame and the reading position: exactly once, whatever
dies. Redis: SET, then SCAN, MGET, add, DEL and SET of the sums in one transaction, by programs in C, pipelined.
The time runs from the first frame until the last one is in the sums, on disk.
"""
import os
import time

from bench import figures, median
from feedback_bench import Campaign

TITLE = 'frames of eight simulations into sums, exactly once'
PRODUCERS = 8


class Frames(Campaign):
    def rate(self):
        self.wait(60, 'feedback is held', lambda: len(self.replicas('feedback')) == 1)
        used, begin = {s: self.cpu(s) for s in ('stage', 'feedback')}, time.monotonic()
        handed_in = figures([os.path.join(self.bin, '../bench/bench_frames'), '--workspace', self.workspace,
                             '--producers', str(PRODUCERS), '--frames', str(self.frames)])['handed_in']
        self.wait(600, 'all frames are read', self.all_read)
        seconds, count = time.monotonic() - begin, self.frames * PRODUCERS
        result = {'rate': count / seconds, 'handed_in': handed_in, **{s: (self.cpu(s) - used[s]) * 1e6 / count for s in used}}
        self.recount(count)
        return result


def ours(build, frames):
    with Frames(build, 1, frames, 0) as campaign:
        return campaign.rate()


def bench(b):
    frames = 50 if b.short else 10000
    with b.redis() as (always, version), b.redis('everysec') as (everysec, _):
        pattern = {'producers': PRODUCERS, 'frames': frames}
        results = b.sample({'ours': lambda: ours(b.build, frames),
                            'always': b.program('bench_frames_redis', socket=always, **pattern),
                            'everysec': b.program('bench_frames_redis', socket=everysec, **pattern)})
    rate = results['ours']['rate']
    copies = 1e6 / (median(results['ours']['stage']) + median(results['ours']['feedback']))
    limit = f'{copies:,.0f}/s: what stage and feedback together do on one core'
    b.row('19 KB frames into sums, on disk', 'frames/s', rate, f'Redis {version}, synced', results['always']['summed'], floor=3, limit=limit)
    b.row('the same', 'frames/s', rate, f'Redis {version}, synced once a second', results['everysec']['summed'])
    b.note(f"promised: 30,000 frames/s; {'kept' if median(rate) >= 30000 else 'NOT KEPT'}. Handed in at {median(results['ours']['handed_in']):,.0f}/s; "
           f"a frame takes {median(results['ours']['stage']):.1f} us of the stage's CPU, {median(results['ours']['feedback']):.1f} us of feedback's")
