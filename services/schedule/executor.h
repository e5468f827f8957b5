/* executor.h - what starts jobs: a table of functions, one file for each executor.
 *
 * An executor starts an attempt at most once, whatever happens: launch, poll and stop may be called again at any
 * time, also by a scheduler that was started anew and knows of the attempt only from its store (so there is no function
 * that recovers). What an executor must remember therefore stands outside of this process (local: in the job's folder,
 * see core/outcome.h).
 */
#ifndef SCHEDULE_EXECUTOR_H
#define SCHEDULE_EXECUTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/campaign.h"
#include "core/outcome.h"
#include "machine.h"
#include "strata_error.h"

/* Names an attempt. */
struct executor_ref {
    const char *id, *dir;
    uint32_t attempt;
};

struct executor_order {
    struct executor_ref ref;
    char **argv;                        /* ends with NULL */
    const char **environment;           /* "NAME=value", ends with NULL: over what this process has */
    unsigned walltime_s, grace_s, memory_mb, output_mb;
    const uint32_t *nodes, *cores, *gpus;   /* cores and gpus: the nodes' own numbers, node after node, as many on each */
    size_t nodes_count, cores_count, gpus_count;
    char **success;
    size_t success_count;
};

enum executor_state {
    EXECUTOR_NEVER,                     /* not started */
    EXECUTOR_SUBMITTED,                 /* on its way to an engine, or in its queue: starts by itself, or stop takes it back */
    EXECUTOR_RUNNING,
    EXECUTOR_ENDED,                     /* *outcome says how */
    EXECUTOR_LOST,                      /* started, gone, and left no word; nothing of it runs any more. *outcome: END_LOST, or END_NODE
                                         * when it is known that its node is lost */
};

struct executor_config {
    const char *workspace, *bin_dir;
    const struct campaign_schedule *settings;   /* NULL: all as when the campaign file says nothing */
    bool keeps;                         /* who opens it has on disk which attempts it launches before it does, and how they ended soon
                                         * after; and after a restart of the machine it counts those as lost of which it has no end */
};

struct executor_ops {
    const char *name;                   /* campaign file: schedule.executor */
    void *(*open) (const struct executor_config *config, struct strata_error *error);
    void (*close) (void **self);
    /* Adds what there is to an empty machine; nothing when it can't tell: then the campaign file's schedule.machine counts. The
     * numbers of nodes in orders are those of this machine. */
    int (*capacity) (void *self, struct machine *machine, struct strata_error *error);
    /* 0: started, or was already; *pid of who watches over it. 1: taken on, `changed` tells when there is something to poll.
     * -1: it can't be, and that counts as a failure. */
    int (*launch) (void *self, const struct executor_order *order, uint32_t *pid, struct strata_error *error);
    enum executor_state (*poll) (void *self, const struct executor_ref *ref, struct outcome *outcome);
    /* Asks for the end of a running attempt; poll tells when it is there. May be called again and again. */
    void (*stop) (void *self, const struct executor_ref *ref);
    /* Calls each (id, arg) for the jobs that may have started or ended since it was called last: only those are polled then, so
     * that a tick costs what happened in it, not what runs. -1: it can't tell this time, all are to be polled; so the first call
     * after open. NULL: never. */
    int (*changed) (void *self, void (*each) (const char *id, void *arg), void *arg);
    /* ---- of those that hand jobs to an engine; else NULL ---- */
    /* After the launches, polls and stops of a tick: talks to the engine. Never waits for it. */
    void (*turn) (void *self);
    /* What keeps the engine from taking jobs, as a sentence; NULL: nothing. Valid until the next turn. */
    const char *(*trouble) (void *self);
    /* ---- of those that see nodes come and go; else NULL ---- */
    /* True, and a node that has not answered for so long that it counts as lost, or that answers again; each is told once. What
     * was given to a lost node is forgotten. */
    bool (*moved) (void *self, size_t *node, bool *lost);
    /* There are nodes that `capacity` did not tell of: the service is to begin again with them. */
    bool (*outgrown) (void *self);
};

extern const struct executor_ops executor_local, executor_nodes, executor_slurm, executor_flux;

/* NULL when there is none of this name. */
const struct executor_ops *executor_find (const char *name);

#endif
