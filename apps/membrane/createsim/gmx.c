/* gmx.c - see gmx.h. */
#include "gmx.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Written by the signal handler: the only state of this program that is not handed around. */
static volatile sig_atomic_t stop_signal;
static volatile sig_atomic_t running_child;

void createsim_gmx_on_signal (int signal)
{
    int reason = errno;

    stop_signal = signal;
    if (running_child > 0)
        kill ((pid_t) running_child, SIGKILL);
    errno = reason;
}

int createsim_gmx_stopped (void)
{
    return stop_signal;
}

int createsim_gmx_find (const char *program, char *path, size_t size, struct strata_error *error)
{
    const char *dirs = getenv ("PATH");
    char *copy, *save = NULL;

    if (strchr (program, '/') != NULL) {
        if (access (program, X_OK) == 0 && (size_t) snprintf (path, size, "%s", program) < size)
            return 0;
    } else if ((copy = strdup (dirs != NULL ? dirs : "/usr/local/bin:/usr/bin:/bin")) != NULL) {
        for (char *dir = strtok_r (copy, ":", &save); dir != NULL; dir = strtok_r (NULL, ":", &save))
            if ((size_t) snprintf (path, size, "%s/%s", dir, program) < size && access (path, X_OK) == 0) {
                free (copy);
                return 0;
            }
        free (copy);
    }
    errno = ENOENT;
    return strata_fail (
        error, "GROMACS (%s) is not installed; install it (Debian: apt install gromacs) or name it with --gmx PROGRAM",
        program);
}

/* In the child: only async-signal-safe calls between fork and exec. */
static void become (char *const argv[], const char *dir, int log, pid_t parent)
{
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    if (getppid () != parent)
        _exit (126);
    signal (SIGINT, SIG_DFL);
    signal (SIGTERM, SIG_DFL);
    int null = open ("/dev/null", O_RDONLY);
    if (null < 0 || dup2 (null, 0) < 0 || dup2 (log, 1) < 0 || dup2 (log, 2) < 0 || chdir (dir) < 0)
        _exit (126);
    execv (argv[0], argv);
    _exit (127);
}

/* Puts a line's words into the sentence, single blanks between. */
static void append_line (char *sentence, size_t size, const char *line)
{
    size_t used = strlen (sentence);
    int gap = used > 0;

    for (; *line != '\0' && used + 2 < size; line++) {
        if (*line == ' ' || *line == '\t' || *line == '\n' || *line == '\r') {
            gap = used > 0;
            continue;
        }
        if (gap)
            sentence[used++] = ' ';
        gap = 0;
        sentence[used++] = *line;
    }
    sentence[used] = '\0';
}

/* What GROMACS said went wrong: the lines after "Fatal error:" (or alike), else the last two lines. */
static void last_error (const char *log, char *sentence, size_t size)
{
    char *line = NULL, before[300] = "", last[300] = "";
    size_t room = 0;
    int after = 0;
    FILE *file = fopen (log, "r");

    sentence[0] = '\0';
    if (file == NULL)
        return;
    while (getline (&line, &room, file) >= 0) {
        if (strstr (line, "error:") != NULL || strstr (line, "Error in user input:") != NULL
            || strncmp (line, "ERROR", 5) == 0) {
            sentence[0] = '\0';
            after = 1;
        }
        if (line[0] == '\n' || strncmp (line, "-----", 5) == 0 || strncmp (line, "For more information", 20) == 0) {
            after = line[0] == '\n' ? after : 0;
            continue;
        }
        if (after)
            append_line (sentence, size, line);
        snprintf (before, sizeof before, "%s", last);
        snprintf (last, sizeof last, "%s", line);
    }
    if (sentence[0] == '\0') {
        append_line (sentence, size, before);
        append_line (sentence, size, last);
    }
    free (line);
    fclose (file);
}

int createsim_gmx_run (char *const argv[], const char *dir, const char *log, struct strata_error *error)
{
    char sentence[300];
    int fd, status = 0;
    pid_t parent = getpid (), pid;

    if (stop_signal != 0) {
        errno = EINTR;
        return strata_fail (error, "stopped by signal %d", (int) stop_signal);
    }
    fd = open (log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return strata_fail (error, "%s: can't be written: %s", log, strerror (errno));
    pid = fork ();
    if (pid == 0)
        become (argv, dir, fd, parent);
    close (fd);
    if (pid < 0)
        return strata_fail (error, "%s: can't be started: %s", argv[0], strerror (errno));
    running_child = pid;
    if (stop_signal != 0) /* it came between fork and here */
        kill (pid, SIGKILL);
    while (waitpid (pid, &status, 0) < 0 && errno == EINTR)
        ;
    running_child = 0;
    if (stop_signal != 0) {
        errno = EINTR;
        return strata_fail (error, "stopped by signal %d", (int) stop_signal);
    }
    if (WIFEXITED (status) && WEXITSTATUS (status) == 0)
        return 0;
    errno = 0;
    last_error (log, sentence, sizeof sentence);
    if (WIFSIGNALED (status))
        return strata_fail (error, "gmx %s was killed by signal %d: %s", argv[1], WTERMSIG (status), sentence);
    return strata_fail (error, "gmx %s failed (exit code %d): %s", argv[1], WEXITSTATUS (status), sentence);
}
