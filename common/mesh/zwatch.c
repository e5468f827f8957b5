/* zwatch.c - see zwatch.h */
#include "mesh/zwatch.h"

#include <stdlib.h>

struct zwatch {
    uv_prepare_t prepare;
    uv_poll_t poll;
    zsock_t *socket, *of; /* of: whose events socket brings; NULL: nobody's */
    zwatch_f *callback;
    void *arg;
    int open;             /* handles */
};

static void on_prepare (uv_prepare_t *handle)
{
    struct zwatch *self = handle->data;
    /* socket is NULL when a callback has freed the watch. */
    while (self->socket && (zsock_events (self->socket) & ZMQ_POLLIN)) {
        zmsg_t *message = zmsg_recv (self->socket);
        if (!message)
            return;
        self->callback (self->arg, self->socket, message);
    }
}

static void on_wake (uv_poll_t *handle, int status, int events)
{
    /* The loop is awake: the next prepare looks. */
}

struct zwatch *zwatch_new (uv_loop_t *loop, zsock_t **socket, zwatch_f *callback, void *arg)
{
    struct zwatch *self = calloc (1, sizeof (*self));
    if (!self || uv_poll_init (loop, &self->poll, (int)zsock_fd (*socket)) < 0) {
        zsock_destroy (socket);
        free (self);
        return NULL;
    }
    uv_prepare_init (loop, &self->prepare);
    self->poll.data = self->prepare.data = self;
    self->open = 2;
    self->socket = *socket;
    *socket = NULL;
    self->callback = callback;
    self->arg = arg;
    uv_prepare_start (&self->prepare, on_prepare);
    uv_poll_start (&self->poll, UV_READABLE, on_wake);
    return self;
}

static void on_closed (uv_handle_t *handle)
{
    struct zwatch *self = handle->data;
    if (--self->open == 0)
        free (self);
}

void zwatch_free (struct zwatch **self_p)
{
    struct zwatch *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    /* First: its other end would wait for this one to take what it has to say. */
    if (self->of)
        zmq_socket_monitor (zsock_resolve (self->of), NULL, 0);
    uv_prepare_stop (&self->prepare);
    uv_poll_stop (&self->poll);
    zsock_destroy (&self->socket);
    uv_close ((uv_handle_t *)&self->prepare, on_closed);
    uv_close ((uv_handle_t *)&self->poll, on_closed);
}

struct zwatch *zwatch_monitor (uv_loop_t *loop, zsock_t *of, int events, zwatch_f *callback, void *arg)
{
    static unsigned long made;
    char endpoint[64];
    snprintf (endpoint, sizeof (endpoint), "inproc://strata-monitor-%lu", made++);
    zsock_t *pair = zsock_new (ZMQ_PAIR);
    if (!pair)
        return NULL;
    zsock_set_rcvhwm (pair, 0); /* a bound would make ZeroMQ's own thread wait for this loop */
    if (zmq_socket_monitor (zsock_resolve (of), endpoint, events) < 0) {
        zsock_destroy (&pair);
        return NULL;
    }
    if (zsock_connect (pair, "%s", endpoint) < 0) {
        zmq_socket_monitor (zsock_resolve (of), NULL, 0);
        zsock_destroy (&pair);
        return NULL;
    }
    struct zwatch *self = zwatch_new (loop, &pair, callback, arg);
    if (self)
        self->of = of;
    else
        zmq_socket_monitor (zsock_resolve (of), NULL, 0);
    return self;
}
