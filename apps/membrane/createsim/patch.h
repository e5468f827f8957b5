/* patch.h - one patch of the continuum model: what a membrane simulation is built from.
 *
 * A square of 30 nm with 14 lipid densities on a coarse grid (8 of the inner leaflet, 6 of the outer; order of
 * gridsim_lipid_names) and the proteins in it, positions relative to the patch's centre.
 */
#ifndef CREATESIM_PATCH_H
#define CREATESIM_PATCH_H

#include <stddef.h>
#include <stdint.h>

#include "strata_error.h"

#define CREATESIM_LIPIDS 14
#define CREATESIM_INNER 8           /* lipids 0..7 stand in the inner leaflet */
#define CREATESIM_PROTEINS_MAX 64

/* POPC PAPC POPE DIPE DPSM PAPS PAP6 CHOL, POPC PAPC POPE DIPE DPSM CHOL */
extern const char *const createsim_lipid_names[CREATESIM_LIPIDS];

struct createsim_patch_protein {
    uint32_t id;
    char state[16];                 /* RASa, mRASa, 4AzRAFa, ... */
    double position[3];             /* nm, from the patch's centre */
};

struct createsim_patch {
    char id[200];
    char configuration[16];         /* lipid-only, ras, ras-raf, other */
    char simulation[128];
    int64_t snapshot;
    double time_fs;
    double center[2];               /* nm */
    double edge_nm;
    size_t grid;                    /* points along an edge */
    float *density;                 /* [grid][grid][14] (y, x, lipid), owned; 1/nm^2 */
    size_t nproteins;
    struct createsim_patch_protein *proteins;   /* owned; the centre protein first, if there is one */
    size_t ncomplexes;
    uint32_t (*complexes)[2];       /* owned; ids: RAS, RAF */
};

/* Reads a patch archive of `size` bytes (formats: NPY v1 members in a zip; see the README's table of members). The
 * error names the member and what is wrong. On failure nothing stays allocated. */
int createsim_patch_parse (const void *data, size_t size, struct createsim_patch *patch, struct strata_error *error);
int createsim_patch_load (const char *path, struct createsim_patch *patch, struct strata_error *error);
void createsim_patch_fini (struct createsim_patch *patch);

/* Refuses, with the reason, what no membrane can be built from: a density that is NaN, infinite or negative, a leaflet
 * without lipids, a configuration that is not one of the four, a protein of unknown type or outside the patch, a
 * complex that names a protein that isn't there. */
int createsim_patch_check (const struct createsim_patch *patch, struct strata_error *error);

/* What a protein type says: ras or raf, isoform. Returns -1 for an unknown type. */
struct createsim_state {
    int is_raf;
    int is_4a;
};
int createsim_state_parse (const char *type, struct createsim_state *state);

#endif
