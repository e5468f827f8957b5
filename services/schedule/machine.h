/* machine.h - what there is to run jobs on: nodes with sockets, cores that share caches, GPUs near sockets, memory.
 *
 * Nodes of one shape stand together in a group; node numbers run through the groups. A description comes from an executor
 * (hwloc on this machine, an engine) or from the campaign file (schedule.machine). What of it is free: resources.h.
 */
#ifndef SCHEDULE_MACHINE_H
#define SCHEDULE_MACHINE_H

#include <stddef.h>
#include <stdint.h>

#include "core/campaign.h"
#include "strata_error.h"

#define MACHINE_CORES_MAX 1024          /* of a node */
#define MACHINE_GPUS_MAX 64             /* of a node: a word of bits */

/* What cores can have in common. */
enum machine_level { MACHINE_L2, MACHINE_L3, MACHINE_SOCKET, MACHINE_LEVELS };

/* Nodes that are alike. Arrays are ours. */
struct machine_group {
    size_t nodes;
    char **names;                       /* [nodes]: what the engine calls them; NULL: they have none */
    unsigned cores, gpus;
    uint64_t memory_mb;                 /* 0: not known, and not counted */
    uint32_t *ids;                      /* [cores]: the node's own numbers of the cores; neighbours next to each other */
    uint16_t *level[MACHINE_LEVELS];    /* [cores]: which L2, L3, socket each core is of, from 0 on */
    uint16_t *gpu_socket;               /* [gpus] */
};

struct machine {
    struct machine_group *groups;
    size_t count;
    int64_t end_us;                     /* when it is taken away (an allocation's end), since 1970; 0: not known */
};

/* A group of nodes more. Each core stands alone in its caches and all in socket 0 until the caller says more; NULL when there
 * are too many cores or GPUs on a node, or no memory. */
struct machine_group *machine_add (struct machine *self, size_t nodes, unsigned cores, unsigned gpus, uint64_t memory_mb,
                                   struct strata_error *error);
/* Takes the last group away again; there must be one. */
void machine_drop_last (struct machine *self);
/* As the campaign file describes it; nothing is added when it does not. */
int machine_add_described (struct machine *self, const struct campaign_machine *described, struct strata_error *error);
void machine_fini (struct machine *self);

size_t machine_nodes (const struct machine *self);
/* What a node is known by over restarts, when its number may be another one: its name, or its number where it has none. */
#define MACHINE_NODE_MAX 256
void machine_node (const struct machine *self, size_t node, char text[MACHINE_NODE_MAX]);
/* Its number, by its name or as a number; SIZE_MAX: there is none. */
size_t machine_find_node (const struct machine *self, const char *text);
/* The group that a node is of, and its number in it. NULL: there is no such node. */
const struct machine_group *machine_group_of (const struct machine *self, size_t node, size_t *in_group);
/* Takes cores from the last nodes on until at most so many are left. */
void machine_limit_cores (struct machine *self, size_t cores);
/* Sets how many GPUs each node has, spread evenly over its sockets. */
int machine_set_gpus (struct machine *self, unsigned gpus, struct strata_error *error);
/* This machine by hwloc: the processors that this process may run on are the cores of one node. */
int machine_discover (struct machine *self, struct strata_error *error);

#endif
