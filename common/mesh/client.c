/* client.c - see strata.h and client.h: each call runs the client's own loop until its answer is there. */
#include "mesh/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/crash_point.h"
#include "mesh/client_internal.h"

#define DEFAULT_TIMEOUT_MS 120000
#define FULL_PAUSE_US 500000    /* between tries while a stream or the store is full */
#define ELSEWHERE_PAUSE_US 20000 /* before a claim is read again */

static void ignore_request (struct mesh *mesh, zframe_t *identity, struct wire_message *message, void *arg)
{
    wire_fini (message);
}

static void ignore_publication (struct mesh *mesh, const char *topic, struct wire_message *message, void *arg)
{
}

struct strata_client *strata_open (const char *workspace, const char *name, int timeout_ms, struct strata_error *error)
{
    char path[4096], full_name[256], host[64] = "host";
    if (!workspace)
        workspace = getenv ("STRATA_WORKSPACE");
    if (!workspace) {
        strata_fail (error, "STRATA_WORKSPACE is not set: this program runs as a job of a campaign, or needs the workspace named");
        return NULL;
    }
    if (!realpath (workspace, path)) {
        strata_fail (error, "workspace %s: %s", workspace, strerror (errno));
        return NULL;
    }
    struct strata_client *self = calloc (1, sizeof (*self));
    if (!self) {
        strata_fail (error, "out of memory");
        return NULL;
    }
    gethostname (host, sizeof (host) - 1);
    snprintf (full_name, sizeof (full_name), "%.80s.%s.%d", name && name[0] ? name : "client", host, (int)getpid ());
    for (char *p = full_name; *p; p++)
        if (*p <= ' ' || *p > '~' || *p == '/')
            *p = '_';
    self->timeout_ms = timeout_ms > 0 ? timeout_ms : DEFAULT_TIMEOUT_MS;
    uv_loop_init (&self->loop);
    if (mesh_init (&self->mesh, &self->loop, path, full_name, NULL, NULL, error) < 0) {
        strata_close (&self);
        return NULL;
    }
    self->mesh.on_request = ignore_request;
    self->mesh.on_publication = ignore_publication;
    return self;
}

void strata_close (struct strata_client **self_p)
{
    struct strata_client *self = *self_p;
    if (!self)
        return;
    mesh_fini (&self->mesh);
    client_forget_appends (self);
    client_free_sums (self);
    uv_run (&self->loop, UV_RUN_DEFAULT);
    uv_loop_close (&self->loop);
    free (self);
    *self_p = NULL;
}

uint64_t client_resent (const struct strata_client *self)
{
    return self->mesh.resent;
}

void strata_set_timeout (struct strata_client *self, int timeout_ms)
{
    self->timeout_ms = timeout_ms > 0 ? timeout_ms : DEFAULT_TIMEOUT_MS;
}

int client_errno (const struct reply *reply)
{
    if (reply->timed_out)
        return ETIMEDOUT;
    switch (reply->code) {
    case STRATA__REFUSAL_CODE__REFUSED_NOT_FOUND:
        return ENOENT;
    case STRATA__REFUSAL_CODE__REFUSED_FULL:
        return ENOSPC;
    case STRATA__REFUSAL_CODE__REFUSED_STALE:
        return ESTALE;
    case STRATA__REFUSAL_CODE__REFUSED_INVALID:
        return EINVAL;
    case STRATA__REFUSAL_CODE__REFUSED_EXISTS:
        return EEXIST;
    case STRATA__REFUSAL_CODE__REFUSED_DAMAGED:
        return EBADMSG;
    case STRATA__REFUSAL_CODE__REFUSED_ELSEWHERE:
        return EXDEV;
    default:
        return EPROTO;
    }
}

/* Calls that are waited for together. */
struct round {
    struct mesh *mesh;
    size_t open;
};

/* The body and blob belong to the mesh: copies are kept. */
static void on_reply (void *owner, const struct reply *reply, void *arg)
{
    struct client_call *call = arg;
    struct round *round = owner;
    if (--round->open == 0)
        round->mesh->stay_awake = true; /* the loop returns */
    if (!reply->ok) {
        call->failed = client_errno (reply);
        strata_fail (&call->error, "%s", reply->error);
        return;
    }
    size_t size = protobuf_c_message_get_packed_size (reply->body);
    uint8_t *bytes = malloc (size ? size : 1);
    if (bytes) {
        protobuf_c_message_pack (reply->body, bytes);
        call->reply = protobuf_c_message_unpack (call->reply_body, NULL, size, bytes);
    }
    free (bytes);
    if (call->want_blob && reply->blobs_count) {
        call->blob_size = reply->blobs[0].size;
        call->blob = malloc (call->blob_size ? call->blob_size : 1);
        if (call->blob)
            memcpy (call->blob, reply->blobs[0].data, call->blob_size);
    }
    if (call->reply && (!call->want_blob || call->blob || (call->may_lack_blob && !reply->blobs_count)))
        return;
    client_call_fini (call);
    call->failed = call->reply || !call->want_blob ? ENOMEM : EPROTO;
    strata_fail (&call->error, "an answer of %s has no room in memory, or lacks its bytes", call->peer);
}

void client_call_fini (struct client_call *call)
{
    if (call->reply)
        protobuf_c_message_free_unpacked (call->reply, NULL);
    free (call->blob);
    call->reply = NULL;
    call->blob = NULL;
    call->blob_size = 0;
}

void client_calls (struct strata_client *self, struct client_call *const *calls, size_t count, int64_t deadline_us)
{
    struct round round = { &self->mesh, count };
    int64_t left_us = deadline_us - mesh_now_us ();
    self->mesh.stay_awake = false;
    mesh_look_at_cards (&self->mesh);
    for (size_t i = 0; i < count; i++) {
        calls[i]->failed = 0;
        mesh_call (&self->mesh,
                   calls[i]->peer,
                   calls[i]->type,
                   calls[i]->body,
                   calls[i]->blobs,
                   calls[i]->blobs_count,
                   calls[i]->reply_body,
                   left_us > 0 ? (int)(left_us / 1000) : 0,
                   on_reply,
                   &round,
                   calls[i]);
    }
    while (round.open)
        uv_run (&self->loop, UV_RUN_ONCE);
    for (size_t i = 0; i < count; i++)
        crash_point ("client.answered-%s", wire_type_name (calls[i]->type));
}

int64_t client_deadline_us (const struct strata_client *self)
{
    return mesh_now_us () + (int64_t)self->timeout_ms * 1000;
}

struct mesh *client_mesh (struct strata_client *self)
{
    return &self->mesh;
}

bool client_pause (int failed, int64_t deadline_us)
{
    int64_t pause_us = failed == ENOSPC ? FULL_PAUSE_US : ELSEWHERE_PAUSE_US;
    if ((failed != ENOSPC && failed != EXDEV) || mesh_now_us () + pause_us > deadline_us)
        return false;
    usleep ((useconds_t)pause_us);
    return true;
}

int client_request (struct strata_client *self, const char *peer, uint32_t type, const ProtobufCMessage *body,
                    const struct blob *blobs, size_t blobs_count, const ProtobufCMessageDescriptor *reply_body,
                    ProtobufCMessage **reply_out, void **blob, size_t *blob_size, struct strata_error *error)
{
    int64_t deadline_us = client_deadline_us (self);
    struct client_call call = { .type = type, .body = body, .blobs = blobs, .blobs_count = blobs_count,
                                .reply_body = reply_body, .want_blob = blob != NULL, .may_lack_blob = true }, *calls[] = { &call };
    snprintf (call.peer, sizeof (call.peer), "%s", peer);
    do
        client_calls (self, calls, 1, deadline_us);
    while (call.failed == ENOSPC && client_pause (call.failed, deadline_us));
    if (call.failed) {
        if (error)
            *error = call.error;
        errno = call.failed;
        return -1;
    }
    *reply_out = call.reply;
    if (blob) {
        *blob = call.blob;
        *blob_size = call.blob_size;
    }
    return 0;
}
