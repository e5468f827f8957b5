/* patch_npz.h - a patch as the bytes of a numpy .npz archive: what goes into staging for the setup job to read.
 *
 * Members (none is pickled; C order; no protein gives arrays of length 0):
 *   id U, simulation U, configuration U, units U "nm, 1/nm^2, fs"      scalars
 *   snapshot i8, time_fs f8, edge_nm f8                                scalars
 *   concentrations f4 [coarse][coarse][14]  (y, x, lipid), 1/nm^2
 *   center f8 [2] nm in the snapshot
 *   ids u2 [n], states U [n], positions f8 [n][3] nm relative to the centre, complex_ids u2 [m][2] (RAS, RAF)
 */
#ifndef PATCH_NPZ_H
#define PATCH_NPZ_H

#include <stddef.h>

#include "patch_cut.h"
#include "strata_error.h"

/* Equal patches give equal bytes. *data is malloc'ed, the caller frees it. Refused: a protein id above 65,535, which the
 * format's uint16 can't hold. */
int patch_npz (const struct patch *patch, void **data, size_t *size, struct strata_error *error);

#endif
