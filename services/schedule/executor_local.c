/* executor_local.c - jobs as processes of this machine, each attempt under a strata-shepherd of its own.
 *
 * The attempt's lock is taken here, and handed to the shepherd as an open file: between us and the shepherd there is no
 * moment in which nobody holds it, so a lock that is free always means that nobody runs. A shepherd is not our child in
 * any way that matters: it has its own session, and a scheduler that comes later finds it by its lock.
 */
#include <czmq.h>
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
#include "executor_attempt.h"
#include "id_list.h"

extern char **environ;

#define LOCK_FD 3               /* of the lock in the shepherd */

#define LOOK_MS 5000            /* between looks at all, whoever started them */

/* A shepherd that we started and have not reaped. */
struct child {
    pid_t pid;
    char *id;                   /* of its job */
};

struct local {
    char *workspace, *shepherd;
    bool keeps;                 /* see executor_config */
    struct child *children;
    size_t children_count, children_room;
    zhash_t *running;           /* pid by job id: of the newest shepherd of the job */
    struct id_list ended;       /* jobs whose shepherds were reaped since `changed` was asked last */
    bool strangers;             /* an attempt was polled that runs under a shepherd of a scheduler before us */
    int64_t looked_ms;          /* when `changed` last had all polled; 0: never */
};

static void local_close (void **arg)
{
    struct local *self = *arg;
    if (self) {
        for (size_t i = 0; i < self->children_count; i++)
            free (self->children[i].id);
        zhash_destroy (&self->running);
        id_list_fini (&self->ended);
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
    if (!self || !(self->workspace = strdup (config->workspace)) || !(self->running = zhash_new ()))
        strata_fail (error, "out of memory");
    else if ((self->shepherd = shepherd_find (config->bin_dir, error))) {
        self->keeps = config->keeps;
        return self;
    }
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
        if (waitpid (self->children[i].pid, NULL, WNOHANG) != 0) {
            id_list_add (self->children[i].id, &self->ended);
            if ((uintptr_t)zhash_lookup (self->running, self->children[i].id) == (uintptr_t)self->children[i].pid)
                zhash_delete (self->running, self->children[i].id);
            free (self->children[i].id);
            self->children[i] = self->children[--self->children_count];
        }
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

static int spawn (const struct local *self, char **argv, char **env, int lock, pid_t *pid)
{
    sigset_t none, all;
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigemptyset (&none);
    sigfillset (&all);
    posix_spawn_file_actions_init (&files);
    posix_spawnattr_init (&attributes);
    posix_spawn_file_actions_addopen (&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen (&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
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

static int start_shepherd (struct local *self, const struct executor_order *order, int lock,
                           uint32_t *pid, struct strata_error *error)
{
    struct shepherd_command command = { .argv = NULL };
    struct child child = { 0, strdup (order->ref.id) };
    char **env = merge_environment (order->environment);
    if (self->children_count == self->children_room) {
        size_t room = self->children_room ? self->children_room * 2 : 16;
        struct child *more = realloc (self->children, room * sizeof (*more));
        if (more) {
            self->children = more;
            self->children_room = room;
        }
    }
    int rc = -1;
    if (!env || !child.id || shepherd_command_init (&command, self->shepherd, order, LOCK_FD, self->keeps) != 0
        || self->children_count == self->children_room)
        strata_fail (error, "out of memory");
    else if ((errno = spawn (self, command.argv, env, lock, &child.pid)) != 0)
        strata_fail (error, "%s could not be started: %s", self->shepherd, strerror (errno));
    else {
        self->children[self->children_count++] = child;
        zhash_update (self->running, child.id, (void *)(uintptr_t)child.pid);
        *pid = (uint32_t)child.pid;
        child.id = NULL;
        rc = 0;
    }
    free (child.id);
    shepherd_command_fini (&command);
    free (env);
    return rc;
}

static int local_launch (void *arg, const struct executor_order *order, uint32_t *pid, struct strata_error *error)
{
    struct local *self = arg;
    struct outcome outcome;
    struct stat st;
    char folder[ATTEMPT_FOLDER_MAX], path[PATH_MAX];
    *pid = 0;
    if (attempt_folder (&order->ref, folder) != 0)
        return strata_fail (error, "%.200s: the name of this folder is too long", order->ref.dir);
    if (attempt_make_folders (self->workspace, order->ref.dir, folder, error) != 0)
        return -1;
    snprintf (path, sizeof (path), "%s/lock", folder);
    int lock = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (lock < 0)
        return strata_fail (error, "%s can't be opened: %s", path, strerror (errno));
    int rc = 0;
    /* Held: it runs. Written to, or an outcome: it has run. poll will tell of it. */
    if (flock (lock, LOCK_EX | LOCK_NB) != 0) {
        pid_t known;
        attempt_read_lock (folder, &known);
        *pid = (uint32_t)known;
    }
    else if (fstat (lock, &st) == 0 && st.st_size == 0 && outcome_read (folder, &outcome, NULL) == 0) {
        crash_point ("launch.locked");
        rc = start_shepherd (self, order, lock, pid, error);
    }
    close (lock);
    return rc;
}

/* ---- what became of it ---- */

/* Kills what is in the attempt's cgroup, if it had one, and removes that. False: something of it is still there. */
static bool clear_cgroup (const char *folder)
{
    char path[PATH_MAX + 16], cgroup[PATH_MAX] = "";
    snprintf (path, sizeof (path), "%s/lock", folder);
    FILE *file = fopen (path, "re");
    if (!file || fscanf (file, "%*d %4000[^\n]", cgroup) != 1)
        cgroup[0] = '\0';
    if (file)
        fclose (file);
    /* A shepherd that came after ours has the same name for its own only when it has our shepherd's pid, and clears ours first. */
    if (!strstr (cgroup, "/strata-") || rmdir (cgroup) == 0 || errno != EBUSY)
        return true;
    snprintf (path, sizeof (path), "%s/cgroup.kill", cgroup);
    int fd = open (path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write (fd, "1", 1) != 1)
        log_warn ("%s can't be written: %s", path, strerror (errno));
    if (fd >= 0)
        close (fd);
    return false;
}

/* The shepherd is gone and left no word. Its command died with it; what it had started is found by its cgroup and environment. */
static enum executor_state clear_lost (struct local *self, const struct executor_ref *ref, const char *folder)
{
    char job[300], workspace[PATH_MAX];
    snprintf (job, sizeof (job), "STRATA_JOB=%.255s", ref->id);
    snprintf (workspace, sizeof (workspace), "STRATA_WORKSPACE=%.4000s", self->workspace);
    size_t found = procs_kill_by_environment (job, workspace, SIGKILL);
    if (found)
        log_warn ("%s attempt %u lost its shepherd: killed %zu processes that were left", ref->id, ref->attempt, found);
    if (clear_cgroup (folder) && !found)
        return EXECUTOR_LOST;
    id_list_add (ref->id, &self->ended); /* they take a while: to be asked again */
    return EXECUTOR_RUNNING;
}

static enum executor_state local_poll (void *arg, const struct executor_ref *ref, struct outcome *outcome)
{
    struct local *self = arg;
    char folder[ATTEMPT_FOLDER_MAX];
    pid_t pid;
    if (attempt_folder (ref, folder) != 0)
        return EXECUTOR_NEVER;
    enum executor_state state = attempt_look (folder, &pid, outcome);
    self->strangers |= state == EXECUTOR_RUNNING && !zhash_lookup (self->running, ref->id);
    return state == EXECUTOR_LOST ? clear_lost (self, ref, folder) : state;
}

/* The end of a shepherd that we started is told by the kernel. One of a scheduler before us is not our child: while there are such,
 * all are looked at. */
static int local_changed (void *arg, void (*each) (const char *id, void *arg), void *each_arg)
{
    struct local *self = arg;
    int64_t now_ms = zclock_mono ();
    struct id_list ended;
    reap (self);
    ended = self->ended;
    self->ended = (struct id_list){ NULL, 0, 0 };
    for (size_t i = 0; i < ended.count; i++)
        each (ended.ids[i], each_arg);
    id_list_fini (&ended);
    if (self->looked_ms && !self->strangers && now_ms - self->looked_ms < LOOK_MS)
        return 0;
    self->looked_ms = now_ms;
    self->strangers = false;
    return -1;
}

static void local_stop (void *arg, const struct executor_ref *ref)
{
    char folder[ATTEMPT_FOLDER_MAX];
    pid_t pid;
    /* Only while the lock is held is the pid in it surely the shepherd's. */
    if (attempt_folder (ref, folder) == 0 && attempt_read_lock (folder, &pid) == EXECUTOR_RUNNING && pid > 1)
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
    .changed = local_changed,
};
