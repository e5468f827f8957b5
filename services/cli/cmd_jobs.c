/* cmd_jobs.c - strata jobs, strata cancel and strata retry. */
#include <errno.h>
#include <string.h>

#include "cli.h"

static const char *state_name (Strata__JobState state)
{
    static const char *const names[] = { "proposed",  "waiting", "launching", "running",
                                         "succeeded", "aside",   "cancelled" };
    return (unsigned)state < sizeof (names) / sizeof (names[0]) ? names[state] : "?";
}

static const char *end_name (Strata__JobEnd end)
{
    static const char *const names[] = { "-",           "exit code", "signal", "over its walltime", "out of memory",
                                         "not started", "no output", "lost",   "cancelled",         "stopped" };
    return (unsigned)end < sizeof (names) / sizeof (names[0]) ? names[end] : "?";
}

static json_t *text (const char *s)
{
    char clean[8192];
    json_t *json = json_string (s);
    return json ? json : json_string (cli_clean (s, clean, sizeof (clean)));
}

static json_t *job_json (const Strata__Job *job)
{
    json_t *cores = json_array ();
    for (size_t i = 0; i < job->n_cores; i++)
        json_array_append_new (cores, json_integer (job->cores[i]));
    return json_pack ("{s:o s:o s:o s:o s:s s:i s:i s:i s:s s:i s:o s:o s:I s:I s:I s:o s:o s:o s:o s:b s:i s:f}", "id",
                      text (job->id), "type", text (job->type), "simulation", text (job->simulation), "candidate",
                      text (job->candidate), "state", state_name (job->state), "attempt", (int)job->attempt, "tries",
                      (int)job->tries, "tries_limit", (int)job->tries_limit, "end", end_name (job->end), "code",
                      (int)job->code, "reason", text (job->reason), "stderr_tail", text (job->stderr_tail),
                      "created_us", (json_int_t)job->created_us, "started_us", (json_int_t)job->started_us, "ended_us",
                      (json_int_t)job->ended_us, "cores", cores, "dir", text (job->dir), "input", text (job->input),
                      "proposal", text (job->proposal), "cancel", (int)job->cancel, "pid", (int)job->pid, "max_rss_mb",
                      job->max_rss_mb);
}

static void print_time (const char *what, int64_t time_us, int64_t now_us)
{
    char clock[16], age[32];
    if (time_us)
        printf ("%-12s %s, %s ago\n", what, cli_clock (time_us, clock, sizeof (clock)),
                cli_duration ((double)(now_us - time_us) / 1e6, age, sizeof (age)));
}

static void print_job (const Strata__Job *job, int64_t now_us)
{
    char clean[1024];
    printf ("job          %s (%s)\nstate        %s%s\n", job->id, job->type, state_name (job->state),
            job->cancel ? ", to be cancelled" : "");
    printf ("simulation   %s\n", cli_clean (job->simulation, clean, sizeof (clean)));
    printf ("candidate    %s\n", cli_clean (job->candidate, clean, sizeof (clean)));
    printf ("proposal     %s\n", cli_clean (job->proposal, clean, sizeof (clean)));
    printf ("attempt      %u; %u of %u tries used\n", job->attempt, job->tries, job->tries_limit);
    if (job->end != STRATA__JOB_END__END_NONE)
        printf ("last end     %s %d, at most %.0f MB of memory\n", end_name (job->end), (int)job->code,
                job->max_rss_mb);
    if (job->reason[0])
        printf ("reason       %s\n", cli_clean (job->reason, clean, sizeof (clean)));
    print_time ("created", job->created_us, now_us);
    print_time ("started", job->started_us, now_us);
    print_time ("ended", job->ended_us, now_us);
    printf ("cores       ");
    for (size_t i = 0; i < job->n_cores; i++)
        printf (" %u", job->cores[i]);
    printf ("\nfolder       %s\n", cli_clean (job->dir, clean, sizeof (clean)));
    if (job->input[0])
        printf ("input        %s\n", cli_clean (job->input, clean, sizeof (clean)));
    if (job->pid)
        printf ("shepherd     pid %u\n", job->pid);
    for (const char *line = job->stderr_tail, *end; *line; line = end + (*end != 0)) {
        char part[1024];
        end = strchrnul (line, '\n');
        snprintf (part, sizeof (part), "%.*s", (int)(end - line), line);
        printf ("%s %s\n", line == job->stderr_tail ? "stderr      " : "            ",
                cli_clean (part, clean, sizeof (clean)));
    }
}

static void print_table (const Strata__JobsReply *reply, int64_t now_us)
{
    char age[32], clean[128], reason[200];
    printf ("%-18s %-10s %-9s %-8s %-28s %s\n", "ID", "STATE", "TRIES", "AGE", "SIMULATION", "REASON");
    for (size_t i = 0; i < reply->n_jobs; i++) {
        const Strata__Job *job = reply->jobs[i];
        char tries[32];
        int64_t since = job->state == STRATA__JOB_STATE__JOB_RUNNING ? job->started_us
                        : job->ended_us                              ? job->ended_us
                                                                     : job->created_us;
        snprintf (tries, sizeof (tries), "%u/%u", job->tries, job->tries_limit);
        printf ("%-18s %-10s %-9s %-8s %-28s %s\n", job->id, state_name (job->state), tries,
                cli_duration ((double)(now_us - since) / 1e6, age, sizeof (age)),
                cli_clean (job->simulation, clean, sizeof (clean)), cli_clean (job->reason, reason, sizeof (reason)));
    }
    printf ("%zu of %llu jobs; AGE: since its start when it runs, else since its last end or creation\n", reply->n_jobs,
            (unsigned long long)reply->total);
}

static struct strata_client *open_client (const struct cli_args *args, struct strata_error *error)
{
    struct workspace workspace;
    if (workspace_find (args->workspace, &workspace, error) < 0)
        return NULL;
    return ask_open (&workspace, 2500, error);
}

int cmd_jobs (const struct cli_args *args)
{
    struct strata_error error;
    const char *id = args->rest_count ? args->rest[0] : "";
    struct strata_client *client = open_client (args, &error);
    Strata__JobsReply *reply = client
                                   ? ask_jobs (client, id, args->state ? args->state : "", args->type ? args->type : "",
                                               args->count > 0 ? (uint32_t)args->count : 0, &error)
                                   : NULL;
    int failed = reply ? 0 : errno;
    strata_close (&client);
    if (!reply)
        return cli_fail (args, failed == EINVAL ? CLI_USAGE : CLI_FAILED, "%s", error.text);
    int code = CLI_OK;
    int64_t now_us = (int64_t)time (NULL) * 1000000;
    if (id[0] && !reply->n_jobs)
        code = cli_fail (args, CLI_FAILED, "there is no job %s; `strata jobs` lists them", id);
    else if (args->json && id[0])
        cli_print_json (job_json (reply->jobs[0]));
    else if (args->json) {
        json_t *jobs = json_array ();
        for (size_t i = 0; i < reply->n_jobs; i++)
            json_array_append_new (jobs, job_json (reply->jobs[i]));
        cli_print_json (json_pack ("{s:I s:o}", "total", (json_int_t)reply->total, "jobs", jobs));
    } else if (id[0])
        print_job (reply->jobs[0], now_us);
    else
        print_table (reply, now_us);
    strata__jobs_reply__free_unpacked (reply, NULL);
    return code;
}

/* The ids that were `done`, for people or programs. */
static void print_ids (const struct cli_args *args, const char *done, char **list, size_t count)
{
    char clean[256];
    json_t *ids = json_array ();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new (ids, text (list[i]));
        if (!args->json)
            printf ("%s %s\n", done, cli_clean (list[i], clean, sizeof (clean)));
    }
    if (args->json)
        cli_print_json (json_pack ("{s:O}", done, ids));
    json_decref (ids);
}

int cmd_cancel (const struct cli_args *args)
{
    struct strata_error error;
    struct strata_client *client = open_client (args, &error);
    Strata__CancelReply *reply = client ? ask_cancel (client, args->rest[0], &error) : NULL;
    strata_close (&client);
    if (!reply)
        return cli_fail (args, CLI_FAILED, "%s", error.text);
    print_ids (args, "cancelled", reply->ids, reply->n_ids);
    strata__cancel_reply__free_unpacked (reply, NULL);
    return CLI_OK;
}

int cmd_retry (const struct cli_args *args)
{
    struct strata_error error;
    const char *id = args->rest_count ? args->rest[0] : "", *type = args->type ? args->type : "";
    if (!id[0] && !type[0])
        return cli_fail (args, CLI_USAGE, "which jobs? `strata retry ID`, or `strata retry --type T` for all of a type; "
                         "`strata jobs --state aside` lists them");
    struct strata_client *client = open_client (args, &error);
    Strata__RetryReply *reply = client ? ask_retry (client, id, type, &error) : NULL;
    strata_close (&client);
    if (!reply)
        return cli_fail (args, CLI_FAILED, "%s", error.text);
    print_ids (args, "retried", reply->ids, reply->n_ids);
    strata__retry_reply__free_unpacked (reply, NULL);
    return CLI_OK;
}
