/* schedule_place.c - which waiting job gets which cores and GPUs.
 *
 * Order: types that hold less than their share of the GPUs before those that hold more; then `always` types, then later
 * steps of chains before earlier ones (what is prepared runs before more is prepared), then the older job. The first that finds
 * no room keeps the room for itself: those behind it don't slip past, or a job of many cores would wait for ever. Types that
 * can't take each other's room are not in each other's way: those that use GPUs, and those without that leave each free GPU its
 * cores (resources.h). Jobs that need no core of their own are never in the way, nor are those of a type that is paused
 * (schedule_breaker.c).
 */
#include <stdlib.h>
#include <string.h>

#include "schedule_impl.h"

#define S(state) STRATA__JOB_STATE__JOB_##state

static struct resources_binding binding_of (const Strata__Job *job)
{
    return (struct resources_binding){ job->nodes, job->cores, job->gpus, job->n_nodes, job->n_cores, job->n_gpus };
}

static size_t index_of (const struct schedule *self, const struct job_type *type)
{
    return (size_t)(type - self->types);
}

void schedule_hold (struct schedule *self, struct live *live)
{
    struct resources_binding binding = binding_of (live->job);
    resources_hold (self->resources, index_of (self, live->type), &binding);
    live->type->gpus_held += live->job->n_gpus;
}

static void forget_binding (Strata__Job *job)
{
    free (job->nodes);
    free (job->cores);
    free (job->gpus);
    job->nodes = job->cores = job->gpus = NULL;
    job->n_nodes = job->n_cores = job->n_gpus = 0;
}

void schedule_give_back (struct schedule *self, struct live *live)
{
    struct resources_binding binding = binding_of (live->job);
    resources_release (self->resources, index_of (self, live->type), &binding);
    live->type->gpus_held -= live->job->n_gpus;
    forget_binding (live->job);
}

/* Gives the job what its type asks for; there is enough. */
static int take (struct schedule *self, struct live *live)
{
    const struct job_type *type = live->type;
    size_t nodes = type->request.nodes, cores = nodes * type->campaign->cores, gpus = nodes * type->campaign->gpus;
    Strata__Job *job = live->job;
    if (!type->wants)
        return 0;
    job->nodes = calloc (nodes, sizeof (*job->nodes));
    job->cores = calloc (cores + 1, sizeof (*job->cores));
    job->gpus = calloc (gpus + 1, sizeof (*job->gpus));
    struct resources_binding binding = binding_of (job);
    if (!job->nodes || !job->cores || !job->gpus || !resources_take (self->resources, index_of (self, type), &binding)) {
        forget_binding (job);
        return -1;
    }
    job->n_nodes = binding.nodes_count;
    job->n_cores = binding.cores_count;
    job->n_gpus = binding.gpus_count;
    live->type->gpus_held += job->n_gpus;
    return 0;
}

static int launch (struct schedule *self, struct live *live, int64_t now_us)
{
    if (take (self, live) != 0)
        return -1;
    live->job->attempt++;
    live->job->started_us = live->job->ended_us = 0;
    live->launch_commit = shard_commits (self->shard) + 1;
    if (schedule_move (self, live, S (LAUNCHING), "", now_us, NULL) != 0) {
        live->job->attempt--;
        schedule_give_back (self, live);
        return -1;
    }
    schedule_breaker_launched (self, live);
    return 0;
}

static bool above_share (const struct schedule *self, const struct job_type *type, uint64_t gpus)
{
    return type->share && (type->gpus_held + 1) * SCHEDULE_SHARE > type->share * gpus;
}

/* Whether the first waiting job of a goes before that of b. */
static bool goes_before (const struct job_type *a, bool a_above, const struct job_type *b, bool b_above)
{
    if (a_above != b_above)
        return b_above;
    if (a->depth != b->depth)
        return a->depth > b->depth;
    return schedule_older (a->ready.list[0], b->ready.list[0]);
}

/* How many may still be started in this round. */
static uint64_t left_in_round (struct schedule *self, int64_t now_us)
{
    int64_t round_us = (int64_t)self->settings.round_s * 1000000;
    if (!self->settings.submissions)
        return UINT64_MAX;
    if (now_us - self->round_us >= round_us || now_us < self->round_us) {
        self->round_us = now_us;
        self->submitted = 0;
    }
    return self->submitted < self->settings.submissions ? self->settings.submissions - self->submitted : 0;
}

void schedule_place (struct schedule *self, int64_t now_us)
{
    struct resources_figures figures;
    unsigned blocked = 0;
    schedule_wake (self, now_us);
    resources_figures (self->resources, &figures);
    for (uint64_t left = left_in_round (self, now_us); left; left--) {
        struct job_type *best = NULL;
        bool best_above = false;
        for (size_t i = 0; i < self->types_count; i++) {
            struct job_type *type = &self->types[i];
            if (!type->ready.count || type->too_big || type->on_hold || (type->wants && type->lanes & blocked) || !schedule_breaker_lets (type, now_us)
                || !schedule_end_lets (self, type, now_us))
                continue;
            bool above = above_share (self, type, figures.gpus);
            if (best && !goes_before (type, above, best, best_above))
                continue;
            best = type;
            best_above = above;
        }
        if (!best)
            return;
        if (best->wants && !resources_fits (self->resources, index_of (self, best)))
            blocked |= best->lanes;
        else if (launch (self, best->ready.list[0], now_us) != 0)
            return;
        else
            self->submitted++;
    }
}
