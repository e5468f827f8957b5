/* world_arrivals.c - what a campaign gets from outside of its cores: candidates, frames, losses of nodes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "data/histogram.h"
#include "world_impl.h"

#define YEAR_US 3.15576e13
#define FRAMES_OF_A_SNAPSHOT 30 /* candidates of the further scales that come beside those of a snapshot */

/* ---- candidates ---- */

/* About as the proteins of the campaign stand: alone, as RAS-RAF, as something else; a tenth shows lipids alone. */
static const char *configuration_of (double u)
{
    return u < 0.1 ? "lipid-only" : u < 0.55 ? "ras" : u < 0.85 ? "ras-raf" : "other";
}

static void add_candidate (struct world *self, struct scale *scale)
{
    Strata__Candidate candidate = STRATA__CANDIDATE__INIT;
    bool first = scale == self->scales;
    unsigned dimensions = !first ? 3 : scale->campaign.select.dimensions ? scale->campaign.select.dimensions
                                                                          : scale->campaign.patch.encoder.dimensions;
    float point[64];
    char id[64];
    snprintf (id, sizeof (id), first ? "patch-%08llu/%06llu" : "frame-%08llu/%06llu", (unsigned long long)self->snapshots,
              (unsigned long long)scale->candidates++);
    for (unsigned i = 0; first && i < dimensions; i++)
        point[i] = (float)model_normal (&self->random);
    if (!first) {
        point[0] = (float)acos (1 - 2 * model_uniform (&self->random));                 /* tilt: even on the sphere */
        point[1] = (float)(M_PI * (2 * model_uniform (&self->random) - 1));
        point[2] = (float)(2 + 0.6 * model_normal (&self->random));                      /* depth, nm */
        point[2] = point[2] < 0 ? 0 : point[2];
    }
    candidate.id = id;
    candidate.configuration = (char *)(first ? configuration_of (model_uniform (&self->random)) : "other");
    candidate.point = point;
    candidate.n_point = dimensions;
    candidate.simulation = (char *)(first ? "continuum" : "cg");
    candidate.index = self->snapshots;
    self->totals.candidates += select_add (scale->core, &candidate, self->now_us) == STRATA__SELECT_EVENT_KIND__SELECT_ADDED;
}

void world_fill_queues (struct world *self, uint64_t count)
{
    double before = world_cpu_s ();
    struct strata_error error;
    for (size_t i = 0; i < self->scales_count; i++)
        for (uint64_t n = 0; n < count; n++) {
            add_candidate (self, &self->scales[i]);
            if (n % 10000 == 9999 && shard_commit (self->scales[i].shard, &error) != 0)
                log_error ("%s", error.text);
        }
    self->snapshots++;
    self->totals.select_s += world_cpu_s () - before;
}

/* The continuum model: what runs always. Without one (none in the campaign) snapshots come from elsewhere. */
static bool continuum_runs (const struct world *self)
{
    for (unsigned i = 0; i < self->campaign.jobs_count; i++) {
        struct schedule_figures figures;
        if (self->jobs[i].start != JOB_ALWAYS)
            continue;
        schedule_type_figures (self->drive.core, i, &figures);
        if (!figures.running)
            return false;
    }
    return true;
}

void world_candidates (struct world *self)
{
    if (self->now_us < self->next_snapshot_us)
        return;
    self->next_snapshot_us += (int64_t)(self->campaign.emulate.snapshot_s * 1e6);
    if (!continuum_runs (self))
        return;
    double before = world_cpu_s ();
    for (size_t i = 0; i < self->scales_count; i++)
        for (unsigned n = i ? FRAMES_OF_A_SNAPSHOT : self->campaign.emulate.patches; n > 0; n--)
            add_candidate (self, &self->scales[i]);
    self->snapshots++;
    self->totals.select_s += world_cpu_s () - before;
}

/* ---- frames of feedback ---- */

struct telling {
    struct world *world;
    Strata__Histogram frame;    /* all are alike in what they count */
};

/* Small counts in a few bins of each row, as a short histogram has them. *room: of the record, freed by the caller; NULL: no
 * memory. */
static void fill_histogram (struct world *self, Strata__Histogram *frame, uint8_t **room)
{
    const struct campaign_feedback *shape = &self->campaign.feedback;
    size_t cells = (size_t)shape->rows_count * shape->bins;
    int64_t *counts = calloc (cells, sizeof (*counts));
    *room = malloc (8 * cells); /* bytes of the counts as they are */
    for (size_t i = 0; counts && i < cells; i++)
        counts[i] = model_uniform (&self->random) < 0.3;
    strata__histogram__init (frame);
    if (counts && *room)
        histogram_set (frame, counts, shape->rows_count, shape->bins, *room);
    free (counts);
}

static void tell_frames (const char *id, uint64_t last, uint64_t frames, void *arg)
{
    struct telling *telling = arg;
    struct world *self = telling->world;
    const struct campaign_feedback *shape = &self->campaign.feedback;
    struct strata_error error;
    self->round_frames += frames;
    for (uint64_t i = last - frames + 1; i <= last; i++) {
        if (self->frames_seen++ % self->thin)
            continue;
        telling->frame.simulation = (char *)id;
        telling->frame.frame = i;
        telling->frame.state = shape->states[self->frames_seen / self->thin % shape->states_count];
        if (feedback_add (self->feedback, &telling->frame, &error) == FEEDBACK_ADDED)
            self->totals.frames_told++;
        else
            log_warn ("frame %llu of %s: %s", (unsigned long long)i, id, error.text);
    }
}

/* A round: what came since the last one is summed up, and a report is made of it if one is due. */
void world_frames (struct world *self)
{
    struct telling telling = { .world = self };
    struct strata_error error;
    uint8_t *room;
    double before = world_cpu_s ();
    self->round_frames = 0;
    fill_histogram (self, &telling.frame, &room);
    emulated_frames (self->emulated, tell_frames, &telling);
    self->totals.frames += self->round_frames;
    if (feedback_due (self->feedback, self->now_us)) {
        feedback_decide (self->feedback, self->now_us);
        if (shard_commit (self->feedback_shard, &error) != 0)
            log_error ("%s", error.text);
        feedback_written (self->feedback);
        self->totals.reports++;
    }
    if (shard_commit (self->feedback_shard, &error) != 0)
        log_error ("%s", error.text);
    self->totals.feedback_s += world_cpu_s () - before;
    free (room);
}

/* ---- nodes ---- */

static void lose_one (struct world *self)
{
    size_t nodes = machine_nodes (self->options.machine), node = (size_t)(model_uniform (&self->random) * (double)nodes);
    for (size_t i = 0; i < self->lost_count; i++)
        if (self->lost[i].node == node)
            return;
    if (self->lost_count == self->lost_room) {
        self->lost_room = self->lost_room ? 2 * self->lost_room : 16;
        self->lost = realloc (self->lost, self->lost_room * sizeof (*self->lost));
        if (!self->lost)
            abort ();
    }
    self->lost[self->lost_count].node = (uint32_t)node;
    self->lost[self->lost_count++].back_us = self->now_us + (int64_t)(self->campaign.emulate.node_hours * 3.6e9);
    self->totals.lost_nodes++;
    emulated_lose_node (self->emulated, (uint32_t)node);
    schedule_set_node (self->drive.core, node, RESOURCES_LOST, self->now_us, NULL);
}

/* Losses come at random, as often as the number of nodes says. */
void world_nodes (struct world *self)
{
    double each_us = YEAR_US / (self->campaign.emulate.node_losses * (double)machine_nodes (self->options.machine));
    for (size_t i = self->lost_count; i-- > 0;)
        if (self->now_us >= self->lost[i].back_us) {
            schedule_set_node (self->drive.core, self->lost[i].node, RESOURCES_UP, self->now_us, NULL);
            self->lost[i] = self->lost[--self->lost_count];
        }
    if (!(self->campaign.emulate.node_losses > 0))
        return;
    if (self->next_loss_us && self->now_us >= self->next_loss_us)
        lose_one (self);
    if (!self->next_loss_us || self->now_us >= self->next_loss_us)
        self->next_loss_us = self->now_us - (int64_t)(each_us * log (1 - model_uniform (&self->random)));
}
