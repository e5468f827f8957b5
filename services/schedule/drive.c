/* drive.c - see drive.h */
#include "drive.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/crash_point.h"
#include "core/log.h"
#include "id_list.h"

#define S(state) STRATA__JOB_STATE__JOB_##state
#define LAUNCHES_PER_TICK 500   /* each makes folders and files: the loop has other things to do as well */
#define ENVIRONMENT_COUNT (9 + RESOURCES_PARTS_MAX)

/* Settings of a job's environment, built in place. */
struct settings {
    char text[ENVIRONMENT_COUNT][PATH_MAX + 32];
    const char *list[ENVIRONMENT_COUNT + 1];
    size_t count;
};

static void set (struct settings *self, const char *name, const char *value)
{
    snprintf (self->text[self->count], sizeof (self->text[0]), "%s=%s", name, value);
    self->list[self->count] = self->text[self->count];
    self->count++;
}

static void write_list (char *text, size_t size, const uint32_t *numbers, size_t count)
{
    text[0] = '\0';
    for (size_t i = 0, n = 0; i < count && n < size - 12; i++)
        n += (size_t)snprintf (text + n, size - n, "%s%u", i ? "," : "", numbers[i]);
}

static void fill_environment (struct settings *self, const struct drive *drive, const Strata__Job *job,
                              const struct campaign_job *type)
{
    char number[16], list[2048];
    set (self, "STRATA_WORKSPACE", drive->context.workspace);
    set (self, "STRATA_CAMPAIGN_DIR", drive->context.campaign_dir);
    set (self, "STRATA_JOB", job->id);
    set (self, "STRATA_SIMULATION", job->simulation);
    snprintf (number, sizeof (number), "%u", job->attempt);
    set (self, "STRATA_ATTEMPT", number);
    snprintf (number, sizeof (number), "%u", type->cores ? type->cores : 1);
    set (self, "OMP_NUM_THREADS", number);
    /* As many on each node: the first node's stand for all, and an engine that knows better says so to the job itself. */
    size_t nodes = job->n_nodes ? job->n_nodes : 1;
    write_list (list, sizeof (list), job->gpus, job->n_gpus / nodes);
    if (job->n_gpus) {
        set (self, "CUDA_VISIBLE_DEVICES", list);
        set (self, "ROCR_VISIBLE_DEVICES", list);
    }
    size_t at = 0;
    for (unsigned i = 0; i < type->parts_count && i < RESOURCES_PARTS_MAX && at + type->parts[i].cores <= job->n_cores; i++) {
        char name[96];
        snprintf (name, sizeof (name), "STRATA_CORES_%s", type->parts[i].name);
        for (char *c = name; *c; c++)
            *c = *c == '-' ? '_' : (char)toupper ((unsigned char)*c);
        write_list (list, sizeof (list), job->cores + at, type->parts[i].cores);
        set (self, name, list);
        at += type->parts[i].cores;
    }
    self->list[self->count] = NULL;
}

static void tell_ended (struct drive *self, const Strata__Job *job, const struct outcome *outcome, int64_t now_us)
{
    struct strata_error error;
    char id[256];
    snprintf (id, sizeof (id), "%s", job->id);   /* the record may be freed by the call */
    crash_point ("launch.ended");
    if (schedule_ended (self->core, id, job->attempt, outcome, now_us, &error) != 0)
        log_error ("%s", error.text);
}

static void tell (struct drive *self, const Strata__Job *job, Strata__JobEnd end, const char *reason, int64_t now_us)
{
    struct outcome outcome = { .end = end };
    snprintf (outcome.reason, sizeof (outcome.reason), "%s", reason);
    tell_ended (self, job, &outcome, now_us);
}

/* ---- what an executor has taken on, and has not told of yet ---- */

static bool is_handed (const struct drive *self, const Strata__Job *job)
{
    uintptr_t attempt = self->handed ? (uintptr_t)zhash_lookup (self->handed, job->id) : 0;
    return attempt && attempt == job->attempt;
}

static void set_handed (struct drive *self, const Strata__Job *job)
{
    if (!self->handed && !(self->handed = zhash_new ()))
        return;
    zhash_update (self->handed, job->id, (void *)(uintptr_t)job->attempt);
}

static void clear_handed (struct drive *self, const Strata__Job *job)
{
    if (self->handed)
        zhash_delete (self->handed, job->id);
}

void drive_fini (struct drive *self)
{
    zhash_destroy (&self->handed);
}

/* ---- one job ---- */

static void launch (struct drive *self, const Strata__Job *job, const struct campaign_job *type, int64_t now_us)
{
    struct strata_error error;
    uint32_t pid = 0;
    int rc = -1;
    struct settings *settings = calloc (1, sizeof (*settings));
    char **argv = settings ? template_argv (type, job, &self->context, &error) : NULL;
    if (!settings)
        strata_fail (&error, "out of memory");
    if (argv) {
        fill_environment (settings, self, job, type);
        struct executor_order order = {
            .ref = { job->id, job->dir, job->attempt },
            .argv = argv,
            .environment = settings->list,
            .walltime_s = type->walltime_s,
            .grace_s = type->grace_s,
            .memory_mb = type->memory_mb,
            .output_mb = type->output_mb,
            .nodes = job->nodes,
            .nodes_count = job->n_nodes,
            .cores = job->cores,
            .cores_count = job->n_cores,
            .gpus = job->gpus,
            .gpus_count = job->n_gpus,
            .success = type->success_files,
            .success_count = type->success_files_count,
        };
        crash_point ("launch.before"); /* the attempt is on disk */
        rc = self->ops->launch (self->executor, &order, &pid, &error);
        crash_point ("launch.after");
    }
    if (rc < 0)
        tell (self, job, STRATA__JOB_END__END_NO_START, error.text, now_us);
    else if (rc > 0)
        set_handed (self, job);
    else if (schedule_launched (self->core, job->id, job->attempt, pid, now_us, &error) != 0)
        log_error ("%s", error.text);
    template_free (&argv);
    free (settings);
}

static void look (struct drive *self, const struct schedule_work *work, int64_t now_us)
{
    const Strata__Job *job = work->job;
    struct executor_ref ref = { job->id, job->dir, job->attempt };
    struct outcome outcome = { 0 };
    struct strata_error error;
    enum executor_state state = self->ops->poll (self->executor, &ref, &outcome);
    if (state != EXECUTOR_SUBMITTED)
        clear_handed (self, job);
    switch (state) {
    case EXECUTOR_NEVER:
        if (job->state == S (RUNNING))
            tell (self, job, STRATA__JOB_END__END_NO_START,
                  "its shepherd ended before it started the job; its shepherd.log says why", now_us);
        else if (job->cancel)
            tell (self, job, STRATA__JOB_END__END_STOPPED, "cancelled before it was started", now_us);
        /* else the campaign goes down: it is launched when that comes up again */
        return;
    case EXECUTOR_SUBMITTED:
    case EXECUTOR_RUNNING:
        if (work->must_stop)
            self->ops->stop (self->executor, &ref);
        else if (state == EXECUTOR_RUNNING && job->state == S (LAUNCHING)
                 && schedule_launched (self->core, job->id, job->attempt, 0, now_us, &error) != 0)
            log_error ("%s", error.text);
        return;
    case EXECUTOR_ENDED:
    case EXECUTOR_LOST:
        tell_ended (self, job, &outcome, now_us);
    }
}

static void look_at_all (struct drive *self, enum schedule_list list, int64_t now_us)
{
    struct schedule_work work;
    for (bool more = schedule_first (self->core, list, &work); more; more = schedule_next (self->core, &work))
        look (self, &work, now_us);
}

static void launch_all (struct drive *self, int64_t now_us)
{
    struct schedule_work work;
    size_t launches = 0;
    for (bool more = schedule_first (self->core, SCHEDULE_LAUNCHING, &work); more; more = schedule_next (self->core, &work)) {
        if (work.must_stop)
            look (self, &work, now_us);
        else if (work.may_launch && !is_handed (self, work.job) && launches < LAUNCHES_PER_TICK) {
            launches++;
            launch (self, work.job, work.type, now_us);
        }
    }
}

static void look_at_handed (struct drive *self, int64_t now_us)
{
    struct schedule_work work;
    for (bool more = schedule_first (self->core, SCHEDULE_LAUNCHING, &work); more; more = schedule_next (self->core, &work))
        if (is_handed (self, work.job))
            look (self, &work, now_us);
}

void drive_machine_restarted (struct drive *self, int64_t now_us)
{
    for (int list = 0; list < SCHEDULE_LISTS; list++) {
        struct schedule_work work;
        for (bool more = schedule_first (self->core, (enum schedule_list)list, &work); more; more = schedule_next (self->core, &work)) {
            struct executor_ref ref = { work.job->id, work.job->dir, work.job->attempt };
            struct outcome outcome = { 0 };
            enum executor_state state = self->ops->poll (self->executor, &ref, &outcome);
            if (state == EXECUTOR_NEVER || state == EXECUTOR_LOST)
                tell (self, work.job, STRATA__JOB_END__END_NODE, "the machine was restarted", now_us);
        }
    }
}

/* What was launched in this tick may have ended already: launches come first. */
void drive_tick (struct drive *self, int64_t now_us)
{
    struct id_list changed = { NULL, 0, 0 };
    struct schedule_work work;
    launch_all (self, now_us);
    int told = self->ops->changed ? self->ops->changed (self->executor, id_list_add, &changed) : -1;
    for (size_t i = 0; told == 0 && i < changed.count; i++)
        if (schedule_work_of (self->core, changed.ids[i], &work) && (work.job->state == S (RUNNING) || is_handed (self, work.job)))
            look (self, &work, now_us);
    id_list_fini (&changed);
    if (told != 0)
        look_at_handed (self, now_us);
    if (told != 0 || schedule_is_draining (self->core) || schedule_ending (self->core))
        look_at_all (self, SCHEDULE_RUNNING, now_us);
    look_at_all (self, SCHEDULE_STOPPING, now_us);
    if (self->ops->turn)
        self->ops->turn (self->executor);
}

size_t drive_in_hands (const struct drive *self)
{
    size_t n = schedule_count (self->core, SCHEDULE_RUNNING) + schedule_count (self->core, SCHEDULE_STOPPING);
    struct schedule_work work;
    for (bool more = schedule_first (self->core, SCHEDULE_LAUNCHING, &work); more; more = schedule_next (self->core, &work)) {
        struct executor_ref ref = { work.job->id, work.job->dir, work.job->attempt };
        struct outcome outcome;
        n += self->ops->poll (self->executor, &ref, &outcome) != EXECUTOR_NEVER;
    }
    return n;
}
