/* zap.h - who may connect: answers ZeroMQ's authentication requests (ZAP, ZeroMQ RFC 27) from a list of public keys.
 *
 * libzmq asks on inproc://zeromq.zap.01 for each handshake on a socket that has a domain. Without a handler it would
 * let everybody in who knows the server's key; so the handler stands before the first TCP socket is bound, and outlives
 * it.
 */
#ifndef STRATA_MESH_ZAP_H
#define STRATA_MESH_ZAP_H

#include "mesh/keys.h"
#include "mesh/zwatch.h"
#include "strata_error.h"

#define ZAP_DOMAIN "strata"

struct zap {
    const struct keys_allowed *allowed;
    void (*on_refused) (void *arg, const char *address, const char *reason);
    void *arg;
    struct zwatch *watch;
};

/* One a process. allowed and arg outlive it. */
int zap_init (struct zap *self, uv_loop_t *loop, const struct keys_allowed *allowed,
              void (*on_refused) (void *arg, const char *address, const char *reason), void *arg,
              struct strata_error *error);
void zap_fini (struct zap *self);
/* The answer to a request; the caller frees both. A refusal goes to on_refused too. */
zmsg_t *zap_answer (const struct zap *self, zmsg_t *request);

#endif
