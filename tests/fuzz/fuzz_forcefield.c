/* fuzz_forcefield.c - createsim's force field tables, and a protein built from them.
 *
 * Input: nonbonded.dat, geometry.dat, residues.dat, proteins.dat and CHOL.itp as parts; a part of less than two bytes
 * stands for the real file, so that one table can be changed while the others hold.
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../apps/membrane/createsim/patch.h"
#include "../../apps/membrane/createsim/protein.h"
#include "fuzz.h"

#define TABLES 5
#define FILE_MAX 16384

static const char source[] = "apps/membrane/createsim/forcefield";
static const char *const tables[TABLES] = { "nonbonded.dat", "geometry.dat", "residues.dat", "proteins.dat",
                                            "CHOL.itp" };

static void copy (const char *name)
{
    char path[256], to[64], bytes[FILE_MAX];
    snprintf (path, sizeof (path), "%s/%s", source, name);
    FILE *f = fopen (path, "rb");
    if (!f)
        fuzz_broken (__FILE__, __LINE__, "the force field is below the current folder", path);
    size_t size = fread (bytes, 1, sizeof (bytes), f);
    fclose (f);
    snprintf (to, sizeof (to), "ff/%s", name);
    fuzz_file (to, bytes, size);
}

static void use (const struct forcefield *ff)
{
    struct strata_error error = { "" };
    struct createsim_protein protein;
    for (int kind = 0; kind < 4; kind++) {
        int rc = createsim_protein_build (ff, kind & 1, kind >> 1, 0.5, &protein, &error);
        fuzz_require_sentence (rc, &error);
        if (rc < 0)
            continue;
        FUZZ_REQUIRE (protein.anchor < protein.nbeads);
        for (size_t i = 0; i < protein.nbonds; i++)
            FUZZ_REQUIRE (protein.bonds[i].a < protein.nbeads && protein.bonds[i].b < protein.nbeads);
        createsim_protein_fini (&protein);
    }
    FUZZ_REQUIRE (forcefield_write_nonbonded (ff, fuzz_path ("martini.itp"), &error) == 0);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    static bool copied, real[TABLES]; /* which tables are now the real ones */
    struct strata_error error = { "" };
    struct fuzz_part parts[TABLES];
    char name[64];
    for (size_t k = 0; !copied && k < CREATESIM_LIPIDS; k++) {
        snprintf (name, sizeof (name), "%s.itp", createsim_lipid_names[k]);
        copy (name);
    }
    copied = true;
    fuzz_split (data, size, parts, TABLES);
    for (size_t i = 0; i < TABLES; i++) {
        snprintf (name, sizeof (name), "ff/%s", tables[i]);
        if (parts[i].size >= 2)
            fuzz_file (name, parts[i].data, parts[i].size);
        else if (!real[i])
            copy (tables[i]);
        real[i] = parts[i].size < 2;
    }
    struct forcefield *ff = forcefield_read (fuzz_path ("ff"), &error);
    fuzz_require_sentence (ff ? 0 : -1, &error);
    if (ff)
        use (ff);
    forcefield_free (&ff);
    return 0;
}
