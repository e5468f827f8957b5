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

static void fact_numbers (struct executor_recorded *self, void *numbers, size_t count, size_t size)
{
    service_fact (self->service, numbers, count * size);
}

/* One group of nodes; names are told where they are. */
static int fact_group (struct executor_recorded *self, struct machine *machine, size_t i, struct strata_error *error)
{
    struct machine_group shape = { 0 };
    if (i < machine->count)
        shape = machine->groups[i];
    bool named = shape.names != NULL;
    service_fact (self->service, &shape.nodes, sizeof (shape.nodes));
    service_fact (self->service, &shape.cores, sizeof (shape.cores));
    service_fact (self->service, &shape.gpus, sizeof (shape.gpus));
    service_fact (self->service, &shape.memory_mb, sizeof (shape.memory_mb));
    service_fact (self->service, &named, sizeof (named));
    struct machine_group *group = i < machine->count ? &machine->groups[i]
                                                     : machine_add (machine, shape.nodes, shape.cores, shape.gpus, shape.memory_mb, error);
    if (!group)
        return -1;
    fact_numbers (self, group->ids, group->cores, sizeof (*group->ids));
    for (int level = 0; level < MACHINE_LEVELS; level++)
        fact_numbers (self, group->level[level], group->cores, sizeof (uint16_t));
    fact_numbers (self, group->gpu_socket, group->gpus, sizeof (*group->gpu_socket));
    if (named && !group->names && !(group->names = calloc (group->nodes + 1, sizeof (char *))))
        return strata_fail (error, "out of memory");
    for (size_t n = 0; named && n < group->nodes; n++) {
        char name[256] = "";
        snprintf (name, sizeof (name), "%s", group->names[n] ? group->names[n] : "");
        service_fact_text (self->service, name, sizeof (name));
        if (!group->names[n] && !(group->names[n] = strdup (name)))
            return strata_fail (error, "out of memory");
    }
    return 0;
}

static int recorded_capacity (void *arg, struct machine *machine, struct strata_error *error)
{
    struct executor_recorded *self = arg;
    bool replays = service_replays (self->service);
    size_t count;
    if (fact_rc (self->service, replays ? 0 : self->ops->capacity (self->executor, machine, error), error) != 0)
        return -1;
    count = machine->count;
    service_fact (self->service, &count, sizeof (count));
    for (size_t i = 0; i < count; i++)
        if (fact_group (self, machine, i, error) != 0)
            return -1;
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

static bool recorded_moved (void *arg, size_t *node, bool *lost)
{
    struct executor_recorded *self = arg;
    if (!self->ops->moved)
        return false;
    bool moved = !service_replays (self->service) && self->ops->moved (self->executor, node, lost);
    service_fact (self->service, &moved, sizeof (moved));
    if (!moved)
        return false;
    service_fact (self->service, node, sizeof (*node));
    service_fact (self->service, lost, sizeof (*lost));
    return true;
}

static bool recorded_outgrown (void *arg)
{
    struct executor_recorded *self = arg;
    return self->ops->outgrown && !service_replays (self->service) && self->ops->outgrown (self->executor);
}

struct changed_ids {
    struct service *service;
    void (*each) (const char *id, void *arg);
    void *arg;
};

/* A fact for each, and an empty one behind the last. */
static void tell_changed (const char *id, void *arg)
{
    struct changed_ids *to = arg;
    char text[256];
    snprintf (text, sizeof (text), "%s", id);
    service_fact_text (to->service, text, sizeof (text));
    if (text[0])
        to->each (text, to->arg);
}

static int recorded_changed (void *arg, void (*each) (const char *id, void *arg), void *each_arg)
{
    struct executor_recorded *self = arg;
    struct changed_ids to = { self->service, each, each_arg };
    bool replays = service_replays (self->service), tells = !replays && self->ops->changed;
    int rc = tells ? self->ops->changed (self->executor, tell_changed, &to) : -1;
    char id[256] = "";
    /* Told one by one, while they come: what is played again comes from here. */
    do {
        service_fact_text (self->service, id, sizeof (id));
        if (replays && id[0])
            each (id, each_arg);
    } while (id[0]);
    service_fact (self->service, &rc, sizeof (rc));
    return rc;
}

const struct executor_ops executor_recorded = {
    .name = "recorded",
    .capacity = recorded_capacity,
    .launch = recorded_launch,
    .poll = recorded_poll,
    .stop = recorded_stop,
    .changed = recorded_changed,
    .turn = recorded_turn,
    .trouble = recorded_trouble,
    .moved = recorded_moved,
    .outgrown = recorded_outgrown,
};
