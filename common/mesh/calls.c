/* calls.c - requests to peers: sent after the commit that caused them, again until answered, with the same id.
 *
 * A retry is harmless: a replica remembers its replies to requests that change something (replies.c). `settled` in each
 * header tells it which of them it may forget.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/crash_point.h"
#include "core/log.h"
#include "mesh/mesh.h"
#include "mesh/mesh_internal.h"

#define FIRST_RETRY_US 500000
#define LAST_RETRY_US 4000000

static void call_free (struct mesh_call *call)
{
    zframe_destroy (&call->body);
    for (size_t i = 0; i < call->blobs_count; i++)
        zframe_destroy (&call->blobs[i]);
    free (call->blobs);
    free (call);
}

static void end (struct mesh_call *call, const struct reply *reply)
{
    if (call->callback)
        call->callback (call->owner, reply, call->arg);
    call_free (call);
}

static struct mesh_call **bucket (struct mesh *self, uint64_t id)
{
    return &self->calls_by_id[id % MESH_CALL_BUCKETS];
}

static struct mesh_call *find (struct mesh *self, uint64_t id)
{
    struct mesh_call *call = *bucket (self, id);
    while (call && call->id != id)
        call = call->same_bucket;
    return call;
}

static void put_in (struct mesh *self, struct mesh_call *call)
{
    struct mesh_call **first = bucket (self, call->id);
    call->same_bucket = *first;
    *first = call;
    call->prev = self->calls_last;
    *(call->prev ? &call->prev->next : &self->calls) = call;
    self->calls_last = call;
    self->calls_count++;
}

static void take_out (struct mesh *self, struct mesh_call *call)
{
    struct mesh_call **p = bucket (self, call->id);
    while (*p != call)
        p = &(*p)->same_bucket;
    *p = call->same_bucket;
    *(call->prev ? &call->prev->next : &self->calls) = call->next;
    *(call->next ? &call->next->prev : &self->calls_last) = call->prev;
    self->calls_count--;
}

void mesh_call (struct mesh *self, const char *peer, uint32_t type, const ProtobufCMessage *body, const struct blob *blobs,
                size_t blobs_count, const ProtobufCMessageDescriptor *reply_body, int timeout_ms, mesh_reply_f *callback,
                void *owner, void *arg)
{
    struct mesh_call *call = calloc (1, sizeof (*call));
    zframe_t **frames = calloc (blobs_count ? blobs_count : 1, sizeof (zframe_t *));
    if (!call || !frames) {
        log_error ("out of memory");
        abort ();
    }
    call->id = self->next_request++;
    snprintf (call->peer, sizeof (call->peer), "%s", peer);
    call->type = type;
    call->body = wire_frame (body);
    call->blobs = frames;
    for (size_t i = 0; i < blobs_count; i++)
        frames[i] = zframe_new (blobs[i].data, blobs[i].size);
    call->blobs_count = blobs_count;
    call->reply_body = reply_body;
    call->deadline_us = mesh_now_us () + (int64_t)timeout_ms * 1000;
    call->pause_us = FIRST_RETRY_US;
    call->callback = callback;
    call->owner = owner;
    call->arg = arg;
    put_in (self, call);
    mesh_queue_call (self, call->id);
}

size_t mesh_calls_open (const struct mesh *self)
{
    return self->calls_count;
}

static void send_call (struct mesh *self, struct mesh_call *call, int64_t now_us)
{
    struct mesh_peer *peer = mesh_peer_find (self, call->peer);
    self->resent += call->left;
    call->left = true;
    call->retry_us = now_us + call->pause_us;
    if (call->pause_us < LAST_RETRY_US)
        call->pause_us *= 2;
    if (!peer || !peer->dealer)
        return; /* its card will come: mesh_calls_resend */
    Strata__Header header = mesh_header (self, call->type);
    header.request = call->id;
    header.settled = self->calls->id;
    header.deadline_us = call->deadline_us;
    zmsg_t *msg = wire_pack_bytes (&header, zframe_data (call->body), zframe_size (call->body));
    for (size_t i = 0; i < call->blobs_count; i++) {
        zframe_t *copy = zframe_dup (call->blobs[i]);
        zmsg_append (msg, &copy);
    }
    crash_point ("send.%s", wire_type_name (call->type));
    if (zmsg_send (&msg, peer->dealer) < 0)
        zmsg_destroy (&msg); /* the peer's pipe is full: tried again */
    crash_point ("sent.%s", wire_type_name (call->type));
}

void mesh_call_send (struct mesh *self, uint64_t id)
{
    struct mesh_call *call = find (self, id);
    if (call)
        send_call (self, call, mesh_now_us ());
}

void mesh_calls_resend (struct mesh *self, const struct mesh_peer *peer)
{
    int64_t now_us = mesh_now_us ();
    for (struct mesh_call *call = self->calls; call; call = call->next)
        if (call->left && mesh_peer_find (self, call->peer) == peer) {
            call->pause_us = FIRST_RETRY_US;
            send_call (self, call, now_us);
        }
}

static void time_out (struct mesh *self, struct mesh_call *call)
{
    char text[512];
    take_out (self, call);
    const struct mesh_peer *peer = mesh_peer_find (self, call->peer);
    const char *trouble = peer ? secure_link_trouble (peer->link) : NULL;
    if (peer && !trouble)
        trouble = peer->trouble;
    if (peer && !trouble[0])
        trouble = "is it running? ('strata status' shows it, its log is in log/)";
    snprintf (text,
              sizeof (text),
              peer ? "no answer from %s in time; %.384s"
                   : "%s was not found in time: no replica of it has a card in the workspace; is the campaign up?",
              peer ? peer->card.replica : call->peer,
              trouble ? trouble : "");
    struct reply reply = { .code = STRATA__REFUSAL_CODE__REFUSED_UNAVAILABLE, .error = text, .timed_out = true };
    end (call, &reply);
}

/* A callback may make calls, but ends none: the next one stays where it is. */
void mesh_calls_tick (struct mesh *self, int64_t now_us)
{
    for (struct mesh_call *call = self->calls, *next; call; call = next) {
        next = call->next;
        if (call->deadline_us < now_us)
            time_out (self, call);
        else if (call->left && call->retry_us < now_us)
            send_call (self, call, now_us);
    }
}

void mesh_calls_fini (struct mesh *self)
{
    while (self->calls) {
        struct mesh_call *call = self->calls;
        take_out (self, call);
        call_free (call);
    }
}

static void refused (struct mesh *self, struct mesh_call *call, const struct wire_message *message)
{
    struct strata_error error = { "" };
    Strata__Refusal *refusal = (Strata__Refusal *)wire_body (message, &strata__refusal__descriptor, &error);
    struct reply reply = { .code = refusal ? refusal->code : STRATA__REFUSAL_CODE__REFUSED_MALFORMED,
                           .error = refusal ? refusal->reason : error.text };
    if (reply.code != STRATA__REFUSAL_CODE__REFUSED_UNAVAILABLE) {
        take_out (self, call);
        end (call, &reply);
    } /* else: a standby, or not ready yet: the retry finds the right one */
    if (refusal)
        strata__refusal__free_unpacked (refusal, NULL);
}

void mesh_take_reply (struct mesh *self, zmsg_t *frames)
{
    struct strata_error error;
    struct wire_message message;
    Strata__RefusalCode code;
    struct mesh_call *call = NULL;
    if (wire_parse (&message, &frames, &code, &error) < 0) {
        log_warn ("dropped a reply: %s", error.text);
        self->refused++;
        goto done;
    }
    call = find (self, message.header->request);
    if (!call)
        goto done; /* the answer to a retry of what was answered already */
    if (!mesh_epoch_is_current (self, message.header)) {
        log_info ("dropped a reply of %s: its epoch %" PRIu64 " is over", message.header->sender, message.header->epoch);
        goto done; /* the call is tried again, and finds the new holder */
    }
    if (message.header->type == STRATA__MESSAGE_TYPE__TYPE_REFUSAL) {
        refused (self, call, &message);
        goto done;
    }
    if (message.header->type != call->type + 1) {
        log_warn ("dropped a reply of type %u to a request of type %u", message.header->type, call->type);
        self->refused++;
        goto done;
    }
    take_out (self, call);
    struct reply reply = { .ok = true, .blobs_count = message.blobs };
    struct blob *blobs = calloc (message.blobs ? message.blobs : 1, sizeof (*blobs));
    ProtobufCMessage *body = wire_body (&message, call->reply_body, &error);
    for (size_t i = 0; blobs && i < message.blobs; i++) {
        zframe_t *frame = wire_blob (&message, i);
        blobs[i] = (struct blob){ zframe_data (frame), zframe_size (frame) };
    }
    if (!body || !blobs)
        reply = (struct reply){ .code = STRATA__REFUSAL_CODE__REFUSED_MALFORMED, .error = error.text };
    reply.body = body;
    reply.blobs = blobs;
    end (call, &reply);
    if (body)
        protobuf_c_message_free_unpacked (body, NULL);
    free (blobs);
done:
    wire_fini (&message);
}
