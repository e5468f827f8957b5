/* patterns_manager.c - the manager of AA -> CG: structures into the core (patterns.h), frames to the workers (workers.h), reports
 * into <workspace>/feedback/patterns. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/campaign_template.h"
#include "core/crash_point.h"
#include "core/log.h"
#include "manager.h"
#include "patterns.h"
#include "rounds.h"
#include "store/stream.h"
#include "workers.h"

#define RETRY_US (5 * 1000000LL) /* between tries to write a report that could not be written */
#define ANSWER_MAX (WORKERS_ANSWER_MAX + 1)

struct manager {
    struct patterns *core;
    struct workers *workers; /* NULL in a replay */
    uint64_t given;          /* the highest number handed to the workers */
    uint64_t *again;         /* [again_count] numbers that failed and wait once more */
    size_t again_count, again_room;
    uint64_t written;        /* the newest report that is known to stand */
    uint64_t commits;        /* it is on disk when the shard has more of them */
    uint64_t decided;        /* the newest report decided since this process began, or found in the store */
    int64_t retry_us;
    char trouble[512];
    bool told;               /* a trouble is shown in status */
    char dir[4096];
    char answer[ANSWER_MAX];
};

static int on_structure (struct service *service, const char *peer, uint64_t sequence, int64_t time_us, const void *record,
                         size_t size, void *arg)
{
    struct manager *self = arg;
    struct strata_error why;
    Strata__Structure *structure = strata__structure__unpack (NULL, size, record);
    enum feedback_outcome outcome =
        structure ? patterns_take (self->core, structure, record, size, &why) : patterns_take_broken (self->core, peer, &why);
    if (outcome == FEEDBACK_ASIDE)
        service_event (service, "structure-aside", peer, "%s", why.text);
    if (structure)
        strata__structure__free_unpacked (structure, NULL);
    return outcome == FEEDBACK_LATER ? -1 : 0;
}

/* ---- workers ---- */

static void give_frame (struct manager *self, uint64_t number, const void *record, size_t size)
{
    Strata__Structure *structure = strata__structure__unpack (NULL, size, record);
    if (!structure)
        return; /* the core ends the process when it finds that out */
    json_t *header = json_pack ("{s:s, s:I, s:s, s:I}", "simulation", structure->simulation, "frame", (json_int_t)structure->frame,
                                "protein", structure->protein, "bytes", (json_int_t)structure->atoms.len);
    char *line = header ? json_dumps (header, JSON_COMPACT) : NULL;
    if (line)
        workers_give (self->workers, number, line, structure->atoms.data, structure->atoms.len);
    else
        log_error ("frame %" PRIu64 " of %s can't be told to a worker", structure->frame, structure->simulation);
    free (line);
    json_decref (header);
    strata__structure__free_unpacked (structure, NULL);
}

/* Every waiting frame is with the workers, each once: the shard has no more of them than the workers may hold. */
static void give_waiting (struct manager *self)
{
    void *record;
    size_t size;
    for (size_t i = 0; i < self->again_count; i++) {
        if (patterns_waiting (self->core, self->again[i] - 1, &record, &size) == self->again[i])
            give_frame (self, self->again[i], record, size);
        free (record);
    }
    self->again_count = 0;
    for (uint64_t number; (number = patterns_waiting (self->core, self->given, &record, &size)); free (record)) {
        give_frame (self, number, record, size);
        self->given = number;
    }
}

static void give_again (struct manager *self, uint64_t number)
{
    if (self->again_count == self->again_room) {
        size_t room = self->again_room ? 2 * self->again_room : 64;
        uint64_t *again = realloc (self->again, room * sizeof (*again));
        if (!again) {
            log_error ("out of memory");
            abort ();
        }
        self->again = again;
        self->again_room = room;
    }
    self->again[self->again_count++] = number;
}

/* One result, from the workers or from the record of a replay; false: there is none now. */
static bool next_result (struct manager *self, struct service *service, uint64_t *number, bool *answered)
{
    struct workers_result result = { .number = 0 };
    bool any = self->workers && workers_take (self->workers, &result);
    service_fact (service, &any, sizeof (any));
    if (!any)
        return false;
    *number = result.number;
    *answered = result.answered;
    snprintf (self->answer, sizeof (self->answer), "%s", result.text ? result.text : "");
    free (result.text);
    service_fact (service, number, sizeof (*number));
    service_fact (service, answered, sizeof (*answered));
    service_fact_text (service, self->answer, sizeof (self->answer));
    return true;
}

static void take_results (struct manager *self, struct service *service)
{
    uint64_t number;
    bool answered;
    char simulation[PRODUCER_NAME_MAX + 1];
    struct strata_error why;
    while (next_result (self, service, &number, &answered)) {
        enum feedback_outcome outcome = answered ? patterns_answered (self->core, number, self->answer, simulation, &why)
                                                 : patterns_failed (self->core, number, self->answer, simulation, &why);
        if (outcome == FEEDBACK_LATER)
            give_again (self, number);
        if (outcome == FEEDBACK_LATER || outcome == FEEDBACK_ASIDE)
            service_event (service, outcome == FEEDBACK_ASIDE ? "structure-aside" : "worker-failed", simulation, "%s", why.text);
    }
}

/* ---- reports ---- */

static void decide_if_due (struct manager *self, struct service *service, int64_t now_us)
{
    if (!patterns_due (self->core) || !patterns_decide (self->core, now_us))
        return;
    struct patterns_figures f;
    patterns_figures (self->core, &f);
    self->decided = f.reports;
    self->commits = shard_commits (service_shard (service));
    service_event (service, "patterns-changed", "patterns", "report %" PRIu64 ": another pattern is in force, after %" PRIu64 " frames",
                   f.reports, f.frames);
    crash_point ("patterns.decided");
}

/* A report is one small file; writing it again is harmless. */
static void write_if_due (struct manager *self, struct service *service, int64_t now_us)
{
    struct strata_error error;
    char *text;
    size_t size;
    if (self->written == self->decided || shard_commits (service_shard (service)) <= self->commits || now_us < self->retry_us)
        return;
    uint64_t round = patterns_report (self->core, &text, &size);
    if (!round)
        return;
    int rc = rounds_write (self->dir, round, &(struct rounds_file){ "patterns.json", text, size }, 1, &error);
    free (text);
    if (rc < 0) {
        snprintf (self->trouble, sizeof (self->trouble), "%s", error.text);
        self->retry_us = now_us + RETRY_US;
        log_warn ("%s; it is tried again", error.text);
        return;
    }
    self->trouble[0] = '\0';
    self->written = round;
}

static void tick (void *state, struct service *service, int64_t now_us)
{
    struct manager *self = state;
    take_results (self, service);
    decide_if_due (self, service, now_us);
    if (service_replays (service))
        return;
    give_waiting (self);
    write_if_due (self, service, now_us);
}

static void metrics (void *state, struct service *service)
{
    struct manager *self = state;
    const struct campaign_patterns *config = &service_campaign (service)->feedback.patterns;
    struct patterns_figures f;
    char trouble[400] = "";
    patterns_figures (self->core, &f);
    service_metric (service, "structures", (double)f.frames, 0);
    service_metric (service, "structures_waiting", (double)f.waiting, (double)config->workers * PATTERNS_WAITING);
    service_metric (service, "structures_aside", (double)f.aside, 0);
    service_metric (service, "structures_repeats", (double)f.repeats, 0);
    service_metric (service, "worker_failures", (double)f.failures, 0);
    service_metric (service, "pattern_reports", (double)f.reports, 0);
    service_metric (service, "workers_ready", self->workers ? workers_ready (self->workers, trouble) : 0, config->workers);
    bool any = *trouble || self->trouble[0];
    if (any)
        service_trouble (service, "%s", *trouble ? trouble : self->trouble);
    else if (self->told)
        service_trouble (service, NULL);
    self->told = any;
}

/* ---- its life ---- */

static const char *look_up (void *arg, const char *name)
{
    struct service *service = arg;
    if (strcmp (name, "bin_dir") == 0)
        return service_bin_dir (service);
    return strcmp (name, "workspace") == 0 ? service_workspace (service) : NULL;
}

static void free_argv (char **argv)
{
    for (char **p = argv; p && *p; p++)
        free (*p);
    free (argv);
}

static int start_workers (struct manager *self, struct service *service, struct strata_error *error)
{
    const struct campaign_patterns *config = &service_campaign (service)->feedback.patterns;
    char **argv = calloc (config->command_count + 1, sizeof (*argv));
    int rc = argv ? 0 : strata_fail (error, "out of memory");
    for (unsigned i = 0; rc == 0 && i < config->command_count; i++)
        if (!(argv[i] = campaign_template_expand (config->command[i], look_up, service, error))) {
            struct strata_error what = *error;
            rc = strata_fail (error, "feedback.patterns.command[%u]: %.300s (it may have {bin_dir} and {workspace})", i, what.text);
        }
    if (rc == 0
        && !(self->workers = workers_new (argv, service_workspace (service), config->workers, config->frame_s * 1000, error)))
        rc = -1;
    free_argv (argv);
    return rc;
}

static void stop (void *state, struct service *service)
{
    struct manager *self = state;
    workers_free (&self->workers);
    patterns_free (&self->core);
    free (self->again);
    free (self);
}

static bool wanted (const struct campaign *campaign, unsigned shard)
{
    return shard == 0 && campaign->feedback.patterns.from;
}

static void *start (struct service *service, struct strata_error *error)
{
    const struct campaign_patterns *config = &service_campaign (service)->feedback.patterns;
    struct manager *self = calloc (1, sizeof (*self));
    struct patterns_figures f;
    if (!self) {
        strata_fail (error, "out of memory");
        return NULL;
    }
    snprintf (self->dir, sizeof (self->dir), "%s/feedback/patterns", service_workspace (service));
    self->core = patterns_new (service_shard (service), config, error);
    if (!self->core || (!service_replays (service) && start_workers (self, service, error) < 0)) {
        int saved = errno;
        stop (self, service);
        errno = saved;
        return NULL;
    }
    patterns_figures (self->core, &f);
    self->decided = f.reports;
    service_consume (service, "stage", config->from, on_structure, self);
    return self;
}

const struct feedback_manager patterns_manager = {
    .name = "patterns",
    .wanted = wanted,
    .start = start,
    .tick = tick,
    .metrics = metrics,
    .stop = stop,
};
