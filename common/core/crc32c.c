/* crc32c.c - see crc32c.h
 *
 * The SSE4.2 instruction where the processor has it (one 8-byte step every 3 cycles), else slicing by eight: eight
 * tables, table k advances a byte over k further zero bytes, so that eight bytes are taken in one step.
 */
#include "core/crc32c.h"

#include <pthread.h>
#include <string.h>

#define POLYNOMIAL 0x82F63B78u /* reflected */

static uint32_t tables[8][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void tables_fill (void)
{
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t c = n;
        for (int bit = 0; bit < 8; bit++)
            c = c & 1 ? (c >> 1) ^ POLYNOMIAL : c >> 1;
        tables[0][n] = c;
    }
    for (uint32_t n = 0; n < 256; n++)
        for (int k = 1; k < 8; k++)
            tables[k][n] = (tables[k - 1][n] >> 8) ^ tables[0][tables[k - 1][n] & 0xff];
}

uint32_t crc32c_portable (uint32_t crc, const void *data, size_t size)
{
    pthread_once (&tables_once, tables_fill);
    const uint8_t *p = data;
    uint32_t c = ~crc;
    for (; size >= 8; p += 8, size -= 8) {
        c ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        c = tables[7][c & 0xff] ^ tables[6][(c >> 8) & 0xff] ^ tables[5][(c >> 16) & 0xff] ^ tables[4][c >> 24]
            ^ tables[3][p[4]] ^ tables[2][p[5]] ^ tables[1][p[6]] ^ tables[0][p[7]];
    }
    for (; size > 0; p++, size--)
        c = (c >> 8) ^ tables[0][(c ^ *p) & 0xff];
    return ~c;
}

#if defined(__x86_64__)

#include <nmmintrin.h>

__attribute__ ((target ("sse4.2"))) static uint32_t crc32c_sse42 (uint32_t crc, const void *data, size_t size)
{
    const uint8_t *p = data;
    uint64_t c = ~crc;
    for (; size >= 8; p += 8, size -= 8) {
        uint64_t word;
        memcpy (&word, p, sizeof (word));
        c = _mm_crc32_u64 (c, word);
    }
    uint32_t c32 = (uint32_t)c;
    for (; size > 0; p++, size--)
        c32 = _mm_crc32_u8 (c32, *p);
    return ~c32;
}

uint32_t crc32c (uint32_t crc, const void *data, size_t size)
{
    return __builtin_cpu_supports ("sse4.2") ? crc32c_sse42 (crc, data, size) : crc32c_portable (crc, data, size);
}

#else

uint32_t crc32c (uint32_t crc, const void *data, size_t size)
{
    return crc32c_portable (crc, data, size);
}

#endif
