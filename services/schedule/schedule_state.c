/* schedule_state.c - the table of job states. See schedule_core.h for the picture. */
#include <string.h>

#include "schedule_impl.h"

#define S(state) STRATA__JOB_STATE__JOB_##state
#define TO(state) (1u << S (state))

static const struct {
    const char *name;
    unsigned moves;             /* states that may come next */
    bool ended;                 /* goes on by itself no more */
} states[STATES] = {
    [S (PROPOSED)] = { "proposed", TO (WAITING) | TO (CANCELLED), false },
    [S (WAITING)] = { "waiting", TO (LAUNCHING) | TO (CANCELLED), false },
    [S (LAUNCHING)] = { "launching", TO (RUNNING) | TO (WAITING) | TO (ASIDE) | TO (CANCELLED), false },
    [S (RUNNING)] = { "running", TO (SUCCEEDED) | TO (WAITING) | TO (ASIDE) | TO (CANCELLED), false },
    [S (SUCCEEDED)] = { "succeeded", 0, true },
    [S (ASIDE)] = { "aside", TO (WAITING), true },
    [S (CANCELLED)] = { "cancelled", 0, true },
};

const char *schedule_state_name (Strata__JobState state)
{
    return (unsigned)state < STATES ? states[state].name : "unknown";
}

bool schedule_state_ended (Strata__JobState state)
{
    return (unsigned)state >= STATES || states[state].ended;
}

bool schedule_state_allows (Strata__JobState from, Strata__JobState to)
{
    return (unsigned)from < STATES && (unsigned)to < STATES && (states[from].moves & (1u << to));
}

/* ---- states by their names ---- */

#define TIMEOUT (1u << STATES)          /* set aside, the last time by its walltime */
#define ASIDES (TO (ASIDE) | TIMEOUT)
#define WAITS (TO (PROPOSED) | TO (WAITING) | TO (LAUNCHING))
#define LIVE (WAITS | TO (RUNNING))

/* Ours beside those in `states`: as users of flux-jobs(1) know them, and what people say. */
static const struct {
    const char *name;
    unsigned states;
} other_names[] = {
    { "aside", ASIDES },        { "set-aside", ASIDES },     { "failed", TO (ASIDE) },      { "timeout", TIMEOUT },
    { "depend", TO (PROPOSED) }, { "sched", TO (WAITING) },  { "ready", TO (WAITING) },     { "submitted", TO (LAUNCHING) },
    { "run", TO (RUNNING) },    { "pending", WAITS },        { "active", LIVE },            { "completed", TO (SUCCEEDED) },
    { "done", TO (SUCCEEDED) }, { "canceled", TO (CANCELLED) }, { "inactive", TO (SUCCEEDED) | ASIDES | TO (CANCELLED) },
};

static unsigned states_of (const char *name, size_t size)
{
    for (size_t i = 0; i < sizeof (other_names) / sizeof (other_names[0]); i++)
        if (strlen (other_names[i].name) == size && strncasecmp (other_names[i].name, name, size) == 0)
            return other_names[i].states;
    for (unsigned i = 0; i < STATES; i++)
        if (strlen (states[i].name) == size && strncasecmp (states[i].name, name, size) == 0)
            return 1u << i;
    return 0;
}

int schedule_states_read (const char *names, unsigned *mask, struct strata_error *error)
{
    *mask = *names ? 0 : LIVE | TO (SUCCEEDED) | ASIDES | TO (CANCELLED);
    for (const char *at = names; *names && at;) {
        size_t size = strcspn (at, ",");
        unsigned one = states_of (at, size);
        if (!one)
            return strata_fail (error,
                                "\"%.*s\" is no state of a job; there are proposed, waiting, launching, running, succeeded, aside, cancelled, "
                                "and in the words of flux-jobs: depend, sched, run, pending, active, inactive, completed, failed, canceled, timeout",
                                size < 40 ? (int)size : 40, at);
        *mask |= one;
        at = at[size] ? at + size + 1 : NULL;
    }
    return 0;
}

bool schedule_states_have (unsigned mask, const Strata__Job *job)
{
    bool timeout = job->state == S (ASIDE) && job->end == STRATA__JOB_END__END_WALLTIME;
    return mask & (timeout ? TIMEOUT : 1u << job->state);
}

bool schedule_states_live (unsigned mask)
{
    return !(mask & ~LIVE);
}

/* ---- what must be true in them ---- */

static const char *broken_rule (const Strata__Job *job, const struct campaign_job *type)
{
    bool holds = job->state == S (LAUNCHING) || job->state == S (RUNNING);
    size_t nodes = !holds ? 0 : type->nodes ? type->nodes : 1;
    if (job->n_cores != nodes * type->cores || job->n_gpus != nodes * type->gpus
        || job->n_nodes != (type->cores || type->gpus ? nodes : 0))
        return "it holds other resources than its state and type allow";
    if (job->tries > job->attempt)
        return "more tries count than there were attempts";
    switch (job->state) {
    case S (PROPOSED):
        return !job->proposal[0] || job->attempt ? "a proposed job has a proposal and no attempt" : NULL;
    case S (WAITING):
        return job->tries >= job->tries_limit ? "a waiting job has a try left" : NULL;
    case S (LAUNCHING):
        return job->attempt == 0 ? "a job is launched as attempt 1 or later" : NULL;
    case S (RUNNING):
        return job->attempt == 0 || job->started_us == 0 ? "a running job has an attempt and a start" : NULL;
    case S (SUCCEEDED):
        return job->end != STRATA__JOB_END__END_EXIT || job->code ? "a success is exit 0" : NULL;
    case S (ASIDE):
        return job->tries < job->tries_limit || !job->reason[0] ? "a job set aside has no try left, and a reason"
                                                                : NULL;
    case S (CANCELLED):
        return !job->cancel ? "a cancelled job was asked to be" : NULL;
    default:
        return "there is no such state";
    }
}

int schedule_state_check (const Strata__Job *job, const struct campaign_job *type, struct strata_error *error)
{
    const char *rule = broken_rule (job, type);
    return rule ? strata_fail (error, "job %s is %s, but %s; this is a bug of strata-schedule, please report it",
                               job->id, schedule_state_name (job->state), rule)
                : 0;
}
