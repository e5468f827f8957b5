/* fuzz_replicas.c - replicas.json, which a person may edit: how many of each service, which one to restart. */
#include <string.h>

#include "core/replicas.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    static const struct campaign campaign = { .replicas = { .stage = 1, .patch = 1, .select = 1, .schedule = 1, .feedback = 1 } };
    struct replicas replicas, again;
    struct strata_error error = { "" };
    fuzz_file ("replicas.json", data, size);
    int rc = replicas_read (fuzz_folder (), &campaign, &replicas, &error);
    fuzz_require_sentence (rc, &error);
    for (size_t i = 0; i < REPLICAS_SERVICES; i++)
        FUZZ_REQUIRE (replicas.wanted[i] >= 1 && replicas.wanted[i] <= REPLICAS_MAX);
    FUZZ_REQUIRE (memchr (replicas.restart, '\0', sizeof (replicas.restart)));
    /* What was understood can be changed, and is then understood. */
    if (rc == 0) {
        rc = replicas_want (fuzz_folder (), "patch", 3, &error);
        fuzz_require_sentence (rc, &error);
        FUZZ_REQUIRE (rc < 0 || replicas_read (fuzz_folder (), &campaign, &again, &error) == 0);
    }
    return 0;
}
