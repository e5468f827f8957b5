/* executor_bench.h - jobs that are shell scripts, and an executor driven as drive.c does it, for the tests of executors. */
#ifndef EXECUTOR_BENCH_H
#define EXECUTOR_BENCH_H

#include <errno.h>
#include <limits.h>
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
#define LIMIT_MS 40000

/* Folder of strata-shepherd, and of the repository: beside and above this program's. */
static char bin_dir[PATH_MAX], root_dir[PATH_MAX];

static inline void bench_find_folders (void)
{
    ssize_t n = readlink ("/proc/self/exe", root_dir, sizeof (root_dir) - 16);
    root_dir[n > 0 ? n : 0] = '\0';
    for (int i = 0; i < 3; i++)
        if (strrchr (root_dir, '/')) {
            *strrchr (root_dir, '/') = '\0';
            if (i == 1)
                snprintf (bin_dir, sizeof (bin_dir), "%.4000s/bin", root_dir);
        }
}

static inline int64_t bench_now_ms (void)
{
    struct timespec ts;
    clock_gettime (CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static inline void pause_ms (long ms)
{
    struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };
    nanosleep (&ts, NULL);
}

/* ---- a job ---- */

struct job {
    char id[32], dir[128];
    char settings[3][160];
    const char *environment[5];
    char *argv[4];
    struct executor_order order;
    bool started;               /* the scheduler has noted that it runs */
    enum executor_state state;
    struct outcome outcome;     /* of ENDED and LOST */
};

struct bench {
    const struct executor_ops *ops;
    void *executor;
    char workspace[64];
    struct job **jobs;
    size_t jobs_count;
    int64_t longest_ms;         /* that any call to the executor took */
};

static inline void *bench_open (const struct executor_ops *ops, const char *workspace)
{
    struct strata_error error = { "" };
    struct executor_config config = { .workspace = workspace, .bin_dir = bin_dir };
    struct machine machine = { .count = 0 };
    void *executor = ops->open (&config, &error);
    /* One that sees nodes come and go knows them from here on. */
    if (!executor || (ops->moved && ops->capacity (executor, &machine, &error) != 0))
        fail_msg ("%s (make all builds it)", error.text);
    machine_fini (&machine);
    return executor;
}

/* Called with the workspace of each new bench: starts what the executor needs there. NULL: nothing. */
static void (*bench_prepare) (const char *workspace);

static inline struct bench *bench_new (const struct executor_ops *ops)
{
    struct bench *bench = calloc (1, sizeof (*bench));
    assert_non_null (bench);
    bench->ops = ops;
    strcpy (bench->workspace, "/tmp/strata-executor-XXXXXX");
    assert_non_null (mkdtemp (bench->workspace));
    if (bench_prepare)
        bench_prepare (bench->workspace);
    bench->executor = bench_open (ops, bench->workspace);
    return bench;
}

/* Job x-00000N, whose command is a shell script. */
static inline struct job *bench_job (struct bench *bench, const char *script)
{
    struct job *job = calloc (1, sizeof (*job));
    bench->jobs = realloc (bench->jobs, (bench->jobs_count + 1) * sizeof (struct job *));
    assert_non_null (job);
    assert_non_null (bench->jobs);
    bench->jobs[bench->jobs_count++] = job;
    snprintf (job->id, sizeof (job->id), "x-%06zu", bench->jobs_count);
    snprintf (job->dir, sizeof (job->dir), "%s/jobs/%s", bench->workspace, job->id);
    snprintf (job->settings[0], sizeof (job->settings[0]), "STRATA_WORKSPACE=%s", bench->workspace);
    snprintf (job->settings[1], sizeof (job->settings[1]), "STRATA_JOB=%s", job->id);
    job->environment[0] = job->settings[0];
    job->environment[1] = job->settings[1];
    job->argv[0] = (char *)"sh";
    job->argv[1] = (char *)"-c";
    job->argv[2] = (char *)script;
    job->order = (struct executor_order){ .ref = { job->id, job->dir, 1 }, .argv = job->argv, .environment = job->environment,
                                          .walltime_s = 100, .grace_s = 1 };
    return job;
}

/* A scheduler that dies here, and the next one. */
static inline void bench_restart (struct bench *bench)
{
    bench->ops->close (&bench->executor);
    bench->executor = bench_open (bench->ops, bench->workspace);
}

static inline void bench_forget_jobs (struct bench *bench)
{
    while (bench->jobs_count)
        free (bench->jobs[--bench->jobs_count]);
}

static inline void bench_free (struct bench *bench)
{
    char command[256];
    bench->ops->close (&bench->executor);
    snprintf (command, sizeof (command), "rm -rf '%s'", bench->workspace);
    assert_int_equal (system (command), 0);
    bench_forget_jobs (bench);
    free (bench->jobs);
    free (bench);
}

/* Looks at a job; launches it when nobody has. */
static inline enum executor_state bench_look (struct bench *bench, struct job *job)
{
    struct strata_error error = { "" };
    uint32_t pid = 0;
    int64_t begin_ms = bench_now_ms ();
    job->state = bench->ops->poll (bench->executor, &job->order.ref, &job->outcome);
    if (!job->started && job->state != EXECUTOR_SUBMITTED) {
        int rc = bench->ops->launch (bench->executor, &job->order, &pid, &error);
        if (rc < 0)
            fail_msg ("%s", error.text);
        job->started = rc == 0;
        job->state = bench->ops->poll (bench->executor, &job->order.ref, &job->outcome);
    }
    int64_t took_ms = bench_now_ms () - begin_ms;
    bench->longest_ms = took_ms > bench->longest_ms ? took_ms : bench->longest_ms;
    return job->state;
}

static inline void bench_turn (struct bench *bench)
{
    int64_t begin_ms = bench_now_ms ();
    if (bench->ops->turn)
        bench->ops->turn (bench->executor);
    int64_t took_ms = bench_now_ms () - begin_ms;
    bench->longest_ms = took_ms > bench->longest_ms ? took_ms : bench->longest_ms;
}

/* One tick: every job that has not ended, then a turn. Returns how many have ended. */
static inline size_t bench_tick (struct bench *bench)
{
    size_t ended = 0;
    for (size_t i = 0; i < bench->jobs_count; i++) {
        struct job *job = bench->jobs[i];
        if (job->state != EXECUTOR_ENDED && job->state != EXECUTOR_LOST)
            bench_look (bench, job);
        ended += job->state == EXECUTOR_ENDED || job->state == EXECUTOR_LOST;
    }
    bench_turn (bench);
    pause_ms (20);
    return ended;
}

/* What is waited for here takes seconds at the most; a sanitizer's build gets STRATA_SLOW times that. */
static inline int64_t bench_limit_ms (void)
{
    const char *slow = getenv ("STRATA_SLOW");
    return LIMIT_MS * (slow && atoi (slow) > 0 ? atoi (slow) : 1);
}

static inline void bench_wait_all (struct bench *bench)
{
    for (int64_t end_ms = bench_now_ms () + bench_limit_ms (); bench_tick (bench) < bench->jobs_count;)
        if (bench_now_ms () > end_ms)
            fail_msg ("jobs have not ended in time; %s",
                      bench->ops->trouble && bench->ops->trouble (bench->executor) ? bench->ops->trouble (bench->executor)
                                                                                   : "the executor says nothing");
}

static inline enum executor_state bench_wait_end (struct bench *bench, struct job *job)
{
    for (int64_t end_ms = bench_now_ms () + bench_limit_ms ();;) {
        bench_tick (bench);
        if (job->state == EXECUTOR_ENDED || job->state == EXECUTOR_LOST || bench_now_ms () > end_ms)
            return job->state;
    }
}

static inline void bench_wait_state (struct bench *bench, const struct job *job, enum executor_state state)
{
    for (int64_t end_ms = bench_now_ms () + bench_limit_ms (); job->state != state;) {
        bench_tick (bench);
        if (bench_now_ms () > end_ms)
            fail_msg ("%s is in state %d, not in %d", job->id, (int)job->state, (int)state);
    }
}

/* The number in file `name` of the job's folder; -1: there is none. */
static inline long bench_number (const struct job *job, const char *name)
{
    char path[PATH_MAX];
    long number;
    snprintf (path, sizeof (path), "%s/%s", job->dir, name);
    FILE *file = fopen (path, "r");
    int n = file ? fscanf (file, "%ld", &number) : 0;
    if (file)
        fclose (file);
    return n == 1 ? number : -1;
}

/* Waits until it is there. */
static inline long bench_wait_number (struct bench *bench, const struct job *job, const char *name)
{
    for (int64_t end_ms = bench_now_ms () + bench_limit_ms (); bench_now_ms () < end_ms;) {
        long number = bench_number (job, name);
        if (number >= 0)
            return number;
        bench_tick (bench);
    }
    fail_msg ("%s/%s did not come", job->dir, name);
    return 0;
}

static inline bool bench_wait_gone (long pid)
{
    for (int64_t end_ms = bench_now_ms () + bench_limit_ms (); bench_now_ms () < end_ms; pause_ms (10))
        if (kill ((pid_t)pid, 0) != 0 && errno == ESRCH)
            return true;
    return false;
}

static inline size_t bench_lines (const struct job *job, const char *name)
{
    char path[PATH_MAX];
    size_t lines = 0;
    snprintf (path, sizeof (path), "%s/%s", job->dir, name);
    FILE *file = fopen (path, "r");
    for (int c; file && (c = getc (file)) != EOF;)
        lines += c == '\n';
    if (file)
        fclose (file);
    return lines;
}

static inline void bench_command (const char *fmt, ...) __attribute__ ((format (printf, 1, 2)));
static inline void bench_command (const char *fmt, ...)
{
    char command[PATH_MAX + 800];
    va_list ap;
    va_start (ap, fmt);
    vsnprintf (command, sizeof (command), fmt, ap);
    va_end (ap);
    if (system (command) != 0)
        fail_msg ("failed: %s", command);
}

/* Kills all from the job's command (its file `pid` names it) up to the engine's own process of the job, which can tell nobody: as
 * when a machine loses its power. */
static inline void bench_kill_up_to (const struct job *job, const char *engines)
{
    bench_command ("p=$(cat %s/pid); all=$p; while p=$(awk '/^PPid/ {print $2}' /proc/$p/status) && [ \"$p\" -gt 1 ]; do all=\"$p $all\"; "
                   "case $(tr '\\0' ' ' < /proc/$p/cmdline) in *%s*) kill -KILL $all; exit 0;; esac; done; exit 1", job->dir, engines);
}

/* The job's next attempt, with another script. */
static inline void bench_try_again (struct job *job, const char *script)
{
    job->order.ref.attempt++;
    job->argv[2] = (char *)script;
    job->started = false;
    job->state = EXECUTOR_NEVER;
}

/* Runs this program with an argument inside a Flux instance of two brokers on this machine. -1: there is no `flux` on PATH. */
static inline int bench_run_in_flux (const char *argument)
{
    char command[PATH_MAX + 200], self[PATH_MAX];
    if (system ("command -v flux > /dev/null") != 0)
        return -1;
    ssize_t n = readlink ("/proc/self/exe", self, sizeof (self) - 1);
    self[n > 0 ? n : 0] = '\0';
    snprintf (command, sizeof (command), "flux start --test-size=2 --test-exit-mode=leader '%s' %s", self, argument);
    return system (command) != 0;
}

/* Jobs wait for this file in their folder. */
#define UNTIL_GO "while [ ! -e go ]; do sleep 0.05; done"
static inline void bench_go (const struct job *job)
{
    char path[PATH_MAX];
    snprintf (path, sizeof (path), "%s/go", job->dir);
    FILE *file = fopen (path, "w");
    assert_non_null (file);
    fclose (file);
}

#endif
