/* journal.c - see journal.h: writing segments, checkpoints, and throwing old ones away. */
#include "mesh/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"

#define WAITING_MAX (64u << 10)         /* inputs without an effect that wait in memory for a turn with one */
#define MEASURE_BYTES (1u << 20)        /* written between two looks at how much there is */
#define AGAIN_US 30000000               /* between tries after it was given up */
#define CHECKPOINT_PAUSE_US 5000000     /* at least between two checkpoints while the core runs */
#define LISTED_MAX 4096

struct journal {
    char *dir;
    struct shard *shard;
    struct journal_limits limits;
    struct journal_position position;   /* committed */
    struct journal_position next;       /* written, not committed; turn 0: none */
    struct journal_id previous;         /* segment before the one that is begun next */
    bool base, fresh;                   /* the next segment begins at a checkpoint; a segment is to be begun */
    bool broken;                        /* given up until the next checkpoint */
    int fd;
    struct journal_bytes waiting;       /* items since the last committed turn */
    int64_t last_us;
    uint64_t again;                     /* as often the last fact came again, not in `waiting` yet */
    size_t fact_at, fact_size;          /* in waiting; size 0: the last item is no fact */
    int64_t checkpoint_us;
    uint64_t since_checkpoint, since_measured, measured;
    unsigned checkpoints;
};

/* ---- position ---- */

bool journal_position_get (struct shard *shard, struct journal_position *position)
{
    void *value;
    size_t size;
    uint64_t fields[7];
    if (!shard_get (shard, JOURNAL_KEY, strlen (JOURNAL_KEY), &value, &size))
        return false;
    bool whole = size == sizeof (fields);
    for (size_t i = 0; whole && i < 7; i++)
        fields[i] = shard_u64 ((uint8_t *)value + 8 * i);
    free (value);
    if (whole)
        *position = (struct journal_position){ { fields[0], fields[1] }, fields[2], fields[3], fields[4], fields[5], fields[6] };
    return whole;
}

void journal_position_put (struct shard *shard, const struct journal_position *p)
{
    struct shard_key value = { .size = 0 };
    const uint64_t fields[] = { p->segment.turn, p->segment.epoch, p->begin, p->end, p->turn, p->state, p->outputs };
    for (size_t i = 0; i < 7; i++)
        shard_key_u64 (&value, fields[i]);
    shard_put (shard, JOURNAL_KEY, strlen (JOURNAL_KEY), value.data, value.size);
}

/* ---- what is in the folder ---- */

static void path_of (const struct journal *self, const char *name, char path[4300])
{
    snprintf (path, 4300, "%s/%s", self->dir, name);
}

struct listing {
    struct journal_id ids[LISTED_MAX];
    size_t count;
};

static int compare_ids (const void *a, const void *b)
{
    const struct journal_id *x = a, *y = b;
    if (x->turn != y->turn)
        return x->turn < y->turn ? -1 : 1;
    return x->epoch < y->epoch ? -1 : x->epoch > y->epoch;
}

/* Segments (".inputs") or checkpoints (".store"), oldest first. The caller frees it; NULL: none. */
static struct listing *list (const struct journal *self, const char *suffix)
{
    struct listing *listing = calloc (1, sizeof (*listing));
    DIR *dir = listing ? opendir (self->dir) : NULL;
    for (struct dirent *entry; dir && (entry = readdir (dir)) && listing->count < LISTED_MAX;)
        listing->count += journal_name_parse (entry->d_name, suffix, &listing->ids[listing->count]);
    if (dir)
        closedir (dir);
    if (listing)
        qsort (listing->ids, listing->count, sizeof (listing->ids[0]), compare_ids);
    return listing;
}

struct inodes {
    ino_t numbers[LISTED_MAX];
    size_t count;
};

static bool inode_seen (struct inodes *inodes, ino_t number)
{
    for (size_t i = 0; i < inodes->count; i++)
        if (inodes->numbers[i] == number)
            return true;
    if (inodes->count < LISTED_MAX)
        inodes->numbers[inodes->count++] = number;
    return false;
}

/* Bytes of the files in a folder, and in folders in it, that were not seen before. */
static uint64_t folder_bytes (const char *path, int depth, struct inodes *seen)
{
    uint64_t bytes = 0;
    DIR *dir = opendir (path);
    for (struct dirent *entry; dir && (entry = readdir (dir));) {
        char inside[4700];
        struct stat st;
        if (entry->d_name[0] == '.')
            continue;
        snprintf (inside, sizeof (inside), "%s/%s", path, entry->d_name);
        if (lstat (inside, &st) < 0)
            continue;
        if (S_ISDIR (st.st_mode) && depth > 0)
            bytes += folder_bytes (inside, depth - 1, seen);
        else if (S_ISREG (st.st_mode) && !inode_seen (seen, st.st_ino))
            bytes += (uint64_t)st.st_size;
    }
    if (dir)
        closedir (dir);
    return bytes;
}

/* What the journal takes on disk: what the store has too is no cost of ours. */
static void measure (struct journal *self)
{
    struct inodes *seen = calloc (1, sizeof (*seen));
    if (!seen)
        return;
    folder_bytes (shard_dir (self->shard), 2, seen);
    self->measured = folder_bytes (self->dir, 2, seen);
    self->since_measured = 0;
    free (seen);
}

void journal_remove (const char *path)
{
    DIR *dir = opendir (path);
    for (struct dirent *entry; dir && (entry = readdir (dir));) {
        char inside[4700];
        if (strcmp (entry->d_name, ".") == 0 || strcmp (entry->d_name, "..") == 0)
            continue;
        snprintf (inside, sizeof (inside), "%s/%s", path, entry->d_name);
        if (unlink (inside) < 0)
            journal_remove (inside);
    }
    if (dir)
        closedir (dir);
    rmdir (path);
}

/* Removes segments or checkpoints that begin from turn `first` to before `end`. */
static void remove_some (struct journal *self, const char *suffix, uint64_t first, uint64_t end)
{
    struct listing *listing = list (self, suffix);
    for (size_t i = 0; listing && i < listing->count && listing->ids[i].turn < end; i++) {
        if (listing->ids[i].turn < first)
            continue;
        char name[JOURNAL_NAME_MAX], path[4300];
        path_of (self, journal_name (listing->ids[i], suffix, name), path);
        if (unlink (path) < 0)
            journal_remove (path);
    }
    free (listing);
}

/* Throws the oldest away until the rest fits. The newest checkpoint stays: a due one takes its place (journal_due). */
static void trim (struct journal *self, uint64_t keep_bytes)
{
    measure (self);
    struct listing *stores = list (self, ".store");
    self->checkpoints = stores ? (unsigned)stores->count : 0;
    for (size_t i = 1; stores && i < stores->count && self->measured > keep_bytes; i++) {
        remove_some (self, ".store", 0, stores->ids[i].turn);
        remove_some (self, ".inputs", 0, stores->ids[i].turn);
        self->checkpoints--;
        measure (self);
    }
    free (stores);
}

/* ---- open ---- */

/* Whether the record that the store's position names stands in its segment. */
static bool position_fits (const struct journal *self)
{
    char name[JOURNAL_NAME_MAX], path[4300];
    struct strata_error error;
    struct journal_head head;
    struct journal_record record = { .payload = NULL };
    const struct journal_position *p = &self->position;
    path_of (self, journal_name (p->segment, ".inputs", name), path);
    FILE *file = fopen (path, "rbe");
    bool fits = file && journal_head_read (file, path, &head, &error) == 0 && fseek (file, (long)p->begin, SEEK_SET) == 0
                && journal_record_read (file, path, &record, &error) == 1 && ftell (file) == (long)p->end
                && record.turn == p->turn && record.state == p->state;
    free (record.payload);
    if (file)
        fclose (file);
    return fits;
}

static void forget_all (struct journal *self)
{
    remove_some (self, ".store", 0, UINT64_MAX);
    remove_some (self, ".inputs", 0, UINT64_MAX);
    self->previous = (struct journal_id){ 0, 0 };
    self->base = false;
    self->checkpoints = 0;
    measure (self);
}

/* How many bytes of inputs stand behind the newest checkpoint. */
static uint64_t bytes_since_checkpoint (const struct journal *self, const struct listing *stores)
{
    struct listing *segments = list (self, ".inputs");
    uint64_t bytes = 0, turn = stores && stores->count ? stores->ids[stores->count - 1].turn : 0;
    for (size_t i = 0; segments && i < segments->count; i++) {
        char name[JOURNAL_NAME_MAX], path[4300];
        struct stat st;
        path_of (self, journal_name (segments->ids[i], ".inputs", name), path);
        if (segments->ids[i].turn >= turn && stat (path, &st) == 0)
            bytes += (uint64_t)st.st_size;
    }
    free (segments);
    return bytes;
}

static int make_dir (const char *dir, struct strata_error *error)
{
    char parent[4300];
    snprintf (parent, sizeof (parent), "%s", dir);
    char *slash = strrchr (parent, '/');
    if (slash)
        *slash = '\0';
    if ((mkdir (parent, 0777) < 0 && errno != EEXIST) || (mkdir (dir, 0777) < 0 && errno != EEXIST))
        return strata_fail (error, "folder %s can't be made: %s", dir, strerror (errno));
    return 0;
}

struct journal *journal_open (const char *dir, struct shard *shard, const struct journal_limits *limits,
                              struct strata_error *error)
{
    if (make_dir (dir, error) < 0)
        return NULL;
    struct journal *self = calloc (1, sizeof (*self));
    if (!self || !(self->dir = strdup (dir))) {
        free (self);
        strata_fail (error, "out of memory");
        return NULL;
    }
    self->shard = shard;
    self->limits = *limits;
    self->fd = -1;
    self->fresh = true;
    bool known = journal_position_get (shard, &self->position);
    if (known && position_fits (self)) {
        self->previous = self->position.segment;
        /* Of a store that was since put back to an older state. */
        remove_some (self, ".store", self->position.turn + 1, UINT64_MAX);
        remove_some (self, ".inputs", self->position.turn + 1, UINT64_MAX);
        struct listing *stores = list (self, ".store");
        self->since_checkpoint = bytes_since_checkpoint (self, stores);
        self->checkpoints = stores ? (unsigned)stores->count : 0;
        free (stores);
    } else {
        if (known)
            log_warn ("%s does not reach up to the store's last turn (the machine went down, or it was removed): inputs are "
                      "recorded anew from here",
                      dir);
        forget_all (self);
        self->position.segment = (struct journal_id){ 0, 0 };
    }
    shard_set_digest (shard, self->position.state);
    measure (self);
    return self;
}

void journal_close (struct journal **self_p)
{
    struct journal *self = *self_p;
    if (!self)
        return;
    if (self->fd >= 0)
        close (self->fd);
    free (self->waiting.data);
    free (self->dir);
    free (self);
    *self_p = NULL;
}

uint64_t journal_outputs (const struct journal *self)
{
    return self->position.outputs;
}

/* ---- checkpoints ---- */

bool journal_due (struct journal *self, int64_t now_us)
{
    if (!self)
        return false;
    int64_t pause_us = self->broken ? AGAIN_US : CHECKPOINT_PAUSE_US;
    if (self->checkpoint_us && now_us - self->checkpoint_us < pause_us && now_us >= self->checkpoint_us)
        return false;
    if (self->broken || self->checkpoints == 0)
        return true;
    /* At the start it costs nothing: the core starts anyway. */
    uint64_t enough = self->fresh ? self->limits.checkpoint_bytes / 4 : self->limits.checkpoint_bytes;
    if (self->since_checkpoint >= enough)
        return true;
    if (self->measured + self->since_measured <= self->limits.keep_bytes)
        return false;
    trim (self, self->limits.keep_bytes);
    return self->measured > self->limits.keep_bytes;
}

static void give_up (struct journal *self, const char *why, int64_t now_us)
{
    if (!self->broken)
        log_warn ("%s: %s; inputs are not recorded for %d s at least", self->dir, why, AGAIN_US / 1000000);
    self->broken = true;
    self->checkpoint_us = now_us;
    self->waiting.size = 0;
    self->again = self->fact_size = 0;
    self->last_us = 0;
    self->next.turn = 0;
    if (self->fd >= 0)
        close (self->fd);
    self->fd = -1;
}

int journal_checkpoint (struct journal *self, int64_t now_us, struct strata_error *error)
{
    struct journal_id id = { self->position.turn, shard_epoch (self->shard) };
    char name[JOURNAL_NAME_MAX], path[4300], made[4300];
    path_of (self, "new", made);
    path_of (self, journal_name (id, ".store", name), path);
    journal_remove (made);
    self->waiting.size = 0; /* inputs of the core that was: they have left no trace */
    self->again = self->fact_size = 0;
    self->last_us = 0;
    self->checkpoint_us = now_us;
    if (self->broken)
        forget_all (self);
    int rc = shard_copy (self->shard, made, error);
    if (rc == 0) {
        remove_some (self, ".store", id.turn, id.turn + 1); /* nothing has come in since: it may keep old files alive */
        rc = rename (made, path);
        if (rc < 0)
            strata_fail (error, "%s can't be made: %s", path, strerror (errno));
    }
    if (rc < 0) {
        journal_remove (made);
        give_up (self, error->text, now_us);
        return -1;
    }
    if (self->fd >= 0)
        close (self->fd);
    self->fd = -1;
    self->fresh = self->base = true;
    if (self->broken)
        shard_set_digest (self->shard, self->position.state);
    self->broken = false;
    self->since_checkpoint = 0;
    trim (self, self->limits.keep_bytes - self->limits.checkpoint_bytes);
    return 0;
}

/* ---- inputs ---- */

static void append_item (struct journal *self, const struct journal_item *item)
{
    journal_item_pack (&self->waiting, item, self->last_us);
    self->last_us = item->now_us;
}

static void end_facts (struct journal *self)
{
    struct journal_item again = { .kind = JOURNAL_FACT_AGAIN, .now_us = self->last_us, .a = self->again };
    if (self->again)
        append_item (self, &again);
    self->again = self->fact_size = 0;
}

void journal_input (struct journal *self, const struct journal_item *item)
{
    if (!self || self->broken)
        return;
    end_facts (self);
    append_item (self, item);
}

void journal_fact (struct journal *self, const void *fact, size_t size)
{
    if (!self || self->broken)
        return;
    if (self->fact_size == size && size && memcmp (self->waiting.data + self->fact_at, fact, size) == 0) {
        self->again++;
        return;
    }
    end_facts (self);
    const struct blob part = { fact, size };
    struct journal_item item = { .kind = JOURNAL_FACT, .now_us = self->last_us, .parts_count = 1, .parts = &part };
    append_item (self, &item);
    self->fact_size = size;
    self->fact_at = self->waiting.size - size;
}

struct journal_mark journal_mark (const struct journal *self)
{
    if (!self)
        return (struct journal_mark){ 0 };
    return (struct journal_mark){ self->waiting.size, self->last_us, self->again, self->fact_at, self->fact_size };
}

void journal_undo (struct journal *self, const struct journal_mark *mark)
{
    if (!self || self->broken)
        return;
    self->waiting.size = mark->size;
    self->last_us = mark->last_us;
    self->again = mark->again;
    self->fact_at = mark->fact_at;
    self->fact_size = mark->fact_size;
}

/* ---- turns ---- */

static bool write_all (int fd, const void *data, size_t size, uint64_t offset)
{
    for (const uint8_t *at = data; size;) {
        ssize_t n = pwrite (fd, at, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return true;
}

static bool begin_segment (struct journal *self)
{
    char name[JOURNAL_NAME_MAX], path[4300];
    uint8_t bytes[JOURNAL_HEAD_BYTES];
    struct journal_head head = { { self->position.turn, shard_epoch (self->shard) }, self->previous, self->position.state,
                                 self->position.outputs, self->base };
    path_of (self, journal_name (head.id, ".inputs", name), path);
    self->fd = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    journal_head_pack (&head, bytes);
    if (self->fd < 0 || !write_all (self->fd, bytes, sizeof (bytes), 0))
        return false;
    self->position.segment = self->previous = head.id;
    self->position.end = sizeof (bytes);
    self->fresh = self->base = false;
    return true;
}

/* Whether so many more bytes may be written. What is too old makes room. */
static bool has_room (struct journal *self, uint64_t bytes)
{
    if (self->measured + self->since_measured + bytes > self->limits.keep_bytes && self->checkpoints > 1)
        trim (self, self->limits.keep_bytes - self->limits.checkpoint_bytes);
    return self->measured + self->since_measured + bytes <= self->limits.keep_bytes;
}

static const char *write_record (struct journal *self, const struct journal_record *record)
{
    uint8_t head[JOURNAL_RECORD_BYTES];
    journal_record_pack (record, head);
    if (!has_room (self, sizeof (head) + record->size))
        return "it has reached its bound before a checkpoint could be made";
    if ((self->fresh && !begin_segment (self)) || !write_all (self->fd, head, sizeof (head), self->position.end)
        || !write_all (self->fd, record->payload, record->size, self->position.end + sizeof (head)))
        return strerror (errno);
    return NULL;
}

void journal_write (struct journal *self, uint64_t outputs, bool all)
{
    if (!self)
        return;
    if (self->broken) {
        /* A position that stays would vouch for turns that nobody recorded. */
        if (shard_dirty (self->shard) && shard_has (self->shard, JOURNAL_KEY, strlen (JOURNAL_KEY)))
            shard_delete (self->shard, JOURNAL_KEY, strlen (JOURNAL_KEY));
        return;
    }
    if (!shard_dirty (self->shard) && self->waiting.size <= WAITING_MAX && !(all && self->waiting.size))
        return;
    end_facts (self);
    const struct journal_record record = { self->position.turn + 1, shard_digest (self->shard), outputs, self->waiting.data,
                                           self->waiting.size };
    const char *trouble = write_record (self, &record);
    if (trouble) {
        give_up (self, trouble, self->last_us);
        forget_all (self);
        journal_write (self, outputs, all);
        return;
    }
    self->next = self->position;
    self->next.begin = self->position.end;
    self->next.end = self->next.begin + JOURNAL_RECORD_BYTES + record.size;
    self->next.turn = record.turn;
    self->next.state = record.state;
    self->next.outputs = outputs;
    journal_position_put (self->shard, &self->next);
}

void journal_committed (struct journal *self)
{
    if (!self || !self->next.turn)
        return;
    uint64_t bytes = self->next.end - self->next.begin;
    self->position = self->next;
    self->next.turn = 0;
    self->waiting.size = 0;
    self->last_us = 0;
    self->again = self->fact_size = 0;
    self->since_checkpoint += bytes;
    self->since_measured += bytes;
    if (self->since_measured >= MEASURE_BYTES)
        measure (self);
}

void journal_figures (const struct journal *self, struct journal_figures *figures)
{
    *figures = (struct journal_figures){ self->measured + self->since_measured, self->limits.keep_bytes, self->position.turn,
                                         self->checkpoints, !self->broken };
}
