/* zap.c - see zap.h */
#include "mesh/zap.h"

#include <errno.h>
#include <string.h>

#define ENDPOINT "inproc://zeromq.zap.01"
#define TEXT_MAX 256

/* The frames of a request, in order (RFC 27); credentials follow. */
enum { VERSION, REQUEST_ID, DOMAIN, ADDRESS, IDENTITY, MECHANISM, CREDENTIALS, REQUEST_FRAMES };

/* NULL: may connect; else why not. */
static const char *judge (const struct zap *self, zframe_t **frames, size_t count, char *reason, size_t size)
{
    char key[KEY_TEXT];
    if (count != REQUEST_FRAMES || !zframe_streq (frames[VERSION], "1.0"))
        return "an authentication request that is not one";
    if (!zframe_streq (frames[DOMAIN], ZAP_DOMAIN))
        return "another authentication domain";
    if (!zframe_streq (frames[MECHANISM], "CURVE") || zframe_size (frames[CREDENTIALS]) != KEY_SIZE)
        return "no CURVE key";
    if (keys_allowed_has (self->allowed, zframe_data (frames[CREDENTIALS])))
        return NULL;
    zmq_z85_encode (key, zframe_data (frames[CREDENTIALS]), KEY_SIZE);
    snprintf (reason, size, "its key %s is not in keys/allowed", key);
    return reason;
}

static void add_text (zmsg_t *reply, const char *text)
{
    zmsg_addmem (reply, text, strlen (text));
}

zmsg_t *zap_answer (const struct zap *self, zmsg_t *request)
{
    zframe_t *frames[REQUEST_FRAMES] = { NULL };
    char reason[TEXT_MAX], address[TEXT_MAX] = "";
    size_t count = zmsg_size (request), i = 0;
    for (zframe_t *f = zmsg_first (request); f && i < REQUEST_FRAMES; f = zmsg_next (request))
        frames[i++] = f;
    const char *refused = judge (self, frames, count, reason, sizeof (reason));
    if (refused) {
        for (size_t n = 0; i > ADDRESS && n < zframe_size (frames[ADDRESS]) && n + 1 < sizeof (address); n++) {
            char c = (char)zframe_data (frames[ADDRESS])[n];
            address[n] = '?';
            if (c >= ' ' && c <= '~')
                address[n] = c;
        }
        self->on_refused (self->arg, address, refused);
    }
    zmsg_t *reply = zmsg_new ();
    add_text (reply, "1.0");
    zmsg_addmem (reply, i > REQUEST_ID ? zframe_data (frames[REQUEST_ID]) : NULL,
                 i > REQUEST_ID ? zframe_size (frames[REQUEST_ID]) : 0);
    add_text (reply, refused ? "400" : "200");
    add_text (reply, refused ? "not allowed" : "OK");
    add_text (reply, "");
    add_text (reply, "");
    return reply;
}

static void on_request (void *arg, zsock_t *socket, zmsg_t *request)
{
    zmsg_t *reply = zap_answer (arg, request);
    zmsg_destroy (&request);
    if (zmsg_send (&reply, socket) < 0)
        zmsg_destroy (&reply);
}

int zap_init (struct zap *self, uv_loop_t *loop, const struct keys_allowed *allowed,
              void (*on_refused) (void *arg, const char *address, const char *reason), void *arg,
              struct strata_error *error)
{
    *self = (struct zap){ .allowed = allowed, .on_refused = on_refused, .arg = arg };
    zsock_t *socket = zsock_new (ZMQ_REP);
    if (!socket || zsock_bind (socket, "%s", ENDPOINT) < 0) {
        strata_fail (error,
                     "%s can't be bound, so nobody could be checked: %s; no TCP",
                     ENDPOINT,
                     zmq_strerror (errno));
        zsock_destroy (&socket);
        return -1;
    }
    zsock_set_linger (socket, 0);
    self->watch = zwatch_new (loop, &socket, on_request, self);
    return self->watch ? 0 : strata_fail (error, "out of memory for the authenticator of TCP peers");
}

void zap_fini (struct zap *self)
{
    zwatch_free (&self->watch);
}
