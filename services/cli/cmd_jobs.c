/* cmd_jobs.c - strata jobs, strata cancel, strata retry, strata node and strata update: what is asked of schedule. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static void print_job (const Strata__Job *job, const char *why, int64_t now_us)
{
    char clean[2048];
    printf ("job          %s (%s)\nstate        %s%s\n", job->id, job->type, state_name (job->state),
            job->cancel ? ", to be cancelled" : "");
    if (*why)
        printf ("why          %s\n", cli_clean (why, clean, sizeof (clean)));
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
    else if (args->json && id[0]) {
        json_t *job = job_json (reply->jobs[0]);
        json_object_set_new (job, "why", text (reply->why));
        cli_print_json (job);
    }
    else if (args->json) {
        json_t *jobs = json_array ();
        for (size_t i = 0; i < reply->n_jobs; i++)
            json_array_append_new (jobs, job_json (reply->jobs[i]));
        cli_print_json (json_pack ("{s:I s:o}", "total", (json_int_t)reply->total, "jobs", jobs));
    } else if (id[0])
        print_job (reply->jobs[0], reply->why, now_us);
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

/* ---- cancel ---- */

#define CANCEL_WAIT_S 120
#define CANCEL_LOOK_US 200000

struct ids {
    char **list;
    size_t count;
};

static void ids_add (struct ids *self, const char *id)
{
    self->list = realloc (self->list, (self->count + 1) * sizeof (*self->list));
    char *copy = strdup (id);
    if (!self->list || !copy) {
        fprintf (stderr, "strata: out of memory\n");
        exit (CLI_FAILED);
    }
    self->list[self->count++] = copy;
}

static void ids_fini (struct ids *self)
{
    for (size_t i = 0; i < self->count; i++)
        free (self->list[i]);
    free (self->list);
}

/* How the job has ended: "cancelled", "succeeded", "aside"; NULL: it has not, or that can't be asked now. */
static const char *ended (struct strata_client *client, const char *id)
{
    struct strata_error error;
    Strata__JobsReply *reply = ask_jobs (client, id, "", "", 1, &error);
    const char *state = NULL;
    if (reply && reply->n_jobs)
        switch (reply->jobs[0]->state) {
        case STRATA__JOB_STATE__JOB_SUCCEEDED:
        case STRATA__JOB_STATE__JOB_ASIDE:
        case STRATA__JOB_STATE__JOB_CANCELLED: state = state_name (reply->jobs[0]->state); break;
        default: break;
        }
    if (reply)
        strata__jobs_reply__free_unpacked (reply, NULL);
    return state;
}

/* Tells each id's end as it comes; what has not ended in time is left in *ids. */
static json_t *wait_for_ends (const struct cli_args *args, struct strata_client *client, struct ids *ids)
{
    json_t *told = json_object ();
    char clean[256];
    double until = cli_now_s () + (args->timeout_s ? args->timeout_s : CANCEL_WAIT_S);
    for (;;) {
        size_t left = 0;
        for (size_t i = 0; i < ids->count; i++) {
            const char *state = ended (client, ids->list[i]);
            if (!state) {
                ids->list[left++] = ids->list[i];
                continue;
            }
            json_object_set_new (told, ids->list[i], json_string (state));
            if (!args->json)
                printf ("%s %s\n", state, cli_clean (ids->list[i], clean, sizeof (clean)));
            free (ids->list[i]);
        }
        ids->count = left;
        fflush (stdout);
        if (left == 0 || cli_now_s () > until)
            return told;
        usleep (CANCEL_LOOK_US);
    }
}

int cmd_cancel (const struct cli_args *args)
{
    struct strata_error error;
    const char *state = args->state ? args->state : "", *type = args->type ? args->type : "";
    struct ids ids = { NULL, 0 };
    int code = CLI_OK;
    if (!args->rest_count && !*state && !*type && !args->all)
        return cli_fail (args, CLI_USAGE, "which jobs? `strata cancel ID`, --state S, --type T, or --all; `strata jobs` lists them");
    struct strata_client *client = open_client (args, &error);
    if (!client)
        return cli_fail (args, CLI_FAILED, "%s", error.text);
    for (int i = 0; i < (args->rest_count ? args->rest_count : 1); i++) {
        Strata__CancelReply *reply = ask_cancel (client, args->rest_count ? args->rest[i] : "", state, type, args->all, &error);
        if (!reply) {
            code = cli_fail (args, errno == EINVAL ? CLI_USAGE : CLI_FAILED, "%s", error.text);
            continue;
        }
        for (size_t k = 0; k < reply->n_ids; k++)
            ids_add (&ids, reply->ids[k]);
        strata__cancel_reply__free_unpacked (reply, NULL);
    }
    json_t *told = wait_for_ends (args, client, &ids), *ending = json_array ();
    strata_close (&client);
    for (size_t i = 0; i < ids.count; i++)
        json_array_append_new (ending, text (ids.list[i]));
    if (args->json)
        cli_print_json (json_pack ("{s:O s:O}", "ended", told, "ending", ending));
    else if (ids.count)
        fprintf (stderr, "strata: %zu jobs are asked to end and have not yet; `strata jobs` shows them\n", ids.count);
    if (ids.count)
        code = CLI_FAILED;
    json_decref (told);
    json_decref (ending);
    ids_fini (&ids);
    return code;
}

/* ---- nodes ---- */

int cmd_node (const struct cli_args *args)
{
    static const char *const moves[][2] = { { "drain", "drained" }, { "undrain", "up" }, { "lost", "lost" } };
    struct strata_error error;
    const char *state = args->rest_count == 2 ? NULL : "";
    for (size_t i = 0; args->rest_count == 2 && i < sizeof (moves) / sizeof (moves[0]); i++)
        if (strcmp (args->rest[0], moves[i][0]) == 0)
            state = moves[i][1];
    if (!state || args->rest_count == 1)
        return cli_fail (args, CLI_USAGE, "drain, undrain or lost, and the name or number of a node are needed");
    struct strata_client *client = open_client (args, &error);
    Strata__NodeReply *reply = client ? ask_node (client, args->rest_count ? args->rest[1] : "", state, &error) : NULL;
    strata_close (&client);
    if (!reply)
        return cli_fail (args, CLI_FAILED, "%s", error.text);
    json_t *nodes = json_array ();
    char clean[256];
    if (!args->json)
        printf ("%-8s %-24s %-8s %6s %5s\n", "NODE", "NAME", "STATE", "CORES", "GPUS");
    for (size_t i = 0; i < reply->n_nodes; i++) {
        const Strata__NodeState *n = reply->nodes[i];
        json_array_append_new (nodes, json_pack ("{s:I s:o s:s s:i s:i}", "node", (json_int_t)n->number, "name", text (n->name), "state",
                                                 n->state, "cores", (int)n->cores, "gpus", (int)n->gpus));
        if (!args->json)
            printf ("%-8llu %-24s %-8s %6u %5u\n", (unsigned long long)n->number, cli_clean (n->name, clean, sizeof (clean)), n->state,
                    n->cores, n->gpus);
    }
    if (args->json)
        cli_print_json (json_pack ("{s:O}", "nodes", nodes));
    json_decref (nodes);
    strata__node_reply__free_unpacked (reply, NULL);
    return CLI_OK;
}

/* ---- settings ---- */

static void print_settings (const struct cli_args *args, const Strata__UpdateReply *reply)
{
    json_t *settings = json_object ();
    if (!args->json)
        printf ("%-32s %10s %14s\n", "SETTING", "VALUE", "CAMPAIGN FILE");
    for (size_t i = 0; i < reply->n_settings; i++) {
        const Strata__Setting *s = reply->settings[i];
        bool whole = s->per <= 1;
        double value = (double)s->value / (whole ? 1 : (double)s->per), of_file = (double)s->of_file / (whole ? 1 : (double)s->per);
        json_object_set_new (settings, s->name,
                             whole ? json_pack ("{s:I s:I}", "value", (json_int_t)s->value, "of_file", (json_int_t)s->of_file)
                                   : json_pack ("{s:f s:f}", "value", value, "of_file", of_file));
        if (!args->json)
            printf ("%-32s %10.15g %14.15g\n", s->name, value, of_file);
    }
    if (args->json)
        cli_print_json (json_pack ("{s:O}", "settings", settings));
    json_decref (settings);
}

int cmd_update (const struct cli_args *args)
{
    struct strata_error error;
    char name[128];
    Strata__UpdateReply *reply = NULL;
    for (int i = 0; i < args->rest_count; i++)
        if (!strchr (args->rest[i], '=') || strcspn (args->rest[i], "=") >= sizeof (name))
            return cli_fail (args, CLI_USAGE, "'%s' is not KEY=VALUE; `strata update` lists the keys", args->rest[i]);
    struct strata_client *client = open_client (args, &error);
    if (!client)
        return cli_fail (args, CLI_FAILED, "%s", error.text);
    for (int i = 0; i < (args->rest_count ? args->rest_count : 1); i++) {
        const char *value = args->rest_count ? strchr (args->rest[i], '=') + 1 : "";
        snprintf (name, sizeof (name), "%.*s", args->rest_count ? (int)(value - 1 - args->rest[i]) : 0, args->rest_count ? args->rest[i] : "");
        if (reply)
            strata__update_reply__free_unpacked (reply, NULL);
        if (!(reply = ask_update (client, name, value, &error)))
            break;
    }
    strata_close (&client);
    if (!reply)
        return cli_fail (args, CLI_FAILED, "%s", error.text);
    print_settings (args, reply);
    strata__update_reply__free_unpacked (reply, NULL);
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
