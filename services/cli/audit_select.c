/* audit_select.c - what select has against what it was given: the stream, its proposals, its own history.
 *
 * Keys and rules: services/select/select_core.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit_impl.h"
#include "store/stream.h"

#define STATE(name) STRATA__CANDIDATE_STATE__CANDIDATE_##name

static const char *state_name (Strata__CandidateState state)
{
    static const char *const names[] = { "waiting", "proposed", "selected", "discarded", "invalid" };
    return (unsigned)state < 5 ? names[state] : "in no state that there is";
}

static void load_choice (struct audit_world *world, const struct shard_iter *it)
{
    Strata__SelectCandidate *candidate = strata__select_candidate__unpack (NULL, it->value_size, it->value);
    size_t n = it->key_size - 5;
    struct audit_choice *row = audit_add (&world->choices, sizeof (*row));
    row->id = strndup ((const char *)it->key + 5, n);
    row->simulation = audit_copy (candidate ? candidate->simulation : "");
    row->proposal = audit_copy (candidate ? candidate->proposal : "");
    row->state = candidate ? candidate->state : (Strata__CandidateState)-1;
    row->imported = candidate && candidate->imported;
    row->index = candidate ? candidate->index : 0;
    row->changed_us = candidate ? candidate->changed_us : 0;
    if (candidate)
        strata__select_candidate__free_unpacked (candidate, NULL);
    else
        audit_violation (world->audit, AUDIT_CANDIDATES, "candidate %s: its record in select is damaged", row->id);
}

void audit_load_select (struct audit_world *world)
{
    struct shard_iter it;
    struct audit_summary *sum = &world->audit->summary;
    if (!world->select)
        return;
    for (bool more = shard_iter_begin (world->select, &it, "cand/", 5, NULL, 0); more; more = shard_iter_next (&it))
        load_choice (world, &it);
    shard_iter_end (&it);
    audit_sort (&world->choices);
    AUDIT_EACH (struct audit_choice, c, world->choices) {
        sum->candidates++;
        sum->waiting += c->state == STATE (WAITING);
        sum->proposed += c->state == STATE (PROPOSED);
        sum->selected += c->state == STATE (SELECTED);
        sum->discarded += c->state == STATE (DISCARDED);
        sum->invalid += c->state == STATE (INVALID);
        if ((unsigned)c->state > STATE (INVALID))
            audit_violation (world->audit, AUDIT_CANDIDATES, "candidate %s is %s (%d)", c->id, state_name (c->state),
                             (int)c->state);
    }
}

/* ---- candidates against the stream ---- */

/* How many records select has read of all streams; checks that none of them is unknown to it. */
static uint64_t check_read (struct audit_world *world, uint64_t *trimmed)
{
    uint64_t read = 0, cursors[AUDIT_STAGES_MAX] = { 0 };
    for (size_t i = 0; i < world->stages_count; i++) {
        struct stream_stat stat;
        stream_stat (world->stages[i], world->campaign->select.from, &stat);
        cursors[i] =
            world->select ? cursor_get (world->select, world->stage_names[i], world->campaign->select.from) : 1;
        if (cursors[i] > stat.next)
            audit_violation (world->audit, AUDIT_CANDIDATES,
                             "select has read stream %s of %s up to record %" PRIu64 ", but it ends at %" PRIu64,
                             world->campaign->select.from, world->stage_names[i], cursors[i] - 1, stat.next - 1);
        read += cursors[i] - 1;
        *trimmed += stat.first - 1;
    }
    uint64_t refused = world->select ? shard_get_u64 (world->select, "count/refused", 0) : 0;
    AUDIT_EACH (struct audit_candidate, c, world->candidates) {
        if (c->sequence >= cursors[c->stage] || audit_find (&world->choices, c->id))
            continue;
        if (refused)
            refused--;
        else
            audit_violation (world->audit, AUDIT_CANDIDATES,
                             "candidate %s, record %" PRIu64 " of stream %s, was read by select and is lost", c->id,
                             c->sequence, world->campaign->select.from);
    }
    return read;
}

static bool read_by_select (struct audit_world *world, const struct audit_candidate *c)
{
    return c->sequence < cursor_get (world->select, world->stage_names[c->stage], world->campaign->select.from);
}

void audit_check_candidates (struct audit_world *world)
{
    const struct audit_summary *sum = &world->audit->summary;
    uint64_t trimmed = 0, imported = 0, in_streams = world->candidates.count;
    AUDIT_EACH (struct audit_choice, c, world->choices)
        imported += (uint64_t)c->imported;
    uint64_t read = check_read (world, &trimmed);
    uint64_t duplicates = world->select ? shard_get_u64 (world->select, "count/duplicates", 0) : 0;
    uint64_t refused = world->select ? shard_get_u64 (world->select, "count/refused", 0) : 0;
    if (read != sum->candidates - imported + duplicates + refused)
        audit_violation (world->audit, AUDIT_CANDIDATES,
                         "select has read %" PRIu64 " records, but has %" PRIu64 " candidates, %" PRIu64
                         " duplicates and %" PRIu64 " refused",
                         read, sum->candidates - imported, duplicates, refused);
    audit_sort (&world->candidates);
    const struct audit_candidate *last = NULL;
    AUDIT_EACH (struct audit_candidate, c, world->candidates) {
        if (last && strcmp (last->id, c->id) == 0)
            audit_violation (world->audit, AUDIT_CANDIDATES,
                             "candidate %s stands twice in stream %s: records %" PRIu64 " and %" PRIu64, c->id,
                             world->campaign->select.from, last->sequence, c->sequence);
        last = c;
    }
    AUDIT_EACH (struct audit_choice, c, world->choices) {
        const struct audit_candidate *from = audit_find (&world->candidates, c->id);
        if (!trimmed && !c->imported && (!from || !read_by_select (world, from)))
            audit_violation (world->audit, AUDIT_CANDIDATES,
                             "candidate %s is %s in select, but no record of stream %s that was read "
                             "says so",
                             c->id, state_name (c->state), world->campaign->select.from);
    }
    audit_counted (world->audit, AUDIT_CANDIDATES,
                   "%" PRIu64 " in stream %s, %" PRIu64 " read: %" PRIu64 " waiting, %" PRIu64 " proposed, %" PRIu64
                   " selected, %" PRIu64 " discarded, %" PRIu64 " invalid, %" PRIu64 " duplicates, %" PRIu64 " refused",
                   in_streams + trimmed, world->campaign->select.from, read, sum->waiting, sum->proposed, sum->selected,
                   sum->discarded, sum->invalid, duplicates, refused);
}

/* ---- proposals and history ---- */

static void check_selection (struct audit_world *world, const char *name, Strata__ProposalState state, const char *id)
{
    struct audit_choice *c = audit_find (&world->choices, id);
    bool bears = c && strcmp (c->proposal, name) == 0;
    if (!c)
        audit_violation (world->audit, AUDIT_PROPOSALS, "proposal %s holds candidate %s, which select does not have",
                         name, id);
    else if (state == STRATA__PROPOSAL_STATE__PROPOSAL_EXPIRED) {
        if (bears)
            audit_violation (world->audit, AUDIT_PROPOSALS, "candidate %s is %s by proposal %s, which has expired", id,
                             state_name (c->state), name);
    } else {
        Strata__CandidateState wanted =
            state == STRATA__PROPOSAL_STATE__PROPOSAL_OPEN ? STATE (PROPOSED) : STATE (SELECTED);
        if (bears && c->state == wanted)
            c->listed++;
        else
            audit_violation (world->audit, AUDIT_PROPOSALS, "proposal %s is %s and holds candidate %s, which is %s%s%s",
                             name, state == STRATA__PROPOSAL_STATE__PROPOSAL_OPEN ? "open" : "confirmed", id,
                             state_name (c->state), c->proposal[0] ? " by proposal " : "", c->proposal);
    }
}

static uint64_t check_listed (struct audit_world *world)
{
    struct shard_iter it;
    uint64_t proposals = 0;
    for (bool more = shard_iter_begin (world->select, &it, "prop/", 5, NULL, 0); more; more = shard_iter_next (&it)) {
        char name[256];
        Strata__SelectProposal *proposal = strata__select_proposal__unpack (NULL, it.value_size, it.value);
        snprintf (name, sizeof (name), "%.*s", (int)(it.key_size - 5), (const char *)it.key + 5);
        proposals++;
        if (!proposal) {
            audit_violation (world->audit, AUDIT_PROPOSALS, "proposal %s: its record in select is damaged", name);
            continue;
        }
        for (size_t i = 0; i < proposal->n_selections; i++)
            check_selection (world, name, proposal->state, proposal->selections[i]->candidate);
        strata__select_proposal__free_unpacked (proposal, NULL);
    }
    shard_iter_end (&it);
    return proposals;
}

static int take_event (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    struct audit_world *world = arg;
    Strata__SelectEvent *event = strata__select_event__unpack (NULL, size, record);
    struct audit_choice *c = event ? audit_find (&world->choices, event->candidate) : NULL;
    switch (event ? (int)event->kind : -1) {
    case STRATA__SELECT_EVENT_KIND__SELECT_ADDED:
    case STRATA__SELECT_EVENT_KIND__SELECT_INVALID:
    case STRATA__SELECT_EVENT_KIND__SELECT_IMPORTED:
        if (c)
            c->added++;
        else
            audit_violation (world->audit, AUDIT_PROPOSALS,
                             "record %" PRIu64 " of the history added candidate %s, which select does not have",
                             sequence, event->candidate);
        break;
    case STRATA__SELECT_EVENT_KIND__SELECT_PROPOSED:
        if (c)
            c->proposed++;
        break;
    case STRATA__SELECT_EVENT_KIND__SELECT_CONFIRMED:
        if (c)
            c->confirmed++;
        break;
    case STRATA__SELECT_EVENT_KIND__SELECT_EXPIRED:
        if (c)
            c->expired++;
        break;
    case STRATA__SELECT_EVENT_KIND__SELECT_DISCARDED:
        if (c)
            c->discarded++;
        break;
    default:
        break;
    }
    if (event)
        strata__select_event__free_unpacked (event, NULL);
    return 0;
}

static void check_history (struct audit_world *world, const struct audit_choice *c)
{
    if (c->added != 1)
        audit_violation (world->audit, AUDIT_PROPOSALS, "candidate %s was added %u times in the history", c->id,
                         c->added);
    if (c->proposed != c->confirmed + c->expired + (c->state == STATE (PROPOSED)))
        audit_violation (world->audit, AUDIT_PROPOSALS,
                         "candidate %s is %s, but the history has it proposed %u times, confirmed %u, expired %u",
                         c->id, state_name (c->state), c->proposed, c->confirmed, c->expired);
    bool discarded_before = c->imported && c->state == STATE (DISCARDED) && c->discarded == 0;
    if (!audit_selected_before (c) && !discarded_before
        && (c->confirmed != (c->state == STATE (SELECTED)) || c->discarded != (c->state == STATE (DISCARDED))))
        audit_violation (world->audit, AUDIT_PROPOSALS,
                         "candidate %s is %s, but the history has it confirmed %u times, discarded %u times", c->id,
                         state_name (c->state), c->confirmed, c->discarded);
}

void audit_check_proposals (struct audit_world *world)
{
    struct stream_stat history;
    if (!world->select) {
        audit_counted (world->audit, AUDIT_PROPOSALS, "select was never started");
        return;
    }
    uint64_t proposals = check_listed (world);
    stream_stat (world->select, "history", &history);
    if (history.first == 1)
        stream_read (world->select, "history", 0, SIZE_MAX, SIZE_MAX, take_event, world);
    AUDIT_EACH (struct audit_choice, c, world->choices) {
        if ((c->state == STATE (PROPOSED) || c->state == STATE (SELECTED)) && !audit_selected_before (c)
            && c->listed != 1)
            audit_violation (world->audit, AUDIT_PROPOSALS,
                             "candidate %s is %s by proposal '%s', which lists it %u times", c->id,
                             state_name (c->state), c->proposal, c->listed);
        if (history.first == 1)
            check_history (world, c);
    }
    audit_counted (world->audit, AUDIT_PROPOSALS, "%" PRIu64 " proposals, %" PRIu64 " moves in the history%s",
                   proposals, history.next - 1, history.first > 1 ? " (trimmed: not recounted)" : "");
}
