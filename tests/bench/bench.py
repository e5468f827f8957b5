"""What the benches share: programs run in turn, servers of the peers, medians, the table.

A bench is a file `*_bench.py` here with a line `TITLE` and a function `bench(b)`; b is a Bench. Its programs print one line a
figure: name, value, unit, with tabs between (bench.h). What is compared runs in turn, round after round, so that whatever else
the machine does meets all alike.
"""
import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time


class Skipped(Exception):
    """What is compared with is not installed."""


def progress(text):
    if sys.stderr.isatty():
        print(f'\r\033[K{text}', end='', file=sys.stderr, flush=True)


def median(values):
    return statistics.median(values)


def spread(values):
    """Half the distance from the lowest to the highest value, in percent of the median."""
    m = median(values)
    return 100 * (max(values) - min(values)) / 2 / m if m else 0.0


def number(value):
    if value >= 100000:
        return f'{value:,.0f}'
    return f'{value:.0f}' if value >= 1000 else f'{value:.3g}'


class Bench:
    def __init__(self, build, runs, short):
        self.build, self.runs, self.short = build, runs, short
        self.rows, self.notes, self.failed = [], [], False

    # ---- running ----

    def program(self, name, **options):
        """A function that runs build/bench/NAME once and returns its figures."""
        path = os.path.join(self.build, 'bench', name)
        if not os.path.exists(path):
            raise Skipped(f'{name} is not built: the library that it needs is not installed')
        command = [path] + [x for k, v in options.items() for x in (f'--{k}', str(v))]
        return lambda: figures(command)

    def sample(self, programs):
        """Runs each of {label: function} self.runs times, in turn: {label: {figure: [values]}}."""
        results = {label: {} for label in programs}
        for i in range(self.runs):
            for label, run in programs.items():
                progress(f'  round {i + 1} of {self.runs}: {label}')
                for figure, value in run().items():
                    results[label].setdefault(figure, []).append(value)
        progress('')
        return results

    def skip(self, why):
        print(f'  skipped: {why}', flush=True)
        self.notes.append(f'skipped: {why}')

    def note(self, text):
        self.notes.append(text)

    # ---- results ----

    def row(self, what, unit, ours, peer='', theirs=None, floor=None, lower_is_better=False, limit=''):
        """One line of the table. ours, theirs: values of the runs. floor: the ratio that is promised."""
        ratio = None
        if theirs:
            ratio = median(theirs) / median(ours) if lower_is_better else median(ours) / median(theirs)
        self.rows.append({'what': what, 'unit': unit, 'ours': median(ours), 'spread': spread(ours), 'runs': len(ours),
                          'peer': peer, 'theirs': median(theirs) if theirs else None,
                          'their_spread': spread(theirs) if theirs else None, 'ratio': ratio, 'floor': floor, 'limit': limit})

    def table(self):
        lines = [('', 'ours', '+-', 'beside', '', '+-', 'ratio', 'promised', 'what the machine allows in the same run')]
        for r in self.rows:
            lines.append((f"{r['what']} [{r['unit']}]", number(r['ours']), f"{r['spread']:.0f}%", r['peer'],
                          number(r['theirs']) if r['theirs'] is not None else '',
                          f"{r['their_spread']:.0f}%" if r['theirs'] is not None else '',
                          f"{r['ratio']:.2f}" if r['ratio'] is not None else '',
                          '' if r['floor'] is None else f"{r['floor']:g} {'kept' if r['ratio'] >= r['floor'] else 'NOT KEPT'}",
                          r['limit']))
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        for line in lines:
            print('  ' + '  '.join(text.ljust(w) if i in (0, 3, 7, 8) else text.rjust(w)
                                   for i, (text, w) in enumerate(zip(line, widths))).rstrip())
        for text in self.notes:
            print('  ' + text)
        print(flush=True)

    # ---- the peers' servers ----

    @contextlib.contextmanager
    def redis(self, sync='always'):
        """A Redis that syncs before it answers, or once a second ('everysec'); the path of its Unix socket and its version."""
        binary = shutil.which('redis-server')
        if not binary:
            raise Skipped('redis-server is not installed')
        version = subprocess.run([binary, '--version'], capture_output=True, text=True, check=True).stdout.split('v=')[1].split()[0]
        with tempfile.TemporaryDirectory(prefix='strata-bench-') as folder:
            path = os.path.join(folder, 'redis.sock')
            with server([binary, '--port', '0', '--unixsocket', path, '--dir', folder, '--appendonly', 'yes', '--appendfsync', sync,
                         '--save', '', '--auto-aof-rewrite-percentage', '0'], folder, lambda: os.path.exists(path)):
                yield path, version

    @contextlib.contextmanager
    def nats(self):
        """A nats-server with JetStream in files, synced as often as it can be asked to; its URL, version and promise."""
        binary = shutil.which('nats-server')
        if not binary:
            raise Skipped('nats-server is not installed')
        version = subprocess.run([binary, '--version'], capture_output=True, text=True, check=True).stdout.split('v')[-1].strip()
        with tempfile.TemporaryDirectory(prefix='strata-bench-') as folder:
            # 2.10 and later can be asked to sync each message; before, files are synced every two minutes.
            always = tuple(int(x) for x in version.split('.')[:2]) >= (2, 10)
            with socket.socket() as s:
                s.bind(('127.0.0.1', 0))
                port = s.getsockname()[1]
            config = os.path.join(folder, 'nats.conf')
            with open(config, 'w') as f:
                f.write(f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{folder}", max_mem: 64M, max_file: 16G'
                        f'{", sync_interval: always" if always else ""} }}\n')
            with server([binary, '-c', config], folder, lambda: listens(port)):
                yield (f'nats://127.0.0.1:{port}', version,
                       'acknowledged = on disk' if always else 'acknowledged = in the page cache (it syncs every 2 minutes and can\'t be asked for less)')


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(('127.0.0.1', port)) == 0


@contextlib.contextmanager
def server(command, folder, ready):
    with open(os.path.join(folder, 'log'), 'w') as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until = time.time() + 30
        while not ready():
            if process.poll() is not None or time.time() > until:
                with open(os.path.join(folder, 'log')) as log:
                    raise RuntimeError(f'{command[0]} does not start: {log.read()[-400:]}')
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def figures(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f'{" ".join(command)}: exit {done.returncode}\n{done.stderr[-2000:]}')
    return {name: float(value) for name, value, unit in (line.split('\t') for line in done.stdout.splitlines())}
