/* patterns.h - AA -> CG: which secondary structure the proteins' regions have, each frame of the finest simulations once.
 *
 * A frame (a Structure record) waits here until a worker has looked at it; its answer gives one letter for each residue. The
 * letters of a region, with those that count as coil turned into C, are the frame's pattern there. Counted are, for each protein
 * and region, the frames of each pattern. When every protein has `frames` new ones, the most common pattern of a region comes
 * into force if its share exceeds the region's and it is another one than before; when any did, a report is made. That is the
 * rule of MuMMI's AA -> CG feedback (SC'21). Of two patterns as common as each other the first in byte order counts.
 *
 * What decides is in the shard (of feedback, shard 0):
 *
 *   patterns/shape                        text: proteins and regions; another campaign's counts are refused by it
 *   patterns/waiting/ number(u64)         tries(u64), then the record; frames are looked at in this order
 *   patterns/done/<sim>/ frame(u64)       the mark: enum patterns_mark, and the first report with the frame in it
 *   patterns/count/<protein>/<region>/<pattern>   frames, frame(u64), then the simulation whose frame was the first with it
 *   patterns/protein/ protein(u64)        frames counted, those that were when it was last thought of a report
 *   patterns/region/ protein(u64) region(u64)     frames with a pattern, frames whose region is not whole, frames of the most
 *                                         common pattern, its length; then that pattern, then the one in force
 *   patterns/totals                       enum patterns_total in patterns.c
 *   patterns/report                       the newest report's text
 *
 * Numbers are big-endian u64. A frame and its mark, an answer and the counts, a report and its number are one batch each.
 */
#ifndef STRATA_FEEDBACK_PATTERNS_H
#define STRATA_FEEDBACK_PATTERNS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/campaign.h"
#include "feedback.pb-c.h"
#include "feedback_core.h"
#include "store/shard.h"

/* Frames that wait in the shard for each worker; the others wait in the stage. */
#define PATTERNS_WAITING 16

enum patterns_mark { PATTERNS_WAITS = 1, PATTERNS_COUNTED, PATTERNS_ASIDE };

struct patterns;

struct patterns_figures {
    uint64_t frames, waiting, repeats, aside; /* frames: counted */
    uint64_t failures;                        /* workers that died of a frame, or took too long */
    uint64_t reports;
};

/* NULL: the campaign file does not go with the store (the sentence says so), or memory ran out. */
struct patterns *patterns_new (struct shard *shard, const struct campaign_patterns *config, struct strata_error *error);
void patterns_free (struct patterns **self);

/* Takes a frame in. LATER: as many wait as may. ASIDE: its protein is unknown, or its name not one of a simulation. */
enum feedback_outcome patterns_take (struct patterns *self, const Strata__Structure *structure, const void *record, size_t size,
                                     struct strata_error *why);
/* A record that is no Structure. */
enum feedback_outcome patterns_take_broken (struct patterns *self, const char *producer, struct strata_error *why);

/* The first waiting frame whose number is above `after`: its number, and the record (malloc'ed, the caller frees it); 0: none. */
uint64_t patterns_waiting (struct patterns *self, uint64_t after, void **record, size_t *size);

/* What a worker said of that frame: {"chains": {"A": {"first": 2, "letters": "-HHH..."}}}, letters of the residues from number
 * `first` on, "-" for one that has none, "?" for one that is not there; or {"error": "..."}. An answer that can't be read, or an
 * error, sets the frame aside. A number that does not wait is passed over (REPEAT). simulation: [PRODUCER_NAME_MAX + 1], of
 * the frame. */
enum feedback_outcome patterns_answered (struct patterns *self, uint64_t number, const char *answer, char *simulation,
                                         struct strata_error *why);
/* A worker died of it, or took too long: it waits again (LATER), or is set aside after config->tries of them. */
enum feedback_outcome patterns_failed (struct patterns *self, uint64_t number, const char *reason, char *simulation,
                                       struct strata_error *why);

/* Whether every protein has enough new frames. */
bool patterns_due (const struct patterns *self);
/* Thinks of a report: true when one was made, since a pattern has come into force. */
bool patterns_decide (struct patterns *self, int64_t now_us);
/* The newest report's number, 0 for none, and its text (malloc'ed). It may have been written already. */
uint64_t patterns_report (struct patterns *self, char **text, size_t *size);

/* A store that was made anew: reports are numbered on from this one, the newest on disk. */
void patterns_go_on (struct patterns *self, uint64_t round);

void patterns_figures (const struct patterns *self, struct patterns_figures *figures);

#endif
