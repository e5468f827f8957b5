/* schedule_breaker.c - a pause for a job type that fails as a whole (a program missing, a broken node, a wrong path).
 *
 *              IN_A_ROW jobs set aside, no success between
 *   closed ----------------------------------------------------> open: nothing of the type starts, and select is not
 *      ^                                                           |   asked for its chain; 10 s, then doubling to 300 s
 *      |  any success                                              v
 *      +----------------------------------------------- one job is let through as the probe
 *                                                        its failure: open again, twice as long
 *
 * Merlin's 102 (jobs[].exit_codes) opens it at once, and its 101 does not count.
 *
 * Without it each selected candidate would be burned in seconds until none is left: a selection is final, and what was
 * set aside comes back only by hand (schedule_retry.c). A probe's failed attempt counts, whether or not the job has
 * tries left: so two pauses cost one candidate where a job has two tries. An attempt that was stopped or cancelled says
 * nothing: another probe goes at once. Jobs that ran already when the type was paused go on, and a success of theirs
 * ends the pause.
 *
 * Durable: the record stands in the batch of the move that changed it, so a restart is no way around the pause.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schedule_impl.h"

#define S(state) STRATA__JOB_STATE__JOB_##state
/* Each used up all of its tries, so this is 3 candidates and at least 3 to 9 failed starts: bad luck or a bad candidate
 * seldom does that, and a broken machine loses no more than these. */
#define IN_A_ROW 3
#define PAUSE_US 10000000LL
#define PAUSE_MAX_US 300000000LL

static void put (struct schedule *self, const struct job_type *type)
{
    struct shard_key key;
    shard_key (&key, "breaker/%s", type->campaign->name);
    shard_put_message (self->shard, &key, &type->breaker->base);
}

static Strata__Breaker *make (struct job_type *type)
{
    if (!type->breaker) {
        type->breaker = malloc (sizeof (*type->breaker));
        if (!type->breaker)
            abort (); /* as out_of_memory of schedule_core.c: the restart finds the state before this turn */
        strata__breaker__init (type->breaker);
    }
    return type->breaker;
}

static void drop (struct schedule *self, struct job_type *type)
{
    struct shard_key key;
    shard_key (&key, "breaker/%s", type->campaign->name);
    shard_delete (self->shard, key.data, key.size);
    schedule_breaker_free (type);
}

void schedule_breaker_free (struct job_type *type)
{
    if (type->breaker)
        strata__breaker__free_unpacked (type->breaker, NULL);
    type->breaker = NULL;
}

int schedule_breaker_load (struct schedule *self, struct strata_error *error)
{
    for (size_t i = 0; i < self->types_count; i++) {
        struct job_type *type = &self->types[i];
        struct shard_key key;
        void *value = NULL;
        size_t size = 0;
        shard_key (&key, "breaker/%s", type->campaign->name);
        if (!shard_get (self->shard, key.data, key.size, &value, &size))
            continue;
        type->breaker = strata__breaker__unpack (NULL, size, value);
        free (value);
        if (!type->breaker) {
            errno = EBADMSG;
            return strata_fail (error, "store %s: the record breaker/%s does not parse; the store is damaged",
                                shard_dir (self->shard), type->campaign->name);
        }
    }
    return 0;
}

bool schedule_breaker_open (const struct job_type *type)
{
    return type->breaker && type->breaker->pause_us > 0;
}

/* Also when the clock was set back: no pause is longer than its own length. */
static bool pause_over (const Strata__Breaker *breaker, int64_t now_us)
{
    return now_us >= breaker->until_us || breaker->until_us - now_us > breaker->pause_us;
}

bool schedule_breaker_lets (const struct job_type *type, int64_t now_us)
{
    return !schedule_breaker_open (type) || (!type->breaker->probe[0] && pause_over (type->breaker, now_us));
}

void schedule_breaker_launched (struct schedule *self, struct live *live)
{
    if (!schedule_breaker_open (live->type))
        return;
    schedule_set_string (&live->type->breaker->probe, live->job->id);
    put (self, live->type);
}

/* ---- how many may be selected for a chain ---- */

/* The type before it in its chain, NULL for the first one. */
static struct job_type *before (struct schedule *self, const struct job_type *type)
{
    return type->campaign->start == JOB_AFTER ? schedule_find_type (self, type->campaign->after) : NULL;
}

/* How many may be asked for because of `type`, a step of the chain that begins with `root`. */
static uint64_t limit_of (struct schedule *self, const struct job_type *type, const struct job_type *root, int64_t now_us)
{
    const struct job_type *at = type;
    uint64_t coming = 0;
    /* A chain is no longer than there are types; the campaign file's check has refused circles. */
    for (size_t steps = 0; at && at != root && steps < self->types_count; steps++)
        at = before (self, at);
    if (!at || at != root || !schedule_breaker_open (type))
        return UINT64_MAX;
    if (!schedule_breaker_lets (type, now_us))
        return 0;
    /* A probe is due: if none waits or is being prepared, one candidate is worth it. */
    for (at = type; at; at = at == root ? NULL : before (self, at))
        for (int state = S (PROPOSED); state <= S (RUNNING); state++)
            coming += at->counts[state];
    return coming ? 0 : 1;
}

uint64_t schedule_breaker_ask_limit (struct schedule *self, const struct job_type *root, int64_t now_us)
{
    uint64_t limit = UINT64_MAX;
    for (size_t i = 0; i < self->types_count && limit; i++) {
        uint64_t one = limit_of (self, &self->types[i], root, now_us);
        limit = one < limit ? one : limit;
    }
    return limit;
}

/* ---- what the ends of jobs mean ---- */

static bool is_probe (const struct live *live)
{
    return schedule_breaker_open (live->type) && strcmp (live->type->breaker->probe, live->job->id) == 0;
}

void schedule_breaker_succeeded (struct schedule *self, struct live *live)
{
    if (!live->type->breaker)
        return;
    if (schedule_breaker_open (live->type))
        schedule_event (self, "job-type-resumed", live->type->campaign->name, "%s succeeded: jobs of this type start again",
                        live->job->id);
    drop (self, live->type);
}

static void pause_type (struct schedule *self, struct job_type *type, int64_t now_us)
{
    Strata__Breaker *breaker = type->breaker;
    breaker->pause_us = breaker->pause_us ? breaker->pause_us * 2 : PAUSE_US;
    breaker->pause_us = breaker->pause_us < PAUSE_MAX_US ? breaker->pause_us : PAUSE_MAX_US;
    breaker->until_us = now_us + breaker->pause_us;
}

void schedule_breaker_failed (struct schedule *self, struct live *live, bool whole, int64_t now_us)
{
    bool aside = live->job->state == S (ASIDE), probe = is_probe (live), open = schedule_breaker_open (live->type);
    if (!aside && !probe)
        return;
    struct job_type *type = live->type;
    Strata__Breaker *breaker = make (type);
    breaker->in_a_row += aside;
    schedule_set_string (&breaker->reason, live->job->reason);
    if (probe)
        schedule_set_string (&breaker->probe, "");
    if (probe || (!open && (whole || breaker->in_a_row >= IN_A_ROW))) {
        pause_type (self, type, now_us);
        schedule_event (self, "job-type-paused", type->campaign->name,
                        "%u jobs in a row were set aside, the last failure: %.300s; no job of this type starts for %lld s, "
                        "then one is tried. When the cause is mended: strata retry --type %.60s",
                        breaker->in_a_row, breaker->reason, (long long)(breaker->pause_us / 1000000), type->campaign->name);
    }
    put (self, type);
}

void schedule_breaker_undecided (struct schedule *self, struct live *live)
{
    if (!is_probe (live))
        return;
    schedule_set_string (&live->type->breaker->probe, "");
    put (self, live->type);
}

void schedule_breaker_retry (struct schedule *self, struct job_type *type, int64_t now_us)
{
    if (!type->breaker)
        return;
    if (!schedule_breaker_open (type)) {
        drop (self, type);
        return;
    }
    type->breaker->pause_us = PAUSE_US;
    type->breaker->until_us = now_us;
    put (self, type);
}

/* ---- telling ---- */

/* In steps, so that the sentence (and the log that it goes to) does not change every second. */
static long long seconds_left (const Strata__Breaker *breaker, int64_t now_us)
{
    long long left = (breaker->until_us - now_us + 999999) / 1000000, step = left > 60 ? 30 : 10;
    return (left + step - 1) / step * step;
}

bool schedule_breaker_trouble (const struct job_type *type, int64_t now_us, char *text, size_t size)
{
    const Strata__Breaker *breaker = type->breaker;
    char next[160];
    if (!schedule_breaker_open (type))
        return false;
    if (breaker->probe[0])
        snprintf (next, sizeof (next), "%.100s is tried now", breaker->probe);
    else if (pause_over (breaker, now_us))
        snprintf (next, sizeof (next), "the next one is tried alone");
    else
        snprintf (next, sizeof (next), "the next try is in %lld s", seconds_left (breaker, now_us));
    snprintf (text, size, "%.100s: %u jobs in a row were set aside, the last failure: %.200s; %s", type->campaign->name,
              breaker->in_a_row, breaker->reason, next);
    return true;
}
