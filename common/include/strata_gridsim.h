/* strata_gridsim.h - continuum snapshots in the GridSim2D format: read and write.
 *
 * A folder snapshot.%08d/ with densities#000000, atoms#000000, bonds#000000; each an ASCII header "... {", lines
 * "key = value ... ;", "}", one blank line, data. densities: FIXRECORDBINARY, little-endian float32 records
 * (ix, iy, unused, 14 densities) in any order. atoms, bonds: VARRECORDASCII. Lengths in files of atoms are Angstrom;
 * every length in these structs is nm.
 */
#ifndef STRATA_GRIDSIM_H
#define STRATA_GRIDSIM_H

#include <stddef.h>
#include <stdint.h>

#include "strata_error.h"

#define GRIDSIM_LIPIDS 14
#define GRIDSIM_INNER 8 /* lipids 0..7 stand in the inner leaflet, 8..13 in the outer */
#define GRIDSIM_NAME_MAX 16

/* nInner_POPC ... nOuter_CHOL, in the order of the fields. */
extern const char *const gridsim_lipid_names[GRIDSIM_LIPIDS];

struct gridsim_protein {
    uint64_t id;
    char type[GRIDSIM_NAME_MAX]; /* RASa RASb RASc mRASa mRASb zRASa mRAFa mRAFb zRAFa, or those with the prefix "4A" */
    double x, y, z;              /* nm, 0 <= x < Lx */
};

struct gridsim_bond {
    uint64_t a, b;  /* protein ids: RAS, RAF */
    double length;  /* nm */
};

struct gridsim {
    size_t nx, ny;
    double lx, ly;          /* nm */
    double time_fs;
    uint64_t loop;          /* the simulation's own step; names the folder */
    float *density;         /* [wanted][14], owned; 1/nm^2: [ny][nx][14] when every point is wanted */
    size_t wanted;          /* points of which `density` has room: nx * ny unless some were chosen */
    uint64_t *want;         /* owned; NULL: every point; else a bit for each of [ny][nx]: point p is bit p % 64 of word p / 64 */
    uint32_t *want_before;  /* owned; wanted points before each of those words */
    size_t nproteins;
    struct gridsim_protein *proteins;
    size_t nbonds;
    struct gridsim_bond *bonds;
};

/* Reads snapshot folder `path` whole. Refused with the file's name and what is wrong: a missing file, a header without
 * a needed key or with a wrong value, a record count that does not fit the size (truncated), a grid point that comes
 * twice or never, a NaN, infinite or negative density (with its grid point and lipid), a protein outside the box or of
 * unknown type, a bond to no protein, files whose `loop` differ (mixed-up snapshot), sizes over the limit max_bytes
 * (0 = 1 GiB). On failure nothing stays allocated. */
int gridsim_read (const char *path, size_t max_bytes, struct gridsim *snapshot, struct strata_error *error);
/* The same in two steps, for who wants some of the grid points only: gridsim_open reads all but the densities, whose file
 * stays open. Then the caller may choose points, and gridsim_read_density reads and checks every record, but keeps the
 * wanted points alone. On failure of the second step the caller still calls gridsim_fini. */
struct gridsim_file;
struct gridsim_file *gridsim_open (const char *path, size_t max_bytes, struct gridsim *snapshot, struct strata_error *error);
int gridsim_read_density (struct gridsim_file *file, struct gridsim *snapshot, struct strata_error *error);
void gridsim_close (struct gridsim_file **file);
/* Choosing points: first none is wanted, then `count` in row y from x on (inside the row) for each call, then done. */
int gridsim_want_none (struct gridsim *snapshot, struct strata_error *error);
void gridsim_want (struct gridsim *snapshot, size_t x, size_t y, size_t count);
void gridsim_want_done (struct gridsim *snapshot);
/* The number in `density` of a wanted point, y * nx + x. Wanted points are numbered in the order of the grid. */
static inline size_t gridsim_place (const struct gridsim *snapshot, size_t point)
{
    if (!snapshot->want)
        return point;
    uint64_t below = snapshot->want[point / 64] & (((uint64_t)1 << point % 64) - 1);
    return snapshot->want_before[point / 64] + (size_t)__builtin_popcountll (below);
}

/* Writes <parent>/snapshot.%08d by way of a temporary folder, each file fsync'ed, then a rename: a reader sees all of
 * it or nothing. An existing snapshot of that index is replaced. */
int gridsim_write (const char *parent, const struct gridsim *snapshot, struct strata_error *error);
void gridsim_fini (struct gridsim *snapshot);
/* The state's index 0..17 in the RDF tensor for a protein type, -1 for an unknown one. Names: gridsim_states[18]. */
int gridsim_state_index (const char *type);
extern const char *const gridsim_states[18];

#endif
