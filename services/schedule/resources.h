/* resources.h - what of a machine is free, and the first nodes where a job fits: first match, lowest number first.
 *
 * The one idea: the job types are known beforehand. Each request that can be made has a bit for each node, which says whether
 * it fits there now, under a tree of words of 64 (the first node that fits is found in a step for each level). A change of a
 * node looks at that node's bits alone. So the cost of a placement depends neither on the machine's size nor on what runs.
 *
 * A request is made of parts that are bound to cores of their own (a simulation and its analysis are one job). `near` and
 * `share` say where the cores should sit: on the chosen node they are obeyed where they can be, and no GPU stays idle because
 * they can't. A request without GPUs leaves to each free GPU the cores that those who use GPUs need (where it fits at all
 * with that): otherwise set-up jobs would fill a node's cores and its GPUs would wait for them.
 *
 * Pure: no clock, no store; the same calls give the same bindings.
 */
#ifndef SCHEDULE_RESOURCES_H
#define SCHEDULE_RESOURCES_H

#include <stdbool.h>

#include "machine.h"

#define RESOURCES_PARTS_MAX 4

/* Cores and GPUs on each of a job's nodes. */
struct resources_part {
    unsigned cores, gpus;
    bool near_gpu;                      /* cores in the socket of the job's GPUs */
    int share;                          /* enum machine_level: cores that have it in common; MACHINE_LEVELS: any */
};

struct resources_request {
    unsigned nodes;                     /* at least 1 */
    struct resources_part parts[RESOURCES_PARTS_MAX];
    size_t parts_count;
    uint64_t memory_mb;                 /* on each node; 0: not asked for */
};

/* What a job holds. cores: the nodes' own numbers of them, node after node, part after part; gpus alike. */
struct resources_binding {
    uint32_t *nodes, *cores, *gpus;
    size_t nodes_count, cores_count, gpus_count;
};

enum resources_node_state {
    RESOURCES_UP,
    RESOURCES_DRAINED,                  /* what runs there goes on; nothing new comes */
    RESOURCES_LOST,                     /* nothing runs there */
};

struct resources;

/* All is free. NULL: no memory. Both arrays are copied; the machine must outlive it. */
struct resources *resources_new (const struct machine *machine, const struct resources_request *requests, size_t count);
void resources_free (struct resources **self);

/* Cores and GPUs of a request on one node. */
unsigned resources_cores (const struct resources_request *request);
unsigned resources_gpus (const struct resources_request *request);

/* Whether request i fits on the empty machine, and whether it fits now. */
bool resources_possible (const struct resources *self, size_t i);
bool resources_fits (const struct resources *self, size_t i);
/* Whether it takes no core that a free GPU's job would need. */
bool resources_leaves_gpus_theirs (const struct resources *self, size_t i);
/* Takes the first nodes where request i fits. The binding's arrays are the caller's, with room for nodes, nodes * cores and
 * nodes * gpus numbers. False: it does not fit, and nothing was changed. */
bool resources_take (struct resources *self, size_t i, struct resources_binding *binding);
/* Takes what a job of request i holds by an earlier take. What is not there any more, or is held already, is left out. */
void resources_hold (struct resources *self, size_t i, const struct resources_binding *binding);
/* Gives back what hold or take took. */
void resources_release (struct resources *self, size_t i, const struct resources_binding *binding);

/* What keeps request i, which is possible, from its nodes now. */
enum resources_lacks {
    RESOURCES_LACKS_NOTHING,            /* it fits */
    RESOURCES_LACKS_NODES,              /* too many are drained or lost */
    RESOURCES_LACKS_GPUS,
    RESOURCES_LACKS_CORES,
    RESOURCES_LACKS_MEMORY,
    RESOURCES_LACKS_TOGETHER,           /* there is enough of each, and not on the same nodes */
};
struct resources_lack {
    enum resources_lacks what;
    size_t up, with_gpus, with_cores, with_memory;      /* nodes: not drained or lost; of them with enough of that free */
    bool kept;                          /* there would be cores enough, but they are kept for free GPUs */
};
/* Looks at all nodes: for who asks, not for a placement. */
void resources_lack (const struct resources *self, size_t i, struct resources_lack *lack);

/* -1: there is no such node. */
int resources_set_node (struct resources *self, size_t node, enum resources_node_state state);
enum resources_node_state resources_node (const struct resources *self, size_t node);

struct resources_figures {
    size_t nodes, nodes_drained, nodes_lost;
    uint64_t cores, cores_busy, gpus, gpus_busy;    /* of nodes that are not lost */
    uint64_t taken, misplaced;                      /* parts bound since the start; those whose near or share could not be kept */
};
void resources_figures (const struct resources *self, struct resources_figures *figures);

#endif
