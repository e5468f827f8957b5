/* select_load.c - builds the core from its shard.
 *
 * Ten million candidates are read within seconds: each is unpacked into one piece of memory that is used again. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "select_impl.h"

/* ---- memory for one message at a time ---- */

struct scratch {
    unsigned char *bytes;
    size_t size, used;
};

static void *scratch_alloc (void *data, size_t size)
{
    struct scratch *self = data;
    size_t at = self->used;
    self->used += (size + 15) / 16 * 16;
    return self->used <= self->size ? self->bytes + at : NULL;
}

static void scratch_free (void *data, void *pointer)
{
}

/* Unpacks a value in the scratch memory, which is made large enough for any value of that size. NULL: damaged. */
static ProtobufCMessage *scratch_unpack (struct scratch *self, const ProtobufCMessageDescriptor *descriptor,
                                         const uint8_t *value, size_t size)
{
    size_t need = 128 * size + 65536;
    if (need > self->size) {
        free (self->bytes);
        self->bytes = select_calloc (need, 1);
        self->size = need;
    }
    self->used = 0;
    ProtobufCAllocator allocator = { scratch_alloc, scratch_free, self };
    return protobuf_c_message_unpack (descriptor, &allocator, size, value);
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
    if (ranked && (!queue->sampler || candidate->n_point != self->dimensions))
        return strata_fail (error, "candidate %s has a point of %zu coordinates, the campaign's points now have %u; "
                                   "use the encoder it began with", id, candidate->n_point, self->dimensions);
    if (ranked)
        self->ops->load (queue->sampler, id, candidate->point,
                         candidate->state == WAITING          ? SAMPLER_WAITING
                             : candidate->state == PROPOSED ? SAMPLER_PROPOSED
                                                            : SAMPLER_SELECTED);
    queue->proposed += candidate->state == PROPOSED;
    queue->discarded += candidate->state == DISCARDED;
    queue->invalid += candidate->state == INVALID;
    return 0;
}

static int load_proposal (struct select_core *self, const char *name, const Strata__SelectProposal *proposal,
                          struct strata_error *error)
{
    if (proposal->state == STRATA__PROPOSAL_STATE__PROPOSAL_OPEN)
        proposal_open (self, name, proposal->lease_end_us);
    return 0;
}

/* A copy that is not in the scratch memory. */
static int load_bad (struct select_core *self, const Strata__SelectBadSnapshot *bad, struct strata_error *error)
{
    size_t size = strata__select_bad_snapshot__get_packed_size (bad);
    uint8_t *bytes = select_calloc (size + 1, 1);
    strata__select_bad_snapshot__pack (bad, bytes);
    snapshot_bad_add (self, strata__select_bad_snapshot__unpack (NULL, size, bytes));
    free (bytes);
    return 0;
}

/* Hands each value under a prefix to one of the three above. */
static int load_all (struct select_core *self, const char *prefix, const ProtobufCMessageDescriptor *descriptor,
                     struct strata_error *error)
{
    struct shard_iter it;
    struct scratch scratch = { NULL, 0, 0 };
    size_t prefix_size = strlen (prefix);
    int rc = 0;
    for (bool more = shard_iter_begin (self->shard, &it, prefix, prefix_size, NULL, 0); more && rc == 0;
         more = shard_iter_next (&it)) {
        char name[PRODUCER_NAME_MAX + 16];
        size_t n = it.key_size - prefix_size;
        ProtobufCMessage *message = scratch_unpack (&scratch, descriptor, it.value, it.value_size);
        if (n >= sizeof (name) || !message) {
            rc = strata_fail (error, "the store of select is damaged: key %.*s; 'strata repair' makes it anew",
                              (int)it.key_size, (const char *)it.key);
            errno = EBADMSG;
            continue;
        }
        memcpy (name, it.key + prefix_size, n);
        name[n] = '\0';
        if (descriptor == &strata__select_candidate__descriptor)
            rc = load_candidate (self, name, (Strata__SelectCandidate *)message, error);
        else if (descriptor == &strata__select_proposal__descriptor)
            rc = load_proposal (self, name, (Strata__SelectProposal *)message, error);
        else
            rc = load_bad (self, (Strata__SelectBadSnapshot *)message, error);
    }
    shard_iter_end (&it);
    free (scratch.bytes);
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
    const struct campaign_select *select = &campaign->select;
    struct select_core *self = select_calloc (1, sizeof (*self));
    self->shard = shard;
    self->campaign = campaign;
    self->dimensions = select->dimensions ? select->dimensions : campaign->patch.encoder.dimensions;
    self->queues_count = select->queues_count;
    self->queues = select_calloc (self->queues_count + 1, sizeof (*self->queues));
    self->ops = sampler_find (select->sampler ? select->sampler : "farthest-point");
    struct sampler_options options = { self->dimensions, campaign->seed, select };
    int rc = self->ops ? 0 : strata_fail (error, "there is no sampler '%s'", select->sampler);
    for (size_t i = 0; i < self->queues_count && rc == 0; i++) {
        self->queues[i].campaign = &select->queues[i];
        self->queues[i].sampler = self->ops->create (&options, error);
        rc = self->queues[i].sampler ? 0 : -1;
    }
    if (rc < 0 || load_all (self, "bad/", &strata__select_bad_snapshot__descriptor, error) < 0
        || load_all (self, "cand/", &strata__select_candidate__descriptor, error) < 0
        || load_all (self, "prop/", &strata__select_proposal__descriptor, error) < 0 || check_open (self, error) < 0) {
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
        if ((*self)->ops && (*self)->queues[i].sampler)
            (*self)->ops->destroy ((*self)->queues[i].sampler);
    for (size_t i = 0; i < (*self)->open_count; i++)
        free ((*self)->open[i].name);
    for (size_t i = 0; i < (*self)->bad_count; i++)
        strata__select_bad_snapshot__free_unpacked ((*self)->bad[i], NULL);
    free ((*self)->bad);
    free ((*self)->open);
    free ((*self)->queues);
    free (*self);
    *self = NULL;
}
