/* sampler.h - what chooses among the candidates of one queue: a table of functions.
 *
 * A sampler holds the points that wait and the points that were selected, all in memory; the core tells it of every
 * change and builds it anew from the shard. Its picks depend on these two sets, the options and nothing else: not on
 * the order in which points came, not on threads. So a sampler built from the shard picks what the one before the
 * restart would have picked. Another sampler is another file with such a table.
 *
 * Every id is in one of the two sets at the most; the core sees to that. Ids and points are copied.
 */
#ifndef STRATA_SELECT_SAMPLER_H
#define STRATA_SELECT_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "strata_error.h"

struct sampler_options {
    unsigned dimensions;        /* of a point, 1 or more */
    unsigned k;                 /* neighbours that count, 1 or more */
    uint64_t seed;
};

struct sampler_ops {
    const char *name;
    /* NULL with an error when the options are not possible. */
    void *(*create) (const struct sampler_options *options, struct strata_error *error);
    void (*destroy) (void *self);

    /* Building from a shard: any number of load, then one ready; nothing else before. An empty one needs neither. */
    void (*load) (void *self, const char *id, const float *point, bool selected);
    void (*ready) (void *self);

    /* A candidate waits from now on. */
    void (*add) (void *self, const char *id, const float *point);
    /* Moves the best candidate to the selected ones. NULL when none waits; else its id, valid until it is released. */
    const char *(*pick) (void *self, double *rank);
    /* Selected ones wait again, as if they had never been picked. Ids that are not selected are left alone. */
    void (*release) (void *self, const char *const *ids, size_t count);
    /* Forgets the `count` least wanted candidates and calls each (id, rank) before that. Returns how many. */
    size_t (*drop) (void *self, size_t count, void (*each) (const char *id, double rank, void *arg), void *arg);

    size_t (*waiting) (const void *self);
    size_t (*selected) (const void *self);
    size_t (*bytes) (const void *self);     /* of memory */
    /* About what one candidate that waits takes. */
    size_t (*candidate_bytes) (const struct sampler_options *options);
};

#endif
