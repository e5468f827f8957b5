/* farthest_point.h - the sampler that picks the candidate farthest from what was selected.
 *
 * Rank of a candidate = mean L2 distance to its k nearest selected points; k = 1 is farthest-point sampling (Gonzalez
 * 1985), k = 10 the ranking of MuMMI (SC'21, sec. 4.1 "patch selector"). The highest rank is picked; equal ranks: the
 * lower id in byte order. While fewer than max (k, min_random) are selected a rank is ids_random: a random choice that a
 * restart repeats.
 *
 * Ranks are those after every pick, so a batch holds no two near-duplicates. With `batch: rank-once` they are those
 * before the batch, as in DynIm. All in double precision; no rank is ever NaN.
 */
#ifndef STRATA_SELECT_FARTHEST_POINT_H
#define STRATA_SELECT_FARTHEST_POINT_H

#include "sampler.h"

extern const struct sampler_ops farthest_point_sampler;

#endif
