/* damage.h - knows what a store must hold, and finds out when it doesn't.
 *
 * RocksDB checks its blocks and records by checksums, but it takes whatever follows the first broken record of a log for a
 * torn tail and drops it without a word; a log, or a MANIFEST, that was cut at a record's end looks whole. So beside the
 * store stands what it has acknowledged:
 *
 *   ANCHOR            store id, last acknowledged sequence number, number + length + CRC-32C of the MANIFEST; written after
 *                     each commit and never synced: a killed process leaves it exact, a power failure may leave an older
 *                     one, which claims less. It never claims what is not on disk.
 *   ANCHOR.manifest   those bytes of the MANIFEST: a damaged one is put back from it without loss
 *   DAMAGED           what was found and when: the store is refused until it is repaired
 *
 * A torn tail behind the last acknowledged batch is what a crash leaves and is accepted. Everything else is refused by
 * the file's name before RocksDB opens, and so changes, anything: a table or log that is missing or has another length, a
 * break in the chain of sequence numbers from the tables through the logs, a chain that ends before what was
 * acknowledged. Tables' blocks, and records in segments (store/stream_log.h), are verified when they are read.
 *
 * Not found: what RocksDB wrote to its MANIFEST after the last commit (a flush in the background) and that was then cut off
 * at a record's end together with no log; after a power failure, what was acknowledged since the kernel last wrote ANCHOR.
 */
#ifndef STRATA_STORE_DAMAGE_H
#define STRATA_STORE_DAMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "strata_error.h"

#define ANCHOR_FILE "ANCHOR"
#define ANCHOR_MANIFEST_FILE "ANCHOR.manifest"
#define DAMAGED_FILE "DAMAGED"
#define DAMAGE_FINDINGS_MAX 16

enum damage_kind { DAMAGE_ANCHOR, DAMAGE_CURRENT, DAMAGE_MANIFEST, DAMAGE_TABLE, DAMAGE_LOG };

struct damage_finding {
    enum damage_kind kind;
    char file[64];      /* its name in the folder */
    char what[200];     /* is wrong with it */
};

struct damage_report {
    bool fresh;                 /* there is no store yet */
    bool anchored;              /* ANCHOR is there and whole */
    uint64_t id;                /* of the store, from ANCHOR */
    uint64_t acknowledged;      /* last sequence number acknowledged, from ANCHOR */
    uint64_t recoverable;       /* last one that can be recovered without a gap */
    struct damage_finding findings[DAMAGE_FINDINGS_MAX];
    size_t count;               /* more are counted in it and not kept */
};

/* Reads the store's files and changes nothing. 0: see the report. -1: a file can't be read. Of a store that is being
 * written it may find what is not there. */
int damage_check (const char *dir, struct damage_report *report, struct strata_error *error);
/* -1 with errno EBADMSG and a sentence that names the first finding; 0 when there is none. */
int damage_refuse (const char *dir, const struct damage_report *report, struct strata_error *error);
/* The same for a store that was marked by damage_mark. */
int damage_refuse_marked (const char *dir, struct strata_error *error);
/* Writes DAMAGED, as well as the disk allows. */
void damage_mark (const char *dir, const char *what);
/* Whether RocksDB's sentence tells of damage (not of a full disk or a lock). */
bool damage_told (const char *rocksdb_error);
/* The tables of a store, for a sentence. */
void damage_tables (const char *dir, char *text, size_t size);

struct anchor;

/* Opens ANCHOR for writing; makes one with a random id when there is none. Call before RocksDB opens the store. */
struct anchor *anchor_open (const char *dir, struct strata_error *error);
uint64_t anchor_id (const struct anchor *self);
int anchor_renew_id (struct anchor *self, struct strata_error *error);
uint64_t anchor_acknowledged (const struct anchor *self);
/* The batch up to `sequence` is on disk. Costs two system calls. */
void anchor_note (struct anchor *self, uint64_t sequence);
/* For a repair, of a store that is not open: writes the MANIFEST that was in use, and CURRENT, from ANCHOR.manifest; name: the
 * MANIFEST's. -1 when that copy is not whole either. */
int anchor_put_manifest (const char *dir, char *name, size_t size);
/* A new ANCHOR that has this id and claims nothing. */
int anchor_put (const char *dir, uint64_t id, struct strata_error *error);
/* After RocksDB is closed: what it wrote last is noted too. */
void anchor_close (struct anchor **self);

#endif
