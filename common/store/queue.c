/* queue.c - see queue.h
 *
 * Records stand in the stream of the queue's name until they are done or aside. Those that were never handed out wait: they
 * are all from `head` on, and need no keys. Beside the stream (n = 8 big-endian bytes; a run is under its first record):
 *   "q/<queue>/w/" n   waits again: tries so far, count
 *   "q/<queue>/l/" n   leased: token, ends_us, tries, count
 *   "q/<queue>/d/" n   an acknowledgement, n = its number modulo DONE_KEPT: first, count, token
 *   "q/<queue>/x/" n   aside: tries, time_us, reason
 *   "q/<queue>/y/" n   aside: the record itself, since the stream is trimmed past it
 *   "Q/<queue>"        struct meta
 * An older store has no head and no counts: there each waiting record has its key.
 */
#include "store/queue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DONE_KEPT 1024
#define EXPIRE_MAX 256 /* records that one take sets aside, so that a turn stays short */
#define META_NUMBERS 8

struct meta {
    uint64_t waiting, leased, aside, done, token;
    uint64_t head;        /* the first record that was never handed out */
    uint64_t acks;        /* acknowledgements so far */
    uint64_t aside_bytes;
};

struct run {
    uint64_t first, count, token, tries;
    int64_t ends_us; /* of a leased one */
};

/* Sorted by first. As many as there are takes that are not acknowledged yet. */
struct runs {
    struct run *rows;
    size_t count, size;
};

struct done {
    uint64_t first, count, token;
};

/* In memory with the shard, which this process alone changes. */
struct queue {
    struct queue *next;
    char name[STREAM_NAME_MAX + 1];
    struct shard *shard;
    struct meta meta;
    struct runs leased, again;
    struct done done[DONE_KEPT];
    int64_t ends_us; /* no lease ends before it */
};

/* ---- keys ---- */

static void put_numbers (struct shard *shard, const struct shard_key *key, const uint64_t *n, size_t count)
{
    struct shard_key value = { .size = 0 };
    for (size_t i = 0; i < count; i++)
        shard_key_u64 (&value, n[i]);
    shard_put (shard, key->data, key->size, value.data, value.size);
}

static void item_key (struct shard_key *key, const char *name, char kind, uint64_t n)
{
    shard_key (key, "q/%s/%c/", name, kind);
    shard_key_u64 (key, n);
}

static void item_delete (struct queue *self, char kind, uint64_t n)
{
    struct shard_key key;
    item_key (&key, self->name, kind, n);
    shard_delete (self->shard, key.data, key.size);
}

static void meta_save (struct queue *self)
{
    const struct meta *m = &self->meta;
    struct shard_key key;
    uint64_t n[META_NUMBERS] = { m->waiting, m->leased, m->aside, m->done, m->token, m->head, m->acks, m->aside_bytes };
    shard_key (&key, "Q/%s", self->name);
    put_numbers (self->shard, &key, n, META_NUMBERS);
}

static void run_save (struct queue *self, char kind, const struct run *run)
{
    struct shard_key key;
    uint64_t lease[4] = { run->token, (uint64_t)run->ends_us, run->tries, run->count }, again[2] = { run->tries, run->count };
    item_key (&key, self->name, kind, run->first);
    put_numbers (self->shard, &key, kind == 'l' ? lease : again, kind == 'l' ? 4 : 2);
}

/* ---- runs ---- */

/* Index of the first run that ends behind `sequence`. */
static size_t find_run (const struct runs *runs, uint64_t sequence)
{
    size_t low = 0, high = runs->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (runs->rows[middle].first + runs->rows[middle].count > sequence)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void insert_run (struct queue *self, struct runs *runs, const struct run *run)
{
    if (runs->count == runs->size) {
        size_t size = runs->size ? runs->size * 2 : 16;
        struct run *grown = realloc (runs->rows, size * sizeof (*grown));
        if (!grown)
            shard_die (self->shard, "taking from queue", self->name, "out of memory");
        runs->rows = grown;
        runs->size = size;
    }
    size_t at = find_run (runs, run->first);
    memmove (runs->rows + at + 1, runs->rows + at, (runs->count++ - at) * sizeof (*run));
    runs->rows[at] = *run;
}

static void add_run (struct queue *self, char kind, const struct run *run)
{
    insert_run (self, kind == 'l' ? &self->leased : &self->again, run);
    run_save (self, kind, run);
    if (kind == 'l' && run->ends_us < self->ends_us)
        self->ends_us = run->ends_us;
}

/* Takes the records first .. first + count - 1 out of run `at`, which holds them all. */
static void cut_run (struct queue *self, char kind, size_t at, uint64_t first, uint64_t count)
{
    struct runs *runs = kind == 'l' ? &self->leased : &self->again;
    struct run before = runs->rows[at], after = before;
    before.count = first - before.first;
    after.first = first + count;
    after.count -= before.count + count;
    if (before.count == 0) /* else it is written anew under the same key */
        item_delete (self, kind, before.first);
    memmove (runs->rows + at, runs->rows + at + 1, (--runs->count - at) * sizeof (before));
    if (before.count)
        add_run (self, kind, &before);
    if (after.count)
        add_run (self, kind, &after);
}

/* ---- the queue in memory ---- */

static void load_runs (struct queue *self, char kind)
{
    struct shard_key prefix;
    struct shard_iter it;
    shard_key (&prefix, "q/%s/%c/", self->name, kind);
    for (bool more = shard_iter_begin (self->shard, &it, prefix.data, prefix.size, NULL, 0); more; more = shard_iter_next (&it)) {
        uint64_t n[4] = { 0 }, key = shard_u64 (it.key + prefix.size);
        if (it.key_size != prefix.size + 8)
            continue;
        for (size_t i = 0; i < 4 && i < it.value_size / 8; i++)
            n[i] = shard_u64 (it.value + 8 * i);
        if (kind == 'l')
            insert_run (self, &self->leased, &(struct run){ key, n[3] ? n[3] : 1, n[0], n[2], (int64_t)n[1] });
        else if (kind == 'w')
            insert_run (self, &self->again, &(struct run){ key, n[1] ? n[1] : 1, 0, n[0], 0 });
        else if (it.value_size == 24 && key < DONE_KEPT)
            self->done[key] = (struct done){ n[0], n[1], n[2] };
    }
    shard_iter_end (&it);
}

static bool load (struct queue *self)
{
    struct shard_key key;
    struct stream_stat stream;
    void *value;
    size_t size;
    uint64_t n[META_NUMBERS] = { 0 };
    shard_key (&key, "Q/%s", self->name);
    stream_stat (self->shard, self->name, &stream);
    self->meta.head = stream.next;
    self->ends_us = 0;
    if (!shard_get (self->shard, key.data, key.size, &value, &size))
        return false;
    for (size_t i = 0; i < META_NUMBERS && i < size / 8; i++)
        n[i] = shard_u64 ((uint8_t *)value + 8 * i);
    free (value);
    self->meta = (struct meta){ n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7] };
    if (size < 8 * META_NUMBERS) { /* of an older store: other numbers stood there */
        self->meta.head = stream.next;
        self->meta.acks = 0;
    }
    load_runs (self, 'l');
    load_runs (self, 'w');
    load_runs (self, 'd');
    return true;
}

struct queues {
    struct queue *first;
};

static void free_queue (struct queue *self)
{
    free (self->leased.rows);
    free (self->again.rows);
    free (self);
}

static void free_queues (void *data)
{
    struct queues *self = data;
    while (self->first) {
        struct queue *q = self->first;
        self->first = q->next;
        free_queue (q);
    }
    free (self);
}

/* NULL: there is none, and `make` is false. */
static struct queue *get_queue (struct shard *shard, const char *name, bool make)
{
    struct shard_part *part = shard_part (shard, SHARD_QUEUES);
    if (!part->data) {
        struct queues *fresh = calloc (1, sizeof (*fresh));
        if (!fresh)
            shard_die (shard, "opening queue", name, "out of memory");
        *part = (struct shard_part){ .data = fresh, .free = free_queues };
    }
    struct queues *queues = part->data;
    for (struct queue *q = queues->first; q; q = q->next)
        if (strcmp (q->name, name) == 0)
            return q;
    struct queue *self = calloc (1, sizeof (*self));
    if (!self)
        shard_die (shard, "opening queue", name, "out of memory");
    self->shard = shard;
    snprintf (self->name, sizeof (self->name), "%s", name);
    if (!load (self) && !make) {
        free_queue (self);
        return NULL;
    }
    self->next = queues->first;
    return queues->first = self;
}

bool queue_exists (struct shard *shard, const char *name)
{
    return get_queue (shard, name, false) != NULL;
}

/* ---- putting ---- */

int queue_put_batch (struct shard *shard, const char *name, const struct stream_batch *batch, int64_t now_us, uint64_t *first,
                     size_t *appended, struct strata_error *error)
{
    struct stream_stat stream;
    size_t kept;
    if (!stream_name_valid (name))
        return stream_append_batch (shard, name, batch, now_us, first, appended, error); /* refuses it */
    struct queue *self = get_queue (shard, name, true);
    stream_stat (shard, name, &stream);
    if (stream.limit_bytes && self->meta.aside_bytes > stream.limit_bytes) {
        errno = ENOSPC;
        return strata_fail (error,
                            "queue %s is full: %llu records of %llu bytes were set aside, its bound is %llu; 'strata status' shows why",
                            name,
                            (unsigned long long)self->meta.aside,
                            (unsigned long long)self->meta.aside_bytes,
                            (unsigned long long)stream.limit_bytes);
    }
    if (stream_append_batch (shard, name, batch, now_us, first, &kept, error) < 0)
        return -1;
    self->meta.waiting += kept;
    if (kept)
        meta_save (self);
    if (appended)
        *appended = kept;
    return 0;
}

int queue_put (struct shard *shard, const char *name, const char *producer, uint64_t producer_sequence, const void *record,
               size_t size, int64_t now_us, uint64_t *sequence, struct strata_error *error)
{
    uint32_t sizes = (uint32_t)size;
    size_t appended;
    struct stream_batch batch = { producer, &producer_sequence, &sizes, 1, record, false };
    if (queue_put_batch (shard, name, &batch, now_us, sequence, &appended, error) < 0)
        return -1;
    return (int)appended;
}

/* The stream keeps a record until nothing before it and it itself is waiting or leased. */
static void trim_done (struct queue *self)
{
    uint64_t low = self->meta.head;
    if (self->leased.count && self->leased.rows[0].first < low)
        low = self->leased.rows[0].first;
    if (self->again.count && self->again.rows[0].first < low)
        low = self->again.rows[0].first;
    stream_trim (self->shard, self->name, low);
}

/* ---- setting aside, giving back ---- */

struct kept {
    void *data;
    size_t size;
};

static int keep_record (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    struct kept *kept = arg;
    kept->data = malloc (size ? size : 1);
    if (kept->data && size)
        memcpy (kept->data, record, size);
    kept->size = size;
    return 1;
}

static void set_aside (struct queue *self, uint64_t sequence, uint64_t tries, int64_t now_us, const char *reason)
{
    struct shard_key key, value = { .size = 0 };
    struct kept kept = { NULL, 0 };
    shard_key_u64 (&value, tries);
    shard_key_u64 (&value, (uint64_t)now_us);
    size_t room = sizeof (value.data) - value.size, n = strlen (reason);
    if (n > room)
        n = room;
    memcpy (value.data + value.size, reason, n);
    value.size += n;
    item_key (&key, self->name, 'x', sequence);
    shard_put (self->shard, key.data, key.size, value.data, value.size);
    stream_read (self->shard, self->name, sequence, 1, SIZE_MAX, keep_record, &kept);
    if (!kept.data)
        shard_die (self->shard, "setting a record aside in queue", self->name, "it is missing, or memory is");
    item_key (&key, self->name, 'y', sequence);
    shard_put (self->shard, key.data, key.size, kept.data, kept.size);
    free (kept.data);
    self->meta.aside++;
    self->meta.aside_bytes += kept.size;
}

static void wait_again (struct queue *self, uint64_t first, uint64_t count, uint64_t tries)
{
    add_run (self, 'w', &(struct run){ .first = first, .count = count, .tries = tries });
    self->meta.waiting += count;
}

/* Leases that ended: their records wait again or are set aside. */
static void expire (struct queue *self, int64_t now_us, uint32_t max_tries)
{
    size_t budget = EXPIRE_MAX, i = 0;
    bool any = false;
    if (self->leased.count == 0 || self->ends_us >= now_us)
        return;
    while (i < self->leased.count && budget > 0) {
        struct run run = self->leased.rows[i];
        if (run.ends_us >= now_us) {
            i++;
            continue;
        }
        bool used_up = max_tries && run.tries >= max_tries;
        uint64_t count = used_up && run.count > budget ? budget : run.count;
        cut_run (self, 'l', i, run.first, count);
        self->meta.leased -= count;
        any = true;
        if (!used_up) {
            wait_again (self, run.first, count, run.tries);
            budget--;
            continue;
        }
        char reason[128];
        snprintf (reason,
                  sizeof (reason),
                  "handed out %u times without an answer: its consumer died or hung on it",
                  (unsigned)run.tries);
        for (uint64_t n = 0; n < count; n++)
            set_aside (self, run.first + n, run.tries, now_us, reason);
        budget -= count;
    }
    self->ends_us = budget ? INT64_MAX : 0;
    for (i = 0; budget && i < self->leased.count; i++)
        if (self->leased.rows[i].ends_us < self->ends_us)
            self->ends_us = self->leased.rows[i].ends_us;
    if (any) {
        trim_done (self);
        meta_save (self);
    }
}

/* ---- taking and what ends a lease ---- */

int queue_take (struct shard *shard, const char *name, int64_t now_us, int64_t lease_us, uint32_t max_tries, size_t max_records,
                size_t max_bytes, struct queue_lease *lease, stream_each_chunk_f *each, void *arg)
{
    struct queue *self = get_queue (shard, name, false);
    struct stream_stat stream;
    *lease = (struct queue_lease){ 0 };
    if (!self)
        return 0;
    expire (self, now_us, max_tries);
    stream_stat (shard, name, &stream);
    struct run run = { .first = self->meta.head, .count = stream.next - self->meta.head };
    bool again = self->again.count > 0; /* they are all older than head */
    if (again)
        run = self->again.rows[0];
    if (run.count == 0)
        return 0;
    run.count = stream_read_chunks (shard, name, run.first, run.count < max_records ? run.count : max_records, max_bytes, each, arg);
    if (run.count == 0)
        return 0;
    if (again)
        cut_run (self, 'w', 0, run.first, run.count);
    else
        self->meta.head += run.count;
    run.token = ++self->meta.token;
    run.tries++;
    run.ends_us = now_us + lease_us;
    add_run (self, 'l', &run);
    self->meta.waiting -= run.count;
    self->meta.leased += run.count;
    meta_save (self);
    *lease = (struct queue_lease){ run.first, run.count, run.token, (uint32_t)run.tries };
    return 1;
}

/* Index of the lease that holds the records under `token`, or -1. */
static int lease_find (struct queue *self, const char *name, uint64_t first, uint64_t count, uint64_t token, size_t *at,
                       struct strata_error *error)
{
    *at = self ? find_run (&self->leased, first) : 0;
    if (!self || *at == self->leased.count || count == 0 || self->leased.rows[*at].first > first) {
        errno = ENOENT;
        return strata_fail (error, "queue %s: record %llu is not under a lease", name, (unsigned long long)first);
    }
    const struct run *run = &self->leased.rows[*at];
    if (run->token != token || count > run->first + run->count - first) {
        errno = ESTALE;
        return strata_fail (error,
                            "queue %s: the lease on record %llu had ended and it was handed out again",
                            name,
                            (unsigned long long)first);
    }
    return 0;
}

static bool done_before (const struct queue *self, uint64_t first, uint64_t count, uint64_t token)
{
    for (size_t i = 0; self && i < DONE_KEPT; i++)
        if (self->done[i].token == token && self->done[i].first == first && self->done[i].count == count && token)
            return true;
    return false;
}

int queue_ack (struct shard *shard, const char *name, uint64_t first, uint64_t count, uint64_t token, struct strata_error *error)
{
    struct queue *self = get_queue (shard, name, false);
    struct shard_key key;
    size_t at;
    if (lease_find (self, name, first, count, token, &at, error) < 0)
        return done_before (self, first, count, token) ? 0 : -1;
    cut_run (self, 'l', at, first, count);
    uint64_t slot = self->meta.acks++ % DONE_KEPT, n[3] = { first, count, token };
    self->done[slot] = (struct done){ first, count, token };
    item_key (&key, name, 'd', slot);
    put_numbers (shard, &key, n, 3);
    self->meta.leased -= count;
    self->meta.done += count;
    trim_done (self);
    meta_save (self);
    return 0;
}

int queue_renew (struct shard *shard, const char *name, uint64_t first, uint64_t count, uint64_t token, int64_t now_us,
                 int64_t lease_us, struct strata_error *error)
{
    struct queue *self = get_queue (shard, name, false);
    size_t at;
    if (lease_find (self, name, first, count, token, &at, error) < 0)
        return -1;
    struct run run = self->leased.rows[at];
    cut_run (self, 'l', at, first, count);
    run.first = first;
    run.count = count;
    run.ends_us = now_us + lease_us;
    add_run (self, 'l', &run);
    return 0;
}

/* The records are nobody's then. *tries: how often they were handed out. */
static int end_lease (struct queue *self, const char *name, uint64_t first, uint64_t count, uint64_t token, uint64_t *tries,
                      struct strata_error *error)
{
    size_t at;
    if (lease_find (self, name, first, count, token, &at, error) < 0)
        return -1;
    *tries = self->leased.rows[at].tries;
    cut_run (self, 'l', at, first, count);
    self->meta.leased -= count;
    return 0;
}

int queue_nack (struct shard *shard, const char *name, uint64_t first, uint64_t count, uint64_t token, const char *reason,
                bool final, int64_t now_us, bool *aside, struct strata_error *error)
{
    struct queue *self = get_queue (shard, name, false);
    uint64_t tries;
    if (end_lease (self, name, first, count, token, &tries, error) < 0)
        return -1;
    for (uint64_t i = 0; final && i < count; i++)
        set_aside (self, first + i, tries, now_us, reason);
    if (!final)
        wait_again (self, first, count, tries);
    trim_done (self);
    meta_save (self);
    if (aside)
        *aside = final;
    return 0;
}

int queue_give_back (struct shard *shard, const char *name, uint64_t first, uint64_t count, uint64_t token, struct strata_error *error)
{
    struct queue *self = get_queue (shard, name, false);
    uint64_t tries;
    if (end_lease (self, name, first, count, token, &tries, error) < 0)
        return -1;
    wait_again (self, first, count, tries ? tries - 1 : 0);
    meta_save (self);
    return 0;
}

/* ---- looking ---- */

void queue_stat (struct shard *shard, const char *name, struct queue_stat *stat)
{
    const struct queue *self = get_queue (shard, name, false);
    struct stream_stat stream;
    stream_stat (shard, name, &stream);
    *stat = (struct queue_stat){ .bytes = stream.bytes, .limit_bytes = stream.limit_bytes };
    if (!self)
        return;
    stat->waiting = self->meta.waiting;
    stat->leased = self->meta.leased;
    stat->aside = self->meta.aside;
    stat->done = self->meta.done;
    stat->aside_bytes = self->meta.aside_bytes;
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
