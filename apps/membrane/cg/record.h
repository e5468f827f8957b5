/* record.h - the two small files of a run, both written by atomic rename: run.json (what was begun here, so that a
 * restart goes on with the same run) and done.json (all is analysed and kept; written last). */
#ifndef CG_RECORD_H
#define CG_RECORD_H

#include <stdbool.h>

#include "mdp.h"
#include "strata_error.h"

/* 1 and *starts (of mdrun so far, but for those at the end of a segment) when run.json in `dir` is of this plan and
 * simulation, 0 when there is none, -1 when it can't be read or is of another. */
int cg_record_load (const char *dir, const char *simulation, const struct cg_plan *plan, int *starts,
                    struct strata_error *error);
int cg_record_save (const char *dir, const char *simulation, const struct cg_plan *plan, int starts,
                    struct strata_error *error);

struct cg_done {
    double time_ns;
    uint64_t frames; /* measured or, without a protein, counted */
    int64_t steps;
    int32_t beads;
    double ns_per_day; /* 0: not known */
    int restarts;
};

/* 1: done.json in `dir` is of this simulation. 0: there is none. -1: it is broken or of another simulation. */
int cg_done_load (const char *dir, const char *simulation, struct strata_error *error);
int cg_done_save (const char *dir, const char *simulation, const struct cg_done *done, struct strata_error *error);

#endif
