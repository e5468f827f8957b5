"""How the throughput of stage grows from one replica to two.

Eight clients put an object each and append a record, wait for both answers, and go on; at one stage and at two in turn.
  slow sync   objects as files, and every sync of the stage takes 5 ms more, as on a shared file system (slow_sync.c): a stage
              sleeps most of the time
  computing   objects of 256 KB in the store: a stage needs a core, and so do the clients
  searching   four clients look for a name among 20,000 that stand there: the stages compute, the clients next to nothing
What the machine allows for the last two is measured in the same round: what two processes compute against what one does. On a
machine whose cores are busy with other things that is little; so the processor time of the stage that worked most stands
below: what one stage spends, two share.
Each run ends with a count: every object is listed, every record is kept.
"""
import contextlib
import os
import shutil
import subprocess
import tempfile
import time

from bench import figures, median
from replicas_bench import ROOT, machine

TITLE = 'objects put, and records appended, at one stage and at two'
KINDS = {  # backend, bytes of an object, objects of each client, ms of a sync
    'slow sync': ('file', 4096, 40, 5),
    'computing': ('rocksdb', 256 << 10, 150, None),
    'searching': ('rocksdb', 8, 5000, None),
}
SEARCHES = 60  # of each client
CAMPAIGN = '''strata: 1
campaign: bench
workspace: {workspace}
seed: 1
stage: {{backend: {backend}, quota_mb: 65536, queue_mb: 1024{cache}}}
patch: {{snapshots: snapshots, candidates: patches, encoder: {{kind: pca, model: model.npz, dimensions: 2}}}}
select: {{from: patches, queues: [{{name: all, configuration: other, quota: 1}}]}}
jobs: [{{name: a, start: always, command: ["true"]}}]
feedback: {{from: rdfs, uptake: uptakes, states: [RASa], rows: [POPC]}}
'''


@contextlib.contextmanager
def stages(build, count, backend, slow_ms=None, cache=None, tcp=False):
    """A workspace with so many stages: its folder, and their processes' numbers. cache: a folder; then each has one, on a node
    of its own (node-0, node-1 ...). tcp: they speak TCP under CURVE, as between nodes."""
    work = tempfile.mkdtemp(prefix='strata-bench-')
    workspace, campaign = os.path.join(work, 'ws'), os.path.join(work, 'campaign.yaml')
    env, running = dict(os.environ), []
    os.mkdir(workspace)
    open(os.path.join(work, 'model.npz'), 'w').close()
    with open(campaign, 'w') as f:
        f.write(CAMPAIGN.format(workspace=workspace, backend=backend, cache=f', cache: {{folder: {cache}, mb: 1024}}' if cache else ''))
        f.write('mesh: {transport: tcp}\n' if tcp else '')
    if tcp:
        subprocess.run([os.path.join(build, 'bin', 'strata'), 'keygen', '--workspace', workspace], check=True, stdout=subprocess.DEVNULL)
        env['STRATA_FORCE_TCP'] = '1'
    if slow_ms:
        shim = os.path.join(work, 'slow_sync.so')
        subprocess.run(['cc', '-D_GNU_SOURCE', '-O2', '-shared', '-fPIC', '-o', shim, os.path.join(ROOT, 'tests/bench/slow_sync.c'), '-ldl'],
                       check=True)
        env.update(LD_PRELOAD=shim, SLOW_SYNC_IN='strata-stage', SLOW_SYNC_MS=str(slow_ms),
                   ASAN_OPTIONS=os.environ.get('ASAN_OPTIONS', '') + ':verify_asan_link_order=0')
    try:
        for n in range(count):
            running.append(subprocess.Popen([os.path.join(build, 'bin', 'strata-stage'), '--campaign', campaign, '--workspace', workspace,
                                             '--replica', str(n)], env={**env, 'STRATA_NODE': f'node-{n}'} if cache else env, stderr=subprocess.DEVNULL))
        end = time.monotonic() + 60
        while sum('"active": true' in open(os.path.join(workspace, 'cards', f)).read()
                  for f in (os.listdir(os.path.join(workspace, 'cards')) if os.path.isdir(os.path.join(workspace, 'cards')) else [])
                  if f.endswith('.json')) < count:
            if time.monotonic() > end:
                raise RuntimeError(f'{count} stages are not up after 60 s')
            time.sleep(0.05)
        yield workspace, [process.pid for process in running]
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
        shutil.rmtree(work, ignore_errors=True)


def busiest(pids):
    """Seconds of a core that the process has used which has used most."""
    ticks = []
    for pid in pids:
        with open(f'/proc/{pid}/stat') as f:
            fields = f.read().rsplit(')', 1)[1].split()
        ticks.append(int(fields[11]) + int(fields[12]))
    return max(ticks) / os.sysconf('SC_CLK_TCK')


def bench(b):
    for kind, (backend, size, objects, slow_ms) in KINDS.items():
        if b.short:
            size, objects = min(size, 16384), 8

        searches = kind == 'searching'
        more = ['--clients', '4', '--searches', str(SEARCHES // 10 if b.short else SEARCHES)] if searches else []

        def rate(count):
            with stages(b.build, count, backend, slow_ms) as (workspace, pids):
                found = figures([os.path.join(b.build, 'bench', 'bench_staging'), '--workspace', workspace, '--size', str(size),
                                 '--objects', str(objects), *more])
                return {**found, 'busiest': busiest(pids)}
        programs = {f'{kind}, {n} of stage': (lambda n=n: rate(n)) for n in (1, 2)}
        if not slow_ms:
            programs['machine'] = lambda: {'ratio': machine()}
        results = b.sample(programs)
        one, two = (results[f'{kind}, {n} of stage']['searches' if searches else 'puts'] for n in (1, 2))
        allowed = '2: what sleeps needs no core' if slow_ms else f"{median(results['machine']['ratio']):.2f}: two that compute, against one"
        b.row(f'{kind}: {"asked of" if searches else "put at"} two stages', 'searches/s' if searches else 'objects/s', two, 'at one', one,
              limit=allowed)
        if not slow_ms:
            one, two = (results[f'{kind}, {n} of stage']['busiest'] for n in (1, 2))
            b.row(f'{kind}: processor time of the busier stage', 's', two, 'of one', one, lower_is_better=True, limit='2: each does half')
