/* launch.c - see launch.h */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "logs.h"
#include "mesh/keys.h"
#include "supervisor.h"

#define READY_S 60
#define STOP_S 400 /* the supervisor's own limits are shorter together */
#define NAMES_MAX (REPLICAS_SERVICES * REPLICAS_MAX)

static volatile sig_atomic_t caught;

static void catch_signal (int signum)
{
    caught++;
}

void launch_catch_signals (volatile sig_atomic_t **stop)
{
    struct sigaction action = { .sa_handler = catch_signal };
    sigaction (SIGINT, &action, NULL);
    sigaction (SIGTERM, &action, NULL);
    sigaction (SIGHUP, &action, NULL);
    signal (SIGPIPE, SIG_IGN);
    *stop = &caught;
}

int launch_init (struct launch *self, const struct cli_args *args)
{
    struct strata_error error;
    *self = (struct launch){ .report_fd = -1, .join = args->join };
    self->campaign = cli_load_campaign (args->rest[0]);
    if (!self->campaign)
        return CLI_USAGE;
    if (self->join && strcmp (self->campaign->schedule.executor, "local") == 0) {
        launch_fini (self);
        return cli_fail (args, CLI_USAGE, "jobs of `schedule: {executor: local}` run on one node alone; `executor: nodes` starts them on "
                                          "all that join");
    }
    if (supervisor_check (&error) == 0
        && workspace_make (self->campaign, args->workspace, &self->workspace, &error) == 0
        && (strcmp (self->campaign->mesh.transport, "tcp") != 0 || keys_exist (self->workspace.path)
            || keys_make (self->workspace.path, &error) == 0))
        return CLI_OK;
    launch_fini (self);
    return cli_fail (args, CLI_FAILED, "%s", error.text);
}

void launch_fini (struct launch *self)
{
    campaign_free (&self->campaign);
    if (self->report_fd >= 0)
        close (self->report_fd);
    self->report_fd = -1;
}

int launch_start (struct launch *self, bool attach)
{
    struct strata_error error;
    pid_t holder;
    struct supervisor_locks locks;
    int rc = supervisor_lock (&self->workspace, !self->join, &locks, &holder, &error);
    if (rc < 0 && attach && holder) {
        self->attached = true;
        return CLI_OK;
    }
    if (rc < 0 || supervisor_spawn (self->campaign, &self->workspace, &locks, &self->report_fd, &error) < 0)
        return cli_fail (NULL, CLI_FAILED, "%s", error.text);
    fcntl (self->report_fd, F_SETFL, O_NONBLOCK);
    return CLI_OK;
}

bool launch_report (struct launch *self, FILE *out, const char *prefix)
{
    char text[4096];
    if (self->report_fd < 0)
        return self->attached && workspace_supervisor (&self->workspace) != 0;
    for (;;) {
        ssize_t n = read (self->report_fd, text, sizeof (text) - 1);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        if (n == 0)
            return false;
        text[n] = '\0';
        for (char *line = text, *end; out && *line; line = end) {
            end = strchr (line, '\n');
            fprintf (out, "%s%.*s\n", prefix, (int)(end ? end - line : (long)strlen (line)), line);
            end = end ? end + 1 : line + strlen (line);
        }
    }
}

/* The last lines of a service's log, for a person who asks why it isn't there. */
static void print_tail (const struct workspace *workspace, const char *replica)
{
    char path[4200], text[2049];
    logs_path (workspace->path, replica, path, sizeof (path));
    FILE *in = fopen (path, "re");
    if (!in)
        return;
    fseek (in, 0, SEEK_END);
    long size = ftell (in);
    fseek (in, size > 2048 ? size - 2048 : 0, SEEK_SET);
    size_t n = fread (text, 1, sizeof (text) - 1, in);
    fclose (in);
    text[n] = '\0';
    char *line = text + n;
    for (int lines = 0; line > text; line--)
        if (line[-1] == '\n' && ++lines > 6)
            break;
    fprintf (stderr, "last lines of %s:\n%s", path, line);
}

/* How many of the planned replicas are alive, and which. */
static size_t count_alive (const Strata__StatusReply *status, char (*names)[64], size_t count, bool *is_alive)
{
    size_t alive = 0;
    for (size_t i = 0; i < count; i++) {
        is_alive[i] = false;
        for (size_t k = 0; k < status->n_replicas; k++) {
            const Strata__ReplicaStatus *r = status->replicas[k];
            const Strata__ReplicaStatus *holder = figures_replica (status, r->heartbeat->service);
            if (strcmp (r->heartbeat->replica, names[i]) == 0)
                is_alive[i] = r->alive && holder && holder->heartbeat->active;
        }
        alive += is_alive[i];
    }
    return alive;
}

/* Replicas that stand by a damaged store: they will not come up. Tells of each when `tell`. */
static size_t count_damaged (const Strata__StatusReply *status, char (*names)[64], size_t count, const bool *is_alive, bool tell)
{
    size_t damaged = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < status->n_replicas; k++) {
            const Strata__Heartbeat *hb = status->replicas[k]->heartbeat;
            if (is_alive[i] || strcmp (hb->replica, names[i]) != 0 || !status->replicas[k]->alive || !strstr (hb->trouble, " is damaged"))
                continue;
            damaged++;
            if (tell)
                fprintf (stderr, "strata: %s can't serve: %s\n", hb->replica, hb->trouble);
        }
    return damaged;
}

static int not_ready (struct launch *self, char (*names)[64], size_t count, const bool *is_alive, const char *why)
{
    fprintf (stderr, "strata: %s; not up:", why);
    for (size_t i = 0; i < count; i++)
        if (!is_alive[i])
            fprintf (stderr, " %s", names[i]);
    fprintf (stderr, "\n");
    for (size_t i = 0; i < count; i++)
        if (!is_alive[i])
            print_tail (&self->workspace, names[i]);
    return CLI_FAILED;
}

int launch_wait (struct launch *self, volatile sig_atomic_t *stop)
{
    static char names[NAMES_MAX][64];
    static bool is_alive[NAMES_MAX];
    struct replicas wanted;
    struct strata_error error = { "" };
    struct strata_client *client = NULL;
    if (replicas_read (self->workspace.path, self->campaign, &wanted, &error) < 0)
        fprintf (stderr, "strata: %s; the campaign file's numbers are taken\n", error.text);
    size_t count = supervisor_plan (&wanted, names, NAMES_MAX);
    int code = -1;
    memset (is_alive, 0, sizeof (is_alive));
    for (double end = cli_now_s () + READY_S; code < 0;) {
        if (!client)
            client = strata_open (self->workspace.path, "strata", 700, &error);
        Strata__StatusReply *status = client ? ask_status (client, &error) : NULL;
        size_t alive = status ? count_alive (status, names, count, is_alive) : 0; /* is_alive: of the last answer */
        size_t damaged = status ? count_damaged (status, names, count, is_alive, false) : 0;
        if (damaged && alive + damaged == count) {
            count_damaged (status, names, count, is_alive, true);
            fprintf (stderr, "strata: the other services are up, and go on\n");
            code = CLI_FAILED;
        }
        if (status)
            strata__status_reply__free_unpacked (status, NULL);
        if (code >= 0)
            break;
        if (!launch_report (self, stderr, "  "))
            code = not_ready (self, names, count, is_alive, "the supervisor has ended");
        else if (alive == count)
            code = CLI_OK;
        else if (*stop)
            code = CLI_INTERRUPTED;
        else if (cli_now_s () > end)
            code = not_ready (self, names, count, is_alive,
                              "not everything is up after 60 s (it is still tried; `strata down` ends it)");
        else
            usleep (100000);
    }
    strata_close (&client);
    return code;
}

/* Prints what was added to the file since *at. */
static void follow (FILE *log, FILE *out)
{
    char line[1200];
    clearerr (log);
    while (log && fgets (line, sizeof (line), log)) {
        const char *text = strstr (line, "supervisor: ");
        fprintf (out, "  %s", text ? text + 12 : line);
        fflush (out);
    }
}

bool launch_stop (const struct workspace *workspace, volatile sig_atomic_t *stop, FILE *out)
{
    char path[4200];
    sig_atomic_t seen = *stop;
    logs_path (workspace->path, "supervisor", path, sizeof (path));
    FILE *log = fopen (path, "re");
    if (log)
        fseek (log, 0, SEEK_END);
    struct strata_error error;
    if (workspace_supervisor (workspace) && workspace_stop (workspace, &error) < 0)
        fprintf (stderr, "strata: %s\n", error.text);
    double end = cli_now_s () + STOP_S;
    while (workspace_supervisor (workspace) && cli_now_s () < end) {
        if (log)
            follow (log, out);
        if (*stop != seen) {
            seen = *stop;
            fprintf (out, "  hurries\n");
            if (workspace_stop (workspace, &error) < 0)
                fprintf (stderr, "strata: %s\n", error.text);
        }
        usleep (50000);
    }
    if (log) {
        follow (log, out);
        fclose (log);
    }
    return !workspace_supervisor (workspace);
}
