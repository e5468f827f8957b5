/* replies.c - see replies.h
 *
 *   "R/<sender>/" boot            settled: all requests below it are answered and forgotten
 *   "R/<sender>/" boot request    time_us, type, body
 * (boot, request = 8 big-endian bytes each)
 */
#include "mesh/replies.h"

#include <stdlib.h>
#include <string.h>

static void sender_key (struct shard_key *key, const Strata__Header *header)
{
    shard_key (key, "R/%s/", header->sender);
}

static void boot_key (struct shard_key *key, const Strata__Header *header)
{
    sender_key (key, header);
    shard_key_u64 (key, header->boot);
}

static void reply_key (struct shard_key *key, const Strata__Header *header)
{
    boot_key (key, header);
    shard_key_u64 (key, header->request);
}

struct range {
    struct shard_key keys[256];
    size_t count;
};

/* Deletes what `doomed` says of the keys with a prefix; in bunches, since the shard can't change under an iterator. */
static void delete_where (struct shard *shard, const struct shard_key *prefix,
                          bool (*doomed) (const struct shard_iter *it, const struct shard_key *prefix, const void *arg),
                          const void *arg)
{
    struct range range;
    do {
        struct shard_iter it;
        range.count = 0;
        for (bool more = shard_iter_begin (shard, &it, prefix->data, prefix->size, NULL, 0);
             more && range.count < sizeof (range.keys) / sizeof (range.keys[0]);
             more = shard_iter_next (&it))
            if (it.key_size <= sizeof (range.keys[0].data) && doomed (&it, prefix, arg)) {
                struct shard_key *key = &range.keys[range.count++];
                memcpy (key->data, it.key, it.key_size);
                key->size = it.key_size;
            }
        shard_iter_end (&it);
        for (size_t i = 0; i < range.count; i++)
            shard_delete (shard, range.keys[i].data, range.keys[i].size);
    } while (range.count == sizeof (range.keys) / sizeof (range.keys[0]));
}

static bool is_other_boot (const struct shard_iter *it, const struct shard_key *prefix, const void *arg)
{
    const Strata__Header *header = arg;
    return it->key_size >= prefix->size + 8 && shard_u64 (it->key + prefix->size) != header->boot;
}

static bool is_settled (const struct shard_iter *it, const struct shard_key *prefix, const void *arg)
{
    const Strata__Header *header = arg;
    return it->key_size == prefix->size + 8 && shard_u64 (it->key + prefix->size) < header->settled;
}

static bool is_old (const struct shard_iter *it, const struct shard_key *prefix, const void *arg)
{
    return it->value_size >= 8 && (int64_t)shard_u64 (it->value) < *(const int64_t *)arg;
}

enum replies_verdict replies_look (struct shard *shard, const Strata__Header *header, uint32_t *type, void **body, size_t *size)
{
    struct shard_key key, prefix;
    void *value;
    size_t value_size;
    uint64_t settled = 0;
    boot_key (&key, header);
    bool known = shard_get (shard, key.data, key.size, &value, &value_size) == 1;
    if (known) {
        settled = value_size >= 16 ? shard_u64 ((uint8_t *)value + 8) : 0;
        free (value);
    } else {
        sender_key (&prefix, header);
        delete_where (shard, &prefix, is_other_boot, header);
    }
    if (header->request < settled)
        return REPLIES_SETTLED;
    reply_key (&key, header);
    if (shard_get (shard, key.data, key.size, &value, &value_size)) {
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
    if (header->settled > settled && known) {
        boot_key (&prefix, header);
        delete_where (shard, &prefix, is_settled, header);
    }
    return REPLIES_NEW;
}

void replies_keep (struct shard *shard, const Strata__Header *header, int64_t now_us, uint32_t type, const void *body, size_t size)
{
    struct shard_key key, settled = { .size = 0 };
    shard_key_u64 (&settled, (uint64_t)now_us);
    shard_key_u64 (&settled, header->settled);
    boot_key (&key, header);
    shard_put (shard, key.data, key.size, settled.data, settled.size);
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

void replies_sweep (struct shard *shard, int64_t now_us)
{
    struct shard_key prefix;
    int64_t before = now_us - (int64_t)REPLIES_KEPT_S * 1000000;
    shard_key (&prefix, "R/");
    delete_where (shard, &prefix, is_old, &before);
}
