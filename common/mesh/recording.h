/* recording.h - the doors through which a core learns something, as they are recorded: what service.c, request.c and
 * consume.c call on the way in. In a replay (replay.h) the same functions record nothing.
 *
 * A core changes only within one of these inputs, on the main loop; what it changes elsewhere shows as a difference in the
 * replay. What was asked without an effect (a read) is not recorded.
 */
#ifndef STRATA_MESH_RECORDING_H
#define STRATA_MESH_RECORDING_H

#include "mesh/journal.h"
#include "mesh/wire.h"

/* Opens the record of the shard that was just taken, where the campaign asks for it. Never fails: a service whose inputs
 * can't be recorded works all the same, and says so. */
void recording_open (struct service *self);
/* What works on the shard records its facts here, or is given them by the replay. Again for each shard that is opened. */
void recording_attach (struct service *self);
/* Right before spec.start, which belongs to it. */
void recording_start (struct service *self, bool in_place);
/* Makes a checkpoint when one is due: ends the core and starts it from the store. -1: it did not start. */
int recording_tend (struct service *self, struct strata_error *error);
void recording_metrics (struct service *self);
/* Whether a core that takes start_us to start may be started anew for a checkpoint, since_us after it was so last: it is away for
 * half a lease at most, and for a small part of its time. */
bool recording_may_restart (int64_t start_us, int64_t since_us, int64_t lease_us);

void recording_tick (struct service *self, size_t timer);
void recording_drain (struct service *self);
void recording_sweep (struct service *self);
void recording_event (struct service *self, const char *kind, const char *subject, const char *text);
void recording_request (struct service *self, const struct wire_message *message);
void recording_page (struct service *self, const char *peer, const char *stream, uint64_t first, uint64_t next);
void recording_record (struct service *self, uint64_t sequence, int64_t time_us, const void *data, size_t size);
/* How far that goes: the cursor behind it. */
void recording_cursor (struct service *self, uint64_t next);
/* What leaves because of an input that is recorded: part of the digest of outputs. */
void recording_output (struct service *self, uint32_t type, const void *bytes, size_t size);

/* Before the commit. all: what waits is written even if it changed nothing. */
void recording_write (struct service *self, bool all);

/* The same doors from the record. */
void replay_request (struct service *self, const struct journal_item *item);
void replay_reply (struct service *self, const struct journal_item *item);
void replay_page (struct service *self, const struct journal_item *item);
void replay_record (struct service *self, const struct journal_item *item);
void replay_cursor (struct service *self, const struct journal_item *item);
/* The next fact of the record. */
void replay_fact (struct service *self, void *fact, size_t size);
/* The replayed code does not go with its record: the first such sentence is reported with its turn. */
void replay_differs (struct service *self, const char *fmt, ...) __attribute__ ((format (printf, 2, 3)));

/* main () of a service with --replay: plays the record of a shard again. Returns the exit code. */
struct replay_options {
    const char *shard;      /* "select-0"; NULL: no replay is asked for */
    const char *from;       /* a checkpoint's turn; NULL: the oldest */
    const char *scratch;    /* folder for copies; NULL: a new one in $TMPDIR or /tmp */
    bool json;
};
int replay_main (struct service *self, const struct replay_options *options);

#endif
