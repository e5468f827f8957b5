/* test_executor_local.c - what is the local executor's own, beside the contract (test_executor_contract.c): cores, locks. */
#include "executor_bench.h"

#include <sched.h>

static struct bench *bench_local (void)
{
    return bench_new (&executor_local);
}

/* ---- tests ---- */

static void the_cores_are_those_that_this_process_may_use (void **state)
{
    struct bench *bench = bench_local ();
    struct machine machine = { .count = 0 };
    struct strata_error error;
    cpu_set_t allowed;
    assert_int_equal (bench->ops->capacity (bench->executor, &machine, &error), 0);
    assert_int_equal (sched_getaffinity (0, sizeof (allowed), &allowed), 0);
    assert_int_equal (machine_nodes (&machine), 1);
    assert_int_equal (machine.groups[0].cores, (size_t)CPU_COUNT (&allowed));
    for (size_t i = 0; i < machine.groups[0].cores; i++)
        assert_true (CPU_ISSET (machine.groups[0].ids[i], &allowed));
    machine_fini (&machine);
    bench_free (bench);
}

static void a_job_is_bound_to_its_cores (void **state)
{
    struct bench *bench = bench_local ();
    struct job *job = bench_job (bench, "awk '/Cpus_allowed_list/ { print $2 }' /proc/self/status > bound");
    struct machine machine = { .count = 0 };
    struct strata_error error;
    assert_int_equal (bench->ops->capacity (bench->executor, &machine, &error), 0);
    const struct machine_group *node = &machine.groups[0];
    job->order.cores = node->ids + node->cores - 1;
    job->order.cores_count = 1;
    assert_int_equal (bench_wait_end (bench, job), EXECUTOR_ENDED);
    assert_int_equal (job->outcome.code, 0);
    assert_int_equal (bench_number (job, "bound"), node->ids[node->cores - 1]);
    machine_fini (&machine);
    bench_free (bench);
}

static void a_launch_again_tells_the_pid_of_who_runs_it (void **state)
{
    struct bench *bench = bench_local ();
    struct job *job = bench_job (bench, "echo $PPID > parent; " UNTIL_GO);
    struct strata_error error;
    uint32_t pid = 0;
    long parent = bench_wait_number (bench, job, "parent");
    void *other = bench_open (bench->ops, bench->workspace);
    assert_int_equal (bench->ops->launch (other, &job->order, &pid, &error), 0);
    assert_int_equal (pid, parent);
    bench->ops->close (&other);
    bench_go (job);
    assert_int_equal (bench_wait_end (bench, job), EXECUTOR_ENDED);
    bench_free (bench);
}

struct heard {
    size_t count, of_last;
    const char *last;
};

static void hear (const char *id, void *arg)
{
    struct heard *heard = arg;
    heard->count++;
    heard->of_last += strcmp (id, heard->last) == 0;
}

static void only_the_job_that_ended_is_to_be_looked_at (void **state)
{
    struct bench *bench = bench_local ();
    struct job *runs = bench_job (bench, UNTIL_GO), *ends = bench_job (bench, "true");
    struct heard heard = { .last = ends->id };
    int rc = 0;
    assert_int_equal (bench->ops->changed (bench->executor, hear, &heard), -1);
    bench_tick (bench);
    for (int64_t end_ms = bench_now_ms () + bench_limit_ms (); rc == 0 && !heard.of_last && bench_now_ms () < end_ms; pause_ms (5))
        rc = bench->ops->changed (bench->executor, hear, &heard);
    assert_int_equal (heard.of_last, 1);
    assert_int_equal (heard.count, 1);
    bench_go (runs);
    assert_int_equal (bench_wait_end (bench, runs), EXECUTOR_ENDED);
    bench_free (bench);
}

static void jobs_of_a_scheduler_before_this_one_are_looked_at_while_they_run (void **state)
{
    struct bench *bench = bench_local ();
    struct job *job = bench_job (bench, UNTIL_GO);
    struct heard heard = { .last = job->id };
    bench_wait_state (bench, job, EXECUTOR_RUNNING);
    bench_restart (bench);
    for (int i = 0; i < 3; i++) {
        assert_int_equal (bench->ops->changed (bench->executor, hear, &heard), -1);
        bench_look (bench, job);
        assert_int_equal (job->state, EXECUTOR_RUNNING);
    }
    bench_go (job);
    assert_int_equal (bench_wait_end (bench, job), EXECUTOR_ENDED);
    assert_int_equal (bench->ops->changed (bench->executor, hear, &heard), -1);
    assert_int_equal (bench->ops->changed (bench->executor, hear, &heard), 0);
    assert_int_equal (heard.count, 0);
    bench_free (bench);
}

static void a_job_that_writes_without_end_is_ended_and_the_reason_says_so (void **state)
{
    struct bench *bench = bench_local ();
    struct job *job = bench_job (bench, "yes");
    job->order.output_mb = 1;
    assert_int_equal (bench_wait_end (bench, job), EXECUTOR_ENDED);
    assert_int_equal (job->outcome.end, END (OUTPUT));
    assert_non_null (strstr (job->outcome.reason, "where 1 are allowed"));
    bench_free (bench);
}

static void a_broken_outcome_counts_as_lost_and_says_why (void **state)
{
    static const char *const cases[] = {
        "",
        "{",
        "[]",
        "{\"end\": 3}",
        ("{\"end\": \"happily\", \"code\": 0, \"reason\": \"\", \"stderr_tail\": \"\", "
         "\"max_rss_mb\": 0.0, \"started_us\": 1, \"ended_us\": 2}"),
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        struct bench *bench = bench_local ();
        struct job *job = bench_job (bench, "true");
        char path[PATH_MAX];
        assert_int_equal (bench_wait_end (bench, job), EXECUTOR_ENDED);
        snprintf (path, sizeof (path), "%s/attempt-1/outcome.json", job->dir);
        FILE *file = fopen (path, "w");
        fputs (cases[i], file);
        fclose (file);
        assert_int_equal (bench_look (bench, job), EXECUTOR_LOST);
        assert_non_null (strstr (job->outcome.reason, "outcome.json"));
        bench_free (bench);
    }
}

static void what_can_not_be_launched_is_refused_with_the_path (void **state)
{
    struct bench *bench = bench_local ();
    struct job *job = bench_job (bench, "true");
    struct strata_error error;
    struct executor_config config = { .workspace = bench->workspace, .bin_dir = "/no/such/folder" };
    uint32_t pid;
    assert_null (bench->ops->open (&config, &error));
    assert_non_null (strstr (error.text, "/no/such/folder/strata-shepherd"));
    job->order.ref.dir = "/no/such/folder/x-000001";
    assert_int_equal (bench->ops->launch (bench->executor, &job->order, &pid, &error), -1);
    assert_non_null (strstr (error.text, "/no/such/folder/x-000001"));
    bench_free (bench);
}

/* It has taken its environment off: only its cgroup tells whose it is. */
static void what_a_lost_job_leaves_is_found_by_its_cgroup (void **state)
{
    char cgroup[100], path[120];
    const char *root = access ("/sys/fs/cgroup/unified/cgroup.procs", F_OK) == 0 ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup";
    snprintf (cgroup, sizeof (cgroup), "%s/strata-test-%d", root, (int)getpid ());
    snprintf (path, sizeof (path), "%s/cgroup.kill", cgroup);
    if (mkdir (cgroup, 0755) != 0 || access (path, W_OK) != 0) {
        print_message ("SKIPPED: no cgroup of version 2 may be made below %s\n", root);
        rmdir (cgroup);
        skip ();
    }
    setenv ("STRATA_CGROUP", cgroup, 1);
    struct bench *bench = bench_new (&executor_local);
    struct job *job = bench_job (bench, "setsid env -i sh -c 'echo $$ > stray; exec sleep 1000' & wait");
    long stray = bench_wait_number (bench, job, "stray");
    kill ((pid_t)bench_wait_number (bench, job, "attempt-1/lock"), SIGKILL);
    assert_int_equal (bench_wait_end (bench, job), EXECUTOR_LOST);
    assert_true (bench_wait_gone (stray));
    bench_free (bench);
    unsetenv ("STRATA_CGROUP");
    assert_int_equal (rmdir (cgroup), 0); /* the job's own is gone, too */
}

int main (int argc, char **argv)
{
    bench_find_folders ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (the_cores_are_those_that_this_process_may_use),
        cmocka_unit_test (a_job_is_bound_to_its_cores),
        cmocka_unit_test (a_launch_again_tells_the_pid_of_who_runs_it),
        cmocka_unit_test (only_the_job_that_ended_is_to_be_looked_at),
        cmocka_unit_test (jobs_of_a_scheduler_before_this_one_are_looked_at_while_they_run),
        cmocka_unit_test (a_job_that_writes_without_end_is_ended_and_the_reason_says_so),
        cmocka_unit_test (a_broken_outcome_counts_as_lost_and_says_why),
        cmocka_unit_test (what_can_not_be_launched_is_refused_with_the_path),
        cmocka_unit_test (what_a_lost_job_leaves_is_found_by_its_cgroup),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
