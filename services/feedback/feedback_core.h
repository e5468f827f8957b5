/* feedback_core.h - exact integer sums of histograms, each frame once, and the rounds of reports made from them.
 *
 * The sums are int64 [states][rows][bins]. A frame adds one block [rows][bins] to one state. What decides is in the
 * shard:
 *
 *   feedback/shape                  text: the tensor's names and range; another campaign's sums are refused by it
 *   feedback/sum/ row(u64)          bins int64, little-endian; row = state * rows + row. Empty rows are left out
 *   feedback/state/ state(u64)      frames, counts (the sum of the state's cells)
 *   feedback/done/<sim>/ frame(u64) state, round: the processed mark, and the first report with the frame in it
 *   feedback/sim/<sim>              frames, last frame, repeats, set aside
 *   feedback/totals                 the whole campaign's figures: see enum total in feedback_core.c
 *   feedback/report                 the newest round: see report_save in feedback_core.c
 *   feedback/held/ row(u64)         the sums of a report that could not be written yet, while feedback/sum goes on
 *   feedback/taken/ round(u64)      the step from which on the model uses that round
 *
 * and with config->weights, where a report is weighed:
 *
 *   feedback/of/<sim>/ row(u64)     bins int64, little-endian: what that simulation has in the row of the sums
 *   feedback/weights                ReportWeights of the newest round
 *   feedback/heldw/ row(u64)        bins float64: the weighted sums of a report that could not be written yet
 *
 *   feedback/merged/ shard(u64)     how many partials of that shard are in the sums (shard 0 alone)
 *   feedback/partial/ shard(u64) number(u64)   round, frames: the first report with that partial in it (shard 0 alone)
 *
 * With config->shards above 1 the simulations are shared out by their names' hash. Shard 0 makes the reports. The others
 * hold in feedback/sum only what came since their last partial, a record of their stream "partials" that shard 0 adds to its
 * sums; there the round of a mark, and of feedback/report, is the number of a partial. A partial, its emptied sums and its
 * number are one batch; so are, in shard 0, the sums with it and the reading position. So each frame is in one report first.
 *
 * Numbers in values are big-endian u64 unless it says otherwise. A report moves like this, each arrow in one batch:
 *
 *   (none) --feedback_decide--> decided --feedback_written--> (none)
 *                                  |                             ^
 *                                  +--feedback_hold--> held -----+
 *
 * While it is decided, frames wait (FEEDBACK_LATER): the sums are the report's, so a crash before the folder is known
 * to be written loses nothing: the same report is written again, byte for byte. When writing fails it is held: its sums
 * are copied aside and frames are taken on.
 */
#ifndef STRATA_FEEDBACK_CORE_H
#define STRATA_FEEDBACK_CORE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/campaign.h"
#include "feedback.pb-c.h"
#include "store/shard.h"

/* Records set aside of one simulation that are worth an event; later ones are only counted. */
#define FEEDBACK_ASIDE_TOLD 10

struct feedback;

enum feedback_outcome {
    FEEDBACK_ADDED,       /* in the sums; an uptake: the first of its round */
    FEEDBACK_REPEAT,      /* stands already; counted */
    FEEDBACK_ASIDE,       /* not used, counted; the sentence says why */
    FEEDBACK_ASIDE_QUIET, /* the same, but this simulation had FEEDBACK_ASIDE_TOLD of them before */
    FEEDBACK_LATER,       /* nothing was changed; ask again when the pending report is written or held */
};

/* What a report says. Pointers are valid until the report is written or held. */
struct feedback_report {
    const struct campaign_feedback *shape;
    uint64_t round;               /* 1, 2, ... */
    uint64_t frames, simulations; /* in the sums */
    int64_t created_us;
    const uint64_t *state_frames; /* [states] */
    const uint64_t *state_counts; /* [states] */
    const int64_t *sums;          /* [states][rows][bins] */
    /* Each simulation's sums times its weight, added up in float64 in the order of the names; NULL: the report has no weights. */
    const double *weighted;       /* [states][rows][bins] */
    uint64_t weighed, unweighed;  /* simulations with counts that select named, and others, which weigh 1 */
};

struct feedback_figures {
    uint64_t frames, simulations, repeats, refused; /* refused: frames and uptakes set aside */
    uint64_t reports_written, reports_taken;        /* taken: distinct rounds */
    uint64_t frames_since_report;                   /* frames that are in no report yet; in other shards than 0, partial */
};

/* Builds the state from the shard; config must outlive it. Refused: weights with several shards, a tensor of more than 1 GiB,
 * and a shard that holds sums of another shape. number: which of config->shards. */
struct feedback *feedback_new (struct shard *shard, const struct campaign_feedback *config, unsigned number, int64_t now_us,
                               struct strata_error *error);
void feedback_free (struct feedback **self);

#define FEEDBACK_EARLIER_MAX 4096 /* frames of a sum besides its last */
/* One frame, or the sum of several: all of them or none. Nothing in it is trusted. */
enum feedback_outcome feedback_add (struct feedback *self, const Strata__Histogram *frame, struct strata_error *why);
/* A record of the stream of histograms that is none: counted as set aside. */
enum feedback_outcome feedback_add_broken (struct feedback *self, const char *from, struct strata_error *why);
/* The model took a report. Set aside when that round was never decided. */
enum feedback_outcome feedback_take (struct feedback *self, const Strata__Uptake *uptake, struct strata_error *why);
enum feedback_outcome feedback_take_broken (struct feedback *self, const char *from, struct strata_error *why);

/* Whether a report is to be decided now: `frames` new frames, or `seconds` since the last one and at least one new
 * frame. */
bool feedback_due (struct feedback *self, int64_t now_us);
/* Decides the next round from the sums as they are. Only when none is pending. With config->weights all weigh 1. */
void feedback_decide (struct feedback *self, int64_t now_us);
/* The same with the weights of this moment, which are copied. */
void feedback_decide_weighted (struct feedback *self, const Strata__ReportWeights *weights, int64_t now_us);
/* Adds at most `rows` more rows of simulations to the pending report's weighted sums; true when it has all (or needs none) and
 * can be written. How long it takes depends on how many simulations there are, not on their frames. */
bool feedback_weigh (struct feedback *self, size_t rows);
/* The report that is decided or held and not known to be written; NULL when there is none. */
const struct feedback_report *feedback_pending (const struct feedback *self);
/* The pending report could not be written: its sums are kept aside, and frames are taken on. */
void feedback_hold (struct feedback *self);
bool feedback_held (const struct feedback *self);
/* The pending report is on disk. */
void feedback_written (struct feedback *self);

/* ---- several shards (feedback_partial.c) ---- */
#define FEEDBACK_PARTIALS "partials" /* the stream */

unsigned feedback_shard_of (const struct campaign_feedback *config, const char *simulation);
/* Whether shard `number` > 0 is to hand over what it has: its share of a quarter of `frames`, or a tenth of `seconds` since the
 * last one (1 s to 10 s). */
bool feedback_partial_due (struct feedback *self, int64_t now_us);
/* Appends it to the stream. -1: the stream is full; the sums are kept and go with the next one. */
int feedback_hand_over (struct feedback *self, int64_t now_us, struct strata_error *error);
/* Shard 0 adds one to its sums. Nothing in it is trusted. */
enum feedback_outcome feedback_merge (struct feedback *self, const Strata__Partial *partial, struct strata_error *why);

void feedback_figures (const struct feedback *self, struct feedback_figures *figures);

#endif
