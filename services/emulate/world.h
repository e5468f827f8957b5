/* world.h - a campaign on a machine that is not there: the cores of select, schedule and feedback, as production runs them, each
 * on a store of its own, driven by a virtual clock.
 *
 * What is emulated: the executor (emulated.h), what the continuum model and the simulations would send (candidates, frames of
 * feedback), losses of nodes. What is not: placing, choosing, summing up, and everything that is stored.
 *
 * A turn is a virtual second: what came in, a tick of each core, a commit of each store without a sync (production's turns are 100
 * ms). Each selection type of the campaign has a select core: the first as the campaign file says, further ones (frames of
 * simulations for the next scale) with the binned sampler over tilt, rotation and depth.
 */
#ifndef EMULATE_WORLD_H
#define EMULATE_WORLD_H

#include "../schedule/machine.h"
#include "core/campaign.h"
#include "strata_error.h"

#define WORLD_TYPES_MAX 64

struct world_options {
    const struct campaign *campaign;
    const struct machine *machine;
    const char *folder;             /* of the stores; made */
    uint64_t seed;
    uint64_t prepared;              /* simulations that are ready when it begins, part of their work done */
    unsigned frames_a_round;        /* of feedback that its core is told of; the others are only counted */
};

/* Every 10 minutes. */
struct world_sample {
    double hours;
    uint64_t gpus, gpus_busy, cores, cores_busy;    /* of nodes that are not lost */
    size_t nodes_lost;
    uint64_t running[WORLD_TYPES_MAX], waiting[WORLD_TYPES_MAX];
    uint64_t started;               /* attempts since the sample before */
    uint64_t frames;                /* that feedback would have got since then */
};

struct world_totals {
    uint64_t started, succeeded, failures, aside, lost_nodes, candidates, selected;
    uint64_t frames, frames_told, reports;
    uint64_t decisions;             /* starts and ends of attempts */
    double schedule_s, select_s, feedback_s;        /* CPU time of the cores and their stores */
    double longest_tick_s;          /* CPU time of the schedule core's longest turn, and what it started */
    uint64_t longest_tick_started;
    uint64_t misplaced;
};

struct world;
/* NULL: stores that can't be made or are another campaign's, types without a model. */
struct world *world_new (const struct world_options *options, struct strata_error *error);
void world_free (struct world **self);
/* Another machine: what runs is stopped with its work kept, and the cores start anew from their stores (elastic). */
int world_restart (struct world *self, const struct machine *machine, struct strata_error *error);
/* Runs on for so many hours of virtual time; tick is called each 10 virtual minutes with the new sample, and ends the run early
 * when it returns non-zero. */
int world_run (struct world *self, double hours, int (*tick) (const struct world_sample *sample, void *arg), void *arg,
               struct strata_error *error);
void world_totals (const struct world *self, struct world_totals *totals);

#endif
