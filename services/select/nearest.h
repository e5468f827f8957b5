/* nearest.h - the exact k nearest of a set of points.
 *
 * The points stand in cells around some of them. Single precision, 16 points at a time, only rules points out, by more
 * than its rounding can amount to; what is left is measured in double precision by a function that is compiled for no
 * special processor. So the results are those of a plain scan in double precision, bit for bit, and never depend on
 * cells, vector width or threads. Searches change nothing: any number of threads may search at once.
 */
#ifndef STRATA_SELECT_NEAREST_H
#define STRATA_SELECT_NEAREST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "strata_error.h"

/* Coordinates are finite and within +-NEAREST_COORDINATE_MAX: their squares stay in the range of float. */
#define NEAREST_COORDINATE_MAX 1e15
#define NEAREST_K_MAX 1000u
#define NEAREST_DIMENSIONS_MAX 64u

struct nearest;

/* dimensions: 1..NEAREST_DIMENSIONS_MAX. NULL with an error. */
struct nearest *nearest_new (unsigned dimensions, struct strata_error *error);
void nearest_free (struct nearest **self);

/* Adds a point of `dimensions` coordinates; its slot is the count before. */
void nearest_add (struct nearest *self, const float *point);
size_t nearest_count (const struct nearest *self);
const float *nearest_point (const struct nearest *self, size_t slot);
/* Keeps the points whose keep[slot] is not 0, in their order: slots close up. */
void nearest_keep (struct nearest *self, const unsigned char *keep);
/* Squared distances of `point` to its min (k, count) nearest, in rising order, to squares[]; returns how many. k is at
 * most NEAREST_K_MAX. */
size_t nearest_search (const struct nearest *self, const float *point, size_t k, double *squares);
/* Not below the mean distance of `point` to its k nearest (as the mean of the roots of nearest_search's squares, in that
 * order); made from a few percent of the points, those around it. There are k points or more. */
double nearest_bound (const struct nearest *self, const float *point, size_t k);
/* squares[] are the lowest min (k, from) of slots below `from`: makes them those of all. */
void nearest_update (const struct nearest *self, const float *point, size_t k, size_t from, double *squares);
/* Slot of the nearest point, given that slots below `from` have been looked at: `slot` is the nearest of them and *square
 * its square (from 0: both are set). 1 point or more. before (a, b): slot a goes before b when both are equally near. */
size_t nearest_one (const struct nearest *self, const float *point, size_t from, size_t slot, double *square,
                    bool (*before) (size_t a, size_t b, const void *arg), const void *arg);
size_t nearest_bytes (const struct nearest *self);

/* Squared L2 distance of two points in double precision, summed in the order of the coordinates. */
double nearest_square (const float *a, const float *b, unsigned dimensions);

#endif
