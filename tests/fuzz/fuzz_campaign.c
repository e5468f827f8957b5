/* fuzz_campaign.c - the campaign file. It lies beside the membrane campaign's encoder/, whose files it may name. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/campaign.h"
#include "fuzz.h"

static void require_sound (const struct campaign *c)
{
    double sum = 0;
    FUZZ_REQUIRE (c->format == CAMPAIGN_FORMAT && c->name && c->workspace && c->path && c->dir && c->jobs_count > 0);
    for (unsigned i = 0; i < c->jobs_count; i++) {
        const struct campaign_job *job = &c->jobs[i];
        FUZZ_REQUIRE (job->command_count > 0 && campaign_job_find (c, job->name) == job && job->tries > 0);
        FUZZ_REQUIRE (job->start != JOB_AFTER || (job->after && campaign_job_find (c, job->after)));
    }
    for (unsigned i = 0; i < c->select.queues_count; i++)
        sum += c->select.queues[i].quota;
    FUZZ_REQUIRE (sum > 0.999 && sum < 1.001);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    static char encoder[PATH_MAX];
    struct campaign_mistakes mistakes = { NULL, 0 };
    if (!encoder[0] && (!realpath ("apps/membrane/encoder", encoder) || symlink (encoder, fuzz_path ("encoder")) < 0))
        fuzz_broken (__FILE__, __LINE__, "apps/membrane/encoder is below the current folder", NULL);
    struct campaign *campaign = campaign_load (fuzz_file ("campaign.yaml", data, size), &mistakes);
    FUZZ_REQUIRE (campaign ? mistakes.count == 0 : mistakes.count > 0);
    for (size_t i = 0; i < mistakes.count; i++) {
        fuzz_require_line (mistakes.lines[i]);
        FUZZ_REQUIRE (strstr (mistakes.lines[i], "campaign.yaml:"));
    }
    if (campaign)
        require_sound (campaign);
    campaign_free (&campaign);
    campaign_mistakes_fini (&mistakes);
    return 0;
}
