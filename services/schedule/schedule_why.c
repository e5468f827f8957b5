/* schedule_why.c - why a job is in the state that it is in, and why there are no more jobs of a type.
 *
 * What a waiting job waits for is one of a few words (a column of `strata jobs`); the sentence for each says the figures, and
 * what can be done.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schedule_impl.h"

#define S(state) STRATA__JOB_STATE__JOB_##state

enum wait {
    WAIT_NOTHING,
    WAIT_SELECT,
    WAIT_EXECUTOR,
    WAIT_UP,
    WAIT_BIGGER,
    WAIT_HELD,
    WAIT_RETRY,
    WAIT_ALLOCATION,
    WAIT_PAUSED,
    WAIT_ROUND,
    WAIT_TURN,
    WAIT_NODES,
    WAIT_GPUS,
    WAIT_CORES,
    WAIT_MEMORY,
    WAIT_TOGETHER,
};

static const char *const words[] = {
    [WAIT_NOTHING] = "",         [WAIT_SELECT] = "select", [WAIT_EXECUTOR] = "executor", [WAIT_UP] = "next-start",
    [WAIT_BIGGER] = "too-big",   [WAIT_HELD] = "held",     [WAIT_RETRY] = "retry",       [WAIT_ALLOCATION] = "allocation-end",
    [WAIT_PAUSED] = "paused",    [WAIT_ROUND] = "round",   [WAIT_TURN] = "turn",         [WAIT_NODES] = "nodes",
    [WAIT_GPUS] = "gpus",        [WAIT_CORES] = "cores",   [WAIT_MEMORY] = "memory",     [WAIT_TOGETHER] = "one-node",
};

static const enum wait wait_of[] = {
    [RESOURCES_LACKS_NOTHING] = WAIT_TURN, [RESOURCES_LACKS_NODES] = WAIT_NODES,   [RESOURCES_LACKS_GPUS] = WAIT_GPUS,
    [RESOURCES_LACKS_CORES] = WAIT_CORES,  [RESOURCES_LACKS_MEMORY] = WAIT_MEMORY, [RESOURCES_LACKS_TOGETHER] = WAIT_TOGETHER,
};

/* What a type's jobs lack on the machine as it is now. */
static enum wait lacks (const struct schedule *self, const struct job_type *type)
{
    struct resources_lack lack = { .what = RESOURCES_LACKS_NOTHING };
    if (type->wants)
        resources_lack (self->resources, (size_t)(type - self->types), &lack);
    return wait_of[lack.what];
}

/* What the job waits for; WAIT_TURN: for room, or for those that go before it. */
static enum wait waits_for (const struct schedule *self, const struct live *live, int64_t now_us)
{
    const struct job_type *type = live->type;
    if (live->job->state == S (PROPOSED))
        return WAIT_SELECT;
    if (live->job->state == S (LAUNCHING))
        return WAIT_EXECUTOR;
    if (live->job->state != S (WAITING))
        return WAIT_NOTHING;
    if (self->draining)
        return WAIT_UP;
    if (type->too_big)
        return WAIT_BIGGER;
    if (type->on_hold)
        return WAIT_HELD;
    if (live->not_before_us > now_us)
        return WAIT_RETRY;
    if (!schedule_end_lets (self, type, now_us))
        return WAIT_ALLOCATION;
    if (!schedule_breaker_lets (type, now_us))
        return WAIT_PAUSED;
    if (self->settings.submissions && self->submitted >= self->settings.submissions)
        return WAIT_ROUND;
    return WAIT_TURN;
}

/* How many of its type are ready and go before it. */
static size_t older_ones (const struct live *live)
{
    size_t n = 0;
    for (size_t i = 0; i < live->type->ready.count; i++)
        n += schedule_older (live->type->ready.list[i], live);
    return n;
}

static void why_no_room (const struct schedule *self, const struct live *live, char *text, size_t size)
{
    const struct job_type *type = live->type;
    struct resources_figures there;
    struct resources_lack lack = { .what = RESOURCES_LACKS_NOTHING };
    char asks[160], free_ones[200], before[64], memory[40] = "";
    resources_figures (self->resources, &there);
    if (type->wants)
        resources_lack (self->resources, (size_t)(type - self->types), &lack);
    if (type->request.memory_mb)
        snprintf (memory, sizeof (memory), ", %llu MB", (unsigned long long)type->request.memory_mb);
    snprintf (asks, sizeof (asks), "it asks for %u cores, %u GPUs%s on %u of the %zu nodes", resources_cores (&type->request),
              resources_gpus (&type->request), memory, type->request.nodes, there.nodes);
    snprintf (free_ones, sizeof (free_ones), "of %llu cores %llu are free%s, of %llu GPUs %llu", (unsigned long long)there.cores,
              (unsigned long long)(there.cores - there.cores_busy), lack.kept ? " (some are kept for free GPUs)" : "",
              (unsigned long long)there.gpus, (unsigned long long)(there.gpus - there.gpus_busy));
    snprintf (before, sizeof (before), "%zu of its type go before it", older_ones (live));
    switch (lack.what) {
    case RESOURCES_LACKS_NODES:
        snprintf (text, size, "it waits for nodes: %s; %zu are drained and %zu lost (strata node). %s; %s", asks, there.nodes_drained,
                  there.nodes_lost, free_ones, before);
        break;
    case RESOURCES_LACKS_GPUS:
        snprintf (text, size, "it waits for GPUs: %s; %s. %s", asks, free_ones, before);
        break;
    case RESOURCES_LACKS_CORES:
        snprintf (text, size, "it waits for cores: %s; %s. %s", asks, free_ones, before);
        break;
    case RESOURCES_LACKS_MEMORY:
        snprintf (text, size, "it waits for memory: %s; %zu nodes have that much free. %s. %s", asks, lack.with_memory, free_ones, before);
        break;
    case RESOURCES_LACKS_TOGETHER:
        snprintf (text, size, "it waits for nodes that have all of it free at once: %s; %s. %s", asks, free_ones, before);
        break;
    case RESOURCES_LACKS_NOTHING:
        snprintf (text, size, "there is room for it; it waits for its turn, or those that go before it (types below their share of the GPUs, later "
                  "scales, older jobs) keep that room: %s; %s. %s", asks, free_ones, before);
        break;
    }
}

static void why_it_waits (struct schedule *self, const struct live *live, int64_t now_us, char *text, size_t size)
{
    const struct job_type *type = live->type;
    switch (waits_for (self, live, now_us)) {
    case WAIT_SELECT:
        snprintf (text, size, "select has proposed its candidate; it waits until select knows that it was taken");
        break;
    case WAIT_EXECUTOR:
        snprintf (text, size, "attempt %u is handed to the executor, which has not told that it runs", live->job->attempt);
        break;
    case WAIT_UP:
        snprintf (text, size, "the campaign goes down; it waits for the next start");
        break;
    case WAIT_BIGGER:
        snprintf (text, size, "%s", self->capacity_trouble[0] ? self->capacity_trouble : "it asks for more than any node has");
        break;
    case WAIT_HELD:
        snprintf (text, size, "jobs of type %s are held back for now", type->campaign->name);
        break;
    case WAIT_RETRY:
        snprintf (text, size, "attempt %u ended (%.300s); it is tried again in %.0f s", live->job->attempt, live->job->reason,
                  (double)(live->not_before_us - now_us) / 1e6);
        break;
    case WAIT_ALLOCATION:
        schedule_end_why (self, type, now_us, text, size);
        break;
    case WAIT_PAUSED:
        schedule_breaker_trouble (type, now_us, text, size);
        break;
    case WAIT_ROUND:
        snprintf (text, size, "%llu jobs were started in this round of %llu s, and no more may be (strata update submissions=N)",
                  (unsigned long long)self->submitted, (unsigned long long)self->settings.round_s);
        break;
    default:
        why_no_room (self, live, text, size);
        break;
    }
}

void schedule_why (struct schedule *self, const Strata__Job *job, int64_t now_us, char *text, size_t size)
{
    const struct live *live = schedule_find_live (self, job->id);
    snprintf (text, size, "%s", job->reason);
    switch (job->state) {
    case S (PROPOSED):
    case S (WAITING):
    case S (LAUNCHING):
        if (live)
            why_it_waits (self, live, now_us, text, size);
        break;
    case S (RUNNING):
        snprintf (text, size, job->cancel ? "it is asked to end, and has its grace for that" : "attempt %u runs", job->attempt);
        break;
    case S (ASIDE):
        snprintf (text, size, "it failed %u times, the last time (%s): %.500s. When the cause is mended: strata retry %s", job->tries,
                  outcome_end_name (job->end), job->reason, job->id);
        break;
    case S (SUCCEEDED):
        snprintf (text, size, "attempt %u ended well", job->attempt);
        break;
    default:
        break;
    }
}

/* ---- of a type ---- */

static void why_no_more_are_selected (struct schedule *self, const struct job_type *type, int64_t now_us, char *text, size_t size)
{
    const char *name = type->campaign->name;
    const uint64_t *n = type->counts;
    uint64_t prepared = schedule_ready (self, type);
    uint64_t ahead = n[S (PROPOSED)] + n[S (WAITING)] + n[S (LAUNCHING)] + n[S (RUNNING)] + prepared;
    if (self->draining)
        snprintf (text, size, "the campaign goes down: nothing is selected for %s", name);
    else if (type->too_big)
        snprintf (text, size, "%s", self->capacity_trouble);
    else if (ahead >= type->buffer)
        snprintf (text, size, "its buffer of %llu is full: %llu prepared and not begun by what follows, %llu in work, %llu waiting (strata update buffer.%s=N)",
                  (unsigned long long)type->buffer, (unsigned long long)prepared, (unsigned long long)n[S (LAUNCHING)] + n[S (RUNNING)],
                  (unsigned long long)n[S (PROPOSED)] + n[S (WAITING)], name);
    else if (schedule_outstanding (self, type))
        snprintf (text, size, "select is asked for candidates: %llu of %llu are ahead", (unsigned long long)ahead, (unsigned long long)type->buffer);
    else if (!schedule_pause_over (type->ask_after_us, now_us))
        snprintf (text, size, "select had no candidate; it is asked again in %.0f s. %llu of %llu are ahead", (double)(type->ask_after_us - now_us) / 1e6,
                  (unsigned long long)ahead, (unsigned long long)type->buffer);
    else if (!schedule_end_lets (self, type, now_us))
        schedule_end_why (self, type, now_us, text, size);
    else if (schedule_breaker_ask_limit (self, type, now_us) == 0)
        snprintf (text, size, "nothing is selected for %s while it, or what follows it, is paused after failures: %.400s", name,
                  schedule_trouble (self, now_us) ? self->trouble : "");
    else
        snprintf (text, size, "select is asked at the next turn: %llu of %llu are ahead", (unsigned long long)ahead, (unsigned long long)type->buffer);
}

bool schedule_why_type (struct schedule *self, const char *name, int64_t now_us, char *text, size_t size)
{
    const struct job_type *type = schedule_find_type (self, name);
    if (!type)
        return false;
    const struct campaign_job *job = type->campaign;
    if (job->start == JOB_SELECTION)
        why_no_more_are_selected (self, type, now_us, text, size);
    else if (job->start == JOB_AFTER) {
        const struct job_type *before = schedule_find_type (self, job->after);
        snprintf (text, size, "one follows each success of %s: %llu have succeeded, %llu are in work, %llu wait, %llu were set aside", job->after,
                  (unsigned long long)before->successes, (unsigned long long)before->counts[S (LAUNCHING)] + before->counts[S (RUNNING)],
                  (unsigned long long)before->counts[S (PROPOSED)] + before->counts[S (WAITING)], (unsigned long long)before->counts[S (ASIDE)]);
    }
    else
        snprintf (text, size, "there is one, which starts again when it has ended, until the campaign's goal is reached: %llu clean ends",
                  (unsigned long long)type->successes);
    return true;
}

/* ---- beside a list of jobs ---- */

static unsigned tasks_of (const struct campaign_job *job)
{
    unsigned nodes = job->nodes ? job->nodes : 1;
    return job->run.procs ? job->run.procs : job->parts_count ? nodes * job->parts_count : nodes;
}

/* Which waiting ones wait for room is asked once a type. */
static void tell_waits (struct schedule *self, Strata__JobsReply *reply, int64_t now_us)
{
    enum wait *room = calloc (self->types_count + 1, sizeof (*room));
    reply->waits = calloc (reply->n_jobs + 1, sizeof (*reply->waits));
    for (size_t i = 0; reply->waits && room && i < reply->n_jobs; i++) {
        const struct live *live = schedule_find_live (self, reply->jobs[i]->id);
        enum wait wait = live ? waits_for (self, live, now_us) : WAIT_NOTHING;
        if (wait == WAIT_TURN) {
            enum wait *of_type = &room[live->type - self->types];
            wait = *of_type = *of_type ? *of_type : lacks (self, live->type);
        }
        reply->waits[reply->n_waits++] = (char *)words[wait];
    }
    free (room);
}

static void tell_types (const struct schedule *self, Strata__JobsReply *reply)
{
    reply->types = calloc (self->types_count + 1, sizeof (*reply->types));
    for (size_t i = 0; reply->types && i < self->types_count; i++) {
        const struct job_type *type = &self->types[i];
        Strata__TypeOfJobs *out = malloc (sizeof (*out));
        uint64_t *counts = malloc (sizeof (type->counts));
        if (!out || !counts) {
            free (out);
            free (counts);
            return;
        }
        strata__type_of_jobs__init (out);
        memcpy (counts, type->counts, sizeof (type->counts));
        out->name = type->campaign->name;
        out->nodes = type->request.nodes;
        out->tasks = tasks_of (type->campaign);
        out->cores = resources_cores (&type->request);
        out->gpus = resources_gpus (&type->request);
        out->walltime_s = type->campaign->walltime_s;
        out->counts = counts;
        out->n_counts = STATES;
        reply->types[reply->n_types++] = out;
    }
}

void schedule_jobs_tell (struct schedule *self, const Strata__Jobs *query, Strata__JobsReply *reply, int64_t now_us)
{
    char why[1024] = "";
    if (query->id[0] && reply->n_jobs == 1)
        schedule_why (self, reply->jobs[0], now_us, why, sizeof (why));
    else if (query->id[0] && reply->n_jobs == 0)
        schedule_why_type (self, query->id, now_us, why, sizeof (why));
    schedule_set_string (&reply->why, why);
    tell_waits (self, reply, now_us);
    tell_types (self, reply);
}
