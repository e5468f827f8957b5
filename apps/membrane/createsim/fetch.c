/* fetch.c - the only place where this program speaks to the campaign. */
#include "fetch.h"

#include <stdio.h>
#include <stdlib.h>

#include "strata.h"

int createsim_fetch (const char *candidate, struct createsim_patch *patch, int *broken, struct strata_error *error)
{
    struct strata_client *client = strata_open (NULL, "createsim", 0, error);
    char key[256];
    void *data = NULL;
    size_t size = 0;
    int rc;

    *broken = 0;
    if (client == NULL)
        return -1;
    if ((size_t) snprintf (key, sizeof key, "%s.npz", candidate) >= sizeof key) {
        *broken = 1;
        rc = strata_fail (error, "candidate id \"%.40s...\" is too long", candidate);
    } else if ((rc = strata_get (client, "patches", key, &data, &size, error)) == 0
               && (rc = createsim_patch_parse (data, size, patch, error)) < 0) {
        *broken = 1;
        strata_fail_prefix (error, "patches/%s", key);
    }
    free (data);
    strata_close (&client);
    return rc;
}
