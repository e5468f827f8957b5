/* shepherd.h - sees one attempt of a job from its start to its end, and writes down how it ended. See README.md. */
#ifndef STRATA_SHEPHERD_H
#define STRATA_SHEPHERD_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/outcome.h"
#include "strata_error.h"

struct shepherd_options {
    const char *dir;            /* the job's folder */
    unsigned attempt;           /* 1 ... */
    unsigned walltime_s;        /* 0: none */
    unsigned grace_s;           /* from SIGTERM to SIGKILL */
    unsigned memory_mb;         /* of all its processes together; 0: no limit */
    unsigned output_mb;         /* of stdout and stderr together; 0: no limit */
    uint32_t *cores;            /* the kernel's numbers of the processors to bind to; none: not bound */
    size_t cores_count;
    const char **success;       /* files in dir that must be there and not empty after exit code 0 */
    size_t success_count;
    char **argv;                /* the command; ends with NULL */
    bool guard;                 /* run below a guard (guard.c) */
    unsigned starter;           /* pid of who starts us, if it keeps in a store of its own that the attempt began and how it ended:
                                 * while it lives nothing is synced here. 0: it does not */
    int lock_fd;                /* attempt-<n>/lock, open and locked by who starts us; -1: we open and lock it */
};

#define SHEPHERD_BUSY 75        /* exit code: this attempt runs, or has been run: it is never run twice */

/* Runs the attempt; returns when all its processes are gone and the outcome is on disk. 0, whatever the outcome. -1 and
 * nothing was started: errno EBUSY when the attempt runs or has been run. */
int shepherd_run (const struct shepherd_options *options, struct strata_error *error);

/* ---- cgroup.c ---- */
struct shepherd_cgroup {
    char path[4096];
    int dir;                    /* -1: there is none, and all that follows does nothing */
    bool limited;               /* the kernel keeps its memory within the limit */
};
/* memory_mb 0: no limit. Where no cgroup may be made the job has none. */
void shepherd_cgroup_make (struct shepherd_cgroup *self, unsigned memory_mb);
/* SIGKILL to all that is in it. */
void shepherd_cgroup_kill (const struct shepherd_cgroup *self);
/* Whether the kernel killed something in it for its limit. */
bool shepherd_cgroup_ran_out (const struct shepherd_cgroup *self);
/* When nothing runs in it any more. */
void shepherd_cgroup_remove (struct shepherd_cgroup *self);

/* ---- watch.c: the time between start and end ---- */
struct shepherd_watch {
    int child;                  /* pid of the command, a session of its own */
    int status;                 /* of waitpid */
    double max_rss_mb;
    Strata__JobEnd why;         /* what we ended it for: END_STOPPED, END_WALLTIME, END_MEMORY, END_OUTPUT; END_NONE: nothing */
    bool killed;                /* SIGTERM was not enough */
    double memory_mb;           /* in use when the limit was passed */
    const char *folder;         /* the attempt's, with stdout and stderr */
    double output_mb;           /* in them when the limit was passed */
    const struct shepherd_cgroup *cgroup;
    size_t left_over;           /* processes that outlived the command */
};
/* Blocks until the command and all its descendants are gone. Signals must be blocked (shepherd_watch_signals). */
void shepherd_watch (struct shepherd_watch *self, const struct shepherd_options *options);
/* Blocks what a shepherd waits for: SIGCHLD, SIGTERM, SIGINT and SIGHUP. */
void shepherd_watch_signals (void);
void shepherd_heard_signals (sigset_t *set);

/* ---- guard.c ---- */
/* Forks. 0 in the child, which goes on as the shepherd. 1 in the guard, when the shepherd and all below it are gone: exit with
 * *code. -1: it can't be (errno). */
int shepherd_guard (int *code);

/* ---- oom.c: whether the kernel's out-of-memory killer was at work here ---- */
/* Kills so far, of our cgroup if it counts them, else of this machine. */
uint64_t shepherd_oom_kills (void);

#endif
