#!/usr/bin/python3
"""The peers of bench_select, on the points that it dumped, and an exact check of its picks.

--scene rank, in the folder of --data (bench_select --scene rank --dump DIR):
  DynIm itself when DYNIM_DIR names a checkout of github.com/LLNL/dynim, else the same steps in numpy + FAISS: its exact
  index (IndexFlatL2), all candidates of a queue ranked once for each selection (bench_select ranks after each pick).
  Then every pick of bench_select is compared with float64 numpy: order and rank.
--scene binned: DynIm's binned sampler (branch binned_sampling; DYNIM_BINNED_DIR), --candidates points; without it the same
  steps in numpy.

Prints one line a figure: name, value, unit, with tabs between.
"""
import argparse
import os
import sys
import tempfile
import time

import numpy as np


def figure(name, value, unit):
    print(f"{name}\t{value:.6g}\t{unit}", flush=True)


def read(args):
    d, n, s = args.dimensions, args.candidates, args.selected
    points = np.fromfile(f"{args.data}/points.f32", np.float32).reshape(args.queues, s + n, d)
    added = np.fromfile(f"{args.data}/added.f32", np.float32).reshape(args.rounds, args.queues, args.add, d)
    return points, added


# ---- the peer ----

def peer_dynim(args, points, added):
    sys.path.insert(0, os.environ["DYNIM_DIR"])
    import dynim
    times = []
    with tempfile.TemporaryDirectory() as tmp:
        samplers = []
        for q in range(args.queues):
            space = dynim.HDSpace()
            space.setup(args.dimensions, "exact")
            sampler = dynim.SamplerImportance(f"q{q}", tmp, min_rand_b4_importance=10)
            sampler.set_hdspace(space)
            chosen = [dynim.HDPoint(f"s{i:08d}", x) for i, x in enumerate(points[q][:args.selected])]
            sampler.selected.extend(chosen)
            sampler._add_selections(chosen)
            sampler.cached.extend(dynim.HDPoint(f"c{i + args.selected:08d}", x)
                                  for i, x in enumerate(points[q][args.selected:]))
            samplers.append(sampler)
        for r in range(args.peer_rounds):
            news = [[dynim.HDPoint(f"n{r + 1:04d}{i:08d}", x) for i, x in enumerate(added[r][q])]
                    for q in range(args.queues)]
            start, cpu = time.perf_counter(), time.process_time()
            for q in range(args.queues):
                samplers[q].add_candidates(news[q])
            adding = time.perf_counter() - start
            for q in range(args.queues):
                samplers[q].select(args.picks)
            times.append((adding, time.perf_counter() - start, time.process_time() - cpu))
    return "dynim", times


def peer_numpy(args, points, added):
    import faiss
    times = []
    indexes, sets = [], []
    for q in range(args.queues):
        index = faiss.IndexFlatL2(args.dimensions)
        index.add(points[q][:args.selected])
        indexes.append(index)
        sets.append(points[q][args.selected:])
    for r in range(args.peer_rounds):
        start, cpu = time.perf_counter(), time.process_time()
        for q in range(args.queues):
            sets[q] = np.concatenate([sets[q], added[r][q]])
        adding = time.perf_counter() - start
        for q in range(args.queues):
            squares, _ = indexes[q].search(sets[q], args.k)
            order = np.argsort(np.sqrt(squares).mean(1))[::-1]
            indexes[q].add(sets[q][order[:args.picks]])
            sets[q] = np.delete(sets[q], order[:args.picks], axis=0)
        times.append((adding, time.perf_counter() - start, time.process_time() - cpu))
    return "numpy_faiss", times


# ---- the exact check ----

def lowest_squares(x, selected, k):
    """[len(x)][k] squares of the distances to the k nearest, rising, float64; a product of matrices only to choose."""
    out = np.empty((len(x), k))
    near = min(len(selected), k + 20)
    lengths = (selected ** 2).sum(1)
    for at in range(0, len(x), 2000):
        part = x[at:at + 2000]
        rough = lengths[None] - 2 * (part @ selected.T)
        which = np.argpartition(rough, near - 1, 1)[:, :near]
        exact = ((part[:, None] - selected[which]) ** 2).sum(2)
        out[at:at + 2000] = np.sort(exact, 1)[:, :k]
    return out


def check(args, points, added):
    picks = {}
    for line in open(f"{args.data}/picks.csv"):
        r, q, name, rank = line.strip().split(",")
        picks.setdefault((int(r), int(q)), []).append((name, float(rank)))
    worst, wrong, count = 0.0, 0, 0
    for q in range(args.check_queues):
        x = points[q][args.selected:].astype(np.float64)
        ids = [f"c{i + args.selected:08d}" for i in range(len(x))]
        selected = points[q][:args.selected].astype(np.float64)
        squares = lowest_squares(x, selected, args.k)
        where = {name: i for i, name in enumerate(ids)}
        gone = np.zeros(len(x), bool)
        for r in range(0, args.rounds + 1):
            if r > 0:
                new = added[r - 1][q].astype(np.float64)
                for i in range(args.add):
                    where[f"n{r:04d}{i:08d}"] = len(x) + i
                squares = np.concatenate([squares, lowest_squares(new, selected, args.k)])
                x = np.concatenate([x, new])
                gone = np.concatenate([gone, np.zeros(args.add, bool)])
            for name, rank in picks[(r, q)]:
                ranks = np.sqrt(squares).mean(1)
                ranks[gone] = -1
                at = where[name]
                # The same rank to the last bits may stand in another order of sums.
                wrong += not (not gone[at] and ranks[at] >= ranks.max() * (1 - 1e-12))
                worst = max(worst, abs(rank - ranks[at]) / ranks[at])
                count += 1
                gone[at] = True
                selected = np.concatenate([selected, x[at:at + 1]])
                square = ((x - x[at]) ** 2).sum(1)
                nearer = square < squares[:, -1]
                merged = np.concatenate([squares[nearer], square[nearer, None]], 1)
                squares[nearer] = np.sort(merged, 1)[:, :args.k]
    figure("picks_checked", count, "")
    figure("picks_wrong", wrong, "")
    figure("rank_difference", worst, "relative")
    if wrong or worst > 1e-5:
        sys.exit("picks differ from those of the exact reference")


# ---- binned ----

def binned(args):
    if "DYNIM_BINNED_DIR" not in os.environ:
        sys.exit("the binned peer needs DYNIM_BINNED_DIR, a checkout of DynIm's branch binned_sampling")
    import logging
    logging.Logger.profile = logging.Logger.debug
    sys.path.insert(0, os.environ["DYNIM_BINNED_DIR"])
    import dynim
    rng = np.random.default_rng(args.seed)
    x = np.stack([rng.random(args.candidates) * rng.random(args.candidates) * np.pi * .999999,
                  (rng.random(args.candidates) + rng.random(args.candidates) - 1) * np.pi * .999999,
                  rng.random(args.candidates) * rng.random(args.candidates) * 5], 1).astype(np.float32)
    with tempfile.TemporaryDirectory() as tmp:
        sampler = dynim.SamplerBinned("frames", tmp, 0.5, "3d-spherical_and_cartesian")
        made = [dynim.HDPoint(f"f{i:08d}", p) for i, p in enumerate(x)]
        start = time.perf_counter()
        sampler.add_candidates(made)
        figure("dynim_binned_add", args.candidates / (time.perf_counter() - start) / 1e6, "M/s")
        for _ in range(args.peer_rounds):
            start = time.perf_counter()
            sampler.select(args.picks)
            figure("dynim_binned_select", (time.perf_counter() - start) * 1e3, "ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scene", choices=["rank", "binned"], default="rank")
    parser.add_argument("--data", help="folder that bench_select --dump wrote")
    for name, value, what in [("queues", 5, "selection queues"), ("candidates", 35000, "that wait in each"),
                              ("selected", 10000, "before, in each"), ("dimensions", 9, "of a point"),
                              ("k", 10, "neighbours that count"), ("add", 100, "a round and queue"),
                              ("picks", 10, "a round and queue"), ("rounds", 20, "that bench_select made"),
                              ("peer-rounds", 5, "that the peer makes"), ("check-queues", 1, "whose picks are checked"),
                              ("threads", 0, "0: all cores"), ("seed", 2026, "of binned points")]:
        parser.add_argument(f"--{name}", type=int, default=value, help=f"{what} (default {value})")
    args = parser.parse_args()
    args.peer_rounds = min(args.peer_rounds, args.rounds)
    if args.scene == "binned":
        return binned(args)
    if not args.data:
        parser.error("--scene rank needs --data")
    points, added = read(args)
    if args.peer_rounds:
        import faiss
        if args.threads:
            faiss.omp_set_num_threads(args.threads)
        name, times = (peer_dynim if "DYNIM_DIR" in os.environ else peer_numpy)(args, points, added)
        for adding, both, cpu in times:
            figure(f"{name}_add", adding * 1e3, "ms")
            figure(f"{name}_round", both * 1e3, "ms")
            figure(f"{name}_round_cpu", cpu * 1e3, "ms")
    if args.check_queues:
        check(args, points, added)


if __name__ == "__main__":
    main()
