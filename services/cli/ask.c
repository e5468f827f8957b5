/* ask.c - see cli.h: requests to a running mesh that end soon, whatever runs and whatever doesn't. */

#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "mesh/cards.h"

struct strata_client *ask_open (const struct workspace *workspace, int timeout_ms, struct strata_error *error)
{
    if (!workspace_supervisor (workspace) && !workspace_is_live (workspace)) {
        char jobs[128] = "";
        size_t running = workspace_shepherds (workspace);
        if (running)
            snprintf (jobs, sizeof (jobs), " (%zu of its jobs run on under their shepherds; they are taken over)", running);
        strata_fail (error, "campaign %s is not up: no service of workspace %s runs; start it with `strata up %s`%s",
                     workspace->campaign, workspace->path, workspace->file, jobs);
        return NULL;
    }
    return strata_open (workspace->path, "strata", timeout_ms, error);
}

static ProtobufCMessage *ask (struct strata_client *client, const char *peer, uint32_t type,
                              const ProtobufCMessage *body, const ProtobufCMessageDescriptor *reply_body,
                              struct strata_error *error)
{
    ProtobufCMessage *reply = NULL;
    if (client_request (client, peer, type, body, NULL, 0, reply_body, &reply, NULL, NULL, error) < 0)
        return NULL;
    return reply;
}

Strata__StatusReply *ask_status (struct strata_client *client, struct strata_error *error)
{
    Strata__Status body = STRATA__STATUS__INIT;
    return (Strata__StatusReply *)ask (client, "status", STRATA__MESSAGE_TYPE__TYPE_STATUS, &body.base,
                                       &strata__status_reply__descriptor, error);
}

Strata__EventsReply *ask_events (struct strata_client *client, uint64_t after, uint32_t max, struct strata_error *error)
{
    Strata__Events body = STRATA__EVENTS__INIT;
    body.after = after;
    body.max = max;
    return (Strata__EventsReply *)ask (client, "status", STRATA__MESSAGE_TYPE__TYPE_EVENTS, &body.base,
                                       &strata__events_reply__descriptor, error);
}

Strata__JobsReply *ask_jobs (struct strata_client *client, const Strata__Jobs *query, struct strata_error *error)
{
    return (Strata__JobsReply *)ask (client, "schedule", STRATA__MESSAGE_TYPE__TYPE_JOBS, &query->base, &strata__jobs_reply__descriptor, error);
}

Strata__JobsReply *ask_running (struct strata_client *client, uint32_t max, struct strata_error *error)
{
    Strata__Jobs query = STRATA__JOBS__INIT;
    query.state = (char *)"running";
    query.max = max;
    return ask_jobs (client, &query, error);
}

Strata__CancelReply *ask_cancel (struct strata_client *client, const char *id, const char *state, const char *type, bool all,
                                 struct strata_error *error)
{
    Strata__Cancel body = STRATA__CANCEL__INIT;
    body.id = (char *)id;
    body.state = (char *)state;
    body.type = (char *)type;
    body.all = all;
    return (Strata__CancelReply *)ask (client, "schedule", STRATA__MESSAGE_TYPE__TYPE_CANCEL, &body.base,
                                       &strata__cancel_reply__descriptor, error);
}

Strata__NodeReply *ask_node (struct strata_client *client, const char *node, const char *state, struct strata_error *error)
{
    Strata__Node body = STRATA__NODE__INIT;
    body.node = (char *)node;
    body.state = (char *)state;
    return (Strata__NodeReply *)
        ask (client, "schedule", STRATA__MESSAGE_TYPE__TYPE_NODE, &body.base, &strata__node_reply__descriptor, error);
}

Strata__UpdateReply *ask_update (struct strata_client *client, const char *name, const char *value, struct strata_error *error)
{
    Strata__Update body = STRATA__UPDATE__INIT;
    body.name = (char *)name;
    body.value = (char *)value;
    return (Strata__UpdateReply *)
        ask (client, "schedule", STRATA__MESSAGE_TYPE__TYPE_UPDATE, &body.base, &strata__update_reply__descriptor, error);
}

Strata__RetryReply *ask_retry (struct strata_client *client, const char *id, const char *type, struct strata_error *error)
{
    Strata__Retry body = STRATA__RETRY__INIT;
    body.id = (char *)id;
    body.type = (char *)type;
    return (Strata__RetryReply *)
        ask (client, "schedule", STRATA__MESSAGE_TYPE__TYPE_RETRY, &body.base, &strata__retry_reply__descriptor, error);
}
