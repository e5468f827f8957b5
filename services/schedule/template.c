/* template.c - see template.h. The scanner is the campaign file's own (core/campaign_template.h). */
#include "template.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/campaign_template.h"

struct lookup {
    const struct campaign_job *type;
    const Strata__Job *job;
    const struct template_context *context;
    char number[32];
};

static const char *number (struct lookup *self, uint64_t value)
{
    snprintf (self->number, sizeof (self->number), "%" PRIu64, value);
    return self->number;
}

static const char *look_up (void *arg, const char *name)
{
    struct lookup *self = arg;
    const struct {
        const char *name, *value;
    } texts[] = {
        { "job", self->job->id },
        { "simulation", self->job->simulation },
        { "candidate", self->job->candidate },
        { "dir", self->job->dir },
        { "input", self->job->input },
        { "workspace", self->context->workspace },
        { "campaign_dir", self->context->campaign_dir },
        { "bin_dir", self->context->bin_dir },
    };
    for (size_t i = 0; i < sizeof (texts) / sizeof (texts[0]); i++)
        if (strcmp (texts[i].name, name) == 0)
            return texts[i].value;
    if (strcmp (name, "attempt") == 0)
        return number (self, self->job->attempt);
    /* A job that shares cores is told to use one thread: "0 threads" means all of the machine to most programs. */
    if (strcmp (name, "cores") == 0)
        return number (self, self->type->cores ? self->type->cores : 1);
    if (strcmp (name, "gpus") == 0)
        return number (self, self->type->gpus);
    if (strcmp (name, "seed") == 0)
        return number (self, self->context->seed);
    return NULL;
}

char **template_argv (const struct campaign_job *type, const Strata__Job *job, const struct template_context *context,
                      struct strata_error *error)
{
    struct lookup lookup = { .type = type, .job = job, .context = context };
    bool again = job->interrupted && type->restart_count;
    char **command = again ? type->restart : type->command;
    unsigned count = again ? type->restart_count : type->command_count;
    char **argv = calloc ((size_t)count + 1, sizeof (*argv));
    if (!argv) {
        strata_fail (error, "out of memory for the command of job %s", job->id);
        return NULL;
    }
    for (unsigned i = 0; i < count; i++) {
        argv[i] = campaign_template_expand (command[i], look_up, &lookup, error);
        if (!argv[i]) {
            strata_fail_prefix (error, "job %s", job->id);
            template_free (&argv);
            return NULL;
        }
    }
    return argv;
}

void template_free (char ***argv)
{
    for (char **p = *argv; p && *p; p++)
        free (*p);
    free (*argv);
    *argv = NULL;
}
