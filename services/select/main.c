/* main.c - wires the core of select to the shell: candidates of staging come in, proposals go out. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/crash_point.h"
#include "mesh/service.h"
#include "select_core.h"
#include "select_rebuild.h"

#define TICK_EVERY_MS 250u

static void on_event (const char *kind, const char *subject, const char *text, void *arg)
{
    service_event (arg, kind, subject, "%s", text);
}

static int on_candidate (struct service *service, const char *peer, uint64_t sequence, int64_t time_us,
                         const void *record, size_t size, void *arg)
{
    struct select_core *core = service_state (service);
    Strata__Candidate *candidate = strata__candidate__unpack (NULL, size, record);
    if (candidate) {
        select_add (core, candidate, service_now_us (service));
        strata__candidate__free_unpacked (candidate, NULL);
    }
    else {
        char why[256];
        snprintf (why, sizeof (why), "record %" PRIu64 " of stream %s of %s is no candidate", sequence,
                  service_campaign (service)->select.from, peer);
        select_refuse (core, why, service_now_us (service));
    }
    service_announce (service, SELECT_HISTORY);
    return 0;
}

static void on_propose (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__Propose *propose = (const Strata__Propose *)body;
    Strata__RefusalCode code;
    struct strata_error error;
    Strata__ProposeReply *reply = select_propose (service_state (service), propose->proposal, propose->count,
                                                  service_now_us (service), &code, &error);
    service_announce (service, SELECT_HISTORY);
    if (!reply) {
        request_refuse (request, code, "%s", error.text);
        return;
    }
    request_reply (request, &reply->base);
    crash_point ("select.proposed");
    strata__propose_reply__free_unpacked (reply, NULL);
}

static void on_confirm (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__Confirm *confirm = (const Strata__Confirm *)body;
    Strata__RefusalCode code;
    struct strata_error error;
    int rc = select_confirm (service_state (service), confirm->proposal, service_now_us (service), &code, &error);
    service_announce (service, SELECT_HISTORY);
    if (rc < 0) {
        request_refuse (request, code, "%s", error.text);
        return;
    }
    Strata__ConfirmReply reply = STRATA__CONFIRM_REPLY__INIT;
    crash_point ("select.confirmed");
    request_reply (request, &reply.base);
}

static void on_invalidate (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    Strata__RefusalCode code;
    struct strata_error error;
    Strata__InvalidateReply reply;
    if (select_invalidate (service_state (service), (const Strata__Invalidate *)body, service_now_us (service), &reply,
                           &code, &error) < 0) {
        request_refuse (request, code, "%s", error.text);
        return;
    }
    service_announce (service, SELECT_HISTORY);
    request_reply (request, &reply.base);
}

static void on_import (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    Strata__RefusalCode code;
    struct strata_error error;
    Strata__ImportReply reply;
    if (select_import (service_state (service), (const Strata__Import *)body, service_now_us (service), &reply, &code,
                       &error) < 0) {
        request_refuse (request, code, "%s", error.text);
        return;
    }
    service_announce (service, SELECT_HISTORY);
    request_reply (request, &reply.base);
}

static void on_weights (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    Strata__RefusalCode code;
    struct strata_error error;
    Strata__WeightsReply *reply;
    if (select_weights (service_state (service), (const Strata__Weights *)body, &reply, &code, &error) < 0) {
        request_refuse (request, code, "%s", error.text);
        return;
    }
    request_reply (request, &reply->base);
    strata__weights_reply__free_unpacked (reply, NULL);
}

static void on_tick (struct service *service, int64_t now_us)
{
    if (select_tick (service_state (service), now_us))
        service_announce (service, SELECT_HISTORY);
}

/* Queue names may hold what names of figures may not. */
static void metric_name (char *name, size_t size, const char *prefix, const char *queue)
{
    snprintf (name, size, "%s_%s", prefix, queue);
    for (char *p = name; *p; p++)
        if (!strchr ("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_", *p))
            *p = '_';
}

static void metrics (struct service *service)
{
    const struct select_core *core = service_state (service);
    const struct campaign_select *select = &service_campaign (service)->select;
    struct select_stat stat;
    select_stat (core, &stat);
    service_metric (service, "candidates_waiting", (double)stat.waiting, 0);
    for (unsigned i = 0; i < select->queues_count; i++) {
        char name[128];
        struct select_stat one;
        select_queue_stat (core, i, &one);
        metric_name (name, sizeof (name), "candidates_waiting", select->queues[i].name);
        service_metric (service, name, (double)one.waiting, select->queues[i].cap);
    }
    service_metric (service, "candidates_proposed", (double)stat.proposed, 0);
    service_metric (service, "candidates_selected", (double)stat.selected, 0);
    service_metric (service, "candidates_discarded", (double)stat.discarded, 0);
    service_metric (service, "candidates_invalid", (double)stat.invalid, 0);
    service_metric (service, "candidates_duplicate", (double)select_duplicates (core), 0);
    service_metric (service, "candidates_refused", (double)select_refused (core), 0);
    service_metric (service, "proposals_open", (double)select_open_proposals (core), 0);
    service_metric (service, "memory_bytes", (double)select_bytes (core), 0);
}

static int start (struct service *service, struct strata_error *error)
{
    struct select_core *core = select_open (service_shard (service), service_campaign (service), error);
    if (!core)
        return -1;
    service_set_state (service, core);
    select_on_event (core, on_event, service);
    service_consume (service, "stage", service_campaign (service)->select.from, on_candidate, NULL);
    return 0;
}

static void stop (struct service *service)
{
    struct select_core *core = service_state (service);
    select_close (&core);
    service_set_state (service, NULL);
}

static const struct service_handler handlers[] = {
    { STRATA__MESSAGE_TYPE__TYPE_PROPOSE, &strata__propose__descriptor, true, on_propose },
    { STRATA__MESSAGE_TYPE__TYPE_CONFIRM, &strata__confirm__descriptor, true, on_confirm },
    { STRATA__MESSAGE_TYPE__TYPE_INVALIDATE, &strata__invalidate__descriptor, true, on_invalidate },
    { STRATA__MESSAGE_TYPE__TYPE_WEIGHTS, &strata__weights__descriptor, false, on_weights },
    { STRATA__MESSAGE_TYPE__TYPE_IMPORT, &strata__import__descriptor, true, on_import },
    { 0 },
};

static const struct service_timer timers[] = {
    { TICK_EVERY_MS, on_tick },
    { 0 },
};

static const struct service_spec spec = {
    .name = "select",
    .about = "ranks candidates by novelty and proposes the next ones to promote",
    .has_shard = true,
    .handlers = handlers,
    .timers = timers,
    .start = start,
    .stop = stop,
    .metrics = metrics,
    .rebuild = select_rebuild,
};

int main (int argc, char **argv)
{
    return service_main (&spec, argc, argv);
}
