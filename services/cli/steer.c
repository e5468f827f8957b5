/* steer.c - see steer.h */
#include "steer.h"

#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/replicas.h"
#include "launch.h"

#define ASK_MS 1500
#define LOOK_US 100000

int steer_init (struct steer *self, const struct cli_args *args)
{
    struct strata_error error;
    *self = (struct steer){ .args = args, .lock_fd = -1, .started_s = cli_now_s () };
    if (workspace_find (args->workspace, &self->workspace, &error) < 0
        || !(self->campaign = workspace_campaign (&self->workspace, &error))
        || (self->lock_fd = replicas_lock (self->workspace.path, &error)) < 0) {
        steer_fini (self);
        return cli_fail (args, CLI_FAILED, "%s", error.text);
    }
    self->up = workspace_supervisor (&self->workspace) != 0;
    launch_catch_signals (&self->stop);
    return 0;
}

void steer_fini (struct steer *self)
{
    strata_close (&self->client);
    campaign_free (&self->campaign);
    if (self->lock_fd >= 0)
        close (self->lock_fd);
    self->lock_fd = -1;
}

double steer_seconds (const struct steer *self)
{
    return cli_now_s () - self->started_s;
}

void steer_say (struct steer *self, const char *fmt, ...)
{
    char text[sizeof (self->said)];
    va_list ap;
    va_start (ap, fmt);
    vsnprintf (text, sizeof (text), fmt, ap);
    va_end (ap);
    if (self->args->json || strcmp (text, self->said) == 0)
        return;
    memcpy (self->said, text, sizeof (text));
    printf ("%s\n", text);
    fflush (stdout);
}

int steer_wait (struct steer *self, int timeout_s,
                bool (*done) (struct steer *self, const Strata__StatusReply *status, void *arg), void *arg)
{
    struct strata_error error;
    for (double end = cli_now_s () + timeout_s; cli_now_s () < end; usleep (LOOK_US)) {
        if (*self->stop)
            return CLI_INTERRUPTED;
        if (!workspace_supervisor (&self->workspace))
            return CLI_FAILED;
        if (!self->client)
            self->client = strata_open (self->workspace.path, "strata", ASK_MS, &error);
        Strata__StatusReply *status = self->client ? ask_status (self->client, &error) : NULL;
        bool is_done = status && done (self, status, arg);
        if (status)
            strata__status_reply__free_unpacked (status, NULL);
        if (is_done)
            return 0;
    }
    return CLI_FAILED;
}

const Strata__ServiceStatus *steer_service (const Strata__StatusReply *status, const char *service)
{
    for (size_t i = 0; i < status->n_services; i++)
        if (strcmp (status->services[i]->service, service) == 0)
            return status->services[i];
    return NULL;
}
