/* supervisor.h - keeps the services of one node running, as children of one process.
 *
 *   nodes   among several nodes each runs the replicas whose numbers are its own, and those of nodes that don't live (spread.h);
 *           with `schedule.executor: nodes` also its launch agent
 *   start   stage, select, feedback, patch, schedule, status: as many replicas of each as are wanted (core/replicas.h)
 *   watch   a child that ends is started again after 0.1 s, doubling to 5 s; 10 s of life reset that. Ten deaths of one
 *           replica within 60 s are a crash loop: everything is ended and the supervisor fails, naming it
 *   fit     when another number is wanted: new ones are started under the lowest free numbers; those that stand by, then
 *           those with the highest number are asked to go. When one is to be started anew it is asked to end, and starts
 *           again. SIGUSR1 asks: finish what is in work, leave the campaign's jobs alone. SIGKILL after 60 s
 *   stop    on SIGTERM or SIGINT: schedule first, which stops its jobs so that they can go on later (up to 60 s), then
 *           the launch agents, patch, select, feedback, status, and stage last: on all nodes in this order, when it is the
 *           campaign that goes down (the first node's signal, or `strata down`). Another node's signal means that it leaves. Each gets SIGTERM, and SIGKILL after its limit. A second
 *           signal hurries
 *
 * When the supervisor itself is killed its children get SIGKILL from the kernel (PR_SET_PDEATHSIG). That is a crash
 * like any other to them: their stores lose nothing, jobs go on under their shepherds, and the next `strata up` takes
 * all of it over at once, without waiting for half a mesh to drain without the other half.
 */
#ifndef STRATA_SUPERVISOR_H
#define STRATA_SUPERVISOR_H

#include <stddef.h>
#include <sys/types.h>

#include "core/campaign.h"
#include "core/replicas.h"
#include "workspace.h"

/* Names of all replicas that are wanted, in the order they are started; at most max. Returns how many. */
size_t supervisor_plan (const struct replicas *wanted, char (*names)[64], size_t max);
/* Folder of the programs: this one's. */
int supervisor_bin_dir (char *dir, size_t size, struct strata_error *error);
/* Whether every program is there. */
int supervisor_check (struct strata_error *error);

/* What makes this process the supervisor of its node, as long as the descriptors are open. */
struct supervisor_locks {
    int up;     /* of the first node: the campaign goes down with it; -1 for one that joined */
    int node;
};
/* Puts the node on the campaign's list. *holder: the pid that holds up.lock, when that is why it failed. */
int supervisor_lock (const struct workspace *workspace, bool first, struct supervisor_locks *locks, pid_t *holder,
                     struct strata_error *error);
void supervisor_unlock (struct supervisor_locks *locks);
/* Of its log: "supervisor", or "supervisor-<node>" of one that joined. */
void supervisor_log_name (bool first, char *name, size_t size);

/* Runs until a signal ends it: 0, or 1 after a crash loop. What happens is written to log/supervisor.log, and as lines
 * to `report_fd` (-1: none; never waited for). */
int supervisor_run (const struct campaign *campaign, const struct workspace *workspace, const struct supervisor_locks *locks,
                    int report_fd);
/* The same in a process of its own session, which outlives this one. *report_fd: its lines; at its end, end of file.
 * Takes over the locks. */
int supervisor_spawn (const struct campaign *campaign, const struct workspace *workspace, struct supervisor_locks *locks,
                      int *report_fd, struct strata_error *error);

#endif
