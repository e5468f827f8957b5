/* sampler.h - what chooses among the candidates of one queue: a table of functions.
 *
 * A sampler holds the points that wait and the points that were selected, all in memory; the core tells it of every
 * change and builds it anew from the shard. Its picks depend on these two sets, the options and nothing else: not on
 * the order in which points came, not on threads. So a sampler built from the shard picks what the one before the
 * restart would have picked. Another sampler is another file with such a table, and a row in sampler.c.
 *
 * Every id is in one of the two sets at the most; the core sees to that. Ids and points are copied.
 */
#ifndef STRATA_SELECT_SAMPLER_H
#define STRATA_SELECT_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/campaign.h"
#include "points.h"
#include "strata_error.h"

struct sampler_options {
    unsigned dimensions;        /* of a point, 1 or more */
    uint64_t seed;
    const struct campaign_select *select;   /* k, min_random, batch, novelty, bins; must outlive the sampler */
};

enum sampler_set {
    SAMPLER_WAITING,
    SAMPLER_PROPOSED,           /* counts as selected, and may be released */
    SAMPLER_SELECTED,
};

/* A candidate is picked; its id is valid during the call. False: it is no longer wanted at all; the sampler forgets it and
 * picks another one. */
typedef bool sampler_pick_f (const char *id, double rank, void *arg);
typedef void sampler_drop_f (const char *id, double rank, void *arg);

struct sampler_ops {
    const char *name;           /* as the campaign file has it */
    /* NULL with an error when the options are not possible. */
    void *(*create) (const struct sampler_options *options, struct strata_error *error);
    void (*destroy) (void *self);

    /* Building from a shard: any number of load, then one ready; nothing else before. An empty one needs neither. */
    void (*load) (void *self, const char *id, const float *point, enum sampler_set set);
    void (*ready) (void *self);

    /* A candidate waits from now on. */
    void (*add) (void *self, const char *id, const float *point);
    /* Moves the `count` best candidates, one after the other, to the selected ones; returns how many: fewer only when
     * none waits any longer. */
    size_t (*pick) (void *self, size_t count, sampler_pick_f *each, void *arg);
    /* Selected ones wait again, as if they had never been picked. Ids that are not selected are left alone. */
    void (*release) (void *self, const char *const *ids, size_t count);
    /* Forgets candidates that wait. Ids that do not wait are left alone. */
    void (*remove) (void *self, const char *const *ids, size_t count);
    /* Forgets the `count` least wanted candidates and calls each (id, rank) before that. Returns how many. */
    size_t (*drop) (void *self, size_t count, sampler_drop_f *each, void *arg);

    /* The two sets, for whoever only looks. */
    struct points *(*points) (void *self);
    size_t (*bytes) (const void *self);     /* of memory */
};

/* By the name in the campaign file; NULL: there is none. */
const struct sampler_ops *sampler_find (const char *name);

#endif
