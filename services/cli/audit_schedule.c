/* audit_schedule.c - jobs against selections, and against each other. Keys and rules:
 * services/schedule/schedule_core.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit_impl.h"

#define JOB(name) STRATA__JOB_STATE__JOB_##name
#define CANDIDATE(name) STRATA__CANDIDATE_STATE__CANDIDATE_##name

static const struct campaign_job *type_of (const struct audit_world *world, const struct audit_job *job, size_t *index)
{
    for (unsigned i = 0; i < world->campaign->jobs_count; i++)
        if (strcmp (world->campaign->jobs[i].name, job->type) == 0) {
            *index = i;
            return &world->campaign->jobs[i];
        }
    return NULL;
}

static void count_job (struct audit_world *world, const struct audit_job *row, const Strata__Job *job)
{
    struct audit_summary *sum = &world->audit->summary;
    size_t i;
    if (!type_of (world, row, &i) || i >= AUDIT_TYPES_MAX)
        return;
    sum->jobs[i].waiting += job->state == JOB (PROPOSED) || job->state == JOB (WAITING);
    sum->jobs[i].running += job->state == JOB (LAUNCHING) || job->state == JOB (RUNNING);
    sum->jobs[i].succeeded += job->state == JOB (SUCCEEDED);
    sum->jobs[i].aside += job->state == JOB (ASIDE);
    sum->jobs[i].cancelled += job->state == JOB (CANCELLED);
    if (job->created_us && (!sum->first_us || job->created_us < sum->first_us))
        sum->first_us = job->created_us;
    if (job->ended_us > sum->last_us)
        sum->last_us = job->ended_us;
    if (job->ended_us > job->started_us && job->started_us)
        sum->core_seconds += (double)(job->ended_us - job->started_us) / 1e6 * (double)world->campaign->jobs[i].cores;
}

static void load_job (struct audit_world *world, const struct shard_iter *it)
{
    char id[256];
    Strata__Job *job = strata__job__unpack (NULL, it->value_size, it->value);
    snprintf (id, sizeof (id), "%.*s", (int)(it->key_size - 4), (const char *)it->key + 4);
    if (!job) {
        audit_violation (world->audit, AUDIT_JOBS, "job %s: its record is damaged", id);
        return;
    }
    if (strcmp (job->id, id) != 0)
        audit_violation (world->audit, AUDIT_JOBS, "job %s stands under the key of %s", job->id, id);
    struct audit_job *row = audit_add (&world->jobs, sizeof (*row));
    row->id = audit_copy (id);
    row->type = audit_copy (job->type);
    row->simulation = audit_copy (job->simulation);
    row->candidate = audit_copy (job->candidate);
    row->input = audit_copy (job->input);
    row->dir = audit_copy (job->dir);
    row->state = job->state;
    row->attempt = job->attempt;
    count_job (world, row, job);
    strata__job__free_unpacked (job, NULL);
}

void audit_load_schedule (struct audit_world *world)
{
    struct shard_iter it;
    char key[300];
    if (!world->schedule)
        return;
    for (bool more = shard_iter_begin (world->schedule, &it, "job/", 4, NULL, 0); more; more = shard_iter_next (&it))
        load_job (world, &it);
    shard_iter_end (&it);
    audit_sort (&world->jobs);
    for (unsigned i = 0; i < world->campaign->jobs_count && i < AUDIT_TYPES_MAX; i++)
        if (world->campaign->jobs[i].start == JOB_ALWAYS) {
            snprintf (key, sizeof (key), "succ/%s", world->campaign->jobs[i].name);
            world->audit->summary.jobs[i].succeeded = shard_get_u64 (world->schedule, key, 0);
        }
}

/* ---- chains ---- */

static void check_first_job (struct audit_world *world, const struct audit_job *job)
{
    struct shard_key key;
    void *value = NULL;
    size_t size = 0;
    struct audit_choice *choice = audit_find (&world->choices, job->candidate);
    shard_key (&key, "chain/%s", job->simulation);
    if (!shard_get (world->schedule, key.data, key.size, &value, &size))
        audit_violation (world->audit, AUDIT_CHAINS, "job %s begins a chain for %s that stands in no list of chains",
                         job->id, job->simulation);
    else if (size != strlen (job->id) || memcmp (value, job->id, size) != 0)
        audit_violation (world->audit, AUDIT_CHAINS,
                         "candidate %s has two chains: one begins with %.*s, another with %s", job->candidate,
                         (int)size, (const char *)value, job->id);
    free (value);
    if (!choice) {
        audit_violation (world->audit, AUDIT_CHAINS, "job %s is for candidate %s, which select does not have", job->id,
                         job->candidate);
        return;
    }
    choice->chains++;
    /* Before the confirmation select may have taken the candidate back: then this job will be forgotten. */
    bool confirmed = job->state != JOB (PROPOSED) && !(job->state == JOB (CANCELLED) && job->attempt == 0);
    if (confirmed && choice->state != CANDIDATE (SELECTED))
        audit_violation (world->audit, AUDIT_CHAINS,
                         "job %s is for candidate %s, which is not selected (state %d in select)", job->id,
                         job->candidate, (int)choice->state);
}

void audit_check_chains (struct audit_world *world)
{
    uint64_t first_jobs = 0, selected = 0, newer = 0;
    size_t i;
    AUDIT_EACH (struct audit_job, job, world->jobs) {
        const struct campaign_job *type = type_of (world, job, &i);
        if (type && type->start == JOB_SELECTION) {
            first_jobs++;
            check_first_job (world, job);
        }
    }
    AUDIT_EACH (struct audit_choice, c, world->choices) {
        if (c->state != CANDIDATE (SELECTED) || audit_selected_before (c))
            continue;
        selected++;
        if (c->chains == 1)
            continue;
        if (c->chains == 0 && world->audit->live && c->changed_us >= world->schedule_seen_us - 1000000)
            newer++; /* schedule was looked at before */
        else
            audit_violation (world->audit, AUDIT_CHAINS,
                             "candidate %s is selected and has %u chains of jobs instead of one", c->id, c->chains);
    }
    audit_counted (world->audit, AUDIT_CHAINS, "%" PRIu64 " candidates selected, %" PRIu64 " chains begun", selected,
                   first_jobs);
    if (newer)
        audit_counted (world->audit, AUDIT_CHAINS, ", %" PRIu64 " selected too lately to be compared", newer);
}

/* ---- jobs ---- */

struct follower {
    char *id; /* "<type> <simulation>" */
    const struct audit_job *job;
};

/* Each success of `type` has one job of `next`, and each job of `next` one success before it. */
static void check_link (struct audit_world *world, const struct campaign_job *before, const struct campaign_job *next)
{
    struct audit_table firsts = { .rows = NULL };
    AUDIT_EACH (struct audit_job, job, world->jobs) {
        job->followers = 0;
        if (strcmp (job->type, before->name) == 0) {
            struct follower *row = audit_add (&firsts, sizeof (*row));
            row->id = job->simulation;
            row->job = job;
        }
    }
    audit_sort (&firsts);
    AUDIT_EACH (struct audit_job, job, world->jobs) {
        if (strcmp (job->type, next->name) != 0)
            continue;
        const struct follower *from = audit_find (&firsts, job->simulation);
        if (!from || from->job->state != JOB (SUCCEEDED))
            audit_violation (world->audit, AUDIT_JOBS, "job %s follows no success of %s for %s", job->id, before->name,
                             job->simulation);
        else if (strcmp (job->input, from->job->dir) != 0)
            audit_violation (world->audit, AUDIT_JOBS, "job %s reads %s, but %s, which it follows, wrote %s", job->id,
                             job->input, from->job->id, from->job->dir);
        if (from)
            ((struct audit_job *)from->job)->followers++;
    }
    AUDIT_EACH (struct audit_job, job, world->jobs)
        if (strcmp (job->type, before->name) == 0 && job->state == JOB (SUCCEEDED) && job->followers != 1)
            audit_violation (world->audit, AUDIT_JOBS,
                             "job %s succeeded and is followed by %u jobs of type %s instead of one", job->id,
                             job->followers, next->name);
    free (firsts.rows);
}

static void check_counters (struct audit_world *world, const struct campaign_job *type)
{
    char key[300];
    uint64_t succeeded = 0, count = 0, last = 0;
    snprintf (key, sizeof (key), "next/%s", type->name);
    last = shard_get_u64 (world->schedule, key, 0);
    AUDIT_EACH (struct audit_job, job, world->jobs) {
        if (strcmp (job->type, type->name) != 0)
            continue;
        const char *dash = strrchr (job->id, '-');
        uint64_t number = dash ? strtoull (dash + 1, NULL, 10) : 0;
        count++;
        succeeded += job->state == JOB (SUCCEEDED);
        if (number == 0 || number > last)
            audit_violation (world->audit, AUDIT_JOBS,
                             "job %s has a number that was never given: the last one of its type is %" PRIu64, job->id,
                             last);
    }
    snprintf (key, sizeof (key), "succ/%s", type->name);
    uint64_t stored = shard_get_u64 (world->schedule, key, 0);
    if (type->start != JOB_ALWAYS && stored != succeeded)
        audit_violation (world->audit, AUDIT_JOBS,
                         "%" PRIu64 " jobs of type %s succeeded, but the counter says %" PRIu64, succeeded, type->name,
                         stored);
    if (type->start == JOB_ALWAYS && count > 1)
        audit_violation (world->audit, AUDIT_JOBS, "type %s starts always and has %" PRIu64 " jobs instead of one",
                         type->name, count);
    audit_counted (world->audit, AUDIT_JOBS, "%s%" PRIu64 " %s (%" PRIu64 " succeeded)",
                   world->audit->checks[AUDIT_JOBS].counted[0] ? ", " : "", count, type->name, stored);
}

/* What a start reads instead of all jobs (services/schedule/schedule_index.c) says the same as the jobs. */
static void check_index (struct audit_world *world)
{
    struct shard_key key;
    struct shard_iter it;
    uint64_t entries = 0, live = 0;
    if (!shard_get_u64 (world->schedule, "indexed", 0))
        return;
    for (bool more = shard_iter_begin (world->schedule, &it, "live/", 5, NULL, 0); more; more = shard_iter_next (&it))
        entries++;
    shard_iter_end (&it);
    AUDIT_EACH (struct audit_job, job, world->jobs) {
        bool ended = job->state == JOB (SUCCEEDED) || job->state == JOB (ASIDE) || job->state == JOB (CANCELLED);
        live += !ended;
        shard_key (&key, "live/%s", job->id);
        if (shard_has (world->schedule, key.data, key.size) == ended)
            audit_violation (world->audit, AUDIT_JOBS, "job %s has %s, but the index of those that have not says otherwise", job->id,
                             ended ? "ended" : "not ended");
    }
    if (entries != live)
        audit_violation (world->audit, AUDIT_JOBS, "%" PRIu64 " jobs have not ended, the index has %" PRIu64, live, entries);
}

static void check_counts (struct audit_world *world, const struct campaign_job *type)
{
    struct shard_key key;
    uint64_t counts[7] = { 0 };
    void *value;
    size_t size;
    shard_key (&key, "counts/%s", type->name);
    if (!shard_get (world->schedule, key.data, key.size, &value, &size))
        return;
    AUDIT_EACH (struct audit_job, job, world->jobs)
        if (strcmp (job->type, type->name) == 0 && (unsigned)job->state < 7)
            counts[job->state]++;
    for (size_t i = 0; i < 7; i++)
        if (size != sizeof (counts) || shard_u64 ((const uint8_t *)value + 8 * i) != counts[i])
            audit_violation (world->audit, AUDIT_JOBS, "%" PRIu64 " jobs of type %s are in state %zu, the count says otherwise", counts[i],
                             type->name, i);
    free (value);
}

void audit_check_jobs (struct audit_world *world)
{
    const struct campaign *campaign = world->campaign;
    size_t index;
    if (!world->schedule) {
        audit_counted (world->audit, AUDIT_JOBS, "schedule was never started");
        return;
    }
    check_index (world);
    AUDIT_EACH (struct audit_job, job, world->jobs)
        if (!type_of (world, job, &index))
            audit_violation (world->audit, AUDIT_JOBS, "job %s is of type '%s', which the campaign does not have",
                             job->id, job->type);
    for (unsigned i = 0; i < campaign->jobs_count; i++) {
        check_counters (world, &campaign->jobs[i]);
        check_counts (world, &campaign->jobs[i]);
        const struct campaign_job *before =
            campaign->jobs[i].start == JOB_AFTER ? campaign_job_find (campaign, campaign->jobs[i].after) : NULL;
        if (before)
            check_link (world, before, &campaign->jobs[i]);
    }
}
