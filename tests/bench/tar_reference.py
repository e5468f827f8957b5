#!/usr/bin/env python3
"""Python's tarfile and pytaridx (a checkout that PYTARIDX_DIR names) doing what bench_tar does: name, value, unit a line."""
import argparse
import io
import os
import shutil
import sys
import tarfile
import tempfile
import time


def figure(name, value, unit):
    print(f'{name}\t{value}\t{unit}')


def names(count):
    return [f'frame-{i:08d}.npz' for i in range(count)]


def shuffled(all_names, count):
    return [all_names[i * 7919 % len(all_names)] for i in range(count)]


def with_tarfile(path, members, data, reads):
    begin = time.perf_counter()
    with open(path, 'wb') as f:
        with tarfile.open(fileobj=f, mode='w', format=tarfile.USTAR_FORMAT) as t:
            for name in names(members):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                t.addfile(info, io.BytesIO(data))
        f.flush()
        os.fdatasync(f.fileno())
    figure('tarfile_write', members * len(data) / 1e6 / (time.perf_counter() - begin), 'MB/s')
    with tarfile.open(path) as t:
        begin = time.perf_counter()
        index = {m.name: m for m in t}    # getmember searches a list, each time
        for name in shuffled(names(members), reads):
            assert len(t.extractfile(index[name]).read()) == len(data)
        figure('tarfile_read', reads * len(data) / 1e6 / (time.perf_counter() - begin), 'MB/s')


def with_pytaridx(path, members, data, reads):
    sys.path.insert(0, os.environ['PYTARIDX_DIR'])
    import pytaridx
    t = pytaridx.IndexedTarFile()
    begin = time.perf_counter()
    t.open(path, 'r+')
    for name in names(members):
        t.write(name, data)
    os.fdatasync(t.tfr.fileno())
    t.close()
    figure('pytaridx_write', members * len(data) / 1e6 / (time.perf_counter() - begin), 'MB/s')
    t.open(path, 'r')
    begin = time.perf_counter()
    for name in shuffled(names(members), reads):
        assert len(t.read(name)) == len(data)
    figure('pytaridx_read', reads * len(data) / 1e6 / (time.perf_counter() - begin), 'MB/s')
    t.close()
    begin = time.perf_counter()
    for _ in range(50):
        t.open(path, 'r+')
        t.write('one more', b'x')
        t.close()
    figure('pytaridx_open_append_close', (time.perf_counter() - begin) / 50 * 1e6, 'us')


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument('--kind', choices=['tarfile', 'pytaridx'], required=True)
    a.add_argument('--members', type=int, default=100000)
    a.add_argument('--size', type=int, default=17408)
    a.add_argument('--reads', type=int, default=20000)
    o = a.parse_args()
    folder = tempfile.mkdtemp(prefix='strata-bench-')
    try:
        run = with_tarfile if o.kind == 'tarfile' else with_pytaridx
        run(os.path.join(folder, 'a.tar'), o.members, os.urandom(o.size), o.reads)
    finally:
        shutil.rmtree(folder)


if __name__ == '__main__':
    main()
