/* stream.c - see stream.h
 *
 * Keys (n = 8 big-endian bytes):
 *   "s/<stream>/" n             a chunk, under the number of its last record: a seek for a record finds its chunk
 *   "S/<stream>"                struct meta, four big-endian numbers: first, next, bytes, limit
 *   "p/<stream>/<producer>"     producers.c
 *   "c/<stream>/<consumer>"     committed by that consumer
 *   "cursor/<peer>/<stream>"    at the consumer
 *
 * A chunk's value, numbers big-endian: kind (1), time_us (8), count (4), part (4), crc32c (4), bytes (8); in a segment file
 * (KIND_LOG) its segment (8) and offset (8); the sizes (4 each, one only when all are the same: KIND_EVEN); else the bytes.
 * An older store has records by themselves: time_us (8) and the bytes. Its first byte is 0 until the year 4253.
 */
#include "store/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/crc32c.h"
#include "store/producers.h"
#include "store/stream_log.h"

#define LOADED_MAX (1u << 20) /* bytes of a chunk that is kept in memory because it is read in pieces */
#define TRIM_MAX 16384 /* chunks that one call forgets at most, so that a turn stays short */
#define KIND_INSIDE 1
#define KIND_LOG 2
#define KIND_EVEN 0x10
#define CHUNK_HEAD 29

/* Where a chunk's bytes are. */
struct stream_place {
    struct shard *shard;
    struct stream *stream;
    const uint8_t *inside; /* NULL: in the log */
    uint64_t segment, offset;
    uint32_t crc;
    bool checked; /* has a checksum */
};

/* In memory with the shard, which this process alone changes: a stream that was used once is not read again. */
struct stream {
    struct stream *next;
    char name[STREAM_NAME_MAX + 1];
    struct stream_stat meta;
    struct stream_log *log;
    uint32_t *sizes; /* of the chunk that is read, sizes_room of them */
    size_t sizes_room;
    uint8_t *loaded; /* bytes of the chunk that was read in part last, loaded_size of them, or NULL */
    uint64_t loaded_first;
    size_t loaded_size;
    uint64_t first_end; /* the first chunk kept ends before it; 0: not known */
    bool trimmed;
};

struct streams {
    struct shard *shard;
    struct stream *first;
    struct producers *producers;
};

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

static void before_commit (void *data)
{
    for (struct stream *s = ((struct streams *)data)->first; s; s = s->next)
        stream_log_sync (s->log);
}

static void after_commit (void *data)
{
    for (struct stream *s = ((struct streams *)data)->first; s; s = s->next) {
        if (s->trimmed)
            stream_log_trim (s->log, s->meta.first);
        s->trimmed = false;
    }
}

static void free_streams (void *data)
{
    struct streams *self = data;
    while (self->first) {
        struct stream *s = self->first;
        self->first = s->next;
        stream_log_free (&s->log);
        free (s->sizes);
        free (s->loaded);
        free (s);
    }
    producers_free (&self->producers);
    free (self);
}

static struct streams *streams_of (struct shard *shard)
{
    struct shard_part *part = shard_part (shard, SHARD_STREAMS);
    if (part->data)
        return part->data;
    struct streams *self = calloc (1, sizeof (*self));
    if (!self || !(self->producers = producers_new (shard)))
        shard_die (shard, "opening", "its streams", "out of memory");
    self->shard = shard;
    *part = (struct shard_part){ self, before_commit, after_commit, free_streams };
    return self;
}

/* False when there is no such stream. */
static bool load (struct shard *shard, const char *name, struct stream_stat *meta)
{
    struct shard_key key;
    void *value;
    size_t size;
    shard_key (&key, "S/%s", name);
    *meta = (struct stream_stat){ .first = 1, .next = 1 };
    if (!shard_get (shard, key.data, key.size, &value, &size))
        return false;
    if (size == 32) {
        const uint8_t *p = value;
        *meta = (struct stream_stat){ shard_u64 (p), shard_u64 (p + 8), shard_u64 (p + 16), shard_u64 (p + 24) };
    }
    free (value);
    return true;
}

/* The one used last stands first. NULL: there is none, and `make` is false. */
static struct stream *get_stream (struct shard *shard, const char *name, bool make)
{
    struct streams *self = streams_of (shard);
    struct stream_stat meta;
    for (struct stream **p = &self->first, *s; (s = *p); p = &s->next)
        if (strcmp (s->name, name) == 0) {
            *p = s->next;
            s->next = self->first;
            return self->first = s;
        }
    if (!load (shard, name, &meta) && !make)
        return NULL;
    struct stream *s = calloc (1, sizeof (*s));
    if (s) {
        snprintf (s->name, sizeof (s->name), "%s", name);
        s->meta = meta;
        s->log = stream_log_open (shard, name, meta.next);
    }
    if (!s || !s->log)
        shard_die (shard, "opening", name, "out of memory");
    s->next = self->first;
    return self->first = s;
}

/* For those who look: asking for a stream does not make it. */
static struct stream *stream_find (struct shard *shard, const char *name)
{
    return get_stream (shard, name, false);
}

static struct stream *stream_of (struct shard *shard, const char *name)
{
    return get_stream (shard, name, true);
}

static void save (struct shard *shard, const struct stream *stream)
{
    struct shard_key key;
    uint8_t bytes[32];
    shard_key (&key, "S/%s", stream->name);
    pack_u64 (bytes, stream->meta.first);
    pack_u64 (bytes + 8, stream->meta.next);
    pack_u64 (bytes + 16, stream->meta.bytes);
    pack_u64 (bytes + 24, stream->meta.limit_bytes);
    shard_put (shard, key.data, key.size, bytes, sizeof (bytes));
}

void stream_set_limit (struct shard *shard, const char *name, uint64_t limit_bytes)
{
    struct stream *stream = stream_of (shard, name);
    if (stream->meta.limit_bytes == limit_bytes && stream->meta.next > 1)
        return;
    stream->meta.limit_bytes = limit_bytes;
    save (shard, stream);
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
    return producers_last (streams_of (shard)->producers, name, producer);
}

void stream_producer_set (struct shard *shard, const char *name, const char *producer, uint64_t last)
{
    struct producers *producers = streams_of (shard)->producers;
    if (last == 0)
        producers_forget (producers, name, producer);
    else if (producers_last (producers, name, producer) < last)
        producers_set (producers, name, producer, last);
}

void stream_producers (struct shard *shard,
                       int (*each) (const char *stream, const char *producer, uint64_t last, void *arg), void *arg)
{
    producers_each (streams_of (shard)->producers, each, arg);
}

uint32_t stream_part (const char *producer)
{
    return producer ? crc32c (0, producer, strlen (producer)) : 0;
}

/* ---- appending ---- */

static int check_batch (struct shard *shard, const char *name, const struct stream_batch *batch, struct strata_error *error)
{
    errno = EINVAL;
    if (!stream_name_valid (name))
        return strata_fail (error, "stream name '%.80s' is not 1-%d of a-z 0-9 -", name, STREAM_NAME_MAX);
    if (batch->producer && !producer_name_valid (batch->producer))
        return strata_fail (error, "producer name '%.80s' is not 1-%d printable characters", batch->producer, PRODUCER_NAME_MAX);
    if (batch->count > UINT32_MAX)
        return strata_fail (error, "stream %s: %zu records at once are too many", name, batch->count);
    for (size_t i = 1; batch->producer && i < batch->count; i++)
        if (batch->producer_sequences[i] <= batch->producer_sequences[i - 1])
            return strata_fail (error,
                                "stream %s: the sequences of producer '%.80s' must rise, but %llu comes before %llu",
                                name,
                                batch->producer,
                                (unsigned long long)batch->producer_sequences[i - 1],
                                (unsigned long long)batch->producer_sequences[i]);
    return 0;
}

static uint8_t *put_u32 (uint8_t *out, uint32_t n)
{
    for (int i = 3; i >= 0; i--, n >>= 8)
        out[i] = (uint8_t)n;
    return out + 4;
}

static uint32_t get_u32 (const uint8_t *in)
{
    return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

static bool all_same (const uint32_t *sizes, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (sizes[i] != sizes[0])
            return false;
    return true;
}

/* False: they stand in the batch, since they are few, or the disk has no room for a segment. */
static bool put_apart (struct shard *shard, struct stream *stream, const uint8_t *bytes, size_t size, uint64_t *segment, uint64_t *offset)
{
    bool replays = shard_replays (shard);
    bool written = !replays && stream_log_write (stream->log, stream->meta.next, bytes, size, segment, offset) == 0;
    shard_fact (shard, &written, sizeof (written));
    if (replays && written && stream_log_write (stream->log, stream->meta.next, bytes, size, segment, offset) < 0)
        shard_die (shard, "writing records of", stream->name, strerror (errno));
    return written;
}

/* Stores `count` > 0 records as the stream's next chunk. */
static void put_chunk (struct shard *shard, struct stream *stream, const char *producer, const uint32_t *sizes, size_t count,
                       const uint8_t *bytes, size_t size, int64_t now_us, bool apart)
{
    bool even = all_same (sizes, count);
    size_t listed = even ? 1 : count;
    uint8_t kind = even ? KIND_EVEN : 0, place[16];
    uint64_t segment, offset;
    struct shard_key key;
    if (apart && size >= STREAM_LOG_MIN && put_apart (shard, stream, bytes, size, &segment, &offset)) {
        kind |= KIND_LOG;
        pack_u64 (place, segment);
        pack_u64 (place + 8, offset);
    } else
        kind |= KIND_INSIDE;
    size_t place_size = kind & KIND_LOG ? sizeof (place) : 0, inside = kind & KIND_LOG ? 0 : size;
    uint8_t *value = malloc (CHUNK_HEAD + sizeof (place) + 4 * listed + inside), *p = value;
    if (!value)
        shard_die (shard, "appending", stream->name, "out of memory");
    *p++ = kind;
    pack_u64 (p, (uint64_t)now_us);
    p = put_u32 (p + 8, (uint32_t)count);
    p = put_u32 (p, stream_part (producer));
    p = put_u32 (p, crc32c (0, bytes, size));
    pack_u64 (p, size);
    p += 8;
    memcpy (p, place, place_size);
    p += place_size;
    for (size_t i = 0; i < listed; i++)
        p = put_u32 (p, sizes[i]);
    if (inside)
        memcpy (p, bytes, inside);
    p += inside;
    shard_key (&key, "s/%s/", stream->name);
    shard_key_u64 (&key, stream->meta.next + count - 1);
    shard_put (shard, key.data, key.size, value, (size_t)(p - value));
    free (value);
    stream->meta.next += count;
    stream->meta.bytes += size;
    save (shard, stream);
}

int stream_append_batch (struct shard *shard, const char *name, const struct stream_batch *batch, int64_t now_us,
                         uint64_t *first, size_t *appended, struct strata_error *error)
{
    size_t repeats = 0, size = 0;
    const uint8_t *bytes = batch->bytes;
    if (check_batch (shard, name, batch, error) < 0)
        return -1;
    struct stream *stream = stream_of (shard, name);
    if (batch->producer) {
        uint64_t last = stream_producer_last (shard, name, batch->producer);
        while (repeats < batch->count && batch->producer_sequences[repeats] <= last)
            bytes += batch->sizes[repeats++];
    }
    for (size_t i = repeats; i < batch->count; i++)
        size += batch->sizes[i];
    if (stream->meta.limit_bytes && repeats < batch->count && stream->meta.bytes + size > stream->meta.limit_bytes) {
        errno = ENOSPC;
        return strata_fail (error,
                            "stream %s is full: %llu of %llu bytes wait for its consumers; try again later",
                            name,
                            (unsigned long long)stream->meta.bytes,
                            (unsigned long long)stream->meta.limit_bytes);
    }
    if (first)
        *first = stream->meta.next;
    if (appended)
        *appended = batch->count - repeats;
    if (repeats == batch->count)
        return 0;
    put_chunk (shard, stream, batch->producer, batch->sizes + repeats, batch->count - repeats, bytes, size, now_us,
               batch->apart);
    if (batch->producer)
        producers_set (streams_of (shard)->producers, name, batch->producer, batch->producer_sequences[batch->count - 1]);
    return 0;
}

int stream_append (struct shard *shard, const char *name, const char *producer, uint64_t producer_sequence,
                   const void *record, size_t size, int64_t now_us, uint64_t *sequence, struct strata_error *error)
{
    uint32_t sizes = (uint32_t)size;
    size_t appended;
    struct stream_batch batch = { producer, &producer_sequence, &sizes, 1, record, false };
    if (stream_append_batch (shard, name, &batch, now_us, sequence, &appended, error) < 0)
        return -1;
    return (int)appended;
}

/* ---- reading ---- */

__attribute__ ((noreturn)) static void damaged (struct shard *shard, const char *stream, uint64_t record, const char *file)
{
    shard_damaged (shard,
                   "stream %s at record %llu: the bytes in %s are not those that were written",
                   stream,
                   (unsigned long long)record,
                   file);
}

/* The sizes in host order, in memory of the stream's. */
static uint32_t *sizes_room (struct stream *stream, struct shard *shard, size_t count)
{
    if (count > stream->sizes_room) {
        uint32_t *grown = realloc (stream->sizes, count * sizeof (*grown));
        if (!grown)
            shard_die (shard, "reading", stream->name, "out of memory");
        stream->sizes = grown;
        stream->sizes_room = count;
    }
    return stream->sizes;
}

static void parse_chunk (struct shard *shard, struct stream *stream, uint64_t last, const uint8_t *value, size_t size,
                         struct stream_chunk *chunk, struct stream_place *place)
{
    const uint8_t *end = value + size, *p = value;
    *place = (struct stream_place){ .shard = shard, .stream = stream };
    *chunk = (struct stream_chunk){ .place = place };
    if (size >= 8 && value[0] == 0) { /* of an older store */
        chunk->count = 1;
        chunk->first = last;
        chunk->time_us = (int64_t)shard_u64 (value);
        chunk->bytes = size - 8;
        sizes_room (stream, shard, 1)[0] = (uint32_t)chunk->bytes;
        place->inside = value + 8;
        chunk->sizes = stream->sizes;
        return;
    }
    uint8_t kind = size > CHUNK_HEAD ? *p++ : 0;
    size_t place_size = kind & KIND_LOG ? 16 : 0;
    if (!(kind & (KIND_INSIDE | KIND_LOG)) || size < CHUNK_HEAD + place_size)
        damaged (shard, stream->name, last, "its chunk");
    chunk->time_us = (int64_t)shard_u64 (p);
    chunk->count = get_u32 (p + 8);
    chunk->part = get_u32 (p + 12);
    place->crc = get_u32 (p + 16);
    place->checked = true;
    chunk->bytes = shard_u64 (p + 20);
    p += 28;
    chunk->first = last - chunk->count + 1;
    if (kind & KIND_LOG) {
        place->segment = shard_u64 (p);
        place->offset = shard_u64 (p + 8);
        p += 16;
    }
    size_t listed = kind & KIND_EVEN ? 1 : chunk->count, left = (size_t)(end - p), sum = 0;
    if (chunk->count == 0 || chunk->count > last || listed > left / 4 || (!(kind & KIND_LOG) && left - 4 * listed != chunk->bytes))
        damaged (shard, stream->name, last, "its chunk");
    uint32_t *sizes = sizes_room (stream, shard, chunk->count);
    for (size_t i = 0; i < chunk->count; i++)
        sum += sizes[i] = get_u32 (p + (listed > 1 ? 4 * i : 0));
    if (sum != chunk->bytes)
        damaged (shard, stream->name, last, "its chunk");
    chunk->sizes = sizes;
    if (!(kind & KIND_LOG))
        place->inside = p + 4 * listed;
}

static void load_chunk (const struct stream_chunk *chunk, void *bytes)
{
    const struct stream_place *place = chunk->place;
    if (place->inside)
        memcpy (bytes, place->inside, chunk->bytes);
    else
        stream_log_read (place->stream->log, place->segment, place->offset, bytes, chunk->bytes);
    if (place->checked && crc32c (0, bytes, chunk->bytes) != place->crc) {
        char file[STREAM_LOG_PATH] = "its chunk";
        if (!place->inside)
            stream_log_path (place->stream->log, place->segment, file);
        damaged (place->shard, place->stream->name, chunk->first, file);
    }
}

bool stream_chunk_place (const struct stream_chunk *chunk, uint64_t *segment, uint64_t *offset, uint32_t *crc)
{
    const struct stream_place *place = chunk->place;
    if (place->inside || !place->checked)
        return false;
    *segment = place->segment;
    *offset = place->offset;
    *crc = place->crc;
    return true;
}

size_t stream_chunk_bytes (const struct stream_chunk *chunk, size_t skip, size_t count)
{
    size_t bytes = 0;
    if (count == chunk->count)
        return chunk->bytes;
    for (size_t i = skip; i < skip + count; i++)
        bytes += chunk->sizes[i];
    return bytes;
}

/* A chunk that is read in pieces (a queue's records, one by one) is loaded once. */
void stream_chunk_copy (const struct stream_chunk *chunk, size_t skip, size_t count, void *bytes)
{
    struct stream *stream = chunk->place->stream;
    if (count == chunk->count) {
        load_chunk (chunk, bytes);
        return;
    }
    if (!stream->loaded || stream->loaded_first != chunk->first || stream->loaded_size != chunk->bytes) {
        free (stream->loaded);
        stream->loaded = malloc (chunk->bytes ? chunk->bytes : 1);
        if (!stream->loaded)
            shard_die (chunk->place->shard, "reading", stream->name, "out of memory");
        load_chunk (chunk, stream->loaded);
        stream->loaded_first = chunk->first;
        stream->loaded_size = chunk->bytes;
    }
    memcpy (bytes, stream->loaded + stream_chunk_bytes (chunk, 0, skip), stream_chunk_bytes (chunk, skip, count));
    if (stream->loaded_size > LOADED_MAX) {
        free (stream->loaded);
        stream->loaded = NULL;
    }
}

size_t stream_read_chunks (struct shard *shard, const char *name, uint64_t from, size_t max_records, size_t max_bytes,
                           stream_each_chunk_f *each, void *arg)
{
    struct shard_key prefix, start;
    struct shard_iter it;
    struct stream *stream = stream_find (shard, name);
    size_t seen = 0, bytes = 0;
    if (!stream)
        return 0;
    if (from < stream->meta.first)
        from = stream->meta.first;
    shard_key (&prefix, "s/%s/", name);
    start = prefix;
    /* Not from the prefix: what was trimmed lies there as tombstones until RocksDB compacts, and each costs a step. */
    shard_key_u64 (&start, from);
    for (bool more = shard_iter_begin (shard, &it, prefix.data, prefix.size, start.data, start.size); more;
         more = shard_iter_next (&it)) {
        struct stream_chunk chunk;
        struct stream_place place;
        if (it.key_size != prefix.size + 8)
            continue;
        parse_chunk (shard, stream, shard_u64 (it.key + prefix.size), it.value, it.value_size, &chunk, &place);
        size_t skip = from > chunk.first ? (size_t)(from - chunk.first) : 0, count = 0;
        while (skip + count < chunk.count && seen < max_records
               && (seen == 0 || bytes + chunk.sizes[skip + count] <= max_bytes)) {
            bytes += chunk.sizes[skip + count++];
            seen++;
        }
        if (count == 0 || each (&chunk, skip, count, arg) || skip + count < chunk.count)
            break;
    }
    shard_iter_end (&it);
    return seen;
}

struct reading {
    struct shard *shard;
    stream_each_f *each;
    void *arg;
    size_t seen;
};

static int read_chunk (const struct stream_chunk *chunk, size_t skip, size_t count, void *arg)
{
    struct reading *self = arg;
    size_t size = stream_chunk_bytes (chunk, skip, count);
    uint8_t *bytes = malloc (size ? size : 1), *p = bytes;
    int rc = 0;
    if (!bytes)
        shard_die (self->shard, "reading", "a chunk", "out of memory");
    stream_chunk_copy (chunk, skip, count, bytes);
    for (size_t i = skip; i < skip + count && rc == 0; p += chunk->sizes[i++]) {
        self->seen++;
        rc = self->each (chunk->first + i, chunk->time_us, p, chunk->sizes[i], self->arg);
    }
    free (bytes);
    return rc;
}

size_t stream_read (struct shard *shard, const char *name, uint64_t from, size_t max_records, size_t max_bytes,
                    stream_each_f *each, void *arg)
{
    struct reading reading = { shard, each, arg, 0 };
    stream_read_chunks (shard, name, from, max_records, max_bytes, read_chunk, &reading);
    return reading.seen;
}

/* ---- forgetting ---- */

struct doomed {
    uint64_t *last; /* of each chunk */
    size_t count, size, bytes;
    uint64_t before;
    uint64_t first_end; /* of the first chunk that stays; 0: not seen */
};

static int doom (const struct stream_chunk *chunk, size_t skip, size_t count, void *arg)
{
    struct doomed *d = arg;
    if (chunk->first + chunk->count > d->before) {
        d->first_end = chunk->first + chunk->count;
        return 1;
    }
    if (d->count == d->size) {
        size_t grown = d->size ? d->size * 2 : 64;
        uint64_t *p = d->count == TRIM_MAX ? NULL : realloc (d->last, grown * sizeof (*p));
        if (!p) { /* fewer now, the rest next time */
            d->before = chunk->first;
            return 1;
        }
        d->last = p;
        d->size = grown;
    }
    d->last[d->count++] = chunk->first + chunk->count - 1;
    d->bytes += chunk->bytes;
    return 0;
}

/* A chunk goes when all of it is forgotten; what is forgotten of one that stays can't be read any more. */
void stream_trim (struct shard *shard, const char *name, uint64_t before)
{
    struct stream *stream = stream_find (shard, name);
    struct doomed d = { .before = before };
    if (!stream)
        return;
    if (d.before > stream->meta.next)
        d.before = stream->meta.next;
    if (d.before <= stream->meta.first)
        return;
    if (d.before < stream->first_end)
        d.first_end = stream->first_end;
    else
        stream_read_chunks (shard, name, stream->meta.first, SIZE_MAX, SIZE_MAX, doom, &d);
    stream->first_end = d.first_end;
    for (size_t i = 0; i < d.count; i++) {
        struct shard_key key;
        shard_key (&key, "s/%s/", name);
        shard_key_u64 (&key, d.last[i]);
        shard_delete (shard, key.data, key.size);
    }
    stream->meta.first = d.before;
    stream->meta.bytes -= d.bytes < stream->meta.bytes ? d.bytes : stream->meta.bytes;
    stream->trimmed = true;
    save (shard, stream);
    free (d.last);
}

void stream_skip_to (struct shard *shard, const char *name, uint64_t next)
{
    struct stream *stream = stream_of (shard, name);
    if (stream->meta.next >= next)
        return;
    if (stream->meta.first == stream->meta.next)
        stream->meta.first = next;
    stream->meta.next = next;
    save (shard, stream);
}

void stream_stat (struct shard *shard, const char *name, struct stream_stat *stat)
{
    const struct stream *stream = stream_find (shard, name);
    *stat = stream ? stream->meta : (struct stream_stat){ .first = 1, .next = 1 };
}

void stream_cache (struct shard *shard, uint64_t *bytes, uint64_t *limit_bytes)
{
    *bytes = *limit_bytes = 0;
    for (const struct stream *s = streams_of (shard)->first; s; s = s->next) {
        *bytes += s->loaded ? s->loaded_size : 0;
        *limit_bytes += LOADED_MAX;
    }
}

void stream_spare (struct shard *shard, uint64_t *bytes, uint64_t *limit_bytes)
{
    *bytes = *limit_bytes = 0;
    for (const struct stream *s = streams_of (shard)->first; s; s = s->next) {
        uint64_t spare, limit;
        stream_log_spare (s->log, &spare, &limit);
        *bytes += spare;
        *limit_bytes += limit;
    }
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

/* ---- what was read ---- */

#define SEEN_SIZE 28 /* store, sequence, time_us (8 each), crc (4), big-endian */

void stream_seen_get (struct shard *shard, const char *peer, const char *stream, struct stream_seen *seen)
{
    struct shard_key key;
    void *value;
    size_t size;
    *seen = (struct stream_seen){ 0 };
    number_key (&key, "!seen", peer, stream);
    if (!shard_get (shard, key.data, key.size, &value, &size))
        return;
    const uint8_t *p = value;
    if (size == SEEN_SIZE)
        *seen = (struct stream_seen){ shard_u64 (p), shard_u64 (p + 8), (int64_t)shard_u64 (p + 16), get_u32 (p + 24) };
    free (value);
}

void stream_seen_put (struct shard *shard, const char *peer, const char *stream, const struct stream_seen *seen)
{
    struct shard_key key;
    uint8_t value[SEEN_SIZE];
    number_key (&key, "!seen", peer, stream);
    pack_u64 (value, seen->store);
    pack_u64 (value + 8, seen->sequence);
    pack_u64 (value + 16, (uint64_t)seen->time_us);
    put_u32 (value + 24, seen->crc);
    shard_put (shard, key.data, key.size, value, sizeof (value));
}

struct comparing {
    const struct stream_seen *seen;
    bool other;
};

static int compare_record (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    struct comparing *c = arg;
    c->other = sequence == c->seen->sequence && (time_us != c->seen->time_us || crc32c (0, record, size) != c->seen->crc);
    return 1;
}

bool stream_is_other (struct shard *shard, const char *name, const struct stream_seen *seen)
{
    struct stream_stat stat;
    struct comparing c = { seen, false };
    if (!seen->store)
        return false;
    if (seen->store != shard_id (shard))
        return !shard_replaces (shard, seen->store);
    stream_stat (shard, name, &stat);
    if (seen->sequence >= stat.first && seen->sequence < stat.next)
        stream_read (shard, name, seen->sequence, 1, SIZE_MAX, compare_record, &c);
    return c.other;
}
