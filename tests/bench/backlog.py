#!/usr/bin/python3
"""A backlog of feedback worked off: frames are handed in while it is down, each a record of its own or summed where they are made.

Prints once a second how far it is, the memory of feedback and of the stage, and at the end the rate, the longest time without a
step, and the most memory. Exits with 1 when it stands still for longer than --gap seconds, or grows by more than --growth MiB:
neither may depend on how many frames there are. The audit recounts all of them at the end.
"""
import argparse
import os
import signal
import sys
import time

from frames_bench import PRODUCERS, SUM
from bench import figures
from reports_bench import Reports, memory


class Backlog(Reports):
    def pid(self):
        holders = self.replicas('feedback')
        return holders[0]['pid'] if len(holders) == 1 else 0

    def come_back(self, pid):
        """Killed where it was stopped: another process begins from the store."""
        os.kill(pid, signal.SIGKILL)
        self.wait(60, 'feedback is up again', lambda: self.pid() not in (0, pid))
        return self.pid()

    def watch(self, total, handed_in):
        stage = next(r['pid'] for r in self.replicas('stage'))
        os.kill(self.stopped, signal.SIGCONT)
        pid = self.come_back(self.stopped)
        begin = stepped = now = time.monotonic()
        first, seen, longest, most, told = None, self.read_so_far(), 0, 0, begin - 1
        start = seen
        print(f'  {"s":>6} {"records read":>13} {"records/s":>10} {"feedback MiB":>13} {"stage MiB":>10}')
        while True:
            done, count, now = self.all_read(), self.read_so_far(), time.monotonic()
            held = memory(pid, 'VmRSS')
            first = held if first is None else first
            most = max(most, held)
            if count > seen or done:
                longest, stepped, seen = max(longest, now - stepped), now, count
            longest = max(longest, now - stepped)
            if now - told >= 1 or done:
                told = now
                print(f'  {now - begin:6.1f} {count - start:13,} {(count - start) / max(now - begin, 1e-3):10,.0f} {held:13.0f} '
                      f'{memory(stage, "VmRSS"):10.0f}', flush=True)
            if done:
                break
            if longest > self.gap:
                raise RuntimeError(f'feedback took no step for {longest:.1f} s')
            time.sleep(0.1)
        seconds = now - begin
        print(f'{total:,} frames worked off in {seconds:.1f} s: {total / seconds:,.0f}/s; the longest time without a step {longest:.1f} s '
              f'(at most {self.gap}); feedback held {first:.0f} MiB at first and {most:.0f} at most (at most {self.growth} more)')
        return most - first

    def run_all(self, frames, summed, gap, growth):
        self.gap, self.growth = gap, growth
        self.wait(60, 'feedback is held', self.pid)
        self.stopped = self.pid()
        os.kill(self.stopped, signal.SIGSTOP)
        begin = time.monotonic()
        figures([os.path.join(self.bin, '../bench/bench_frames'), '--workspace', self.workspace, '--producers', str(PRODUCERS),
                 '--frames', str(frames // PRODUCERS), '--sum', str(summed)])
        total = frames // PRODUCERS * PRODUCERS
        print(f'{total:,} frames handed in while feedback is stopped, in {time.monotonic() - begin:.1f} s; load {os.getloadavg()[0]:.1f}')
        grown = self.watch(total, begin)
        self.recount_frames(total, bool(summed))
        print('the audit recounted all of them')
        if grown > growth:
            raise RuntimeError(f'feedback grew by {grown:.0f} MiB')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', default='build')
    parser.add_argument('--frames', type=int, default=1000000)
    parser.add_argument('--sum', type=int, default=SUM, help='frames between two flushes of a simulation; 0: each frame a record')
    parser.add_argument('--gap', type=float, default=10, help='seconds')
    parser.add_argument('--growth', type=float, default=256, help='MiB')
    a = parser.parse_args()
    if a.frames < PRODUCERS:
        parser.error(f'--frames: at least {PRODUCERS}, one of each simulation')
    try:
        with Backlog(a.build) as campaign:
            campaign.run_all(a.frames, a.sum, a.gap, a.growth)
    except RuntimeError as error:
        print(f'FAILED: {error}')
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
