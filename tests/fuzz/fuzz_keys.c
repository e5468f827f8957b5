/* fuzz_keys.c - certificates in a workspace's keys/: the services' public one, a secret one, one of the allowed.
 *
 * Input: the three files, in this order.
 */
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"
#include "mesh/keys.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct fuzz_part parts[3];
    struct keys keys;
    struct keys_allowed allowed = { .keys = NULL };
    struct strata_error error = { "" };
    fuzz_split (data, size, parts, 3);
    fuzz_file ("keys/service.cert", parts[0].data, parts[0].size);
    fuzz_file ("keys/service.cert_secret", parts[1].data, parts[1].size);
    mkdir (fuzz_path ("keys/allowed"), 0700);
    fuzz_file ("keys/allowed/one.cert", parts[2].data, parts[2].size);
    int rc = keys_load (fuzz_folder (), KEYS_SERVICE, &keys, &error);
    fuzz_require_sentence (rc, &error);
    if (rc == 0) {
        FUZZ_REQUIRE (strlen (keys.public_key) == KEY_TEXT - 1 && strlen (keys.secret_key) == KEY_TEXT - 1);
        FUZZ_REQUIRE (strcmp (keys.public_key, keys.service_key) == 0);
    }
    keys_wipe (&keys);
    keys_allowed_look (fuzz_folder (), &allowed);
    FUZZ_REQUIRE (allowed.count <= 1);
    if (allowed.count)
        FUZZ_REQUIRE (keys_allowed_has (&allowed, allowed.keys[0]));
    keys_allowed_fini (&allowed);
    return 0;
}
