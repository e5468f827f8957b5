/* feedback_partial.c - see feedback_core.h: what the shards of feedback hand to the one that makes the reports. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "feedback_impl.h"
#include "store/stream.h"

#define SECOND_US 1000000

bool feedback_partial_due (struct feedback *self, int64_t now_us)
{
    if (!self->number)
        return false;
    uint64_t since = self->totals[TOTAL_FRAMES] - self->report.frames, share = self->config->frames / (4 * self->config->shards);
    int64_t pause_us = (int64_t)self->config->seconds * SECOND_US / 10;
    pause_us = pause_us < SECOND_US ? SECOND_US : pause_us > 10 * SECOND_US ? 10 * SECOND_US : pause_us;
    int64_t since_us = now_us - (int64_t)self->totals[TOTAL_REFERENCE_US];
    return since && (since >= (share ? share : 1) || since_us >= pause_us || since_us < 0);
}

static void *must (void *pointer)
{
    if (!pointer) {
        log_error ("out of memory");
        abort ();
    }
    return pointer;
}

/* What the sums hold, as a message on the caller's arrays. */
static void fill (struct feedback *self, Strata__Partial *partial)
{
    size_t bins = self->config->bins, rows = self->cells / bins;
    for (size_t i = 0; i < self->config->states_count; i++)
        partial->state_frames[i] = self->state_frames[i] - self->report_frames[i];
    for (size_t row = 0; row < rows; row++) {
        const int64_t *cells = self->sums + row * bins;
        if (feedback_row_empty (cells, bins))
            continue;
        for (size_t i = 0; i < bins; i++)
            partial->counts[partial->n_counts++] = (uint64_t)cells[i];
        partial->rows[partial->n_rows++] = (uint32_t)row;
    }
}

/* The sums begin anew: all that was in them is in the partial. */
static void forget (struct feedback *self, const Strata__Partial *partial, int64_t now_us)
{
    size_t size = self->config->states_count * sizeof (uint64_t);
    for (size_t i = 0; i < partial->n_rows; i++) {
        struct shard_key key;
        feedback_row_key (&key, "feedback/sum/", partial->rows[i]);
        shard_delete (self->shard, key.data, key.size);
        self->dirty[partial->rows[i]] = false;
        memset (self->sums + partial->rows[i] * (size_t)self->config->bins, 0, self->config->bins * sizeof (*self->sums));
    }
    self->report.round = partial->number;
    self->report.frames = self->totals[TOTAL_FRAMES];
    self->report.simulations = self->totals[TOTAL_SIMULATIONS];
    self->report.created_us = now_us;
    memcpy (self->report_frames, self->state_frames, size);
    memcpy (self->report_counts, self->state_counts, size);
    self->totals[TOTAL_REFERENCE_US] = (uint64_t)now_us;
    feedback_totals_save (self);
    feedback_report_save (self);
}

int feedback_hand_over (struct feedback *self, int64_t now_us, struct strata_error *error)
{
    Strata__Partial partial = STRATA__PARTIAL__INIT;
    partial.shard = self->number;
    partial.number = self->report.round + 1;
    partial.frames = self->totals[TOTAL_FRAMES] - self->report.frames;
    partial.simulations = self->totals[TOTAL_SIMULATIONS] - self->report.simulations;
    partial.n_state_frames = self->config->states_count;
    partial.state_frames = must (calloc (partial.n_state_frames, sizeof (uint64_t)));
    partial.rows = must (calloc (self->cells / self->config->bins, sizeof (uint32_t)));
    partial.counts = must (calloc (self->cells, sizeof (uint64_t)));
    fill (self, &partial);
    size_t size = strata__partial__get_packed_size (&partial);
    uint8_t *bytes = must (malloc (size));
    strata__partial__pack (&partial, bytes);
    int rc = stream_append (self->shard, FEEDBACK_PARTIALS, NULL, 0, bytes, size, now_us, NULL, error) < 0 ? -1 : 0;
    if (rc == 0)
        forget (self, &partial, now_us);
    free (bytes);
    free (partial.state_frames);
    free (partial.rows);
    free (partial.counts);
    return rc;
}

/* ---- in shard 0 ---- */

static void merged_key (struct shard_key *key, uint64_t shard)
{
    feedback_row_key (key, "feedback/merged/", shard);
}

static int partial_check (const struct feedback *self, const Strata__Partial *partial, struct strata_error *why)
{
    size_t bins = self->config->bins, rows = self->cells / bins;
    uint64_t frames = 0;
    if (partial->shard == 0 || partial->shard >= self->config->shards)
        return strata_fail (why, "there is no shard %u of feedback that hands over", partial->shard);
    bool fits = partial->n_state_frames == self->config->states_count && partial->n_rows <= rows
                && partial->n_counts == partial->n_rows * bins;
    for (size_t i = 0; fits && i < partial->n_state_frames; i++)
        fits = !__builtin_add_overflow (frames, partial->state_frames[i], &frames);
    for (size_t i = 0; fits && i < partial->n_rows; i++)
        fits = partial->rows[i] < rows && (i == 0 || partial->rows[i] > partial->rows[i - 1]);
    if (!fits || frames != partial->frames)
        return strata_fail (why, "partial %llu of shard %u has another shape than the campaign's sums, or wrong figures",
                            (unsigned long long)partial->number, partial->shard);
    /* Rows rise, so those of a state follow one another. */
    size_t state = SIZE_MAX;
    int64_t total = 0;
    for (size_t i = 0; fits && i < partial->n_counts; i++) {
        if (state != partial->rows[i / bins] / self->config->rows_count) {
            state = partial->rows[i / bins] / self->config->rows_count;
            total = (int64_t)self->state_counts[state];
        }
        fits = partial->counts[i] <= INT64_MAX && !__builtin_add_overflow (total, (int64_t)partial->counts[i], &total);
    }
    if (!fits)
        return strata_fail (why, "partial %llu of shard %u would take a sum over 2^63", (unsigned long long)partial->number,
                            partial->shard);
    return 0;
}

static void add (struct feedback *self, const Strata__Partial *partial)
{
    size_t bins = self->config->bins;
    for (size_t i = 0; i < partial->n_rows; i++) {
        size_t row = partial->rows[i];
        for (size_t k = 0; k < bins; k++) {
            self->sums[row * bins + k] += (int64_t)partial->counts[i * bins + k];
            self->state_counts[row / self->config->rows_count] += partial->counts[i * bins + k];
        }
        feedback_row_changed (self, row);
    }
    for (size_t i = 0; i < partial->n_state_frames; i++) {
        self->state_frames[i] += partial->state_frames[i];
        feedback_state_save (self, i);
    }
    self->totals[TOTAL_FRAMES] += partial->frames;
    self->totals[TOTAL_SIMULATIONS] += partial->simulations;
}

enum feedback_outcome feedback_merge (struct feedback *self, const Strata__Partial *partial, struct strata_error *why)
{
    struct shard_key key;
    uint64_t merged = 0;
    if (self->report_state == REPORT_DECIDED)
        return FEEDBACK_LATER;
    merged_key (&key, partial->shard);
    feedback_numbers_get (self->shard, &key, &merged, 1);
    bool repeat = partial->number && partial->number <= merged;
    if (repeat)
        self->totals[TOTAL_REPEATS]++;
    else if (partial_check (self, partial, why) < 0)
        self->totals[TOTAL_ASIDE]++;
    else if (partial->number != merged + 1) {
        strata_fail (why, "partial %llu of shard %u came after partial %llu: frames between them are in no report",
                     (unsigned long long)partial->number, partial->shard, (unsigned long long)merged);
        self->totals[TOTAL_ASIDE]++;
    } else {
        add (self, partial);
        feedback_numbers_put (self->shard, &key, &partial->number, 1);
        feedback_row_key (&key, "feedback/partial/", partial->shard);
        shard_key_u64 (&key, partial->number);
        feedback_numbers_put (self->shard, &key, (uint64_t[]){ self->report.round + 1, partial->frames }, 2);
        feedback_totals_save (self);
        return FEEDBACK_ADDED;
    }
    feedback_totals_save (self);
    return repeat ? FEEDBACK_REPEAT : FEEDBACK_ASIDE;
}
