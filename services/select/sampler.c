/* sampler.c - the samplers there are. */
#include "sampler.h"

#include <string.h>

#include "binned.h"
#include "farthest_point.h"

const struct sampler_ops *sampler_find (const char *name)
{
    static const struct sampler_ops *const all[] = { &farthest_point_sampler, &binned_sampler, &random_sampler };
    for (size_t i = 0; i < sizeof (all) / sizeof (*all); i++)
        if (strcmp (all[i]->name, name) == 0)
            return all[i];
    return NULL;
}
