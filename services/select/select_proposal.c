/* select_proposal.c - select, then confirm: see select_core.h */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "quota.h"
#include "select_impl.h"

Strata__SelectProposal *proposal_get (struct select_core *self, const char *name)
{
    struct shard_key key;
    shard_key (&key, "prop/%s", name);
    return (Strata__SelectProposal *)shard_get_message (self->shard, &key, &strata__select_proposal__descriptor);
}

void proposal_put (struct select_core *self, const char *name, const Strata__SelectProposal *proposal)
{
    struct shard_key key;
    shard_key (&key, "prop/%s", name);
    shard_put_message (self->shard, &key, &proposal->base);
}

void proposal_free (Strata__SelectProposal *proposal)
{
    strata__select_proposal__free_unpacked (proposal, NULL);
}

void proposal_open (struct select_core *self, const char *name, int64_t lease_end_us)
{
    self->open = select_grow (self->open, &self->open_capacity, self->open_count + 1, sizeof (*self->open));
    size_t i = self->open_count++;
    for (; i > 0; i--) {
        const struct open_proposal *p = &self->open[i - 1];
        if (p->lease_end_us < lease_end_us || (p->lease_end_us == lease_end_us && strcmp (p->name, name) < 0))
            break;
        self->open[i] = *p;
    }
    self->open[i] = (struct open_proposal){ select_strdup (name), lease_end_us };
}

static void open_remove (struct select_core *self, const char *name)
{
    for (size_t i = 0; i < self->open_count; i++)
        if (strcmp (self->open[i].name, name) == 0) {
            free (self->open[i].name);
            self->open_count--;
            memmove (&self->open[i], &self->open[i + 1], (self->open_count - i) * sizeof (*self->open));
            return;
        }
}

/* Its candidates wait again, but for those that were invalidated meanwhile. */
static void expire (struct select_core *self, const char *name, int64_t now_us)
{
    Strata__SelectProposal *proposal = proposal_get (self, name);
    const char **ids = select_calloc (proposal->n_selections + 1, sizeof (*ids));
    const char **invalid = select_calloc (proposal->n_selections + 1, sizeof (*invalid));
    for (size_t q = 0; q < self->queues_count; q++) {
        struct queue *queue = &self->queues[q];
        size_t count = 0, invalid_count = 0;
        for (size_t i = 0; i < proposal->n_selections; i++) {
            const char *id = proposal->selections[i]->candidate;
            if (strcmp (proposal->selections[i]->queue, queue_name (queue)) != 0)
                continue;
            Strata__SelectCandidate *candidate = candidate_get (self, id);
            char *reason = select_strdup (candidate->reason);
            candidate_move (self, id, candidate, WAITING, "", 0, EVENT (EXPIRED), now_us);
            ids[count++] = id;
            if (*reason) {
                candidate_move (self, id, candidate, INVALID, reason, 0, EVENT (INVALIDATED), now_us);
                invalid[invalid_count++] = id;
            }
            free (reason);
            candidate_free (candidate);
        }
        if (count == 0)
            continue;
        queue->proposed -= count;
        queue->invalid += invalid_count;
        self->ops->release (queue->sampler, ids, count);
        if (invalid_count > 0)
            self->ops->remove (queue->sampler, invalid, invalid_count);
        queue_bound (self, queue, now_us);
    }
    proposal->state = STRATA__PROPOSAL_STATE__PROPOSAL_EXPIRED;
    proposal->changed_us = now_us;
    proposal_put (self, name, proposal);
    select_event (self, "selection-expired", name, "it was not confirmed in %u s; its %zu candidates wait again",
                  self->campaign->select.lease_s, proposal->n_selections);
    free (ids);
    free (invalid);
    proposal_free (proposal);
}

size_t select_expire (struct select_core *self, int64_t now_us)
{
    size_t count = 0;
    while (self->open_count > 0 && self->open[0].lease_end_us <= now_us) {
        char *name = select_strdup (self->open[0].name);
        open_remove (self, name);
        expire (self, name, now_us);
        free (name);
        count++;
    }
    return count;
}

void proposal_add (Strata__SelectProposal *proposal, const char *id, const Strata__SelectCandidate *candidate, double rank)
{
    Strata__Selection *selection = select_calloc (1, sizeof (*selection));
    strata__selection__init (selection);
    select_text_set (&selection->candidate, id);
    select_text_set (&selection->queue, candidate->queue);
    select_text_set (&selection->configuration, candidate->configuration);
    selection->rank = rank;
    proposal->selections[proposal->n_selections++] = selection;
}

struct picking {
    struct select_core *self;
    struct queue *queue;
    const char *name;
    Strata__SelectProposal *proposal;       /* has room */
    int64_t now_us;
};

/* What belongs to a bad snapshot is found out here at the latest: it is never proposed. */
static bool pick_one (const char *id, double rank, void *arg)
{
    struct picking *p = arg;
    struct select_core *self = p->self;
    Strata__SelectCandidate *candidate = candidate_get (self, id);
    Strata__SelectBadSnapshot *bad = snapshot_bad (self, candidate->simulation, candidate->index);
    if (bad) {
        candidate_move (self, id, candidate, INVALID, bad->reason, 0, EVENT (INVALIDATED), p->now_us);
        p->queue->invalid++;
        candidate_free (candidate);
        return false;
    }
    candidate_move (self, id, candidate, PROPOSED, p->name, rank, EVENT (PROPOSED), p->now_us);
    p->queue->proposed++;
    proposal_add (p->proposal, id, candidate, rank);
    candidate_free (candidate);
    return true;
}

/* Why there are fewer than asked for. */
static void note_fewer (const struct select_core *self, uint64_t got, uint32_t count, uint64_t most, char *note,
                        size_t size)
{
    struct select_stat all;
    select_stat (self, &all);
    if (got == most)
        snprintf (note, size, "%" PRIu64 " of %u: one proposal holds no more; ask for the rest by another", got, count);
    else if (got > 0)
        snprintf (note, size, "%" PRIu64 " of %u: no more candidates wait in queues with a quota above 0", got, count);
    else if (all.waiting > 0)
        snprintf (note, size,
                  "only candidates of queues with quota 0 (%" PRIu64 ") and invalid ones (%" PRIu64 ") are left",
                  all.waiting, all.invalid);
    else if (all.invalid > 0)
        snprintf (note, size, "only invalid candidates are left (%" PRIu64 ")", all.invalid);
    else
        snprintf (note, size, "no candidates wait");
}

/* An empty proposal when there is nothing to pick. */
static Strata__SelectProposal *proposal_new (struct select_core *self, const char *name, uint32_t count, int64_t now_us)
{
    struct quota_queue *shares = select_calloc (self->queues_count + 1, sizeof (*shares));
    for (size_t i = 0; i < self->queues_count; i++) {
        shares[i].quota = self->queues[i].campaign->quota;
        shares[i].candidates = queue_points (self, &self->queues[i])->waiting;
        shares[i].selected = points_selected (queue_points (self, &self->queues[i]));
    }
    uint64_t waiting = 1, most = SELECT_TURN_MAX;
    for (size_t i = 0; i < self->queues_count; i++)
        waiting += shares[i].candidates;
    if (most > SELECT_TURN_WORK / waiting)
        most = SELECT_TURN_WORK / waiting > 10 ? SELECT_TURN_WORK / waiting : 10;
    uint64_t got = quota_share (shares, self->queues_count, count < most ? count : most);
    Strata__SelectProposal *proposal = select_calloc (1, sizeof (*proposal));
    strata__select_proposal__init (proposal);
    char note[256] = "";
    if (got < count)
        note_fewer (self, got, count, most, note, sizeof (note));
    select_text_set (&proposal->note, note);
    proposal->count = count;
    proposal->proposed_us = proposal->changed_us = now_us;
    proposal->lease_end_us = now_us + (int64_t)self->campaign->select.lease_s * 1000000;
    proposal->selections = select_calloc (got + 1, sizeof (Strata__Selection *));
    for (size_t i = 0; i < self->queues_count; i++) {
        struct picking p = { self, &self->queues[i], name, proposal, now_us };
        if (shares[i].picks > 0)
            self->ops->pick (self->queues[i].sampler, shares[i].picks, pick_one, &p);
    }
    free (shares);
    return proposal;
}

/* Takes over the proposal's selections and note. */
static Strata__ProposeReply *reply_from (Strata__SelectProposal *proposal, int64_t now_us)
{
    Strata__ProposeReply *reply = select_calloc (1, sizeof (*reply));
    strata__propose_reply__init (reply);
    reply->n_selections = proposal->n_selections;
    reply->selections = proposal->selections;
    reply->note = proposal->note;
    if (proposal->n_selections > 0)
        reply->lease_ms = (uint32_t)((proposal->lease_end_us - now_us) / 1000);
    proposal->n_selections = 0;
    proposal->selections = NULL;
    proposal->note = (char *)protobuf_c_empty_string;
    return reply;
}

static int refused (Strata__RefusalCode *code, Strata__RefusalCode value)
{
    *code = value;
    return -1;
}

static int name_check (const char *name, Strata__RefusalCode *code, struct strata_error *error)
{
    if (producer_name_valid (name))
        return 0;
    strata_fail (error, "the proposal's name is not 1..200 bytes of printable ASCII without '/' at its ends");
    return refused (code, STRATA__REFUSAL_CODE__REFUSED_INVALID);
}

Strata__ProposeReply *select_propose (struct select_core *self, const char *name, uint32_t count, int64_t now_us,
                                      Strata__RefusalCode *code, struct strata_error *error)
{
    if (name_check (name, code, error) < 0)
        return NULL;
    if (count < 1 || count > SELECT_COUNT_MAX) {
        strata_fail (error, "proposal %s asks for %u candidates; allowed are 1..%u", name, count, SELECT_COUNT_MAX);
        refused (code, STRATA__REFUSAL_CODE__REFUSED_INVALID);
        return NULL;
    }
    select_expire (self, now_us);
    Strata__SelectProposal *proposal = proposal_get (self, name);
    if (proposal && proposal->state != STRATA__PROPOSAL_STATE__PROPOSAL_OPEN) {
        bool confirmed = proposal->state == STRATA__PROPOSAL_STATE__PROPOSAL_CONFIRMED;
        strata_fail (error, "proposal %s %s; ask under another name", name,
                     confirmed ? "was confirmed" : "was not confirmed before its lease ended and is forgotten");
        refused (code, STRATA__REFUSAL_CODE__REFUSED_STALE);
        proposal_free (proposal);
        return NULL;
    }
    if (!proposal) {
        proposal = proposal_new (self, name, count, now_us);
        if (proposal->n_selections > 0) {
            proposal_put (self, name, proposal);
            proposal_open (self, name, proposal->lease_end_us);
            select_event (self, "selection-proposed", name, "%zu candidates of %u asked for, to be confirmed in %u s%s%s",
                   proposal->n_selections, count, self->campaign->select.lease_s, *proposal->note ? "; " : "",
                   proposal->note);
        }
    }
    Strata__ProposeReply *reply = reply_from (proposal, now_us);
    proposal_free (proposal);
    return reply;
}

int select_confirm (struct select_core *self, const char *name, int64_t now_us, Strata__RefusalCode *code,
                    struct strata_error *error)
{
    if (name_check (name, code, error) < 0)
        return -1;
    select_expire (self, now_us);
    Strata__SelectProposal *proposal = proposal_get (self, name);
    if (!proposal) {
        strata_fail (error, "there is no proposal %s with candidates to confirm", name);
        return refused (code, STRATA__REFUSAL_CODE__REFUSED_NOT_FOUND);
    }
    int rc = 0;
    if (proposal->state == STRATA__PROPOSAL_STATE__PROPOSAL_EXPIRED) {
        strata_fail (error, "the lease of proposal %s was over before it was confirmed: forget it and ask anew", name);
        rc = refused (code, STRATA__REFUSAL_CODE__REFUSED_STALE);
    }
    else if (proposal->state == STRATA__PROPOSAL_STATE__PROPOSAL_OPEN) {
        for (size_t i = 0; i < proposal->n_selections; i++) {
            const Strata__Selection *s = proposal->selections[i];
            Strata__SelectCandidate *candidate = candidate_get (self, s->candidate);
            candidate_move (self, s->candidate, candidate, SELECTED, name, s->rank, EVENT (CONFIRMED), now_us);
            candidate_free (candidate);
            self->queues[queue_named (self, s->queue)].proposed--;
        }
        proposal->state = STRATA__PROPOSAL_STATE__PROPOSAL_CONFIRMED;
        proposal->changed_us = now_us;
        proposal_put (self, name, proposal);
        open_remove (self, name);
        select_event (self, "selection-confirmed", name, "%zu candidates are selected", proposal->n_selections);
    }
    proposal_free (proposal);
    return rc;
}

