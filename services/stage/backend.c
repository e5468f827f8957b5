/* backend.c - the backends by name. */
#include <string.h>

#include "backend.h"

const struct backend_ops *backend_find (const char *name)
{
    static const struct backend_ops *const all[] = { &backend_file, &backend_rocksdb, &backend_tar, &backend_redis };
    for (size_t i = 0; i < sizeof (all) / sizeof (all[0]); i++)
        if (strcmp (all[i]->name, name) == 0)
            return all[i];
    return NULL;
}
