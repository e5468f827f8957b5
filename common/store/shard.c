/* shard.c - see shard.h. Who may open it, and in which folder: lease.c.
 *
 * The batch is a RocksDB write batch with an index, so that reads and iterators see it on top of the store. When a commit
 * fails the batch is kept and the database stays open for reading (RocksDB refuses writes after a write error). Before the
 * next try it is closed and opened anew, but only when a trial file shows that there is room again: opening writes too, and
 * a database that could not be opened could not be read either. Should it fail all the same it is opened for reading, so
 * that whoever looks into the store meanwhile (an answer's callback, a heartbeat) finds it. Writing the same batch twice is
 * harmless: it only sets and deletes keys.
 */
#include "store/shard.h"

#include <errno.h>
#include <fcntl.h>
#include <rocksdb/c.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/crash_point.h"
#include "core/hash.h"
#include "core/log.h"
#include "store/wal_room.h"
#include "store/damage.h"
#include "store/generation.h"

#define EPOCH_KEY "!epoch"
#define LOG_BYTES (8u << 20) /* of a log and the memory table that it is for */
#define ID_KEY "!id"
/* Room asked for before a store that could not be written is opened anew: its next log, manifest and tables. */
#define TRIAL_BYTES (1u << 20)
/* Of a holder that nobody takes by force from. */
#define NO_LEASE_US 60000000

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
    bool readonly;
    struct shard_part parts[SHARD_PARTS];
    struct wal_room wal_room;
    struct anchor *anchor;          /* NULL in memory and for reading only */
};

/* A stale holder reads and writes files that its successor has removed: that is no damage. */
static void end_if_lost (const struct shard *self)
{
    struct strata_error error;
    if (!self->lease || lease_keep (self->lease, &error) == 0 || errno != ESTALE)
        return;
    log_warn ("%s; this process ends", error.text);
    _exit (1);
}

__attribute__ ((noreturn)) static void die (const struct shard *self, const char *what, const char *why)
{
    end_if_lost (self);
    log_error ("store %s: %s: %s. This process ends.", self->dir[0] ? self->dir : "(memory)", what, why);
    abort ();
}

void shard_die (const struct shard *self, const char *what, const char *of, const char *why)
{
    char text[LEASE_PATH_MAX + 256];
    snprintf (text, sizeof (text), "%s %s", what, of);
    die (self, text, why);
}

void shard_damaged (const struct shard *self, const char *fmt, ...)
{
    char what[400];
    va_list ap;
    va_start (ap, fmt);
    vsnprintf (what, sizeof (what), fmt, ap);
    va_end (ap);
    end_if_lost (self);
    log_error ("store %s is damaged: %s. This process ends; the store is not served again before it is repaired: 'strata repair'",
               self->dir[0] ? self->dir : "(memory)",
               what);
    if (self->readonly)
        exit (1);
    if (self->dir[0])
        damage_mark (self->path, what);
    abort ();
}

/* A read that failed: damage, or a disk that does not answer. */
static void read_failed (const struct shard *self, const char *what, const char *why)
{
    if (damage_told (why))
        shard_damaged (self, "%s: %s", what, why);
    die (self, what, why);
}

static int open_db (struct shard *self, bool readonly, struct strata_error *error)
{
    char *err = NULL;
    if (readonly)
        self->db = rocksdb_open_for_read_only (self->options, self->path, 0, &err);
    else
        self->db = rocksdb_open (self->options, self->path[0] ? self->path : "/strata-memory", &err);
    if (err) {
        bool held = strstr (err, "lock") && strstr (err, "LOCK"), no_space = strstr (err, "No space") != NULL;
        int reason = held ? EBUSY : no_space ? ENOSPC : damage_told (err) ? EBADMSG : EIO;
        char tables[200] = "";
        /* RocksDB blames the MANIFEST, which was checked, for a table whose footer or properties are damaged. */
        if (self->anchor && reason == EBADMSG && strstr (err, "MANIFEST-"))
            damage_tables (self->path, tables, sizeof (tables));
        if (tables[0])
            strata_fail (error, "store %s is damaged: one of its tables (%s): %s", self->dir, tables, err);
        else
            strata_fail (error, held ? "store %s is held by another process (%s)" : "store %s can't be opened: %s", self->dir, err);
        rocksdb_free (err);
        self->db = NULL;
        errno = reason;
        return -1;
    }
    return 0;
}

/* Whether the disk takes so many bytes more. */
static bool has_room (const struct shard *self, size_t bytes)
{
    static const char zeros[65536];
    char path[LEASE_PATH_MAX + 16];
    if (!self->path[0])
        return true;
    snprintf (path, sizeof (path), "%s/TRIAL", self->path);
    int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return false;
    bool ok = true;
    for (size_t done = 0; ok && done < bytes;) {
        ssize_t n = write (fd, zeros, sizeof (zeros));
        ok = n > 0;
        done += ok ? (size_t)n : 0;
    }
    ok = ok && fsync (fd) == 0;
    close (fd);
    unlink (path);
    return ok;
}

static int no_room (const struct shard *self, struct strata_error *error)
{
    errno = ENOSPC;
    return strata_fail (error, "store %s can't be written: no space is left for it on its disk; it is tried again until it works",
                        self->dir);
}

static int write_batch (struct shard *self, struct strata_error *error);

/* RocksDB is asked to open only what it can write: see has_room and info_log_level below. */
static int open_to_write (struct shard *self, struct strata_error *error)
{
    return has_room (self, TRIAL_BYTES) ? open_db (self, false, error) : no_room (self, error);
}

/* Looks at the store's files before RocksDB opens it: opening changes them. */
static int check (struct shard *self, struct strata_error *error)
{
    struct damage_report report;
    if (damage_refuse_marked (self->path, error) < 0 || damage_check (self->path, &report, error) < 0
        || damage_refuse (self->path, &report, error) < 0)
        return -1;
    rocksdb_options_set_create_if_missing (self->options, report.fresh);
    self->anchor = anchor_open (self->path, error);
    return self->anchor ? 0 : -1;
}

/* What was recovered, and the id, against the anchor. */
static int check_opened (struct shard *self, struct strata_error *error)
{
    uint64_t id = shard_get_u64 (self, ID_KEY, 0), last = rocksdb_get_latest_sequence_number (self->db);
    int rc = 0;
    if (last < anchor_acknowledged (self->anchor))
        rc = strata_fail (error, "store %s is damaged: its changes end with %llu, but %llu were acknowledged; 'strata repair' says "
                          "what can be put back", self->path, (unsigned long long)last,
                          (unsigned long long)anchor_acknowledged (self->anchor));
    else if (id && id != anchor_id (self->anchor))
        rc = strata_fail (error, "store %s is damaged: " ANCHOR_FILE " is missing or of another store; 'strata repair' makes it anew",
                          self->path);
    else if (!id)
        shard_put_u64 (self, ID_KEY, anchor_id (self->anchor));
    if (rc < 0)
        errno = EBADMSG;
    return rc;
}

/* Opens the store in self->path for writing, if it is whole. */
static int open_whole (struct shard *self, struct strata_error *error)
{
    if (check (self, error) < 0 || open_to_write (self, error) < 0)
        return -1;
    return check_opened (self, error);
}

/* A copy made of another generation's files. What its logs hold goes into tables by this. */
static int try_store (const char *path, void *arg, struct strata_error *error)
{
    struct shard *self = arg;
    snprintf (self->path, sizeof (self->path), "%s", path);
    int rc = open_whole (self, error), saved = errno;
    if (self->db)
        rocksdb_close (self->db);
    self->db = NULL;
    anchor_close (&self->anchor);
    rocksdb_writebatch_wi_clear (self->batch);
    errno = saved;
    return rc;
}

static struct shard *shard_new (const char *dir, bool memory, bool readonly, struct strata_error *error)
{
    struct shard *self = calloc (1, sizeof (*self));
    if (!self || !(self->dir = strdup (dir))) {
        free (self);
        strata_fail (error, "out of memory");
        return NULL;
    }
    self->readonly = readonly;
    self->options = rocksdb_options_create ();
    rocksdb_options_set_create_if_missing (self->options, !readonly);
    rocksdb_options_set_paranoid_checks (self->options, 1);
    /* RocksDB takes 1.1 times this on disk for each log when it opens one: small, since a node has several shards. */
    rocksdb_options_set_write_buffer_size (self->options, LOG_BYTES);
    rocksdb_options_set_max_total_wal_size (self->options, 32u << 20);
    rocksdb_options_set_max_open_files (self->options, 256);
    /* A shard has few files: the 16 threads that RocksDB starts to open them cost more than they save. */
    rocksdb_options_set_max_file_opening_threads (self->options, 1);
    rocksdb_options_set_manifest_preallocation_size (self->options, 64u << 10);
    /* RocksDB's own log says nothing but its settings when it is opened: on a full disk the second line that such a log
     * can't take ends the process by an assertion (WritableFileWriter, RocksDB 7.8). What goes wrong comes back from each
     * call, and stands in our log. */
    rocksdb_options_set_info_log_level (self->options, 4);
    rocksdb_options_set_keep_log_file_num (self->options, 4);
    if (memory) {
        self->env = rocksdb_create_mem_env ();
        rocksdb_options_set_env (self->options, self->env);
    }
    self->read = rocksdb_readoptions_create ();
    self->write = rocksdb_writeoptions_create ();
    rocksdb_writeoptions_set_sync (self->write, memory ? 0 : 1);
    self->batch = rocksdb_writebatch_wi_create (0, 1);
    return self;
}

static struct shard *close_failed (struct shard *self)
{
    int saved = errno;
    shard_close (&self);
    errno = saved;
    return NULL;
}

static int raise_epoch (struct shard *self, struct strata_error *error)
{
    self->epoch = shard_get_u64 (self, EPOCH_KEY, 0);
    shard_put_u64 (self, EPOCH_KEY, ++self->epoch);
    return write_batch (self, error);
}

struct shard *shard_take (const char *dir, struct lease_watch *watch, int64_t length_us, struct strata_error *error)
{
    struct shard *self = shard_new (dir, false, false, error);
    if (!self)
        return NULL;
    self->lease = lease_take (dir, watch, length_us, try_store, self, error);
    if (!self->lease)
        return close_failed (self);
    snprintf (self->path, sizeof (self->path), "%s", lease_path (self->lease));
    crash_point ("shard.locked");
    int rc = open_whole (self, error);
    crash_point ("shard.opened");
    if (rc < 0 && errno == EBADMSG) {
        damage_mark (self->path, error->text);
        errno = EBADMSG;
    }
    if (rc < 0)
        return close_failed (self);
    if (raise_epoch (self, error) < 0)
        return close_failed (self);
    lease_sweep (self->lease);
    return self;
}

struct shard *shard_open (const char *dir, struct strata_error *error)
{
    return shard_take (dir, NULL, NO_LEASE_US, error);
}

struct shard *shard_open_memory (struct strata_error *error)
{
    struct shard *self = shard_new ("", true, false, error);
    if (self && (open_db (self, false, error) < 0 || raise_epoch (self, error) < 0))
        return close_failed (self);
    return self;
}

struct shard *shard_open_readonly (const char *dir, struct strata_error *error)
{
    struct stat st;
    if (stat (dir, &st) < 0) {
        strata_fail (error, "store %s: %s", dir, strerror (errno));
        return NULL;
    }
    struct shard *self = shard_new (dir, false, true, error);
    if (!self)
        return NULL;
    lease_newest (dir, self->path);
    if (open_db (self, true, error) < 0)
        return close_failed (self);
    self->epoch = shard_get_u64 (self, EPOCH_KEY, 0);
    return self;
}

struct shard *shard_open_copy (const char *dir, struct strata_error *error)
{
    struct shard *self = shard_new (dir, false, false, error);
    if (!self)
        return NULL;
    rocksdb_writeoptions_set_sync (self->write, 0);
    snprintf (self->path, sizeof (self->path), "%s", dir);
    if (open_db (self, false, error) < 0 || raise_epoch (self, error) < 0)
        return close_failed (self);
    return self;
}

void shard_forget (struct shard *self)
{
    for (int i = 0; i < SHARD_PARTS; i++) {
        if (self->parts[i].free)
            self->parts[i].free (self->parts[i].data);
        self->parts[i] = (struct shard_part){ NULL, NULL, NULL, NULL };
    }
}

void shard_close (struct shard **self_p)
{
    struct shard *self = *self_p;
    if (!self)
        return;
    shard_forget (self);
    if (self->batch)
        rocksdb_writebatch_wi_destroy (self->batch);
    if (self->db)
        rocksdb_close (self->db);
    anchor_close (&self->anchor);
    rocksdb_readoptions_destroy (self->read);
    rocksdb_writeoptions_destroy (self->write);
    rocksdb_options_destroy (self->options);
    if (self->env)
        rocksdb_env_destroy (self->env);
    lease_free (&self->lease); /* after the database: the next holder opens it */
    free (self->dir);
    free (self);
    *self_p = NULL;
}

struct shard_part *shard_part (struct shard *self, enum shard_part_kind kind)
{
    return &self->parts[kind];
}

bool shard_is_readonly (const struct shard *self)
{
    return self->readonly;
}

uint64_t shard_epoch (const struct shard *self)
{
    return self->epoch;
}

void shard_raise_epoch (struct shard *self, uint64_t epoch)
{
    if (epoch > self->epoch)
        shard_put_u64 (self, EPOCH_KEY, self->epoch = epoch);
}

static void replaces_key (struct shard_key *key, uint64_t id)
{
    shard_key (key, "!replaces/%016llx", (unsigned long long)id);
}

bool shard_replaces (struct shard *self, uint64_t id)
{
    struct shard_key key;
    replaces_key (&key, id);
    return shard_has (self, key.data, key.size);
}

void shard_put_replaces (struct shard *self, uint64_t id)
{
    struct shard_key key;
    replaces_key (&key, id);
    shard_put (self, key.data, key.size, NULL, 0);
}

int shard_renew_id (struct shard *self, struct strata_error *error)
{
    if (anchor_renew_id (self->anchor, error) < 0)
        return -1;
    shard_put_u64 (self, ID_KEY, anchor_id (self->anchor));
    return 0;
}

bool shard_by_force (const struct shard *self)
{
    return self->lease && lease_by_force (self->lease);
}

uint64_t shard_id (struct shard *self)
{
    return shard_get_u64 (self, ID_KEY, 0);
}

const char *shard_dir (const struct shard *self)
{
    return self->dir;
}

const char *shard_path (const struct shard *self)
{
    return self->path;
}

uint64_t shard_commits (const struct shard *self)
{
    return self->commits;
}

uint64_t shard_changes (const struct shard *self)
{
    return self->changes;
}

bool shard_dirty (const struct shard *self)
{
    return rocksdb_writebatch_wi_count (self->batch) > 0;
}

static void digest_change (struct shard *self, const void *key, size_t key_size, const void *value, size_t value_size)
{
    if (!self->digesting || (key_size && *(const char *)key == '!'))
        return;
    self->digest = hash64 (self->digest + (value != NULL), key, key_size);
    if (value)
        self->digest = hash64 (self->digest, value, value_size);
}

void shard_put (struct shard *self, const void *key, size_t key_size, const void *value, size_t value_size)
{
    self->changes++;
    digest_change (self, key, key_size, value ? value : "", value_size);
    rocksdb_writebatch_wi_put (self->batch, key, key_size, value ? value : "", value_size);
}

void shard_delete (struct shard *self, const void *key, size_t key_size)
{
    self->changes++;
    digest_change (self, key, key_size, NULL, 0);
    rocksdb_writebatch_wi_delete (self->batch, key, key_size);
}

/* Only an attempt to open it anew can have left it closed, when even reading failed then. */
static void need_db (struct shard *self)
{
    struct strata_error error;
    if (!self->db && open_db (self, true, &error) < 0)
        die (self, "opening it for reading after a failed commit", error.text);
}

int shard_get (struct shard *self, const void *key, size_t key_size, void **value, size_t *value_size)
{
    char *err = NULL;
    need_db (self);
    char *found = rocksdb_writebatch_wi_get_from_batch_and_db (self->batch,
                                                               self->db,
                                                               self->read,
                                                               key,
                                                               key_size,
                                                               value_size,
                                                               &err);
    if (err)
        read_failed (self, "reading", err);
    *value = found;
    return found ? 1 : 0;
}

bool shard_has (struct shard *self, const void *key, size_t key_size)
{
    void *value;
    size_t size;
    int found = shard_get (self, key, key_size, &value, &size);
    if (found)
        free (value);
    return found == 1;
}

static void big_endian (uint8_t *out, uint64_t n)
{
    for (int i = 7; i >= 0; i--, n >>= 8)
        out[i] = (uint8_t)n;
}

uint64_t shard_u64 (const uint8_t *in)
{
    uint64_t n = 0;
    for (int i = 0; i < 8; i++)
        n = n << 8 | in[i];
    return n;
}

void shard_put_u64 (struct shard *self, const char *key, uint64_t value)
{
    uint8_t bytes[8];
    big_endian (bytes, value);
    shard_put (self, key, strlen (key), bytes, sizeof (bytes));
}

uint64_t shard_get_u64 (struct shard *self, const char *key, uint64_t missing)
{
    void *value;
    size_t size;
    if (!shard_get (self, key, strlen (key), &value, &size))
        return missing;
    if (size != 8)
        shard_damaged (self, "%s: a stored number has the wrong size", key);
    uint64_t n = shard_u64 (value);
    free (value);
    return n;
}

/* After a failed commit: a database that takes writes again. -1: not yet; what there is stays readable. */
static int mend (struct shard *self, struct strata_error *error)
{
    size_t size;
    struct strata_error ignored;
    rocksdb_writebatch_wi_data (self->batch, &size);
    if (!has_room (self, TRIAL_BYTES + 2 * size))
        return no_room (self, error);
    if (self->db)
        rocksdb_close (self->db);
    self->db = NULL;
    if (open_db (self, false, error) == 0)
        return 0;
    int saved = errno;
    if (saved == EBADMSG)
        shard_damaged (self, "%s", error->text);
    open_db (self, true, &ignored);
    errno = saved;
    return -1;
}

void shard_settle (struct shard *self)
{
    for (int i = 0; shard_dirty (self) && i < SHARD_PARTS; i++)
        if (self->parts[i].before_commit)
            self->parts[i].before_commit (self->parts[i].data);
}

static int write_batch (struct shard *self, struct strata_error *error)
{
    char *err = NULL;
    size_t size;
    if (!shard_dirty (self))
        return 0;
    if (self->readonly)
        return strata_fail (error, "store %s is open for reading only", self->dir);
    if (self->failed && mend (self, error) < 0)
        return -1;
    shard_settle (self);
    rocksdb_write_writebatch_wi (self->db, self->write, self->batch, &err);
    self->failed = err != NULL;
    if (err) {
        /* A compaction has met a damaged table, and RocksDB takes no more writes. */
        if (damage_told (err))
            shard_damaged (self, "writing: %s", err);
        strata_fail (error, "store %s can't be written: %s; it is tried again until it works", self->dir, err);
        errno = strstr (err, "No space") ? ENOSPC : EIO;
        rocksdb_free (err);
        return -1;
    }
    if (self->anchor)
        anchor_note (self->anchor, rocksdb_get_latest_sequence_number (self->db));
    if (self->path[0]) {
        rocksdb_writebatch_wi_data (self->batch, &size);
        wal_room_after_commit (&self->wal_room, self->path, size, LOG_BYTES);
    }
    rocksdb_writebatch_wi_clear (self->batch);
    self->commits++;
    return 0;
}

int shard_commit (struct shard *self, struct strata_error *error)
{
    struct strata_error why;
    int rc = write_batch (self, error), failed = errno;
    if (self->lease && lease_keep (self->lease, &why) < 0) {
        rc = strata_fail (error, "%s", why.text);
        failed = errno;
    }
    /* It removes files: whoever takes the shard by force must not miss what a commit that was too late forgot. */
    for (int i = 0; rc == 0 && i < SHARD_PARTS; i++)
        if (self->parts[i].after_commit)
            self->parts[i].after_commit (self->parts[i].data);
    errno = failed;
    return rc;
}

bool shard_held (struct shard *self)
{
    return !self->lease || lease_keep (self->lease, NULL) == 0;
}

/* ---- for the record of inputs ---- */

uint64_t shard_digest (const struct shard *self)
{
    return self->digest;
}

void shard_set_digest (struct shard *self, uint64_t digest)
{
    self->digest = digest;
    self->digesting = true;
}

int shard_copy (struct shard *self, const char *dir, struct strata_error *error)
{
    char *err = NULL;
    rocksdb_checkpoint_t *checkpoint = self->db ? rocksdb_checkpoint_object_create (self->db, &err) : NULL;
    if (checkpoint && !err)
        rocksdb_checkpoint_create (checkpoint, dir, 0, &err);
    if (checkpoint)
        rocksdb_checkpoint_object_destroy (checkpoint);
    if (checkpoint && !err) {
        generation_link_records (self->path, dir);
        return 0;
    }
    strata_fail (error, "store %s can't be copied to %s: %s", self->dir, dir, err ? err : "it is closed");
    rocksdb_free (err);
    return -1;
}

struct each_change {
    void (*each) (const void *key, size_t key_size, const void *value, size_t value_size, void *arg);
    void *arg;
};

static void on_put (void *state, const char *key, size_t key_size, const char *value, size_t value_size)
{
    const struct each_change *to = state;
    to->each (key, key_size, value, value_size, to->arg);
}

static void on_delete (void *state, const char *key, size_t key_size)
{
    const struct each_change *to = state;
    to->each (key, key_size, NULL, 0, to->arg);
}

void shard_batch_each (struct shard *self, void (*each) (const void *key, size_t key_size, const void *value,
                                                         size_t value_size, void *arg), void *arg)
{
    size_t size;
    struct each_change to = { each, arg };
    const char *bytes = rocksdb_writebatch_wi_data (self->batch, &size);
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create_from (bytes, size);
    rocksdb_writebatch_iterate (batch, &to, on_put, on_delete);
    rocksdb_writebatch_destroy (batch);
}

/* ---- iterators ---- */

struct iter_impl {
    rocksdb_iterator_t *it;
    struct shard *shard;
    uint8_t *prefix, *end;      /* end: the first key behind all with the prefix */
    size_t prefix_size, end_size;
    rocksdb_readoptions_t *read;
};

static bool iter_settle (struct shard_iter *it)
{
    struct iter_impl *impl = it->impl;
    if (!rocksdb_iter_valid (impl->it)) {
        char *err = NULL;
        rocksdb_iter_get_error (impl->it, &err);
        if (err)
            read_failed (impl->shard, "iterating", err);
        return false;
    }
    it->key = (const uint8_t *)rocksdb_iter_key (impl->it, &it->key_size);
    if (it->key_size < impl->prefix_size || memcmp (it->key, impl->prefix, impl->prefix_size) != 0)
        return false;
    it->value = (const uint8_t *)rocksdb_iter_value (impl->it, &it->value_size);
    return true;
}

bool shard_iter_begin (struct shard *self, struct shard_iter *it, const void *prefix, size_t prefix_size, const void *start,
                       size_t start_size)
{
    need_db (self);
    struct iter_impl *impl = calloc (1, sizeof (*impl));
    uint8_t *copy = malloc (2 * prefix_size + 1);
    if (!impl || !copy)
        die (self, "iterating", "out of memory");
    memcpy (copy, prefix, prefix_size);
    memcpy (copy + prefix_size, prefix, prefix_size);
    impl->shard = self;
    impl->prefix = copy;
    impl->prefix_size = prefix_size;
    impl->end = copy + prefix_size;
    impl->end_size = prefix_size;
    while (impl->end_size && ++impl->end[impl->end_size - 1] == 0)
        impl->end_size--;
    /* Without a bound the step behind the last key would walk over every deleted key up to the next live one, of whatever
     * prefix: in a store of queues that is hundreds of thousands. */
    impl->read = rocksdb_readoptions_create ();
    if (impl->end_size)
        rocksdb_readoptions_set_iterate_upper_bound (impl->read, (const char *)impl->end, impl->end_size);
    /* The combined iterator owns the base iterator. */
    impl->it = rocksdb_writebatch_wi_create_iterator_with_base (self->batch,
                                                                rocksdb_create_iterator (self->db, impl->read));
    *it = (struct shard_iter){ .impl = impl };
    if (start)
        rocksdb_iter_seek (impl->it, start, start_size);
    else
        rocksdb_iter_seek (impl->it, prefix, prefix_size);
    return iter_settle (it);
}

bool shard_iter_next (struct shard_iter *it)
{
    rocksdb_iter_next (((struct iter_impl *)it->impl)->it);
    return iter_settle (it);
}

void shard_iter_end (struct shard_iter *it)
{
    struct iter_impl *impl = it->impl;
    if (!impl)
        return;
    rocksdb_iter_destroy (impl->it);
    rocksdb_readoptions_destroy (impl->read);
    free (impl->prefix);
    free (impl);
    it->impl = NULL;
}

/* ---- keys and messages ---- */

static void key_too_long (void)
{
    log_error ("a key of the store is longer than %zu bytes: a name was not bounded when it came in", sizeof (((struct shard_key *)0)->data));
    abort ();
}

void shard_key (struct shard_key *key, const char *fmt, ...)
{
    va_list ap;
    va_start (ap, fmt);
    int n = vsnprintf ((char *)key->data, sizeof (key->data), fmt, ap);
    va_end (ap);
    if (n < 0 || (size_t)n >= sizeof (key->data))
        key_too_long ();
    key->size = (size_t)n;
}

void shard_key_u64 (struct shard_key *key, uint64_t n)
{
    if (key->size + 8 > sizeof (key->data))
        key_too_long ();
    big_endian (key->data + key->size, n);
    key->size += 8;
}

void shard_put_message (struct shard *self, const struct shard_key *key, const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size (message);
    uint8_t *bytes = malloc (size ? size : 1);
    if (!bytes)
        die (self, "storing a message", "out of memory");
    protobuf_c_message_pack (message, bytes);
    shard_put (self, key->data, key->size, bytes, size);
    free (bytes);
}

ProtobufCMessage *shard_get_message (struct shard *self, const struct shard_key *key,
                                     const ProtobufCMessageDescriptor *descriptor)
{
    void *value;
    size_t size;
    if (!shard_get (self, key->data, key->size, &value, &size))
        return NULL;
    ProtobufCMessage *message = protobuf_c_message_unpack (descriptor, NULL, size, value);
    if (!message)
        shard_damaged (self, "%.*s: a stored %s does not parse", (int)key->size, (const char *)key->data, descriptor->name);
    free (value);
    return message;
}

/* ---- verifying ---- */

int shard_check (const char *dir, struct damage_report *report, struct strata_error *error)
{
    char path[LEASE_PATH_MAX];
    lease_newest (dir, path);
    return damage_check (path, report, error);
}

int shard_verify (struct shard *self, void (*progress) (uint64_t keys, void *arg), void *arg, uint64_t *keys,
                  struct strata_error *error)
{
    char *err = NULL;
    uint64_t count = 0;
    rocksdb_readoptions_t *read = rocksdb_readoptions_create ();
    rocksdb_readoptions_set_verify_checksums (read, 1);
    rocksdb_readoptions_set_fill_cache (read, 0);
    rocksdb_readoptions_set_readahead_size (read, 2u << 20);
    rocksdb_iterator_t *it = rocksdb_create_iterator (self->db, read);
    for (rocksdb_iter_seek_to_first (it); rocksdb_iter_valid (it); rocksdb_iter_next (it))
        if (++count % 100000 == 0 && progress)
            progress (count, arg);
    rocksdb_iter_get_error (it, &err);
    int rc = err ? strata_fail (error, "store %s is damaged: %s", self->dir, err) : 0;
    if (err)
        rocksdb_free (err);
    rocksdb_iter_destroy (it);
    rocksdb_readoptions_destroy (read);
    if (keys)
        *keys += count;
    if (rc < 0)
        errno = EBADMSG;
    return rc;
}
