/* build.h - the whole way from a patch to an equilibrated simulation in a folder. */
#ifndef CREATESIM_BUILD_H
#define CREATESIM_BUILD_H

#include "patch.h"
#include "system.h"

enum createsim_exit {
    CREATESIM_OK = 0,
    CREATESIM_IO = 1,           /* disk, memory, stage: may go well another time */
    CREATESIM_USAGE = 2,
    CREATESIM_UNBUILDABLE = 3,  /* this patch can't become a simulation */
    CREATESIM_NO_GROMACS = 4,   /* signals: 128 + number */
};

struct createsim_job {
    const char *out;            /* folder; made when missing */
    const char *forcefield;     /* NULL: looked for */
    const char *gmx;            /* program name or path */
    unsigned threads;
    struct createsim_options options;
};

/* 1 when out/sim.json says that a finished simulation is there, and its files bear it out; *patch_id gets its patch. */
int createsim_finished (const char *out, char *patch_id, size_t size);

/* Builds; progress lines on stdout. Returns an exit code, with the sentence in *error when it is not 0. */
int createsim_build (const struct createsim_job *job, const struct createsim_patch *patch, struct strata_error *error);

#endif
