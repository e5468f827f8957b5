/* drive.c - see drive.h */
#include "drive.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/crash_point.h"
#include "core/log.h"

#define S(state) STRATA__JOB_STATE__JOB_##state
#define ENVIRONMENT_COUNT 8
#define LAUNCHES_PER_TICK 500   /* each makes folders and files: the loop has other things to do as well */

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

static void fill_environment (struct settings *self, const struct drive *drive, const Strata__Job *job,
                              const struct campaign_job *type)
{
    char number[16], gpus[1024] = "";
    set (self, "STRATA_WORKSPACE", drive->context.workspace);
    set (self, "STRATA_CAMPAIGN_DIR", drive->context.campaign_dir);
    set (self, "STRATA_JOB", job->id);
    set (self, "STRATA_SIMULATION", job->simulation);
    snprintf (number, sizeof (number), "%u", job->attempt);
    set (self, "STRATA_ATTEMPT", number);
    snprintf (number, sizeof (number), "%u", type->cores ? type->cores : 1);
    set (self, "OMP_NUM_THREADS", number);
    for (size_t i = 0, n = 0; i < job->n_gpus && n < sizeof (gpus) - 12; i++)
        n += (size_t)snprintf (gpus + n, sizeof (gpus) - n, "%s%u", i ? "," : "", job->gpus[i]);
    if (job->n_gpus)
        set (self, "CUDA_VISIBLE_DEVICES", gpus);
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
            .cores = job->cores,
            .cores_count = job->n_cores,
            .gpus_count = (unsigned)job->n_gpus,
            .success = type->success_files,
            .success_count = type->success_files_count,
        };
        crash_point ("launch.before"); /* the attempt is on disk */
        rc = self->ops->launch (self->executor, &order, &pid, &error);
        crash_point ("launch.after");
    }
    if (rc < 0)
        tell (self, job, STRATA__JOB_END__END_NO_START, error.text, now_us);
    else if (rc == 0 && schedule_launched (self->core, job->id, job->attempt, pid, now_us, &error) != 0)
        log_error ("%s", error.text);
    template_free (&argv);
    free (settings);
}

static void handle (struct drive *self, size_t i, int64_t now_us)
{
    const Strata__Job *job = schedule_job_at (self->core, i);
    const struct campaign_job *type = schedule_type_at (self->core, i);
    bool launching = job->state == S (LAUNCHING);
    if (!launching && job->state != S (RUNNING))
        return;
    bool must_stop = schedule_must_stop (self->core, i);
    struct executor_ref ref = { job->id, job->dir, job->attempt };
    struct outcome outcome = { 0 };
    if (launching && !must_stop) {
        if (!schedule_may_launch (self->core, i) || self->launches == LAUNCHES_PER_TICK)
            return;
        if (self->ops->poll (self->executor, &ref, &outcome) == EXECUTOR_SUBMITTED)
            return;
        self->launches++;
        launch (self, job, type, now_us);
        return;
    }
    switch (self->ops->poll (self->executor, &ref, &outcome)) {
    case EXECUTOR_NEVER:
        if (!launching)
            tell (self, job, STRATA__JOB_END__END_NO_START,
                  "its shepherd ended before it started the job; its shepherd.log says why", now_us);
        else if (job->cancel)
            tell (self, job, STRATA__JOB_END__END_STOPPED, "cancelled before it was started", now_us);
        /* else the campaign goes down: it is launched when that comes up again */
        return;
    case EXECUTOR_SUBMITTED:
    case EXECUTOR_RUNNING:
        if (must_stop)
            self->ops->stop (self->executor, &ref);
        return;
    case EXECUTOR_ENDED:
    case EXECUTOR_LOST:
        tell_ended (self, job, &outcome, now_us);
    }
}

void drive_tick (struct drive *self, int64_t now_us)
{
    self->launches = 0;
    for (size_t i = 0; i < schedule_live (self->core);) {
        char id[256];
        snprintf (id, sizeof (id), "%s", schedule_job_at (self->core, i)->id);
        handle (self, i, now_us);
        /* One that ended is off the list, and the next stands in its place. */
        const Strata__Job *here = schedule_job_at (self->core, i);
        if (here && strcmp (here->id, id) == 0)
            i++;
    }
    if (self->ops->turn)
        self->ops->turn (self->executor);
}

size_t drive_in_hands (const struct drive *self)
{
    size_t n = 0;
    for (size_t i = 0; i < schedule_live (self->core); i++) {
        const Strata__Job *job = schedule_job_at (self->core, i);
        struct executor_ref ref = { job->id, job->dir, job->attempt };
        struct outcome outcome;
        n += job->state == S (RUNNING)
             || (job->state == S (LAUNCHING) && self->ops->poll (self->executor, &ref, &outcome) != EXECUTOR_NEVER);
    }
    return n;
}
