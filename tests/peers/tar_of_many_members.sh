#!/usr/bin/env bash
# An archive of MEMBERS members (default 20,000; `make tar-million`: 1,000,000): written by Python's format and by ours, listed, read
# at random, verified, indexed anew, cut off in its last member; the time, processor time and memory of each.
set -euo pipefail
export STRATA=${STRATA_BIN:?}/strata MEMBERS=${MEMBERS:-20000}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
exec /usr/bin/python3 - <<'PY'
import os, random, subprocess, tarfile, time

strata, members = os.environ['STRATA'], int(os.environ['MEMBERS'])
# Memory that one member may cost a program that opens an archive (its name here is 18 bytes), and what a program has anyway.
BYTES_A_MEMBER, BYTES = 100, 40 << 20
RANDOM = random.Random(5)


def name(i):
    return f'frame-{i:08d}.rdf'


def content(i):
    return b'%d;' % i * (i % 40)


def run(what, *arguments, tables=1):
    """A command's output goes to `out`; its time and its memory are told, and the memory is bounded.

    tables: of so many names. A child begins with the peak of its parent: so this program reads line by line.
    """
    begin = time.monotonic()
    with open('out', 'wb') as out:
        process = subprocess.Popen(arguments, stdout=out, stderr=subprocess.PIPE)
        error = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, (arguments, process.returncode, error.decode()[-500:])
    print(f'  {what}: {time.monotonic() - begin:.2f} s, {used.ru_utime + used.ru_stime:.2f} s of a core, {used.ru_maxrss >> 10} MiB', flush=True)
    assert used.ru_maxrss << 10 < BYTES + BYTES_A_MEMBER * tables * members, (arguments, used.ru_maxrss)


def first_lines(count):
    with open('out') as f:
        return [line.split()[-1] for line, _ in zip(f, range(count))]


def read_some(archive):
    chosen = [0, members // 2, members - 1] + RANDOM.sample(range(members), 2)
    run(f'{archive}: one of {members:,} is got', strata, 'tar', 'get', archive, name(chosen[0]))
    for i in chosen:
        got = subprocess.run([strata, 'tar', 'get', archive, name(i)], capture_output=True, check=True).stdout
        assert got == content(i), (archive, i, got[:50])


def lists(archive):
    run(f'{archive}: listed', strata, 'tar', 'ls', archive)
    with open('out') as f:
        seen = sum(line.split()[-1] == name(i) for i, line in enumerate(f))
    assert seen == members, seen
    run(f'{archive}: ten listed by prefix', strata, 'tar', 'ls', archive, name(40)[:-5])
    assert first_lines(11) == [name(i) for i in range(40, 50)]


print('Python writes, strata indexes')
begin = time.monotonic()
with open('theirs.tar', 'wb', buffering=1 << 20) as f:
    for i in range(members):
        member = tarfile.TarInfo(name(i))
        member.size = len(content(i))
        f.write(member.tobuf(tarfile.USTAR_FORMAT) + content(i) + bytes(-member.size % 512))
    f.write(bytes(1024))
print(f'  written: {time.monotonic() - begin:.1f} s', flush=True)
run('theirs.tar: indexed', strata, 'tar', 'reindex', 'theirs.tar')
run('theirs.tar: verified', strata, 'tar', 'verify', 'theirs.tar')
lists('theirs.tar')
read_some('theirs.tar')

print('strata writes, Python reads')
run('ours.tar: copied from theirs.tar', strata, 'cp', '-r', 'theirs.tar', 'ours.tar', tables=3)  # two indexes, and what is to be copied
lists('ours.tar')
read_some('ours.tar')
begin, seen = time.monotonic(), 0
with tarfile.open('ours.tar', 'r:') as t:
    while (member := t.next()) is not None:
        assert member.name == name(seen) and (seen % 997 or t.extractfile(member).read() == content(seen)), member.name
        t.members = []  # its own list of all would be most of what is measured
        seen += 1
assert seen == members, seen
print(f'  ours.tar: gone through by Python: {time.monotonic() - begin:.1f} s', flush=True)

print('the last member is cut off, the index is lost')
end = max(int(l.split()[1]) for l in subprocess.run([strata, 'tar', 'ls', 'ours.tar', name(members - 1)], capture_output=True, text=True,
                                                    check=True).stdout.splitlines())
os.truncate('ours.tar', end + (1 if content(members - 1) else -1))
os.unlink('ours.tar.pylst')
run('ours.tar: indexed anew', strata, 'tar', 'reindex', 'ours.tar')
with open('out') as f:
    assert 'cut' in f.read()
members -= 1
lists('ours.tar')
run('ours.tar: verified', strata, 'tar', 'verify', 'ours.tar')
PY
