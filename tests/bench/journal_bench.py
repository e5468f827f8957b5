"""What it costs a service to have its inputs recorded for `strata replay`.

Turns of a shard as a service's loop makes them - take records in, store them, commit with one sync - with and without the record of
inputs (bench_journal.c). The record is written without a sync of its own; every input is one more copy on its way to the disk.
"""
import shutil
import tempfile

from bench import median

TITLE = 'a shard whose inputs are recorded'
TURNS = [  # what, records a turn, bytes each, turns
    ('10 records of 200 B a turn', 10, 200, 3000),
    ('256 records of 200 B a turn', 256, 200, 1000),
    ('32 records of 17 KB a turn', 32, 17408, 200),
]


def run(b, recorded, **options):
    folder = tempfile.mkdtemp(prefix='strata-bench-')
    try:
        return b.program('bench_journal', recorded=recorded, dir=folder, **options)()
    finally:
        shutil.rmtree(folder)


def bench(b):
    for what, records, size, turns in TURNS:
        options = {'records': records, 'size': size, 'turns': 20 if b.short else turns}
        results = b.sample({'recorded': lambda o=options: run(b, 1, **o), 'not recorded': lambda o=options: run(b, 0, **o)})
        ours = results['recorded']
        taken = records * size * options['turns']
        b.row(what, 'turns/s', ours['turns'], 'not recorded', results['not recorded']['turns'],
              limit=f"{median(ours['bytes']) / taken:.2f} bytes of record for each that came in; a copy of the store "
                    f"{median(ours['checkpoint']):.1f} ms")
