/* histogram.c - see histogram.h */
#include "data/histogram.h"

#include <string.h>

#if __BYTE_ORDER != __LITTLE_ENDIAN
#error "counts are sent little-endian: swap them in histogram_set, check and add on this machine"
#endif

/* The same loops for each width: plain, so that the compiler makes vector instructions of them. */
#define LOOPS(type, bits)                                                                                                  \
    static void narrow_##bits (const int64_t *counts, size_t n, uint8_t *cells)                                            \
    {                                                                                                                      \
        for (size_t i = 0; i < n; i++) {                                                                                   \
            type cell = (type)counts[i];                                                                                   \
            memcpy (cells + i * sizeof (cell), &cell, sizeof (cell));                                                      \
        }                                                                                                                  \
    }                                                                                                                      \
    static uint64_t add_##bits (const uint8_t *cells, size_t n, int64_t *sums)                                             \
    {                                                                                                                      \
        uint64_t sum = 0;                                                                                                  \
        for (size_t i = 0; i < n; i++) {                                                                                   \
            type cell;                                                                                                     \
            memcpy (&cell, cells + i * sizeof (cell), sizeof (cell));                                                      \
            sums[i] += (int64_t)cell;                                                                                      \
            sum += cell;                                                                                                   \
        }                                                                                                                  \
        return sum;                                                                                                        \
    }
#define SUM(type, bits)                                                                                                    \
    static uint64_t sum_##bits (const uint8_t *cells, size_t n)                                                            \
    {                                                                                                                      \
        uint64_t sum = 0;                                                                                                  \
        for (size_t i = 0; i < n; i++) {                                                                                   \
            type cell;                                                                                                     \
            memcpy (&cell, cells + i * sizeof (cell), sizeof (cell));                                                      \
            sum += cell;                                                                                                   \
        }                                                                                                                  \
        return sum;                                                                                                        \
    }
LOOPS (uint8_t, 8)
LOOPS (uint16_t, 16)
LOOPS (uint32_t, 32)
LOOPS (uint64_t, 64)
SUM (uint8_t, 8)
SUM (uint16_t, 16)
SUM (uint32_t, 32)

void histogram_set (Strata__Histogram *record, const int64_t *counts, size_t rows, size_t bins, uint8_t *room)
{
    uint64_t any = 0; /* has a bit set where any count has: a negative one sets the highest */
    size_t n = rows * bins;
    for (size_t i = 0; i < n; i++)
        any |= (uint64_t)counts[i];
    record->rows = (uint32_t)rows;
    record->bins = (uint32_t)bins;
    record->width = any <= UINT8_MAX ? 1 : any <= UINT16_MAX ? 2 : any <= UINT32_MAX ? 4 : 8;
    record->cells.data = room;
    record->cells.len = n * record->width;
    (record->width == 1   ? narrow_8
     : record->width == 2 ? narrow_16
     : record->width == 4 ? narrow_32
                          : narrow_64) (counts, n, room);
}

static int64_t cell_64 (const Strata__Histogram *record, size_t i)
{
    int64_t cell;
    memcpy (&cell, record->cells.data + i * sizeof (cell), sizeof (cell));
    return cell;
}

int histogram_check (const Strata__Histogram *record, char *const *names, size_t rows, size_t bins, int64_t before,
                     int64_t *total, struct strata_error *why)
{
    const uint8_t *cells = record->cells.data;
    size_t n = rows * bins, width = record->width;
    if (width != 1 && width != 2 && width != 4 && width != 8)
        return strata_fail (why, "counts of %u bytes; the widths are 1, 2, 4 and 8", record->width);
    if (record->rows != rows || record->bins != bins || record->cells.len != n * width)
        return strata_fail (why, "%u rows x %u bins and %zu counts; the campaign has %zu x %zu", record->rows, record->bins,
                            record->cells.len / width, rows, bins);
    int64_t sum = before;
    if (width < 8) {
        /* n is at most 2^27 (the tensor's bound), so this sum is below 2^59. */
        uint64_t small = width == 1 ? sum_8 (cells, n) : width == 2 ? sum_16 (cells, n) : sum_32 (cells, n);
        if (__builtin_add_overflow (sum, (int64_t)small, &sum))
            return strata_fail (why, "counts that would take a sum over 2^63");
    } else
        for (size_t i = 0; i < n; i++) {
            if (cell_64 (record, i) < 0)
                return strata_fail (why, "the negative count %lld in row %s, bin %zu", (long long)cell_64 (record, i),
                                    names[i / bins], i % bins);
            if (__builtin_add_overflow (sum, cell_64 (record, i), &sum))
                return strata_fail (why, "a count in row %s, bin %zu that would take a sum over 2^63", names[i / bins],
                                    i % bins);
        }
    *total = sum - before;
    return 0;
}

uint64_t histogram_add (const Strata__Histogram *record, size_t first, size_t count, int64_t *sums)
{
    const uint8_t *cells = record->cells.data + first * record->width;
    switch (record->width) {
    case 1: return add_8 (cells, count, sums);
    case 2: return add_16 (cells, count, sums);
    case 4: return add_32 (cells, count, sums);
    default: return add_64 (cells, count, sums);
    }
}
