/* shard_internal.h - what the parts of a shard share: opening (shard_open.c), the batch (shard.c), keys in order (shard_iter.c). */
#ifndef STRATA_STORE_SHARD_INTERNAL_H
#define STRATA_STORE_SHARD_INTERNAL_H

#include <rocksdb/c.h>

#include "store/damage.h"
#include "store/shard.h"
#include "store/wal_room.h"

#define SHARD_EPOCH_KEY "!epoch"
#define SHARD_ID_KEY "!id"
#define SHARD_LOG_BYTES (8u << 20) /* of a log and the memory table that it is for */

struct shard {
    char *dir;                      /* "" in memory */
    char path[LEASE_PATH_MAX];      /* of the store's files: the generation that is held */
    rocksdb_t *db;
    bool failed;                    /* the last commit failed: db is for reading, or NULL */
    struct lease *lease;            /* NULL in memory, and for looking only */
    rocksdb_env_t *env;             /* in memory only */
    rocksdb_options_t *options;
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *write;
    rocksdb_writebatch_wi_t *batch;
    uint64_t epoch, commits, changes;
    uint64_t digest;                /* of all changes since shard_set_digest */
    bool digesting;
    struct shard_facts facts;
    shard_change_f *watch;          /* NULL: nobody watches the changes */
    void *watch_arg;
    bool readonly;
    struct shard_part parts[SHARD_PARTS];
    struct wal_room wal_room;
    struct anchor *anchor;          /* NULL in memory and for reading only */
};

/* ---- shard.c ---- */
/* A read that failed: damage, or a disk that does not answer. Ends the process. */
__attribute__ ((noreturn)) void shard_read_failed (const struct shard *self, const char *what, const char *why);
/* Only an attempt to open it anew can have left it closed, when even reading failed then. */
void shard_need_db (struct shard *self);
int shard_write_batch (struct shard *self, struct strata_error *error);

/* ---- shard_open.c ---- */
int shard_open_db (struct shard *self, bool readonly, struct strata_error *error);
/* After a failed commit: a database that takes writes again. -1: not yet; what there is stays readable. */
int shard_mend (struct shard *self, struct strata_error *error);

#endif
