/* The farthest-point sampler of services/select, and its search among points, against a plain reading of its rule in double precision. */
#include "../../services/select/farthest_point.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "random.h"

#define MAX 700
#define DIMENSIONS_MAX 16

static float random_float (void)
{
    return (float)((double)(random_next () % 2000001) / 1000000.0 - 1.0);
}

/* ---- the rule, read literally: all distances anew for each pick ---- */

struct plain {
    unsigned dimensions, k, min_random;
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
    if (n < self->k || n < self->min_random)
        return ids_random (self->seed, self->points[i].id);
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

static void *create_with (unsigned dimensions, struct campaign_select select, uint64_t seed)
{
    struct sampler_options options = { dimensions, seed, &select };
    struct strata_error error;
    void *sampler = farthest_point_sampler.create (&options, &error);
    assert_non_null (sampler);
    return sampler;
}

static void *create (const struct plain *plain)
{
    return create_with (plain->dimensions, (struct campaign_select){ .k = plain->k, .min_random = plain->min_random },
                        plain->seed);
}

struct pick {
    char id[32];
    double rank;
    bool unwanted;          /* in: refuse it */
};

static bool take_pick (const char *id, double rank, void *arg)
{
    struct pick *pick = arg;
    snprintf (pick->id, sizeof (pick->id), "%s", id);
    pick->rank = rank;
    return !pick->unwanted;
}

/* The next pick's id, valid until the next call; NULL: none waits. */
static const char *pick (void *sampler, double *rank)
{
    static struct pick one;
    one.unwanted = false;
    *rank = 0;
    if (farthest_point_sampler.pick (sampler, 1, take_pick, &one) == 0)
        return NULL;
    *rank = one.rank;
    return one.id;
}

static size_t waiting (void *sampler)
{
    return farthest_point_sampler.points (sampler)->waiting;
}

static size_t selected (void *sampler)
{
    return points_selected (farthest_point_sampler.points (sampler));
}

/* ---- tests ---- */

static void picks_and_ranks_are_those_of_the_rule_read_literally (void **state)
{
    static const struct {
        unsigned dimensions, k, min_random;
        size_t count, picks;
        float spread;
    } cases[] = {
        { 9, 10, 0, 200, 60, 1 },    { 9, 1, 0, 200, 60, 1 },    { 1, 1, 0, 100, 100, 1 }, { 2, 3, 0, 150, 150, 1e-6f },
        { 16, 5, 0, 300, 40, 1e6f }, { 9, 10, 0, 400, 390, 1 },  { 3, 100, 0, 240, 200, 1e15f },
        { 9, 1, 10, 200, 60, 1 },    { 9, 10, 4, 200, 60, 1 },   { 9, 3, 30, 200, 60, 1 },
    };
    const struct sampler_ops *ops = &farthest_point_sampler;
    static struct plain plain;
    for (size_t c = 0; c < sizeof (cases) / sizeof (*cases); c++) {
        random_state = 1234567 + c;
        plain = (struct plain){ .dimensions = cases[c].dimensions, .k = cases[c].k,
                                .min_random = cases[c].min_random, .seed = 42 + c };
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
            const char *id = pick (sampler, &rank);
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
    void *sampler = create_with (9, (struct campaign_select){ .k = 1 }, 7);
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
        int cluster = atoi (pick (sampler, &rank));
        assert_int_equal (seen[cluster]++, 0);
        assert_true (p == 0 || rank > 1);
    }
    double rank;
    assert_non_null (pick (sampler, &rank));
    assert_true (rank < 0.01);
    ops->destroy (sampler);
}

static void equal_ranks_go_by_id_whatever_the_order_of_arrival (void **state)
{
    static const char *orders[][4] = { { "a", "b", "c", "d" }, { "d", "c", "b", "a" }, { "b", "d", "a", "c" } };
    const struct sampler_ops *ops = &farthest_point_sampler;
    for (int o = 0; o < 3; o++) {
        void *sampler = create_with (2, (struct campaign_select){ .k = 1 }, 7);
        ops->load (sampler, "first", (float[]){ 0, 0 }, SAMPLER_SELECTED);
        ops->ready (sampler);
        for (int i = 0; i < 4; i++)
            ops->add (sampler, orders[o][i], (float[]){ 1, 0 });
        double rank;
        assert_string_equal (pick (sampler, &rank), "a");
        assert_true (rank == 1);
        assert_string_equal (pick (sampler, &rank), "b");
        assert_true (rank == 0);
        assert_string_equal (pick (sampler, &rank), "c");
        assert_string_equal (pick (sampler, &rank), "d");
        assert_null (pick (sampler, &rank));
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
            const char *id = pick (first, &rank);
            for (size_t i = 0; i < plain.count; i++)
                if (strcmp (plain.points[i].id, id) == 0)
                    plain.points[i].selected = 1;
        }
        for (size_t i = plain.count; i-- > 0;)
            ops->load (second, plain.points[i].id, plain.points[i].x,
                       plain.points[i].selected ? SAMPLER_SELECTED : SAMPLER_WAITING);
        ops->ready (second);
        for (int p = 0; p < 100; p++) {
            assert_string_equal (pick (first, &rank), pick (second, &again));
            assert_true (rank == again);    /* to the last bit */
        }
        assert_int_equal (waiting (first), waiting (second));
        assert_int_equal (selected (first), selected (second));
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
            assert_string_equal (pick (first, &rank), pick (second, &again));
        const char *picked[30];
        char ids[30][32];
        for (int p = 0; p < 30; p++) {
            snprintf (ids[p], sizeof (ids[p]), "%s", pick (first, &rank));
            picked[p] = ids[p];
        }
        ops->release (first, picked, 30);
        ops->release (first, picked, 30);       /* they are not selected: nothing happens */
        for (int p = 0; p < 60; p++) {
            assert_string_equal (pick (first, &rank), pick (second, &again));
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
        ops->load (sampler, plain.points[i].id, plain.points[i].x, i < 20 ? SAMPLER_SELECTED : SAMPLER_WAITING);
    }
    ops->ready (sampler);
    double rank, wanted;
    for (int round = 0; round < 3; round++) {
        for (int p = 0; p < 10; p++)
            assert_string_equal (pick (sampler, &rank), plain.points[plain_pick (&plain, &wanted)].id);
        struct dropped dropped = { &plain, 0, 0 };
        assert_int_equal (ops->drop (sampler, 30, note_dropped, &dropped), 30);
        assert_int_equal (dropped.count, 30);
        for (size_t i = 0; i < plain.count; i++)
            assert_true (plain.points[i].selected || !plain.points[i].there
                         || plain_rank (&plain, i) >= dropped.highest * (1 - 1e-12));
    }
    assert_int_equal (waiting (sampler), 60);
    assert_int_equal (selected (sampler), 50);
    struct dropped rest = { &plain, 0, 0 };
    assert_int_equal (ops->drop (sampler, 1000, note_dropped, &rest), 60);
    assert_null (pick (sampler, &rank));
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
                    double mean = 0;
                    for (size_t i = 0; i < wanted; i++) {
                        assert_true (got[i] == all[i]);
                        mean += sqrt (all[i]);
                    }
                    if (n >= ks[k])
                        assert_true (nearest_bound (nearest, x, ks[k]) >= mean / (double)ks[k]);
                    /* Found first among some, then among the rest. */
                    for (size_t i = 0; i < n / 3; i++)
                        got[i] = nearest_square (x, nearest_point (nearest, i), d);
                    qsort (got, n / 3, sizeof (double), rising);
                    nearest_update (nearest, x, ks[k], n / 3, got);
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
        snprintf (id, sizeof (id), "sim-1/%0*d", i % 17, i);
        struct ids ids = { NULL, 0, 0, 0 };
        assert_true (ids_random (2026, id) == ids_random_of (&ids, 2026, ids_add (&ids, id)));
        ids_fini (&ids);
        double r = ids_random (2026, id);
        assert_true (r >= 0 && r < 1);
        assert_true (r == ids_random (2026, id));
        assert_true (r != ids_random (2027, id));
        tenth[(int)(r * 10)]++;
    }
    for (int i = 0; i < 10; i++)
        assert_true (tenth[i] > 850 && tenth[i] < 1150);    /* 5 standard deviations are 150 */
}

static void what_is_not_wanted_when_it_is_picked_is_forgotten (void **state)
{
    static struct plain plain;
    random_state = 77;
    plain = (struct plain){ .dimensions = 9, .k = 3, .seed = 3 };
    void *sampler = create (&plain);
    for (int i = 0; i < 100; i++) {
        plain_add (&plain, 1);
        farthest_point_sampler.add (sampler, plain.points[i].id, plain.points[i].x);
    }
    double rank, wanted;
    for (int p = 0; p < 30; p++) {
        assert_string_equal (pick (sampler, &rank), plain.points[plain_pick (&plain, &wanted)].id);
        struct pick refused = { .unwanted = true };
        if (p == 20) {      /* all that is left */
            assert_int_equal (farthest_point_sampler.pick (sampler, 5, take_pick, &refused), 0);
            assert_int_equal (waiting (sampler), 0);
            assert_int_equal (selected (sampler), 21);
            break;
        }
    }
    farthest_point_sampler.destroy (sampler);
}

static void removed_candidates_leave_no_trace (void **state)
{
    const struct sampler_ops *ops = &farthest_point_sampler;
    static struct plain plain;
    for (int before = 0; before < 40; before += 13) {
        random_state = 78;
        plain = (struct plain){ .dimensions = 9, .k = 3, .seed = 3 };
        void *sampler = create (&plain);
        for (int i = 0; i < 200; i++) {
            plain_add (&plain, 1);
            ops->add (sampler, plain.points[i].id, plain.points[i].x);
        }
        double rank, wanted;
        for (int p = 0; p < before; p++)
            assert_string_equal (pick (sampler, &rank), plain.points[plain_pick (&plain, &wanted)].id);
        const char *ids[60];
        int count = 0;
        for (size_t i = 0; i < plain.count && count < 60; i += 2)
            if (!plain.points[i].selected) {
                plain.points[i].there = 0;
                ids[count++] = plain.points[i].id;
            }
        ops->remove (sampler, ids, (size_t)count);
        ops->remove (sampler, ids, (size_t)count);
        assert_int_equal (waiting (sampler), 200 - before - count);
        for (int p = 0; p < 60; p++) {
            assert_string_equal (pick (sampler, &rank), plain.points[plain_pick (&plain, &wanted)].id);
            assert_true (fabs (rank - wanted) <= 1e-12 * wanted);
        }
        ops->destroy (sampler);
    }
}

struct batch {
    char ids[64][64];
    size_t count;
};

static bool take_batch (const char *id, double rank, void *arg)
{
    struct batch *batch = arg;
    snprintf (batch->ids[batch->count++], 64, "%s", id);
    return true;
}

static void ranked_once_a_batch_takes_the_highest_ranks_before_it (void **state)
{
    const struct sampler_ops *ops = &farthest_point_sampler;
    static struct plain plain;
    random_state = 79;
    plain = (struct plain){ .dimensions = 4, .k = 10, .seed = 3 };
    void *sampler = create_with (4, (struct campaign_select){ .k = 10, .batch = (char *)"rank-once" }, 3);
    for (int i = 0; i < 400; i++) {
        plain_add (&plain, 1);
        ops->add (sampler, plain.points[i].id, plain.points[i].x);
    }
    for (int round = 0; round < 12; round++) {
        struct batch batch = { .count = 0 };
        size_t best[20];
        double rank;
        assert_int_equal (ops->pick (sampler, 20, take_batch, &batch), 20);
        /* DynIm: all ranks, then the 20 highest. */
        for (int i = 0; i < 20; i++) {
            best[i] = plain_pick (&plain, &rank);
            plain.points[best[i]].selected = 0;
            plain.points[best[i]].there = 0;
            assert_string_equal (batch.ids[i], plain.points[best[i]].id);
        }
        for (int i = 0; i < 20; i++)
            plain.points[best[i]].selected = plain.points[best[i]].there = 1;
    }
    ops->destroy (sampler);
}

static void weights_count_the_candidates_nearest_to_each_selected_point (void **state)
{
    const struct sampler_ops *ops = &farthest_point_sampler;
    static struct plain plain;
    random_state = 80;
    plain = (struct plain){ .dimensions = 2, .k = 3, .seed = 3 };
    void *sampler = create (&plain);
    double rank;
    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < 8; i++) {
            size_t at = plain_add (&plain, 1);
            for (int d = 0; d < 2; d++)     /* on a grid: many are equally near */
                plain.points[at].x[d] = rintf (4 * plain.points[at].x[d]);
            ops->add (sampler, plain.points[at].id, plain.points[at].x);
        }
        const char *picked[3];
        char ids[3][32];
        for (int p = 0; p < 3; p++) {
            snprintf (ids[p], sizeof (ids[p]), "%s", pick (sampler, &rank));
            picked[p] = ids[p];
        }
        if (round % 4 == 1)
            ops->release (sampler, picked + 1, 2);
        for (int p = 0; p < (round % 4 == 1 ? 1 : 3); p++)
            for (size_t i = 0; i < plain.count; i++)
                if (strcmp (plain.points[i].id, ids[p]) == 0)
                    plain.points[i].selected = 1;
        if (round % 3)
            continue;
        struct points *points = ops->points (sampler);
        while (!points_weigh (points, 100))
            ;
        uint64_t counts[MAX], wanted[MAX] = { 0 };
        points_owned (points, counts);
        for (size_t i = 0; i < plain.count; i++) {
            size_t best = MAX;
            double least = 0;
            for (size_t j = 0; j < plain.count && !plain.points[i].selected; j++) {
                double square = nearest_square (plain.points[i].x, plain.points[j].x, 2);
                if (plain.points[j].selected
                    && (best == MAX || square < least
                        || (square == least && strcmp (plain.points[j].id, plain.points[best].id) < 0))) {
                    best = j;
                    least = square;
                }
            }
            if (best < MAX)
                wanted[best]++;
        }
        for (size_t s = 0; s < points_selected (points); s++)
            for (size_t i = 0; i < plain.count; i++)
                if (strcmp (plain.points[i].id, points_selected_id (points, s)) == 0)
                    assert_int_equal (counts[s], wanted[i]);
    }
    ops->destroy (sampler);
}

struct trace {
    char text[200000];
    size_t used;
};

static bool trace_pick (const char *id, double rank, void *arg)
{
    struct trace *self = arg;
    self->used += (size_t)snprintf (self->text + self->used, sizeof (self->text) - self->used, "%s %a\n", id, rank);
    return true;
}

static void trace_drop (const char *id, double rank, void *arg)
{
    trace_pick (id, rank, arg);
}

static void any_number_of_threads_gives_the_same_to_the_last_bit (void **state)
{
    const struct sampler_ops *ops = &farthest_point_sampler;
    static struct trace traces[3];
    int threads = omp_get_max_threads ();
    for (int run = 0; run < 3; run++) {
        /* Enough for every loop that is shared out: bounds, ranks, weights. */
        void *sampler = create_with (5, (struct campaign_select){ .k = 4 }, 9);
        struct trace *trace = &traces[run];
        trace->used = 0;
        random_state = 4711;
        omp_set_num_threads (1 + 3 * run);
        for (int i = 0; i < 24000; i++) {
            char id[32];
            float x[5];
            snprintf (id, sizeof (id), "t-%d", i);
            for (int d = 0; d < 5; d++)
                x[d] = random_float ();
            ops->load (sampler, id, x, i < 1000 ? SAMPLER_SELECTED : SAMPLER_WAITING);
        }
        ops->ready (sampler);
        assert_int_equal (ops->pick (sampler, 200, trace_pick, trace), 200);
        assert_int_equal (ops->drop (sampler, 2000, trace_drop, trace), 2000);
        assert_int_equal (ops->pick (sampler, 200, trace_pick, trace), 200);
        struct points *points = ops->points (sampler);
        static uint64_t counts[1400];
        assert_true (points_weigh (points, UINT64_MAX));
        points_owned (points, counts);
        for (size_t i = 0; i < points_selected (points); i++)
            trace->used += (size_t)snprintf (trace->text + trace->used, sizeof (trace->text) - trace->used, "%d ",
                                             (int)counts[i]);
        assert_true (trace->used < sizeof (trace->text));
        ops->destroy (sampler);
    }
    omp_set_num_threads (threads);
    assert_string_equal (traces[0].text, traces[1].text);
    assert_string_equal (traces[0].text, traces[2].text);
}

static void impossible_options_are_refused (void **state)
{
    struct strata_error error;
    struct campaign_select select = { .k = 1 };
    assert_null (farthest_point_sampler.create (&(struct sampler_options){ 0, 1, &select }, &error));
    assert_non_null (strstr (error.text, "dimensions"));
    assert_null (farthest_point_sampler.create (&(struct sampler_options){ 65, 1, &select }, &error));
    assert_non_null (strstr (error.text, "dimensions"));
    select.k = 0;
    assert_null (farthest_point_sampler.create (&(struct sampler_options){ 3, 1, &select }, &error));
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
        cmocka_unit_test (what_is_not_wanted_when_it_is_picked_is_forgotten),
        cmocka_unit_test (removed_candidates_leave_no_trace),
        cmocka_unit_test (ranked_once_a_batch_takes_the_highest_ranks_before_it),
        cmocka_unit_test (weights_count_the_candidates_nearest_to_each_selected_point),
        cmocka_unit_test (any_number_of_threads_gives_the_same_to_the_last_bit),
        cmocka_unit_test (impossible_options_are_refused),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
