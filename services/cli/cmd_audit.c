/* cmd_audit.c - strata audit: recounts the campaign from its stores. */
#include "cli.h"
#include "summary.h"

int cmd_audit (const struct cli_args *args)
{
    struct strata_error error;
    struct workspace workspace;
    struct audit audit;
    if (workspace_find (args->workspace, &workspace, &error) < 0)
        return cli_fail (args, CLI_FAILED, "%s", error.text);
    struct campaign *campaign = workspace_campaign (&workspace, &error);
    if (!campaign)
        return cli_fail (args, CLI_FAILED, "%s", error.text);
    int code = CLI_FAILED;
    bool live = workspace_is_live (&workspace);
    if (audit_run (workspace.path, campaign, live, args->deep, &audit, &error) < 0)
        cli_fail (args, CLI_FAILED, "%s", error.text);
    else {
        code = audit.violations ? CLI_FAILED : CLI_OK;
        if (args->json)
            cli_print_json (summary_json (&audit, campaign, &workspace));
        else {
            printf ("recounts campaign %s from the stores of %s (%s)\n", workspace.campaign, workspace.path,
                    live ? "it runs: consumers first, then their producers" : "nothing runs: exact");
            summary_checks (stdout, &audit);
        }
    }
    audit_fini (&audit);
    campaign_free (&campaign);
    return code;
}
