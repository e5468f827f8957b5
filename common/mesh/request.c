/* request.c - a request on its way through a replica: checked, dispatched, answered once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "mesh/chunks.h"
#include "mesh/replies.h"
#include "mesh/service_internal.h"
#include "mesh/stream_server.h"
#include "store/stream.h"

struct request {
    struct service *service;
    struct request *next;
    zframe_t *identity;
    struct wire_message message;
    const struct service_handler *handler;
    ProtobufCMessage *body;
    struct blob *blobs;             /* as many as the message has */
    bool told;                      /* to its handler */
    uint64_t changes;               /* of the shard, before the handler ran */
};

static void request_free (struct request *request)
{
    for (struct request **p = &request->service->open_requests; *p; p = &(*p)->next)
        if (*p == request) {
            *p = request->next;
            break;
        }
    if (request->body)
        protobuf_c_message_free_unpacked (request->body, NULL);
    free (request->blobs);
    wire_fini (&request->message);
    zframe_destroy (&request->identity);
    free (request);
}

void service_drop_requests (struct service *self)
{
    while (self->open_requests)
        request_free (self->open_requests);
}

const Strata__Header *request_header (const struct request *request)
{
    return request->message.header;
}

size_t request_blobs (const struct request *request)
{
    return request->message.blobs;
}

struct blob request_blob (const struct request *request, size_t i)
{
    return i < request->message.blobs ? request->blobs[i] : (struct blob){ NULL, 0 };
}

static Strata__Header reply_header (struct request *request, uint32_t type)
{
    Strata__Header header = mesh_header (&request->service->mesh, type);
    header.request = request->message.header->request;
    header.trace = request->message.header->trace;
    return header;
}

/* Queues the answer and, when the request changed something, keeps it for a retry. It takes over the blobs. passes: it says
 * "not now", and a retry must be carried out. */
static void answer (struct request *request, uint32_t type, const ProtobufCMessage *body, zframe_t **blobs, size_t blobs_count,
                    bool passes)
{
    struct service *service = request->service;
    Strata__Header header = reply_header (request, type);
    zmsg_t *msg = wire_pack (&header, body);
    if (request->told && request->handler->mutates) {
        zmsg_first (msg);
        zframe_t *packed = zmsg_next (msg);
        recording_output (service, type, zframe_data (packed), zframe_size (packed));
    }
    if (!passes && request->handler && request->handler->mutates && service->shard && shard_changes (service->shard) != request->changes) {
        zmsg_first (msg);
        zframe_t *packed = zmsg_next (msg);
        replies_keep (service->shard,
                      request->message.header,
                      service->now_us,
                      type,
                      zframe_data (packed),
                      zframe_size (packed));
    }
    for (size_t i = 0; i < blobs_count; i++)
        zmsg_append (msg, &blobs[i]);
    if (service->replay)
        zmsg_destroy (&msg);
    else
        mesh_send_reply (&service->mesh, request->identity, type, &msg);
    request_free (request);
}

void request_reply (struct request *request, const ProtobufCMessage *body)
{
    answer (request, request->handler->type + 1, body, NULL, 0, false);
}

void request_reply_blob (struct request *request, const ProtobufCMessage *body, const void *blob, size_t size)
{
    zframe_t *frame = zframe_new (blob, size);
    answer (request, request->handler->type + 1, body, &frame, 1, false);
}

void request_reply_chunks (struct request *request, const ProtobufCMessage *body, struct chunks *chunks)
{
    size_t count;
    zframe_t **blobs = chunks_blobs (chunks, &count);
    answer (request, request->handler->type + 1, body, blobs, count, false);
}

void request_refuse (struct request *request, Strata__RefusalCode code, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start (ap, fmt);
    vsnprintf (text, sizeof (text), fmt, ap);
    va_end (ap);
    Strata__Refusal refusal = STRATA__REFUSAL__INIT;
    refusal.code = code;
    refusal.reason = text;
    if (code != STRATA__REFUSAL_CODE__REFUSED_UNAVAILABLE && code != STRATA__REFUSAL_CODE__REFUSED_NOT_FOUND) {
        request->service->refused++;
        log_info ("refused %s's request of type %u: %s",
                  request->message.header->sender,
                  request->message.header->type,
                  text);
    }
    bool passes = code == STRATA__REFUSAL_CODE__REFUSED_UNAVAILABLE || code == STRATA__REFUSAL_CODE__REFUSED_FULL;
    answer (request, STRATA__MESSAGE_TYPE__TYPE_REFUSAL, &refusal.base, NULL, 0, passes);
}

static const struct service_handler *find_in (const struct service_handler *handlers, uint32_t type)
{
    for (; handlers && handlers->type; handlers++)
        if (handlers->type == type)
            return handlers;
    return NULL;
}

static const struct service_handler *find_handler (const struct service_spec *spec, uint32_t type)
{
    const struct service_handler *handler = find_in (spec->handlers, type);
    return handler || !spec->has_shard ? handler : find_in (stream_server_handlers, type);
}

/* The answer goes to where the retry came from: the connection of the first may be gone. */
static bool is_being_handled (const struct service *self, const Strata__Header *header, zframe_t *identity)
{
    for (struct request *r = self->open_requests; r; r = r->next)
        if (r->message.header->request == header->request && r->message.header->boot == header->boot
            && strcmp (r->message.header->sender, header->sender) == 0) {
            zframe_destroy (&r->identity);
            r->identity = zframe_dup (identity);
            return true;
        }
    return false;
}

/* True when the request was answered from memory, or refused as a copy of one whose answer is forgotten. */
static bool answered_before (struct request *request)
{
    struct service *service = request->service;
    uint32_t type;
    void *body;
    size_t size;
    switch (replies_look (service->shard, request->message.header, &type, &body, &size)) {
    case REPLIES_SETTLED:
        /* Its asker has said that it has the answer: a copy of long ago, or somebody's who recorded it. */
        request_refuse (request,
                        STRATA__REFUSAL_CODE__REFUSED_STALE,
                        "request %llu of %s was answered, and its asker has the answer: this is a copy",
                        (unsigned long long)request->message.header->request,
                        request->message.header->sender);
        return true;
    case REPLIES_KNOWN: {
        service->repeated++;
        Strata__Header header = reply_header (request, type);
        zmsg_t *msg = wire_pack_bytes (&header, body, size);
        stream_server_blobs_again (service, request->body, body, size, msg);
        mesh_send_reply (&service->mesh, request->identity, type, &msg);
        free (body);
        request_free (request);
        return true;
    }
    case REPLIES_NEW:
        break;
    }
    return false;
}

static struct request *request_new (struct service *self, zframe_t *identity, struct wire_message *message)
{
    struct request *request = calloc (1, sizeof (*request));
    if (!request) {
        wire_fini (message);
        return NULL;
    }
    *request = (struct request){ .service = self, .identity = identity ? zframe_dup (identity) : NULL, .message = *message };
    request->next = self->open_requests;
    self->open_requests = request;
    return request;
}

/* Hands a request whose body is parsed to its handler. True when it is answered. */
static bool handle (struct service *self, struct request *request, const struct service_handler *handler)
{
    request->handler = handler;
    request->blobs = wire_blobs (&request->message);
    request->changes = self->shard ? shard_changes (self->shard) : 0;
    request->told = true;
    handler->handle (self, request, request->body);
    for (const struct request *r = self->open_requests; r; r = r->next)
        if (r == request)
            return false;
    return true;
}

/* What only reads is no input: it left nothing behind. */
static void handle_recorded (struct service *self, struct request *request, const struct service_handler *handler)
{
    struct journal_mark mark = journal_mark (self->journal);
    uint64_t changes = self->shard ? shard_changes (self->shard) : 0;
    recording_request (self, &request->message);
    bool answered = handle (self, request, handler);
    if (answered && !handler->mutates && (!self->shard || shard_changes (self->shard) == changes))
        journal_undo (self->journal, &mark);
}

void replay_request (struct service *self, const struct journal_item *item)
{
    struct strata_error error = { "it is not there" };
    struct wire_message message = { 0 };
    Strata__RefusalCode code;
    zmsg_t *frames = zmsg_new ();
    for (size_t i = 0; i < item->parts_count; i++)
        zmsg_addmem (frames, item->parts[i].data, item->parts[i].size);
    if (wire_parse (&message, &frames, &code, &error) < 0) {
        replay_differs (self, "a recorded request can't be parsed: %s", error.text);
        wire_fini (&message);
        return;
    }
    const struct service_handler *handler = find_handler (self->spec, message.header->type);
    struct request *request = request_new (self, NULL, &message);
    if (!request)
        return;
    request->body = handler ? wire_body (&request->message, handler->body, &error) : NULL;
    if (request->body)
        handle (self, request, handler);
    else {
        replay_differs (self, "a recorded request of type %u is not handled: %s", request->message.header->type, error.text);
        request_free (request);
    }
}

void service_take_request (struct mesh *mesh, zframe_t *identity, struct wire_message *message, void *arg)
{
    struct service *self = arg;
    struct strata_error error;
    if (is_being_handled (self, message->header, identity)) {
        self->repeated++;
        wire_fini (message);
        return;
    }
    struct request *request = request_new (self, identity, message);
    if (!request)
        return;
    const Strata__Header *header = request->message.header;
    const struct service_handler *handler = find_handler (self->spec, header->type);
    if (!producer_name_valid (header->sender) || strchr (header->sender, '/')) {
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_INVALID, "the header's sender is not a name");
        return;
    }
    if (!handler) {
        request_refuse (request,
                        STRATA__REFUSAL_CODE__REFUSED_UNKNOWN_TYPE,
                        "%s does not answer requests of type %u",
                        self->replica,
                        header->type);
        return;
    }
    if (!self->active) {
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_UNAVAILABLE, "%s stands by", self->replica);
        return;
    }
    if (!mesh_epoch_is_current (mesh, header)) {
        request_refuse (request,
                        STRATA__REFUSAL_CODE__REFUSED_STALE,
                        "%s's epoch %llu is over: another process holds its shard",
                        header->sender,
                        (unsigned long long)header->epoch);
        return;
    }
    request->body = wire_body (&request->message, handler->body, &error);
    if (!request->body) {
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_MALFORMED, "%s", error.text);
        return;
    }
    request->handler = handler;
    if (handler->mutates && self->shard && answered_before (request))
        return;
    self->handled++;
    handle_recorded (self, request, handler);
}
