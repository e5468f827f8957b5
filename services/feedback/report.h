/* report.h - a round's report as a folder, for the coarser model to read.
 *
 *   <dir>/round.%06d/rdf_<STATE>.txt   a header line `bin` and the rows' names; then bins + 1 lines: a zero row, and
 *                                      for each bin the radius of its centre in nm (%.2f) and the counts (%12d)
 *   <dir>/round.%06d/report.json       round, frames, simulations, created, bins, range_nm, rows, and
 *                                      states {name: {frames, counts}}
 *   <dir>/current                      symbolic link to the newest round's folder
 *
 * A reader that opens <dir>/current sees a whole round or the one before, never a part: the folder is made under
 * another name, synced, and renamed; the link is replaced by rename. The text form is formats.md's; one report always
 * gives the same bytes.
 */
#ifndef STRATA_FEEDBACK_REPORT_H
#define STRATA_FEEDBACK_REPORT_H

#include "feedback_core.h"
#include "strata_error.h"

#define REPORT_ROUNDS_KEPT 10

/* Writes the report under `dir` (made if missing), points `current` at it, and removes rounds older than the last
 * REPORT_ROUNDS_KEPT. Doing it again is harmless. When it returns 0 all of it is on disk. -1: nothing but unfinished
 * files under a name of their own was left; the sentence names the file and the reason. */
int report_write (const struct feedback_report *report, const char *dir, struct strata_error *error);

/* Points `current` at that round where it names another, or is not there. 1: it did, 0: it is right, or the round is not there. */
int report_relink (const char *dir, uint64_t round, struct strata_error *error);

/* The text of one state's file; malloc'ed, *size without the closing zero. NULL: out of memory. */
char *report_state_text (const struct feedback_report *report, size_t state, size_t *size);
/* The text of report.json; malloc'ed. NULL: out of memory. */
char *report_json_text (const struct feedback_report *report);

#endif
