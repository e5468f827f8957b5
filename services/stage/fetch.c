/* fetch.c - objects of any stage into this node's cache (cache.h), for programs of the node that map them.
 *
 * An ask first has the version located: by the stage that keeps the name, so that nobody is given what was replaced before he
 * asked. Then it is in the cache; or on its way there, and the ask joins that flight; or a flight begins: from a stage that has the
 * version in its cache, then from the one that keeps it. A flight moves chunks, a few of them asked for at a time, into a file
 * that nobody is told of before its bytes are checked.
 *
 *   LOCATING --> (answered: it is in the cache)
 *      |    \--> FETCHING --> (answered)
 *      |            \--> AGAIN, when the object was replaced or passed on meanwhile --> LOCATING
 *      \--> WAITING, when we keep the name and it is not put yet --> LOCATING
 *
 * Whatever keeps an object out of the cache, no room in it or a stage that is silent, is no failure: the asker is told to
 * ask the stage that keeps the name, which has the last word. All of it stands in memory: askers ask again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache.h"
#include "core/crc32c.h"
#include "core/log.h"
#include "holders.h"
#include "serve.h"

#define CHUNK_BYTES ((uint64_t)1 << 20)
#define CREDIT 4                /* chunks of a flight that are asked for together */
#define FLIGHTS_MAX 16          /* under way together; others begin when one has ended */
#define ASKS_MAX 10000
#define PEER_TIMEOUT_MS 2000    /* of a chunk from a cache: then the next source is asked */
#define AGAIN_US 20000
#define TRIES_MAX 50
#define MARGIN_US 500000        /* before an asker gives up, at most: he has to ask the keeper still */
#define PATIENCE_US 60000000    /* with an asker who has no deadline */

enum ask_state { ASK_LOCATING, ASK_WAITING, ASK_FETCHING, ASK_AGAIN };

struct flight;

struct ask {
    struct ask *next;
    struct service *service;
    struct request *request;
    char ns[STAGE_NAME_MAX + 2], key[STAGE_NAME_MAX + 2], keeper[REPLICA_NAME_MAX];
    bool wait;
    enum ask_state state;
    struct flight *flight; /* FETCHING */
    unsigned tries;
    int64_t deadline_us, again_us;
};

struct chunk {
    struct flight *flight;
    uint64_t offset;
    uint32_t size;
    enum { CHUNK_TODO, CHUNK_ASKED, CHUNK_DONE } state;
};

struct flight {
    struct flight *next;
    struct service *service;
    char ns[STAGE_NAME_MAX + 2], key[STAGE_NAME_MAX + 2];
    Strata__ObjectInfo version;
    struct cache_file *file;
    char sources[HOLDERS_EACH + 1][REPLICA_NAME_MAX]; /* the last one keeps the name */
    size_t sources_count, source;
    bool mixed;                 /* some bytes came from a cache */
    bool begun;
    struct chunk *chunks;
    size_t count, done, under_way;
    bool failed, no_room;       /* this source did, and how; or this node */
    Strata__RefusalCode code;
    struct strata_error error;
    int64_t deadline_us;
};

struct fetches {
    struct ask *asks;
    struct flight *flights;
    size_t asks_count, begun;
    uint64_t hits, joined, from_peers, from_origin, bypassed, served;
};

static struct fetches *fetches_of (struct service *service)
{
    return ((struct state *)service_state (service))->fetches;
}

/* ---- what the cache says: facts, since its files are none of the store ---- */

static int fact (struct service *service, int rc)
{
    service_fact (service, &rc, sizeof (rc));
    return rc;
}

/* The version's file, NULL: it is not there. A replay knows no more than that it is. */
static const char *find (struct service *service, const char *ns, const char *key, const Strata__ObjectInfo *version)
{
    struct state *state = service_state (service);
    const char *path = service_replays (service) ? "" : cache_find (state->cache, ns, key, version);
    return fact (service, path ? 0 : -1) == 0 ? path ? path : "" : NULL;
}

static int write_part (struct service *service, struct cache_file *file, uint64_t offset, struct blob part, struct strata_error *error)
{
    return fact (service, service_replays (service) ? 0 : cache_write (file, offset, part.data, part.size, error));
}

struct fetches *fetch_new (void)
{
    return calloc (1, sizeof (struct fetches));
}

static void flight_free (struct flight *flight)
{
    cache_abort (&flight->file);
    free (flight->chunks);
    free (flight);
}

/* The requests themselves are the shell's. */
void fetch_free (struct fetches **self_p)
{
    struct fetches *self = *self_p;
    while (self && self->asks) {
        struct ask *ask = self->asks;
        self->asks = ask->next;
        free (ask);
    }
    while (self && self->flights) {
        struct flight *flight = self->flights;
        self->flights = flight->next;
        flight_free (flight);
    }
    free (self);
    *self_p = NULL;
}

/* ---- answers ---- */

static void ask_end (struct ask *ask)
{
    struct fetches *self = fetches_of (ask->service);
    struct ask **p = &self->asks;
    while (*p != ask)
        p = &(*p)->next;
    *p = ask->next;
    self->asks_count--;
    free (ask);
}

/* path "": he asks the stage that keeps the name. */
static void answer (struct ask *ask, const Strata__ObjectInfo *info, const char *path)
{
    Strata__ObjectFetchReply reply = STRATA__OBJECT_FETCH_REPLY__INIT;
    reply.info = (Strata__ObjectInfo *)info;
    reply.path = (char *)path;
    fetches_of (ask->service)->bypassed += !path[0];
    request_reply (ask->request, &reply.base);
    ask_end (ask);
}

/* The client takes no info for "there is no cache here". */
static void answer_without (struct ask *ask)
{
    Strata__ObjectInfo none = STRATA__OBJECT_INFO__INIT;
    answer (ask, &none, "");
}

static void refuse (struct ask *ask, Strata__RefusalCode code, const char *text)
{
    request_refuse (ask->request, code, "%s", text);
    ask_end (ask);
}

static void ask_again (struct ask *ask)
{
    ask->flight = NULL;
    ask->state = ASK_AGAIN;
    ask->again_us = service_now_us (ask->service) + AGAIN_US;
    if (++ask->tries > TRIES_MAX)
        answer_without (ask);
}

static int left_ms (struct service *service, int64_t deadline_us)
{
    int64_t left = (deadline_us - service_now_us (service)) / 1000;
    return left < 1 ? 1 : left > 600000 ? 600000 : (int)left;
}

/* ---- flights ---- */

static void flight_step (struct flight *flight);

static void flight_remove (struct flight *flight)
{
    struct fetches *self = fetches_of (flight->service);
    struct flight **p = &self->flights;
    while (*p != flight)
        p = &(*p)->next;
    *p = flight->next;
    self->begun -= flight->begun;
    flight_free (flight);
    for (struct flight *f = self->flights; f; f = f->next)
        if (!f->begun && self->begun < FLIGHTS_MAX) {
            f->begun = true;
            self->begun++;
            flight_step (f);
            return;
        }
}

static bool from_origin (const struct flight *flight)
{
    return flight->source + 1 == flight->sources_count;
}

/* What is not seen here is a chunk that isn't what was asked for. */
static void take_chunk (struct chunk *chunk, const struct reply *reply)
{
    struct flight *flight = chunk->flight;
    const Strata__ObjectGetReply *got = (const Strata__ObjectGetReply *)reply->body;
    if (!reply->ok) {
        flight->failed = true;
        flight->code = reply->timed_out ? STRATA__REFUSAL_CODE__REFUSED_UNAVAILABLE : reply->code;
        strata_fail (&flight->error, "%s", reply->error);
    } else if (!got->info || !cache_same_version (got->info, &flight->version)) {
        flight->failed = true;
        flight->code = STRATA__REFUSAL_CODE__REFUSED_NOT_FOUND;
        strata_fail (&flight->error, "object %s/%s was replaced while it was fetched", flight->ns, flight->key);
    } else if (reply->blobs_count != 1 || reply->blobs[0].size != chunk->size
               || crc32c (0, reply->blobs[0].data, chunk->size) != got->crc32c) {
        flight->failed = true;
        flight->code = STRATA__REFUSAL_CODE__REFUSED_MALFORMED;
        strata_fail (&flight->error, "a part of object %s/%s was damaged on its way", flight->ns, flight->key);
    } else if (write_part (flight->service, flight->file, chunk->offset, reply->blobs[0], &flight->error) < 0)
        flight->failed = flight->no_room = true;
    else {
        chunk->state = CHUNK_DONE;
        flight->done++;
        flight->mixed |= !from_origin (flight);
    }
}

static void on_chunk (struct service *service, const struct reply *reply, void *arg)
{
    struct chunk *chunk = arg;
    struct flight *flight = chunk->flight;
    chunk->state = CHUNK_TODO;
    flight->under_way--;
    take_chunk (chunk, reply);
    flight_step (flight);
}

static void send_chunks (struct flight *flight)
{
    bool origin = from_origin (flight);
    int timeout_ms = left_ms (flight->service, flight->deadline_us);
    if (!origin && timeout_ms > PEER_TIMEOUT_MS)
        timeout_ms = PEER_TIMEOUT_MS;
    for (size_t i = 0; i < flight->count && flight->under_way < CREDIT; i++) {
        struct chunk *chunk = &flight->chunks[i];
        Strata__ObjectGet get = STRATA__OBJECT_GET__INIT;
        if (chunk->state != CHUNK_TODO)
            continue;
        get.namespace_ = flight->ns;
        get.key = flight->key;
        get.range = true;
        get.offset = chunk->offset;
        get.length = chunk->size;
        get.cached = origin ? NULL : &flight->version;
        chunk->state = CHUNK_ASKED;
        flight->under_way++;
        service_call (flight->service, flight->sources[flight->source], STRATA__MESSAGE_TYPE__TYPE_OBJECT_GET, &get.base, NULL, 0,
                      &strata__object_get_reply__descriptor, timeout_ms, on_chunk, chunk);
    }
}

/* The stage that keeps the name learns that we have it, and who had it no more. */
static void tell_keeper (struct flight *flight)
{
    Strata__ObjectHeld held = STRATA__OBJECT_HELD__INIT;
    char *lacking[HOLDERS_EACH];
    held.namespace_ = flight->ns;
    held.key = flight->key;
    held.info = &flight->version;
    held.lacking = lacking;
    for (size_t i = 0; i < flight->source && i < HOLDERS_EACH; i++)
        lacking[held.n_lacking++] = flight->sources[i];
    service_call (flight->service, flight->sources[flight->sources_count - 1], STRATA__MESSAGE_TYPE__TYPE_OBJECT_HELD, &held.base,
                  NULL, 0, &strata__object_held_reply__descriptor, PEER_TIMEOUT_MS, NULL, NULL);
}

/* All who wait for it: each of them is told by `tell`. */
static void each_ask (struct flight *flight, void (*tell) (struct ask *ask, const struct flight *flight))
{
    for (struct ask *ask = fetches_of (flight->service)->asks, *next; ask; ask = next) {
        next = ask->next;
        if (ask->flight == flight)
            tell (ask, flight);
    }
}

static void tell_path (struct ask *ask, const struct flight *flight)
{
    const char *path = find (ask->service, flight->ns, flight->key, &flight->version);
    answer (ask, &flight->version, path ? path : "");
}

static void tell_failure (struct ask *ask, const struct flight *flight)
{
    if (flight->no_room)
        answer (ask, &flight->version, "");
    else if (flight->code == STRATA__REFUSAL_CODE__REFUSED_NOT_FOUND || flight->code == STRATA__REFUSAL_CODE__REFUSED_ELSEWHERE)
        ask_again (ask);
    else if (flight->code == STRATA__REFUSAL_CODE__REFUSED_DAMAGED)
        refuse (ask, flight->code, flight->error.text);
    else
        answer (ask, &flight->version, "");
}

static void flight_fail (struct flight *flight)
{
    log_info ("object %s/%s was not fetched from %s: %s", flight->ns, flight->key, flight->sources[flight->source], flight->error.text);
    if (flight->code == STRATA__REFUSAL_CODE__REFUSED_ELSEWHERE)
        service_forget_routes (flight->service);
    each_ask (flight, tell_failure);
    flight_remove (flight);
}

/* All chunks are there. Of several sources one may have lied: then the origin is asked for all of it. */
static void flight_finish (struct flight *flight)
{
    struct fetches *self = fetches_of (flight->service);
    if (fact (flight->service, service_replays (flight->service) ? 0 : cache_check (flight->file, &flight->error)) < 0) {
        if (flight->mixed) {
            log_warn ("%s; it is fetched anew from %s", flight->error.text, flight->sources[flight->sources_count - 1]);
            for (size_t i = 0; i < flight->count; i++)
                flight->chunks[i].state = CHUNK_TODO;
            flight->done = 0;
            flight->mixed = false;
            flight->source = flight->sources_count - 1;
            send_chunks (flight);
            return;
        }
        flight->code = STRATA__REFUSAL_CODE__REFUSED_DAMAGED;
        flight_fail (flight);
        return;
    }
    if (fact (flight->service, service_replays (flight->service) ? 0 : cache_end (&flight->file, &flight->error)) < 0) {
        flight->no_room = true;
        flight_fail (flight);
        return;
    }
    self->from_peers += !from_origin (flight);
    self->from_origin += from_origin (flight);
    tell_keeper (flight);
    each_ask (flight, tell_path);
    flight_remove (flight);
}

/* What comes next; ends the flight, maybe. A source that failed is left when none of its chunks is under way any more. */
static void flight_step (struct flight *flight)
{
    if (flight->failed && flight->under_way)
        return;
    if (flight->failed) {
        if (flight->no_room || from_origin (flight)) {
            flight_fail (flight);
            return;
        }
        log_info ("object %s/%s: %s; the next source is asked", flight->ns, flight->key, flight->error.text);
        flight->failed = false;
        flight->source++;
    }
    if (flight->done == flight->count)
        flight_finish (flight);
    else
        send_chunks (flight);
}

/* NULL: out of memory. Takes the file over. */
static struct flight *flight_new (const struct ask *ask, const Strata__ObjectInfo *version, char *const *peers, size_t peers_count,
                                  struct cache_file **file)
{
    struct state *state = service_state (ask->service);
    size_t count = (size_t)((version->size + CHUNK_BYTES - 1) / CHUNK_BYTES);
    struct flight *flight = calloc (1, sizeof (*flight));
    struct chunk *chunks = calloc (count ? count : 1, sizeof (*chunks));
    if (!flight || !chunks) {
        free (flight);
        free (chunks);
        return NULL;
    }
    flight->service = ask->service;
    memcpy (flight->ns, ask->ns, sizeof (flight->ns));
    memcpy (flight->key, ask->key, sizeof (flight->key));
    cache_set_version (&flight->version, version);
    flight->file = *file;
    *file = NULL;
    for (size_t i = 0; i < peers_count && flight->sources_count < HOLDERS_EACH; i++)
        if (strcmp (peers[i], state->shard) != 0 && strcmp (peers[i], ask->keeper) != 0)
            snprintf (flight->sources[flight->sources_count++], REPLICA_NAME_MAX, "%.63s", peers[i]);
    memcpy (flight->sources[flight->sources_count++], ask->keeper, REPLICA_NAME_MAX);
    flight->chunks = chunks;
    flight->count = count;
    for (size_t i = 0; i < count; i++) {
        uint64_t offset = i * CHUNK_BYTES, left = version->size - offset;
        chunks[i] = (struct chunk){ flight, offset, (uint32_t)(left < CHUNK_BYTES ? left : CHUNK_BYTES), CHUNK_TODO };
    }
    flight->next = state->fetches->flights;
    state->fetches->flights = flight;
    return flight;
}

static void join (struct ask *ask, struct flight *flight)
{
    ask->state = ASK_FETCHING;
    ask->flight = flight;
    if (ask->deadline_us > flight->deadline_us)
        flight->deadline_us = ask->deadline_us;
}

/* ---- asks ---- */

/* We keep it: from the backend into the cache at once. */
static void fill_here (struct ask *ask, const Strata__ObjectInfo *version, struct cache_file *file)
{
    struct state *state = service_state (ask->service);
    struct strata_error error;
    Strata__ObjectInfo info;
    void *data;
    if (stage_get (state->core, ask->ns, ask->key, &info, &data, &error) < 0) {
        cache_abort (&file);
        serve_refuse (ask->service, ask->request, ask->ns, ask->key, &error);
        ask_end (ask);
        return;
    }
    int rc = write_part (ask->service, file, 0, (struct blob){ data, info.size }, &error);
    if (rc == 0)
        rc = fact (ask->service, service_replays (ask->service) ? 0 : cache_end (&file, &error));
    free (data);
    cache_abort (&file);
    const char *path = rc == 0 ? find (ask->service, ask->ns, ask->key, version) : NULL;
    state->fetches->from_origin += path != NULL;
    if (rc < 0)
        log_warn ("%s", error.text);
    answer (ask, version, path ? path : "");
}

/* The version that counts, and which caches have it. */
static void located (struct ask *ask, const Strata__ObjectInfo *version, char *const *peers, size_t peers_count)
{
    struct state *state = service_state (ask->service);
    struct fetches *self = state->fetches;
    struct strata_error error;
    const char *path = find (ask->service, ask->ns, ask->key, version);
    if (path) {
        self->hits++;
        answer (ask, version, path);
        return;
    }
    for (struct flight *f = self->flights; f; f = f->next)
        if (cache_same_version (&f->version, version) && strcmp (f->ns, ask->ns) == 0 && strcmp (f->key, ask->key) == 0) {
            self->joined++;
            join (ask, f);
            return;
        }
    struct cache_file *file = service_replays (ask->service) ? NULL : cache_begin (state->cache, ask->ns, ask->key, version, &error);
    if (fact (ask->service, file ? 0 : -1) < 0) {
        answer (ask, version, "");
        return;
    }
    if (strcmp (ask->keeper, state->shard) == 0) {
        fill_here (ask, version, file);
        return;
    }
    struct flight *flight = flight_new (ask, version, peers, peers_count, &file);
    if (!flight) {
        cache_abort (&file);
        answer (ask, version, "");
        return;
    }
    join (ask, flight);
    if (self->begun < FLIGHTS_MAX) {
        flight->begun = true;
        self->begun++;
        flight_step (flight);
    }
}

static void on_located (struct service *service, const struct reply *reply, void *arg)
{
    struct ask *ask = arg;
    const Strata__ObjectLocateReply *got = (const Strata__ObjectLocateReply *)reply->body;
    if (reply->ok && got->info)
        located (ask, got->info, got->holders, got->n_holders);
    else if (reply->ok || reply->timed_out || (ask->wait && reply->code == STRATA__REFUSAL_CODE__REFUSED_NOT_FOUND))
        answer_without (ask); /* or it was not put in our part of the asker's time */
    else if (reply->code == STRATA__REFUSAL_CODE__REFUSED_ELSEWHERE) {
        service_forget_routes (service);
        ask_again (ask);
    } else
        refuse (ask, reply->code, reply->error);
}

/* A hint that came by messages which left nothing else behind: a fact for what depends on it. */
static size_t known_holders (const struct ask *ask, const Strata__ObjectInfo *info, char *peers[HOLDERS_EACH])
{
    static char names[HOLDERS_EACH][REPLICA_NAME_MAX];
    struct state *state = service_state (ask->service);
    uint32_t count = service_replays (ask->service) ? 0 : (uint32_t)holders_of (state->holders, ask->ns, ask->key, info, peers);
    for (size_t i = 0; i < count; i++)
        snprintf (names[i], sizeof (names[i]), "%s", peers[i]);
    service_fact (ask->service, &count, sizeof (count));
    if (count > HOLDERS_EACH)
        count = HOLDERS_EACH; /* only from a broken record */
    for (size_t i = 0; i < count; i++) {
        service_fact_text (ask->service, names[i], sizeof (names[i]));
        peers[i] = names[i];
    }
    return count;
}

static void locate_here (struct ask *ask)
{
    struct state *state = service_state (ask->service);
    struct strata_error error = { "" };
    Strata__ObjectInfo info;
    char *peers[HOLDERS_EACH];
    if ((ask->wait ? slots_take : slots_look) (state->slots, ask->ns, ask->key, &error) < 0) {
        if (errno == EXDEV) {
            service_forget_routes (ask->service);
            ask_again (ask);
            return;
        }
        serve_refuse (ask->service, ask->request, ask->ns, ask->key, &error);
        ask_end (ask);
    } else if (stage_stat (state->core, ask->ns, ask->key, &info, &error) == 0)
        located (ask, &info, peers, known_holders (ask, &info, peers));
    else if (errno == ENOENT && ask->wait)
        ask->state = ASK_WAITING;
    else {
        serve_refuse (ask->service, ask->request, ask->ns, ask->key, &error);
        ask_end (ask);
    }
}

static void locate (struct ask *ask)
{
    struct state *state = service_state (ask->service);
    snprintf (ask->keeper, sizeof (ask->keeper), "%s", service_object_stage (ask->service, ask->ns, ask->key));
    ask->state = ASK_LOCATING;
    if (strcmp (ask->keeper, state->shard) == 0) {
        locate_here (ask);
        return;
    }
    Strata__ObjectLocate body = STRATA__OBJECT_LOCATE__INIT;
    body.namespace_ = ask->ns;
    body.key = ask->key;
    body.wait = ask->wait;
    service_call (ask->service, ask->keeper, STRATA__MESSAGE_TYPE__TYPE_OBJECT_LOCATE, &body.base, NULL, 0,
                  &strata__object_locate_reply__descriptor, left_ms (ask->service, ask->deadline_us), on_located, ask);
}

void fetch_handle (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__ObjectFetch *fetch = (const Strata__ObjectFetch *)body;
    struct state *state = service_state (service);
    struct fetches *self = state->fetches;
    int64_t now_us = service_now_us (service), deadline_us = request_header (request)->deadline_us;
    Strata__ObjectFetchReply none = STRATA__OBJECT_FETCH_REPLY__INIT;
    if (!serve_named (fetch->namespace_, fetch->key)) {
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_INVALID, "'%.200s/%.200s' is no name of an object", fetch->namespace_,
                        fetch->key);
        return;
    }
    struct ask *ask = state->cached && self->asks_count < ASKS_MAX ? calloc (1, sizeof (*ask)) : NULL;
    if (!ask) {
        request_reply (request, &none.base);
        return;
    }
    ask->service = service;
    ask->request = request;
    snprintf (ask->ns, sizeof (ask->ns), "%s", fetch->namespace_);
    snprintf (ask->key, sizeof (ask->key), "%s", fetch->key);
    ask->wait = fetch->wait;
    if (!deadline_us)
        deadline_us = now_us + PATIENCE_US;
    int64_t margin_us = (deadline_us - now_us) / 5;
    ask->deadline_us = deadline_us - (margin_us < MARGIN_US ? margin_us : MARGIN_US);
    ask->next = self->asks;
    self->asks = ask;
    self->asks_count++;
    locate (ask);
}

void fetch_wake (struct service *service, const char *ns, const char *key)
{
    for (struct ask *ask = fetches_of (service)->asks, *next; ask; ask = next) {
        next = ask->next;
        if (ask->state == ASK_WAITING && strcmp (ask->key, key) == 0 && strcmp (ask->ns, ns) == 0)
            locate_here (ask);
    }
}

void fetch_tick (struct service *service, int64_t now_us)
{
    struct state *state = service_state (service);
    for (struct ask *ask = state->fetches->asks, *next; ask; ask = next) {
        struct strata_error error;
        next = ask->next;
        /* Who is locating has a call under way, which ends by itself. */
        if (ask->state != ASK_LOCATING && ask->deadline_us < now_us)
            answer_without (ask);
        else if (ask->state == ASK_AGAIN && ask->again_us <= now_us)
            locate (ask);
        else if (ask->state == ASK_WAITING && slots_look (state->slots, ask->ns, ask->key, &error) < 0)
            ask_again (ask); /* the name was handed on */
    }
}

/* ---- for other stages ---- */

static void locate_answer (struct service *service, struct request *request, const char *ns, const char *key, uint64_t most)
{
    struct state *state = service_state (service);
    struct strata_error error;
    Strata__ObjectInfo info;
    Strata__ObjectLocateReply reply = STRATA__OBJECT_LOCATE_REPLY__INIT;
    char *peers[HOLDERS_EACH];
    if (stage_stat (state->core, ns, key, &info, &error) < 0) {
        serve_refuse (service, request, ns, key, &error);
        return;
    }
    reply.info = &info;
    reply.holders = peers;
    reply.n_holders = holders_of (state->holders, ns, key, &info, peers);
    request_reply (request, &reply.base);
}

void locate_handle (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__ObjectLocate *ask = (const Strata__ObjectLocate *)body;
    struct state *state = service_state (service);
    struct strata_error error = { "" };
    Strata__ObjectInfo info;
    if (serve_named (ask->namespace_, ask->key)
        && (ask->wait ? slots_take : slots_look) (state->slots, ask->namespace_, ask->key, &error) < 0)
        serve_refuse (service, request, ask->namespace_, ask->key, &error);
    else if (ask->wait && stage_stat (state->core, ask->namespace_, ask->key, &info, &error) < 0 && errno == ENOENT)
        waits_add (service, request, ask->namespace_, ask->key, 0, locate_answer);
    else
        locate_answer (service, request, ask->namespace_, ask->key, 0);
}

void held_handle (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__ObjectHeld *held = (const Strata__ObjectHeld *)body;
    struct state *state = service_state (service);
    const char *sender = request_header (request)->sender;
    Strata__ObjectHeldReply reply = STRATA__OBJECT_HELD_REPLY__INIT;
    if (!held->info || !serve_named (held->namespace_, held->key) || strncmp (sender, "stage-", 6) != 0
        || held->n_lacking > HOLDERS_EACH) {
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_INVALID, "a stage tells the name and version of what it has");
        return;
    }
    for (size_t i = 0; i < held->n_lacking; i++)
        holders_remove (state->holders, held->namespace_, held->key, held->info, held->lacking[i]);
    holders_add (state->holders, held->namespace_, held->key, held->info, sender);
    request_reply (request, &reply.base);
}

void fetch_serve (struct service *service, struct request *request, const Strata__ObjectGet *get)
{
    struct state *state = service_state (service);
    struct strata_error error = { "there is no cache here" };
    Strata__ObjectGetReply reply = STRATA__OBJECT_GET_REPLY__INIT;
    void *data = NULL;
    size_t got = 0;
    if (!get->range || get->length > CHUNK_BYTES || !serve_named (get->namespace_, get->key)) {
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_INVALID, "a cache is asked for at most %llu bytes of an object",
                        (unsigned long long)CHUNK_BYTES);
        return;
    }
    if (!state->cache
        || cache_read (state->cache, get->namespace_, get->key, get->cached, get->offset, get->length, &data, &got, &error) < 0) {
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_NOT_FOUND, "%s", error.text);
        return;
    }
    state->fetches->served++;
    reply.info = get->cached;
    reply.crc32c = crc32c (0, data, got);
    request_reply_blob (request, &reply.base, data, got);
    free (data);
}

void fetch_metrics (struct service *service)
{
    struct state *state = service_state (service);
    const struct fetches *self = state->fetches;
    struct cache_figures f;
    if (!state->cache)
        return;
    cache_figures (state->cache, service_now_us (service), &f);
    service_metric (service, "cache_bytes", (double)f.bytes, (double)f.limit_bytes);
    service_metric (service, "cache_objects", (double)f.objects, 0);
    service_metric (service, "cache_pinned", (double)f.pinned, 0);
    service_metric (service, "cache_evicted", (double)f.evicted, 0);
    service_metric (service, "cache_hits", (double)self->hits, 0);
    service_metric (service, "cache_joined", (double)self->joined, 0);
    service_metric (service, "cache_from_peers", (double)self->from_peers, 0);
    service_metric (service, "cache_from_origin", (double)self->from_origin, 0);
    service_metric (service, "cache_bypassed", (double)self->bypassed, 0);
    service_metric (service, "cache_chunks_served", (double)self->served, 0);
    service_metric (service, "cache_asks", (double)self->asks_count, ASKS_MAX);
}
