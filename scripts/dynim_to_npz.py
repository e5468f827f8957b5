#!/usr/bin/python3
"""Makes a start for `strata import` from a workspace of DynIm (github.com/LLNL/dynim).

  dynim_to_npz.py SamplerImportance-NAME.data.npz [--history SamplerImportance-NAME.history.csv] -o start.npz
  strata import QUEUE start.npz

Cached points and candidates wait, selected and discarded ones stay what they are. Where the history, which DynIm writes
at once, tells of selections or discards that its last checkpoint does not have yet, the history counts. DynIm itself is
not needed. Its file holds pickled objects: only points and arrays are read from them, whatever else they name is refused.
"""
import argparse
import csv
import io
import pickle
import sys
import zipfile

import numpy as np

STATES = {"waiting": 0, "selected": 1, "discarded": 2}


class Point:
    """What DynIm calls HDPoint: id, coords, rank."""


class Reader(pickle.Unpickler):
    allowed = {
        ("dynim.hdpoint", "HDPoint"): Point,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module, name):
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name in ("_reconstruct", "scalar"):
            return getattr(np.core.multiarray, name)
        if (module, name) in self.allowed:
            return self.allowed[(module, name)]
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which is no point and no array")


def member(archive, name):
    """The points of one list."""
    with archive.open(f"{name}.npy") as file:
        data = io.BytesIO(file.read())
    version = np.lib.format.read_magic(data)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    _, _, dtype = read_header(data)
    if dtype != object:
        return []       # an empty list: float64 without elements
    return list(np.asarray(Reader(data).load(), dtype=object).ravel())


def from_history(path):
    """id -> state, for ids that were selected or discarded."""
    states = {}
    with open(path, newline="") as file:
        for row in csv.reader(file, skipinitialspace=True):
            if len(row) >= 3 and row[1].strip() in ("selected", "discarded"):
                states[row[2].strip()] = row[1].strip()
    return states


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="the sampler's .data.npz")
    parser.add_argument("--history", help="the sampler's .history.csv")
    parser.add_argument("-o", "--out", required=True, help="the file to write")
    args = parser.parse_args()
    try:
        with zipfile.ZipFile(args.data) as archive:
            lists = {name: member(archive, name) for name in ("cached", "candidates", "selected", "discarded")}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        sys.exit(f"dynim_to_npz: {args.data}: {error}")
    later = from_history(args.history) if args.history else {}
    ids, points, states, ranks = [], [], [], []
    moved = 0
    for name, found in lists.items():
        state = name if name in STATES else "waiting"
        for point in found:
            key = str(point.id)
            known = later.get(key, state) if state == "waiting" else state
            moved += known != state
            rank = float(getattr(point, "rank", np.nan))
            ids.append(key)
            points.append(np.asarray(point.coords, np.float32).ravel())
            states.append(STATES[known])
            ranks.append(rank if np.isfinite(rank) else 0.0)
    if not ids:
        sys.exit(f"dynim_to_npz: {args.data}: no points in it")
    if len({len(p) for p in points}) != 1:
        sys.exit(f"dynim_to_npz: {args.data}: its points have different dimensions")
    np.savez(args.out, ids=np.array(ids, dtype=np.str_), points=np.stack(points),
             states=np.array(states, np.int32), ranks=np.array(ranks, np.float64))
    counts = {name: states.count(value) for name, value in STATES.items()}
    print(f"{counts['waiting']} waiting, {counts['selected']} selected, {counts['discarded']} discarded; "
          f"{moved} by the history alone; written to {args.out}")


if __name__ == "__main__":
    main()
