"""Makes patches with numpy for createsim_builds.sh, and checks what was built of them with MDAnalysis.
usage: createsim_patches.py make DIR | check DIR EDGE | stable GRO"""
import json
import sys
import warnings

import numpy as np

LIPIDS = ["POPC", "PAPC", "POPE", "DIPE", "DPSM", "PAPS", "PAP6", "CHOL"]
OUTER = ["POPC", "PAPC", "POPE", "DIPE", "DPSM", "CHOL"]


def make(path, name, proteins, configuration, seed):
    rng = np.random.default_rng(seed)
    mean = [.28, .16, .28, .14, .10, .22, .06, .45, .42, .16, .09, .04, .30, .55]
    density = (np.array(mean) * rng.uniform(.5, 1.5, (37, 37, 14))).astype(np.float32)
    n = len(proteins)
    np.savez(path, id=np.array(name), concentrations=density, center=np.array([500., 20.]),
             ids=np.array([p[0] for p in proteins], np.uint16), states=np.array([p[1] for p in proteins], "U8"),
             positions=np.array([p[2] for p in proteins], float).reshape(n, 3),
             complex_ids=np.zeros((0, 2), np.uint16), edge_nm=np.float64(30), configuration=np.array(configuration),
             simulation=np.array("macro-1"), snapshot=np.int64(3), time_fs=np.float64(1e6))


def check(folder, edge):
    import MDAnalysis
    with open(folder + "/sim.json") as file:
        sim = json.load(file)
    universe = MDAnalysis.Universe(folder + "/system.gro")
    assert sim["beads"] == len(universe.atoms) >= 2000, sim["beads"]
    assert len(universe.atoms) < 9000, len(universe.atoms)
    assert np.abs(universe.atoms.velocities).max() > 0
    groups, current = {}, None
    for word in open(folder + "/index.ndx").read().replace("[ ", "[").replace(" ]", "]").split():
        if word[0] == "[":
            current = groups.setdefault(word[1:-1], [])
        else:
            current.append(int(word))
    assert len(groups["system"]) == sim["beads"]
    assert len(groups["membrane"]) + len(groups["solvent"]) + len(groups.get("protein", [])) == sim["beads"]
    assert all(groups.values())
    for leaflet, names in (("inner", LIPIDS), ("outer", OUTER)):
        for name in names:
            count = sim["lipids"][leaflet][name]
            assert abs(count - sim["expected"][leaflet][name]) < 1, (leaflet, name)
            assert len(groups.get(f"{leaflet}_{name}", [])) == count, (leaflet, name)
    assert abs(sim["box_nm"][0] - edge) < 0.1 * edge and sim["edge_nm"] == edge
    # Heights are periodic: a group's is the circular mean over its beads, a distance goes the shorter way.
    height = sim["box_nm"][2]
    z = universe.atoms.positions[:, 2] / 10

    def middle(beads):
        return np.angle(np.exp(2j * np.pi * z[np.array(beads) - 1] / height).mean()) / (2 * np.pi) * height

    def above(upper, lower):
        return (middle(upper) - middle(lower) + height / 2) % height - height / 2

    inner, outer = ([i for g in groups if g.startswith(leaflet) and "CHOL" not in g for i in groups[g]]
                    for leaflet in ("inner_", "outer_"))
    assert 1.8 < above(inner, outer) < 3.2, above(inner, outer)
    if sim["proteins"]:
        assert sim["state"] == "RASa" and len(groups["gdomain"]) == 163 and len(groups["anchor"]) == 1
        assert universe.atoms[groups["anchor"][0] - 1].name == "F1"
        assert -1.5 < above(groups["anchor"], inner) < 0.8, "the anchor is not in the inner leaflet"
        assert 1.5 < above(groups["gdomain"], inner) < height / 2, "the G-domain is not above the inner leaflet"
    else:
        assert sim["state"] == "" and "protein" not in groups and "anchor" not in groups
    print(f"{sim['patch']}: {sim['beads']} beads, box {np.round(sim['box_nm'], 2)}")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    if sys.argv[1] == "make":
        make(sys.argv[2] + "/ras.npz", "test-ras", [(5, "RASa", (.1, -.2, 0))], "ras", 1)
        make(sys.argv[2] + "/lipids.npz", "test-lipids", [], "lipid-only", 2)
        make(sys.argv[2] + "/invalid.npz", "test-invalid", [], "invalid", 3)
    elif sys.argv[1] == "check":
        check(sys.argv[2], float(sys.argv[3]))
    else:
        import MDAnalysis
        assert np.isfinite(MDAnalysis.Universe(sys.argv[2]).atoms.positions).all()
