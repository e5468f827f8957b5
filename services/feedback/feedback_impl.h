/* feedback_impl.h - what feedback_core.c and feedback_partial.c share. */
#ifndef STRATA_FEEDBACK_IMPL_H
#define STRATA_FEEDBACK_IMPL_H

#include "feedback_core.h"
#include "simulations.h"

#define SHAPE_KEY "feedback/shape"
#define TOTALS_KEY "feedback/totals"
#define REPORT_KEY "feedback/report"
#define WEIGHTS_KEY "feedback/weights"
#define OF_PREFIX "feedback/of/"
#define HELD_WEIGHTED "feedback/heldw/"

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
    /* Of a report that is being weighed or is weighed (feedback_weights.c): */
    Strata__ReportWeights *weights; /* NULL: all weigh 1 */
    double *weighted;               /* [cells], NULL unless config->weights */
    bool weighing;
    struct shard_key weighed;       /* the last key that is in weighted; size 0: none */
    char weighed_name[256];         /* and its simulation */
};

void feedback_numbers_put (struct shard *shard, const struct shard_key *key, const uint64_t *numbers, size_t count);
/* False, and numbers left alone, when the key isn't there. A value of another length is a damaged store. */
bool feedback_numbers_get (struct shard *shard, const struct shard_key *key, uint64_t *numbers, size_t count);
void feedback_row_key (struct shard_key *key, const char *prefix, size_t row);
void feedback_row_put (struct feedback *self, const char *prefix, size_t row, const void *cells);
int feedback_rows_load (struct feedback *self, const char *prefix, void *cells, struct strata_error *error);
/* Puts all that has changed into the batch. */
void feedback_settle (struct feedback *self);
/* The row of the sums has changed. */
void feedback_row_changed (struct feedback *self, size_t row);
bool feedback_row_empty (const int64_t *cells, size_t bins);
void feedback_totals_save (struct feedback *self);
void feedback_state_save (struct feedback *self, size_t state);
void feedback_report_save (struct feedback *self);

/* ---- feedback_weights.c; each does nothing unless config->weights ---- */
int feedback_weights_init (struct feedback *self, struct strata_error *error);
void feedback_weights_fini (struct feedback *self);
/* Counts of a frame in one row, besides those in the sums. */
void feedback_weights_add (struct feedback *self, struct simulation *simulation, const Strata__Histogram *frame, size_t state, size_t row);
void feedback_weights_put (struct feedback *self, const struct simulation *simulation);
/* The report that stands in the store, after a start. */
int feedback_weights_load (struct feedback *self, struct strata_error *error);
/* A report was decided. weights: copied; NULL: all weigh 1. */
void feedback_weights_begin (struct feedback *self, const Strata__ReportWeights *weights);
void feedback_weights_hold (struct feedback *self);

#endif
