/* client.c - see strata.h and client.h: each call runs the client's own loop until its answer is there. */
#include "mesh/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/crash_point.h"
#include "feedback.pb-c.h"
#include "mesh/mesh.h"
#include "patch.pb-c.h"
#include "stage.pb-c.h"
#include "stream.pb-c.h"

#define DEFAULT_TIMEOUT_MS 120000
#define FULL_PAUSE_US 500000    /* between tries while a stream or the store is full */

struct strata_client {
    struct mesh mesh;
    uv_loop_t loop;
    int timeout_ms;
};

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
    uv_run (&self->loop, UV_RUN_DEFAULT);
    uv_loop_close (&self->loop);
    free (self);
    *self_p = NULL;
}

uint64_t client_resent (const struct strata_client *self)
{
    return self->mesh.resent;
}

void client_set_timeout (struct strata_client *self, int timeout_ms)
{
    self->timeout_ms = timeout_ms;
}

struct wait {
    struct strata_client *client;
    bool done, ok;
    Strata__RefusalCode code;
    bool timed_out;
    struct strata_error *error;
    const ProtobufCMessageDescriptor *descriptor;
    ProtobufCMessage *body;
    void *blob;
    size_t blob_size;
    bool want_blob;
};

static void on_reply (void *owner, const struct reply *reply, void *arg)
{
    struct wait *wait = arg;
    wait->done = true;
    wait->client->mesh.stay_awake = true;
    wait->ok = reply->ok;
    wait->code = reply->code;
    wait->timed_out = reply->timed_out;
    if (!reply->ok) {
        strata_fail (wait->error, "%s", reply->error);
        return;
    }
    /* The body belongs to the call: a copy is kept. */
    size_t size = protobuf_c_message_get_packed_size (reply->body);
    uint8_t *bytes = malloc (size ? size : 1);
    if (bytes) {
        protobuf_c_message_pack (reply->body, bytes);
        wait->body = protobuf_c_message_unpack (wait->descriptor, NULL, size, bytes);
    }
    free (bytes);
    if (wait->want_blob && reply->blobs_count) {
        wait->blob_size = reply->blobs[0].size;
        wait->blob = malloc (wait->blob_size ? wait->blob_size : 1);
        if (wait->blob)
            memcpy (wait->blob, reply->blobs[0].data, wait->blob_size);
    }
}

static int errno_of (const struct wait *wait)
{
    if (wait->timed_out)
        return ETIMEDOUT;
    switch (wait->code) {
    case STRATA__REFUSAL_CODE__REFUSED_NOT_FOUND:
        return ENOENT;
    case STRATA__REFUSAL_CODE__REFUSED_FULL:
        return ENOSPC;
    case STRATA__REFUSAL_CODE__REFUSED_STALE:
        return ESTALE;
    case STRATA__REFUSAL_CODE__REFUSED_INVALID:
        return EINVAL;
    default:
        return EPROTO;
    }
}

int client_request (struct strata_client *self, const char *peer, uint32_t type, const ProtobufCMessage *body,
                    const struct blob *blobs, size_t blobs_count, const ProtobufCMessageDescriptor *reply_body,
                    ProtobufCMessage **reply_out, void **blob, size_t *blob_size, struct strata_error *error)
{
    int64_t deadline_us = mesh_now_us () + (int64_t)self->timeout_ms * 1000;
    for (;;) {
        struct wait wait = { .client = self, .error = error, .descriptor = reply_body, .want_blob = blob != NULL };
        self->mesh.stay_awake = false;
        mesh_look_at_cards (&self->mesh);
        mesh_call (&self->mesh,
                   peer,
                   type,
                   body,
                   blobs,
                   blobs_count,
                   reply_body,
                   (int)((deadline_us - mesh_now_us ()) / 1000),
                   on_reply,
                   NULL,
                   &wait);
        while (!wait.done)
            uv_run (&self->loop, UV_RUN_ONCE);
        crash_point ("client.answered-%s", wire_type_name (type));
        if (wait.ok && wait.body && (!wait.want_blob || wait.blob || !wait.blob_size)) {
            *reply_out = wait.body;
            if (blob) {
                *blob = wait.blob;
                *blob_size = wait.blob_size;
            }
            return 0;
        }
        if (wait.ok) {
            free (wait.blob);
            errno = ENOMEM;
            return strata_fail (error, "out of memory for the answer of %s", peer);
        }
        errno = errno_of (&wait);
        /* Full is a state that passes: wait for space as long as the caller would wait for an answer. */
        if (errno != ENOSPC || mesh_now_us () + FULL_PAUSE_US > deadline_us)
            return -1;
        usleep (FULL_PAUSE_US);
    }
}

/* For requests whose reply says nothing but "done". */
static int request_done (struct strata_client *self, uint32_t type, const ProtobufCMessage *body, const struct blob *blob,
                         const ProtobufCMessageDescriptor *reply_body, struct strata_error *error)
{
    ProtobufCMessage *reply;
    if (client_request (self, "stage", type, body, blob, blob ? 1 : 0, reply_body, &reply, NULL, NULL, error) < 0)
        return -1;
    protobuf_c_message_free_unpacked (reply, NULL);
    return 0;
}

/* ---- objects ---- */

int strata_put (struct strata_client *self, const char *ns, const char *key, const void *data, size_t size,
                struct strata_error *error)
{
    Strata__ObjectPut put = STRATA__OBJECT_PUT__INIT;
    char *keys[] = { (char *)key };
    struct blob blob = { data, size };
    put.namespace_ = (char *)ns;
    put.keys = keys;
    put.n_keys = 1;
    return request_done (self,
                         STRATA__MESSAGE_TYPE__TYPE_OBJECT_PUT,
                         &put.base,
                         &blob,
                         &strata__object_put_reply__descriptor,
                         error);
}

int strata_get (struct strata_client *self, const char *ns, const char *key, void **data, size_t *size,
                struct strata_error *error)
{
    Strata__ObjectGet get = STRATA__OBJECT_GET__INIT;
    ProtobufCMessage *reply;
    get.namespace_ = (char *)ns;
    get.key = (char *)key;
    if (client_request (self,
                        "stage",
                        STRATA__MESSAGE_TYPE__TYPE_OBJECT_GET,
                        &get.base,
                        NULL,
                        0,
                        &strata__object_get_reply__descriptor,
                        &reply,
                        data,
                        size,
                        error)
        < 0)
        return -1;
    protobuf_c_message_free_unpacked (reply, NULL);
    return 0;
}

static void info_from (struct strata_object_info *info, const Strata__ObjectInfo *in)
{
    *info = in ? (struct strata_object_info){ in->size, in->crc32c, in->generation, in->mtime_us }
               : (struct strata_object_info){ 0 };
}

int strata_stat (struct strata_client *self, const char *ns, const char *key, struct strata_object_info *info,
                 struct strata_error *error)
{
    Strata__ObjectStat ask = STRATA__OBJECT_STAT__INIT;
    ProtobufCMessage *reply;
    ask.namespace_ = (char *)ns;
    ask.key = (char *)key;
    if (client_request (self,
                        "stage",
                        STRATA__MESSAGE_TYPE__TYPE_OBJECT_STAT,
                        &ask.base,
                        NULL,
                        0,
                        &strata__object_stat_reply__descriptor,
                        &reply,
                        NULL,
                        NULL,
                        error)
        < 0)
        return -1;
    info_from (info, ((Strata__ObjectStatReply *)reply)->info);
    protobuf_c_message_free_unpacked (reply, NULL);
    return 0;
}

int strata_list (struct strata_client *self, const char *ns, const char *prefix,
                 int (*each) (const char *key, const struct strata_object_info *info, void *arg), void *arg,
                 struct strata_error *error)
{
    char after[256] = "";
    for (bool more = true; more;) {
        Strata__ObjectList ask = STRATA__OBJECT_LIST__INIT;
        ProtobufCMessage *reply;
        ask.namespace_ = (char *)ns;
        ask.prefix = (char *)(prefix ? prefix : "");
        ask.after = after;
        ask.max_keys = 1000;
        if (client_request (self,
                            "stage",
                            STRATA__MESSAGE_TYPE__TYPE_OBJECT_LIST,
                            &ask.base,
                            NULL,
                            0,
                            &strata__object_list_reply__descriptor,
                            &reply,
                            NULL,
                            NULL,
                            error)
            < 0)
            return -1;
        const Strata__ObjectListReply *page = (const Strata__ObjectListReply *)reply;
        more = page->more && page->n_keys;
        for (size_t i = 0; i < page->n_keys; i++) {
            struct strata_object_info info;
            info_from (&info, i < page->n_infos ? page->infos[i] : NULL);
            snprintf (after, sizeof (after), "%s", page->keys[i]);
            if (each (page->keys[i], &info, arg)) {
                more = false;
                break;
            }
        }
        protobuf_c_message_free_unpacked (reply, NULL);
    }
    return 0;
}

int strata_move (struct strata_client *self, const char *ns, const char *key, const char *to_ns, const char *to_key,
                 struct strata_error *error)
{
    Strata__ObjectMove move = STRATA__OBJECT_MOVE__INIT;
    move.namespace_ = (char *)ns;
    move.key = (char *)key;
    move.to_namespace = (char *)to_ns;
    move.to_key = (char *)to_key;
    return request_done (self,
                         STRATA__MESSAGE_TYPE__TYPE_OBJECT_MOVE,
                         &move.base,
                         NULL,
                         &strata__object_move_reply__descriptor,
                         error);
}

int strata_delete (struct strata_client *self, const char *ns, const char *key, struct strata_error *error)
{
    Strata__ObjectDelete delete = STRATA__OBJECT_DELETE__INIT;
    delete.namespace_ = (char *)ns;
    delete.key = (char *)key;
    return request_done (self,
                         STRATA__MESSAGE_TYPE__TYPE_OBJECT_DELETE,
                         &delete.base,
                         NULL,
                         &strata__object_delete_reply__descriptor,
                         error);
}

/* ---- records ---- */

static int append (struct strata_client *self, const char *stream, bool queue, const char *producer, uint64_t sequence,
                   const void *record, size_t size, bool *duplicate, struct strata_error *error)
{
    Strata__StreamAppend ask = STRATA__STREAM_APPEND__INIT;
    ProtobufCBinaryData data = { size, (uint8_t *)record };
    ProtobufCMessage *reply;
    ask.stream = (char *)stream;
    ask.producer = (char *)producer;
    ask.producer_sequence = &sequence;
    ask.n_producer_sequence = 1;
    ask.records = &data;
    ask.n_records = 1;
    ask.queue = queue;
    if (client_request (self,
                        "stage",
                        STRATA__MESSAGE_TYPE__TYPE_STREAM_APPEND,
                        &ask.base,
                        NULL,
                        0,
                        &strata__stream_append_reply__descriptor,
                        &reply,
                        NULL,
                        NULL,
                        error)
        < 0)
        return -1;
    if (duplicate)
        *duplicate = ((Strata__StreamAppendReply *)reply)->duplicates > 0;
    protobuf_c_message_free_unpacked (reply, NULL);
    return 0;
}

int strata_append (struct strata_client *self, const char *stream, const char *producer, uint64_t sequence,
                   const void *record, size_t size, bool *duplicate, struct strata_error *error)
{
    return append (self, stream, false, producer, sequence, record, size, duplicate, error);
}

static int append_message (struct strata_client *self, const char *stream, bool queue, const char *producer,
                           uint64_t sequence, const ProtobufCMessage *message, bool *duplicate, struct strata_error *error)
{
    size_t size = protobuf_c_message_get_packed_size (message);
    uint8_t *bytes = malloc (size ? size : 1);
    if (!bytes)
        return strata_fail (error, "out of memory for a record of %zu bytes", size);
    protobuf_c_message_pack (message, bytes);
    int rc = append (self, stream, queue, producer, sequence, bytes, size, duplicate, error);
    free (bytes);
    return rc;
}

int strata_last_sequence (struct strata_client *self, const char *stream, const char *producer, uint64_t *sequence,
                          struct strata_error *error)
{
    Strata__ProducerLast ask = STRATA__PRODUCER_LAST__INIT;
    ProtobufCMessage *reply;
    ask.stream = (char *)stream;
    ask.producer = (char *)producer;
    if (client_request (self,
                        "stage",
                        STRATA__MESSAGE_TYPE__TYPE_PRODUCER_LAST,
                        &ask.base,
                        NULL,
                        0,
                        &strata__producer_last_reply__descriptor,
                        &reply,
                        NULL,
                        NULL,
                        error)
        < 0)
        return -1;
    *sequence = ((Strata__ProducerLastReply *)reply)->sequence;
    protobuf_c_message_free_unpacked (reply, NULL);
    return 0;
}

int strata_append_histogram (struct strata_client *self, const char *stream, const char *simulation, uint64_t frame,
                             const char *state, size_t rows, size_t bins, const int64_t *counts, bool *duplicate,
                             struct strata_error *error)
{
    Strata__Histogram record = STRATA__HISTOGRAM__INIT;
    record.simulation = (char *)simulation;
    record.frame = frame;
    record.state = (char *)state;
    record.rows = (uint32_t)rows;
    record.bins = (uint32_t)bins;
    record.counts = (int64_t *)counts;
    record.n_counts = rows * bins;
    return append_message (self, stream, false, simulation, frame, &record.base, duplicate, error);
}

int strata_append_frame (struct strata_client *self, const char *stream, const char *simulation, uint64_t frame,
                         double time_ps, size_t n, const double *coordinates, const void *blob, size_t blob_size,
                         bool *duplicate, struct strata_error *error)
{
    Strata__Frame record = STRATA__FRAME__INIT;
    record.simulation = (char *)simulation;
    record.frame = frame;
    record.time_ps = time_ps;
    record.coordinates = (double *)coordinates;
    record.n_coordinates = n;
    record.blob.data = (uint8_t *)blob;
    record.blob.len = blob_size;
    return append_message (self, stream, false, simulation, frame, &record.base, duplicate, error);
}

/* Sequences of producers start at 1; a simulation's own steps may start at 0. */
int strata_append_snapshot (struct strata_client *self, const char *queue, const char *simulation, uint64_t index,
                            const char *path, double time_us, bool *duplicate, struct strata_error *error)
{
    Strata__Snapshot record = STRATA__SNAPSHOT__INIT;
    record.simulation = (char *)simulation;
    record.index = index;
    record.path = (char *)path;
    record.time_us = time_us;
    return append_message (self, queue, true, simulation, index + 1, &record.base, duplicate, error);
}

int strata_append_uptake (struct strata_client *self, const char *stream, const char *model, uint64_t round, uint64_t step,
                          bool *duplicate, struct strata_error *error)
{
    Strata__Uptake record = STRATA__UPTAKE__INIT;
    record.model = (char *)model;
    record.round = round;
    record.step = step;
    return append_message (self, stream, false, model, round, &record.base, duplicate, error);
}
