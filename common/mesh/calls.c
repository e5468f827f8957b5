/* calls.c - requests to peers: sent after the commit that caused them, again until answered, with the same id.
 *
 * A retry is harmless: a replica remembers its replies to requests that change something (replies.c). `settled` in each
 * header tells it which of them it may forget.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/crash_point.h"
#include "core/log.h"
#include "core/tsan.h"
#include "mesh/mesh.h"
#include "mesh/mesh_internal.h"
#include "mesh/route.h"

#define FIRST_RETRY_US 500000
#define LAST_RETRY_US 4000000

static void call_free (struct mesh_call *call)
{
    for (size_t i = 0; i < call->frames_count; i++)
        zmq_msg_close (&call->frames[i]);
    free (call->frames);
    free (call->full);
    free (call->producer);
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

/* ---- blobs that are given to a call ---- */

/* Those of the usual size are used again, in the whole process: a new one for each call is as much memory to fault in. Without a
 * lock: a process may fork while a thread of libzmq lets go of one. */
static _Atomic (void *) kept[MESH_GIVEN_KEPT];

void *mesh_given_new (void)
{
    for (size_t i = 0; i < MESH_GIVEN_KEPT; i++) {
        void *blob = atomic_exchange (&kept[i], NULL);
        if (blob)
            return blob;
    }
    return malloc (MESH_GIVEN_BYTES);
}

/* By whoever lets go of the last reference: this thread or one of libzmq's. hint: the blob's room. */
static void free_given (void *data, void *hint)
{
    tsan_acquire (data);
    for (size_t i = 0; (uintptr_t)hint == MESH_GIVEN_BYTES && i < MESH_GIVEN_KEPT; i++) {
        void *none = NULL;
        if (atomic_compare_exchange_strong (&kept[i], &none, data))
            return;
    }
    free (data);
}

static void frame_init (zmq_msg_t *frame, const struct blob *blob)
{
    if (zmq_msg_init_size (frame, blob->size) < 0) {
        log_error ("out of memory");
        abort ();
    }
    if (blob->size)
        memcpy (zmq_msg_data (frame), blob->data, blob->size);
}

static struct mesh_call *call_new (struct mesh *self, const char *peer, uint32_t type, const ProtobufCMessage *body,
                                   const struct blob *blobs, size_t blobs_count)
{
    struct mesh_call *call = calloc (1, sizeof (*call));
    size_t size = protobuf_c_message_get_packed_size (body);
    zmq_msg_t *frames = calloc (blobs_count + 1, sizeof (*frames));
    if (!call || !frames || zmq_msg_init_size (&frames[0], size) < 0) {
        log_error ("out of memory");
        abort ();
    }
    protobuf_c_message_pack (body, zmq_msg_data (&frames[0]));
    for (size_t i = 0; i < blobs_count; i++)
        frame_init (&frames[i + 1], &blobs[i]);
    call->id = self->next_request++;
    snprintf (call->peer, sizeof (call->peer), "%s", peer);
    call->type = type;
    call->frames = frames;
    call->frames_count = blobs_count + 1;
    call->pause_us = FIRST_RETRY_US;
    put_in (self, call);
    return call;
}

static void call_begin (struct mesh_call *call, const ProtobufCMessageDescriptor *reply_body, int timeout_ms, mesh_reply_f *callback,
                        void *owner, void *arg)
{
    call->reply_body = reply_body;
    call->deadline_us = mesh_now_us () + (int64_t)timeout_ms * 1000;
    call->callback = callback;
    call->owner = owner;
    call->arg = arg;
}

void mesh_call (struct mesh *self, const char *peer, uint32_t type, const ProtobufCMessage *body, const struct blob *blobs,
                size_t blobs_count, const ProtobufCMessageDescriptor *reply_body, int timeout_ms, mesh_reply_f *callback,
                void *owner, void *arg)
{
    struct mesh_call *call = call_new (self, peer, type, body, blobs, blobs_count);
    call_begin (call, reply_body, timeout_ms, callback, owner, arg);
    mesh_queue_call (self, call->id);
}

void mesh_call_given (struct mesh *self, const char *producer, uint32_t type, const ProtobufCMessage *body, void *blob, size_t blob_size,
                      size_t blob_room, const ProtobufCMessageDescriptor *reply_body, int timeout_ms, mesh_reply_f *callback, void *owner, void *arg)
{
    struct blob none = { NULL, 0 };
    struct mesh_call *call = call_new (self, mesh_route_producer (self, producer), type, body, &none, 1);
    zmq_msg_close (&call->frames[1]);
    tsan_release (blob);
    if (zmq_msg_init_data (&call->frames[1], blob, blob_size, free_given, (void *)(uintptr_t)blob_room) < 0) {
        log_error ("out of memory");
        abort ();
    }
    call_begin (call, reply_body, timeout_ms, callback, owner, arg);
    call->patient = true;
    call->producer = strdup (producer);
    mesh_call_send (self, call->id);
}

void mesh_call_ahead (struct mesh *self, const char *peer, uint32_t type, const ProtobufCMessage *body, const struct blob *blobs,
                      size_t blobs_count, const ProtobufCMessageDescriptor *reply_body, int timeout_ms, mesh_reply_f *callback,
                      void *owner, void *arg)
{
    struct mesh_call *call = call_new (self, peer, type, body, blobs, blobs_count);
    call_begin (call, reply_body, timeout_ms, callback, owner, arg);
    mesh_call_send (self, call->id);
}

size_t mesh_calls_open (const struct mesh *self)
{
    return self->calls_count;
}

/* When the peer's pipe is full nothing is sent: it is tried again. A message that was begun goes as a whole. */
static void send_frames (void *socket, const Strata__Header *header, const struct mesh_call *call)
{
    uint8_t head[WIRE_MAX_HEADER];
    size_t size = protobuf_c_message_get_packed_size (&header->base);
    if (size > sizeof (head))
        return; /* names are bounded: can't be */
    protobuf_c_message_pack (&header->base, head);
    if (zmq_send (socket, head, size, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        return;
    for (size_t i = 0; i < call->frames_count; i++) {
        zmq_msg_t frame;
        zmq_msg_init (&frame);
        zmq_msg_copy (&frame, &call->frames[i]);
        if (zmq_msg_send (&frame, socket, i + 1 < call->frames_count ? ZMQ_SNDMORE : 0) < 0)
            zmq_msg_close (&frame);
    }
}

static void send_call (struct mesh *self, struct mesh_call *call, int64_t now_us)
{
    const struct mesh_peer *before = call->producer ? mesh_peer_find (self, call->peer) : NULL;
    if (call->producer && (call->moved || (before && before->gone)))
        snprintf (call->peer, sizeof (call->peer), "%s", mesh_route_producer (self, call->producer));
    call->moved = false;
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
    crash_point ("send.%s", wire_type_name (call->type));
    send_frames (zsock_resolve (peer->dealer), &header, call);
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
    if (call->full)
        reply = (struct reply){ .code = STRATA__REFUSAL_CODE__REFUSED_FULL, .error = call->full };
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
    bool full = call->patient && reply.code == STRATA__REFUSAL_CODE__REFUSED_FULL;
    call->put_off = call->patient && (full || reply.code == STRATA__REFUSAL_CODE__REFUSED_UNAVAILABLE);
    if (call->patient && reply.code == STRATA__REFUSAL_CODE__REFUSED_ELSEWHERE) {
        mesh_route_forget (self);
        call->moved = call->put_off = true;
        call->retry_us = 0; /* with the next tick */
    } else if (full) { /* a state that passes: it waits for space as long as for an answer */
        call->pause_us = FIRST_RETRY_US;
        call->retry_us = mesh_now_us () + FIRST_RETRY_US;
        free (call->full);
        call->full = strdup (reply.error);
    } else if (reply.code != STRATA__REFUSAL_CODE__REFUSED_UNAVAILABLE) {
        take_out (self, call);
        end (call, &reply);
    } /* else: a standby, or not ready yet: the retry finds the right one */
    if (refusal)
        strata__refusal__free_unpacked (refusal, NULL);
}

/* What was put off because others had to come first, or a stream was full, may go now: in order. */
static void send_put_off (struct mesh *self)
{
    int64_t now_us = mesh_now_us ();
    for (struct mesh_call *call = self->calls; call; call = call->next)
        if (call->put_off) {
            call->put_off = false;
            send_call (self, call, now_us);
        }
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
    if (call->patient)
        send_put_off (self);
    struct reply reply = { .ok = true, .blobs_count = message.blobs };
    struct blob *blobs = wire_blobs (&message);
    ProtobufCMessage *body = wire_body (&message, call->reply_body, &error);
    if (!body)
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
