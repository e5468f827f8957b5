/* test_stage_feedback.c - the real stage and feedback processes, the client library, and kills.
 *
 * A writer puts objects and appends histograms while both services are killed again and again; afterwards every object
 * is whole, and the reports hold each frame once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "mesh/client.h"
#include "status.pb-c.h"
#include "strata.h"
#include "stream.pb-c.h"
#include "workspace.h"

#define FRAMES 120
#define BINS 20
#define ROWS 2
#define STATES 3

static const char *const state_names[STATES] = { "RASa", "RASb", "mRASa" };

static int set_up (void **state)
{
    workspace_make (CAMPAIGN_HEAD ("stage-feedback-test") CAMPAIGN_JOBS
                    "feedback: {from: rdfs, uptake: uptakes, states: [RASa, RASb, mRASa], rows: [POPC, CHOL], bins: 20, "
                    "frames: 25, seconds: 2}\n"
                    "stage: {backend: file, quota_mb: 1, queue_mb: 4}\n");
    return 0;
}

static void counts_of (uint64_t frame, int64_t counts[ROWS * BINS])
{
    for (unsigned i = 0; i < ROWS * BINS; i++)
        counts[i] = (int64_t)((frame * 31 + i * 7) % 11);
}

/* What simulations do: appends all frames, going back a few now and then as a restart from a checkpoint would, and puts
 * objects. Exits 0 when every call succeeded. */
static int writer (void)
{
    struct strata_error error;
    struct strata_client *c = strata_open (workspace, "writer", 60000, &error);
    int64_t counts[ROWS * BINS];
    char name[40];
    for (uint64_t frame = 1; c && frame <= FRAMES; frame++)
        for (uint64_t f = frame % 10 == 0 ? frame - 4 : frame; f <= frame; f++) {
            counts_of (f, counts);
            snprintf (name, sizeof (name), "cg-%d", (int)(f % 3));
            if (strata_append_histogram (c, "rdfs", name, f, state_names[f % STATES], ROWS, BINS, counts, NULL, &error)
                < 0) {
                fprintf (stderr, "writer: %s\n", error.text);
                return 1;
            }
            snprintf (name, sizeof (name), "dir-%d/obj-%d", (int)(f % 5), (int)(f % 30));
            if (strata_put (c, "sim", name, name, strlen (name), &error) < 0) {
                fprintf (stderr, "writer: %s\n", error.text);
                return 1;
            }
        }
    strata_close (&c);
    return 0;
}

/* The same frames, added up before they are sent; flushed now and then, as with a checkpoint. From the first one on whenever it starts. */
static int summing_writer (void)
{
    struct strata_error error;
    struct strata_client *c = strata_open (workspace, "writer", 60000, &error);
    int64_t counts[ROWS * BINS];
    char name[40];
    for (uint64_t frame = 1; c && frame <= FRAMES; frame++) {
        counts_of (frame, counts);
        snprintf (name, sizeof (name), "cg-%d", (int)(frame % 3));
        if (strata_sum_histogram (c, "rdfs", name, frame, state_names[frame % STATES], ROWS, BINS, counts, NULL, &error) < 0
            || (frame % 8 == 0 && strata_flush (c, NULL, &error) < 0)) {
            fprintf (stderr, "writer: %s\n", error.text);
            return 1;
        }
        nap_ms (10);
    }
    int rc = c ? strata_flush (c, NULL, &error) : -1;
    if (rc < 0)
        fprintf (stderr, "writer: %s\n", error.text);
    strata_close (&c);
    return rc < 0;
}

/* report.json of the current round when it holds all frames; NULL when not yet. */
static json_t *whole_report (void)
{
    char path[200];
    snprintf (path, sizeof (path), "%s/feedback/rdf/current/report.json", workspace);
    json_t *root = json_load_file (path, 0, NULL);
    if (root && json_integer_value (json_object_get (root, "frames")) == FRAMES)
        return root;
    json_decref (root);
    return NULL;
}

static void assert_sums (void)
{
    int64_t expected[STATES][ROWS * BINS] = { { 0 } }, counts[ROWS * BINS];
    for (uint64_t f = 1; f <= FRAMES; f++) {
        counts_of (f, counts);
        for (unsigned i = 0; i < ROWS * BINS; i++)
            expected[f % STATES][i] += counts[i];
    }
    for (unsigned s = 0; s < STATES; s++) {
        char path[200], line[200];
        long long popc, chol;
        double radius;
        snprintf (path, sizeof (path), "%s/feedback/rdf/current/rdf_%s.txt", workspace, state_names[s]);
        FILE *f = fopen (path, "r");
        assert_non_null (f);
        assert_non_null (fgets (line, sizeof (line), f));
        assert_string_equal (line, "bin POPC CHOL\n");
        assert_non_null (fgets (line, sizeof (line), f));
        for (unsigned bin = 0; bin < BINS; bin++) {
            assert_non_null (fgets (line, sizeof (line), f));
            assert_int_equal (sscanf (line, "%lf %lld %lld", &radius, &popc, &chol), 3);
            assert_int_equal (popc, expected[s][bin]);
            assert_int_equal (chol, expected[s][BINS + bin]);
        }
        assert_null (fgets (line, sizeof (line), f));
        fclose (f);
    }
}

/* Waits for it. */
static void assert_whole_report (void)
{
    json_t *root = NULL;
    for (unsigned tries = 0; !root && tries < 300; tries++) {
        nap_ms (100);
        root = whole_report ();
    }
    assert_non_null (root);
    assert_int_equal (json_integer_value (json_object_get (root, "simulations")), 3);
    json_decref (root);
    assert_sums ();
}

static void each_frame_counts_once_through_kills_of_both_services (void **state)
{
    pid_t stage = program_start ("stage", 0, NULL), feedback = program_start ("feedback", 0, NULL), simulation = fork ();
    int status, ended = 0;
    if (simulation == 0)
        _exit (writer ());
    for (unsigned kills = 0; kills < 6 || !ended; kills++) {
        nap_ms (150 + 37 * (long)(kills % 5));
        if (!ended)
            ended = waitpid (simulation, &status, WNOHANG);
        if (kills < 6) {
            pid_t *victim = kills % 2 ? &stage : &feedback;
            process_end (*victim, SIGKILL);
            *victim = program_start (kills % 2 ? "stage" : "feedback", 0, NULL);
        }
    }
    assert_int_equal (status, 0);
    assert_whole_report ();
    struct strata_client *c = client_open (40000);
    for (unsigned i = 0; i < 30; i++) {
        struct strata_error error = { "" };
        char name[40];
        void *data;
        size_t size;
        snprintf (name, sizeof (name), "dir-%u/obj-%u", i % 5, i);
        if (strata_get (c, "sim", name, &data, &size, &error) < 0)
            fail_msg ("%s", error.text);
        assert_int_equal (size, strlen (name));
        assert_memory_equal (data, name, size);
        free (data);
    }
    strata_close (&c);
    assert_int_equal (process_end (feedback, SIGTERM), 0);
    assert_int_equal (process_end (stage, SIGTERM), 0);
}

static pid_t start_summing (void)
{
    pid_t pid = fork ();
    if (pid == 0)
        _exit (summing_writer ());
    return pid;
}

static void each_summed_frame_counts_once_through_kills_of_both_services_and_the_simulation (void **state)
{
    pid_t stage = program_start ("stage", 0, NULL), feedback = program_start ("feedback", 0, NULL), simulation = start_summing ();
    int status;
    for (unsigned kills = 0; kills < 9; kills++) {
        nap_ms (150 + 37 * (long)(kills % 5));
        if (kills % 3 == 2) {
            process_end (simulation, SIGKILL);
            simulation = start_summing ();
        } else {
            pid_t *victim = kills % 3 ? &stage : &feedback;
            process_end (*victim, SIGKILL);
            *victim = program_start (kills % 3 ? "stage" : "feedback", 0, NULL);
        }
    }
    assert_int_equal (waitpid (simulation, &status, 0), simulation);
    assert_int_equal (status, 0);
    assert_whole_report ();
    assert_int_equal (process_end (feedback, SIGTERM), 0);
    assert_int_equal (process_end (stage, SIGTERM), 0);
}

static int sum_frame (struct strata_client *c, uint64_t frame, bool *repeat, struct strata_error *error)
{
    int64_t counts[ROWS * BINS];
    counts_of (frame, counts);
    return strata_sum_histogram (c, "rdfs", "cg-0", frame, "RASa", ROWS, BINS, counts, repeat, error);
}

/* What a lost sum's failure is told by may be another call; then the next flush tells it again, also of a sum of one frame. */
static void a_lost_sum_is_told_by_the_flush_though_another_call_was_told_before (void **state)
{
    struct strata_error error = { "" };
    int64_t counts[ROWS * BINS];
    pid_t stage = program_start ("stage", 0, NULL);
    struct strata_client *c = strata_open (workspace, "writer", 700, &error);
    assert_non_null (c);
    while (sum_frame (c, 1, NULL, &error) < 0 || strata_flush (c, NULL, &error) < 0)
        assert_int_equal (errno, ETIMEDOUT); /* the stage comes up */
    assert_int_equal (kill (stage, SIGKILL), 0);
    assert_int_equal (waitpid (stage, NULL, 0), stage);
    counts_of (2, counts);
    assert_int_equal (sum_frame (c, 2, NULL, &error), 0);
    /* Another state: the sum of frame 2 alone is sent. */
    assert_int_equal (strata_sum_histogram (c, "rdfs", "cg-0", 3, "RASb", ROWS, BINS, counts, NULL, &error), 0);
    double coordinates[3] = { 0, 0, 0 };
    assert_int_equal (strata_append_frame (c, "frames", "cg-0", 1, 0, 3, coordinates, NULL, 0, NULL, &error), -1);
    stage = program_start ("stage", 0, NULL);
    while (strata_append_frame (c, "frames", "cg-0", 1, 0, 3, coordinates, NULL, 0, NULL, &error) < 0)
        assert_int_equal (errno, ETIMEDOUT);
    assert_int_equal (strata_flush (c, NULL, &error), -1);
    assert_non_null (strstr (error.text, "add all frames again that came after the last flush"));
    uint64_t last = 0;
    assert_int_equal (sum_frame (c, 2, NULL, &error), 0); /* what was not answered in time may be kept after all, or not */
    assert_int_equal (strata_sum_histogram (c, "rdfs", "cg-0", 3, "RASb", ROWS, BINS, counts, NULL, &error), 0);
    assert_int_equal (strata_flush (c, NULL, &error), 0);
    assert_int_equal (strata_last_sequence (c, "rdfs", "cg-0", &last, &error), 0);
    assert_int_equal (last, 3);
    strata_close (&c);
    assert_int_equal (process_end (stage, SIGTERM), 0);
}

static void a_sum_of_which_a_part_was_appended_by_another_program_is_refused_and_its_rest_can_be_added_again (void **state)
{
    pid_t stage = program_start ("stage", 0, NULL);
    struct strata_client *one = client_open (20000), *other = client_open (20000);
    struct strata_error error = { "" };
    int64_t counts[ROWS * BINS] = { 0 };
    uint64_t last;
    bool repeat;
    for (uint64_t frame = 1; frame <= 4; frame++)
        assert_int_equal (sum_frame (one, frame, &repeat, &error), 0);
    for (uint64_t frame = 1; frame <= 2; frame++)
        assert_int_equal (sum_frame (other, frame, &repeat, &error), 0);
    assert_int_equal (strata_flush (other, NULL, &error), 0);
    assert_int_equal (strata_flush (one, NULL, &error), -1);
    assert_int_equal (errno, EEXIST);
    assert_non_null (strstr (error.text, "those up to 2 are kept already"));
    for (uint64_t frame = 1; frame <= 4; frame++) {
        assert_int_equal (sum_frame (one, frame, &repeat, &error), 0);
        assert_int_equal (repeat, frame <= 2);
    }
    counts[3] = -1; /* a frame that can't be is refused alone */
    assert_int_equal (strata_sum_histogram (one, "rdfs", "cg-0", 5, "RASa", ROWS, BINS, counts, NULL, &error), -1);
    assert_int_equal (errno, EINVAL);
    assert_non_null (strstr (error.text, "the count -1 in row 0, bin 3"));
    assert_int_equal (strata_flush (one, NULL, &error), 0);
    assert_int_equal (strata_last_sequence (one, "rdfs", "cg-0", &last, &error), 0);
    assert_int_equal (last, 4);
    strata_close (&one);
    strata_close (&other);
    assert_int_equal (process_end (stage, SIGTERM), 0);
}

struct look {
    const char *kind;
    char *text;
    unsigned count;
};

static int see_event (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    struct look *look = arg;
    Strata__Event *event = strata__event__unpack (NULL, size, record);
    assert_non_null (event);
    if (strcmp (event->kind, look->kind) == 0) {
        look->count++;
        snprintf (look->text, 400, "%s", event->text);
    }
    strata__event__free_unpacked (event, NULL);
    return 0;
}

/* How many events of a kind feedback has recorded; *text: the last one's sentence. */
static unsigned events_of (struct strata_client *c, const char *kind, char text[400])
{
    struct strata_error error = { "" };
    struct look look = { kind, text, 0 };
    if (client_read (c, "feedback", "events", 0, see_event, &look, NULL, &error) < 0)
        fail_msg ("events: %s", error.text);
    return look.count;
}

static void wait_for_event (struct strata_client *c, const char *kind, const char *says)
{
    char text[400] = "";
    for (unsigned tries = 0; tries < 200; tries++) {
        if (events_of (c, kind, text) > 0 && strstr (text, says))
            return;
        nap_ms (100);
    }
    fail_msg ("no event %s says '%s'; the last one says '%s'", kind, says, text);
}

static void append_frame (struct strata_client *c, uint64_t frame, const char *state)
{
    struct strata_error error = { "" };
    int64_t counts[ROWS * BINS];
    counts_of (frame, counts);
    if (strata_append_histogram (c, "rdfs", "cg-0", frame, state, ROWS, BINS, counts, NULL, &error) < 0)
        fail_msg ("%s", error.text);
}

static void a_report_that_cannot_be_written_holds_up_no_frame_and_uptakes_are_seen (void **state)
{
    struct strata_error error = { "" };
    char dir[120], path[200], text[400];
    snprintf (dir, sizeof (dir), "%s/feedback", workspace);
    snprintf (path, sizeof (path), "%s/rdf", dir);
    assert_int_equal (mkdir (dir, 0777), 0);
    FILE *f = fopen (path, "w"); /* a file where the reports' folder should be */
    assert_non_null (f);
    fclose (f);
    pid_t stage = program_start ("stage", 0, NULL), feedback = program_start ("feedback", 0, NULL);
    struct strata_client *c = client_open (20000);
    for (uint64_t frame = 1; frame <= 25; frame++)
        append_frame (c, frame, "RASa");
    append_frame (c, 26, "no-such-state");
    /* The 26th is read although the report of the first 25 can't be written. */
    wait_for_event (c, "frame-aside", "no-such-state");
    assert_int_equal (events_of (c, "report-written", text), 0);
    append_frame (c, 27, "RASb");
    process_end (feedback, SIGKILL);
    assert_int_equal (unlink (path), 0);
    feedback = program_start ("feedback", 0, NULL);
    wait_for_event (c, "report-written", "report 2: 26 frames of 1 simulations");
    /* Report 1 has the 25 frames it was decided with, although the 27th was there when it was written. */
    snprintf (path, sizeof (path), "%s/rdf/round.000001/report.json", dir);
    json_t *root = json_load_file (path, 0, NULL);
    assert_int_equal (json_integer_value (json_object_get (root, "frames")), 25);
    json_decref (root);
    assert_int_equal (strata_append_uptake (c, "uptakes", "macro-1", 2, 5000, NULL, &error), 0);
    wait_for_event (c, "uptake-seen", "report 2 from its step 5000");
    assert_int_equal (strata_append_uptake (c, "uptakes", "macro-1", 9, 6000, NULL, &error), 0);
    wait_for_event (c, "uptake-aside", "report 9; the newest is 2");
    strata_close (&c);
    assert_int_equal (process_end (feedback, SIGTERM), 0);
    assert_int_equal (process_end (stage, SIGTERM), 0);
}

static int count_keys (const char *key, const struct strata_object_info *info, void *arg)
{
    ++*(unsigned *)arg;
    return 0;
}

static void the_client_library_sees_every_kind_of_answer (void **state)
{
    pid_t stage = program_start ("stage", 0, NULL);
    struct strata_client *c = client_open (20000), *hasty = client_open (1500);
    struct strata_error error = { "" };
    struct strata_object_info info;
    void *data;
    size_t size;
    unsigned keys = 0;
    static char big[2 << 20];
    assert_int_equal (strata_put (c, "ns", "a", "one", 3, &error), 0);
    assert_int_equal (strata_put (c, "ns", "a", "three", 5, &error), 0);
    assert_int_equal (strata_stat (c, "ns", "a", &info, &error), 0);
    assert_int_equal (info.size, 5);
    assert_int_equal (info.generation, 2);
    assert_int_equal (strata_get (c, "ns", "b", &data, &size, &error), -1);
    assert_int_equal (errno, ENOENT);
    assert_int_equal (strata_put (c, "ns", "../a", "x", 1, &error), -1);
    assert_int_equal (strata_put (c, "ns", "big", big, sizeof (big), &error), -1); /* at once: it never fits */
    assert_non_null (strstr (error.text, "whole quota of 1048576"));
    assert_int_equal (strata_put (hasty, "ns", "big", big, 1 << 20, &error), -1); /* after trying for a while */
    assert_int_equal (errno, ENOSPC);
    assert_non_null (strstr (error.text, "1048581 of 1048576"));
    assert_int_equal (strata_move (c, "ns", "a", "other", "x/y", &error), 0);
    assert_int_equal (strata_put (c, "ns", "a", "new", 3, &error), 0);
    assert_int_equal (strata_move (c, "ns", "a", "other", "x/y", &error), -1);
    assert_non_null (strstr (error.text, "there is one already"));
    assert_int_equal (strata_list (c, "other", "", count_keys, &keys, &error), 0);
    assert_int_equal (keys, 1);
    char path[200];
    struct stat st;
    snprintf (path, sizeof (path), "%s/objects/stage-0/other/x/y", workspace);
    for (unsigned tries = 0; stat (path, &st) < 0 && tries < 200; tries++)
        nap_ms (20);
    FILE *f = fopen (path, "w"); /* somebody writes over an object's file */
    assert_non_null (f);
    fputs ("threE", f);
    fclose (f);
    assert_int_equal (strata_get (c, "other", "x/y", &data, &size, &error), -1);
    assert_non_null (strstr (error.text, "other/x/y is damaged"));
    assert_int_equal (strata_delete (c, "other", "x/y", &error), 0);
    assert_int_equal (strata_delete (c, "other", "x/y", &error), -1);
    assert_int_equal (errno, ENOENT);
    strata_close (&hasty);
    strata_close (&c);
    assert_int_equal (process_end (stage, SIGTERM), 0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (each_frame_counts_once_through_kills_of_both_services, set_up, workspace_remove),
        cmocka_unit_test_setup_teardown (each_summed_frame_counts_once_through_kills_of_both_services_and_the_simulation, set_up,
                                         workspace_remove),
        cmocka_unit_test_setup_teardown (a_lost_sum_is_told_by_the_flush_though_another_call_was_told_before, set_up, workspace_remove),
        cmocka_unit_test_setup_teardown (a_sum_of_which_a_part_was_appended_by_another_program_is_refused_and_its_rest_can_be_added_again,
                                         set_up, workspace_remove),
        cmocka_unit_test_setup_teardown (
            a_report_that_cannot_be_written_holds_up_no_frame_and_uptakes_are_seen, set_up, workspace_remove),
        cmocka_unit_test_setup_teardown (the_client_library_sees_every_kind_of_answer, set_up, workspace_remove),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
