/* stream_log.h - the bytes of large chunks of a stream, in files beside RocksDB: each is written once.
 *
 * RocksDB writes a value to its log, then to a table, then again at each compaction. For kilobyte records in bulk that is
 * what limits a stream, so a chunk of STREAM_LOG_MIN bytes and more goes to a segment file, and the store keeps where. A
 * commit syncs the segment before the batch that names it: what the store names is on disk. A crash between the two leaves
 * bytes that nothing names.
 *
 *   <store>/<stream>.<16 hex digits>.records    SEGMENT_BYTES, allocated ahead; named by its first sequence
 *   <store>/<stream>.<number>.spare             one whose records are all forgotten, to be written over
 *
 * A segment is appended to only by the process that made it: a new holder begins a new one. So whoever copies a shard can
 * link them (hard links) and lose nothing to a stale holder that goes on writing: it appends past what is named, and what
 * it unlinks is its own name.
 *
 * A segment that holds only forgotten records is set aside after the commit that forgot them, and becomes the next one: its
 * blocks are there and written, so that syncs have only bytes to write, and nothing is freed and allocated (where the file
 * system tells the disk of freed blocks, that is a sixth of the time). Only one that this process made and nobody has
 * linked: nobody else writes or reads it. There are at most STREAM_LOG_SPARES; the others are unlinked.
 */
#ifndef STRATA_STORE_STREAM_LOG_H
#define STRATA_STORE_STREAM_LOG_H

#include "store/shard.h"

#define STREAM_LOG_MIN (32u << 10)
#define STREAM_LOG_END ".records"
#define STREAM_LOG_PATH 4400
#define STREAM_LOG_SPARES 2 /* of a stream */

struct stream_log;

/* next: of the stream; what a crash left at or behind it is removed. NULL: out of memory. */
struct stream_log *stream_log_open (struct shard *shard, const char *stream, uint64_t next);
void stream_log_free (struct stream_log **self);
/* Writes size bytes; they are on disk after stream_log_sync. -1: not possible here or now (a shard in memory, a full disk):
 * the caller keeps the bytes in the store. first: the sequence of their first record. */
int stream_log_write (struct stream_log *self, uint64_t first, const void *data, size_t size, uint64_t *segment,
                      uint64_t *offset);
/* Bytes that can't be read end the process: see shard_untrusted. */
void stream_log_read (struct stream_log *self, uint64_t segment, uint64_t offset, void *data, size_t size);
void stream_log_path (const struct stream_log *self, uint64_t segment, char path[STREAM_LOG_PATH]);
/* Before the batch is written. A failed sync ends the process: nobody was told that the records are there. */
void stream_log_sync (struct stream_log *self);
/* Once the commit is done that forgot all records below first. */
void stream_log_trim (struct stream_log *self, uint64_t first);
/* Of what is set aside; at most *limit_bytes. */
void stream_log_spare (const struct stream_log *self, uint64_t *bytes, uint64_t *limit_bytes);

#endif
