/* schedule_look.c - what the scheduler tells of itself: figures, troubles, and its jobs. */
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

/* ---- why ---- */

static void why_no_room (struct schedule *self, const struct live *live, char *text, size_t size)
{
    const struct job_type *type = live->type;
    struct resources_figures there;
    resources_figures (self->resources, &there);
    uint64_t before = 0;
    for (size_t i = 0; i < self->types_count; i++)
        before += self->types[i].ready.count;
    snprintf (text, size,
              "it waits for room: it asks for %u cores and %u GPUs on %u of the %zu nodes; of all %llu cores %llu are free, of %llu GPUs %llu. "
              "%llu jobs are ready to start, %llu of its type",
              resources_cores (&type->request), resources_gpus (&type->request), type->request.nodes, there.nodes, (unsigned long long)there.cores,
              (unsigned long long)(there.cores - there.cores_busy), (unsigned long long)there.gpus,
              (unsigned long long)(there.gpus - there.gpus_busy), (unsigned long long)before, (unsigned long long)type->ready.count);
}

static void why_it_waits (struct schedule *self, const struct live *live, int64_t now_us, char *text, size_t size)
{
    const struct job_type *type = live->type;
    if (self->draining)
        snprintf (text, size, "the campaign goes down; it waits for the next start");
    else if (type->too_big)
        snprintf (text, size, "%s", self->capacity_trouble[0] ? self->capacity_trouble : "it asks for more than any node has");
    else if (type->on_hold)
        snprintf (text, size, "jobs of type %s are held back for now", type->campaign->name);
    else if (live->not_before_us > now_us)
        snprintf (text, size, "attempt %u failed (%.300s); it is tried again in %.0f s", live->job->attempt, live->job->reason,
                  (double)(live->not_before_us - now_us) / 1e6);
    else if (!schedule_end_lets (self, type, now_us))
        schedule_end_why (self, type, now_us, text, size);
    else if (!schedule_breaker_lets (type, now_us) && schedule_breaker_trouble (type, now_us, text, size))
        return;
    else if (self->settings.submissions && self->submitted >= self->settings.submissions)
        snprintf (text, size, "%llu jobs were started in this round of %llu s, and no more may be (strata update submissions=N)",
                  (unsigned long long)self->submitted, (unsigned long long)self->settings.round_s);
    else
        why_no_room (self, live, text, size);
}

void schedule_why (struct schedule *self, const Strata__Job *job, int64_t now_us, char *text, size_t size)
{
    const struct live *live = schedule_find_live (self, job->id);
    snprintf (text, size, "%s", job->reason);
    switch (job->state) {
    case S (PROPOSED):
        snprintf (text, size, "select has proposed its candidate; it waits until select knows that it was taken");
        break;
    case S (WAITING):
        if (live)
            why_it_waits (self, live, now_us, text, size);
        break;
    case S (LAUNCHING):
        snprintf (text, size, "attempt %u is handed to the executor, which has not told that it runs", job->attempt);
        break;
    case S (RUNNING):
        snprintf (text, size, job->cancel ? "it is asked to end, and has its grace for that" : "attempt %u runs", job->attempt);
        break;
    case S (ASIDE):
        snprintf (text, size, "it failed %u times, the last time: %.500s. When the cause is mended: strata retry %s", job->tries, job->reason,
                  job->id);
        break;
    case S (SUCCEEDED):
        snprintf (text, size, "attempt %u ended well", job->attempt);
        break;
    default:
        break;
    }
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

bool schedule_fits (const Strata__Job *job, const char *id, const char *state, const char *type)
{
    return (!id[0] || strcmp (job->id, id) == 0 || strcmp (job->simulation, id) == 0) && (!type[0] || strcmp (job->type, type) == 0)
           && (!state[0] || strcmp (schedule_state_name (job->state), state) == 0);
}

int schedule_check_state (const char *state, struct strata_error *error)
{
    bool known = !state[0];
    for (int i = 0; i < STATES && !known; i++)
        known = strcmp (schedule_state_name ((Strata__JobState)i), state) == 0;
    return known ? 0
                 : strata_fail (error,
                                "\"%.40s\" is no state of a job; there are proposed, waiting, launching, running, "
                                "succeeded, aside, cancelled",
                                state);
}

int schedule_jobs (struct shard *shard, const Strata__Jobs *query, Strata__JobsReply *reply, struct strata_error *error)
{
    strata__jobs_reply__init (reply);
    if (schedule_check_state (query->state, error) != 0)
        return -1;
    size_t max = query->max ? query->max : JOBS_DEFAULT;
    max = max < JOBS_MAX ? max : JOBS_MAX;
    /* Twice as many are held at the most: when they are there, the older half goes. */
    reply->jobs = malloc (2 * max * sizeof (Strata__Job *));
    if (!reply->jobs)
        return strata_fail (error, "out of memory for %zu jobs; ask for fewer", max);
    struct shard_iter it;
    for (bool more = shard_iter_begin (shard, &it, "job/", 4, NULL, 0); more; more = shard_iter_next (&it)) {
        Strata__Job *job = strata__job__unpack (NULL, it.value_size, it.value);
        if (!job || !schedule_fits (job, query->id, query->state, query->type)) {
            if (job)
                strata__job__free_unpacked (job, NULL);
            continue;
        }
        reply->total++;
        reply->jobs[reply->n_jobs++] = job;
        if (reply->n_jobs == 2 * max)
            keep_newest (reply, max);
    }
    shard_iter_end (&it);
    keep_newest (reply, max);
    return 0;
}

void schedule_jobs_fini (Strata__JobsReply *reply)
{
    keep_newest (reply, 0);
    free (reply->jobs);
    reply->jobs = NULL;
}
