"""Scheduling: 24,000 jobs placed on 4,000 nodes; what a decision costs; a restart; 24 hours of 4,000 nodes in emulation."""
import json
import os
import shutil
import subprocess
import tempfile

from bench import median

TITLE = 'scheduling: 24,000 simulations on 4,000 nodes; decisions; a restart; a day in emulation'
# Fluxion's policies on such a machine description, seen once elsewhere: not measured here.
FIRST_S, SIMPLE_S = 36, 295
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def scene(b, folder, name, **options):
    """Runs a scene of bench_schedule on a store that is made anew each time."""
    run = b.program('bench_schedule', scene=name, dir=os.path.join(folder, name), **options)

    def anew():
        shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
        return run()
    return anew


def place(b, folder):
    nodes = 200 if b.short else 4000
    r = b.sample({'place': scene(b, folder, 'place', nodes=nodes)})['place']
    allowed = f"{median(r['plain_write']):.3g} s to write and sync as many bytes"
    b.row(f'{nodes * 6} simulations and the continuum job placed, durable', 's', r['place'], 'promised', [0.5] * len(r['place']),
          floor=None if b.short else 1, lower_is_better=True, limit=allowed)
    b.row('the same, CPU time', 's', r['place_cpu'], limit=f"{median(r['place_decided_cpu']):.3g} s of it to decide")
    if not b.short:
        b.note(f'flux-sched was seen at {FIRST_S} s (first) and {SIMPLE_S} s (sched-simple) for these 24,000: '
               f"{FIRST_S / median(r['place']):.0f} and {SIMPLE_S / median(r['place']):.0f} times as long")


def decide(b, folder):
    for running in [60, 600] if b.short else [1000, 10000, 100000]:
        r = b.sample({'decide': scene(b, folder, 'decide', running=running, decisions=200 if b.short else 2000)})['decide']
        b.row(f'{running} jobs run: one ends and the next starts, CPU time', 'us', r['decision_cpu'],
              limit=f"{median(r['idle_tick_cpu']):.3g} us a tick in which nothing happens")


def restart(b, folder):
    running, waiting = (240, 1000) if b.short else (24000, 100000)
    r = b.sample({'restart': scene(b, folder, 'restart', running=running, waiting=waiting)})['restart']
    b.row(f'restart with {running} running and {waiting} waiting jobs', 's', r['restart'], 'promised', [2.0] * len(r['restart']),
          floor=None if b.short else 1, lower_is_better=True, limit=f"{median(r['restart_open']):.3g} s to open the store")
    b.row('the same, CPU time', 's', r['restart_cpu'])


def emulate(b):
    nodes, hours = (12, 2) if b.short else (4000, 24)
    command = [os.path.join(b.build, 'bin', 'strata-emulate'), os.path.join(ROOT, 'apps/membrane/machine.yaml'), '--machine',
               f'summit:{nodes}', '--hours', str(hours), '--seed', '1', '--json']

    def run():
        d = json.loads(subprocess.run(command, capture_output=True, text=True, check=True,
                                      env={**os.environ, 'OMP_NUM_THREADS': '1'}).stdout)
        return {**{k: v for k, v in d['costs'].items()}, 'mean': d['gpu_occupancy']['mean'],
                'full': d['gpu_occupancy']['time_at_least_98']}
    runs, b.runs = b.runs, 1
    r = b.sample({'emulate': run})['emulate']
    b.runs = runs
    b.row(f'{hours} h on {nodes} nodes in emulation', 's', r['wall_s'], 'promised', [60.0], floor=None if b.short else 1,
          lower_is_better=True, limit=f"{r['schedule_cpu_s'][0]:.3g} s schedule, {r['select_cpu_s'][0]:.3g} s select, "
          f"{r['feedback_cpu_s'][0]:.3g} s feedback")
    b.row('the same, CPU time', 's', r['cpu_s'])
    b.row('its memory', 'MiB', r['memory_mb'], 'promised', [2048.0], floor=None if b.short else 1, lower_is_better=True)
    b.row('GPUs busy, mean after loading', '%', r['mean'], 'promised', [99.0], floor=None if b.short else 1)
    b.row('time with at least 98 % busy', '%', r['full'], 'promised', [98.0], floor=None if b.short else 1)


def bench(b):
    folder = tempfile.mkdtemp(prefix='strata-bench-', dir=os.environ.get('TMPDIR'))
    try:
        place(b, folder)
        decide(b, folder)
        restart(b, folder)
        emulate(b)
    finally:
        shutil.rmtree(folder)
