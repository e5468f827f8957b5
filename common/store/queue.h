/* queue.h - a stream whose records go to one consumer each, under a lease.
 *
 *            put                take                 ack
 *   (none) -------> waiting ---------------> leased -------> done (record trimmed)
 *                      ^    lease ends, nack    |
 *                      +------------------------+---> aside (nack final, or tries used up), with its reason
 *
 * A lease's token fences: an acknowledgement with another token than the last one handed out is refused (ESTALE).
 */
#ifndef STRATA_STORE_QUEUE_H
#define STRATA_STORE_QUEUE_H

#include "store/stream.h"

struct queue_lease {
    uint64_t sequence, token;
    uint32_t tries;              /* 1 the first time it is handed out */
    int64_t time_us;             /* when it was put */
    void *record;                /* malloc'ed; queue_lease_fini */
    size_t size;
};
void queue_lease_fini (struct queue_lease *lease);

struct queue_stat {
    uint64_t waiting, leased, aside, done;
    uint64_t bytes, limit_bytes;
};

bool queue_exists (struct shard *shard, const char *name);
/* As stream_append. */
int queue_put (struct shard *shard, const char *name, const char *producer, uint64_t producer_sequence, const void *record,
               size_t size, int64_t now_us, uint64_t *sequence, struct strata_error *error);
/* 1: *lease filled, oldest record first. 0: nothing waits. First takes back leases that ended before now_us: they wait
 * again, or are set aside when they were handed out max_tries times. */
int queue_take (struct shard *shard, const char *name, const char *consumer, int64_t now_us, int64_t lease_us,
                uint32_t max_tries, struct queue_lease *lease);
/* 0, or -1 with errno ESTALE (the lease was lost) or ENOENT (no such record under lease). A repeated ack of a record that
 * is done with the same token is 0. */
int queue_ack (struct shard *shard, const char *name, uint64_t sequence, uint64_t token, struct strata_error *error);
/* The lease ends lease_us after now_us instead. Errors as queue_ack. */
int queue_renew (struct shard *shard, const char *name, uint64_t sequence, uint64_t token, int64_t now_us, int64_t lease_us,
                 struct strata_error *error);
/* *aside: whether it was set aside (final) or waits again. Errors as queue_ack. */
int queue_nack (struct shard *shard, const char *name, uint64_t sequence, uint64_t token, const char *reason, bool final,
                int64_t now_us, bool *aside, struct strata_error *error);
void queue_stat (struct shard *shard, const char *name, struct queue_stat *stat);
/* Records set aside, newest first, at most max. */
void queue_aside (struct shard *shard, const char *name, size_t max,
                  void (*each) (uint64_t sequence, uint32_t tries, const char *reason, int64_t time_us, void *arg),
                  void *arg);

#endif
