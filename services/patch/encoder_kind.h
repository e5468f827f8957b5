/* encoder_kind.h - the table of functions behind a kind of patch encoder; also what a plug-in exports.
 *
 * Principal components are built in (encoder_pca.c). A kind that needs a large library is a shared object beside the
 * programs, <programs>/../lib/strata/encoder-<kind>.so, which patch_encode.c loads when the campaign file names the kind.
 * It exports the one symbol PATCH_ENCODER_SYMBOL, a struct patch_encoder_kind, calls nothing of the program, and lets no
 * exception out.
 */
#ifndef PATCH_ENCODER_KIND_H
#define PATCH_ENCODER_KIND_H

#include <stddef.h>

#include "strata_error.h"

#define PATCH_ENCODER_VERSION 1 /* raised whenever this file or struct strata_error changes */
#define PATCH_ENCODER_SYMBOL "strata_patch_encoder"
#define PATCH_ENCODER_LIPIDS 14

struct patch_encoder_kind {
    unsigned version; /* PATCH_ENCODER_VERSION */
    const char *name; /* as in the campaign file */
    /* A model from its file. NULL, with both shapes in *error: it is not for patches of coarse x coarse x 14 floats and
     * points of `dimensions` numbers; also when it is broken or holds numbers that are not finite. */
    void *(*open) (const char *path, size_t coarse, size_t dimensions, struct strata_error *error);
    /* z [count][dimensions] of `count` patches, each [coarse][coarse][14] (y, x, lipid), 1/nm^2. A patch's numbers depend on
     * the model and the patch alone: not on the others of the batch, the number of threads, or how often it was called. May
     * be called by several threads at once. -1: can't compute; the caller checks that the numbers are finite. */
    int (*encode) (void *model, const float *const *patches, size_t count, float *z, struct strata_error *error);
    void (*close) (void *model); /* NULL: does nothing */
};

extern const struct patch_encoder_kind patch_encoder_pca;

#endif
