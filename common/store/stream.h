/* stream.h - ordered, durable logs of records in a shard, and the cursors of those who read them.
 *
 * Records of a stream are numbered 1, 2, ... without gaps. All changes go into the shard's batch. What is appended together
 * stands together, in one value or in a file beside the store (stream_log.h): its cost is that of its bytes. A producer's repeats
 * (its own sequence not above the last one kept) are dropped: so a simulation that restarts from a checkpoint appends its
 * frames again and each stands once.
 */
#ifndef STRATA_STORE_STREAM_H
#define STRATA_STORE_STREAM_H

#include "store/shard.h"

#define STREAM_NAME_MAX 64       /* [a-z0-9-] */
#define PRODUCER_NAME_MAX 200    /* printable ASCII without '/' at the ends */

struct stream_stat {
    uint64_t first, next;        /* sequences: first kept, end */
    uint64_t bytes;              /* of the records kept */
    uint64_t limit_bytes;        /* 0 = none */
};

bool stream_name_valid (const char *name);
bool producer_name_valid (const char *name);

/* Bound on the bytes of records kept, stored with the stream. */
void stream_set_limit (struct shard *shard, const char *name, uint64_t limit_bytes);

/* Records that are appended together: packed behind each other, of one producer. */
struct stream_batch {
    const char *producer;                /* NULL: every record is kept */
    const uint64_t *producer_sequences;  /* rising; NULL without a producer */
    const uint32_t *sizes;               /* bytes of each */
    size_t count;
    const void *bytes;                   /* all of them */
    bool apart;                          /* may stand in a file beside the store. Not what a core appends: where in which file it
                                          * comes to stand depends on when its process was started, and would show in a replay */
};
/* All or none: 0, *appended (may be NULL) of them, the last ones, have the numbers from *first (may be NULL) on; the others
 * are repeats. -1: the bound is reached (errno ENOSPC), or a name or the batch is not valid (EINVAL). */
int stream_append_batch (struct shard *shard, const char *name, const struct stream_batch *batch, int64_t now_us,
                         uint64_t *first, size_t *appended, struct strata_error *error);
/* One record. producer NULL: always. 1: appended, *sequence is its number. 0: a repeat. -1 as above. */
int stream_append (struct shard *shard, const char *name, const char *producer, uint64_t producer_sequence,
                   const void *record, size_t size, int64_t now_us, uint64_t *sequence, struct strata_error *error);
uint64_t stream_producer_last (struct shard *shard, const char *name, const char *producer);
/* Of a producer whose records were kept elsewhere up to `last`: what is known is never put back. 0: it is forgotten. */
void stream_producer_set (struct shard *shard, const char *name, const char *producer, uint64_t last);
/* Calls each for every producer of every stream until it returns non-zero; it must not change the shard. */
void stream_producers (struct shard *shard,
                       int (*each) (const char *stream, const char *producer, uint64_t last, void *arg), void *arg);

/* Calls each (sequence, time_us, record, size, arg) from sequence `from` on (0: first kept) until it returns non-zero, or
 * max_records were seen, or their bytes passed max_bytes (at least one comes). Returns the number seen. */
typedef int stream_each_f (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg);
size_t stream_read (struct shard *shard, const char *name, uint64_t from, size_t max_records, size_t max_bytes,
                    stream_each_f *each, void *arg);
/* What was appended together is kept together: a chunk. */
struct stream_chunk {
    uint64_t first;             /* sequence of its first record */
    uint32_t count;
    uint32_t part;              /* stream_part of its producer */
    int64_t time_us;            /* when it was appended */
    const uint32_t *sizes;      /* of its records, count of them */
    size_t bytes;               /* of all */
    const struct stream_place *place;
};
/* The bytes of records skip .. skip + count - 1: stream_chunk_bytes of them. They are checked against the chunk's checksum;
 * damaged ones end the process. */
void stream_chunk_copy (const struct stream_chunk *chunk, size_t skip, size_t count, void *bytes);
/* Where all of the chunk's bytes stand in a segment file, and their CRC-32C. False: they stand in the store. */
bool stream_chunk_place (const struct stream_chunk *chunk, uint64_t *segment, uint64_t *offset, uint32_t *crc);
size_t stream_chunk_bytes (const struct stream_chunk *chunk, size_t skip, size_t count);
/* As stream_read, a chunk at a time: records skip .. skip + count - 1 of it are asked for. Don't read the stream in `each`. */
typedef int stream_each_chunk_f (const struct stream_chunk *chunk, size_t skip, size_t count, void *arg);
size_t stream_read_chunks (struct shard *shard, const char *name, uint64_t from, size_t max_records, size_t max_bytes,
                           stream_each_chunk_f *each, void *arg);
/* Same for all records of a producer, spread evenly over producers. 0 for NULL. */
uint32_t stream_part (const char *producer);
/* Forgets records below `before`; at most 16,384 in one call, the rest in the next ones: a turn stays short. */
void stream_trim (struct shard *shard, const char *name, uint64_t before);
/* The next record gets at least number `next`: of a store that lost records which others have read. */
void stream_skip_to (struct shard *shard, const char *name, uint64_t next);
void stream_stat (struct shard *shard, const char *name, struct stream_stat *stat);
/* Bytes of chunks kept in memory because they are read in pieces, and their bound: so much a stream. */
void stream_cache (struct shard *shard, uint64_t *bytes, uint64_t *limit_bytes);
/* Bytes of files that are set aside to be written over (stream_log.h), and their bound, of all streams. */
void stream_spare (struct shard *shard, uint64_t *bytes, uint64_t *limit_bytes);
/* Calls each (name, arg) for every stream of the shard (queues too: their names are the queue's, see queue.h). */
void stream_list (struct shard *shard, void (*each) (const char *name, void *arg), void *arg);

/* ---- cursors ----
 * At the producer: how far each consumer has committed (for lag and trimming). */
void stream_consumer_set (struct shard *shard, const char *name, const char *consumer, uint64_t committed);
void stream_consumers (struct shard *shard, const char *name,
                       void (*each) (const char *consumer, uint64_t committed, void *arg), void *arg);
/* At the consumer: the next sequence wanted of peer's stream; in the same batch as the effect of what was read. */
uint64_t cursor_get (struct shard *shard, const char *peer, const char *stream);   /* 1 at first */
void cursor_set (struct shard *shard, const char *peer, const char *stream, uint64_t next);


/* What a consumer has read last of a stream: its shard's bookkeeping, beside the cursor. */
struct stream_seen {
    uint64_t store;             /* id of the store it was read from; 0: nothing was read */
    uint64_t sequence;          /* 0: no record */
    int64_t time_us;
    uint32_t crc;               /* CRC-32C of its bytes */
};
void stream_seen_get (struct shard *shard, const char *peer, const char *stream, struct stream_seen *seen);
void stream_seen_put (struct shard *shard, const char *peer, const char *stream, const struct stream_seen *seen);
/* At the producer: this is not the stream that was read from: the store is another one that does not say it replaces that one,
 * or the record is another one. False also when that can't be told since the record is forgotten. */
bool stream_is_other (struct shard *shard, const char *name, const struct stream_seen *seen);

#endif
