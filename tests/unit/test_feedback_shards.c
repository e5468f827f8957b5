/* test_feedback_shards.c - several shards of feedback share the simulations, and each frame is in one report first: whatever
 * dies when, the sums of the reports are those of one shard that reads everything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../services/feedback/feedback_core.h"
#include "scratch.h"
#include "data/histogram.h"
#include "store/stream.h"

#define SHARDS 3
#define STATES 3
#define ROWS 2
#define BINS 5
#define BLOCK (ROWS * BINS)
#define SIMULATIONS 17
#define FRAMES 40 /* of each */
#define SECOND 1000000LL

static char *state_names[] = { "RASa", "RASb", "mRASa" };
static char *row_names[] = { "POPC", "CHOL" };
static const struct campaign_feedback config = {
    .from = "rdfs", .uptake = "uptakes",
    .states = state_names, .states_count = STATES, .rows = row_names, .rows_count = ROWS, .bins = BINS,
    .range_min_angstrom = 0.1, .range_max_angstrom = 120, .frames = 24, .seconds = 30, .shards = SHARDS,
};

static char dir[64];
static struct shard *shards[SHARDS];
static struct feedback *cores[SHARDS];
static int64_t clock_us = 100 * SECOND;
static uint64_t dice_state;

static unsigned dice (unsigned below)
{
    dice_state = dice_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(dice_state >> 33) % below;
}

static void start (unsigned i)
{
    struct strata_error error = { "" };
    char store[96];
    snprintf (store, sizeof (store), "%s/feedback-%u", dir, i);
    shards[i] = shard_open (store, &error);
    if (!shards[i])
        fail_msg ("%s", error.text);
    cores[i] = feedback_new (shards[i], &config, i, clock_us, &error);
    if (!cores[i])
        fail_msg ("%s", error.text);
}

static void stop (unsigned i)
{
    feedback_free (&cores[i]);
    shard_close (&shards[i]); /* what was not committed is gone */
}

static void commit (unsigned i)
{
    struct strata_error error;
    assert_int_equal (shard_commit (shards[i], &error), 0);
}

static int set_up (void **state)
{
    if (!scratch_new (dir, sizeof (dir)))
        return -1;
    for (unsigned i = 0; i < SHARDS; i++)
        start (i);
    return 0;
}

static int tear_down (void **state)
{
    char command[120];
    for (unsigned i = 0; i < SHARDS; i++)
        stop (i);
    snprintf (command, sizeof (command), "rm -rf '%s'", dir);
    return system (command) == 0 ? 0 : -1;
}

/* ---- what the stage would hold: frames in an order, each repeated now and then ---- */
struct input {
    char simulation[16];
    uint64_t frame;
    unsigned state;
};
static struct input inputs[2 * SIMULATIONS * FRAMES];
static size_t inputs_count;

static void make_inputs (void)
{
    inputs_count = 0;
    for (unsigned f = 0; f < FRAMES; f++)
        for (unsigned s = 0; s < SIMULATIONS; s++) {
            struct input *in = &inputs[inputs_count++];
            snprintf (in->simulation, sizeof (in->simulation), "sim-%02u", s);
            in->frame = f;
            in->state = (f + s) % STATES;
            if (dice (10) == 0) {
                inputs[inputs_count] = *in;
                inputs_count++;
            }
        }
}

static void counts_of (const struct input *in, int64_t counts[BLOCK])
{
    unsigned seed = (unsigned)in->frame * 31 + (unsigned)in->simulation[5] * 7 + (unsigned)in->simulation[4];
    for (unsigned i = 0; i < BLOCK; i++)
        counts[i] = (seed * 7919 + i * 104729) % 13 % 5 * (i < BINS || in->state != 1);
}

/* Reads on from the cursor as consume.c does: the cursor moves in the batch of the effect. */
static void read_inputs (unsigned i, unsigned at_most)
{
    uint64_t cursor = cursor_get (shards[i], "stage-0", "rdfs");
    for (; cursor <= inputs_count && at_most; cursor++, at_most--) {
        const struct input *in = &inputs[cursor - 1];
        if (feedback_shard_of (&config, in->simulation) != i)
            continue;
        int64_t counts[BLOCK];
        struct strata_error why = { "" };
        Strata__Histogram h = STRATA__HISTOGRAM__INIT;
        counts_of (in, counts);
        h.simulation = (char *)in->simulation;
        h.frame = in->frame;
        h.state = state_names[in->state];
        uint8_t room[BLOCK * 8];
        histogram_set (&h, counts, ROWS, BINS, room);
        enum feedback_outcome outcome = feedback_add (cores[i], &h, &why);
        if (outcome == FEEDBACK_LATER)
            break;
        if (outcome != FEEDBACK_ADDED && outcome != FEEDBACK_REPEAT)
            fail_msg ("%s", why.text);
    }
    cursor_set (shards[i], "stage-0", "rdfs", cursor);
}

struct merge {
    uint64_t cursor;
};

static int merge_one (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    struct merge *merge = arg;
    struct strata_error why = { "" };
    Strata__Partial *partial = strata__partial__unpack (NULL, size, record);
    assert_non_null (partial);
    enum feedback_outcome outcome = feedback_merge (cores[0], partial, &why);
    strata__partial__free_unpacked (partial, NULL);
    if (outcome == FEEDBACK_LATER)
        return 1;
    if (outcome != FEEDBACK_ADDED)
        fail_msg ("outcome %d: %s", (int)outcome, why.text);
    merge->cursor = sequence + 1;
    return 0;
}

/* Only what is on disk is read: the producer answers after its commit. */
static void read_partials (unsigned from)
{
    char peer[32];
    snprintf (peer, sizeof (peer), "feedback-%u", from);
    struct merge merge = { cursor_get (shards[0], peer, FEEDBACK_PARTIALS) };
    if (shard_dirty (shards[from]))
        return;
    stream_read (shards[from], FEEDBACK_PARTIALS, merge.cursor, 1 + dice (3), SIZE_MAX, merge_one, &merge);
    cursor_set (shards[0], peer, FEEDBACK_PARTIALS, merge.cursor);
}

static void step (unsigned i)
{
    struct strata_error error;
    read_inputs (i, 1 + dice (12));
    if (feedback_partial_due (cores[i], clock_us))
        assert_int_equal (feedback_hand_over (cores[i], clock_us, &error), 0);
    if (i == 0)
        read_partials (1 + dice (SHARDS - 1));
    if (i == 0 && feedback_due (cores[0], clock_us))
        feedback_decide (cores[0], clock_us);
    else if (i == 0 && feedback_pending (cores[0]) && dice (3) == 0)
        feedback_written (cores[0]);
}

static void check_report (const struct feedback_report *report)
{
    static int64_t sums[STATES * BLOCK];
    memset (sums, 0, sizeof (sums));
    for (size_t n = 0; n < inputs_count; n++) {
        int64_t counts[BLOCK];
        bool repeat = n && inputs[n].frame == inputs[n - 1].frame && strcmp (inputs[n].simulation, inputs[n - 1].simulation) == 0;
        counts_of (&inputs[n], counts);
        for (unsigned k = 0; k < BLOCK && !repeat; k++)
            sums[inputs[n].state * BLOCK + k] += counts[k];
    }
    assert_int_equal (report->frames, SIMULATIONS * FRAMES);
    assert_int_equal (report->simulations, SIMULATIONS);
    assert_memory_equal (report->sums, sums, sizeof (sums));
    uint64_t frames = 0, counts = 0, cells = 0;
    for (unsigned s = 0; s < STATES; s++) {
        frames += report->state_frames[s];
        counts += report->state_counts[s];
    }
    for (unsigned k = 0; k < STATES * BLOCK; k++)
        cells += (uint64_t)sums[k];
    assert_int_equal (frames, report->frames);
    assert_int_equal (counts, cells);
}

static bool drained (void)
{
    struct feedback_figures f;
    uint64_t all = 0;
    for (unsigned i = 0; i < SHARDS; i++)
        if (cursor_get (shards[i], "stage-0", "rdfs") <= inputs_count)
            return false;
    feedback_figures (cores[0], &f);
    all = f.frames;
    return all == SIMULATIONS * FRAMES && f.frames_since_report == 0 && feedback_pending (cores[0]);
}

static void whatever_dies_the_reports_hold_each_frame_once (void **state)
{
    unsigned crashes = 0;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        dice_state = seed * 977;
        make_inputs ();
        for (unsigned n = 0; !drained (); n++) {
            unsigned i = dice (SHARDS);
            if (n > 20000)
                fail_msg ("seed %llu: not all frames came into a report", (unsigned long long)seed);
            clock_us += SECOND / 4;
            step (i);
            if (dice (8) == 0) {
                stop (i);
                start (i);
                crashes++;
            } else if (dice (2) == 0)
                commit (i);
        }
        check_report (feedback_pending (cores[0]));
        tear_down (NULL);
        assert_int_equal (set_up (NULL), 0);
    }
    print_message ("%u crashes\n", crashes);
}

static void a_partial_that_comes_again_out_of_turn_or_spoiled_is_not_added (void **state)
{
    struct strata_error why = { "" };
    uint64_t frames[STATES] = { 2, 0, 0 }, counts[2 * BINS] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 };
    uint32_t rows[2] = { 0, 3 };
    Strata__Partial good = STRATA__PARTIAL__INIT;
    good.shard = 1;
    good.number = 1;
    good.frames = 2;
    good.simulations = 1;
    good.state_frames = frames;
    good.n_state_frames = STATES;
    good.rows = rows;
    good.n_rows = 2;
    good.counts = counts;
    good.n_counts = 2 * BINS;
    assert_int_equal (feedback_merge (cores[0], &good, &why), FEEDBACK_ADDED);
    assert_int_equal (feedback_merge (cores[0], &good, &why), FEEDBACK_REPEAT);
    good.number = 3;
    assert_int_equal (feedback_merge (cores[0], &good, &why), FEEDBACK_ASIDE);
    assert_non_null (strstr (why.text, "came after partial 1"));
    good.number = 2;
    struct {
        uint32_t shard, row;
        uint64_t frames, count;
        size_t n_rows, n_counts, n_states;
    } cases[] = {
        { 0, 3, 2, 1, 2, 2 * BINS, STATES },      { SHARDS, 3, 2, 1, 2, 2 * BINS, STATES },
        { 1, 0, 2, 1, 2, 2 * BINS, STATES },      { 1, STATES * ROWS, 2, 1, 2, 2 * BINS, STATES },
        { 1, 3, 3, 1, 2, 2 * BINS, STATES },      { 1, 3, 2, UINT64_MAX, 2, 2 * BINS, STATES },
        { 1, 3, 2, INT64_MAX, 2, 2 * BINS, STATES }, { 1, 3, 2, 1, 1, 2 * BINS, STATES },
        { 1, 3, 2, 1, 2, 2 * BINS - 1, STATES },  { 1, 3, 2, 1, 2, 2 * BINS, STATES - 1 },
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        good.shard = cases[i].shard;
        rows[1] = cases[i].row;
        good.frames = cases[i].frames;
        counts[0] = cases[i].count;
        good.n_rows = cases[i].n_rows;
        good.n_counts = cases[i].n_counts;
        good.n_state_frames = cases[i].n_states;
        if (feedback_merge (cores[0], &good, &why) != FEEDBACK_ASIDE)
            fail_msg ("case %zu was taken", i);
    }
    struct feedback_figures f;
    feedback_figures (cores[0], &f);
    assert_int_equal (f.frames, 2);
    assert_int_equal (f.simulations, 1);
}

static void a_frame_under_another_producer_s_name_is_set_aside (void **state)
{
    int64_t counts[BLOCK] = { 1 };
    struct strata_error why = { "" };
    Strata__Histogram h = STRATA__HISTOGRAM__INIT;
    h.simulation = "sim-00";
    h.state = state_names[0];
    uint8_t room[BLOCK * 8];
    histogram_set (&h, counts, ROWS, BINS, room);
    unsigned home = feedback_shard_of (&config, "sim-00");
    assert_int_equal (feedback_add (cores[(home + 1) % SHARDS], &h, &why), FEEDBACK_ASIDE);
    assert_int_equal (feedback_add (cores[home], &h, &why), FEEDBACK_ADDED);
}

/* The stream's bound: the sums wait and go with the next partial. */
static void a_full_stream_of_partials_loses_nothing (void **state)
{
    struct strata_error error;
    unsigned i = 1;
    dice_state = 5;
    make_inputs ();
    stream_set_limit (shards[i], FEEDBACK_PARTIALS, 10);
    read_inputs (i, 200);
    assert_true (feedback_partial_due (cores[i], clock_us));
    assert_int_equal (feedback_hand_over (cores[i], clock_us, &error), -1);
    commit (i);
    stop (i);
    start (i);
    struct feedback_figures f;
    feedback_figures (cores[i], &f);
    assert_true (f.frames_since_report > 0 && f.frames_since_report == f.frames);
    stream_set_limit (shards[i], FEEDBACK_PARTIALS, 0);
    assert_int_equal (feedback_hand_over (cores[i], clock_us, &error), 0);
    commit (i);
    uint64_t frames = f.frames;
    read_partials (i);
    feedback_figures (cores[0], &f);
    assert_int_equal (f.frames, frames);
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, set_up, tear_down)
int main (void)
{
    const struct CMUnitTest tests[] = {
        TEST (whatever_dies_the_reports_hold_each_frame_once),
        TEST (a_partial_that_comes_again_out_of_turn_or_spoiled_is_not_added),
        TEST (a_frame_under_another_producer_s_name_is_set_aside),
        TEST (a_full_stream_of_partials_loses_nothing),
    };
    return cmocka_run_group_tests_name ("feedback in shards", tests, NULL, NULL);
}
