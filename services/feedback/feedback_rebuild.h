/* feedback_rebuild.h - see feedback_rebuild.c and mesh/rebuild.h. */
#ifndef STRATA_FEEDBACK_REBUILD_H
#define STRATA_FEEDBACK_REBUILD_H

#include "mesh/rebuild.h"

int feedback_rebuild (struct rebuild *rebuild, struct strata_error *error);

#endif
