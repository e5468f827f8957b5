/* Quota rule of services/select: the numeric cases of the field, and what must hold for any input. */
#include "../../services/select/quota.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "random.h"

static void the_cases_of_the_field_come_out_exactly (void **state)
{
    static const struct {
        uint64_t count, c[4], s[4], picks[4];
    } cases[] = {
        { 10, { 1000, 1000, 1000, 1000 }, { 0 }, { 1, 5, 4, 0 } },
        { 200, { 1000, 1000, 1000, 1000 }, { 0 }, { 20, 100, 80, 0 } },
        { 10, { 3, 1000, 0, 5 }, { 0 }, { 2, 8, 0, 0 } },
        { 50, { 100, 100, 100, 0 }, { 100, 0, 0, 0 }, { 0, 28, 22, 0 } },
        { 3, { 5, 5, 5, 0 }, { 0 }, { 0, 2, 1, 0 } },
        { 200, { 100, 20, 1000, 0 }, { 10, 50, 40, 0 }, { 36, 20, 144, 0 } },
        { 10, { 0, 0, 0, 5 }, { 0 }, { 0, 0, 0, 0 } },      /* only invalid ones left: nothing */
        { 10, { 0, 0, 0, 0 }, { 0 }, { 0, 0, 0, 0 } },
        { 0, { 5, 5, 5, 5 }, { 0 }, { 0, 0, 0, 0 } },
        { 1000, { 5, 6, 7, 8 }, { 0 }, { 5, 6, 7, 0 } },    /* all there is */
        { 1, { 5, 5, 5, 0 }, { 0, 1, 0, 0 }, { 0, 0, 1, 0 } },
        { 1, { 5, 5, 5, 0 }, { 0, 2, 2, 0 }, { 0, 1, 0, 0 } },  /* 0.5 and 0.5: the larger quota */
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (*cases); i++) {
        static const double quota[4] = { .1, .5, .4, 0 };
        struct quota_queue q[4];
        uint64_t sum = 0;
        for (int j = 0; j < 4; j++) {
            q[j] = (struct quota_queue){ quota[j], cases[i].c[j], cases[i].s[j], 99 };
            sum += cases[i].picks[j];
        }
        assert_int_equal (quota_share (q, 4, cases[i].count), sum);
        for (int j = 0; j < 4; j++)
            if (q[j].picks != cases[i].picks[j])
                fail_msg ("case %zu queue %d: %lu, not %lu", i, j, q[j].picks, cases[i].picks[j]);
    }
}

static void picks_asked_for_one_at_a_time_keep_to_the_quotas (void **state)
{
    struct quota_queue q[4] = { { .1, 5000, 0, 0 }, { .5, 5000, 0, 0 }, { .4, 5000, 0, 0 }, { 0, 5000, 0, 0 } };
    for (int n = 1; n <= 1000; n++) {
        assert_int_equal (quota_share (q, 4, 1), 1);
        for (int j = 0; j < 4; j++) {
            q[j].candidates -= q[j].picks;
            q[j].selected += q[j].picks;
            double off = (double)q[j].selected - q[j].quota * n;
            assert_true (off > -1.0 && off < 1.0);
        }
    }
    assert_int_equal (q[0].selected, 100);
    assert_int_equal (q[1].selected, 500);
    assert_int_equal (q[2].selected, 400);
    assert_int_equal (q[3].selected, 0);
}

static void any_input_gives_the_sum_asked_for_and_no_more_than_waits (void **state)
{
    random_state = 88172645463325252u;
    for (int round = 0; round < 20000; round++) {
        struct quota_queue q[6], mirror[6];
        size_t n = 1 + random_next () % 6;
        double total = 0;
        uint64_t there = 0, count = random_next () % 10000;
        for (size_t i = 0; i < n; i++) {
            q[i].quota = random_next () % 4 ? (double)(random_next () % 1000) : 0;
            q[i].candidates = random_next () % 3 ? random_next () % 3000 : 0;
            q[i].selected = random_next () % 3 ? random_next () % 100000 : 0;
            total += q[i].quota;
        }
        for (size_t i = 0; i < n; i++) {
            q[i].quota = total > 0 ? q[i].quota / total : 0;
            if (q[i].quota > 0)
                there += q[i].candidates;
        }
        for (size_t i = 0; i < n; i++)
            mirror[i] = q[n - 1 - i];
        uint64_t sum = 0, got = quota_share (q, n, count);
        assert_int_equal (got, count < there ? count : there);
        assert_int_equal (quota_share (mirror, n, count), got);
        for (size_t i = 0; i < n; i++) {
            sum += q[i].picks;
            assert_true (q[i].picks <= q[i].candidates);
            assert_true (q[i].quota > 0 || q[i].picks == 0);
            /* The order of the queues matters for a tie at the most. */
            int64_t differ = (int64_t)q[i].picks - (int64_t)mirror[n - 1 - i].picks;
            assert_true (differ >= -1 && differ <= 1);
        }
        assert_int_equal (sum, got);
    }
}

static void a_quota_that_is_not_a_number_gives_nothing (void **state)
{
    struct quota_queue q[3] = { { 0.0 / 0.0, 10, 0, 0 }, { -1, 10, 0, 0 }, { 1, 10, 0, 0 } };
    assert_int_equal (quota_share (q, 3, 30), 10);
    assert_int_equal (q[2].picks, 10);
    assert_int_equal (quota_share (NULL, 0, 30), 0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (the_cases_of_the_field_come_out_exactly),
        cmocka_unit_test (picks_asked_for_one_at_a_time_keep_to_the_quotas),
        cmocka_unit_test (any_input_gives_the_sum_asked_for_and_no_more_than_waits),
        cmocka_unit_test (a_quota_that_is_not_a_number_gives_nothing),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
