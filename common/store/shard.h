/* shard.h - a part of a service's durable state: one RocksDB, one lock, one epoch, one batch.
 *
 * Everything a service decides in one turn of its loop goes into the shard's batch; reads see the batch on top of the
 * store; shard_commit writes the batch with one sync. Nothing may leave the process before that returned 0. Cores are
 * written against this interface alone and tested on shard_open_memory: no socket, no clock, no file of their own.
 *
 * Keys are bytes; each user of the shard has a prefix of its own:
 *   "!..."    shard.c and mesh/journal.c      "s/" "S/" "p/" "c/" stream.c     "q/" "Q/" queue.c
 *   "R/" remembered replies (mesh/replies.c)
 *   "<service>/..."  the service's core, e.g. "job/", "cand/"
 */
#ifndef STRATA_STORE_SHARD_H
#define STRATA_STORE_SHARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/lease.h"
#include "strata_error.h"

struct shard;

/* Takes the shard in folder `dir` (made if missing), raises its epoch and syncs that. errno EBUSY when another process
 * holds it; EBADMSG when it is damaged: the sentence names the file, and nothing of it was changed (store/damage.h). The
 * lease and its folders: lease.h. */
struct shard *shard_open (const char *dir, struct strata_error *error);
/* The same for a standby that asks again and again: it takes the shard by force from a holder that has not renewed its lease
 * for length_us. All that may hold a shard have one length. */
struct shard *shard_take (const char *dir, struct lease_watch *watch, int64_t length_us, struct strata_error *error);
/* The same in memory, for tests and the emulator. Nothing survives shard_close. */
struct shard *shard_open_memory (struct strata_error *error);
/* For looking only (audit): sees what was committed when it was opened; takes no lock; put and commit fail. */
struct shard *shard_open_readonly (const char *dir, struct strata_error *error);
/* An uncommitted batch is dropped: that is what a crash does. */
void shard_close (struct shard **self);

/* What a module of the store (stream.c, queue.c; mesh/replies.c), or a service's core, keeps in memory with the shard; it is the only writer, so a cache of its
 * own keys is always right. before_commit: before the batch is written, also when nothing else is in it. after_commit: when
 * it is on disk and the lease was held after that. free: may be NULL. */
enum shard_part_kind { SHARD_STREAMS, SHARD_QUEUES, SHARD_REPLIES, SHARD_CORE, SHARD_PARTS };
struct shard_part {
    void *data;
    void (*before_commit) (void *data);
    void (*after_commit) (void *data);
    void (*free) (void *data);
};
struct shard_part *shard_part (struct shard *self, enum shard_part_kind kind);
/* Forgets all that is kept in memory, as if the shard were opened anew. Nothing may wait to be committed. */
void shard_forget (struct shard *self);
/* Puts into the batch what is put there before it is written, if there is one: then it is complete. */
void shard_settle (struct shard *self);
bool shard_is_readonly (const struct shard *self);
/* There is no going on (memory, a failed sync), but nothing is known to be damaged: says so and ends the process. */
void shard_die (const struct shard *self, const char *what, const char *of, const char *why) __attribute__ ((noreturn));

uint64_t shard_epoch (const struct shard *self);    /* 1 the first time it is taken */
/* Puts it up to `epoch`, in the batch: of a store that was made anew. */
void shard_raise_epoch (struct shard *self, uint64_t epoch);
bool shard_by_force (const struct shard *self);     /* it was taken from a holder that may still run */
const char *shard_dir (const struct shard *self);
const char *shard_path (const struct shard *self);  /* the folder in it with the store's files; "" in memory */
/* Random, of this store: one that was made anew has another. 0 in memory. */
uint64_t shard_id (struct shard *self);
/* Whether it was put in the place of the store with that id, and how a repair says so (in the batch). */
bool shard_replaces (struct shard *self, uint64_t id);
void shard_put_replaces (struct shard *self, uint64_t id);
/* Of a store that has lost something: another id, in the batch, so that whoever read from it before notices. */
int shard_renew_id (struct shard *self, struct strata_error *error);
/* What stands in the store can't be: marks it as damaged, so that no restart serves it, says so, ends the process. */
void shard_damaged (const struct shard *self, const char *fmt, ...) __attribute__ ((noreturn, format (printf, 2, 3)));
/* Looks at the files of the store in folder `dir`, as opening it does, and changes nothing: damage_check. */
struct damage_report;
int shard_check (const char *dir, struct damage_report *report, struct strata_error *error);
/* Reads every block of every table and verifies its checksum; progress (may be NULL) is called now and then. *keys (may be
 * NULL) grows by the keys seen. -1 with the first damaged file's name. */
int shard_verify (struct shard *self, void (*progress) (uint64_t keys, void *arg), void *arg, uint64_t *keys,
                  struct strata_error *error);
/* Under this prefix stands what was given up when the store was repaired: sentences. */
#define SHARD_LOSS "!loss/"

void shard_put (struct shard *self, const void *key, size_t key_size, const void *value, size_t value_size);
void shard_delete (struct shard *self, const void *key, size_t key_size);
/* 1 found (*value malloc'ed, caller frees; may be NULL when size is 0), 0 not there. A read error ends the process: the
 * store can't be trusted, and its restart says so by name. */
int shard_get (struct shard *self, const void *key, size_t key_size, void **value, size_t *value_size);
bool shard_has (struct shard *self, const void *key, size_t key_size);

/* Big-endian numbers so that keys sort by them. */
void shard_put_u64 (struct shard *self, const char *key, uint64_t value);
uint64_t shard_get_u64 (struct shard *self, const char *key, uint64_t missing);

/* Writes the batch with one sync, and renews the lease: call it several times a second also when there is nothing to write.
 * 0: what is written may be told. -1: nothing is lost, the batch is kept; the caller holds back its outputs and calls again
 * later (a full disk). -1 with errno ESTALE: another process has taken the shard; the caller sends nothing and ends. */
int shard_commit (struct shard *self, struct strata_error *error);
/* Renews the lease when that is due. False: it is not held now (or lost: the next commit says so); nothing may leave. */
bool shard_held (struct shard *self);
bool shard_dirty (const struct shard *self);
uint64_t shard_commits (const struct shard *self);  /* syncs so far */
uint64_t shard_changes (const struct shard *self);  /* puts and deletes so far */

/* ---- for the record of inputs (mesh/journal.h) ----
 * A chained hash over every put and delete (core/hash.h), but those of keys that begin with '!', which are bookkeeping of the
 * shell. Two shards that were given the same changes in the same order from the same digest on have the same digest. Kept
 * from the first shard_set_digest on. */
uint64_t shard_digest (const struct shard *self);
void shard_set_digest (struct shard *self, uint64_t digest);
/* What code that works on a shard asks of the world otherwise than by its inputs (mesh/service.h, service_fact): recorded, and
 * given again by a replay, which asks the world nothing. */
struct shard_facts {
    void (*fact) (void *arg, void *fact, size_t size); /* NULL: nobody records */
    void *arg;
    bool replays;
};
void shard_set_facts (struct shard *self, const struct shard_facts *facts);
/* In a replay the recorded answer is put in the place of `fact`. */
void shard_fact (struct shard *self, void *fact, size_t size);
/* An answer of 0 or more, or of -1 with errno and its sentence: records it, or puts the recorded one in its place. */
int shard_fact_rc (struct shard *self, int rc, struct strata_error *error);
bool shard_replays (const struct shard *self);
bool shard_records (const struct shard *self);
/* In memory something has changed that what comes later depends on: the input that did it is recorded, whatever it left here. */
void shard_touch (struct shard *self);
/* Calls each (key, size, value, value_size, arg) for every change from now on, as shard_batch_each does; NULL: ends that. */
typedef void shard_change_f (const void *key, size_t key_size, const void *value, size_t value_size, void *arg);
void shard_watch (struct shard *self, shard_change_f *each, void *arg);
/* A copy of what is committed in the new folder `dir` on the same file system: files that never change again are linked, so
 * it costs milliseconds and no room until the shard throws its own ones away. */
int shard_copy (struct shard *self, const char *dir, struct strata_error *error);
/* Opens such a copy to work on it: without a lease and an anchor, and no commit waits for the disk. */
struct shard *shard_open_copy (const char *dir, struct strata_error *error);
/* Calls each (key, size, value, value_size, arg) for every change in the batch; value NULL: a delete. */
void shard_batch_each (struct shard *self, shard_change_f *each, void *arg);
/* ---- iterating keys with a prefix in byte order; sees the batch. Don't put or delete between begin and end. ---- */
struct shard_iter {
    const uint8_t *key;         /* whole key, with the prefix */
    size_t key_size;
    const uint8_t *value;
    size_t value_size;
    void *impl;
};
/* First key >= start that has the prefix (start NULL: the prefix itself). True when there is one. Always shard_iter_end. */
bool shard_iter_begin (struct shard *self, struct shard_iter *it, const void *prefix, size_t prefix_size, const void *start,
                       size_t start_size);
bool shard_iter_next (struct shard_iter *it);
void shard_iter_end (struct shard_iter *it);

/* ---- key building: shard_key (&k, "job/%s", id), then shard_key_u64 (&k, n) appends 8 big-endian bytes ---- */
struct shard_key {
    uint8_t data[512];
    size_t size;
};
/* Longer than the buffer ends the process: callers bound their names when they come in. */
void shard_key (struct shard_key *key, const char *fmt, ...) __attribute__ ((format (printf, 2, 3)));
void shard_key_u64 (struct shard_key *key, uint64_t n);
uint64_t shard_u64 (const uint8_t *big_endian);     /* reads 8 bytes */

/* protobuf-c messages as values; used by every core. Returned messages are freed with protobuf_c_message_free_unpacked. */
#include <protobuf-c/protobuf-c.h>
void shard_put_message (struct shard *self, const struct shard_key *key, const ProtobufCMessage *message);
/* NULL when not there. A stored message that does not parse ends the process (damaged store). */
ProtobufCMessage *shard_get_message (struct shard *self, const struct shard_key *key,
                                     const ProtobufCMessageDescriptor *descriptor);

#endif
