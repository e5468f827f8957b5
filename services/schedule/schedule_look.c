/* schedule_look.c - what the scheduler tells of itself: figures, troubles, and its jobs. Why they wait: schedule_why.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schedule_impl.h"

#define S(state) STRATA__JOB_STATE__JOB_##state
#define JOBS_DEFAULT 1000
#define JOBS_MAX 100000

static void add_counts (struct schedule_figures *figures, const uint64_t *counts)
{
    figures->waiting += counts[S (PROPOSED)] + counts[S (WAITING)];
    figures->running += counts[S (LAUNCHING)] + counts[S (RUNNING)];
    figures->aside += counts[S (ASIDE)];
    figures->cancelled += counts[S (CANCELLED)];
}

void schedule_figures (const struct schedule *self, struct schedule_figures *figures)
{
    memset (figures, 0, sizeof (*figures));
    struct resources_figures there;
    resources_figures (self->resources, &there);
    figures->cores = there.cores;
    figures->cores_busy = there.cores_busy;
    figures->gpus = there.gpus;
    figures->gpus_busy = there.gpus_busy;
    figures->nodes = there.nodes;
    figures->nodes_drained = there.nodes_drained;
    figures->nodes_lost = there.nodes_lost;
    figures->misplaced = there.misplaced;
    figures->end_us = (int64_t)self->settings.end_s * 1000000;
    figures->occupancy = self->core_seconds > 0 ? self->busy_core_seconds / self->core_seconds : 0;
    figures->gpu_occupancy = self->gpu_seconds > 0 ? self->busy_gpu_seconds / self->gpu_seconds : 0;
    for (size_t i = 0; i < self->types_count; i++) {
        const struct job_type *type = &self->types[i];
        add_counts (figures, type->counts);
        figures->succeeded += type->successes;
        figures->paused += schedule_breaker_open (type);
        if (type->campaign->start == JOB_SELECTION)
            figures->buffer_ready += schedule_ready (self, type);
    }
}

void schedule_type_figures (const struct schedule *self, size_t i, struct schedule_figures *figures)
{
    memset (figures, 0, sizeof (*figures));
    if (i >= self->types_count)
        return;
    const struct job_type *type = &self->types[i];
    add_counts (figures, type->counts);
    figures->succeeded = type->successes;
    figures->gpus_busy = type->gpus_held;
    figures->paused = schedule_breaker_open (type);
    if (type->campaign->start == JOB_SELECTION)
        figures->buffer_ready = schedule_ready (self, type);
}

const char *schedule_trouble (struct schedule *self, int64_t now_us)
{
    for (size_t i = 0; i < self->types_count; i++) {
        const struct job_type *type = &self->types[i];
        /* Without it the campaign stands still, and nothing else would say so. */
        if (type->campaign->start == JOB_ALWAYS && type->counts[S (ASIDE)]) {
            snprintf (self->trouble, sizeof (self->trouble),
                      "%.100s failed %u times in a row and was set aside: the campaign goes on without it",
                      type->campaign->name, type->campaign->tries);
            return self->trouble;
        }
    }
    for (size_t i = 0; i < self->types_count; i++)
        if (schedule_breaker_trouble (&self->types[i], now_us, self->trouble, sizeof (self->trouble)))
            return self->trouble;
    return self->capacity_trouble[0] ? self->capacity_trouble : NULL;
}

/* ---- Jobs ---- */

static int newest_first (const void *a, const void *b)
{
    const Strata__Job *one = *(Strata__Job *const *)a, *two = *(Strata__Job *const *)b;
    if (one->created_us != two->created_us)
        return one->created_us > two->created_us ? -1 : 1;
    return strcmp (two->id, one->id);
}

static void keep_newest (Strata__JobsReply *reply, size_t max)
{
    if (reply->n_jobs > 1)
        qsort (reply->jobs, reply->n_jobs, sizeof (Strata__Job *), newest_first);
    while (reply->n_jobs > max)
        strata__job__free_unpacked (reply->jobs[--reply->n_jobs], NULL);
}

bool schedule_fits (const Strata__Job *job, const char *id, unsigned states, const char *type)
{
    return (!id[0] || strcmp (job->id, id) == 0 || strcmp (job->simulation, id) == 0) && (!type[0] || strcmp (job->type, type) == 0)
           && schedule_states_have (states, job);
}

static bool is_wanted (const Strata__Job *job, const Strata__Jobs *query, unsigned states)
{
    return schedule_fits (job, query->id, states, query->type) && (!query->simulation[0] || strcmp (job->simulation, query->simulation) == 0)
           && (!query->since_us || !schedule_state_ended (job->state) || job->ended_us >= query->since_us);
}

/* Twice as many are held at the most: when they are there, the older half goes. */
static void take (Strata__JobsReply *reply, Strata__Job *job, const Strata__Jobs *query, unsigned states, size_t max)
{
    if (!job)
        return;
    if (!is_wanted (job, query, states)) {
        strata__job__free_unpacked (job, NULL);
        return;
    }
    reply->total++;
    reply->jobs[reply->n_jobs++] = job;
    if (reply->n_jobs == 2 * max)
        keep_newest (reply, max);
}

/* Of those that have not ended there is a list of their own: what has ended is not read. */
static void take_live (struct shard *shard, Strata__JobsReply *reply, const Strata__Jobs *query, unsigned states, size_t max)
{
    struct shard_iter it;
    struct shard_key key;
    for (bool more = shard_iter_begin (shard, &it, "live/", 5, NULL, 0); more; more = shard_iter_next (&it)) {
        shard_key (&key, "job/%.*s", (int)(it.key_size - 5), (const char *)it.key + 5);
        take (reply, (Strata__Job *)shard_get_message (shard, &key, &strata__job__descriptor), query, states, max);
    }
    shard_iter_end (&it);
}

int schedule_jobs (struct shard *shard, const Strata__Jobs *query, Strata__JobsReply *reply, struct strata_error *error)
{
    unsigned states;
    strata__jobs_reply__init (reply);
    if (schedule_states_read (query->state, &states, error) != 0)
        return -1;
    size_t max = query->max ? query->max : JOBS_DEFAULT;
    max = max < JOBS_MAX ? max : JOBS_MAX;
    reply->jobs = malloc (2 * max * sizeof (Strata__Job *));
    if (!reply->jobs)
        return strata_fail (error, "out of memory for %zu jobs; ask for fewer", max);
    struct shard_iter it;
    if (query->counts)
        return 0;
    if (schedule_states_live (states)) {
        take_live (shard, reply, query, states, max);
        keep_newest (reply, max);
        return 0;
    }
    for (bool more = shard_iter_begin (shard, &it, "job/", 4, NULL, 0); more; more = shard_iter_next (&it))
        take (reply, strata__job__unpack (NULL, it.value_size, it.value), query, states, max);
    shard_iter_end (&it);
    keep_newest (reply, max);
    return 0;
}

void schedule_jobs_fini (Strata__JobsReply *reply)
{
    keep_newest (reply, 0);
    free (reply->jobs);
    for (size_t i = 0; i < reply->n_types; i++) {
        free (reply->types[i]->counts);
        free (reply->types[i]);
    }
    free (reply->types);
    free (reply->waits);
    schedule_set_string (&reply->why, "");
    strata__jobs_reply__init (reply);
}
