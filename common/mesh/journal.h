/* journal.h - the record of what a shard's core was told, so that it can be told again (replay.h).
 *
 * A folder beside the shards, <workspace>/replay/<shard>/, with segments of inputs and with checkpoints (copies of the store
 * whose files are links). Each committed turn of the service is one record: what came in since the last one, and the digests
 * behind it (shard_digest, and one over replies and calls). It is written to the segment before the turn's batch, which
 * carries the position in the segment under "!journal". So a process that is killed leaves a journal that agrees with its
 * store: what stands behind the position is of a turn that never was. Nothing is synced for it: the store's sync is the only
 * one. When the machine itself dies, the end of the journal may be missing; that is seen at the next start, and recording
 * begins anew. A journal that can't be written never stops the service: it is given up, and begun anew later.
 *
 * A segment belongs to one life of the core: it begins with a start, from the store as it was then. To begin again from a
 * checkpoint, what the core has in memory must be what the store says; so at a checkpoint the service stops its core and
 * starts it from the store (recording.c). That is what a crash does to it at any time, so it is safe by design.
 *
 * Bounded: a checkpoint is due after checkpoint_bytes of inputs (every 5 s at most); the oldest checkpoints, and inputs before
 * them, are removed while all takes more than keep_bytes. What links keep alive of a store that has thrown it away counts.
 * Inputs that fill keep_bytes within those 5 s are not recorded for half a minute, so that a flood costs little.
 */
#ifndef STRATA_MESH_JOURNAL_H
#define STRATA_MESH_JOURNAL_H

#include "mesh/journal_format.h"
#include "store/shard.h"

#define JOURNAL_KEY "!journal"

struct journal;

struct journal_limits {
    uint64_t keep_bytes, checkpoint_bytes;
};

struct journal_figures {
    uint64_t bytes, keep_bytes;     /* on disk, and their bound */
    uint64_t turns;                 /* recorded so far */
    unsigned checkpoints;
    bool recording;                 /* false: given up for now */
};

/* The position that a store carries: the last committed turn. */
struct journal_position {
    struct journal_id segment;
    uint64_t begin, end;            /* bytes of its record in the segment */
    uint64_t turn, state, outputs;
};
/* False: the shard was not recorded last. */
bool journal_position_get (struct shard *shard, struct journal_position *position);
void journal_position_put (struct shard *shard, const struct journal_position *position);

/* Goes on with what is in `dir` (made if missing), or begins anew when that does not fit the store. The shard must outlive
 * it. NULL: the folder can't be used. */
struct journal *journal_open (const char *dir, struct shard *shard, const struct journal_limits *limits,
                              struct strata_error *error);
void journal_close (struct journal **self);

/* Whether a checkpoint should be made before the core starts, or while it runs. */
bool journal_due (struct journal *self, int64_t now_us);
/* Copies the store as it is committed; the core starts right after, from it. Nothing may wait to be committed. -1: it can't
 * be written; nothing is recorded until a later one works. */
int journal_checkpoint (struct journal *self, int64_t now_us, struct strata_error *error);

/* All take NULL for a service that isn't recorded. Bytes are copied. */
void journal_input (struct journal *self, const struct journal_item *item);
/* A fact that is the same as the last item's is only counted. */
void journal_fact (struct journal *self, const void *fact, size_t size);

/* An input that turns out to change nothing: everything since the mark is taken back. */
struct journal_mark {
    size_t size;
    int64_t last_us;
    uint64_t again;
    size_t fact_at, fact_size;
};
struct journal_mark journal_mark (const struct journal *self);
void journal_undo (struct journal *self, const struct journal_mark *mark);

/* Before shard_commit: writes the turn's record and puts the position into the batch, when the batch changes something or
 * many inputs wait; `all`: any. Called again when the commit failed. */
void journal_write (struct journal *self, uint64_t outputs, bool all);
/* After a commit that worked. */
void journal_committed (struct journal *self);
/* The digest of outputs to go on from, after journal_open. */
uint64_t journal_outputs (const struct journal *self);

/* Removes a folder of a journal or of a copy, and all in it. */
void journal_remove (const char *path);

void journal_figures (const struct journal *self, struct journal_figures *figures);

#endif
