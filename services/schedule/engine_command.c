/* engine_command.c - see engine_command.h */
#include "engine_command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OUTPUT_MAX (64 << 20)   /* bytes; squeue's of 100,000 jobs is 10 MiB */
#define KEPT_FD 3

extern char **environ;

int64_t engine_now_ms (void)
{
    struct timespec ts;
    clock_gettime (CLOCK_BOOTTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int spawn (struct engine_command *self, char *const *argv, int keep_fd)
{
    sigset_t none, all;
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigemptyset (&none);
    sigfillset (&all);
    posix_spawn_file_actions_init (&files);
    posix_spawnattr_init (&attributes);
    posix_spawn_file_actions_addopen (&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2 (&files, self->out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2 (&files, self->err, STDERR_FILENO);
    if (keep_fd >= 0)
        posix_spawn_file_actions_adddup2 (&files, keep_fd, KEPT_FD);
    /* A session of its own: who ends the service's group does not cut a submission in two. */
    posix_spawnattr_setflags (&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask (&attributes, &none);
    posix_spawnattr_setsigdefault (&attributes, &all);
    int rc = posix_spawnp (&self->pid, argv[0], &files, &attributes, argv, environ);
    posix_spawn_file_actions_destroy (&files);
    posix_spawnattr_destroy (&attributes);
    return rc;
}

int engine_command_start (struct engine_command *self, char *const *argv, int keep_fd, int64_t limit_ms,
                          struct strata_error *error)
{
    *self = (struct engine_command){ .out = -1, .err = -1, .started_ms = engine_now_ms (), .limit_ms = limit_ms };
    self->out = memfd_create ("stdout", MFD_CLOEXEC);
    self->err = memfd_create ("stderr", MFD_CLOEXEC);
    int rc = self->out < 0 || self->err < 0 ? errno : spawn (self, argv, keep_fd);
    if (rc == 0)
        return 0;
    self->pid = 0;
    engine_command_fini (self);
    return strata_fail (error, "%s can't be started: %s", argv[0], strerror (rc));
}

static size_t size_of (int fd)
{
    struct stat st;
    return fstat (fd, &st) == 0 ? (size_t)st.st_size : 0;
}

static char *read_all (int fd)
{
    size_t size = size_of (fd), n = 0;
    char *text = malloc (size + 1);
    ssize_t got = 1;
    while (text && n < size && got > 0) {
        got = pread (fd, text + n, size - n, (off_t)n);
        n += got > 0 ? (size_t)got : 0;
    }
    if (text)
        text[n] = '\0';
    return text;
}

/* Its first line on stderr: where these commands say what is wrong. */
static void tell_error (struct engine_command *self)
{
    char line[sizeof (self->error)];
    ssize_t n = pread (self->err, line, sizeof (line) - 1, 0);
    line[n > 0 ? n : 0] = '\0';
    line[strcspn (line, "\n")] = '\0';
    if (self->killed)
        snprintf (self->error, sizeof (self->error), "%s", self->killed);
    else if (WIFEXITED (self->status) && WEXITSTATUS (self->status) == 0)
        self->error[0] = '\0';
    else if (line[0])
        snprintf (self->error, sizeof (self->error), "%s", line);
    else if (WIFEXITED (self->status))
        snprintf (self->error, sizeof (self->error), "exit code %d", WEXITSTATUS (self->status));
    else
        snprintf (self->error, sizeof (self->error), "killed by signal %d", WTERMSIG (self->status));
}

bool engine_command_done (struct engine_command *self)
{
    if (!self->pid)
        return false;
    pid_t pid = waitpid (self->pid, &self->status, WNOHANG);
    int64_t now_ms = engine_now_ms ();
    if (pid == 0) {
        if (now_ms - self->started_ms > self->limit_ms)
            self->killed = "no answer in time";
        else if (size_of (self->out) > OUTPUT_MAX)
            self->killed = "its answer is longer than 64 MiB";
        if (self->killed)
            kill (self->pid, SIGKILL);
        return false;
    }
    if (pid < 0)
        self->killed = "its end could not be seen";
    self->pid = 0;
    self->took_ms = now_ms - self->started_ms;
    self->text = read_all (self->out);
    tell_error (self);
    return true;
}

void engine_command_fini (struct engine_command *self)
{
    if (self->out >= 0)
        close (self->out);
    if (self->err >= 0)
        close (self->err);
    free (self->text);
    *self = (struct engine_command){ .out = -1, .err = -1 };
}
