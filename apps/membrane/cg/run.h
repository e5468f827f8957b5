/* run.h - one simulation from its prepared folder to done.json, through any number of interruptions. */
#ifndef CG_RUN_H
#define CG_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "strata_error.h"

struct cg_options {
    const char *in;         /* createsim's folder */
    const char *out;        /* working folder; made when it is not there */
    const char *simulation; /* id: 1..200 of [A-Za-z0-9._+=@-] */
    double time_ns;
    double frame_ps;
    int threads;
    int64_t
        segment_steps; /* mdrun is run so many steps at a time (rounded up to whole frames), then leaves a checkpoint */
    bool mesh;         /* false: measurements to <out>/analysis.jsonl */
    const char *rdf_stream;
    const char *frame_stream;
};

enum cg_exit {
    CG_EXIT_DONE = 0,   /* done.json is there */
    CG_EXIT_FAILED = 1, /* broken input, or the mesh or the disk did not take a frame */
    CG_EXIT_USAGE = 2,
    CG_EXIT_GROMACS = 3, /* grompp or mdrun failed */
    CG_EXIT_NO_GROMACS = 4,
}; /* and 128 + signal when told to stop */

/* Runs to the end; the exit code, and for all but CG_EXIT_DONE why, in *error. Progress goes to stdout. */
int cg_run (const struct cg_options *options, struct strata_error *error);
/* For the signal handler: stop soon, with exit code 128 + signal. */
void cg_run_stop (int signal);

#endif
