/* fetch.h - gets a candidate's patch from the stage of this node. */
#ifndef CREATESIM_FETCH_H
#define CREATESIM_FETCH_H

#include "patch.h"
#include "strata_error.h"

/* Object patches/<candidate>.npz -> *patch. -1 when the stage can't be reached, has no such object, or it is broken;
 * *broken is then 1 in the last case: trying again will not help. */
int createsim_fetch (const char *candidate, struct createsim_patch *patch, int *broken, struct strata_error *error);

#endif
