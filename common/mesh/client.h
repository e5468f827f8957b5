/* client.h - the blocking client that strata.h and the command line are made of. */
#ifndef STRATA_MESH_CLIENT_H
#define STRATA_MESH_CLIENT_H

#include "mesh/mesh.h"
#include "mesh/service.h"
#include "store/stream.h"
#include "strata.h"

/* One request of several that are under way together. */
struct client_call {
    char peer[REPLICA_NAME_MAX]; /* a replica's or a service's name */
    uint32_t type;
    const ProtobufCMessage *body;
    const struct blob *blobs;
    size_t blobs_count;
    const ProtobufCMessageDescriptor *reply_body;
    bool want_blob; /* the reply's first */
    bool may_lack_blob; /* a reply without one is all right */
    /* what came of it; client_call_fini frees reply and blob */
    int failed; /* 0, or an errno: as for client_request */
    ProtobufCMessage *reply;
    void *blob;
    size_t blob_size;
    struct strata_error error;
};
void client_call_fini (struct client_call *call);
/* Sends all and waits until each is answered or the time is over. */
void client_calls (struct strata_client *self, struct client_call *const *calls, size_t count, int64_t deadline_us);
/* By the client's timeout, from now. */
int64_t client_deadline_us (const struct strata_client *self);
struct mesh *client_mesh (struct strata_client *self);
/* Waits a while after a failure that passes (ENOSPC full, EXDEV another stage has the name); false: it does not, or no time
 * is left. */
bool client_pause (int failed, int64_t deadline_us);

/* Sends a request to `peer` (a replica's or a service's name) and waits. *reply_out: the parsed body, freed by the caller
 * with protobuf_c_message_free_unpacked. *blob (NULL: not wanted): malloc'ed first blob. errno: ENOENT for not found,
 * EEXIST a name is taken, ENOSPC full, ESTALE stale, EINVAL not allowed, EBADMSG damaged, EXDEV another stage has the name, ETIMEDOUT no
 * answer, EPROTO else. */
int client_request (struct strata_client *self, const char *peer, uint32_t type, const ProtobufCMessage *body,
                    const struct blob *blobs, size_t blobs_count, const ProtobufCMessageDescriptor *reply_body,
                    ProtobufCMessage **reply_out, void **blob, size_t *blob_size, struct strata_error *error);
/* As strata_append_ahead, also into a queue; the record stands for the producer's sequences from `first` to `sequence`. sum: of frames
 * (client_sums.c), also of a single one: that it was not kept is told by client_sums_kept too. */
int client_append_ahead (struct strata_client *self, const char *stream, bool queue, const char *producer, bool sum, uint64_t first,
                         uint64_t sequence, const void *record, size_t size, struct strata_error *error);
/* Reads records of `peer`'s stream from sequence `from` on (0: the first kept), as many as one answer has, and calls each (NULL:
 * none) until it returns non-zero. The number of records, or -1. *next (NULL: not wanted): the stream's end. */
int64_t client_read (struct strata_client *self, const char *peer, const char *stream, uint64_t from, stream_each_f *each, void *arg,
                     uint64_t *next, struct strata_error *error);
/* How often this client sent a request again, because no answer came or its peer was not ready. */
uint64_t client_resent (const struct strata_client *self);

#endif
