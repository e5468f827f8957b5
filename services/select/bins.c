/* bins.c - see bins.h */
#include "bins.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"

#define COUNTED_BINS 16u        /* up to so many bins are found without a branch */

/* One coordinate. Bin i is [lower[i], lower[i + 1]); the outer two are NaN, at which every comparison ends. */
struct axis {
    double *lower;              /* [bins + 1], rising */
    double low, scale;          /* a first guess: (x - low) * scale; scale 0: none */
    double last;                /* bins - 1 */
    uint32_t bins;
};

struct division {
    struct axis axis;           /* spherical: tilt */
    struct axis *rotation;      /* [axis.bins]; NULL: not spherical */
    size_t *first;              /* spherical: number of cells before each row of tilt */
    size_t bins;
};

struct bins {
    struct division *divisions;
    size_t divisions_count, count;
};

/* MuMMI's frame selector: rows of 12 degrees of tilt, half as high at the poles, with about equal areas a cell. */
static const unsigned char rotation_bins[] = { 1, 6, 12, 18, 24, 28, 30, 32, 32, 30, 28, 24, 18, 12, 6, 1 };
#define TILT_ROWS (sizeof (rotation_bins) / sizeof (*rotation_bins))

static void axis_init (struct axis *self, size_t bins)
{
    self->bins = (uint32_t)bins;
    self->last = (double)(bins - 1);
    self->lower = select_calloc (bins + 1, sizeof (double));
    self->lower[0] = self->lower[bins] = NAN;
}

static void axis_uniform (struct axis *self, double low, double high, size_t bins)
{
    axis_init (self, bins);
    for (size_t i = 1; i < bins; i++)
        self->lower[i] = low + (high - low) * (double)i / (double)bins;
    self->low = low;
    self->scale = (double)bins / (high - low);
}

static inline uint32_t axis_find (const struct axis *self, double x)
{
    const double *lower = self->lower;
    uint32_t i = 0;
    if (self->scale > 0) {
        double guess = (x - self->low) * self->scale;
        guess = guess > 0 ? guess : 0;
        guess = guess < self->last ? guess : self->last;
        i = (uint32_t)(int32_t)guess;
        while (x >= lower[i + 1])
            i++;
        while (x < lower[i])
            i--;
        return i;
    }
    if (self->bins <= COUNTED_BINS) {
        for (uint32_t edge = 1; edge < self->bins; edge++)
            i += x >= lower[edge];
        return i;
    }
    for (uint32_t end = self->bins - 1; i < end;) {
        uint32_t middle = i + (end - i + 1) / 2;
        if (x >= lower[middle])
            i = middle;
        else
            end = middle - 1;
    }
    return i;
}

static void division_spherical (struct division *self)
{
    static const double degree = 3.14159265358979323846 / 180;
    axis_init (&self->axis, TILT_ROWS);
    for (size_t i = 1; i < TILT_ROWS; i++)
        self->axis.lower[i] = (12.0 * (double)i - 6) * degree;
    self->axis.low = -6 * degree;
    self->axis.scale = 1 / (12 * degree);
    self->rotation = select_calloc (TILT_ROWS, sizeof (*self->rotation));
    self->first = select_calloc (TILT_ROWS, sizeof (*self->first));
    for (size_t i = 0; i < TILT_ROWS; i++) {
        axis_uniform (&self->rotation[i], -180 * degree, 180 * degree, rotation_bins[i]);
        self->first[i] = self->bins;
        self->bins += rotation_bins[i];
    }
}

static int division_init (struct division *self, const struct campaign_bins *item, unsigned number,
                          struct strata_error *error)
{
    if (strcmp (item->kind, "spherical") == 0) {
        division_spherical (self);
        return 0;
    }
    if (strcmp (item->kind, "uniform") == 0) {
        if (item->bins == 0 || !(item->min < item->max))
            return strata_fail (error, "select.bins[%u]: uniform bins need `bins` of 1 or more and `min` below `max`",
                                number);
        axis_uniform (&self->axis, item->min, item->max, item->bins);
        self->bins = self->axis.bins;
        return 0;
    }
    for (unsigned i = 0; i < item->edges_count; i++)
        if (i > 0 && !(item->edges[i - 1] < item->edges[i]))
            return strata_fail (error, "select.bins[%u].edges: %g does not lie above %g", number, item->edges[i],
                                item->edges[i - 1]);
    self->bins = (size_t)item->edges_count + 1;
    axis_init (&self->axis, self->bins);
    if (item->edges_count > 0)
        memcpy (self->axis.lower + 1, item->edges, item->edges_count * sizeof (double));
    return 0;
}

struct bins *bins_new (const struct campaign_bins *items, unsigned items_count, unsigned dimensions,
                       struct strata_error *error)
{
    struct bins *self = select_calloc (1, sizeof (*self));
    unsigned divided = 0;
    int rc = 0;
    self->divisions = select_calloc (items_count + 1, sizeof (*self->divisions));
    self->count = 1;
    for (unsigned i = 0; i < items_count && rc == 0; i++) {
        struct division *division = &self->divisions[self->divisions_count++];
        rc = division_init (division, &items[i], i, error);
        divided += division->rotation ? 2 : 1;
        if (rc == 0 && division->bins > BINS_MAX / self->count)
            rc = strata_fail (error, "select.bins: more than %u bins in all", BINS_MAX);
        self->count *= division->bins;
    }
    if (rc == 0 && items_count > 0 && divided != dimensions)
        rc = strata_fail (error, "select.bins divides %u coordinates, but points have %u; a spherical item divides 2, "
                                 "each other one 1", divided, dimensions);
    if (rc < 0)
        bins_free (&self);
    return self;
}

void bins_free (struct bins **self)
{
    if (!*self)
        return;
    for (size_t i = 0; i < (*self)->divisions_count; i++) {
        struct division *division = &(*self)->divisions[i];
        free (division->axis.lower);
        for (size_t row = 0; division->rotation && row < division->axis.bins; row++)
            free (division->rotation[row].lower);
        free (division->rotation);
        free (division->first);
    }
    free ((*self)->divisions);
    free (*self);
    *self = NULL;
}

size_t bins_count (const struct bins *self)
{
    return self->count;
}

size_t bins_find (const struct bins *self, const float *point)
{
    size_t bin = 0, stride = 1;
    for (size_t i = 0; i < self->divisions_count; i++) {
        const struct division *division = &self->divisions[i];
        size_t at = axis_find (&division->axis, (double)*point++);
        if (division->rotation)
            at = division->first[at] + axis_find (&division->rotation[at], (double)*point++);
        bin += stride * at;
        stride *= division->bins;
    }
    return bin;
}

/* ---- the chunk rule ---- */

/* What is a whole number on paper is one here. */
static double ceiling (double x)
{
    return ceil (x - 1e-9 * fmax (1, x));
}

void bins_chunk (const uint64_t *candidates, const uint64_t *selected, size_t count, double novelty, uint64_t *chunk)
{
    double waiting = 0, before = 0, shares = 0, least = INFINITY, most = -INFINITY;
    size_t filled = 0;
    for (size_t b = 0; b < count; b++) {
        waiting += (double)candidates[b];
        before += (double)selected[b];
        filled += candidates[b] > 0;
        chunk[b] = 0;
    }
    if (filled <= 1) {
        memcpy (chunk, candidates, count * sizeof (*chunk));
        return;
    }
    double all = waiting + before, l = novelty < 0 ? 0 : novelty > 1 ? 1 : novelty;
#define SHARE(b)                                                                                                       \
    (candidates[b] + selected[b] == 0                                                                                  \
         ? 0                                                                                                           \
         : (1 - l) * ((double)candidates[b] + (double)selected[b]) / all + l / (double)count)
#define WANTED(b) (SHARE (b) / shares * (waiting + 2 * before) - (double)selected[b])
    for (size_t b = 0; b < count; b++)
        shares += SHARE (b);
    for (size_t b = 0; b < count; b++) {
        double c = WANTED (b);
        if (c > 0 && c < least)
            least = c;
        if (candidates[b] > 0 && c > most)
            most = c;
    }
    bool some = false;
    for (size_t b = 0; b < count; b++) {
        double c = WANTED (b);
        c = c > 0 ? ceiling (c - l * (least - 1)) : 0;
        chunk[b] = c < (double)candidates[b] ? (uint64_t)fmax (c, 0) : candidates[b];
        some = some || chunk[b] > 0;
    }
    /* All bins that lag behind are empty: one more from those that are the least ahead. */
    for (size_t b = 0; b < count && !some; b++)
        chunk[b] = candidates[b] > 0 && WANTED (b) >= most;
#undef SHARE
#undef WANTED
}
