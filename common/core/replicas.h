/* replicas.h - how many processes of each service a campaign wants, and which one is to be started anew.
 *
 * The campaign file says how many there are at first; `strata scale` writes another number into
 * <workspace>/replicas.json, which wins from then on. `strata restart` asks there for one replica at a time. The
 * supervisor of a node looks at the file and does what it says:
 *
 *   { "format": 1,
 *     "nodes": { "*": { "patch": 4 } },                   a node's own entry wins over "*"
 *     "restart": { "replica": "select-0", "pid": 4711 } } done when that process is no more
 */
#ifndef STRATA_CORE_REPLICAS_H
#define STRATA_CORE_REPLICAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/campaign.h"
#include "strata_error.h"

#define REPLICAS_SERVICES 6
#define REPLICAS_MAX 64 /* of a service */

/* In the order they are started: each asks those before it. */
extern const char *const replicas_services[REPLICAS_SERVICES];
/* Where `name` stands among them; -1: there is no such service. */
int replicas_service (const char *name);
/* "patch" and 2 of "patch-2": which service; -1 when it is no replica's name. */
int replicas_parse (const char *replica, unsigned *number);

struct replicas {
    unsigned wanted[REPLICAS_SERVICES];
    bool scaled[REPLICAS_SERVICES]; /* the file says so, not the campaign */
    char restart[64]; /* a replica; "" when none is asked for */
    pid_t restart_pid;
};

/* What is wanted on this node. Without the file: the campaign's numbers, and 0. -1 when the file can't be read or is
 * not understood; *self is then the campaign's numbers. */
int replicas_read (const char *workspace, const struct campaign *campaign, struct replicas *self,
                   struct strata_error *error);
/* Writes one number, or one restart, by atomic rename; what else the file says stays. */
int replicas_want (const char *workspace, const char *service, unsigned count, struct strata_error *error);
int replicas_restart (const char *workspace, const char *replica, pid_t pid, struct strata_error *error);
/* A stage of that number has a store here, and has not handed everything over (claims/retired, mesh/claims.h): it must run. */
bool replicas_stage_unfinished (const char *workspace, unsigned number);
/* Held while scaling or restarting, so that one is at work: an open descriptor, -1 when another holds it. */
int replicas_lock (const char *workspace, struct strata_error *error);
/* Changes whenever the file does. */
struct replicas_stamp {
    int64_t mtime_ns, inode, size;
};
struct replicas_stamp replicas_stamp (const char *workspace);

#endif
