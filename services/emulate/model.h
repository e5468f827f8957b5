/* model.h - how long emulated jobs take and how they end: numbers that depend on the seed and on names alone.
 *
 * A job's duration is a function of (seed, job), an attempt's fate one of (seed, job, attempt). So it does not matter in which
 * order jobs are started, and nothing of it has to be kept when an emulation goes on from its stores.
 */
#ifndef EMULATE_MODEL_H
#define EMULATE_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/campaign.h"

/* Numbers of a sequence of their own: the same seed gives the same ones. */
struct model_random {
    uint64_t state;
};
double model_uniform (struct model_random *self);           /* [0, 1) */
double model_normal (struct model_random *self);            /* mean 0, standard deviation 1 */

/* Virtual microseconds of work that a job is; at least a second. */
int64_t model_duration_us (const struct campaign_job *type, uint64_t seed, const char *job);
/* Whether an attempt fails, and after which part of its work. */
bool model_fails (const struct campaign_job *type, uint64_t seed, const char *job, uint32_t attempt, double *after);
/* The part of its work that a simulation had done when the emulation began. */
double model_done_before (uint64_t seed, const char *job);

#endif
