/* spread.c - see spread.h */
#include "spread.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/node.h"
#include "mesh/cards.h"

#define LOOK_US 1000000

static int64_t now_us (void)
{
    struct timespec ts;
    clock_gettime (CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static size_t serving (const struct spread *self)
{
    return self->nodes.count < NODES_SERVING ? self->nodes.count : NODES_SERVING;
}

static void look_who_is_up (struct spread *self)
{
    for (size_t i = 0; i < serving (self); i++)
        self->up[i] = i == self->mine || nodes_is_up (self->workspace, self->nodes.names[i]);
    self->looked_us = now_us ();
}

int spread_init (struct spread *self, const char *workspace, struct strata_error *error)
{
    *self = (struct spread){ .workspace = workspace };
    node_name (self->node, sizeof (self->node));
    if (nodes_read (workspace, &self->nodes, error) < 0)
        return -1;
    int number = nodes_find (&self->nodes, self->node);
    if (number < 0)
        return strata_fail (error, "node %s is not in %s/nodes.json", self->node, workspace);
    self->mine = (size_t)number;
    look_who_is_up (self);
    return 0;
}

void spread_fini (struct spread *self)
{
    nodes_fini (&self->nodes);
}

bool spread_look (struct spread *self)
{
    struct nodes nodes;
    struct strata_error error;
    if (now_us () - self->looked_us < LOOK_US)
        return false;
    /* One that can't be read changes nothing. */
    if (nodes_read (self->workspace, &nodes, &error) == 0) {
        int number = nodes_find (&nodes, self->node);
        if (number >= 0) {
            nodes_fini (&self->nodes);
            self->nodes = nodes;
            self->mine = (size_t)number;
        } else
            nodes_fini (&nodes);
    }
    look_who_is_up (self);
    return true;
}

bool spread_alone (const struct spread *self)
{
    return self->nodes.count < 2;
}

bool spread_owns (const struct spread *self, unsigned number)
{
    return nodes_own (self->up, self->nodes.count, self->mine, number);
}

bool spread_others_live (const struct spread *self)
{
    for (size_t i = 0; i < self->nodes.count; i++)
        if (i != self->mine && nodes_is_up (self->workspace, self->nodes.names[i]))
            return true;
    return false;
}

bool spread_runs_elsewhere (const struct spread *self, const char *const *services, size_t count)
{
    struct card *cards;
    bool found = false;
    size_t n = cards_read (self->workspace, &cards);
    for (size_t i = 0; i < n && !found; i++)
        for (size_t k = 0; k < count && !found; k++)
            found = strcmp (cards[i].service, services[k]) == 0 && strcmp (cards[i].node, self->node) != 0
                    && card_is_held (self->workspace, cards[i].replica);
    free (cards);
    return found;
}
