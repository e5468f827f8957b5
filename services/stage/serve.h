/* serve.h - what the handlers of the stage service share. */
#ifndef STRATA_STAGE_SERVE_H
#define STRATA_STAGE_SERVE_H

#include "mesh/service.h"
#include "slots.h"
#include "stage_core.h"

struct cache;
struct fetches;
struct handover;
struct holders;
struct moves;
struct waits;

struct state {
    struct stage *core;
    struct slots *slots;
    struct moves *moves;
    struct waits *waits;
    struct handover *handover;
    struct cache *cache; /* NULL: there is none, or a replay, which has no files */
    bool cached;         /* there is one */
    struct fetches *fetches;
    struct holders *holders;
    char shard[64];    /* "stage-0": how claims name us */
    bool full;         /* the quota was reached, and told */
    bool stuck;        /* settling failed, and trouble is shown */
    char damaged[420]; /* the damaged object told last */
    int64_t forgot_us; /* when origins were swept */
};

/* Refuses with the sentence, by errno. A damaged object and a quota reached are told as events, once each. */
void serve_refuse (struct service *service, struct request *request, const char *ns, const char *key,
                   const struct strata_error *error);
/* A name that is not allowed belongs to no slot, and is refused by the core. */
bool serve_named (const char *ns, const char *key);

extern const struct service_handler serve_handlers[];
int serve_start (struct service *service, struct strata_error *error);
void serve_stop (struct service *service);
int serve_admit (struct service *service, const char *producer, bool known, struct strata_error *error);
int serve_flush (struct service *service, struct strata_error *error);
void serve_metrics (struct service *service);
void serve_tick (struct service *service, int64_t now_us);

/* ---- moves.c: to another stage, in two steps that a crash can't half ---- */
struct moves *moves_new (struct service *service);
void moves_free (struct moves **self);
void moves_begin (struct service *service, struct request *request, const Strata__ObjectMove *move);
/* -1 with errno EAGAIN: the object is on its way to another stage. */
int moves_check (struct moves *self, const char *ns, const char *key, struct strata_error *error);
void moves_tick (struct service *service, int64_t now_us);
/* Whether an object of this slot is on its way. */
bool moves_of_slot (const struct moves *self, unsigned slot);
size_t moves_count (const struct moves *self);

/* ---- fetch.c: objects of any stage into this node's cache ---- */
struct fetches *fetch_new (void);
void fetch_free (struct fetches **self);
void fetch_handle (struct service *service, struct request *request, const ProtobufCMessage *body);
/* The object is there now, here. */
void fetch_wake (struct service *service, const char *ns, const char *key);
void fetch_tick (struct service *service, int64_t now_us);
void fetch_metrics (struct service *service);
/* For stages with a cache: which version counts, and who has it. */
void locate_handle (struct service *service, struct request *request, const ProtobufCMessage *body);
void held_handle (struct service *service, struct request *request, const ProtobufCMessage *body);
/* A range out of our cache, for another stage's. */
void fetch_serve (struct service *service, struct request *request, const Strata__ObjectGet *get);

/* ---- waits.c: requests that wait until the object is put ---- */
struct waits *waits_new (void);
void waits_free (struct waits **self);
/* The body went with the message; most: what the request asked for. */
typedef void wait_answer_f (struct service *service, struct request *request, const char *ns, const char *key, uint64_t most);
void waits_add (struct service *service, struct request *request, const char *ns, const char *key, uint64_t most,
                wait_answer_f *answer);
/* The object is there now. */
void waits_wake (struct service *service, const char *ns, const char *key);
/* Its slot is ours no longer, or about to be: its askers look again who keeps it. */
void waits_send_on (struct service *service);
void waits_tick (struct service *service, int64_t now_us);
size_t waits_count (const struct waits *self);

/* ---- handover.c: a stage that was taken away hands on all that it keeps ---- */
struct handover *handover_new (struct service *service, struct strata_error *error);
void handover_free (struct handover **self);
void handover_tick (struct service *service, int64_t now_us);
void handover_metrics (struct service *service);

/* ---- takeover.c: what another stage hands over ---- */
void takeover_handle (struct service *service, struct request *request, const ProtobufCMessage *body);
void takeover_object (struct service *service, struct request *request, const Strata__ObjectAdopt *adopt);

#endif
