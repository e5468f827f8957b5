"""Jobs that do nothing, end to end, beside a bare loop of posix_spawn and waitpid, and what Slurm and Flux take of them."""
import os
import shutil
import subprocess
import tempfile
import time

from bench import median

TITLE = 'jobs that do nothing: ready, bound, run, reaped, durable'
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATH = os.environ['PATH'] + ':/usr/sbin'
TUNED = 'SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1,default_queue_depth=1000,sched_min_interval=0'


def ours(b):
    jobs = 20 if b.short else 1000
    before = os.environ.get('TMPDIR')
    folder = os.environ['TMPDIR'] = tempfile.mkdtemp(prefix='sb-', dir=before)
    try:
        r = b.sample({'loop': b.program('bench_jobs', scene='loop', jobs=jobs),
                      'shared': b.program('bench_jobs', jobs=jobs, cores=0, keep=1),
                      'bound': b.program('bench_jobs', jobs=jobs, cores=1, keep=1)})
    finally:
        shutil.rmtree(folder)
        if before is None:
            del os.environ['TMPDIR']
        else:
            os.environ['TMPDIR'] = before
    loop, all_cores = r['loop']['rate'], median(r['loop']['rate_all_cores'])
    limit = f'{all_cores:.0f}/s by loops on all cores at once'
    for label, what in (('shared', 'jobs that share the cores, 500 at once'),
                        ('bound', f'jobs bound to a core of their own, {os.cpu_count()} at once')):
        b.row(what, '1/s', r[label]['rate'], 'posix_spawn + waitpid', loop, floor=None if b.short else 0.5, limit=limit)
        b.row('the same, CPU time of a job', 'ms', r[label]['cpu'], 'posix_spawn + waitpid', r['loop']['cpu'], lower_is_better=True)


def wait_idle(count, limit_s):
    """Until `count` () is 0; the time that it took."""
    start = time.time()
    while count():
        if time.time() - start > limit_s:
            raise RuntimeError(f'jobs still wait after {limit_s} s')
        time.sleep(0.02)
    return time.time() - start


def slurm(b, label, jobs, options):
    """`true` jobs of an array through a slurmctld and a slurmd of our own, with 64 claimed CPUs."""
    script = os.path.join(ROOT, 'scripts/slurm.sh')
    env = {**os.environ, 'PATH': PATH}
    with tempfile.TemporaryDirectory(prefix='strata-bench-') as folder:
        env['SLURM_CONF'] = os.path.join(folder, 'slurm.conf')

        def run(*command):
            done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=folder)
            if done.returncode != 0:
                raise RuntimeError(f'{" ".join(command)}: {done.stderr[-400:]}')
            return done.stdout

        try:
            run(script, 'up', folder, '--nodes', '1', '--cpus', '64', *options)
            start = time.time()
            run('sbatch', '--parsable', f'--array=1-{jobs}', '--output=/dev/null', '--wrap=true')
            wait_idle(lambda: run('squeue', '--noheader', '--array', '--states=PD,CF,R,CG'), 300)
            b.row(f'beside: {label}', '1/s', [jobs / (time.time() - start)])
        finally:
            subprocess.run([script, 'down', folder], env=env, capture_output=True)


def flux(b, jobs):
    code = f't=$(date +%s.%N); flux submit --quiet --cc=1-{jobs} --wait true && echo "$(date +%s.%N) - $t" | bc'
    done = subprocess.run(['flux', 'start', 'bash', '-c', code], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f'flux start: {done.stderr[-400:]}')
    b.row('beside: Flux', '1/s', [jobs / float(done.stdout.split()[-1])])


def bench(b):
    ours(b)
    if not shutil.which('slurmctld', path=PATH) or not shutil.which('munged', path=PATH):
        b.skip('Slurm is not installed (slurm-wlm, munge)')
    else:
        # Few by default: its scheduler looks for more jobs on a timer.
        slurm(b, 'Slurm as it comes, 64 claimed CPUs', 5 if b.short else 100, [])
        if not b.short:
            slurm(b, 'Slurm tuned for short jobs, 64 claimed CPUs', 500, ['--set', TUNED])
    if not shutil.which('flux'):
        b.skip('Flux is not installed: no `flux` on PATH')
    else:
        flux(b, 5 if b.short else 500)
