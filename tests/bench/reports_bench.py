"""What a report of feedback takes, and how a backlog is worked off.

In one campaign reports are made after 1, 10,001 and 1,000,001 frames (8 x 599 counts each, summed where they are made, as in the
bench `frames`): the time from the making of a report's folder until the link to it is made, with what it syncs. The last 990,000
frames are handed in while feedback is stopped (SIGSTOP): then the time until all are in the sums, the longest time without a step
forward, and how much more memory feedback held at its highest. The audit recounts all at the end.
"""
import json
import os
import signal
import subprocess
import time

from bench import figures, median
from frames_bench import Frames, SUM

TITLE = 'a report over few and many frames; a backlog of frames'


def born(path):
    return float(subprocess.run(['stat', '-c', '%.6W', path], capture_output=True, text=True, check=True).stdout)


def memory(pid, what):
    with open(f'/proc/{pid}/status') as f:
        return next(int(line.split()[1]) for line in f if line.startswith(what)) / 1024


class Reports(Frames):
    def __init__(self, build):
        super().__init__(build, 1, 0, 0)
        path = os.path.join(self.work, 'campaign.yaml')
        with open(path) as f:
            text = f.read()
        with open(path, 'w') as f:
            f.write(text.replace('frames: 100000', 'frames: 1000000000').replace('seconds: 600', 'seconds: 2'))
        self.rdf = os.path.join(self.workspace, 'feedback/rdf')

    def hand_in(self, producers, frames):
        figures([os.path.join(self.bin, '../bench/bench_frames'), '--workspace', self.workspace, '--producers', str(producers),
                 '--frames', str(frames), '--sum', str(SUM)])

    def said(self):
        try:
            with open(os.path.join(self.rdf, 'current/report.json')) as f:
                return json.load(f)['frames']
        except OSError:
            return 0

    def report_ms(self, frames):
        """Of the report over so many, which is waited for."""
        self.wait(60, f'a report of {frames} frames', lambda: self.said() == frames)
        current = os.path.join(self.rdf, 'current')
        return (born(current) - born(os.path.join(self.rdf, os.readlink(current)))) * 1e3

    def read_so_far(self):
        return sum(min(s['consumers'].values()) for r in self.replicas('stage') for s in r['streams'] if s['stream'] == 'rdfs' and s['consumers'])

    def work_off(self, pid):
        """Seconds until all is read, and the longest without a step; looked at ten times a second."""
        begin = stepped = time.monotonic()
        seen, longest = self.read_so_far(), 0
        while not self.all_read():
            now, count = time.monotonic(), self.read_so_far()
            if now - begin > 600:
                raise RuntimeError(f'after 600 s feedback has read {count} records')
            if count > seen:
                longest, stepped, seen = max(longest, now - stepped), now, count
            time.sleep(0.1)
        end = time.monotonic()
        return end - begin, max(longest, end - stepped)

    def measure(self, some, many):
        self.wait(60, 'feedback is held', lambda: len(self.replicas('feedback')) == 1)
        result, pid = {}, self.replicas('feedback')[0]['pid']
        self.hand_in(1, 1)
        result['one'] = self.report_ms(1)
        self.hand_in(8, some)
        result['some'] = self.report_ms(1 + 8 * some)
        os.kill(pid, signal.SIGSTOP)
        self.hand_in(8, many)
        before = memory(pid, 'VmRSS')
        with open(f'/proc/{pid}/clear_refs', 'w') as f:
            f.write('5')
        os.kill(pid, signal.SIGCONT)
        seconds, result['stall'] = self.work_off(pid)
        result.update(rate=8 * many / seconds, growth=memory(pid, 'VmHWM') - before, before=before)
        total = 1 + 8 * (some + many)
        result['many'] = self.report_ms(total)
        self.recount_frames(total, True)
        return result


def once(build, some, many):
    with Reports(build) as campaign:
        return campaign.measure(some, many)


def bench(b):
    some, many = (10, 1000) if b.short else (1250, 123750)
    r = b.sample({'reports': lambda: once(b.build, some, many)})['reports']
    for name, count in (('some', 1 + 8 * some), ('many', 1 + 8 * (some + many))):
        b.row(f'a report over {count:,} frames', 'ms', r[name], 'over 1 frame', r['one'], lower_is_better=True)
    b.row(f'a backlog of {8 * many:,} frames into sums', 'frames/s', r['rate'])
    b.note(f"backlog: the longest time without a step {median(r['stall']):.1f} s; feedback held {median(r['before']):.0f} MiB and at its highest "
           f"{median(r['growth']):.0f} MiB more")
