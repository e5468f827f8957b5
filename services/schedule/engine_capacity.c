/* engine_capacity.c - an engine's nodes as a machine: those that are alike stand together. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

struct node {
    char *name;
    unsigned cores, gpus;
    uint64_t memory_mb;
    size_t order;               /* of the answer */
};

struct nodes {
    struct node *list;
    size_t count, room;
    zhash_t *seen;
    bool failed;
};

static void add_node (void *arg, const char *name, unsigned cores, unsigned gpus, uint64_t memory_mb)
{
    struct nodes *self = arg;
    if (zhash_insert (self->seen, name, (void *)"") != 0)
        return;
    if (self->count == self->room) {
        size_t room = self->room ? self->room * 2 : 64;
        struct node *more = realloc (self->list, room * sizeof (*more));
        if (!more) {
            self->failed = true;
            return;
        }
        self->list = more;
        self->room = room;
    }
    struct node *node = &self->list[self->count];
    *node = (struct node){ strdup (name), cores, gpus, memory_mb, self->count };
    self->failed |= !node->name;
    self->count++;
}

static int by_shape (const void *a, const void *b)
{
    const struct node *one = a, *two = b;
    if (one->cores != two->cores)
        return one->cores < two->cores ? -1 : 1;
    if (one->gpus != two->gpus)
        return one->gpus < two->gpus ? -1 : 1;
    if (one->memory_mb != two->memory_mb)
        return one->memory_mb < two->memory_mb ? -1 : 1;
    return one->order < two->order ? -1 : 1;
}

static bool is_alike (const struct node *one, const struct node *two)
{
    return one->cores == two->cores && one->gpus == two->gpus && one->memory_mb == two->memory_mb;
}

static int add_groups (const struct nodes *nodes, struct machine *machine, struct strata_error *error)
{
    for (size_t first = 0, end; first < nodes->count; first = end) {
        for (end = first + 1; end < nodes->count && is_alike (&nodes->list[first], &nodes->list[end]);)
            end++;
        const struct node *shape = &nodes->list[first];
        struct machine_group *group = machine_add (machine, end - first, shape->cores, shape->gpus, shape->memory_mb, error);
        if (!group)
            return -1;
        if (!(group->names = calloc (group->nodes + 1, sizeof (char *))))
            return strata_fail (error, "out of memory");
        for (size_t i = first; i < end; i++) {
            group->names[i - first] = nodes->list[i].name;
            nodes->list[i].name = NULL;
        }
    }
    return 0;
}

int engine_read_nodes (const struct engine_table *table, const char *answer, struct machine *machine, struct strata_error *error)
{
    struct nodes nodes = { .seen = zhash_new () };
    char *text = strdup (answer), *rest = text;
    int rc = -1;
    for (char *line; nodes.seen && (line = strsep (&rest, "\n"));)
        if (line[0])
            table->node (line, add_node, &nodes);
    if (!text || !nodes.seen || nodes.failed)
        strata_fail (error, "out of memory");
    else {
        if (nodes.count)
            qsort (nodes.list, nodes.count, sizeof (*nodes.list), by_shape);
        rc = add_groups (&nodes, machine, error);
    }
    for (size_t i = 0; i < nodes.count; i++)
        free (nodes.list[i].name);
    free (nodes.list);
    free (text);
    zhash_destroy (&nodes.seen);
    return rc;
}
