/* shepherd.c - see shepherd.h
 *
 * Order matters: the lock is taken before anything is looked at; our pid is in it before the command starts; the outcome
 * is in its place before the lock is let go. So whoever looks at the folder at any time knows which of never started,
 * running, ended and lost it is. Both are synced, so that this holds after a loss of power too, unless who started us
 * keeps them in its own store.
 */
#include "shepherd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/crash_point.h"
#include "core/log.h"

#define FOLDER_MAX (PATH_MAX - 64)

/* What the child could not do before it became the command. */
struct start_failure {
    int code;                   /* errno */
    char what[16];              /* "start", "bind", "log", "folder" */
};

static int64_t now_us (void)
{
    struct timespec ts;
    clock_gettime (CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int take_lock (const struct shepherd_options *options, const char *folder, struct strata_error *error)
{
    char path[PATH_MAX];
    struct stat st;
    snprintf (path, sizeof (path), "%s/lock", folder);
    int fd = options->lock_fd >= 0 ? options->lock_fd : open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return strata_fail (error, "%s can't be opened (%s); mend that folder", path, strerror (errno));
    fcntl (fd, F_SETFD, FD_CLOEXEC);
    if (flock (fd, LOCK_EX | LOCK_NB) != 0) {
        errno = errno == EWOULDBLOCK ? EBUSY : errno;
        strata_fail (error, "%s: another shepherd runs this attempt; nothing to do", path);
        goto failed;
    }
    snprintf (path, sizeof (path), "%s/outcome.json", folder);
    if (fstat (fd, &st) != 0 || st.st_size > 0 || access (path, F_OK) == 0) {
        errno = EBUSY;
        strata_fail (error, "%s: this attempt has been run already; take the next attempt's number", folder);
        goto failed;
    }
    return fd;
failed:
    if (fd != options->lock_fd) {
        int saved = errno;
        close (fd);
        errno = saved;
    }
    return -1;
}

/* Whether somebody has our word on disk without us. One that died, or was replaced, has not: we are its child no more. */
static bool is_kept (const struct shepherd_options *options)
{
    return options->starter && getppid () == (pid_t)options->starter;
}

/* From here on the attempt has been run. Synced, unless `kept`: then only a loss of power can undo it, and whoever keeps it knows
 * after that which attempts may have begun. */
static int mark_begun (int lock, const char *folder, const struct shepherd_cgroup *cgroup, bool kept, struct strata_error *error)
{
    char text[PATH_MAX + 32];
    int n = snprintf (text, sizeof (text), "%d\n%s%s", (int)getpid (), cgroup->dir >= 0 ? cgroup->path : "", cgroup->dir >= 0 ? "\n" : "");
    int dir = kept ? -1 : open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = 0;
    if (pwrite (lock, text, (size_t)n, 0) != n || (!kept && (dir < 0 || fsync (lock) != 0 || fsync (dir) != 0)))
        rc = strata_fail (error, "%s/lock can't be written (%s); make room or mend its permissions", folder,
                          strerror (errno));
    if (dir >= 0)
        close (dir);
    return rc;
}

static void child_fail (struct start_failure *failure, const char *what)
{
    failure->code = errno;
    snprintf (failure->what, sizeof (failure->what), "%s", what);
    _exit (127);
}

static void child_open (int fd, const char *folder, const char *name, int flags, struct start_failure *failure)
{
    char path[PATH_MAX];
    snprintf (path, sizeof (path), "%s%s%s", folder ? folder : "", folder ? "/" : "", name);
    int opened = open (path, flags, 0644);
    if (opened < 0 || dup2 (opened, fd) < 0)
        child_fail (failure, "log");
    if (opened != fd)
        close (opened);
}

static int child_bind (const struct shepherd_options *options)
{
    size_t most = 0;
    for (size_t i = 0; i < options->cores_count; i++)
        most = options->cores[i] > most ? options->cores[i] : most;
    cpu_set_t *set = CPU_ALLOC (most + 1);
    if (!set)
        return -1;
    size_t size = CPU_ALLOC_SIZE (most + 1);
    CPU_ZERO_S (size, set);
    for (size_t i = 0; i < options->cores_count; i++)
        CPU_SET_S (options->cores[i], size, set);
    int rc = sched_setaffinity (0, size, set);
    CPU_FREE (set);
    return rc;
}

/* In the child: becomes the command, or tells why not. It is a vfork's: what it changes of memory is ours, and we wait. */
static void become (const struct shepherd_options *options, const char *dir, const char *folder, pid_t shepherd,
                    struct start_failure *failure)
{
    setsid ();
    /* We die with the shepherd, also with one that is killed outright; it may have died before we asked for that. */
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    if (getppid () != shepherd)
        _exit (127);
    child_open (STDIN_FILENO, NULL, "/dev/null", O_RDONLY, failure);
    child_open (STDOUT_FILENO, folder, "stdout", O_WRONLY | O_CREAT | O_APPEND, failure);
    child_open (STDERR_FILENO, folder, "stderr", O_WRONLY | O_CREAT | O_APPEND, failure);
    if (options->cores_count && child_bind (options) != 0)
        child_fail (failure, "bind");
    if (chdir (dir) != 0)
        child_fail (failure, "folder");
    signal (SIGPIPE, SIG_DFL);
    sigset_t none;
    sigemptyset (&none);
    sigprocmask (SIG_SETMASK, &none, NULL);
    execvp (options->argv[0], options->argv);
    child_fail (failure, "start");
}

/* As vfork, but a copy, and in the cgroup from its first instruction on: to be moved there takes milliseconds. */
static pid_t fork_into (const struct shepherd_cgroup *cgroup)
{
    struct clone_args args = { .flags = CLONE_INTO_CGROUP | CLONE_VFORK, .exit_signal = SIGCHLD, .cgroup = (uint64_t)cgroup->dir };
    return (pid_t)syscall (SYS_clone3, &args, sizeof (args));
}

/* Starts the command. 0 and its pid, or -1 and *failure, which is memory that is shared with children. */
static int start (const struct shepherd_options *options, const char *dir, const char *folder, const struct shepherd_cgroup *cgroup,
                  pid_t *child, struct start_failure *failure)
{
    *failure = (struct start_failure){ .what = "start" };
    pid_t shepherd = getpid ();
    pid_t pid = cgroup->dir >= 0 ? fork_into (cgroup) : -1;
    if (pid < 0)
        pid = vfork (); /* NOLINT(clang-analyzer-security.insecureAPI.vfork): nothing is copied that exec throws away */
    if (pid == 0)
        become (options, dir, folder, shepherd, failure); /* NOLINT(clang-analyzer-unix.Vfork): it changes nothing of ours but failure */
    *child = pid;
    if (*child < 0)
        failure->code = errno;
    else if (failure->code)
        waitpid (*child, NULL, 0);
    return failure->code ? -1 : 0;
}

static void tell_no_start (const struct shepherd_options *options, const struct start_failure *failure,
                           struct outcome *outcome)
{
    outcome->end = STRATA__JOB_END__END_NO_START;
    outcome->code = failure->code;
    const char *why = strerror (failure->code);
    if (strcmp (failure->what, "bind") == 0)
        snprintf (outcome->reason, sizeof (outcome->reason), "could not be bound to its cores: %s", why);
    else if (strcmp (failure->what, "log") == 0)
        snprintf (outcome->reason, sizeof (outcome->reason), "its stdout and stderr could not be opened: %s", why);
    else if (strcmp (failure->what, "folder") == 0)
        snprintf (outcome->reason, sizeof (outcome->reason), "its folder could not be entered: %s", why);
    else
        snprintf (outcome->reason, sizeof (outcome->reason), "could not start \"%.300s\": %s", options->argv[0], why);
}

/* The first success file that is missing or empty, NULL if none; *how says which of both. */
static const char *missing_output (const struct shepherd_options *options, const char *dir, const char **how)
{
    for (size_t i = 0; i < options->success_count; i++) {
        char path[PATH_MAX];
        struct stat st;
        bool there = snprintf (path, sizeof (path), "%s/%s", dir, options->success[i]) < (int)sizeof (path)
                     && stat (path, &st) == 0;
        *how = there ? "empty" : "missing";
        if (!there || st.st_size == 0)
            return options->success[i];
    }
    return NULL;
}

/* It ended by itself: with an exit code or by a signal that was not ours. */
static void tell_own_end (const struct shepherd_options *options, const char *dir, int status, uint64_t oom_before,
                          struct outcome *outcome)
{
    char *reason = outcome->reason;
    size_t size = sizeof (outcome->reason);
    int code = WIFEXITED (status) ? WEXITSTATUS (status) : WTERMSIG (status);
    bool killed = WIFEXITED (status) ? code == 128 + SIGKILL : code == SIGKILL;
    const char *how, *file;
    outcome->code = code;
    if (killed && shepherd_oom_kills () > oom_before) {
        outcome->end = STRATA__JOB_END__END_MEMORY;
        snprintf (reason, size,
                  "killed by signal 9 while the kernel's out-of-memory killer was at work: the machine or its "
                  "cgroup ran out of memory");
    }
    else if (!WIFEXITED (status)) {
        outcome->end = STRATA__JOB_END__END_SIGNAL;
        snprintf (reason, size, "killed by signal %d (%s)", code, strsignal (code));
    }
    else if (code == 0 && (file = missing_output (options, dir, &how))) {
        outcome->end = STRATA__JOB_END__END_NO_OUTPUT;
        snprintf (reason, size, "ended with exit code 0, but its file %.200s is %s", file, how);
    }
    else {
        outcome->end = STRATA__JOB_END__END_EXIT;
        snprintf (reason, size, "ended with exit code %d", code);
    }
}

static void tell_end (const struct shepherd_options *options, const char *dir, const struct shepherd_watch *watch,
                      uint64_t oom_before, struct outcome *outcome)
{
    char *reason = outcome->reason, how[64] = "";
    size_t size = sizeof (outcome->reason);
    if (watch->killed)
        snprintf (how, sizeof (how), " by SIGKILL, %u s after SIGTERM", options->grace_s);
    outcome->max_rss_mb = watch->max_rss_mb;
    outcome->end = watch->why;
    switch (watch->why) {
    case STRATA__JOB_END__END_STOPPED:
        snprintf (reason, size, "ended on request%s", how);
        break;
    case STRATA__JOB_END__END_WALLTIME:
        snprintf (reason, size, "still ran after its walltime of %u s and was ended%s", options->walltime_s, how);
        break;
    case STRATA__JOB_END__END_MEMORY:
        snprintf (reason, size, "used %.0f MiB of memory where %u are allowed, and was killed", watch->memory_mb,
                  options->memory_mb);
        break;
    case STRATA__JOB_END__END_OUTPUT:
        snprintf (reason, size, "wrote %.0f MiB to stdout and stderr where %u are allowed (output_mb), and was killed", watch->output_mb,
                  options->output_mb);
        break;
    default:
        if (shepherd_cgroup_ran_out (watch->cgroup)) {
            outcome->end = STRATA__JOB_END__END_MEMORY;
            snprintf (reason, size, "used more memory than the %u MiB that are allowed, and was killed by the kernel", options->memory_mb);
            break;
        }
        tell_own_end (options, dir, watch->status, oom_before, outcome);
    }
    if (watch->left_over) {
        size_t n = strlen (reason);
        snprintf (reason + n, size - n, "; %zu processes that it left behind were ended", watch->left_over);
    }
}

/* A full disk must not turn a success into a loss: we try until it is on disk, and are seen as running until then. */
static void write_outcome (const struct shepherd_options *options, const char *folder, const struct outcome *outcome)
{
    struct strata_error error;
    struct timespec pause = { 1, 0 };
    while (outcome_write (folder, outcome, !is_kept (options), &error) != 0) {
        log_error ("%s", error.text);
        nanosleep (&pause, NULL);
    }
}

static int prepare (const struct shepherd_options *options, const char *dir, char *folder, struct strata_error *error)
{
    if (snprintf (folder, FOLDER_MAX, "%s/attempt-%u", dir, options->attempt) >= FOLDER_MAX)
        return strata_fail (error, "%.300s: the name of this folder is too long; choose a shorter workspace path", dir);
    if (mkdir (folder, 0755) != 0 && errno != EEXIST)
        return strata_fail (error, "%s can't be made (%s); mend that folder", folder, strerror (errno));
    const char *base = strrchr (dir, '/');
    char attempt[16];
    snprintf (attempt, sizeof (attempt), "%u", options->attempt);
    setenv ("STRATA_JOB", base && base[1] ? base + 1 : dir, 1);
    setenv ("STRATA_ATTEMPT", attempt, 1);
    return 0;
}

int shepherd_run (const struct shepherd_options *options, struct strata_error *error)
{
    static char log[PATH_MAX];
    char dir[PATH_MAX], folder[FOLDER_MAX], errors[PATH_MAX];
    if (!realpath (options->dir, dir))
        return strata_fail (error, "--dir %s: %s; make the job's folder first", options->dir, strerror (errno));
    if (prepare (options, dir, folder, error) != 0)
        return -1;
    snprintf (log, sizeof (log), "%s/shepherd.log", folder);
    if (options->lock_fd >= 0)
        log_to (log); /* else who started us gave us a stderr for that */
    crash_point ("shepherd.before-lock");
    int lock = take_lock (options, folder, error);
    if (lock < 0)
        return -1;
    crash_point ("shepherd.locked");
    /* A terminal's Ctrl-C and the end of who started us are not for the job. Fails when we lead a group: then we were
     * started by hand. */
    setsid ();
    prctl (PR_SET_CHILD_SUBREAPER, 1);
    shepherd_watch_signals ();

    struct outcome outcome = { .started_us = now_us () };
    struct shepherd_watch watch = { 0 };
    struct shepherd_cgroup cgroup = { .dir = -1 };
    pid_t child = 0;
    struct start_failure *failure = mmap (NULL, sizeof (*failure), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (failure == MAP_FAILED)
        return strata_fail (error, "out of memory");
    uint64_t oom_before = shepherd_oom_kills ();
    if (!options->guard) /* an engine has cgroups of its own */
        shepherd_cgroup_make (&cgroup, options->memory_mb);
    if (mark_begun (lock, folder, &cgroup, is_kept (options), error) != 0) {
        shepherd_cgroup_remove (&cgroup);
        close (lock);
        return -1;
    }
    crash_point ("shepherd.begun");
    if (start (options, dir, folder, &cgroup, &child, failure) != 0)
        tell_no_start (options, failure, &outcome);
    else {
        log_debug ("%s attempt %u: pid %d runs \"%s\"", dir, options->attempt, (int)child, options->argv[0]);
        crash_point ("shepherd.started");
        watch.child = child;
        watch.folder = folder;
        watch.cgroup = &cgroup;
        shepherd_watch (&watch, options);
        tell_end (options, dir, &watch, oom_before, &outcome);
    }
    shepherd_cgroup_remove (&cgroup);
    outcome.ended_us = now_us ();
    snprintf (errors, sizeof (errors), "%s/stderr", folder);
    outcome_tail (errors, outcome.stderr_tail);
    crash_point ("shepherd.ended");
    write_outcome (options, folder, &outcome);
    crash_point ("shepherd.outcome");
    log_debug ("%s attempt %u: %s", dir, options->attempt, outcome.reason);
    close (lock);
    return 0;
}
