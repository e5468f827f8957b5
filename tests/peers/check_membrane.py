#!/usr/bin/python3
"""Measures a trajectory of membrane-cg again with MDAnalysis and numpy, and compares with its analysis.jsonl.

    check_membrane.py FOLDER-OF-CREATESIM FOLDER-OF-MEMBRANE-CG FRAMES
"""
import json
import re
import sys
import warnings

import numpy as np

warnings.simplefilter("ignore")
import MDAnalysis
from MDAnalysis.lib.distances import distance_array

LIPIDS = ["POPC", "PAPC", "POPE", "DIPE", "DPSM", "PAPS", "PAP6", "CHOL"]


def read_index(path):
    groups = {}
    for line in open(path):
        head = re.match(r"\[ *(\S+) *\]", line)
        if head:
            members = groups.setdefault(head.group(1), [])
        else:
            members += [int(word) - 1 for word in line.split()]
    return {name: np.array(members, dtype=int) for name, members in groups.items()}


def nearest(d, box):
    return d - box * np.round(d / box)


def whole(x, box):
    """The beads of a chain, each at the image nearest to the one before it."""
    out = x.astype(float).copy()
    for i in range(1, len(out)):
        out[i] = out[i - 1] + nearest(out[i] - out[i - 1], box)
    return out


def mean_z(z, box):
    about = np.angle(np.mean(np.exp(2j * np.pi * z / box))) / (2 * np.pi) * box
    return about + np.mean(nearest(z - about, box))


def angle_between(a, b):
    return abs((a - b + np.pi) % (2 * np.pi) - np.pi)


def main():
    system, out, frames = sys.argv[1], sys.argv[2], int(sys.argv[3])
    groups = read_index(f"{system}/index.ndx")
    ours = {line["frame"]: line for line in map(json.loads, open(f"{out}/analysis.jsonl"))}
    assert len(ours) == frames, f"{len(ours)} frames where {frames} are expected"
    universe = MDAnalysis.Universe(f"{system}/system.gro", f"{out}/traj_comp.xtc")
    inner = np.concatenate([m for name, m in groups.items() if name.startswith("inner_")])
    outer = np.concatenate([m for name, m in groups.items() if name.startswith("outer_")])
    domain = groups["gdomain"]
    total = seen = 0
    for ts in universe.trajectory:
        number = 1 + ts.data["step"] // 250 if len(sys.argv) < 5 else 1 + ts.data["step"] // int(sys.argv[4])
        x = ts.positions.astype(float) / 10
        box = ts.dimensions[:3].astype(float) / 10
        r = whole(x[domain], box)
        centre = r.mean(axis=0)
        r = r - centre
        quarter = len(r) // 4
        axis = -r[-quarter:].mean(axis=0)
        axis /= np.linalg.norm(axis)
        side = r[quarter:2 * quarter].mean(axis=0)
        if number == 1:
            continue
        seen += 1
        line = ours[number]
        flat = ts.positions.copy()
        flat[:, 2] = 0
        for row, lipid in enumerate(LIPIDS):
            d = distance_array(flat[groups["anchor"]], flat[groups.get(f"inner_{lipid}", np.array([], dtype=int))],
                               box=ts.dimensions)
            counts, _ = np.histogram(d, bins=599, range=(0.1, 120))
            assert (counts == line["counts"][row]).all(), f"frame {number}, {lipid}: other counts"
            total += counts.sum()
        plane = mean_z(x[inner, 2], box[2])
        n = np.array([0, 0, np.sign(nearest(plane - mean_z(x[outer, 2], box[2]), box[2]))])
        tilt = np.arccos(axis @ n)
        e1 = n - (n @ axis) * axis
        e2 = np.cross(axis, e1)
        rotation = np.arctan2(side @ e2, side @ e1)
        depth = nearest(centre[2] - plane, box[2]) * n[2]
        t, o, d = line["coordinates"]
        assert abs(t - tilt) < 1e-4 and angle_between(o, rotation) < 1e-4 and abs(d - depth) < 1e-5, \
            f"frame {number}: {line['coordinates']} where numpy has {[tilt, rotation, depth]}"
        assert abs(line["time_ps"] - ts.time) < 1e-6
    assert seen == frames, f"the trajectory has {seen} frames where {frames} are expected"
    print(f"ok: {total} pairs in {frames} frames counted as MDAnalysis {MDAnalysis.__version__} and numpy {np.__version__} "
          "do, bin for bin; tilt, rotation and depth as numpy")


main()
