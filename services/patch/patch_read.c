/* patch_read.c - see patch_read.h */
#include "patch_read.h"

#include <errno.h>

static int cut_open (struct gridsim_file *file, struct gridsim *snapshot, const struct patch_params *params, struct patch_set *set,
                     struct strata_error *error)
{
    struct patch_plan *plan = patch_plan_new (snapshot, params, error);
    if (!plan)
        return -1;
    int rc = gridsim_read_density (file, snapshot, error);
    if (rc == 0)
        rc = patch_cut_planned (plan, set, error);
    int code = errno;
    patch_plan_free (&plan);
    errno = code;
    return rc;
}

int patch_read (const char *path, size_t max_bytes, const uint64_t *index, const struct patch_params *params, struct patch_set *set,
                struct strata_error *error)
{
    struct gridsim snapshot;
    int rc;
    errno = 0;
    struct gridsim_file *file = gridsim_open (path, max_bytes, &snapshot, error);
    if (!file)
        return -1;
    if (index && snapshot.loop != *index)
        rc = strata_fail (error,
                          "%s: its header says loop %llu, the queue says %llu: a mixed-up snapshot",
                          path,
                          (unsigned long long)snapshot.loop,
                          (unsigned long long)*index);
    else
        rc = cut_open (file, &snapshot, params, set, error);
    int code = errno;
    gridsim_fini (&snapshot);
    gridsim_close (&file);
    errno = code;
    return rc;
}
