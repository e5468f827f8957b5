/* fuzz_model.c - the encoder's model (.npz), with its checksums mended, for patches of one point and two dimensions. */
#include <math.h>
#include <stdlib.h>

#include "../../services/patch/patch_encode.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct strata_error error = { "" };
    float density[GRIDSIM_LIPIDS], z[2];
    for (int i = 0; i < GRIDSIM_LIPIDS; i++)
        density[i] = 0.1f * (float)i;
    struct patch patch = { .coarse = 1, .points = 1, .concentrations = density };
    uint8_t *mended = fuzz_zip_mend (data, size);
    struct patch_encoder *encoder = patch_encoder_new ("pca", fuzz_file ("model.npz", mended, size), 1, 2, &error);
    fuzz_require_sentence (encoder ? 0 : -1, &error);
    free (mended);
    if (!encoder)
        return 0;
    FUZZ_REQUIRE (patch_encoder_dimensions (encoder) == 2);
    int rc = patch_encode (encoder, &(const struct patch *){ &patch }, 1, z, &error);
    fuzz_require_sentence (rc, &error);
    FUZZ_REQUIRE (rc < 0 || (isfinite (z[0]) && isfinite (z[1])));
    patch_encoder_free (&encoder);
    return 0;
}
