/* test_feedback_core.c - each frame once, exact sums, and reports that a crash at any step does not change. */
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
#include "data/histogram.h"
#include "store/stream.h"
#include "scratch.h"

#define STATES 3
#define ROWS 2
#define BINS 5
#define BLOCK (ROWS * BINS)
#define SECOND 1000000LL

static char *state_names[] = { "RASa", "RASb", "mRASa" };
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
};

/* A shard on disk, so that a crash can be played: closing drops what was not committed. */
struct world {
    char dir[64], store[80];
    struct shard *shard;
    struct feedback *feedback;
    struct campaign_feedback config;
};

static void world_open (struct world *w)
{
    struct strata_error error = { "" };
    w->shard = shard_open (w->store, &error);
    if (!w->shard)
        fail_msg ("%s", error.text);
    w->feedback = feedback_new (w->shard, &w->config, 0, 100 * SECOND, &error);
    if (!w->feedback)
        fail_msg ("%s", error.text);
}

static void world_crash (struct world *w)
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
    w->config = config;
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

static enum feedback_outcome add (struct world *w, const char *simulation, uint64_t frame, const char *state,
                                  const int64_t *counts, struct strata_error *why)
{
    Strata__Histogram h = STRATA__HISTOGRAM__INIT;
    h.simulation = (char *)simulation;
    h.frame = frame;
    h.state = (char *)state;
    uint8_t room[BLOCK * 8];
    histogram_set (&h, counts, ROWS, BINS, room);
    return feedback_add (w->feedback, &h, why);
}

static void fill (int64_t counts[BLOCK], unsigned seed)
{
    for (unsigned i = 0; i < BLOCK; i++)
        counts[i] = (seed * 7919 + i * 104729) % 13 % 5; /* some are zero */
}

static void add_good (struct world *w, const char *simulation, uint64_t frame, unsigned state)
{
    int64_t counts[BLOCK];
    struct strata_error why = { "" };
    fill (counts, (unsigned)frame + 31 * state);
    if (add (w, simulation, frame, state_names[state], counts, &why) != FEEDBACK_ADDED)
        fail_msg ("%s", why.text);
}

/* Decides, and says what the report holds. */
static const struct feedback_report *decide (struct world *w, int64_t now_us)
{
    feedback_decide (w->feedback, now_us);
    const struct feedback_report *report = feedback_pending (w->feedback);
    assert_non_null (report);
    return report;
}

static void sums_equal_a_count_by_hand_before_and_after_a_restart (void **state)
{
    struct world *w = *state;
    int64_t expected[STATES][BLOCK] = { { 0 } };
    uint64_t frames[STATES] = { 0 }, counts[STATES] = { 0 };
    w->config.frames = 100000;
    for (unsigned i = 0; i < 300; i++) {
        char simulation[20];
        int64_t block[BLOCK];
        unsigned s = i * i % STATES;
        snprintf (simulation, sizeof (simulation), "cg-%u", i % 7);
        fill (block, i + 1 + 31 * s);
        add_good (w, simulation, i + 1, s);
        frames[s]++;
        for (unsigned c = 0; c < BLOCK; c++) {
            expected[s][c] += block[c];
            counts[s] += (uint64_t)block[c];
        }
        if (i % 50 == 49) {
            commit (w);
            world_crash (w);
        }
    }
    const struct feedback_report *report = decide (w, 101 * SECOND);
    assert_memory_equal (report->sums, expected, sizeof (expected));
    assert_memory_equal (report->state_frames, frames, sizeof (frames));
    assert_memory_equal (report->state_counts, counts, sizeof (counts));
    assert_int_equal (report->frames, 300);
    assert_int_equal (report->simulations, 7);
}

static void a_frame_counts_once_in_whatever_order_its_copies_come (void **state)
{
    struct world *w = *state;
    int64_t counts[BLOCK];
    struct strata_error why;
    struct feedback_figures figures;
    fill (counts, 1);
    w->config.frames = 100000;
    /* Out of order, as when a simulation was moved to another node: its newer frames may be read first. */
    const uint64_t order[] = { 5, 1, 5, 3, 1, 0, 0, 3 };
    const enum feedback_outcome outcome[] = { FEEDBACK_ADDED,  FEEDBACK_ADDED, FEEDBACK_REPEAT, FEEDBACK_ADDED,
                                              FEEDBACK_REPEAT, FEEDBACK_ADDED, FEEDBACK_REPEAT, FEEDBACK_REPEAT };
    for (size_t i = 0; i < sizeof (order) / sizeof (order[0]); i++) {
        assert_int_equal (add (w, "cg-1", order[i], "RASa", counts, &why), outcome[i]);
        commit (w);
        if (i % 2)
            world_crash (w);
    }
    /* Another simulation's frame of the same number is another frame; so are names that begin alike. */
    assert_int_equal (add (w, "cg-2", 5, "RASa", counts, &why), FEEDBACK_ADDED);
    assert_int_equal (add (w, "cg-1/a", 5, "RASa", counts, &why), FEEDBACK_ADDED);
    feedback_figures (w->feedback, &figures);
    assert_int_equal (figures.frames, 6);
    assert_int_equal (figures.simulations, 3);
    assert_int_equal (figures.repeats, 4);
    const struct feedback_report *report = decide (w, 101 * SECOND);
    for (unsigned c = 0; c < BLOCK; c++)
        assert_int_equal (report->sums[c], 6 * counts[c]);
}

static enum feedback_outcome add_sum (struct world *w, const uint64_t *frames, size_t count, const int64_t *counts, struct strata_error *why)
{
    Strata__Histogram h = STRATA__HISTOGRAM__INIT;
    uint8_t room[BLOCK * 8];
    h.simulation = "cg-1";
    h.state = "RASa";
    h.frame = frames[count - 1];
    h.earlier = (uint64_t *)frames;
    h.n_earlier = count - 1;
    histogram_set (&h, counts, ROWS, BINS, room);
    return feedback_add (w->feedback, &h, why);
}

static void a_sum_of_frames_counts_each_of_them_once_and_as_a_whole_or_not_at_all (void **state)
{
    struct world *w = *state;
    int64_t counts[BLOCK];
    struct strata_error why = { "" };
    struct feedback_figures figures;
    static uint64_t many[FEEDBACK_EARLIER_MAX + 2];
    fill (counts, 1);
    w->config.frames = 100000;
    assert_int_equal (add_sum (w, (uint64_t[]){ 2, 3, 7 }, 3, counts, &why), FEEDBACK_ADDED);
    commit (w);
    world_crash (w);
    assert_int_equal (add_sum (w, (uint64_t[]){ 2, 3, 7 }, 3, counts, &why), FEEDBACK_REPEAT);
    assert_int_equal (add_sum (w, (uint64_t[]){ 3 }, 1, counts, &why), FEEDBACK_REPEAT);
    assert_int_equal (add_sum (w, (uint64_t[]){ 7, 8 }, 2, counts, &why), FEEDBACK_ASIDE);
    assert_non_null (strstr (why.text, "1 of the 2 frames of a sum up to frame 8 of cg-1"));
    assert_int_equal (add_sum (w, (uint64_t[]){ 9, 9 }, 2, counts, &why), FEEDBACK_ASIDE);
    assert_int_equal (add_sum (w, (uint64_t[]){ 12, 11, 13 }, 3, counts, &why), FEEDBACK_ASIDE);
    assert_int_equal (add_sum (w, (uint64_t[]){ 14, 10 }, 2, counts, &why), FEEDBACK_ASIDE);
    for (size_t i = 0; i < FEEDBACK_EARLIER_MAX + 2; i++)
        many[i] = 100 + i;
    assert_int_equal (add_sum (w, many, FEEDBACK_EARLIER_MAX + 2, counts, &why), FEEDBACK_ASIDE);
    assert_int_equal (add_sum (w, many, FEEDBACK_EARLIER_MAX + 1, counts, &why), FEEDBACK_ADDED);
    /* What was set aside left no mark: its frames may come in another sum, between others as well. */
    assert_int_equal (add_sum (w, (uint64_t[]){ 5, 8, 9 }, 3, counts, &why), FEEDBACK_ADDED);
    commit (w);
    world_crash (w);
    feedback_figures (w->feedback, &figures);
    assert_int_equal (figures.frames, 3 + FEEDBACK_EARLIER_MAX + 1 + 3);
    assert_int_equal (figures.simulations, 1);
    assert_int_equal (figures.repeats, 4);
    assert_int_equal (figures.refused, 5);
    const struct feedback_report *report = decide (w, 101 * SECOND);
    assert_int_equal (report->state_frames[0], figures.frames);
    for (unsigned c = 0; c < BLOCK; c++)
        assert_int_equal (report->sums[c], 3 * counts[c]);
}

static void a_frame_that_was_not_committed_may_come_again (void **state)
{
    struct world *w = *state;
    add_good (w, "cg-1", 1, 0);
    commit (w);
    add_good (w, "cg-1", 2, 0);
    world_crash (w);
    struct feedback_figures figures;
    feedback_figures (w->feedback, &figures);
    assert_int_equal (figures.frames, 1);
    add_good (w, "cg-1", 2, 0);
    feedback_figures (w->feedback, &figures);
    assert_int_equal (figures.frames, 2);
}

static void what_does_not_fit_is_set_aside_with_its_reason_and_changes_no_sum (void **state)
{
    struct world *w = *state;
    int64_t good[BLOCK] = { 1 }, negative[BLOCK] = { 1, 2, -1 }, huge[BLOCK] = { INT64_MAX };
    int64_t spread[BLOCK] = { INT64_MAX / 2, INT64_MAX / 2, INT64_MAX / 2 };
    struct strata_error why;
    assert_int_equal (add (w, "cg-0", 1, "RASa", good, &why), FEEDBACK_ADDED);
    char too_long[PRODUCER_NAME_MAX + 2];
    memset (too_long, 'a', sizeof (too_long) - 1);
    too_long[sizeof (too_long) - 1] = '\0';
    const struct {
        const char *simulation, *state;
        uint32_t rows, bins;
        size_t n;
        int64_t *counts;
        const char *says;
    } cases[] = {
        { "cg-1", "RASx", ROWS, BINS, BLOCK, good, "RASx" },
        { "cg-1", "", ROWS, BINS, BLOCK, good, "feedback.states" },
        { "cg-1", "RAS\xff\n", ROWS, BINS, BLOCK, good, "RAS??" },
        { "cg-1", "RASa", ROWS + 1, BINS, BLOCK, good, "3 rows x 5 bins" },
        { "cg-1", "RASa", ROWS, BINS - 1, BLOCK, good, "2 rows x 4 bins" },
        { "cg-1", "RASa", BINS, ROWS, BLOCK, good, "5 rows x 2 bins" },
        { "cg-1", "RASa", ROWS, BINS, BLOCK - 1, good, "9 counts" },
        { "cg-1", "RASa", ROWS, BINS, 0, good, "0 counts" },
        { "cg-1", "RASa", UINT32_MAX, UINT32_MAX, BLOCK, good, "4294967295 rows" },
        { "cg-1", "RASa", ROWS, BINS, BLOCK, negative, "negative count -1 in row POPC, bin 2" },
        { "cg-1", "RASa", ROWS, BINS, BLOCK, huge, "over 2^63" },
        { "cg-2", "RASb", ROWS, BINS, BLOCK, spread, "over 2^63" },
        { "", "RASa", ROWS, BINS, BLOCK, good, "no valid name" },
        { "a b", "RASa", ROWS, BINS, BLOCK, good, "no valid name" },
        { too_long, "RASa", ROWS, BINS, BLOCK, good, "no valid name" },
    };
    size_t count = sizeof (cases) / sizeof (cases[0]);
    for (size_t i = 0; i < count; i++) {
        Strata__Histogram h = STRATA__HISTOGRAM__INIT;
        h.simulation = (char *)cases[i].simulation;
        h.frame = 7;
        h.state = (char *)cases[i].state;
        uint8_t room[BLOCK * 8];
        histogram_set (&h, cases[i].counts, ROWS, BINS, room);
        h.rows = cases[i].rows;
        h.bins = cases[i].bins;
        h.cells.len = cases[i].n * h.width;
        enum feedback_outcome outcome = feedback_add (w->feedback, &h, &why);
        if (outcome != (i < FEEDBACK_ASIDE_TOLD || i > 10 ? FEEDBACK_ASIDE : FEEDBACK_ASIDE_QUIET))
            fail_msg ("case %zu: outcome %d", i, (int)outcome);
        if (!strstr (why.text, cases[i].says))
            fail_msg ("case %zu: '%s' does not say '%s'", i, why.text, cases[i].says);
    }
    assert_int_equal (feedback_add_broken (w->feedback, "stage-0", &why), FEEDBACK_ASIDE);
    commit (w);
    world_crash (w);
    struct feedback_figures figures;
    feedback_figures (w->feedback, &figures);
    assert_int_equal (figures.refused, count + 1);
    assert_int_equal (figures.frames, 1);
    assert_int_equal (figures.simulations, 1);
    const struct feedback_report *report = decide (w, 101 * SECOND);
    int64_t expected[STATES * BLOCK] = { 1 };
    assert_memory_equal (report->sums, expected, sizeof (expected));
    /* What was set aside left no mark: the same frame, mended, is taken. */
    feedback_written (w->feedback);
    assert_int_equal (add (w, "cg-1", 7, "RASa", good, &why), FEEDBACK_ADDED);
}

static void a_report_is_due_after_enough_frames_or_enough_time (void **state)
{
    struct world *w = *state;
    int64_t t0 = 100 * SECOND;
    assert_false (feedback_due (w->feedback, t0 + 1000 * SECOND)); /* no frame, no report */
    add_good (w, "cg-1", 1, 0);
    assert_false (feedback_due (w->feedback, t0 + 29 * SECOND));
    assert_true (feedback_due (w->feedback, t0 + 30 * SECOND));
    for (uint64_t f = 2; f <= 3; f++)
        add_good (w, "cg-1", f, 0);
    assert_false (feedback_due (w->feedback, t0));
    add_good (w, "cg-1", 4, 1);
    assert_true (feedback_due (w->feedback, t0));
    assert_int_equal (decide (w, t0 + 5 * SECOND)->round, 1);
    assert_false (feedback_due (w->feedback, t0 + 1000 * SECOND)); /* one at a time */
    feedback_written (w->feedback);
    add_good (w, "cg-1", 5, 1);
    assert_false (feedback_due (w->feedback, t0 + 34 * SECOND)); /* counted from the last decision */
    commit (w);
    world_crash (w);
    assert_true (feedback_due (w->feedback, t0 + 35 * SECOND));
    /* A clock that is set back by a year holds nothing up for a year. */
    assert_false (feedback_due (w->feedback, 1 * SECOND));
    assert_true (feedback_due (w->feedback, 31 * SECOND));
}

struct seen {
    uint64_t round, frames, simulations;
    int64_t created_us, sums[STATES * BLOCK];
    uint64_t state_frames[STATES], state_counts[STATES];
};

static void see (const struct feedback_report *report, struct seen *seen)
{
    memset (seen, 0, sizeof (*seen));
    seen->round = report->round;
    seen->frames = report->frames;
    seen->simulations = report->simulations;
    seen->created_us = report->created_us;
    memcpy (seen->sums, report->sums, sizeof (seen->sums));
    memcpy (seen->state_frames, report->state_frames, sizeof (seen->state_frames));
    memcpy (seen->state_counts, report->state_counts, sizeof (seen->state_counts));
}

static void a_crash_at_any_step_of_a_report_leads_to_the_same_report (void **state)
{
    struct world *w = *state;
    struct seen decided, again;
    struct strata_error why;
    int64_t counts[BLOCK] = { 1 };
    for (uint64_t f = 1; f <= 4; f++)
        add_good (w, "cg-1", f, (unsigned)f % STATES);
    commit (w);
    /* Before the decision is on disk: it was never made. */
    see (decide (w, 105 * SECOND), &decided);
    world_crash (w);
    assert_null (feedback_pending (w->feedback));
    assert_true (feedback_due (w->feedback, 105 * SECOND));
    /* After it, before the folder or the mark: the same report, and no frame gets in between. */
    see (decide (w, 106 * SECOND), &decided);
    assert_int_equal (decided.round, 1);
    assert_int_equal (decided.frames, 4);
    commit (w);
    world_crash (w);
    assert_int_equal (add (w, "cg-1", 5, "RASa", counts, &why), FEEDBACK_LATER);
    assert_int_equal (feedback_add_broken (w->feedback, "stage-0", &why), FEEDBACK_LATER);
    see (feedback_pending (w->feedback), &again);
    assert_memory_equal (&decided, &again, sizeof (decided));
    /* The mark was lost: written once more, the same. */
    feedback_written (w->feedback);
    world_crash (w);
    see (feedback_pending (w->feedback), &again);
    assert_memory_equal (&decided, &again, sizeof (decided));
    feedback_written (w->feedback);
    commit (w);
    world_crash (w);
    assert_null (feedback_pending (w->feedback));
    /* And the next round goes on from there. */
    assert_int_equal (add (w, "cg-1", 5, "RASa", counts, &why), FEEDBACK_ADDED);
    const struct feedback_report *next = decide (w, 200 * SECOND);
    assert_int_equal (next->round, 2);
    assert_int_equal (next->frames, 5);
}

static void a_report_that_cannot_be_written_keeps_its_sums_while_frames_go_on (void **state)
{
    struct world *w = *state;
    struct seen decided, again;
    for (uint64_t f = 1; f <= 4; f++)
        add_good (w, "cg-1", f, (unsigned)f % STATES);
    see (decide (w, 106 * SECOND), &decided);
    commit (w);
    feedback_hold (w->feedback);
    assert_true (feedback_held (w->feedback));
    for (uint64_t f = 5; f <= 20; f++)
        add_good (w, "cg-2", f, (unsigned)f % STATES);
    assert_false (feedback_due (w->feedback, 900 * SECOND));
    see (feedback_pending (w->feedback), &again);
    assert_memory_equal (&decided, &again, sizeof (decided));
    commit (w);
    world_crash (w);
    assert_true (feedback_held (w->feedback));
    see (feedback_pending (w->feedback), &again);
    assert_memory_equal (&decided, &again, sizeof (decided));
    feedback_written (w->feedback);
    commit (w);
    world_crash (w);
    struct shard_iter it;
    assert_false (shard_iter_begin (w->shard, &it, "feedback/held/", 14, NULL, 0)); /* nothing is left of it */
    shard_iter_end (&it);
    struct feedback_figures figures;
    feedback_figures (w->feedback, &figures);
    assert_int_equal (figures.reports_written, 1);
    assert_int_equal (figures.frames_since_report, 16);
    assert_int_equal (decide (w, 901 * SECOND)->frames, 20);
}

/* The processed marks alone tell what each round holds. */
static void marks_recount_every_report (void **state)
{
    struct world *w = *state;
    uint64_t frames_of[4] = { 0 }, f = 0;
    for (unsigned round = 1; round <= 3; round++) {
        for (unsigned i = 0; i < 2 + round; i++)
            add_good (w, "cg-1", ++f, i % STATES);
        frames_of[round] = decide (w, (100 + round) * SECOND)->frames;
        feedback_written (w->feedback);
        commit (w);
    }
    for (unsigned round = 1; round <= 3; round++) {
        struct shard_iter it;
        uint64_t count = 0;
        for (bool more = shard_iter_begin (w->shard, &it, "feedback/done/", 14, NULL, 0); more;
             more = shard_iter_next (&it))
            count += shard_u64 (it.value + 8) <= round;
        shard_iter_end (&it);
        assert_int_equal (count, frames_of[round]);
    }
}

static void uptakes_count_each_known_round_once (void **state)
{
    struct world *w = *state;
    struct strata_error why;
    const struct {
        uint64_t round;
        enum feedback_outcome outcome;
    } cases[] = {
        { 2, FEEDBACK_ADDED }, { 0, FEEDBACK_ASIDE },  { 3, FEEDBACK_ASIDE },          { 2, FEEDBACK_REPEAT },
        { 1, FEEDBACK_ADDED }, { 1, FEEDBACK_REPEAT }, { UINT64_MAX, FEEDBACK_ASIDE },
    };
    for (uint64_t round = 1; round <= 2; round++) {
        add_good (w, "cg-1", round, 0);
        decide (w, 100 * SECOND);
        feedback_written (w->feedback);
    }
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        Strata__Uptake u = STRATA__UPTAKE__INIT;
        u.model = "macro-1";
        u.round = cases[i].round;
        u.step = 1000 + i;
        assert_int_equal (feedback_take (w->feedback, &u, &why), cases[i].outcome);
        commit (w);
        world_crash (w);
    }
    assert_int_equal (feedback_take_broken (w->feedback, "stage-0", &why), FEEDBACK_ASIDE);
    struct feedback_figures figures;
    feedback_figures (w->feedback, &figures);
    assert_int_equal (figures.reports_taken, 2);
    assert_int_equal (figures.refused, 4);
}

static void a_campaign_that_does_not_fit_is_refused_at_the_start (void **state)
{
    struct world *w = *state;
    struct strata_error error;
    struct campaign_feedback weights = config, bins = config, names = config, empty = config, vast = config,
                             slash = config;
    char *other[] = { "RASa", "RASc", "mRASa" }, *bad[] = { "RASa", "../x", "mRASa" };
    weights.weights = true;
    weights.shards = 2;
    bins.bins = BINS + 1;
    names.states = other;
    empty.rows_count = 0;
    vast.bins = UINT32_MAX;
    slash.states = bad;
    const struct {
        const struct campaign_feedback *config;
        const char *says;
    } cases[] = {
        { &weights, "weights is true, and feedback.shards is 2" },
        { &bins, "other states, rows, bins" },
        { &names, "other states, rows, bins" },
        { &empty, "1 GiB" },
        { &vast, "1 GiB" },
        { &slash, "../x" },
    };
    commit (w);
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        assert_null (feedback_new (w->shard, cases[i].config, 0, 0, &error));
        if (!strstr (error.text, cases[i].says))
            fail_msg ("case %zu: '%s'", i, error.text);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (sums_equal_a_count_by_hand_before_and_after_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown (a_frame_counts_once_in_whatever_order_its_copies_come, setup, teardown),
        cmocka_unit_test_setup_teardown (a_sum_of_frames_counts_each_of_them_once_and_as_a_whole_or_not_at_all, setup, teardown),
        cmocka_unit_test_setup_teardown (a_frame_that_was_not_committed_may_come_again, setup, teardown),
        cmocka_unit_test_setup_teardown (
            what_does_not_fit_is_set_aside_with_its_reason_and_changes_no_sum, setup, teardown),
        cmocka_unit_test_setup_teardown (a_report_is_due_after_enough_frames_or_enough_time, setup, teardown),
        cmocka_unit_test_setup_teardown (a_crash_at_any_step_of_a_report_leads_to_the_same_report, setup, teardown),
        cmocka_unit_test_setup_teardown (
            a_report_that_cannot_be_written_keeps_its_sums_while_frames_go_on, setup, teardown),
        cmocka_unit_test_setup_teardown (marks_recount_every_report, setup, teardown),
        cmocka_unit_test_setup_teardown (uptakes_count_each_known_round_once, setup, teardown),
        cmocka_unit_test_setup_teardown (a_campaign_that_does_not_fit_is_refused_at_the_start, setup, teardown),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
