/* fuzz_wire.c - messages: the header, then the body as every kind of body there is.
 *
 * Input: one byte, which body (bit 7: a blob follows the body); two bytes, length of the header (little-endian; 65535:
 * a message without any frame); the header; the body.
 */
#include <stdlib.h>
#include <string.h>

#include "feedback.pb-c.h"
#include "launch.pb-c.h"
#include "fuzz.h"
#include "mesh/wire.h"
#include "patch.pb-c.h"
#include "schedule.pb-c.h"
#include "select.pb-c.h"
#include "stage.pb-c.h"
#include "status.pb-c.h"
#include "stream.pb-c.h"

#define BODY(descriptor) &(descriptor),
static const ProtobufCMessageDescriptor *const bodies[] = {
#include "fuzz_bodies.h"
};
#define BODIES (sizeof (bodies) / sizeof (bodies[0]))

static uint8_t *pack (const ProtobufCMessage *message, size_t *size)
{
    *size = protobuf_c_message_get_packed_size (message);
    uint8_t *bytes = malloc (*size + 1);
    if (!bytes)
        abort ();
    FUZZ_REQUIRE (protobuf_c_message_pack (message, bytes) == *size);
    return bytes;
}

/* What was read is the same message after it went over the wire again. */
static void require_same_again (const ProtobufCMessage *message)
{
    size_t size, again_size;
    uint8_t *bytes = pack (message, &size);
    ProtobufCMessage *again = protobuf_c_message_unpack (message->descriptor, NULL, size, bytes);
    FUZZ_REQUIRE (again);
    uint8_t *again_bytes = pack (again, &again_size);
    FUZZ_REQUIRE (size == again_size && memcmp (bytes, again_bytes, size) == 0);
    protobuf_c_message_free_unpacked (again, NULL);
    free (again_bytes);
    free (bytes);
}

static zmsg_t *frames (const uint8_t *data, size_t size, size_t header_size)
{
    zmsg_t *msg = zmsg_new ();
    if (!msg)
        abort ();
    if (header_size == 65535)
        return msg;
    size_t header = header_size < size - 3 ? header_size : size - 3;
    zmsg_addmem (msg, data + 3, header);
    zmsg_addmem (msg, data + 3 + header, size - 3 - header);
    if (data[0] & 0x80)
        zmsg_addmem (msg, data, 3);
    return msg;
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct strata_error error = { "" };
    struct wire_message message;
    Strata__RefusalCode code;
    if (size < 3)
        return 0;
    const ProtobufCMessageDescriptor *descriptor = bodies[(data[0] & 0x7f) % BODIES];
    zmsg_t *msg = frames (data, size, (size_t)(data[1] | data[2] << 8));
    int rc = wire_parse (&message, &msg, &code, &error);
    FUZZ_REQUIRE (!msg);
    fuzz_require_sentence (rc, &error);
    if (message.header)
        require_same_again (&message.header->base);
    if (rc == 0) {
        ProtobufCMessage *body = wire_body (&message, descriptor, &error);
        fuzz_require_sentence (body ? 0 : -1, &error);
        if (body) {
            FUZZ_REQUIRE (protobuf_c_message_check (body));
            require_same_again (body);
            protobuf_c_message_free_unpacked (body, NULL);
        }
        FUZZ_REQUIRE (message.blobs == (data[0] >> 7));
        struct blob *blobs = wire_blobs (&message);
        FUZZ_REQUIRE (blobs && (!message.blobs || blobs[0].size == 3));
        free (blobs);
    }
    wire_fini (&message);
    return 0;
}
