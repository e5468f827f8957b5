/* fuzz_createsim.c - what createsim reads of its own folder and of GROMACS' results. Input: sim.json and a .gro. */
#include <math.h>
#include <string.h>

#include "../../apps/membrane/createsim/output.h"
#include "../../apps/membrane/createsim/simjson.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct strata_error error = { "" };
    struct fuzz_part parts[2];
    char id[32];
    size_t beads = 0;
    double box[3];
    fuzz_split (data, size, parts, 2);
    fuzz_file ("sim.json", parts[0].data, parts[0].size);
    int rc = createsim_simjson_read (fuzz_folder (), id, sizeof (id), &beads, &error);
    fuzz_require_sentence (rc, &error);
    FUZZ_REQUIRE (rc < 0 || memchr (id, '\0', sizeof (id)));
    rc = createsim_gro_check (fuzz_file ("system.gro", parts[1].data, parts[1].size), &beads, box, &error);
    fuzz_require_sentence (rc, &error);
    for (int d = 0; d < 3 && rc == 0; d++)
        FUZZ_REQUIRE (isfinite (box[d]) && box[d] > 0);
    return 0;
}
