/* select_rebuild.h - see select_rebuild.c and mesh/rebuild.h. */
#ifndef STRATA_SELECT_REBUILD_H
#define STRATA_SELECT_REBUILD_H

#include "mesh/rebuild.h"

int select_rebuild (struct rebuild *rebuild, struct strata_error *error);

#endif
