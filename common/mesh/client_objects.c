/* client_objects.c - objects of strata.h: requests to the stages that keep their names.
 *
 * Every call is a list of operations, mostly of one. A bunch of them is under way together; those refused because another
 * stage has the name by now (EXDEV), or because something is full, are sent again until the timeout.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/crc32c.h"
#include "mesh/claims.h"
#include "mesh/client.h"
#include "mesh/client_internal.h"
#include "mesh/route.h"
#include "stage.pb-c.h"

#define BUNCH 64                        /* requests under way together */
#define PUT_KEYS 256                    /* objects in one request */
#define PUT_BYTES ((size_t)64 << 20)    /* bytes in one request, but one object at least */
#define NAME_MAX_BYTES 200
#define PAGE 1000
#define STAGES_MAX 1024

union body {
    Strata__ObjectPut put;
    Strata__ObjectGet get;
    Strata__ObjectStat stat;
    Strata__ObjectMove move;
    Strata__ObjectDelete delete;
};

struct op {
    const char *ns, *key; /* where it goes to */
    bool mixed;           /* a put of several slots: what refuses it is told at once, and it is sent again in parts */
    struct client_call call;
    union body body;
};

static void op_init (struct op *op, const char *ns, const char *key, uint32_t type,
                     const ProtobufCMessageDescriptor *reply_body)
{
    op->ns = ns;
    op->key = key;
    op->call.type = type;
    op->call.body = (const ProtobufCMessage *)&op->body;
    op->call.reply_body = reply_body;
}

/* One bunch, until each is done or failed for good. */
static void run_bunch (struct strata_client *self, struct op *ops, size_t count, int64_t deadline_us)
{
    struct client_call *calls[BUNCH];
    size_t open = count;
    for (size_t i = 0; i < count; i++)
        ops[i].call.failed = EXDEV; /* not sent yet */
    for (;;) {
        int passes = 0;
        open = 0;
        mesh_look_at_cards (client_mesh (self));
        for (size_t i = 0; i < count; i++) {
            struct client_call *call = &ops[i].call;
            if ((call->failed != EXDEV && call->failed != ENOSPC) || (ops[i].mixed && call->peer[0] && call->failed == EXDEV))
                continue;
            snprintf (call->peer, sizeof (call->peer), "%s", mesh_route_object (client_mesh (self), ops[i].ns, ops[i].key));
            calls[open++] = call;
        }
        if (!open)
            return;
        client_calls (self, calls, open, deadline_us);
        for (size_t i = 0; i < open; i++)
            if (calls[i]->failed == ENOSPC || (calls[i]->failed == EXDEV && !passes))
                passes = calls[i]->failed;
        if (passes == EXDEV)
            mesh_route_forget (client_mesh (self));
        if (!passes || !client_pause (passes, deadline_us))
            return;
    }
}

/* Who kept silent: more than "no answer from stage-1". */
static void tell_keeper (struct op *op)
{
    if (op->call.failed == ETIMEDOUT && strncmp (op->call.peer, "stage-", 6) == 0)
        strata_fail_prefix (&op->call.error, "object %.200s/%.200s is kept by %s", op->ns, op->key, op->call.peer);
}

/* 0, or -1 with the first failure. */
static int run (struct strata_client *self, struct op *ops, size_t count, struct strata_error *error)
{
    int64_t deadline_us = client_deadline_us (self);
    int failed = 0;
    for (size_t i = 0; i < count; i += BUNCH)
        run_bunch (self, &ops[i], count - i < BUNCH ? count - i : BUNCH, deadline_us);
    for (size_t i = 0; i < count; i++)
        if (ops[i].call.failed && !failed) {
            tell_keeper (&ops[i]);
            failed = ops[i].call.failed;
            if (error)
                *error = ops[i].call.error;
        }
    errno = failed;
    return failed ? -1 : 0;
}

static struct op *ops_new (size_t count, struct strata_error *error)
{
    struct op *ops = calloc (count ? count : 1, sizeof (*ops));
    if (!ops) {
        strata_fail (error, "out of memory for %zu requests", count);
        errno = ENOMEM;
    }
    return ops;
}

static void ops_free (struct op *ops, size_t count, int *codes)
{
    int saved = errno;
    for (size_t i = 0; i < count; i++) {
        if (codes)
            codes[i] = ops[i].call.failed;
        client_call_fini (&ops[i].call);
    }
    free (ops);
    errno = saved;
}

static int run_and_free (struct strata_client *self, struct op *ops, size_t count, int *codes, struct strata_error *error)
{
    int rc = run (self, ops, count, error);
    ops_free (ops, count, codes);
    return rc;
}

/* ---- put ---- */

/* What one request of a put needs besides its body. */
struct bunch {
    struct blob blobs[PUT_KEYS];
    char *keys[PUT_KEYS];
    uint32_t crcs[PUT_KEYS];
    size_t items[PUT_KEYS]; /* which they are in the caller's lists */
};

struct puts {
    struct strata_client *client;
    const char *ns;
    const char *const *keys;
    const void *const *data;
    const size_t *sizes;
    size_t *order; /* [count] items */
    size_t count;
    int *codes; /* [of all items] */
    bool in_parts; /* a request for each slot: else for each stage */
    struct strata_error error; /* of the first failure */
};

/* What items have to share to be in one request. */
static const char *stage_of (const struct puts *puts, size_t item)
{
    return mesh_route_object (client_mesh (puts->client), puts->ns, puts->keys[item]);
}

static unsigned slot_of (const struct puts *puts, size_t item)
{
    return claim_slot (puts->ns, puts->keys[item]);
}

static int by_place (const void *a, const void *b, void *arg)
{
    const struct puts *puts = arg;
    size_t i = *(const size_t *)a, k = *(const size_t *)b;
    char stage[REPLICA_NAME_MAX];
    int order = 0;
    if (!puts->in_parts) {
        snprintf (stage, sizeof (stage), "%s", stage_of (puts, i));
        order = strcmp (stage, stage_of (puts, k));
    }
    if (order == 0)
        order = (slot_of (puts, i) > slot_of (puts, k)) - (slot_of (puts, i) < slot_of (puts, k));
    return order ? order : (i > k) - (i < k);
}

/* Items from order[from] on, as many as fit and go together. Returns how many. */
static size_t fill (const struct puts *puts, size_t from, struct op *op, struct bunch *bunch)
{
    size_t n = 0, bytes = 0;
    unsigned slot = slot_of (puts, puts->order[from]);
    char stage[REPLICA_NAME_MAX];
    snprintf (stage, sizeof (stage), "%s", stage_of (puts, puts->order[from]));
    *op = (struct op){ .ns = NULL };
    for (; from + n < puts->count && n < PUT_KEYS; n++) {
        size_t i = puts->order[from + n];
        if (n
            && (bytes + puts->sizes[i] > PUT_BYTES || (puts->in_parts && slot_of (puts, i) != slot)
                || strcmp (stage_of (puts, i), stage) != 0))
            break;
        op->mixed |= slot_of (puts, i) != slot;
        bytes += puts->sizes[i];
        bunch->keys[n] = (char *)puts->keys[i];
        bunch->blobs[n] = (struct blob){ puts->data[i], puts->sizes[i] };
        bunch->crcs[n] = crc32c (0, puts->data[i], puts->sizes[i]);
        bunch->items[n] = i;
    }
    op_init (op, puts->ns, bunch->keys[0], STRATA__MESSAGE_TYPE__TYPE_OBJECT_PUT, &strata__object_put_reply__descriptor);
    strata__object_put__init (&op->body.put);
    op->body.put.namespace_ = (char *)puts->ns;
    op->body.put.keys = bunch->keys;
    op->body.put.crc32c = bunch->crcs;
    op->body.put.n_keys = op->body.put.n_crc32c = n;
    op->call.blobs = bunch->blobs;
    op->call.blobs_count = n;
    return n;
}

/* Refused for the sake of some of its items, not of all. */
static bool is_divisible (const struct op *op)
{
    return op->mixed && op->call.failed && op->call.failed != ETIMEDOUT && op->call.failed != ENOSPC;
}

/* Sends all of puts->order; what a request of several slots was refused for is left in it. */
static void put_round (struct puts *puts, struct op *ops, struct bunch *bunches, int *failed)
{
    size_t left = 0;
    qsort_r (puts->order, puts->count, sizeof (*puts->order), by_place, puts);
    for (size_t done = 0; done < puts->count;) {
        size_t n = 0;
        struct strata_error why;
        for (size_t bytes = 0; done < puts->count && n < BUNCH && (n == 0 || bytes < 4 * PUT_BYTES); n++) {
            size_t taken = fill (puts, done, &ops[n], &bunches[n]);
            for (size_t k = 0; k < taken; k++)
                bytes += bunches[n].blobs[k].size;
            done += taken;
        }
        run (puts->client, ops, n, &why);
        for (size_t i = 0; i < n; i++) {
            for (size_t k = 0; k < ops[i].body.put.n_keys; k++) {
                puts->codes[bunches[i].items[k]] = ops[i].call.failed;
                if (is_divisible (&ops[i]))
                    puts->order[left++] = bunches[i].items[k]; /* below `done`: what stood there was sent */
            }
            if (ops[i].call.failed && !is_divisible (&ops[i]) && !*failed) {
                *failed = ops[i].call.failed;
                puts->error = ops[i].call.error;
            }
            client_call_fini (&ops[i].call);
        }
    }
    puts->count = left;
}

int strata_put_many (struct strata_client *self, const char *ns, const char *const *keys, const void *const *data,
                     const size_t *sizes, size_t count, int *codes, struct strata_error *error)
{
    size_t room = count ? count : 1;
    struct puts puts = { .client = self, .ns = ns, .keys = keys, .data = data, .sizes = sizes, .count = count };
    struct op *ops = calloc (BUNCH, sizeof (*ops));
    struct bunch *bunches = calloc (BUNCH, sizeof (*bunches));
    int failed = 0;
    puts.order = calloc (room, sizeof (*puts.order));
    puts.codes = codes ? codes : calloc (room, sizeof (*codes));
    if (!puts.order || !puts.codes || !ops || !bunches) {
        failed = ENOMEM;
        strata_fail (&puts.error, "out of memory for a put of %zu objects", count);
    } else {
        for (size_t i = 0; i < count; i++)
            puts.order[i] = i;
        put_round (&puts, ops, bunches, &failed);
        puts.in_parts = true;
        put_round (&puts, ops, bunches, &failed);
    }
    if (failed && error)
        *error = puts.error;
    free (puts.order);
    if (!codes)
        free (puts.codes);
    free (ops);
    free (bunches);
    errno = failed;
    return failed ? -1 : 0;
}

static int put (struct strata_client *self, const char *ns, const char *key, const void *data, size_t size, bool only_new,
                struct strata_error *error)
{
    struct op op = { .ns = NULL };
    struct blob blob = { data, size };
    char *keys[] = { (char *)key };
    uint32_t crc = crc32c (0, data, size);
    op_init (&op, ns, key, STRATA__MESSAGE_TYPE__TYPE_OBJECT_PUT, &strata__object_put_reply__descriptor);
    strata__object_put__init (&op.body.put);
    op.body.put.namespace_ = (char *)ns;
    op.body.put.keys = keys;
    op.body.put.crc32c = &crc;
    op.body.put.n_keys = op.body.put.n_crc32c = 1;
    op.body.put.only_new = only_new;
    op.call.blobs = &blob;
    op.call.blobs_count = 1;
    int rc = run (self, &op, 1, error);
    client_call_fini (&op.call);
    return rc;
}

int strata_put (struct strata_client *self, const char *ns, const char *key, const void *data, size_t size,
                struct strata_error *error)
{
    return put (self, ns, key, data, size, false, error);
}

int strata_put_new (struct strata_client *self, const char *ns, const char *key, const void *data, size_t size,
                    struct strata_error *error)
{
    return put (self, ns, key, data, size, true, error);
}

/* ---- get ---- */

static void info_from (struct strata_object_info *info, const Strata__ObjectInfo *in)
{
    *info = in ? (struct strata_object_info){ in->size, in->crc32c, in->generation, in->mtime_us }
               : (struct strata_object_info){ 0 };
}

static void get_init (struct op *op, const char *ns, const char *key)
{
    op_init (op, ns, key, STRATA__MESSAGE_TYPE__TYPE_OBJECT_GET, &strata__object_get_reply__descriptor);
    strata__object_get__init (&op->body.get);
    op->body.get.namespace_ = (char *)ns;
    op->body.get.key = (char *)key;
    op->call.want_blob = true;
}

/* What arrived is what was sent, and that is what was put. */
static void get_check (struct op *op)
{
    struct client_call *call = &op->call;
    const Strata__ObjectGetReply *reply = (const Strata__ObjectGetReply *)call->reply;
    if (call->failed || reply->crc32c == crc32c (0, call->blob, call->blob_size))
        return;
    client_call_fini (call);
    call->failed = EBADMSG;
    strata_fail (&call->error, "object %.200s/%.200s was damaged on its way from %s", op->ns, op->key, call->peer);
}

/* *info may be NULL. */
static int get (struct strata_client *self, struct op *op, int64_t deadline_us, void **data, size_t *size,
                struct strata_object_info *info, struct strata_error *error)
{
    run_bunch (self, op, 1, deadline_us);
    get_check (op);
    tell_keeper (op);
    if (info)
        info_from (info, op->call.reply ? ((Strata__ObjectGetReply *)op->call.reply)->info : NULL);
    *data = op->call.blob;
    *size = op->call.blob_size;
    op->call.blob = NULL;
    client_call_fini (&op->call);
    if (op->call.failed && error)
        *error = op->call.error;
    errno = op->call.failed;
    if (errno == ENOENT && op->body.get.wait)
        errno = ETIMEDOUT;
    if (errno == ETIMEDOUT && op->body.get.wait)
        strata_fail (error, "object %.200s/%.200s was not put in time (%s was waited at)", op->ns, op->key, op->call.peer);
    return op->call.failed ? -1 : 0;
}

int client_get (struct strata_client *self, const char *ns, const char *key, bool wait, int64_t deadline_us, void **data,
                struct strata_object_info *info, struct strata_error *error)
{
    struct op op = { .ns = NULL };
    size_t size;
    get_init (&op, ns, key);
    op.body.get.wait = wait;
    int rc = get (self, &op, deadline_us, data, &size, info, error);
    info->size = size;
    return rc;
}

/* A copy of what is in the cache, compared with its checksum. 1 done, 0 the keeper is to be asked, -1. */
static int copy_cached (struct strata_client *self, const char *ns, const char *key, int64_t deadline_us, void **data, size_t *size,
                        struct strata_error *error)
{
    struct strata_mapping mapping;
    int rc = client_map_cached (self, ns, key, false, deadline_us, &mapping, error);
    if (rc != 1)
        return rc;
    *size = mapping.size;
    *data = malloc (mapping.size ? mapping.size : 1);
    if (*data)
        memcpy (*data, mapping.data, mapping.size);
    bool good = *data && crc32c (0, *data, *size) == mapping.info.crc32c;
    strata_unmap (&mapping);
    if (good)
        return 1;
    free (*data);
    *data = NULL;
    return 0;
}

/* A small object in one answer of its keeper; of a large one the keeper says so, and it is had by the cache. */
static int get_whole (struct strata_client *self, const char *ns, const char *key, bool wait, void **data, size_t *size,
                      struct strata_error *error)
{
    int64_t deadline_us = client_deadline_us (self);
    struct strata_object_info info;
    struct op op = { .ns = NULL };
    get_init (&op, ns, key);
    op.body.get.wait = wait;
    op.body.get.most = client_has_cache (self, ns, key) ? CLIENT_MAP_BYTES : 0;
    op.call.may_lack_blob = op.body.get.most != 0;
    if (get (self, &op, deadline_us, data, size, &info, error) < 0)
        return -1;
    if (*data)
        return 0;
    int rc = copy_cached (self, ns, key, deadline_us, data, size, error);
    if (rc == 0) {
        rc = client_get (self, ns, key, false, deadline_us, data, &info, error);
        *size = info.size;
    }
    return rc < 0 ? -1 : 0;
}

int strata_get (struct strata_client *self, const char *ns, const char *key, void **data, size_t *size,
                struct strata_error *error)
{
    return get_whole (self, ns, key, false, data, size, error);
}

int strata_get_range (struct strata_client *self, const char *ns, const char *key, uint64_t offset, uint64_t length,
                      void **data, size_t *size, struct strata_error *error)
{
    struct op op = { .ns = NULL };
    get_init (&op, ns, key);
    op.body.get.range = true;
    op.body.get.offset = offset;
    op.body.get.length = length;
    return get (self, &op, client_deadline_us (self), data, size, NULL, error);
}

int strata_get_wait (struct strata_client *self, const char *ns, const char *key, void **data, size_t *size,
                     struct strata_error *error)
{
    return get_whole (self, ns, key, true, data, size, error);
}

/* offsets, lengths: NULL for all of each. */
static int get_many (struct strata_client *self, const char *ns, const char *const *keys, const uint64_t *offsets,
                     const uint64_t *lengths, size_t count, void **data, size_t *sizes, int *codes, struct strata_error *error)
{
    struct op *ops = ops_new (count, error);
    int failed = 0;
    if (!ops)
        return -1;
    for (size_t i = 0; i < count; i++) {
        get_init (&ops[i], ns, keys[i]);
        ops[i].body.get.range = offsets != NULL;
        ops[i].body.get.offset = offsets ? offsets[i] : 0;
        ops[i].body.get.length = offsets ? lengths[i] : 0;
    }
    run (self, ops, count, error);
    for (size_t i = 0; i < count; i++) {
        get_check (&ops[i]);
        data[i] = ops[i].call.blob;
        sizes[i] = ops[i].call.blob_size;
        ops[i].call.blob = NULL;
        if (ops[i].call.failed && !failed) {
            failed = ops[i].call.failed;
            if (error)
                *error = ops[i].call.error;
        }
    }
    ops_free (ops, count, codes);
    errno = failed;
    return failed ? -1 : 0;
}

int strata_get_many (struct strata_client *self, const char *ns, const char *const *keys, size_t count, void **data,
                     size_t *sizes, int *codes, struct strata_error *error)
{
    return get_many (self, ns, keys, NULL, NULL, count, data, sizes, codes, error);
}

int strata_get_range_many (struct strata_client *self, const char *ns, const char *const *keys, const uint64_t *offsets,
                           const uint64_t *lengths, size_t count, void **data, size_t *sizes, int *codes, struct strata_error *error)
{
    return get_many (self, ns, keys, offsets, lengths, count, data, sizes, codes, error);
}

/* ---- stat, move, delete ---- */

static struct op *stat_ops_new (const char *ns, const char *const *keys, size_t count, struct strata_error *error)
{
    struct op *ops = ops_new (count, error);
    for (size_t i = 0; ops && i < count; i++) {
        op_init (&ops[i], ns, keys[i], STRATA__MESSAGE_TYPE__TYPE_OBJECT_STAT, &strata__object_stat_reply__descriptor);
        strata__object_stat__init (&ops[i].body.stat);
        ops[i].body.stat.namespace_ = (char *)ns;
        ops[i].body.stat.key = (char *)keys[i];
    }
    return ops;
}

int strata_stat_many (struct strata_client *self, const char *ns, const char *const *keys, size_t count,
                      struct strata_object_info *infos, int *codes, struct strata_error *error)
{
    struct op *ops = stat_ops_new (ns, keys, count, error);
    if (!ops)
        return -1;
    int rc = run (self, ops, count, error);
    for (size_t i = 0; i < count; i++)
        info_from (&infos[i], ops[i].call.reply ? ((Strata__ObjectStatReply *)ops[i].call.reply)->info : NULL);
    ops_free (ops, count, codes);
    return rc;
}

int strata_stat (struct strata_client *self, const char *ns, const char *key, struct strata_object_info *info,
                 struct strata_error *error)
{
    return strata_stat_many (self, ns, &key, 1, info, NULL, error);
}

int strata_exists (struct strata_client *self, const char *ns, const char *key, struct strata_error *error)
{
    struct strata_object_info info;
    if (strata_stat (self, ns, key, &info, error) == 0)
        return 1;
    return errno == ENOENT ? 0 : -1;
}

int strata_exists_many (struct strata_client *self, const char *ns, const char *const *keys, size_t count, bool *there,
                        struct strata_error *error)
{
    struct op *ops = stat_ops_new (ns, keys, count, error);
    int failed = 0;
    if (!ops)
        return -1;
    run (self, ops, count, NULL);
    for (size_t i = 0; i < count; i++) {
        there[i] = !ops[i].call.failed;
        if (!ops[i].call.failed || ops[i].call.failed == ENOENT || failed)
            continue;
        failed = ops[i].call.failed;
        if (error)
            *error = ops[i].call.error;
    }
    ops_free (ops, count, NULL);
    errno = failed;
    return failed ? -1 : 0;
}

int strata_move_many (struct strata_client *self, const char *ns, const char *const *keys, const char *to_ns,
                      const char *const *to_keys, size_t count, int *codes, struct strata_error *error)
{
    struct op *ops = ops_new (count, error);
    if (!ops)
        return -1;
    for (size_t i = 0; i < count; i++) {
        op_init (&ops[i], ns, keys[i], STRATA__MESSAGE_TYPE__TYPE_OBJECT_MOVE, &strata__object_move_reply__descriptor);
        strata__object_move__init (&ops[i].body.move);
        ops[i].body.move.namespace_ = (char *)ns;
        ops[i].body.move.key = (char *)keys[i];
        ops[i].body.move.to_namespace = (char *)to_ns;
        ops[i].body.move.to_key = (char *)to_keys[i];
    }
    return run_and_free (self, ops, count, codes, error);
}

int strata_move (struct strata_client *self, const char *ns, const char *key, const char *to_ns, const char *to_key,
                 struct strata_error *error)
{
    return strata_move_many (self, ns, &key, to_ns, &to_key, 1, NULL, error);
}

int strata_delete_many (struct strata_client *self, const char *ns, const char *const *keys, size_t count, int *codes,
                        struct strata_error *error)
{
    struct op *ops = ops_new (count, error);
    if (!ops)
        return -1;
    for (size_t i = 0; i < count; i++) {
        op_init (&ops[i], ns, keys[i], STRATA__MESSAGE_TYPE__TYPE_OBJECT_DELETE, &strata__object_delete_reply__descriptor);
        strata__object_delete__init (&ops[i].body.delete);
        ops[i].body.delete.namespace_ = (char *)ns;
        ops[i].body.delete.key = (char *)keys[i];
    }
    return run_and_free (self, ops, count, codes, error);
}

int strata_delete (struct strata_client *self, const char *ns, const char *key, struct strata_error *error)
{
    return strata_delete_many (self, ns, &key, 1, NULL, error);
}

/* ---- list: the stages' lists, merged ---- */

struct page {
    char stage[REPLICA_NAME_MAX], after[NAME_MAX_BYTES + 56];
    Strata__ObjectListReply *reply;
    size_t at;
    bool more;
    bool goes; /* the stage hands its names over to others */
    uint64_t version;
};

struct lister {
    struct strata_client *client;
    const char *ns, *prefix, *pattern;
    size_t page_keys;
    struct page *pages;
    size_t count;
    int64_t deadline_us;
};

/* The next page of each stage that has used up its own, of those that go or of the others. */
static int turn_pages (struct lister *l, bool goes, struct strata_error *error)
{
    struct client_call *calls[STAGES_MAX], *all = calloc (l->count, sizeof (*all));
    Strata__ObjectList *asks = calloc (l->count, sizeof (*asks));
    size_t open = 0;
    int rc = all && asks ? 0 : strata_fail (error, "out of memory");
    for (size_t i = 0; rc == 0 && i < l->count; i++) {
        struct page *page = &l->pages[i];
        if (page->goes != goes || !page->more || (page->reply && page->at < page->reply->n_keys))
            continue;
        strata__object_list__init (&asks[i]);
        asks[i].namespace_ = (char *)l->ns;
        asks[i].prefix = (char *)l->prefix;
        asks[i].pattern = (char *)l->pattern;
        asks[i].after = page->after;
        asks[i].max_keys = (uint32_t)l->page_keys;
        all[i] = (struct client_call){ .type = STRATA__MESSAGE_TYPE__TYPE_OBJECT_LIST, .body = &asks[i].base,
                                       .reply_body = &strata__object_list_reply__descriptor };
        snprintf (all[i].peer, sizeof (all[i].peer), "%s", page->stage);
        calls[open++] = &all[i];
    }
    if (open)
        client_calls (l->client, calls, open, l->deadline_us);
    for (size_t i = 0; rc == 0 && i < l->count; i++) {
        struct page *page = &l->pages[i];
        if (!all[i].type)
            continue;
        if (all[i].failed) {
            if (error)
                *error = all[i].error;
            if (all[i].failed == ETIMEDOUT)
                strata_fail_prefix (error, "the list of %.200s lacks what %s keeps", l->ns, page->stage);
            errno = all[i].failed;
            rc = -1;
            break;
        }
        if (page->reply)
            strata__object_list_reply__free_unpacked (page->reply, NULL);
        page->reply = (Strata__ObjectListReply *)all[i].reply;
        all[i].reply = NULL;
        page->at = 0;
        page->more = page->reply->more;
        if (page->version && page->version != page->reply->slots_version + 1) {
            errno = EAGAIN;
            rc = strata_fail (error, "%s took or gave names while %.200s was listed: list it again", page->stage, l->ns);
        }
        page->version = page->reply->slots_version + 1;
        snprintf (page->after, sizeof (page->after), "%s", page->reply->after);
    }
    int saved = errno;
    for (size_t i = 0; all && i < l->count; i++)
        client_call_fini (&all[i]);
    free (all);
    free (asks);
    errno = saved;
    return rc;
}

/* Whether each page has a key to offer, or is at its end. */
static bool is_ready (const struct lister *l)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->pages[i].more && (!l->pages[i].reply || l->pages[i].at == l->pages[i].reply->n_keys))
            return false;
    return true;
}

/* A name that is handed over is listed by the next stage before the one that goes lists it no more. So the one that goes is
 * asked first: none is missing, and one that both list is told once (take_key). */
static int turn_all_pages (struct lister *l, struct strata_error *error)
{
    return turn_pages (l, true, error) < 0 || turn_pages (l, false, error) < 0 ? -1 : 0;
}

/* Past this key, in every list. */
static void take_key (struct lister *l, const char *key)
{
    for (size_t i = 0; i < l->count; i++) {
        struct page *page = &l->pages[i];
        if (page->reply && page->at < page->reply->n_keys && page->reply->keys[page->at] != key
            && strcmp (page->reply->keys[page->at], key) == 0)
            page->at++;
    }
}

static struct page *lowest (struct lister *l)
{
    struct page *best = NULL;
    for (size_t i = 0; i < l->count; i++) {
        struct page *page = &l->pages[i];
        if (page->reply && page->at < page->reply->n_keys
            && (!best || strcmp (page->reply->keys[page->at], best->reply->keys[best->at]) < 0))
            best = page;
    }
    return best;
}

/* Who keeps names; while nobody does, any stage says whether the names asked for are allowed. */
static int list_stages (struct lister *l, const char *after, struct strata_error *error)
{
    char (*names)[REPLICA_NAME_MAX] = calloc (STAGES_MAX, sizeof (*names));
    mesh_look_at_cards (client_mesh (l->client));
    size_t count = names ? claim_keepers (client_mesh (l->client)->workspace, names, STAGES_MAX) : 0;
    if (names && count == 0)
        snprintf (names[count++], REPLICA_NAME_MAX, "stage");
    l->pages = names && count <= STAGES_MAX ? calloc (count, sizeof (*l->pages)) : NULL;
    if (!l->pages) {
        free (names);
        errno = ENOMEM;
        return strata_fail (error, "out of memory for the lists of %zu stages", count);
    }
    for (size_t i = 0; i < count; i++) {
        snprintf (l->pages[i].stage, sizeof (l->pages[i].stage), "%s", names[i]);
        snprintf (l->pages[i].after, sizeof (l->pages[i].after), "%s", after);
        l->pages[i].goes = mesh_route_retires (client_mesh (l->client), names[i]);
        l->pages[i].more = true;
    }
    l->count = count;
    free (names);
    return 0;
}

static int list (struct strata_client *self, const char *ns, const char *prefix, const char *pattern, const char *after,
                 size_t max, strata_each_f *each, void *arg, bool *more, struct strata_error *error)
{
    struct lister l = { .client = self, .ns = ns, .prefix = prefix, .pattern = pattern,
                        .page_keys = max < PAGE ? max : PAGE, .deadline_us = client_deadline_us (self) };
    int rc = list_stages (&l, after, error);
    size_t given = 0;
    struct page *page = NULL;
    while (rc == 0) {
        while (rc == 0 && !is_ready (&l))
            rc = turn_all_pages (&l, error);
        page = rc == 0 ? lowest (&l) : NULL;
        if (!page || given == max)
            break;
        struct strata_object_info info;
        const char *key = page->reply->keys[page->at];
        info_from (&info, page->at < page->reply->n_infos ? page->reply->infos[page->at] : NULL);
        given++;
        take_key (&l, key);
        page->at++;
        if (each (key, &info, arg))
            break;
        l.deadline_us = client_deadline_us (self); /* of each step: a list may be long */
    }
    if (more)
        *more = rc == 0 && page != NULL;
    int saved = errno;
    for (size_t i = 0; i < l.count; i++)
        if (l.pages[i].reply)
            strata__object_list_reply__free_unpacked (l.pages[i].reply, NULL);
    free (l.pages);
    errno = saved;
    return rc;
}

int strata_list (struct strata_client *self, const char *ns, const char *prefix, strata_each_f *each, void *arg,
                 struct strata_error *error)
{
    return list (self, ns, prefix ? prefix : "", "", "", SIZE_MAX, each, arg, NULL, error);
}

int strata_glob (struct strata_client *self, const char *ns, const char *pattern, const char *after, size_t max,
                 strata_each_f *each, void *arg, bool *more, struct strata_error *error)
{
    char prefix[NAME_MAX_BYTES + 1];
    size_t n = strcspn (pattern, "*?[\\");
    if (strlen (pattern) > NAME_MAX_BYTES || strlen (after ? after : "") > NAME_MAX_BYTES || max == 0) {
        errno = EINVAL;
        return strata_fail (error, "a pattern has at most %d bytes, as the key to go on after, and asks for at least one key",
                            NAME_MAX_BYTES);
    }
    memcpy (prefix, pattern, n);
    prefix[n] = '\0';
    return list (self, ns, prefix, pattern, after ? after : "", max, each, arg, more, error);
}
