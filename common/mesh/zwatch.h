/* zwatch.h - one ZeroMQ socket that hands each message it gets to a function, from a libuv loop.
 *
 * For sockets beside the mesh's turn (the authenticator, monitors): they are served while a commit is held, too. See
 * mesh.h on why a socket is looked at before each time the loop waits.
 */
#ifndef STRATA_MESH_ZWATCH_H
#define STRATA_MESH_ZWATCH_H

#include <czmq.h>
#include <uv.h>

struct zwatch;

/* The message is the callback's to destroy. */
typedef void zwatch_f (void *arg, zsock_t *socket, zmsg_t *message);

/* Takes over *socket, also on failure (NULL). */
struct zwatch *zwatch_new (uv_loop_t *loop, zsock_t **socket, zwatch_f *callback, void *arg);
/* Closes the socket at once and its handles with the loop's next run. No callback comes after this. */
void zwatch_free (struct zwatch **self);

/* A watch on the events (ZMQ_EVENT_*) of another socket. To be freed before `of` is destroyed. A message is two frames:
 * uint16_t event and uint32_t value; endpoint. */
struct zwatch *zwatch_monitor (uv_loop_t *loop, zsock_t *of, int events, zwatch_f *callback, void *arg);

#endif
