/* world.c - see world.h: the cores, their stores, and the turn. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "core/log.h"
#include "world_impl.h"

/* 2020-12-01: the campaign's winter. */
#define BEGIN_US 1606780800000000LL
#define SELECT_EVERY_S 60
#define PREPARE_TURNS_MAX 100000

double world_cpu_s (void)
{
    struct rusage use;
    getrusage (RUSAGE_THREAD, &use);
    return (double)use.ru_utime.tv_sec + (double)use.ru_stime.tv_sec
           + (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

/* ---- what the schedule core tells ---- */

static void on_job (void *arg, const Strata__Job *job)
{
    struct world *self = arg;
    struct world_totals *totals = &self->totals;
    totals->decisions += job->state != STRATA__JOB_STATE__JOB_PROPOSED;
    totals->started += job->state == STRATA__JOB_STATE__JOB_RUNNING && !job->cancel;
    totals->succeeded += job->state == STRATA__JOB_STATE__JOB_SUCCEEDED;
    totals->aside += job->state == STRATA__JOB_STATE__JOB_ASIDE;
}

static void on_event (void *arg, const char *kind, const char *subject, const char *text)
{
    struct world *self = arg;
    self->totals.failures += strcmp (kind, "job-failed") == 0 || strcmp (kind, "job-aside") == 0;
    if (strcmp (kind, "job-bug") == 0 || strcmp (kind, "proposal-broken") == 0)
        log_error ("%s: %s", subject, text);
}

/* ---- building ---- */

static struct shard *open_store (struct world *self, const char *name, struct strata_error *error)
{
    char dir[4200];
    snprintf (dir, sizeof (dir), "%s/%s", self->folder, name);
    return shard_open_copy (dir, error);
}

/* The continuum model takes at most 0.15 of the nodes (150 of 1,000 in the campaign), and its snapshots come as much later. */
static void fit_continuum (struct world *self, const struct machine *machine)
{
    unsigned most = (unsigned)((double)machine_nodes (machine) * 0.15);
    self->campaign.emulate.snapshot_s = self->options.campaign->emulate.snapshot_s;
    for (unsigned i = 0; i < self->campaign.jobs_count; i++) {
        struct campaign_job *type = &self->jobs[i];
        const unsigned wanted = self->options.campaign->jobs[i].nodes;
        if (type->start != JOB_ALWAYS)
            continue;
        type->nodes = wanted > most ? most > 0 ? most : 1 : wanted;
        self->campaign.emulate.snapshot_s *= type->nodes ? (double)wanted / type->nodes : 1;
    }
}

static int open_schedule (struct world *self, const struct machine *machine, struct strata_error *error)
{
    struct schedule_sink sink = { on_job, on_event, self };
    self->options.machine = machine;
    fit_continuum (self, machine);
    self->drive.core = schedule_new (&self->campaign, self->schedule_shard, self->folder, machine, &sink, self->now_us, error);
    return self->drive.core ? 0 : -1;
}

/* The one for scales behind the first: tilt, rotation and depth of frames (MuMMI's frame selector). */
static void frame_selection (struct campaign_select *select)
{
    static double edges[] = { 1.5, 2, 2.5, 3 };
    static struct campaign_bins bins[] = { { .kind = (char *)"spherical" }, { .kind = (char *)"edges", .edges = edges, .edges_count = 4 } };
    static struct campaign_queue queue = { (char *)"frames", (char *)"other", 1, 500000 };
    select->sampler = (char *)"binned";
    select->novelty = 0.5;
    select->bins = bins;
    select->bins_count = 2;
    select->dimensions = 3;
    select->queues = &queue;
    select->queues_count = 1;
}

static int open_scales (struct world *self, struct strata_error *error)
{
    for (unsigned i = 0; i < self->campaign.jobs_count; i++) {
        if (self->jobs[i].start != JOB_SELECTION)
            continue;
        if (self->scales_count == SCALES_MAX)
            return strata_fail (error, "the campaign has more than %d job types with start: selection", SCALES_MAX);
        struct scale *scale = &self->scales[self->scales_count];
        char name[32];
        scale->type = &self->jobs[i];
        scale->campaign = self->campaign;
        if (self->scales_count)
            frame_selection (&scale->campaign.select);
        snprintf (name, sizeof (name), "select-%zu", self->scales_count++);
        scale->shard = open_store (self, name, error);
        scale->core = scale->shard ? select_open (scale->shard, &scale->campaign, error) : NULL;
        if (!scale->core)
            return -1;
    }
    return 0;
}

static int check_models (const struct campaign *campaign, struct strata_error *error)
{
    for (unsigned i = 0; i < campaign->jobs_count; i++)
        if (campaign->jobs[i].model.hours <= 0)
            return strata_fail (error, "%s: jobs[%u].model.hours: is needed to emulate jobs of type %s: how long they take",
                                campaign->path, i, campaign->jobs[i].name);
    return campaign->jobs_count <= WORLD_TYPES_MAX ? 0 : strata_fail (error, "%s: more than %d job types", campaign->path, WORLD_TYPES_MAX);
}

/* Frames that are counted for each one that the feedback core is told of. */
static uint64_t thinning (const struct world *self)
{
    double frames = 0;
    struct schedule_figures figures;
    schedule_figures (self->drive.core, &figures);
    for (unsigned i = 0; i < self->campaign.jobs_count; i++) {
        const struct campaign_job *type = &self->jobs[i];
        if (type->gpus && type->model.frames * (double)figures.gpus / type->gpus > frames)
            frames = type->model.frames * (double)figures.gpus / type->gpus;
    }
    frames *= SAMPLE_S / 3600.0;
    return self->options.frames_a_round && frames > self->options.frames_a_round ? (uint64_t)(frames / self->options.frames_a_round) + 1 : 1;
}

struct world *world_new (const struct world_options *options, struct strata_error *error)
{
    struct world *self = calloc (1, sizeof (*self));
    if (!self || check_models (options->campaign, error) != 0) {
        free (self);
        return NULL;
    }
    self->options = *options;
    self->campaign = *options->campaign;
    self->jobs = calloc (self->campaign.jobs_count + 1, sizeof (*self->jobs));
    self->now_us = self->begun_us = BEGIN_US;
    self->random.state = options->seed;
    self->next_snapshot_us = self->now_us;
    snprintf (self->folder, sizeof (self->folder), "%s", options->folder);
    if (!self->jobs || (mkdir (self->folder, 0755) != 0 && errno != EEXIST)) {
        strata_fail (error, "the folder %s can't be made: %s", self->folder, strerror (errno));
        world_free (&self);
        return NULL;
    }
    memcpy (self->jobs, options->campaign->jobs, self->campaign.jobs_count * sizeof (*self->jobs));
    self->campaign.jobs = self->jobs;
    self->emulated = emulated_new (&self->campaign, options->seed, self->now_us);
    self->drive = (struct drive){ .ops = &executor_emulated, .executor = self->emulated,
                                  .context = { self->folder, self->campaign.dir, "/", options->seed } };
    self->schedule_shard = open_store (self, "schedule", error);
    self->feedback_shard = self->schedule_shard ? open_store (self, "feedback", error) : NULL;
    self->feedback = self->feedback_shard ? feedback_new (self->feedback_shard, &self->campaign.feedback, 0, self->now_us, error) : NULL;
    if (!self->feedback || open_scales (self, error) != 0 || open_schedule (self, options->machine, error) != 0)
        world_free (&self);
    else
        self->thin = thinning (self);
    return self;
}

void world_free (struct world **self_p)
{
    struct world *self = *self_p;
    if (!self)
        return;
    schedule_free (&self->drive.core);
    feedback_free (&self->feedback);
    for (size_t i = 0; i < self->scales_count; i++) {
        select_close (&self->scales[i].core);
        shard_close (&self->scales[i].shard);
    }
    shard_close (&self->schedule_shard);
    shard_close (&self->feedback_shard);
    emulated_free (&self->emulated);
    free (self->lost);
    free (self->jobs);
    free (self);
    *self_p = NULL;
}

/* ---- a turn ---- */

static struct scale *scale_of (struct world *self, const char *type)
{
    for (size_t i = 0; i < self->scales_count; i++)
        if (strcmp (self->scales[i].type->name, type) == 0)
            return &self->scales[i];
    return NULL;
}

/* A question of schedule and the answer of select, as main.c of both carries them. */
static void carry (struct world *self, size_t i)
{
    const Strata__Question *question = schedule_proposal_at (self->drive.core, i);
    struct scale *scale = scale_of (self, question->type);
    struct strata_error error;
    Strata__RefusalCode code = STRATA__REFUSAL_CODE__REFUSED_INVALID;
    char name[64];
    snprintf (name, sizeof (name), "%s", question->name);
    bool asked = question->state == STRATA__QUESTION_STATE__QUESTION_ASKED;
    uint32_t count = question->count;
    double before = world_cpu_s ();
    schedule_proposal_sent (self->drive.core, i);
    Strata__ProposeReply *reply = asked ? select_propose (scale->core, name, count, self->now_us, &code, &error) : NULL;
    bool ok = asked ? reply != NULL : select_confirm (scale->core, name, self->now_us, &code, &error) == 0;
    self->totals.select_s += world_cpu_s () - before;
    if (!ok && (code == STRATA__REFUSAL_CODE__REFUSED_STALE || code == STRATA__REFUSAL_CODE__REFUSED_NOT_FOUND))
        schedule_stale (self->drive.core, name, self->now_us);
    else if (!ok)
        schedule_unanswered (self->drive.core, name, error.text, self->now_us);
    else if (asked)
        schedule_proposed (self->drive.core, name, reply, self->now_us);
    else {
        self->totals.selected += count;
        schedule_confirmed (self->drive.core, name, self->now_us);
    }
    if (reply)
        strata__propose_reply__free_unpacked (reply, NULL);
}

static int commit (struct world *self, struct strata_error *error)
{
    if (shard_commit (self->schedule_shard, error) != 0)
        return -1;
    double before = world_cpu_s ();
    for (size_t i = 0; i < self->scales_count; i++)
        if (shard_commit (self->scales[i].shard, error) != 0)
            return -1;
    self->totals.select_s += world_cpu_s () - before;
    return 0;
}

static int turn (struct world *self, struct strata_error *error)
{
    self->now_us += SECOND_US;
    emulated_move_on (self->emulated, self->now_us);
    uint64_t started = emulated_started (self->emulated);
    double before = world_cpu_s (), selecting = self->totals.select_s;
    drive_tick (&self->drive, self->now_us);
    schedule_tick (self->drive.core, self->now_us);
    for (size_t i = schedule_proposals (self->drive.core); i-- > 0;)
        if (schedule_proposal_due (self->drive.core, i, self->now_us))
            carry (self, i);
    if (commit (self, error) != 0)
        return -1;
    double took = world_cpu_s () - before - (self->totals.select_s - selecting);
    self->totals.schedule_s += took;
    if (took > self->totals.longest_tick_s) {
        self->totals.longest_tick_s = took;
        self->totals.longest_tick_started = emulated_started (self->emulated) - started;
    }
    before = world_cpu_s ();
    if ((self->now_us - self->begun_us) / SECOND_US % SELECT_EVERY_S == 0)
        for (size_t i = 0; i < self->scales_count; i++)
            select_tick (self->scales[i].core, self->now_us);
    self->totals.select_s += world_cpu_s () - before;
    return 0;
}

/* ---- before it begins ---- */

static struct campaign_job *job_after (struct world *self, const char *type)
{
    for (unsigned i = 0; i < self->campaign.jobs_count; i++)
        if (self->jobs[i].start == JOB_AFTER && strcmp (self->jobs[i].after, type) == 0)
            return &self->jobs[i];
    return NULL;
}

static uint64_t waiting_of (const struct world *self, const struct campaign_job *type)
{
    struct schedule_figures figures;
    schedule_type_figures (self->drive.core, (size_t)(type - self->jobs), &figures);
    return figures.waiting;
}

/* How many jobs of the type are kept ahead: text, "" for what the campaign file says. */
static int keep_ahead (struct world *self, const struct campaign_job *type, const char *text, struct strata_error *error)
{
    char name[100];
    snprintf (name, sizeof (name), "buffer.%.64s", type->name);
    return schedule_update (self->drive.core, name, text, error);
}

/* Simulations are set up, in no time, and none starts, until so many of each scale wait as are its share. */
static int prepare (struct world *self, struct strata_error *error)
{
    char text[32];
    double shares = 0;
    uint64_t wanted[SCALES_MAX] = { 0 };
    for (size_t i = 0; i < self->scales_count; i++) {
        const struct campaign_job *next = job_after (self, self->scales[i].type->name);
        shares += next && next->gpu_share > 0 ? next->gpu_share : 1;
    }
    emulated_prepare (self->emulated, true);
    for (size_t i = 0; i < self->scales_count; i++) {
        const struct campaign_job *type = self->scales[i].type, *next = job_after (self, type->name);
        double share = next && next->gpu_share > 0 ? next->gpu_share : 1;
        wanted[i] = (uint64_t)((double)self->options.prepared * share / shares + 0.5);
        snprintf (text, sizeof (text), "%" PRIu64, wanted[i] + type->buffer);
        if (keep_ahead (self, type, text, error) != 0)
            return -1;
        if (next)
            schedule_hold_type (self->drive.core, next->name, true);
    }
    bool ready = false;
    for (int turns = 0; !ready && turns < PREPARE_TURNS_MAX; turns++) {
        if (turn (self, error) != 0)
            return -1;
        ready = true;
        for (size_t i = 0; i < self->scales_count; i++) {
            const struct campaign_job *next = job_after (self, self->scales[i].type->name);
            ready = ready && (!next || waiting_of (self, next) >= wanted[i]);
        }
    }
    emulated_prepare (self->emulated, false);
    for (size_t i = 0; i < self->scales_count; i++) {
        const struct campaign_job *type = self->scales[i].type, *next = job_after (self, type->name);
        if (keep_ahead (self, type, "", error) != 0)
            return -1;
        if (!next)
            continue;
        emulated_have_begun (self->emulated, next->name, wanted[i]);
        schedule_hold_type (self->drive.core, next->name, false);
    }
    return ready ? 0 : strata_fail (error, "only a part of the %llu simulations could be prepared: select gave no more candidates",
                                    (unsigned long long)self->options.prepared);
}

static int begin (struct world *self, struct strata_error *error)
{
    self->begun_us = self->now_us;
    world_fill_queues (self, 2 * self->options.prepared + 10000);
    if (self->options.prepared && prepare (self, error) != 0)
        return -1;
    self->totals = (struct world_totals){ 0 };
    self->started_before = 0;
    self->begun_us = self->now_us;
    self->next_snapshot_us = self->now_us;
    return 0;
}

int world_restart (struct world *self, const struct machine *machine, struct strata_error *error)
{
    schedule_drain (self->drive.core);
    for (int i = 0; i < 10 && drive_in_hands (&self->drive); i++)
        if (turn (self, error) != 0)
            return -1;
    if (drive_in_hands (&self->drive))
        return strata_fail (error, "%zu jobs were not stopped with the campaign", drive_in_hands (&self->drive));
    /* Its nodes are another allocation's: none of them is lost. */
    for (size_t i = 0; i < self->lost_count; i++)
        schedule_set_node (self->drive.core, self->lost[i].node, RESOURCES_UP, self->now_us, NULL);
    self->lost_count = 0;
    if (commit (self, error) != 0)
        return -1;
    schedule_free (&self->drive.core);
    if (open_schedule (self, machine, error) != 0)
        return -1;
    self->thin = thinning (self);
    return 0;
}

/* ---- looking ---- */

static void take_sample (struct world *self, struct world_sample *sample)
{
    struct schedule_figures all, one;
    schedule_figures (self->drive.core, &all);
    *sample = (struct world_sample){ .hours = (double)(self->now_us - self->begun_us) / 3.6e9, .gpus = all.gpus,
                                     .gpus_busy = all.gpus_busy, .cores = all.cores, .cores_busy = all.cores_busy,
                                     .nodes_lost = all.nodes_lost };
    for (unsigned i = 0; i < self->campaign.jobs_count; i++) {
        schedule_type_figures (self->drive.core, i, &one);
        sample->running[i] = one.running;
        sample->waiting[i] = one.waiting;
    }
    sample->started = self->totals.started - self->started_before;
    self->started_before = self->totals.started;
    sample->frames = self->round_frames;
    self->totals.misplaced = all.misplaced;
}

int world_run (struct world *self, double hours, int (*tick) (const struct world_sample *sample, void *arg), void *arg,
               struct strata_error *error)
{
    if (!self->totals.decisions && begin (self, error) != 0)
        return -1;
    self->begun_us = self->now_us;
    int64_t end_us = self->now_us + (int64_t)(hours * 3.6e9), next_us = self->now_us + SAMPLE_S * SECOND_US;
    while (self->now_us < end_us) {
        world_candidates (self);
        world_nodes (self);
        if (turn (self, error) != 0)
            return -1;
        if (self->now_us < next_us)
            continue;
        struct world_sample sample;
        next_us += SAMPLE_S * SECOND_US;
        world_frames (self);
        take_sample (self, &sample);
        if (tick (&sample, arg) != 0)
            break;
    }
    return 0;
}

void world_totals (const struct world *self, struct world_totals *totals)
{
    *totals = self->totals;
}
