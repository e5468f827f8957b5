/* fuzz_rdf.c - one state's histograms in a feedback report, as the continuum model reads them. */
#include <math.h>

#include "../../apps/membrane/macro/macro.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    static struct macro_rdf rdf;
    static double v[MACRO_KINDS][MACRO_RDF_ROWS];
    struct strata_error error = { "" };
    bool used[MACRO_KINDS];
    int rc = macro_rdf_read (fuzz_file ("rdf_RASa.txt", data, size), &rdf, &error);
    fuzz_require_sentence (rc, &error);
    if (rc < 0)
        return 0;
    macro_rdf_potential (&rdf, 1, v, used);
    for (size_t i = 0; i < MACRO_KINDS; i++)
        for (size_t row = 0; row < MACRO_RDF_ROWS; row++) {
            FUZZ_REQUIRE (rdf.counts[i][row] >= 0 && rdf.counts[i][row] <= 1e15);
            FUZZ_REQUIRE (!used[i] || isfinite (v[i][row]));
        }
    return 0;
}
