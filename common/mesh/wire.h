/* wire.h - a message as frames: [header][body][blob]*, with every size bounded before anything is parsed. */
#ifndef STRATA_MESH_WIRE_H
#define STRATA_MESH_WIRE_H

#include <czmq.h>
#include <protobuf-c/protobuf-c.h>

#include "mesh.pb-c.h"
#include "mesh/service.h"
#include "strata_error.h"

#define WIRE_VERSION 1
#define WIRE_MAX_HEADER 4096           /* bytes */
#define WIRE_MAX_BODY (16u << 20)      /* bytes of a protobuf body */
#define WIRE_MAX_BLOBS 1024
#define WIRE_MAX_MESSAGE (512u << 20)  /* bytes of a whole message */

struct wire_message {
    zmsg_t *frames;             /* owns all bytes */
    Strata__Header *header;     /* NULL while not parsed */
    zframe_t *body;             /* in frames */
    size_t blobs;               /* frames after the body */
};

/* Takes over *frames_p and parses the header. 0; or -1 with *code and the error set: the message is then still to be
 * freed, and header is there if at least that was readable (so that a refusal can name the request). */
int wire_parse (struct wire_message *message, zmsg_t **frames_p, Strata__RefusalCode *code, struct strata_error *error);
void wire_fini (struct wire_message *message);
/* All blobs, message->blobs of them, in an array that the caller frees. */
struct blob *wire_blobs (const struct wire_message *message);
/* The body as `descriptor`, or NULL with an error. Freed with protobuf_c_message_free_unpacked. */
ProtobufCMessage *wire_body (const struct wire_message *message, const ProtobufCMessageDescriptor *descriptor,
                             struct strata_error *error);
/* Header and body as the first two frames of a new message. */
zmsg_t *wire_pack (const Strata__Header *header, const ProtobufCMessage *body);
zmsg_t *wire_pack_bytes (const Strata__Header *header, const void *body, size_t size);
zframe_t *wire_frame (const ProtobufCMessage *message);
/* "QUEUE_ACK" for TYPE_QUEUE_ACK; "unknown". */
const char *wire_type_name (uint32_t type);

#endif
