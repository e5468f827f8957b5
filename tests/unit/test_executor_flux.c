/* test_executor_flux.c - what Flux's commands are asked and how their answers are read: quoted from flux-core's own tests
 * (t/flux-resource/list/) or made by the rules of flux-jobs(1); and, where `flux` is on PATH, what is Flux's own beside the contract
 * (test_executor_contract.c) in an instance of two brokers of this test. */
#include "executor_bench.h"

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
    assert_words (&words, "/opt/flux/bin/flux submit --quiet --cc=0 --job-name=n#{cc} --nodes=150 --ntasks=150 --cores-per-task=24 "
                          "--cwd=/w/engine/b --output=/w/engine/b/{cc}.log --queue=batch --urgency=20 /opt/flux/bin/flux start "
                          "/bin/sh /w/engine/b/batch.sh");
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
        { "2163455459328|SCHED|SCHED|||strata-00ff-1:cg-000001.1+9#0|eta:3.2m|", "SCHED", "eta:3.2m", ENGINE_PENDING, 0, false, 0 },
        { "2163455459328|DEPEND|DEPEND|||strata-00ff-1:cg-000001.1+9#4|depends:begin-time|", "DEPEND", "depends:begin-time", ENGINE_PENDING, 4, false, 0 },
        { "2163455459328|RUN|RUN||fluke7|strata-00ff-1:cg-000001.1+9#12|fluke7|", "RUN", "", ENGINE_RUNNING, 12, false, 0 },
        { "2163455459328|CLEANUP|CLEANUP||fluke7|strata-00ff-1:cg-000001.1+9#12|fluke7|", "CLEANUP", "", ENGINE_RUNNING, 12, true, 0 },
        { "2163455459328|INACTIVE|COMPLETED||fluke7|strata-00ff-1:cg-000001.1+9#12|fluke7|", "COMPLETED", "", ENGINE_OVER, 12, false, 0 },
        { "2163455459328|INACTIVE|FAILED||fluke7|strata-00ff-1:cg-000001.1+9#12|fluke7|", "FAILED", "", ENGINE_OVER, 12, false, 0 },
        { "2163455459328|INACTIVE|FAILED|exec|fluke7|strata-00ff-1:cg-000001.1+9#1|fluke7|command not found", "exec", "command not found", ENGINE_OVER, 1, false, 0 },
        { "2163455459328|INACTIVE|FAILED|alloc||strata-00ff-1:cg-000001.1+9#1||unsatisfiable request", "alloc", "unsatisfiable request", ENGINE_OVER, 1, false,
          END (REFUSED) },
        { "2163455459328|INACTIVE|FAILED|exec|fluke7|strata-00ff-1:cg-000001.1+9#1|fluke7|node failure on fluke7 (rank 1)", "node-failure",
          "node failure on fluke7 (rank 1)", ENGINE_OVER, 1, false, END (NODE) },
        { "2163455459328|INACTIVE|TIMEOUT|timeout|fluke7|strata-00ff-1:cg-000001.1+9#1|fluke7|resource allocation expired", "TIMEOUT", "resource allocation expired",
          ENGINE_OVER, 1, false, END (WALLTIME) },
        { "2163455459328|INACTIVE|CANCELED|cancel||strata-00ff-1:cg-000001.1+9#1||too | long", "CANCELED", "too | long", ENGINE_OVER, 1, false, END (STOPPED) },
        { "2163455459328|RUN|RUN||fluke7|strata-00ff-1:cg-000001.1+9|fluke7|", "RUN", "", ENGINE_RUNNING, -1, false, 0 },
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

/* ---- in a real Flux: this machine as two nodes ---- */

static void what_flux_can_never_allocate_ends_as_refused_and_says_why (void **state)
{
    struct bench *bench = bench_new (&executor_flux);
    struct job *job = bench_job (bench, "true");
    static const uint32_t nodes[9];
    job->order.nodes = nodes;
    job->order.nodes_count = 9;
    assert_int_equal (bench_wait_end (bench, job), EXECUTOR_ENDED);
    assert_int_equal (job->outcome.end, END (REFUSED));
    if (!strstr (job->outcome.reason, "unsatisfiable request"))
        fail_msg ("%s", job->outcome.reason);
    bench_free (bench);
}

/* All cores of the instance are taken; what waits has not begun. */
static void a_job_that_somebody_cancels_in_flux_has_stopped_whether_it_runs_or_waits (void **state)
{
    struct bench *bench = bench_new (&executor_flux);
    struct job *runs = bench_job (bench, "echo 1 > ran; sleep 1000");
    bench_wait_number (bench, runs, "ran");
    bench_command ("flux submit --quiet --job-name=fill --nodes=2 --exclusive sleep 1000");
    struct job *waits = bench_job (bench, "echo 1 > ran");
    bench_wait_state (bench, runs, EXECUTOR_RUNNING);
    const char *of_name = "flux cancel --message='too | long' $(flux jobs -n -o '{id} {name}' | awk -v n=:%s.1 'index ($2, n) {print $1}')";
    for (int64_t end_ms = bench_now_ms () + bench_limit_ms (); bench_now_ms () < end_ms && bench_tick (bench) == 0;)
        if (system ("flux jobs -n -o '{name}' | grep -q :x-000002.1") == 0)
            break;
    char command[300];
    for (int i = 2; i > 0; i--) {
        snprintf (command, sizeof (command), of_name, bench->jobs[i - 1]->id);
        bench_command ("%s", command);
    }
    bench_wait_all (bench);
    assert_int_equal (runs->outcome.end, END (STOPPED));
    assert_int_equal (waits->outcome.end, END (STOPPED));
    assert_int_equal (bench_number (waits, "ran"), -1);
    if (!strstr (waits->outcome.reason, "CANCELED: too | long"))
        fail_msg ("%s", waits->outcome.reason);
    bench_command ("flux cancel --all");
    bench_free (bench);
}

static void a_job_of_two_nodes_begins_once_and_has_both (void **state)
{
    struct bench *bench = bench_new (&executor_flux);
    struct job *job = bench_job (bench, "echo 1 >> ran; flux run --nodes=2 --tasks-per-node=1 sh -c 'echo $FLUX_TASK_RANK' > ranks");
    static const uint32_t nodes[2] = { 0, 1 };
    job->order.nodes = nodes;
    job->order.nodes_count = 2;
    assert_int_equal (bench_wait_end (bench, job), EXECUTOR_ENDED);
    if (job->outcome.end != END (EXIT) || job->outcome.code != 0)
        fail_msg ("%s: %s", job->outcome.reason, job->outcome.stderr_tail);
    assert_int_equal (bench_lines (job, "ran"), 1);
    assert_int_equal (bench_lines (job, "ranks"), 2);
    bench_free (bench);
}

/* The last: the second node does not come back. Flux gives the first node's cores first. */
static void a_job_whose_node_fails_is_lost_and_can_be_tried_again (void **state)
{
    struct bench *bench = bench_new (&executor_flux);
    struct job *job = NULL;
    bench_command ("flux submit --quiet --requires=rank:0 --nodes=1 --exclusive sleep 1000");
    job = bench_job (bench, "echo $$ > pid; echo 1 > ran; exec sleep 1000");
    bench_wait_number (bench, job, "ran");
    bench_wait_state (bench, job, EXECUTOR_RUNNING);
    /* Stopped first: it would tell of the deaths below it. */
    bench_command ("flux exec --rank 1 sh -c 'echo $PPID' > %s/broker && kill -STOP $(cat %s/broker)", job->dir, job->dir);
    bench_kill_up_to (job, "flux-shell");
    bench_command ("kill -KILL $(cat %s/broker)", job->dir);
    assert_int_equal (bench_wait_end (bench, job), EXECUTOR_LOST);
    assert_int_equal (job->outcome.end, END (NODE));
    if (!strstr (job->outcome.reason, "node failure"))
        fail_msg ("%s", job->outcome.reason);
    bench_command ("flux cancel --all");
    bench_try_again (job, "echo 2 > again");
    assert_int_equal (bench_wait_end (bench, job), EXECUTOR_ENDED);
    assert_int_equal (bench_number (job, "again"), 2);
    bench_free (bench);
}

static int run_inside (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (what_flux_can_never_allocate_ends_as_refused_and_says_why),
        cmocka_unit_test (a_job_that_somebody_cancels_in_flux_has_stopped_whether_it_runs_or_waits),
        cmocka_unit_test (a_job_of_two_nodes_begins_once_and_has_both),
        cmocka_unit_test (a_job_whose_node_fails_is_lost_and_can_be_tried_again),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}

int main (int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_batch_is_one_command_whose_jobs_carry_our_name_and_their_number),
        cmocka_unit_test (each_state_of_a_job_is_understood),
        cmocka_unit_test (a_line_that_is_no_job_is_passed_over),
        cmocka_unit_test (a_server_that_is_away_is_waited_for_and_a_wrong_request_is_not),
        cmocka_unit_test (the_nodes_are_those_of_a_resource_set),
    };
    bench_find_folders ();
    cmocka_set_test_filter (getenv ("ONLY"));
    if (argc > 1)
        return run_inside ();
    int failed = cmocka_run_group_tests (tests, NULL, NULL), rc = bench_run_in_flux ("inside");
    if (rc < 0)
        print_message ("in a real Flux: SKIPPED, there is no `flux` on PATH\n");
    return failed || rc > 0;
}
