/* cmd_events.c - strata events: what happened, as status keeps it; -f goes on until Ctrl-C. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launch.h"
#include "screen.h"

struct follow {
    const struct cli_args *args;
    uint64_t after, boot;
    int64_t newest_us; /* of what was shown: another status process tells older events again */
    bool again;
    json_t *list; /* with --json and without -f */
};

static void show (struct follow *self, const Strata__Event *event)
{
    if (self->again && event->time_us <= self->newest_us)
        return;
    if (event->time_us > self->newest_us)
        self->newest_us = event->time_us;
    if (self->list)
        json_array_append_new (self->list, figures_event_json (event));
    else if (self->args->json) {
        json_t *json = figures_event_json (event);
        json_dumpf (json, stdout, JSON_COMPACT);
        printf ("\n");
        json_decref (json);
    } else
        screen_event (stdout, event);
}

/* One page; -1 when status does not answer, 1 when there is more. */
static int page (struct follow *self, struct strata_client *client, struct strata_error *error)
{
    Strata__EventsReply *reply = ask_events (client, self->after, 1000, error);
    if (!reply)
        return -1;
    bool other = self->boot && reply->boot != self->boot;
    self->boot = reply->boot;
    if (other) {
        self->after = 0;
        self->again = true;
    } else {
        size_t first = 0;
        if (self->args->count >= 0 && !self->args->follow && reply->n_events > (size_t)self->args->count)
            first = reply->n_events - (size_t)self->args->count;
        for (size_t i = first; i < reply->n_events; i++)
            show (self, reply->events[i]);
        self->after = reply->next;
    }
    int more = other || reply->n_events >= 1000;
    strata__events_reply__free_unpacked (reply, NULL);
    return more;
}

/* With -n N: begins N events before the newest. */
static int seek (struct follow *self, struct strata_client *client, struct strata_error *error)
{
    if (self->args->count < 0)
        return 0;
    Strata__EventsReply *reply = ask_events (client, UINT64_MAX - 1, 1, error);
    if (!reply)
        return -1;
    self->after = reply->next > (uint64_t)self->args->count ? reply->next - (uint64_t)self->args->count : 0;
    strata__events_reply__free_unpacked (reply, NULL);
    return 0;
}

int cmd_events (const struct cli_args *args)
{
    struct strata_error error;
    struct workspace workspace;
    volatile sig_atomic_t *stop;
    struct follow self = { .args = args };
    if (workspace_find (args->workspace, &workspace, &error) < 0)
        return cli_fail (args, CLI_FAILED, "%s", error.text);
    struct strata_client *client = ask_open (&workspace, 2500, &error);
    if (!client || seek (&self, client, &error) < 0) {
        strata_close (&client);
        return cli_fail (args, CLI_FAILED, "%s", error.text);
    }
    int code = CLI_OK, rc;
    self.list = args->json && !args->follow ? json_array () : NULL;
    launch_catch_signals (&stop);
    for (unsigned silent = 0; !*stop;) {
        rc = page (&self, client, &error);
        fflush (stdout);
        if (ferror (stdout) || (rc == 0 && !args->follow))
            break;
        silent = rc < 0 ? silent + 1 : 0;
        if (rc < 0 && (!args->follow || silent > 10)) {
            code = cli_fail (args, CLI_FAILED, "%s", error.text);
            break;
        }
        if (rc == 0)
            usleep (300000);
    }
    if (self.list && code == CLI_OK)
        cli_print_json (self.list);
    else
        json_decref (self.list);
    strata_close (&client);
    return code;
}
