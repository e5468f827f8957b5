/* content.c - see content.h */
#include "content.h"

#include <math.h>
#include <string.h>

uint64_t content_next (uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

double content_unit (uint64_t *state)
{
    return (double)(content_next (state) >> 11) / 9007199254740992.0;
}

uint64_t content_seed (const char *name, uint64_t number)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 0x100000001B3u;
    for (int i = 0; i < 8; i++, number >>= 8)
        hash = (hash ^ (number & 0xFF)) * 0x100000001B3u;
    return hash;
}

unsigned content_sum (const char *simulation)
{
    return content_seed (simulation, 0x50) % 2 ? CONTENT_SUM : 1;
}

unsigned content_histogram (const char *simulation, uint64_t frame, int64_t *counts)
{
    uint64_t random = content_seed (simulation, frame), of_state = content_seed (simulation, ~(frame / CONTENT_STATE_FRAMES));
    unsigned state = (unsigned)(content_next (&of_state) % CONTENT_STATES);
    unsigned pairs = 200 + (unsigned)(content_next (&random) % 200);
    for (unsigned i = 0; i < pairs; i++) {
        uint64_t r = content_next (&random);
        counts[r % CONTENT_BLOCK] += 1 + (int64_t)(r >> 60);
    }
    return state;
}

void content_frame (const char *simulation, uint64_t frame, double coordinates[3], uint8_t blob[CONTENT_BLOB])
{
    uint64_t random = content_seed (simulation, frame) ^ 0xF4A3Eu;
    coordinates[0] = M_PI * content_unit (&random);
    coordinates[1] = M_PI * (2 * content_unit (&random) - 1);
    coordinates[2] = 3 * content_unit (&random);
    for (size_t i = 0; i < CONTENT_BLOB; i += 8) {
        uint64_t r = content_next (&random);
        memcpy (blob + i, &r, 8);
    }
}
