/* bench_sink.h - a service that consumes the stage's stream "bench" into a store of its own, and checks each record. */
#ifndef STRATA_BENCH_SINK_H
#define STRATA_BENCH_SINK_H

#include <stdint.h>

#include "mesh/service.h"

/* What the processes of a bench see of each other. */
struct bench_shared {
    uint64_t records, size;      /* the consumer ends when it has committed so many of this size */
    uint64_t committed;          /* records that are committed on the consumer's disk */
    int64_t committed_ns;        /* when that commit was done */
    int64_t seen_ns;             /* when the consumer had its last record */
    int wake;                    /* eventfd: a commit is done; -1: none */
    int64_t stage_ns[2];         /* when the stage's last commit of something began and was done (bench_strata --what trace) */
    uint64_t appended;           /* records that the producer has handed over (bench_backpressure) */
};
extern struct bench_shared *bench_shared;

void bench_share (uint64_t records, uint64_t size);
extern const struct service_spec bench_sink_spec;

#endif
