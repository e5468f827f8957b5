/* secure.h - the mesh over TCP: every TCP socket under CURVE, every peer checked.
 *
 * A replica's ROUTER and PUB are bound on Unix sockets first, in clear: only their owner can enter the folder. Then the
 * sockets are set to CURVE and bound on TCP: libzmq keeps the security options that stood when an endpoint was bound or
 * connected, so one socket serves both. Who connects is checked against keys/allowed (zap.h). When that list changes,
 * both TCP endpoints are bound anew under other ports: that ends every connection, so that a key that was taken away
 * counts at once; peers find the new ports in the card.
 *
 * A card can be forged by whoever can write to cards/. So it only says where: the server's key must be the one in
 * keys/service.cert, a Unix socket must be in a folder of this user alone, and nothing else is ever connected to.
 */
#ifndef STRATA_MESH_SECURE_H
#define STRATA_MESH_SECURE_H

#include <czmq.h>
#include <stdint.h>
#include <uv.h>

#include "mesh/cards.h"
#include "strata_error.h"

#define SECURE_ENDPOINT_MAX 160

struct mesh;
struct secure;      /* a replica's TCP side */
struct secure_link; /* what is known of a connection to a peer */

/* Binds the mesh's router and pub on tcp://<interface>:* too and fills in its card. Called after the Unix sockets. */
struct secure *secure_new (struct mesh *mesh, const char *interface, struct strata_error *error);
/* Before the mesh's sockets are closed: ends its monitors. The handler of handshakes goes with secure_free, after. */
void secure_stop (struct secure *self);
void secure_free (struct secure **self);
/* Connections refused since the start. last (NULL: not wanted): who and why, the latest; "" for none. self may be NULL. */
uint64_t secure_refused (const struct secure *self, const char **last);
/* Connections that their peer ended in the middle of the handshake: a client that had no more to ask, or somebody
 * without CURVE who saw that it is wanted before we could refuse. */
uint64_t secure_unfinished (const struct secure *self);

/* Where a peer's ROUTER (pub false) or PUB is connected to: Unix socket on this node, TCP on others and, when the
 * environment has STRATA_FORCE_TCP=1, everywhere. -1: nowhere safe; why. */
int secure_endpoint (const struct card *card, bool pub, char endpoint[SECURE_ENDPOINT_MAX], struct strata_error *error);
/* Connects a SUB or DEALER to what secure_endpoint says, TCP with the keys in the workspace. */
int secure_connect (const struct mesh *mesh, zsock_t *socket, const struct card *card, const char *endpoint,
                    struct strata_error *error);

/* Watches a DEALER's handshakes; to be made before it connects, freed before it is destroyed. *link: NULL when endpoint
 * is a Unix socket, which needs none. */
int secure_link_new (struct secure_link **link, uv_loop_t *loop, zsock_t *dealer, const char *endpoint,
                     struct strata_error *error);
void secure_link_free (struct secure_link **self);
/* What keeps the connection from being made; "": nothing, it is made. NULL: not known (yet), also for self NULL. */
const char *secure_link_trouble (const struct secure_link *self);
/* The socket has given up: it needs to be made anew. */
bool secure_link_dead (const struct secure_link *self);
/* True once after each connection that was made anew, after a network that was cut. */
bool secure_link_again (struct secure_link *self);

#endif
