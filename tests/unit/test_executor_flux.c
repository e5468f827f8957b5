/* test_executor_flux.c - what Flux's commands are asked and how their answers are read. The contract runs against a real Flux where
 * there is one (test_executor_contract.c); the answers here are quoted from flux-core's own tests (t/flux-resource/list/) or
 * made by the rules of flux-jobs(1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../services/schedule/executor_flux.h"

static const struct engine_table *const flux = &executor_flux_table;

static void assert_words (struct engine_words *words, const char *expected)
{
    char line[2048] = "";
    for (size_t i = 0, n = 0; i < words->count; i++) {
        n += (size_t)snprintf (line + n, sizeof (line) - n, "%s%s", i ? " " : "", words->list[i]);
        free (words->list[i]);
    }
    free (words->list);
    *words = (struct engine_words){ 0 };
    assert_string_equal (line, expected);
}

static void a_batch_is_one_command_whose_jobs_carry_our_name_and_their_number (void **state)
{
    struct engine_words words = { 0 };
    const struct engine_shape one = { .nodes = 1, .cores = 3, .gpus = 1, .memory_mb = 100, .walltime_s = 3720 };
    const struct engine_shape many = { .nodes = 150, .cores = 24 };
    char *options[] = { (char *)"--urgency=20" };
    struct campaign_engine settings = { .queue = (char *)"batch", .options = options, .options_count = 1, .commands = (char *)"/opt/flux/bin" };
    flux->submit (&words, NULL, &one, "/w/engine/b", "strata-00ff-1:cg-000001.1+9", 10);
    assert_words (&words, "flux submit --quiet --cc=0-9 --job-name=strata-00ff-1:cg-000001.1+9#{cc} --nodes=1 --ntasks=1 --cores-per-task=3 "
                          "--gpus-per-task=1 --time-limit=3720s --cwd=/w/engine/b --output=/w/engine/b/{cc}.log /bin/sh /w/engine/b/batch.sh");
    flux->submit (&words, &settings, &many, "/w/engine/b", "n", 1);
    assert_words (&words, "/opt/flux/bin/flux submit --quiet --cc=0-0 --job-name=n#{cc} --nodes=150 --ntasks=150 --cores-per-task=24 "
                          "--cwd=/w/engine/b --output=/w/engine/b/{cc}.log --queue=batch --urgency=20 /opt/flux/bin/flux start "
                          "/w/engine/b/batch.sh");
    flux->cancel (&words, NULL, true);
    assert_words (&words, "flux job kill --signal=SIGTERM");
    flux->cancel (&words, NULL, false);
    assert_words (&words, "flux cancel");
}

static void each_state_of_a_job_is_understood (void **state)
{
    static const struct {
        const char *line, *state, *reason;
        enum engine_step step;
        long task;
        bool lingers;
        Strata__JobEnd end;
    } cases[] = {
        { "2163455459328|SCHED|SCHED|||strata-00ff-1:cg-000001.1+9#0||eta:3.2m", "SCHED", "eta:3.2m", ENGINE_PENDING, 0, false, 0 },
        { "2163455459328|DEPEND|DEPEND|||strata-00ff-1:cg-000001.1+9#4||depends:begin-time", "DEPEND", "depends:begin-time", ENGINE_PENDING, 4, false, 0 },
        { "2163455459328|RUN|RUN||fluke7|strata-00ff-1:cg-000001.1+9#12||fluke7", "RUN", "", ENGINE_RUNNING, 12, false, 0 },
        { "2163455459328|CLEANUP|CLEANUP||fluke7|strata-00ff-1:cg-000001.1+9#12||fluke7", "CLEANUP", "", ENGINE_RUNNING, 12, true, 0 },
        { "2163455459328|INACTIVE|COMPLETED||fluke7|strata-00ff-1:cg-000001.1+9#12|Exit 0|fluke7", "COMPLETED", "Exit 0", ENGINE_OVER, 12, false, 0 },
        { "2163455459328|INACTIVE|FAILED|exec|fluke7|strata-00ff-1:cg-000001.1+9#1|command not found|fluke7", "exec", "command not found",
          ENGINE_OVER, 1, false, 0 },
        { "2163455459328|INACTIVE|FAILED|alloc||strata-00ff-1:cg-000001.1+9#1|Exception: type=alloc note=unsatisfiable|", "alloc",
          "Exception: type=alloc note=unsatisfiable", ENGINE_OVER, 1, false, STRATA__JOB_END__END_NO_START },
        { "2163455459328|INACTIVE|FAILED|node-failure|fluke7|strata-00ff-1:cg-000001.1+9#1|Exception: type=node-failure|fluke7",
          "node-failure", "Exception: type=node-failure", ENGINE_OVER, 1, false, STRATA__JOB_END__END_LOST },
        { "2163455459328|INACTIVE|TIMEOUT|timeout|fluke7|strata-00ff-1:cg-000001.1+9#1|Timeout|fluke7", "TIMEOUT", "Timeout", ENGINE_OVER, 1, false,
          STRATA__JOB_END__END_WALLTIME },
        { "2163455459328|INACTIVE|CANCELED|cancel||strata-00ff-1:cg-000001.1+9#1|Canceled: a|b|", "CANCELED", "Canceled: a", ENGINE_OVER, 1,
          false, 0 },
        { "2163455459328|RUN|RUN||fluke7|strata-00ff-1:cg-000001.1+9||fluke7", "RUN", "", ENGINE_RUNNING, -1, false, 0 },
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        char line[256];
        struct engine_row row = { .task = -1 };
        snprintf (line, sizeof (line), "%s", cases[i].line);
        assert_true (flux->row (line, &row));
        assert_string_equal (row.native, "2163455459328");
        assert_string_equal (row.name, "strata-00ff-1:cg-000001.1+9");
        assert_string_equal (row.state, cases[i].state);
        assert_string_equal (row.reason, cases[i].reason);
        assert_int_equal (row.step, cases[i].step);
        assert_int_equal (row.task, cases[i].task);
        assert_int_equal (row.lingers, cases[i].lingers);
        assert_int_equal (flux->end (row.state), cases[i].end);
    }
}

static void a_line_that_is_no_job_is_passed_over (void **state)
{
    static const char *const lines[] = { "x", "1|RUN|RUN", "flux-jobs: ERROR: 1 job|a|b", "||||||" };
    for (size_t i = 0; i < sizeof (lines) / sizeof (lines[0]); i++) {
        char line[64];
        struct engine_row row = { .task = -1 };
        snprintf (line, sizeof (line), "%s", lines[i]);
        assert_false (flux->row (line, &row));
    }
}

static void a_server_that_is_away_is_waited_for_and_a_wrong_request_is_not (void **state)
{
    assert_true (flux->passing ("flux-submit: ERROR: Unable to connect to Flux: ENOENT: No such file or directory"));
    assert_true (flux->passing ("flux-submit: ERROR: [Errno 22] job submission is disabled: maintenance"));
    assert_false (flux->passing ("flux-submit: ERROR: --nodes: invalid value"));
    assert_true (flux->waits_well ("eta:now"));
    assert_true (flux->waits_well (""));
    assert_false (flux->waits_well ("held"));
}

struct seen {
    size_t nodes, cores, gpus;
    char first[64], fourth[64], last[64];
};

static void see (void *arg, const char *name, unsigned cores, unsigned gpus, uint64_t memory_mb)
{
    struct seen *seen = arg;
    if (seen->nodes == 0)
        snprintf (seen->first, sizeof (seen->first), "%s", name);
    if (seen->nodes == 3)
        snprintf (seen->fourth, sizeof (seen->fourth), "%s", name);
    snprintf (seen->last, sizeof (seen->last), "%s", name);
    seen->nodes++;
    seen->cores += cores;
    seen->gpus += gpus;
    assert_int_equal (memory_mb, 0);
}

static void the_nodes_are_those_of_a_resource_set (void **state)
{
    static const struct {
        const char *set;
        struct seen seen;
    } cases[] = {
        /* t/flux-resource/list/fluke.R */
        { "{\"version\": 1, \"execution\": {\"R_lite\": [{\"rank\": \"0-100\", \"children\": {\"core\": \"0-3\"}}], \"starttime\": 0.0, \"expiration\": "
          "0.0, \"nodelist\": [\"fluke[3-103]\"], \"properties\": {\"batch\": \"0-92\", \"debug\": \"93-100\"}}}",
          { 101, 404, 0, "fluke3", "fluke6", "fluke103" } },
        /* t/flux-resource/list/normal-new.R */
        { "{\"version\": 1, \"execution\": {\"R_lite\": [{\"rank\": \"0-4\", \"children\": {\"core\": \"0-3\"}}], \"starttime\": 0.0, \"expiration\": 0.0, "
          "\"nodelist\": [\"pi[3,0-2,4]\"], \"properties\": {\"8g\": \"0-2\"}}}",
          { 5, 20, 0, "pi3", "pi2", "pi4" } },
        { "{\"version\": 1, \"execution\": {\"R_lite\": [{\"rank\": \"2-3\", \"children\": {\"core\": \"0-43\", \"gpu\": \"0-5\"}}, {\"rank\": \"0-1\", "
          "\"children\": {\"core\": \"0,2\"}}], \"nodelist\": [\"login1,a[09-11]n\"]}}",
          { 4, 92, 12, "login1", "a11n", "a11n" } },
        { "{\"version\": 1, \"execution\": {\"R_lite\": [], \"nodelist\": []}}", { 0, 0, 0, "", "", "" } },
        { "{\"version\": 1, \"execution\": {\"R_lite\": [{\"rank\": \"0-x\", \"children\": {\"core\": \"0\"}}], \"nodelist\": [\"a\"]}}", { 0, 0, 0, "", "", "" } },
        { "not JSON", { 0, 0, 0, "", "", "" } },
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        char *line = strdup (cases[i].set);
        struct seen seen = { 0 };
        flux->node (line, see, &seen);
        assert_int_equal (seen.nodes, cases[i].seen.nodes);
        assert_int_equal (seen.cores, cases[i].seen.cores);
        assert_int_equal (seen.gpus, cases[i].seen.gpus);
        assert_string_equal (seen.first, cases[i].seen.first);
        assert_string_equal (seen.fourth, cases[i].seen.fourth);
        assert_string_equal (seen.last, cases[i].seen.last);
        free (line);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_batch_is_one_command_whose_jobs_carry_our_name_and_their_number),
        cmocka_unit_test (each_state_of_a_job_is_understood),
        cmocka_unit_test (a_line_that_is_no_job_is_passed_over),
        cmocka_unit_test (a_server_that_is_away_is_waited_for_and_a_wrong_request_is_not),
        cmocka_unit_test (the_nodes_are_those_of_a_resource_set),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
