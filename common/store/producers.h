/* producers.h - the last sequence kept of each producer of a stream, in a shard: what tells a repeat from a new record.
 *
 * Those used last are in memory too (PRODUCERS_CACHED of them at most): a producer that goes on costs no look into the store.
 */
#ifndef STRATA_STORE_PRODUCERS_H
#define STRATA_STORE_PRODUCERS_H

#include "store/shard.h"

#define PRODUCERS_CACHED 1024

struct producers;

/* NULL: out of memory. */
struct producers *producers_new (struct shard *shard);
void producers_free (struct producers **self);
/* 0 when nothing of it was kept. */
uint64_t producers_last (struct producers *self, const char *stream, const char *producer);
void producers_set (struct producers *self, const char *stream, const char *producer, uint64_t last);
/* As if nothing of it had been kept. */
void producers_forget (struct producers *self, const char *stream, const char *producer);
/* Calls each for every producer of every stream until it returns non-zero; it must not change the shard. */
void producers_each (struct producers *self,
                     int (*each) (const char *stream, const char *producer, uint64_t last, void *arg), void *arg);

#endif
