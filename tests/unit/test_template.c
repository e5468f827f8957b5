/* test_template.c - a job's command from its type's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../services/schedule/template.h"
#include "core/campaign_template.h"

static const struct template_context context = { "/ws", "/campaign", "/bin dir", 18446744073709551615u };

static void fill (Strata__Job *job)
{
    strata__job__init (job);
    job->id = (char *)"cg-000007";
    job->simulation = (char *)"mu/12";
    job->candidate = (char *)"mu/12";
    job->attempt = 3;
    job->dir = (char *)"/ws/jobs/cg-000007";
    job->input = (char *)"/ws/jobs/createsim-000005";
}

static void each_variable_has_its_value (void **state)
{
    static const char *const cases[][2] = {
        { "{job}", "cg-000007" },
        { "{simulation}", "mu/12" },
        { "{candidate}", "mu/12" },
        { "{attempt}", "3" },
        { "{dir}", "/ws/jobs/cg-000007" },
        { "{input}/system.gro", "/ws/jobs/createsim-000005/system.gro" },
        { "{cores}", "4" },
        { "{gpus}", "2" },
        { "{workspace}", "/ws" },
        { "{campaign_dir}", "/campaign" },
        { "{bin_dir}/x", "/bin dir/x" },
        { "{seed}", "18446744073709551615" },
        { "plain {{text}} $HOME *", "plain {text} $HOME *" },
        { "{job}.{attempt}.{seed}", "cg-000007.3.18446744073709551615" },
        { "", "" },
    };
    enum { COUNT = sizeof (cases) / sizeof (cases[0]) };
    char *command[COUNT];
    Strata__Job job;
    struct strata_error error;
    for (size_t i = 0; i < COUNT; i++)
        command[i] = (char *)cases[i][0];
    struct campaign_job type = {
        .name = (char *)"cg", .command = command, .command_count = COUNT, .cores = 4, .gpus = 2
    };
    fill (&job);
    char **argv = template_argv (&type, &job, &context, &error);
    assert_non_null (argv);
    for (size_t i = 0; i < COUNT; i++)
        assert_string_equal (argv[i], cases[i][1]);
    assert_null (argv[COUNT]);
    template_free (&argv);
    assert_null (argv);
}

static void every_variable_that_the_campaign_file_may_use_is_known (void **state)
{
    for (size_t i = 0; campaign_template_names[i]; i++) {
        char text[64], *command[1] = { text };
        Strata__Job job;
        struct strata_error error;
        struct campaign_job type = { .command = command, .command_count = 1 };
        text[0] = '{';
        strcpy (text + 1, campaign_template_names[i]);
        strcat (text, "}");
        fill (&job);
        char **argv = template_argv (&type, &job, &context, &error);
        assert_non_null (argv);
        template_free (&argv);
    }
}

static void a_job_that_shares_cores_is_told_one (void **state)
{
    char *command[] = { (char *)"{cores}" };
    Strata__Job job;
    struct strata_error error;
    struct campaign_job type = { .command = command, .command_count = 1, .cores = 0 };
    fill (&job);
    char **argv = template_argv (&type, &job, &context, &error);
    assert_string_equal (argv[0], "1");
    template_free (&argv);
}

static void mistakes_are_refused_with_the_job_and_the_argument (void **state)
{
    static const char *const cases[] = { "{nonsense}", "{job", "job}", "{}" };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        char *command[] = { (char *)"fine", (char *)cases[i] };
        Strata__Job job;
        struct strata_error error;
        struct campaign_job type = { .command = command, .command_count = 2 };
        fill (&job);
        assert_null (template_argv (&type, &job, &context, &error));
        assert_non_null (strstr (error.text, "cg-000007"));
        assert_non_null (strstr (error.text, cases[i]));
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (each_variable_has_its_value),
        cmocka_unit_test (every_variable_that_the_campaign_file_may_use_is_known),
        cmocka_unit_test (a_job_that_shares_cores_is_told_one),
        cmocka_unit_test (mistakes_are_refused_with_the_job_and_the_argument),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
