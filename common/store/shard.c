/* shard.c - see shard.h: the batch. Opening a store: shard_open.c. Who may open it, and in which folder: lease.c.
 *
 * The batch is a RocksDB write batch with an index, so that reads and iterators see it on top of the store. When a commit
 * fails the batch is kept and the database stays open for reading (RocksDB refuses writes after a write error). Before the
 * next try it is closed and opened anew. Should that fail it is opened for reading, so that whoever looks into the store
 * meanwhile (an answer's callback, a heartbeat) finds it. Writing the same batch twice is harmless: it only sets and deletes
 * keys.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/hash.h"
#include "core/log.h"
#include "store/generation.h"
#include "store/shard_internal.h"

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

void shard_read_failed (const struct shard *self, const char *what, const char *why)
{
    if (damage_told (why))
        shard_damaged (self, "%s: %s", what, why);
    die (self, what, why);
}

void shard_forget (struct shard *self)
{
    for (int i = 0; i < SHARD_PARTS; i++) {
        if (self->parts[i].free)
            self->parts[i].free (self->parts[i].data);
        self->parts[i] = (struct shard_part){ NULL, NULL, NULL, NULL };
    }
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
        shard_put_u64 (self, SHARD_EPOCH_KEY, self->epoch = epoch);
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
    shard_put_u64 (self, SHARD_ID_KEY, anchor_id (self->anchor));
    return 0;
}

bool shard_by_force (const struct shard *self)
{
    return self->lease && lease_by_force (self->lease);
}

uint64_t shard_id (struct shard *self)
{
    return shard_get_u64 (self, SHARD_ID_KEY, 0);
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

static void on_change (struct shard *self, const void *key, size_t key_size, const void *value, size_t value_size)
{
    self->changes++;
    if (self->watch)
        self->watch (key, key_size, value, value_size, self->watch_arg);
    if (!self->digesting || (key_size && *(const char *)key == '!'))
        return;
    self->digest = hash64 (self->digest + (value != NULL), key, key_size);
    if (value)
        self->digest = hash64 (self->digest, value, value_size);
}

void shard_put (struct shard *self, const void *key, size_t key_size, const void *value, size_t value_size)
{
    on_change (self, key, key_size, value ? value : "", value_size);
    rocksdb_writebatch_wi_put (self->batch, key, key_size, value ? value : "", value_size);
}

void shard_delete (struct shard *self, const void *key, size_t key_size)
{
    on_change (self, key, key_size, NULL, 0);
    rocksdb_writebatch_wi_delete (self->batch, key, key_size);
}

void shard_need_db (struct shard *self)
{
    struct strata_error error;
    if (!self->db && shard_open_db (self, true, &error) < 0)
        die (self, "opening it for reading after a failed commit", error.text);
}

int shard_get (struct shard *self, const void *key, size_t key_size, void **value, size_t *value_size)
{
    char *err = NULL;
    shard_need_db (self);
    char *found = rocksdb_writebatch_wi_get_from_batch_and_db (self->batch,
                                                               self->db,
                                                               self->read,
                                                               key,
                                                               key_size,
                                                               value_size,
                                                               &err);
    if (err)
        shard_read_failed (self, "reading", err);
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

void shard_settle (struct shard *self)
{
    for (int i = 0; shard_dirty (self) && i < SHARD_PARTS; i++)
        if (self->parts[i].before_commit)
            self->parts[i].before_commit (self->parts[i].data);
}

int shard_write_batch (struct shard *self, struct strata_error *error)
{
    char *err = NULL;
    size_t size;
    if (!shard_dirty (self))
        return 0;
    if (self->readonly)
        return strata_fail (error, "store %s is open for reading only", self->dir);
    if (self->failed && shard_mend (self, error) < 0)
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
        wal_room_after_commit (&self->wal_room, self->path, size, SHARD_LOG_BYTES);
    }
    rocksdb_writebatch_wi_clear (self->batch);
    self->commits++;
    return 0;
}

int shard_commit (struct shard *self, struct strata_error *error)
{
    struct strata_error why;
    int rc = shard_write_batch (self, error), failed = errno;
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

void shard_set_facts (struct shard *self, const struct shard_facts *facts)
{
    self->facts = *facts;
}

void shard_fact (struct shard *self, void *fact, size_t size)
{
    if (self->facts.fact)
        self->facts.fact (self->facts.arg, fact, size);
}

int shard_fact_rc (struct shard *self, int rc, struct strata_error *error)
{
    int answer[] = { rc, rc < 0 ? errno : 0 };
    shard_fact (self, answer, sizeof (answer));
    if (answer[0] >= 0)
        return answer[0];
    uint32_t length = rc < 0 ? (uint32_t)strnlen (error->text, sizeof (error->text) - 1) : 0;
    shard_fact (self, &length, sizeof (length));
    if (length >= sizeof (error->text))
        length = sizeof (error->text) - 1; /* only from a broken record */
    shard_fact (self, error->text, length);
    error->text[length] = '\0';
    errno = answer[1];
    return answer[0];
}

bool shard_replays (const struct shard *self)
{
    return self->facts.replays;
}

bool shard_records (const struct shard *self)
{
    return self->facts.fact && !self->facts.replays;
}

void shard_touch (struct shard *self)
{
    self->changes++;
}

void shard_watch (struct shard *self, shard_change_f *each, void *arg)
{
    self->watch = each;
    self->watch_arg = arg;
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
    shard_change_f *each;
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

void shard_batch_each (struct shard *self, shard_change_f *each, void *arg)
{
    size_t size;
    struct each_change to = { each, arg };
    const char *bytes = rocksdb_writebatch_wi_data (self->batch, &size);
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create_from (bytes, size);
    rocksdb_writebatch_iterate (batch, &to, on_put, on_delete);
    rocksdb_writebatch_destroy (batch);
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
