/* farthest_point.c - see farthest_point.h
 *
 * A rank can only fall when a point is selected (the k lowest of more distances are no higher; sums and roots of rounded
 * numbers keep that order). So whatever was once at or above a candidate's rank is an upper bound for ever, as long as no
 * selected point is released. The candidates stand in a heap by such bounds, and only the one on top is brought up to
 * date, until the top is up to date: that is the pick (lazy greedy, Minoux 1978). It is the same pick as with all ranks
 * made anew.
 *
 * A new candidate gets its bound from the few selected points around it (nearest_bound), many candidates at a time. One
 * that comes to the top is ranked exactly by a search, and keeps the squares of its distances to its k nearest selected
 * points from then on: the next time it costs one distance a new selection. Few candidates ever come to the top.
 */
#include "farthest_point.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"

#define PENDING_MAX 1024u       /* new candidates that wait for their bounds while nothing is picked */
#define ALONE 8u                /* ranks brought up to date one by one before it is done in batches */
#define BATCH 256u              /* the first of them; each further one is twice as large */
#define BATCH_MAX 8192u
#define BATCH_PARALLEL 512u     /* ranks that are worth waking threads for */
#define PARALLEL_MIN 10000000u  /* distances that are worth waking threads for */

struct entry {
    double rank;                /* an upper bound, or the rank: see is_exact */
    uint32_t slot;
    uint32_t seen;              /* selected points below it are what rank is made from */
};

struct farthest_point {
    struct points points;
    unsigned k;
    size_t needed;              /* selected points below which ranks are random */
    uint64_t seed;
    bool rank_once;

    bool random;                /* the ranks in the heap are random ones */
    struct entry *heap;         /* [count], the one to pick first on top; behind it [pending] without a rank */
    size_t count, pending, heap_capacity;
    struct entry *batch;        /* scratch of top_settle */
    size_t batch_capacity;
    uint32_t *list;             /* by slot: which of lists; POINTS_NONE: none yet */
    double *lists;              /* [lists_count][k]: squares of the distances to the k nearest, rising */
    uint32_t *free_lists;
    size_t list_capacity, lists_count, lists_capacity, free_lists_count, free_lists_capacity;

    struct points proposed;     /* until ready: see fp_ready */
};

/* ---- ranks ---- */

static double rank_of (const struct farthest_point *self, const double *squares)
{
    double sum = 0;
    for (size_t j = 0; j < self->k; j++)
        sum += sqrt (squares[j]);
    return sum / (double)self->k;
}

static bool is_exact (const struct farthest_point *self, const struct entry *entry)
{
    return self->random
        || (entry->seen == points_selected (&self->points) && self->list[entry->slot] != POINTS_NONE);
}

/* Any rank that is not below the true one. Any number of threads at once. */
static void entry_bound (const struct farthest_point *self, struct entry *entry)
{
    entry->seen = 0;
    if (self->random) {
        entry->rank = ids_random (self->seed, points_id (&self->points, entry->slot));
        return;
    }
    entry->seen = (uint32_t)points_selected (&self->points);
    entry->rank = nearest_bound (self->points.selected, points_at (&self->points, entry->slot), self->k);
}

static void list_give (struct farthest_point *self, uint32_t slot)
{
    if (self->list[slot] != POINTS_NONE)
        return;
    if (self->free_lists_count > 0)
        self->list[slot] = self->free_lists[--self->free_lists_count];
    else {
        self->lists = select_grow (self->lists, &self->lists_capacity, self->lists_count + 1, self->k * sizeof (double));
        self->list[slot] = (uint32_t)self->lists_count++;
    }
    self->lists[(size_t)self->list[slot] * self->k] = -1;      /* not filled yet */
}

static void list_take (struct farthest_point *self, uint32_t slot)
{
    if (self->list[slot] == POINTS_NONE)
        return;
    self->free_lists =
        select_grow (self->free_lists, &self->free_lists_capacity, self->free_lists_count + 1, sizeof (uint32_t));
    self->free_lists[self->free_lists_count++] = self->list[slot];
    self->list[slot] = POINTS_NONE;
}

/* The true rank, of one that has a list. Any number of threads at once. */
static void entry_evaluate (const struct farthest_point *self, struct entry *entry)
{
    double *squares = self->lists + (size_t)self->list[entry->slot] * self->k;
    const float *point = points_at (&self->points, entry->slot);
    if (squares[0] < 0)
        nearest_search (self->points.selected, point, self->k, squares);
    else
        nearest_update (self->points.selected, point, self->k, entry->seen, squares);
    entry->seen = (uint32_t)points_selected (&self->points);
    entry->rank = rank_of (self, squares);
}

/* ---- the heap ---- */

/* Whether a is picked before b. */
static bool before (const struct farthest_point *self, const struct entry *a, const struct entry *b)
{
    if (a->rank != b->rank)
        return a->rank > b->rank;
    return strcmp (points_id (&self->points, a->slot), points_id (&self->points, b->slot)) < 0;
}

static void heap_up (struct farthest_point *self, size_t at)
{
    struct entry entry = self->heap[at];
    for (; at > 0 && before (self, &entry, &self->heap[(at - 1) / 2]); at = (at - 1) / 2)
        self->heap[at] = self->heap[(at - 1) / 2];
    self->heap[at] = entry;
}

static void heap_down (struct farthest_point *self, size_t at)
{
    struct entry entry = self->heap[at];
    for (size_t child; (child = 2 * at + 1) < self->count; at = child) {
        if (child + 1 < self->count && before (self, &self->heap[child + 1], &self->heap[child]))
            child++;
        if (!before (self, &self->heap[child], &entry))
            break;
        self->heap[at] = self->heap[child];
    }
    self->heap[at] = entry;
}

static void heap_build (struct farthest_point *self)
{
    for (size_t i = self->count / 2; i-- > 0;)
        heap_down (self, i);
}

static struct entry heap_pop (struct farthest_point *self)
{
    struct entry top = self->heap[0];
    self->heap[0] = self->heap[--self->count];
    if (self->pending > 0)
        self->heap[self->count] = self->heap[self->count + self->pending];
    if (self->count > 0)
        heap_down (self, 0);
    return top;
}

/* Only while nothing is pending. */
static void heap_push (struct farthest_point *self, struct entry entry)
{
    self->heap[self->count++] = entry;
    heap_up (self, self->count - 1);
}

/* Gives bounds to all that have none, and places in the heap. */
static void settle (struct farthest_point *self)
{
    size_t selected = points_selected (&self->points), n = self->count + self->pending;
    if ((selected < self->needed) != self->random) {
        self->random = !self->random;
        self->count = 0;
        for (size_t i = 0; i < n; i++)
            list_take (self, self->heap[i].slot);
    }
    if (self->count == n)
        return;
#pragma omp parallel for schedule(dynamic, 256) if ((n - self->count) * 500 > PARALLEL_MIN)
    for (size_t i = self->count; i < n; i++)
        entry_bound (self, &self->heap[i]);
    self->pending = 0;
    if (n - self->count < self->count / 8)
        while (self->count < n)
            heap_up (self, self->count++);
    else {
        self->count = n;
        heap_build (self);
    }
}

/* Brings ranks up to date until the one on top is. There is one. */
static void top_settle (struct farthest_point *self)
{
    size_t batch_size = BATCH;
    for (size_t tries = 0; tries < ALONE && !is_exact (self, &self->heap[0]); tries++) {
        list_give (self, self->heap[0].slot);
        entry_evaluate (self, &self->heap[0]);
        heap_down (self, 0);
    }
    while (!is_exact (self, &self->heap[0])) {
        size_t n = 0;
        self->batch = select_grow (self->batch, &self->batch_capacity, batch_size, sizeof (*self->batch));
        struct entry *batch = self->batch;
        for (; n < batch_size && self->count > 0 && !is_exact (self, &self->heap[0]); n++) {
            batch[n] = heap_pop (self);
            list_give (self, batch[n].slot);
        }
#pragma omp parallel for schedule(dynamic, 8) if (n >= BATCH_PARALLEL)
        for (size_t i = 0; i < n; i++)
            entry_evaluate (self, &batch[i]);
        for (size_t i = 0; i < n; i++)
            heap_push (self, batch[i]);
        batch_size = batch_size < BATCH_MAX ? 2 * batch_size : BATCH_MAX;
    }
}

/* ---- candidates ---- */

static void entry_new (struct farthest_point *self, uint32_t slot)
{
    size_t n = self->count + self->pending;
    self->heap = select_grow (self->heap, &self->heap_capacity, n + 1, sizeof (*self->heap));
    self->heap[n] = (struct entry){ 0, slot, 0 };
    self->pending++;
    self->list = select_grow (self->list, &self->list_capacity, self->points.slots, sizeof (uint32_t));
    self->list[slot] = POINTS_NONE;
}

/* Parts the entries: those that `stays` says stay in front, in a heap; the others are pending after that. */
static void heap_part (struct farthest_point *self, bool (*stays) (const struct farthest_point *self, size_t i,
                                                                   const void *arg), const void *arg)
{
    size_t n = self->count + self->pending, kept = 0;
    for (size_t i = 0; i < n; i++)
        if (stays (self, i, arg)) {
            struct entry swap = self->heap[i];
            self->heap[i] = self->heap[kept];
            self->heap[kept++] = swap;
        }
    self->count = kept;
    self->pending = n - kept;
    heap_build (self);
}

/* Forgets those that are pending. */
static void pending_forget (struct farthest_point *self)
{
    for (size_t i = self->count; i < self->count + self->pending; i++) {
        list_take (self, self->heap[i].slot);
        points_forget (&self->points, self->heap[i].slot);
    }
    self->pending = 0;
}

/* ---- the table ---- */

static void fp_destroy (void *arg)
{
    struct farthest_point *self = arg;
    points_fini (&self->points);
    points_fini (&self->proposed);
    free (self->heap);
    free (self->batch);
    free (self->list);
    free (self->lists);
    free (self->free_lists);
    free (self);
}

static void *fp_create (const struct sampler_options *options, struct strata_error *error)
{
    const struct campaign_select *select = options->select;
    if (select->k == 0 || select->k > NEAREST_K_MAX) {
        strata_fail (error, "farthest-point sampler: k is %u; it needs 1 to %u neighbours", select->k, NEAREST_K_MAX);
        return NULL;
    }
    struct farthest_point *self = select_calloc (1, sizeof (*self));
    if (points_init (&self->points, options->dimensions, error) < 0
        || points_init (&self->proposed, options->dimensions, error) < 0) {
        fp_destroy (self);
        return NULL;
    }
    self->k = select->k;
    self->needed = select->min_random > select->k ? select->min_random : select->k;
    self->seed = options->seed;
    self->rank_once = select->batch && strcmp (select->batch, "rank-once") == 0;
    self->random = true;
    return self;
}

static void fp_load (void *arg, const char *id, const float *point, enum sampler_set set)
{
    struct farthest_point *self = arg;
    if (set == SAMPLER_WAITING)
        entry_new (self, points_add (&self->points, id, point));
    else
        points_add_selected (set == SAMPLER_SELECTED ? &self->points : &self->proposed, id, point);
}

/* Those that may be released come last, after the bounds were made: their release then costs no bound. */
static void fp_ready (void *arg)
{
    struct farthest_point *self = arg;
    settle (self);
    for (size_t i = 0; i < points_selected (&self->proposed); i++)
        points_add_selected (&self->points, points_selected_id (&self->proposed, i),
                             nearest_point (self->proposed.selected, i));
    points_fini (&self->proposed);
    memset (&self->proposed, 0, sizeof (self->proposed));
}

static void fp_add (void *arg, const char *id, const float *point)
{
    struct farthest_point *self = arg;
    entry_new (self, points_add (&self->points, id, point));
    if (self->pending >= PENDING_MAX)
        settle (self);
}

static size_t fp_pick (void *arg, size_t count, sampler_pick_f *each, void *each_arg)
{
    struct farthest_point *self = arg;
    size_t picked = 0;
    settle (self);
    uint32_t *batch = self->rank_once ? select_calloc (count < self->count ? count + 1 : self->count + 1, sizeof (*batch))
                                      : NULL;
    while (picked < count && self->count > 0) {
        top_settle (self);
        struct entry entry = heap_pop (self);
        bool wanted = each (points_id (&self->points, entry.slot), entry.rank, each_arg);
        list_take (self, entry.slot);
        if (!wanted)
            points_forget (&self->points, entry.slot);
        else if (batch)
            batch[picked++] = entry.slot;
        else {
            points_select (&self->points, entry.slot);
            picked++;
            settle (self);
        }
    }
    for (size_t i = 0; batch && i < picked; i++)
        points_select (&self->points, batch[i]);
    free (batch);
    return picked;
}

static bool stays_seen (const struct farthest_point *self, size_t i, const void *arg)
{
    return i < self->count && self->heap[i].seen <= *(const size_t *)arg;
}

static void fp_release (void *arg, const char *const *ids, size_t count)
{
    struct farthest_point *self = arg;
    struct id_set *set = id_set_new (ids, count);
    uint32_t *slots = select_calloc (count + 1, sizeof (*slots));
    size_t first, n = points_release (&self->points, set, slots, &first);
    /* What has seen the released points, or points that have other numbers now, starts anew. */
    if (n > 0) {
        heap_part (self, stays_seen, &first);
        for (size_t i = self->count; i < self->count + self->pending; i++)
            list_take (self, self->heap[i].slot);
        for (size_t i = 0; i < n; i++)
            entry_new (self, slots[i]);
    }
    free (slots);
    id_set_free (&set);
}

static bool stays_unnamed (const struct farthest_point *self, size_t i, const void *arg)
{
    return !id_set_has (arg, points_id (&self->points, self->heap[i].slot));
}

static void fp_remove (void *arg, const char *const *ids, size_t count)
{
    struct farthest_point *self = arg;
    struct id_set *set = id_set_new (ids, count);
    settle (self);
    heap_part (self, stays_unnamed, set);
    pending_forget (self);
    id_set_free (&set);
}

struct ranked {
    double rank;
    uint32_t slot;
};

static int least_wanted_first (const void *a, const void *b, void *arg)
{
    const struct farthest_point *self = arg;
    const struct ranked *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return strcmp (points_id (&self->points, y->slot), points_id (&self->points, x->slot));
}

static bool stays_ranked (const struct farthest_point *self, size_t i, const void *arg)
{
    return !((const unsigned char *)arg)[self->heap[i].slot];
}

static size_t fp_drop (void *arg, size_t count, sampler_drop_f *each, void *each_arg)
{
    struct farthest_point *self = arg;
    settle (self);
    size_t n = self->count;
    struct ranked *ranked = select_calloc (n + 1, sizeof (*ranked));
    /* All ranks are needed, not only the top's. With a list each costs one distance a new selection at the next drop. */
    for (size_t i = 0; i < n && !self->random; i++)
        list_give (self, self->heap[i].slot);
#pragma omp parallel for schedule(dynamic, 64) if (n > 1000)
    for (size_t i = 0; i < n; i++) {
        struct entry *entry = &self->heap[i];
        if (!self->random)
            entry_evaluate (self, entry);
        ranked[i] = (struct ranked){ entry->rank, entry->slot };
    }
    qsort_r (ranked, n, sizeof (*ranked), least_wanted_first, self);
    unsigned char *gone = select_calloc (self->points.slots + 1, 1);
    for (size_t i = 0; i < count && i < n; i++) {
        each (points_id (&self->points, ranked[i].slot), ranked[i].rank, each_arg);
        gone[ranked[i].slot] = 1;
    }
    heap_part (self, stays_ranked, gone);
    pending_forget (self);
    free (gone);
    free (ranked);
    return count < n ? count : n;
}

static struct points *fp_points (void *arg)
{
    return &((struct farthest_point *)arg)->points;
}

static size_t fp_bytes (const void *arg)
{
    const struct farthest_point *self = arg;
    return sizeof (*self) + points_bytes (&self->points) + self->heap_capacity * sizeof (*self->heap)
        + (self->list_capacity + self->free_lists_capacity) * sizeof (uint32_t)
        + self->lists_capacity * self->k * sizeof (double);
}

const struct sampler_ops farthest_point_sampler = {
    .name = "farthest-point",
    .create = fp_create,
    .destroy = fp_destroy,
    .load = fp_load,
    .ready = fp_ready,
    .add = fp_add,
    .pick = fp_pick,
    .release = fp_release,
    .remove = fp_remove,
    .drop = fp_drop,
    .points = fp_points,
    .bytes = fp_bytes,
};
