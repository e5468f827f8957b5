/* test_executor_local.c - real processes under real shepherds, through the executor's table of functions. */
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../services/schedule/executor.h"

#define END(end) STRATA__JOB_END__END_##end
#define LIMIT_MS 20000

static const struct executor_ops *const ops = &executor_local;
static char bin_dir[PATH_MAX];

struct bench {
    char workspace[64], dir[128];
    char settings[2][128];
    const char *environment[3];
    void *executor;
    struct executor_order order;
    char *argv[4];
    struct outcome outcome;
};

static void *open_executor (const char *workspace)
{
    struct strata_error error = { "" };
    struct executor_config config = { workspace, bin_dir };
    void *executor = ops->open (&config, &error);
    if (!executor)
        fail_msg ("%s (make all builds it)", error.text);
    return executor;
}

/* Job x-000001, whose command is a shell script. */
static struct bench *bench_new (const char *script)
{
    struct bench *bench = calloc (1, sizeof (*bench));
    assert_non_null (bench);
    strcpy (bench->workspace, "/tmp/strata-executor-XXXXXX");
    assert_non_null (mkdtemp (bench->workspace));
    snprintf (bench->dir, sizeof (bench->dir), "%s/jobs/x-000001", bench->workspace);
    snprintf (bench->settings[0], sizeof (bench->settings[0]), "STRATA_WORKSPACE=%s", bench->workspace);
    snprintf (bench->settings[1], sizeof (bench->settings[1]), "STRATA_JOB=x-000001");
    bench->environment[0] = bench->settings[0];
    bench->environment[1] = bench->settings[1];
    bench->executor = open_executor (bench->workspace);
    bench->argv[0] = (char *)"sh";
    bench->argv[1] = (char *)"-c";
    bench->argv[2] = (char *)script;
    bench->order = (struct executor_order){ .ref = { "x-000001", bench->dir, 1 }, .argv = bench->argv,
                                            .environment = bench->environment, .walltime_s = 100, .grace_s = 1 };
    return bench;
}

static void bench_free (struct bench *bench)
{
    char command[256];
    ops->close (&bench->executor);
    snprintf (command, sizeof (command), "rm -rf '%s'", bench->workspace);
    assert_int_equal (system (command), 0);
    free (bench);
}

static uint32_t launch (struct bench *bench)
{
    struct strata_error error = { "" };
    uint32_t pid = 0;
    if (ops->launch (bench->executor, &bench->order, &pid, &error) != 0)
        fail_msg ("%s", error.text);
    return pid;
}

static void pause_ms (long ms)
{
    struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };
    nanosleep (&ts, NULL);
}

static enum executor_state wait_end (struct bench *bench)
{
    enum executor_state now = EXECUTOR_RUNNING;
    for (int i = 0; i < LIMIT_MS / 10 && now == EXECUTOR_RUNNING; i++) {
        now = ops->poll (bench->executor, &bench->order.ref, &bench->outcome);
        if (now == EXECUTOR_RUNNING)
            pause_ms (10);
    }
    return now;
}

/* Waits until the file `name` in the job's folder has a line; the number in it, or 0. */
static long wait_number (struct bench *bench, const char *name)
{
    char path[PATH_MAX];
    snprintf (path, sizeof (path), "%s/%s", bench->dir, name);
    for (int i = 0; i < LIMIT_MS / 10; i++) {
        long number;
        FILE *file = fopen (path, "r");
        int n = file ? fscanf (file, "%ld", &number) : 0;
        if (file)
            fclose (file);
        if (n == 1)
            return number;
        pause_ms (10);
    }
    fail_msg ("%s did not come", path);
    return 0;
}

static bool wait_gone (long pid)
{
    for (int i = 0; i < LIMIT_MS / 10; i++) {
        if (kill ((pid_t)pid, 0) != 0 && errno == ESRCH)
            return true;
        pause_ms (10);
    }
    return false;
}

/* ---- tests ---- */

static void the_cores_are_those_that_this_process_may_use (void **state)
{
    struct bench *bench = bench_new ("true");
    struct machine machine = { NULL, 0 };
    struct strata_error error;
    cpu_set_t allowed;
    assert_int_equal (ops->capacity (bench->executor, &machine, &error), 0);
    assert_int_equal (sched_getaffinity (0, sizeof (allowed), &allowed), 0);
    assert_int_equal (machine_nodes (&machine), 1);
    assert_int_equal (machine.groups[0].cores, (size_t)CPU_COUNT (&allowed));
    for (size_t i = 0; i < machine.groups[0].cores; i++)
        assert_true (CPU_ISSET (machine.groups[0].ids[i], &allowed));
    machine_fini (&machine);
    bench_free (bench);
}

static void an_outcome_comes_back_with_code_and_last_words (void **state)
{
    struct bench *bench = bench_new ("echo no force field >&2; exit 3");
    launch (bench);
    assert_int_equal (wait_end (bench), EXECUTOR_ENDED);
    assert_int_equal (bench->outcome.end, END (EXIT));
    assert_int_equal (bench->outcome.code, 3);
    assert_string_equal (bench->outcome.stderr_tail, "no force field");
    assert_true (bench->outcome.ended_us >= bench->outcome.started_us && bench->outcome.started_us > 0);
    bench_free (bench);
}

static void a_job_gets_its_environment_and_its_cores (void **state)
{
    struct bench *bench = bench_new ("[ \"$STRATA_JOB.$STRATA_ATTEMPT\" = x-000001.1 ] && [ \"$PWD\" -ef "
                                     "\"$STRATA_WORKSPACE/jobs/x-000001\" ]"
                                     " && awk '/Cpus_allowed_list/ { print $2 }' /proc/self/status > bound");
    struct machine machine = { NULL, 0 };
    struct strata_error error;
    setenv ("STRATA_JOB", "of-somebody-else", 1);
    assert_int_equal (ops->capacity (bench->executor, &machine, &error), 0);
    const struct machine_group *node = &machine.groups[0];
    bench->order.cores = node->ids + node->cores - 1;
    bench->order.cores_count = 1;
    launch (bench);
    assert_int_equal (wait_end (bench), EXECUTOR_ENDED);
    assert_int_equal (bench->outcome.code, 0);
    assert_int_equal (wait_number (bench, "bound"), node->ids[node->cores - 1]);
    machine_fini (&machine);
    unsetenv ("STRATA_JOB");
    bench_free (bench);
}

static void an_attempt_is_run_once_however_often_it_is_launched (void **state)
{
    struct bench *bench = bench_new ("echo 1 >> ran; while [ ! -e go ]; do sleep 0.02; done");
    char path[PATH_MAX];
    for (int i = 0; i < 5; i++)
        launch (bench);
    wait_number (bench, "ran");
    void *other = open_executor (bench->workspace);
    struct strata_error error;
    uint32_t pid = 0;
    assert_int_equal (ops->launch (other, &bench->order, &pid, &error), 0);
    assert_true (pid > 0);      /* of the shepherd that runs it */
    snprintf (path, sizeof (path), "%s/go", bench->dir);
    fclose (fopen (path, "w"));
    assert_int_equal (wait_end (bench), EXECUTOR_ENDED);
    assert_int_equal (ops->launch (other, &bench->order, &pid, &error), 0);
    assert_int_equal (ops->poll (other, &bench->order.ref, &bench->outcome), EXECUTOR_ENDED);
    ops->close (&other);
    pause_ms (200);
    snprintf (path, sizeof (path), "[ $(wc -l < %s/ran) = 1 ]", bench->dir);
    assert_int_equal (system (path), 0);
    bench_free (bench);
}

static void an_attempt_outlives_the_executor_that_started_it (void **state)
{
    struct bench *bench = bench_new ("echo $$ > pid; while [ ! -e go ]; do sleep 0.02; done; exit 5");
    char path[PATH_MAX];
    launch (bench);
    wait_number (bench, "pid");
    ops->close (&bench->executor);
    bench->executor = open_executor (bench->workspace);
    assert_int_equal (ops->poll (bench->executor, &bench->order.ref, &bench->outcome), EXECUTOR_RUNNING);
    snprintf (path, sizeof (path), "%s/go", bench->dir);
    fclose (fopen (path, "w"));
    assert_int_equal (wait_end (bench), EXECUTOR_ENDED);
    assert_int_equal (bench->outcome.code, 5);
    bench_free (bench);
}

static void a_stopped_job_is_really_gone (void **state)
{
    struct bench *bench = bench_new ("trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$ > stray; sleep 1000' & wait; "
                                     "sleep 1000");
    launch (bench);
    long stray = wait_number (bench, "stray");
    ops->stop (bench->executor, &bench->order.ref);
    assert_int_equal (wait_end (bench), EXECUTOR_ENDED);
    assert_int_equal (bench->outcome.end, END (STOPPED));
    assert_true (kill ((pid_t)stray, 0) != 0 && errno == ESRCH);
    bench_free (bench);
}

static void when_the_shepherd_is_killed_the_job_is_lost_and_its_strays_are_killed (void **state)
{
    struct bench *bench = bench_new ("echo $$ > pid; setsid sh -c 'echo $$ > stray; sleep 1000' & sleep 1000");
    launch (bench);
    long stray = wait_number (bench, "stray"), pid = wait_number (bench, "pid");
    kill ((pid_t)wait_number (bench, "attempt-1/lock"), SIGKILL);
    assert_int_equal (wait_end (bench), EXECUTOR_LOST);
    assert_int_equal (bench->outcome.end, END (LOST));
    assert_true (wait_gone (pid));
    assert_true (wait_gone (stray));
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
        struct bench *bench = bench_new ("true");
        char path[PATH_MAX];
        launch (bench);
        assert_int_equal (wait_end (bench), EXECUTOR_ENDED);
        snprintf (path, sizeof (path), "%s/attempt-1/outcome.json", bench->dir);
        FILE *file = fopen (path, "w");
        fputs (cases[i], file);
        fclose (file);
        assert_int_equal (wait_end (bench), EXECUTOR_LOST);
        assert_non_null (strstr (bench->outcome.reason, "outcome.json"));
        bench_free (bench);
    }
}

static void an_attempt_that_was_never_launched_is_told_so (void **state)
{
    struct bench *bench = bench_new ("true");
    assert_int_equal (ops->poll (bench->executor, &bench->order.ref, &bench->outcome), EXECUTOR_NEVER);
    bench_free (bench);
}

static void what_can_not_be_launched_is_refused_with_the_path (void **state)
{
    struct bench *bench = bench_new ("true");
    struct strata_error error;
    struct executor_config config = { bench->workspace, "/no/such/folder" };
    uint32_t pid;
    assert_null (ops->open (&config, &error));
    assert_non_null (strstr (error.text, "/no/such/folder/strata-shepherd"));
    bench->order.ref.dir = "/no/such/folder/x-000001";
    assert_int_equal (ops->launch (bench->executor, &bench->order, &pid, &error), -1);
    assert_non_null (strstr (error.text, "/no/such/folder/x-000001"));
    bench_free (bench);
}

int main (int argc, char **argv)
{
    ssize_t n = readlink ("/proc/self/exe", bin_dir, sizeof (bin_dir) - 16);
    bin_dir[n > 0 ? n : 0] = '\0';
    for (int i = 0; i < 2; i++)
        if (strrchr (bin_dir, '/'))
            *strrchr (bin_dir, '/') = '\0';
    strcat (bin_dir, "/bin");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (the_cores_are_those_that_this_process_may_use),
        cmocka_unit_test (an_outcome_comes_back_with_code_and_last_words),
        cmocka_unit_test (a_job_gets_its_environment_and_its_cores),
        cmocka_unit_test (an_attempt_is_run_once_however_often_it_is_launched),
        cmocka_unit_test (an_attempt_outlives_the_executor_that_started_it),
        cmocka_unit_test (a_stopped_job_is_really_gone),
        cmocka_unit_test (when_the_shepherd_is_killed_the_job_is_lost_and_its_strays_are_killed),
        cmocka_unit_test (a_broken_outcome_counts_as_lost_and_says_why),
        cmocka_unit_test (an_attempt_that_was_never_launched_is_told_so),
        cmocka_unit_test (what_can_not_be_launched_is_refused_with_the_path),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
