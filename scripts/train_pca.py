#!/usr/bin/python3
"""Trains the patch encoder: principal components of a set of patches, written as the .npz that services/patch reads.

    scripts/train_pca.py [--dimensions 9] --out pca.npz PATCHES...     PATCHES: patch .npz files, or folders of them

Each lipid is divided by its own standard deviation over all patches and grid points, so that a rare lipid counts as much
as a common one; then the first principal components of the centred patches are taken. Invalid patches are left out.
The same patches give the same file, byte for byte, on one machine: files are read in the order of their names, the sign of
a component is fixed by its largest number, linear algebra runs on one thread, and the archive carries no date.
"""
import argparse
import io
import os
import sys
import zipfile

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is loaded: sums in one order
import numpy as np  # noqa: E402

from patch_files import LIPIDS, list_files, load_patches  # noqa: E402


def train(x, dimensions):
    """Returns mean [D], scale [D], components [dimensions][D] and the share of the variance each component explains."""
    mean = x.mean(axis=0)
    x = x - mean
    by_lipid = np.sqrt((x.reshape(len(x), -1, LIPIDS) ** 2).mean(axis=(0, 1)))
    by_lipid[by_lipid < 1e-12] = 1.0  # a lipid that never varies says nothing, whatever its scale
    scale = np.tile(by_lipid, x.shape[1] // LIPIDS)
    x /= scale
    # There are fewer patches than features: the eigenvectors of x x' give those of x' x.
    values, vectors = np.linalg.eigh(x @ x.T)
    values, vectors = values[::-1], vectors[:, ::-1]
    if dimensions > len(values) or values[dimensions - 1] <= values[0] * 1e-12:
        sys.exit(f"train_pca: the {len(x)} patches vary in fewer than {dimensions} directions; give more patches")
    components = (vectors[:, :dimensions] / np.sqrt(values[:dimensions])).T @ x
    largest = np.abs(components).argmax(axis=1)
    components *= np.sign(components[np.arange(dimensions), largest])[:, None]
    return mean, scale, components, values[:dimensions] / values.sum()


def save(path, members):
    """numpy.savez writes the date into the archive; this doesn't."""
    with zipfile.ZipFile(path + ".part", "w", zipfile.ZIP_STORED) as z:
        for name, array in members.items():
            data = io.BytesIO()
            np.lib.format.write_array(data, array, version=(1, 0), allow_pickle=False)
            z.writestr(zipfile.ZipInfo(name + ".npy", (1980, 1, 1, 0, 0, 0)), data.getvalue())
    os.replace(path + ".part", path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patches", nargs="+", metavar="PATCHES", help="patch .npz files, or folders of them")
    parser.add_argument("--dimensions", type=int, default=9, help="components to keep, 1 to 64 (default 9)")
    parser.add_argument("--out", required=True, help="the model to write")
    parser.add_argument("--coordinates", help="also write each patch's id and coordinates to this text file")
    arguments = parser.parse_args()
    if not 1 <= arguments.dimensions <= 64:
        parser.error("--dimensions has to be 1 to 64")
    patches = load_patches(list_files(arguments.patches))
    ids, x = patches.ids, patches.concentrations.reshape(len(patches), -1).astype(np.float64)
    if len(ids) < 2:
        sys.exit(f"train_pca: {len(ids)} valid patches found; at least 2 are needed")
    mean, scale, components, explained = train(x, arguments.dimensions)
    members = {"mean": mean.astype("<f4"), "components": components.astype("<f4"), "scale": scale.astype("<f4")}
    save(arguments.out, members)
    z = ((x - members["mean"]) / members["scale"]) @ members["components"].T.astype(np.float64)
    if arguments.coordinates:
        with open(arguments.coordinates, "w") as f:
            for name, row in zip(ids, z):
                f.write(name + "\t" + " ".join(f"{v:.9g}" for v in row) + "\n")
    print(f"{len(ids)} patches, {x.shape[1]} features, {arguments.dimensions} components -> {arguments.out}")
    print("explained variance: " + " ".join(f"{v:.4f}" for v in explained) + f"  sum {explained.sum():.4f}")
    print("spread of each coordinate: " + " ".join(f"{v:.3g}" for v in z.std(axis=0)))


if __name__ == "__main__":
    main()
