/* rockslog.h - reads RocksDB's log files (write-ahead logs, MANIFEST) without RocksDB and without changing anything.
 *
 * RocksDB takes what follows the first broken record of a log for a tail that was never written, drops it and goes on.
 * Only whoever knows what was acknowledged can tell a torn tail from damage: store/damage.h, which reads logs with this.
 * Format: RocksDB wiki, "Write Ahead Log File Format" and "MANIFEST"; blocks of 32 KiB, records with a masked CRC-32C.
 */
#ifndef STRATA_STORE_ROCKSLOG_H
#define STRATA_STORE_ROCKSLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "strata_error.h"

struct rockslog {
    uint8_t *data;      /* the whole file */
    size_t size;
    uint64_t number;    /* of a recycled log: records of another number are an older log's */
    size_t at;          /* next byte to be read */
    size_t bad_at;      /* rockslog_next gave -1: the broken record begins here */
    size_t after_bad;   /* and ends here, when its length can be believed; else 0 */
    const char *bad;    /* and this is wrong with it */
    uint8_t *record;    /* the last record when it was put together from pieces */
    size_t record_room;
};

int rockslog_open (struct rockslog *self, const char *path, uint64_t number, struct strata_error *error);
/* 1: *record and *size, valid until the next call. 0: a clean end. -1: a record is broken, see bad and bad_at. */
int rockslog_next (struct rockslog *self, const uint8_t **record, size_t *size);
/* After -1: goes on behind the broken record, or at the next block. 0: there is none. */
int rockslog_skip (struct rockslog *self);
void rockslog_close (struct rockslog *self);

/* A write-ahead log's record: its first sequence number and how many there are. False: it is no batch. */
bool rockslog_batch (const uint8_t *record, size_t size, uint64_t *sequence, uint32_t *count);
/* Calls each for every key that the batch sets or deletes. */
void rockslog_batch_keys (const uint8_t *record, size_t size, void (*each) (const uint8_t *key, size_t key_size, void *arg),
                          void *arg);

struct rocksdb_file {
    uint64_t number, size;
    bool blob;
};

/* What the records of a MANIFEST add up to. */
struct rocksmanifest {
    uint64_t log_number;        /* logs below it are no longer needed */
    uint64_t last_sequence;     /* in tables */
    struct rocksdb_file *files; /* that must be there; blob files: size 0, not known */
    size_t files_count, files_room;
    bool strange;               /* a record of a kind that is not known here: nothing above can be relied on */
};

void rocksmanifest_add (struct rocksmanifest *self, const uint8_t *record, size_t size);
void rocksmanifest_fini (struct rocksmanifest *self);

#endif
