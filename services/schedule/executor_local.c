/* executor_local.c - jobs as processes of this machine, each attempt under a strata-shepherd of its own.
 *
 * The attempt's lock is taken here, and handed to the shepherd as an open file: between us and the shepherd there is no
 * moment in which nobody holds it, so a lock that is free always means that nobody runs. A shepherd is not our child in
 * any way that matters: it has its own session, and a scheduler that comes later finds it by its lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/crash_point.h"
#include "core/log.h"
#include "core/procs.h"
#include "executor.h"

extern char **environ;

#define LOCK_FD 3               /* of the lock in the shepherd */
#define FOLDER_MAX (PATH_MAX - 64)

struct local {
    char *workspace, *shepherd;
    pid_t *children;            /* shepherds that we started and have not reaped */
    size_t children_count, children_room;
};

static void local_close (void **arg)
{
    struct local *self = *arg;
    if (self) {
        free (self->workspace);
        free (self->shepherd);
        free (self->children);
        free (self);
    }
    *arg = NULL;
}

static void *local_open (const struct executor_config *config, struct strata_error *error)
{
    struct local *self = calloc (1, sizeof (*self));
    char path[PATH_MAX];
    snprintf (path, sizeof (path), "%s/strata-shepherd", config->bin_dir);
    if (!self || !(self->workspace = strdup (config->workspace)) || !(self->shepherd = strdup (path)))
        strata_fail (error, "out of memory");
    else if (access (path, X_OK) != 0)
        strata_fail (error, "%s can't be run (%s); it must stand beside strata-schedule", path, strerror (errno));
    else
        return self;
    local_close ((void **)&self);
    return NULL;
}

static int local_capacity (void *arg, struct machine *machine, struct strata_error *error)
{
    return machine_discover (machine, error);
}

static void reap (struct local *self)
{
    for (size_t i = self->children_count; i-- > 0;)
        if (waitpid (self->children[i], NULL, WNOHANG) != 0)
            self->children[i] = self->children[--self->children_count];
}

static int attempt_folder (const struct executor_ref *ref, char *folder)
{
    return snprintf (folder, FOLDER_MAX, "%s/attempt-%u", ref->dir, ref->attempt) < FOLDER_MAX ? 0 : -1;
}

/* What the attempt's folder says, without outcome: NEVER, RUNNING or LOST. *pid of the shepherd if it is written. */
static enum executor_state read_lock (const char *folder, pid_t *pid)
{
    char path[PATH_MAX], text[32] = "";
    snprintf (path, sizeof (path), "%s/lock", folder);
    *pid = 0;
    int fd = open (path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return EXECUTOR_NEVER;
    bool held = flock (fd, LOCK_EX | LOCK_NB) != 0;
    ssize_t n = pread (fd, text, sizeof (text) - 1, 0);
    close (fd);
    if (n > 0)
        *pid = (pid_t)atoi (text);
    return held ? EXECUTOR_RUNNING : n > 0 ? EXECUTOR_LOST : EXECUTOR_NEVER;
}

/* ---- launch ---- */

/* This process' environment without the names that `over` sets, then `over`. The array is malloc'ed, its strings
 * aren't. */
static char **merge_environment (const char **over)
{
    size_t n = 0, m = 0;
    while (environ[n])
        n++;
    while (over[m])
        m++;
    char **merged = calloc (n + m + 1, sizeof (*merged));
    size_t used = 0;
    for (size_t i = 0; merged && i < n; i++) {
        bool replaced = false;
        for (size_t j = 0; j < m && !replaced; j++)
            replaced = strncmp (environ[i], over[j], strcspn (over[j], "=") + 1) == 0;
        if (!replaced)
            merged[used++] = environ[i];
    }
    for (size_t j = 0; merged && j < m; j++)
        merged[used++] = (char *)over[j];
    return merged;
}

struct shepherd_command {
    char attempt[16], walltime[16], grace[16], memory[16];
    char *cores;
    char **argv;
};

static void command_fini (struct shepherd_command *self)
{
    free (self->cores);
    free (self->argv);
}

static int command_init (struct shepherd_command *self, const struct local *local, const struct executor_order *order)
{
    size_t n = 0, words = 0;
    while (order->argv[words])
        words++;
    snprintf (self->attempt, sizeof (self->attempt), "%u", order->ref.attempt);
    snprintf (self->walltime, sizeof (self->walltime), "%u", order->walltime_s);
    snprintf (self->grace, sizeof (self->grace), "%u", order->grace_s);
    snprintf (self->memory, sizeof (self->memory), "%u", order->memory_mb);
    self->cores = calloc (order->cores_count + 1, 12);
    self->argv = calloc (words + 2 * order->success_count + 20, sizeof (*self->argv));
    if (!self->cores || !self->argv)
        return -1;
    for (size_t i = 0, at = 0; i < order->cores_count; i++)
        at += (size_t)sprintf (self->cores + at, "%s%u", i ? "," : "", order->cores[i]);
    const char *fixed[] = {
        local->shepherd, "--dir",     order->ref.dir, "--attempt",  self->attempt, "--walltime", self->walltime,
        "--grace",       self->grace, "--memory-mb",  self->memory, "--lock-fd",   "3"
    };
    for (size_t i = 0; i < sizeof (fixed) / sizeof (fixed[0]); i++)
        self->argv[n++] = (char *)fixed[i];
    if (order->cores_count) {
        self->argv[n++] = (char *)"--cores";
        self->argv[n++] = self->cores;
    }
    for (size_t i = 0; i < order->success_count; i++) {
        self->argv[n++] = (char *)"--success";
        self->argv[n++] = order->success[i];
    }
    self->argv[n++] = (char *)"--";
    memcpy (self->argv + n, order->argv, words * sizeof (*self->argv));
    return 0;
}

static int spawn (const struct local *self, char **argv, char **env, const char *folder, int lock, pid_t *pid)
{
    char log[PATH_MAX];
    sigset_t none, all;
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    snprintf (log, sizeof (log), "%s/shepherd.log", folder);
    sigemptyset (&none);
    sigfillset (&all);
    posix_spawn_file_actions_init (&files);
    posix_spawnattr_init (&attributes);
    posix_spawn_file_actions_addopen (&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen (&files, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    posix_spawn_file_actions_adddup2 (&files, STDOUT_FILENO, STDERR_FILENO);
    posix_spawn_file_actions_adddup2 (&files, lock, LOCK_FD);
    posix_spawnattr_setflags (&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask (&attributes, &none);
    posix_spawnattr_setsigdefault (&attributes, &all);
    int rc = posix_spawn (pid, self->shepherd, &files, &attributes, argv, env);
    posix_spawn_file_actions_destroy (&files);
    posix_spawnattr_destroy (&attributes);
    return rc;
}

static int start_shepherd (struct local *self, const struct executor_order *order, const char *folder, int lock,
                           uint32_t *pid, struct strata_error *error)
{
    struct shepherd_command command = { .argv = NULL };
    pid_t child = 0;
    char **env = merge_environment (order->environment);
    if (self->children_count == self->children_room) {
        size_t room = self->children_room ? self->children_room * 2 : 16;
        pid_t *more = realloc (self->children, room * sizeof (*more));
        if (more) {
            self->children = more;
            self->children_room = room;
        }
    }
    int rc = -1;
    if (!env || command_init (&command, self, order) != 0 || self->children_count == self->children_room)
        strata_fail (error, "out of memory");
    else if ((errno = spawn (self, command.argv, env, folder, lock, &child)) != 0)
        strata_fail (error, "%s could not be started: %s", self->shepherd, strerror (errno));
    else {
        self->children[self->children_count++] = child;
        *pid = (uint32_t)child;
        rc = 0;
    }
    command_fini (&command);
    free (env);
    return rc;
}

static int make_folders (const struct local *self, const char *dir, const char *folder, struct strata_error *error)
{
    char jobs[PATH_MAX];
    snprintf (jobs, sizeof (jobs), "%s/jobs", self->workspace);
    const char *paths[] = { jobs, dir, folder };
    for (size_t i = 0; i < 3; i++)
        if (mkdir (paths[i], 0755) != 0 && errno != EEXIST)
            return strata_fail (error, "the folder %s can't be made: %s", paths[i], strerror (errno));
    return 0;
}

static int local_launch (void *arg, const struct executor_order *order, uint32_t *pid, struct strata_error *error)
{
    struct local *self = arg;
    struct outcome outcome;
    struct stat st;
    char folder[FOLDER_MAX], path[PATH_MAX];
    *pid = 0;
    if (attempt_folder (&order->ref, folder) != 0)
        return strata_fail (error, "%.200s: the name of this folder is too long", order->ref.dir);
    if (make_folders (self, order->ref.dir, folder, error) != 0)
        return -1;
    snprintf (path, sizeof (path), "%s/lock", folder);
    int lock = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (lock < 0)
        return strata_fail (error, "%s can't be opened: %s", path, strerror (errno));
    int rc = 0;
    /* Held: it runs. Written to, or an outcome: it has run. poll will tell of it. */
    if (flock (lock, LOCK_EX | LOCK_NB) != 0) {
        pid_t known;
        read_lock (folder, &known);
        *pid = (uint32_t)known;
    }
    else if (fstat (lock, &st) == 0 && st.st_size == 0 && outcome_read (folder, &outcome, NULL) == 0) {
        crash_point ("launch.locked");
        rc = start_shepherd (self, order, folder, lock, pid, error);
    }
    close (lock);
    return rc;
}

/* ---- what became of it ---- */

/* The shepherd is gone and left no word. Its command died with it; what it had started is found by its environment. */
static enum executor_state clear_lost (const struct local *self, const struct executor_ref *ref)
{
    char job[300], workspace[PATH_MAX];
    snprintf (job, sizeof (job), "STRATA_JOB=%.255s", ref->id);
    snprintf (workspace, sizeof (workspace), "STRATA_WORKSPACE=%.4000s", self->workspace);
    size_t found = procs_kill_by_environment (job, workspace, SIGKILL);
    if (found)
        log_warn ("%s attempt %u lost its shepherd: killed %zu processes that were left", ref->id, ref->attempt, found);
    return found ? EXECUTOR_RUNNING : EXECUTOR_LOST;
}

static enum executor_state local_poll (void *arg, const struct executor_ref *ref, struct outcome *outcome)
{
    struct local *self = arg;
    struct strata_error error;
    char folder[FOLDER_MAX];
    pid_t pid;
    reap (self);
    if (attempt_folder (ref, folder) != 0)
        return EXECUTOR_NEVER;
    if (outcome_read (folder, outcome, NULL) == 1)
        return EXECUTOR_ENDED;
    enum executor_state state = read_lock (folder, &pid);
    if (state == EXECUTOR_RUNNING)
        return state;
    /* It may have ended between the two looks. */
    int rc = outcome_read (folder, outcome, &error);
    if (rc == 1)
        return EXECUTOR_ENDED;
    if (state == EXECUTOR_NEVER && rc == 0)
        return state;
    state = clear_lost (self, ref);
    memset (outcome, 0, sizeof (*outcome));
    outcome->end = STRATA__JOB_END__END_LOST;
    snprintf (outcome->reason, sizeof (outcome->reason), "%s",
              rc < 0 ? error.text : "its shepherd vanished without a word (killed, or the machine was restarted)");
    return state;
}

static void local_stop (void *arg, const struct executor_ref *ref)
{
    char folder[FOLDER_MAX];
    pid_t pid;
    /* Only while the lock is held is the pid in it surely the shepherd's. */
    if (attempt_folder (ref, folder) == 0 && read_lock (folder, &pid) == EXECUTOR_RUNNING && pid > 1)
        kill (pid, SIGTERM);
}

const struct executor_ops executor_local = {
    .name = "local",
    .open = local_open,
    .close = local_close,
    .capacity = local_capacity,
    .launch = local_launch,
    .poll = local_poll,
    .stop = local_stop,
};
