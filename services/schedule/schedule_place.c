/* schedule_place.c - which waiting job gets which cores and GPUs.
 *
 * Order: `always` types, then later steps of chains before earlier ones (what is prepared runs before more is
 * prepared), then the older job. The first that finds no room keeps the room for itself: smaller ones behind it don't
 * slip past, or a job of many cores would wait for ever. Jobs that need no core of their own are never in the way, nor
 * are those of a type that is paused (schedule_breaker.c).
 */
#include <stdlib.h>
#include <string.h>

#include "schedule_impl.h"

#define S(state) STRATA__JOB_STATE__JOB_##state

void schedule_hold (struct schedule *self, const Strata__Job *job)
{
    for (size_t i = 0; i < job->n_cores; i++)
        for (size_t j = 0; j < self->cores_count; j++)
            if (self->cores[j].id == job->cores[i] && !self->cores[j].busy) {
                self->cores[j].busy = true;
                self->cores_busy++;
            }
    for (size_t i = 0; i < job->n_gpus; i++)
        if (job->gpus[i] < self->gpus_count && !self->gpus[job->gpus[i]]) {
            self->gpus[job->gpus[i]] = true;
            self->gpus_busy++;
        }
}

void schedule_give_back (struct schedule *self, struct live *live)
{
    Strata__Job *job = live->job;
    for (size_t i = 0; i < job->n_cores; i++)
        for (size_t j = 0; j < self->cores_count; j++)
            if (self->cores[j].id == job->cores[i] && self->cores[j].busy) {
                self->cores[j].busy = false;
                self->cores_busy--;
            }
    for (size_t i = 0; i < job->n_gpus; i++)
        if (job->gpus[i] < self->gpus_count && self->gpus[job->gpus[i]]) {
            self->gpus[job->gpus[i]] = false;
            self->gpus_busy--;
        }
    free (job->cores);
    free (job->gpus);
    job->cores = job->gpus = NULL;
    job->n_cores = job->n_gpus = 0;
}

/* Where to take `need` free cores from: a run of neighbours if there is one (they share caches), else the first. */
static size_t choose_from (const struct schedule *self, size_t need)
{
    size_t run = 0;
    for (size_t i = 0; i < self->cores_count; i++) {
        run = self->cores[i].busy ? 0 : run + 1;
        if (run == need)
            return i + 1 - need;
    }
    return 0;
}

/* Gives the job what its type asks for; there is enough. */
static int take (struct schedule *self, struct live *live)
{
    const struct campaign_job *type = live->type->campaign;
    Strata__Job *job = live->job;
    job->n_cores = job->n_gpus = 0;
    job->cores = type->cores ? calloc (type->cores, sizeof (*job->cores)) : NULL;
    job->gpus = type->gpus ? calloc (type->gpus, sizeof (*job->gpus)) : NULL;
    if ((type->cores && !job->cores) || (type->gpus && !job->gpus)) {
        free (job->cores);
        free (job->gpus);
        job->cores = job->gpus = NULL;
        return -1;
    }
    for (size_t i = choose_from (self, type->cores); job->n_cores < type->cores; i++)
        if (!self->cores[i].busy)
            job->cores[job->n_cores++] = self->cores[i].id;
    for (size_t i = 0; job->n_gpus < type->gpus; i++)
        if (!self->gpus[i])
            job->gpus[job->n_gpus++] = (uint32_t)i;
    schedule_hold (self, job);
    return 0;
}

static int by_order (const void *a, const void *b)
{
    const struct live *one = *(struct live *const *)a, *two = *(struct live *const *)b;
    if (one->type->depth != two->type->depth)
        return one->type->depth > two->type->depth ? -1 : 1;
    if (one->job->created_us != two->job->created_us)
        return one->job->created_us < two->job->created_us ? -1 : 1;
    return strcmp (one->job->id, two->job->id);
}

static void launch (struct schedule *self, struct live *live)
{
    if (take (self, live) != 0)
        return;
    live->job->attempt++;
    live->job->started_us = live->job->ended_us = 0;
    live->launch_commit = shard_commits (self->shard) + 1;
    if (schedule_move (self, live, S (LAUNCHING), NULL) != 0) {
        live->job->attempt--;
        schedule_give_back (self, live);
        return;
    }
    schedule_breaker_launched (self, live);
}

void schedule_place (struct schedule *self, int64_t now_us)
{
    struct live **waiting = malloc ((self->live_count + 1) * sizeof (struct live *));
    size_t n = 0;
    for (size_t i = 0; waiting && i < self->live_count; i++) {
        struct live *live = self->live[i];
        if (live->job->state == S (WAITING) && schedule_pause_over (live->not_before_us, now_us)
            && !live->type->too_big && schedule_breaker_lets (live->type, now_us))
            waiting[n++] = live;
    }
    if (n > 1)
        qsort (waiting, n, sizeof (struct live *), by_order);
    bool blocked = false;
    for (size_t i = 0; i < n; i++) {
        const struct campaign_job *type = waiting[i]->type->campaign;
        if (!schedule_breaker_lets (waiting[i]->type, now_us))
            continue; /* one before it is the probe */
        bool wants = type->cores || type->gpus;
        bool room =
            type->cores <= self->cores_count - self->cores_busy && type->gpus <= self->gpus_count - self->gpus_busy;
        if (wants && (blocked || !room))
            blocked = true;
        else
            launch (self, waiting[i]);
    }
    free (waiting);
}
