/* engine.h - GROMACS as a child process: grompp, mdrun, and what they say when they fail.
 *
 * A child dies with this process (PR_SET_PDEATHSIG), stands in a process group of its own, so that only this program
 * signals it, and inherits the folder's lock, so that no other run begins while a child still works there.
 */
#ifndef CG_ENGINE_H
#define CG_ENGINE_H

#include <stdbool.h>
#include <sys/types.h>

#include "mdp.h"
#include "strata_error.h"

struct cg_engine {
    char *gmx;       /* the program's path */
    const char *in;  /* createsim's folder; absolute, not owned */
    const char *out; /* working folder; not owned */
    int threads;
    pid_t pid;  /* of the child that runs now; 0: none */
    int status; /* of the last child, as waitpid gives it */
};

/* Finds gmx on the PATH. -1 with errno ENOENT when it is not there. */
int cg_engine_init (struct cg_engine *self, const char *in, const char *out, int threads, struct strata_error *error);
/* Ends a child that still runs. */
void cg_engine_fini (struct cg_engine *self);

/* All return at once; their output goes to grompp.out, convert.out, mdrun.out in the working folder. */
int cg_engine_grompp (struct cg_engine *self, struct strata_error *error);
/* Makes segment.tpr of topol.tpr: the same run, but up to `steps` in all. */
int cg_engine_segment (struct cg_engine *self, int64_t steps, struct strata_error *error);
/* checkpoint: file to go on from, appending to the trajectory; NULL: from the beginning. */
int cg_engine_mdrun (struct cg_engine *self, const char *tpr, const char *checkpoint, struct strata_error *error);
/* True while the child runs; else its end is in status. */
bool cg_engine_running (struct cg_engine *self);
void cg_engine_signal (struct cg_engine *self, int signal);

/* Whether mdrun.out tells that the steps began: what fails before has not touched the trajectory. */
bool cg_engine_began (const struct cg_engine *self);
/* Why it failed, in one sentence: from the last error block in `file` (grompp.out, mdrun.out), else its last lines,
 * else how the child ended. */
void cg_engine_reason (const struct cg_engine *self, const char *file, char *text, size_t size);
/* The ns/day that md.log's last performance line tells; 0 when there is none. */
double cg_engine_ns_per_day (const struct cg_engine *self);

/* For tests: the sentence in `log`, a whole log's text. False: nothing in it looks like an error. */
bool cg_engine_find_error (const char *log, char *text, size_t size);

#endif
