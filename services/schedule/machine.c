/* machine.c - see machine.h */
#include "machine.h"

#include <errno.h>
#include <hwloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void group_fini (struct machine_group *group)
{
    for (size_t i = 0; group->names && i < group->nodes; i++)
        free (group->names[i]);
    for (int level = 0; level < MACHINE_LEVELS; level++)
        free (group->level[level]);
    free (group->names);
    free (group->ids);
    free (group->gpu_socket);
}

void machine_fini (struct machine *self)
{
    for (size_t i = 0; i < self->count; i++)
        group_fini (&self->groups[i]);
    free (self->groups);
    *self = (struct machine){ .count = 0 };
}

void machine_drop_last (struct machine *self)
{
    group_fini (&self->groups[--self->count]);
}

static int no_memory (struct strata_error *error)
{
    return strata_fail (error, "out of memory for the description of the machine");
}

struct machine_group *machine_add (struct machine *self, size_t nodes, unsigned cores, unsigned gpus, uint64_t memory_mb,
                                   struct strata_error *error)
{
    if (cores > MACHINE_CORES_MAX || gpus > MACHINE_GPUS_MAX) {
        strata_fail (error, "a node of %u cores and %u GPUs is more than this build knows: %u and %u", cores, gpus,
                     MACHINE_CORES_MAX, MACHINE_GPUS_MAX);
        return NULL;
    }
    struct machine_group *more = realloc (self->groups, (self->count + 1) * sizeof (*more));
    if (!more) {
        no_memory (error);
        return NULL;
    }
    self->groups = more;
    struct machine_group *group = &more[self->count];
    *group = (struct machine_group){ .nodes = nodes, .cores = cores, .gpus = gpus, .memory_mb = memory_mb };
    group->ids = calloc (cores + 1, sizeof (*group->ids));
    group->gpu_socket = calloc (gpus + 1, sizeof (*group->gpu_socket));
    bool ok = group->ids && group->gpu_socket;
    for (int level = 0; level < MACHINE_LEVELS; level++)
        ok = (group->level[level] = calloc (cores + 1, sizeof (uint16_t))) && ok;
    if (!ok) {
        group_fini (group);
        no_memory (error);
        return NULL;
    }
    for (unsigned i = 0; i < cores; i++) {
        group->ids[i] = i;
        group->level[MACHINE_L2][i] = group->level[MACHINE_L3][i] = (uint16_t)i;
    }
    self->count++;
    return group;
}

static unsigned sockets_of (const struct machine_group *group)
{
    unsigned sockets = 1;
    for (unsigned i = 0; i < group->cores; i++)
        if (group->level[MACHINE_SOCKET][i] >= sockets)
            sockets = group->level[MACHINE_SOCKET][i] + 1u;
    return sockets;
}

static void spread_gpus (struct machine_group *group)
{
    unsigned sockets = sockets_of (group);
    for (unsigned i = 0; i < group->gpus; i++)
        group->gpu_socket[i] = (uint16_t)((uint64_t)i * sockets / group->gpus);
}

/* The reserved cores are the first ones of each socket: the numbers of the others begin behind them. */
int machine_add_described (struct machine *self, const struct campaign_machine *described, struct strata_error *error)
{
    if (!described->nodes)
        return 0;
    unsigned usable = described->cores - described->reserved;
    struct machine_group *group = machine_add (self, described->nodes, described->sockets * usable,
                                               described->sockets * described->gpus, described->memory_mb, error);
    if (!group)
        return -1;
    for (unsigned i = 0; i < group->cores; i++) {
        unsigned socket = i / usable, in_socket = i % usable + described->reserved;
        unsigned l2s = (described->cores + described->l2 - 1) / described->l2;
        group->ids[i] = socket * described->cores + in_socket;
        group->level[MACHINE_L2][i] = (uint16_t)(socket * l2s + in_socket / described->l2);
        group->level[MACHINE_L3][i] = group->level[MACHINE_SOCKET][i] = (uint16_t)socket;
    }
    spread_gpus (group);
    return 0;
}

size_t machine_nodes (const struct machine *self)
{
    size_t nodes = 0;
    for (size_t i = 0; i < self->count; i++)
        nodes += self->groups[i].nodes;
    return nodes;
}

const struct machine_group *machine_group_of (const struct machine *self, size_t node, size_t *in_group)
{
    for (size_t i = 0; i < self->count; node -= self->groups[i++].nodes)
        if (node < self->groups[i].nodes) {
            *in_group = node;
            return &self->groups[i];
        }
    return NULL;
}

void machine_node (const struct machine *self, size_t node, char text[MACHINE_NODE_MAX])
{
    size_t in_group = 0;
    const struct machine_group *group = machine_group_of (self, node, &in_group);
    if (group && group->names && group->names[in_group])
        snprintf (text, MACHINE_NODE_MAX, "%s", group->names[in_group]);
    else
        snprintf (text, MACHINE_NODE_MAX, "%zu", node);
}

size_t machine_find_node (const struct machine *self, const char *text)
{
    size_t nodes = machine_nodes (self), in_group;
    char *end;
    for (size_t i = 0; i < nodes; i++) {
        const struct machine_group *group = machine_group_of (self, i, &in_group);
        if (group->names && strcmp (group->names[in_group], text) == 0)
            return i;
    }
    unsigned long long number = strtoull (text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && number < nodes ? (size_t)number : SIZE_MAX;
}

void machine_limit_cores (struct machine *self, size_t cores)
{
    for (size_t i = 0; i < self->count; i++) {
        struct machine_group *group = &self->groups[i];
        size_t whole = group->cores ? cores / group->cores : group->nodes;
        if (whole >= group->nodes) {
            cores -= group->nodes * group->cores;
            continue;
        }
        /* A part of a node is left of a machine of one node alone: elsewhere it is worth no group of its own. */
        if (whole == 0 && i == 0) {
            group->cores = (unsigned)cores;
            whole = 1;
        }
        for (size_t n = whole; group->names && n < group->nodes; n++)
            free (group->names[n]);
        group->nodes = whole;
        cores = 0;
    }
}

int machine_set_gpus (struct machine *self, unsigned gpus, struct strata_error *error)
{
    for (size_t i = 0; i < self->count; i++) {
        struct machine_group *group = &self->groups[i];
        uint16_t *sockets = gpus > MACHINE_GPUS_MAX ? NULL : realloc (group->gpu_socket, (gpus + 1) * sizeof (*sockets));
        if (!sockets)
            return strata_fail (error, "schedule.gpus: %u GPUs a node are more than this build knows: %u", gpus, MACHINE_GPUS_MAX);
        group->gpu_socket = sockets;
        group->gpus = gpus;
        spread_gpus (group);
    }
    return 0;
}

/* ---- hwloc ---- */

/* Which of the objects of a type a processor is of; its own number where there is none of that type. */
static uint16_t ancestor (hwloc_topology_t topology, hwloc_obj_t pu, hwloc_obj_type_t type, unsigned missing)
{
    hwloc_obj_t above = hwloc_get_ancestor_obj_by_type (topology, type, pu);
    return (uint16_t)(above ? above->logical_index : missing);
}

static int read_topology (struct machine *self, hwloc_topology_t topology, hwloc_bitmap_t allowed, struct strata_error *error)
{
    int n = hwloc_get_nbobjs_by_type (topology, HWLOC_OBJ_PU);
    struct machine_group *group = machine_add (self, 1, n > 0 ? (unsigned)n : 0, 0, 0, error);
    if (!group)
        return -1;
    group->cores = 0;
    for (int i = 0; i < n; i++) {
        hwloc_obj_t pu = hwloc_get_obj_by_type (topology, HWLOC_OBJ_PU, (unsigned)i);
        if (!pu || !hwloc_bitmap_isset (allowed, pu->os_index))
            continue;
        unsigned at = group->cores++;
        group->ids[at] = pu->os_index;
        group->level[MACHINE_L2][at] = ancestor (topology, pu, HWLOC_OBJ_L2CACHE, at);
        group->level[MACHINE_L3][at] = ancestor (topology, pu, HWLOC_OBJ_L3CACHE, at);
        group->level[MACHINE_SOCKET][at] = ancestor (topology, pu, HWLOC_OBJ_PACKAGE, 0);
    }
    return group->cores ? 0 : strata_fail (error, "hwloc finds no processor that this process may use");
}

int machine_discover (struct machine *self, struct strata_error *error)
{
    hwloc_topology_t topology;
    if (hwloc_topology_init (&topology) != 0)
        return strata_fail (error, "hwloc can't be used (%s)", strerror (errno));
    hwloc_bitmap_t allowed = hwloc_bitmap_alloc ();
    int rc;
    if (!allowed || hwloc_topology_load (topology) != 0
        || hwloc_get_cpubind (topology, allowed, HWLOC_CPUBIND_PROCESS) != 0)
        rc = strata_fail (error, "hwloc can't tell which processors there are (%s)", strerror (errno));
    else
        rc = read_topology (self, topology, allowed, error);
    hwloc_bitmap_free (allowed);
    hwloc_topology_destroy (topology);
    return rc;
}
