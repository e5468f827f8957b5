/* stream_server.h - the handlers for streams and queues that every service with a shard answers (proto/stream.proto). */
#ifndef STRATA_MESH_STREAM_SERVER_H
#define STRATA_MESH_STREAM_SERVER_H

#include "mesh/service.h"

extern const struct service_handler stream_server_handlers[];  /* ends with type 0 */

/* The blobs of a reply are not remembered with it. True: this request's reply has some, and it was answered again. */
bool stream_server_again (struct service *service, struct request *request, const ProtobufCMessage *body, const void *remembered,
                          size_t size);

#endif
