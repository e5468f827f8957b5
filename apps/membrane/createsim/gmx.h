/* gmx.h - runs GROMACS as a child process that can't outlive this one. */
#ifndef CREATESIM_GMX_H
#define CREATESIM_GMX_H

#include <stddef.h>

#include "strata_error.h"

/* Full path of program (a path, or a name to look for in PATH). -1 with errno ENOENT when there is none. */
int createsim_gmx_find (const char *program, char *path, size_t size, struct strata_error *error);

/* Runs argv (argv[0] = full path, NULL at the end) in folder dir, its output appended to `log`. Returns 0, or -1 with
 * errno EINTR when a signal asked this program to stop, else with the last error lines of the log in *error. */
int createsim_gmx_run (char *const argv[], const char *dir, const char *log, struct strata_error *error);

/* For sigaction: remembers the signal and kills the running child. */
void createsim_gmx_on_signal (int signal);
/* The signal that asked to stop, or 0. */
int createsim_gmx_stopped (void);

#endif
