/* test_executor_contract.c - what every executor promises: one table of cases, run for each executor that is on this machine.
 *
 * Slurm is a real one (scripts/slurm.sh): two nodes of eight processors that don't exist, on 127.0.0.1. Flux is an instance of
 * two brokers on this machine, where `flux` is on PATH. With arguments: only these executors.
 */
#include <sys/prctl.h>
#include <sys/wait.h>

#include "core/nodes.h"
#include "executor_bench.h"

#define CASE(name) static void name (struct bench *bench)

CASE (each_end_is_told_with_its_reason_and_last_words)
{
    static const struct {
        const char *script;
        unsigned walltime_s, memory_mb;
        const char *success, *program;
        Strata__JobEnd end;
        int code;
        const char *reason, *tail;
    } cases[] = {
        { "true", 0, 0, NULL, NULL, END (EXIT), 0, "exit code 0", "" },
        { "echo no force field >&2; exit 3", 0, 0, NULL, NULL, END (EXIT), 3, "exit code 3", "no force field" },
        { "exit 104", 0, 0, NULL, NULL, END (EXIT), 104, "exit code 104", "" },
        { "kill -SEGV $$", 0, 0, NULL, NULL, END (SIGNAL), SIGSEGV, "signal 11", "" },
        { "kill -KILL $$", 0, 0, NULL, NULL, END (SIGNAL), SIGKILL, "signal 9", "" },
        { "sleep 1000", 1, 0, NULL, NULL, END (WALLTIME), 0, "walltime of 1 s", "" },
        { "x=$(head -c 60000000 /dev/zero | tr '\\0' x); sleep 1000", 0, 30, NULL, NULL, END (MEMORY), 0, "where 30 are allowed", "" },
        { "while :; do head -c 2000000 /dev/zero; sleep 0.05; done", 0, 0, NULL, NULL, END (OUTPUT), 0, "where 5 are allowed", "" },
        { "true", 0, 0, "sim.json", NULL, END (NO_OUTPUT), 0, "sim.json is missing", "" },
        { "echo 1 > sim.json", 0, 0, "sim.json", NULL, END (EXIT), 0, "exit code 0", "" },
        { "", 0, 0, NULL, "/no/such/program", END (NO_START), ENOENT, "/no/such/program", "" },
    };
    enum { COUNT = sizeof (cases) / sizeof (cases[0]) };
    static char *success[COUNT][1];
    for (size_t i = 0; i < COUNT; i++) {
        struct job *job = bench_job (bench, cases[i].script);
        job->order.walltime_s = cases[i].walltime_s ? cases[i].walltime_s : job->order.walltime_s;
        job->order.memory_mb = cases[i].memory_mb;
        job->order.output_mb = cases[i].end == END (OUTPUT) ? 5 : 0;
        success[i][0] = (char *)cases[i].success;
        job->order.success = success[i];
        job->order.success_count = cases[i].success != NULL;
        if (cases[i].program)
            job->argv[0] = (char *)cases[i].program;
    }
    bench_wait_all (bench);
    for (size_t i = 0; i < COUNT; i++) {
        const struct outcome *outcome = &bench->jobs[i]->outcome;
        if (bench->jobs[i]->state != EXECUTOR_ENDED || outcome->end != cases[i].end || outcome->code != cases[i].code
            || !strstr (outcome->reason, cases[i].reason) || strcmp (outcome->stderr_tail, cases[i].tail) != 0)
            fail_msg ("case %zu (%s): state %d, end %s, code %d, reason \"%s\", last words \"%s\"", i, cases[i].script,
                      (int)bench->jobs[i]->state, outcome_end_name (outcome->end), outcome->code, outcome->reason,
                      outcome->stderr_tail);
        assert_true (outcome->ended_us >= outcome->started_us && outcome->started_us > 0);
    }
}

CASE (a_job_runs_in_its_folder_with_its_environment_and_its_words)
{
    struct job *job = bench_job (bench, "[ \"$STRATA_JOB.$STRATA_ATTEMPT\" = x-000001.1 ] || exit 2\n"
                                        "[ \"$PWD\" -ef \"$STRATA_WORKSPACE/jobs/x-000001\" ] || exit 3\n"
                                        "[ \"$ODD\" = \"it's a \\\"\\$HOME\\\" of\ntwo lines  | & ; é\" ] || exit 4\n");
    setenv ("STRATA_JOB", "of-somebody-else", 1);
    job->environment[2] = "ODD=it's a \"$HOME\" of\ntwo lines  | & ; é";
    assert_int_equal (bench_wait_end (bench, job), EXECUTOR_ENDED);
    unsetenv ("STRATA_JOB");
    assert_int_equal (job->outcome.code, 0);
}

CASE (what_a_job_writes_is_in_files_of_its_attempt)
{
    struct job *job = bench_job (bench, "echo to the one; echo to the other >&2");
    assert_int_equal (bench_wait_end (bench, job), EXECUTOR_ENDED);
    assert_int_equal (bench_lines (job, "attempt-1/stdout"), 1);
    assert_int_equal (bench_lines (job, "attempt-1/stderr"), 1);
}

CASE (an_attempt_that_was_never_launched_is_told_so)
{
    struct job *job = bench_job (bench, "true");
    for (int64_t end_ms = bench_now_ms () + bench_limit_ms (); bench_now_ms () < end_ms; pause_ms (10)) {
        bench_turn (bench);
        job->state = bench->ops->poll (bench->executor, &job->order.ref, &job->outcome);
        if (job->state != EXECUTOR_SUBMITTED)
            break; /* an engine must be asked first */
    }
    assert_int_equal (job->state, EXECUTOR_NEVER);
    bench_forget_jobs (bench);
}

CASE (an_attempt_is_run_once_however_often_it_is_launched)
{
    struct job *job = bench_job (bench, "echo 1 >> ran; " UNTIL_GO);
    struct strata_error error = { "" };
    uint32_t pid;
    for (int i = 0; i < 5; i++)
        assert_true (bench->ops->launch (bench->executor, &job->order, &pid, &error) >= 0);
    bench_wait_number (bench, job, "ran");
    void *other = bench_open (bench->ops, bench->workspace);
    assert_true (bench->ops->launch (other, &job->order, &pid, &error) >= 0);
    for (int i = 0; bench->ops->turn && i < 100; i++) {
        bench->ops->poll (other, &job->order.ref, &job->outcome);
        bench->ops->turn (other);
        pause_ms (20);
    }
    bench_go (job);
    assert_int_equal (bench_wait_end (bench, job), EXECUTOR_ENDED);
    assert_int_equal (bench->ops->launch (other, &job->order, &pid, &error) < 0, 0);
    bench->ops->close (&other);
    assert_int_equal (bench->ops->launch (bench->executor, &job->order, &pid, &error), 0);
    assert_int_equal (bench_look (bench, job), EXECUTOR_ENDED);
    assert_int_equal (bench_lines (job, "ran"), 1);
}

CASE (an_attempt_outlives_the_scheduler_that_started_it)
{
    struct job *job = bench_job (bench, "echo $$ > pid; " UNTIL_GO "; exit 5");
    bench_wait_number (bench, job, "pid");
    bench_wait_state (bench, job, EXECUTOR_RUNNING);
    bench_restart (bench);
    assert_int_not_equal (bench_look (bench, job), EXECUTOR_NEVER);
    bench_wait_state (bench, job, EXECUTOR_RUNNING);
    bench_go (job);
    assert_int_equal (bench_wait_end (bench, job), EXECUTOR_ENDED);
    assert_int_equal (job->outcome.code, 5);
}

CASE (an_end_that_came_while_no_scheduler_was_there_is_told)
{
    struct job *job = bench_job (bench, "echo 1 >> ran; " UNTIL_GO "; exit 6");
    bench_wait_number (bench, job, "ran");
    bench->ops->close (&bench->executor);
    bench_go (job);
    char path[PATH_MAX];
    snprintf (path, sizeof (path), "%s/attempt-1/outcome.json", job->dir);
    for (int64_t end_ms = bench_now_ms () + bench_limit_ms (); access (path, F_OK) != 0 && bench_now_ms () < end_ms;)
        pause_ms (10);
    bench->executor = bench_open (bench->ops, bench->workspace);
    assert_int_equal (bench_wait_end (bench, job), EXECUTOR_ENDED);
    assert_int_equal (job->outcome.code, 6);
    assert_int_equal (bench_lines (job, "ran"), 1);
}

/* The scheduler dies after n turns of an order that it has not noted as running: somewhere between being told of it and
 * knowing what the engine said. */
CASE (a_crash_between_submission_and_its_note_starts_nothing_twice)
{
    for (int turns = 0; turns < 8; turns++) {
        struct job *job = bench_job (bench, "echo 1 >> ran; sleep 0.3");
        for (int i = 0; i <= turns; i++) {
            bench_look (bench, job);
            bench_turn (bench);
            if (turns % 2)
                pause_ms (3);
        }
        bench_restart (bench);
        job->started = false;
    }
    bench_wait_all (bench);
    for (size_t i = 0; i < bench->jobs_count; i++) {
        assert_int_equal (bench->jobs[i]->outcome.end, END (EXIT));
        assert_int_equal (bench_lines (bench->jobs[i], "ran"), 1);
    }
}

CASE (a_stopped_job_is_really_gone)
{
    struct job *job = bench_job (bench, "trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$ > stray; sleep 1000' & wait; sleep 1000");
    long stray = bench_wait_number (bench, job, "stray");
    for (int i = 0; i < 3; i++)
        bench->ops->stop (bench->executor, &job->order.ref);
    bench_wait_state (bench, job, EXECUTOR_RUNNING);
    bench->ops->stop (bench->executor, &job->order.ref);
    assert_int_equal (bench_wait_end (bench, job), EXECUTOR_ENDED);
    assert_int_equal (job->outcome.end, END (STOPPED));
    assert_true (bench_wait_gone (stray));
}

CASE (a_job_can_be_stopped_as_soon_as_it_is_launched)
{
    struct job *jobs[6];
    for (size_t i = 0; i < 6; i++) {
        jobs[i] = bench_job (bench, "sleep 1000");
        bench_look (bench, jobs[i]);
    }
    /* Those that are on their way to the engine by now, and those that are not. */
    for (size_t i = 0; i < 6; i++) {
        for (size_t turns = 0; turns < i; turns++)
            bench_turn (bench);
        bench->ops->stop (bench->executor, &jobs[i]->order.ref);
    }
    for (int64_t end_ms = bench_now_ms () + bench_limit_ms ();;) {
        size_t gone = 0;
        for (size_t i = 0; i < 6; i++) {
            jobs[i]->state = bench->ops->poll (bench->executor, &jobs[i]->order.ref, &jobs[i]->outcome);
            if (jobs[i]->state == EXECUTOR_SUBMITTED || jobs[i]->state == EXECUTOR_RUNNING)
                bench->ops->stop (bench->executor, &jobs[i]->order.ref);
            gone += jobs[i]->state == EXECUTOR_NEVER
                    || (jobs[i]->state == EXECUTOR_ENDED && jobs[i]->outcome.end == END (STOPPED));
        }
        if (gone == 6)
            break;
        if (bench_now_ms () > end_ms)
            fail_msg ("only %zu of 6 jobs are gone", gone);
        bench_turn (bench);
        pause_ms (20);
    }
}

CASE (when_the_shepherd_is_killed_the_job_is_lost_and_its_strays_are_killed)
{
    struct job *job = bench_job (bench, "echo $$ > pid; setsid sh -c 'echo $$ > stray; sleep 1000' & sleep 1000");
    long stray = bench_wait_number (bench, job, "stray"), pid = bench_wait_number (bench, job, "pid");
    kill ((pid_t)bench_wait_number (bench, job, "attempt-1/lock"), SIGKILL);
    assert_int_equal (bench_wait_end (bench, job), EXECUTOR_LOST);
    assert_int_equal (job->outcome.end, END (LOST));
    assert_non_null (strstr (job->outcome.reason, "without a word"));
    assert_true (bench_wait_gone (pid));
    assert_true (bench_wait_gone (stray));
}

CASE (many_jobs_run_once_each_also_when_the_scheduler_is_started_anew_meanwhile)
{
    for (int i = 0; i < 60; i++) {
        struct job *job = bench_job (bench, "echo 1 >> ran; sleep 0.1");
        job->order.cores_count = i % 3 == 0 ? 2 : 1;
        static const uint32_t cores[2] = { 0, 0 };
        job->order.cores = cores;
    }
    for (int restarts = 0; restarts < 4; restarts++) {
        for (int i = 0; i < 5 + restarts * 10; i++)
            bench_tick (bench);
        bench_restart (bench);
    }
    bench_wait_all (bench);
    for (size_t i = 0; i < bench->jobs_count; i++) {
        assert_int_equal (bench->jobs[i]->outcome.end, END (EXIT));
        assert_int_equal (bench->jobs[i]->outcome.code, 0);
        assert_int_equal (bench_lines (bench->jobs[i], "ran"), 1);
    }
}

/* ---- the agent of a node, for executor `nodes` ---- */

static pid_t agent;

static const char agent_campaign[] =
    "strata: 1\ncampaign: contract\nworkspace: w\nseed: 1\n"
    "patch: {snapshots: snapshots, candidates: patches, encoder: {kind: pca, model: c.yaml, dimensions: 2}}\n"
    "select: {from: patches, queues: [{name: all, configuration: other, quota: 1.0}]}\n"
    "feedback: {from: rdfs, uptake: uptakes, states: [S], rows: [R]}\n"
    "jobs: [{name: one, start: always, command: [\"true\"]}]\n";

static void start_agent (const char *workspace)
{
    struct strata_error error;
    char file[PATH_MAX], program[PATH_MAX];
    snprintf (file, sizeof (file), "%s/c.yaml", workspace);
    snprintf (program, sizeof (program), "%.4000s/strata-launch", bin_dir);
    FILE *out = fopen (file, "w");
    assert_non_null (out);
    fputs (agent_campaign, out);
    fclose (out);
    setenv ("STRATA_NODE", "n0", 1);
    int lock = nodes_lock (workspace, "n0", &error);
    assert_true (lock >= 0);
    close (lock);
    assert_int_equal (nodes_join (workspace, "n0", true, &error), 0);
    agent = fork ();
    if (agent == 0) {
        prctl (PR_SET_PDEATHSIG, SIGKILL);
        if (!freopen ("/dev/null", "w", stderr))
            _exit (1);
        execl (program, program, "--campaign", file, "--workspace", workspace, "--replica", "0", (char *)NULL);
        _exit (127);
    }
    assert_true (agent > 0);
}

static void end_agent (void)
{
    kill (agent, SIGKILL);
    waitpid (agent, NULL, 0);
}

/* ---- for each executor ---- */

#define ROW(name) { #name, name }
static const struct {
    const char *name;
    void (*run) (struct bench *bench);
} contract[] = {
    ROW (each_end_is_told_with_its_reason_and_last_words),
    ROW (a_job_runs_in_its_folder_with_its_environment_and_its_words),
    ROW (what_a_job_writes_is_in_files_of_its_attempt),
    ROW (an_attempt_that_was_never_launched_is_told_so),
    ROW (an_attempt_is_run_once_however_often_it_is_launched),
    ROW (an_attempt_outlives_the_scheduler_that_started_it),
    ROW (an_end_that_came_while_no_scheduler_was_there_is_told),
    ROW (a_crash_between_submission_and_its_note_starts_nothing_twice),
    ROW (a_stopped_job_is_really_gone),
    ROW (a_job_can_be_stopped_as_soon_as_it_is_launched),
    ROW (when_the_shepherd_is_killed_the_job_is_lost_and_its_strays_are_killed),
    ROW (many_jobs_run_once_each_also_when_the_scheduler_is_started_anew_meanwhile),
};
#define CASES (sizeof (contract) / sizeof (contract[0]))

struct cell {
    const struct executor_ops *ops;
    size_t row;
};

static void run_cell (void **state)
{
    const struct cell *cell = *state;
    struct bench *bench = bench_new (cell->ops);
    contract[cell->row].run (bench);
    /* No call waits for an engine. Writing an order takes a few milliseconds, on a busy disk more. */
    assert_in_range (bench->longest_ms, 0, bench_limit_ms () / 20);
    if (cell->ops == &executor_nodes)
        end_agent ();
    bench_free (bench);
}

/* How many of the cases of this executor failed. */
static int run_contract (const char *name)
{
    static char names[CASES][160];
    struct CMUnitTest tests[CASES];
    struct cell cells[CASES];
    memset (tests, 0, sizeof (tests));
    for (size_t i = 0; i < CASES; i++) {
        snprintf (names[i], sizeof (names[i]), "%s: %s", name, contract[i].name);
        cells[i] = (struct cell){ executor_find (name), i };
        tests[i] = (struct CMUnitTest){ .name = names[i], .test_func = run_cell, .initial_state = &cells[i] };
    }
    return _cmocka_run_group_tests (name, tests, CASES, NULL, NULL);
}

static int run_on_slurm (void)
{
    char folder[] = "/tmp/strata-slurm-XXXXXX", command[PATH_MAX + 200], conf[64];
    if (system ("PATH=$PATH:/usr/sbin; command -v slurmctld munged > /dev/null") != 0) {
        print_message ("slurm: SKIPPED, slurm-wlm and munge are not installed (make deps-tests)\n");
        return 0;
    }
    if (!mkdtemp (folder))
        return 1;
    snprintf (command, sizeof (command), "'%s/scripts/slurm.sh' up %s --nodes 2 --cpus 8", root_dir, folder);
    int rc = system (command);
    snprintf (conf, sizeof (conf), "%s/slurm.conf", folder);
    setenv ("SLURM_CONF", conf, 1);
    if (rc == 0)
        rc = run_contract ("slurm");
    snprintf (command, sizeof (command), "'%s/scripts/slurm.sh' down %s && rm -rf %s", root_dir, folder, folder);
    return system (command) != 0 || rc != 0;
}

/* The test itself runs inside the instance: there it finds FLUX_URI. */
static int run_on_flux (void)
{
    int rc = getenv ("FLUX_URI") ? run_contract ("flux") : bench_run_in_flux ("flux");
    if (rc < 0)
        print_message ("flux: SKIPPED, there is no `flux` on PATH\n");
    return rc > 0;
}

static int run_on_nodes (void)
{
    bench_prepare = start_agent;
    int rc = run_contract ("nodes");
    bench_prepare = NULL;
    return rc;
}

static int run_here (void)
{
    return run_contract ("local");
}

int main (int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run) (void);
    } executors[] = { { "local", run_here }, { "nodes", run_on_nodes }, { "slurm", run_on_slurm }, { "flux", run_on_flux } };
    int failed = 0;
    bench_find_folders ();
    cmocka_set_test_filter (getenv ("ONLY"));
    for (size_t i = 0; i < sizeof (executors) / sizeof (executors[0]); i++) {
        bool wanted = argc == 1;
        for (int j = 1; j < argc; j++)
            wanted |= strcmp (argv[j], executors[i].name) == 0;
        if (wanted && executors[i].run () != 0)
            failed = 1;
    }
    return failed;
}
