/* template.h - a job type's command with its {variables} filled in for one job. */
#ifndef SCHEDULE_TEMPLATE_H
#define SCHEDULE_TEMPLATE_H

#include "core/campaign.h"
#include "schedule.pb-c.h"
#include "strata_error.h"

/* What is the same for all jobs. */
struct template_context {
    const char *workspace, *campaign_dir, *bin_dir;   /* absolute */
    uint64_t seed;
};

/* argv that ends with NULL, of `restart` where the attempt before was interrupted; the caller frees it with template_free. NULL on an argument that can't be expanded. */
char **template_argv (const struct campaign_job *type, const Strata__Job *job, const struct template_context *context,
                      struct strata_error *error);
void template_free (char ***argv);

#endif
