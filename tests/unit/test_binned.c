/* The binned and the random sampler of services/select: the field's numeric cases, and a plain reading of the rule. */
#include "../../services/select/binned.h"
#include "../../services/select/bins.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "random.h"

#define PI 3.14159265358979323846

/* ---- the chunk rule ---- */

static void the_first_chunk_is_that_of_the_numeric_cases (void **state)
{
    static const struct {
        double novelty;
        uint64_t candidates[4], selected[4], chunk[4];
    } cases[] = {
        { 0, { 100, 50, 10, 0 }, { 0 }, { 100, 50, 10, 0 } },
        { .2, { 100, 50, 10, 0 }, { 0 }, { 90, 48, 10, 0 } },
        { .5, { 100, 50, 10, 0 }, { 0 }, { 67, 38, 10, 0 } },
        { 1, { 100, 50, 10, 0 }, { 0 }, { 1, 1, 1, 0 } },
        { 1, { 100, 50, 10, 5 }, { 20, 0, 0, 0 }, { 1, 21, 10, 5 } },
        { .3, { 0, 0, 7, 0 }, { 5, 5, 0, 0 }, { 0, 0, 7, 0 } },     /* one bin left: all of it */
        { .3, { 0, 0, 0, 0 }, { 5, 5, 0, 0 }, { 0, 0, 0, 0 } },
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (*cases); i++) {
        uint64_t chunk[4];
        bins_chunk (cases[i].candidates, cases[i].selected, 4, cases[i].novelty, chunk);
        for (int b = 0; b < 4; b++)
            if (chunk[b] != cases[i].chunk[b])
                fail_msg ("case %zu: bin %d gives %d, not %d", i, b, (int)chunk[b], (int)cases[i].chunk[b]);
    }
}

/* Chunks until nothing waits; fails when one is empty or takes more than there is. */
static size_t chunks_until_empty (uint64_t *candidates, uint64_t *selected, size_t bins, double novelty)
{
    uint64_t chunk[64];
    for (size_t chunks = 0;; chunks++) {
        uint64_t waiting = 0, taken = 0;
        for (size_t b = 0; b < bins; b++)
            waiting += candidates[b];
        if (waiting == 0)
            return chunks;
        bins_chunk (candidates, selected, bins, novelty, chunk);
        for (size_t b = 0; b < bins; b++) {
            assert_true (chunk[b] <= candidates[b]);
            taken += chunk[b];
            candidates[b] -= chunk[b];
            selected[b] += chunk[b];
        }
        assert_true (taken > 0);
    }
}

static void full_novelty_takes_51_chunks_for_100_50_and_10 (void **state)
{
    uint64_t candidates[] = { 100, 50, 10, 0 }, selected[4] = { 0 };
    assert_int_equal (chunks_until_empty (candidates, selected, 4, 1), 51);
}

static void any_novelty_and_any_history_come_to_an_end (void **state)
{
    random_state = 2026;
    for (int trial = 0; trial < 4000; trial++) {
        uint64_t candidates[12], selected[12];
        size_t bins = 1 + random_next () % 12;
        for (size_t b = 0; b < bins; b++) {
            candidates[b] = random_next () % 3 ? random_next () % 40 : 0;
            selected[b] = random_next () % 2 ? random_next () % (random_next () % 4 ? 30 : 100000) : 0;
        }
        double novelty = trial % 7 == 0 ? 1 : trial % 7 == 1 ? 0 : (double)(random_next () % 1001) / 1000;
        chunks_until_empty (candidates, selected, bins, novelty);
    }
}

/* ---- bins ---- */

static void spherical_and_depth_bins_are_1510_and_hold_their_lower_edges (void **state)
{
    static double depth[] = { 1.5, 2, 2.5, 3 };
    const struct campaign_bins items[] = { { .kind = (char *)"spherical" },
                                           { .kind = (char *)"edges", .edges = depth, .edges_count = 4 } };
    static const int rows[] = { 1, 6, 12, 18, 24, 28, 30, 32, 32, 30, 28, 24, 18, 12, 6, 1 };
    struct strata_error error;
    struct bins *bins = bins_new (items, 2, 3, &error);
    assert_non_null (bins);
    assert_int_equal (bins_count (bins), 1510);
    /* Against edges that are looked through one by one. */
    random_state = 5;
    for (int i = 0; i < 200000; i++) {
        float p[3] = { (float)((double)(random_next () % 1000001) / 1e6 * PI),
                       (float)((double)(random_next () % 2000001) / 1e6 * PI - PI),
                       (float)((double)(random_next () % 4001) / 1e3) };
        if (i % 50 == 0)        /* on an edge */
            p[0] = (float)((12.0 * (double)(i / 50 % 16) - 6) * PI / 180);
        size_t row = 0, first = 0, cell = 0, layer = 0;
        while (row < 15 && (double)p[0] >= (12.0 * (double)(row + 1) - 6) * (PI / 180))
            first += (size_t)rows[row++];
        while (cell < (size_t)rows[row] - 1 && (double)p[1] >= -PI + 2 * PI * (double)(cell + 1) / rows[row])
            cell++;
        while (layer < 4 && (double)p[2] >= depth[layer])
            layer++;
        assert_int_equal (bins_find (bins, p), layer * 302 + first + cell);
    }
    static const struct { float p[3]; size_t bin; } ends[] = {
        { { 0, -(float)PI, 0 }, 0 }, { { (float)PI, (float)PI, 0 }, 301 }, { { 4, 4, 99 }, 1509 }, { { -1, -9, -5 }, 0 },
        { { (float)PI, (float)PI, 3 }, 1509 }, { { 0.2f, (float)PI, 1.5f }, 302 + 6 },
    };
    for (size_t i = 0; i < sizeof (ends) / sizeof (*ends); i++)
        assert_int_equal (bins_find (bins, ends[i].p), ends[i].bin);
    bins_free (&bins);
    assert_null (bins);
}

static void bins_that_do_not_fit_are_refused (void **state)
{
    static double falling[] = { 2, 1 };
    const struct campaign_bins spherical = { .kind = (char *)"spherical" };
    const struct campaign_bins bad_edges = { .kind = (char *)"edges", .edges = falling, .edges_count = 2 };
    const struct campaign_bins uniform = { .kind = (char *)"uniform", .min = 0, .max = 1, .bins = 1000000 };
    const struct campaign_bins empty = { .kind = (char *)"uniform", .min = 1, .max = 1, .bins = 3 };
    const struct campaign_bins two[] = { uniform, uniform };
    struct strata_error error;
    assert_null (bins_new (&spherical, 1, 3, &error));
    assert_non_null (strstr (error.text, "divides 2 coordinates, but points have 3"));
    assert_null (bins_new (&bad_edges, 1, 1, &error));
    assert_non_null (strstr (error.text, "above"));
    assert_null (bins_new (&empty, 1, 1, &error));
    assert_null (bins_new (two, 2, 2, &error));
    assert_non_null (strstr (error.text, "more than"));
}

/* ---- the sampler ---- */

#define COUNT 600
#define BINS 12

struct plain {
    struct { char id[32]; float x[2]; size_t bin; double rank; int there, selected; } points[COUNT];
    size_t count;
};

struct picks {
    char ids[COUNT][32];
    size_t count;
};

static bool take (const char *id, double rank, void *arg)
{
    struct picks *picks = arg;
    snprintf (picks->ids[picks->count++], 32, "%s", id);
    return true;
}

/* The rule, read literally: chunk after chunk, each in the order of random ranks. */
static void plain_pick (struct plain *self, size_t count, double novelty, struct picks *picks)
{
    picks->count = 0;
    while (picks->count < count) {
        uint64_t candidates[BINS] = { 0 }, selected[BINS] = { 0 }, chunk[BINS];
        for (size_t i = 0; i < self->count; i++) {
            candidates[self->points[i].bin] += self->points[i].there && !self->points[i].selected;
            selected[self->points[i].bin] += self->points[i].there && self->points[i].selected;
        }
        bins_chunk (candidates, selected, BINS, novelty, chunk);
        for (;;) {
            size_t best = COUNT;
            for (size_t i = 0; i < self->count; i++)
                if (self->points[i].there && !self->points[i].selected && chunk[self->points[i].bin] > 0
                    && (best == COUNT || self->points[i].rank > self->points[best].rank))
                    best = i;
            if (best == COUNT || picks->count == count)
                break;
            self->points[best].selected = 1;
            chunk[self->points[best].bin]--;
            snprintf (picks->ids[picks->count++], 32, "%s", self->points[best].id);
        }
    }
}

static void picks_are_those_of_the_rule_read_literally (void **state)
{
    static const struct campaign_bins items[] = { { .kind = (char *)"uniform", .min = 0, .max = 1, .bins = 4 },
                                                  { .kind = (char *)"uniform", .min = 0, .max = 1, .bins = 3 } };
    static const double novelties[] = { 0, .3, .8, 1 };
    static struct plain plain;
    static struct picks wanted, got;
    for (int c = 0; c < 4; c++) {
        struct campaign_select select = { .novelty = novelties[c], .bins = (struct campaign_bins *)items, .bins_count = 2 };
        struct sampler_options options = { 2, 7, &select };
        void *sampler = binned_sampler.create (&options, NULL);
        struct bins *bins = bins_new (items, 2, 2, NULL);
        random_state = 3 + (uint64_t)c;
        plain.count = 0;
        for (int round = 0; round < 12; round++) {
            for (int i = 0; i < 50; i++) {
                size_t at = plain.count++;
                snprintf (plain.points[at].id, 32, "p%zu", at * 7919 % 10007);
                for (int d = 0; d < 2; d++)     /* many in few bins */
                    plain.points[at].x[d] = (float)pow ((double)(random_next () % 1000) / 1000, 2 + d);
                plain.points[at].bin = bins_find (bins, plain.points[at].x);
                plain.points[at].rank = ids_random (7, plain.points[at].id);
                plain.points[at].there = 1;
                plain.points[at].selected = 0;
                binned_sampler.add (sampler, plain.points[at].id, plain.points[at].x);
            }
            got.count = 0;
            plain_pick (&plain, 23, novelties[c], &wanted);
            assert_int_equal (binned_sampler.pick (sampler, 23, take, &got), 23);
            for (int i = 0; i < 23; i++)
                assert_string_equal (got.ids[i], wanted.ids[i]);
            if (round % 3 == 1) {       /* the proposal comes back */
                const char *ids[COUNT];
                for (size_t i = 0; i < got.count; i++)
                    ids[i] = got.ids[i];
                binned_sampler.release (sampler, ids, got.count);
                for (size_t i = 0; i < plain.count; i++)
                    for (size_t j = 0; j < got.count; j++)
                        if (strcmp (plain.points[i].id, got.ids[j]) == 0)
                            plain.points[i].selected = 0;
            }
            if (round % 3 == 2) {
                const char *ids[COUNT];
                size_t n = 0;
                for (size_t i = 0; i < plain.count; i += 9)
                    if (plain.points[i].there && !plain.points[i].selected) {
                        plain.points[i].there = 0;
                        ids[n++] = plain.points[i].id;
                    }
                binned_sampler.remove (sampler, ids, n);
            }
        }
        binned_sampler.destroy (sampler);
        bins_free (&bins);
    }
}

static void chance_takes_the_highest_random_ranks (void **state)
{
    struct campaign_select select = { .k = 1 };
    struct sampler_options options = { 2, 7, &select };
    static struct picks got;
    void *sampler = random_sampler.create (&options, NULL);
    double last = 1;
    for (int i = 0; i < 500; i++) {
        char id[32];
        snprintf (id, sizeof (id), "r%d", i);
        random_sampler.add (sampler, id, (float[]){ 1, 2 });
    }
    got.count = 0;
    assert_int_equal (random_sampler.pick (sampler, 600, take, &got), 500);
    for (size_t i = 0; i < got.count; i++) {
        assert_true (ids_random (7, got.ids[i]) < last);
        last = ids_random (7, got.ids[i]);
    }
    random_sampler.destroy (sampler);
}

struct dropping {
    size_t count;
    double highest;
};

static void note_dropped (const char *id, double rank, void *arg)
{
    struct dropping *self = arg;
    self->count++;
    self->highest = rank > self->highest ? rank : self->highest;
}

static void a_cap_leaves_a_sample_of_what_was_there (void **state)
{
    static const struct campaign_bins items[] = { { .kind = (char *)"uniform", .min = 0, .max = 1, .bins = 2 } };
    struct campaign_select select = { .novelty = .5, .bins = (struct campaign_bins *)items, .bins_count = 1 };
    struct sampler_options options = { 1, 7, &select };
    void *sampler = binned_sampler.create (&options, NULL);
    for (int i = 0; i < 1000; i++) {
        char id[32];
        snprintf (id, sizeof (id), "r%d", i);
        binned_sampler.add (sampler, id, (float[]){ i % 10 == 0 ? .9f : .1f });
    }
    struct dropping dropping = { 0, 0 };
    assert_int_equal (binned_sampler.drop (sampler, 500, note_dropped, &dropping), 500);
    assert_int_equal (dropping.count, 500);
    static struct picks got;
    got.count = 0;
    assert_int_equal (binned_sampler.pick (sampler, 500, take, &got), 500);
    size_t rare = 0;
    for (size_t i = 0; i < got.count; i++) {
        assert_true (ids_random (7, got.ids[i]) > dropping.highest);
        rare += atoi (got.ids[i] + 1) % 10 == 0;
    }
    assert_true (rare > 25 && rare < 80);       /* 50 expected */
    assert_int_equal (binned_sampler.points (sampler)->waiting, 0);
    binned_sampler.destroy (sampler);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (the_first_chunk_is_that_of_the_numeric_cases),
        cmocka_unit_test (full_novelty_takes_51_chunks_for_100_50_and_10),
        cmocka_unit_test (any_novelty_and_any_history_come_to_an_end),
        cmocka_unit_test (spherical_and_depth_bins_are_1510_and_hold_their_lower_edges),
        cmocka_unit_test (bins_that_do_not_fit_are_refused),
        cmocka_unit_test (picks_are_those_of_the_rule_read_literally),
        cmocka_unit_test (chance_takes_the_highest_random_ranks),
        cmocka_unit_test (a_cap_leaves_a_sample_of_what_was_there),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
