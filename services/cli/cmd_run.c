/* cmd_run.c - strata run: a campaign from its start to its goal, in front of a person or in a script.
 *
 *   already complete? -> summary          else   up (or attach) -> watch -> goal -> down -> audit -> summary
 *                                                                   |-> Ctrl-C -> down (attached: leaves it up), 130
 *                                                                   |-> stuck, --timeout, supervisor ended -> down, 1
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "launch.h"
#include "screen.h"
#include "summary.h"

#define LINE_EVERY_S 10.0
#define STUCK_S 60.0 /* nothing to do for so long: it won't come back by itself */

struct run {
    struct launch launch;
    const struct cli_args *args;
    struct strata_client *client;
    volatile sig_atomic_t *stop;
    bool terminal;
    double started_s;
    int64_t started_us;
    Strata__StatusReply *status;
    double status_s; /* when it came */
    Strata__JobsReply *jobs;
    Strata__Event *events[SCREEN_EVENTS];
    size_t events_count;
    uint64_t after, boot;
    int64_t seen_us; /* of the newest event that was shown */
    double line_s, stuck_since_s;
    char note[512];
};

enum verdict { GOES_ON, COMPLETE, INTERRUPTED, TIMED_OUT, STUCK, SUPERVISOR_ENDED };

/* ---- events ---- */

static void keep_event (struct run *self, const Strata__Event *event)
{
    size_t size = strata__event__get_packed_size (event);
    uint8_t *bytes = malloc (size ? size : 1);
    if (!bytes)
        return;
    strata__event__pack (event, bytes);
    Strata__Event *kept = strata__event__unpack (NULL, size, bytes);
    free (bytes);
    if (!kept)
        return;
    if (self->events_count == SCREEN_EVENTS) {
        strata__event__free_unpacked (self->events[0], NULL);
        for (size_t i = 1; i < SCREEN_EVENTS; i++)
            self->events[i - 1] = self->events[i];
        self->events_count--;
    }
    self->events[self->events_count++] = kept;
}

static void take_events (struct run *self)
{
    struct strata_error error;
    for (bool more = true; more;) {
        Strata__EventsReply *reply = ask_events (self->client, self->after, 1000, &error);
        if (!reply)
            return;
        if (self->boot && reply->boot != self->boot) {
            /* Another status process: its numbers are new, and older events come again. */
            self->boot = reply->boot;
            self->after = 0;
            strata__events_reply__free_unpacked (reply, NULL);
            continue;
        }
        self->boot = reply->boot;
        for (size_t i = 0; i < reply->n_events; i++) {
            const Strata__Event *event = reply->events[i];
            if (event->time_us <= self->seen_us && self->after == 0)
                continue;
            keep_event (self, event);
            if (!self->terminal && event->time_us >= self->started_us - 1000000)
                screen_event (stdout, event);
            if (event->time_us > self->seen_us)
                self->seen_us = event->time_us;
        }
        more = reply->n_events >= 1000;
        self->after = reply->next;
        strata__events_reply__free_unpacked (reply, NULL);
    }
}

/* ---- one look ---- */

static void take_status (struct run *self)
{
    struct strata_error error;
    if (!self->client)
        self->client = strata_open (self->launch.workspace.path, "strata-run", 1500, &error);
    Strata__StatusReply *status = self->client ? ask_status (self->client, &error) : NULL;
    if (!status)
        return;
    if (self->status)
        strata__status_reply__free_unpacked (self->status, NULL);
    self->status = status;
    self->status_s = cli_now_s ();
    take_events (self);
    const Strata__ReplicaStatus *schedule = figures_replica (status, "schedule");
    Strata__JobsReply *jobs = NULL;
    if (self->terminal && schedule && schedule->alive)
        jobs = ask_running (self->client, 50, &error);
    if (jobs) {
        if (self->jobs)
            strata__jobs_reply__free_unpacked (self->jobs, NULL);
        self->jobs = jobs;
    }
}

static void show (struct run *self)
{
    struct screen screen = { .campaign = self->launch.campaign,
                             .status = self->status,
                             .jobs = self->jobs,
                             .answer_age_s = self->status ? cli_now_s () - self->status_s : 0,
                             .elapsed_s = cli_now_s () - self->started_s,
                             .events_count = self->events_count,
                             .note = self->note[0] ? self->note : NULL };
    for (size_t i = 0; i < self->events_count; i++)
        screen.events[i] = self->events[i];
    if (self->terminal)
        screen_draw (&screen);
    else if (cli_now_s () - self->line_s >= LINE_EVERY_S) {
        screen_line (stdout, &screen);
        if (self->note[0])
            printf ("%s\n", self->note);
        self->line_s = cli_now_s ();
    }
    fflush (stdout);
}

static enum verdict judge (struct run *self)
{
    char why[256], since[32];
    if (*self->stop)
        return INTERRUPTED;
    if (self->status && self->status->complete)
        return COMPLETE;
    if (!launch_report (&self->launch, self->terminal ? NULL : stdout, "supervisor: "))
        return SUPERVISOR_ENDED;
    if (self->args->timeout_s && cli_now_s () - self->started_s > self->args->timeout_s)
        return TIMED_OUT;
    double aside = self->status ? figures_metric (self->status, "schedule", "jobs_aside", 0) : 0;
    self->note[0] = '\0';
    if (aside > 0)
        snprintf (self->note, sizeof (self->note),
                  "%.0f jobs were set aside after too many failures; `strata jobs --state aside` says why", aside);
    if (self->status && figures_stuck (self->status, self->launch.campaign, why, sizeof (why))) {
        if (!self->stuck_since_s)
            self->stuck_since_s = cli_now_s ();
        snprintf (self->note, sizeof (self->note), "nothing to do for %s: %s",
                  cli_duration (cli_now_s () - self->stuck_since_s, since, sizeof (since)), why);
        if (cli_now_s () - self->stuck_since_s > STUCK_S)
            return STUCK;
    } else
        self->stuck_since_s = 0;
    return GOES_ON;
}

static enum verdict watch (struct run *self)
{
    enum verdict verdict = GOES_ON;
    if (self->terminal)
        screen_enter ();
    while (verdict == GOES_ON) {
        take_status (self);
        verdict = judge (self);
        show (self);
        if (verdict == GOES_ON && !*self->stop)
            usleep (400000);
    }
    screen_leave ();
    return verdict;
}

/* ---- the end ---- */

/* With the mesh down: recounts and tells what was done. */
static int conclude (struct run *self)
{
    struct strata_error error;
    struct audit audit;
    char text[32];
    int code = CLI_FAILED;
    if (audit_run (self->launch.workspace.path, self->launch.campaign, false, false, &audit, &error) < 0)
        cli_fail (NULL, CLI_FAILED, "%s", error.text);
    else {
        printf ("\n");
        summary_checks (stdout, &audit);
        printf ("\n");
        summary_figures (stdout, &audit, self->launch.campaign);
        code = audit.violations ? CLI_FAILED : CLI_OK;
    }
    if (self->status) {
        printf ("this run     %s", cli_duration (cli_now_s () - self->started_s, text, sizeof (text)));
        printf (", cores %.0f %% occupied (since schedule started, until %s before its end)\n",
                100 * figures_metric (self->status, "schedule", "occupancy", 0),
                cli_duration (cli_now_s () - self->status_s, text, sizeof (text)));
    }
    audit_fini (&audit);
    return code;
}

static int finish (struct run *self, enum verdict verdict)
{
    const char *file = self->args->rest[0];
    const struct workspace *workspace = &self->launch.workspace;
    if (verdict == INTERRUPTED && self->launch.attached) {
        printf ("the campaign was up before and stays up; `strata run %s` looks again, `strata down` stops it\n", file);
        return CLI_INTERRUPTED;
    }
    if (verdict == INTERRUPTED)
        printf ("\nstopping ... (jobs are stopped so that they can go on later; Ctrl-C hurries)\n");
    fflush (stdout);
    if (verdict != SUPERVISOR_ENDED && !launch_stop (workspace, self->stop, stdout))
        return cli_fail (NULL, CLI_FAILED, "the services have not ended; see %s/log/supervisor.log", workspace->path);
    switch (verdict) {
    case COMPLETE:
        printf ("campaign %s is complete\n", self->launch.campaign->name);
        return conclude (self);
    case INTERRUPTED:
        printf ("stopped. `%s run %s` goes on from here.\n", program_invocation_name, file);
        return CLI_INTERRUPTED;
    case TIMED_OUT:
        conclude (self);
        return cli_fail (NULL, CLI_FAILED, "the goal was not reached within %d s (--timeout); `strata run %s` goes on",
                         self->args->timeout_s, file);
    case STUCK:
        conclude (self);
        return cli_fail (NULL, CLI_FAILED,
                         "the goal can't be reached: %s; `strata events` and `strata jobs --state aside` say more",
                         self->note);
    default:
        return cli_fail (NULL, CLI_FAILED, "the supervisor has ended; see %s/log/supervisor.log", workspace->path);
    }
}

static void run_fini (struct run *self)
{
    if (self->status)
        strata__status_reply__free_unpacked (self->status, NULL);
    if (self->jobs)
        strata__jobs_reply__free_unpacked (self->jobs, NULL);
    for (size_t i = 0; i < self->events_count; i++)
        strata__event__free_unpacked (self->events[i], NULL);
    strata_close (&self->client);
    launch_fini (&self->launch);
}

int cmd_run (const struct cli_args *args)
{
    struct run self = { .args = args, .terminal = isatty (STDOUT_FILENO), .started_s = cli_now_s () };
    struct timespec ts;
    clock_gettime (CLOCK_REALTIME, &ts);
    self.started_us = (int64_t)ts.tv_sec * 1000000;
    int code = launch_init (&self.launch, args);
    if (code)
        return code;
    if (!workspace_supervisor (&self.launch.workspace)
        && audit_goal_reached (self.launch.workspace.path, self.launch.campaign)) {
        printf ("campaign %s is complete already; nothing was started\n", self.launch.campaign->name);
        code = conclude (&self);
        run_fini (&self);
        return code;
    }
    launch_catch_signals (&self.stop);
    atexit (screen_leave);
    code = launch_start (&self.launch, true);
    if (code == CLI_OK && self.launch.attached)
        printf ("campaign %s is up already: attached to it\n", self.launch.campaign->name);
    else if (code == CLI_OK) {
        code = launch_wait (&self.launch, self.stop);
        if (code == CLI_INTERRUPTED)
            code = finish (&self, INTERRUPTED);
        else if (code)
            launch_stop (&self.launch.workspace, self.stop, stdout);
    }
    if (code == CLI_OK)
        code = finish (&self, watch (&self));
    run_fini (&self);
    return code;
}
