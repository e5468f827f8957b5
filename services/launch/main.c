/* main.c - strata-launch: the launch agent of one node. Wiring only. See README.md. */
#include <stdlib.h>

#include "../schedule/machine_file.h"
#include "agent.h"
#include "core/log.h"
#include "core/node.h"
#include "mesh/service.h"

#define TICK_MS 2000

struct state {
    struct agent *agent;
    int64_t drain_until_us; /* 0: the node stays */
};

static int describe_node (struct service *service, const char *node, struct strata_error *error)
{
    struct machine machine = { .count = 0 };
    int rc = machine_discover (&machine, error);
    unsigned gpus = service_campaign (service)->schedule.gpus;
    if (rc == 0 && gpus)
        rc = machine_set_gpus (&machine, gpus, error);
    if (rc == 0)
        rc = machine_save (&machine, service_workspace (service), node, error);
    machine_fini (&machine);
    return rc;
}

static void launch_stop (struct service *service)
{
    struct state *self = service_state (service);
    if (self)
        agent_free (&self->agent);
    free (self);
    service_set_state (service, NULL);
}

static int launch_start (struct service *service, struct strata_error *error)
{
    char node[64];
    struct state *self = calloc (1, sizeof (*self));
    if (!self)
        return strata_fail (error, "out of memory");
    service_set_state (service, self);
    node_name (node, sizeof (node));
    if (describe_node (service, node, error) == 0
        && (self->agent = agent_new (service_workspace (service), service_bin_dir (service), node, error)))
        return 0;
    launch_stop (service);
    return -1;
}

static void on_attend (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    struct state *self = service_state (service);
    Strata__AttendReply reply;
    if (self->drain_until_us) {
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_UNAVAILABLE, "the node leaves the campaign");
        return;
    }
    agent_attend (self->agent, (const Strata__Attend *)body, &reply);
    request_reply (request, &reply.base);
    agent_reply_fini (&reply);
}

static void on_tick (struct service *service, int64_t now_us)
{
    struct state *self = service_state (service);
    agent_tick (self->agent);
}

/* The node leaves: its jobs end, and go on on others. */
static bool launch_drain (struct service *service, int64_t now_us)
{
    struct state *self = service_state (service);
    if (!self || service_hands_over (service))
        return true; /* the jobs run on under their shepherds */
    if (!self->drain_until_us) {
        self->drain_until_us = now_us + ((int64_t)agent_grace_s (self->agent) + 5) * 1000000;
        log_info ("the node leaves: %zu attempts are stopped", agent_running (self->agent));
    }
    return agent_stop_all (self->agent) || now_us >= self->drain_until_us;
}

static void launch_metrics (struct service *service)
{
    struct state *self = service_state (service);
    if (self)
        service_metric (service, "attempts_running", (double)agent_running (self->agent), 0);
}

static const struct service_handler handlers[] = {
    { STRATA__MESSAGE_TYPE__TYPE_ATTEND, &strata__attend__descriptor, false, on_attend },
    { 0, NULL, false, NULL },
};

static const struct service_timer timers[] = { { TICK_MS, on_tick }, { 0, NULL } };

int main (int argc, char **argv)
{
    static const struct service_spec spec = {
        .name = "launch",
        .about = "starts jobs on its node",
        .handlers = handlers,
        .timers = timers,
        .start = launch_start,
        .drain = launch_drain,
        .stop = launch_stop,
        .metrics = launch_metrics,
    };
    return service_main (&spec, argc, argv);
}
