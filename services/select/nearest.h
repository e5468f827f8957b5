/* nearest.h - the exact k nearest of a set of points.
 *
 * FAISS's flat index (C API) scans the set in single precision; what it proposes is measured again in double precision
 * and, where its rounding could have left out a nearer point, the set is scanned in double. So the distances are those
 * of a plain scan in double precision, bit for bit, and never depend on FAISS's version, vector width or threads.
 */
#ifndef STRATA_SELECT_NEAREST_H
#define STRATA_SELECT_NEAREST_H

#include <stddef.h>

#include "strata_error.h"

/* Coordinates are finite and within +-NEAREST_COORDINATE_MAX: their squares stay in the range of float. */
#define NEAREST_COORDINATE_MAX 1e15

struct nearest;

/* dimensions: 1 or more. NULL when FAISS fails. */
struct nearest *nearest_new (unsigned dimensions, struct strata_error *error);
void nearest_free (struct nearest **self);

/* Adds a point of `dimensions` coordinates; its slot is the count before. */
void nearest_add (struct nearest *self, const float *point);
size_t nearest_count (const struct nearest *self);
const float *nearest_point (const struct nearest *self, size_t slot);
/* Keeps the points whose keep[slot] is not 0, in their order: slots close up. */
void nearest_keep (struct nearest *self, const unsigned char *keep);
/* Squared distances of `point` to its min (k, count) nearest, in rising order, to squares[]; returns how many. */
size_t nearest_search (struct nearest *self, const float *point, size_t k, double *squares);
size_t nearest_bytes (const struct nearest *self);

/* Squared L2 distance of two points in double precision, summed in the order of the coordinates. */
double nearest_square (const float *a, const float *b, unsigned dimensions);

#endif
