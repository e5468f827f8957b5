/* test_histogram.c - the counts of a Histogram record: common/data/histogram.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdint.h>
#include <string.h>

#include "data/histogram.h"

#define ROWS 3
#define BINS 7
#define CELLS (ROWS * BINS)

static char *names[] = { "POPC", "PAPC", "CHOL" };

static void counts_come_back_in_the_narrowest_width_that_holds_them (void **state)
{
    const struct {
        int64_t largest;
        uint32_t width;
    } cases[] = { { 0, 1 }, { 255, 1 }, { 256, 2 }, { 65535, 2 }, { 65536, 4 }, { UINT32_MAX, 4 },
                  { (int64_t)UINT32_MAX + 1, 8 }, { INT64_MAX - CELLS, 8 } };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++)
        for (size_t at = 0; at < CELLS; at += CELLS - 1) {
            int64_t counts[CELLS] = { 0 }, sums[CELLS], total, expected = cases[i].largest;
            uint8_t room[CELLS * 8];
            struct strata_error why;
            Strata__Histogram record = STRATA__HISTOGRAM__INIT;
            counts[CELLS / 2] = 1;
            counts[at] = cases[i].largest;
            histogram_set (&record, counts, ROWS, BINS, room);
            assert_int_equal (record.width, cases[i].width);
            assert_int_equal (record.cells.len, CELLS * cases[i].width);
            if (histogram_check (&record, names, ROWS, BINS, 0, &total, &why) < 0)
                fail_msg ("%s", why.text);
            assert_int_equal (total, expected + 1);
            for (size_t k = 0; k < CELLS; k++)
                sums[k] = (int64_t)k;
            assert_int_equal (histogram_add (&record, 0, BINS, sums) + histogram_add (&record, BINS, CELLS - BINS, sums + BINS), total);
            for (size_t k = 0; k < CELLS; k++)
                assert_int_equal (sums[k], counts[k] + (int64_t)k);
        }
}

static void what_would_make_a_wrong_sum_is_refused_with_its_reason (void **state)
{
    int64_t ones[CELLS], negative[CELLS] = { [9] = -5 }, large[CELLS] = { INT64_MAX - 2, 3 }, total;
    const struct {
        const int64_t *counts;
        uint32_t width; /* 0: as it is */
        int64_t before;
        int shorter;
        const char *says;
    } cases[] = {
        { ones, 0, 0, 0, NULL },
        { ones, 3, 0, 0, "counts of 3 bytes" },
        { ones, UINT32_MAX, 0, 0, "counts of 4294967295 bytes" },
        { ones, 2, 0, 0, "3 rows x 7 bins and 10 counts; the campaign has 3 x 7" },
        { ones, 0, 0, 1, "and 20 counts" },
        { ones, 0, INT64_MAX - CELLS, 0, NULL },
        { ones, 0, INT64_MAX - CELLS + 1, 0, "over 2^63" },
        { negative, 0, 0, 0, "the negative count -5 in row PAPC, bin 2" },
        { large, 0, 0, 0, "a count in row POPC, bin 1 that would take a sum over 2^63" },
    };
    for (size_t i = 0; i < CELLS; i++)
        ones[i] = 1;
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        uint8_t room[CELLS * 8];
        struct strata_error why = { "" };
        Strata__Histogram record = STRATA__HISTOGRAM__INIT;
        histogram_set (&record, cases[i].counts, ROWS, BINS, room);
        record.width = cases[i].width ? cases[i].width : record.width;
        record.cells.len -= (size_t)cases[i].shorter;
        int rc = histogram_check (&record, names, ROWS, BINS, cases[i].before, &total, &why);
        if ((rc < 0) != (cases[i].says != NULL) || (cases[i].says && !strstr (why.text, cases[i].says)))
            fail_msg ("case %zu: %d '%s'", i, rc, why.text);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (counts_come_back_in_the_narrowest_width_that_holds_them),
        cmocka_unit_test (what_would_make_a_wrong_sum_is_refused_with_its_reason),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
