/* schedule_proposal.c - keeping chains filled: asking select, and making each answer final exactly once.
 *
 *   (none) -> ASKED      on disk before the question leaves; asked again under the same name until there is an answer
 *   ASKED  -> CONFIRMING the jobs of the answer stand in the same batch as PROPOSED; select is told until it answers
 *          -> (none)     an empty answer, or the name is stale
 *   CONFIRMING -> (none) confirmed: its jobs wait. Stale: select's lease had ended, its candidates wait there again;
 * the jobs are forgotten
 *
 * A crash anywhere repeats the question of that state, and select gives the same answer to the same name. So each
 * candidate that select counts as selected has one chain, and no other has one.
 *
 * How many to ask for: at most `buffer` of a selection type are prepared and not consumed, in work, or waiting; none, or
 * one to probe with, while a type of its chain is paused (schedule_breaker.c).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schedule_impl.h"

#define S(state) STRATA__JOB_STATE__JOB_##state
#define P(state) STRATA__QUESTION_STATE__QUESTION_##state
#define PAUSE_US 1000000
#define PAUSE_MAX_US 5000000

static struct proposal *find (struct schedule *self, const char *name, Strata__QuestionState state)
{
    for (size_t i = 0; i < self->proposals_count; i++) {
        const Strata__Question *message = self->proposals[i]->message;
        if (strcmp (message->name, name) == 0)
            return message->state == state ? self->proposals[i] : NULL;
    }
    return NULL;
}

static void put (struct schedule *self, const struct proposal *proposal)
{
    struct shard_key key;
    shard_key (&key, "prop/%s", proposal->message->name);
    shard_put_message (self->shard, &key, &proposal->message->base);
}

static struct proposal *add (struct schedule *self, Strata__Question *message, struct job_type *type)
{
    struct proposal *proposal = calloc (1, sizeof (*proposal));
    if (!proposal)
        abort ();
    proposal->message = message;
    proposal->type = type;
    self->proposals =
        schedule_grow (self->proposals, self->proposals_count, &self->proposals_room, sizeof (*self->proposals));
    self->proposals[self->proposals_count++] = proposal;
    return proposal;
}

static void add_job (struct proposal *proposal, struct live *live)
{
    proposal->jobs = schedule_grow (proposal->jobs, proposal->jobs_count, &proposal->jobs_room, sizeof (*proposal->jobs));
    proposal->jobs[proposal->jobs_count++] = live;
}

static void proposal_free (struct proposal *proposal)
{
    strata__question__free_unpacked (proposal->message, NULL);
    free (proposal->jobs);
    free (proposal);
}

static void drop (struct schedule *self, struct proposal *proposal)
{
    struct shard_key key;
    shard_key (&key, "prop/%s", proposal->message->name);
    shard_delete (self->shard, key.data, key.size);
    for (size_t i = 0; i < self->proposals_count; i++)
        if (self->proposals[i] == proposal)
            self->proposals[i--] = self->proposals[--self->proposals_count];
    proposal_free (proposal);
}

void schedule_free_proposals (struct schedule *self)
{
    for (size_t i = 0; i < self->proposals_count; i++)
        proposal_free (self->proposals[i]);
    free (self->proposals);
}

/* Proposed jobs that were read from the shard, to their proposals. */
static void link_proposed (struct schedule *self)
{
    for (size_t i = 0; i < self->live_count; i++) {
        struct live *live = self->live[i];
        struct proposal *proposal = live->job->state == S (PROPOSED) ? find (self, live->job->proposal, P (CONFIRMING)) : NULL;
        if (proposal)
            add_job (proposal, live);
    }
}

int schedule_load_proposals (struct schedule *self, struct strata_error *error)
{
    struct shard_iter it;
    int rc = 0;
    for (bool more = shard_iter_begin (self->shard, &it, "prop/", 5, NULL, 0); more && rc == 0;
         more = shard_iter_next (&it)) {
        Strata__Question *message = strata__question__unpack (NULL, it.value_size, it.value);
        struct job_type *type = message ? schedule_find_type (self, message->type) : NULL;
        if (type)
            add (self, message, type);
        else {
            rc = strata_fail (error,
                              "%s: the record %.*s is damaged or of another campaign; restore the store from a copy",
                              shard_dir (self->shard), (int)it.key_size, (const char *)it.key);
            if (message)
                strata__question__free_unpacked (message, NULL);
        }
    }
    shard_iter_end (&it);
    link_proposed (self);
    return rc;
}

/* Prepared and not consumed: what follows `type` waits for its first attempt. Of several that follow the slowest
 * counts. */
uint64_t schedule_ready (const struct schedule *self, const struct job_type *type)
{
    uint64_t ready = 0;
    for (size_t i = 0; i < self->types_count; i++) {
        const struct campaign_job *next = self->types[i].campaign;
        if (next->start != JOB_AFTER || strcmp (next->after, type->campaign->name) != 0)
            continue;
        ready = self->types[i].fresh > ready ? self->types[i].fresh : ready;
    }
    return ready;
}

bool schedule_outstanding (const struct schedule *self, const struct job_type *type)
{
    for (size_t i = 0; i < self->proposals_count; i++)
        if (self->proposals[i]->type == type)
            return true;
    return false;
}

static void ask (struct schedule *self, struct job_type *type, uint64_t count)
{
    char name[32];
    uint64_t number = shard_get_u64 (self->shard, "next-prop", 0) + 1;
    shard_put_u64 (self->shard, "next-prop", number);
    snprintf (name, sizeof (name), "p-%08" PRIu64, number);
    Strata__Question *message = malloc (sizeof (*message));
    if (!message)
        abort ();
    strata__question__init (message);
    schedule_set_string (&message->name, name);
    schedule_set_string (&message->type, type->campaign->name);
    message->count = count < SCHEDULE_PROPOSAL_MAX ? (uint32_t)count : SCHEDULE_PROPOSAL_MAX;
    message->state = P (ASKED);
    put (self, add (self, message, type));
}

void schedule_ask (struct schedule *self, int64_t now_us)
{
    for (size_t i = 0; i < self->types_count; i++) {
        struct job_type *type = &self->types[i];
        if (type->campaign->start != JOB_SELECTION || type->too_big || schedule_outstanding (self, type)
            || !schedule_pause_over (type->ask_after_us, now_us) || !schedule_end_lets (self, type, now_us))
            continue;
        uint64_t ahead = type->counts[S (PROPOSED)] + type->counts[S (WAITING)] + type->counts[S (LAUNCHING)]
                         + type->counts[S (RUNNING)] + schedule_ready (self, type);
        if (ahead >= type->buffer)
            continue;
        uint64_t count = type->buffer - ahead, limit = schedule_breaker_ask_limit (self, type, now_us);
        if (limit)
            ask (self, type, count < limit ? count : limit);
    }
}

/* ---- for who carries questions and answers ---- */

size_t schedule_proposals (const struct schedule *self)
{
    return self->proposals_count;
}

const Strata__Question *schedule_proposal_at (const struct schedule *self, size_t i)
{
    return i < self->proposals_count ? self->proposals[i]->message : NULL;
}

bool schedule_proposal_due (const struct schedule *self, size_t i, int64_t now_us)
{
    const struct proposal *proposal = i < self->proposals_count ? self->proposals[i] : NULL;
    /* While the campaign or its allocation ends nothing new is asked for, but what is ours is still confirmed. */
    return proposal && !proposal->under_way && schedule_pause_over (proposal->not_before_us, now_us)
           && !((self->draining || schedule_end_stops (self, proposal->type)) && proposal->message->state == P (ASKED));
}

void schedule_proposal_sent (struct schedule *self, size_t i)
{
    if (i < self->proposals_count)
        self->proposals[i]->under_way = true;
}

/* NULL, or what is wrong with the answer: then nothing of it is used, and the question is asked again. */
static const char *fault (const struct proposal *proposal, const Strata__ProposeReply *reply)
{
    if (reply->n_selections > proposal->message->count)
        return "it has more candidates than were asked for";
    for (size_t i = 0; i < reply->n_selections; i++) {
        const char *id = reply->selections[i]->candidate;
        size_t n = strlen (id);
        if (n == 0 || n > SCHEDULE_ID_MAX)
            return "a candidate's id is empty or too long";
        for (size_t j = 0; j < n; j++)
            if (id[j] < ' ' || id[j] > '~')
                return "a candidate's id is not printable ASCII";
    }
    return NULL;
}

void schedule_proposed (struct schedule *self, const char *name, const Strata__ProposeReply *reply, int64_t now_us)
{
    struct proposal *proposal = find (self, name, P (ASKED));
    if (!proposal)
        return;
    const char *wrong = fault (proposal, reply);
    if (wrong) {
        schedule_event (self, "proposal-broken", name, "the answer of select is not used: %s", wrong);
        schedule_unanswered (self, name, wrong, now_us);
        return;
    }
    struct job_type *type = proposal->type;
    if (reply->n_selections == 0) {
        type->ask_pause_us = type->ask_pause_us ? type->ask_pause_us * 2 : PAUSE_US;
        type->ask_pause_us = type->ask_pause_us < PAUSE_MAX_US ? type->ask_pause_us : PAUSE_MAX_US;
        type->ask_after_us = now_us + type->ask_pause_us;
        drop (self, proposal);
        return;
    }
    type->ask_pause_us = 0;
    for (size_t i = 0; i < reply->n_selections; i++) {
        struct shard_key key;
        const char *candidate = reply->selections[i]->candidate;
        shard_key (&key, "chain/%s", candidate);
        if (shard_has (self->shard, key.data, key.size)) {
            schedule_event (self, "selection-repeated", candidate, "selected again in %s; it has its chain already",
                            name);
            continue;
        }
        struct live *live = schedule_create (self, type, S (PROPOSED), candidate, candidate, "", name, "selected", now_us);
        shard_put (self->shard, key.data, key.size, live->job->id, strlen (live->job->id));
        add_job (proposal, live);
    }
    proposal->message->count = (uint32_t)reply->n_selections;
    proposal->message->state = P (CONFIRMING);
    proposal->under_way = false;
    proposal->not_before_us = 0;
    put (self, proposal);
}

void schedule_confirmed (struct schedule *self, const char *name, int64_t now_us)
{
    struct proposal *proposal = find (self, name, P (CONFIRMING));
    if (!proposal)
        return;
    for (size_t i = 0; i < proposal->jobs_count; i++) {
        struct live *live = proposal->jobs[i];
        bool cancel = live->job->cancel;
        if (cancel) {
            live->job->end = STRATA__JOB_END__END_CANCELLED;
            live->job->ended_us = now_us;
        }
        if (schedule_move (self, live, cancel ? S (CANCELLED) : S (WAITING), cancel ? "by request" : "select knows that it was taken", now_us, NULL) == 0)
            schedule_event (self, cancel ? "job-cancelled" : "job-created", live->job->id, "%s for %s",
                            cancel ? "cancelled before it was launched" : "waits for resources", live->job->simulation);
    }
    drop (self, proposal);
    schedule_sweep (self);
}

void schedule_stale (struct schedule *self, const char *name, int64_t now_us)
{
    struct proposal *proposal = find (self, name, P (CONFIRMING));
    if (proposal) {
        for (size_t i = proposal->jobs_count; i-- > 0;)
            schedule_forget (self, proposal->jobs[i]);
        schedule_event (self, "proposal-stale", name,
                        "its lease ended before it was confirmed; its %u candidates wait again",
                        proposal->message->count);
    }
    else
        proposal = find (self, name, P (ASKED));
    if (proposal)
        drop (self, proposal);
}

void schedule_unanswered (struct schedule *self, const char *name, const char *why, int64_t now_us)
{
    for (size_t i = 0; i < self->proposals_count; i++)
        if (strcmp (self->proposals[i]->message->name, name) == 0) {
            self->proposals[i]->under_way = false;
            self->proposals[i]->not_before_us = now_us + PAUSE_US;
        }
}
