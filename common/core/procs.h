/* procs.h - processes of this machine, through /proc: descendants, memory, and whose environment says what. */
#ifndef STRATA_PROCS_H
#define STRATA_PROCS_H

#include <stddef.h>
#include <sys/types.h>

/* Fills pids (at most max) with all living descendants of `root`, not root itself; zombies are left out. Returns
 * how many there are, which may be more than max. */
size_t procs_descendants (pid_t root, pid_t *pids, size_t max);

/* Resident memory in MiB of the descendants of `root`, summed. Pages that several of them share count once for each. */
double procs_descendants_rss_mb (pid_t root);

/* Sends `sig` to every process that was started with both settings ("NAME=value") in its environment; never to the
 * caller. Returns how many were found. Processes of other users can't be read and are not found. */
size_t procs_kill_by_environment (const char *setting1, const char *setting2, int sig);

#endif
