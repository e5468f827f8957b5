"""Objects put and read, at the stage of the client's own node and across two (two stages with caches, on this machine).

put: acknowledged = on the disk of the stage that keeps it, a file each, one at a time. get: a copy in the program's memory; up to
256 KiB in one answer of the keeper, more by the node's cache. mapped: a file of the node's cache that has it, each byte
read once. Across: the client's stage has the object fetched from the other one; `again`: it is in its cache then.
The share of memcpy, and of a raw ZeroMQ request that carries the same bytes, stand beside each; they are of the same run. What
takes the rest of a put: its sync (write with fsync of the same bytes alone) and two checksums.
"""
import os
import shutil
import subprocess
import tempfile
import time

from bench import figures, median

TITLE = 'objects put and read, near and far'
SIZES = [(1 << 10, '1 KB', 500), (64 << 10, '64 KB', 300), (16 << 20, '16 MB', 12)]  # bytes, name, objects
CAMPAIGN = '''strata: 1
campaign: bench
workspace: {workspace}
seed: 1
stage: {{backend: file, quota_mb: 16384, cache: {{folder: {cache}, mb: 1024}}}}
patch: {{snapshots: snapshots, candidates: patches, encoder: {{kind: pca, model: model.npz, dimensions: 2}}}}
select: {{from: patches, queues: [{{name: all, configuration: other, quota: 1}}]}}
jobs: [{{name: a, start: always, command: ["true"]}}]
feedback: {{from: rdfs, uptake: uptakes, states: [RASa], rows: [POPC]}}
'''


def run(build, size, count):
    """Two stages, each on a node of its own, and the figures of one run."""
    work, cache = tempfile.mkdtemp(prefix='strata-bench-'), tempfile.mkdtemp(prefix='strata-bench-', dir='/dev/shm')
    workspace, campaign, running = os.path.join(work, 'ws'), os.path.join(work, 'campaign.yaml'), []
    os.mkdir(workspace)
    open(os.path.join(work, 'model.npz'), 'w').close()
    with open(campaign, 'w') as f:
        f.write(CAMPAIGN.format(workspace=workspace, cache=cache))
    try:
        for n, node in enumerate(('node-a', 'node-b')):
            running.append(subprocess.Popen([os.path.join(build, 'bin', 'strata-stage'), '--campaign', campaign, '--workspace', workspace,
                                             '--replica', str(n)], env={**os.environ, 'STRATA_NODE': node}, stderr=subprocess.DEVNULL))
        cards, end = os.path.join(workspace, 'cards'), time.monotonic() + 60
        while sum('"active": true' in open(os.path.join(cards, f)).read()
                  for f in (os.listdir(cards) if os.path.isdir(cards) else []) if f.endswith('.json')) < 2:
            if time.monotonic() > end:
                raise RuntimeError('the stages are not up after 60 s')
            time.sleep(0.05)
        return figures([os.path.join(build, 'bench', 'bench_objects'), '--workspace', workspace, '--size', str(size), '--count', str(count)])
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(cache, ignore_errors=True)


def bench(b):
    for size, name, count in SIZES:
        r = b.sample({name: lambda: run(b.build, size, 3 if b.short else count)})[name]
        raw = {'put': 'zmq_put'}
        for what, figure in (('put', 'put'), ('get, same node', 'get_near'), ('get, across', 'get_far'), ('get, across, again', 'get_far_again'),
                             ('mapped, same node, in the cache', 'map_near'),
                             ('mapped, across, in the cache', 'map_far')):
            peer = raw.get(figure, 'zmq_get')
            limit = f"{median(r[figure + '_us']):.0f} us each; {100 * median(r[figure]) / median(r['memcpy']):.2g}% of memcpy, {median(r['memcpy']):.1f} GB/s"
            if figure == 'put':
                limit += f"; write and fsync alone {median(r['write_sync']):.2g} GB/s, {median(r['write_sync_us']):.0f} us each"
            b.row(f'{name} {what}', 'GB/s', r[figure], 'raw ZeroMQ', r[peer], limit=limit)
