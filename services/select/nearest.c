/* nearest.c - see nearest.h */
#include "nearest.h"

#include <faiss/c_api/IndexFlat_c.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/error_c.h>
#include <float.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "core/log.h"

/* Below this many points a plain scan is as fast. */
#define SCAN_MAX 64

struct nearest {
    unsigned dimensions;
    FaissIndexFlatL2 *index;
    float *points;              /* [count][dimensions], in the order of the index */
    size_t count, points_capacity;
    /* scratch of a search */
    float *found_squares;
    idx_t *found;
    size_t found_capacity, labels_capacity;
    double *all;
    size_t all_capacity;
};

/* FAISS's only failures here are a lack of memory and a bug: the process ends and starts again from its shard. */
static void check (int rc, const char *what)
{
    if (rc != 0) {
        log_error ("FAISS can't %s: %s; the process ends and starts again from its shard", what,
                   faiss_get_last_error ());
        abort ();
    }
}

struct nearest *nearest_new (unsigned dimensions, struct strata_error *error)
{
    FaissIndexFlatL2 *index = NULL;
    if (dimensions == 0 || faiss_IndexFlatL2_new_with (&index, (idx_t)dimensions) != 0) {
        strata_fail (error, "no index for points of %u dimensions: %s", dimensions,
                     dimensions ? faiss_get_last_error () : "needs 1 or more");
        return NULL;
    }
    struct nearest *self = select_calloc (1, sizeof (*self));
    self->dimensions = dimensions;
    self->index = index;
    return self;
}

void nearest_free (struct nearest **self)
{
    if (!*self)
        return;
    faiss_IndexFlatL2_free ((*self)->index);
    free ((*self)->points);
    free ((*self)->found_squares);
    free ((*self)->found);
    free ((*self)->all);
    free (*self);
    *self = NULL;
}

void nearest_add (struct nearest *self, const float *point)
{
    size_t d = self->dimensions;
    self->points = select_grow (self->points, &self->points_capacity, self->count + 1, d * sizeof (float));
    memcpy (self->points + self->count * d, point, d * sizeof (float));
    self->count++;
    check (faiss_Index_add (self->index, 1, point), "add a point");
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
    for (size_t i = 0; i < self->count; i++)
        if (keep[i])
            memmove (self->points + n++ * d, self->points + i * d, d * sizeof (float));
    self->count = n;
    check (faiss_Index_reset (self->index), "empty the index");
    if (n > 0)
        check (faiss_Index_add (self->index, (idx_t)n, self->points), "add points");
}

double nearest_square (const float *a, const float *b, unsigned dimensions)
{
    double sum = 0;
    for (unsigned i = 0; i < dimensions; i++) {
        double x = (double)a[i] - (double)b[i];
        sum += x * x;
    }
    return sum;
}

static int compare_doubles (const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static size_t scan (struct nearest *self, const float *point, size_t k, double *squares)
{
    self->all = select_grow (self->all, &self->all_capacity, self->count, sizeof (double));
    for (size_t i = 0; i < self->count; i++)
        self->all[i] = nearest_square (point, nearest_point (self, i), self->dimensions);
    qsort (self->all, self->count, sizeof (double), compare_doubles);
    memcpy (squares, self->all, k * sizeof (double));
    return k;
}

/* A point that FAISS left out has a float square of at least that of the last one it gave. Its square in double may be
 * lower by the rounding of one subtraction, one multiplication and `dimensions` additions of floats. */
static double square_bound (double float_square, unsigned dimensions)
{
    return float_square * (1 - (dimensions + 4) * (double)FLT_EPSILON) - (dimensions + 1) * (double)FLT_MIN;
}

size_t nearest_search (struct nearest *self, const float *point, size_t k, double *squares)
{
    if (k > self->count)
        k = self->count;
    if (k == 0)
        return 0;
    size_t ask = k + 8;
    if (self->count <= SCAN_MAX || ask >= self->count)
        return scan (self, point, k, squares);

    self->found_squares = select_grow (self->found_squares, &self->found_capacity, ask, sizeof (float));
    self->found = select_grow (self->found, &self->labels_capacity, ask, sizeof (idx_t));
    self->all = select_grow (self->all, &self->all_capacity, ask, sizeof (double));
    check (faiss_Index_search (self->index, 1, point, (idx_t)ask, self->found_squares, self->found), "search");
    double farthest = 0;
    for (size_t i = 0; i < ask; i++) {
        if (self->found[i] < 0 || (size_t)self->found[i] >= self->count)
            return scan (self, point, k, squares);
        self->all[i] = nearest_square (point, nearest_point (self, (size_t)self->found[i]), self->dimensions);
        if ((double)self->found_squares[i] > farthest)
            farthest = (double)self->found_squares[i];
    }
    qsort (self->all, ask, sizeof (double), compare_doubles);
    double last = self->all[k - 1];
    if (last > 0 && !(last <= square_bound (farthest, self->dimensions)))
        return scan (self, point, k, squares);
    memcpy (squares, self->all, k * sizeof (double));
    return k;
}

size_t nearest_bytes (const struct nearest *self)
{
    /* The index holds a copy of the points. */
    return sizeof (*self) + 2 * self->points_capacity * self->dimensions * sizeof (float)
        + self->found_capacity * (sizeof (float) + sizeof (idx_t)) + self->all_capacity * sizeof (double);
}
