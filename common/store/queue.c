/* queue.c - see queue.h
 *
 * Records stand in the stream of the queue's name until they are done or aside. Beside them (n = 8 big-endian bytes):
 *   "q/<queue>/w/" n   waiting: 4 bytes tries so far
 *   "q/<queue>/l/" n   leased: struct lease_value
 *   "q/<queue>/x/" n   aside: tries, time_us, reason
 *   "q/<queue>/y/" n   aside: the record itself, since the stream is trimmed past it
 *   "q/<queue>/d/" n   done: token of the lease it was done under; the newest DONE_KEPT are kept, for repeated acks
 *   "Q/<queue>"        struct meta
 * The two bounds in meta keep a take short: a scan from the prefix's start would walk over the keys of all records that
 * were ever taken, since RocksDB keeps deleted keys until it compacts them away.
 */
#include "store/queue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DONE_KEPT 1024
#define LEASE_SIZE 32 /* token, deadline_us, tries, reserved: four big-endian numbers */

struct meta {
    uint64_t waiting, leased, aside, done, token;
    uint64_t low;           /* no record below it waits or is leased */
    uint64_t ends_us;       /* no lease ends before it */
};

static void put_numbers (struct shard *shard, const struct shard_key *key, const uint64_t *n, size_t count)
{
    struct shard_key value = { .size = 0 };
    for (size_t i = 0; i < count; i++)
        shard_key_u64 (&value, n[i]);
    shard_put (shard, key->data, key->size, value.data, value.size);
}

/* Numbers that a shorter value (an older store's) does not have stay as they are. */
static bool get_numbers (struct shard *shard, const struct shard_key *key, uint64_t *n, size_t count)
{
    void *value;
    size_t size;
    if (!shard_get (shard, key->data, key->size, &value, &size))
        return false;
    bool ok = size >= 8;
    for (size_t i = 0; i < count && i < size / 8; i++)
        n[i] = shard_u64 ((const uint8_t *)value + i * 8);
    free (value);
    return ok;
}

static void meta_load (struct shard *shard, const char *name, struct meta *meta)
{
    struct shard_key key;
    uint64_t n[7] = { 0 };
    shard_key (&key, "Q/%s", name);
    get_numbers (shard, &key, n, 7);
    *meta = (struct meta){ n[0], n[1], n[2], n[3], n[4], n[5], n[6] };
}

static void meta_save (struct shard *shard, const char *name, const struct meta *m)
{
    struct shard_key key;
    uint64_t n[7] = { m->waiting, m->leased, m->aside, m->done, m->token, m->low, m->ends_us };
    shard_key (&key, "Q/%s", name);
    put_numbers (shard, &key, n, 7);
}

static void item_key (struct shard_key *key, const char *name, char kind, uint64_t sequence)
{
    shard_key (key, "q/%s/%c/", name, kind);
    shard_key_u64 (key, sequence);
}

static void item_delete (struct shard *shard, const char *name, char kind, uint64_t sequence)
{
    struct shard_key key;
    item_key (&key, name, kind, sequence);
    shard_delete (shard, key.data, key.size);
}

void queue_lease_fini (struct queue_lease *lease)
{
    free (lease->record);
    *lease = (struct queue_lease){ 0 };
}

bool queue_exists (struct shard *shard, const char *name)
{
    struct shard_key key;
    shard_key (&key, "Q/%s", name);
    return shard_has (shard, key.data, key.size);
}

static void make_waiting (struct shard *shard, const char *name, uint64_t sequence, uint64_t tries)
{
    struct shard_key key;
    item_key (&key, name, 'w', sequence);
    put_numbers (shard, &key, &tries, 1);
}

int queue_put (struct shard *shard, const char *name, const char *producer, uint64_t producer_sequence, const void *record,
               size_t size, int64_t now_us, uint64_t *sequence, struct strata_error *error)
{
    uint64_t got;
    int rc = stream_append (shard, name, producer, producer_sequence, record, size, now_us, &got, error);
    if (rc != 1)
        return rc;
    struct meta meta;
    meta_load (shard, name, &meta);
    meta.waiting++;
    meta_save (shard, name, &meta);
    make_waiting (shard, name, got, 0);
    if (sequence)
        *sequence = got;
    return 1;
}

/* The lowest record in state `kind`, from meta's bound on; UINT64_MAX when there is none. *tries: of a waiting one. */
static uint64_t lowest (struct shard *shard, const char *name, char kind, const struct meta *meta, uint64_t *tries)
{
    struct shard_key prefix, start;
    struct shard_iter it;
    uint64_t sequence = UINT64_MAX;
    shard_key (&prefix, "q/%s/%c/", name, kind);
    start = prefix;
    shard_key_u64 (&start, meta->low);
    if (shard_iter_begin (shard, &it, prefix.data, prefix.size, start.data, start.size)) {
        sequence = shard_u64 (it.key + prefix.size);
        if (tries)
            *tries = it.value_size == 8 ? shard_u64 (it.value) : 0;
    }
    shard_iter_end (&it);
    return sequence;
}

/* The stream keeps a record until nothing before it and it itself is waiting or leased: trims up to the lowest one. */
static void trim_done (struct shard *shard, const char *name, struct meta *meta)
{
    struct stream_stat stream;
    uint64_t waiting = lowest (shard, name, 'w', meta, NULL), leased = lowest (shard, name, 'l', meta, NULL);
    stream_stat (shard, name, &stream);
    meta->low = waiting < leased ? waiting : leased;
    if (meta->low > stream.next)
        meta->low = stream.next;
    stream_trim (shard, name, meta->low);
}

static int keep_record (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    struct queue_lease *lease = arg;
    if (sequence != lease->sequence)
        return 1;
    lease->record = malloc (size ? size : 1);
    if (!lease->record)
        return 1;
    if (size)
        memcpy (lease->record, record, size);
    lease->size = size;
    lease->time_us = time_us;
    return 1;
}

static void set_aside (struct shard *shard, const char *name, struct meta *meta, uint64_t sequence, uint64_t tries,
                       int64_t now_us, const char *reason)
{
    struct shard_key key, value = { .size = 0 };
    shard_key_u64 (&value, tries);
    shard_key_u64 (&value, (uint64_t)now_us);
    size_t room = sizeof (value.data) - value.size, n = strlen (reason);
    if (n > room)
        n = room;
    memcpy (value.data + value.size, reason, n);
    value.size += n;
    item_key (&key, name, 'x', sequence);
    shard_put (shard, key.data, key.size, value.data, value.size);
    struct queue_lease kept = { .sequence = sequence };
    stream_read (shard, name, sequence, 1, SIZE_MAX, keep_record, &kept);
    item_key (&key, name, 'y', sequence);
    if (kept.record)
        shard_put (shard, key.data, key.size, kept.record, kept.size);
    queue_lease_fini (&kept);
    meta->aside++;
}

struct ended {
    uint64_t sequence, tries;
};

/* Leases that ended: back to waiting or aside. At most 256 a call, so that a turn stays short. */
static void expire (struct shard *shard, const char *name, struct meta *meta, int64_t now_us, uint32_t max_tries)
{
    struct ended ended[256];
    size_t count = 0;
    struct shard_key prefix, start;
    struct shard_iter it;
    uint64_t next_us = UINT64_MAX;
    if (meta->leased == 0 || (int64_t)meta->ends_us >= now_us || meta->ends_us == UINT64_MAX)
        return;
    shard_key (&prefix, "q/%s/l/", name);
    start = prefix;
    shard_key_u64 (&start, meta->low);
    for (bool more = shard_iter_begin (shard, &it, prefix.data, prefix.size, start.data, start.size);
         more && count < sizeof (ended) / sizeof (ended[0]);
         more = shard_iter_next (&it)) {
        if (it.value_size != LEASE_SIZE)
            continue;
        uint64_t ends_us = shard_u64 (it.value + 8);
        if ((int64_t)ends_us < now_us)
            ended[count++] = (struct ended){ shard_u64 (it.key + prefix.size), shard_u64 (it.value + 16) };
        else if (ends_us < next_us)
            next_us = ends_us;
    }
    shard_iter_end (&it);
    /* Those past the bunch of 256 may have ended as well: looked at by the next take. */
    meta->ends_us = count == sizeof (ended) / sizeof (ended[0]) ? 0 : next_us;
    for (size_t i = 0; i < count; i++) {
        item_delete (shard, name, 'l', ended[i].sequence);
        meta->leased--;
        if (max_tries && ended[i].tries >= max_tries) {
            char reason[128];
            snprintf (reason,
                      sizeof (reason),
                      "handed out %u times without an answer: its consumer died or hung on it",
                      (unsigned)ended[i].tries);
            set_aside (shard, name, meta, ended[i].sequence, ended[i].tries, now_us, reason);
        } else {
            make_waiting (shard, name, ended[i].sequence, ended[i].tries);
            meta->waiting++;
        }
    }
    if (count)
        trim_done (shard, name, meta);
    meta_save (shard, name, meta);
}

int queue_take (struct shard *shard, const char *name, const char *consumer, int64_t now_us, int64_t lease_us,
                uint32_t max_tries, struct queue_lease *lease)
{
    struct meta meta;
    struct shard_key key;
    uint64_t tries = 0;
    *lease = (struct queue_lease){ 0 };
    meta_load (shard, name, &meta);
    expire (shard, name, &meta, now_us, max_tries);
    lease->sequence = lowest (shard, name, 'w', &meta, &tries);
    if (lease->sequence == UINT64_MAX) {
        *lease = (struct queue_lease){ 0 };
        return 0;
    }
    lease->tries = (uint32_t)tries + 1;
    stream_read (shard, name, lease->sequence, 1, SIZE_MAX, keep_record, lease);
    if (!lease->record)
        return 0;
    lease->token = ++meta.token;
    meta.waiting--;
    uint64_t n[4] = { lease->token, (uint64_t)(now_us + lease_us), lease->tries, 0 };
    if (meta.leased++ == 0 || n[1] < meta.ends_us)
        meta.ends_us = n[1];
    meta_save (shard, name, &meta);
    item_delete (shard, name, 'w', lease->sequence);
    item_key (&key, name, 'l', lease->sequence);
    put_numbers (shard, &key, n, 4);
    return 1;
}

/* The lease under `token`, or -1. */
static int lease_find (struct shard *shard, const char *name, uint64_t sequence, uint64_t token, uint64_t *tries,
                       struct strata_error *error)
{
    struct shard_key key;
    uint64_t n[4];
    item_key (&key, name, 'l', sequence);
    if (!get_numbers (shard, &key, n, 4)) {
        errno = ENOENT;
        return strata_fail (error, "queue %s: record %llu is not under a lease", name, (unsigned long long)sequence);
    }
    if (n[0] != token) {
        errno = ESTALE;
        return strata_fail (error,
                            "queue %s: the lease on record %llu had ended and it was handed out again",
                            name,
                            (unsigned long long)sequence);
    }
    *tries = n[2];
    return 0;
}

int queue_ack (struct shard *shard, const char *name, uint64_t sequence, uint64_t token, struct strata_error *error)
{
    struct meta meta;
    struct shard_key key;
    uint64_t tries, done_token;
    item_key (&key, name, 'd', sequence);
    if (get_numbers (shard, &key, &done_token, 1) && done_token == token)
        return 0;
    if (lease_find (shard, name, sequence, token, &tries, error) < 0)
        return -1;
    item_delete (shard, name, 'l', sequence);
    put_numbers (shard, &key, &token, 1);
    if (sequence > DONE_KEPT)
        item_delete (shard, name, 'd', sequence - DONE_KEPT);
    meta_load (shard, name, &meta);
    meta.leased--;
    meta.done++;
    trim_done (shard, name, &meta);
    meta_save (shard, name, &meta);
    return 0;
}

int queue_renew (struct shard *shard, const char *name, uint64_t sequence, uint64_t token, int64_t now_us, int64_t lease_us,
                 struct strata_error *error)
{
    struct shard_key key;
    uint64_t tries;
    if (lease_find (shard, name, sequence, token, &tries, error) < 0)
        return -1;
    uint64_t n[4] = { token, (uint64_t)(now_us + lease_us), tries, 0 };
    item_key (&key, name, 'l', sequence);
    put_numbers (shard, &key, n, 4);
    return 0;
}

int queue_nack (struct shard *shard, const char *name, uint64_t sequence, uint64_t token, const char *reason, bool final,
                int64_t now_us, bool *aside, struct strata_error *error)
{
    struct meta meta;
    uint64_t tries;
    if (lease_find (shard, name, sequence, token, &tries, error) < 0)
        return -1;
    item_delete (shard, name, 'l', sequence);
    meta_load (shard, name, &meta);
    meta.leased--;
    if (final)
        set_aside (shard, name, &meta, sequence, tries, now_us, reason);
    else {
        make_waiting (shard, name, sequence, tries);
        meta.waiting++;
    }
    trim_done (shard, name, &meta);
    meta_save (shard, name, &meta);
    if (aside)
        *aside = final;
    return 0;
}

void queue_stat (struct shard *shard, const char *name, struct queue_stat *stat)
{
    struct meta meta;
    struct stream_stat stream;
    meta_load (shard, name, &meta);
    stream_stat (shard, name, &stream);
    *stat = (struct queue_stat){ meta.waiting, meta.leased, meta.aside, meta.done, stream.bytes, stream.limit_bytes };
}

struct aside {
    uint64_t sequence, tries, time_us;
    char reason[sizeof (((struct shard_key *)0)->data)];
};

void queue_aside (struct shard *shard, const char *name, size_t max,
                  void (*each) (uint64_t sequence, uint32_t tries, const char *reason, int64_t time_us, void *arg),
                  void *arg)
{
    struct shard_key prefix;
    struct shard_iter it;
    struct aside *newest = calloc (max ? max : 1, sizeof (*newest)); /* a ring */
    size_t seen = 0;
    shard_key (&prefix, "q/%s/x/", name);
    for (bool more = shard_iter_begin (shard, &it, prefix.data, prefix.size, NULL, 0); newest && max && more;
         more = shard_iter_next (&it)) {
        if (it.value_size < 16)
            continue;
        struct aside *a = &newest[seen++ % max];
        a->sequence = shard_u64 (it.key + prefix.size);
        a->tries = shard_u64 (it.value);
        a->time_us = shard_u64 (it.value + 8);
        size_t n = it.value_size - 16 < sizeof (a->reason) - 1 ? it.value_size - 16 : sizeof (a->reason) - 1;
        memcpy (a->reason, it.value + 16, n);
        a->reason[n] = '\0';
    }
    shard_iter_end (&it);
    for (size_t i = 0; i < seen && i < max; i++) {
        struct aside *a = &newest[(seen - 1 - i) % max];
        each (a->sequence, (uint32_t)a->tries, a->reason, (int64_t)a->time_us, arg);
    }
    free (newest);
}
