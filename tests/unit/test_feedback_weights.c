/* test_feedback_weights.c - reports in which each simulation weighs what select says when they are made; the sums stay integers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../services/feedback/feedback_core.h"
#include "../../services/feedback/report.h"
#include "../../services/feedback/weights.h"
#include "data/histogram.h"
#include "scratch.h"

#define STATES 2
#define ROWS 2
#define BINS 5
#define BLOCK (ROWS * BINS)
#define CELLS (STATES * BLOCK)
#define SECOND 1000000LL
#define SIMULATIONS 4

static char *state_names[] = { "RASa", "mRASa" };
static char *row_names[] = { "POPC", "CHOL" };
static const struct campaign_feedback config = {
    .from = "rdfs",
    .uptake = "uptakes",
    .states = state_names,
    .states_count = STATES,
    .rows = row_names,
    .rows_count = ROWS,
    .bins = BINS,
    .range_min_angstrom = 0.1,
    .range_max_angstrom = 120,
    .frames = 4,
    .seconds = 30,
    .shards = 1,
    .weights = true,
};
/* One begins as another does, and goes on with '/', so that their keys stand beside each other. */
static char *const names[SIMULATIONS] = { "p-1", "p-1/b", "p-10", "q" };

struct world {
    char dir[64], store[80];
    struct shard *shard;
    struct feedback *feedback;
    int64_t counted[SIMULATIONS][CELLS]; /* by hand */
};

static void world_open (struct world *w)
{
    struct strata_error error = { "" };
    w->shard = shard_open (w->store, &error);
    if (!w->shard)
        fail_msg ("%s", error.text);
    w->feedback = feedback_new (w->shard, &config, 0, 100 * SECOND, &error);
    if (!w->feedback)
        fail_msg ("%s", error.text);
}

static void crash (struct world *w)
{
    feedback_free (&w->feedback);
    shard_close (&w->shard);
    world_open (w);
}

static void commit (struct world *w)
{
    struct strata_error error;
    assert_int_equal (shard_commit (w->shard, &error), 0);
}

static int setup (void **state)
{
    struct world *w = calloc (1, sizeof (*w));
    assert_true (scratch_new (w->dir, sizeof (w->dir)));
    snprintf (w->store, sizeof (w->store), "%s/feedback-0", w->dir);
    world_open (w);
    *state = w;
    return 0;
}

static int teardown (void **state)
{
    struct world *w = *state;
    char command[120];
    feedback_free (&w->feedback);
    shard_close (&w->shard);
    snprintf (command, sizeof (command), "rm -rf '%s'", w->dir);
    assert_int_equal (system (command), 0);
    free (w);
    return 0;
}

static void add (struct world *w, unsigned simulation, uint64_t frame, unsigned state)
{
    Strata__Histogram h = STRATA__HISTOGRAM__INIT;
    struct strata_error why = { "" };
    uint8_t room[BLOCK * 8];
    int64_t counts[BLOCK];
    for (unsigned i = 0; i < BLOCK; i++) {
        counts[i] = (int64_t)((frame * 7919 + simulation * 31 + i * 104729) % 13 % 5);
        w->counted[simulation][state * BLOCK + i] += counts[i];
    }
    h.simulation = names[simulation];
    h.frame = frame;
    h.state = state_names[state];
    histogram_set (&h, counts, ROWS, BINS, room);
    if (feedback_add (w->feedback, &h, &why) != FEEDBACK_ADDED)
        fail_msg ("%s", why.text);
}

static void decide (struct world *w, const double weights[SIMULATIONS])
{
    Strata__ReportWeights all = STRATA__REPORT_WEIGHTS__INIT;
    Strata__SimulationWeight one[SIMULATIONS], *list[SIMULATIONS];
    all.weights = list;
    for (unsigned i = 0; i < SIMULATIONS; i++) {
        strata__simulation_weight__init (&one[i]);
        one[i].simulation = names[i];
        one[i].weight = weights[i];
        if (weights[i] > 0) /* 0: select does not know it */
            list[all.n_weights++] = &one[i];
    }
    weights_sort (&all);
    feedback_decide_weighted (w->feedback, &all, 200 * SECOND);
}

static void assert_weighted (const struct world *w, const struct feedback_report *report, const double weights[SIMULATIONS])
{
    assert_non_null (report->weighted);
    for (unsigned i = 0; i < CELLS; i++) {
        double expected = 0;
        int64_t sum = 0;
        for (unsigned s = 0; s < SIMULATIONS; s++) {
            expected += (weights[s] > 0 ? weights[s] : 1) * (double)w->counted[s][i];
            sum += w->counted[s][i];
        }
        assert_int_equal (report->sums[i], sum);
        if (report->weighted[i] != expected) /* added up in the order of the names, as here: the same bits */
            fail_msg ("cell %u: %.17g instead of %.17g", i, report->weighted[i], expected);
    }
}

static Strata__ReportWeights *list_of (const uint64_t *owned, size_t count)
{
    Strata__ReportWeights *all = calloc (1, sizeof (*all));
    strata__report_weights__init (all);
    all->weights = calloc (count, sizeof (*all->weights));
    for (size_t i = 0; i < count; i++) {
        all->weights[i] = malloc (sizeof (**all->weights));
        strata__simulation_weight__init (all->weights[i]);
        all->weights[i]->simulation = strdup ("s");
        all->weights[i]->weight = 1 + (double)owned[i];
    }
    all->n_weights = count;
    return all;
}

/* formats.md: 1 + number of candidates whose nearest selected point it is, normalised to mean 1 in each queue. */
static void the_weights_of_each_queue_have_mean_one (void **state)
{
    static const struct {
        size_t count;
        uint64_t owned[5];
        double weights[5];
    } cases[] = {
        { 1, { 0 }, { 1 } },
        { 1, { 1000000 }, { 1 } },
        { 3, { 0, 1, 4 }, { 0.375, 0.75, 1.875 } },
        { 4, { 0, 0, 0, 0 }, { 1, 1, 1, 1 } },
        { 5, { 0, 0, 0, 0, 95 }, { 0.05, 0.05, 0.05, 0.05, 4.8 } },
    };
    for (size_t c = 0; c < sizeof (cases) / sizeof (cases[0]); c++) {
        uint64_t owned[7] = { 7, 3 }; /* another queue before it, which is left alone */
        memcpy (owned + 2, cases[c].owned, cases[c].count * sizeof (*owned));
        Strata__ReportWeights *all = list_of (owned, cases[c].count + 2);
        weights_normalise (all, 2);
        assert_true (all->weights[0]->weight == 8 && all->weights[1]->weight == 4);
        for (size_t i = 0; i < cases[c].count; i++)
            assert_float_equal (all->weights[i + 2]->weight, cases[c].weights[i], 1e-12);
        strata__report_weights__free_unpacked (all, NULL);
    }
}

static void weights_apply_to_all_frames_at_the_moment_of_the_report (void **state)
{
    struct world *w = *state;
    static const double first[SIMULATIONS] = { 0.375, 0.75, 1.875, 0 }, second[SIMULATIONS] = { 1.0 / 3, 5, 0.1, 2.7 };
    for (uint64_t frame = 1; frame <= 40; frame++) {
        add (w, frame % 3, frame, frame % STATES);
        if (frame % 7 == 0) {
            commit (w);
            crash (w);
        }
    }
    add (w, 3, 1, 0); /* of this turn: not in the store yet */
    decide (w, first);
    assert_true (feedback_weigh (w->feedback, SIZE_MAX));
    const struct feedback_report *report = feedback_pending (w->feedback);
    assert_weighted (w, report, first);
    assert_int_equal (report->weighed, 3);
    assert_int_equal (report->unweighed, 1);
    feedback_written (w->feedback);
    commit (w);
    /* Frames that are in the first report weigh otherwise in the second. */
    add (w, 0, 100, 1);
    decide (w, second);
    assert_true (feedback_weigh (w->feedback, SIZE_MAX));
    assert_weighted (w, feedback_pending (w->feedback), second);
    assert_int_equal (feedback_pending (w->feedback)->weighed, 4);
}

static void a_crash_while_it_is_weighed_leads_to_the_same_bytes (void **state)
{
    struct world *w = *state;
    static const double weights[SIMULATIONS] = { 0.1, 0.7, 1.0 / 3, 2.9 };
    for (uint64_t frame = 1; frame <= 30; frame++)
        add (w, frame % SIMULATIONS, frame, frame / SIMULATIONS % STATES); /* 16 rows */
    decide (w, weights);
    commit (w);
    void *bytes[2];
    size_t size[2], steps = 0;
    struct strata_error error;
    for (unsigned half = 0; half < 3; half++) { /* a crash after none, some, and most of it */
        crash (w);
        assert_null (feedback_pending (w->feedback)->weighted);
        for (unsigned i = 0; i < 5 * half; i++)
            assert_false (feedback_weigh (w->feedback, 1));
    }
    crash (w);
    while (!feedback_weigh (w->feedback, 1))
        steps++;
    assert_true (steps > 5);
    assert_weighted (w, feedback_pending (w->feedback), weights);
    assert_int_equal (report_npz (feedback_pending (w->feedback), &bytes[0], &size[0], &error), 0);
    /* It can't be written: its sums stay as they are while frames go on, also through a crash. */
    feedback_hold (w->feedback);
    int64_t before[SIMULATIONS][CELLS];
    memcpy (before, w->counted, sizeof (before));
    for (uint64_t frame = 100; frame <= 120; frame++)
        add (w, frame % SIMULATIONS, frame, frame % STATES);
    commit (w);
    crash (w);
    int64_t after[SIMULATIONS][CELLS];
    memcpy (after, w->counted, sizeof (after));
    memcpy (w->counted, before, sizeof (before));
    assert_true (feedback_weigh (w->feedback, 1));
    assert_weighted (w, feedback_pending (w->feedback), weights);
    assert_int_equal (report_npz (feedback_pending (w->feedback), &bytes[1], &size[1], &error), 0);
    assert_int_equal (size[0], size[1]);
    assert_memory_equal (bytes[0], bytes[1], size[0]);
    free (bytes[0]);
    free (bytes[1]);
    memcpy (w->counted, after, sizeof (after));
    feedback_written (w->feedback);
    commit (w);
    decide (w, weights);
    assert_true (feedback_weigh (w->feedback, SIZE_MAX));
    assert_weighted (w, feedback_pending (w->feedback), weights);
}

/* In rows looked at, so that no clock is needed. */
static void the_cost_of_a_report_does_not_depend_on_how_many_frames_were_seen (void **state)
{
    struct world *w = *state;
    static const double weights[SIMULATIONS] = { 0.5, 1.5, 1, 1 };
    size_t steps[3] = { 0 };
    uint64_t frame = 1;
    for (unsigned round = 0; round < 3; round++) {
        for (uint64_t upto = (uint64_t[]){ 40, 400, 4000 }[round]; frame <= upto; frame++)
            add (w, frame % SIMULATIONS, frame, frame / SIMULATIONS % STATES);
        decide (w, weights);
        while (!feedback_weigh (w->feedback, 1))
            steps[round]++;
        assert_weighted (w, feedback_pending (w->feedback), weights);
        feedback_written (w->feedback);
        commit (w);
    }
    assert_int_equal (steps[0], SIMULATIONS * STATES * ROWS - 1);
    assert_int_equal (steps[1], steps[0]);
    assert_int_equal (steps[2], steps[0]);
}

static void sums_of_a_campaign_without_weights_are_refused_and_so_are_shards (void **state)
{
    struct world *w = *state;
    struct strata_error error;
    struct campaign_feedback without = config, shards = config;
    without.weights = false;
    shards.shards = 2;
    commit (w);
    assert_null (feedback_new (w->shard, &without, 0, 0, &error));
    assert_non_null (strstr (error.text, "other weights"));
    assert_null (feedback_new (w->shard, &shards, 0, 0, &error));
    assert_non_null (strstr (error.text, "feedback.weights is true, and feedback.shards is 2"));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (the_weights_of_each_queue_have_mean_one),
        cmocka_unit_test_setup_teardown (weights_apply_to_all_frames_at_the_moment_of_the_report, setup, teardown),
        cmocka_unit_test_setup_teardown (a_crash_while_it_is_weighed_leads_to_the_same_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown (the_cost_of_a_report_does_not_depend_on_how_many_frames_were_seen, setup, teardown),
        cmocka_unit_test_setup_teardown (sums_of_a_campaign_without_weights_are_refused_and_so_are_shards, setup, teardown),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
