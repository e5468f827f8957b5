/* watch.c - from the start of a command to the end of its last process.
 *
 * The shepherd is the subreaper of everything below it: a process that loses its parent becomes a child of ours, so
 * none can get away, whatever sessions and groups it makes. Memory is the resident memory of all of them, looked at
 * four times a second when there is a limit: RLIMIT_AS would break programs that only reserve address space, and the limit
 * of a cgroup needs rights that a user of a cluster seldom has; where there is one (cgroup.c) the kernel keeps it. A burst
 * between two looks is caught by the kernel only.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/procs.h"
#include "shepherd.h"

#define LOOK_LIMITED_MS 250     /* between looks at the memory, with a limit */
#define LOOK_MS 2000            /* and without one */
#define ENDING_MS 25            /* between looks while it is being ended */
#define LEFT_OVER_GRACE_S 5     /* for processes that outlive the command */
#define STOP_TOO_MS 500         /* for a stop that comes to the command before it comes to us */

static const int heard[] = { SIGCHLD, SIGTERM, SIGINT, SIGHUP, 0 };

static int64_t now_ms (void)
{
    struct timespec ts;
    clock_gettime (CLOCK_BOOTTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void shepherd_heard_signals (sigset_t *set)
{
    sigemptyset (set);
    for (size_t i = 0; heard[i]; i++)
        sigaddset (set, heard[i]);
}

void shepherd_watch_signals (void)
{
    sigset_t set;
    shepherd_heard_signals (&set);
    sigprocmask (SIG_BLOCK, &set, NULL);
}

/* Waits for a signal at most `ms`; returns it, or 0. */
static int wait_signal (int64_t ms)
{
    sigset_t set;
    shepherd_heard_signals (&set);
    struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };
    int sig = sigtimedwait (&set, NULL, &ts);
    return sig < 0 ? 0 : sig;
}

/* True when no child is left: as the subreaper of all below us we then have no descendant either. */
static bool reap (struct shepherd_watch *self, bool *gone)
{
    int status;
    struct rusage usage;
    pid_t pid;
    while ((pid = wait4 (-1, &status, WNOHANG, &usage)) > 0) {
        double rss_mb = (double)usage.ru_maxrss / 1024.0;
        if (rss_mb > self->max_rss_mb)
            self->max_rss_mb = rss_mb;
        if (pid == self->child) {
            self->status = status;
            *gone = true;
        }
    }
    return pid < 0 && errno == ECHILD;
}

static bool is_stop (int sig)
{
    return sig && sig != SIGCHLD;
}

/* Whoever stops a whole job (Slurm does) signals the command and us one after the other, and the command may be gone by a
 * stop's signal before we hear of it. */
static bool ended_by_stop (int status)
{
    int sig = WIFSIGNALED (status) ? WTERMSIG (status) : WEXITSTATUS (status) - 128;
    if (sig != SIGTERM && sig != SIGINT && sig != SIGHUP)
        return false;
    for (int64_t now = now_ms (), end = now + STOP_TOO_MS; now < end; now = now_ms ())
        if (is_stop (wait_signal (end - now)))
            return true;
    return false;
}

/* To the command's group while it is surely the command's, and to each descendant. Returns how many there are. */
static size_t signal_all (const struct shepherd_watch *self, bool gone, int sig)
{
    pid_t pids[1024];
    if (!gone)
        kill (-self->child, sig);
    if (sig == SIGKILL)
        shepherd_cgroup_kill (self->cgroup);
    size_t n = procs_descendants (getpid (), pids, 1024);
    for (size_t i = 0; i < n && i < 1024; i++)
        kill (pids[i], sig);
    return n;
}

static double output_mb (const char *folder)
{
    static const char *const names[] = { "stdout", "stderr" };
    double bytes = 0;
    for (size_t i = 0; i < sizeof (names) / sizeof (names[0]); i++) {
        char path[PATH_MAX];
        struct stat st;
        if (snprintf (path, sizeof (path), "%s/%s", folder, names[i]) < (int)sizeof (path) && stat (path, &st) == 0)
            bytes += (double)st.st_size;
    }
    return bytes / (1 << 20);
}

/* What it must be ended for now, END_NONE if nothing. */
static Strata__JobEnd judge (struct shepherd_watch *self, const struct shepherd_options *options, int sig,
                             int64_t started_ms, int64_t *looked_ms)
{
    int64_t now = now_ms ();
    if (is_stop (sig))
        return STRATA__JOB_END__END_STOPPED;
    if (options->walltime_s && now - started_ms >= (int64_t)options->walltime_s * 1000)
        return STRATA__JOB_END__END_WALLTIME;
    if (options->output_mb && (self->output_mb = output_mb (self->folder)) > options->output_mb)
        return STRATA__JOB_END__END_OUTPUT;
    if (now - *looked_ms < (options->memory_mb ? LOOK_LIMITED_MS : LOOK_MS))
        return STRATA__JOB_END__END_NONE;
    *looked_ms = now;
    double rss_mb = procs_descendants_rss_mb (getpid ());
    if (rss_mb > self->max_rss_mb)
        self->max_rss_mb = rss_mb;
    if (!options->memory_mb || rss_mb <= options->memory_mb || self->cgroup->limited)
        return STRATA__JOB_END__END_NONE;
    self->memory_mb = rss_mb;
    return STRATA__JOB_END__END_MEMORY;
}

static int64_t next_look_ms (const struct shepherd_options *options, int64_t started_ms, bool ending)
{
    if (ending)
        return ENDING_MS;
    int64_t wait = options->memory_mb || options->output_mb ? LOOK_LIMITED_MS : LOOK_MS;
    if (options->walltime_s) {
        int64_t left = started_ms + (int64_t)options->walltime_s * 1000 - now_ms ();
        wait = left < wait ? left : wait;
    }
    return wait > 0 ? wait : 0;
}

void shepherd_watch (struct shepherd_watch *self, const struct shepherd_options *options)
{
    int64_t started_ms = now_ms (), looked_ms = 0, kill_ms = 0;
    bool gone = false, ending = false, asked = false;
    for (;;) {
        int sig = wait_signal (next_look_ms (options, started_ms, ending));
        asked = asked || is_stop (sig);
        bool none_left = reap (self, &gone);
        if (gone) {
            if (none_left) {
                if (self->why == STRATA__JOB_END__END_NONE && self->status != 0 && (asked || ended_by_stop (self->status)))
                    self->why = STRATA__JOB_END__END_STOPPED;
                return;
            }
            if (!ending) {
                /* The command is through; what it left behind may not use cores that others get next. */
                ending = true;
                self->left_over = procs_descendants (getpid (), NULL, 0);
                unsigned grace_s = options->grace_s < LEFT_OVER_GRACE_S ? options->grace_s : LEFT_OVER_GRACE_S;
                kill_ms = now_ms () + (int64_t)grace_s * 1000;
                signal_all (self, gone, SIGTERM);
            }
        }
        else if (self->why == STRATA__JOB_END__END_NONE) {
            self->why = judge (self, options, sig, started_ms, &looked_ms);
            if (self->why != STRATA__JOB_END__END_NONE) {
                ending = true;
                /* These can't wait: what grows takes the whole machine down, or fills its disk, within a grace. */
                bool at_once = self->why == STRATA__JOB_END__END_MEMORY || self->why == STRATA__JOB_END__END_OUTPUT || options->grace_s == 0;
                kill_ms = now_ms () + (at_once ? 0 : (int64_t)options->grace_s * 1000);
                if (!at_once)
                    signal_all (self, gone, SIGTERM);
            }
        }
        /* Again and again: one that forks while we kill is found the next time. */
        if (ending && now_ms () >= kill_ms) {
            self->killed |= !gone;
            signal_all (self, gone, SIGKILL);
        }
    }
}
