/* cmd_status.c - strata status: the figures once. */
#include "screen.h"

int cmd_status (const struct cli_args *args)
{
    struct strata_error error;
    struct workspace workspace;
    if (workspace_find (args->workspace, &workspace, &error) < 0)
        return cli_fail (args, CLI_FAILED, "%s", error.text);
    struct strata_client *client = ask_open (&workspace, 2500, &error);
    Strata__StatusReply *status = client ? ask_status (client, &error) : NULL;
    if (!status) {
        strata_close (&client);
        return cli_fail (args, CLI_FAILED, "%s", error.text);
    }
    if (args->json)
        cli_print_json (figures_json (status));
    else {
        struct campaign *campaign = workspace_campaign (&workspace, &error);
        strata_set_timeout (client, 1000);
        Strata__JobsReply *jobs = campaign ? ask_running (client, 100, &error) : NULL;
        struct screen screen = { .campaign = campaign, .status = status, .jobs = jobs, .elapsed_s = -1 };
        if (campaign)
            screen_text (stdout, &screen);
        if (jobs)
            strata__jobs_reply__free_unpacked (jobs, NULL);
        if (!campaign)
            cli_fail (args, CLI_FAILED, "%s", error.text);
        campaign_free (&campaign);
    }
    strata__status_reply__free_unpacked (status, NULL);
    strata_close (&client);
    return CLI_OK;
}
