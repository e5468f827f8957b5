/* stream.h - ordered, durable logs of records in a shard, and the cursors of those who read them.
 *
 * Records of a stream are numbered 1, 2, ... without gaps. All changes go into the shard's batch. A producer's repeats
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

/* Appends one record. producer NULL: always. 1: appended, *sequence is its number. 0: a repeat. -1: the bound is reached
 * (errno ENOSPC), or a name is not valid (EINVAL). */
int stream_append (struct shard *shard, const char *name, const char *producer, uint64_t producer_sequence,
                   const void *record, size_t size, int64_t now_us, uint64_t *sequence, struct strata_error *error);
uint64_t stream_producer_last (struct shard *shard, const char *name, const char *producer);
/* Calls each for every producer of every stream; it must not change the shard. */
void stream_producers (struct shard *shard,
                       void (*each) (const char *stream, const char *producer, uint64_t last, void *arg), void *arg);

/* Calls each (sequence, time_us, record, size, arg) from sequence `from` on (0: first kept) until it returns non-zero, or
 * max_records were seen, or their bytes passed max_bytes (at least one comes). Returns the number seen. */
typedef int stream_each_f (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg);
size_t stream_read (struct shard *shard, const char *name, uint64_t from, size_t max_records, size_t max_bytes,
                    stream_each_f *each, void *arg);
/* Forgets records below `before`; at most 16,384 in one call, the rest in the next ones: a turn stays short. */
void stream_trim (struct shard *shard, const char *name, uint64_t before);
/* The next record gets at least number `next`: of a store that lost records which others have read. */
void stream_skip_to (struct shard *shard, const char *name, uint64_t next);
void stream_stat (struct shard *shard, const char *name, struct stream_stat *stat);
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

#endif
