/* binned.c - see binned.h
 *
 * A bin's candidates stand in one array: a heap, and behind it those that have come since, of which only the best one is
 * known. They join the heap when one of them is picked. So a candidate that is never near a pick is never moved. */
#include "binned.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "bins.h"

struct member {
    double rank;
    uint32_t slot;
};

struct bin {
    struct member *members;     /* [count]: [heaped] in a heap, the first to pick on top; then in no order */
    size_t capacity;
    uint32_t count, heaped, best;   /* best: of those behind the heap */
};

struct binned {
    struct points points;
    struct bins *bins;
    struct bin *bin;            /* [bins_count] */
    uint64_t *candidates, *selected, *chunk;    /* [bins_count] */
    size_t bins_count;
    double novelty;
    uint64_t seed;
};

/* ---- one bin ---- */

static bool before (const struct binned *self, struct member a, struct member b)
{
    if (a.rank != b.rank)
        return a.rank > b.rank;
    return strcmp (points_id (&self->points, a.slot), points_id (&self->points, b.slot)) < 0;
}

static void heap_down (const struct binned *self, struct bin *bin, size_t at)
{
    struct member member = bin->members[at];
    for (size_t child; (child = 2 * at + 1) < bin->heaped; at = child) {
        if (child + 1 < bin->heaped && before (self, bin->members[child + 1], bin->members[child]))
            child++;
        if (!before (self, bin->members[child], member))
            break;
        bin->members[at] = bin->members[child];
    }
    bin->members[at] = member;
}

static void bin_heap (const struct binned *self, struct bin *bin)
{
    bin->heaped = bin->count;
    for (size_t i = bin->count / 2; i-- > 0;)
        heap_down (self, bin, i);
}

static void bin_add (const struct binned *self, struct bin *bin, struct member member)
{
    bin->members = select_grow (bin->members, &bin->capacity, (size_t)bin->count + 1, sizeof (*bin->members));
    bin->members[bin->count] = member;
    if (bin->count == bin->heaped || before (self, member, bin->members[bin->best]))
        bin->best = bin->count;
    bin->count++;
}

/* There is one. */
static struct member bin_top (const struct binned *self, const struct bin *bin)
{
    if (bin->heaped == 0)
        return bin->members[bin->best];
    if (bin->heaped == bin->count || before (self, bin->members[0], bin->members[bin->best]))
        return bin->members[0];
    return bin->members[bin->best];
}

static struct member bin_pop (const struct binned *self, struct bin *bin)
{
    if (bin->heaped < bin->count)
        bin_heap (self, bin);
    struct member top = bin->members[0];
    bin->members[0] = bin->members[--bin->count];
    bin->heaped = bin->count;
    if (bin->count > 0)
        heap_down (self, bin, 0);
    return top;
}

/* ---- the table ---- */

static void binned_destroy (void *arg)
{
    struct binned *self = arg;
    points_fini (&self->points);
    for (size_t b = 0; b < self->bins_count; b++)
        free (self->bin[b].members);
    free (self->bin);
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
    struct member member = { ids_random (self->seed, points_id (&self->points, slot)), slot };
    bin_add (self, &self->bin[b], member);
    self->candidates[b]++;
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
            && (best == self->bins_count || before (self, bin_top (self, &self->bin[b]), bin_top (self, &self->bin[best]))))
            best = b;
    return best;
}

static size_t binned_pick (void *arg, size_t count, sampler_pick_f *each, void *each_arg)
{
    struct binned *self = arg;
    size_t picked = 0;
    while (picked < count && self->points.waiting > 0) {
        uint64_t left = 0;
        bins_chunk (self->candidates, self->selected, self->bins_count, self->novelty, self->chunk);
        for (size_t b = 0; b < self->bins_count; b++)
            left += self->chunk[b];
        while (left > 0 && picked < count) {
            size_t b = bin_best (self);
            struct member member = bin_pop (self, &self->bin[b]);
            self->candidates[b]--;
            if (each (points_id (&self->points, member.slot), member.rank, each_arg)) {
                points_select (&self->points, member.slot);
                self->selected[b]++;
                self->chunk[b]--;
                left--;
                picked++;
                continue;
            }
            points_forget (&self->points, member.slot);
            if (self->chunk[b] > self->candidates[b]) {
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
        uint32_t kept = 0;
        for (uint32_t i = 0; i < bin->count; i++)
            if (!gone[bin->members[i].slot])
                bin->members[kept++] = bin->members[i];
        if (kept == bin->count)
            continue;
        self->candidates[b] = bin->count = kept;
        bin_heap (self, bin);
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
    for (size_t b = 0; b < self->bins_count; b++)
        for (uint32_t i = 0; i < self->bin[b].count; i++)
            members[n++] = self->bin[b].members[i];
    qsort_r (members, n, sizeof (*members), least_wanted_first, self);
    if (count > n)
        count = n;
    for (size_t i = 0; i < count; i++) {
        each (points_id (&self->points, members[i].slot), members[i].rank, each_arg);
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
        + self->bins_count * (sizeof (struct bin) + 3 * sizeof (uint64_t));
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
