/* fuzz_claims.c - a claim in a workspace: a symbolic link whose target says which stage keeps a name. Input: the target. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "mesh/claims.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct strata_error error = { "" };
    struct claim claim;
    char target[4096], owner[REPLICA_NAME_MAX], taken[REPLICA_NAME_MAX], names[2][REPLICA_NAME_MAX];
    if (size == 0 || size >= sizeof (target) || memchr (data, '\0', size))
        return 0; /* no file system keeps such a target */
    memcpy (target, data, size);
    target[size] = '\0';
    claim_of_slot (&claim, fuzz_folder (), claim_slot (target, target));
    mkdir (fuzz_path ("claims"), 0700);
    mkdir (claim.folder, 0700);
    char path[sizeof (claim.folder) + REPLICA_NAME_MAX + 1];
    snprintf (path, sizeof (path), "%s/%s", claim.folder, claim.name);
    unlink (path);
    FUZZ_REQUIRE (symlink (target, path) == 0);
    int rc = claim_read (&claim, owner, &error);
    fuzz_require_sentence (rc, &error);
    FUZZ_REQUIRE (rc != 0 && memchr (owner, '\0', sizeof (owner)));
    if (rc > 0) {
        fuzz_require_line (owner); /* it stands in sentences and in names of files */
        FUZZ_REQUIRE (!strchr (owner, '/'));
        FUZZ_REQUIRE (claim_take (&claim, "stage-0", taken, &error) == (strcmp (owner, "stage-0") == 0));
        FUZZ_REQUIRE (strcmp (taken, owner) == 0);
    }
    else
        FUZZ_REQUIRE (claim_take (&claim, "stage-0", taken, &error) < 0);
    FUZZ_REQUIRE (claim_pass (&claim, "stage-1", &error) == 0);
    FUZZ_REQUIRE (claim_read (&claim, owner, &error) == 1 && strcmp (owner, "stage-1") == 0);
    FUZZ_REQUIRE (claim_keepers (fuzz_folder (), names, 2) == 0);
    unlink (path);
    return 0;
}
