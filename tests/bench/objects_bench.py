"""Objects put and read, at the stage of the client's own node and across two (two stages with caches, on this machine).

put: acknowledged = on the disk of the stage that keeps it, a file each, one at a time. get: a copy in the program's memory; up to
256 KiB in one answer of the keeper, more by the node's cache. mapped: a file of the node's cache that has it, each byte
read once. Across: the client's stage has the object fetched from the other one; `again`: it is in its cache then.
TCP: as between two machines, every socket under CURVE, beside a raw ZeroMQ socket on TCP without: to encrypt and decrypt takes the
rest there.
The share of memcpy, and of a raw ZeroMQ request that carries the same bytes, stand beside each; they are of the same run. What
takes the rest of a put: its sync (write with fsync of the same bytes alone) and two checksums.
"""
import os
import tempfile

from bench import figures, median
from staging_bench import stages

TITLE = 'objects put and read, near and far'
SIZES = [(1 << 10, '1 KB', 500), (64 << 10, '64 KB', 300), (16 << 20, '16 MB', 12)]  # bytes, name, objects


def run(build, size, count, tcp=False):
    """The figures of one run, at two stages that have caches in memory."""
    with tempfile.TemporaryDirectory(prefix='strata-bench-', dir='/dev/shm') as cache, \
            stages(build, 2, 'file', cache=cache, tcp=tcp) as (workspace, _):
        return figures(['env', f'STRATA_FORCE_TCP={int(tcp)}', os.path.join(build, 'bench', 'bench_objects'), '--workspace', workspace,
                        '--size', str(size), '--count', str(count), '--tcp', str(int(tcp))])


def bench(b):
    for size, name, count in SIZES:
        count = 3 if b.short else count
        r, tcp = (b.sample({'ipc': lambda: run(b.build, size, count), 'tcp': lambda: run(b.build, size, count, True)})[k] for k in ('ipc', 'tcp'))
        raw = {'put': 'zmq_put'}
        for what, figure in (('put', 'put'), ('get, same node', 'get_near'), ('get, across', 'get_far'), ('get, across, again', 'get_far_again'),
                             ('mapped, same node, in the cache', 'map_near'),
                             ('mapped, across, in the cache', 'map_far')):
            peer = raw.get(figure, 'zmq_get')
            limit = f"{median(r[figure + '_us']):.0f} us each; {100 * median(r[figure]) / median(r['memcpy']):.2g}% of memcpy, {median(r['memcpy']):.1f} GB/s"
            if figure == 'put':
                limit += f"; write and fsync alone {median(r['write_sync']):.2g} GB/s, {median(r['write_sync_us']):.0f} us each"
            b.row(f'{name} {what}', 'GB/s', r[figure], 'raw ZeroMQ', r[peer], limit=limit)
        for what, figure in (('put, TCP', 'put'), ('get, across, TCP', 'get_far'), ('get, across, again, TCP', 'get_far_again')):
            peer = raw.get(figure, 'zmq_get')
            b.row(f'{name} {what}', 'GB/s', tcp[figure], 'raw ZeroMQ, TCP', tcp[peer],
                  limit=f"{median(tcp[figure + '_us']):.0f} us each; {100 * median(tcp[figure]) / median(tcp['memcpy']):.2g}% of memcpy")
