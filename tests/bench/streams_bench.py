"""Durable publish -> consumed -> acknowledged: our streams and queues beside Redis Streams and NATS JetStream."""
import contextlib

from bench import Skipped, median

TITLE = 'publish -> consumed -> acknowledged, one producer process, one consumer process'
FLOOR = 3
# size, records of a run, Redis' connections and window, NATS' window and batch: the fastest of those tried here.
SIZES = [(1024, 200000, 32, 64, 16000, 500), (17408, 20000, 16, 16, 256, 200)]


def bench_size(b, stack, size, records, connections, window, nats_window, nats_batch):
    records = 2000 if b.short else records
    programs = {'streams': b.program('bench_strata', what='streams', size=size, records=records),
                'queues': b.program('bench_strata', what='queues', size=size, records=records)}
    peers = {}
    try:
        path, version = stack.enter_context(b.redis())
        programs['redis'] = b.program('bench_redis', socket=path, size=size, records=records, connections=connections, window=window)
        peers['redis'] = f'Redis {version}'
    except Skipped as e:
        b.skip(e)
    try:
        url, version, promise = stack.enter_context(b.nats())
        programs['nats'] = b.program('bench_nats', url=url, size=size, records=records, window=nats_window, batch=nats_batch)
        peers['nats'] = f'NATS {version}'
        if f'NATS {version}: {promise}' not in b.notes:
            b.note(f'NATS {version}: {promise}')
    except Skipped as e:
        b.skip(e)
    programs['limits'] = b.program('bench_limits', messages=20000 if b.short else 100000, large=16 if b.short else 128,
                                   syncs=50 if b.short else 500, trips=100 if b.short else 2000)
    results = b.sample(programs)
    limits = {name: median(values) for name, values in results['limits'].items()}
    best = max(peers, key=lambda p: median(results[p]['acknowledged']), default=None)
    disk = limits['write_allocated'] * 1e6 / size
    wire = limits['zmq_push_256k'] * 262144 / size
    for ours in ('streams', 'queues'):
        for peer, name in peers.items():
            b.row(f'{ours}, {size // 1024} KB', 'records/s', results[ours]['acknowledged'], name, results[peer]['acknowledged'],
                  floor=FLOOR if peer == best else None,
                  limit=f'disk {disk:,.0f} ({limits["write_allocated"]:.0f} MB/s), ZeroMQ PUSH/PULL {wire:,.0f} in 256 KB, '
                        f'{limits["zmq_push_1k" if size == 1024 else "zmq_push_17k"]:,.0f} one by one; '
                        f'fdatasync {1e6 / limits["fdatasync_append"]:,.0f}/s' if peer == best else '')
        if not peers:
            b.row(f'{ours}, {size // 1024} KB', 'records/s', results[ours]['acknowledged'])


def bench(b):
    for size in SIZES:
        with contextlib.ExitStack() as stack:
            bench_size(b, stack, *size)
