/* strata.h - the client library: what a simulation calls.
 *
 * A simulation talks only to the `stage` service of its own node. Every call blocks until its effect is on the stage's
 * disk, tries again through a restart of the stage (the same request id: nothing happens twice), and fails with a
 * sentence after `timeout_ms`. A client is used by one thread.
 *
 * Where the stage is, is found from the environment that the scheduler sets for each job: STRATA_WORKSPACE.
 */
#ifndef STRATA_H
#define STRATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "strata_error.h"

struct strata_client;

/* name: who this is in logs and status, e.g. the simulation's id. workspace NULL: from STRATA_WORKSPACE.
 * timeout_ms: for each later call; 0 = 120,000. Does not wait for the stage to be there. NULL on failure. */
struct strata_client *strata_open (const char *workspace, const char *name, int timeout_ms, struct strata_error *error);
void strata_close (struct strata_client **self);

/* ---- objects: bytes under namespace/key with length, checksum (CRC-32C) and generation ---- */
struct strata_object_info {
    uint64_t size;
    uint32_t crc32c;
    uint64_t generation;     /* 1 for the first put of a key, then 2 ... */
    int64_t mtime_us;        /* UTC microseconds since 1970 */
};
/* Namespaces and keys: 1..200 bytes of [A-Za-z0-9._+=@-], keys also '/' between such parts; no part "." or "..". */
int strata_put (struct strata_client *self, const char *ns, const char *key, const void *data, size_t size,
                struct strata_error *error);
/* *data is malloc'ed, the caller frees it. A missing object: -1 with errno ENOENT. */
int strata_get (struct strata_client *self, const char *ns, const char *key, void **data, size_t *size,
                struct strata_error *error);
int strata_stat (struct strata_client *self, const char *ns, const char *key, struct strata_object_info *info,
                 struct strata_error *error);
/* Calls each (key, info, arg) for keys with `prefix`, in byte order, until it returns non-zero. */
int strata_list (struct strata_client *self, const char *ns, const char *prefix,
                 int (*each) (const char *key, const struct strata_object_info *info, void *arg), void *arg,
                 struct strata_error *error);
int strata_move (struct strata_client *self, const char *ns, const char *key, const char *to_ns, const char *to_key,
                 struct strata_error *error);
int strata_delete (struct strata_client *self, const char *ns, const char *key, struct strata_error *error);

/* ---- records: append to a stream of the stage, once each ----
 * producer names who appends (a simulation's id), sequence is the producer's own number of the record: 1, 2, ... rising
 * (gaps allowed). A record whose sequence is not above the last one kept of that producer and stream is a repeat: it is
 * dropped and *duplicate (may be NULL) set. So a simulation restarted from a checkpoint just appends its frames again. */
int strata_append (struct strata_client *self, const char *stream, const char *producer, uint64_t sequence,
                   const void *record, size_t size, bool *duplicate, struct strata_error *error);
/* The same without waiting for the answer: the record is copied, and the call waits only while more than 8 MiB are under way.
 * Many small records so cost little more than their bytes. Nothing is promised of them until strata_flush returns 0; then all
 * are on the stage's disk. When one can't be kept, this or strata_flush says so, once, and records after it of the same
 * stream and producer are not kept either: append again from strata_last_sequence + 1 on. *duplicates (may be NULL): how many
 * were repeats since the last flush. */
int strata_append_ahead (struct strata_client *self, const char *stream, const char *producer, uint64_t sequence,
                         const void *record, size_t size, struct strata_error *error);
int strata_flush (struct strata_client *self, uint64_t *duplicates, struct strata_error *error);
/* The last sequence kept of producer on stream; 0 when none. Where to go on after a restart. */
int strata_last_sequence (struct strata_client *self, const char *stream, const char *producer, uint64_t *sequence,
                          struct strata_error *error);

/* ---- the two kinds of record the built-in services understand ---- */

/* An integer histogram block for feedback: counts[rows][bins] of one frame of one simulation, for one state (a row group
 * of the campaign's feedback tensor [states][rows][bins]). Goes to stream `stream` as producer `simulation`, sequence
 * `frame`. Negative counts are refused by the service. */
int strata_append_histogram (struct strata_client *self, const char *stream, const char *simulation, uint64_t frame,
                             const char *state, size_t rows, size_t bins, const int64_t *counts, bool *duplicate,
                             struct strata_error *error);

/* A frame candidate: coordinates is the point in the selector's space (n values, e.g. tilt, rotation [rad], depth [nm]);
 * blob (may be NULL) whatever the next scale needs. */
int strata_append_frame (struct strata_client *self, const char *stream, const char *simulation, uint64_t frame,
                         double time_ps, size_t n, const double *coordinates, const void *blob, size_t blob_size,
                         bool *duplicate, struct strata_error *error);

/* Hands a continuum snapshot folder to the patch service's queue: once for each index. path: as other nodes see it. */
int strata_append_snapshot (struct strata_client *self, const char *queue, const char *simulation, uint64_t index,
                            const char *path, double time_us, bool *duplicate, struct strata_error *error);

/* Tells feedback that report `round` is in force in the receiving model from its own step `step` on. */
int strata_append_uptake (struct strata_client *self, const char *stream, const char *model, uint64_t round, uint64_t step,
                          bool *duplicate, struct strata_error *error);

#endif
