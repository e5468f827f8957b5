/* select_invalidate.c - takes candidates out that were found bad: by id, or all of a snapshot.
 *
 * A snapshot is marked bad in one move: from then on its candidates are invalid when they come, and when they would be
 * picked. Those that wait already are looked for in the shard, some thousands a turn, until all are counted. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "select_impl.h"

#define SCAN_MAX 20000u     /* candidates that are looked at in one turn */
#define IDS_MAX 10000u      /* of one request */

Strata__SelectBadSnapshot *snapshot_bad (const struct select_core *self, const char *simulation, uint64_t index)
{
    for (size_t i = 0; i < self->bad_count; i++)
        if (self->bad[i]->index == index && strcmp (self->bad[i]->simulation, simulation) == 0)
            return self->bad[i];
    return NULL;
}

void snapshot_bad_add (struct select_core *self, Strata__SelectBadSnapshot *bad)
{
    self->bad = select_grow (self->bad, &self->bad_capacity, self->bad_count + 1, sizeof (struct Strata__SelectBadSnapshot *));
    self->bad[self->bad_count++] = bad;
}

static void bad_put (struct select_core *self, const Strata__SelectBadSnapshot *bad)
{
    struct shard_key key;
    shard_key (&key, "bad/");
    shard_key_u64 (&key, bad->index);
    size_t n = strlen (bad->simulation);
    key.data[key.size++] = '/';
    memcpy (key.data + key.size, bad->simulation, n);
    key.size += n;
    shard_put_message (self->shard, &key, &bad->base);
}

struct taking {
    const char **ids;           /* that waited, by queue: [count] */
    size_t *queues;
    size_t count;
    uint64_t *invalidated, *proposed, *selected, *unchanged;
};

static void take_out (struct select_core *self, const char *id, Strata__SelectCandidate *candidate, const char *reason,
                      struct taking *taking, int64_t now_us)
{
    switch (candidate->state) {
    case WAITING:
        taking->queues[taking->count] = queue_named (self, candidate->queue);
        taking->ids[taking->count++] = id;
        candidate_move (self, id, candidate, INVALID, reason, 0, EVENT (INVALIDATED), now_us);
        ++*taking->invalidated;
        break;
    case PROPOSED:
        select_text_set (&candidate->reason, reason);
        candidate_put (self, id, candidate);
        ++*taking->proposed;
        break;
    case SELECTED: ++*taking->selected; break;
    default: ++*taking->unchanged;
    }
}

/* From memory, queue by queue. */
static void forget (struct select_core *self, const struct taking *taking)
{
    const char **ids = select_calloc (taking->count + 1, sizeof (*ids));
    for (size_t q = 0; q < self->queues_count && taking->count > 0; q++) {
        size_t count = 0;
        for (size_t i = 0; i < taking->count; i++)
            if (taking->queues[i] == q)
                ids[count++] = taking->ids[i];
        if (count > 0)
            self->ops->remove (self->queues[q].sampler, ids, count);
        self->queues[q].invalid += count;
    }
    free (ids);
}

/* ---- a snapshot ---- */

/* The next part of the search; true when it is over. */
static bool scan (struct select_core *self, Strata__SelectBadSnapshot *bad, int64_t now_us)
{
    struct shard_iter it;
    struct shard_key start;
    char **found = select_calloc (SCAN_MAX, sizeof (*found)), last[PRODUCER_NAME_MAX + 1] = "";
    size_t looked = 0, count = 0;
    /* A byte behind the id: the first key above it. */
    shard_key (&start, "cand/%s", bad->scanned);
    if (*bad->scanned)
        start.data[start.size++] = '\0';
    bool more = shard_iter_begin (self->shard, &it, "cand/", 5, start.data, start.size);
    for (; more && looked < SCAN_MAX; more = shard_iter_next (&it), looked++) {
        Strata__SelectCandidate *candidate = strata__select_candidate__unpack (NULL, it.value_size, it.value);
        snprintf (last, sizeof (last), "%.*s", (int)(it.key_size - 5), (const char *)it.key + 5);
        if (candidate && candidate->index == bad->index && strcmp (candidate->simulation, bad->simulation) == 0)
            found[count++] = select_strdup (last);
        if (candidate)
            candidate_free (candidate);
    }
    shard_iter_end (&it);
    struct taking taking = { select_calloc (count + 1, sizeof (char *)), select_calloc (count + 1, sizeof (size_t)), 0,
                             &bad->invalidated, &bad->proposed, &bad->selected, &bad->unchanged };
    for (size_t i = 0; i < count; i++) {
        Strata__SelectCandidate *candidate = candidate_get (self, found[i]);
        take_out (self, found[i], candidate, bad->reason, &taking, now_us);
        candidate_free (candidate);
    }
    forget (self, &taking);
    for (size_t i = 0; i < count; i++)
        free (found[i]);
    free (found);
    free (taking.ids);
    free (taking.queues);
    bad->complete = !more;
    if (*last)
        select_text_set (&bad->scanned, last);
    bad_put (self, bad);
    if (bad->complete)
        select_event (self, "candidates-invalidated", bad->simulation,
                      "snapshot %" PRIu64 ": %" PRIu64 " candidates are invalid, %" PRIu64 " if they come back, %" PRIu64
                      " were selected before; %s", bad->index, bad->invalidated, bad->proposed, bad->selected,
                      bad->reason);
    return bad->complete;
}

bool select_tick (struct select_core *self, int64_t now_us)
{
    bool some = select_expire (self, now_us) > 0;
    for (size_t i = 0; i < self->bad_count; i++)
        if (!self->bad[i]->complete) {
            scan (self, self->bad[i], now_us);
            return true;
        }
    return some;
}

/* ---- the request ---- */

static void snapshot (struct select_core *self, const Strata__Invalidate *request, int64_t now_us,
                      Strata__InvalidateReply *reply)
{
    Strata__SelectBadSnapshot *bad = snapshot_bad (self, request->simulation, request->index);
    if (!bad) {
        bad = select_calloc (1, sizeof (*bad));
        strata__select_bad_snapshot__init (bad);
        select_text_set (&bad->simulation, request->simulation);
        bad->index = request->index;
        select_text_set (&bad->reason, request->reason);
        snapshot_bad_add (self, bad);
    }
    if (!bad->complete)
        scan (self, bad, now_us);
    reply->invalidated += bad->invalidated;
    reply->proposed += bad->proposed;
    reply->selected += bad->selected;
    reply->unchanged += bad->unchanged;
    reply->complete = bad->complete;
}

int select_invalidate (struct select_core *self, const Strata__Invalidate *request, int64_t now_us,
                       Strata__InvalidateReply *reply, Strata__RefusalCode *code, struct strata_error *error)
{
    *code = STRATA__REFUSAL_CODE__REFUSED_INVALID;
    bool by_snapshot = *request->simulation != '\0';
    if (!*request->reason || strlen (request->reason) > SELECT_REASON_MAX)
        return strata_fail (error, "a reason of 1..%u bytes says why candidates are invalidated", SELECT_REASON_MAX);
    if (by_snapshot && !producer_name_valid (request->simulation))
        return strata_fail (error, "the simulation's name is not 1..200 bytes of printable ASCII");
    if (request->n_candidates > IDS_MAX || (!by_snapshot && request->n_candidates == 0))
        return strata_fail (error, "%zu ids; name 1..%u candidates or a snapshot", request->n_candidates, IDS_MAX);
    for (size_t i = 0; i < request->n_candidates; i++)
        if (!producer_name_valid (request->candidates[i]))
            return strata_fail (error, "id %zu of %zu is not 1..200 bytes of printable ASCII", i + 1,
                                request->n_candidates);
    select_expire (self, now_us);
    strata__invalidate_reply__init (reply);
    reply->complete = true;
    struct taking taking = { select_calloc (request->n_candidates + 1, sizeof (char *)),
                             select_calloc (request->n_candidates + 1, sizeof (size_t)), 0, &reply->invalidated,
                             &reply->proposed, &reply->selected, &reply->unchanged };
    for (size_t i = 0; i < request->n_candidates; i++) {
        Strata__SelectCandidate *candidate = candidate_get (self, request->candidates[i]);
        if (!candidate) {
            reply->unknown++;
            continue;
        }
        take_out (self, request->candidates[i], candidate, request->reason, &taking, now_us);
        candidate_free (candidate);
    }
    forget (self, &taking);
    free (taking.ids);
    free (taking.queues);
    if (by_snapshot)
        snapshot (self, request, now_us, reply);
    return 0;
}
