/* crc32c.c - see crc32c.h
 *
 * The SSE4.2 instruction where the processor has it, else slicing by eight: eight tables, table k advances a byte over k
 * further zero bytes, so that eight bytes are taken in one step.
 *
 * The instruction can begin every cycle but takes three, and each step needs the one before: three stretches of the bytes are
 * worked on in turn (V. Gopal et al., "Fast CRC Computation for iSCSI Polynomial Using CRC32 Instruction", Intel, 2011), and
 * joined. A checksum is linear: that of a stretch followed by another is the first's advanced over as many zero bytes, xor the
 * second's. Four tables, one for each byte of a checksum, advance it over STRETCH zero bytes.
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

#define STRETCH 256u /* bytes of one of the three: so few that memory is read from front to back, as it is fetched ahead */

static uint32_t skips[4][256];
static pthread_once_t skips_once = PTHREAD_ONCE_INIT;

__attribute__ ((target ("sse4.2"))) static void skips_fill (void)
{
    for (unsigned bit = 0; bit < 32; bit++) {
        uint64_t c = UINT64_C (1) << bit;
        for (size_t i = 0; i < STRETCH; i += 8)
            c = _mm_crc32_u64 (c, 0);
        for (uint32_t n = 0; n < 256; n++)
            skips[bit / 8][n] ^= n >> bit % 8 & 1 ? (uint32_t)c : 0;
    }
}

static uint32_t skip (uint64_t c)
{
    return skips[0][c & 0xff] ^ skips[1][(c >> 8) & 0xff] ^ skips[2][(c >> 16) & 0xff] ^ skips[3][(c >> 24) & 0xff];
}

static uint64_t word_at (const uint8_t *p)
{
    uint64_t word;
    memcpy (&word, p, sizeof (word));
    return word;
}

__attribute__ ((target ("sse4.2"))) static uint32_t crc32c_sse42 (uint32_t crc, const void *data, size_t size)
{
    const uint8_t *p = data;
    uint64_t c = ~crc;
    if (size >= 3 * STRETCH)
        pthread_once (&skips_once, skips_fill);
    for (; size >= 3 * STRETCH; p += 3 * STRETCH, size -= 3 * STRETCH) {
        uint64_t second = 0, third = 0;
        for (size_t i = 0; i < STRETCH; i += 8) {
            c = _mm_crc32_u64 (c, word_at (p + i));
            second = _mm_crc32_u64 (second, word_at (p + STRETCH + i));
            third = _mm_crc32_u64 (third, word_at (p + 2 * STRETCH + i));
        }
        c = skip (skip (c) ^ second) ^ third;
    }
    for (; size >= 8; p += 8, size -= 8)
        c = _mm_crc32_u64 (c, word_at (p));
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
