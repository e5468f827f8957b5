/* main.c - the status service: asks, listens, and answers from the core. See README.md. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/node.h"
#include "mesh/cards.h"
#include "mesh/service.h"
#include "status_core.h"

#define ASK_TIMEOUT_MS 2000
#define STREAMS_EVERY_US 1000000
#define CARDS_MAX 1024

/* What is under way to one replica. Freed at the end only: answers come back with a pointer to it. */
struct probe {
    struct probe *next;
    char replica[64];
    bool streams_asked, events_asked;
    int64_t streams_us;
};

struct state {
    struct status_core *core;
    struct replicas_stamp wanted; /* of the file that was read last */
    struct probe *probes;
    int64_t started_us;
};

static struct probe *probe_of (struct state *self, const char *replica)
{
    for (struct probe *p = self->probes; p; p = p->next)
        if (strcmp (p->replica, replica) == 0)
            return p;
    struct probe *p = calloc (1, sizeof (*p));
    if (!p)
        return NULL;
    snprintf (p->replica, sizeof (p->replica), "%s", replica);
    p->next = self->probes;
    self->probes = p;
    return p;
}

static void ask_events (struct service *service, struct probe *probe);

static void on_events_read (struct service *service, const struct reply *reply, void *arg)
{
    struct state *self = service_state (service);
    struct probe *probe = arg;
    probe->events_asked = false;
    if (reply->ok
        && status_take_events (self->core, probe->replica, (const Strata__StreamReadReply *)reply->body,
                               reply->blobs, reply->blobs_count, service_now_us (service)))
        ask_events (service, probe);
}

static void ask_events (struct service *service, struct probe *probe)
{
    struct state *self = service_state (service);
    Strata__StreamRead read = STRATA__STREAM_READ__INIT;
    read.stream = "events";
    read.max_bytes = 4u << 20;
    status_want_events (self->core, probe->replica, &read.from, &read.max_records);
    probe->events_asked = true;
    service_call (service, probe->replica, STRATA__MESSAGE_TYPE__TYPE_STREAM_READ, &read.base, NULL, 0,
                  &strata__stream_read_reply__descriptor, ASK_TIMEOUT_MS, on_events_read, probe);
}

static void on_streams (struct service *service, const struct reply *reply, void *arg)
{
    struct state *self = service_state (service);
    struct probe *probe = arg;
    probe->streams_asked = false;
    if (reply->ok)
        status_take_streams (self->core, probe->replica, (const Strata__StreamStatReply *)reply->body,
                             service_now_us (service));
}

static void ask_streams (struct service *service, struct probe *probe, int64_t now_us)
{
    Strata__StreamStat stat = STRATA__STREAM_STAT__INIT;
    probe->streams_asked = true;
    probe->streams_us = now_us;
    service_call (service, probe->replica, STRATA__MESSAGE_TYPE__TYPE_STREAM_STAT, &stat.base, NULL, 0,
                  &strata__stream_stat_reply__descriptor, ASK_TIMEOUT_MS, on_streams, probe);
}

static void on_heartbeat (struct service *service, const Strata__Heartbeat *heartbeat, void *arg)
{
    struct state *self = service_state (service);
    status_heartbeat (self->core, heartbeat, service_now_us (service));
}

/* A replica does not hear itself. */
static void own_heartbeat (struct service *service, int64_t now_us)
{
    struct state *self = service_state (service);
    struct status_figures f;
    char node[64];
    Strata__Heartbeat hb = STRATA__HEARTBEAT__INIT;
    Strata__Metric metrics[2] = { STRATA__METRIC__INIT, STRATA__METRIC__INIT };
    Strata__Metric *pointers[] = { &metrics[0], &metrics[1] };
    status_figures (self->core, now_us, &f);
    node_name (node, sizeof (node));
    metrics[0].name = "events_kept";
    metrics[0].value = (double)f.events;
    metrics[0].limit = STATUS_EVENTS_MAX;
    metrics[1].name = "events_bytes";
    metrics[1].value = (double)f.events_bytes;
    metrics[1].limit = STATUS_EVENTS_BYTES;
    hb.service = "status";
    hb.replica = (char *)service_replica (service);
    hb.node = node;
    hb.pid = (uint32_t)getpid ();
    hb.now_us = now_us;
    hb.started_us = self->started_us;
    hb.active = true;
    hb.metrics = pointers;
    hb.n_metrics = 2;
    status_heartbeat (self->core, &hb, now_us);
}

static void read_wanted (struct service *service)
{
    struct state *self = service_state (service);
    struct strata_error error;
    struct replicas wanted;
    if (replicas_read (service_workspace (service), service_campaign (service), &wanted, &error) < 0)
        service_trouble (service, "%s", error.text);
    else {
        service_trouble (service, NULL);
        status_wanted (self->core, &wanted);
    }
}

static void on_tick (struct service *service, int64_t now_us)
{
    struct state *self = service_state (service);
    struct replicas_stamp stamp = replicas_stamp (service_workspace (service));
    if (memcmp (&stamp, &self->wanted, sizeof (stamp)) != 0) {
        self->wanted = stamp;
        read_wanted (service);
    }
    static char names[CARDS_MAX][64];
    struct card *cards;
    size_t count = cards_read (service_workspace (service), &cards);
    if (count > CARDS_MAX)
        count = CARDS_MAX;
    for (size_t i = 0; i < count; i++)
        snprintf (names[i], sizeof (names[i]), "%s", cards[i].replica);
    free (cards);
    own_heartbeat (service, now_us);
    status_cards (self->core, names, count, now_us);
    for (size_t i = 0; i < count; i++) {
        struct probe *probe = status_has_streams (self->core, names[i], now_us) ? probe_of (self, names[i]) : NULL;
        if (probe && !probe->events_asked)
            ask_events (service, probe);
        if (probe && !probe->streams_asked && now_us - probe->streams_us >= STREAMS_EVERY_US)
            ask_streams (service, probe, now_us);
    }
    status_tick (self->core, now_us);
}

static void on_status (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    struct state *self = service_state (service);
    Strata__StatusReply reply;
    status_reply (self->core, service_now_us (service), &reply);
    request_reply (request, &reply.base);
    status_reply_fini (&reply);
}

static void on_events (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    struct state *self = service_state (service);
    const Strata__Events *ask = (const Strata__Events *)body;
    Strata__EventsReply reply;
    status_events (self->core, ask->after, ask->max, &reply);
    request_reply (request, &reply.base);
    status_events_fini (&reply);
}

static void stop (struct service *service)
{
    struct state *self = service_state (service);
    if (!self)
        return;
    while (self->probes) {
        struct probe *next = self->probes->next;
        free (self->probes);
        self->probes = next;
    }
    status_free (&self->core);
    free (self);
    service_set_state (service, NULL);
}

static int start (struct service *service, struct strata_error *error)
{
    uint64_t boot = 0;
    struct state *self = calloc (1, sizeof (*self));
    if (!self)
        return strata_fail (error, "out of memory");
    service_set_state (service, self);
    self->started_us = service_now_us (service);
    if (getrandom (&boot, sizeof (boot), 0) != sizeof (boot))
        boot = (uint64_t)self->started_us;
    self->core = status_new (service_campaign (service), service_workspace (service), boot | 1);
    if (!self->core) {
        stop (service);
        return strata_fail (error, "out of memory");
    }
    read_wanted (service);
    service_on_heartbeat (service, on_heartbeat, NULL);
    return 0;
}

static void metrics (struct service *service)
{
    struct state *self = service_state (service);
    struct status_figures f;
    if (!self)
        return;
    status_figures (self->core, service_now_us (service), &f);
    service_metric (service, "replicas", (double)f.replicas, 0);
    service_metric (service, "replicas_alive", (double)f.alive, 0);
    service_metric (service, "events_kept", (double)f.events, STATUS_EVENTS_MAX);
    service_metric (service, "events_bytes", (double)f.events_bytes, STATUS_EVENTS_BYTES);
    service_metric (service, "events_pending", (double)f.events_pending, STATUS_PENDING_MAX);
}

int main (int argc, char **argv)
{
    static const struct service_handler handlers[] = {
        { STRATA__MESSAGE_TYPE__TYPE_STATUS, &strata__status__descriptor, false, on_status },
        { STRATA__MESSAGE_TYPE__TYPE_EVENTS, &strata__events__descriptor, false, on_events },
        { .type = 0 },
    };
    static const struct service_timer timers[] = { { 500, on_tick }, { 0, NULL } };
    const struct service_spec spec = {
        .name = "status",
        .about = "answers what the campaign does, with the age of every figure",
        .has_shard = false,
        .handlers = handlers,
        .timers = timers,
        .start = start,
        .stop = stop,
        .metrics = metrics,
    };
    return service_main (&spec, argc, argv);
}
