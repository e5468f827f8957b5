/* system.h - the starting coordinates of a whole simulation: proteins, lipids, water, ions.
 *
 * The inner leaflet faces +z, the proteins stand on it. Atoms come in the topology's order: proteins, inner lipids by
 * kind, outer lipids by kind, W, WF, NA+, CL-.
 */
#ifndef CREATESIM_SYSTEM_H
#define CREATESIM_SYSTEM_H

#include <stddef.h>
#include <stdint.h>

#include "composition.h"
#include "forcefield.h"
#include "patch.h"
#include "protein.h"

enum system_group { GROUP_PROTEIN, GROUP_MEMBRANE, GROUP_SOLVENT };

struct system_atom {
    int residue;                /* number */
    char residue_name[FF_NAME], name[FF_NAME];
    double x[3];                /* nm */
    double charge;
    enum system_group group;
    signed char reference;      /* of lipid 0..13, else -1 */
    char gdomain, anchor;       /* of the centre protein */
};

struct system_run {             /* consecutive molecules of a kind: a line of [ molecules ] */
    char molecule[FF_NAME];
    size_t count;
};

struct createsim_options {
    double edge_nm;             /* of the region */
    double salt_molar;          /* default 0.15 */
    double antifreeze;          /* share of water that is WF, default 0.1 */
    uint64_t seed;
};

struct createsim_system {
    double box[3];              /* nm */
    size_t natoms, room;
    struct system_atom *atoms;          /* owned */
    size_t nruns;
    struct system_run runs[CREATESIM_LIPIDS + CREATESIM_PROTEINS_MAX + 4];
    size_t nproteins;
    struct createsim_protein *proteins; /* owned; the centre protein first */
    struct createsim_composition composition;
};

/* Everything of the patch's central edge x edge. A RAS stands in it when its position does; a RAF comes with its RAS.
 * Fails with the reason when this can't be built: no membrane, proteins that don't fit side by side, too little water
 * for the ions. */
int createsim_system_build (const struct createsim_patch *patch, const struct forcefield *forcefield,
                            const struct createsim_options *options, struct createsim_system *system,
                            struct strata_error *error);
void createsim_system_fini (struct createsim_system *system);

#endif
