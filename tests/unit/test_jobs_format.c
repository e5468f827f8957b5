/* strata jobs: columns by formats as flux-jobs(1) has them, and points in time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "../../services/cli/jobs_format.h"

#define S(state) STRATA__JOB_STATE__JOB_##state
#define NOW_US 1795743677500000LL

static uint32_t cores[] = { 4, 5, 6, 9, 11, 12 }, nodes[] = { 0, 7, 8, 9 };

static Strata__Job running_job (void)
{
    Strata__Job job = STRATA__JOB__INIT;
    job.id = (char *)"cg-000012";
    job.type = (char *)"cg";
    job.simulation = (char *)"macro-1/p7";
    job.state = S (RUNNING);
    job.attempt = 2;
    job.created_us = NOW_US - 7200000000;
    job.started_us = NOW_US - 90000000;
    job.cores = cores;
    job.n_cores = 6;
    job.nodes = nodes;
    job.n_nodes = 4;
    return job;
}

/* What one line, and the header above it, is in that format. */
static void printed (const char *text, const struct jobs_row *row, char *header, char *line, size_t size)
{
    struct strata_error error = { "" };
    struct jobs_format *format = jobs_format_new (text, &error);
    if (!format)
        fail_msg ("%s: %s", text, error.text);
    memset (header, 0, size);
    memset (line, 0, size);
    FILE *out = fmemopen (header, size, "w");
    jobs_format_print_header (format, out);
    fclose (out);
    out = fmemopen (line, size, "w");
    jobs_format_print (format, row, out);
    fclose (out);
    jobs_format_free (&format);
}

static void assert_printed (const char *text, const char *header, const char *line)
{
    Strata__Job job = running_job ();
    Strata__TypeOfJobs type = STRATA__TYPE_OF_JOBS__INIT;
    type.nodes = 4;
    type.tasks = 8;
    type.cores = 3;
    type.gpus = 2;
    type.walltime_s = 5400;
    const struct jobs_row row = { &job, &type, "", NULL, NOW_US };
    char is_header[512], is_line[512];
    printed (text, &row, is_header, is_line, sizeof (is_line));
    if (header)
        assert_string_equal (is_header, header);
    assert_string_equal (is_line, line);
}

static void fields_stand_in_their_columns_as_the_format_says (void **state)
{
    assert_printed (JOBS_FORMAT, "JOBID              TYPE         NAME                         ST NTASKS NNODES     TIME INFO\n",
                    "cg-000012          cg           macro-1/p7                    R      8      4     1.5m 0,7,8,+1\n");
    assert_printed ("{id}|{state}|{status}|{status_abbrev}|{result}", "JOBID|STATE|STATUS|ST|RESULT\n", "cg-000012|running|RUNNING|R|\n");
    assert_printed ("{id:>12}|{id:<12}|{id:^12}|{id:*^13}|", NULL, "   cg-000012|cg-000012   | cg-000012  |**cg-000012**|\n");
    assert_printed ("{id:.4}|{id:.4+}|{id:6.4}|{name:.40+}", NULL, "cg-0|cg-+|cg-0  |macro-1/p7\n");
    assert_printed ("{ncores} {ngpus} {ntasks:4}|{nnodes:<4}|", NULL, "12 8    8|4   |\n");
    assert_printed ("{runtime} {runtime!F} {runtime:.1f} {duration!F} {duration:.0f}", NULL, "90.000 1.5m 90.0 1.5h 5400\n");
    assert_printed ("{cores} {nodelist} {gpus:h} {waits:h} {attempt}", NULL, "4-6,9,11-12 0,7,8,+1 - - 2\n");
    assert_printed ("{{{id}}} 100%", "{JOBID} 100%\n", "{cg-000012} 100%\n");
    assert_printed ("", "\n", "\n");
    assert_printed ("{t_inactive!d}|{t_inactive!d:h}", NULL, "|-\n");
}

static void names_of_nodes_stand_where_they_are_known (void **state)
{
    Strata__Job job = running_job ();
    Strata__NodeState a = STRATA__NODE_STATE__INIT, *list[8];
    Strata__NodeReply all = STRATA__NODE_REPLY__INIT;
    char header[64], line[64];
    a.name = (char *)"lassen12";
    for (size_t i = 0; i < 8; i++)
        list[i] = &a;
    all.nodes = list;
    all.n_nodes = 8;
    const struct jobs_row row = { &job, NULL, "", &all, NOW_US };
    printed ("{info}", &row, header, line, sizeof (line));
    assert_string_equal (line, "lassen12,lassen12,8,+1\n");
}

static void each_state_has_its_short_form_and_says_what_matters (void **state)
{
    static const struct {
        int state, end;
        const char *waits, *line;
    } cases[] = {
        { S (PROPOSED), 0, "select", "D|PROPOSED||waits: select\n" },
        { S (WAITING), 0, "gpus", "S|WAITING||waits: gpus\n" },
        { S (WAITING), STRATA__JOB_END__END_EXIT, "retry", "S|WAITING||retry: exit code 4\n" },
        { S (LAUNCHING), 0, "executor", "L|LAUNCHING||waits: executor\n" },
        { S (SUCCEEDED), STRATA__JOB_END__END_EXIT, "", "CD|COMPLETED|COMPLETED|\n" },
        { S (ASIDE), STRATA__JOB_END__END_EXIT, "", "F|FAILED|FAILED|exit code 4\n" },
        { S (ASIDE), STRATA__JOB_END__END_WALLTIME, "", "TO|TIMEOUT|TIMEOUT|exit code 4\n" },
        { S (CANCELLED), STRATA__JOB_END__END_CANCELLED, "", "CA|CANCELED|CANCELED|exit code 4\n" },
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        Strata__Job job = running_job ();
        char header[64], line[128];
        job.state = (Strata__JobState)cases[i].state;
        job.end = (Strata__JobEnd)cases[i].end;
        job.reason = (char *)"exit code 4";
        const struct jobs_row row = { &job, NULL, cases[i].waits, NULL, NOW_US };
        printed ("{status_abbrev}|{status}|{result}|{info}", &row, header, line, sizeof (line));
        assert_string_equal (line, cases[i].line);
    }
}

static void what_comes_from_outside_can_not_steer_a_terminal (void **state)
{
    Strata__Job job = running_job ();
    char header[64], line[64];
    job.simulation = (char *)"a\033[2Jb\x07\xff";
    const struct jobs_row row = { &job, NULL, "", NULL, NOW_US };
    printed ("{name}", &row, header, line, sizeof (line));
    assert_string_equal (line, "a?[2Jb??\n");
}

static void a_format_that_is_none_is_refused_with_what_is_wrong (void **state)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        { "{id", "brace" },          { "id}", "brace" },           { "{", "brace" },         { "}", "brace" },
        { "{nothing}", "no field {nothing}; there are: id " },     { "{}", "no field {}" },  { "{id!x}", "conversions" },
        { "{id!}", "conversions" },  { "{id:>501}", "up to 500" }, { "{id:>99999999999}", "up to 500" },
        { "{id:.}", "behind the colon" }, { "{id:>5q}", "behind the colon" }, { "{id!F5}", "behind the colon" }, { "{{id}", "brace" },
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        struct strata_error error = { "" };
        struct jobs_format *format = jobs_format_new (cases[i].text, &error);
        if (format || !strstr (error.text, cases[i].words))
            fail_msg ("%s: %s", cases[i].text, format ? "is taken" : error.text);
    }
}

static void durations_are_told_as_flux_does (void **state)
{
    static const struct {
        double seconds;
        const char *text;
    } cases[] = { { 0.25, "0.25s" }, { 59.994, "59.99s" }, { 60, "1m" }, { 5400, "1.5h" }, { 86400, "1d" }, { 1000000, "11.57d" } };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        Strata__Job job = running_job ();
        char header[64], line[64], wanted[64];
        job.started_us = NOW_US - (int64_t)(cases[i].seconds * 1e6);
        const struct jobs_row row = { &job, NULL, "", NULL, NOW_US };
        printed ("{runtime!F}", &row, header, line, sizeof (line));
        snprintf (wanted, sizeof (wanted), "%s\n", cases[i].text);
        assert_string_equal (line, wanted);
    }
}

static void a_time_since_when_is_read_in_all_of_its_forms (void **state)
{
    static const struct {
        const char *text;
        int64_t since_us; /* -1: it is none */
    } cases[] = {
        { "-90", NOW_US - 90000000 },        { "-90s", NOW_US - 90000000 },     { "-10m", NOW_US - 600000000 },   { "-2.5h", NOW_US - 9000000000 },
        { "-1d", NOW_US - 86400000000 },     { "-500ms", NOW_US - 500000 },     { "-999999d", 1 },
        { "1795740000", 1795740000000000 },  { "1795740000.5", 1795740000500000 }, { "2026-11-27", 1795737600000000 },
        { "2026-11-27T01:30", 1795743000000000 }, { "2026-11-27 01:30:05", 1795743005000000 }, { "01:30", 1795743000000000 },
        { "", -1 }, { "-", -1 }, { "--5m", -1 }, { "-5x", -1 }, { "yesterday", -1 }, { "10m", -1 }, { "2026-13-01", -1 }, { "1e400", -1 },
    };
    setenv ("TZ", "UTC", 1);
    tzset ();
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        struct strata_error error = { "" };
        int64_t since_us = -1;
        int rc = jobs_since (cases[i].text, NOW_US, &since_us, &error);
        if (rc != (cases[i].since_us < 0 ? -1 : 0) || since_us != cases[i].since_us)
            fail_msg ("%s: %d, %lld", cases[i].text, rc, (long long)since_us);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (fields_stand_in_their_columns_as_the_format_says),
        cmocka_unit_test (names_of_nodes_stand_where_they_are_known),
        cmocka_unit_test (each_state_has_its_short_form_and_says_what_matters),
        cmocka_unit_test (what_comes_from_outside_can_not_steer_a_terminal),
        cmocka_unit_test (a_format_that_is_none_is_refused_with_what_is_wrong),
        cmocka_unit_test (durations_are_told_as_flux_does),
        cmocka_unit_test (a_time_since_when_is_read_in_all_of_its_forms),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
