/* The farthest-point sampler of services/select against a plain reading of its rule in double precision. */
#include "../../services/select/farthest_point.h"
#include "../../services/select/nearest.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define MAX 600
#define DIMENSIONS_MAX 16

static uint64_t random_state;

static uint64_t random_next (void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static float random_float (void)
{
    return (float)((double)(random_next () % 2000001) / 1000000.0 - 1.0);
}

/* ---- the rule, read literally: all distances anew for each pick ---- */

struct plain {
    unsigned dimensions, k;
    uint64_t seed;
    size_t count;
    struct {
        char id[32];
        float x[DIMENSIONS_MAX];
        int selected;
        int there;
    } points[MAX];
};

static int rising (const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double plain_rank (const struct plain *self, size_t i)
{
    double distances[MAX];
    size_t n = 0;
    for (size_t j = 0; j < self->count; j++) {
        if (!self->points[j].there || !self->points[j].selected)
            continue;
        double sum = 0;
        for (unsigned d = 0; d < self->dimensions; d++)
            sum += pow ((double)self->points[i].x[d] - (double)self->points[j].x[d], 2);
        distances[n++] = sqrt (sum);
    }
    if (n < self->k)
        return farthest_point_random (self->seed, self->points[i].id);
    qsort (distances, n, sizeof (double), rising);
    double sum = 0;
    for (unsigned j = 0; j < self->k; j++)
        sum += distances[j];
    return sum / self->k;
}

static size_t plain_pick (struct plain *self, double *rank)
{
    size_t best = MAX;
    double best_rank = -1;
    for (size_t i = 0; i < self->count; i++) {
        if (!self->points[i].there || self->points[i].selected)
            continue;
        double r = plain_rank (self, i);
        bool equal = best < MAX && r == best_rank;
        if (best == MAX || r > best_rank || (equal && strcmp (self->points[i].id, self->points[best].id) < 0)) {
            best = i;
            best_rank = r;
        }
    }
    if (best < MAX)
        self->points[best].selected = 1;
    *rank = best_rank;
    return best;
}

static size_t plain_add (struct plain *self, float spread)
{
    size_t i = self->count++;
    snprintf (self->points[i].id, sizeof (self->points[i].id), "c-%zu", (i * 7919) % 1000);
    for (unsigned d = 0; d < self->dimensions; d++)
        self->points[i].x[d] = spread * random_float ();
    self->points[i].selected = 0;
    self->points[i].there = 1;
    return i;
}

static void *create (const struct plain *plain)
{
    struct sampler_options options = { plain->dimensions, plain->k, plain->seed };
    struct strata_error error;
    void *sampler = farthest_point_sampler.create (&options, &error);
    assert_non_null (sampler);
    return sampler;
}

/* ---- tests ---- */

static void picks_and_ranks_are_those_of_the_rule_read_literally (void **state)
{
    static const struct {
        unsigned dimensions, k;
        size_t count, picks;
        float spread;
    } cases[] = {
        { 9, 10, 200, 60, 1 },  { 9, 1, 200, 60, 1 },   { 1, 1, 100, 100, 1 }, { 2, 3, 150, 150, 1e-6f },
        { 16, 5, 300, 40, 1e6f }, { 9, 10, 300, 290, 1 }, { 3, 100, 240, 200, 1e15f },
    };
    const struct sampler_ops *ops = &farthest_point_sampler;
    static struct plain plain;
    for (size_t c = 0; c < sizeof (cases) / sizeof (*cases); c++) {
        random_state = 1234567 + c;
        plain = (struct plain){ .dimensions = cases[c].dimensions, .k = cases[c].k, .seed = 42 + c };
        void *sampler = create (&plain);
        for (size_t i = 0; i < cases[c].count / 2; i++)
            plain_add (&plain, cases[c].spread);
        for (size_t i = 0; i < plain.count; i++)
            ops->add (sampler, plain.points[i].id, plain.points[i].x);
        for (size_t p = 0; p < cases[c].picks; p++) {
            if (plain.count < cases[c].count) {     /* candidates go on coming */
                size_t i = plain_add (&plain, cases[c].spread);
                ops->add (sampler, plain.points[i].id, plain.points[i].x);
            }
            double rank, wanted;
            const char *id = ops->pick (sampler, &rank);
            size_t best = plain_pick (&plain, &wanted);
            if (best == MAX) {
                assert_null (id);
                break;
            }
            assert_string_equal (id, plain.points[best].id);
            assert_true (fabs (rank - wanted) <= 1e-12 * wanted);
        }
        ops->destroy (sampler);
    }
}

static void a_batch_holds_no_two_near_duplicates (void **state)
{
    /* 40 clusters of 10 points within 0.001: the first 40 picks take one of each (k = 1). */
    const struct sampler_ops *ops = &farthest_point_sampler;
    struct sampler_options options = { 9, 1, 7 };
    void *sampler = ops->create (&options, NULL);
    random_state = 99;
    for (int cluster = 0; cluster < 40; cluster++) {
        float centre[9];
        for (int d = 0; d < 9; d++)
            centre[d] = 10 * random_float ();
        for (int i = 0; i < 10; i++) {
            char id[32];
            float x[9];
            for (int d = 0; d < 9; d++)
                x[d] = centre[d] + 0.0003f * random_float ();
            snprintf (id, sizeof (id), "%d/%d", cluster, i);
            ops->add (sampler, id, x);
        }
    }
    int seen[40] = { 0 };
    for (int p = 0; p < 40; p++) {
        double rank;
        int cluster = atoi (ops->pick (sampler, &rank));
        assert_int_equal (seen[cluster]++, 0);
        assert_true (p == 0 || rank > 1);
    }
    double rank;
    assert_non_null (ops->pick (sampler, &rank));
    assert_true (rank < 0.01);
    ops->destroy (sampler);
}

static void equal_ranks_go_by_id_whatever_the_order_of_arrival (void **state)
{
    static const char *orders[][4] = { { "a", "b", "c", "d" }, { "d", "c", "b", "a" }, { "b", "d", "a", "c" } };
    const struct sampler_ops *ops = &farthest_point_sampler;
    for (int o = 0; o < 3; o++) {
        struct sampler_options options = { 2, 1, 7 };
        void *sampler = ops->create (&options, NULL);
        ops->load (sampler, "first", (float[]){ 0, 0 }, true);
        ops->ready (sampler);
        for (int i = 0; i < 4; i++)
            ops->add (sampler, orders[o][i], (float[]){ 1, 0 });
        double rank;
        assert_string_equal (ops->pick (sampler, &rank), "a");
        assert_true (rank == 1);
        assert_string_equal (ops->pick (sampler, &rank), "b");
        assert_true (rank == 0);
        assert_string_equal (ops->pick (sampler, &rank), "c");
        assert_string_equal (ops->pick (sampler, &rank), "d");
        assert_null (ops->pick (sampler, &rank));
        ops->destroy (sampler);
    }
}

static void one_built_from_what_was_stored_picks_the_same (void **state)
{
    const struct sampler_ops *ops = &farthest_point_sampler;
    static struct plain plain;
    for (size_t before = 0; before < 130; before += 13) {
        random_state = 5 + before;
        plain = (struct plain){ .dimensions = 9, .k = 10, .seed = 3 };
        void *first = create (&plain), *second = create (&plain);
        for (int i = 0; i < 300; i++) {
            plain_add (&plain, 1);
            ops->add (first, plain.points[i].id, plain.points[i].x);
        }
        double rank, again;
        for (size_t p = 0; p < before; p++) {
            const char *id = ops->pick (first, &rank);
            for (size_t i = 0; i < plain.count; i++)
                if (strcmp (plain.points[i].id, id) == 0)
                    plain.points[i].selected = 1;
        }
        for (size_t i = plain.count; i-- > 0;)
            ops->load (second, plain.points[i].id, plain.points[i].x, plain.points[i].selected);
        ops->ready (second);
        for (int p = 0; p < 100; p++) {
            assert_string_equal (ops->pick (first, &rank), ops->pick (second, &again));
            assert_true (rank == again);    /* to the last bit */
        }
        assert_int_equal (ops->waiting (first), ops->waiting (second));
        assert_int_equal (ops->selected (first), ops->selected (second));
        ops->destroy (first);
        ops->destroy (second);
    }
}

static void released_picks_leave_no_trace (void **state)
{
    const struct sampler_ops *ops = &farthest_point_sampler;
    static struct plain plain;
    for (size_t kept = 0; kept <= 90; kept += 9) {      /* below and above k */
        random_state = 11 + kept;
        plain = (struct plain){ .dimensions = 5, .k = 10, .seed = 3 };
        void *first = create (&plain), *second = create (&plain);
        for (int i = 0; i < 250; i++) {
            plain_add (&plain, 1);
            ops->add (first, plain.points[i].id, plain.points[i].x);
            ops->add (second, plain.points[i].id, plain.points[i].x);
        }
        double rank, again;
        for (size_t p = 0; p < kept; p++)
            assert_string_equal (ops->pick (first, &rank), ops->pick (second, &again));
        const char *picked[30];
        char ids[30][32];
        for (int p = 0; p < 30; p++) {
            snprintf (ids[p], sizeof (ids[p]), "%s", ops->pick (first, &rank));
            picked[p] = ids[p];
        }
        ops->release (first, picked, 30);
        ops->release (first, picked, 30);       /* they are not selected: nothing happens */
        for (int p = 0; p < 60; p++) {
            assert_string_equal (ops->pick (first, &rank), ops->pick (second, &again));
            assert_true (rank == again);
        }
        ops->destroy (first);
        ops->destroy (second);
    }
}

struct dropped {
    struct plain *plain;
    int count;
    double highest;
};

static void note_dropped (const char *id, double rank, void *arg)
{
    struct dropped *self = arg;
    self->count++;
    if (rank > self->highest)
        self->highest = rank;
    for (size_t i = 0; i < self->plain->count; i++)
        if (strcmp (self->plain->points[i].id, id) == 0) {
            assert_true (fabs (plain_rank (self->plain, i) - rank) <= 1e-12 * rank);
            self->plain->points[i].there = 0;
        }
}

static void the_least_wanted_are_dropped_first_and_the_rest_is_picked_as_before (void **state)
{
    const struct sampler_ops *ops = &farthest_point_sampler;
    static struct plain plain;
    random_state = 21;
    plain = (struct plain){ .dimensions = 4, .k = 1, .seed = 3 };
    void *sampler = create (&plain);
    for (int i = 0; i < 200; i++) {
        plain.points[plain_add (&plain, 1)].selected = i < 20;
        ops->load (sampler, plain.points[i].id, plain.points[i].x, i < 20);
    }
    ops->ready (sampler);
    double rank, wanted;
    for (int round = 0; round < 3; round++) {
        for (int p = 0; p < 10; p++)
            assert_string_equal (ops->pick (sampler, &rank), plain.points[plain_pick (&plain, &wanted)].id);
        struct dropped dropped = { &plain, 0, 0 };
        assert_int_equal (ops->drop (sampler, 30, note_dropped, &dropped), 30);
        assert_int_equal (dropped.count, 30);
        for (size_t i = 0; i < plain.count; i++)
            assert_true (plain.points[i].selected || !plain.points[i].there
                         || plain_rank (&plain, i) >= dropped.highest * (1 - 1e-12));
    }
    assert_int_equal (ops->waiting (sampler), 60);
    assert_int_equal (ops->selected (sampler), 50);
    struct dropped rest = { &plain, 0, 0 };
    assert_int_equal (ops->drop (sampler, 1000, note_dropped, &rest), 60);
    assert_null (ops->pick (sampler, &rank));
    ops->destroy (sampler);
}

static void a_search_gives_the_exact_nearest_also_among_equals_and_far_from_zero (void **state)
{
    static const struct {
        unsigned dimensions;
        float spread, offset;
        int grid;       /* coordinates are whole numbers: many equal distances */
    } cases[] = {
        { 9, 1, 0, 0 },   { 9, 1, 1000, 0 },   { 3, 1e-3f, 100, 0 }, { 2, 3, 0, 1 },
        { 64, 1, 10, 0 }, { 1, 1e15f, 0, 0 },  { 2, 1e-22f, 0, 0 },  { 4, 0, 5, 0 },
    };
    for (size_t c = 0; c < sizeof (cases) / sizeof (*cases); c++) {
        unsigned d = cases[c].dimensions;
        struct nearest *nearest = nearest_new (d, NULL);
        assert_non_null (nearest);
        random_state = 31 + c;
        float x[64];
        double all[1500], got[1500];
        for (size_t n = 0; n <= 1500; n++) {
            for (unsigned j = 0; j < d; j++) {
                x[j] = cases[c].offset + cases[c].spread * random_float ();
                if (cases[c].grid)
                    x[j] = rintf (x[j]);
            }
            if (n % 97 == 0 || n == 1500) {
                for (size_t i = 0; i < n; i++)
                    all[i] = nearest_square (x, nearest_point (nearest, i), d);
                qsort (all, n, sizeof (double), rising);
                static const size_t ks[] = { 1, 10, 200, 1000 };
                for (int k = 0; k < 4; k++) {
                    size_t wanted = ks[k] < n ? ks[k] : n;
                    assert_int_equal (nearest_search (nearest, x, ks[k], got), wanted);
                    for (size_t i = 0; i < wanted; i++)
                        assert_true (got[i] == all[i]);
                }
            }
            if (n < 1500)
                nearest_add (nearest, x);
        }
        assert_int_equal (nearest_count (nearest), 1500);
        nearest_free (&nearest);
        assert_null (nearest);
    }
}

static void random_ranks_are_spread_evenly_and_differ_by_seed (void **state)
{
    int tenth[10] = { 0 };
    for (int i = 0; i < 10000; i++) {
        char id[32];
        snprintf (id, sizeof (id), "sim-1/%08d", i);
        double r = farthest_point_random (2026, id);
        assert_true (r >= 0 && r < 1);
        assert_true (r == farthest_point_random (2026, id));
        assert_true (r != farthest_point_random (2027, id));
        tenth[(int)(r * 10)]++;
    }
    for (int i = 0; i < 10; i++)
        assert_true (tenth[i] > 850 && tenth[i] < 1150);    /* 5 standard deviations are 150 */
}

static void impossible_options_are_refused (void **state)
{
    struct strata_error error;
    assert_null (farthest_point_sampler.create (&(struct sampler_options){ 0, 1, 1 }, &error));
    assert_non_null (strstr (error.text, "dimensions"));
    assert_null (farthest_point_sampler.create (&(struct sampler_options){ 3, 0, 1 }, &error));
    assert_non_null (strstr (error.text, "k is 0"));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (picks_and_ranks_are_those_of_the_rule_read_literally),
        cmocka_unit_test (a_batch_holds_no_two_near_duplicates),
        cmocka_unit_test (equal_ranks_go_by_id_whatever_the_order_of_arrival),
        cmocka_unit_test (one_built_from_what_was_stored_picks_the_same),
        cmocka_unit_test (released_picks_leave_no_trace),
        cmocka_unit_test (the_least_wanted_are_dropped_first_and_the_rest_is_picked_as_before),
        cmocka_unit_test (a_search_gives_the_exact_nearest_also_among_equals_and_far_from_zero),
        cmocka_unit_test (random_ranks_are_spread_evenly_and_differ_by_seed),
        cmocka_unit_test (impossible_options_are_refused),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
