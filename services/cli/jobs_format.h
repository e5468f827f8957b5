/* jobs_format.h - jobs as lines of columns, by a format as flux-jobs(1) has it: text with {field[!conversion][:spec]} in it.
 *
 *   conversion   F: seconds as a duration (90 s is 1.5m); d: a time as date and time of this machine's zone
 *   spec         [[fill]<|>|^][width][.most][+][type] as Python's: `most` cuts a text, and + marks that with a plus sign; type f with
 *                .digits for numbers, h: "-" for what is empty or 0
 *   {{ and }}    braces
 */
#ifndef STRATA_CLI_JOBS_FORMAT_H
#define STRATA_CLI_JOBS_FORMAT_H

#include "cli.h"

#define JOBS_FORMAT "{id:<18} {type:<12.12+} {name:<28.28+} {status_abbrev:>2} {ntasks:>6} {nnodes:>6} {runtime!F:>8h} {info}"

/* One job, and what is known beside it. */
struct jobs_row {
    const Strata__Job *job;
    const Strata__TypeOfJobs *type;     /* NULL: not known */
    const char *waits;                  /* for what, a word; "": it does not wait */
    const Strata__NodeReply *nodes;     /* their names; NULL: numbers are told */
    int64_t now_us;
};

struct jobs_format;

/* NULL: the sentence says what is wrong with it. */
struct jobs_format *jobs_format_new (const char *text, struct strata_error *error);
void jobs_format_free (struct jobs_format **self);
/* Whether nodes are told by it. */
bool jobs_format_needs_nodes (const struct jobs_format *self);
void jobs_format_print_header (const struct jobs_format *self, FILE *out);
void jobs_format_print (const struct jobs_format *self, const struct jobs_row *row, FILE *out);

/* "waiting", and "S" as flux-jobs abbreviates it. */
const char *jobs_state (Strata__JobState state);
const char *jobs_state_short (const Strata__Job *job);
/* Seconds that the last attempt ran, or runs; 0: it has not begun. */
double jobs_runtime (const Strata__Job *job, int64_t now_us);
/* "-90s", "-10m", "-2.5h", "-1d" before now; seconds since 1970; "2026-11-27", with "T12:30" or "T12:30:05"; "12:30". */
int jobs_since (const char *text, int64_t now_us, int64_t *since_us, struct strata_error *error);

#endif
