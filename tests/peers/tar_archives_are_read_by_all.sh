#!/usr/bin/env bash
# Archives of `strata cp -r FOLDER FILE.tar` are read by GNU tar and Python's tarfile; theirs, in each format, by `strata tar`.
set -euo pipefail
strata=${STRATA_BIN:?}/strata
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

echo "a folder of names and sizes of many kinds"
python3 - <<'PY'
import os, random
r = random.Random(7)
d100, long = 'd' * 90, 'x' * 140
names = ['plain', 'a,b', 'back\\slash', 'new\nline', 'ümlaut-€', 'blank s', f'{d100}/f1', f'{d100}/{d100}/f2', long,
         f'{d100}/{long}', 'sub/empty', 'sub/512', 'sub/513', "q'uote\""]
for i, n in enumerate(names):
    p = os.path.join('in', n)
    os.makedirs(os.path.dirname(p), exist_ok=True)
    with open(p, 'wb') as f:
        f.write(r.randbytes({'sub/empty': 0, 'sub/512': 512, 'sub/513': 513}.get(n, 100 + 7000 * i)))
PY

same () { diff -r in "$1" > diff.txt || { echo "FAILED: $2"; head diff.txt; exit 1; }; }

echo "ours: GNU tar, Python's tarfile"
"$strata" cp -r in ours.tar
"$strata" tar verify ours.tar
mkdir gnu py && tar -x -f ours.tar -C gnu 2> tar.err
[ ! -s tar.err ] || { echo "FAILED: GNU tar says:"; cat tar.err; exit 1; }
same gnu "GNU tar reads otherwise"
python3 -c 'import tarfile; tarfile.open("ours.tar").extractall("py")'
same py "Python reads otherwise"

echo "the same copy again finds all there"
"$strata" cp -r --json in ours.tar | jq -e '.copied == 0 and .failed == 0 and .there_already == .objects' > copy.json

echo "theirs, in each format"
read_back () { # ARCHIVE WHAT
    local out=out-${1%.tar}
    rm -rf "$out"
    "$strata" cp -r "$1" "$out" > /dev/null
    same "$out" "$2 is read otherwise"
}
for format in gnu oldgnu pax; do
    (cd in && tar -c -f "../$format.tar" --format=$format -- *)
    read_back $format.tar "GNU tar --format=$format"
    "$strata" tar reindex $format.tar > /dev/null && "$strata" tar verify $format.tar > /dev/null
    read_back $format.tar "GNU tar --format=$format with our index"
done
for format in USTAR GNU PAX; do
    python3 - $format <<'PY'
import os, sys, tarfile
with tarfile.open(f'python-{sys.argv[1]}.tar', 'w', format=getattr(tarfile, sys.argv[1] + '_FORMAT')) as t:
    for folder, _, files in os.walk('in'):
        for f in files:
            p = os.path.join(folder, f)
            try:
                t.add(p, os.path.relpath(p, 'in'))
            except ValueError:  # too long for ustar
                assert sys.argv[1] == 'USTAR' and 'x' * 140 in p, p
PY
done
read_back python-GNU.tar "Python's GNU_FORMAT"
read_back python-PAX.tar "Python's PAX_FORMAT"
"$strata" cp -r python-USTAR.tar out-ustar > /dev/null
[ "$(find out-ustar -type f | wc -l)" = $(($(find in -type f | wc -l) - 2)) ] && diff -r in out-ustar | grep -v "^Only in in" && exit 1

echo "appended by both: ours on theirs, theirs on ours"
cp gnu.tar both.tar
"$strata" cp -r --json in both.tar | jq -e '.copied == 0' > copy.json
mkdir more && echo one > more/one && echo two > more/two
"$strata" cp -r more both.tar > /dev/null
[ "$(tar -t -f both.tar | tail -n 1)" = two ]
tar -r -f both.tar -C more one 2> tar.err
[ "$("$strata" tar get both.tar one)" = one ] && [ "$("$strata" tar get both.tar two)" = two ]

echo "a member above 8 GiB"
python3 - <<'PY'
import tarfile
for name, kind in (('gnu', tarfile.GNU_FORMAT), ('pax', tarfile.PAX_FORMAT)):  # a base-256 number; a pax record
    with open(f'huge-{name}.tar', 'wb') as f:
        info = tarfile.TarInfo('huge')
        info.size = 9 << 30
        f.write(info.tobuf(kind))
        f.seek(info.size, 1)
        info = tarfile.TarInfo('behind')
        info.size = 3
        f.write(info.tobuf(kind) + b'yes' + bytes(509))
PY
for name in gnu pax; do
    [ "$("$strata" tar get huge-$name.tar behind)" = yes ]
    "$strata" tar ls --json huge-$name.tar | jq -e '.members[0].size == 9663676416' > size.json
    cp --sparse=always huge-$name.tar more.tar
    "$strata" cp -r more more.tar > /dev/null # appends behind it
    python3 -c 'import tarfile; print([(m.name, m.size) for m in tarfile.open("more.tar")])' \
        | grep -qF "[('huge', 9663676416), ('behind', 3), ('one', 4), ('two', 4)]"
done
echo "tar_archives_are_read_by_all: ok"
