/* select_verify.c - recounts what stands in the shard of select and compares it with what the core holds in memory:
 * each candidate is in exactly one state, proposals and candidates name each other, and all figures agree. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "select_core.h"
#include "store/stream.h"

static size_t queue_index (const struct campaign *campaign, const char *name)
{
    size_t i = 0;
    while (i < campaign->select.queues_count && strcmp (campaign->select.queues[i].name, name) != 0)
        i++;
    return i;
}

/* It was selected before it came. (One that was imported waiting is proposed and selected as any other.) */
static bool imported_selected (const Strata__SelectCandidate *candidate)
{
    return candidate->imported && candidate->state == STRATA__CANDIDATE_STATE__CANDIDATE_SELECTED && !*candidate->proposal;
}

/* The candidate is listed in the proposal that it names, which is in the right state. */
static int verify_membership (struct shard *shard, const char *id, const Strata__SelectCandidate *candidate,
                              struct strata_error *error)
{
    bool proposed = candidate->state == STRATA__CANDIDATE_STATE__CANDIDATE_PROPOSED;
    bool selected = candidate->state == STRATA__CANDIDATE_STATE__CANDIDATE_SELECTED;
    if ((!proposed && !selected) || imported_selected (candidate))
        return *candidate->proposal ? strata_fail (error, "candidate %s is in state %d and names proposal %s", id,
                                                   (int)candidate->state, candidate->proposal) : 0;
    struct shard_key key;
    shard_key (&key, "prop/%s", candidate->proposal);
    Strata__SelectProposal *proposal =
        (Strata__SelectProposal *)shard_get_message (shard, &key, &strata__select_proposal__descriptor);
    if (!proposal)
        return strata_fail (error, "candidate %s names proposal %s, which there is not", id, candidate->proposal);
    size_t listed = 0;
    for (size_t i = 0; i < proposal->n_selections; i++)
        listed += strcmp (proposal->selections[i]->candidate, id) == 0
            && strcmp (proposal->selections[i]->queue, candidate->queue) == 0;
    Strata__ProposalState wanted =
        proposed ? STRATA__PROPOSAL_STATE__PROPOSAL_OPEN : STRATA__PROPOSAL_STATE__PROPOSAL_CONFIRMED;
    int rc = 0;
    if (listed != 1 || proposal->state != wanted)
        rc = strata_fail (error, "candidate %s in state %d is listed %zu times in proposal %s of state %d", id,
                          (int)candidate->state, listed, candidate->proposal, (int)proposal->state);
    strata__select_proposal__free_unpacked (proposal, NULL);
    return rc;
}

static int verify_candidate (struct shard *shard, const struct campaign *campaign, const struct shard_iter *it,
                             struct select_stat *counts, uint64_t *imported, struct strata_error *error)
{
    char id[PRODUCER_NAME_MAX + 1];
    size_t n = it->key_size - strlen ("cand/");
    Strata__SelectCandidate *candidate = strata__select_candidate__unpack (NULL, it->value_size, it->value);
    if (n > PRODUCER_NAME_MAX || !candidate) {
        if (candidate)
            strata__select_candidate__free_unpacked (candidate, NULL);
        return strata_fail (error, "key %.*s is damaged", (int)it->key_size, (const char *)it->key);
    }
    snprintf (id, sizeof (id), "%.*s", (int)n, (const char *)it->key + strlen ("cand/"));
    struct select_stat *count = &counts[queue_index (campaign, candidate->queue)];
    int rc = verify_membership (shard, id, candidate, error);
    switch (candidate->state) {
    case STRATA__CANDIDATE_STATE__CANDIDATE_WAITING: count->waiting++; break;
    case STRATA__CANDIDATE_STATE__CANDIDATE_PROPOSED: count->proposed++; break;
    case STRATA__CANDIDATE_STATE__CANDIDATE_SELECTED:
        count->selected++;
        *imported += (uint64_t)imported_selected (candidate);
        break;
    case STRATA__CANDIDATE_STATE__CANDIDATE_DISCARDED: count->discarded++; break;
    case STRATA__CANDIDATE_STATE__CANDIDATE_INVALID: count->invalid++; break;
    default: rc = strata_fail (error, "candidate %s is in state %d, which there is not", id, (int)candidate->state);
    }
    strata__select_candidate__free_unpacked (candidate, NULL);
    return rc;
}

static int compare (const char *queue, const char *what, uint64_t shard, uint64_t memory, struct strata_error *error)
{
    if (shard == memory)
        return 0;
    return strata_fail (error, "queue '%s': %" PRIu64 " candidates %s in the shard, %" PRIu64 " in memory", queue,
                        shard, what, memory);
}

/* Proposals that are open in the shard, and members of proposals in the state that fits. */
static int verify_proposals (struct select_core *core, struct shard *shard, uint64_t proposed, uint64_t selected,
                             struct strata_error *error)
{
    struct shard_iter it;
    uint64_t open = 0, open_members = 0, confirmed_members = 0, damaged = 0;
    for (bool more = shard_iter_begin (shard, &it, "prop/", 5, NULL, 0); more; more = shard_iter_next (&it)) {
        Strata__SelectProposal *proposal = strata__select_proposal__unpack (NULL, it.value_size, it.value);
        if (!proposal) {
            damaged++;
            continue;
        }
        open += proposal->state == STRATA__PROPOSAL_STATE__PROPOSAL_OPEN;
        if (proposal->state == STRATA__PROPOSAL_STATE__PROPOSAL_OPEN)
            open_members += proposal->n_selections;
        else if (proposal->state == STRATA__PROPOSAL_STATE__PROPOSAL_CONFIRMED)
            confirmed_members += proposal->n_selections;
        strata__select_proposal__free_unpacked (proposal, NULL);
    }
    shard_iter_end (&it);
    if (damaged)
        return strata_fail (error, "%" PRIu64 " stored proposals are damaged", damaged);
    if (open != select_open_proposals (core))
        return strata_fail (error, "%" PRIu64 " proposals are open in the shard, %zu in memory", open,
                            select_open_proposals (core));
    if (open_members != proposed || confirmed_members != selected)
        return strata_fail (error, "open proposals hold %" PRIu64 " candidates of %" PRIu64 " proposed, confirmed ones "
                                   "%" PRIu64 " of %" PRIu64 " selected",
                            open_members, proposed, confirmed_members, selected);
    return 0;
}

int select_verify (struct select_core *self, struct shard *shard, const struct campaign *campaign,
                   struct strata_error *error)
{
    size_t queues = campaign->select.queues_count;
    struct select_stat *counts = select_calloc (queues + 1, sizeof (*counts));
    struct shard_iter it;
    uint64_t proposed = 0, selected = 0, imported = 0;
    int rc = 0;
    for (bool more = shard_iter_begin (shard, &it, "cand/", 5, NULL, 0); more && rc == 0; more = shard_iter_next (&it))
        rc = verify_candidate (shard, campaign, &it, counts, &imported, error);
    shard_iter_end (&it);
    for (size_t i = 0; i <= queues && rc == 0; i++) {
        const char *name = i < queues ? campaign->select.queues[i].name : "";
        struct select_stat memory;
        select_queue_stat (self, i, &memory);
        proposed += counts[i].proposed;
        selected += counts[i].selected;
        if (compare (name, "wait", counts[i].waiting, memory.waiting, error) < 0
            || compare (name, "are proposed", counts[i].proposed, memory.proposed, error) < 0
            || compare (name, "are selected", counts[i].selected, memory.selected, error) < 0
            || compare (name, "are discarded", counts[i].discarded, memory.discarded, error) < 0
            || compare (name, "are invalid", counts[i].invalid, memory.invalid, error) < 0)
            rc = -1;
    }
    free (counts);
    return rc < 0 ? -1 : verify_proposals (self, shard, proposed, selected - imported, error);
}
