/* executor.c - the executors there are. */
#include "executor.h"

#include <string.h>

static const struct executor_ops *const all[] = { &executor_local, &executor_nodes, &executor_slurm, &executor_flux };

const struct executor_ops *executor_find (const char *name)
{
    for (size_t i = 0; i < sizeof (all) / sizeof (all[0]); i++)
        if (strcmp (all[i]->name, name) == 0)
            return all[i];
    return NULL;
}
