/* bench_mesh.h - a workspace under /tmp with the real stage in it, and services of the bench beside it. */
#ifndef STRATA_BENCH_MESH_H
#define STRATA_BENCH_MESH_H

#include <sched.h>
#include <sys/types.h>

#include "mesh/client.h"
#include "mesh/service.h"

struct bench_mesh {
    char workspace[64], campaign[96];
    pid_t stage;
    const struct service_spec *spec; /* run as the stage instead of the program, when not NULL */
    bool record;                     /* the stage's inputs, for strata replay */
};

/* Starts the stage on core `core` (-1: any); every stream of it holds queue_mb MiB. Ends the process when it can't. */
void bench_mesh_up (struct bench_mesh *self, unsigned queue_mb, int core);
/* Ends the stage and removes the workspace. Also at exit, when a bench fails. */
void bench_mesh_down (struct bench_mesh *self);
/* Kills the stage and starts it again. */
void bench_mesh_restart (struct bench_mesh *self, int core);
struct strata_client *bench_client (const struct bench_mesh *self);
/* Runs service_main of spec in a process of its own (bench_fork): it calls bench_ready when it is ready. */
pid_t bench_service (const struct bench_mesh *self, const struct service_spec *spec);
uint64_t bench_rss (pid_t pid); /* resident bytes */

#endif
