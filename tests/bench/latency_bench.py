"""One record in lock-step; read-only requests; what a queue of a million costs."""
from bench import median

TITLE = 'one record in lock-step, requests, and their cost beside many records'


def bench(b):
    results = b.sample({
        'lockstep': b.program('bench_strata', what='lockstep', records=20 if b.short else 2000),
        'requests': b.program('bench_strata', what='requests', records=1000 if b.short else 300000, queued=1000, size=100),
        'requests, many': b.program('bench_strata', what='requests', records=1000 if b.short else 300000,
                                    queued=5000 if b.short else 1000000, size=100),
        'takes': b.program('bench_strata', what='takes', records=20 if b.short else 1000, queued=1000, size=100),
        'takes, many': b.program('bench_strata', what='takes', records=20 if b.short else 1000,
                                 queued=5000 if b.short else 1000000, size=100)})
    lockstep = results['lockstep']
    trip = lockstep['zmq_round_trip']
    # The stage's and the consumer's: each has its own store, and the second begins when the first is on disk.
    least = [2 * s + t for s, t in zip(lockstep['fdatasync_in_place'], trip)]
    for name, sync in (('append', lockstep['fdatasync_append']), ('in place', lockstep['fdatasync_in_place'])):
        bound = [s + t for s, t in zip(sync, trip)]
        b.row('lock-step, publish to the consumer\'s commit', 'us', results['lockstep']['lockstep_median'],
              f'fdatasync ({name}) + ZeroMQ round trip', bound, floor=1 / 1.5, lower_is_better=True,
              limit=f'fdatasync {median(sync):.0f} us, round trip {median(trip):.0f} us; two commits in place and the trip '
                    f'{median(least):.0f} us: {median(least) / median(bound):.2f} of what is beside')
    b.row('read-only requests, stage on one core', 'requests/s', results['requests']['requests'], 'promised',
          [100000.0] * b.runs, floor=1, limit='1,000 records queued')
    b.row('read-only requests, stage on one core', 'requests/s', results['requests, many']['requests'], 'with 1,000 queued',
          results['requests']['requests'], floor=0.8, limit='1,000,000 records queued')
    b.row('take and acknowledge one record', 'us', results['takes, many']['take_ack_median'], 'with 1,000 queued',
          results['takes']['take_ack_median'], floor=0.8, lower_is_better=True, limit='1,000,000 records queued; two commits')
