/* binned.c - see binned.h
 *
 * Of each bin the best few candidates stand apart, in order; the rest in no order. A new candidate is looked at once: it
 * joins the best few, or the rest. When the best few have all been picked, one pass over the rest finds the next. So a
 * candidate that is never near a pick is moved only when others of its bin are used up. */
#include "binned.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "bins.h"

#define BEST 32u

struct member {
    uint32_t high;              /* bits of its random rank; the rest is made from the id where they do not decide */
    uint32_t slot;
};

/* Half a cache line. */
struct bin {
    struct member *rest;        /* [count], in no order; each goes after all of best */
    uint32_t capacity, count, best_count;
    uint32_t limit;             /* what has a lower `high` belongs to the rest: that of best[0], or none */
    struct member *best;        /* [best_count], the first to pick last; room for BEST */
};

struct binned {
    struct points points;
    struct bins *bins;
    struct bin *bin;            /* [bins_count] */
    struct member *best;        /* of all bins */
    uint64_t *candidates, *selected, *chunk;    /* [bins_count]; candidates: as of the last chunk */
    size_t bins_count;
    double novelty;
    uint64_t seed;
};

/* ---- one bin ---- */

static double rank_of (const struct binned *self, struct member member)
{
    return ids_random_of (&self->points.ids, self->seed, self->points.id[member.slot]);
}

static bool before (const struct binned *self, struct member a, struct member b)
{
    if (a.high != b.high)
        return a.high > b.high;
    double rank_a = rank_of (self, a), rank_b = rank_of (self, b);
    if (rank_a != rank_b)
        return rank_a > rank_b;
    return strcmp (points_id (&self->points, a.slot), points_id (&self->points, b.slot)) < 0;
}

/* There is room for it. */
static void best_insert (const struct binned *self, struct bin *bin, struct member member)
{
    uint32_t at = bin->best_count++;
    for (; at > 0 && before (self, bin->best[at - 1], member); at--)
        bin->best[at] = bin->best[at - 1];
    bin->best[at] = member;
    bin->limit = bin->best[0].high;
}

/* Makes room among the best when there is none. Returns the last one of them. */
static struct member best_remove_last (struct bin *bin)
{
    struct member last = bin->best[0];
    memmove (bin->best, bin->best + 1, --bin->best_count * sizeof (last));
    return last;
}

static void bin_add (const struct binned *self, struct bin *bin, struct member member)
{
    bool room = bin->best_count < BEST;
    if ((room && bin->count == 0) || (member.high >= bin->limit && before (self, member, bin->best[0]))) {
        if (room) {
            best_insert (self, bin, member);
            return;
        }
        struct member last = best_remove_last (bin);
        best_insert (self, bin, member);
        member = last;
    }
    if (bin->count == bin->capacity) {
        size_t capacity = bin->capacity;
        bin->rest = select_grow (bin->rest, &capacity, (size_t)bin->count + 1, sizeof (*bin->rest));
        bin->capacity = (uint32_t)capacity;
    }
    bin->rest[bin->count++] = member;
}

/* The best of the rest, when none of the best are left. */
static void bin_refill (const struct binned *self, struct bin *bin)
{
    uint32_t kept = 0;
    if (bin->best_count > 0)
        return;
    for (uint32_t i = 0; i < bin->count; i++) {
        struct member member = bin->rest[i];
        if (bin->best_count == BEST) {
            if (before (self, member, bin->best[0])) {
                struct member last = best_remove_last (bin);
                best_insert (self, bin, member);
                member = last;
            }
            bin->rest[kept++] = member;
        }
        else
            best_insert (self, bin, member);
    }
    bin->count = kept;
}

static uint64_t bin_candidates (const struct bin *bin)
{
    return (uint64_t)bin->count + bin->best_count;
}

/* There is one. */
static struct member bin_top (const struct bin *bin)
{
    return bin->best[bin->best_count - 1];
}

static struct member bin_pop (const struct binned *self, struct bin *bin)
{
    struct member top = bin->best[--bin->best_count];
    bin_refill (self, bin);
    return top;
}

/* ---- the table ---- */

static void binned_destroy (void *arg)
{
    struct binned *self = arg;
    points_fini (&self->points);
    for (size_t b = 0; b < self->bins_count; b++)
        free (self->bin[b].rest);
    free (self->bin);
    free (self->best);
    free (self->candidates);
    free (self->selected);
    free (self->chunk);
    bins_free (&self->bins);
    free (self);
}

static void *create (const struct sampler_options *options, unsigned items, struct strata_error *error)
{
    struct binned *self = select_calloc (1, sizeof (*self));
    if (points_init (&self->points, options->dimensions, error) < 0
        || !(self->bins = bins_new (options->select->bins, items, options->dimensions, error))) {
        binned_destroy (self);
        return NULL;
    }
    self->bins_count = bins_count (self->bins);
    self->bin = select_calloc (self->bins_count, sizeof (*self->bin));
    self->best = select_calloc (self->bins_count * BEST, sizeof (*self->best));
    for (size_t b = 0; b < self->bins_count; b++)
        self->bin[b].best = self->best + b * BEST;
    self->candidates = select_calloc (self->bins_count, sizeof (uint64_t));
    self->selected = select_calloc (self->bins_count, sizeof (uint64_t));
    self->chunk = select_calloc (self->bins_count, sizeof (uint64_t));
    self->novelty = options->select->novelty;
    self->seed = options->seed;
    return self;
}

static void *binned_create (const struct sampler_options *options, struct strata_error *error)
{
    if (options->select->bins_count == 0) {
        strata_fail (error, "sampler: binned needs select.bins");
        return NULL;
    }
    return create (options, options->select->bins_count, error);
}

static void *random_create (const struct sampler_options *options, struct strata_error *error)
{
    return create (options, 0, error);
}

static void member_add (struct binned *self, uint32_t slot)
{
    size_t b = bins_find (self->bins, points_at (&self->points, slot));
    struct member member = { ids_random_high (&self->points.ids, self->seed, self->points.id[slot]), slot };
    bin_add (self, &self->bin[b], member);
}

static void binned_add (void *arg, const char *id, const float *point)
{
    struct binned *self = arg;
    member_add (self, points_add (&self->points, id, point));
}

static void binned_load (void *arg, const char *id, const float *point, enum sampler_set set)
{
    struct binned *self = arg;
    if (set == SAMPLER_WAITING)
        binned_add (self, id, point);
    else {
        points_add_selected (&self->points, id, point);
        self->selected[bins_find (self->bins, point)]++;
    }
}

static void binned_ready (void *arg)
{
}

/* Index of the bin whose best candidate goes first, among those whose chunk is not used up. There is one. */
static size_t bin_best (const struct binned *self)
{
    size_t best = self->bins_count;
    for (size_t b = 0; b < self->bins_count; b++)
        if (self->chunk[b] > 0
            && (best == self->bins_count || before (self, bin_top (&self->bin[b]), bin_top (&self->bin[best]))))
            best = b;
    return best;
}

static size_t binned_pick (void *arg, size_t count, sampler_pick_f *each, void *each_arg)
{
    struct binned *self = arg;
    size_t picked = 0;
    while (picked < count && self->points.waiting > 0) {
        uint64_t left = 0;
        for (size_t b = 0; b < self->bins_count; b++)
            self->candidates[b] = bin_candidates (&self->bin[b]);
        bins_chunk (self->candidates, self->selected, self->bins_count, self->novelty, self->chunk);
        for (size_t b = 0; b < self->bins_count; b++)
            left += self->chunk[b];
        while (left > 0 && picked < count) {
            size_t b = bin_best (self);
            struct member member = bin_pop (self, &self->bin[b]);
            if (each (points_id (&self->points, member.slot), rank_of (self, member), each_arg)) {
                points_select (&self->points, member.slot);
                self->selected[b]++;
                self->chunk[b]--;
                left--;
                picked++;
                continue;
            }
            points_forget (&self->points, member.slot);
            if (self->chunk[b] > bin_candidates (&self->bin[b])) {
                self->chunk[b]--;
                left--;
            }
        }
    }
    return picked;
}

static void binned_release (void *arg, const char *const *ids, size_t count)
{
    struct binned *self = arg;
    struct id_set *set = id_set_new (ids, count);
    uint32_t *slots = select_calloc (count + 1, sizeof (*slots));
    size_t first, n = points_release (&self->points, set, slots, &first);
    for (size_t i = 0; i < n; i++) {
        self->selected[bins_find (self->bins, points_at (&self->points, slots[i]))]--;
        member_add (self, slots[i]);
    }
    free (slots);
    id_set_free (&set);
}

/* Forgets the candidates whose slot is marked. */
static void forget (struct binned *self, const unsigned char *gone)
{
    for (size_t b = 0; b < self->bins_count; b++) {
        struct bin *bin = &self->bin[b];
        uint32_t kept = 0, best = 0;
        for (uint32_t i = 0; i < bin->count; i++)
            if (!gone[bin->rest[i].slot])
                bin->rest[kept++] = bin->rest[i];
        for (uint32_t i = 0; i < bin->best_count; i++)
            if (!gone[bin->best[i].slot])
                bin->best[best++] = bin->best[i];
        bin->count = kept;
        bin->best_count = best;
        bin->limit = best > 0 ? bin->best[0].high : 0;
        bin_refill (self, bin);
    }
    for (size_t slot = 0, n = self->points.slots; slot < n; slot++)
        if (gone[slot])
            points_forget (&self->points, (uint32_t)slot);
}

static void binned_remove (void *arg, const char *const *ids, size_t count)
{
    struct binned *self = arg;
    struct id_set *set = id_set_new (ids, count);
    unsigned char *gone = select_calloc (self->points.slots + 1, 1);
    for (size_t slot = 0; slot < self->points.slots; slot++)
        gone[slot] = self->points.id[slot] != POINTS_NONE && id_set_has (set, points_id (&self->points, slot));
    forget (self, gone);
    free (gone);
    id_set_free (&set);
}

static int least_wanted_first (const void *a, const void *b, void *arg)
{
    const struct member *x = a, *y = b;
    return before (arg, *x, *y) ? 1 : before (arg, *y, *x) ? -1 : 0;
}

/* By random rank alone: what is kept has the distribution of what was there. */
static size_t binned_drop (void *arg, size_t count, sampler_drop_f *each, void *each_arg)
{
    struct binned *self = arg;
    size_t n = 0;
    struct member *members = select_calloc (self->points.waiting + 1, sizeof (*members));
    unsigned char *gone = select_calloc (self->points.slots + 1, 1);
    for (size_t b = 0; b < self->bins_count; b++) {
        const struct bin *bin = &self->bin[b];
        for (uint32_t i = 0; i < bin->count; i++)
            members[n++] = bin->rest[i];
        for (uint32_t i = 0; i < bin->best_count; i++)
            members[n++] = bin->best[i];
    }
    qsort_r (members, n, sizeof (*members), least_wanted_first, self);
    if (count > n)
        count = n;
    for (size_t i = 0; i < count; i++) {
        each (points_id (&self->points, members[i].slot), rank_of (self, members[i]), each_arg);
        gone[members[i].slot] = 1;
    }
    forget (self, gone);
    free (gone);
    free (members);
    return count;
}

static struct points *binned_points (void *arg)
{
    return &((struct binned *)arg)->points;
}

static size_t binned_bytes (const void *arg)
{
    const struct binned *self = arg;
    size_t bytes = sizeof (*self) + points_bytes (&self->points)
        + self->bins_count * (sizeof (struct bin) + BEST * sizeof (struct member) + 3 * sizeof (uint64_t));
    for (size_t b = 0; b < self->bins_count; b++)
        bytes += self->bin[b].capacity * sizeof (struct member);
    return bytes;
}

#define TABLE(title, make)                                                                                             \
    {                                                                                                                  \
        .name = (title), .create = (make), .destroy = binned_destroy, .load = binned_load, .ready = binned_ready,      \
        .add = binned_add, .pick = binned_pick, .release = binned_release, .remove = binned_remove,                    \
        .drop = binned_drop, .points = binned_points, .bytes = binned_bytes,                                           \
    }

const struct sampler_ops binned_sampler = TABLE ("binned", binned_create);
const struct sampler_ops random_sampler = TABLE ("random", random_create);
