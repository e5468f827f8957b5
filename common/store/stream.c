/* stream.c - see stream.h
 *
 * Keys (n = 8 big-endian bytes):
 *   "s/<stream>/" n             record: 8 bytes time_us, then the bytes
 *   "S/<stream>"                struct meta, four big-endian numbers: first, next, bytes, limit
 *   "p/<stream>/<producer>"     last sequence kept of that producer
 *   "c/<stream>/<consumer>"     committed by that consumer
 *   "cursor/<peer>/<stream>"    at the consumer
 */
#include "store/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIM_MAX 16384 /* records that one call forgets at most, so that a turn stays short */

bool stream_name_valid (const char *name)
{
    size_t n = strspn (name, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return n > 0 && n <= STREAM_NAME_MAX && name[n] == '\0';
}

bool producer_name_valid (const char *name)
{
    size_t n = strlen (name);
    if (n == 0 || n > PRODUCER_NAME_MAX || name[0] == '/' || name[n - 1] == '/')
        return false;
    for (size_t i = 0; i < n; i++)
        if (name[i] <= ' ' || name[i] > '~')
            return false;
    return true;
}

static void pack_u64 (uint8_t *out, uint64_t n)
{
    struct shard_key k = { .size = 0 };
    shard_key_u64 (&k, n);
    memcpy (out, k.data, 8);
}

static void load (struct shard *shard, const char *name, struct stream_stat *meta)
{
    struct shard_key key;
    void *value;
    size_t size;
    shard_key (&key, "S/%s", name);
    *meta = (struct stream_stat){ .first = 1, .next = 1 };
    if (!shard_get (shard, key.data, key.size, &value, &size))
        return;
    if (size == 32) {
        const uint8_t *p = value;
        *meta = (struct stream_stat){ shard_u64 (p), shard_u64 (p + 8), shard_u64 (p + 16), shard_u64 (p + 24) };
    }
    free (value);
}

static void save (struct shard *shard, const char *name, const struct stream_stat *meta)
{
    struct shard_key key;
    uint8_t bytes[32];
    shard_key (&key, "S/%s", name);
    pack_u64 (bytes, meta->first);
    pack_u64 (bytes + 8, meta->next);
    pack_u64 (bytes + 16, meta->bytes);
    pack_u64 (bytes + 24, meta->limit_bytes);
    shard_put (shard, key.data, key.size, bytes, sizeof (bytes));
}

void stream_set_limit (struct shard *shard, const char *name, uint64_t limit_bytes)
{
    struct stream_stat meta;
    load (shard, name, &meta);
    if (meta.limit_bytes == limit_bytes && meta.next > 1)
        return;
    meta.limit_bytes = limit_bytes;
    save (shard, name, &meta);
}

static void number_key (struct shard_key *key, const char *kind, const char *a, const char *b)
{
    shard_key (key, "%s/%s/%s", kind, a, b);
}

static uint64_t number_get (struct shard *shard, const struct shard_key *key, uint64_t missing)
{
    void *value;
    size_t size;
    if (!shard_get (shard, key->data, key->size, &value, &size))
        return missing;
    uint64_t n = size == 8 ? shard_u64 (value) : missing;
    free (value);
    return n;
}

static void number_put (struct shard *shard, const struct shard_key *key, uint64_t n)
{
    uint8_t bytes[8];
    pack_u64 (bytes, n);
    shard_put (shard, key->data, key->size, bytes, sizeof (bytes));
}

uint64_t stream_producer_last (struct shard *shard, const char *name, const char *producer)
{
    struct shard_key key;
    number_key (&key, "p", name, producer);
    return number_get (shard, &key, 0);
}

void stream_producers (struct shard *shard,
                       void (*each) (const char *stream, const char *producer, uint64_t last, void *arg), void *arg)
{
    struct shard_iter it;
    for (bool more = shard_iter_begin (shard, &it, "p/", 2, NULL, 0); more; more = shard_iter_next (&it)) {
        char stream[sizeof (((struct shard_key *)0)->data)];
        size_t n = it.key_size - 2;
        if (n >= sizeof (stream) || it.value_size != 8)
            continue;
        memcpy (stream, it.key + 2, n);
        stream[n] = '\0';
        char *producer = strchr (stream, '/');
        if (!producer)
            continue;
        *producer++ = '\0';
        each (stream, producer, shard_u64 (it.value), arg);
    }
    shard_iter_end (&it);
}

int stream_append (struct shard *shard, const char *name, const char *producer, uint64_t producer_sequence,
                   const void *record, size_t size, int64_t now_us, uint64_t *sequence, struct strata_error *error)
{
    struct stream_stat meta;
    struct shard_key key;
    if (!stream_name_valid (name)) {
        errno = EINVAL;
        return strata_fail (error, "stream name '%.80s' is not 1-%d of a-z 0-9 -", name, STREAM_NAME_MAX);
    }
    if (producer && !producer_name_valid (producer)) {
        errno = EINVAL;
        return strata_fail (error, "producer name '%.80s' is not 1-%d printable characters", producer, PRODUCER_NAME_MAX);
    }
    if (producer && producer_sequence <= stream_producer_last (shard, name, producer))
        return 0;
    load (shard, name, &meta);
    if (meta.limit_bytes && meta.bytes + size > meta.limit_bytes) {
        errno = ENOSPC;
        return strata_fail (error,
                            "stream %s is full: %llu of %llu bytes wait for its consumers; try again later",
                            name,
                            (unsigned long long)meta.bytes,
                            (unsigned long long)meta.limit_bytes);
    }
    uint8_t *value = malloc (8 + size);
    if (!value) {
        errno = ENOMEM;
        return strata_fail (error, "out of memory for a record of %zu bytes", size);
    }
    pack_u64 (value, (uint64_t)now_us);
    if (size)
        memcpy (value + 8, record, size);
    shard_key (&key, "s/%s/", name);
    shard_key_u64 (&key, meta.next);
    shard_put (shard, key.data, key.size, value, 8 + size);
    free (value);
    if (producer) {
        number_key (&key, "p", name, producer);
        number_put (shard, &key, producer_sequence);
    }
    if (sequence)
        *sequence = meta.next;
    meta.next++;
    meta.bytes += size;
    save (shard, name, &meta);
    return 1;
}

size_t stream_read (struct shard *shard, const char *name, uint64_t from, size_t max_records, size_t max_bytes,
                    stream_each_f *each, void *arg)
{
    struct shard_key prefix, start;
    struct shard_iter it;
    struct stream_stat meta;
    size_t seen = 0, bytes = 0;
    load (shard, name, &meta);
    shard_key (&prefix, "s/%s/", name);
    start = prefix;
    /* Not from the prefix: what was trimmed lies there as tombstones until RocksDB compacts, and each costs a step. */
    shard_key_u64 (&start, from > meta.first ? from : meta.first);
    for (bool more = shard_iter_begin (shard, &it, prefix.data, prefix.size, start.data, start.size);
         more && seen < max_records && (seen == 0 || bytes + it.value_size - 8 <= max_bytes);
         more = shard_iter_next (&it)) {
        if (it.key_size != prefix.size + 8 || it.value_size < 8)
            continue;
        seen++;
        bytes += it.value_size - 8;
        if (each (shard_u64 (it.key + prefix.size), (int64_t)shard_u64 (it.value), it.value + 8, it.value_size - 8, arg))
            break;
    }
    shard_iter_end (&it);
    return seen;
}

struct doomed {
    uint64_t *sequences;
    size_t count, size, bytes;
    uint64_t before;
};

static int doom (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    struct doomed *d = arg;
    if (sequence >= d->before)
        return 1;
    if (d->count == d->size) {
        size_t grown = d->size ? d->size * 2 : 64;
        uint64_t *p = realloc (d->sequences, grown * sizeof (*p));
        if (!p)
            return 1; /* trims fewer now, the rest next time */
        d->sequences = p;
        d->size = grown;
    }
    d->sequences[d->count++] = sequence;
    d->bytes += size;
    return 0;
}

void stream_trim (struct shard *shard, const char *name, uint64_t before)
{
    struct stream_stat meta;
    struct doomed d = { .before = before };
    load (shard, name, &meta);
    if (before > meta.next)
        before = d.before = meta.next;
    if (before <= meta.first)
        return;
    stream_read (shard, name, meta.first, TRIM_MAX, SIZE_MAX, doom, &d);
    for (size_t i = 0; i < d.count; i++) {
        struct shard_key key;
        shard_key (&key, "s/%s/", name);
        shard_key_u64 (&key, d.sequences[i]);
        shard_delete (shard, key.data, key.size);
    }
    if (d.count) {
        meta.first = d.sequences[d.count - 1] + 1;
        meta.bytes -= d.bytes < meta.bytes ? d.bytes : meta.bytes;
        save (shard, name, &meta);
    }
    free (d.sequences);
}

void stream_skip_to (struct shard *shard, const char *name, uint64_t next)
{
    struct stream_stat meta;
    load (shard, name, &meta);
    if (meta.next >= next)
        return;
    if (meta.first == meta.next)
        meta.first = next;
    meta.next = next;
    save (shard, name, &meta);
}

void stream_stat (struct shard *shard, const char *name, struct stream_stat *stat)
{
    load (shard, name, stat);
}

/* Names are collected before each is called: it may change the shard. */
void stream_list (struct shard *shard, void (*each) (const char *name, void *arg), void *arg)
{
    struct shard_iter it;
    char (*names)[STREAM_NAME_MAX + 1] = NULL;
    size_t count = 0;
    for (bool more = shard_iter_begin (shard, &it, "S/", 2, NULL, 0); more; more = shard_iter_next (&it)) {
        size_t n = it.key_size - 2;
        void *grown = n > STREAM_NAME_MAX ? NULL : realloc (names, (count + 1) * sizeof (*names));
        if (!grown)
            continue;
        names = grown;
        memcpy (names[count], it.key + 2, n);
        names[count++][n] = '\0';
    }
    shard_iter_end (&it);
    for (size_t i = 0; i < count; i++)
        each (names[i], arg);
    free (names);
}

void stream_consumer_set (struct shard *shard, const char *name, const char *consumer, uint64_t committed)
{
    struct shard_key key;
    number_key (&key, "c", name, consumer);
    if (number_get (shard, &key, 0) < committed)
        number_put (shard, &key, committed);
}

void stream_consumers (struct shard *shard, const char *name,
                       void (*each) (const char *consumer, uint64_t committed, void *arg), void *arg)
{
    struct shard_key prefix;
    struct shard_iter it;
    shard_key (&prefix, "c/%s/", name);
    for (bool more = shard_iter_begin (shard, &it, prefix.data, prefix.size, NULL, 0); more; more = shard_iter_next (&it)) {
        char consumer[PRODUCER_NAME_MAX + 1];
        size_t n = it.key_size - prefix.size;
        if (n > PRODUCER_NAME_MAX || it.value_size != 8)
            continue;
        memcpy (consumer, it.key + prefix.size, n);
        consumer[n] = '\0';
        each (consumer, shard_u64 (it.value), arg);
    }
    shard_iter_end (&it);
}

uint64_t cursor_get (struct shard *shard, const char *peer, const char *stream)
{
    struct shard_key key;
    number_key (&key, "cursor", peer, stream);
    return number_get (shard, &key, 1);
}

void cursor_set (struct shard *shard, const char *peer, const char *stream, uint64_t next)
{
    struct shard_key key;
    number_key (&key, "cursor", peer, stream);
    number_put (shard, &key, next);
}
