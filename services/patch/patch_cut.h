/* patch_cut.h - cuts a continuum snapshot into patches: pure, no file, no socket, no clock.
 *
 * One patch for each RAS and some lipid-only ones. A patch is the square of `points` x `points` grid points around the
 * grid point nearest its centre, wrapped periodically, brought to coarse x coarse by block means; not interpolated, not
 * turned. 73 points of a 2400-point, 1000 nm grid span 72 spacings = 30 nm (SC'21, section 4.1: 30 nm x 30 nm, 37 x 37).
 * The same snapshot and parameters give the same patches in the same order, whatever the number of threads.
 */
#ifndef PATCH_CUT_H
#define PATCH_CUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "strata_error.h"
#include "strata_gridsim.h"

#define PATCH_ID_MAX 200         /* what the client library allows for an object's key */
#define PATCH_SIMULATION_MAX 150 /* leaves room in an id for two 20-digit numbers */
#define PATCH_POINTS_MAX 1001
#define PATCH_COUNT_MAX 20000    /* of one snapshot: 1.5 GB at 37 x 37 */

/* The selection queues' rule. Order: as counted in struct patch_set. */
enum patch_configuration { PATCH_LIPID_ONLY, PATCH_RAS, PATCH_RAS_RAF, PATCH_OTHER, PATCH_INVALID, PATCH_CONFIGURATIONS };
/* "lipid-only", "ras", "ras-raf", "other", "invalid". */
extern const char *const patch_configuration_names[PATCH_CONFIGURATIONS];

struct patch_params {
    const char *simulation;          /* name, 1..PATCH_SIMULATION_MAX of [A-Za-z0-9._+=@-] */
    unsigned points;                 /* native edge in grid points: 2 * coarse - 1 */
    unsigned coarse;                 /* edge after the block mean; odd */
    unsigned lipid_only;             /* lipid-only patches */
    double lipid_only_distance_nm;   /* of their centres from every protein and each other */
    uint64_t seed;                   /* of the campaign */
    bool keep_native;                /* also keep the native [points][points][14] */
};

struct patch_protein {
    uint64_t id;
    char state[GRIDSIM_NAME_MAX];
    double position[3];              /* nm; x, y relative to the patch's centre, z as in the snapshot */
};

struct patch {
    char id[PATCH_ID_MAX + 1];       /* <simulation>-<snapshot %08>-p<protein id %05> or -l<number %02, from 0> */
    char simulation[PATCH_SIMULATION_MAX + 1];
    uint64_t snapshot;               /* the continuum model's step */
    double time_fs;
    enum patch_configuration configuration;
    char reason[160];                /* why invalid; else "" */
    double center[2];                /* x, y of the centre's grid point in the snapshot, nm */
    double edge_nm;                  /* (points - 1) * spacing */
    size_t coarse, points;
    float *concentrations;           /* [coarse][coarse][14] (y, x, lipid), 1/nm^2 */
    float *native;                   /* [points][points][14]; NULL unless keep_native */
    size_t nproteins;                /* those with |dx|, |dy| < edge_nm / 2: the centre's RAS, then by distance */
    struct patch_protein *proteins;
    size_t ncomplexes;               /* bonds with both ends in the patch: RAS, RAF */
    uint64_t (*complexes)[2];
};

struct patch_set {
    size_t count;
    struct patch *patches;           /* RAS by rising id, then lipid-only */
    size_t of[PATCH_CONFIGURATIONS]; /* how many of each; they sum to count */
};

/* In two steps, for a snapshot whose densities are not read yet (gridsim_open): the plan says where patches are and
 * which points are wanted, so that gridsim_read_density keeps what lies in a patch and nothing else. The plan refers to
 * the snapshot and the parameters. Refused: parameters out of range, a grid with fewer than `points` points along an edge,
 * one whose spacing differs in x and y, more than PATCH_COUNT_MAX patches. On failure nothing stays allocated. */
struct patch_plan;
struct patch_plan *patch_plan_new (struct gridsim *snapshot, const struct patch_params *params, struct strata_error *error);
void patch_plan_free (struct patch_plan **plan);
int patch_cut_planned (const struct patch_plan *plan, struct patch_set *set, struct strata_error *error);
/* Both at once, of a snapshot that has all its points. */
int patch_cut (const struct gridsim *snapshot, const struct patch_params *params, struct patch_set *set,
               struct strata_error *error);
void patch_set_fini (struct patch_set *set);

/* ---- the parts, for tests and other users ---- */

/* Nearest grid point along an edge of n points with `spacing`, 0..n-1 (the point n is 0 again). */
size_t patch_nearest_point (double position, double spacing, size_t n);
/* native [2c-1][2c-1][14] -> coarse [c][c][14]: means over blocks of widths 2 x (c-1)/2, 1, 2 x (c-1)/2. c odd. */
void patch_block_mean (const float *native, size_t c, float *coarse);
/* a - b along a periodic edge, in [-edge/2, edge/2]. */
double patch_periodic (double a, double b, double edge);
bool patch_is_ras (const char *state);
bool patch_is_raf (const char *state);

#endif
