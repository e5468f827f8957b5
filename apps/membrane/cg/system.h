/* system.h - what createsim prepared: the folder's sim.json, system.gro, index.ndx, checked against each other. */
#ifndef CG_SYSTEM_H
#define CG_SYSTEM_H

#include <stdbool.h>

#include "rdf.h"
#include "strata_error.h"

/* The rows of the histogram, in this order. */
extern const char *const cg_lipids[CG_RDF_ROWS];

struct cg_system {
    char *dir;
    char state[32]; /* e.g. RASa; empty: a membrane without a protein, nothing to measure */
    int32_t beads;
    struct cg_group anchor;           /* group `anchor` */
    struct cg_group gdomain;          /* group `gdomain` */
    struct cg_group row[CG_RDF_ROWS]; /* groups inner_POPC ...; an absent one is empty */
    struct cg_group inner, outer;     /* all of inner_*, of outer_* */
};

/* Reads and checks. NULL on failure; the error names the file and what is wrong in it. */
struct cg_system *cg_system_load (const char *dir, struct strata_error *error);
void cg_system_free (struct cg_system **self);

/* ---- parts, for tests ---- */

struct cg_index {
    struct cg_index_group {
        char *name;
        struct cg_group group;
    } * groups;
    size_t count;
};

/* Reads a GROMACS index file: `[ name ]`, then bead numbers from 1 to `beads`. */
int cg_index_load (struct cg_index *self, const char *path, int32_t beads, struct strata_error *error);
void cg_index_fini (struct cg_index *self);
/* NULL when there is no such group. */
const struct cg_group *cg_index_find (const struct cg_index *self, const char *name);

#endif
