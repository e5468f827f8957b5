/* replies.c - see replies.h
 *
 *   "R/<sender>/" boot            settled: all requests below it are answered and forgotten
 *   "R/<sender>/" boot request    time_us, type, body
 * (boot, request = 8 big-endian bytes each)
 *
 * Of the senders heard last it is in memory which replies of theirs are kept: a sender that asks, and settles, a few at a time
 * costs no look into the store. What is put and deleted, and in which order, is the same either way: it shows in a replay.
 */
#include "mesh/replies.h"

#include <stdlib.h>
#include <string.h>

#include "core/crash_point.h"
#include "core/hash.h"

static void boot_key (struct shard_key *key, const Strata__Header *header)
{
    shard_key (key, "R/%s/", header->sender);
    shard_key_u64 (key, header->boot);
}


/* ---- in memory ---- */

#define SENDERS 256 /* heard last */
#define OPEN_MAX 64 /* replies of one whose numbers are kept; of more the store is asked */

struct sender {
    struct shard_key prefix;    /* size 0: nobody */
    uint64_t settled, highest;  /* highest: request whose reply is kept, or was */
    uint64_t open[OPEN_MAX];    /* requests from settled on whose replies are kept, rising */
    size_t count;
    bool more;                  /* than those in open: not known which */
};

struct senders {
    struct sender places[SENDERS]; /* by the prefix's hash: one takes another's place */
};

static void free_senders (void *data)
{
    free (data);
}

static struct senders *senders_of (struct shard *shard)
{
    struct shard_part *part = shard_part (shard, SHARD_REPLIES);
    if (part->data)
        return part->data;
    struct senders *self = calloc (1, sizeof (*self));
    if (!self)
        shard_die (shard, "remembering", "replies", "out of memory");
    *part = (struct shard_part){ .data = self, .free = free_senders };
    return self;
}

static void open_add (struct sender *self, uint64_t request)
{
    if (request > self->highest)
        self->highest = request;
    if (request < self->settled || self->more)
        return;
    size_t at = self->count;
    while (at > 0 && self->open[at - 1] > request)
        at--;
    if (at > 0 && self->open[at - 1] == request)
        return;
    if (self->count == OPEN_MAX) {
        self->more = true;
        self->count = 0;
        return;
    }
    memmove (self->open + at + 1, self->open + at, (self->count++ - at) * sizeof (self->open[0]));
    self->open[at] = request;
}

/* Not from the prefix: what was forgotten lies there until RocksDB compacts, and each costs a step. */
static void sender_load (struct shard *shard, struct sender *self)
{
    const struct shard_key *prefix = &self->prefix;
    struct shard_key start = *prefix;
    struct shard_iter it;
    void *value;
    size_t size;
    if (shard_get (shard, prefix->data, prefix->size, &value, &size)) {
        self->settled = size >= 16 ? shard_u64 ((uint8_t *)value + 8) : 0;
        free (value);
    }
    shard_key_u64 (&start, self->settled);
    for (bool more = shard_iter_begin (shard, &it, prefix->data, prefix->size, start.data, start.size); more;
         more = shard_iter_next (&it))
        if (it.key_size == prefix->size + 8)
            open_add (self, shard_u64 (it.key + prefix->size));
    shard_iter_end (&it);
}

static struct sender *sender_of (struct shard *shard, const Strata__Header *header)
{
    struct shard_key prefix;
    boot_key (&prefix, header);
    struct sender *self = &senders_of (shard)->places[hash64 (0, prefix.data, prefix.size) % SENDERS];
    if (self->prefix.size == prefix.size && memcmp (self->prefix.data, prefix.data, prefix.size) == 0)
        return self;
    *self = (struct sender){ .prefix = prefix };
    sender_load (shard, self);
    return self;
}

/* ---- in the store ---- */

static void reply_key (struct shard_key *key, const struct sender *sender, uint64_t request)
{
    *key = sender->prefix;
    shard_key_u64 (key, request);
}

enum look { KEEP, FORGET, STOP };

struct range {
    struct shard_key keys[256];
    size_t count;
};

/* Deletes what `doomed` says of the keys with a prefix, from `start` on; in bunches, since the shard can't change under an
 * iterator. A bunch goes on where the last one ended: what was deleted is not walked over again. */
static void delete_where (struct shard *shard, const struct shard_key *prefix, const struct shard_key *start,
                          enum look (*look) (const struct shard_iter *it, const struct shard_key *prefix, const void *arg),
                          const void *arg)
{
    struct shard_key from = *start;
    struct range *range = malloc (sizeof (*range));
    if (!range)
        return; /* they are forgotten later */
    do {
        struct shard_iter it;
        enum look verdict = KEEP;
        range->count = 0;
        for (bool more = shard_iter_begin (shard, &it, prefix->data, prefix->size, from.data, from.size);
             more && range->count < sizeof (range->keys) / sizeof (range->keys[0]) && verdict != STOP;
             more = shard_iter_next (&it)) {
            if (it.key_size > sizeof (from.data) || (verdict = look (&it, prefix, arg)) != FORGET)
                continue;
            struct shard_key *key = &range->keys[range->count++];
            memcpy (key->data, it.key, it.key_size);
            key->size = it.key_size;
        }
        shard_iter_end (&it);
        for (size_t i = 0; i < range->count; i++)
            shard_delete (shard, range->keys[i].data, range->keys[i].size);
        if (range->count)
            from = range->keys[range->count - 1];
    } while (range->count == sizeof (range->keys) / sizeof (range->keys[0]));
    free (range);
}

static enum look look_settled (const struct shard_iter *it, const struct shard_key *prefix, const void *arg)
{
    const Strata__Header *header = arg;
    if (it->key_size != prefix->size + 8)
        return KEEP;
    return shard_u64 (it->key + prefix->size) < header->settled ? FORGET : STOP;
}

struct sweep {
    int64_t before_us;
    uint64_t *kept;
};

static enum look look_old (const struct shard_iter *it, const struct shard_key *prefix, const void *arg)
{
    const struct sweep *sweep = arg;
    if (it->value_size >= 8 && (int64_t)shard_u64 (it->value) < sweep->before_us)
        return FORGET;
    ++*sweep->kept;
    return KEEP;
}

enum replies_verdict replies_look (struct shard *shard, const Strata__Header *header, uint32_t *type, void **body, size_t *size)
{
    struct shard_key key;
    void *value;
    size_t value_size;
    const struct sender *sender = sender_of (shard, header);
    if (header->request < sender->settled)
        return REPLIES_SETTLED;
    if (header->request > sender->highest)
        return REPLIES_NEW;
    reply_key (&key, sender, header->request);
    if (!shard_get (shard, key.data, key.size, &value, &value_size))
        return REPLIES_NEW;
    if (value_size < 16) {
        free (value);
        return REPLIES_NEW;
    }
    *type = (uint32_t)shard_u64 ((uint8_t *)value + 8);
    *size = value_size - 16;
    memmove (value, (uint8_t *)value + 16, *size);
    *body = value;
    return REPLIES_KNOWN;
}

static void forget_settled (struct shard *shard, struct sender *sender, const Strata__Header *header)
{
    struct shard_key key = sender->prefix;
    size_t done = 0;
    shard_key_u64 (&key, sender->settled);
    if (sender->more)
        delete_where (shard, &sender->prefix, &key, look_settled, header);
    for (; done < sender->count && sender->open[done] < header->settled; done++) {
        reply_key (&key, sender, sender->open[done]);
        shard_delete (shard, key.data, key.size);
    }
    sender->count -= done;
    memmove (sender->open, sender->open + done, sender->count * sizeof (sender->open[0]));
    sender->settled = header->settled;
    if (sender->settled > sender->highest)
        sender->more = false;
}

/* The bound never falls: a request whose answer took long comes with an older one than is stored, and what was forgotten
 * by the newer must not be carried out again. */
void replies_keep (struct shard *shard, const Strata__Header *header, int64_t now_us, uint32_t type, const void *body, size_t size)
{
    struct shard_key key, value_head = { .size = 0 };
    struct sender *sender = sender_of (shard, header);
    if (header->settled > sender->settled)
        forget_settled (shard, sender, header);
    shard_key_u64 (&value_head, (uint64_t)now_us);
    shard_key_u64 (&value_head, sender->settled);
    shard_put (shard, sender->prefix.data, sender->prefix.size, value_head.data, value_head.size);
    crash_point ("replies.settled");
    uint8_t *value = malloc (16 + size);
    if (!value)
        return; /* only a retry would miss it */
    struct shard_key head = { .size = 0 };
    shard_key_u64 (&head, (uint64_t)now_us);
    shard_key_u64 (&head, type);
    memcpy (value, head.data, 16);
    if (size)
        memcpy (value + 16, body, size);
    reply_key (&key, sender, header->request);
    shard_put (shard, key.data, key.size, value, 16 + size);
    open_add (sender, header->request);
    free (value);
}

uint64_t replies_sweep (struct shard *shard, int64_t now_us)
{
    struct shard_key prefix;
    uint64_t kept = 0;
    struct sweep sweep = { now_us - (int64_t)REPLIES_KEPT_S * 1000000, &kept };
    shard_key (&prefix, "R/");
    delete_where (shard, &prefix, &prefix, look_old, &sweep);
    memset (senders_of (shard), 0, sizeof (struct senders)); /* what they kept may be gone */
    return kept;
}
