"""Patches (.npz, as strata-patch cuts them) as numpy arrays, for the trainers of the patch encoder and its measurement."""
import glob
import os
import sys

import numpy as np

LIPIDS = 14
CONFIGURATIONS = ("lipid-only", "ras", "ras-raf", "other")  # invalid patches are no candidates
STATES = ("RASa", "RASb", "RASc", "mRASa", "mRASb", "zRASa", "mRAFa", "mRAFb", "zRAFa")


class Patches:
    """ids, simulations, configurations: lists of text. concentrations: float32 [patch][y][x][lipid], 1/nm^2.
    states: float32 [patch][9], how many proteins of each of STATES are in the patch (the 4A isoform counts as the other)."""

    def __init__(self, ids, simulations, configurations, concentrations, states):
        self.ids, self.simulations, self.configurations = ids, simulations, configurations
        self.concentrations, self.states = concentrations, states

    def __len__(self):
        return len(self.ids)


def list_files(paths):
    """The .npz files among the paths and in the folders among them, in the order of their names."""
    files = []
    for path in paths:
        files += glob.glob(os.path.join(path, "*.npz")) if os.path.isdir(path) else [path]
    return sorted(set(files), key=lambda f: (os.path.basename(f), f))


def refuse(message):
    sys.exit(f"{os.path.splitext(os.path.basename(sys.argv[0]))[0]}: {message}")


def load_patches(files, wanted=None):
    """All valid patches of the files; with `wanted`, these ids, whatever their configuration. Ends the program, naming the
    file, when one has another shape than the first or a number that is not finite."""
    ids, simulations, configurations, rows, states = [], [], [], [], []
    for path in files:
        with np.load(path, allow_pickle=False) as z:
            name, configuration = str(z["id"]), str(z["configuration"])
            if name not in wanted if wanted is not None else configuration == "invalid":
                continue
            x = z["concentrations"]
            of = [str(s).replace("4A", "") for s in z["states"]]
            simulations.append(str(z["simulation"]))
        if x.ndim != 3 or x.shape[0] != x.shape[1] or x.shape[2] != LIPIDS or (rows and x.shape != rows[0].shape):
            refuse(f"{path}: concentrations have shape {x.shape}; all patches need one shape (n, n, {LIPIDS})")
        if not np.isfinite(x).all():
            refuse(f"{path}: concentrations are not all finite")
        ids.append(name)
        configurations.append(configuration)
        rows.append(x)
        states.append([of.count(s) for s in STATES])
    return Patches(ids, simulations, configurations, np.array(rows, np.float32), np.array(states, np.float32))
