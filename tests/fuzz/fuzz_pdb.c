/* fuzz_pdb.c - a PDB file, and the secondary structure of whatever coordinates are in it. */
#include <stdlib.h>
#include <string.h>

#include "../../apps/membrane/dssp/pdb.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct strata_error error = { "" };
    struct pdb pdb;
    int rc = pdb_read (&pdb, fuzz_file ("in.pdb", data, size), &error);
    fuzz_require_sentence (rc, &error);
    if (rc < 0)
        return 0;
    char *structure = malloc (pdb.count);
    FUZZ_REQUIRE (structure && pdb.count > 0 && dssp_assign (pdb.residues, pdb.count, structure, &error) == 0);
    for (size_t i = 0; i < pdb.count; i++)
        FUZZ_REQUIRE (structure[i] && strchr ("HGIPEBTS ", structure[i]));
    free (structure);
    pdb_fini (&pdb);
    return 0;
}
