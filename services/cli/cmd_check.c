/* cmd_check.c - strata check: the mistakes of a campaign file, or what it asks for. */
#include "cli.h"

static const char *start_of (const struct campaign_job *job, char *out, size_t size)
{
    if (job->start == JOB_ALWAYS)
        snprintf (out, size, "always");
    else if (job->start == JOB_SELECTION)
        snprintf (out, size, "for each selection, %u kept ahead", job->buffer);
    else
        snprintf (out, size, "after each success of %s", job->after);
    return out;
}

static void print_summary (const struct campaign *c, const char *path)
{
    char start[256];
    printf ("%s: ok\n", path);
    printf ("campaign %s, workspace %s, seed %llu, fingerprint %08x\n", c->name, c->workspace,
            (unsigned long long)c->seed, (unsigned)campaign_fingerprint (c));
    printf ("replicas: stage %u, patch %u, select %u, schedule %u, feedback %u, status 1\n", c->replicas.stage, c->replicas.patch,
            c->replicas.select, c->replicas.schedule, c->replicas.feedback);
    for (unsigned i = 0; i < c->jobs_count; i++)
        printf ("job %s: %s; %u cores, %u gpus, %u s, %u tries\n", c->jobs[i].name,
                start_of (&c->jobs[i], start, sizeof (start)), c->jobs[i].cores, c->jobs[i].gpus, c->jobs[i].walltime_s,
                c->jobs[i].tries);
    for (unsigned i = 0; i < c->select.queues_count; i++)
        printf ("selection queue %s: configuration %s, quota %g\n", c->select.queues[i].name,
                c->select.queues[i].configuration, c->select.queues[i].quota);
    printf ("feedback: %u states x %u rows x %u bins, a report every %u frames or %u s\n", c->feedback.states_count,
            c->feedback.rows_count, c->feedback.bins, c->feedback.frames, c->feedback.seconds);
    printf ("goal: %u successes of %s, %u reports taken up\n", c->goal.successes, c->goal.job ? c->goal.job : "(none)",
            c->goal.uptakes);
}

int cmd_check (const struct cli_args *args)
{
    struct campaign_mistakes mistakes = { 0 };
    const char *path = args->rest[0];
    struct campaign *campaign = campaign_load (path, &mistakes);
    int code = campaign ? CLI_OK : CLI_USAGE;
    if (args->json) {
        json_t *list = json_array ();
        for (size_t i = 0; !campaign && i < mistakes.count; i++)
            json_array_append_new (list, json_string (mistakes.lines[i]));
        cli_print_json (json_pack ("{s:s s:b s:o}", "file", path, "ok", campaign != NULL, "mistakes", list));
    } else if (campaign)
        print_summary (campaign, path);
    else
        for (size_t i = 0; i < mistakes.count; i++)
            fprintf (stderr, "%s\n", mistakes.lines[i]);
    campaign_mistakes_fini (&mistakes);
    campaign_free (&campaign);
    return code;
}
