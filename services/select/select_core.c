/* select_core.c - see select_core.h */
#include "select_core.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "core/log.h"
#include "farthest_point.h"
#include "nearest.h"
#include "quota.h"
#include "store/stream.h"

#define POINT_KEPT_MAX 64u      /* coordinates of an invalid point that are kept */
#define CONFIGURATION_MAX 64u   /* bytes */

struct queue {
    const struct campaign_queue *campaign;  /* NULL: the last one, for what no queue takes */
    void *sampler;                          /* NULL with it */
    uint64_t proposed, discarded, invalid;
};

struct open_proposal {
    char *name;
    int64_t lease_end_us;
};

struct select_core {
    struct shard *shard;
    const struct campaign *campaign;
    const struct sampler_ops *ops;
    struct queue *queues;                   /* [queues_count + 1] */
    size_t queues_count;
    struct open_proposal *open;             /* earliest lease end first */
    size_t open_count, open_capacity;
    uint64_t duplicates, refused, waiting_max;
    select_event_f *event;
    void *event_arg;
};

#define WAITING STRATA__CANDIDATE_STATE__CANDIDATE_WAITING
#define PROPOSED STRATA__CANDIDATE_STATE__CANDIDATE_PROPOSED
#define SELECTED STRATA__CANDIDATE_STATE__CANDIDATE_SELECTED
#define DISCARDED STRATA__CANDIDATE_STATE__CANDIDATE_DISCARDED
#define INVALID STRATA__CANDIDATE_STATE__CANDIDATE_INVALID
#define EVENT(kind) STRATA__SELECT_EVENT_KIND__SELECT_##kind

/* Moves of a candidate after it was added: bits of the states that may follow. */
static const unsigned moves[] = {
    [WAITING] = 1u << PROPOSED | 1u << DISCARDED,
    [PROPOSED] = 1u << SELECTED | 1u << WAITING,
    [SELECTED] = 0,
    [DISCARDED] = 0,
    [INVALID] = 0,
};

/* ---- outputs ---- */

static void event (struct select_core *self, const char *kind, const char *subject, const char *fmt, ...)
    __attribute__ ((format (printf, 4, 5)));

static void event (struct select_core *self, const char *kind, const char *subject, const char *fmt, ...)
{
    if (!self->event)
        return;
    char text[512];
    va_list ap;
    va_start (ap, fmt);
    vsnprintf (text, sizeof (text), fmt, ap);
    va_end (ap);
    self->event (kind, subject, text, self->event_arg);
}

static void history (struct select_core *self, Strata__SelectEvent *record, int64_t now_us)
{
    record->time_us = now_us;
    size_t size = strata__select_event__get_packed_size (record);
    uint8_t *bytes = select_calloc (size + 1, 1);
    strata__select_event__pack (record, bytes);
    struct strata_error error;
    if (stream_append (self->shard, SELECT_HISTORY, NULL, 0, bytes, size, now_us, NULL, &error) < 0)
        log_error ("history: %s", error.text);
    free (bytes);
}

/* ---- candidates in the shard ---- */

static void candidate_put (struct select_core *self, const char *id, const Strata__SelectCandidate *candidate)
{
    struct shard_key key;
    shard_key (&key, "cand/%s", id);
    shard_put_message (self->shard, &key, &candidate->base);
}

static Strata__SelectCandidate *candidate_get (struct select_core *self, const char *id)
{
    struct shard_key key;
    shard_key (&key, "cand/%s", id);
    return (Strata__SelectCandidate *)shard_get_message (self->shard, &key, &strata__select_candidate__descriptor);
}

static void candidate_free (Strata__SelectCandidate *candidate)
{
    strata__select_candidate__free_unpacked (candidate, NULL);
}

static void text_set (char **field, const char *text)
{
    if (*field != protobuf_c_empty_string)
        free (*field);
    *field = *text ? select_strdup (text) : (char *)protobuf_c_empty_string;
}

/* Moves a stored candidate; the record of the move goes to the history. Memory and shard would tell different stories
 * if a move was not allowed: then the store is damaged and the process ends. */
static void candidate_move (struct select_core *self, const char *id, Strata__CandidateState to, const char *proposal,
                            double rank, Strata__SelectEventKind kind, int64_t now_us)
{
    Strata__SelectCandidate *candidate = candidate_get (self, id);
    if (!candidate || (unsigned)candidate->state > INVALID || !(moves[candidate->state] & 1u << to)) {
        shard_damaged (self->shard, "candidate %s can't go from state %d to %d", id,
                       candidate ? (int)candidate->state : -1, (int)to);
    }
    Strata__SelectEvent record = STRATA__SELECT_EVENT__INIT;
    record.kind = kind;
    record.candidate = (char *)id;
    record.queue = candidate->queue;
    record.proposal = to == WAITING ? candidate->proposal : (char *)proposal;
    record.rank = rank;
    history (self, &record, now_us);
    candidate->state = to;
    candidate->rank = rank;
    candidate->changed_us = now_us;
    text_set (&candidate->proposal, to == WAITING ? "" : proposal);
    candidate_put (self, id, candidate);
    candidate_free (candidate);
}

/* ---- queues ---- */

/* Index of the queue that takes a configuration; queues_count: none. */
static size_t queue_for (const struct select_core *self, const char *configuration)
{
    size_t other = self->queues_count;
    for (size_t i = 0; i < self->queues_count; i++) {
        const char *takes = self->queues[i].campaign->configuration;
        if (strcmp (takes, configuration) == 0)
            return i;
        if (other == self->queues_count && strcmp (takes, "other") == 0)
            other = i;
    }
    /* What is invalid is no "other" kind of valid candidate. */
    return strcmp (configuration, "invalid") == 0 ? self->queues_count : other;
}

/* Index of the queue with a name; "" is the one for what no queue takes. SIZE_MAX: there is none. */
static size_t queue_named (const struct select_core *self, const char *name)
{
    if (!*name)
        return self->queues_count;
    for (size_t i = 0; i < self->queues_count; i++)
        if (strcmp (self->queues[i].campaign->name, name) == 0)
            return i;
    return SIZE_MAX;
}

static const char *queue_name (const struct queue *queue)
{
    return queue->campaign ? queue->campaign->name : "";
}

struct discarding {
    struct select_core *self;
    int64_t now_us;
};

static void discard_one (const char *id, double rank, void *arg)
{
    struct discarding *d = arg;
    candidate_move (d->self, id, DISCARDED, "", rank, EVENT (DISCARDED), d->now_us);
}

/* Keeps memory bounded, as the queues of the paper are: at the bound the lowest ranked tenth goes. */
static void queue_bound (struct select_core *self, struct queue *queue, int64_t now_us)
{
    if (self->ops->waiting (queue->sampler) <= self->waiting_max)
        return;
    struct discarding d = { self, now_us };
    size_t count = self->ops->drop (queue->sampler, self->waiting_max / 10 + 1, discard_one, &d);
    queue->discarded += count;
    event (self, "selection-discarded", queue_name (queue),
           "queue %s reached its bound of %" PRIu64 " candidates; the %zu with the lowest ranks are discarded",
           queue_name (queue), self->waiting_max, count);
}

/* ---- adding ---- */

static bool text_valid (const char *text, size_t max)
{
    size_t n = strlen (text);
    for (size_t i = 0; i < n; i++)
        if (text[i] < ' ' || text[i] > '~')
            return false;
    return n <= max;
}

/* Whether the point can be ranked; else why not. */
static bool point_valid (const struct select_core *self, const Strata__Candidate *candidate, char *why, size_t why_size)
{
    unsigned dimensions = self->campaign->patch.encoder.dimensions;
    if (candidate->n_point != dimensions) {
        snprintf (why, why_size, "the point has %zu coordinates, the campaign's encoder gives %u", candidate->n_point,
                  dimensions);
        return false;
    }
    for (size_t i = 0; i < candidate->n_point; i++)
        if (!isfinite (candidate->point[i]) || fabs ((double)candidate->point[i]) > NEAREST_COORDINATE_MAX) {
            snprintf (why, why_size, "coordinate %zu of the point is %g; it must be a number within +-%g", i + 1,
                      (double)candidate->point[i], NEAREST_COORDINATE_MAX);
            return false;
        }
    return true;
}

/* Whether it can be ranked and picked; else why not. *queue: index of its queue. */
static bool judge (const struct select_core *self, const Strata__Candidate *candidate, size_t *queue, char *why,
                   size_t why_size)
{
    *queue = self->queues_count;
    if (!text_valid (candidate->configuration, CONFIGURATION_MAX)
        || !text_valid (candidate->simulation, PRODUCER_NAME_MAX)) {
        snprintf (why, why_size, "its configuration or simulation is no text of printable ASCII within %u and %u bytes",
                  CONFIGURATION_MAX, (unsigned)PRODUCER_NAME_MAX);
        return false;
    }
    *queue = queue_for (self, candidate->configuration);
    bool called_invalid = strcmp (candidate->configuration, "invalid") == 0 || *candidate->reason;
    if (called_invalid) {
        const struct campaign_queue *c = self->queues[*queue].campaign;
        if (c && strcmp (c->configuration, "invalid") == 0 && c->quota > 0)
            return point_valid (self, candidate, why, why_size);
        snprintf (why, why_size, "%s", *candidate->reason ? candidate->reason : "its producer calls it invalid");
        return false;
    }
    if (*queue == self->queues_count) {
        snprintf (why, why_size, "no queue of the campaign takes configuration '%s'", candidate->configuration);
        return false;
    }
    return point_valid (self, candidate, why, why_size);
}

void select_refuse (struct select_core *self, const char *why, int64_t now_us)
{
    Strata__SelectEvent record = STRATA__SELECT_EVENT__INIT;
    record.kind = EVENT (REFUSED);
    record.reason = (char *)why;
    history (self, &record, now_us);
    shard_put_u64 (self->shard, "count/refused", ++self->refused);
}

Strata__SelectEventKind select_add (struct select_core *self, const Strata__Candidate *candidate, int64_t now_us)
{
    if (!producer_name_valid (candidate->id)) {
        select_refuse (self, "a candidate's id is not 1..200 bytes of printable ASCII without '/' at its ends", now_us);
        return EVENT (REFUSED);
    }
    Strata__SelectEvent record = STRATA__SELECT_EVENT__INIT;
    record.candidate = candidate->id;
    struct shard_key key;
    shard_key (&key, "cand/%s", candidate->id);
    if (shard_has (self->shard, key.data, key.size)) {
        record.kind = EVENT (DUPLICATE);
        history (self, &record, now_us);
        shard_put_u64 (self->shard, "count/duplicates", ++self->duplicates);
        return record.kind;
    }

    char why[SELECT_REASON_MAX + 1] = "";
    size_t index;
    bool good = judge (self, candidate, &index, why, sizeof (why));
    struct queue *queue = &self->queues[index];

    Strata__SelectCandidate value = STRATA__SELECT_CANDIDATE__INIT;
    value.state = good ? WAITING : INVALID;
    value.queue = (char *)queue_name (queue);
    if (text_valid (candidate->configuration, CONFIGURATION_MAX))
        value.configuration = candidate->configuration;
    if (text_valid (candidate->simulation, PRODUCER_NAME_MAX))
        value.simulation = candidate->simulation;
    if (candidate->n_point <= POINT_KEPT_MAX || good) {
        value.n_point = candidate->n_point;
        value.point = candidate->point;
    }
    value.index = candidate->index;
    value.reason = good ? "" : why;
    value.added_us = value.changed_us = now_us;
    candidate_put (self, candidate->id, &value);

    record.kind = good ? EVENT (ADDED) : EVENT (INVALID);
    record.queue = value.queue;
    record.reason = value.reason;
    history (self, &record, now_us);
    if (good) {
        self->ops->add (queue->sampler, candidate->id, candidate->point);
        queue_bound (self, queue, now_us);
    }
    else
        queue->invalid++;
    return record.kind;
}

/* ---- proposals ---- */

static Strata__SelectProposal *proposal_get (struct select_core *self, const char *name)
{
    struct shard_key key;
    shard_key (&key, "prop/%s", name);
    return (Strata__SelectProposal *)shard_get_message (self->shard, &key, &strata__select_proposal__descriptor);
}

static void proposal_put (struct select_core *self, const char *name, const Strata__SelectProposal *proposal)
{
    struct shard_key key;
    shard_key (&key, "prop/%s", name);
    shard_put_message (self->shard, &key, &proposal->base);
}

static void proposal_free (Strata__SelectProposal *proposal)
{
    strata__select_proposal__free_unpacked (proposal, NULL);
}

static void open_insert (struct select_core *self, const char *name, int64_t lease_end_us)
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

/* Its candidates wait again. */
static void expire (struct select_core *self, const char *name, int64_t now_us)
{
    Strata__SelectProposal *proposal = proposal_get (self, name);
    const char **ids = select_calloc (proposal->n_selections + 1, sizeof (*ids));
    for (size_t q = 0; q < self->queues_count; q++) {
        struct queue *queue = &self->queues[q];
        size_t count = 0;
        for (size_t i = 0; i < proposal->n_selections; i++)
            if (strcmp (proposal->selections[i]->queue, queue_name (queue)) == 0)
                ids[count++] = proposal->selections[i]->candidate;
        if (count == 0)
            continue;
        for (size_t i = 0; i < count; i++)
            candidate_move (self, ids[i], WAITING, "", 0, EVENT (EXPIRED), now_us);
        queue->proposed -= count;
        self->ops->release (queue->sampler, ids, count);
        queue_bound (self, queue, now_us);
    }
    proposal->state = STRATA__PROPOSAL_STATE__PROPOSAL_EXPIRED;
    proposal->changed_us = now_us;
    proposal_put (self, name, proposal);
    event (self, "selection-expired", name, "it was not confirmed in %u s; its %zu candidates wait again",
           self->campaign->select.lease_s, proposal->n_selections);
    free (ids);
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

/* Picks `count` of one queue and adds them to the proposal, which has room. */
static void pick (struct select_core *self, struct queue *queue, uint64_t count, const char *name,
                  Strata__SelectProposal *proposal, int64_t now_us)
{
    for (uint64_t n = 0; n < count; n++) {
        double rank = 0;
        const char *id = self->ops->pick (queue->sampler, &rank);
        if (!id)
            return;     /* the quota rule gives no more than wait */
        candidate_move (self, id, PROPOSED, name, rank, EVENT (PROPOSED), now_us);
        queue->proposed++;
        Strata__SelectCandidate *candidate = candidate_get (self, id);
        Strata__Selection *selection = select_calloc (1, sizeof (*selection));
        strata__selection__init (selection);
        text_set (&selection->candidate, id);
        text_set (&selection->queue, candidate->queue);
        text_set (&selection->configuration, candidate->configuration);
        selection->rank = rank;
        proposal->selections[proposal->n_selections++] = selection;
        candidate_free (candidate);
    }
}

/* Why there are fewer than asked for. */
static void note_fewer (const struct select_core *self, uint64_t got, uint32_t count, char *note, size_t size)
{
    struct select_stat all;
    select_stat (self, &all);
    if (got > 0)
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
        shares[i].candidates = self->ops->waiting (self->queues[i].sampler);
        shares[i].selected = self->ops->selected (self->queues[i].sampler);
    }
    uint64_t got = quota_share (shares, self->queues_count, count);
    Strata__SelectProposal *proposal = select_calloc (1, sizeof (*proposal));
    strata__select_proposal__init (proposal);
    char note[256] = "";
    if (got < count)
        note_fewer (self, got, count, note, sizeof (note));
    text_set (&proposal->note, note);
    proposal->count = count;
    proposal->proposed_us = proposal->changed_us = now_us;
    proposal->lease_end_us = now_us + (int64_t)self->campaign->select.lease_s * 1000000;
    proposal->selections = select_calloc (got + 1, sizeof (Strata__Selection *));
    for (size_t i = 0; i < self->queues_count; i++)
        pick (self, &self->queues[i], shares[i].picks, name, proposal, now_us);
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
            open_insert (self, name, proposal->lease_end_us);
            event (self, "selection-proposed", name, "%zu candidates of %u asked for, to be confirmed in %u s%s%s",
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
            candidate_move (self, s->candidate, SELECTED, name, s->rank, EVENT (CONFIRMED), now_us);
            self->queues[queue_named (self, s->queue)].proposed--;
        }
        proposal->state = STRATA__PROPOSAL_STATE__PROPOSAL_CONFIRMED;
        proposal->changed_us = now_us;
        proposal_put (self, name, proposal);
        open_remove (self, name);
        event (self, "selection-confirmed", name, "%zu candidates are selected", proposal->n_selections);
    }
    proposal_free (proposal);
    return rc;
}

/* ---- figures ---- */

void select_queue_stat (const struct select_core *self, size_t i, struct select_stat *stat)
{
    const struct queue *queue = &self->queues[i];
    *stat = (struct select_stat){ 0 };
    stat->proposed = queue->proposed;
    stat->discarded = queue->discarded;
    stat->invalid = queue->invalid;
    if (queue->sampler) {
        stat->waiting = self->ops->waiting (queue->sampler);
        stat->selected = self->ops->selected (queue->sampler) - queue->proposed;
    }
}

void select_stat (const struct select_core *self, struct select_stat *stat)
{
    *stat = (struct select_stat){ 0 };
    for (size_t i = 0; i <= self->queues_count; i++) {
        struct select_stat one;
        select_queue_stat (self, i, &one);
        stat->waiting += one.waiting;
        stat->proposed += one.proposed;
        stat->selected += one.selected;
        stat->discarded += one.discarded;
        stat->invalid += one.invalid;
    }
}

uint64_t select_duplicates (const struct select_core *self)
{
    return self->duplicates;
}

uint64_t select_refused (const struct select_core *self)
{
    return self->refused;
}

size_t select_open_proposals (const struct select_core *self)
{
    return self->open_count;
}

uint64_t select_waiting_max (const struct select_core *self)
{
    return self->waiting_max;
}

size_t select_bytes (const struct select_core *self)
{
    size_t bytes = sizeof (*self) + self->open_capacity * sizeof (*self->open);
    for (size_t i = 0; i < self->queues_count; i++)
        bytes += self->ops->bytes (self->queues[i].sampler);
    return bytes;
}

/* ---- opening ---- */

/* One stored candidate into memory. */
static int load_candidate (struct select_core *self, const char *id, const Strata__SelectCandidate *candidate,
                           struct strata_error *error)
{
    size_t index = queue_named (self, candidate->queue);
    if (index == SIZE_MAX)
        return strata_fail (error, "candidate %s is in queue %s, which the campaign file no longer has; put it back",
                            id, candidate->queue);
    struct queue *queue = &self->queues[index];
    bool ranked = candidate->state == WAITING || candidate->state == PROPOSED || candidate->state == SELECTED;
    unsigned dimensions = self->campaign->patch.encoder.dimensions;
    if (ranked && (!queue->sampler || candidate->n_point != dimensions))
        return strata_fail (error, "candidate %s has a point of %zu coordinates, the campaign's encoder now gives %u; "
                                   "use the encoder it began with", id, candidate->n_point, dimensions);
    if (ranked)
        self->ops->load (queue->sampler, id, candidate->point, candidate->state != WAITING);
    queue->proposed += candidate->state == PROPOSED;
    queue->discarded += candidate->state == DISCARDED;
    queue->invalid += candidate->state == INVALID;
    return 0;
}

static int load_proposal (struct select_core *self, const char *name, const Strata__SelectProposal *proposal,
                          struct strata_error *error)
{
    if (proposal->state == STRATA__PROPOSAL_STATE__PROPOSAL_OPEN)
        open_insert (self, name, proposal->lease_end_us);
    return 0;
}

/* Hands each value under a prefix to one of the two above. */
static int load_all (struct select_core *self, const char *prefix, const ProtobufCMessageDescriptor *descriptor,
                     bool candidates, struct strata_error *error)
{
    struct shard_iter it;
    size_t prefix_size = strlen (prefix);
    int rc = 0;
    for (bool more = shard_iter_begin (self->shard, &it, prefix, prefix_size, NULL, 0); more && rc == 0;
         more = shard_iter_next (&it)) {
        char name[PRODUCER_NAME_MAX + 1];
        size_t n = it.key_size - prefix_size;
        ProtobufCMessage *message = protobuf_c_message_unpack (descriptor, NULL, it.value_size, it.value);
        if (n > PRODUCER_NAME_MAX || !message) {
            rc = strata_fail (error, "the store of select is damaged: key %.*s; 'strata repair' makes it anew",
                              (int)it.key_size, (const char *)it.key);
            errno = EBADMSG;
        }
        else {
            memcpy (name, it.key + prefix_size, n);
            name[n] = '\0';
            rc = candidates ? load_candidate (self, name, (Strata__SelectCandidate *)message, error)
                            : load_proposal (self, name, (Strata__SelectProposal *)message, error);
        }
        if (message)
            protobuf_c_message_free_unpacked (message, NULL);
    }
    shard_iter_end (&it);
    return rc;
}

/* Every candidate of an open proposal is proposed, and no other one is. */
static int check_open (struct select_core *self, struct strata_error *error)
{
    uint64_t members = 0;
    struct select_stat all;
    for (size_t i = 0; i < self->open_count; i++) {
        Strata__SelectProposal *proposal = proposal_get (self, self->open[i].name);
        for (size_t j = 0; j < proposal->n_selections; j++) {
            Strata__SelectCandidate *candidate = candidate_get (self, proposal->selections[j]->candidate);
            members += candidate && candidate->state == PROPOSED
                && strcmp (candidate->proposal, self->open[i].name) == 0
                && strcmp (candidate->queue, proposal->selections[j]->queue) == 0;
            if (candidate)
                candidate_free (candidate);
        }
        proposal_free (proposal);
    }
    select_stat (self, &all);
    if (members == all.proposed)
        return 0;
    errno = EBADMSG;
    return strata_fail (error, "the store of select is damaged: %" PRIu64 " candidates are proposed, open proposals "
                               "hold %" PRIu64 "; 'strata repair' makes it anew", all.proposed, members);
}

struct select_core *select_open (struct shard *shard, const struct campaign *campaign, struct strata_error *error)
{
    struct select_core *self = select_calloc (1, sizeof (*self));
    self->shard = shard;
    self->campaign = campaign;
    self->ops = &farthest_point_sampler;
    self->queues_count = campaign->select.queues_count;
    self->queues = select_calloc (self->queues_count + 1, sizeof (*self->queues));
    struct sampler_options options = { campaign->patch.encoder.dimensions, campaign->select.k, campaign->seed };
    self->waiting_max = SELECT_QUEUE_BYTES / self->ops->candidate_bytes (&options);
    for (size_t i = 0; i < self->queues_count; i++) {
        self->queues[i].campaign = &campaign->select.queues[i];
        self->queues[i].sampler = self->ops->create (&options, error);
        if (!self->queues[i].sampler) {
            select_close (&self);
            return NULL;
        }
    }
    if (load_all (self, "cand/", &strata__select_candidate__descriptor, true, error) < 0
        || load_all (self, "prop/", &strata__select_proposal__descriptor, false, error) < 0
        || check_open (self, error) < 0) {
        select_close (&self);
        return NULL;
    }
    for (size_t i = 0; i < self->queues_count; i++)
        self->ops->ready (self->queues[i].sampler);
    self->duplicates = shard_get_u64 (shard, "count/duplicates", 0);
    self->refused = shard_get_u64 (shard, "count/refused", 0);
    return self;
}

void select_close (struct select_core **self)
{
    if (!*self)
        return;
    for (size_t i = 0; i < (*self)->queues_count; i++)
        if ((*self)->queues[i].sampler)
            (*self)->ops->destroy ((*self)->queues[i].sampler);
    for (size_t i = 0; i < (*self)->open_count; i++)
        free ((*self)->open[i].name);
    free ((*self)->open);
    free ((*self)->queues);
    free (*self);
    *self = NULL;
}

void select_on_event (struct select_core *self, select_event_f *each, void *arg)
{
    self->event = each;
    self->event_arg = arg;
}

void select_set_waiting_max (struct select_core *self, uint64_t waiting_max)
{
    self->waiting_max = waiting_max;
}
