/* spread.h - which replicas this node's supervisor runs, when the campaign has several nodes (core/nodes.h). */
#ifndef STRATA_CLI_SPREAD_H
#define STRATA_CLI_SPREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/nodes.h"

struct spread {
    const char *workspace;
    char node[NODE_NAME_MAX];
    struct nodes nodes;
    bool up[NODES_SERVING]; /* whose supervisors live; ours does */
    size_t mine;            /* our number */
    int64_t looked_us;
};

/* The node must be in the list. */
int spread_init (struct spread *self, const char *workspace, struct strata_error *error);
void spread_fini (struct spread *self);
/* Reads the list and who lives, once a second. True when it was looked at. */
bool spread_look (struct spread *self);
/* There is no other node. */
bool spread_alone (const struct spread *self);
/* Whether replica `number` of a service is ours to run. */
bool spread_owns (const struct spread *self, unsigned number);
/* Whether another node's supervisor lives. */
bool spread_others_live (const struct spread *self);
/* Whether a replica of one of `count` services runs on another node. */
bool spread_runs_elsewhere (const struct spread *self, const char *const *services, size_t count);

#endif
