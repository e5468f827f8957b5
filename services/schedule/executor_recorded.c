/* executor_recorded.c - see executor_recorded.h */
#include "executor_recorded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An answer of 0 or more, or of -1 with its sentence. */
static int fact_rc (struct service *service, int rc, struct strata_error *error)
{
    service_fact (service, &rc, sizeof (rc));
    if (rc < 0)
        service_fact_text (service, error->text, sizeof (error->text));
    return rc;
}

static int recorded_capacity (void *arg, struct executor_capacity *capacity, struct strata_error *error)
{
    struct executor_recorded *self = arg;
    bool replays = service_replays (self->service);
    *capacity = (struct executor_capacity){ 0 };
    if (fact_rc (self->service, replays ? 0 : self->ops->capacity (self->executor, capacity, error), error) != 0)
        return -1;
    service_fact (self->service, &capacity->cores_count, sizeof (capacity->cores_count));
    if (replays && !(capacity->cores = calloc (capacity->cores_count + 1, sizeof (*capacity->cores))))
        return strata_fail (error, "out of memory");
    service_fact (self->service, capacity->cores, capacity->cores_count * sizeof (*capacity->cores));
    return 0;
}

static int recorded_launch (void *arg, const struct executor_order *order, uint32_t *pid, struct strata_error *error)
{
    struct executor_recorded *self = arg;
    int rc = service_replays (self->service) ? 0 : self->ops->launch (self->executor, order, pid, error);
    rc = fact_rc (self->service, rc, error);
    service_fact (self->service, pid, sizeof (*pid));
    return rc;
}

static enum executor_state recorded_poll (void *arg, const struct executor_ref *ref, struct outcome *outcome)
{
    struct executor_recorded *self = arg;
    enum executor_state state = EXECUTOR_NEVER;
    if (!service_replays (self->service))
        state = self->ops->poll (self->executor, ref, outcome);
    service_fact (self->service, &state, sizeof (state));
    if (state != EXECUTOR_ENDED && state != EXECUTOR_LOST)
        return state;
    service_fact (self->service, &outcome->end, sizeof (outcome->end));
    service_fact (self->service, &outcome->code, sizeof (outcome->code));
    service_fact (self->service, &outcome->max_rss_mb, sizeof (outcome->max_rss_mb));
    service_fact (self->service, &outcome->started_us, sizeof (outcome->started_us));
    service_fact (self->service, &outcome->ended_us, sizeof (outcome->ended_us));
    service_fact_text (self->service, outcome->reason, sizeof (outcome->reason));
    service_fact_text (self->service, outcome->stderr_tail, sizeof (outcome->stderr_tail));
    return state;
}

static void recorded_stop (void *arg, const struct executor_ref *ref)
{
    struct executor_recorded *self = arg;
    if (!service_replays (self->service))
        self->ops->stop (self->executor, ref);
}

static void recorded_turn (void *arg)
{
    struct executor_recorded *self = arg;
    if (self->ops->turn && !service_replays (self->service))
        self->ops->turn (self->executor);
}

static const char *recorded_trouble (void *arg)
{
    struct executor_recorded *self = arg;
    if (!self->ops->trouble)
        return NULL;
    const char *text = service_replays (self->service) ? NULL : self->ops->trouble (self->executor);
    snprintf (self->trouble, sizeof (self->trouble), "%s", text ? text : "");
    service_fact_text (self->service, self->trouble, sizeof (self->trouble));
    return self->trouble[0] ? self->trouble : NULL;
}

const struct executor_ops executor_recorded = {
    .name = "recorded",
    .capacity = recorded_capacity,
    .launch = recorded_launch,
    .poll = recorded_poll,
    .stop = recorded_stop,
    .turn = recorded_turn,
    .trouble = recorded_trouble,
};
