#!/usr/bin/python3
"""Writes a small membrane with a protein, in the form that membrane-cg takes from createsim: beads on a lattice with the
Lennard-Jones parameters of a Martini-like model; a stand-in for the tests of membrane-cg only, not a model of anything.

    make_membrane.py FOLDER [--no-protein] [--clash]      (--clash: two waters so near that it blows up)
"""
import json
import os
import sys

STEP = 0.5                      # nm between lattice sites
NX, NY, NZ = 12, 14, 17         # sites; 6 x 7 x 8.5 nm
LIPIDS = ["POPC", "PAPC", "POPE", "DIPE", "DPSM", "PAPS", "PAP6", "CHOL"]
EPSILON = {("W", "W"): 4.5, ("W", "H"): 4.5, ("H", "H"): 4.0, ("W", "C"): 2.0, ("H", "C"): 2.3, ("C", "C"): 3.5}


def main():
    folder = sys.argv[1]
    protein = "--no-protein" not in sys.argv
    clash = "--clash" in sys.argv
    os.makedirs(folder, exist_ok=True)
    sites = {}                  # (x, y, z) -> taken
    beads = []                  # (residue number, residue, atom, position)
    groups = {"system": [], "membrane": [], "solvent": []}
    molecules = []
    residue = 0

    def add(res, atom, site, *names):
        sites[site] = True
        beads.append((residue, res, atom, [(c + 0.5) * STEP for c in site]))
        for name in ("system",) + names:
            groups.setdefault(name, []).append(len(beads))

    bonds = []
    if protein:
        residue += 1
        block = [(3 + i, 5 + j, 11 + k) for i in range(5) for j in range(3) for k in range(3)]
        tail = [(7, 6, 10), (7, 7, 10), (6, 7, 10)]
        for site in block:
            add("RAS", "BB", site, "protein", "gdomain")
        for n, site in enumerate(tail):
            add("RAS", "F1" if n == 2 else "SC", site, "protein", *(["anchor"] if n == 2 else []))
        for i in range(len(block)):
            for j in range(i + 1, len(block)):
                d = sum((a - b) ** 2 for a, b in zip(block[i], block[j])) ** 0.5 * STEP
                if d < 0.9:
                    bonds.append((i + 1, j + 1, d))
        bonds += [(len(block), len(block) + 1, STEP), (len(block) + 1, len(block) + 2, STEP),
                  (len(block) + 2, len(block) + 3, STEP)]
        molecules.append(("RAS", 1))
    # Inner leaflet: heads at layer 9, tails down to 6; outer: heads at 2, tails up to 5.
    for leaflet, layers in (("inner", (9, 8, 7, 6)), ("outer", (2, 3, 4, 5))):
        for kind in range(8):
            count = 0
            for y in range(NY):
                for x in range(NX):
                    if (x * 5 + y * 3) % 8 != kind:
                        continue
                    residue += 1
                    count += 1
                    for bead, z in enumerate(layers):
                        atom = ("H1", "R1" if kind == 7 else "C1A", "C2A", "C3A")[bead]
                        extra = [f"{leaflet}_{LIPIDS[kind]}"] if bead == 1 else []
                        add(LIPIDS[kind], atom, (x, y, z), "membrane", *extra)
            molecules.append((LIPIDS[kind], count))
    waters = 0
    for z in (10, 11, 12, 13, 14, 15, 16, 0, 1):
        for y in range(NY):
            for x in range(NX):
                if (x, y, z) not in sites:
                    residue += 1
                    waters += 1
                    add("W", "W", (x, y, z), "solvent")
    molecules.append(("W", waters))

    if clash:
        beads[-1] = beads[-1][:3] + ([beads[-2][3][0] + 0.005] + beads[-2][3][1:],)

    with open(f"{folder}/system.gro", "w") as f:
        f.write(f"a membrane for tests\n{len(beads)}\n")
        for i, (number, res, atom, p) in enumerate(beads):
            f.write("%5d%-5s%5s%5d%8.3f%8.3f%8.3f\n" % (number % 100000, res, atom, (i + 1) % 100000, *p))
        f.write("%10.5f%10.5f%10.5f\n" % (NX * STEP, NY * STEP, NZ * STEP))
    with open(f"{folder}/test.itp", "w") as f:
        f.write("[ defaults ]\n1 2\n[ atomtypes ]\n")
        for t in "WHC":
            f.write(f"{t} 72 0 A 0.47 {EPSILON[(t, t)]}\n")
        f.write("[ nonbond_params ]\n")
        for (a, b), e in EPSILON.items():
            f.write(f"{a} {b} 1 0.47 {e}\n")
        if protein:
            n = 48
            f.write("[ moleculetype ]\nRAS 1\n[ atoms ]\n")
            for i in range(n):
                kind, atom = ("W", "BB") if i < 45 else ("H", "F1" if i == 47 else "SC")
                f.write(f"{i + 1} {kind} 1 RAS {atom} {i + 1} 0 72\n")
            f.write("[ bonds ]\n")
            for i, j, d in bonds:
                f.write(f"{i} {j} 1 {d:.4f} 1000\n")
        for lipid in LIPIDS:
            r = "R1" if lipid == "CHOL" else "C1A"
            f.write(f"[ moleculetype ]\n{lipid} 1\n[ atoms ]\n1 H 1 {lipid} H1 1 0 72\n2 C 1 {lipid} {r} 2 0 72\n")
            f.write(f"3 C 1 {lipid} C2A 3 0 72\n4 C 1 {lipid} C3A 4 0 72\n[ bonds ]\n")
            f.write("1 2 1 0.5 1250\n2 3 1 0.5 1250\n3 4 1 0.5 1250\n")
        f.write("[ moleculetype ]\nW 1\n[ atoms ]\n1 W 1 W W 1 0 72\n")
    with open(f"{folder}/system.top", "w") as f:
        f.write('#include "test.itp"\n[ system ]\na membrane for tests\n[ molecules ]\n')
        for name, count in molecules:
            f.write(f"{name} {count}\n")
    with open(f"{folder}/index.ndx", "w") as f:
        for name, members in groups.items():
            f.write(f"[ {name} ]\n")
            for i in range(0, len(members), 15):
                f.write(" ".join(str(m) for m in members[i:i + 15]) + "\n")
    with open(f"{folder}/cg.mdp", "w") as f:
        f.write(f"""; parameters of a test
integrator               = md
dt                       = 0.02
nsteps                   = 17
nstxout-compressed       = 3
nstlog                   = 500
nstenergy                = 500
compressed-x-grps        = membrane
cutoff-scheme            = Verlet
nstlist                  = 20
coulombtype              = reaction-field
rcoulomb                 = 1.1
epsilon_r                = 15
epsilon_rf               = 0
vdw_type                 = cutoff
vdw-modifier             = Potential-shift-verlet
rvdw                     = 1.1
tcoupl                   = v-rescale
tc-grps                  = system
tau-t                    = 1.0
ref-t                    = 310
gen-vel                  = yes
gen-temp                 = 310
pcoupl                   = C-rescale
pcoupltype               = semiisotropic
tau-p                    = 12
compressibility          = 3e-4 3e-4
ref-p                    = 1.0 1.0
nstcalcenergy            = 50
""")
    with open(f"{folder}/sim.json", "w") as f:
        json.dump({"patch": "test/0", "state": "RASa" if protein else "", "configuration": "ras" if protein else "lipid-only",
                   "beads": len(beads), "box_nm": [NX * STEP, NY * STEP, NZ * STEP],
                   "lipids": {name: count for name, count in molecules if name in LIPIDS}}, f)


main()
