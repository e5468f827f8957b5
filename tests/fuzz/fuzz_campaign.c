/* fuzz_campaign.c - the campaign file, and a JobTracker file that one names. They lie beside the membrane campaign's encoder/, whose
 * files they may name. */
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
        FUZZ_REQUIRE (job->nodes > 0 && job->walltime_s > 0);
        FUZZ_REQUIRE (job->start != JOB_AFTER || (job->after && campaign_job_find (c, job->after)));
    }
    for (unsigned i = 0; i < c->select.queues_count; i++)
        sum += c->select.queues[i].quota;
    FUZZ_REQUIRE (sum > 0.999 && sum < 1.001);
}

static const char of_tracker[] =
    "strata: 1\ncampaign: small\nworkspace: w\nschedule: {executor: slurm}\n"
    "patch: {snapshots: s, candidates: c, encoder: {model: encoder/pca.npz}}\n"
    "select: {from: c, queues: [{name: all, configuration: other, quota: 1}]}\n"
    "feedback: {from: r, uptake: u, states: [a], rows: [b]}\n"
    "jobs: [{name: a, start: selection, tracker: tracker.yaml}]\n";

/* main: the campaign file; it may name other. */
static void load (const char *path, const char *main, const char *other)
{
    struct campaign_mistakes mistakes = { NULL, 0 };
    struct campaign *campaign = campaign_load (path, &mistakes);
    FUZZ_REQUIRE (campaign ? mistakes.count == 0 : mistakes.count > 0);
    for (size_t i = 0; i < mistakes.count; i++) {
        fuzz_require_line (mistakes.lines[i]);
        FUZZ_REQUIRE (strstr (mistakes.lines[i], main) || strstr (mistakes.lines[i], other));
    }
    if (campaign)
        require_sound (campaign);
    campaign_free (&campaign);
    campaign_mistakes_fini (&mistakes);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    static char encoder[PATH_MAX];
    if (!encoder[0] && (!realpath ("apps/membrane/encoder", encoder) || symlink (encoder, fuzz_path ("encoder")) < 0))
        fuzz_broken (__FILE__, __LINE__, "apps/membrane/encoder is below the current folder", NULL);
    fuzz_file ("tracker.yaml", data, size);
    load (fuzz_file ("campaign.yaml", data, size), "campaign.yaml:", "tracker.yaml:");
    load (fuzz_file ("tracked.yaml", (const uint8_t *)of_tracker, sizeof (of_tracker) - 1), "tracked.yaml:", "tracker.yaml:");
    return 0;
}
