/* serve.c - the stage service: requests into the core. Streams and queues are served by the shell. See README.md. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache.h"
#include "core/crc32c.h"
#include "holders.h"
#include "serve.h"
#include "store/stream.h"

#define ORIGINS_KEPT_US (86400LL * 1000000) /* a move is over by then, whatever died */
#define FORGET_US (60LL * 1000000)

static Strata__RefusalCode code_of_errno (void)
{
    switch (errno) {
    case EINVAL:
        return STRATA__REFUSAL_CODE__REFUSED_INVALID;
    case ENOENT:
        return STRATA__REFUSAL_CODE__REFUSED_NOT_FOUND;
    case EEXIST:
        return STRATA__REFUSAL_CODE__REFUSED_EXISTS;
    case EDQUOT:
    case ENOSPC:
        return STRATA__REFUSAL_CODE__REFUSED_FULL;
    case EBADMSG:
        return STRATA__REFUSAL_CODE__REFUSED_DAMAGED;
    case EXDEV:
        return STRATA__REFUSAL_CODE__REFUSED_ELSEWHERE;
    case EAGAIN:
        return STRATA__REFUSAL_CODE__REFUSED_UNAVAILABLE;
    default:
        return STRATA__REFUSAL_CODE__REFUSED_INTERNAL;
    }
}

void serve_refuse (struct service *service, struct request *request, const char *ns, const char *key,
                   const struct strata_error *error)
{
    struct state *self = service_state (service);
    Strata__RefusalCode code = code_of_errno ();
    char subject[sizeof (self->damaged)];
    if (errno == EBADMSG) {
        snprintf (subject, sizeof (subject), "%s/%s", ns, key);
        if (strcmp (subject, self->damaged) != 0)
            service_event (service, "object-damaged", subject, "%s", error->text);
        memcpy (self->damaged, subject, sizeof (subject));
    } else if (code == STRATA__REFUSAL_CODE__REFUSED_FULL && !self->full) {
        service_event (service, "quota-reached", service_replica (service), "%s", error->text);
        self->full = true;
    }
    request_refuse (request, code, "%s", error->text);
}

bool serve_named (const char *ns, const char *key)
{
    return stage_namespace_valid (ns) && stage_key_valid (key);
}

/* All keys of a put are ours, claimed now where nobody had them, and none is on its way to another stage. */
static int may_put (struct state *self, const Strata__ObjectPut *put, struct strata_error *error)
{
    for (size_t i = 0; i < put->n_keys; i++)
        if (serve_named (put->namespace_, put->keys[i])
            && (slots_take (self->slots, put->namespace_, put->keys[i], error) < 0
                || moves_check (self->moves, put->namespace_, put->keys[i], error) < 0))
            return -1;
    return 0;
}

static void on_put (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__ObjectPut *put = (const Strata__ObjectPut *)body;
    struct state *self = service_state (service);
    struct strata_error error;
    if (put->n_keys != request_blobs (request) || put->n_keys == 0 || put->n_keys > STAGE_KEYS_MAX
        || (put->n_crc32c && put->n_crc32c != put->n_keys)) {
        request_refuse (request,
                        STRATA__REFUSAL_CODE__REFUSED_INVALID,
                        "a put brings one blob for each of 1-%d keys; this one has %zu keys and %zu blobs",
                        STAGE_KEYS_MAX,
                        put->n_keys,
                        request_blobs (request));
        return;
    }
    struct backend_item *items = calloc (put->n_keys, sizeof (*items));
    Strata__ObjectInfo *infos = calloc (put->n_keys, sizeof (*infos));
    Strata__ObjectInfo **pointers = calloc (put->n_keys, sizeof (*pointers));
    if (!items || !infos || !pointers)
        request_refuse (
            request, STRATA__REFUSAL_CODE__REFUSED_UNAVAILABLE, "%s is out of memory", service_replica (service));
    else {
        for (size_t i = 0; i < put->n_keys; i++) {
            struct blob blob = request_blob (request, i);
            items[i] = (struct backend_item){ put->keys[i], blob.data, blob.size,
                                              put->n_crc32c ? &put->crc32c[i] : NULL };
            pointers[i] = &infos[i];
        }
        if (may_put (self, put, &error) < 0
            || stage_put (self->core, put->namespace_, items, put->n_keys, put->only_new, service_now_us (service), infos,
                          &error)
                   < 0)
            serve_refuse (service, request, put->namespace_, put->keys[0], &error);
        else {
            Strata__ObjectPutReply reply = STRATA__OBJECT_PUT_REPLY__INIT;
            reply.n_infos = put->n_keys;
            reply.infos = pointers;
            self->full = false;
            for (size_t i = 0; i < put->n_keys; i++)
                waits_wake (service, put->namespace_, put->keys[i]);
            request_reply (request, &reply.base);
        }
    }
    free (items);
    free (infos);
    free (pointers);
}

/* Its bytes, or the info alone when they are more than are wanted. */
static void serve_get (struct service *service, struct request *request, const Strata__ObjectGet *get)
{
    struct state *self = service_state (service);
    struct strata_error error;
    Strata__ObjectInfo info;
    void *data;
    size_t got = 0;
    if (get->most && !get->range && stage_stat (self->core, get->namespace_, get->key, &info, &error) == 0
        && info.size > get->most) {
        Strata__ObjectGetReply reply = STRATA__OBJECT_GET_REPLY__INIT;
        reply.info = &info;
        request_reply (request, &reply.base);
        return;
    }
    int rc = get->range ? stage_get_range (self->core, get->namespace_, get->key, get->offset, get->length, &info, &data, &got,
                                           &error)
                        : stage_get (self->core, get->namespace_, get->key, &info, &data, &error);
    if (rc < 0) {
        serve_refuse (service, request, get->namespace_, get->key, &error);
        return;
    }
    Strata__ObjectGetReply reply = STRATA__OBJECT_GET_REPLY__INIT;
    reply.info = &info;
    reply.crc32c = get->range ? crc32c (0, data, got) : info.crc32c;
    request_reply_blob (request, &reply.base, data, get->range ? got : info.size);
    free (data);
}

static void serve_waited (struct service *service, struct request *request, const char *ns, const char *key, uint64_t most)
{
    Strata__ObjectGet get = STRATA__OBJECT_GET__INIT;
    get.namespace_ = (char *)ns;
    get.key = (char *)key;
    get.most = most;
    serve_get (service, request, &get);
}

/* A name that somebody waits for is claimed by the stage that he waits at: its put comes here. */
static void on_get (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__ObjectGet *get = (const Strata__ObjectGet *)body;
    struct state *self = service_state (service);
    struct strata_error error = { "" };
    Strata__ObjectInfo info;
    bool named = serve_named (get->namespace_, get->key);
    if (get->cached)
        fetch_serve (service, request, get);
    else if (named && (get->wait ? slots_take : slots_look) (self->slots, get->namespace_, get->key, &error) < 0)
        serve_refuse (service, request, get->namespace_, get->key, &error);
    else if (named && get->wait && stage_stat (self->core, get->namespace_, get->key, &info, &error) < 0 && errno == ENOENT)
        waits_add (service, request, get->namespace_, get->key, get->most, serve_waited);
    else
        serve_get (service, request, get);
}

static void on_stat (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__ObjectStat *stat = (const Strata__ObjectStat *)body;
    struct state *self = service_state (service);
    struct strata_error error;
    Strata__ObjectInfo info;
    if ((serve_named (stat->namespace_, stat->key) && slots_look (self->slots, stat->namespace_, stat->key, &error) < 0)
        || stage_stat (self->core, stat->namespace_, stat->key, &info, &error) < 0) {
        serve_refuse (service, request, stat->namespace_, stat->key, &error);
        return;
    }
    Strata__ObjectStatReply reply = STRATA__OBJECT_STAT_REPLY__INIT;
    reply.info = &info;
    request_reply (request, &reply.base);
}

struct listing {
    size_t count;
    char keys[STAGE_LIST_MAX][STAGE_NAME_MAX + 1];
    char *key_pointers[STAGE_LIST_MAX];
    Strata__ObjectInfo infos[STAGE_LIST_MAX];
    Strata__ObjectInfo *info_pointers[STAGE_LIST_MAX];
};

static void list_add (const char *key, const Strata__ObjectInfo *info, void *arg)
{
    struct listing *l = arg;
    size_t i = l->count++;
    snprintf (l->keys[i], sizeof (l->keys[i]), "%s", key);
    l->key_pointers[i] = l->keys[i];
    strata__object_info__init (&l->infos[i]);
    l->infos[i].size = info->size;
    l->infos[i].crc32c = info->crc32c;
    l->infos[i].generation = info->generation;
    l->infos[i].mtime_us = info->mtime_us;
    l->info_pointers[i] = &l->infos[i];
}

static bool is_mine (const char *ns, const char *key, const void *arg)
{
    return slots_listed (arg, ns, key);
}

static void on_list (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__ObjectList *list = (const Strata__ObjectList *)body;
    struct state *self = service_state (service);
    struct strata_error error;
    bool more;
    struct listing *l = calloc (1, sizeof (*l));
    if (!l) {
        request_refuse (
            request, STRATA__REFUSAL_CODE__REFUSED_UNAVAILABLE, "%s is out of memory", service_replica (service));
        return;
    }
    char last[STAGE_NAME_MAX + 1];
    const struct stage_filter filter = { list->prefix, list->after, list->pattern, is_mine, self->slots };
    if (stage_list (self->core, list->namespace_, &filter, list->max_keys, list_add, l, &more, last, &error) < 0)
        serve_refuse (service, request, list->namespace_, list->prefix, &error);
    else {
        Strata__ObjectListReply reply = STRATA__OBJECT_LIST_REPLY__INIT;
        reply.n_keys = reply.n_infos = l->count;
        reply.keys = l->key_pointers;
        reply.infos = l->info_pointers;
        reply.more = more;
        reply.after = last;
        reply.slots_version = slots_version (self->slots);
        request_reply (request, &reply.base);
    }
    free (l);
}

static void on_move (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__ObjectMove *move = (const Strata__ObjectMove *)body;
    struct state *self = service_state (service);
    struct strata_error error;
    Strata__ObjectMoveReply reply = STRATA__OBJECT_MOVE_REPLY__INIT;
    bool named = serve_named (move->namespace_, move->key) && serve_named (move->to_namespace, move->to_key);
    if (named
        && (slots_change (self->slots, move->namespace_, move->key, &error) < 0
            || moves_check (self->moves, move->namespace_, move->key, &error) < 0))
        serve_refuse (service, request, move->namespace_, move->key, &error);
    else if (named && slots_take (self->slots, move->to_namespace, move->to_key, &error) < 0) {
        if (errno == EXDEV)
            moves_begin (service, request, move);
        else
            serve_refuse (service, request, move->namespace_, move->key, &error);
    } else if (stage_move (self->core, move->namespace_, move->key, move->to_namespace, move->to_key,
                           service_now_us (service), &error)
               < 0)
        serve_refuse (service, request, move->namespace_, move->key, &error);
    else {
        waits_wake (service, move->to_namespace, move->to_key);
        request_reply (request, &reply.base);
    }
}

static void on_adopt (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__ObjectAdopt *adopt = (const Strata__ObjectAdopt *)body;
    struct state *self = service_state (service);
    struct strata_error error;
    Strata__ObjectAdoptReply reply = STRATA__OBJECT_ADOPT_REPLY__INIT;
    struct blob blob = request_blob (request, 0);
    if (!adopt->info || request_blobs (request) != 1 || !serve_named (adopt->namespace_, adopt->key))
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_INVALID, "an object to adopt comes with its name, info and bytes");
    else if (adopt->handover)
        takeover_object (service, request, adopt);
    else if (slots_take (self->slots, adopt->namespace_, adopt->key, &error) < 0
             || moves_check (self->moves, adopt->namespace_, adopt->key, &error) < 0
             || stage_adopt (self->core, adopt->namespace_, adopt->key, adopt->info, blob.data, blob.size,
                             service_now_us (service), &error)
                    < 0)
        serve_refuse (service, request, adopt->namespace_, adopt->key, &error);
    else {
        waits_wake (service, adopt->namespace_, adopt->key);
        request_reply (request, &reply.base);
    }
}

static void on_delete (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__ObjectDelete *delete = (const Strata__ObjectDelete *)body;
    struct state *self = service_state (service);
    struct strata_error error;
    Strata__ObjectDeleteReply reply = STRATA__OBJECT_DELETE_REPLY__INIT;
    if ((serve_named (delete->namespace_, delete->key)
         && (slots_change (self->slots, delete->namespace_, delete->key, &error) < 0
             || moves_check (self->moves, delete->namespace_, delete->key, &error) < 0))
        || stage_delete (self->core, delete->namespace_, delete->key, &error) < 0)
        serve_refuse (service, request, delete->namespace_, delete->key, &error);
    else
        request_reply (request, &reply.base);
}

int serve_flush (struct service *service, struct strata_error *error)
{
    struct state *self = service_state (service);
    return self && (slots_sync (self->slots, error) < 0 || stage_flush (self->core, error) < 0) ? -1 : 0;
}

int serve_admit (struct service *service, const char *producer, bool known, struct strata_error *error)
{
    struct state *self = service_state (service);
    return slots_take_producer (self->slots, producer, known, error);
}

void serve_tick (struct service *service, int64_t now_us)
{
    struct state *self = service_state (service);
    struct strata_error error;
    bool stuck = stage_settle (self->core, &error) < 0;
    if (stuck)
        service_trouble (service, "%s", error.text);
    else if (self->stuck)
        service_trouble (service, NULL);
    self->stuck = stuck;
    moves_tick (service, now_us);
    handover_tick (service, now_us);
    waits_tick (service, now_us);
    fetch_tick (service, now_us);
    if (now_us - self->forgot_us > FORGET_US) {
        stage_forget_origins (self->core, now_us - ORIGINS_KEPT_US);
        self->forgot_us = now_us;
    }
}

/* Belongs to the process: a core that starts anew in place goes on with it. */
static struct cache *cache_kept;

void serve_stop (struct service *service)
{
    struct state *self = service_state (service);
    if (!self)
        return;
    fetch_free (&self->fetches);
    if (service_restarts (service))
        cache_kept = self->cache; /* its files are mapped by programs of the node */
    else if (self->cache)
        cache_close (&self->cache, !service_hands_over (service));
    holders_free (&self->holders);
    waits_free (&self->waits);
    handover_free (&self->handover);
    moves_free (&self->moves);
    slots_free (&self->slots);
    stage_free (&self->core);
    free (self);
    service_set_state (service, NULL);
}

/* Without its cache a stage serves all the same. */
static void open_cache (struct service *service, struct state *self)
{
    const struct campaign_stage *config = &service_campaign (service)->stage;
    struct strata_error why = { "" };
    if (!config->cache.mb)
        return;
    self->cache = cache_kept;
    cache_kept = NULL;
    if (!self->cache && !service_replays (service))
        self->cache = cache_open (config->cache.folder, service_workspace (service), self->shard, (uint64_t)config->cache.mb << 20, &why);
    self->cached = self->cache != NULL;
    service_fact (service, &self->cached, sizeof (self->cached));
    if (self->cached)
        return;
    service_fact_text (service, why.text, sizeof (why.text));
    service_event (service, "cache-unusable", service_replica (service), "%s: this stage goes on without a cache", why.text);
}

int serve_start (struct service *service, struct strata_error *error)
{
    const struct campaign_stage *config = &service_campaign (service)->stage;
    char root[4096];
    if ((size_t)snprintf (root, sizeof (root), "%s/objects", service_workspace (service)) >= sizeof (root))
        return strata_fail (error, "workspace %.200s...: the path is too long", service_workspace (service));
    struct state *self = calloc (1, sizeof (*self));
    if (!self)
        return strata_fail (error, "out of memory");
    service_set_state (service, self);
    /* Files are numbered in a folder of the shard's, not the replica's: whoever holds the shard goes on with them. */
    snprintf (self->shard, sizeof (self->shard), "%s", service_replica (service));
    self->core = stage_new (service_shard (service), config->backend, config->namespaces, config->namespaces_count, root, self->shard,
                            (uint64_t)config->quota_mb << 20, error);
    self->slots = self->core ? slots_new (service_shard (service), service_workspace (service), self->shard, error) : NULL;
    self->moves = moves_new (service);
    self->waits = waits_new ();
    self->fetches = fetch_new ();
    self->holders = holders_new ();
    self->handover = self->slots ? handover_new (service, error) : NULL;
    open_cache (service, self);
    /* Each shard of feedback reads its part: nothing is trimmed before all of them have, also those that never ran yet. */
    const struct campaign_feedback *feedback = &service_campaign (service)->feedback;
    for (unsigned i = 0; feedback->shards > 1 && i < feedback->shards; i++) {
        char consumer[32];
        snprintf (consumer, sizeof (consumer), "feedback-%u", i);
        stream_consumer_set (service_shard (service), feedback->from, consumer, 1);
    }
    if (self->slots && self->moves && self->waits && self->handover && self->fetches && self->holders)
        return 0;
    if (self->slots && self->handover)
        strata_fail (error, "out of memory");
    serve_stop (service);
    return -1;
}

void serve_metrics (struct service *service)
{
    struct state *self = service_state (service);
    struct stage_figures f;
    if (!self)
        return;
    stage_figures (self->core, &f);
    service_metric (service, "objects", (double)f.objects, 0);
    service_metric (service, "object_bytes", (double)f.bytes, (double)f.quota_bytes);
    service_metric (service, "puts", (double)f.puts, 0);
    service_metric (service, "gets", (double)f.gets, 0);
    service_metric (service, "gets_waiting", (double)waits_count (self->waits), 0);
    service_metric (service, "slots", (double)slots_count (self->slots), 0);
    handover_metrics (service);
    fetch_metrics (service);
}

const struct service_handler serve_handlers[] = {
    { STRATA__MESSAGE_TYPE__TYPE_OBJECT_PUT, &strata__object_put__descriptor, true, on_put },
    { STRATA__MESSAGE_TYPE__TYPE_OBJECT_GET, &strata__object_get__descriptor, false, on_get },
    { STRATA__MESSAGE_TYPE__TYPE_OBJECT_STAT, &strata__object_stat__descriptor, false, on_stat },
    { STRATA__MESSAGE_TYPE__TYPE_OBJECT_LIST, &strata__object_list__descriptor, false, on_list },
    { STRATA__MESSAGE_TYPE__TYPE_OBJECT_MOVE, &strata__object_move__descriptor, true, on_move },
    { STRATA__MESSAGE_TYPE__TYPE_OBJECT_DELETE, &strata__object_delete__descriptor, true, on_delete },
    { STRATA__MESSAGE_TYPE__TYPE_OBJECT_ADOPT, &strata__object_adopt__descriptor, true, on_adopt },
    { STRATA__MESSAGE_TYPE__TYPE_TAKE_OVER, &strata__take_over__descriptor, true, takeover_handle },
    { STRATA__MESSAGE_TYPE__TYPE_OBJECT_FETCH, &strata__object_fetch__descriptor, false, fetch_handle },
    { STRATA__MESSAGE_TYPE__TYPE_OBJECT_LOCATE, &strata__object_locate__descriptor, false, locate_handle },
    { STRATA__MESSAGE_TYPE__TYPE_OBJECT_HELD, &strata__object_held__descriptor, false, held_handle },
    { 0, NULL, false, NULL },
};
