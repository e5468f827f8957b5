/* mdp.h - the run parameters for grompp: those of createsim's cg.mdp with length, output and seeds set for this run. */
#ifndef CG_MDP_H
#define CG_MDP_H

#include <stdint.h>

#include "strata_error.h"

struct cg_plan {
    double time_ns;
    double frame_ps;
    double dt_ps; /* from the mdp file */
    int64_t steps;
    int64_t steps_per_frame;
    int64_t segment; /* steps from checkpoint to checkpoint: whole frames */
    uint32_t seed;   /* of velocities and thermostat, from the simulation's name */
};

/* Reads dt from `mdp` and fills *self; time_ns and frame_ps must be whole numbers of frames and of steps.
 * segment_steps: at least so many between checkpoints. */
int cg_plan_make (struct cg_plan *self, const char *mdp, double time_ns, double frame_ps, int64_t segment_steps,
                  const char *simulation, struct strata_error *error);
/* Copies `from` to `to` without the parameters that the plan sets, and the plan's own lines after it. */
int cg_mdp_write (const struct cg_plan *self, const char *from, const char *to, struct strata_error *error);

#endif
