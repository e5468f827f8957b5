#!/usr/bin/env bash
# pytaridx (github.com/LLNL/pytaridx, not packaged by Debian) reads our archives, and we read its, with all that is wrong in
# their indexes. PYTARIDX_DIR names a checkout of it.
set -euo pipefail
strata=${STRATA_BIN:?}/strata
[ -e "${PYTARIDX_DIR:-}/pytaridx/__init__.py" ] || { echo "PYTARIDX_DIR names no checkout of pytaridx"; exit 77; }
export PYTHONPATH=$PYTARIDX_DIR
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 - "$strata" <<'PY'
import os, random, subprocess, sys
import pytaridx
strata = sys.argv[1]
r = random.Random(3)

def ours(*args):
    return subprocess.run([strata, *args], check=True, capture_output=True).stdout

# Theirs: keys unsorted, some again, as this Python writes them; then torn, and appended to behind that.
want, t = {}, pytaridx.IndexedTarFile()
t.open('theirs.tar', 'r+')
keys = [f'key{r.randrange(10**6)}' for _ in range(300)]
for k in keys + r.sample(keys, 50):
    want[k] = r.randbytes(r.randrange(3000))
    t.write(k, want[k])
t.close()
for k in want:
    assert ours('tar', 'get', 'theirs.tar', k) == want[k], k
with open('theirs.tar', 'rb+') as f:
    f.truncate(f.seek(0, 2) - 700)
t.open('theirs.tar', 'r+')
for i in range(20):
    want[f'late{i}'] = r.randbytes(100 + i)
    t.write(f'late{i}', want[f'late{i}'])
t.close()
for i in range(20):
    assert ours('tar', 'get', 'theirs.tar', f'late{i}') == want[f'late{i}'], i

# Ours: pytaridx reads it when it has made its own index.
folder = 'for-pytaridx'
os.mkdir(folder)
for k in keys:
    with open(os.path.join(folder, k), 'wb') as f:
        f.write(want[k])
ours('cp', '-r', folder, 'for-them.tar')
t = pytaridx.IndexedTarFile()
t.reindex('for-them.tar')
t.open('for-them.tar', 'r')
for k in keys:
    assert bytes(t.read(k)) == want[k], k
t.close()
ours('tar', 'verify', 'for-them.tar')  # with the index that pytaridx has made
PY
echo "pytaridx_agrees: ok"
