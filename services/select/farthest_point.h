/* farthest_point.h - the sampler that picks the candidate farthest from what was selected.
 *
 * Rank of a candidate = mean L2 distance to its k nearest selected points; k = 1 is farthest-point sampling (Gonzalez
 * 1985), k = 10 the ranking of MuMMI (SC'21, sec. 4.1 "patch selector"). The highest rank is picked; equal ranks: the
 * lower id in byte order. With fewer than k selected a rank is a number in 0..1 made from the seed and the id: a random
 * choice that a restart repeats.
 *
 * Ranks are those after every pick, so a batch holds no two near-duplicates. A candidate keeps the squares of its
 * distances to its k nearest selected points: a new selection costs it one distance at the most, a new candidate one
 * search in the selected points (nearest.h). All in double precision; no rank is ever NaN.
 */
#ifndef STRATA_SELECT_FARTHEST_POINT_H
#define STRATA_SELECT_FARTHEST_POINT_H

#include "sampler.h"

extern const struct sampler_ops farthest_point_sampler;

/* The rank while fewer than k are selected: in [0, 1), from seed and id alone. */
double farthest_point_random (uint64_t seed, const char *id);

#endif
