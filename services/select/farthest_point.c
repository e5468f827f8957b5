/* farthest_point.c - see farthest_point.h
 *
 * A rank can only fall when a point is selected (the k lowest of more distances are no higher; sums of rounded numbers
 * keep that order). So a rank that does not know the newest selections yet is an upper bound: the candidates stand in a
 * heap by such bounds, and only the one on top is brought up to date, until the top is up to date: that is the pick
 * (lazy greedy, Minoux 1978). It is the same pick as with all ranks renewed, never with more distances and mostly with
 * far fewer.
 */
#include "farthest_point.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "nearest.h"

struct farthest_point {
    struct sampler_options options;

    /* candidates that wait: parallel arrays, in no order */
    size_t count;
    char **ids;
    float *points;              /* [count][dimensions] */
    double *squares;            /* [count][k]: the min (k, selected) lowest, rising */
    double *ranks;              /* [count]: that of the selected points seen */
    uint32_t *seen;             /* [count]: slots of `selected` below it are in squares */
    uint32_t *heap;             /* [count]: candidates, the one to pick first on top */
    uint32_t *where;            /* [count]: position in heap */
    size_t ids_capacity, points_capacity, squares_capacity, ranks_capacity;
    size_t seen_capacity, heap_capacity, where_capacity;

    struct nearest *selected;
    char **selected_ids;        /* by slot of `selected` */
    size_t selected_ids_capacity;

    size_t ids_bytes;           /* of all ids */
};

/* ---- ranks ---- */

/* Finalizer of splitmix64 (Steele, Lea, Flood 2014): every bit of x reaches every bit of the result. */
static uint64_t mix (uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

double farthest_point_random (uint64_t seed, const char *id)
{
    uint64_t x = mix (seed);
    for (const unsigned char *p = (const unsigned char *)id; *p; p++)
        x = mix (x ^ *p);
    return (double)(x >> 11) * 0x1p-53;
}

static size_t neighbours (const struct farthest_point *self)
{
    size_t n = nearest_count (self->selected);
    return n < self->options.k ? n : self->options.k;
}

static void rank_set (struct farthest_point *self, size_t i)
{
    size_t k = self->options.k;
    if (neighbours (self) < k) {
        self->ranks[i] = farthest_point_random (self->options.seed, self->ids[i]);
        return;
    }
    double sum = 0;
    for (size_t j = 0; j < k; j++)
        sum += sqrt (self->squares[i * k + j]);
    self->ranks[i] = sum / (double)k;
}

/* Against all selected points, by a search. */
static void rank_anew (struct farthest_point *self, size_t i)
{
    size_t k = self->options.k;
    nearest_search (self->selected, self->points + i * self->options.dimensions, k, self->squares + i * k);
    self->seen[i] = (uint32_t)nearest_count (self->selected);
    rank_set (self, i);
}

/* Against the selected points not seen yet, one by one. */
static void rank_renew (struct farthest_point *self, size_t i)
{
    unsigned d = self->options.dimensions;
    size_t k = self->options.k, slots = nearest_count (self->selected);
    double *list = self->squares + i * k;
    for (size_t slot = self->seen[i]; slot < slots; slot++) {
        double square = nearest_square (self->points + i * d, nearest_point (self->selected, slot), d);
        if (slot >= k && square >= list[k - 1])
            continue;
        size_t j = slot < k ? slot : k - 1;
        for (; j > 0 && list[j - 1] > square; j--)
            list[j] = list[j - 1];
        list[j] = square;
    }
    self->seen[i] = (uint32_t)slots;
    rank_set (self, i);
}

static void rank_renew_all (struct farthest_point *self)
{
    for (size_t i = 0; i < self->count; i++)
        rank_renew (self, i);
}

/* Whether candidate a is picked before b. */
static bool before (const struct farthest_point *self, size_t a, size_t b)
{
    if (self->ranks[a] != self->ranks[b])
        return self->ranks[a] > self->ranks[b];
    return strcmp (self->ids[a], self->ids[b]) < 0;
}

/* ---- the heap ---- */

static void heap_place (struct farthest_point *self, size_t position, size_t i)
{
    self->heap[position] = (uint32_t)i;
    self->where[i] = (uint32_t)position;
}

static void heap_up (struct farthest_point *self, size_t position)
{
    size_t i = self->heap[position];
    for (; position > 0 && before (self, i, self->heap[(position - 1) / 2]); position = (position - 1) / 2)
        heap_place (self, position, self->heap[(position - 1) / 2]);
    heap_place (self, position, i);
}

static void heap_down (struct farthest_point *self, size_t position)
{
    size_t i = self->heap[position];
    for (;;) {
        size_t child = 2 * position + 1;
        if (child + 1 < self->count && before (self, self->heap[child + 1], self->heap[child]))
            child++;
        if (child >= self->count || !before (self, self->heap[child], i))
            break;
        heap_place (self, position, self->heap[child]);
        position = child;
    }
    heap_place (self, position, i);
}

static void heap_build (struct farthest_point *self)
{
    for (size_t i = 0; i < self->count; i++)
        heap_place (self, i, i);
    for (size_t i = self->count / 2; i-- > 0;)
        heap_down (self, i);
}

/* ---- the two sets ---- */

/* Takes over `id`. Rank and place in the heap are still to be set. */
static size_t candidate_append (struct farthest_point *self, char *id, const float *point)
{
    size_t d = self->options.dimensions, k = self->options.k, i = self->count, n = i + 1;
    self->ids = select_grow (self->ids, &self->ids_capacity, n, sizeof (*self->ids));
    self->points = select_grow (self->points, &self->points_capacity, n, d * sizeof (float));
    self->squares = select_grow (self->squares, &self->squares_capacity, n, k * sizeof (double));
    self->ranks = select_grow (self->ranks, &self->ranks_capacity, n, sizeof (double));
    self->seen = select_grow (self->seen, &self->seen_capacity, n, sizeof (uint32_t));
    self->heap = select_grow (self->heap, &self->heap_capacity, n, sizeof (uint32_t));
    self->where = select_grow (self->where, &self->where_capacity, n, sizeof (uint32_t));
    self->ids[i] = id;
    memcpy (self->points + i * d, point, d * sizeof (float));
    self->count = n;
    return i;
}

/* The last candidate takes the place of i. Neither frees the id nor mends the heap. */
static void candidate_remove (struct farthest_point *self, size_t i)
{
    size_t d = self->options.dimensions, k = self->options.k, last = --self->count;
    if (i == last)
        return;
    self->ids[i] = self->ids[last];
    memcpy (self->points + i * d, self->points + last * d, d * sizeof (float));
    memcpy (self->squares + i * k, self->squares + last * k, k * sizeof (double));
    self->ranks[i] = self->ranks[last];
    self->seen[i] = self->seen[last];
}

/* The one on top of the heap. */
static void candidate_remove_top (struct farthest_point *self)
{
    size_t last = self->count - 1, top = self->heap[0];
    heap_place (self, 0, self->heap[last]);
    candidate_remove (self, top);
    if (top != last)
        heap_place (self, self->where[last], top);
    if (self->count > 0)
        heap_down (self, 0);
}

/* Takes over `id`. */
static void selected_append (struct farthest_point *self, char *id, const float *point)
{
    size_t slot = nearest_count (self->selected);
    self->selected_ids =
        select_grow (self->selected_ids, &self->selected_ids_capacity, slot + 1, sizeof (*self->selected_ids));
    self->selected_ids[slot] = id;
    nearest_add (self->selected, point);
}

static char *id_copy (struct farthest_point *self, const char *id)
{
    self->ids_bytes += strlen (id) + 1;
    return select_strdup (id);
}

/* ---- the table ---- */

static void fp_destroy (void *arg)
{
    struct farthest_point *self = arg;
    for (size_t i = 0; i < self->count; i++)
        free (self->ids[i]);
    for (size_t i = 0; i < nearest_count (self->selected); i++)
        free (self->selected_ids[i]);
    free (self->ids);
    free (self->points);
    free (self->squares);
    free (self->ranks);
    free (self->seen);
    free (self->heap);
    free (self->where);
    free (self->selected_ids);
    nearest_free (&self->selected);
    free (self);
}

static void *fp_create (const struct sampler_options *options, struct strata_error *error)
{
    if (options->k == 0) {
        strata_fail (error, "farthest-point sampler: k is 0; it needs 1 neighbour or more");
        return NULL;
    }
    struct nearest *selected = nearest_new (options->dimensions, error);
    if (!selected)
        return NULL;
    struct farthest_point *self = select_calloc (1, sizeof (*self));
    self->options = *options;
    self->selected = selected;
    return self;
}

static void fp_load (void *arg, const char *id, const float *point, bool selected)
{
    struct farthest_point *self = arg;
    if (selected)
        selected_append (self, id_copy (self, id), point);
    else
        candidate_append (self, id_copy (self, id), point);
}

static void fp_ready (void *arg)
{
    struct farthest_point *self = arg;
    for (size_t i = 0; i < self->count; i++)
        rank_anew (self, i);
    heap_build (self);
}

static void fp_add (void *arg, const char *id, const float *point)
{
    struct farthest_point *self = arg;
    size_t i = candidate_append (self, id_copy (self, id), point);
    rank_anew (self, i);
    heap_place (self, i, i);
    heap_up (self, i);
}

static const char *fp_pick (void *arg, double *rank)
{
    struct farthest_point *self = arg;
    if (self->count == 0)
        return NULL;
    /* With fewer than k selected the ranks are random numbers, and as they should be. */
    size_t slots = nearest_count (self->selected);
    while (slots >= self->options.k && self->seen[self->heap[0]] < slots) {
        rank_renew (self, self->heap[0]);
        heap_down (self, 0);
    }
    size_t best = self->heap[0];
    *rank = self->ranks[best];
    char *id = self->ids[best];
    selected_append (self, id, self->points + best * self->options.dimensions);
    candidate_remove_top (self);
    if (slots + 1 == self->options.k) {     /* from now on they are distances */
        rank_renew_all (self);
        heap_build (self);
    }
    return id;
}

static void fp_release (void *arg, const char *const *ids, size_t count)
{
    struct farthest_point *self = arg;
    size_t d = self->options.dimensions, k = self->options.k;
    size_t slots = nearest_count (self->selected), had = neighbours (self), released = 0, kept = 0;
    rank_renew_all (self);      /* slots get other numbers */
    unsigned char *keep = select_calloc (slots + 1, 1);
    float *points = select_calloc (count + 1, d * sizeof (float));
    char **names = select_calloc (count + 1, sizeof (*names));
    for (size_t slot = 0; slot < slots; slot++) {
        bool found = false;
        for (size_t j = 0; j < count && !found; j++)
            found = strcmp (self->selected_ids[slot], ids[j]) == 0;
        keep[slot] = !found;
        if (found && released < count) {
            memcpy (points + released * d, nearest_point (self->selected, slot), d * sizeof (float));
            names[released++] = self->selected_ids[slot];
        }
        else
            self->selected_ids[kept++] = self->selected_ids[slot];
    }
    if (released > 0) {
        nearest_keep (self->selected, keep);
        bool fewer = neighbours (self) < had;
        for (size_t i = 0; i < self->count; i++) {
            /* Only a list that held one of the released points changes. */
            bool held = fewer;
            for (size_t j = 0; j < released && !held; j++)
                held = nearest_square (self->points + i * d, points + j * d, (unsigned)d)
                    <= self->squares[i * k + had - 1];
            self->seen[i] = (uint32_t)kept;
            if (held)
                rank_anew (self, i);
        }
        for (size_t j = 0; j < released; j++)
            rank_anew (self, candidate_append (self, names[j], points + j * d));
    }
    heap_build (self);
    free (keep);
    free (points);
    free (names);
}

struct order {
    const char *id;
    double rank;
    size_t index;
};

static int least_wanted_first (const void *a, const void *b)
{
    const struct order *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return strcmp (y->id, x->id);
}

static int higher_index_first (const void *a, const void *b)
{
    size_t x = ((const struct order *)a)->index, y = ((const struct order *)b)->index;
    return (x < y) - (x > y);
}

static size_t fp_drop (void *arg, size_t count, void (*each) (const char *id, double rank, void *arg), void *each_arg)
{
    struct farthest_point *self = arg;
    rank_renew_all (self);
    struct order *order = select_calloc (self->count + 1, sizeof (*order));
    for (size_t i = 0; i < self->count; i++)
        order[i] = (struct order){ self->ids[i], self->ranks[i], i };
    qsort (order, self->count, sizeof (*order), least_wanted_first);
    if (count > self->count)
        count = self->count;
    for (size_t i = 0; i < count; i++)
        each (order[i].id, order[i].rank, each_arg);
    /* From the end, so that what takes a free place is never one that goes too. */
    qsort (order, count, sizeof (*order), higher_index_first);
    for (size_t i = 0; i < count; i++) {
        char *id = self->ids[order[i].index];
        candidate_remove (self, order[i].index);
        self->ids_bytes -= strlen (id) + 1;
        free (id);
    }
    free (order);
    heap_build (self);
    return count;
}

static size_t fp_waiting (const void *arg)
{
    return ((const struct farthest_point *)arg)->count;
}

static size_t fp_selected (const void *arg)
{
    return nearest_count (((const struct farthest_point *)arg)->selected);
}

static size_t fp_bytes (const void *arg)
{
    const struct farthest_point *self = arg;
    return sizeof (*self) + (self->ids_capacity + self->selected_ids_capacity) * sizeof (char *) + self->ids_bytes
        + self->points_capacity * self->options.dimensions * sizeof (float)
        + self->squares_capacity * self->options.k * sizeof (double) + self->ranks_capacity * sizeof (double)
        + (self->seen_capacity + self->heap_capacity + self->where_capacity) * sizeof (uint32_t)
        + nearest_bytes (self->selected);
}

/* An id counts as 64 bytes. */
static size_t fp_candidate_bytes (const struct sampler_options *options)
{
    return options->dimensions * sizeof (float) + options->k * sizeof (double) + sizeof (double)
        + 3 * sizeof (uint32_t) + sizeof (char *) + 64;
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
    .drop = fp_drop,
    .waiting = fp_waiting,
    .selected = fp_selected,
    .bytes = fp_bytes,
    .candidate_bytes = fp_candidate_bytes,
};
