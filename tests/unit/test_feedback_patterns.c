/* test_feedback_patterns.c - each structure counted once whatever its workers do, and patterns that come into force by their share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "../../services/feedback/patterns.h"
#include "scratch.h"
#include "store/stream.h"

#define SECOND 1000000LL

static char *proteins[] = { "ras", "ras-raf" };
static struct campaign_region regions[] = {
    { .name = "HVR", .chain = "A", .first = 164, .last = 167, .share = 0.25, .coil = "PTSG" },
    { .name = "CRD", .chain = "B", .first = 279, .last = 281, .share = 0.2, .coil = "P" },
};
static const struct campaign_patterns config = {
    .from = "structures", .workers = 1, .frame_s = 1, .tries = 2, .frames = 2,
    .proteins = proteins, .proteins_count = 2, .regions = regions, .regions_count = 2,
};

/* A shard on disk, so that a crash can be played: closing drops what was not committed. */
struct world {
    char dir[64], store[80];
    struct shard *shard;
    struct patterns *patterns;
};

static void world_open (struct world *w)
{
    struct strata_error error = { "" };
    if (!(w->shard = shard_open (w->store, &error)) || !(w->patterns = patterns_new (w->shard, &config, &error)))
        fail_msg ("%s", error.text);
}

static void world_close (struct world *w)
{
    patterns_free (&w->patterns);
    shard_close (&w->shard);
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
    world_close (w);
    snprintf (command, sizeof (command), "rm -rf '%s'", w->dir);
    assert_int_equal (system (command), 0);
    free (w);
    return 0;
}

static enum feedback_outcome take (struct world *w, const char *simulation, uint64_t frame, const char *protein)
{
    Strata__Structure s = STRATA__STRUCTURE__INIT;
    struct strata_error why = { "" };
    s.simulation = (char *)simulation;
    s.frame = frame;
    s.protein = (char *)protein;
    s.atoms.data = (uint8_t *)"ATOM";
    s.atoms.len = 4;
    uint8_t record[300];
    size_t size = strata__structure__pack (&s, record);
    return patterns_take (w->patterns, &s, record, size, &why);
}

/* The first that waits. */
static uint64_t waiting (struct world *w)
{
    void *record = NULL;
    size_t size;
    uint64_t number = patterns_waiting (w->patterns, 0, &record, &size);
    if (number)
        free (record);
    return number;
}

static enum feedback_outcome answer (struct world *w, const char *text)
{
    struct strata_error why = { "" };
    char simulation[PRODUCER_NAME_MAX + 1];
    return patterns_answered (w->patterns, waiting (w), text, simulation, &why);
}

static enum feedback_outcome letters (struct world *w, const char *a, const char *b)
{
    char text[300];
    snprintf (text, sizeof (text), "{\"chains\": {\"A\": {\"first\": 163, \"letters\": \"%s\"}, \"B\": {\"first\": 279, \"letters\": \"%s\"}}}", a, b);
    return answer (w, text);
}

static struct patterns_figures figures (struct world *w)
{
    struct patterns_figures f;
    patterns_figures (w->patterns, &f);
    return f;
}

static json_t *report (struct world *w, uint64_t round)
{
    char *text;
    size_t size;
    assert_int_equal (patterns_report (w->patterns, &text, &size), round);
    json_t *out = json_loadb (text, size, 0, NULL);
    free (text);
    assert_non_null (out);
    return out;
}

static json_t *region (json_t *report, const char *protein, const char *name)
{
    json_t *p = json_object_get (json_object_get (report, "proteins"), protein);
    json_t *out = json_object_get (json_object_get (p, "regions"), name);
    assert_non_null (out);
    return out;
}

static const char *text_at (json_t *object, const char *key)
{
    const char *text = json_string_value (json_object_get (object, key));
    return text ? text : "";
}

/* ---- */

static void a_frame_counts_once_whatever_crashes (void **state)
{
    struct world *w = *state;
    assert_int_equal (take (w, "s-1", 1, "ras"), FEEDBACK_ADDED);
    assert_int_equal (take (w, "s-1", 1, "ras"), FEEDBACK_REPEAT);
    commit (w);
    uint64_t number = waiting (w);
    assert_int_equal (letters (w, "HHHHH", "EEE"), FEEDBACK_ADDED);
    assert_int_equal (figures (w).frames, 1);
    world_close (w); /* before the answer is on disk: the frame waits again */
    world_open (w);
    assert_int_equal (figures (w).frames, 0);
    assert_int_equal (waiting (w), number);
    assert_int_equal (letters (w, "HHHHH", "EEE"), FEEDBACK_ADDED);
    commit (w);
    world_close (w);
    world_open (w);
    assert_int_equal (figures (w).frames, 1);
    assert_int_equal (waiting (w), 0);
    assert_int_equal (take (w, "s-1", 1, "ras"), FEEDBACK_REPEAT);
    /* The worker's answer to a frame that waits no more says nothing. */
    struct strata_error why;
    char simulation[PRODUCER_NAME_MAX + 1];
    assert_int_equal (patterns_answered (w->patterns, number, "{\"chains\": {}}", simulation, &why), FEEDBACK_REPEAT);
    assert_int_equal (figures (w).frames, 1);
}

static void letters_that_count_as_coil_are_coil_in_their_region_only (void **state)
{
    struct world *w = *state;
    for (uint64_t i = 1; i <= 2; i++) {
        take (w, "s-1", i, "ras");
        take (w, "s-2", i, "ras-raf");
        assert_int_equal (letters (w, "-HTS-G", "E-T"), FEEDBACK_ADDED);
        assert_int_equal (letters (w, "-HTSGH", "ETS"), FEEDBACK_ADDED);
    }
    assert_true (patterns_due (w->patterns));
    assert_true (patterns_decide (w->patterns, 100 * SECOND));
    json_t *r = report (w, 1);
    assert_string_equal (text_at (region (r, "ras", "HVR"), "in_force"), "HCCC");
    assert_string_equal (text_at (region (r, "ras", "CRD"), "in_force"), "ECT");
    assert_string_equal (text_at (region (r, "ras-raf", "HVR"), "in_force"), "HCCC");
    assert_string_equal (text_at (region (r, "ras-raf", "CRD"), "in_force"), "ETS");
    assert_string_equal (text_at (region (r, "ras-raf", "CRD"), "simulation"), "s-2");
    assert_int_equal (json_integer_value (json_object_get (region (r, "ras-raf", "CRD"), "frame")), 1);
    json_decref (r);
}

static void no_report_before_every_protein_has_enough_frames (void **state)
{
    struct world *w = *state;
    for (uint64_t i = 1; i <= 9; i++) {
        take (w, "s-1", i, "ras");
        letters (w, "-HHHH", "EEE");
        assert_false (patterns_due (w->patterns));
    }
    take (w, "s-2", 1, "ras-raf");
    letters (w, "-HHHH", "EEE");
    assert_false (patterns_due (w->patterns));
    take (w, "s-2", 2, "ras-raf");
    letters (w, "-HHHH", "EEE");
    assert_true (patterns_due (w->patterns));
}

/* formats.md: report when the most common pattern's share exceeds .25 (HVR) and the pattern changed. */
static void a_pattern_comes_into_force_above_its_share_and_when_it_is_another (void **state)
{
    struct world *w = *state;
    static const char *const a[] = { "-HHHH", "-EEEE", "-HHHE", "-HHEE", "-HEEE", "-EHHH", "-EEHH", "-EEEH" };
    char name[16];
    /* Eight patterns, 1/8 each: none above .25, .2. */
    for (unsigned i = 0; i < 8; i++) {
        snprintf (name, sizeof (name), "s-%u", i);
        take (w, name, 1, "ras");
        letters (w, a[i], "EEE");
        take (w, name, 2, "ras-raf");
        letters (w, a[i], "?EE"); /* not whole: no pattern there */
    }
    assert_true (patterns_due (w->patterns));
    assert_true (patterns_decide (w->patterns, 100 * SECOND)); /* by ras' CRD alone */
    json_t *r = report (w, 1);
    assert_true (json_is_null (json_object_get (region (r, "ras", "HVR"), "in_force")));
    assert_string_equal (text_at (region (r, "ras", "CRD"), "in_force"), "EEE");
    assert_int_equal (json_integer_value (json_object_get (region (r, "ras-raf", "CRD"), "not_whole")), 8);
    assert_int_equal (json_integer_value (json_object_get (region (r, "ras-raf", "CRD"), "frames")), 0);
    json_decref (r);
    commit (w);
    /* Two more of one kind: 3 of 10 are above .25. The CRD's pattern is the same as before. */
    for (uint64_t i = 3; i <= 4; i++) {
        take (w, "s-1", i, "ras");
        letters (w, a[1], "EEE");
        take (w, "s-2", i + 10, "ras-raf");
        letters (w, "-", "");
    }
    assert_true (patterns_due (w->patterns));
    world_close (w); /* the share is the same after a crash without the two */
    world_open (w);
    assert_false (patterns_due (w->patterns));
    for (uint64_t i = 3; i <= 4; i++) {
        take (w, "s-1", i, "ras");
        letters (w, a[1], "EEE");
        take (w, "s-2", i + 10, "ras-raf");
        letters (w, "-", "");
    }
    assert_true (patterns_decide (w->patterns, 200 * SECOND));
    r = report (w, 2);
    assert_string_equal (text_at (region (r, "ras", "HVR"), "in_force"), "EEEE");
    assert_true (json_is_true (json_object_get (region (r, "ras", "HVR"), "changed")));
    assert_false (json_is_true (json_object_get (region (r, "ras", "CRD"), "changed")));
    json_decref (r);
    /* More of the same: thought of, but nothing to report. */
    for (uint64_t i = 5; i <= 6; i++) {
        take (w, "s-1", i, "ras");
        letters (w, a[1], "EEE");
        take (w, "s-2", i + 10, "ras-raf");
        letters (w, "-", "");
    }
    assert_true (patterns_due (w->patterns));
    assert_false (patterns_decide (w->patterns, 300 * SECOND));
    assert_false (patterns_due (w->patterns));
    assert_int_equal (figures (w).reports, 2);
}

static void a_frame_that_workers_fail_on_is_set_aside_after_its_tries (void **state)
{
    struct world *w = *state;
    struct strata_error why = { "" };
    char simulation[PRODUCER_NAME_MAX + 1];
    take (w, "s-1", 1, "ras");
    uint64_t number = waiting (w);
    assert_int_equal (patterns_failed (w->patterns, number, "it took longer than 1 s", simulation, &why), FEEDBACK_LATER);
    commit (w);
    world_close (w);
    world_open (w);
    assert_int_equal (waiting (w), number);
    assert_int_equal (patterns_failed (w->patterns, number, "it took longer than 1 s", simulation, &why), FEEDBACK_ASIDE);
    assert_string_equal (simulation, "s-1");
    assert_non_null (strstr (why.text, "worker 2 of 2: it took longer than 1 s"));
    assert_int_equal (waiting (w), 0);
    assert_int_equal (figures (w).aside, 1);
    assert_int_equal (figures (w).failures, 2);
    assert_int_equal (take (w, "s-1", 1, "ras"), FEEDBACK_REPEAT);
}

static void what_can_not_be_read_is_set_aside_with_its_reason (void **state)
{
    struct world *w = *state;
    static const char *const answers[] = { "", "[]", "{\"chains\": 3}", "{\"error\": \"no protein in it\"}", "{\"chains\"" };
    for (uint64_t i = 0; i < 5; i++) {
        take (w, "s-1", i, "ras");
        assert_int_equal (answer (w, answers[i]), FEEDBACK_ASIDE);
    }
    /* Chains that are none count as regions that are not whole. */
    static const char *const odd[] = { "{\"chains\": {\"A\": {\"first\": 1e300, \"letters\": \"HH\"}}}",
                                       "{\"chains\": {\"A\": {\"first\": 164, \"letters\": \"H/HH\"}, \"B\": []}}",
                                       "{\"chains\": {\"A\": {\"first\": 165, \"letters\": \"HHHH\"}}}" };
    for (uint64_t i = 0; i < 3; i++) {
        take (w, "s-2", i, "ras");
        assert_int_equal (answer (w, odd[i]), FEEDBACK_ADDED);
    }
    assert_int_equal (take (w, "s-3", 1, "nothing"), FEEDBACK_ASIDE);
    assert_int_equal (take (w, "s-3", 1, "ras"), FEEDBACK_REPEAT);
    assert_int_equal (take (w, "", 1, "ras"), FEEDBACK_ASIDE);
    assert_int_equal (figures (w).aside, 7);
    assert_int_equal (figures (w).frames, 3);
}

static void more_frames_than_workers_may_hold_wait_in_the_stage (void **state)
{
    struct world *w = *state;
    for (uint64_t i = 1; i <= PATTERNS_WAITING; i++)
        assert_int_equal (take (w, "s-1", i, "ras"), FEEDBACK_ADDED);
    assert_int_equal (take (w, "s-1", 99, "ras"), FEEDBACK_LATER);
    letters (w, "-HHHH", "EEE");
    assert_int_equal (take (w, "s-1", 99, "ras"), FEEDBACK_ADDED);
}

static void another_campaigns_counts_are_refused (void **state)
{
    struct world *w = *state;
    struct campaign_patterns other = config;
    struct strata_error error;
    commit (w);
    patterns_free (&w->patterns);
    other.proteins_count = 1;
    assert_null (patterns_new (w->shard, &other, &error));
    assert_non_null (strstr (error.text, "feedback.patterns"));
}

int main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST (a_frame_counts_once_whatever_crashes),
        TEST (letters_that_count_as_coil_are_coil_in_their_region_only),
        TEST (no_report_before_every_protein_has_enough_frames),
        TEST (a_pattern_comes_into_force_above_its_share_and_when_it_is_another),
        TEST (a_frame_that_workers_fail_on_is_set_aside_after_its_tries),
        TEST (what_can_not_be_read_is_set_aside_with_its_reason),
        TEST (more_frames_than_workers_may_hold_wait_in_the_stage),
        TEST (another_campaigns_counts_are_refused),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
