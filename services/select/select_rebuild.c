/* select_rebuild.c - the shard made anew: candidates come from staging, what was confirmed stands in the jobs of schedule.
 *
 * Not had back, and not needed: proposals that were never confirmed (their candidates wait again, schedule asks again), the
 * ranks at which candidates were picked, the history's times, and which candidates were discarded (they wait again).
 *
 * What a person invalidated or imported nobody else knows. It is read from the damaged store itself: an imported candidate is
 * imported again, before what was selected is looked for; what was invalid is invalidated again, after that. What can't be read
 * there is said. */
#include "select_rebuild.h"

#include <inttypes.h>
#include <stdio.h>
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
                              candidate ? "does not wait"
                                        : "is neither in staging's stream nor among those imported that can still be read");
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

/* ---- what only the damaged store knows ---- */

struct told {
    struct candidate_told {
        char *id;
        Strata__SelectCandidate *value;
    } *rows; /* imported, or invalid, or invalid when it comes back */
    size_t count, room;
    Strata__SelectBadSnapshot **bad;
    size_t bad_count, bad_room;
    uint64_t imported, invalidated;
};

static void take_told (const uint8_t *key, size_t key_size, const uint8_t *value, size_t value_size, void *arg)
{
    struct told *told = arg;
    char id[PRODUCER_NAME_MAX + 1];
    if (key_size > 4 && memcmp (key, "bad/", 4) == 0) {
        Strata__SelectBadSnapshot *bad = strata__select_bad_snapshot__unpack (NULL, value_size, value);
        if (!bad)
            return;
        told->bad = select_grow (told->bad, &told->bad_room, told->bad_count + 1, sizeof (struct Strata__SelectBadSnapshot *));
        told->bad[told->bad_count++] = bad;
        return;
    }
    Strata__SelectCandidate *candidate = strata__select_candidate__unpack (NULL, value_size, value);
    if (!candidate || key_size <= 5 || key_size - 5 > PRODUCER_NAME_MAX || (!candidate->imported && !candidate->reason[0])) {
        if (candidate)
            candidate_free (candidate);
        return;
    }
    memcpy (id, key + 5, key_size - 5);
    id[key_size - 5] = '\0';
    told->rows = select_grow (told->rows, &told->room, told->count + 1, sizeof (*told->rows));
    told->rows[told->count++] = (struct candidate_told){ select_strdup (id), candidate };
}

static void told_fini (struct told *told)
{
    for (size_t i = 0; i < told->count; i++) {
        free (told->rows[i].id);
        candidate_free (told->rows[i].value);
    }
    for (size_t i = 0; i < told->bad_count; i++)
        strata__select_bad_snapshot__free_unpacked (told->bad[i], NULL);
    free (told->rows);
    free (told->bad);
}

/* As it came: what this campaign has selected of it since is found among the jobs. */
static int import_again (struct select_core *core, struct told *told, int64_t now_us, struct strata_error *error)
{
    for (size_t i = 0; i < told->count; i++) {
        Strata__SelectCandidate *value = told->rows[i].value;
        Strata__ImportedCandidate candidate = STRATA__IMPORTED_CANDIDATE__INIT, *list[] = { &candidate };
        Strata__Import request = STRATA__IMPORT__INIT;
        Strata__ImportReply reply;
        Strata__RefusalCode code;
        if (!value->imported)
            continue;
        bool before = (value->state == SELECTED && !value->proposal[0]) || value->state == DISCARDED;
        request.queue = value->queue;
        request.candidates = list;
        request.n_candidates = 1;
        candidate.id = told->rows[i].id;
        candidate.state = before ? value->state : WAITING;
        candidate.point = value->point;
        candidate.n_point = value->n_point;
        candidate.rank = value->rank;
        candidate.configuration = value->configuration;
        if (select_import (core, &request, now_us, &reply, &code, error) < 0 || reply.refused)
            return strata_fail (error, "candidate %s, which was imported, can't be imported again", candidate.id);
        told->imported += reply.added;
    }
    return 0;
}

static int invalidate (struct select_core *core, Strata__Invalidate *request, struct told *told, int64_t now_us,
                       struct strata_error *error)
{
    Strata__InvalidateReply reply;
    Strata__RefusalCode code;
    if (select_invalidate (core, request, now_us, &reply, &code, error) < 0)
        return -1;
    told->invalidated += reply.invalidated;
    while (!reply.complete && select_tick (core, now_us))
        ;
    return 0;
}

/* What is not waiting any more - it was selected, or came invalid - stays as it is. */
static int invalidate_again (struct select_core *core, struct told *told, int64_t now_us, struct strata_error *error)
{
    int rc = 0;
    for (size_t i = 0; i < told->count && rc == 0; i++) {
        Strata__Invalidate request = STRATA__INVALIDATE__INIT;
        if (!told->rows[i].value->reason[0])
            continue;
        request.candidates = &told->rows[i].id;
        request.n_candidates = 1;
        request.reason = told->rows[i].value->reason;
        rc = invalidate (core, &request, told, now_us, error);
    }
    for (size_t i = 0; i < told->bad_count && rc == 0; i++) {
        Strata__Invalidate request = STRATA__INVALIDATE__INIT;
        request.simulation = told->bad[i]->simulation;
        request.index = told->bad[i]->index;
        request.reason = told->bad[i]->reason;
        rc = invalidate (core, &request, told, now_us, error);
    }
    return rc;
}

/* ---- the whole ---- */

static void say_what (struct rebuild *rebuild, uint64_t candidates, size_t selections, uint64_t proposals, const struct told *told,
                      const struct rebuild_old *old)
{
    char missing[300] = "";
    if (old->changes_lost)
        snprintf (missing, sizeof (missing), "; its last %" PRIu64 " changes can't be read: an invalidation or an import among them "
                  "must be done again", old->changes_lost);
    else if (!old->whole)
        snprintf (missing, sizeof (missing), "; the damaged store could not be read to its end: what else was invalidated or imported "
                  "must be done again");
    rebuild_say (rebuild, "%" PRIu64 " candidates taken in again from staging; %zu selections in %" PRIu64 " confirmed proposals from "
                 "the jobs of schedule; from what can be read of the damaged store %" PRIu64 " imported candidates, %" PRIu64
                 " invalidated ones, %zu invalidated snapshots%s", candidates, selections, proposals, told->imported,
                 told->invalidated, told->bad_count, missing);
}

/* Candidates, then what was imported, then what was selected, then what was invalidated of the rest. */
static int fill (struct rebuild *rebuild, struct select_core *core, struct choices *choices, struct told *told,
                 struct rebuild_old *old, uint64_t *candidates, uint64_t *proposals, struct strata_error *error)
{
    static const char *const prefixes[] = { "bad/", "cand/", NULL };
    struct shard *schedule = NULL;
    int64_t now_us = rebuild_now_us ();
    int rc = rebuild_stream (rebuild, "stage", rebuild_campaign (rebuild)->select.from, add, core, candidates, error);
    if (rc == 0)
        rc = rebuild_old (rebuild, "select-0", prefixes, take_told, told, old, error);
    if (rc == 0)
        rc = import_again (core, told, now_us, error);
    if (rc == 0)
        rc = rebuild_peer (rebuild, "schedule-0", &schedule, error);
    if (rc == 0 && schedule)
        rc = confirmed_of (schedule, choices, error);
    one_each (choices);
    if (rc == 0)
        rc = adopt (core, choices, now_us, proposals, error);
    shard_close (&schedule);
    return rc;
}

int select_rebuild (struct rebuild *rebuild, struct strata_error *error)
{
    struct choices choices = { .rows = NULL };
    struct told told = { .rows = NULL };
    struct rebuild_old old = { .whole = false };
    uint64_t candidates = 0, proposals = 0;
    /* Without caps: nothing that was selected may be discarded before it is known to be. */
    struct campaign campaign = *rebuild_campaign (rebuild);
    campaign.select.queues = select_calloc (campaign.select.queues_count + 1, sizeof (*campaign.select.queues));
    for (unsigned i = 0; i < campaign.select.queues_count; i++) {
        campaign.select.queues[i] = rebuild_campaign (rebuild)->select.queues[i];
        campaign.select.queues[i].cap = 0;
    }
    struct select_core *core = select_open (rebuild_shard (rebuild), &campaign, error);
    int rc = core ? fill (rebuild, core, &choices, &told, &old, &candidates, &proposals, error) : -1;
    select_close (&core);
    free (campaign.select.queues);
    /* The state as the service will find it: what was adopted above is in the shard alone. */
    if (rc == 0 && !(core = select_open (rebuild_shard (rebuild), rebuild_campaign (rebuild), error)))
        rc = -1;
    if (rc == 0)
        rc = invalidate_again (core, &told, rebuild_now_us (), error);
    if (rc == 0)
        rc = select_verify (core, rebuild_shard (rebuild), rebuild_campaign (rebuild), error);
    select_close (&core);
    if (rc == 0) {
        say_what (rebuild, candidates, choices.count, proposals, &told, &old);
        rc = !old.whole || old.changes_lost;
    }
    for (size_t i = 0; i < choices.count; i++)
        choice_free (&choices.rows[i]);
    free (choices.rows);
    told_fini (&told);
    return rc;
}
