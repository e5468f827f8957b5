/* queue.h - a stream whose records go to one consumer each, under a lease.
 *
 *            put                take                 ack
 *   (none) -------> waiting ---------------> leased -------> done (record trimmed)
 *                      ^    lease ends, nack    |
 *                      +------------------------+---> aside (nack final, or tries used up), with its reason
 *
 * Records that stand behind each other are handed out, acknowledged and given back as a run, at the cost of one record. A
 * lease's token fences: an acknowledgement with another token than the last one handed out is refused (ESTALE).
 */
#ifndef STRATA_STORE_QUEUE_H
#define STRATA_STORE_QUEUE_H

#include "store/stream.h"

/* Records first .. first + count - 1, handed out together. */
struct queue_lease {
    uint64_t first, count, token;
    uint32_t tries;              /* 1 the first time they are handed out */
};

struct queue_stat {
    uint64_t waiting, leased, aside, done;
    uint64_t bytes, limit_bytes; /* of those that wait or are leased */
    uint64_t aside_bytes;        /* have the same bound */
};

bool queue_exists (struct shard *shard, const char *name);
/* As stream_append_batch and stream_append. Full too when more was set aside than the queue's bound: somebody must look. */
int queue_put_batch (struct shard *shard, const char *name, const struct stream_batch *batch, int64_t now_us, uint64_t *first,
                     size_t *appended, struct strata_error *error);
int queue_put (struct shard *shard, const char *name, const char *producer, uint64_t producer_sequence, const void *record,
               size_t size, int64_t now_us, uint64_t *sequence, struct strata_error *error);
/* 1: *lease filled: the oldest records that wait, as many as stand behind each other, max_records and max_bytes at most (but
 * one always); each is called with them, as by stream_read_chunks. 0: nothing waits. First takes back leases that ended before
 * now_us: their records wait again, or are set aside when they were handed out max_tries (0: no bound) times. */
int queue_take (struct shard *shard, const char *name, int64_t now_us, int64_t lease_us, uint32_t max_tries, size_t max_records,
                size_t max_bytes, struct queue_lease *lease, stream_each_chunk_f *each, void *arg);
/* All or none of the records first .. first + count - 1. 0, or -1 with errno ESTALE (the lease was lost) or ENOENT (no such
 * records under lease). A repeated ack of records that are done with the same token is 0 (of the last 1,024 acks). */
int queue_ack (struct shard *shard, const char *name, uint64_t first, uint64_t count, uint64_t token, struct strata_error *error);
/* The lease ends lease_us after now_us instead. Errors as queue_ack. */
int queue_renew (struct shard *shard, const char *name, uint64_t first, uint64_t count, uint64_t token, int64_t now_us,
                 int64_t lease_us, struct strata_error *error);
/* *aside: whether they were set aside (final) or wait again. Errors as queue_ack. */
int queue_nack (struct shard *shard, const char *name, uint64_t first, uint64_t count, uint64_t token, const char *reason,
                bool final, int64_t now_us, bool *aside, struct strata_error *error);
/* They wait again, and this was no try. Errors as queue_ack. */
int queue_give_back (struct shard *shard, const char *name, uint64_t first, uint64_t count, uint64_t token, struct strata_error *error);
void queue_stat (struct shard *shard, const char *name, struct queue_stat *stat);
/* Records set aside, newest first, at most max. */
void queue_aside (struct shard *shard, const char *name, size_t max,
                  void (*each) (uint64_t sequence, uint32_t tries, const char *reason, int64_t time_us, void *arg),
                  void *arg);

#endif
