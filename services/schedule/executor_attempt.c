/* executor_attempt.c - see executor_attempt.h */
#include "executor_attempt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int attempt_folder (const struct executor_ref *ref, char folder[ATTEMPT_FOLDER_MAX])
{
    int n = snprintf (folder, ATTEMPT_FOLDER_MAX, "%s/attempt-%u", ref->dir, ref->attempt);
    return n < ATTEMPT_FOLDER_MAX ? 0 : -1;
}

int attempt_make_folders (const char *workspace, const char *dir, const char *folder, struct strata_error *error)
{
    char jobs[PATH_MAX];
    snprintf (jobs, sizeof (jobs), "%s/jobs", workspace);
    const char *paths[] = { jobs, dir, folder };
    for (size_t i = 0; i < 3; i++)
        if (mkdir (paths[i], 0755) != 0 && errno != EEXIST)
            return strata_fail (error, "the folder %s can't be made: %s", paths[i], strerror (errno));
    return 0;
}

enum executor_state attempt_read_lock (const char *folder, pid_t *pid)
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

enum executor_state attempt_look (const char *folder, pid_t *pid, struct outcome *outcome)
{
    struct strata_error error;
    *pid = 0;
    if (outcome_read (folder, outcome, NULL) == 1)
        return EXECUTOR_ENDED;
    enum executor_state state = attempt_read_lock (folder, pid);
    if (state == EXECUTOR_RUNNING)
        return state;
    /* It may have ended between the two looks. */
    int rc = outcome_read (folder, outcome, &error);
    if (rc == 1)
        return EXECUTOR_ENDED;
    if (state == EXECUTOR_NEVER && rc == 0)
        return state;
    memset (outcome, 0, sizeof (*outcome));
    outcome->end = STRATA__JOB_END__END_LOST;
    snprintf (outcome->reason, sizeof (outcome->reason), "%s",
              rc < 0 ? error.text : "its shepherd vanished without a word (killed, or the machine was restarted)");
    return EXECUTOR_LOST;
}

char *shepherd_find (const char *bin_dir, struct strata_error *error)
{
    char path[PATH_MAX];
    snprintf (path, sizeof (path), "%s/strata-shepherd", bin_dir);
    char *found = access (path, X_OK) == 0 ? strdup (path) : NULL;
    if (!found)
        strata_fail (error, "%s can't be run (%s); it must stand beside strata-schedule", path, strerror (errno));
    return found;
}

void shepherd_command_fini (struct shepherd_command *self)
{
    free (self->cores);
    free (self->argv);
}

static void add_option (struct shepherd_command *self, size_t *n, const char *name, const char *value)
{
    self->argv[(*n)++] = (char *)name;
    self->argv[(*n)++] = (char *)value;
}

int shepherd_command_init (struct shepherd_command *self, const char *shepherd, const struct executor_order *order, int lock_fd, bool kept)
{
    size_t n = 0, words = 0;
    while (order->argv[words])
        words++;
    snprintf (self->attempt, sizeof (self->attempt), "%u", order->ref.attempt);
    snprintf (self->walltime, sizeof (self->walltime), "%u", order->walltime_s);
    snprintf (self->grace, sizeof (self->grace), "%u", order->grace_s);
    snprintf (self->memory, sizeof (self->memory), "%u", order->memory_mb);
    snprintf (self->output, sizeof (self->output), "%u", order->output_mb);
    snprintf (self->lock, sizeof (self->lock), "%d", lock_fd);
    snprintf (self->starter, sizeof (self->starter), "%d", (int)getpid ());
    self->cores = calloc (order->cores_count + 1, 12);
    self->argv = calloc (words + 2 * order->success_count + 22, sizeof (*self->argv));
    if (!self->cores || !self->argv)
        return -1;
    for (size_t i = 0, at = 0; i < order->cores_count; i++)
        at += (size_t)sprintf (self->cores + at, "%s%u", i ? "," : "", order->cores[i]);
    self->argv[n++] = (char *)shepherd;
    add_option (self, &n, "--dir", order->ref.dir);
    add_option (self, &n, "--attempt", self->attempt);
    add_option (self, &n, "--walltime", self->walltime);
    add_option (self, &n, "--grace", self->grace);
    add_option (self, &n, "--memory-mb", self->memory);
    add_option (self, &n, "--output-mb", self->output);
    if (lock_fd >= 0)
        add_option (self, &n, "--lock-fd", self->lock);
    else
        self->argv[n++] = (char *)"--guard";
    if (lock_fd >= 0 && order->cores_count)
        add_option (self, &n, "--cores", self->cores);
    if (kept)
        add_option (self, &n, "--starter", self->starter);
    for (size_t i = 0; i < order->success_count; i++)
        add_option (self, &n, "--success", order->success[i]);
    self->argv[n++] = (char *)"--";
    memcpy (self->argv + n, order->argv, words * sizeof (*self->argv));
    return 0;
}
