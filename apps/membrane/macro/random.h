/* random.h - random numbers that are a function of what they are for.
 *
 * A number is a hash of the keys (seed, step, purpose, index), each mixed in by splitmix64 (Steele, Lea, Flood 2014,
 * "Fast splittable pseudorandom number generators"; constants of Stafford's Mix13). There is no state to save, and
 * threads may draw in any order.
 */
#ifndef MACRO_RANDOM_H
#define MACRO_RANDOM_H

#include <math.h>
#include <stdint.h>

#define MACRO_PI 3.14159265358979323846

/* What a number is for: keeps the streams apart. */
enum macro_purpose { RANDOM_WAVES = 1, RANDOM_PLACE, RANDOM_MOVE, RANDOM_SWITCH, RANDOM_NOISE };

static inline uint64_t random_mix (uint64_t z)
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline uint64_t random_key (uint64_t seed, uint64_t step, uint64_t purpose, uint64_t index)
{
    return random_mix (random_mix (random_mix (random_mix (seed) ^ step) ^ purpose) ^ index);
}

/* 0 < u < 1 */
static inline double random_unit (uint64_t bits)
{
    return ((double)(bits >> 12) + 0.5) * 0x1p-52;
}

/* Two independent standard normal numbers (Box-Muller) of one key. */
static inline void random_normal2 (uint64_t key, double *a, double *b)
{
    double r = sqrt (-2 * log (random_unit (random_mix (key))));
    double phi = 2 * MACRO_PI * random_unit (random_mix (key ^ 0x5851f42d4c957f2du));
    *a = r * cos (phi);
    *b = r * sin (phi);
}

#endif
