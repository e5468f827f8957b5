/* client.h - the blocking client that strata.h and the command line are made of. */
#ifndef STRATA_MESH_CLIENT_H
#define STRATA_MESH_CLIENT_H

#include "mesh/service.h"
#include "strata.h"

/* Sends a request to `peer` (a replica's or a service's name) and waits. *reply_out: the parsed body, freed by the caller
 * with protobuf_c_message_free_unpacked. *blob (NULL: not wanted): malloc'ed first blob. code (NULL: not wanted): of a
 * refusal. errno: ENOENT for not found, ENOSPC full, ESTALE stale, ETIMEDOUT no answer, EPROTO else. */
int client_request (struct strata_client *self, const char *peer, uint32_t type, const ProtobufCMessage *body,
                    const struct blob *blobs, size_t blobs_count, const ProtobufCMessageDescriptor *reply_body,
                    ProtobufCMessage **reply_out, void **blob, size_t *blob_size, struct strata_error *error);
/* How often this client sent a request again, because no answer came or its peer was not ready. */
uint64_t client_resent (const struct strata_client *self);
void client_set_timeout (struct strata_client *self, int timeout_ms);

#endif
