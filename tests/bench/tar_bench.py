"""Indexed tar archives beside bare write and pread of the same bytes, Python's tarfile, and pytaridx (PYTARIDX_DIR)."""
import os

from bench import figures, median

TITLE = 'tar: append and random read, index included'
FLOOR = 0.75
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'tar_reference.py')


def python(kind, members, size):
    return lambda: figures(['/usr/bin/python3', SCRIPT, '--kind', kind, '--members', str(members), '--size', str(size), '--reads',
                            str(members // 5)])


def bench(b):
    sizes = [(2000, 17408)] if b.short else [(100000, 17408), (20000, 159744)]
    kinds = ['tarfile'] + (['pytaridx'] if 'PYTARIDX_DIR' in os.environ else [])
    if len(kinds) == 1:
        b.skip('pytaridx: PYTARIDX_DIR names no checkout')
    for members, size in sizes:
        # Whoever comes second writes beside what the first left to be written: they change places.
        r = b.sample({'bare first': b.program('bench_tar', members=members, size=size),
                      'tar first': b.program('bench_tar', members=members, size=size, first='tar'),
                      **{k: python(k, members // 5, size) for k in kinds}})
        ours = {k: [x for pair in zip(r['bare first'][k], r['tar first'][k]) for x in pair] for k in r['bare first']}
        what = f'{members:,} x {size // 1024} KB'
        for verb, name in (('append', 'write'), ('read', 'read')):
            b.row(f'{verb} {what}', 'MB/s', ours[f'{name}_tar'], 'bare ' + ('write' if name == 'write' else 'pread'),
                  ours[f'{name}_bare'], floor=None if b.short else FLOOR,
                  limit=f"CPU of a GB: {median(ours[f'{name}_tar_cpu']):.2f} s, bare {median(ours[f'{name}_bare_cpu']):.2f} s")
            for k in kinds:
                b.row('  the same', 'MB/s', ours[f'{name}_tar'], k, r[k][f'{k}_{name}'])
        b.row('  open, append one, close', 'us', ours['open_append_close'], *(
            ('pytaridx', r['pytaridx']['pytaridx_open_append_close']) if 'pytaridx' in r else ()), lower_is_better=True)
        b.note(f"{what}: of the appending, syncs take {median(ours['write_tar_sync']):.2f} s, bare {median(ours['write_bare_sync']):.2f} s")
