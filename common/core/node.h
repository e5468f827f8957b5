/* node.h - what this node is called: STRATA_NODE, or the host's name. */
#ifndef STRATA_CORE_NODE_H
#define STRATA_CORE_NODE_H

#include <stddef.h>

void node_name (char *name, size_t size);

#endif
