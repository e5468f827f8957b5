/* shard_open.c - opening a shard's store and closing it: who may (lease.h), whether it is whole (damage.h), whether there is room.
 *
 * Opening a RocksDB writes: on a full disk it is opened only when a trial file shows that there is room again, since one that
 * could not be opened could not be read either.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/crash_point.h"
#include "store/shard_internal.h"

/* Room asked for before a store that could not be written is opened anew: its next log, manifest and tables. */
#define TRIAL_BYTES (1u << 20)
/* Of a holder that nobody takes by force from. */
#define NO_LEASE_US 60000000

int shard_open_db (struct shard *self, bool readonly, struct strata_error *error)
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
/* RocksDB is asked to open only what it can write: see has_room and info_log_level below. */
static int open_to_write (struct shard *self, struct strata_error *error)
{
    return has_room (self, TRIAL_BYTES) ? shard_open_db (self, false, error) : no_room (self, error);
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
    uint64_t id = shard_get_u64 (self, SHARD_ID_KEY, 0), last = rocksdb_get_latest_sequence_number (self->db);
    int rc = 0;
    if (last < anchor_acknowledged (self->anchor))
        rc = strata_fail (error, "store %s is damaged: its changes end with %llu, but %llu were acknowledged; 'strata repair' says "
                          "what can be put back", self->path, (unsigned long long)last,
                          (unsigned long long)anchor_acknowledged (self->anchor));
    else if (id && id != anchor_id (self->anchor))
        rc = strata_fail (error, "store %s is damaged: " ANCHOR_FILE " is missing or of another store; 'strata repair' makes it anew",
                          self->path);
    else if (!id)
        shard_put_u64 (self, SHARD_ID_KEY, anchor_id (self->anchor));
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
    rocksdb_options_set_write_buffer_size (self->options, SHARD_LOG_BYTES);
    rocksdb_options_set_max_total_wal_size (self->options, 32u << 20);
    rocksdb_options_set_max_open_files (self->options, 256);
    /* Most of what is looked for is not there: a new candidate, object or producer. 10 bits a key say so without a look into
     * each file. */
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create ();
    rocksdb_block_based_options_set_filter_policy (table, rocksdb_filterpolicy_create_bloom_full (10));
    rocksdb_options_set_block_based_table_factory (self->options, table);
    rocksdb_block_based_options_destroy (table);
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
    self->epoch = shard_get_u64 (self, SHARD_EPOCH_KEY, 0);
    shard_put_u64 (self, SHARD_EPOCH_KEY, ++self->epoch);
    return shard_write_batch (self, error);
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
    if (self && (shard_open_db (self, false, error) < 0 || raise_epoch (self, error) < 0))
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
    if (shard_open_db (self, true, error) < 0)
        return close_failed (self);
    self->epoch = shard_get_u64 (self, SHARD_EPOCH_KEY, 0);
    return self;
}

struct shard *shard_open_copy (const char *dir, struct strata_error *error)
{
    struct shard *self = shard_new (dir, false, false, error);
    if (!self)
        return NULL;
    rocksdb_writeoptions_set_sync (self->write, 0);
    snprintf (self->path, sizeof (self->path), "%s", dir);
    if (shard_open_db (self, false, error) < 0 || raise_epoch (self, error) < 0)
        return close_failed (self);
    return self;
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

int shard_mend (struct shard *self, struct strata_error *error)
{
    size_t size;
    struct strata_error ignored;
    rocksdb_writebatch_wi_data (self->batch, &size);
    if (!has_room (self, TRIAL_BYTES + 2 * size))
        return no_room (self, error);
    if (self->db)
        rocksdb_close (self->db);
    self->db = NULL;
    if (shard_open_db (self, false, error) == 0)
        return 0;
    int saved = errno;
    if (saved == EBADMSG)
        shard_damaged (self, "%s", error->text);
    shard_open_db (self, true, &ignored);
    errno = saved;
    return -1;
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
