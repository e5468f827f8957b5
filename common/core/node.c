/* node.c - see node.h */
#include "core/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void node_name (char *name, size_t size)
{
    const char *given = getenv ("STRATA_NODE");
    snprintf (name, size, "%s", given && given[0] ? given : "node");
    if (!given || !given[0])
        gethostname (name, size - 1);
}
