/* feedback_impl.h - what feedback_core.c and feedback_partial.c share. */
#ifndef STRATA_FEEDBACK_IMPL_H
#define STRATA_FEEDBACK_IMPL_H

#include "feedback_core.h"
#include "simulations.h"

#define SHAPE_KEY "feedback/shape"
#define TOTALS_KEY "feedback/totals"
#define REPORT_KEY "feedback/report"

enum total {
    TOTAL_FRAMES,
    TOTAL_SIMULATIONS,
    TOTAL_REPEATS,
    TOTAL_ASIDE,
    TOTAL_TAKEN,
    TOTAL_UPTAKES_ASIDE,
    TOTAL_REFERENCE_US, /* `seconds` are counted from here: the last decision, else when the shard was new */
    TOTALS
};

enum report_field { REPORT_ROUND, REPORT_STATE, REPORT_CREATED, REPORT_FRAMES, REPORT_SIMULATIONS, REPORT_FIELDS };
enum report_state { REPORT_WRITTEN, REPORT_DECIDED, REPORT_HELD };

struct feedback {
    struct shard *shard;
    const struct campaign_feedback *config;
    unsigned number;     /* of the shard; 0 makes the reports */
    size_t block, cells; /* rows * bins; states * rows * bins */
    int64_t *sums;       /* [states][rows][bins] */
    int64_t *held;       /* the pending report's when it is held, else NULL */
    /* What the store does not have yet, and goes into the batch once, before it is written: */
    bool *dirty;         /* rows of sums */
    bool *state_dirty, totals_dirty;
    struct simulations simulations;
    uint64_t *state_frames, *state_counts;
    uint64_t totals[TOTALS];
    enum report_state report_state;
    struct feedback_report report;           /* the newest round; in the other shards the newest partial */
    uint64_t *report_frames, *report_counts; /* what report's pointers stand on */
};

void feedback_numbers_put (struct shard *shard, const struct shard_key *key, const uint64_t *numbers, size_t count);
/* False, and numbers left alone, when the key isn't there. A value of another length is a damaged store. */
bool feedback_numbers_get (struct shard *shard, const struct shard_key *key, uint64_t *numbers, size_t count);
void feedback_row_key (struct shard_key *key, const char *prefix, size_t row);
void feedback_row_put (struct feedback *self, const char *prefix, size_t row, const int64_t *cells);
/* The row of the sums has changed. */
void feedback_row_changed (struct feedback *self, size_t row);
bool feedback_row_empty (const int64_t *cells, size_t bins);
void feedback_totals_save (struct feedback *self);
void feedback_state_save (struct feedback *self, size_t state);
void feedback_report_save (struct feedback *self);

#endif
