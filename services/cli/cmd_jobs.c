/* cmd_jobs.c - strata jobs, strata cancel, strata retry, strata node and strata update: what is asked of schedule. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "core/outcome.h"
#include "jobs_format.h"

static json_t *text (const char *s)
{
    char clean[8192];
    json_t *json = json_string (s);
    return json ? json : json_string (cli_clean (s, clean, sizeof (clean)));
}

static json_t *numbers (const uint32_t *list, size_t count)
{
    json_t *json = json_array ();
    for (size_t i = 0; i < count; i++)
        json_array_append_new (json, json_integer (list[i]));
    return json;
}

static json_t *moves_json (const Strata__Job *job)
{
    json_t *moves = json_array ();
    for (size_t i = 0; i < job->n_moves; i++)
        json_array_append_new (moves, json_pack ("{s:s s:I s:i s:o}", "state", jobs_state (job->moves[i]->state), "time_us",
                                                 (json_int_t)job->moves[i]->time_us, "attempt", (int)job->moves[i]->attempt, "reason",
                                                 text (job->moves[i]->reason)));
    return moves;
}

static json_t *job_json (const struct jobs_row *row)
{
    const Strata__Job *job = row->job;
    json_t *json = json_pack ("{s:o s:o s:o s:o s:s s:i s:i s:i s:s s:i s:o s:o s:I s:I s:I s:o s:o s:o s:o s:b s:i s:f}", "id",
                              text (job->id), "type", text (job->type), "simulation", text (job->simulation), "candidate",
                              text (job->candidate), "state", jobs_state (job->state), "attempt", (int)job->attempt, "tries",
                              (int)job->tries, "tries_limit", (int)job->tries_limit, "end", outcome_end_name (job->end), "code",
                              (int)job->code, "reason", text (job->reason), "stderr_tail", text (job->stderr_tail),
                              "created_us", (json_int_t)job->created_us, "started_us", (json_int_t)job->started_us, "ended_us",
                              (json_int_t)job->ended_us, "cores", numbers (job->cores, job->n_cores), "dir", text (job->dir), "input",
                              text (job->input), "proposal", text (job->proposal), "cancel", (int)job->cancel, "pid", (int)job->pid,
                              "max_rss_mb", job->max_rss_mb);
    json_t *more = json_pack ("{s:s s:o s:o s:f s:s s:o}", "status_abbrev", jobs_state_short (job), "nodes", numbers (job->nodes, job->n_nodes),
                              "gpus", numbers (job->gpus, job->n_gpus), "runtime", jobs_runtime (job, row->now_us), "waits", row->waits, "moves",
                              moves_json (job));
    if (row->type)
        json_object_update_new (more, json_pack ("{s:i s:i s:i}", "ntasks", (int)row->type->tasks, "nnodes", (int)row->type->nodes, "walltime_s",
                                                 (int)row->type->walltime_s));
    json_object_update_new (json, more);
    return json;
}

static void print_time (const char *what, int64_t time_us, int64_t now_us)
{
    char clock[16], age[32];
    if (time_us)
        printf ("%-12s %s, %s ago\n", what, cli_clock (time_us, clock, sizeof (clock)),
                cli_duration ((double)(now_us - time_us) / 1e6, age, sizeof (age)));
}

static void print_lines (const char *what, const char *lines)
{
    char clean[2048], part[1024];
    for (const char *line = lines, *end; *line; line = end + (*end != 0)) {
        end = strchrnul (line, '\n');
        snprintf (part, sizeof (part), "%.*s", (int)(end - line), line);
        printf ("%-12s %s\n", line == lines ? what : "", cli_clean (part, clean, sizeof (clean)));
    }
}

/* Why it is in its state, and of one that failed what its last attempt said. */
static void print_why (const Strata__Job *job, const char *why)
{
    char clean[2048];
    printf ("%s is %s: %s\n", job->id, jobs_state (job->state), cli_clean (why, clean, sizeof (clean)));
    if (job->end == STRATA__JOB_END__END_NONE || job->state == STRATA__JOB_STATE__JOB_SUCCEEDED)
        return;
    printf ("last end     %s %d, attempt %u, %u of %u tries used\n", outcome_end_name (job->end), (int)job->code, job->attempt, job->tries,
            job->tries_limit);
    printf ("reason       %s\n", cli_clean (job->reason, clean, sizeof (clean)));
    print_lines ("stderr", job->stderr_tail);
    if (job->attempt)
        printf ("all of it    %s/attempt-%u\n", cli_clean (job->dir, clean, sizeof (clean)), job->attempt);
}

static void print_moves (const Strata__Job *job)
{
    char clean[512], clock[16];
    for (size_t i = 0; i < job->n_moves; i++) {
        const Strata__Move *move = job->moves[i];
        printf ("%-12s %s %-10s attempt %-3u %s\n", i ? "" : "moves", cli_clock (move->time_us, clock, sizeof (clock)), jobs_state (move->state),
                move->attempt, cli_clean (move->reason, clean, sizeof (clean)));
    }
}

static void print_job (const struct jobs_row *row, const char *why)
{
    const Strata__Job *job = row->job;
    char clean[2048];
    printf ("job          %s (%s)\nstate        %s%s\n", job->id, job->type, jobs_state (job->state),
            job->cancel ? ", to be cancelled" : "");
    if (*why)
        printf ("why          %s\n", cli_clean (why, clean, sizeof (clean)));
    printf ("simulation   %s\n", cli_clean (job->simulation, clean, sizeof (clean)));
    printf ("candidate    %s\n", cli_clean (job->candidate, clean, sizeof (clean)));
    printf ("proposal     %s\n", cli_clean (job->proposal, clean, sizeof (clean)));
    printf ("attempt      %u; %u of %u tries used\n", job->attempt, job->tries, job->tries_limit);
    if (job->end != STRATA__JOB_END__END_NONE)
        printf ("last end     %s %d, at most %.0f MB of memory\n", outcome_end_name (job->end), (int)job->code,
                job->max_rss_mb);
    if (job->reason[0])
        printf ("reason       %s\n", cli_clean (job->reason, clean, sizeof (clean)));
    print_time ("created", job->created_us, row->now_us);
    print_time ("started", job->started_us, row->now_us);
    print_time ("ended", job->ended_us, row->now_us);
    print_moves (job);
    printf ("cores       ");
    for (size_t i = 0; i < job->n_cores; i++)
        printf (" %u", job->cores[i]);
    printf ("\nfolder       %s\n", cli_clean (job->dir, clean, sizeof (clean)));
    if (job->input[0])
        printf ("input        %s\n", cli_clean (job->input, clean, sizeof (clean)));
    if (job->pid)
        printf ("shepherd     pid %u\n", job->pid);
    print_lines ("stderr", job->stderr_tail);
}

static const Strata__TypeOfJobs *type_of (const Strata__JobsReply *reply, const char *name)
{
    for (size_t i = 0; i < reply->n_types; i++)
        if (strcmp (reply->types[i]->name, name) == 0)
            return reply->types[i];
    return NULL;
}

static struct jobs_row row_of (const Strata__JobsReply *reply, size_t i, const Strata__NodeReply *nodes, int64_t now_us)
{
    return (struct jobs_row){ reply->jobs[i], type_of (reply, reply->jobs[i]->type), i < reply->n_waits ? reply->waits[i] : "", nodes, now_us };
}

static struct strata_client *open_client (const struct cli_args *args, struct strata_error *error)
{
    struct workspace workspace;
    if (workspace_find (args->workspace, &workspace, error) < 0)
        return NULL;
    return ask_open (&workspace, 2500, error);
}

#define JOBS_ACTIVE "active"
#define JOBS_NO_LIMIT 100000

/* Which jobs, without an id: those that have not ended unless something says which. */
static int make_query (const struct cli_args *args, int64_t now_us, Strata__Jobs *query, struct strata_error *error)
{
    strata__jobs__init (query);
    if (args->since && jobs_since (args->since, now_us, &query->since_us, error) != 0)
        return -1;
    query->state = (char *)(args->state ? args->state : args->all || args->since || args->rest_count || args->stats ? "" : JOBS_ACTIVE);
    query->type = (char *)(args->type ? args->type : args->queue ? args->queue : "");
    query->simulation = (char *)(args->name ? args->name : "");
    query->max = args->count == 0 ? JOBS_NO_LIMIT : args->count > 0 ? (uint32_t)args->count : 0;
    query->counts = args->stats;
    return 0;
}

/* ---- strata jobs --stats ---- */

static void print_counts (const char *name, const uint64_t *counts, size_t states)
{
    printf ("%-16s", name);
    for (size_t i = 0; i < states; i++)
        printf (" %10llu", (unsigned long long)counts[i]);
    printf ("\n");
}

static int tell_stats (const struct cli_args *args, const Strata__JobsReply *reply, const char *only)
{
    enum { STATES = STRATA__JOB_STATE__JOB_CANCELLED + 1 };
    uint64_t all[STATES] = { 0 };
    json_t *types = json_object (), *total = json_object ();
    bool known = !*only;
    for (size_t i = 0; i < reply->n_types; i++)
        known = known || strcmp (reply->types[i]->name, only) == 0;
    if (!known)
        return cli_fail (args, CLI_USAGE, "the campaign has no job type %s", only);
    if (!args->json && !args->no_header) {
        printf ("%-16s", "TYPE");
        for (int i = 0; i < STATES; i++)
            printf (" %10s", jobs_state ((Strata__JobState)i));
        printf ("\n");
    }
    for (size_t i = 0; i < reply->n_types; i++) {
        const Strata__TypeOfJobs *type = reply->types[i];
        if (*only && strcmp (type->name, only) != 0)
            continue;
        uint64_t counts[STATES] = { 0 };
        json_t *json = json_object ();
        for (size_t k = 0; k < type->n_counts && k < STATES; k++) {
            counts[k] = type->counts[k];
            all[k] += type->counts[k];
            json_object_set_new (json, jobs_state ((Strata__JobState)k), json_integer ((json_int_t)counts[k]));
        }
        json_object_set_new (types, type->name, json);
        if (!args->json)
            print_counts (type->name, counts, STATES);
    }
    for (int k = 0; k < STATES; k++)
        json_object_set_new (total, jobs_state ((Strata__JobState)k), json_integer ((json_int_t)all[k]));
    if (args->json)
        cli_print_json (json_pack ("{s:O s:O}", "types", types, "total", total));
    else
        print_counts ("all", all, STATES);
    json_decref (types);
    json_decref (total);
    return CLI_OK;
}

/* ---- strata jobs ---- */

struct listing {
    const struct cli_args *args;
    struct strata_client *client;
    struct jobs_format *format;
    bool has_header;            /* printed, or not wanted */
};

static int tell_list (struct listing *self, const Strata__JobsReply *reply, int64_t now_us)
{
    struct strata_error error;
    if (self->args->json) {
        json_t *jobs = json_array ();
        for (size_t i = 0; i < reply->n_jobs; i++) {
            struct jobs_row row = row_of (reply, i, NULL, now_us);
            json_array_append_new (jobs, job_json (&row));
        }
        cli_print_json (json_pack ("{s:I s:o}", "total", (json_int_t)reply->total, "jobs", jobs));
        return CLI_OK;
    }
    if (!self->has_header)
        jobs_format_print_header (self->format, stdout);
    self->has_header = true;
    bool stand_somewhere = false;
    for (size_t i = 0; i < reply->n_jobs; i++)
        stand_somewhere = stand_somewhere || reply->jobs[i]->n_nodes;
    Strata__NodeReply *nodes = stand_somewhere && jobs_format_needs_nodes (self->format) ? ask_node (self->client, "", "", &error) : NULL;
    for (size_t i = 0; i < reply->n_jobs; i++) {
        struct jobs_row row = row_of (reply, i, nodes, now_us);
        jobs_format_print (self->format, &row, stdout);
    }
    if (nodes)
        strata__node_reply__free_unpacked (nodes, NULL);
    if (reply->n_jobs < reply->total && self->args->count <= 0) {
        fflush (stdout);
        fprintf (stderr, "strata: the newest %zu of %llu jobs; -c N shows more\n", reply->n_jobs, (unsigned long long)reply->total);
    }
    return CLI_OK;
}

static int tell_one (const struct cli_args *args, const char *id, const Strata__JobsReply *reply, int64_t now_us)
{
    struct jobs_row row = { .job = NULL };
    if (reply->n_jobs)
        row = row_of (reply, 0, NULL, now_us);
    if (!row.job && reply->why[0] && args->why) {
        if (args->json)
            cli_print_json (json_pack ("{s:o s:o}", "type", text (id), "why", text (reply->why)));
        else
            printf ("%s: %s\n", id, reply->why);
    }
    else if (!row.job)
        return cli_fail (args, CLI_FAILED, "there is no job %s; `strata jobs` lists them", id);
    else if (args->json) {
        json_t *job = job_json (&row);
        json_object_set_new (job, "why", text (reply->why));
        cli_print_json (job);
    }
    else if (args->why)
        print_why (row.job, reply->why);
    else
        print_job (&row, reply->why);
    return CLI_OK;
}

/* What was asked for with one id, or without any. */
static int tell_jobs (struct listing *self, const char *id)
{
    struct strata_error error;
    const struct cli_args *args = self->args;
    Strata__Jobs query;
    struct timespec now;
    clock_gettime (CLOCK_REALTIME, &now);
    int64_t now_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    if (make_query (args, now_us, &query, &error) != 0)
        return cli_fail (args, CLI_USAGE, "%s", error.text);
    query.id = (char *)id;
    Strata__JobsReply *reply = ask_jobs (self->client, &query, &error);
    if (!reply)
        return cli_fail (args, errno == EINVAL ? CLI_USAGE : CLI_FAILED, "%s", error.text);
    /* A simulation has several: with --why, each by its own. */
    int code = CLI_OK;
    if (args->stats)
        code = tell_stats (args, reply, query.type);
    else if (id[0] && args->why && reply->n_jobs > 1)
        for (size_t i = 0; i < reply->n_jobs && code == CLI_OK; i++)
            code = tell_jobs (self, reply->jobs[i]->id);
    else if (id[0] && (args->why || (!args->format && args->rest_count == 1 && reply->n_jobs == 1)))
        code = tell_one (args, id, reply, now_us);
    else if (id[0] && !reply->n_jobs)
        code = cli_fail (args, CLI_FAILED, "there is no job %s; `strata jobs` lists them", id);
    else
        code = tell_list (self, reply, now_us);
    strata__jobs_reply__free_unpacked (reply, NULL);
    return code;
}

int cmd_jobs (const struct cli_args *args)
{
    struct strata_error error;
    if (args->why && !args->rest_count)
        return cli_fail (args, CLI_USAGE, "why is what so? --why ID, or --why TYPE; `strata jobs` lists them");
    struct listing listing = { .args = args, .has_header = args->no_header };
    if (!(listing.format = jobs_format_new (args->format ? args->format : JOBS_FORMAT, &error)))
        return cli_fail (args, CLI_USAGE, "%s", error.text);
    listing.client = open_client (args, &error);
    int code = listing.client ? CLI_OK : cli_fail (args, CLI_FAILED, "%s", error.text);
    for (int i = 0; listing.client && i < (args->rest_count ? args->rest_count : 1); i++) {
        int one = tell_jobs (&listing, args->rest_count ? args->rest[i] : "");
        code = code ? code : one;
    }
    strata_close (&listing.client);
    jobs_format_free (&listing.format);
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
    Strata__Jobs query = STRATA__JOBS__INIT;
    query.id = (char *)id;
    query.max = 1;
    Strata__JobsReply *reply = ask_jobs (client, &query, &error);
    const char *state = NULL;
    if (reply && reply->n_jobs)
        switch (reply->jobs[0]->state) {
        case STRATA__JOB_STATE__JOB_SUCCEEDED:
        case STRATA__JOB_STATE__JOB_ASIDE:
        case STRATA__JOB_STATE__JOB_CANCELLED: state = jobs_state (reply->jobs[0]->state); break;
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
