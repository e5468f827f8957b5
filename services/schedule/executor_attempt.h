/* executor_attempt.h - what executors share: an attempt's folder (core/outcome.h says what stands in it), and the command
 * line of the shepherd that runs it. */
#ifndef SCHEDULE_EXECUTOR_ATTEMPT_H
#define SCHEDULE_EXECUTOR_ATTEMPT_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "executor.h"

#define ATTEMPT_FOLDER_MAX (PATH_MAX - 64)

/* <dir>/attempt-<n>; -1: the name is too long. */
int attempt_folder (const struct executor_ref *ref, char folder[ATTEMPT_FOLDER_MAX]);
/* Makes <workspace>/jobs, the job's folder and the attempt's. */
int attempt_make_folders (const char *workspace, const char *dir, const char *folder, struct strata_error *error);
/* What the lock says, without the outcome: NEVER, RUNNING or LOST. *pid of the shepherd if it is written, else 0. */
enum executor_state attempt_read_lock (const char *folder, pid_t *pid);
/* The same with the outcome, which is filled for ENDED and LOST. One that can't be read is LOST. */
enum executor_state attempt_look (const char *folder, pid_t *pid, struct outcome *outcome);

/* argv of the shepherd for an order. */
struct shepherd_command {
    char attempt[16], walltime[16], grace[16], memory[16], output[16], lock[16], starter[16];
    char *cores;
    char **argv;                /* ends with NULL */
};
/* lock_fd: of the lock in the shepherd, which binds to the order's cores; -1 when it runs elsewhere, under an engine that binds, where
 * it takes the lock itself and has a guard. kept: see executor_config.keeps. shepherd and order outlive it. */
int shepherd_command_init (struct shepherd_command *self, const char *shepherd, const struct executor_order *order, int lock_fd, bool kept);
void shepherd_command_fini (struct shepherd_command *self);
/* Path of strata-schedule's neighbour, malloc'ed; NULL when it can't be run. */
char *shepherd_find (const char *bin_dir, struct strata_error *error);

#endif
