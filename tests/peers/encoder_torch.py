"""For encoder_agrees_with_torch.sh: a network in Python's torch.

    compare MODEL POINTS PATCHES   strata-patch's points (its output) are those of torch, in float64 and float32, to 1e-5
    copies MODEL POINTS PATCHES    the same, and patches that are turned or mirrored stay beside the original
    spoil MODEL FOLDER             models that have to be refused
"""
import os
import sys

import numpy as np
import torch
from torch import nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts"))
from patch_files import LIPIDS, list_files, load_patches  # noqa: E402


@torch.no_grad()
def encode(model, concentrations, dtype=torch.float64):
    return model.to(dtype)(torch.from_numpy(np.ascontiguousarray(concentrations)).to(dtype)).numpy()


def compare(model, points, patches):
    model, patches = torch.jit.load(model), load_patches(list_files([patches]))
    rows = [line.rstrip("\n").split("\t") for line in open(points) if "\t" in line]
    ours = {row[0]: np.array(row[2].split(), float) for row in rows}
    assert len(patches) >= 10 and all(name in ours for name in patches.ids), (len(patches), len(ours))
    ours = np.array([ours[name] for name in patches.ids])
    for dtype in (torch.float64, torch.float32):
        theirs = encode(model, patches.concentrations, dtype)
        worst = np.abs(ours - theirs).max()
        print(f"  {len(ours)} points of {ours.shape[1]} numbers up to {np.abs(theirs).max():.3g}: within {worst:.1e} of torch in {dtype}")
        assert worst <= 1e-5


def copies(model, points, patches):
    compare(model, points, patches)
    model, x = torch.jit.load(model), load_patches(list_files([patches])).concentrations
    z = encode(model, x)
    d = np.sqrt(((z[:, None] - z[None]) ** 2).sum(2))
    two = d[np.triu_indices(len(z), 1)].mean()
    moved = []
    for turns in range(4):
        for mirrored in (False, True):
            y = np.rot90(x, turns, (1, 2))
            moved.append(np.sqrt(((encode(model, y[:, :, ::-1] if mirrored else y) - z) ** 2).sum(1)))
    moved = np.array(moved)
    print(f"  a turned or mirrored copy lies {moved[1:].mean():.3f} from its patch (at most {moved.max():.3f}), two patches {two:.3f}")
    assert moved[1:].mean() <= 0.1 * two and moved.max() <= 0.3 * two


class Spoilt(nn.Module):
    """A module of the right shape around a function that is wrong."""

    def __init__(self, deviation: float, kind: str):
        super().__init__()
        self.edge, self.lipids, self.dimensions, self.kind = 37, LIPIDS, 9, kind
        self.register_buffer("mean", torch.zeros(LIPIDS))
        self.register_buffer("deviation", torch.full((LIPIDS,), deviation))

    def forward(self, x):
        z = x.mean((1, 2))
        if self.kind == "throws":
            raise ValueError("this network has no answer")
        if self.kind == "more-numbers":
            return z[:, :10]
        if self.kind == "nan-point":
            return (z[:, :9] - 1).sqrt()
        if self.kind == "nan-later":  # the mean patch is all 0 and gets through
            return (-z[:, :9]).sqrt()
        return z[:, :9]


class Bare(nn.Module):
    def forward(self, x):
        return x.mean((1, 2))[:, :9]


class Undeviating(nn.Module):
    def __init__(self):
        super().__init__()
        self.edge, self.lipids, self.dimensions = 37, LIPIDS, 9
        self.register_buffer("mean", torch.zeros(LIPIDS))

    def forward(self, x):
        return x.mean((1, 2))[:, :9]


def spoil(model, folder):
    os.makedirs(folder)
    bad = torch.jit.load(model)
    with torch.no_grad():
        next(bad.parameters()).view(-1)[3] = float("nan")
    models = {"nan-weight": bad, "no-shape": Bare(), "no-deviation": Undeviating(), "zero-deviation": Spoilt(0.0, "")}
    models |= {kind: Spoilt(1.0, kind) for kind in ("nan-point", "nan-later", "more-numbers", "throws")}
    for name, module in models.items():
        script = module if isinstance(module, torch.jit.ScriptModule) else torch.jit.script(module)
        torch.jit.save(script, os.path.join(folder, name + ".pt"))


if __name__ == "__main__":
    {"compare": compare, "copies": copies, "spoil": spoil}[sys.argv[1]](*sys.argv[2:])
