/* select_rebuild.c - the shard made anew: candidates come from staging, what was confirmed stands in the jobs of schedule.
 *
 * Not had back, and not needed: proposals that were never confirmed (their candidates wait again, schedule asks again), the
 * ranks at which candidates were picked, the history's times, and which candidates were discarded (they wait again). */
#include "select_rebuild.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "schedule.pb-c.h"
#include "select_core.h"

struct choice {
    char *proposal, *candidate;
};

struct choices {
    struct choice *rows;
    size_t count, room;
};

static int add (struct rebuild *rebuild, int64_t time_us, const void *record, size_t size, void *arg,
                struct strata_error *error)
{
    struct select_core *core = arg;
    Strata__Candidate *candidate = strata__candidate__unpack (NULL, size, record);
    if (!candidate) {
        select_refuse (core, "a record of the stream is no candidate", time_us);
        return 0;
    }
    select_add (core, candidate, time_us);
    strata__candidate__free_unpacked (candidate, NULL);
    return 0;
}

/* Every first job of a chain that select had confirmed. */
static int confirmed_of (struct shard *schedule, struct choices *choices, struct strata_error *error)
{
    struct shard_iter it;
    int rc = 0;
    for (bool more = shard_iter_begin (schedule, &it, "job/", 4, NULL, 0); more && rc == 0; more = shard_iter_next (&it)) {
        Strata__Job *job = strata__job__unpack (NULL, it.value_size, it.value);
        if (!job)
            rc = strata_fail (error, "store %s: %.*s does not parse", shard_dir (schedule), (int)it.key_size,
                              (const char *)it.key);
        else if (job->proposal[0] && job->state != STRATA__JOB_STATE__JOB_PROPOSED) {
            choices->rows = select_grow (choices->rows, &choices->room, choices->count + 1, sizeof (*choices->rows));
            choices->rows[choices->count++] = (struct choice){ select_strdup (job->proposal), select_strdup (job->candidate) };
        }
        if (job)
            strata__job__free_unpacked (job, NULL);
    }
    shard_iter_end (&it);
    return rc;
}

static int by_proposal (const void *a, const void *b)
{
    const struct choice *x = a, *y = b;
    int order = strcmp (x->proposal, y->proposal);
    return order ? order : strcmp (x->candidate, y->candidate);
}

static int adopt (struct select_core *core, const struct choices *choices, int64_t now_us, uint64_t *proposals,
                  struct strata_error *error)
{
    const char **ids = select_calloc (choices->count + 1, sizeof (*ids));
    int rc = 0;
    for (size_t i = 0, n; i < choices->count && rc == 0; i += n) {
        for (n = 0; i + n < choices->count && strcmp (choices->rows[i + n].proposal, choices->rows[i].proposal) == 0; n++)
            ids[n] = choices->rows[i + n].candidate;
        rc = select_adopt (core, choices->rows[i].proposal, ids, n, now_us, error);
        ++*proposals;
    }
    free (ids);
    return rc;
}

int select_rebuild (struct rebuild *rebuild, struct strata_error *error)
{
    struct choices choices = { .rows = NULL };
    struct shard *schedule = NULL;
    uint64_t candidates = 0, proposals = 0;
    struct select_core *core = select_open (rebuild_shard (rebuild), rebuild_campaign (rebuild), error);
    if (!core)
        return -1;
    select_set_waiting_max (core, UINT64_MAX); /* nothing that was selected may be discarded before it is known to be */
    int rc = rebuild_stream (rebuild, "stage", rebuild_campaign (rebuild)->select.from, add, core, &candidates, error);
    if (rc == 0)
        rc = rebuild_peer (rebuild, "schedule-0", &schedule, error);
    if (rc == 0 && schedule)
        rc = confirmed_of (schedule, &choices, error);
    if (choices.count)
        qsort (choices.rows, choices.count, sizeof (*choices.rows), by_proposal);
    if (rc == 0)
        rc = adopt (core, &choices, rebuild_now_us (), &proposals, error);
    select_close (&core);
    shard_close (&schedule);
    for (size_t i = 0; i < choices.count; i++) {
        free (choices.rows[i].proposal);
        free (choices.rows[i].candidate);
    }
    if (rc == 0)
        rebuild_say (rebuild, "%" PRIu64 " candidates taken in again from staging; %zu selections in %" PRIu64
                     " confirmed proposals from the jobs of schedule", candidates, choices.count, proposals);
    free (choices.rows);
    /* The state as the service will find it. */
    if (rc == 0 && (core = select_open (rebuild_shard (rebuild), rebuild_campaign (rebuild), error))) {
        rc = select_verify (core, rebuild_shard (rebuild), rebuild_campaign (rebuild), error);
        select_close (&core);
    }
    else
        rc = -1;
    return rc;
}
