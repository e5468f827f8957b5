#!/usr/bin/python3
"""Measures what a patch encoder is worth: how well N patches chosen in its space cover all that there are.

    scripts/measure_encoder.py --network model.pt --pca pca.npz POOL ...        writes tables in Markdown

POOL: a folder of patch .npz files of one run of the continuum model, of a seed that no encoder was trained on. From each pool
N patches are chosen by farthest point in the space of each encoder (greedy, ranks renewed after each pick, as services/select
does it), and at random. Coverage is the mean distance from each patch of the pool to the nearest chosen one, smaller is better:
  composition     mean density of each lipid, divided by its standard deviation over all pools; root mean square over lipids
                  of the difference, over sqrt(2): 1 is what two patches drawn at random differ by
  configuration   the same, the mean of the means over lipid-only, ras, ras-raf and other: rare ones count as much
  proteins        by how many proteins, told apart by state, the two patches differ
  worst           composition of the patch that is covered worst
Each table is made of the pools as they are and, with "turned", after each patch was turned by a multiple of 90 degrees and
mirrored or not, at random: a membrane has no direction, so a configuration seen from another side is none that is new. In the
pools themselves the same region stands in up to eight patches, one a snapshot, always seen from one side.
"composition itself" chooses in the space that is measured: no encoder can know that better. Each number is the mean over the
pools, +- the standard deviation between pools; in a pool, the mean over STARTS first picks (or draws).
"""
import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
import numpy as np  # noqa: E402
import torch  # noqa: E402

from patch_files import CONFIGURATIONS, LIPIDS, list_files, load_patches  # noqa: E402

STARTS = 10
KINDS = ("random", "pca", "network", "composition itself")
MEASURES = ("composition", "configuration", "proteins", "worst")


def distances(x):
    squares = (x * x).sum(1)
    return np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * x @ x.T, 0))


def farthest(d, n, k, rng):
    """n indices: random until k are chosen, then each the one of highest mean distance to its k nearest chosen ones."""
    chosen = list(rng.permutation(len(d))[:k])
    nearest = np.sort(d[:, chosen], 1)  # of each patch, its distances to its k nearest chosen ones, rising
    while len(chosen) < n:
        rank = nearest.mean(1)
        rank[chosen] = -1
        chosen.append(int(rank.argmax()))
        nearest = np.sort(np.column_stack((nearest, d[:, chosen[-1]])), 1)[:, :k]
    return chosen


def turn(x, rng):
    """Each patch of [patch][y][x][lipid] seen from another side."""
    sides = [np.rot90(p, rng.integers(0, 4), (0, 1)) for p in x]
    return np.ascontiguousarray(np.stack([p[:, ::-1] if rng.integers(0, 2) else p for p in sides]))


class Pool:
    def __init__(self, patches, x, network, pca):
        """x: the patches' concentrations, as they are or turned."""
        self.patches = patches
        self.means = x.mean((1, 2), dtype=np.float64)
        with torch.no_grad():
            z = network(torch.from_numpy(x).double()).numpy()
        flat = (x.reshape(len(x), -1).astype(np.float64) - pca["mean"]) / pca["scale"]
        self.spaces = {"network": distances(z), "pca": distances(flat @ pca["components"].T.astype(np.float64))}
        self.configurations = np.array(self.patches.configurations)

    def prepare(self, deviation):
        self.composition = distances(self.means / deviation) / np.sqrt(2 * LIPIDS)
        self.proteins = np.abs(self.patches.states[:, None] - self.patches.states[None]).sum(2)
        self.spaces["composition itself"] = self.composition

    def coverage(self, chosen):
        nearest = self.composition[:, chosen].min(1)
        parts = [nearest[self.configurations == c].mean() for c in CONFIGURATIONS if (self.configurations == c).any()]
        return nearest.mean(), np.mean(parts), self.proteins[:, chosen].min(1).mean(), nearest.max()

    def measure(self, kind, n, k):
        """The four measures, the mean over STARTS."""
        of = []
        for start in range(STARTS):
            rng = np.random.default_rng([start, n])
            chosen = rng.permutation(len(self.patches))[:n] if kind == "random" else farthest(self.spaces[kind], n, k, rng)
            of.append(self.coverage(chosen))
        return np.mean(of, 0)


def table(pools, k, counts):
    """Lines of a table of all measures for each N, and how often the network is better than the others."""
    lines = ["| N | measure | " + " | ".join(KINDS) + " | network better than pca, random |", "|---|---|" + "---|" * (len(KINDS) + 1)]
    for n in counts:
        of = {kind: np.array([pool.measure(kind, n, k) for pool in pools]) for kind in KINDS}  # [pool][measure]
        for m, measure in enumerate(MEASURES):
            cells = [f"{of[kind][:, m].mean():.3f} +- {of[kind][:, m].std(ddof=1):.3f}" for kind in KINDS]
            wins = [int((of["network"][:, m] < of[kind][:, m]).sum()) for kind in ("pca", "random")]
            lines.append(f"| {n} | {measure} | " + " | ".join(cells) + f" | {wins[0]}, {wins[1]} of {len(pools)} |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pools", nargs="+", metavar="POOL", help="patches of one seed, at least 2 pools")
    parser.add_argument("--network", required=True, help="model of scripts/train_encoder.py")
    parser.add_argument("--pca", required=True, help="model of scripts/train_pca.py")
    parser.add_argument("--counts", type=int, nargs="+", default=[20, 40, 80], help="N (default 20 40 80)")
    parser.add_argument("--k", type=int, nargs="+", default=[1, 10], help="nearest chosen ones that rank (default 1 and 10)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    network, pca = torch.jit.load(arguments.network), np.load(arguments.pca)
    sets = [load_patches(list_files([path])) for path in arguments.pools]
    fewest = min(len(patches) for patches in sets)
    if len(sets) < 2 or min(arguments.k) < 1 or max(arguments.counts) > fewest or min(arguments.counts) < max(arguments.k):
        parser.error(f"needs two pools or more, and counts from the largest k to {fewest}, the patches of the smallest pool")
    rng = np.random.default_rng(0)
    pools = {"as they are": [Pool(patches, patches.concentrations, network, pca) for patches in sets],
             "turned": [Pool(patches, turn(patches.concentrations, rng), network, pca) for patches in sets]}
    deviation = np.concatenate([pool.means for pool in pools["as they are"]]).std(0)
    print(f"{len(sets)} pools of {fewest} to {max(len(patches) for patches in sets)} patches\n")
    for k in arguments.k:
        for name, these in pools.items():
            for pool in these:
                pool.prepare(deviation)
            print(f"### {'Nearest chosen one' if k == 1 else f'Mean over the {k} nearest chosen ones'} (`k: {k}`), patches {name}\n")
            print("\n".join(table(these, k, arguments.counts)) + "\n", flush=True)


if __name__ == "__main__":
    main()
