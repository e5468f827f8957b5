"""The numpy side of numpy_reads_npz.sh: `check FILE` tests what test_npz wrote, `make STORED DEFLATED` writes for it."""
import sys

import numpy as np


def check(path):
    """Every member has the kind, shape and values that test_npz.c's fill_writer gives, without unpickling."""
    words = ["RASa", "", "mü€🧬", "4AzRAFa"]
    wanted = {
        "f4": np.array([[0, 1.5, -2], [3e38, 1e-40, 6]], "<f4"),
        "f8": np.array([0.1, -1e300], "<f8"),
        "i4": np.array([-1, 2, -2**31, 2**31 - 1], "<i4").reshape(2, 1, 2, 1),
        "i8": np.array([-2**63, 0, 2**63 - 1], "<i8"),
        "u2": np.array([[65535, 1]], "<u2"),
        "u4": np.array(2**32 - 1, "<u4"),
        "none": np.zeros((0, 2), "<u2"),
        "words": np.array(words),
        "word": np.array(words[2]),
        "nowords": np.zeros(0, "<U1"),
        "pi": np.array(3.25),
        "minus": np.array(-7),
    }
    with np.load(path, allow_pickle=False) as z:
        assert sorted(z.files) == sorted(wanted), z.files
        assert z.zip.testzip() is None
        for name, want in wanted.items():
            have = z[name]
            assert have.dtype == want.dtype, (name, have.dtype, want.dtype)
            assert have.shape == want.shape, (name, have.shape, want.shape)
            assert np.array_equal(have, want), (name, have, want)


def make(stored, deflated):
    members = {
        "f4": (np.arange(60) / 8).astype("<f4").reshape(5, 4, 3),
        "u2": (7 * np.arange(9000) % 65536).astype("<u2"),
        "text": np.array(["RASa", "mü€🧬"]),
        "one": np.array("mü"),
        "objects": np.array([{"a": 1}, None], dtype=object),
    }
    np.savez(stored, **members)
    np.savez_compressed(deflated, **members)


if __name__ == "__main__":
    {"check": check, "make": make}[sys.argv[1]](*sys.argv[2:])
