/* fuzz_patch.c - a patch archive as createsim takes it, and the membrane built from one that passes the checks. */
#include <math.h>
#include <stdlib.h>

#include "../../apps/membrane/createsim/system.h"
#include "fuzz.h"

#define EDGE_NM 7.0 /* the least for a RAS-RAF: small, so that many are built a second */

static void build (const struct createsim_patch *patch)
{
    static struct forcefield *ff;
    struct strata_error error = { "" };
    struct createsim_system system = { .natoms = 0 };
    struct createsim_options options = { .edge_nm = EDGE_NM, .salt_molar = 0.15, .antifreeze = 0.1, .seed = 1 };
    if (!ff && !(ff = forcefield_read ("apps/membrane/createsim/forcefield", &error)))
        fuzz_broken (__FILE__, __LINE__, "the force field is below the current folder", error.text);
    int rc = createsim_system_build (patch, ff, &options, &system, &error);
    fuzz_require_sentence (rc, &error);
    if (rc == 0) {
        FUZZ_REQUIRE (system.natoms > 0);
        for (size_t i = 0; i < system.natoms; i++)
            for (int d = 0; d < 3; d++)
                FUZZ_REQUIRE (isfinite (system.atoms[i].x[d]));
        createsim_system_fini (&system);
    }
}

static void take (const uint8_t *data, size_t size)
{
    struct strata_error error = { "" };
    struct createsim_patch patch;
    int rc = createsim_patch_parse (data, size, &patch, &error);
    fuzz_require_sentence (rc, &error);
    if (rc < 0)
        return;
    rc = createsim_patch_check (&patch, &error);
    fuzz_require_sentence (rc, &error);
    if (rc == 0)
        build (&patch);
    createsim_patch_fini (&patch);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    uint8_t *mended = fuzz_zip_mend (data, size);
    take (data, size);
    take (mended, size);
    free (mended);
    return 0;
}
