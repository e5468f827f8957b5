/* main.c - the feedback service: the managers that the campaign file asks for, in one shell. See README.md. */
#include <errno.h>
#include <stdlib.h>

#include "feedback_rebuild.h"
#include "manager.h"

static const struct feedback_manager *const managers[] = { &rdf_manager, &patterns_manager };
#define MANAGERS (sizeof (managers) / sizeof (managers[0]))

struct state {
    void *of[MANAGERS]; /* NULL: not wanted */
};

static void stop (struct service *service)
{
    struct state *self = service_state (service);
    if (!self)
        return;
    for (size_t i = MANAGERS; i-- > 0;)
        if (self->of[i])
            managers[i]->stop (self->of[i], service);
    free (self);
    service_set_state (service, NULL);
}

static int start (struct service *service, struct strata_error *error)
{
    struct state *self = calloc (1, sizeof (*self));
    if (!self)
        return strata_fail (error, "out of memory");
    service_set_state (service, self);
    for (size_t i = 0; i < MANAGERS; i++) {
        if (!managers[i]->wanted (service_campaign (service), service_shard_number (service)))
            continue;
        if (!(self->of[i] = managers[i]->start (service, error))) {
            int saved = errno;
            stop (service);
            errno = saved;
            return -1;
        }
    }
    return 0;
}

static void on_tick (struct service *service, int64_t now_us)
{
    struct state *self = service_state (service);
    for (size_t i = 0; i < MANAGERS; i++)
        if (self->of[i])
            managers[i]->tick (self->of[i], service, now_us);
}

static void metrics (struct service *service)
{
    struct state *self = service_state (service);
    for (size_t i = 0; self && i < MANAGERS; i++)
        if (self->of[i])
            managers[i]->metrics (self->of[i], service);
}

static unsigned shards (const struct campaign *campaign)
{
    return campaign->feedback.shards;
}

int main (int argc, char **argv)
{
    static const struct service_handler handlers[] = { { .type = 0 } };
    static const struct service_timer timers[] = { { 100, on_tick }, { 0, NULL } };
    const struct service_spec spec = {
        .name = "feedback",
        .about = "sums what the fine simulations measure and reports it to the coarser model",
        .has_shard = true,
        .shards = shards,
        .handlers = handlers,
        .timers = timers,
        .start = start,
        .stop = stop,
        .metrics = metrics,
        .rebuild = feedback_rebuild,
    };
    return service_main (&spec, argc, argv);
}
