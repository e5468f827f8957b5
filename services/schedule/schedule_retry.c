/* schedule_retry.c - jobs that were set aside run again, asked for by hand after the cause was mended. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "schedule_impl.h"

#define S(state) STRATA__JOB_STATE__JOB_##state

/* The jobs that are aside and match, read before any is changed. *matched counts also those that are not aside. */
static Strata__Job **find_aside (struct schedule *self, const char *id, const char *type, size_t *count, size_t *matched)
{
    struct shard_iter it;
    Strata__Job **found = NULL;
    size_t room = 0;
    *count = *matched = 0;
    for (bool more = shard_iter_begin (self->shard, &it, "job/", 4, NULL, 0); more; more = shard_iter_next (&it)) {
        Strata__Job *job = strata__job__unpack (NULL, it.value_size, it.value);
        if (!job)
            continue;
        bool match = schedule_fits (job, id, ~0u, type);
        *matched += match;
        if (match && job->state == S (ASIDE)) {
            found = schedule_grow (found, *count, &room, sizeof (*found));
            found[(*count)++] = job;
        }
        else
            strata__job__free_unpacked (job, NULL);
    }
    shard_iter_end (&it);
    return found;
}

static bool retry_one (struct schedule *self, struct live *live, int64_t now_us)
{
    Strata__Job *job = live->job;
    uint32_t tries = job->tries;
    job->tries = 0;
    job->tries_limit = live->type->campaign->tries;
    job->cancel = false;
    if (schedule_move (self, live, S (WAITING), "asked for by hand", now_us, NULL) != 0) {
        job->tries = tries;
        return false;
    }
    schedule_event (self, "job-retried", job->id, "asked for by hand; waits with %u tries, for %s. It was set aside with: %.300s",
                    job->tries_limit, job->simulation, job->reason);
    return true;
}

int schedule_retry (struct schedule *self, const char *id, const char *type, void (*each) (const char *id, void *arg),
                    void *arg, int64_t now_us, struct strata_error *error)
{
    size_t count, matched;
    errno = EINVAL;
    if ((!id[0] && !type[0]) || strlen (id) > SCHEDULE_ID_MAX)
        return strata_fail (error, "the id of a job or a simulation, of 1 to %d bytes, or a type of jobs is needed",
                            SCHEDULE_ID_MAX);
    errno = ENOENT;
    if (type[0] && !schedule_find_type (self, type))
        return strata_fail (error, "the campaign file has no job type %.100s", type);
    Strata__Job **found = find_aside (self, id, type, &count, &matched);
    for (size_t i = 0; i < count; i++) {
        struct job_type *of = schedule_find_type (self, found[i]->type);
        struct live *live = schedule_revive (self, found[i], of);
        schedule_breaker_retry (self, of, now_us);
        if (retry_one (self, live, now_us))
            each (live->job->id, arg);
    }
    free (found);
    schedule_sweep (self);
    if (count)
        return 0;
    errno = matched ? EALREADY : ENOENT;
    if (!matched && id[0])
        return strata_fail (error, "no job and no simulation has the id %s%s%s; `strata jobs` lists them", id,
                            type[0] ? " and the type " : "", type);
    return strata_fail (error, "no job of %s is set aside; there is nothing to try again", id[0] ? id : type);
}
