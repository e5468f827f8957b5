#!/usr/bin/python3
"""Trains the patch encoder's network: patches that differ lie apart, copies of one patch lie together.

    scripts/train_encoder.py --data PATCHES --validate PATCHES [--wide WIDE] --out FOLDER [--epochs 40] [--seed 1]

PATCHES: folders of patch .npz files as `strata-patch --cut` writes them, or such files. WIDE: the same patches (same ids) cut
larger, from which copies that are shifted by whole points are taken; without it a copy is turned and mirrored only.
FOLDER gets model.pt (TorchScript, for `patch.encoder: {kind: network}`), report.md with its pictures, and checkpoint.pt, from
which the same command goes on after Ctrl-C or a crash; it then gives the same file, byte for byte, as without the break.

Metric learning by triplets. The anchor and its positive are two copies of one patch, each turned by a multiple of 90 degrees,
mirrored or not, and shifted; negatives are all other patches of the batch. How far a negative has to be is given by what makes
two patches different, the protein configuration (how many RAS and RAF) and the composition (mean of each lipid):
    loss = mean over triplets of huber (|z_a - z_n| - |z_a - z_p| - margin_an) + PULL * mean of |z_a - z_p|
    margin_an^2 = mean over lipids of ((mean_a - mean_n) / sd)^2 / 2 + PROTEIN^2 * ((RAS_a - RAS_n)^2 + (RAF_a - RAF_n)^2)
A margin that grows with the difference, rather than one for all, makes distance mean difference (graded margins: Ha and Blanz,
"Deep ranking with adaptive margin triplet loss", 2021), which is what farthest-point selection needs.
"""
import argparse
import copy
import hashlib
import json
import os
import signal
import sys
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is loaded: sums in one order
import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

from patch_files import LIPIDS, STATES, list_files, load_patches, refuse  # noqa: E402

PULL = 0.5
PROTEIN = 0.5
DROPOUT = 0.2
DECAY = 1e-2
CHUNK = 256  # patches encoded at once


class Network(nn.Module):
    """Concentrations as they stand in a patch, [n][edge][edge][14], -> [n][dimensions]. It standardises each lipid itself.

    The composition is kept by a linear map of the lipids' means; convolutions add what is local, as the mean over the patch
    and as the largest response near its centre, where the protein is. Attributes edge, lipids, dimensions, mean and deviation are
    what services/patch reads from the file (services/patch/encoder_network.cpp)."""

    def __init__(self, edge: int, dimensions: int, mean, deviation):
        super().__init__()
        self.edge, self.lipids, self.dimensions = edge, LIPIDS, dimensions
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer("deviation", torch.as_tensor(deviation, dtype=torch.float32))
        self.local = nn.Sequential(  # few weights: which lipids gather, then in which shape
            nn.Conv2d(LIPIDS, 8, 1), nn.Conv2d(8, 16, 5, stride=2, padding=2), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, dimensions))
        self.straight = nn.Linear(LIPIDS, dimensions, bias=False)

    def forward(self, x):
        x = ((x - self.mean) / self.deviation).permute(0, 3, 1, 2)
        local = self.local(x)
        middle = local.size(2) // 2
        low, high = max(0, middle - 2), min(local.size(2), middle + 3)
        features = torch.cat((local.mean((2, 3)), local[:, :, low:high, low:high].amax((2, 3))), 1)
        return self.head(features) + self.straight(x.mean((2, 3)))


# ---- what the network sees, and how different two patches are ----

def make_labels(patches, deviation):
    """[patch][16]: rows whose distance is the margin of the docstring's formula. deviation: of each lipid's mean."""
    means = patches.concentrations.mean((1, 2), dtype=np.float64) / deviation / np.sqrt(2 * LIPIDS)
    raf = np.array(["RAF" in s for s in STATES])
    counts = np.stack((patches.states[:, ~raf].sum(1), patches.states[:, raf].sum(1)), 1)
    return torch.as_tensor(np.concatenate((means, PROTEIN * counts), 1), dtype=torch.float32)


def make_copies(whole, edge, rng):
    """One copy of each of `whole` [n][wide][wide][14], edge x edge: shifted by up to the border, turned, mirrored."""
    border = whole.shape[1] - edge
    copies = []
    for x in whole:
        top, left = rng.integers(0, border + 1, 2)
        x = x[top:top + edge, left:left + edge]
        x = np.rot90(x, rng.integers(0, 4), (0, 1))
        copies.append(x[:, ::-1] if rng.integers(0, 2) else x)
    return torch.from_numpy(np.ascontiguousarray(np.stack(copies)))


def triplet_loss(anchor, positive, labels):
    """anchor, positive: [n][dimensions], two copies of each of n patches. Returns the loss of all n (n - 1) triplets."""
    near = (anchor - positive).square().sum(1).add(1e-12).sqrt()
    far = (anchor[:, None] - positive[None]).square().sum(2).add(1e-12).sqrt()
    margin = (labels[:, None] - labels[None]).square().sum(2).sqrt()
    others = ~torch.eye(len(anchor), dtype=torch.bool)
    wrong = (far - near[:, None] - margin)[others]
    return nn.functional.smooth_l1_loss(wrong, torch.zeros_like(wrong), beta=0.1) + PULL * near.mean()


@torch.no_grad()
def encode(network, concentrations):
    """[n][edge][edge][14] -> float64 [n][dimensions]"""
    network.eval()
    parts = [network(torch.from_numpy(concentrations[i:i + CHUNK])) for i in range(0, len(concentrations), CHUNK)]
    network.train()
    return torch.cat(parts).numpy().astype(np.float64)


class Set:
    """Patches, the larger cuts that copies are taken from (the patches themselves without), and their labels."""

    def __init__(self, paths, wide_paths, deviation=None):
        self.patches = load_patches(list_files(paths))
        if len(self.patches) < 4:
            refuse(f"{len(self.patches)} valid patches found in {' '.join(paths)}; at least 4 are needed")
        self.edge = self.patches.concentrations.shape[1]
        self.whole = self.patches.concentrations
        if wide_paths:
            wide = load_patches(list_files(wide_paths), wanted=set(self.patches.ids))
            place = {name: i for i, name in enumerate(wide.ids)}
            missing = [name for name in self.patches.ids if name not in place]
            if missing:
                refuse(f"--wide lacks {len(missing)} of the patches, among them {missing[0]}")
            self.whole = wide.concentrations[[place[name] for name in self.patches.ids]]
            if (self.whole.shape[1] - self.edge) % 2 or self.whole.shape[1] <= self.edge:
                refuse(f"--wide patches are {self.whole.shape[1]} points wide; an even number more than {self.edge} is needed")
        means = self.patches.concentrations.mean((1, 2), dtype=np.float64)
        self.deviation = np.maximum(means.std(0), 1e-6) if deviation is None else deviation
        self.labels = make_labels(self.patches, self.deviation)


def make_network(data, dimensions):
    """Begins as the principal components of the composition, which few patches suffice for; what is local is learnt."""
    x = data.patches.concentrations.reshape(-1, LIPIDS).astype(np.float64)
    deviation = np.maximum(x.std(0), 1e-6)
    network = Network(data.edge, dimensions, x.mean(0), deviation)
    scale = data.deviation * np.sqrt(2 * LIPIDS)
    means = data.patches.concentrations.mean((1, 2), dtype=np.float64) / scale
    axes = np.linalg.svd(means - means.mean(0), full_matrices=False)[2][:dimensions]
    with torch.no_grad():
        network.straight.weight.zero_()
        network.straight.weight[:len(axes)] = torch.as_tensor(axes * deviation / scale)
        network.head[-1].weight.mul_(0.1)
        network.head[-1].bias.zero_()
    return network


# ---- training ----

class Training:
    """The state of a run: network, optimiser, curves. Everything random comes from (seed, epoch)."""

    def __init__(self, arguments, data, held):
        self.arguments, self.data, self.held = arguments, data, held
        torch.manual_seed(arguments.seed)
        self.network = make_network(data, arguments.dimensions)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=arguments.rate, weight_decay=DECAY)
        self.curves = []  # an epoch: loss on the data, loss on what is held out, best so far
        self.best = copy.deepcopy(self.network.state_dict())
        self.file = os.path.join(arguments.out, "checkpoint.pt")
        digest = hashlib.sha256(data.patches.concentrations.tobytes() + data.whole.tobytes() + held.whole.tobytes()).hexdigest()
        self.of = {"data": digest} | {k: getattr(arguments, k) for k in ("dimensions", "epochs", "batch", "rate", "seed")}

    def resume(self):
        """True if a checkpoint of the same data and options was there."""
        if self.arguments.fresh or not os.path.exists(self.file):
            return False
        state = torch.load(self.file)
        different = [k for k in self.of if state["of"].get(k) != self.of[k]]
        if different:
            refuse(f"{self.file} is of another {' and '.join(different)}; give --fresh to begin anew, or another --out")
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best, self.curves = state["best"], state["curves"]
        return True

    def save(self):
        state = {"of": self.of, "network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(),
                 "best": self.best, "curves": self.curves}
        torch.save(state, self.file + ".part")
        os.replace(self.file + ".part", self.file)

    def batch_loss(self, data, rows, rng):
        copies = [self.network(make_copies(data.whole[rows], data.edge, rng)) for _ in range(2)]
        return triplet_loss(copies[0], copies[1], data.labels[rows])

    def epoch(self, number):
        rng = np.random.default_rng([self.arguments.seed, number])
        torch.manual_seed(int(rng.integers(1 << 62)))  # of the dropout
        for group in self.optimizer.param_groups:  # half a cosine: down to 0 at the end
            group["lr"] = self.arguments.rate * 0.5 * (1 + np.cos(np.pi * number / self.arguments.epochs))
        order, losses = rng.permutation(len(self.data.patches)), []
        for i in range(0, len(order) - 1, self.arguments.batch):
            rows = np.sort(order[i:i + self.arguments.batch])
            if len(rows) < 2:
                continue
            loss = self.batch_loss(self.data, rows, rng)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
        held = self.held_loss()
        self.curves.append((float(np.mean(losses)), held))
        if held <= min(h for _, h in self.curves):
            self.best = copy.deepcopy(self.network.state_dict())

    @torch.no_grad()
    def held_loss(self):
        """The same copies and triplets at each epoch, so that the curve shows the network and not chance."""
        rng = np.random.default_rng([self.arguments.seed])
        order = rng.permutation(len(self.held.patches))
        groups = [np.sort(order[i:i + self.arguments.batch]) for i in range(0, len(order) - 1, self.arguments.batch)]
        self.network.eval()
        loss = float(np.mean([self.batch_loss(self.held, g, rng).item() for g in groups if len(g) > 1]))
        self.network.train()
        return loss

    def run(self):
        start, first = time.monotonic(), len(self.curves)
        for number in range(first, self.arguments.epochs):
            self.epoch(number)
            self.save()
            left = (time.monotonic() - start) / (number + 1 - first) * (self.arguments.epochs - number - 1)
            print(f"epoch {number + 1}/{self.arguments.epochs}: loss {self.curves[-1][0]:.4f}, "
                  f"held out {self.curves[-1][1]:.4f}, {left:.0f} s left", flush=True)
        self.network.load_state_dict(self.best)


def export(network, path, seed):
    """The best network as TorchScript in float64: on other processors sums differ in the last bits, which the rounding of
    the result to float32 takes away."""
    script = torch.jit.script(copy.deepcopy(network).double().eval())
    torch.jit.save(script, path + ".part", _extra_files={"training.json": json.dumps({"seed": seed}).encode()})
    os.replace(path + ".part", path)
    return script


# ---- the report ----

def distances(x, y):
    return np.sqrt(np.maximum((x * x).sum(1)[:, None] + (y * y).sum(1)[None] - 2 * x @ y.T, 0))


def neighbours(z, held, copies):
    """Quality of the nearest neighbours among held-out patches with points z; copies: points of one copy of each."""
    labels, names = held.labels.numpy(), np.array(held.patches.configurations)
    d = distances(z, z)
    np.fill_diagonal(d, np.inf)
    k = min(10, len(z) - 1)
    near = np.argsort(d, 1, kind="stable")[:, :k]
    margin = distances(labels, labels)
    found = distances(copies, z).argmin(1) == np.arange(len(z))
    upper = np.triu_indices(len(z), 1)
    return {"a copy's nearest patch is its own": found.mean(),
            "of the 10 nearest, of the same configuration": (names[near] == names[:, None]).mean(),
            "difference of the 10 nearest / of any two": np.take_along_axis(margin, near, 1).mean() / margin[upper].mean(),
            "correlation of distance with difference": np.corrcoef(d[upper], margin[upper])[0, 1],
            "distance of a copy / of any two": np.sqrt(((copies - z) ** 2).sum(1)).mean() / d[upper].mean()}


def draw(training, z, folder):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(6, 3.6), constrained_layout=True)
    axes.plot([a for a, _ in training.curves], label="training data")
    axes.plot([b for _, b in training.curves], label="held out")
    axes.set(xlabel="epoch", ylabel="triplet loss", yscale="log")
    axes.legend(frameon=False)
    figure.savefig(os.path.join(folder, "loss.png"), dpi=110, metadata={"Software": None})
    held = training.held
    centred = z - z.mean(0)
    plane = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4.4), constrained_layout=True, sharex=True, sharey=True)
    names = np.array(held.patches.configurations)
    for name, mark in zip(sorted(set(names)), "osD^v"):
        left.scatter(*plane[names == name].T, s=14, marker=mark, label=name, alpha=0.75, linewidths=0)
    left.legend(frameon=False)
    left.set(title="protein configuration", xlabel="first principal axis of the points", ylabel="second")
    means = held.labels.numpy()[:, :LIPIDS]
    most = np.argmax(np.abs([np.corrcoef(plane[:, 0], means[:, i])[0, 1] if means[:, i].std() else 0 for i in range(LIPIDS)]))
    lipid = held.patches.concentrations[:, :, :, most].mean((1, 2))
    figure.colorbar(right.scatter(*plane.T, c=lipid, s=14, cmap="viridis", linewidths=0), ax=right, label="1/nm$^2$")
    right.set(title=f"mean of lipid {most}, the one that varies most along the first axis", xlabel="first principal axis")
    figure.savefig(os.path.join(folder, "embedding.png"), dpi=110, metadata={"Software": None})


def report(training, folder):
    held, network = training.held, training.network
    z = encode(network, held.patches.concentrations)
    rng = np.random.default_rng([training.arguments.seed, 1 << 32])
    copies = make_copies(held.whole, held.edge, rng).numpy()
    draw(training, z, folder)
    means = held.patches.concentrations.mean((1, 2)).astype(np.float64)
    scale = training.data.deviation
    rows = [("network", neighbours(z, held, encode(network, copies))),
            ("means of the lipids", neighbours(means / scale, held, copies.mean((1, 2)) / scale))]
    best = int(np.argmin([h for _, h in training.curves]))
    lines = ["# Training of the patch encoder", "",
             f"{len(training.data.patches)} patches, {len(held.patches)} held out, {held.edge} x {held.edge} x {LIPIDS} -> "
             f"{network.dimensions}; seed {training.arguments.seed}, {len(training.curves)} epochs, the best of them "
             f"{best + 1} with a loss of {training.curves[best][1]:.4f} on what was held out.", "",
             "![Loss of each epoch](loss.png)", "", "## Neighbours among the held-out patches", "",
             "A copy is turned by a multiple of 90 degrees, mirrored or not, and shifted. Difference: the margin of "
             "`scripts/train_encoder.py`.", "",
             "| | " + " | ".join(name for name, _ in rows) + " |", "|---|" + "---|" * len(rows)]
    lines += [f"| {key} | " + " | ".join(f"{values[key]:.3f}" for _, values in rows) + " |" for key in rows[0][1]]
    lines += ["", "## The points of the held-out patches", "", "![The points, in two dimensions](embedding.png)", ""]
    with open(os.path.join(folder, "report.md"), "w") as f:
        f.write("\n".join(lines))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", required=True, metavar="PATCHES", help="what to train on")
    parser.add_argument("--wide", nargs="+", default=[], metavar="WIDE", help="the same patches and those of --validate, larger")
    parser.add_argument("--validate", nargs="+", required=True, metavar="PATCHES",
                        help="what is held out: for the curve, the best epoch and the report")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="for model.pt, report.md, checkpoint.pt")
    parser.add_argument("--dimensions", type=int, default=9, help="numbers of a point, 1 to 64 (default 9)")
    parser.add_argument("--epochs", type=int, default=40, help="(default 40)")
    parser.add_argument("--batch", type=int, default=64, help="patches in a batch, 2 or more (default 64)")
    parser.add_argument("--rate", type=float, default=2e-3, help="learning rate at the start (default 0.002)")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random (default 1)")
    parser.add_argument("--threads", type=int, default=1, help="the file is the same again with the same number only (default 1)")
    parser.add_argument("--fresh", action="store_true", help="begin anew, whatever checkpoint there is")
    arguments = parser.parse_args()
    if not 1 <= arguments.dimensions <= 64 or arguments.batch < 2 or arguments.epochs < 1 or arguments.threads < 1:
        parser.error("--dimensions has to be 1 to 64, --batch at least 2, --epochs and --threads at least 1")
    return arguments


def main():
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    torch.use_deterministic_algorithms(True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.makedirs(arguments.out, exist_ok=True)
    data = Set(arguments.data, arguments.wide)
    held = Set(arguments.validate, arguments.wide, data.deviation)
    if held.edge != data.edge:
        refuse(f"--validate has patches of {held.edge} points, --data of {data.edge}")
    training = Training(arguments, data, held)
    print(f"{len(data.patches)} patches to train on, {len(held.patches)} held out, {data.edge} x {data.edge} x {LIPIDS}")
    if training.resume():
        print(f"goes on after epoch {len(training.curves)} of {training.file}")
    try:
        training.run()
    except KeyboardInterrupt:
        print(f"\nstopped; the same command goes on after epoch {len(training.curves)}", file=sys.stderr)
        sys.exit(130)
    export(training.network, os.path.join(arguments.out, "model.pt"), arguments.seed)
    report(training, arguments.out)
    print(f"-> {arguments.out}/model.pt, {arguments.out}/report.md")


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # TorchScript writes sets of names in the order of their hashes
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"PYTHONHASHSEED": "0"})
    main()
