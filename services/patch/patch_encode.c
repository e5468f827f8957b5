/* patch_encode.c - see patch_encode.h */
#include "patch_encode.h"

#include <dlfcn.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "encoder_kind.h"

_Static_assert (PATCH_ENCODER_LIPIDS == GRIDSIM_LIPIDS, "a plug-in takes patches as they are cut");

struct patch_encoder {
    const struct patch_encoder_kind *kind;
    void *model;
    size_t coarse, dimensions;
};

/* <programs>/../lib/strata/encoder-<kind>.so: `make` and `make install` both put it there. */
static int plugin_path (const char *kind, char *path, size_t size, struct strata_error *error)
{
    char program[4096];
    ssize_t n = readlink ("/proc/self/exe", program, sizeof (program) - 1);
    if (n < 0)
        return strata_fail (error, "/proc/self/exe: %s", strerror (errno));
    program[n] = '\0';
    for (int i = 0; i < 2; i++) {
        char *slash = strrchr (program, '/');
        if (slash)
            *slash = '\0';
    }
    if ((size_t)snprintf (path, size, "%s/lib/strata/encoder-%s.so", program, kind) >= size)
        return strata_fail (error, "the path of the encoder %s is longer than %zu bytes", kind, size - 1);
    return 0;
}

/* Never unloaded: libraries such as libtorch leave threads and handlers behind that call into them. */
static const struct patch_encoder_kind *load_plugin (const char *name, struct strata_error *error)
{
    char path[8192];
    if (plugin_path (name, path, sizeof (path), error) != 0)
        return NULL;
    if (access (path, F_OK) != 0) {
        strata_fail (error,
                     "patch.encoder.kind: %s needs %s: %s; for `network` install libtorch-dev and build anew (make deps all), "
                     "or name another kind",
                     name,
                     path,
                     strerror (errno));
        return NULL;
    }
    void *library = dlopen (path, RTLD_NOW | RTLD_LOCAL);
    const struct patch_encoder_kind *kind = library ? dlsym (library, PATCH_ENCODER_SYMBOL) : NULL;
    if (!kind) {
        const char *why = dlerror ();
        strata_fail (error, "patch.encoder.kind: %s can't be loaded: %s", name, why ? why : path);
        return NULL;
    }
    if (kind->version != PATCH_ENCODER_VERSION || strcmp (kind->name, name) != 0) {
        strata_fail (error,
                     "patch.encoder.kind: %s is version %u of `%s`, this program needs version %d of `%s`; build both anew",
                     path,
                     kind->version,
                     kind->name,
                     PATCH_ENCODER_VERSION,
                     name);
        return NULL;
    }
    return kind;
}

struct patch_encoder *patch_encoder_new (const char *kind, const char *path, size_t coarse, size_t dimensions,
                                         struct strata_error *error)
{
    if (coarse == 0 || coarse > PATCH_POINTS_MAX || dimensions == 0 || dimensions > PATCH_DIMENSIONS_MAX) {
        strata_fail (error,
                     "%s: an encoder of %zu dimensions for patches of %zu x %zu; dimensions are 1 to %d",
                     path,
                     dimensions,
                     coarse,
                     coarse,
                     PATCH_DIMENSIONS_MAX);
        return NULL;
    }
    const struct patch_encoder_kind *table = strcmp (kind, "pca") == 0 ? &patch_encoder_pca : load_plugin (kind, error);
    if (!table)
        return NULL;
    struct patch_encoder *self = calloc (1, sizeof (*self));
    if (!self) {
        strata_fail (error, "%s: out of memory", path);
        return NULL;
    }
    *self = (struct patch_encoder){ .kind = table, .coarse = coarse, .dimensions = dimensions };
    self->model = table->open (path, coarse, dimensions, error);
    if (!self->model)
        patch_encoder_free (&self);
    return self;
}

void patch_encoder_free (struct patch_encoder **self)
{
    if (!self || !*self)
        return;
    (*self)->kind->close ((*self)->model);
    free (*self);
    *self = NULL;
}

size_t patch_encoder_dimensions (const struct patch_encoder *self)
{
    return self->dimensions;
}

static int check_size (const struct patch_encoder *self, const struct patch *patch, struct strata_error *error)
{
    if (patch->coarse == self->coarse)
        return 0;
    return strata_fail (error,
                        "patch %s is %zu x %zu x %d, the encoder's model is for %zu x %zu x %d",
                        patch->id,
                        patch->coarse,
                        patch->coarse,
                        GRIDSIM_LIPIDS,
                        self->coarse,
                        self->coarse,
                        GRIDSIM_LIPIDS);
}

int patch_encode (const struct patch_encoder *self, const struct patch *const *patches, size_t count, float *z,
                  struct strata_error *error)
{
    const float **concentrations = malloc ((count ? count : 1) * sizeof (*concentrations));
    int rc = concentrations ? 0 : strata_fail (error, "%zu patches can't be encoded: out of memory", count);
    for (size_t p = 0; rc == 0 && p < count; p++) {
        rc = check_size (self, patches[p], error);
        concentrations[p] = patches[p]->concentrations;
    }
    if (rc == 0)
        rc = self->kind->encode (self->model, concentrations, count, z, error);
    for (size_t i = 0; rc == 0 && i < count * self->dimensions; i++)
        if (!isfinite (z[i]))
            rc = strata_fail (error,
                              "patch %s: its component %zu is %g, no float32 of use; check its densities",
                              patches[i / self->dimensions]->id,
                              i % self->dimensions,
                              isnan (z[i]) ? (double)NAN : (double)z[i]); /* whatever its sign */
    free (concentrations);
    return rc;
}
