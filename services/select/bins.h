/* bins.h - the bins of the binned sampler, and how many candidates each gives to the next selections. */
#ifndef STRATA_SELECT_BINS_H
#define STRATA_SELECT_BINS_H

#include <stddef.h>
#include <stdint.h>

#include "core/campaign.h"
#include "strata_error.h"

#define BINS_MAX 1000000u

struct bins;

/* From `select.bins` of the campaign file: each item divides the next coordinate, a spherical one the next two (tilt in
 * 0..pi, rotation in -pi..pi). No item: one bin. A bin holds its lower edge; what lies outside belongs to the first or the
 * last bin. NULL with an error when the items do not divide `dimensions` coordinates or there are more than BINS_MAX. */
struct bins *bins_new (const struct campaign_bins *items, unsigned items_count, unsigned dimensions,
                       struct strata_error *error);
void bins_free (struct bins **self);
size_t bins_count (const struct bins *self);
/* Index of the bin of a point; of 3 coordinates: bin of the first + count of the first * (bin of the second + ...). */
size_t bins_find (const struct bins *self, const float *point);

/* The chunk rule (DynIm's binned sampler, docs: services/select/README.md): candidates[b] that wait and selected[b] that
 * were selected in each bin, novelty l in 0..1 -> chunk[b] <= candidates[b], not all 0 unless nothing waits. l = 0 takes
 * bins as they are filled; l = 1 takes from all bins alike. Picking chunk after chunk ends for every l and history. */
void bins_chunk (const uint64_t *candidates, const uint64_t *selected, size_t count, double novelty, uint64_t *chunk);

#endif
