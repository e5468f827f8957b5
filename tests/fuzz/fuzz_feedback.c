/* fuzz_feedback.c - what simulations and other shards tell feedback: histograms, uptakes, partials, in any order.
 *
 * Input: messages as parts; a part's first byte says which kind the rest is (h histogram, u uptake, p partial; d: a report is
 * decided, w: it is written, H: held). Afterwards the state is built anew from the store and must be the same.
 */
#include <stdlib.h>
#include <string.h>

#include "../../services/feedback/feedback_core.h"
#include "fuzz.h"

#define MESSAGES 12
#define SECOND 1000000LL

static char *state_names[] = { "RASa", "RASb" };
static char *row_names[] = { "POPC", "CHOL" };
static const struct campaign_feedback config = {
    .from = "rdfs", .uptake = "uptakes", .states = state_names, .states_count = 2, .rows = row_names, .rows_count = 2,
    .bins = 3, .range_min_angstrom = 0.1, .range_max_angstrom = 120, .frames = 4, .seconds = 30, .shards = 2,
};

static struct feedback *open_core (struct shard *shard)
{
    struct strata_error error = { "" };
    struct feedback *core = feedback_new (shard, &config, 0, SECOND, &error);
    if (!core)
        fuzz_broken (__FILE__, __LINE__, "what feedback wrote it reads again", error.text);
    return core;
}

static void require_outcome (enum feedback_outcome outcome, const struct strata_error *why)
{
    if (outcome == FEEDBACK_ASIDE)
        fuzz_require_sentence (-1, why);
}

static void tell (struct feedback *core, uint8_t kind, const uint8_t *data, size_t size, int64_t now_us)
{
    struct strata_error why = { "" };
    if (kind == 'h') {
        Strata__Histogram *frame = strata__histogram__unpack (NULL, size, data);
        require_outcome (frame ? feedback_add (core, frame, &why) : feedback_add_broken (core, "record 1 of stage-0", &why), &why);
        if (frame)
            strata__histogram__free_unpacked (frame, NULL);
    } else if (kind == 'u') {
        Strata__Uptake *uptake = strata__uptake__unpack (NULL, size, data);
        require_outcome (uptake ? feedback_take (core, uptake, &why) : feedback_take_broken (core, "record 1 of stage-0", &why), &why);
        if (uptake)
            strata__uptake__free_unpacked (uptake, NULL);
    } else if (kind == 'p') {
        Strata__Partial *partial = strata__partial__unpack (NULL, size, data);
        if (partial) {
            require_outcome (feedback_merge (core, partial, &why), &why);
            strata__partial__free_unpacked (partial, NULL);
        }
    } else if (kind == 'd' && !feedback_pending (core) && feedback_due (core, now_us))
        feedback_decide (core, now_us);
    else if (kind == 'w' && feedback_pending (core))
        feedback_written (core);
    else if (kind == 'H' && feedback_pending (core) && !feedback_held (core))
        feedback_hold (core);
}

/* A pending report's own figures fit each other. */
static void require_report (const struct feedback *core)
{
    const struct feedback_report *report = feedback_pending (core);
    uint64_t frames = 0;
    if (!report)
        return;
    for (size_t s = 0; s < 2; s++) {
        uint64_t counts = 0;
        frames += report->state_frames[s];
        for (size_t i = 0; i < 6; i++) {
            FUZZ_REQUIRE (report->sums[s * 6 + i] >= 0);
            counts += (uint64_t)report->sums[s * 6 + i];
        }
        FUZZ_REQUIRE (counts == report->state_counts[s]);
    }
    FUZZ_REQUIRE (frames == report->frames);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct fuzz_part parts[MESSAGES];
    struct strata_error error = { "" };
    struct feedback_figures before, after;
    struct shard *shard = shard_open_memory (&error);
    if (!shard)
        abort ();
    struct feedback *core = open_core (shard);
    size_t count = fuzz_split (data, size, parts, MESSAGES);
    for (size_t i = 0; i < count; i++) {
        if (parts[i].size)
            tell (core, parts[i].data[0], parts[i].data + 1, parts[i].size - 1, SECOND * 31 * (int64_t)(i + 1));
        require_report (core);
    }
    FUZZ_REQUIRE (shard_commit (shard, &error) == 0);
    feedback_figures (core, &before);
    feedback_free (&core);
    core = open_core (shard);
    require_report (core);
    feedback_figures (core, &after);
    FUZZ_REQUIRE (memcmp (&before, &after, sizeof (before)) == 0);
    feedback_free (&core);
    shard_close (&shard);
    return 0;
}
