/* engine_command.h - a command of an engine (sbatch, squeue ...) that runs beside us: it is started, looked at when there is
 * time, and never waited for. One that takes too long or tells too much is killed.
 *
 * Its output goes to memory files rather than pipes: nobody has to read while it writes, so it can't block.
 */
#ifndef SCHEDULE_ENGINE_COMMAND_H
#define SCHEDULE_ENGINE_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "strata_error.h"

struct engine_command {
    pid_t pid;                  /* 0: none runs */
    int out, err;               /* memory files */
    int64_t started_ms, limit_ms;
    const char *killed;         /* why we killed it; NULL: we didn't */
    /* when engine_command_done has told of its end: */
    int status;                 /* of waitpid */
    int64_t took_ms;
    char *text;                 /* what it wrote to stdout, malloc'ed, ends with a NUL; NULL: out of memory */
    char error[400];            /* its first line on stderr, or what else went wrong; "" after exit code 0 */
};

int64_t engine_now_ms (void);
/* Starts argv[0], found by PATH. keep_fd stays open in it as descriptor 3, so that a lock on it is held until it ends; -1:
 * none. */
int engine_command_start (struct engine_command *self, char *const *argv, int keep_fd, int64_t limit_ms,
                          struct strata_error *error);
/* True once, when the command that was started is through: text and error say how. The caller calls engine_command_fini. */
bool engine_command_done (struct engine_command *self);
/* Also of one that still runs: it is left to itself. */
void engine_command_fini (struct engine_command *self);

#endif
