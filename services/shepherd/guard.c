/* guard.c - sees to it that nothing of an attempt is left when its shepherd itself is killed, where no executor on the same
 * machine can do that: under a batch system whose own tracking of processes may lose one that made its own session.
 *
 * The guard is the shepherd's parent and a subreaper: what a killed shepherd leaves becomes a child of the guard.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/procs.h"
#include "shepherd.h"

/* SIGKILL to all that is below us, until nothing is. */
static void kill_rest (void)
{
    struct timespec pause = { 0, 20000000 };
    pid_t pids[1024];
    size_t first = procs_descendants (getpid (), pids, 1024), n = first;
    for (; n; n = procs_descendants (getpid (), pids, 1024)) {
        for (size_t i = 0; i < n && i < 1024; i++)
            kill (pids[i], SIGKILL);
        while (waitpid (-1, NULL, WNOHANG) > 0)
            ;
        nanosleep (&pause, NULL);
    }
    if (first)
        log_warn ("the shepherd was killed: ended %zu processes that it left", first);
}

int shepherd_guard (int *code)
{
    sigset_t set;
    int status, sig;
    pid_t guard = getpid ();
    prctl (PR_SET_CHILD_SUBREAPER, 1);
    shepherd_watch_signals ();
    pid_t shepherd = fork ();
    if (shepherd < 0)
        return -1;
    if (shepherd == 0) {
        prctl (PR_SET_PDEATHSIG, SIGKILL);
        if (getppid () != guard)
            _exit (1);
        return 0;
    }
    shepherd_heard_signals (&set);
    for (;;) {
        pid_t pid;
        while ((pid = waitpid (-1, &status, WNOHANG)) > 0)
            if (pid == shepherd) {
                kill_rest ();
                *code = WIFEXITED (status) ? WEXITSTATUS (status) : 1;
                return 1;
            }
        if (sigwait (&set, &sig) == 0 && sig != SIGCHLD)
            kill (shepherd, sig);
    }
}
