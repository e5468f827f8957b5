/* gridsim_wanted.c - which grid points of a snapshot are kept; see strata_gridsim.h.
 *
 * A bit a point, and before each word of 64 the number of wanted points: 1 MB for 2400 x 2400, which stays in a core's
 * cache while records come in any order (a number for each point would take 23 MB and a cache miss every few records).
 */
#include <stdlib.h>

#include "strata_gridsim.h"

#define GRID_POINTS_MAX ((size_t)UINT32_MAX)

int gridsim_want_none (struct gridsim *self, struct strata_error *error)
{
    size_t points = self->nx * self->ny;
    if (points > GRID_POINTS_MAX)
        return strata_fail (error, "%zu x %zu grid points; points can be chosen of at most 2^32", self->nx, self->ny);
    self->want = calloc (points / 64 + 1, sizeof (*self->want));
    self->want_before = calloc (points / 64 + 1, sizeof (*self->want_before));
    self->wanted = 0;
    if (!self->want || !self->want_before)
        return strata_fail (error, "out of memory for %zu x %zu grid points", self->nx, self->ny);
    return 0;
}

void gridsim_want (struct gridsim *self, size_t x, size_t y, size_t count)
{
    for (size_t point = y * self->nx + x, end = point + count; point < end;) {
        size_t bit = point % 64, n = end - point < 64 - bit ? end - point : 64 - bit;
        self->want[point / 64] |= (n == 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1) << bit;
        point += n;
    }
}

void gridsim_want_done (struct gridsim *self)
{
    self->wanted = 0;
    for (size_t i = 0; i < self->nx * self->ny / 64 + 1; i++) {
        self->want_before[i] = (uint32_t)self->wanted;
        self->wanted += (size_t)__builtin_popcountll (self->want[i]);
    }
}
