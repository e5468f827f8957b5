/* chunks.c - see chunks.h */
#include "mesh/chunks.h"

#include <stdlib.h>
#include <string.h>

#include "core/log.h"

#define SMALL_MAX (32u << 10)  /* bytes of a chunk that shares a blob */
#define SMALL_BLOB (1u << 20)  /* of such a blob */

static void *grow (void *rows, size_t count, size_t *size, size_t row)
{
    if (count < *size)
        return rows;
    *size = *size ? *size * 2 : 16;
    void *grown = realloc (rows, *size * row);
    if (!grown) {
        log_error ("out of memory");
        abort ();
    }
    return grown;
}

static void add_blob (struct chunks *self, zframe_t *blob)
{
    self->blobs = grow (self->blobs, self->blobs_count, &self->blobs_size, sizeof (*self->blobs));
    self->blobs[self->blobs_count++] = blob;
}

static void end_small (struct chunks *self)
{
    if (self->small_count)
        add_blob (self, zframe_new (self->small, self->small_count));
    self->small_count = 0;
}

/* Where `size` bytes of the next chunk go. */
static uint8_t *room (struct chunks *self, size_t size)
{
    if (size > SMALL_MAX || self->small_count + size > SMALL_BLOB)
        end_small (self);
    if (size > SMALL_MAX) {
        zframe_t *blob = zframe_new (NULL, size);
        add_blob (self, blob);
        return zframe_data (blob);
    }
    while (!self->small || self->small_count + size > self->small_size)
        self->small = grow (self->small, self->small_size, &self->small_size, 1);
    self->small_count += size;
    return self->small + self->small_count - size;
}

static Strata__Chunk *add_row (struct chunks *self, uint64_t first, int64_t time_us, const uint32_t *sizes, size_t count, size_t bytes)
{
    bool same = true;
    for (size_t i = 1; i < count && same; i++)
        same = sizes[i] == sizes[0];
    size_t listed = same ? 1 : count;
    Strata__Chunk *row = malloc (sizeof (*row));
    uint32_t *copy = malloc (listed * sizeof (*copy));
    if (!row || !copy) {
        log_error ("out of memory");
        abort ();
    }
    strata__chunk__init (row);
    memcpy (copy, sizes, listed * sizeof (*copy));
    row->first = first;
    row->time_us = time_us;
    row->count = (uint32_t)count;
    row->sizes = copy;
    row->n_sizes = listed;
    self->rows = grow (self->rows, self->count, &self->size, sizeof (*self->rows));
    self->rows[self->count++] = row;
    self->records += count;
    self->bytes += bytes;
    return row;
}

int chunks_add (const struct stream_chunk *chunk, size_t skip, size_t count, void *arg)
{
    struct chunks *self = arg;
    size_t bytes = stream_chunk_bytes (chunk, skip, count);
    stream_chunk_copy (chunk, skip, count, room (self, bytes));
    add_row (self, chunk->first + skip, chunk->time_us, chunk->sizes + skip, count, bytes);
    return self->blobs_count + 2 > WIRE_MAX_BLOBS;
}

int chunks_add_place (const struct stream_chunk *chunk, size_t skip, size_t count, void *arg)
{
    struct chunks *self = arg;
    uint64_t segment, offset;
    uint32_t crc;
    if (count != chunk->count || !stream_chunk_place (chunk, &segment, &offset, &crc))
        return chunks_add (chunk, skip, count, arg);
    Strata__ChunkPlace *place = malloc (sizeof (*place));
    if (!place) {
        log_error ("out of memory");
        abort ();
    }
    strata__chunk_place__init (place);
    place->segment = segment;
    place->offset = offset;
    place->crc32c = crc;
    add_row (self, chunk->first, chunk->time_us, chunk->sizes, count, chunk->bytes)->place = place;
    return 0;
}

void chunks_add_bytes (struct chunks *self, uint64_t first, int64_t time_us, const uint32_t *sizes, size_t count,
                       const void *bytes, size_t size)
{
    uint8_t *to = room (self, size);
    if (size)
        memcpy (to, bytes, size);
    add_row (self, first, time_us, sizes, count, size);
}

zframe_t **chunks_blobs (struct chunks *self, size_t *count)
{
    end_small (self);
    *count = self->blobs_count;
    self->blobs_count = 0;
    return self->blobs;
}

void chunks_fini (struct chunks *self)
{
    for (size_t i = 0; i < self->count; i++)
        strata__chunk__free_unpacked (self->rows[i], NULL);
    for (size_t i = 0; i < self->blobs_count; i++)
        zframe_destroy (&self->blobs[i]);
    free (self->rows);
    free (self->blobs);
    free (self->small);
    *self = (struct chunks){ 0 };
}

uint32_t *chunks_sizes (const uint32_t *sizes, size_t n_sizes, size_t count, size_t bytes)
{
    if ((n_sizes != 1 && n_sizes != count) || count > CHUNKS_MAX_RECORDS)
        return NULL;
    uint32_t *all = malloc ((count ? count : 1) * sizeof (*all));
    size_t sum = 0;
    for (size_t i = 0; all && i < count; i++)
        sum += all[i] = sizes[n_sizes == 1 ? 0 : i];
    if (sum == bytes)
        return all;
    free (all);
    return NULL;
}

/* The bytes of row i; *blob and *at: where those of the next one stand. NULL: they are missing. */
static const uint8_t *row_bytes (const Strata__Chunk *row, size_t size, const struct blob *blobs, size_t blobs_count, size_t *blob,
                                 size_t *at, const struct chunks_places *places, struct strata_error *error)
{
    if (size == 0)
        return (const uint8_t *)"";
    if (row->place && places)
        return places->read (row, size, places->arg, error);
    if (*blob < blobs_count && *at == blobs[*blob].size) {
        ++*blob;
        *at = 0;
    }
    if (row->place || *blob >= blobs_count || size > blobs[*blob].size - *at) {
        strata_fail (error, "the bytes of records %llu and on are missing", (unsigned long long)row->first);
        return NULL;
    }
    *at += size;
    return (const uint8_t *)blobs[*blob].data + *at - size;
}

int chunks_each (Strata__Chunk *const *rows, size_t count, const struct blob *blobs, size_t blobs_count,
                 const struct chunks_places *places, stream_each_f *each, void *arg, struct strata_error *error)
{
    size_t blob = 0, at = 0;
    for (size_t i = 0; i < count; i++) {
        const Strata__Chunk *row = rows[i];
        size_t listed = row->n_sizes, size = 0;
        if (row->count == 0 || row->count > CHUNKS_MAX_RECORDS || (listed != 1 && listed != row->count))
            return strata_fail (error, "a chunk of %u records has %zu sizes; at most %u records are taken", row->count, listed,
                                CHUNKS_MAX_RECORDS);
        for (size_t n = 0; n < row->count; n++)
            size += row->sizes[listed == 1 ? 0 : n];
        const uint8_t *record = row_bytes (row, size, blobs, blobs_count, &blob, &at, places, error);
        if (!record)
            return -1;
        for (size_t n = 0; n < row->count; n++) {
            size_t bytes = row->sizes[listed == 1 ? 0 : n];
            int rc = each (row->first + n, row->time_us, record, bytes, arg);
            if (rc)
                return rc;
            record += bytes;
        }
    }
    return 0;
}
