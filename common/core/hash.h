/* hash.h - a fast 64-bit hash that chains: what it returns is the seed of what comes next.
 *
 * Multiply and fold, eight bytes a step, as in wyhash (Wang Yi, public domain). It finds differences; it does not keep out
 * somebody who makes them on purpose.
 */
#ifndef STRATA_CORE_HASH_H
#define STRATA_CORE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t hash64_fold (uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* The hash of what `seed` stood for followed by these bytes and their number. */
static inline uint64_t hash64 (uint64_t seed, const void *data, size_t size)
{
    const uint8_t *p = data;
    uint64_t h = seed ^ 0x9e3779b97f4a7c15u, word;
    size_t left = size;
    for (; left >= 8; p += 8, left -= 8) {
        memcpy (&word, p, 8);
        h = hash64_fold (h ^ word, 0xa0761d6478bd642fu) ^ (h << 1);
    }
    word = 0;
    if (left)
        memcpy (&word, p, left);
    h = hash64_fold (h ^ word, 0xe7037ed1a0b428dbu);
    return hash64_fold (h ^ size, 0x8ebc6af09c88c6e3u) ^ h;
}

#endif
