/* quota.h - how many candidates each queue gives to a batch of selections.
 *
 * The rule. Queue i has the quota q[i] (all sum to 1), c[i] candidates that wait and s[i] that were selected before.
 * One level L serves all queues: queue i gives
 *
 *     x[i] = min (max (q[i] L - s[i], 0), c[i])        and L is such that  sum x = min (count, sum of c where q > 0)
 *
 * So the selections made so far and the new ones together stand as near to the quotas as the candidates allow; a queue
 * that is ahead of its quota gives nothing until the others have caught up; what a queue is short of is made up by the
 * others in the ratio of their quotas; a queue with quota 0 never gives. The sum rises with L, so x is unique and does
 * not depend on the order of the queues. Whole numbers come from x by largest remainder; equal remainders: the larger
 * quota, then the queue that stands first in the campaign file.
 */
#ifndef STRATA_SELECT_QUOTA_H
#define STRATA_SELECT_QUOTA_H

#include <stddef.h>
#include <stdint.h>

#define QUOTA_COUNT_MAX 1000000u    /* picks of one batch */

struct quota_queue {
    double quota;           /* in: 0..1 */
    uint64_t candidates;    /* in: that wait */
    uint64_t selected;      /* in: selected before, those of open proposals included */
    uint64_t picks;         /* out: <= candidates */
};

/* Sets picks of each queue and returns their sum: `count`, or all that wait in queues with a quota above 0 when those
 * are fewer. A quota that is negative or not a number counts as 0; count above QUOTA_COUNT_MAX counts as that. */
uint64_t quota_share (struct quota_queue *queues, size_t queues_count, uint64_t count);

#endif
