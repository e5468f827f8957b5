/* writer.h - writes a report in a thread of its own, so that a slow file system holds up no heartbeat.
 *
 * One report at a time. The report's arrays must stay as they are while the writer is busy: the core takes no frame
 * then.
 */
#ifndef STRATA_FEEDBACK_WRITER_H
#define STRATA_FEEDBACK_WRITER_H

#include "feedback_core.h"
#include "strata_error.h"

struct writer;

enum writer_state { WRITER_IDLE, WRITER_BUSY, WRITER_DONE, WRITER_FAILED };

struct writer *writer_new (const char *dir, struct strata_error *error);
/* Waits for the report in work. */
void writer_free (struct writer **self);
/* Starts writing; the writer must be idle. */
int writer_start (struct writer *self, const struct feedback_report *report, struct strata_error *error);
/* How it stands. DONE and FAILED (with the sentence) are told once; then the writer is idle. */
enum writer_state writer_poll (struct writer *self, struct strata_error *error);

#endif
