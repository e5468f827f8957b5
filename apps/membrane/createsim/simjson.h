/* simjson.h - sim.json: what a finished simulation is. Written last, so its presence means that all else is there. */
#ifndef CREATESIM_SIMJSON_H
#define CREATESIM_SIMJSON_H

#include "patch.h"
#include "system.h"

/* attempt: 1, or 2 when the careful second one made it. */
int createsim_simjson_write (const char *dir, const struct createsim_patch *patch,
                             const struct createsim_system *system, const struct createsim_options *options,
                             unsigned attempt, const double box[3], struct strata_error *error);
/* Reads patch id and bead count back. */
int createsim_simjson_read (const char *dir, char *patch_id, size_t size, size_t *beads, struct strata_error *error);

#endif
