/* random.h - a small generator for tests that try many cases: the same numbers on every machine.
 *
 * xorshift64 (Marsaglia, Journal of Statistical Software 8(14), 2003; shifts 13, 7, 17). A test sets `random_state`, not
 * to 0, before what it wants to be able to repeat. */
#ifndef STRATA_TESTS_RANDOM_H
#define STRATA_TESTS_RANDOM_H

#include <stdint.h>

static uint64_t random_state;

static inline uint64_t random_next (void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

#endif
