/* analysis.h - follows the trajectory that mdrun is writing, measures each frame once and publishes it.
 *
 * Frame number = 1 + step / steps per frame, the frame's place in the trajectory. Frame 1 is the prepared structure and
 * is not measured. A frame that was published before is passed over, so the trajectory can be read from its beginning
 * again at any time.
 */
#ifndef CG_ANALYSIS_H
#define CG_ANALYSIS_H

#include "mdp.h"
#include "publish.h"
#include "strata_xtc.h"
#include "system.h"

struct cg_analysis {
    const struct cg_system *system; /* these three are the caller's */
    const struct cg_plan *plan;
    struct cg_publish *publish;
    char *path;         /* of the trajectory */
    struct xtc *xtc;    /* NULL: to be opened, */
    uint64_t resume;    /* ... and read from this byte, where the last frame began */
    uint64_t published; /* last frame that is safely kept */
    int64_t step;       /* of the last frame of all that were seen */
    uint64_t frames;    /* measured frames of the simulation up to there */
    int64_t *counts;
};

enum cg_analysis_result {
    CG_ANALYSIS_TRAJECTORY = -2, /* the trajectory is broken: wait for mdrun and read it anew, or give up */
    CG_ANALYSIS_FAILED = -1,
};

int cg_analysis_init (struct cg_analysis *self, const struct cg_system *system, const struct cg_plan *plan,
                      struct cg_publish *publish, const char *path, struct strata_error *error);
void cg_analysis_fini (struct cg_analysis *self);
/* Opens the trajectory anew with the next poll, and goes on there with the last frame that was taken; after a broken
 * frame, with the first. */
void cg_analysis_reopen (struct cg_analysis *self);
/* The run begins anew: no frame was seen yet. What was published stays so. */
void cg_analysis_reset (struct cg_analysis *self);
/* Takes up to `most` of the frames that are there: how many they were, or one of the results above. A trajectory that
 * is not there yet has 0 frames. */
int cg_analysis_poll (struct cg_analysis *self, int most, struct strata_error *error);

#endif
