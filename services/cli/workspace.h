/* workspace.h - the campaign's folder as the command line sees it: whose it is, who supervises it. See
 * docs/workspace.md. */
#ifndef STRATA_CLI_WORKSPACE_H
#define STRATA_CLI_WORKSPACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/campaign.h"
#include "strata_error.h"

#define WORKSPACE_FORMAT 1

struct workspace {
    char path[4096]; /* absolute */
    char campaign[256];
    char file[4096]; /* absolute path of the campaign file it was made from */
    uint32_t fingerprint;
};

/* Makes the workspace of a campaign (dir NULL: where its file says), or takes one that was made for the same file.
 * Another campaign's workspace, or one made from a file of other text, is refused: what stands in its stores belongs to
 * that text. */
int workspace_make (const struct campaign *campaign, const char *dir, struct workspace *self,
                    struct strata_error *error);
/* The one that `given` names; else that of $STRATA_WORKSPACE; else the newest of ./run/<name>/workspace.json. */
int workspace_find (const char *given, struct workspace *self, struct strata_error *error);
/* The campaign that the workspace was made from, as it was: refused when the file has changed since. */
struct campaign *workspace_campaign (const struct workspace *self, struct strata_error *error);

/* Becomes the supervisor: an open descriptor that holds <workspace>/up.lock as long as it is open, -1 on failure, with
 * *holder the pid that holds it (0: another failure). */
int workspace_lock (const struct workspace *self, pid_t *holder, struct strata_error *error);
void workspace_lock_sign (int fd, pid_t pid);
/* Whether `pid` is a process of this machine whose name begins with `name`, and not one that only waits to be reaped. */
bool workspace_runs (long pid, const char *name);
/* Whether a process that has a card runs, on whichever node. */
bool workspace_is_live (const struct workspace *self);
/* How many jobs run on this node, up or not: a shepherd outlives the services. */
size_t workspace_shepherds (const struct workspace *self);
/* The pid of the first node's supervisor, or of another node's that lives; 0: the campaign is up on no node. */
pid_t workspace_supervisor (const struct workspace *self);
/* Asks all supervisors to end: the first node's by SIGTERM when it is this node, else by the file `down`. */
int workspace_stop (const struct workspace *self, struct strata_error *error);

#endif
