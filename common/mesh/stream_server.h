/* stream_server.h - the handlers for streams and queues that every service with a shard answers (proto/stream.proto). */
#ifndef STRATA_MESH_STREAM_SERVER_H
#define STRATA_MESH_STREAM_SERVER_H

#include <czmq.h>

#include "mesh/service.h"

extern const struct service_handler stream_server_handlers[];  /* ends with type 0 */

/* The bounds of streams and queues: of the fullest. */
void stream_server_metrics (struct service *service);
/* The blobs of a reply are not remembered with it: adds those of a take (request's body, remembered reply), as long as its
 * records are there. Else they are done or under another lease, and the asker's is lost. */
void stream_server_blobs_again (struct service *service, const ProtobufCMessage *body, const void *remembered, size_t size,
                                zmsg_t *message);

#endif
