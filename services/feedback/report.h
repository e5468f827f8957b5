/* report.h - a round's report (rounds.h) of the sums of histograms.
 *
 *   rdf_<STATE>.txt   a header line `bin` and the rows' names; then bins + 1 lines: a zero row, and for each bin the radius of
 *                     its centre in nm (%.2f) and the counts (%12d); with weights the weighted sums, rounded
 *   rdf.npz           counts int64 [states][rows][bins], exact; with weights also weighted float64 of that shape; frames int64
 *                     [states], radii_nm float64 [bins], states and rows (names), round, created_us
 *   report.json       round, frames, simulations, created, bins, range_nm, rows, and states {name: {frames, counts}}; with weights
 *                     weights {simulations: that select named, without: others, which weigh 1}
 *
 * The text form is the continuum code's; one report always gives the same bytes.
 */
#ifndef STRATA_FEEDBACK_REPORT_H
#define STRATA_FEEDBACK_REPORT_H

#include "feedback_core.h"
#include "strata_error.h"

/* Writes the report under `dir` by rounds_write. */
int report_write (const struct feedback_report *report, const char *dir, struct strata_error *error);

/* The text of one state's file; malloc'ed, *size without the closing zero. NULL: out of memory. */
char *report_state_text (const struct feedback_report *report, size_t state, size_t *size);
/* The bytes of rdf.npz; *data is malloc'ed. */
int report_npz (const struct feedback_report *report, void **data, size_t *size, struct strata_error *error);
/* The text of report.json; malloc'ed. NULL: out of memory. */
char *report_json_text (const struct feedback_report *report);

#endif
