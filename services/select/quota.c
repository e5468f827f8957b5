/* quota.c - see quota.h. The sum of x is piecewise linear in the level with a corner where a queue begins to give
 * (s/q) and one where it is empty ((s+c)/q): the level is found exactly between two neighbouring corners. */
#include "quota.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

/* Shares are compared in millionths: what is equal on paper (1/2 and 5 * 0.1) is equal here too. */
#define UNIT 1000000

static bool gives (const struct quota_queue *queue)
{
    return queue->quota > 0 && queue->candidates > 0;
}

static double share (const struct quota_queue *queue, double level)
{
    if (!gives (queue))
        return 0;
    double x = queue->quota * level - (double)queue->selected;
    return fmin (fmax (x, 0), (double)queue->candidates);
}

static double share_sum (const struct quota_queue *queues, size_t count, double level)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += share (&queues[i], level);
    return sum;
}

/* The level at which the shares sum to `wanted`, 0 < wanted <= all that wait in queues that give. */
static double level_find (const struct quota_queue *queues, size_t count, double wanted)
{
    /* The nearest corner at which the sum is too small, and the nearest at which it is enough. */
    double low = 0, high = INFINITY;
    for (size_t i = 0; i < 2 * count; i++) {
        const struct quota_queue *q = &queues[i / 2];
        if (!gives (q))
            continue;
        double corner = ((double)q->selected + (i % 2 ? (double)q->candidates : 0)) / q->quota;
        if (corner >= high || corner <= low)
            continue;
        if (share_sum (queues, count, corner) < wanted)
            low = corner;
        else
            high = corner;
    }
    double sum_low = share_sum (queues, count, low);
    if (isinf (high))       /* rounding: the last corner's sum fell short of what it stands for */
        return low;
    double sum_high = share_sum (queues, count, high);
    return low + (wanted - sum_low) * (high - low) / (sum_high - sum_low);
}

/* Whether queue a comes before queue b when a remainder is handed out. */
static bool remainder_before (const struct quota_queue *a, int64_t a_rest, const struct quota_queue *b, int64_t b_rest)
{
    return a_rest != b_rest ? a_rest > b_rest : a->quota > b->quota;
}

uint64_t quota_share (struct quota_queue *queues, size_t queues_count, uint64_t count)
{
    uint64_t there = 0;
    for (size_t i = 0; i < queues_count; i++) {
        queues[i].picks = 0;
        if (gives (&queues[i]))
            there += queues[i].candidates;
    }
    if (count > QUOTA_COUNT_MAX)
        count = QUOTA_COUNT_MAX;
    if (count > there)
        count = there;
    if (count == 0)
        return 0;

    double level = level_find (queues, queues_count, (double)count);
    uint64_t left = count;
    for (size_t i = 0; i < queues_count; i++) {
        uint64_t whole = (uint64_t)(llround (share (&queues[i], level) * UNIT) / UNIT);
        queues[i].picks = whole < left ? whole : left;
        left -= queues[i].picks;
    }
    /* One more for the largest remainder that has not had one, until all are handed out. */
    while (left > 0) {
        size_t best = queues_count;
        int64_t best_rest = 0;
        for (size_t i = 0; i < queues_count; i++) {
            if (!gives (&queues[i]) || queues[i].picks >= queues[i].candidates)
                continue;
            int64_t rest = llround (share (&queues[i], level) * UNIT) - (int64_t)queues[i].picks * UNIT;
            if (best == queues_count || remainder_before (&queues[i], rest, &queues[best], best_rest)) {
                best = i;
                best_rest = rest;
            }
        }
        queues[best].picks++;
        left--;
    }
    return count;
}
