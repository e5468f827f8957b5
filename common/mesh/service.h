/* service.h - the shell around a service's core: one loop, one shard, two sockets.
 *
 * A service's main.c names itself, its table of handlers and its timers, and calls service_main. The shell does the rest:
 * arguments, campaign file, card, heartbeat, taking the shard (standing by while another replica holds it), receiving,
 * dropping what is broken with a refusal, remembering replies, calling peers and trying again, signals, a clean end.
 *
 * A turn: messages and ticks that are due are handled; each changes the core's state through the shard's batch and queues
 * outputs (replies, calls, announcements); then the batch is committed with one sync; then the outputs leave. When the
 * commit fails (a full disk) the outputs are held, nothing new is taken in, and the commit is tried again.
 */
#ifndef STRATA_MESH_SERVICE_H
#define STRATA_MESH_SERVICE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "core/campaign.h"
#include "mesh.pb-c.h"
#include "store/shard.h"
#include "strata_error.h"

struct service;
struct request;
struct rebuild;

struct blob {
    const void *data;
    size_t size;
};

/* ---- a service describes itself ---- */
struct service_handler {
    uint32_t type;                              /* MessageType of the request; its reply is type + 1 */
    const ProtobufCMessageDescriptor *body;
    bool mutates;                               /* the reply is remembered: a retry gets the same one */
    /* body is parsed and owned by the request. Ends in one request_reply or request_refuse, now or (keeping the request)
     * later. Runs only while the shard is held. */
    void (*handle) (struct service *service, struct request *request, const ProtobufCMessage *body);
};

struct service_timer {
    unsigned every_ms;
    void (*tick) (struct service *service, int64_t now_us);   /* only while active */
};

#define SERVICE_SHARDS_MAX 64

struct service_spec {
    const char *name;                           /* "select" */
    const char *about;                          /* one line for --help */
    bool has_shard;
    /* How many shards the replicas share, at most SERVICE_SHARDS_MAX; each holds one, those that find none stand by. NULL: one. */
    unsigned (*shards) (const struct campaign *campaign);
    const struct service_handler *handlers;     /* ends with type 0; streams, queues and statistics are served anyway */
    const struct service_timer *timers;         /* ends with every_ms 0 */
    /* The shard is held (or none is needed): build the in-memory state from it. -1 ends the process with the error; with
     * errno EBADMSG the store is marked as damaged, and not served again before it is repaired. */
    int (*start) (struct service *service, struct strata_error *error);
    /* Asked to end: called ten times a second, while the service goes on working, until it returns true. NULL: ends at
     * once. By SIGTERM or SIGINT the campaign goes down, and a second one skips this; by SIGUSR1 only this process ends,
     * see service_hands_over. */
    bool (*drain) (struct service *service, int64_t now_us);
    void (*stop) (struct service *service);     /* free what start made; the shard is still open */
    /* NULL, or asked before records of a producer are kept on a stream (known: it has some there already), or none is told: 0;
     * or -1 with errno EXDEV (another stage keeps this producer) or another, and the request is refused with the sentence. */
    int (*admit) (struct service *service, const char *producer, bool known, struct strata_error *error);
    /* NULL, or called before each commit while active: puts on disk what this turn did outside of the shard. -1: the turn
     * is held, as when the commit fails. */
    int (*flush) (struct service *service, struct strata_error *error);
    /* Adds this service's figures to a heartbeat with service_metric. May be NULL. */
    void (*metrics) (struct service *service);
    /* Fills a new shard from what others hold (mesh/rebuild.h): 0; 1 when something may be missing, which it has said; -1. NULL: it
     * can't be. */
    int (*rebuild) (struct rebuild *rebuild, struct strata_error *error);
};

/* main () of a service: `strata-<name> --campaign FILE --workspace DIR [--replica N]`. Returns the exit code. */
int service_main (const struct service_spec *spec, int argc, char **argv);

/* ---- for handlers, timers and start ---- */
void service_set_state (struct service *self, void *state);
void *service_state (struct service *self);
struct shard *service_shard (struct service *self);
unsigned service_shard_number (struct service *self);      /* which of them is held */
const struct campaign *service_campaign (struct service *self);
const char *service_workspace (struct service *self);      /* absolute */
const char *service_bin_dir (struct service *self);        /* where the programs are */
const char *service_replica (struct service *self);        /* "select-0" */
uv_loop_t *service_loop (struct service *self);
/* The next tick of the timer with this function comes right after this turn's commit, then every every_ms again. */
void service_tick_soon (struct service *self, void (*tick) (struct service *service, int64_t now_us));
int64_t service_now_us (struct service *self);             /* UTC, the same through one turn */
/* A turn ends before the loop waits for events: what any uv callback changed is committed then too. */
/* In drain: this process alone ends, and another one goes on with its shard at once (scaling, a rolling restart). What
 * outlives the process, such as jobs, is left as it is. */
bool service_hands_over (struct service *self);
/* Ends the process after this turn with exit code `code`. SERVICE_AGAIN: the supervisor starts it anew at once; it has not died. */
#define SERVICE_AGAIN 75
void service_quit (struct service *self, int code);

/* Records an Event (status.proto) in the stream "events" of this shard (bounded: the newest 100,000 are kept), and in the
 * log. A service without a shard has stage keep it. */
void service_event (struct service *self, const char *kind, const char *subject, const char *fmt, ...)
    __attribute__ ((format (printf, 4, 5)));
/* Appends to a stream of this shard in this turn's batch, and announces it. Our own streams have no producers. */
uint64_t service_append (struct service *self, const char *stream, const ProtobufCMessage *record);
/* Tells subscribers after the commit that `stream` has grown (service_append does it itself). */
void service_announce (struct service *self, const char *stream);
/* Only from spec.metrics. limit 0: none. */
void service_metric (struct service *self, const char *name, double value, double limit);
/* What keeps this replica from its work, shown in status; NULL or "" when it is over. */
void service_trouble (struct service *self, const char *fmt, ...) __attribute__ ((format (printf, 2, 3)));

/* ---- what a service asks of the world other than by messages and time ----
 * How a process ended, whether a disk is full, that a thread is done: a replay can't ask that again. So each such answer goes
 * through service_fact on its way to the core: it is recorded; in a replay (service_replays) the world is not asked and not
 * changed, and the recorded answer is put in the place of `fact`. Only within start, drain, a handler, a tick or a callback. */
bool service_replays (const struct service *self);
void service_fact (struct service *self, void *fact, size_t size);
/* The same for a text in a buffer of `size` bytes. */
void service_fact_text (struct service *self, char *text, size_t size);
/* Within stop and start: the core ends to begin again at once from its store (a checkpoint of the recorded inputs). What
 * belongs to the process rather than to the core may be kept. */
bool service_restarts (const struct service *self);

/* ---- requests ---- */
const Strata__Header *request_header (const struct request *request);
size_t request_blobs (const struct request *request);
struct blob request_blob (const struct request *request, size_t i);
/* Queues the reply; it leaves after this turn's commit. Copies body and blobs. Frees the request. */
void request_reply (struct request *request, const ProtobufCMessage *body);
void request_reply_blob (struct request *request, const ProtobufCMessage *body, const void *blob, size_t size);
void request_refuse (struct request *request, Strata__RefusalCode code, const char *fmt, ...)
    __attribute__ ((format (printf, 3, 4)));

/* ---- calls to peers ---- */
struct reply {
    bool ok;
    Strata__RefusalCode code;          /* when not ok */
    const char *error;                 /* when not ok: one sentence (refusal, or "no answer from stage-0 in 30 s") */
    bool timed_out;                    /* not ok, and nobody answered before the deadline */
    const ProtobufCMessage *body;      /* when ok; of the type the caller named; valid during the callback */
    const struct blob *blobs;
    size_t blobs_count;
};
typedef void reply_f (struct service *self, const struct reply *reply, void *arg);
/* Sends a request after this turn's commit to replica `peer` ("stage-0"), or to the active replica of a service ("stage");
 * waits for its card if there is none yet; tries again, with the same request id, until the reply or timeout_ms. The reply
 * is handled in a turn of its own. Copies body and blobs. */
void service_call (struct service *self, const char *peer, uint32_t type, const ProtobufCMessage *body,
                   const struct blob *blobs, size_t blobs_count, const ProtobufCMessageDescriptor *reply_body,
                   int timeout_ms, reply_f *callback, void *arg);

/* ---- consuming a stream of peers, each record once ----
 * Reads `stream` of every shard of service `from` (one a node for stage; "feedback#1" where shards move between replicas), from this shard's cursor on, and hands each
 * record to `each`; the cursor is set in the same batch as what `each` does. Backlog waits on the producer's disk. `each`
 * returns 0, or -1 to be given the same record again in the next turn but one (its bound is reached). */
typedef int consume_f (struct service *self, const char *peer, uint64_t sequence, int64_t time_us, const void *record,
                       size_t size, void *arg);
void service_consume (struct service *self, const char *from, const char *stream, consume_f *each, void *arg);
/* The same for one of `parts` shards: it gets the records of those producers whose names' hash (stream_part) modulo parts is
 * `part`. */
void service_consume_part (struct service *self, const char *from, const char *stream, unsigned part, unsigned parts,
                           consume_f *each, void *arg);

/* ---- heartbeats of others (status) ---- */
typedef void heartbeat_f (struct service *self, const Strata__Heartbeat *heartbeat, void *arg);
void service_on_heartbeat (struct service *self, heartbeat_f *callback, void *arg);
/* spec.admit; 0 when the service has none. */
int service_admit (struct service *self, const char *producer, bool known, struct strata_error *error);
/* Says in this replica's card whether it takes nothing new since it goes (route.h). */
void service_retires (struct service *self, bool retires);
/* The stage that keeps an object, or should (route.h). Valid until the next call. */
const char *service_object_stage (struct service *self, const char *ns, const char *key);
/* After a refusal with REFUSED_ELSEWHERE: claims are read anew. */
void service_forget_routes (struct service *self);
/* Replica names with a card ("stage-0", ...), at most max; returns how many there are. */
size_t service_peers (struct service *self, char names[][64], size_t max);
/* The stages that are there, in byte order; one that is seen to be dead is left out. */
size_t service_stages (struct service *self, char names[][64], size_t max);

#endif
