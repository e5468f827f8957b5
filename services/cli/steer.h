/* steer.h - what `scale` and `restart` share: one at a time changes the replicas of a campaign and watches in status.
 */
#ifndef STRATA_CLI_STEER_H
#define STRATA_CLI_STEER_H

#include <signal.h>
#include <stdbool.h>

#include "cli.h"

struct steer {
    const struct cli_args *args;
    struct workspace workspace;
    struct campaign *campaign;
    struct strata_client *client;
    volatile sig_atomic_t *stop; /* counts SIGINT and SIGTERM */
    bool up;                     /* a supervisor runs */
    int lock_fd;
    double started_s;
    char said[256]; /* the progress line that was printed last */
};

/* 0, or an exit code (said). Holds the workspace's lock until steer_fini. */
int steer_init (struct steer *self, const struct cli_args *args);
void steer_fini (struct steer *self);
double steer_seconds (const struct steer *self);

/* A line of progress, printed when it is another one than the last; not with --json. */
void steer_say (struct steer *self, const char *fmt, ...) __attribute__ ((format (printf, 2, 3)));

/* Asks status until `done` says so: 0; CLI_FAILED after timeout_s (or when the supervisor has ended), CLI_INTERRUPTED.
 * Nothing is printed. */
int steer_wait (struct steer *self, int timeout_s,
                bool (*done) (struct steer *self, const Strata__StatusReply *status, void *arg), void *arg);
const Strata__ServiceStatus *steer_service (const Strata__StatusReply *status, const char *service);

#endif
