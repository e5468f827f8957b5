/* encoder_pca.c - the encoder `pca`: principal components.
 *
 * A model is an .npz archive: mean[D], components[d][D] and, if the features were standardised, scale[D], each f4 or f8,
 * with D = coarse * coarse * 14. A patch's concentrations x (y, x, lipid; flat) become
 *     z[k] = sum over i of components[k][i] * (x[i] - mean[i]) / scale[i]
 * summed in double in the order of i: the same patch gives the same floats, whatever the number of threads.
 * scripts/train_pca.py makes models.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "encoder_kind.h"
#include "patch_encode.h"
#include "strata_npz.h"

/* Four sums of components side by side. */
typedef double quad __attribute__ ((vector_size (32)));

struct pca {
    size_t features, dimensions, quads; /* quads: of the dimensions, the last filled up with zeros */
    double *mean;                       /* [features] */
    quad *components;                   /* [features][quads], each already divided by its feature's scale */
};

#define TOGETHER 4 /* patches for which a component is read once */

/* Member `name` of kind f4 or f8 in shape [rows][features], or [features] when rows is 0. */
static const struct npy *get_member (struct npz *model, const char *name, size_t rows, size_t features,
                                     struct strata_error *error)
{
    const struct npy *any = npz_get (model, name, error);
    if (!any)
        return NULL;
    size_t shape[2] = { rows, features };
    return npz_get_shaped (model, name, any->kind == NPY_F4 ? NPY_F4 : NPY_F8, rows ? 2 : 1, rows ? shape : shape + 1, error);
}

static double number_at (const struct npy *array, size_t i)
{
    return array->kind == NPY_F4 ? (double)((const float *)array->data)[i] : ((const double *)array->data)[i];
}

static int fill (struct pca *self, const struct npy *mean, const struct npy *components, const struct npy *scale,
                 struct strata_error *error)
{
    for (size_t i = 0; i < self->features; i++) {
        double s = scale ? number_at (scale, i) : 1;
        self->mean[i] = number_at (mean, i);
        if (!isfinite (self->mean[i]))
            return strata_fail (error, "mean[%zu] is not finite; train the model anew", i);
        if (!isfinite (s) || s <= 0)
            return strata_fail (error, "scale[%zu] is %g, it has to be above 0; train the model anew", i, s);
        for (size_t k = 0; k < self->dimensions; k++) {
            double c = number_at (components, k * self->features + i);
            if (!isfinite (c / s))
                return strata_fail (error, "components[%zu][%zu] is not finite; train the model anew", k, i);
            self->components[i * self->quads + k / 4][k % 4] = c / s;
        }
    }
    return 0;
}

static void pca_close (void *model)
{
    struct pca *self = model;
    if (!self)
        return;
    free (self->mean);
    free (self->components);
    free (self);
}

static void *pca_open (const char *path, size_t coarse, size_t dimensions, struct strata_error *error)
{
    struct pca *self = NULL;
    const struct npy *scale = NULL;
    size_t features = coarse * coarse * PATCH_ENCODER_LIPIDS;
    int rc = -1;
    struct npz *model = npz_open_file (path, error);
    if (!model)
        return NULL;
    const struct npy *mean = get_member (model, "mean", 0, features, error);
    const struct npy *components = mean ? get_member (model, "components", dimensions, features, error) : NULL;
    if (!components || (npz_has (model, "scale") && !(scale = get_member (model, "scale", 0, features, error))))
        goto done;
    self = calloc (1, sizeof (*self));
    if (self) {
        self->features = features;
        self->dimensions = dimensions;
        self->mean = malloc (features * sizeof (double));
        self->quads = (dimensions + 3) / 4;
        self->components = aligned_alloc (sizeof (quad), features * self->quads * sizeof (quad));
        if (self->components)
            memset (self->components, 0, features * self->quads * sizeof (quad));
    }
    if (!self || !self->mean || !self->components)
        strata_fail (error, "%s: out of memory", path);
    else if (fill (self, mean, components, scale, error) != 0)
        strata_fail_prefix (error, "%s", path);
    else
        rc = 0;
done:
    npz_close (&model);
    if (rc != 0) {
        pca_close (self);
        self = NULL;
    }
    return self;
}

/* Of `count` patches; each of their sums in the order of the features, so that the number of patches taken together changes none. */
static inline __attribute__ ((always_inline)) void encode_some (const struct pca *self, const float *const *patches, size_t count,
                                                                size_t quads, float *z)
{
    quad sums[TOGETHER][PATCH_DIMENSIONS_MAX / 4] = { 0 };
    for (size_t i = 0; i < self->features; i++) {
        const quad *row = self->components + i * quads;
        for (size_t p = 0; p < count; p++) {
            double x = (double)patches[p][i] - self->mean[i];
            for (size_t q = 0; q < quads; q++)
                sums[p][q] += row[q] * x;
        }
    }
    for (size_t p = 0; p < count; p++)
        for (size_t k = 0; k < self->dimensions; k++)
            z[p * self->dimensions + k] = (float)sums[p][k / 4][k % 4];
}

/* Without fused multiply and add: the same floats on every machine. */
__attribute__ ((target_clones ("avx2", "default"))) static void encode_block (const struct pca *self, const float *const *patches,
                                                                               size_t count, float *z)
{
    if (count == TOGETHER && self->quads == 3) /* 9 numbers: the sums stay in registers */
        encode_some (self, patches, TOGETHER, 3, z);
    else
        encode_some (self, patches, count, self->quads, z);
}

static int pca_encode (void *model, const float *const *patches, size_t count, float *z, struct strata_error *error)
{
    const struct pca *self = model;
    (void)error; /* nothing here can fail */
#pragma omp parallel for schedule(dynamic, 4) if (count > 4 * TOGETHER)
    for (size_t p = 0; p < count; p += TOGETHER)
        encode_block (self, patches + p, count - p < TOGETHER ? count - p : TOGETHER, z + p * self->dimensions);
    return 0;
}

const struct patch_encoder_kind patch_encoder_pca = {
    .version = PATCH_ENCODER_VERSION,
    .name = "pca",
    .open = pca_open,
    .encode = pca_encode,
    .close = pca_close,
};
