/* bench_frames.h - the frame of the benches: 8 x 599 counts of 4 bytes, 19 KB: a little more than the 17 KB of the paper's. */
#ifndef STRATA_BENCH_FRAMES_H
#define STRATA_BENCH_FRAMES_H

#include <stdint.h>

#define FRAME_ROWS 8
#define FRAME_BINS 599
#define FRAME_CELLS (FRAME_ROWS * FRAME_BINS)
#define FRAME_STATES 18
#define FRAME_BYTES (FRAME_CELLS * 4)
#define FRAME_PRODUCERS_MAX 64

/* Frames of summing producers differ: frame f has the counts of kind f % FRAME_KINDS. As many as no cache of a core holds. */
#define FRAME_KINDS 61
static inline void frame_kind_counts (unsigned producer, uint64_t kind, int64_t counts[FRAME_CELLS])
{
    for (uint32_t i = 0; i < FRAME_CELLS; i++)
        counts[i] = (int64_t)(((i + 1 + (uint32_t)kind * 7919u) * 2654435761u + producer * 40503u) >> 12);
}

/* All frames of a producer are alike; two producers' differ. Counts reach 2^20: four bytes are needed. */
static inline void frame_counts (unsigned producer, uint32_t counts[FRAME_CELLS])
{
    for (uint32_t i = 0; i < FRAME_CELLS; i++)
        counts[i] = ((i + 1) * 2654435761u + producer * 40503u) >> 12;
}

#endif
