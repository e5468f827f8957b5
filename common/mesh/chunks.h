/* chunks.h - records of a stream on the wire: a Chunk for those that were appended together, their bytes in the blobs.
 *
 * The blobs are the chunks' bytes in order; a chunk's stand in one blob. A large chunk has a blob of its own, that goes from
 * the file to the socket with one copy; small ones share one, since each frame of a message costs a microsecond.
 */
#ifndef STRATA_MESH_CHUNKS_H
#define STRATA_MESH_CHUNKS_H

#include "mesh/service.h"
#include "mesh/wire.h"
#include "store/stream.h"

#define CHUNKS_MAX_RECORDS 10000u
#define CHUNKS_MAX_BYTES (WIRE_MAX_BODY - (1u << 20)) /* a record can't be larger */

struct chunks {
    Strata__Chunk **rows;
    size_t count, size;
    zframe_t **blobs;
    size_t blobs_count, blobs_size;
    uint8_t *small;             /* the blob that small chunks are gathered in */
    size_t small_count, small_size;
    size_t records, bytes;
};

/* Adds records skip .. skip + count - 1; a stream_each_chunk_f (arg: struct chunks). */
int chunks_add (const struct stream_chunk *chunk, size_t skip, size_t count, void *arg);
/* The same, with the place of those that are asked for as a whole and have one, instead of their bytes. */
int chunks_add_place (const struct stream_chunk *chunk, size_t skip, size_t count, void *arg);
void chunks_add_bytes (struct chunks *self, uint64_t first, int64_t time_us, const uint32_t *sizes, size_t count,
                       const void *bytes, size_t size);
/* The blobs, complete; the caller takes them over (their array stays). */
zframe_t **chunks_blobs (struct chunks *self, size_t *count);
void chunks_fini (struct chunks *self);

/* Sizes of `count` records as they stand in a message (one alone: all are the same), malloc'ed; NULL when there are neither 1
 * nor count of them, or when their sum is not `bytes`. */
uint32_t *chunks_sizes (const uint32_t *sizes, size_t n_sizes, size_t count, size_t bytes);
/* The bytes of a chunk that has a place, `size` of them, valid until the next call; NULL with the error. */
struct chunks_places {
    const uint8_t *(*read) (const Strata__Chunk *row, size_t size, void *arg, struct strata_error *error);
    void *arg;
};
/* Calls each for every record until it returns non-zero, which it returns. -1 with the error: blobs and chunks don't fit, or a
 * chunk could not be read in its place. places NULL: none may have one. */
int chunks_each (Strata__Chunk *const *rows, size_t count, const struct blob *blobs, size_t blobs_count,
                 const struct chunks_places *places, stream_each_f *each, void *arg, struct strata_error *error);

#endif
