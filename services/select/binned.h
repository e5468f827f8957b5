/* binned.h - the sampler that keeps to a distribution over bins, between novelty and importance; and the random one,
 * which is the same with a single bin.
 *
 * From the bins' candidates and selected points the chunk rule (bins.h) says how many each bin gives next. Within a chunk
 * candidates go by their random rank (ids_random), the highest first; equal ranks: the lower id. When a chunk is
 * used up the next one is made from what then waits; a batch of picks always begins with a new one. A candidate costs
 * O(1) when it comes, a pick O(bins).
 */
#ifndef STRATA_SELECT_BINNED_H
#define STRATA_SELECT_BINNED_H

#include "sampler.h"

extern const struct sampler_ops binned_sampler, random_sampler;

#endif
