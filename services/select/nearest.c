/* nearest.c - see nearest.h
 *
 * A cell is a point of the set (its centre) and the points that are nearer to it than to any other centre. A search
 * visits cells from the nearest centre on and leaves out those that can't hold a nearer point: all of a cell's points
 * are at least (distance to the centre - radius of the cell) away. About sqrt (count) cells; they are made anew when the
 * set has doubled. Which points become centres has no influence on any result.
 */
#include "nearest.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "simd.h"

#define LANES 16                    /* points of a block */
#define GROUP 4                     /* blocks that are looked at together */
#define GROUP_POINTS (GROUP * LANES)
#define CELLS_MAX 1024u
#define BOUND_CELLS 6               /* cells that nearest_bound looks into: fewer bound faster and rank more often */

/* Points by coordinate: [block][dimension][LANES], whole groups; lanes without a point hold NAN, which is near nothing. */
struct blocks {
    float *x;
    uint32_t *slots;                /* [groups * GROUP_POINTS] */
    size_t count, groups;           /* points; groups there is room for */
};

struct cell {
    struct blocks blocks;
    double radius;
};

struct nearest {
    unsigned dimensions;
    float *points;                  /* [count][dimensions], by slot */
    size_t count, points_capacity;
    struct blocks all;              /* by slot, for nearest_update */
    struct cell *cells;             /* [cells_count] */
    struct blocks centres;          /* slots: the cell */
    size_t cells_count, cells_made_at;
};

double __attribute__ ((noinline)) nearest_square (const float *a, const float *b, unsigned dimensions)
{
    double sum = 0;
    for (unsigned i = 0; i < dimensions; i++) {
        double x = (double)a[i] - (double)b[i];
        sum += x * x;
    }
    return sum;
}

/* ---- single precision ---- */

/* Whether square (in single precision, of whichever order of operations) can be one of a point whose square in double
 * precision is at most `square`: rounding of a subtraction, a multiplication and `dimensions` additions, and squares
 * that are lost to underflow. */
static float square_limit (double square, unsigned dimensions)
{
    double limit = square * (1 + (dimensions + 4) * (double)FLT_EPSILON) + (dimensions + 1) * (double)FLT_MIN;
    return limit < (double)FLT_MAX ? nextafterf ((float)limit, FLT_MAX) : FLT_MAX;
}

/* Bit l: point l of the group of GROUP_POINTS points is within `limit`. squares[]: those of all points of the group. */
SIMD_CLONES static uint64_t group_near (const float *x, const float *point, unsigned dimensions, float limit,
                                        float *squares)
{
    simd_float s0 = { 0 }, s1 = { 0 }, s2 = { 0 }, s3 = { 0 };
    const size_t block = (size_t)dimensions * LANES;
    for (unsigned i = 0; i < dimensions; i++, x += LANES) {
        const simd_float a = *(const simd_float *)x - point[i], b = *(const simd_float *)(x + block) - point[i];
        const simd_float c = *(const simd_float *)(x + 2 * block) - point[i];
        const simd_float d = *(const simd_float *)(x + 3 * block) - point[i];
        s0 += a * a;
        s1 += b * b;
        s2 += c * c;
        s3 += d * d;
    }
    simd_float *out = (simd_float *)squares;
    out[0] = s0;
    out[1] = s1;
    out[2] = s2;
    out[3] = s3;
    return simd_bits (s0 <= limit, s1 <= limit) | simd_bits (s2 <= limit, s3 <= limit) << 32;
}

/* ---- blocks ---- */

static const float *group_at (const struct blocks *self, size_t group, unsigned dimensions)
{
    return self->x + group * GROUP_POINTS * dimensions;
}

static size_t groups_used (const struct blocks *self)
{
    return (self->count + GROUP_POINTS - 1) / (GROUP_POINTS);
}

static void blocks_add (struct blocks *self, const float *point, unsigned dimensions, uint32_t slot)
{
    size_t at = self->count++;
    if (groups_used (self) > self->groups) {
        size_t groups = self->groups ? 2 * self->groups : 1, floats = groups * GROUP_POINTS * dimensions;
        float *x = select_aligned (floats * sizeof (float));
        for (size_t i = 0; i < floats; i++)
            x[i] = NAN;
        if (self->groups)
            memcpy (x, self->x, self->groups * GROUP_POINTS * dimensions * sizeof (float));
        free (self->x);
        self->x = x;
        size_t capacity = self->groups * GROUP_POINTS;
        self->slots = select_grow (self->slots, &capacity, groups * GROUP_POINTS, sizeof (uint32_t));
        self->groups = groups;
    }
    for (unsigned i = 0; i < dimensions; i++)
        self->x[(at / LANES * dimensions + i) * LANES + at % LANES] = point[i];
    self->slots[at] = slot;
}

static void blocks_fini (struct blocks *self)
{
    free (self->x);
    free (self->slots);
    *self = (struct blocks){ NULL, NULL, 0, 0 };
}

static size_t blocks_bytes (const struct blocks *self, unsigned dimensions)
{
    return self->groups * GROUP_POINTS * (dimensions * sizeof (float) + sizeof (uint32_t));
}

/* ---- the k lowest squares so far ---- */

struct lowest {
    double *squares;            /* rising */
    size_t k, count;
};

/* Single-precision squares above it are of no interest. */
static float lowest_limit (const struct lowest *self, unsigned dimensions)
{
    return self->count < self->k ? FLT_MAX : square_limit (self->squares[self->k - 1], dimensions);
}

static void lowest_add (struct lowest *self, double square)
{
    if (self->count == self->k && square >= self->squares[self->k - 1])
        return;
    size_t i = self->count < self->k ? self->count++ : self->k - 1;
    for (; i > 0 && self->squares[i - 1] > square; i--)
        self->squares[i] = self->squares[i - 1];
    self->squares[i] = square;
}

static void blocks_search (const struct nearest *self, const struct blocks *blocks, size_t from, const float *point,
                           struct lowest *lowest)
{
    const unsigned d = self->dimensions;
    _Alignas (64) float rough[GROUP_POINTS];
    float limit = lowest_limit (lowest, d);
    for (size_t g = from / GROUP_POINTS, n = groups_used (blocks); g < n; g++) {
        uint64_t near = group_near (group_at (blocks, g, d), point, d, limit, rough);
        if (g == from / GROUP_POINTS)
            near &= UINT64_MAX << (from % GROUP_POINTS);
        for (; near; near &= near - 1) {
            size_t lane = (size_t)__builtin_ctzll (near);
            if (rough[lane] > limit)
                continue;
            uint32_t slot = blocks->slots[g * GROUP_POINTS + lane];
            lowest_add (lowest, nearest_square (point, nearest_point (self, slot), d));
            limit = lowest_limit (lowest, d);
        }
    }
}

/* ---- cells ---- */

static void cells_free (struct nearest *self)
{
    for (size_t i = 0; i < self->cells_count; i++)
        blocks_fini (&self->cells[i].blocks);
    free (self->cells);
    blocks_fini (&self->centres);
    self->cells = NULL;
    self->cells_count = 0;
}

/* Squares of the distances to the centres of all cells, in single precision; behind them INFINITY. None is below 0, so
 * that their bits, as whole numbers, have the same order: compilers find the lowest of those by whole registers. */
struct centres_near {
    union {
        _Alignas (64) float squares[CELLS_MAX + GROUP_POINTS];
        int32_t bits[CELLS_MAX + GROUP_POINTS];
    };
};

static void centres_measure (const struct nearest *self, const float *point, struct centres_near *near)
{
    for (size_t i = 0; i < self->cells_count; i += GROUP_POINTS)
        group_near (group_at (&self->centres, i / GROUP_POINTS, self->dimensions), point, self->dimensions, 0,
                    near->squares + i);
    for (size_t i = self->cells_count; i % GROUP_POINTS != 0; i++)
        near->squares[i] = INFINITY;
}

SIMD_CLONES static int32_t lowest_of (const int32_t *values, size_t count)
{
    int32_t least = INT32_MAX;
    for (size_t i = 0; i < count; i++)
        least = values[i] < least ? values[i] : least;
    return least;
}

/* The nearest cell that was not taken yet; takes it. */
static size_t centres_take (struct centres_near *near, size_t count)
{
    int32_t least = lowest_of (near->bits, (count + LANES - 1) / LANES * LANES);
    size_t at = 0;
    while (at + 1 < count && near->bits[at] != least)
        at++;
    near->squares[at] = INFINITY;
    return at;
}

static void cell_add (struct nearest *self, uint32_t slot)
{
    struct centres_near near;
    const float *point = nearest_point (self, slot);
    centres_measure (self, point, &near);
    size_t at = centres_take (&near, self->cells_count);
    struct cell *cell = &self->cells[at];
    double radius = sqrt (nearest_square (point, nearest_point (self, self->centres.slots[at]), self->dimensions));
    if (radius > cell->radius)
        cell->radius = radius;
    blocks_add (&cell->blocks, point, self->dimensions, slot);
}

static void cells_make (struct nearest *self)
{
    cells_free (self);
    self->cells_made_at = self->count;
    size_t n = (size_t)sqrt ((double)self->count);
    n = n < 1 ? 1 : n > CELLS_MAX ? CELLS_MAX : n;
    self->cells = select_calloc (n, sizeof (*self->cells));
    self->cells_count = n;
    for (size_t i = 0; i < n; i++) {
        size_t slot = i * self->count / n;
        blocks_add (&self->centres, nearest_point (self, slot), self->dimensions, (uint32_t)slot);
    }
    for (size_t slot = 0; slot < self->count; slot++)
        cell_add (self, (uint32_t)slot);
}

/* ---- the set ---- */

struct nearest *nearest_new (unsigned dimensions, struct strata_error *error)
{
    if (dimensions == 0 || dimensions > NEAREST_DIMENSIONS_MAX) {
        strata_fail (error, "no search among points of %u dimensions: it needs 1 to %u", dimensions,
                     NEAREST_DIMENSIONS_MAX);
        return NULL;
    }
    struct nearest *self = select_calloc (1, sizeof (*self));
    self->dimensions = dimensions;
    return self;
}

void nearest_free (struct nearest **self)
{
    if (!*self)
        return;
    cells_free (*self);
    blocks_fini (&(*self)->all);
    free ((*self)->points);
    free (*self);
    *self = NULL;
}

void nearest_add (struct nearest *self, const float *point)
{
    size_t d = self->dimensions, slot = self->count;
    self->points = select_grow (self->points, &self->points_capacity, slot + 1, d * sizeof (float));
    memcpy (self->points + slot * d, point, d * sizeof (float));
    self->count++;
    blocks_add (&self->all, point, self->dimensions, (uint32_t)slot);
    if (self->count >= 2 * self->cells_made_at)
        cells_make (self);
    else
        cell_add (self, (uint32_t)slot);
}

size_t nearest_count (const struct nearest *self)
{
    return self->count;
}

const float *nearest_point (const struct nearest *self, size_t slot)
{
    return self->points + slot * self->dimensions;
}

void nearest_keep (struct nearest *self, const unsigned char *keep)
{
    size_t d = self->dimensions, n = 0;
    blocks_fini (&self->all);
    for (size_t i = 0; i < self->count; i++)
        if (keep[i]) {
            memmove (self->points + n * d, self->points + i * d, d * sizeof (float));
            blocks_add (&self->all, self->points + n * d, self->dimensions, (uint32_t)n);
            n++;
        }
    self->count = n;
    cells_free (self);
    self->cells_made_at = 0;
    if (n > 0)
        cells_make (self);
}

/* No point of the cell can have a square below `square`: sums and roots in double round by far less than 1e-6. */
static bool cell_is_out (const struct nearest *self, size_t cell, float centre_square, double square)
{
    double least = sqrt ((double)centre_square) * (1 - (self->dimensions + 4) * (double)FLT_EPSILON) * (1 - 1e-6)
        - self->cells[cell].radius * (1 + 1e-6) - sqrt ((self->dimensions + 1) * (double)FLT_MIN);
    return least > 0 && least * least > square * (1 + 1e-6);
}

size_t nearest_search (const struct nearest *self, const float *point, size_t k, double *squares)
{
    struct lowest lowest = { squares, k < self->count ? k : self->count, 0 };
    struct centres_near near;
    size_t n = self->cells_count, taken = 0;
    if (lowest.k == 0)
        return 0;
    centres_measure (self, point, &near);
    /* The nearest cells give the limit; it leaves out many of the others, in whatever order they are looked at. */
    for (; taken < n && (taken < BOUND_CELLS || lowest.count < lowest.k); taken++)
        blocks_search (self, &self->cells[centres_take (&near, n)].blocks, 0, point, &lowest);
    for (size_t i = 0; i < n && taken < n; i++) {
        if (isinf (near.squares[i]))
            continue;       /* taken */
        taken++;
        if (!cell_is_out (self, i, near.squares[i], squares[lowest.k - 1]))
            blocks_search (self, &self->cells[i].blocks, 0, point, &lowest);
    }
    return lowest.count;
}

double nearest_bound (const struct nearest *self, const float *point, size_t k)
{
    const unsigned d = self->dimensions;
    struct centres_near near;
    _Alignas (64) float rough[GROUP_POINTS];
    float lowest[NEAREST_K_MAX], limit = FLT_MAX;
    size_t n = self->cells_count, count = 0;
    if (k == 0 || k > NEAREST_K_MAX)
        return INFINITY;
    centres_measure (self, point, &near);
    for (size_t i = 0; i < n && (i < BOUND_CELLS || count < k); i++) {
        const struct blocks *blocks = &self->cells[centres_take (&near, n)].blocks;
        for (size_t g = 0, groups = groups_used (blocks); g < groups; g++)
            for (uint64_t bits = group_near (group_at (blocks, g, d), point, d, limit, rough); bits; bits &= bits - 1) {
                float square = rough[__builtin_ctzll (bits)];
                if (square > limit)
                    continue;
                size_t at = count < k ? count++ : k - 1;
                for (; at > 0 && lowest[at - 1] > square; at--)
                    lowest[at] = lowest[at - 1];
                lowest[at] = square;
                limit = count < k ? FLT_MAX : lowest[k - 1];
            }
    }
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += sqrt ((double)lowest[i]);
    /* The same margins as in square_limit, and 1e-6 for roots and sums. */
    return (sum / (double)k * (1 + (d + 4) * (double)FLT_EPSILON) + sqrt ((d + 1) * (double)FLT_MIN)) * (1 + 1e-6);
}

void nearest_update (const struct nearest *self, const float *point, size_t k, size_t from, double *squares)
{
    struct lowest lowest = { squares, k, k < from ? k : from };
    blocks_search (self, &self->all, from, point, &lowest);
}

size_t nearest_one (const struct nearest *self, const float *point, size_t from, size_t slot, double *square,
                    bool (*before) (size_t a, size_t b, const void *arg), const void *arg)
{
    const unsigned d = self->dimensions;
    _Alignas (64) float rough[GROUP_POINTS];
    double best = from > 0 ? *square : INFINITY;
    for (size_t g = from / GROUP_POINTS, n = groups_used (&self->all); g < n; g++) {
        uint64_t near = group_near (group_at (&self->all, g, d), point, d, square_limit (best, d), rough);
        if (g == from / GROUP_POINTS)
            near &= UINT64_MAX << (from % GROUP_POINTS);
        for (; near; near &= near - 1) {
            size_t at = g * GROUP_POINTS + (size_t)__builtin_ctzll (near);
            double s = nearest_square (point, nearest_point (self, at), d);
            if (s < best || (s == best && before (at, slot, arg))) {
                best = s;
                slot = at;
            }
        }
    }
    *square = best;
    return slot;
}

size_t nearest_bytes (const struct nearest *self)
{
    size_t bytes = sizeof (*self) + self->points_capacity * self->dimensions * sizeof (float)
        + blocks_bytes (&self->all, self->dimensions) + blocks_bytes (&self->centres, self->dimensions)
        + self->cells_count * sizeof (*self->cells);
    for (size_t i = 0; i < self->cells_count; i++)
        bytes += blocks_bytes (&self->cells[i].blocks, self->dimensions);
    return bytes;
}
