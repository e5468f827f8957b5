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
#include "core/node.h"
#include "core/replicas.h"
#include "logs.h"
#include "mesh/cards.h"
#include "mesh/service.h"
#include "spread.h"

#define CHILDREN_MAX (REPLICAS_SERVICES * REPLICAS_MAX + 1)
#define BACKOFF_FIRST_US 100000LL
#define BACKOFF_LAST_US 5000000LL
#define LIFE_US 10000000LL /* a life as long as this resets the backoff */
#define LOOP_DEATHS 10
#define LOOP_US 60000000LL
#define HURRY_US 3000000LL
#define LEAVE_US 60000000LL /* from SIGUSR1 to SIGKILL: a snapshot in work is finished */
#define LOOK_US 100000LL
#define LOGS_EVERY_US 1000000LL

/* In the order they are stopped; started in the order of replicas_services. */
static const struct kind {
    const char *service;
    int64_t limit_us; /* from SIGTERM to SIGKILL */
} kinds[] = {
    { "schedule", 60000000 }, { "launch", 120000000 }, { "patch", 10000000 }, { "select", 10000000 },
    { "feedback", 10000000 }, { "status", 5000000 }, { "stage", 10000000 },
};
#define KINDS (sizeof (kinds) / sizeof (kinds[0]))
#define OTHERS_US 150000000LL /* that a phase waits at most for other nodes to end what goes before it */

/* Why a replica was asked to end, while the others go on. HANDS_OVER: a stage that is wanted no longer: it sees that itself,
 * hands on what it keeps, which may take long and goes on after its death, and ends when nothing of it is missed. */
enum leave { STAYS, RESTARTS, GOES, HANDS_OVER };

struct child {
    char replica[64];
    size_t kind;
    unsigned number;
    enum leave leave;
    int64_t leave_us; /* since when */
    pid_t pid; /* 0: does not run */
    int64_t started_us, start_at_us, backoff_us;
    int64_t deaths_us[LOOP_DEATHS]; /* a ring */
    uint64_t deaths;
};

struct supervisor {
    const struct campaign *campaign;
    const struct workspace *workspace;
    char bin_dir[4096];
    struct child children[CHILDREN_MAX];
    size_t count;
    struct replicas wanted;
    struct replicas_stamp stamp; /* of the file that they were read from */
    struct spread spread;
    bool first;       /* the campaign ends with us; else the node leaves it */
    bool leaves;      /* stopping while the campaign goes on */
    int64_t others_us; /* since when this phase waits for other nodes; 0: it does not */
    int64_t logs_us;             /* when the logs were looked at */
    int report_fd;
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

void supervisor_log_name (bool first, char *name, size_t size)
{
    char node[NODE_NAME_MAX];
    node_name (node, sizeof (node));
    snprintf (name, size, first ? "supervisor" : "supervisor-%s", node);
}

int supervisor_lock (const struct workspace *workspace, bool first, struct supervisor_locks *locks, pid_t *holder,
                     struct strata_error *error)
{
    char node[NODE_NAME_MAX];
    *locks = (struct supervisor_locks){ -1, -1 };
    *holder = 0;
    node_name (node, sizeof (node));
    if (first && (locks->up = workspace_lock (workspace, holder, error)) < 0)
        return -1;
    if ((locks->node = nodes_lock (workspace->path, node, error)) >= 0) {
        bool others = nodes_live (workspace->path, node);
        if (!others)
            nodes_forget_down (workspace->path);
        if (nodes_go_down (workspace->path))
            strata_fail (error, "the campaign of %s goes down just now; wait for `strata down`", workspace->path);
        else if (!first && !others)
            strata_fail (error, "the campaign of %s is not up on any node: there is nothing to join; begin with `strata up` on its first "
                                "node", workspace->path);
        else if (nodes_join (workspace->path, node, first && !others, error) == 0)
            return 0;
    }
    supervisor_unlock (locks);
    return -1;
}

void supervisor_unlock (struct supervisor_locks *locks)
{
    if (locks->up >= 0)
        close (locks->up);
    if (locks->node >= 0)
        close (locks->node);
    *locks = (struct supervisor_locks){ -1, -1 };
}

size_t supervisor_plan (const struct replicas *wanted, char (*names)[64], size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < REPLICAS_SERVICES; i++)
        for (unsigned n = 0; n < wanted->wanted[i] && count < max; n++)
            snprintf (names[count++], 64, "%s-%u", replicas_services[i], n);
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

int supervisor_check (struct strata_error *error)
{
    char dir[4096], path[4200];
    if (supervisor_bin_dir (dir, sizeof (dir), error) < 0)
        return -1;
    for (size_t i = 0; i < KINDS; i++) {
        snprintf (path, sizeof (path), "%s/strata-%s", dir, kinds[i].service);
        if (access (path, X_OK) < 0)
            return strata_fail (error, "program %s: %s; `make all` builds it", path, strerror (errno));
    }
    return 0;
}

/* ---- one child ---- */

static void exec_child (struct supervisor *self, const struct child *child)
{
    char program[4300], number[16];
    snprintf (program, sizeof (program), "%s/strata-%s", self->bin_dir, kinds[child->kind].service);
    snprintf (number, sizeof (number), "%u", child->number);
    /* A group of its own: Ctrl-C at the supervisor's terminal is the supervisor's to pass on. */
    setpgid (0, 0);
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    if (getppid () != self->pid)
        _exit (1); /* it died before the line above */
    if (logs_redirect (self->workspace->path, child->replica) < 0)
        _exit (126);
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
    if (child->leave == HANDS_OVER && !replicas_stage_unfinished (self->workspace->path, child->number))
        child->leave = GOES;
    if (child->leave == GOES || (self->stopping && (child->kind <= self->phase || self->code))) {
        say (self, "%s ended with %s", child->replica, how);
        return;
    }
    if (child->leave == RESTARTS || (WIFEXITED (status) && WEXITSTATUS (status) == SERVICE_AGAIN)) {
        say (self, "%s ended with %s; starts again", child->replica, how);
        child->leave = STAYS;
        child->backoff_us = 0;
        child->start_at_us = now;
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

/* ---- replicas that come and go ---- */

/* Asks one replica to end while the others go on: what it holds it hands over, or finishes first. */
static void ask_to_leave (struct supervisor *self, struct child *child, enum leave leave)
{
    child->leave = leave;
    child->leave_us = now_us ();
    if (child->pid)
        kill (child->pid, SIGUSR1);
    else
        child->start_at_us = 0; /* it waits for its backoff */
    say (self, "%s is asked to end, %s", child->replica, leave == GOES ? "and goes" : "and starts again");
}

static struct child *find_child (struct supervisor *self, const char *replica)
{
    for (size_t i = 0; i < self->count; i++)
        if (strcmp (self->children[i].replica, replica) == 0)
            return &self->children[i];
    return NULL;
}

/* NULL: there are too many. */
static struct child *add_child (struct supervisor *self, const char *service, unsigned number)
{
    if (self->count == CHILDREN_MAX)
        return NULL;
    struct child *child = &self->children[self->count];
    *child = (struct child){ .number = number };
    snprintf (child->replica, sizeof (child->replica), "%s-%u", service, number);
    while (strcmp (kinds[child->kind].service, service) != 0)
        child->kind++;
    self->count++;
    return child;
}

/* The lowest number that no replica of the service has. */
static unsigned free_number (struct supervisor *self, const char *service)
{
    char replica[64];
    for (unsigned number = 0;; number++) {
        snprintf (replica, sizeof (replica), "%s-%u", service, number);
        if (!find_child (self, replica))
            return number;
    }
}

static bool holds_shard (const struct card *cards, size_t count, const char *replica)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp (cards[i].replica, replica) == 0)
            return cards[i].active;
    return false;
}

/* The one that is missed least: it stands by rather than works, and of these the one with the highest number. */
static struct child *to_remove (struct supervisor *self, const char *service, const struct card *cards, size_t cards_count)
{
    struct child *best = NULL;
    bool best_holds = false;
    for (size_t i = 0; i < self->count; i++) {
        struct child *child = &self->children[i];
        if (child->leave == GOES || strcmp (kinds[child->kind].service, service) != 0)
            continue;
        bool holds = holds_shard (cards, cards_count, child->replica);
        if (!best || (best_holds && !holds) || (best_holds == holds && child->number > best->number)) {
            best = child;
            best_holds = holds;
        }
    }
    return best;
}

/* Stages are known by their numbers: those below `wanted` stay, the others hand over, also what a supervisor before this one
 * has not seen to its end. */
static void fit_stages (struct supervisor *self, unsigned wanted, bool scaled)
{
    for (unsigned number = 0; number < REPLICAS_MAX; number++) {
        char replica[64];
        snprintf (replica, sizeof (replica), "stage-%u", number);
        struct child *child = find_child (self, replica);
        bool stays = number < wanted;
        if (!child && (stays || (scaled && replicas_stage_unfinished (self->workspace->path, number))))
            child = add_child (self, "stage", number);
        if (child && stays && (child->leave == HANDS_OVER || child->leave == GOES)) {
            say (self, "%s stays", replica);
            child->leave = STAYS;
        } else if (child && !stays && child->leave != HANDS_OVER && child->leave != GOES) {
            say (self, "%s hands over what it keeps, and goes", replica);
            child->leave = HANDS_OVER;
        }
    }
}

/* Among several nodes replicas have their places by their numbers (core/nodes.h). One that is to come here is still run by another
 * node, maybe: it comes when that one has let it go. */
static void fit_spread (struct supervisor *self, const struct replicas *replicas, size_t kind)
{
    const char *service = replicas_services[kind], *workspace = self->workspace->path;
    bool stages = strcmp (service, "stage") == 0;
    for (unsigned number = 0; number < REPLICAS_MAX; number++) {
        char replica[64];
        snprintf (replica, sizeof (replica), "%s-%u", service, number);
        struct child *child = find_child (self, replica);
        bool stays = number < replicas->wanted[kind];
        bool unfinished = stages && !stays && replicas->scaled[kind] && replicas_stage_unfinished (workspace, number);
        bool here = (stays || unfinished) && spread_owns (&self->spread, number);
        if (here && !child && !card_is_held (workspace, replica))
            child = add_child (self, service, number);
        if (!child || child->leave == GOES)
            continue;
        if (!here && !unfinished && child->leave != HANDS_OVER)
            ask_to_leave (self, child, GOES);
        else if (unfinished && child->leave != HANDS_OVER) {
            say (self, "%s hands over what it keeps, and goes", replica);
            child->leave = HANDS_OVER;
        } else if (here && stays && child->leave == HANDS_OVER)
            child->leave = STAYS;
    }
}

static void fit (struct supervisor *self, const struct replicas *replicas, size_t kind)
{
    const char *service = replicas_services[kind];
    unsigned wanted = replicas->wanted[kind];
    if (!spread_alone (&self->spread)) {
        fit_spread (self, replicas, kind);
        return;
    }
    if (strcmp (service, "stage") == 0) {
        fit_stages (self, wanted, replicas->scaled[kind]);
        return;
    }
    struct card *cards = NULL;
    unsigned there = 0;
    for (size_t i = 0; i < self->count; i++)
        there += self->children[i].leave != GOES && strcmp (kinds[self->children[i].kind].service, service) == 0;
    size_t cards_count = there > wanted ? cards_read (self->workspace->path, &cards) : 0;
    for (; there < wanted; there++)
        add_child (self, service, free_number (self, service));
    for (; there > wanted; there--)
        ask_to_leave (self, to_remove (self, service, cards, cards_count), GOES);
    free (cards);
}

/* ZeroMQ leaves the names of its sockets behind. */
static void remove_sockets (const struct supervisor *self, const char *replica)
{
    struct strata_error error;
    char folder[160], path[256];
    if (cards_socket_dir (self->workspace->path, folder, sizeof (folder), &error) < 0)
        return;
    snprintf (path, sizeof (path), "%s/%s.rpc", folder, replica);
    unlink (path);
    snprintf (path, sizeof (path), "%s/%s.pub", folder, replica);
    unlink (path);
    rmdir (folder); /* when nothing else is in it */
}

/* Kills those that were asked to leave and did not, and forgets those that went. */
static void see_off (struct supervisor *self)
{
    for (size_t i = 0; i < self->count;) {
        struct child *child = &self->children[i];
        if (child->leave == STAYS || child->leave == HANDS_OVER || self->stopping) {
            i++;
        } else if (child->leave == GOES && !child->pid) {
            if (!card_is_held (self->workspace->path, child->replica)) /* by another node */
                card_remove (self->workspace->path, child->replica); /* of one that was killed */
            remove_sockets (self, child->replica);
            say (self, "%s is gone", child->replica);
            *child = self->children[--self->count];
        } else {
            if (child->pid && now_us () - child->leave_us > LEAVE_US) {
                say (self, "%s has not ended in %.0f s: killed", child->replica, (double)LEAVE_US / 1e6);
                kill (child->pid, SIGKILL);
                child->leave_us = now_us ();
            }
            i++;
        }
    }
}

/* Does what replicas.json says since it was looked at last. */
static void look_at_wanted (struct supervisor *self)
{
    struct strata_error error;
    struct replicas wanted;
    struct replicas_stamp stamp = replicas_stamp (self->workspace->path);
    bool looked = spread_look (&self->spread) && !spread_alone (&self->spread);
    if (self->stopping || (!looked && memcmp (&stamp, &self->stamp, sizeof (stamp)) == 0))
        return;
    self->stamp = stamp;
    if (replicas_read (self->workspace->path, self->campaign, &wanted, &error) < 0) {
        say (self, "%s; all stays as it is", error.text);
        return;
    }
    for (size_t i = 0; i < REPLICAS_SERVICES; i++) {
        if (wanted.wanted[i] != self->wanted.wanted[i])
            say (self, "%s: %u replicas are wanted", replicas_services[i], wanted.wanted[i]);
        fit (self, &wanted, i);
    }
    /* An order that stood there before is done, or names a process of another supervisor. */
    bool fresh = strcmp (wanted.restart, self->wanted.restart) != 0 || wanted.restart_pid != self->wanted.restart_pid;
    struct child *child = fresh ? find_child (self, wanted.restart) : NULL;
    if (child && child->leave == STAYS && child->pid == wanted.restart_pid)
        ask_to_leave (self, child, RESTARTS);
    self->wanted = wanted;
}

/* ---- the whole ---- */

static void signal_phase (struct supervisor *self, int signum)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->children[i].pid && self->children[i].kind == self->phase)
            kill (self->children[i].pid, signum);
}

/* The whole campaign goes down, in the same order on all nodes. */
static bool waits_for_others (struct supervisor *self)
{
    const char *before[KINDS];
    if (self->leaves || self->hurry || self->code || spread_alone (&self->spread))
        return false;
    for (size_t i = 0; i < self->phase; i++)
        before[i] = kinds[i].service;
    int64_t now = now_us ();
    if (!spread_runs_elsewhere (&self->spread, before, self->phase))
        self->others_us = 0;
    else if (!self->others_us)
        self->others_us = now;
    else if (now - self->others_us > OTHERS_US) {
        say (self, "other nodes have not ended what goes before %s in %.0f s", kinds[self->phase].service, (double)OTHERS_US / 1e6);
        return false;
    }
    return self->others_us != 0;
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
        if (!self->phase_us && waits_for_others (self))
            return false;
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
        struct strata_error error;
        say (self, "signal %d: %s", signum, self->first ? "stops the campaign" : "the node leaves the campaign");
        self->stopping = true;
        self->leaves = !self->first;
        if (self->first && !spread_alone (&self->spread) && nodes_say_down (self->workspace->path, &error) < 0)
            say (self, "%s; the other nodes go on", error.text);
    } else if (!self->hurry) {
        say (self, "signal %d again: hurries", signum);
        self->hurry = true;
        if (self->phase_us) {
            signal_phase (self, SIGTERM); /* a service's second one skips its draining */
            self->phase_us = now_us ();
        }
    }
}

/* Cards of processes that were killed, maybe of a node that is no more: some may be wanted no longer. */
static void remove_dead_cards (struct supervisor *self)
{
    struct card *cards;
    size_t count = cards_read (self->workspace->path, &cards);
    for (size_t i = 0; i < count; i++)
        if (!card_is_held (self->workspace->path, cards[i].replica)) {
            say (self, "%s was killed on %s: its card is taken away", cards[i].replica, cards[i].node);
            card_remove (self->workspace->path, cards[i].replica);
            remove_sockets (self, cards[i].replica);
        }
    free (cards);
}

/* `strata down` on another node. */
static void look_at_down (struct supervisor *self)
{
    if (self->stopping || !nodes_go_down (self->workspace->path))
        return;
    say (self, "the campaign goes down");
    self->stopping = true;
}

/* The last one to end leaves nothing that would keep the campaign down. */
static void end_down (struct supervisor *self)
{
    if (!self->leaves && !spread_others_live (&self->spread))
        nodes_forget_down (self->workspace->path);
}

static int set_up (struct supervisor *self, sigset_t *signals)
{
    struct strata_error error;
    char name[NODE_NAME_MAX + 16];
    supervisor_log_name (self->first, name, sizeof (name));
    self->log = logs_open (self->workspace->path, name);
    self->pid = getpid ();
    if (supervisor_bin_dir (self->bin_dir, sizeof (self->bin_dir), &error) < 0
        || spread_init (&self->spread, self->workspace->path, &error) < 0) {
        say (self, "%s", error.text);
        return -1;
    }
    remove_dead_cards (self);
    self->stamp = replicas_stamp (self->workspace->path);
    if (replicas_read (self->workspace->path, self->campaign, &self->wanted, &error) < 0)
        say (self, "%s; the campaign file's numbers are taken", error.text);
    if (strcmp (self->campaign->schedule.executor, "nodes") == 0)
        add_child (self, "launch", (unsigned)self->spread.mine);
    for (size_t i = 0; i < REPLICAS_SERVICES; i++)
        fit (self, &self->wanted, i);
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

/* Once a second: no log grows without a bound. */
static void look_at_logs (struct supervisor *self)
{
    if (now_us () - self->logs_us < LOGS_EVERY_US)
        return;
    self->logs_us = now_us ();
    for (size_t i = 0; i < self->count; i++)
        if (logs_bound (self->workspace->path, self->children[i].replica) < 0)
            say (self, "log/%s.log reached its bound and can't be kept as .1 (%s): it begins anew", self->children[i].replica,
                 strerror (errno));
    char name[NODE_NAME_MAX + 16];
    supervisor_log_name (self->first, name, sizeof (name));
    logs_bound (self->workspace->path, name);
}

int supervisor_run (const struct campaign *campaign, const struct workspace *workspace, const struct supervisor_locks *locks,
                    int report_fd)
{
    sigset_t signals;
    struct timespec wait = { 0, LOOK_US * 1000 };
    struct supervisor *self = calloc (1, sizeof (*self));
    if (!self)
        return 1;
    *self =
        (struct supervisor){ .campaign = campaign, .workspace = workspace, .report_fd = report_fd, .first = locks->up >= 0 };
    int code = 1;
    if (set_up (self, &signals) < 0)
        goto done;
    if (locks->up >= 0)
        workspace_lock_sign (locks->up, self->pid);
    nodes_sign (locks->node, self->pid);
    crash_point ("supervisor.locked");
    say (self, "up, pid %d, campaign %s, workspace %s", (int)self->pid, campaign->name, workspace->path);
    for (;;) {
        reap (self);
        see_off (self);
        look_at_down (self);
        look_at_wanted (self);
        look_at_logs (self);
        for (size_t i = 0; i < self->count; i++) {
            struct child *child = &self->children[i];
            bool lives_on = !self->stopping || (child->kind > self->phase && !self->code);
            if (!child->pid && lives_on && child->leave != GOES && now_us () >= child->start_at_us)
                start_child (self, child);
        }
        if (self->stopping && stop_step (self))
            break;
        take_signal (self, sigtimedwait (&signals, NULL, &wait));
    }
    for (size_t i = 0; i < self->count; i++)
        remove_sockets (self, self->children[i].replica);
    end_down (self);
    say (self, "down");
    code = self->code;
done:
    spread_fini (&self->spread);
    if (self->log)
        fclose (self->log);
    if (self->report_fd >= 0)
        close (self->report_fd);
    free (self);
    return code;
}

int supervisor_spawn (const struct campaign *campaign, const struct workspace *workspace, struct supervisor_locks *locks,
                      int *report_fd, struct strata_error *error)
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
        setsid ();
        pid = fork (); /* no session leader: it can't get a terminal by accident */
        if (pid)
            _exit (pid < 0);
        close (ends[0]);
        fcntl (ends[1], F_SETFL, O_NONBLOCK);
        char name[NODE_NAME_MAX + 16];
        supervisor_log_name (locks->up >= 0, name, sizeof (name));
        if (logs_redirect (workspace->path, name) < 0)
            _exit (1);
        _exit (supervisor_run (campaign, workspace, locks, ends[1]));
    }
    waitpid (pid, NULL, 0);
    close (ends[1]);
    supervisor_unlock (locks); /* the child's copies hold the locks */
    *report_fd = ends[0];
    return 0;
}
