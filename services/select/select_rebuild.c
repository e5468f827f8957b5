/* select_rebuild.c - the shard made anew: candidates come from staging, what was confirmed stands in the jobs of schedule.
 *
 * Not had back, and not needed: proposals that were never confirmed (their candidates wait again, schedule asks again), the
 * ranks at which candidates were picked, the history's times, and which candidates were discarded (they wait again). Not
 * had back, and said: what a person invalidated or imported. */
#include "select_rebuild.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "schedule.pb-c.h"
#include "select_impl.h"

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

/* Of every chain that select had confirmed: each of its jobs names the proposal. */
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

static void choice_free (struct choice *choice)
{
    free (choice->proposal);
    free (choice->candidate);
}

static void one_each (struct choices *choices)
{
    size_t kept = 0;
    if (choices->count)
        qsort (choices->rows, choices->count, sizeof (*choices->rows), by_proposal);
    for (size_t i = 0; i < choices->count; i++)
        if (kept && by_proposal (&choices->rows[kept - 1], &choices->rows[i]) == 0)
            choice_free (&choices->rows[i]);
        else
            choices->rows[kept++] = choices->rows[i];
    choices->count = kept;
}

/* One proposal as it was confirmed. Only the shard is changed: the core is closed then, and opened anew. */
static int adopt_one (struct select_core *core, const struct choice *choices, size_t count, int64_t now_us,
                      struct strata_error *error)
{
    const char *name = choices[0].proposal;
    Strata__SelectProposal *proposal = select_calloc (1, sizeof (*proposal));
    strata__select_proposal__init (proposal);
    proposal->state = STRATA__PROPOSAL_STATE__PROPOSAL_CONFIRMED;
    proposal->count = (uint32_t)count;
    proposal->proposed_us = proposal->lease_end_us = proposal->changed_us = now_us;
    proposal->selections = select_calloc (count + 1, sizeof (Strata__Selection *));
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        const char *id = choices[i].candidate;
        Strata__SelectCandidate *candidate = candidate_get (core, id);
        if (!candidate || candidate->state != WAITING)
            rc = strata_fail (error, "candidate %s, selected in proposal %s, %s", id, name,
                              candidate ? "does not wait" : "is not in staging's stream");
        else {
            proposal_add (proposal, id, candidate, 0);
            candidate_move (core, id, candidate, PROPOSED, name, 0, EVENT (PROPOSED), now_us);
            candidate_move (core, id, candidate, SELECTED, name, 0, EVENT (CONFIRMED), now_us);
        }
        if (candidate)
            candidate_free (candidate);
    }
    if (rc == 0)
        proposal_put (core, name, proposal);
    proposal_free (proposal);
    return rc;
}

static int adopt (struct select_core *core, const struct choices *choices, int64_t now_us, uint64_t *proposals,
                  struct strata_error *error)
{
    int rc = 0;
    for (size_t i = 0, n; i < choices->count && rc == 0; i += n) {
        for (n = 1; i + n < choices->count && strcmp (choices->rows[i + n].proposal, choices->rows[i].proposal) == 0; n++)
            ;
        rc = adopt_one (core, choices->rows + i, n, now_us, error);
        ++*proposals;
    }
    return rc;
}

int select_rebuild (struct rebuild *rebuild, struct strata_error *error)
{
    struct choices choices = { .rows = NULL };
    struct shard *schedule = NULL;
    uint64_t candidates = 0, proposals = 0;
    /* Without caps: nothing that was selected may be discarded before it is known to be. */
    struct campaign campaign = *rebuild_campaign (rebuild);
    campaign.select.queues = select_calloc (campaign.select.queues_count + 1, sizeof (*campaign.select.queues));
    for (unsigned i = 0; i < campaign.select.queues_count; i++) {
        campaign.select.queues[i] = rebuild_campaign (rebuild)->select.queues[i];
        campaign.select.queues[i].cap = 0;
    }
    struct select_core *core = select_open (rebuild_shard (rebuild), &campaign, error);
    if (!core) {
        free (campaign.select.queues);
        return -1;
    }
    int rc = rebuild_stream (rebuild, "stage", rebuild_campaign (rebuild)->select.from, add, core, &candidates, error);
    if (rc == 0)
        rc = rebuild_peer (rebuild, "schedule-0", &schedule, error);
    if (rc == 0 && schedule)
        rc = confirmed_of (schedule, &choices, error);
    one_each (&choices);
    if (rc == 0)
        rc = adopt (core, &choices, rebuild_now_us (), &proposals, error);
    select_close (&core);
    free (campaign.select.queues);
    shard_close (&schedule);
    for (size_t i = 0; i < choices.count; i++)
        choice_free (&choices.rows[i]);
    if (rc == 0)
        rebuild_say (rebuild, "%" PRIu64 " candidates taken in again from staging; %zu selections in %" PRIu64
                     " confirmed proposals from the jobs of schedule; what was invalidated or imported nobody else knows: "
                     "do that again, if there was anything", candidates, choices.count, proposals);
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
