/* cmd_replay.c - strata replay: the service's own program plays the record of its shard's inputs again (mesh/replay.c). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

/* "0" and "select-0" both name select's shard 0. */
static void shard_name (const char *service, const char *given, char *name, size_t size)
{
    size_t n = strlen (service);
    if (given && strncmp (given, service, n) == 0 && given[n] == '-')
        snprintf (name, size, "%s", given);
    else
        snprintf (name, size, "%.40s-%s", service, given ? given : "0");
}

int cmd_replay (const struct cli_args *args)
{
    struct strata_error error;
    struct workspace workspace;
    char program[4300], shard[128], self[4096];
    const char *service = args->rest[0];
    if (workspace_find (args->workspace, &workspace, &error) < 0)
        return cli_fail (args, CLI_FAILED, "%s", error.text);
    struct campaign *campaign = workspace_campaign (&workspace, &error);
    if (!campaign)
        return cli_fail (args, CLI_FAILED, "%s", error.text);
    campaign_free (&campaign);
    ssize_t n = readlink ("/proc/self/exe", self, sizeof (self) - 1);
    char *slash = n > 0 ? memrchr (self, '/', (size_t)n) : NULL;
    snprintf (program, sizeof (program), "%.*s/strata-%.40s", slash ? (int)(slash - self) : 1, slash ? self : ".", service);
    if (strchr (service, '/') || access (program, X_OK) < 0)
        return cli_fail (args, CLI_USAGE, "there is no service '%s'; select, schedule, feedback and stage are recorded", service);
    shard_name (service, args->shard, shard, sizeof (shard));
    const char *argv[20] = { program, "--campaign", workspace.file, "--workspace", workspace.path, "--replay", shard };
    size_t argc = 7;
    if (args->from) {
        argv[argc++] = "--from";
        argv[argc++] = args->from;
    }
    if (args->scratch) {
        argv[argc++] = "--scratch";
        argv[argc++] = args->scratch;
    }
    if (args->json)
        argv[argc++] = "--json";
    /* Its log is what it said when it ran: only what goes wrong now is shown. */
    setenv ("STRATA_LOG", "warn", 0);
    execv (program, (char *const *)argv);
    return cli_fail (args, CLI_FAILED, "%s can't be run: %s", program, strerror (errno));
}
