/* patch_encode.h - patches as points of a low-dimensional space in which distance means difference: principal components.
 *
 * A model is an .npz archive: mean[D], components[d][D] and, if the features were standardised, scale[D], each f4 or f8,
 * with D = coarse * coarse * 14. A patch's concentrations x (y, x, lipid; flat) become
 *     z[k] = sum over i of components[k][i] * (x[i] - mean[i]) / scale[i]
 * summed in double in the order of i: the same patch gives the same floats, whatever the number of threads.
 * scripts/train_pca.py makes models.
 */
#ifndef PATCH_ENCODE_H
#define PATCH_ENCODE_H

#include <stddef.h>

#include "patch_cut.h"
#include "strata_error.h"

#define PATCH_DIMENSIONS_MAX 64

struct patch_encoder;

/* Refused, with the shape that is there and the one that is needed: a model that isn't for patches of coarse x coarse x 14
 * and `dimensions` (1..64) components; also one with a NaN or infinite number or a scale that is not above 0. */
struct patch_encoder *patch_encoder_new (const char *path, size_t coarse, size_t dimensions, struct strata_error *error);
void patch_encoder_free (struct patch_encoder **self);
size_t patch_encoder_dimensions (const struct patch_encoder *self);
/* z: [dimensions]. Refused: a patch of another size than the encoder's, a point that no float32 can hold. May be called
 * by several threads at once. */
int patch_encode (const struct patch_encoder *self, const struct patch *patch, float *z, struct strata_error *error);

#endif
