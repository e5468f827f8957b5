#!/usr/bin/env python3
"""Runs the benches of this folder and prints a table for each: our median, the peer's, the ratio, and what the machine allows."""
import argparse
import glob
import importlib.util
import json
import os
import subprocess
import sys

import bench


def load(path):
    spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def machine():
    model = next((line.split(':')[1].strip() for line in open('/proc/cpuinfo') if line.startswith('model name')), '?')
    folder = os.environ.get('TMPDIR', '/tmp')
    disk = subprocess.run(['df', '--output=source,fstype', folder], capture_output=True, text=True).stdout.splitlines()[-1]
    return f'{os.cpu_count()} x {model}; {folder} on {" ".join(disk.split())}; load {os.getloadavg()[0]:.1f}'


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    benches = {os.path.basename(p)[:-len('_bench.py')]: p for p in sorted(glob.glob(os.path.join(here, '*_bench.py')))}
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument('--build', default='build', help='the build folder (default build)')
    a.add_argument('--runs', type=int, default=5, help='rounds; medians are of so many (default 5)')
    a.add_argument('--only', default='', help=f'names with commas between: {", ".join(benches)}')
    a.add_argument('--short', action='store_true', help='one small round: shows that everything works, and nothing else')
    a.add_argument('--json', action='store_true', help='the rows as JSON on standard output')
    options = a.parse_args()
    names = [n for n in options.only.split(',') if n] or list(benches)
    for n in names:
        if n not in benches:
            a.error(f'no bench {n}: {", ".join(benches)}')
    results, failed, out = {}, 0, sys.stdout
    if options.json:
        sys.stdout = sys.stderr
    print(machine())
    for n in names:
        module = load(benches[n])
        print(f'{n}: {module.TITLE}', flush=True)
        b = bench.Bench(os.path.abspath(options.build), 1 if options.short else options.runs, options.short)
        try:
            module.bench(b)
        except bench.Skipped as e:
            b.skip(e)
        except (RuntimeError, OSError) as e:
            print(f'  FAILED: {e}', flush=True)
            failed += 1
        b.table()
        results[n] = {'title': module.TITLE, 'rows': b.rows, 'notes': b.notes}
    if options.json:
        json.dump(results, out, indent=1)
        out.write('\n')
    return 1 if failed else 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
