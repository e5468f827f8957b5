/* mesh_internal.h - what mesh.c and calls.c share. */
#ifndef STRATA_MESH_INTERNAL_H
#define STRATA_MESH_INTERNAL_H

#include "mesh/mesh.h"

struct mesh_peer {
    struct card card;
    zsock_t *dealer;
    uv_poll_t *poll;
    struct secure_link *link;                /* what its handshake told; NULL without TCP */
    char sub_endpoint[SECURE_ENDPOINT_MAX];  /* where its publications come from; "" nowhere */
    char trouble[384];                       /* why it is not connected to, or "" */
    bool empty;                              /* nothing (more) was there in this turn */
    bool gone;                               /* its card was taken away */
};

/* What leaves after the commit: a message for a socket, or a call's first sending. */
struct mesh_out {
    struct mesh_out *next;
    zmsg_t *message;
    zsock_t *socket;
    uint32_t type;
    uint64_t call_id;
};

struct mesh_call {
    struct mesh_call *next, *prev, *same_bucket;
    uint64_t id;
    char peer[REPLICA_NAME_MAX];
    uint32_t type;
    zmq_msg_t *frames;               /* body and blobs; each sending shares their memory */
    size_t frames_count;
    const ProtobufCMessageDescriptor *reply_body;
    int64_t deadline_us, retry_us;   /* retry_us: when it is sent again */
    int64_t pause_us;                /* between tries; doubles */
    bool patient, put_off;           /* waits for space too; was refused for now */
    char *full;                      /* the refusal, when there was no space */
    char *producer;                  /* it goes to the stage that keeps it; NULL: to peer */
    bool moved;                      /* which that is, is looked up again */
    bool left;                       /* was queued past a commit once */
    mesh_reply_f *callback;
    void *owner, *arg;
};

struct mesh_peer *mesh_peer_find (struct mesh *self, const char *name);
void mesh_queue_call (struct mesh *self, uint64_t id);
void mesh_call_send (struct mesh *self, uint64_t id);
void mesh_calls_resend (struct mesh *self, const struct mesh_peer *peer);
void mesh_calls_tick (struct mesh *self, int64_t now_us);
void mesh_calls_fini (struct mesh *self);
void mesh_take_reply (struct mesh *self, zmsg_t *frames);

#endif
