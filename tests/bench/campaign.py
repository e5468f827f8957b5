"""A real campaign for benches of the patch service: the membrane campaign with jobs that do nothing, and snapshots to hand in."""
import datetime
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))


class Campaign:
    """edits: (pattern, replacement) of lines of the campaign file; environment: more of it for every process."""

    def __init__(self, build, edits=(), environment=()):
        self.build = os.path.abspath(build)
        self.bin = os.path.join(self.build, 'bin')
        self.work = tempfile.mkdtemp(prefix='strata-bench-')
        self.workspace = os.path.join(self.work, 'ws')
        self.env = dict(os.environ, STRATA_WORKSPACE=self.workspace, **dict(environment))
        self.handed_in = self.round = 0
        with open(os.path.join(ROOT, 'apps/membrane/campaign.yaml')) as f:
            text = f.read()
        for pattern, replacement in ((r'^workspace:.*', f'workspace: {self.workspace}'),
                                     (r'kind: network, model: encoder/model.pt', 'kind: pca, model: encoder/pca.npz'),
                                     (r'command: \["\{bin_dir\}/membrane-(macro|createsim)".*', 'command: [sleep, "100000"]'), *edits):
            text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
            if count == 0:
                raise RuntimeError(f'the campaign file of apps/membrane has no line that matches {pattern}')
        with open(os.path.join(self.work, 'campaign.yaml'), 'w') as f:
            f.write(text)
        shutil.copytree(os.path.join(ROOT, 'apps/membrane/encoder'), os.path.join(self.work, 'encoder'))

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

    def pids(self, service):
        return [r['pid'] for r in json.loads(self.strata('status', '--json'))['replicas'] if r['service'] == service and not r['stopped']]

    def cut(self, since):
        """When each snapshot was cut, put and acknowledged since then, as patch's logs say."""
        times = []
        for path in glob.glob(os.path.join(self.workspace, 'log', 'patch-*.log')):
            with open(path) as f:
                stamps = [line[:23] + '+00:00' for line in f if 'snapshot-cut' in line]
            times += [t for t in (datetime.datetime.fromisoformat(s).timestamp() for s in stamps) if t >= since]
        return sorted(times)

    def hand_in(self, paths, before=None, seconds=300):
        """Fills the queue while patch is stopped, calls `before`, lets patch go on, waits for all: (begin, when each was done)."""
        pids = self.pids('patch')
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        self.round += 1
        for path in paths:
            self.handed_in += 1
            self.strata('submit', 'snapshots', f'round-{self.round}-{self.handed_in}', str(int(path.rsplit('.', 1)[1])), path)
        if before:
            before()
        begin = time.time()
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        while len(self.cut(begin)) < len(paths):
            if time.time() > begin + seconds:
                raise RuntimeError(f'only {len(self.cut(begin))} of {len(paths)} snapshots were cut in {seconds} s')
            time.sleep(0.05)
        return begin, self.cut(begin)

    def check(self):
        """Every snapshot that was handed in was cut once."""
        self.strata('down')
        text = self.strata('audit')
        cut = re.search(r'(\d+) done, (\d+) batches', text)
        # Batches that select has read may be trimmed.
        wanted = {self.handed_in} if 'are trimmed' not in text else {self.handed_in, int(cut[2]) if cut else 0}
        if not cut or int(cut[1]) != self.handed_in or {int(n) for n in cut.groups()} != wanted or 'audit: all holds' not in text:
            raise RuntimeError(f'{self.handed_in} snapshots were handed in; the audit says\n{text}')
