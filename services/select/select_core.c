/* select_core.c - see select_core.h. Candidates, queues, figures. */
#include "select_core.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "core/log.h"
#include "select_impl.h"
#include "store/stream.h"

/* Moves of a candidate after it was added: bits of the states that may follow. */
static const unsigned moves[] = {
    [WAITING] = 1u << PROPOSED | 1u << DISCARDED | 1u << INVALID,
    [PROPOSED] = 1u << SELECTED | 1u << WAITING,
    [SELECTED] = 0,
    [DISCARDED] = 0,
    [INVALID] = 0,
};

/* ---- outputs ---- */

void select_event (struct select_core *self, const char *kind, const char *subject, const char *fmt, ...)
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

void select_record (struct select_core *self, Strata__SelectEvent *record, int64_t now_us)
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

void candidate_put (struct select_core *self, const char *id, const Strata__SelectCandidate *candidate)
{
    struct shard_key key;
    shard_key (&key, "cand/%s", id);
    shard_put_message (self->shard, &key, &candidate->base);
}

Strata__SelectCandidate *candidate_get (struct select_core *self, const char *id)
{
    struct shard_key key;
    shard_key (&key, "cand/%s", id);
    return (Strata__SelectCandidate *)shard_get_message (self->shard, &key, &strata__select_candidate__descriptor);
}

void candidate_free (Strata__SelectCandidate *candidate)
{
    strata__select_candidate__free_unpacked (candidate, NULL);
}

void select_text_set (char **field, const char *text)
{
    if (*field != protobuf_c_empty_string)
        free (*field);
    *field = *text ? select_strdup (text) : (char *)protobuf_c_empty_string;
}

void candidate_move (struct select_core *self, const char *id, Strata__SelectCandidate *candidate,
                     Strata__CandidateState to, const char *text, double rank, Strata__SelectEventKind kind,
                     int64_t now_us)
{
    if (!candidate || (unsigned)candidate->state > INVALID || !(moves[candidate->state] & 1u << to)) {
        shard_damaged (self->shard, "candidate %s can't go from state %d to %d", id,
                       candidate ? (int)candidate->state : -1, (int)to);
    }
    const char *reason = to == INVALID ? text : "", *proposal = to == PROPOSED || to == SELECTED ? text : "";
    Strata__SelectEvent record = STRATA__SELECT_EVENT__INIT;
    record.kind = kind;
    record.candidate = (char *)id;
    record.queue = candidate->queue;
    record.proposal = to == WAITING ? candidate->proposal : (char *)proposal;
    record.rank = rank;
    record.reason = (char *)reason;
    select_record (self, &record, now_us);
    candidate->state = to;
    candidate->rank = rank;
    candidate->changed_us = now_us;
    select_text_set (&candidate->proposal, proposal);
    select_text_set (&candidate->reason, reason);
    candidate_put (self, id, candidate);
}

/* ---- queues ---- */

/* Blanks separate patterns. */
static bool pattern_takes (const char *patterns, const char *configuration)
{
    for (const char *end; *patterns; patterns = end + (*end != '\0')) {
        char one[256];
        end = strchrnul (patterns, ' ');
        snprintf (one, sizeof (one), "%.*s", (int)(end - patterns), patterns);
        if (fnmatch (one, configuration, 0) == 0)
            return true;
    }
    return false;
}

/* Index of the queue that takes a configuration; queues_count: none. */
static size_t queue_for (const struct select_core *self, const char *configuration)
{
    bool invalid = strcmp (configuration, "invalid") == 0;
    size_t other = self->queues_count;
    for (size_t i = 0; i < self->queues_count; i++) {
        const char *takes = self->queues[i].campaign->configuration;
        /* What is invalid is taken by its own name only. */
        if (invalid ? strcmp (takes, configuration) == 0 : pattern_takes (takes, configuration))
            return i;
        if (other == self->queues_count && strcmp (takes, "other") == 0)
            other = i;
    }
    return invalid ? self->queues_count : other;
}

size_t queue_named (const struct select_core *self, const char *name)
{
    if (!*name)
        return self->queues_count;
    for (size_t i = 0; i < self->queues_count; i++)
        if (strcmp (self->queues[i].campaign->name, name) == 0)
            return i;
    return SIZE_MAX;
}

const char *queue_name (const struct queue *queue)
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
    Strata__SelectCandidate *candidate = candidate_get (d->self, id);
    candidate_move (d->self, id, candidate, DISCARDED, "", rank, EVENT (DISCARDED), d->now_us);
    candidate_free (candidate);
}

/* As the queues of the paper are: at the cap the lowest ranked tenth goes. */
void queue_bound (struct select_core *self, struct queue *queue, int64_t now_us)
{
    uint64_t cap = queue->campaign->cap;
    if (cap == 0 || queue_points (self, queue)->waiting <= cap)
        return;
    struct discarding d = { self, now_us };
    size_t count = self->ops->drop (queue->sampler, queue_points (self, queue)->waiting - cap + cap / 10, discard_one, &d);
    queue->discarded += count;
    select_event (self, "selection-discarded", queue_name (queue),
                  "queue %s reached its cap of %" PRIu64 " candidates; the %zu with the lowest ranks are discarded",
                  queue_name (queue), cap, count);
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

bool point_valid (const struct select_core *self, const float *point, size_t n, char *why, size_t why_size)
{
    if (n != self->dimensions) {
        snprintf (why, why_size, "the point has %zu coordinates, those of the campaign have %u", n, self->dimensions);
        return false;
    }
    for (size_t i = 0; i < n; i++)
        if (!isfinite (point[i]) || fabs ((double)point[i]) > NEAREST_COORDINATE_MAX) {
            snprintf (why, why_size, "coordinate %zu of the point is %g; it must be a number within +-%g", i + 1,
                      (double)point[i], NEAREST_COORDINATE_MAX);
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
            return point_valid (self, candidate->point, candidate->n_point, why, why_size);
        snprintf (why, why_size, "%s", *candidate->reason ? candidate->reason : "its producer calls it invalid");
        return false;
    }
    const Strata__SelectBadSnapshot *bad = snapshot_bad (self, candidate->simulation, candidate->index);
    if (bad) {
        snprintf (why, why_size, "%s", bad->reason);
        return false;
    }
    if (*queue == self->queues_count) {
        snprintf (why, why_size, "no queue of the campaign takes configuration '%s'", candidate->configuration);
        return false;
    }
    return point_valid (self, candidate->point, candidate->n_point, why, why_size);
}

void select_refuse (struct select_core *self, const char *why, int64_t now_us)
{
    Strata__SelectEvent record = STRATA__SELECT_EVENT__INIT;
    record.kind = EVENT (REFUSED);
    record.reason = (char *)why;
    select_record (self, &record, now_us);
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
        select_record (self, &record, now_us);
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
    select_record (self, &record, now_us);
    if (good) {
        self->ops->add (queue->sampler, candidate->id, candidate->point);
        queue_bound (self, queue, now_us);
    }
    else
        queue->invalid++;
    return record.kind;
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
        stat->waiting = queue_points (self, queue)->waiting;
        stat->selected = points_selected (queue_points (self, queue)) - queue->proposed;
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

size_t select_bytes (const struct select_core *self)
{
    size_t bytes = sizeof (*self) + self->open_capacity * sizeof (*self->open);
    for (size_t i = 0; i < self->queues_count; i++)
        bytes += self->ops->bytes (self->queues[i].sampler);
    return bytes;
}

void select_on_event (struct select_core *self, select_event_f *each, void *arg)
{
    self->event = each;
    self->event_arg = arg;
}
