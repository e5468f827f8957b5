/* test_feedback_report.c - a report's folder: its exact text, whole or not at all, and only the last rounds kept. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "../../services/feedback/report.h"
#include "../../services/feedback/rounds.h"
#include "strata_npz.h"
#include "strata_tar.h"

static char *state_names[] = { "RASa", "4AzRASa" };
static char *row_names[] = { "POPC", "CHOL" };
static const struct campaign_feedback shape = {
    .states = state_names,
    .states_count = 2,
    .rows = row_names,
    .rows_count = 2,
    .bins = 3,
    .range_min_angstrom = 0.1,
    .range_max_angstrom = 30.1,
};
static int64_t sums[12] = { 1, 2, 3, 0, 0, 60, 0, 0, 0, 123456789012, INT64_MAX / 2, 7 };
static const uint64_t frames[2] = { 3, 1 };
static const uint64_t counts[2] = { 66, 4611686141883966726u };
static struct feedback_report report = {
    .shape = &shape,
    .round = 7,
    .frames = 4,
    .simulations = 2,
    .created_us = 1700000000123456,
    .state_frames = frames,
    .state_counts = counts,
    .sums = sums,
};

/* Centres of three 1 nm bins from 0.01 nm on: 0.51, 1.51, 2.51 nm. */
static const char *const text_RASa = "bin POPC CHOL\n"
                                     "0.00            0            0\n"
                                     "0.51            1            0\n"
                                     "1.51            2            0\n"
                                     "2.51            3           60\n";

static int setup (void **state)
{
    char *dir = strdup ("/tmp/strata-test-XXXXXX");
    assert_non_null (mkdtemp (dir));
    *state = dir;
    report.round = 7;
    return 0;
}

static int teardown (void **state)
{
    char command[120];
    snprintf (command, sizeof (command), "rm -rf '%s'", (char *)*state);
    assert_int_equal (system (command), 0);
    free (*state);
    return 0;
}

static const char *in (void **state, const char *name)
{
    static char path[4][300];
    static unsigned next;
    char *p = path[next++ % 4];
    snprintf (p, sizeof (path[0]), "%s/%s", (char *)*state, name);
    return p;
}

static char *slurp (const char *path)
{
    FILE *f = fopen (path, "r");
    if (!f)
        return NULL;
    char *text = calloc (1, 65536);
    assert_non_null (text);
    assert_true (fread (text, 1, 65535, f) < 65535);
    fclose (f);
    return text;
}

static void assert_file (const char *path, const char *expected)
{
    char *text = slurp (path);
    if (!text)
        fail_msg ("%s is missing", path);
    assert_string_equal (text, expected);
    free (text);
}

static bool is_there (const char *path)
{
    struct stat st;
    return lstat (path, &st) == 0;
}

static void must_write (void **state, const char *folder)
{
    struct strata_error error = { "" };
    if (report_write (&report, in (state, folder), &error) < 0)
        fail_msg ("%s", error.text);
}

static void the_text_is_exact_and_large_counts_stay_apart (void **state)
{
    size_t size;
    char *text = report_state_text (&report, 0, &size);
    assert_string_equal (text, text_RASa);
    assert_int_equal (size, strlen (text_RASa));
    free (text);
    text = report_state_text (&report, 1, &size);
    double radius;
    long long popc, chol;
    const char *line = strchr (strchr (text, '\n') + 1, '\n') + 1;
    for (unsigned bin = 0; bin < 3; bin++, line = strchr (line, '\n') + 1) {
        assert_int_equal (sscanf (line, "%lf %lld %lld", &radius, &popc, &chol), 3);
        assert_int_equal (popc, sums[6 + bin]);
        assert_int_equal (chol, sums[9 + bin]);
    }
    assert_int_equal (*line, '\0');
    free (text);
}

/* formats.md: 0.1-120 Angstrom in 599 bins, 600 rows. */
static void the_campaigns_shape_gives_600_rows_up_to_12_nm (void **state)
{
    struct campaign_feedback big = shape;
    struct feedback_report r = report;
    big.states_count = 1;
    big.bins = 599;
    big.range_max_angstrom = 120;
    r.shape = &big;
    int64_t *zeros = calloc (2 * 599, sizeof (*zeros));
    r.sums = zeros;
    size_t size, lines = 0;
    char *text = report_state_text (&r, 0, &size), *last = NULL;
    for (char *p = strchr (text, '\n') + 1; *p; p = strchr (p, '\n') + 1, lines++)
        last = p;
    assert_int_equal (lines, 600);
    assert_int_equal (strncmp (last, "11.99 ", 6), 0);
    free (text);
    free (zeros);
}

static void a_folder_holds_every_state_and_the_figures (void **state)
{
    must_write (state, "a/b/rdf"); /* folders are made */
    assert_file (in (state, "a/b/rdf/current/rdf_RASa.txt"), text_RASa);
    assert_true (is_there (in (state, "a/b/rdf/round.000007/rdf_4AzRASa.txt")));
    json_t *root = json_load_file (in (state, "a/b/rdf/current/report.json"), 0, NULL);
    const char *created;
    double min, max;
    json_int_t round, f, simulations, bins, f0, c0, f1, c1;
    assert_int_equal (json_unpack (root,
                                   "{s:I s:I s:I s:I s:s s:[F F] s:{s:{s:I s:I} s:{s:I s:I}}}",
                                   "round",
                                   &round,
                                   "frames",
                                   &f,
                                   "simulations",
                                   &simulations,
                                   "bins",
                                   &bins,
                                   "created",
                                   &created,
                                   "range_nm",
                                   &min,
                                   &max,
                                   "states",
                                   "RASa",
                                   "frames",
                                   &f0,
                                   "counts",
                                   &c0,
                                   "4AzRASa",
                                   "frames",
                                   &f1,
                                   "counts",
                                   &c1),
                      0);
    assert_int_equal (round, 7);
    assert_int_equal (f, 4);
    assert_int_equal (simulations, 2);
    assert_int_equal (bins, 3);
    assert_int_equal (f0 + f1, f);
    assert_int_equal (c0, 66);
    assert_int_equal (c1, counts[1]);
    assert_string_equal (created, "2023-11-14T22:13:20Z");
    assert_true (min > 0.00999 && min < 0.01001 && max > 3.00999 && max < 3.01001);
    json_decref (root);
}

static void writing_again_after_a_crash_changes_nothing (void **state)
{
    struct stat before, after;
    /* What a crash in the middle of writing leaves. */
    assert_int_equal (mkdir (in (state, "rdf"), 0777), 0);
    assert_int_equal (mkdir (in (state, "rdf/round.000007.new-other-1"), 0777), 0);
    FILE *f = fopen (in (state, "rdf/round.000007.new-other-1/rdf_RASa.txt"), "w");
    fputs ("half a fi", f);
    fclose (f);
    assert_int_equal (symlink ("round.000006", in (state, "rdf/current.new-other-1")), 0);
    must_write (state, "rdf");
    assert_file (in (state, "rdf/current/rdf_RASa.txt"), text_RASa);
    assert_false (is_there (in (state, "rdf/round.000007.new-other-1")));
    assert_false (is_there (in (state, "rdf/current.new-other-1")));
    /* Between rename and link. */
    assert_int_equal (unlink (in (state, "rdf/current")), 0);
    assert_int_equal (stat (in (state, "rdf/round.000007/report.json"), &before), 0);
    must_write (state, "rdf");
    assert_int_equal (stat (in (state, "rdf/current/report.json"), &after), 0);
    assert_int_equal (before.st_ino, after.st_ino);
    /* Another report under that name is not this one. */
    f = fopen (in (state, "rdf/round.000007/report.json"), "w");
    fputs ("{}", f);
    fclose (f);
    must_write (state, "rdf");
    json_t *root = json_load_file (in (state, "rdf/current/report.json"), 0, NULL);
    assert_int_equal (json_integer_value (json_object_get (root, "round")), 7);
    json_decref (root);
}

/* A stale holder that finishes its older report sets the link back. */
static void the_link_is_set_right_to_the_newest_round (void **state)
{
    struct strata_error error;
    char target[64] = "", dir[256];
    must_write (state, "");
    report.round = 8;
    must_write (state, "");
    snprintf (dir, sizeof (dir), "%s", in (state, ""));
    assert_int_equal (rounds_relink (dir, 8, &error), 0);
    assert_int_equal (unlink (in (state, "current")), 0);
    assert_int_equal (symlink ("round.000007", in (state, "current")), 0);
    assert_int_equal (rounds_relink (dir, 8, &error), 1);
    assert_true (readlink (in (state, "current"), target, sizeof (target) - 1) > 0);
    assert_string_equal (target, "round.000008");
    assert_int_equal (rounds_relink (dir, 9, &error), 0); /* there is none */
    report.round = 7;
}

static void the_last_ten_rounds_stay (void **state)
{
    assert_int_equal (mkdir (in (state, "round.notes"), 0777), 0); /* somebody's own */
    for (report.round = 1; report.round <= 23; report.round++)
        must_write (state, "");
    char name[40];
    for (unsigned round = 1; round <= 23; round++) {
        snprintf (name, sizeof (name), "round.%06u", round);
        assert_int_equal (is_there (in (state, name)), round > 13);
    }
    assert_true (is_there (in (state, "round.notes")));
    char target[64] = "";
    assert_true (readlink (in (state, "current"), target, sizeof (target) - 1) > 0);
    assert_string_equal (target, "round.000023");
}

static void assert_archived (void **state, unsigned from, unsigned to)
{
    struct strata_error error;
    struct tar *tar = tar_open (in (state, "history.tar"), TAR_READ, NULL, &error);
    assert_non_null (tar);
    for (unsigned round = from; round <= to; round++) {
        char name[64];
        void *data;
        size_t size;
        snprintf (name, sizeof (name), "round.%06u/rdf.npz", round);
        assert_int_equal (tar_get (tar, name, &data, &size, &error), 0);
        struct npz *npz = npz_open_take (data, size, &error);
        assert_non_null (npz);
        const struct npy *cells = npz_get (npz, "counts", &error), *number = npz_get (npz, "round", &error);
        assert_true (cells && cells->kind == NPY_I8 && cells->ndim == 3 && cells->count == 12 && number);
        assert_memory_equal (cells->data, sums, sizeof (sums));
        assert_int_equal (*(const int64_t *)number->data, round);
        npz_close (&npz);
        snprintf (name, sizeof (name), "round.%06u/report.json", round);
        assert_int_equal (tar_get (tar, name, &data, &size, &error), 0);
        free (data);
    }
    assert_int_equal (tar_count (tar), 2 * to);
    assert_int_equal (tar_close (&tar, &error), 0);
}

/* Also what could not be appended at its time: nothing is removed before it is in the archive. */
static void the_archive_holds_every_round_once (void **state)
{
    struct strata_error error;
    struct tar_report found;
    for (report.round = 1; report.round <= 3; report.round++)
        must_write (state, "");
    struct tar *other = tar_open (in (state, "history.tar"), TAR_APPEND, NULL, &error); /* somebody else has it open */
    assert_non_null (other);
    for (; report.round <= 45; report.round++)
        must_write (state, "");
    assert_int_equal (tar_close (&other, &error), 0);
    assert_true (is_there (in (state, "round.000004")));
    must_write (state, "");
    assert_false (is_there (in (state, "round.000004")));
    assert_archived (state, 1, 46);
    must_write (state, ""); /* again, as after a crash */
    assert_archived (state, 1, 46);
    assert_int_equal (tar_verify (in (state, "history.tar"), &found, NULL, NULL, &error), 0);
    assert_int_equal (found.members, 2 * 46);
    assert_int_equal (found.damaged_bytes + found.tail_bytes, 0);
}

static void a_report_that_cannot_be_written_leaves_the_last_one_in_force (void **state)
{
    struct strata_error error;
    struct rlimit old, small;
    must_write (state, "rdf");
    /* A file that may not grow stands for a full disk: write() fails in the middle of a file. */
    signal (SIGXFSZ, SIG_IGN);
    assert_int_equal (getrlimit (RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 100;
    report.round = 8;
    assert_int_equal (setrlimit (RLIMIT_FSIZE, &small), 0);
    int rc = report_write (&report, in (state, "rdf"), &error);
    assert_int_equal (setrlimit (RLIMIT_FSIZE, &old), 0);
    assert_int_equal (rc, -1);
    assert_non_null (strstr (error.text, "round.000008.new-"));
    assert_non_null (strstr (error.text, "/rdf_RASa.txt can't be written"));
    assert_false (is_there (in (state, "rdf/round.000008")));
    assert_file (in (state, "rdf/current/rdf_RASa.txt"), text_RASa);
    must_write (state, "rdf"); /* space again */
    assert_true (is_there (in (state, "rdf/round.000008/report.json")));
    /* A file where a folder should be. */
    assert_int_equal (report_write (&report, in (state, "rdf/current/report.json/x"), &error), -1);
    assert_non_null (strstr (error.text, "report.json"));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (the_text_is_exact_and_large_counts_stay_apart, setup, teardown),
        cmocka_unit_test_setup_teardown (the_campaigns_shape_gives_600_rows_up_to_12_nm, setup, teardown),
        cmocka_unit_test_setup_teardown (a_folder_holds_every_state_and_the_figures, setup, teardown),
        cmocka_unit_test_setup_teardown (writing_again_after_a_crash_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown (the_link_is_set_right_to_the_newest_round, setup, teardown),
        cmocka_unit_test_setup_teardown (the_last_ten_rounds_stay, setup, teardown),
        cmocka_unit_test_setup_teardown (the_archive_holds_every_round_once, setup, teardown),
        cmocka_unit_test_setup_teardown (a_report_that_cannot_be_written_leaves_the_last_one_in_force, setup, teardown),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
