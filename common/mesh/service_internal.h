/* service_internal.h - what service.c, request.c and consume.c share. */
#ifndef STRATA_MESH_SERVICE_INTERNAL_H
#define STRATA_MESH_SERVICE_INTERNAL_H

#include "mesh/mesh.h"
#include "mesh/recording.h"
#include "mesh/service.h"

struct announcement;
struct chunks;
struct consumer;
struct source;
struct open_call;
struct replay;

struct timer_state {
    uv_timer_t timer;
    struct service *service;
    const struct service_timer *spec;
    bool soon;                  /* ticks right after this turn */
};

struct service {
    const struct service_spec *spec;
    struct mesh mesh;
    uv_loop_t loop;
    struct campaign *campaign;
    struct shard *shard;
    void *state;
    char workspace[4096], bin_dir[4096], shard_dir[4200], replica[REPLICA_NAME_MAX];
    bool active;                    /* start () has returned 0 */
    bool restarts;                  /* the core ends to start again at once */
    bool ending;                    /* asked to end */
    bool hands_over;                /* by SIGUSR1 */
    bool quit;
    int code;
    const char *rebuild;            /* --rebuild: the folder; NULL: serve */
    int lock_fd;                    /* one process a replica name */
    unsigned number;                /* of the replica */
    struct lease_watch watches[SERVICE_SHARDS_MAX];  /* of the shards that other replicas hold */
    bool by_force;                  /* the shard was taken so, and nobody was told yet */
    bool lost;                      /* another process has taken the shard: nothing leaves any more */
    bool held;                      /* the last commit failed: nothing is taken in, nothing leaves */
    int64_t commit_again_us, again_us;  /* again_us: when the shard, or the card, is tried again */
    bool card_due;                  /* the card could not be written */
    int64_t now_us, started_us, swept_us;
    char trouble[512], store_trouble[512], stream_trouble[512];
    uv_timer_t heartbeat, housekeeping;
    uv_signal_t signals[3];
    struct timer_state *timers;
    size_t timers_count;
    struct request *open_requests;  /* handed to a handler and not answered */
    struct consumer *consumers;
    struct announcement *announcements; /* of this turn */
    heartbeat_f *on_heartbeat;
    void *on_heartbeat_arg;
    Strata__Metric *metrics;        /* of the heartbeat being made */
    size_t metrics_count, metrics_size;
    uint64_t replies;               /* remembered, when they were swept last */
    struct open_call *open_calls;   /* made by the core and not answered */
    uint64_t calls_made;            /* since the core started */
    uint64_t start_took_ns;         /* the core's last start */
    int64_t restarted_us;           /* when it was started anew last, in place; 0: never */
    struct journal *journal;        /* NULL: inputs are not recorded */
    struct replay *replay;          /* not NULL: this process plays a record again, and has no sockets */
    struct source *replay_source;   /* whose records come next from the record */
    uint64_t outputs;               /* digest of replies and calls */
    uint64_t handled, refused, repeated;
    uint64_t peers_told;            /* refused TCP peers that an event has told of */
    int64_t peers_told_us;
};

/* service.c */
/* Once the sockets are bound: from now on the loop runs turns, and housekeeping takes the shard. -1: the card can't be written. */
int service_begin (struct service *self, struct strata_error *error);
int service_commit (struct service *self, bool all);     /* all: the record of inputs too, whatever waits there */
int service_start_core (struct service *self, bool in_place, struct strata_error *error);
void service_sweep (struct service *self);
/* recording.c: as a crash does, but for what the core has to free. */
void service_end_core (struct service *self);
/* request.c */
void service_take_request (struct mesh *mesh, zframe_t *identity, struct wire_message *message, void *arg);
void service_drop_requests (struct service *self);
/* Queues the reply with the chunks' bytes as its blobs, which are taken over. */
void request_reply_chunks (struct request *request, const ProtobufCMessage *body, struct chunks *chunks);
/* announce.c: as service_announce, with the records (or the last ones) that were appended. */
void announce_records (struct service *self, const char *stream, uint64_t first, const uint32_t *sizes, size_t count,
                       const void *bytes, size_t size);
void announce_flush (struct service *self);
void announce_fini (struct service *self);
/* consume.c */
void consume_tick (struct service *self);
void consume_announced (struct service *self, const Strata__Header *header, const Strata__Announcement *announcement,
                        const struct blob *blobs, size_t blobs_count);
void consume_peer (struct service *self, const struct card *card);
void consume_metrics (struct service *self);
void consume_fini (struct service *self);

#endif
