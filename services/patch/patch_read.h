/* patch_read.h - a snapshot folder to patches, at the size of the campaign: where the patches are is planned from the small
 * files, then the densities are read once, and only what lies in a patch is kept (about a third of 391.7 MB for 333).
 */
#ifndef PATCH_READ_H
#define PATCH_READ_H

#include "patch_cut.h"

/* index: the step that the snapshot has to be of; NULL: any. Refused as by gridsim_open and patch_plan_new, each sentence with the
 * path. errno tells a shortage of the machine (ENOMEM, EIO, EMFILE, ENFILE) from what is wrong with the snapshot. */
int patch_read (const char *path, size_t max_bytes, const uint64_t *index, const struct patch_params *params, struct patch_set *set,
                struct strata_error *error);

#endif
