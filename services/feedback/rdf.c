/* rdf.c - the manager of CG -> continuum: histograms into the core's sums (feedback_core.h), its reports into
 * <workspace>/feedback/rdf. See README.md. */
#include "manager.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/crash_point.h"
#include "core/log.h"
#include "feedback_core.h"
#include "mesh/service.h"
#include "rounds.h"
#include "store/stream.h"
#include "weights.h"
#include "writer.h"

#define RELINK_US 1000000 /* between looks at the link to the newest report */
#define ROWS_A_TICK 16384 /* of simulations, that a report is weighed by: some 50 ms */
#define RETRY_US (5 * 1000000LL) /* between tries to write a report that could not be written */

struct state {
    struct feedback *core;
    struct writer *writer;
    struct weights *weights; /* NULL: reports have none */
    bool undecided;   /* the pending report's decision may not be on disk yet ... */
    uint64_t commits; /* ... until the shard has more commits than this */
    int64_t retry_us; /* not before */
    int64_t linked_us; /* when the link to the newest report was looked at */
    char dir[4096];
};

static void decide (struct service *service, const Strata__ReportWeights *weights, void *arg)
{
    struct state *self = arg;
    if (!feedback_due (self->core, service_now_us (service)))
        return;
    feedback_decide_weighted (self->core, weights, service_now_us (service));
    crash_point ("report.decided");
    self->undecided = true;
    self->commits = shard_commits (service_shard (service));
}

static void decide_if_due (struct state *self, struct service *service)
{
    if (!feedback_due (self->core, service_now_us (service)))
        return;
    if (self->weights)
        weights_ask (self->weights, service); /* and decides when they are there */
    else
        decide (service, NULL, self);
}

/* A shard that makes no reports hands over what it has summed up. */
static void hand_over_if_due (struct state *self, struct service *service, int64_t now_us)
{
    struct strata_error error;
    if (!feedback_partial_due (self->core, now_us))
        return;
    if (feedback_hand_over (self->core, now_us, &error) < 0) {
        service_trouble (service, "%s", error.text);
        return;
    }
    service_trouble (service, NULL);
    service_announce (service, FEEDBACK_PARTIALS);
}

static int on_histogram (struct service *service, const char *peer, uint64_t sequence, int64_t time_us,
                         const void *record, size_t size, void *arg)
{
    struct state *self = arg;
    struct strata_error why;
    Strata__Histogram *frame = strata__histogram__unpack (NULL, size, record);
    enum feedback_outcome outcome =
        frame ? feedback_add (self->core, frame, &why) : feedback_add_broken (self->core, peer, &why);
    if (outcome == FEEDBACK_ASIDE)
        service_event (service,
                       "frame-aside",
                       frame && producer_name_valid (frame->simulation) ? frame->simulation : peer,
                       "%s",
                       why.text);
    if (frame)
        strata__histogram__free_unpacked (frame, NULL);
    if (outcome == FEEDBACK_ADDED) {
        decide_if_due (self, service);
        hand_over_if_due (self, service, service_now_us (service));
    }
    return outcome == FEEDBACK_LATER ? -1 : 0;
}

static int on_uptake (struct service *service, const char *peer, uint64_t sequence, int64_t time_us, const void *record,
                      size_t size, void *arg)
{
    struct state *self = arg;
    struct strata_error why;
    char subject[40] = "uptake";
    Strata__Uptake *uptake = strata__uptake__unpack (NULL, size, record);
    enum feedback_outcome outcome =
        uptake ? feedback_take (self->core, uptake, &why) : feedback_take_broken (self->core, peer, &why);
    if (uptake)
        snprintf (subject, sizeof (subject), "round.%06llu", (unsigned long long)uptake->round);
    if (uptake && outcome == FEEDBACK_ADDED)
        service_event (service,
                       "uptake-seen",
                       subject,
                       "the model uses report %llu from its step %llu on",
                       (unsigned long long)uptake->round,
                       (unsigned long long)uptake->step);
    else if (outcome == FEEDBACK_ASIDE)
        service_event (service, "uptake-aside", subject, "%s", why.text);
    if (uptake)
        strata__uptake__free_unpacked (uptake, NULL);
    return 0;
}

/* What became of the report that is being written. */
static enum writer_state look_at_writer (struct state *self, struct service *service, struct strata_error *error)
{
    enum writer_state state = WRITER_IDLE;
    if (!service_replays (service))
        state = writer_poll (self->writer, error);
    service_fact (service, &state, sizeof (state));
    if (state == WRITER_FAILED)
        service_fact_text (service, error->text, sizeof (error->text));
    return state;
}

static int on_partial (struct service *service, const char *peer, uint64_t sequence, int64_t time_us, const void *record, size_t size,
                       void *arg)
{
    struct state *self = arg;
    struct strata_error why = { "a record of stream " FEEDBACK_PARTIALS " is no partial" };
    Strata__Partial *partial = strata__partial__unpack (NULL, size, record);
    enum feedback_outcome outcome = partial ? feedback_merge (self->core, partial, &why) : FEEDBACK_ASIDE;
    if (outcome == FEEDBACK_ASIDE)
        service_event (service, "partial-aside", peer, "%s", why.text);
    if (partial)
        strata__partial__free_unpacked (partial, NULL);
    if (outcome == FEEDBACK_ADDED)
        decide_if_due (self, service);
    return outcome == FEEDBACK_LATER ? -1 : 0;
}

/* Moves the pending report one step on: its decision on disk -> writing -> written, or held and tried again. */
static void move_report (struct state *self, struct service *service, int64_t now_us)
{
    struct strata_error error;
    const struct feedback_report *report = feedback_pending (self->core);
    switch (look_at_writer (self, service, &error)) {
    case WRITER_DONE: {
        char subject[40];
        snprintf (subject, sizeof (subject), "round.%06llu", (unsigned long long)report->round);
        service_event (service,
                       "report-written",
                       subject,
                       "report %llu: %llu frames of %llu simulations",
                       (unsigned long long)report->round,
                       (unsigned long long)report->frames,
                       (unsigned long long)report->simulations);
        crash_point ("report.written");
        feedback_written (self->core);
        service_trouble (service, NULL);
        break;
    }
    case WRITER_FAILED:
        service_trouble (service, "%s; it is tried again", error.text);
        feedback_hold (self->core);
        self->retry_us = now_us + RETRY_US;
        break;
    case WRITER_IDLE:
        if (!report && now_us - self->linked_us > RELINK_US && !service_replays (service)) {
            struct feedback_figures f;
            feedback_figures (self->core, &f);
            self->linked_us = now_us;
            if (f.reports_written && rounds_relink (self->dir, f.reports_written, &error) != 0)
                log_warn ("the link to the newest report was not there or named another");
        }
        if (self->undecided && shard_commits (service_shard (service)) > self->commits)
            self->undecided = false;
        if (report && feedback_weigh (self->core, ROWS_A_TICK) && !self->undecided && (now_us >= self->retry_us || self->retry_us - now_us > RETRY_US)
            && !service_replays (service) && writer_start (self->writer, report, &error) < 0)
            service_trouble (service, "%s", error.text);
        break;
    case WRITER_BUSY:
        break;
    }
}

static void tick (void *state, struct service *service, int64_t now_us)
{
    struct state *self = state;
    if (service_shard_number (service)) {
        hand_over_if_due (self, service, now_us);
        return;
    }
    move_report (self, service, now_us);
    decide_if_due (self, service);
}

static void stop (void *state, struct service *service)
{
    struct state *self = state;
    writer_free (&self->writer); /* before the core: it reads the core's sums */
    weights_free (&self->weights);
    feedback_free (&self->core);
    free (self);
}

static bool wanted (const struct campaign *campaign, unsigned shard)
{
    return true;
}

static void *start (struct service *service, struct strata_error *error)
{
    const struct campaign_feedback *config = &service_campaign (service)->feedback;
    struct state *self = calloc (1, sizeof (*self));
    if (!self) {
        strata_fail (error, "out of memory");
        return NULL;
    }
    if ((size_t)snprintf (self->dir, sizeof (self->dir), "%s/feedback/rdf", service_workspace (service)) >= sizeof (self->dir)) {
        free (self);
        strata_fail (error, "workspace %.200s...: the path is too long", service_workspace (service));
        return NULL;
    }
    unsigned number = service_shard_number (service);
    self->core = feedback_new (service_shard (service), config, number, service_now_us (service), error);
    self->writer = self->core ? writer_new (self->dir, error) : NULL;
    if (self->writer && config->weights && !(self->weights = weights_new (decide, self))) {
        strata_fail (error, "out of memory");
        writer_free (&self->writer);
    }
    if (!self->writer) {
        int saved = errno;
        stop (self, service);
        errno = saved;
        return NULL;
    }
    service_consume_part (service, "stage", config->from, number, config->shards, on_histogram, self);
    if (number == 0)
        service_consume (service, "stage", config->uptake, on_uptake, self);
    if (number == 0 && config->shards > 1)
        service_consume (service, "feedback", FEEDBACK_PARTIALS, on_partial, self);
    if (number)
        stream_set_limit (service_shard (service),
                          FEEDBACK_PARTIALS,
                          (uint64_t)service_campaign (service)->stage.queue_mb << 20);
    return self;
}

static void metrics (void *state, struct service *service)
{
    struct state *self = state;
    struct feedback_figures f;
    feedback_figures (self->core, &f);
    service_metric (service, "repeats", (double)f.repeats, 0);
    service_metric (service, "refused", (double)f.refused, 0);
    if (service_shard_number (service)) {
        service_metric (service, "frames_of_shard", (double)f.frames, 0);
        service_metric (service, "partials_handed_over", (double)f.reports_written, 0);
        service_metric (service, "frames_since_partial", (double)f.frames_since_report, 0);
        return;
    }
    service_metric (service, "frames", (double)f.frames, 0);
    service_metric (service, "simulations", (double)f.simulations, 0);
    service_metric (service, "reports_written", (double)f.reports_written, 0);
    service_metric (service, "reports_taken", (double)f.reports_taken, 0);
    service_metric (service, "frames_since_report", (double)f.frames_since_report, 0);
}

const struct feedback_manager rdf_manager = {
    .name = "rdf",
    .wanted = wanted,
    .start = start,
    .tick = tick,
    .metrics = metrics,
    .stop = stop,
};
