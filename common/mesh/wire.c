/* wire.c - see wire.h */
#include "mesh/wire.h"

#include <stdlib.h>

#include "core/log.h"

/* protobuf-c takes an unknown field of the illegal number 0 when its key has more bytes than it needs, packs it in one,
 * and then refuses what it packed: a copy of such a message would be lost. */
static bool has_field_zero (const ProtobufCMessage *message)
{
    for (unsigned i = 0; i < message->n_unknown_fields; i++)
        if (message->unknown_fields[i].tag == 0)
            return true;
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        const char *at = (const char *)message + field->offset;
        const char *quantifier = (const char *)message + field->quantifier_offset;
        bool repeated = field->label == PROTOBUF_C_LABEL_REPEATED;
        if (field->type != PROTOBUF_C_TYPE_MESSAGE
            || ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) && *(const uint32_t *)quantifier != field->id))
            continue;
        size_t count = repeated ? *(const size_t *)quantifier : 1;
        ProtobufCMessage *const *inner = (ProtobufCMessage *const *)at;
        if (repeated)
            inner = *(ProtobufCMessage *const *const *)at;
        for (size_t k = 0; k < count; k++)
            if (inner[k] && has_field_zero (inner[k]))
                return true;
    }
    return false;
}

/* NULL when the bytes are no such message. Freed with protobuf_c_message_free_unpacked. */
static ProtobufCMessage *unpack (const ProtobufCMessageDescriptor *descriptor, zframe_t *frame)
{
    ProtobufCMessage *message = protobuf_c_message_unpack (descriptor, NULL, zframe_size (frame), zframe_data (frame));
    if (message && has_field_zero (message)) {
        protobuf_c_message_free_unpacked (message, NULL);
        message = NULL;
    }
    return message;
}

int wire_parse (struct wire_message *message, zmsg_t **frames_p, Strata__RefusalCode *code, struct strata_error *error)
{
    *message = (struct wire_message){ .frames = *frames_p };
    *frames_p = NULL;
    *code = STRATA__REFUSAL_CODE__REFUSED_MALFORMED;
    size_t count = zmsg_size (message->frames);
    zframe_t *first = zmsg_first (message->frames);
    if (!first || zframe_size (first) > WIRE_MAX_HEADER)
        return strata_fail (error, "the header is missing or larger than %d bytes", WIRE_MAX_HEADER);
    message->header = (Strata__Header *)unpack (&strata__header__descriptor, first);
    if (!message->header)
        return strata_fail (error, "the header is not a strata.Header");
    if (message->header->version != WIRE_VERSION) {
        *code = STRATA__REFUSAL_CODE__REFUSED_VERSION;
        return strata_fail (error,
                            "protocol version %u is not spoken here, only %d",
                            message->header->version,
                            WIRE_VERSION);
    }
    if (count < 2)
        return strata_fail (error, "the body is missing");
    message->body = zmsg_next (message->frames);
    message->blobs = count - 2;
    if (zframe_size (message->body) > WIRE_MAX_BODY)
        return strata_fail (error,
                            "the body has %zu bytes, at most %u are taken",
                            zframe_size (message->body),
                            WIRE_MAX_BODY);
    if (message->blobs > WIRE_MAX_BLOBS)
        return strata_fail (error, "the message has %zu blobs, at most %d are taken", message->blobs, WIRE_MAX_BLOBS);
    if (zmsg_content_size (message->frames) > WIRE_MAX_MESSAGE)
        return strata_fail (error,
                            "the message has %zu bytes, at most %u are taken",
                            zmsg_content_size (message->frames),
                            WIRE_MAX_MESSAGE);
    return 0;
}

void wire_fini (struct wire_message *message)
{
    if (message->header)
        strata__header__free_unpacked (message->header, NULL);
    zmsg_destroy (&message->frames);
    *message = (struct wire_message){ 0 };
}

struct blob *wire_blobs (const struct wire_message *message)
{
    struct blob *blobs = calloc (message->blobs ? message->blobs : 1, sizeof (*blobs));
    if (!blobs) {
        log_error ("out of memory");
        abort ();
    }
    zmsg_first (message->frames);
    zmsg_next (message->frames);
    for (size_t i = 0; i < message->blobs; i++) {
        zframe_t *frame = zmsg_next (message->frames);
        blobs[i] = (struct blob){ zframe_data (frame), zframe_size (frame) };
    }
    return blobs;
}

ProtobufCMessage *wire_body (const struct wire_message *message, const ProtobufCMessageDescriptor *descriptor,
                             struct strata_error *error)
{
    ProtobufCMessage *body = unpack (descriptor, message->body);
    if (!body)
        strata_fail (error, "the body of type %u is not a %s", message->header->type, descriptor->name);
    return body;
}

const char *wire_type_name (uint32_t type)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value (&strata__message_type__descriptor, (int)type);
    return value ? value->name + strlen ("TYPE_") : "unknown";
}

zframe_t *wire_frame (const ProtobufCMessage *message)
{
    zframe_t *frame = zframe_new (NULL, protobuf_c_message_get_packed_size (message));
    protobuf_c_message_pack (message, zframe_data (frame));
    return frame;
}

zmsg_t *wire_pack (const Strata__Header *header, const ProtobufCMessage *body)
{
    zmsg_t *msg = zmsg_new ();
    zframe_t *frame = wire_frame (&header->base);
    zmsg_append (msg, &frame);
    frame = wire_frame (body);
    zmsg_append (msg, &frame);
    return msg;
}

zmsg_t *wire_pack_bytes (const Strata__Header *header, const void *body, size_t size)
{
    zmsg_t *msg = zmsg_new ();
    zframe_t *frame = wire_frame (&header->base);
    zmsg_append (msg, &frame);
    zmsg_addmem (msg, body, size);
    return msg;
}
