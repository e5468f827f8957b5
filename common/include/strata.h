/* strata.h - the client library: what a simulation calls.
 *
 * A simulation talks to a `stage` service of its own node, as far as names allow (see objects). Every call blocks until its effect is on the stage's
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

/* For the calls after it; 0 = 120,000. */
void strata_set_timeout (struct strata_client *self, int timeout_ms);

/* Every function below returns 0, or -1 with errno and a sentence in error:
 *   ENOENT  there is no such object            EINVAL     a name or number that is not allowed
 *   EEXIST  the name is taken                  ENOSPC     full, for as long as the timeout
 *   EBADMSG the object is damaged              ETIMEDOUT  no answer in time: it may or may not have happened
 */

/* ---- objects: bytes under namespace/key with length, checksum (CRC-32C) and generation ----
 * A name is the same from every node. Which stage keeps it is settled by its first put; while that stage is away calls for
 * the names that it keeps wait, and fail naming it. Checksums are made and compared here, where the data comes from and goes
 * to. Namespaces and keys: 1..200 bytes of [A-Za-z0-9._+=@-], keys also '/' between such parts; no part "." or "..". */
struct strata_object_info {
    uint64_t size;
    uint32_t crc32c;
    uint64_t generation;     /* 1 for the first put of a key, then 2 ... */
    int64_t mtime_us;        /* UTC microseconds since 1970 */
};
int strata_put (struct strata_client *self, const char *ns, const char *key, const void *data, size_t size,
                struct strata_error *error);
/* Only when there is none of that name (EEXIST). */
int strata_put_new (struct strata_client *self, const char *ns, const char *key, const void *data, size_t size,
                    struct strata_error *error);
/* *data is malloc'ed, the caller frees it. */
int strata_get (struct strata_client *self, const char *ns, const char *key, void **data, size_t *size,
                struct strata_error *error);
/* At most `length` bytes from `offset` on (EINVAL past the end). The object's first such read checks all of it. */
int strata_get_range (struct strata_client *self, const char *ns, const char *key, uint64_t offset, uint64_t length,
                      void **data, size_t *size, struct strata_error *error);
/* Waits until the object has been put, for as long as the timeout (ETIMEDOUT). */
int strata_get_wait (struct strata_client *self, const char *ns, const char *key, void **data, size_t *size,
                     struct strata_error *error);
/* The object as a file of this node's cache, mapped: no byte is copied for who comes second, whichever program of the node was
 * first (stage.cache of the campaign file). Where the cache doesn't have it, or there is none, the bytes are a copy in memory.
 * Only to be read. They stay what they are, whatever becomes of the object, and hold their place in the cache, until
 * strata_unmap; also after strata_close. `wait`: as strata_get_wait. */
struct strata_mapping {
    const void *data;               /* page-aligned when it is mapped */
    size_t size;
    struct strata_object_info info; /* the version; the stage has compared the bytes with its checksum */
    bool mapped;                    /* false: a copy */
    int fd;                         /* strata_unmap's own */
};
int strata_map (struct strata_client *self, const char *ns, const char *key, bool wait, struct strata_mapping *mapping,
                struct strata_error *error);
void strata_unmap (struct strata_mapping *mapping);
int strata_stat (struct strata_client *self, const char *ns, const char *key, struct strata_object_info *info,
                 struct strata_error *error);
/* 1 it is there, 0 it is not, -1 nobody could say. */
int strata_exists (struct strata_client *self, const char *ns, const char *key, struct strata_error *error);
/* To a name that is free (EEXIST). After ETIMEDOUT the move goes on by itself. */
int strata_move (struct strata_client *self, const char *ns, const char *key, const char *to_ns, const char *to_key,
                 struct strata_error *error);
int strata_delete (struct strata_client *self, const char *ns, const char *key, struct strata_error *error);

/* Calls each (key, info, arg) for keys with `prefix`, in byte order, until it returns non-zero. */
typedef int strata_each_f (const char *key, const struct strata_object_info *info, void *arg);
int strata_list (struct strata_client *self, const char *ns, const char *prefix, strata_each_f *each, void *arg,
                 struct strata_error *error);
/* The same for keys that match `pattern` as in a shell (* ? [...]; '*' and '?' match '/' as well), from behind key `after`
 * on ("": from the first), at most max. *more (may be NULL): whether there are others. */
int strata_glob (struct strata_client *self, const char *ns, const char *pattern, const char *after, size_t max,
                 strata_each_f *each, void *arg, bool *more, struct strata_error *error);

/* ---- the same in bulk: requests are under way together ----
 * codes (may be NULL): [count], 0 or the errno of each. 0: all succeeded; -1: at least one did not, error tells of the first;
 * the others have happened. Keys of one put that share their first part ("run-1/a", "run-1/b") are put all or none. */
int strata_put_many (struct strata_client *self, const char *ns, const char *const *keys, const void *const *data,
                     const size_t *sizes, size_t count, int *codes, struct strata_error *error);
/* data, sizes: [count]; data[i] is malloc'ed, or NULL where it failed. */
int strata_get_many (struct strata_client *self, const char *ns, const char *const *keys, size_t count, void **data,
                     size_t *sizes, int *codes, struct strata_error *error);
/* At most lengths[i] bytes from offsets[i] on of keys[i]; a key may be there several times. */
int strata_get_range_many (struct strata_client *self, const char *ns, const char *const *keys, const uint64_t *offsets,
                           const uint64_t *lengths, size_t count, void **data, size_t *sizes, int *codes, struct strata_error *error);
/* there: [count]. -1: of at least one nobody could say. */
int strata_exists_many (struct strata_client *self, const char *ns, const char *const *keys, size_t count, bool *there,
                        struct strata_error *error);
int strata_stat_many (struct strata_client *self, const char *ns, const char *const *keys, size_t count,
                      struct strata_object_info *infos, int *codes, struct strata_error *error);
int strata_move_many (struct strata_client *self, const char *ns, const char *const *keys, const char *to_ns,
                      const char *const *to_keys, size_t count, int *codes, struct strata_error *error);
int strata_delete_many (struct strata_client *self, const char *ns, const char *const *keys, size_t count, int *codes,
                        struct strata_error *error);

/* ---- numpy archives (strata_npz.h) as objects ---- */
struct npz;
struct npz_writer;
/* Finishes the archive; the writer is still the caller's to free. */
int strata_save_npz (struct strata_client *self, const char *ns, const char *key, struct npz_writer *writer,
                     struct strata_error *error);
/* NULL, with errno, on failure; npz_close frees it. */
struct npz *strata_load_npz (struct strata_client *self, const char *ns, const char *key, struct strata_error *error);

/* ---- checkpoints: versions <name>/<number> of which the last `keep` (1..1000) stay ----
 * A version is there whole or not at all; the older ones go only when it is. *number (may be NULL): 1, 2, ... */
int strata_checkpoint (struct strata_client *self, const char *ns, const char *name, const void *data, size_t size,
                       unsigned keep, uint64_t *number, struct strata_error *error);
/* The newest that is whole: a damaged one is passed over for the one before it. ENOENT: there is none. */
int strata_restore (struct strata_client *self, const char *ns, const char *name, void **data, size_t *size,
                    uint64_t *number, struct strata_error *error);

/* ---- signals: named flags that others can wait for; kept like objects until they are cleared ---- */
int strata_signal (struct strata_client *self, const char *name, const char *text, struct strata_error *error);
/* *text (may be NULL): malloc'ed, what was given with the signal. ETIMEDOUT: it was not given in time. */
int strata_wait (struct strata_client *self, const char *name, char **text, struct strata_error *error);
/* 0 also when it was not set. */
int strata_clear (struct strata_client *self, const char *name, struct strata_error *error);

/* ---- records: append to a stream of the stage, once each ----
 * producer names who appends (a simulation's id), sequence is the producer's own number of the record: 1, 2, ... rising
 * (gaps allowed). A record whose sequence is not above the last one kept of that producer and stream is a repeat: it is
 * dropped and *duplicate (may be NULL) set. So a simulation restarted from a checkpoint just appends its frames again.
 * All records of a producer go to one stage, the one that took its first: wherever it is restarted, no other takes them. */
int strata_append (struct strata_client *self, const char *stream, const char *producer, uint64_t sequence,
                   const void *record, size_t size, bool *duplicate, struct strata_error *error);
/* The same without waiting for the answer: the record is copied, and the call waits only while more than 16 MiB are under way.
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

/* ---- the kinds of record the built-in services understand ---- */

/* An integer histogram block for feedback: counts[rows][bins] of one frame of one simulation, for one state (a row group
 * of the campaign's feedback tensor [states][rows][bins]). Goes to stream `stream` as producer `simulation`, sequence
 * `frame`. Negative counts are refused by the service. */
int strata_append_histogram (struct strata_client *self, const char *stream, const char *simulation, uint64_t frame,
                             const char *state, size_t rows, size_t bins, const int64_t *counts, bool *duplicate,
                             struct strata_error *error);

/* The same for many frames a second: the frame is added to the sum of those before it, here in the program, and a sum of up to
 * STRATA_SUM_FRAMES frames leaves ahead of its answer as one record that names each of them; earlier when the state changes, or by
 * strata_flush. Nothing is promised of frames until strata_flush returns 0; then all are on the stage's disk, in some sum, once.
 * Counts are in 0..2^53, else the frame alone is refused (EINVAL). Frames rise; one not above the last kept or added is a repeat: *duplicate (may be NULL) is set.
 * When this or strata_flush fails, nothing is known of the frames since the last strata_flush: add them again; those that were
 * kept are repeats. Another program that appended as the same simulation meanwhile is found out (EEXIST) and nothing counts
 * twice. One shape [rows][bins] for a stream and simulation. */
#define STRATA_SUM_FRAMES 256
int strata_sum_histogram (struct strata_client *self, const char *stream, const char *simulation, uint64_t frame,
                          const char *state, size_t rows, size_t bins, const int64_t *counts, bool *duplicate,
                          struct strata_error *error);

/* A frame candidate: coordinates is the point in the selector's space (n values, e.g. tilt, rotation [rad], depth [nm]);
 * blob (may be NULL) whatever the next scale needs. */
int strata_append_frame (struct strata_client *self, const char *stream, const char *simulation, uint64_t frame,
                         double time_ps, size_t n, const double *coordinates, const void *blob, size_t blob_size,
                         bool *duplicate, struct strata_error *error);

/* A frame for the workers of feedback.patterns: atoms is what they read, for membrane-dssp a PDB file with the protein's
 * backbone. protein is one of the campaign file's feedback.patterns.proteins. */
int strata_append_structure (struct strata_client *self, const char *stream, const char *simulation, uint64_t frame,
                             const char *protein, const void *atoms, size_t size, bool *duplicate, struct strata_error *error);

/* Hands a continuum snapshot folder to the patch service's queue: once for each index. path: as other nodes see it. */
int strata_append_snapshot (struct strata_client *self, const char *queue, const char *simulation, uint64_t index,
                            const char *path, double time_us, bool *duplicate, struct strata_error *error);

/* Tells feedback that report `round` is in force in the receiving model from its own step `step` on. */
int strata_append_uptake (struct strata_client *self, const char *stream, const char *model, uint64_t round, uint64_t step,
                          bool *duplicate, struct strata_error *error);

#endif
