/* mesh.h - one process on the mesh: its sockets in a libuv loop, its calls to peers, its outbox.
 *
 * Used by service.c (a replica: binds) and client.c (a simulation or the command line: only connects).
 *
 * A ZeroMQ descriptor is edge-triggered: it says "look", not "there is something", and sending may swallow the edge. So
 * every socket is looked at before each time the loop waits (a uv_prepare), and uv_poll on the descriptors only wakes the
 * loop. One such look is a turn: take in what is there (bounded), let the owner commit, then let the outbox leave.
 */
#ifndef STRATA_MESH_MESH_H
#define STRATA_MESH_MESH_H

#include <czmq.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "mesh/cards.h"
#include "mesh/secure.h"
#include "mesh/service.h"
#include "mesh/wire.h"

#define MESH_TURN_MESSAGES 1024       /* taken in at most in one turn */
#define MESH_TURN_BYTES (16u << 20)   /* and bytes: a turn stays short */
#define MESH_CALL_BUCKETS 4096  /* ids count up: a call stands alone in its bucket up to so many */

struct mesh_peer;
struct mesh_call;
struct mesh_out;

struct mesh_outbox {
    struct mesh_out *first, **tail; /* tail: of no meaning while it is empty */
};
struct mesh_route;

/* The highest epoch seen of a shard's holders: what comes from a lower one comes from a stale holder. */
struct mesh_epoch {
    char shard[REPLICA_NAME_MAX + 16];
    char replica[REPLICA_NAME_MAX];  /* who was seen in it ... */
    uint64_t boot, epoch;            /* ... in which life */
};

struct mesh {
    uv_loop_t *loop;
    uv_prepare_t prepare;
    uv_idle_t idle;             /* runs while more waits to be taken in: the loop does not sleep then */
    uv_timer_t tick;            /* every MESH_TICK_MS: retries, cards */
    char workspace[4096];
    char name[REPLICA_NAME_MAX * 4];
    char node[REPLICA_NAME_MAX];
    struct card card;           /* own; replica empty for a client */
    uint64_t boot, next_request;
    zsock_t *router, *pub, *sub;
    bool router_empty, sub_empty;   /* in this turn */
    size_t turn_bytes;              /* taken in */
    size_t turn_messages_most, turn_bytes_most, out_most; /* of any turn since the owner set them to 0 */
    uv_poll_t router_poll, sub_poll;
    const char *tcp_interface;  /* set before mesh_init: listen on TCP too; NULL: Unix sockets alone */
    struct secure *secure;      /* NULL without TCP */
    struct mesh_peer *peers;
    size_t peers_count;
    uint64_t cards_seen;
    struct mesh_route *route;   /* what is known of claims: route.c */
    struct mesh_call *calls, *calls_last;   /* not answered, oldest first */
    struct mesh_call *calls_by_id[MESH_CALL_BUCKETS];
    size_t calls_count;
    struct mesh_outbox publications, out;   /* leave after the commit, publications first */
    unsigned ticks;
    uint64_t refused;           /* messages refused before they reached a handler */
    uint64_t late;              /* requests dropped since their sender no longer waits */
    uint64_t resent;            /* calls sent again: no answer in time, or the peer was not ready */
    uint64_t stale;             /* requests, replies and publications of stale holders */
    struct mesh_epoch *epochs;
    size_t epochs_count;
    bool open;
    bool stay_awake;            /* set by an owner that has something else to do than to wait */

    /* The owner's part. request: takes over the message. publication: topic, message. */
    void (*on_request) (struct mesh *self, zframe_t *identity, struct wire_message *message, void *arg);
    void (*on_publication) (struct mesh *self, const char *topic, struct wire_message *message, void *arg);
    bool (*may_take) (void *arg);     /* false: nothing is taken in (a failed commit) */
    int (*commit) (void *arg);        /* 0: the outbox may leave */
    bool (*may_send) (void *arg);     /* asked before what leaves between commits: retries; may be NULL */
    void (*on_peer) (struct mesh *self, const struct card *card, void *arg);  /* a new or restarted peer; may be NULL */
    void *arg;
};

/* workspace must be absolute. service NULL: a client of this name. Binds for a service. */
int mesh_init (struct mesh *self, uv_loop_t *loop, const char *workspace, const char *name, const char *service, const char *node,
               struct strata_error *error);
void mesh_fini (struct mesh *self);   /* closes handles; the owner runs the loop once more */
int64_t mesh_now_us (void);

/* Writes the own card anew (active or epoch changed). */
int mesh_publish_card (struct mesh *self, struct strata_error *error);
void mesh_subscribe (struct mesh *self, const char *topic);
/* Reads the cards now instead of at the next tick. */
void mesh_look_at_cards (struct mesh *self);
/* Cards of peers, own excluded. */
size_t mesh_peers (struct mesh *self, const struct card **cards, size_t max);

/* Queued for after the commit. Takes over *message_p. */
void mesh_send_reply (struct mesh *self, zframe_t *identity, uint32_t type, zmsg_t **message_p);
void mesh_send_publication (struct mesh *self, const char *topic, uint32_t type, const ProtobufCMessage *body, zframe_t **blobs,
                            size_t blobs_count); /* takes over the blobs */
/* At once, past the commit: heartbeats only. */
void mesh_send_heartbeat (struct mesh *self, const ProtobufCMessage *body);
Strata__Header mesh_header (struct mesh *self, uint32_t type);

/* Calls the callback once: with the reply, a refusal that is final, or no answer in time. callback's `self` is arg2. */
typedef void mesh_reply_f (void *owner, const struct reply *reply, void *arg);
void mesh_call (struct mesh *self, const char *peer, uint32_t type, const ProtobufCMessage *body, const struct blob *blobs,
                size_t blobs_count, const ProtobufCMessageDescriptor *reply_body, int timeout_ms, mesh_reply_f *callback,
                void *owner, void *arg);
/* For a client, which has no commit to wait for: leaves at once, to the stage that keeps the producer (route.h). The one blob is
 * malloc'ed, blob_room bytes, and the call takes it over. "Full" and "elsewhere" are no final answers: it is tried again until
 * timeout_ms. */
void mesh_call_given (struct mesh *self, const char *producer, uint32_t type, const ProtobufCMessage *body, void *blob, size_t blob_size,
                      size_t blob_room, const ProtobufCMessageDescriptor *reply_body, int timeout_ms, mesh_reply_f *callback,
                      void *owner, void *arg);
#define MESH_GIVEN_BYTES (256u << 10)
#define MESH_GIVEN_KEPT 8 /* in a process, to be used again */
/* malloc'ed, MESH_GIVEN_BYTES. NULL: out of memory. */
void *mesh_given_new (void);
/* Leaves at once instead of after this turn's commit: only for requests that change nothing and tell nothing that is not on
 * disk yet. */
void mesh_call_ahead (struct mesh *self, const char *peer, uint32_t type, const ProtobufCMessage *body,
                      const struct blob *blobs, size_t blobs_count, const ProtobufCMessageDescriptor *reply_body,
                      int timeout_ms, mesh_reply_f *callback, void *owner, void *arg);
/* How a shard is called as a peer, whichever replica holds it: "feedback#1"; "stage-0", whose replicas have one each. mesh_call
 * takes such a name, too. */
void mesh_shard_name (const char *replica, uint32_t shard, char name[REPLICA_NAME_MAX]);
/* False for a message of a shard's holder after one of a later epoch was seen; counted. */
bool mesh_epoch_is_current (struct mesh *self, const Strata__Header *header);
size_t mesh_calls_open (const struct mesh *self);

#endif
