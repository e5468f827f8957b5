/* placing.h - which proteins stand in the region, and where. */
#ifndef CREATESIM_PLACING_H
#define CREATESIM_PLACING_H

#include "patch.h"
#include "protein.h"
#include "random.h"

/* Builds the region's proteins (*proteins, *nproteins, malloc'ed; centre protein first) and their anchors' places
 * (*anchors, malloc'ed, nm from the region's centre). Proteins that overlap seen from above are pushed apart,
 * periodically. Fails when they don't fit, or with a RAF whose RAS is not in the patch. */
int createsim_placing_proteins (const struct createsim_patch *patch, const struct forcefield *forcefield,
                                double edge_nm, struct createsim_random *random, struct createsim_protein **proteins,
                                size_t *nproteins, double (**anchors)[2], struct strata_error *error);

#endif
