/* supervisor.c - see supervisor.h */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/crash_point.h"
#include "mesh/cards.h"

#define REPLICAS_MAX 512
#define BACKOFF_FIRST_US 100000LL
#define BACKOFF_LAST_US 5000000LL
#define LIFE_US 10000000LL /* a life as long as this resets the backoff */
#define LOOP_DEATHS 10
#define LOOP_US 60000000LL
#define HURRY_US 3000000LL
#define LOOK_US 100000LL

/* In the order they are stopped; started in the order of `start`. */
static const struct kind {
    const char *service;
    int64_t limit_us; /* from SIGTERM to SIGKILL */
} kinds[] = {
    { "schedule", 60000000 }, { "patch", 10000000 }, { "select", 10000000 },
    { "feedback", 10000000 }, { "status", 5000000 }, { "stage", 10000000 },
};
#define KINDS (sizeof (kinds) / sizeof (kinds[0]))
static const char *const start_order[] = { "stage", "select", "feedback", "patch", "schedule", "status" };

struct child {
    char replica[64];
    size_t kind;
    pid_t pid; /* 0: does not run */
    int64_t started_us, start_at_us, backoff_us;
    int64_t deaths_us[LOOP_DEATHS]; /* a ring */
    uint64_t deaths;
};

struct supervisor {
    const struct campaign *campaign;
    const struct workspace *workspace;
    char bin_dir[4096];
    struct child children[REPLICAS_MAX];
    size_t count;
    int report_fd, lock_fd;
    FILE *log;
    bool stopping, hurry;
    size_t phase;     /* kinds before it are stopped */
    int64_t phase_us; /* since when this phase's SIGTERM is out; 0: it isn't */
    int code;
    pid_t pid;
    sigset_t kept; /* the signal mask that children get */
};

static int64_t now_us (void)
{
    struct timespec ts;
    clock_gettime (CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void __attribute__ ((format (printf, 2, 3))) say (struct supervisor *self, const char *fmt, ...)
{
    char text[1024], stamp[32];
    time_t now = time (NULL);
    struct tm tm;
    va_list ap;
    va_start (ap, fmt);
    int n = vsnprintf (text, sizeof (text) - 1, fmt, ap);
    va_end (ap);
    size_t size = n < 0 ? 0 : (size_t)n < sizeof (text) - 1 ? (size_t)n : sizeof (text) - 2;
    gmtime_r (&now, &tm);
    strftime (stamp, sizeof (stamp), "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (self->log) {
        fprintf (self->log, "%s supervisor: %s\n", stamp, text);
        fflush (self->log);
    }
    text[size] = '\n';
    if (self->report_fd >= 0 && write (self->report_fd, text, size + 1) < 0 && errno != EAGAIN) {
        close (self->report_fd); /* nobody listens any more */
        self->report_fd = -1;
    }
}

static unsigned wanted (const struct campaign *campaign, const char *service)
{
    const struct campaign_replicas *r = &campaign->replicas;
    if (strcmp (service, "stage") == 0)
        return r->stage;
    if (strcmp (service, "patch") == 0)
        return r->patch;
    if (strcmp (service, "select") == 0)
        return r->select;
    if (strcmp (service, "schedule") == 0)
        return r->schedule;
    return strcmp (service, "feedback") == 0 ? r->feedback : 1;
}

size_t supervisor_plan (const struct campaign *campaign, char (*names)[64], size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < KINDS; i++)
        for (unsigned n = 0; n < wanted (campaign, start_order[i]) && count < max; n++)
            snprintf (names[count++], 64, "%s-%u", start_order[i], n);
    return count;
}

int supervisor_bin_dir (char *dir, size_t size, struct strata_error *error)
{
    ssize_t n = readlink ("/proc/self/exe", dir, size - 1);
    char *slash;
    if (n <= 0)
        return strata_fail (error, "where this program stands can't be found (/proc/self/exe): %s", strerror (errno));
    dir[n] = '\0';
    slash = strrchr (dir, '/');
    if (slash)
        *slash = '\0';
    return 0;
}

int supervisor_check (const struct campaign *campaign, struct strata_error *error)
{
    char dir[4096], path[4200];
    if (supervisor_bin_dir (dir, sizeof (dir), error) < 0)
        return -1;
    for (size_t i = 0; i < KINDS; i++) {
        snprintf (path, sizeof (path), "%s/strata-%s", dir, kinds[i].service);
        if (wanted (campaign, kinds[i].service) && access (path, X_OK) < 0)
            return strata_fail (error, "program %s: %s; `make all` builds it", path, strerror (errno));
    }
    return 0;
}

/* ---- one child ---- */

static void exec_child (struct supervisor *self, const struct child *child)
{
    char program[4300], log[4300], number[16];
    const char *dash = strrchr (child->replica, '-');
    snprintf (program, sizeof (program), "%s/strata-%s", self->bin_dir, kinds[child->kind].service);
    snprintf (log, sizeof (log), "%s/log/%s.log", self->workspace->path, child->replica);
    snprintf (number, sizeof (number), "%s", dash ? dash + 1 : "0");
    /* A group of its own: Ctrl-C at the supervisor's terminal is the supervisor's to pass on. */
    setpgid (0, 0);
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    if (getppid () != self->pid)
        _exit (1); /* it died before the line above */
    int in = open ("/dev/null", O_RDONLY), out = open (log, O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (in < 0 || out < 0 || dup2 (in, 0) < 0 || dup2 (out, 1) < 0 || dup2 (out, 2) < 0)
        _exit (126);
    if (in > 2)
        close (in);
    if (out > 2)
        close (out);
    signal (SIGPIPE, SIG_DFL);
    signal (SIGHUP, SIG_DFL);
    sigprocmask (SIG_SETMASK, &self->kept, NULL);
    execl (program, program, "--campaign", self->campaign->path, "--workspace", self->workspace->path, "--replica",
           number, (char *)NULL);
    fprintf (stderr, "%s: %s\n", program, strerror (errno));
    _exit (127);
}

static void start_child (struct supervisor *self, struct child *child)
{
    pid_t pid = fork ();
    if (pid == 0)
        exec_child (self, child);
    child->started_us = now_us ();
    if (pid < 0) {
        say (self, "%s can't be started: %s", child->replica, strerror (errno));
        child->start_at_us = child->started_us + BACKOFF_LAST_US;
        return;
    }
    child->pid = pid;
    crash_point ("supervisor.started");
    say (self, "%s started, pid %d", child->replica, (int)pid);
}

static void fail_all (struct supervisor *self, const struct child *child)
{
    say (self, "%s died %d times within %d s; everything is ended. Its last words are in %s/log/%s.log", child->replica,
         LOOP_DEATHS, (int)(LOOP_US / 1000000), self->workspace->path, child->replica);
    self->stopping = true;
    self->code = 1;
}

static void child_ended (struct supervisor *self, struct child *child, int status)
{
    char how[64];
    int64_t now = now_us ();
    if (WIFSIGNALED (status))
        snprintf (how, sizeof (how), "signal %d (%s)", WTERMSIG (status), strsignal (WTERMSIG (status)));
    else
        snprintf (how, sizeof (how), "exit code %d", WEXITSTATUS (status));
    child->pid = 0;
    if (self->stopping && (child->kind <= self->phase || self->code)) {
        say (self, "%s ended with %s", child->replica, how);
        return;
    }
    if (now - child->started_us >= LIFE_US || !child->backoff_us)
        child->backoff_us = BACKOFF_FIRST_US;
    else
        child->backoff_us = child->backoff_us * 2 < BACKOFF_LAST_US ? child->backoff_us * 2 : BACKOFF_LAST_US;
    child->start_at_us = now + child->backoff_us;
    crash_point ("supervisor.ended");
    say (self, "%s ended with %s; starts again in %.1f s", child->replica, how, (double)child->backoff_us / 1e6);
    child->deaths_us[child->deaths++ % LOOP_DEATHS] = now;
    if (child->deaths >= LOOP_DEATHS && now - child->deaths_us[child->deaths % LOOP_DEATHS] <= LOOP_US)
        fail_all (self, child);
}

static void reap (struct supervisor *self)
{
    int status;
    for (pid_t pid; (pid = waitpid (-1, &status, WNOHANG)) > 0;)
        for (size_t i = 0; i < self->count; i++)
            if (self->children[i].pid == pid)
                child_ended (self, &self->children[i], status);
}

/* ---- the whole ---- */

static void signal_phase (struct supervisor *self, int signum)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->children[i].pid && self->children[i].kind == self->phase)
            kill (self->children[i].pid, signum);
}

/* Moves stopping on; true when nothing runs any more. */
static bool stop_step (struct supervisor *self)
{
    for (; self->phase < KINDS; self->phase++, self->phase_us = 0) {
        size_t running = 0;
        int64_t now = now_us (), limit_us = kinds[self->phase].limit_us;
        for (size_t i = 0; i < self->count; i++)
            running += self->children[i].pid && self->children[i].kind == self->phase;
        if (!running)
            continue;
        if (!self->phase_us) {
            say (self, "stops %s%s", kinds[self->phase].service, self->phase == 0 ? " and its jobs" : "");
            signal_phase (self, SIGTERM);
            crash_point ("supervisor.stopping");
            self->phase_us = now;
        }
        if (self->hurry && limit_us > HURRY_US)
            limit_us = HURRY_US;
        if (now - self->phase_us > limit_us) {
            say (self, "%s has not ended in %.0f s: killed", kinds[self->phase].service, (double)limit_us / 1e6);
            signal_phase (self, SIGKILL);
            self->phase_us = now;
        }
        return false;
    }
    return true;
}

static void take_signal (struct supervisor *self, int signum)
{
    if (signum == SIGCHLD || signum < 0)
        return;
    if (!self->stopping) {
        say (self, "signal %d: stops the campaign", signum);
        self->stopping = true;
    } else if (!self->hurry) {
        say (self, "signal %d again: hurries", signum);
        self->hurry = true;
        if (self->phase_us) {
            signal_phase (self, SIGTERM); /* a service's second one skips its draining */
            self->phase_us = now_us ();
        }
    }
}

static int set_up (struct supervisor *self, sigset_t *signals)
{
    char path[4200];
    char (*names)[64] = calloc (REPLICAS_MAX, sizeof (*names));
    struct strata_error error;
    snprintf (path, sizeof (path), "%s/log/supervisor.log", self->workspace->path);
    self->log = fopen (path, "ae");
    self->pid = getpid ();
    if (!names || supervisor_bin_dir (self->bin_dir, sizeof (self->bin_dir), &error) < 0) {
        free (names);
        return -1;
    }
    self->count = supervisor_plan (self->campaign, names, REPLICAS_MAX);
    for (size_t i = 0; i < self->count; i++) {
        struct child *child = &self->children[i];
        snprintf (child->replica, sizeof (child->replica), "%s", names[i]);
        for (size_t k = 0; k < KINDS; k++)
            if (strncmp (names[i], kinds[k].service, strlen (kinds[k].service)) == 0)
                child->kind = k;
    }
    free (names);
    sigemptyset (signals);
    sigaddset (signals, SIGCHLD);
    sigaddset (signals, SIGTERM);
    sigaddset (signals, SIGINT);
    sigaddset (signals, SIGHUP);
    sigprocmask (SIG_BLOCK, signals, &self->kept);
    sigdelset (&self->kept, SIGTERM);
    sigdelset (&self->kept, SIGINT);
    sigdelset (&self->kept, SIGCHLD);
    sigdelset (&self->kept, SIGHUP);
    signal (SIGPIPE, SIG_IGN);
    signal (SIGCHLD, SIG_DFL);
    return 0;
}

/* ZeroMQ leaves the names of its sockets behind. All that used these have ended; the folder goes when nothing else is in it. */
static void remove_sockets (const struct supervisor *self)
{
    struct strata_error error;
    char folder[160], path[256];
    if (cards_socket_dir (self->workspace->path, folder, sizeof (folder), &error) < 0)
        return;
    for (size_t i = 0; i < self->count; i++) {
        snprintf (path, sizeof (path), "%s/%s.rpc", folder, self->children[i].replica);
        unlink (path);
        snprintf (path, sizeof (path), "%s/%s.pub", folder, self->children[i].replica);
        unlink (path);
    }
    rmdir (folder);
}

int supervisor_run (const struct campaign *campaign, const struct workspace *workspace, int lock_fd, int report_fd)
{
    sigset_t signals;
    struct timespec wait = { 0, LOOK_US * 1000 };
    struct supervisor *self = calloc (1, sizeof (*self));
    if (!self)
        return 1;
    *self =
        (struct supervisor){ .campaign = campaign, .workspace = workspace, .report_fd = report_fd, .lock_fd = lock_fd };
    int code = 1;
    if (set_up (self, &signals) < 0)
        goto done;
    workspace_lock_sign (lock_fd, self->pid);
    crash_point ("supervisor.locked");
    say (self, "up, pid %d, campaign %s, workspace %s", (int)self->pid, campaign->name, workspace->path);
    for (;;) {
        reap (self);
        for (size_t i = 0; i < self->count; i++) {
            struct child *child = &self->children[i];
            bool lives_on = !self->stopping || (child->kind > self->phase && !self->code);
            if (!child->pid && lives_on && now_us () >= child->start_at_us)
                start_child (self, child);
        }
        if (self->stopping && stop_step (self))
            break;
        take_signal (self, sigtimedwait (&signals, NULL, &wait));
    }
    remove_sockets (self);
    say (self, "down");
    code = self->code;
done:
    if (self->log)
        fclose (self->log);
    if (self->report_fd >= 0)
        close (self->report_fd);
    free (self);
    return code;
}

int supervisor_spawn (const struct campaign *campaign, const struct workspace *workspace, int lock_fd, int *report_fd,
                      struct strata_error *error)
{
    int ends[2];
    if (pipe2 (ends, O_CLOEXEC) < 0)
        return strata_fail (error, "a pipe can't be made: %s", strerror (errno));
    fflush (NULL);
    pid_t pid = fork ();
    if (pid < 0) {
        close (ends[0]);
        close (ends[1]);
        return strata_fail (error, "a process can't be made: %s", strerror (errno));
    }
    if (pid == 0) {
        char path[4200];
        setsid ();
        pid = fork (); /* no session leader: it can't get a terminal by accident */
        if (pid)
            _exit (pid < 0);
        close (ends[0]);
        fcntl (ends[1], F_SETFL, O_NONBLOCK);
        snprintf (path, sizeof (path), "%s/log/supervisor.log", workspace->path);
        int in = open ("/dev/null", O_RDONLY), out = open (path, O_WRONLY | O_CREAT | O_APPEND, 0666);
        if (in < 0 || out < 0 || dup2 (in, 0) < 0 || dup2 (out, 1) < 0 || dup2 (out, 2) < 0)
            _exit (1);
        if (in > 2)
            close (in);
        if (out > 2)
            close (out);
        _exit (supervisor_run (campaign, workspace, lock_fd, ends[1]));
    }
    waitpid (pid, NULL, 0);
    close (ends[1]);
    close (lock_fd); /* the child's copy holds the lock */
    *report_fd = ends[0];
    return 0;
}
