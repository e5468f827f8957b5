/* cmd_up.c - strata up and strata down. */
#include <signal.h>
#include <unistd.h>

#include "launch.h"
#include "supervisor.h"

static int foreground (struct launch *launch)
{
    struct strata_error error;
    pid_t holder;
    struct supervisor_locks locks;
    if (supervisor_lock (&launch->workspace, !launch->join, &locks, &holder, &error) < 0)
        return cli_fail (NULL, CLI_FAILED, "%s", error.text);
    int code = supervisor_run (launch->campaign, &launch->workspace, &locks, dup (STDOUT_FILENO));
    supervisor_unlock (&locks);
    return code ? CLI_FAILED : CLI_OK;
}

int cmd_up (const struct cli_args *args)
{
    struct launch launch;
    volatile sig_atomic_t *stop;
    int code = launch_init (&launch, args);
    if (code)
        return code;
    if (args->foreground)
        code = foreground (&launch);
    else if ((code = launch_start (&launch, false)) == 0) {
        launch_catch_signals (&stop);
        code = launch_wait (&launch, stop);
        if (code == CLI_OK)
            printf ("campaign %s is up, workspace %s, supervisor pid %d\n", launch.campaign->name,
                    launch.workspace.path, (int)workspace_supervisor (&launch.workspace));
        else if (code == CLI_INTERRUPTED)
            launch_stop (&launch.workspace, stop, stderr);
    }
    launch_fini (&launch);
    return code;
}

int cmd_down (const struct cli_args *args)
{
    struct strata_error error;
    struct workspace workspace;
    volatile sig_atomic_t *stop;
    if (workspace_find (args->workspace, &workspace, &error) < 0)
        return cli_fail (args, CLI_FAILED, "%s", error.text);
    pid_t pid = workspace_supervisor (&workspace);
    size_t jobs = pid ? 0 : workspace_shepherds (&workspace);
    if (!pid && args->json) {
        cli_print_json (json_pack ("{s:s s:b s:i}", "workspace", workspace.path, "was_up", 0, "jobs_running", (int)jobs));
        return CLI_OK;
    }
    if (!pid) {
        printf ("campaign %s is not up (no supervisor runs in %s)\n", workspace.campaign, workspace.path);
        if (jobs)
            printf ("%zu of its jobs run on under their shepherds, at the longest to their walltime; to stop them: `strata up %s`, "
                    "which takes them over, then `strata down`\n", jobs, workspace.file);
        return CLI_OK;
    }
    if (!args->json)
        printf ("stops campaign %s, supervisor pid %d; Ctrl-C hurries\n", workspace.campaign, (int)pid);
    fflush (stdout);
    launch_catch_signals (&stop);
    if (!launch_stop (&workspace, stop, args->json ? stderr : stdout))
        return cli_fail (args, CLI_FAILED, "the supervisor, pid %d, has not ended; see %s/log/supervisor.log", (int)pid,
                         workspace.path);
    if (args->json)
        cli_print_json (json_pack ("{s:s s:b s:i}", "workspace", workspace.path, "was_up", 1, "pid", (int)pid));
    else
        printf ("campaign %s is down; `strata run %s` goes on with it\n", workspace.campaign, workspace.file);
    return CLI_OK;
}
