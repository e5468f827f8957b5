/* main.c - the stage service: requests into the core. Streams and queues are served by the shell. See README.md. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mesh/service.h"
#include "stage_core.h"
#include "store/stream.h"

struct state {
    struct stage *core;
    bool full;         /* the quota was reached, and told */
    bool stuck;        /* settling failed, and trouble is shown */
    char damaged[420]; /* the damaged object told last */
};

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
    default:
        return STRATA__REFUSAL_CODE__REFUSED_INTERNAL;
    }
}

/* Refuses with the core's sentence. A damaged object and a quota reached are told as events, once each. */
static void refuse (struct service *service, struct request *request, const char *ns, const char *key,
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

static void on_put (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__ObjectPut *put = (const Strata__ObjectPut *)body;
    struct state *self = service_state (service);
    struct strata_error error;
    if (put->n_keys != request_blobs (request) || put->n_keys == 0 || put->n_keys > STAGE_KEYS_MAX) {
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
            items[i] = (struct backend_item){ put->keys[i], blob.data, blob.size };
            pointers[i] = &infos[i];
        }
        if (stage_put (self->core, put->namespace_, items, put->n_keys, service_now_us (service), infos, &error) < 0)
            refuse (service, request, put->namespace_, put->keys[0], &error);
        else {
            Strata__ObjectPutReply reply = STRATA__OBJECT_PUT_REPLY__INIT;
            reply.n_infos = put->n_keys;
            reply.infos = pointers;
            self->full = false;
            request_reply (request, &reply.base);
        }
    }
    free (items);
    free (infos);
    free (pointers);
}

static void on_get (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__ObjectGet *get = (const Strata__ObjectGet *)body;
    struct state *self = service_state (service);
    struct strata_error error;
    Strata__ObjectInfo info;
    void *data;
    if (stage_get (self->core, get->namespace_, get->key, &info, &data, &error) < 0) {
        refuse (service, request, get->namespace_, get->key, &error);
        return;
    }
    Strata__ObjectGetReply reply = STRATA__OBJECT_GET_REPLY__INIT;
    reply.info = &info;
    request_reply_blob (request, &reply.base, data, info.size);
    free (data);
}

static void on_stat (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__ObjectStat *stat = (const Strata__ObjectStat *)body;
    struct state *self = service_state (service);
    struct strata_error error;
    Strata__ObjectInfo info;
    if (stage_stat (self->core, stat->namespace_, stat->key, &info, &error) < 0) {
        refuse (service, request, stat->namespace_, stat->key, &error);
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
    if (stage_list (self->core, list->namespace_, list->prefix, list->after, list->max_keys, list_add, l, &more, &error)
        < 0)
        refuse (service, request, list->namespace_, list->prefix, &error);
    else {
        Strata__ObjectListReply reply = STRATA__OBJECT_LIST_REPLY__INIT;
        reply.n_keys = reply.n_infos = l->count;
        reply.keys = l->key_pointers;
        reply.infos = l->info_pointers;
        reply.more = more;
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
    if (stage_move (
            self->core, move->namespace_, move->key, move->to_namespace, move->to_key, service_now_us (service), &error)
        < 0)
        refuse (service, request, move->namespace_, move->key, &error);
    else
        request_reply (request, &reply.base);
}

static void on_delete (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__ObjectDelete *delete = (const Strata__ObjectDelete *)body;
    struct state *self = service_state (service);
    struct strata_error error;
    Strata__ObjectDeleteReply reply = STRATA__OBJECT_DELETE_REPLY__INIT;
    if (stage_delete (self->core, delete->namespace_, delete->key, &error) < 0)
        refuse (service, request, delete->namespace_, delete->key, &error);
    else
        request_reply (request, &reply.base);
}

static void on_tick (struct service *service, int64_t now_us)
{
    struct state *self = service_state (service);
    struct strata_error error;
    bool stuck = stage_settle (self->core, &error) < 0;
    if (stuck)
        service_trouble (service, "%s", error.text);
    else if (self->stuck)
        service_trouble (service, NULL);
    self->stuck = stuck;
}

static void stop (struct service *service)
{
    struct state *self = service_state (service);
    if (!self)
        return;
    stage_free (&self->core);
    free (self);
    service_set_state (service, NULL);
}

static int start (struct service *service, struct strata_error *error)
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
    const char *shard = strrchr (shard_dir (service_shard (service)), '/');
    self->core = stage_new (service_shard (service),
                            config->backend,
                            root,
                            shard ? shard + 1 : service_replica (service),
                            (uint64_t)config->quota_mb << 20,
                            error);
    if (!self->core) {
        stop (service);
        return -1;
    }
    /* Each shard of feedback reads its part: nothing is trimmed before all of them have, also those that never ran yet. */
    const struct campaign_feedback *feedback = &service_campaign (service)->feedback;
    for (unsigned i = 0; feedback->shards > 1 && i < feedback->shards; i++) {
        char consumer[32];
        snprintf (consumer, sizeof (consumer), "feedback-%u", i);
        stream_consumer_set (service_shard (service), feedback->from, consumer, 1);
    }
    return 0;
}

static void metrics (struct service *service)
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
}

int main (int argc, char **argv)
{
    static const struct service_handler handlers[] = {
        { STRATA__MESSAGE_TYPE__TYPE_OBJECT_PUT, &strata__object_put__descriptor, true, on_put },
        { STRATA__MESSAGE_TYPE__TYPE_OBJECT_GET, &strata__object_get__descriptor, false, on_get },
        { STRATA__MESSAGE_TYPE__TYPE_OBJECT_STAT, &strata__object_stat__descriptor, false, on_stat },
        { STRATA__MESSAGE_TYPE__TYPE_OBJECT_LIST, &strata__object_list__descriptor, false, on_list },
        { STRATA__MESSAGE_TYPE__TYPE_OBJECT_MOVE, &strata__object_move__descriptor, true, on_move },
        { STRATA__MESSAGE_TYPE__TYPE_OBJECT_DELETE, &strata__object_delete__descriptor, true, on_delete },
        { 0, NULL, false, NULL },
    };
    static const struct service_timer timers[] = { { 50, on_tick }, { 0, NULL } };
    const struct service_spec spec = {
        .name = "stage",
        .about = "keeps objects, streams of record and queues for the simulations of its node",
        .has_shard = true,
        .handlers = handlers,
        .timers = timers,
        .start = start,
        .stop = stop,
        .metrics = metrics,
    };
    return service_main (&spec, argc, argv);
}
