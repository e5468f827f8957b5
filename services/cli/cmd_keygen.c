/* cmd_keygen.c - strata keygen: the CURVE keys of a campaign. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "core/files.h"
#include "mesh/keys.h"

int cmd_keygen (const struct cli_args *args)
{
    struct strata_error error;
    struct workspace found;
    char path[4096];
    if (args->workspace) {
        if (files_make_dirs (args->workspace, &error) < 0)
            return cli_fail (args, CLI_FAILED, "%s", error.text);
        if (!realpath (args->workspace, path))
            return cli_fail (args, CLI_FAILED, "workspace %s: %s", args->workspace, strerror (errno));
    } else {
        if (workspace_find (NULL, &found, &error) < 0)
            return cli_fail (args, CLI_FAILED, "%s", error.text);
        memcpy (path, found.path, sizeof (path));
    }
    if (keys_make (path, &error) < 0)
        return cli_fail (args, CLI_FAILED, "%s", error.text);
    if (args->json)
        cli_print_json (json_pack ("{s:s s:s+}", "workspace", path, "keys", path, "/keys"));
    else
        printf ("keys are in %s/keys: secrets for this user alone, public keys that may connect in allowed/\n", path);
    return CLI_OK;
}
