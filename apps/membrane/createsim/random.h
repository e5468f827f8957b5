/* random.h - a seeded stream of random numbers: splitmix64 (G.L. Steele et al., OOPSLA 2014). The same seed gives the
 * same system. */
#ifndef CREATESIM_RANDOM_H
#define CREATESIM_RANDOM_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

struct createsim_random {
    uint64_t state;
};

static inline uint64_t createsim_random_u64 (struct createsim_random *self)
{
    uint64_t z = (self->state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* 0 <= x < 1 */
static inline double createsim_random_real (struct createsim_random *self)
{
    return (double) (createsim_random_u64 (self) >> 11) * 0x1.0p-53;
}

/* 0 <= i < n; n > 0. The bias of at most n / 2^64 means nothing here. */
static inline size_t createsim_random_below (struct createsim_random *self, size_t n)
{
    return (size_t) (createsim_random_u64 (self) % n);
}

#endif
