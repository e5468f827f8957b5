/* protein.h - RAS and RAS-RAF at a membrane as one GROMACS molecule type each.
 *
 * A RAS is a globule (G-domain), a disordered tail (hypervariable region, a full Martini chain) coiled up under it on
 * the leaflet, and the lipid on the tail's cysteine, in the leaflet. A RAF adds a second globule (RBD) beside the
 * G-domain with the CRD below it, touching the heads; the elastic network binds all. What is approximated:
 * forcefield/proteins.dat.
 */
#ifndef CREATESIM_PROTEIN_H
#define CREATESIM_PROTEIN_H

#include <stdio.h>

#include "forcefield.h"
#include "random.h"

enum protein_part { PROTEIN_TAIL, PROTEIN_GDOMAIN, PROTEIN_RAF };

struct protein_bead {
    char name[FF_NAME], type[FF_NAME], residue[FF_NAME];
    int number;                 /* of the residue */
    double charge, mass;
    double x[3];                /* nm from the anchor's place; z over the bilayer's middle */
    enum protein_part part;
};

struct protein_bond {           /* force 0: a constraint */
    size_t a, b;
    double length, force;
};

struct protein_angle {
    size_t a, b, c;
    double degrees, force;
};

#define PROTEIN_DISCS 2
#define PROTEIN_FOOTPRINTS 4

struct createsim_protein {
    size_t nbeads, nbonds, nangles;
    struct protein_bead *beads;         /* owned, as the next two */
    struct protein_bond *bonds;
    struct protein_angle *angles;
    size_t anchor;                      /* bead F1 */
    double top;                         /* nm: highest bead */
    size_t nfootprints;                 /* places it takes in the leaflet, the anchor's (0, 0) first */
    double footprints[PROTEIN_FOOTPRINTS][2];
    size_t ndiscs;                      /* what it covers seen from above */
    struct { double x, y, radius; } discs[PROTEIN_DISCS];
};

#define PROTEIN_FOOTPRINT_NM2 0.30      /* area of one lipid anchor's chain in the leaflet */

/* direction: where the RAF (or, without one, the G-domain) stands as seen from the anchor, radians. */
int createsim_protein_build (const struct forcefield *forcefield, int is_4a, int has_raf, double direction,
                             struct createsim_protein *protein, struct strata_error *error);
void createsim_protein_fini (struct createsim_protein *protein);
/* A complete molecule type called `name`. */
void createsim_protein_write_itp (const struct createsim_protein *protein, const char *name, FILE *file);

#endif
