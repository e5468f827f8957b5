/* patch_encode.h - patches as points of a low-dimensional space in which distance means difference.
 *
 * What turns a patch into a point is a model, in the file that the campaign names, of one of two kinds:
 *     pca      principal components, from an .npz archive (encoder_pca.c; scripts/train_pca.py makes models)
 *     network  TorchScript, from a .pt archive (encoder_network.cpp; scripts/train_encoder.py makes models): a plug-in,
 *              encoder_kind.h says where it is; without it only campaigns that name it are refused
 * The same patch gives the same floats in each replica, whatever the number of threads and the patches beside it.
 * A model comes from the campaign's owner and is trusted: a TorchScript file may compute what it likes.
 */
#ifndef PATCH_ENCODE_H
#define PATCH_ENCODE_H

#include <stddef.h>

#include "patch_cut.h"
#include "strata_error.h"

#define PATCH_DIMENSIONS_MAX 64

struct patch_encoder;

/* kind: "pca" or "network". Refused, with the shape that is there and the one that is needed: a model that isn't for patches
 * of coarse x coarse x 14 and `dimensions` (1..64) numbers; also one with a NaN or infinite number or a scale that is not
 * above 0, and a kind whose plug-in is not there. */
struct patch_encoder *patch_encoder_new (const char *kind, const char *path, size_t coarse, size_t dimensions,
                                         struct strata_error *error);
void patch_encoder_free (struct patch_encoder **self);
size_t patch_encoder_dimensions (const struct patch_encoder *self);
/* z: [count][dimensions]. Refused, by the patch's id: a patch of another size than the encoder's, a point that is no finite
 * float32. May be called by several threads at once. */
int patch_encode (const struct patch_encoder *self, const struct patch *const *patches, size_t count, float *z,
                  struct strata_error *error);

#endif
