/* select_import.c - candidates of another campaign as a starting point. */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "select_impl.h"

#define IMPORT_MAX 10000u

int select_import (struct select_core *self, const Strata__Import *request, int64_t now_us, Strata__ImportReply *reply,
                   Strata__RefusalCode *code, struct strata_error *error)
{
    static const char *const states[] = { [WAITING] = "waiting", [SELECTED] = "selected", [DISCARDED] = "discarded" };
    *code = STRATA__REFUSAL_CODE__REFUSED_INVALID;
    size_t index = *request->queue ? queue_named (self, request->queue) : SIZE_MAX;
    if (index == SIZE_MAX)
        return strata_fail (error, "the campaign has no queue '%.64s'", request->queue);
    if (request->n_candidates < 1 || request->n_candidates > IMPORT_MAX)
        return strata_fail (error, "%zu candidates; 1..%u at a time", request->n_candidates, IMPORT_MAX);
    struct queue *queue = &self->queues[index];
    strata__import_reply__init (reply);
    for (size_t i = 0; i < request->n_candidates; i++) {
        const Strata__ImportedCandidate *c = request->candidates[i];
        struct shard_key key;
        char why[SELECT_REASON_MAX + 1];
        unsigned state = (unsigned)c->state;
        if (!producer_name_valid (c->id) || state >= sizeof (states) / sizeof (*states) || !states[state]
            || strlen (c->configuration) > CONFIGURATION_MAX || !point_valid (self, c->point, c->n_point, why, sizeof (why))) {
            reply->refused++;
            continue;
        }
        shard_key (&key, "cand/%s", c->id);
        if (shard_has (self->shard, key.data, key.size)) {
            reply->duplicate++;
            continue;
        }
        Strata__SelectCandidate value = STRATA__SELECT_CANDIDATE__INIT;
        value.state = c->state;
        value.queue = (char *)queue_name (queue);
        value.configuration = c->configuration;
        value.n_point = c->n_point;
        value.point = c->point;
        value.rank = state == WAITING ? 0 : c->rank;
        value.added_us = value.changed_us = now_us;
        value.imported = true;
        candidate_put (self, c->id, &value);
        Strata__SelectEvent record = STRATA__SELECT_EVENT__INIT;
        record.kind = EVENT (IMPORTED);
        record.candidate = c->id;
        record.queue = value.queue;
        record.proposal = (char *)states[state];
        record.rank = value.rank;
        select_record (self, &record, now_us);
        if (state == WAITING)
            self->ops->add (queue->sampler, c->id, c->point);
        else if (state == SELECTED)
            self->ops->load (queue->sampler, c->id, c->point, SAMPLER_SELECTED);
        else
            queue->discarded++;
        reply->added++;
    }
    queue_bound (self, queue, now_us);
    return 0;
}
