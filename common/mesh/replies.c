/* replies.c - see replies.h
 *
 *   "R/<sender>/" boot            settled: all requests below it are answered and forgotten
 *   "R/<sender>/" boot request    time_us, type, body
 * (boot, request = 8 big-endian bytes each)
 */
#include "mesh/replies.h"

#include <stdlib.h>
#include <string.h>

#include "core/crash_point.h"

static void boot_key (struct shard_key *key, const Strata__Header *header)
{
    shard_key (key, "R/%s/", header->sender);
    shard_key_u64 (key, header->boot);
}

static void reply_key (struct shard_key *key, const Strata__Header *header)
{
    boot_key (key, header);
    shard_key_u64 (key, header->request);
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

/* The sender's bound as it is stored. */
static uint64_t settled_get (struct shard *shard, const Strata__Header *header)
{
    struct shard_key key;
    void *value;
    size_t size;
    uint64_t settled = 0;
    boot_key (&key, header);
    if (shard_get (shard, key.data, key.size, &value, &size)) {
        settled = size >= 16 ? shard_u64 ((uint8_t *)value + 8) : 0;
        free (value);
    }
    return settled;
}

enum replies_verdict replies_look (struct shard *shard, const Strata__Header *header, uint32_t *type, void **body, size_t *size)
{
    struct shard_key key;
    void *value;
    size_t value_size;
    if (header->request < settled_get (shard, header))
        return REPLIES_SETTLED;
    reply_key (&key, header);
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

/* The bound never falls: a request whose answer took long comes with an older one than is stored, and what was forgotten
 * by the newer must not be carried out again. */
void replies_keep (struct shard *shard, const Strata__Header *header, int64_t now_us, uint32_t type, const void *body, size_t size)
{
    struct shard_key key, prefix, value_head = { .size = 0 };
    uint64_t settled = settled_get (shard, header);
    boot_key (&prefix, header);
    if (header->settled > settled) {
        key = prefix;
        shard_key_u64 (&key, settled);
        delete_where (shard, &prefix, &key, look_settled, header);
        settled = header->settled;
    }
    shard_key_u64 (&value_head, (uint64_t)now_us);
    shard_key_u64 (&value_head, settled);
    shard_put (shard, prefix.data, prefix.size, value_head.data, value_head.size);
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
    reply_key (&key, header);
    shard_put (shard, key.data, key.size, value, 16 + size);
    free (value);
}

uint64_t replies_sweep (struct shard *shard, int64_t now_us)
{
    struct shard_key prefix;
    uint64_t kept = 0;
    struct sweep sweep = { now_us - (int64_t)REPLIES_KEPT_S * 1000000, &kept };
    shard_key (&prefix, "R/");
    delete_where (shard, &prefix, &prefix, look_old, &sweep);
    return kept;
}
