/* launch.h - bringing a campaign's services up and down: what `up`, `down` and `run` share. */
#ifndef STRATA_CLI_LAUNCH_H
#define STRATA_CLI_LAUNCH_H

#include <stdatomic.h>
#include <stdbool.h>

#include "cli.h"

struct launch {
    struct campaign *campaign;
    struct workspace workspace;
    int report_fd; /* lines of the supervisor that was started; -1: it ran already */
    bool attached; /* it ran already */
    bool join;     /* this node joins a campaign that is up */
};

/* Loads the file and makes the workspace. 0, or an exit code (said to stderr). */
int launch_init (struct launch *self, const struct cli_args *args);
void launch_fini (struct launch *self);
/* Starts the supervisor in the background, or with `attach` takes the one that runs. 0 or an exit code. */
int launch_start (struct launch *self, bool attach);
/* Waits until status says that every replica is alive; prints what the supervisor says. Until *stop becomes non-zero.
 */
int launch_wait (struct launch *self, volatile sig_atomic_t *stop);
/* Prints the supervisor's lines that are there. False when it has ended. */
bool launch_report (struct launch *self, FILE *out, const char *prefix);
/* Sends SIGTERM to the supervisor and waits for its end, showing what it logs; another `*stop` hurries it. False when
 * it has not ended in time. */
bool launch_stop (const struct workspace *workspace, volatile sig_atomic_t *stop, FILE *out);
/* SIGINT and SIGTERM are counted in *stop from now on. */
void launch_catch_signals (volatile sig_atomic_t **stop);

#endif
