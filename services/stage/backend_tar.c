/* backend_tar.c - objects' bytes as members of indexed tar archives (strata_tar.h):
 * archives/<owner>/<ns>/<number>.tar beside the folder <root>.
 *
 * Puts append; what is put in one turn is synced together, just before the batch that names it is written (flush):
 *
 *   tar/<ns>/<key>            archive's number, offset, size (u64 each): where the object's bytes are
 *   tarfile/<ns>/<number>     how much of the archive counts, and bytes of members in it that are still named (u64 each)
 *   tardead/<ns>/<number>     an archive that nothing names any more, to be removed
 *
 * The batch is the truth: what a crash left in an archive behind its noted end is cut off before the next append, an archive
 * that no record names is removed at the start. Only one archive of a namespace is appended to, under a lock of the file: a
 * holder of the shard that was taken over from may still run; it keeps its archive, and its successor begins another.
 *
 * Deleted and replaced members stay in their archive. When less than half of one is still named, a piece of it is appended
 * anew at each settle; when nothing is, it is removed once that is on disk. So archives take at most about twice the objects'
 * bytes (and one archive a namespace). Who reads the archives himself sees the members that are still there, the last of each
 * name; which objects there are, the store alone says.
 */
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "backend.h"
#include "core/crash_point.h"
#include "core/files.h"
#include "core/log.h"
#include "strata_tar.h"

#define ROTATE ((uint64_t)256 << 20)    /* an archive of so many bytes is not appended to */
#define OPEN_MAX_ARCHIVES 48            /* held open, two descriptors each */
#define PIECE_MEMBERS 64                /* that one settle appends anew, */
#define PIECE_BYTES ((uint64_t)4 << 20) /* or members of so many bytes */
#define HEADER_BYTES 512

struct archive {
    char ns[256];
    uint64_t number;
    struct tar *tar;
    bool append, unsynced;
    uint64_t used; /* when */
};

/* An archive of which little is named, or (dead) nothing, removed once there are more commits than `commits`. */
struct loose {
    char ns[256];
    uint64_t number, commits;
    bool dead;
};

struct backend {
    struct shard *shard;
    char folder[4300]; /* .../archives/<owner> */
    struct archive open[OPEN_MAX_ARCHIVES];
    size_t open_count;
    uint64_t clock;
    bool broken; /* a sync has failed: what it was to keep may be lost, and nothing may be told any more */
    struct loose *loose;
    size_t loose_count, loose_room;
    /* The archive whose members are being appended anew. */
    char moving_ns[256];
    uint64_t moving;
    char **names; /* of its members; NULL: none is */
    size_t names_count, names_at;
};

struct place {
    uint64_t number, offset, size;
};

struct extent {
    uint64_t end, named;
};

/* ---- records ---- */

static void put_numbers (struct backend *self, const struct shard_key *key, const uint64_t *numbers, size_t count)
{
    uint64_t stored[3];
    for (size_t i = 0; i < count; i++)
        stored[i] = htobe64 (numbers[i]);
    shard_put (self->shard, key->data, key->size, stored, 8 * count);
}

static bool get_numbers (struct backend *self, const struct shard_key *key, uint64_t *numbers, size_t count)
{
    void *value = NULL;
    size_t size = 0;
    bool found = shard_get (self->shard, key->data, key->size, &value, &size) && size == 8 * count;
    for (size_t i = 0; i < count; i++)
        numbers[i] = found ? shard_u64 ((uint8_t *)value + 8 * i) : 0;
    free (value);
    return found;
}

static struct shard_key place_key (const char *ns, const char *key)
{
    struct shard_key k;
    shard_key (&k, "tar/%s/%s", ns, key);
    return k;
}

static struct shard_key file_key (const char *prefix, const char *ns, uint64_t number)
{
    struct shard_key k;
    shard_key (&k, "%s/%s/", prefix, ns);
    shard_key_u64 (&k, number);
    return k;
}

static bool place_get (struct backend *self, const char *ns, const char *key, struct place *place)
{
    struct shard_key k = place_key (ns, key);
    uint64_t n[3];
    bool found = get_numbers (self, &k, n, 3);
    *place = (struct place){ n[0], n[1], n[2] };
    return found;
}

static bool extent_get (struct backend *self, const char *ns, uint64_t number, struct extent *extent)
{
    struct shard_key k = file_key ("tarfile", ns, number);
    uint64_t n[2];
    bool found = get_numbers (self, &k, n, 2);
    *extent = (struct extent){ n[0], n[1] };
    return found;
}

static void extent_put (struct backend *self, const char *ns, uint64_t number, const struct extent *extent)
{
    struct shard_key k = file_key ("tarfile", ns, number);
    put_numbers (self, &k, (uint64_t[]){ extent->end, extent->named }, 2);
}

/* What a member takes of its archive. */
static uint64_t weight (uint64_t size)
{
    return HEADER_BYTES + (size + 511) / 512 * 512;
}

static void archive_path (const struct backend *self, const char *ns, uint64_t number, char path[PATH_MAX + 512])
{
    snprintf (path, PATH_MAX + 512, "%s/%s/%08llu.tar", self->folder, ns, (unsigned long long)number);
}

/* ---- archives that are little named ---- */

static void loose_add (struct backend *self, const char *ns, uint64_t number, bool dead)
{
    for (size_t i = 0; i < self->loose_count; i++)
        if (self->loose[i].number == number && strcmp (self->loose[i].ns, ns) == 0) {
            self->loose[i].dead |= dead;
            self->loose[i].commits = shard_commits (self->shard);
            return;
        }
    if (self->loose_count == self->loose_room) {
        size_t room = self->loose_room ? 2 * self->loose_room : 16;
        struct loose *bigger = realloc (self->loose, room * sizeof (*bigger));
        if (!bigger)
            return; /* the next start finds it */
        self->loose = bigger;
        self->loose_room = room;
    }
    struct loose *loose = &self->loose[self->loose_count++];
    *loose = (struct loose){ .number = number, .commits = shard_commits (self->shard), .dead = dead };
    snprintf (loose->ns, sizeof (loose->ns), "%s", ns);
}

static void unname (struct backend *self, const char *ns, const struct place *place)
{
    struct extent extent;
    if (!extent_get (self, ns, place->number, &extent))
        return;
    uint64_t bytes = weight (place->size);
    extent.named = extent.named > bytes ? extent.named - bytes : 0;
    extent_put (self, ns, place->number, &extent);
    if (extent.named < extent.end / 2)
        loose_add (self, ns, place->number, false);
}

static void name_at (struct backend *self, const char *ns, const char *key, const struct place *place)
{
    struct shard_key k = place_key (ns, key);
    struct place old;
    if (place_get (self, ns, key, &old))
        unname (self, ns, &old);
    put_numbers (self, &k, (uint64_t[]){ place->number, place->offset, place->size }, 3);
}

/* ---- archives held open ---- */

static int archive_close (struct backend *self, size_t i, struct strata_error *error)
{
    struct archive *archive = &self->open[i];
    int rc = archive->unsynced ? tar_sync (archive->tar, error) : 0;
    self->broken |= rc < 0;
    tar_close (&archive->tar, NULL); /* what the index may lack is found by whoever opens it next */
    *archive = self->open[--self->open_count];
    return rc;
}

static struct archive *archive_add (struct backend *self, const char *ns, uint64_t number, struct tar *tar, bool append)
{
    if (self->open_count == OPEN_MAX_ARCHIVES) {
        size_t oldest = 0;
        for (size_t i = 1; i < self->open_count; i++)
            if (self->open[i].used < self->open[oldest].used)
                oldest = i;
        archive_close (self, oldest, NULL);
    }
    struct archive *archive = &self->open[self->open_count++];
    *archive = (struct archive){ .number = number, .tar = tar, .append = append, .used = ++self->clock };
    snprintf (archive->ns, sizeof (archive->ns), "%s", ns);
    return archive;
}

static struct archive *archive_find (struct backend *self, const char *ns, uint64_t number)
{
    for (size_t i = 0; i < self->open_count; i++)
        if (self->open[i].number == number && strcmp (self->open[i].ns, ns) == 0) {
            self->open[i].used = ++self->clock;
            return &self->open[i];
        }
    return NULL;
}

static struct archive *archive_to_read (struct backend *self, const char *ns, uint64_t number, struct strata_error *error)
{
    char path[PATH_MAX + 512];
    struct archive *archive = archive_find (self, ns, number);
    if (archive)
        return archive;
    archive_path (self, ns, number, path);
    struct tar *tar = tar_open (path, TAR_READ, NULL, error);
    return tar ? archive_add (self, ns, number, tar, false) : NULL;
}

/* The namespace's last archive, if it can be gone on with: cut to what counts. NULL: a new one has to be begun. *number: its
 * number, or that of the last (0: there was none). */
static struct tar *last_archive (struct backend *self, const char *ns, uint64_t *number)
{
    char path[PATH_MAX + 512];
    struct shard_key prefix;
    struct shard_iter it;
    struct extent extent = { .end = 0 };
    struct strata_error error;
    *number = 0;
    shard_key (&prefix, "tarfile/%s/", ns);
    for (bool more = shard_iter_begin (self->shard, &it, prefix.data, prefix.size, NULL, 0); more; more = shard_iter_next (&it))
        if (it.key_size == prefix.size + 8)
            *number = shard_u64 (it.key + prefix.size);
    shard_iter_end (&it);
    if (*number == 0 || !extent_get (self, ns, *number, &extent) || extent.end >= ROTATE)
        return NULL;
    archive_path (self, ns, *number, path);
    if (access (path, F_OK) < 0)
        return NULL;
    struct tar *tar = tar_open (path, TAR_APPEND, NULL, &error);
    if (tar && tar_cut (tar, extent.end, &error) == 0)
        return tar;
    log_warn ("%s; another archive is begun", error.text);
    tar_close (&tar, NULL);
    return NULL;
}

static int sync_folder (const char *path, struct strata_error *error)
{
    int fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 || fsync (fd) < 0 ? strata_fail (error, "folder %.300s can't be synced: %s", path, strerror (errno)) : 0;
    if (fd >= 0)
        close (fd);
    return rc;
}

/* Behind `last`; a number whose file is there already is another's. */
static struct tar *new_archive (struct backend *self, const char *ns, uint64_t last, uint64_t *number, struct strata_error *error)
{
    char path[PATH_MAX + 512], folder[PATH_MAX + 256];
    int fd = -1;
    snprintf (folder, sizeof (folder), "%s/%s", self->folder, ns);
    if (files_make_dirs (folder, error) < 0)
        return NULL;
    for (*number = last + 1; fd < 0; ++*number) {
        archive_path (self, ns, *number, path);
        fd = open (path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST) {
            strata_fail (error, "archive %.300s can't be made: %s", path, strerror (errno));
            return NULL;
        }
    }
    --*number;
    close (fd);
    if (sync_folder (folder, error) < 0 || sync_folder (self->folder, error) < 0)
        return NULL;
    return tar_open (path, TAR_APPEND, NULL, error);
}

/* The archive that puts of this namespace go to. */
static struct archive *archive_to_append (struct backend *self, const char *ns, struct strata_error *error)
{
    uint64_t number, last = 0;
    struct tar *tar = NULL;
    for (size_t i = 0; i < self->open_count; i++)
        if (self->open[i].append && strcmp (self->open[i].ns, ns) == 0) {
            if (tar_end (self->open[i].tar) < ROTATE) {
                self->open[i].used = ++self->clock;
                return &self->open[i];
            }
            last = self->open[i].number;
            if (archive_close (self, i, error) < 0)
                return NULL;
            break;
        }
    if (!last && (tar = last_archive (self, ns, &last))) {
        struct archive *reading = archive_find (self, ns, last);
        if (reading)
            archive_close (self, (size_t)(reading - self->open), NULL);
        return archive_add (self, ns, last, tar, true);
    }
    tar = new_archive (self, ns, last, &number, error);
    return tar ? archive_add (self, ns, number, tar, true) : NULL;
}

/* ---- opening ---- */

/* Archives of crashed puts, and those that are dead. One that another process appends to is left to it. */
static void sweep_namespace (struct backend *self, const char *ns)
{
    char path[PATH_MAX + 512];
    snprintf (path, sizeof (path), "%s/%s", self->folder, ns);
    DIR *dir = opendir (path);
    for (struct dirent *entry; dir && (entry = readdir (dir));) {
        char *end;
        unsigned long long number = strtoull (entry->d_name, &end, 10);
        struct extent extent;
        if (end == entry->d_name || strcmp (end, ".tar") != 0 || extent_get (self, ns, number, &extent))
            continue;
        int fd = openat (dirfd (dir), entry->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0 && flock (fd, LOCK_EX | LOCK_NB) == 0) {
            char index[300];
            snprintf (index, sizeof (index), "%.255s.pylst", entry->d_name);
            unlinkat (dirfd (dir), entry->d_name, 0);
            unlinkat (dirfd (dir), index, 0);
        }
        if (fd >= 0)
            close (fd);
    }
    if (dir)
        closedir (dir);
}

static void sweep_start (struct backend *self)
{
    static const char prefix[] = "tarfile/", dead[] = "tardead/";
    struct shard_iter it;
    DIR *dir = opendir (self->folder);
    for (struct dirent *entry; dir && (entry = readdir (dir));)
        if (entry->d_name[0] != '.')
            sweep_namespace (self, entry->d_name);
    if (dir)
        closedir (dir);
    for (bool more = shard_iter_begin (self->shard, &it, prefix, strlen (prefix), NULL, 0); more; more = shard_iter_next (&it)) {
        char ns[256];
        if (it.key_size < strlen (prefix) + 10 || it.value_size != 16)
            continue;
        snprintf (ns, sizeof (ns), "%.*s", (int)(it.key_size - strlen (prefix) - 9), (const char *)it.key + strlen (prefix));
        if (shard_u64 (it.value + 8) < shard_u64 (it.value) / 2)
            loose_add (self, ns, shard_u64 (it.key + it.key_size - 8), false);
    }
    shard_iter_end (&it);
    for (bool more = shard_iter_begin (self->shard, &it, dead, strlen (dead), NULL, 0); more; more = shard_iter_next (&it)) {
        char ns[256];
        if (it.key_size < strlen (dead) + 10)
            continue;
        snprintf (ns, sizeof (ns), "%.*s", (int)(it.key_size - strlen (dead) - 9), (const char *)it.key + strlen (dead));
        loose_add (self, ns, shard_u64 (it.key + it.key_size - 8), true);
    }
    shard_iter_end (&it);
}

static struct backend *tar_backend_open (struct shard *shard, const char *root, const char *owner, struct strata_error *error)
{
    struct backend *self = calloc (1, sizeof (*self));
    if (!self) {
        strata_fail (error, "out of memory");
        return NULL;
    }
    self->shard = shard;
    const char *slash = strrchr (root, '/');
    if ((size_t)snprintf (self->folder, sizeof (self->folder), "%.*s/archives/%s", slash ? (int)(slash - root) : 1, slash ? root : ".", owner)
        > PATH_MAX - 300) {
        strata_fail (error, "folder %.200s...: the path is too long", root);
        free (self);
        return NULL;
    }
    int rc = files_make_dirs (self->folder, error);
    if (rc == 0) { /* the folder of all owners' */
        char *last = strrchr (self->folder, '/');
        *last = '\0';
        rc = sync_folder (self->folder, error);
        *last = '/';
    }
    if (rc < 0) {
        free (self);
        return NULL;
    }
    sweep_start (self);
    return self;
}

static void moving_end (struct backend *self)
{
    for (size_t i = 0; i < self->names_count; i++)
        free (self->names[i]);
    free (self->names);
    self->names = NULL;
    self->names_count = self->names_at = 0;
}

static void tar_backend_close (struct backend **self_p)
{
    struct backend *self = *self_p;
    if (!self)
        return;
    while (self->open_count)
        archive_close (self, self->open_count - 1, NULL);
    moving_end (self);
    free (self->loose);
    free (self);
    *self_p = NULL;
}

/* ---- the objects' operations ---- */

static int broken (struct backend *self, struct strata_error *error)
{
    errno = EIO;
    return strata_fail (error, "archives below %.300s could not be synced: start the stage anew", self->folder);
}

static int append (struct backend *self, const char *ns, const struct backend_item *items, size_t count, struct strata_error *error)
{
    struct tar_item *members = calloc (count, sizeof (*members));
    struct tar_member *places = calloc (count, sizeof (*places));
    struct archive *archive = NULL;
    struct extent extent;
    int rc = -1;
    if (!members || !places) {
        errno = ENOMEM;
        strata_fail (error, "out of memory for a put of %zu objects", count);
    } else
        archive = archive_to_append (self, ns, error);
    if (archive) {
        for (size_t i = 0; i < count; i++)
            members[i] = (struct tar_item){ items[i].key, items[i].data, items[i].size };
        crash_point ("tar.put");
        rc = tar_append (archive->tar, members, count, (int64_t)time (NULL), places, error);
        crash_point ("tar.written");
    }
    if (rc == 0) {
        uint64_t number = archive->number;
        archive->unsynced = true;
        extent_get (self, ns, number, &extent);
        extent.end = tar_end (archive->tar);
        for (size_t i = 0; i < count; i++)
            extent.named += weight (items[i].size);
        extent_put (self, ns, number, &extent);
        for (size_t i = 0; i < count; i++)
            name_at (self, ns, items[i].key, &(struct place){ number, places[i].offset, items[i].size });
    } else if (errno == EDQUOT || errno == EFBIG)
        errno = ENOSPC;
    int saved = errno;
    free (members);
    free (places);
    errno = saved;
    return rc;
}

static int tar_backend_put (struct backend *self, const char *ns, const struct backend_item *items, size_t count,
                            struct strata_error *error)
{
    return self->broken ? broken (self, error) : append (self, ns, items, count, error);
}

static int tar_backend_get (struct backend *self, const char *ns, const char *key, uint64_t size, uint64_t offset, uint64_t length,
                            void **data, struct strata_error *error)
{
    struct place place;
    *data = NULL;
    if (!place_get (self, ns, key, &place) || place.size != size) {
        errno = EBADMSG;
        return strata_fail (error, "object %s/%s is damaged: its place in the archives is not known", ns, key);
    }
    struct archive *archive = archive_to_read (self, ns, place.number, error);
    if (!archive) {
        errno = errno == ENOENT ? EBADMSG : errno;
        return strata_fail_prefix (error, "object %s/%s is damaged", ns, key);
    }
    if (!(*data = malloc (length ? length : 1))) {
        errno = ENOMEM;
        return strata_fail (error, "object %s/%s: out of memory for its %llu bytes", ns, key, (unsigned long long)length);
    }
    if (tar_read (archive->tar, key, &(struct tar_member){ place.offset, size }, offset, length, *data, error) == 0)
        return 0;
    int saved = errno;
    free (*data);
    *data = NULL;
    errno = saved;
    return strata_fail_prefix (error, "object %s/%s%s", ns, key, saved == EBADMSG ? " is damaged" : "");
}

static void tar_backend_delete (struct backend *self, const char *ns, const char *key)
{
    struct shard_key k = place_key (ns, key);
    struct place place;
    if (place_get (self, ns, key, &place))
        unname (self, ns, &place);
    shard_delete (self->shard, k.data, k.size);
}

static int tar_backend_move (struct backend *self, const char *ns, const char *key, const char *to_ns, const char *to_key,
                             struct strata_error *error)
{
    struct place place;
    void *data;
    if (self->broken)
        return broken (self, error);
    if (!place_get (self, ns, key, &place))
        place.size = UINT64_MAX;
    if (tar_backend_get (self, ns, key, place.size, 0, place.size, &data, error) < 0)
        return -1;
    struct backend_item item = { to_key, data, place.size, NULL };
    int rc = append (self, to_ns, &item, 1, error), saved = errno;
    free (data);
    if (rc == 0)
        tar_backend_delete (self, ns, key);
    errno = saved;
    return rc;
}

static int tar_backend_flush (struct backend *self, struct strata_error *error)
{
    if (self->broken)
        return broken (self, error);
    for (size_t i = 0; i < self->open_count; i++) {
        if (!self->open[i].unsynced)
            continue;
        if (tar_sync (self->open[i].tar, error) < 0) {
            self->broken = true; /* the kernel tells of a failed sync once */
            return -1;
        }
        self->open[i].unsynced = false;
        crash_point ("tar.synced");
    }
    return 0;
}

/* ---- settling ---- */

static int take_name (const char *name, const struct tar_member *member, void *arg)
{
    struct backend *self = arg;
    if (self->names_count % 1024 == 0) {
        char **bigger = realloc (self->names, (self->names_count + 1024) * sizeof (*bigger));
        if (!bigger)
            return 1;
        self->names = bigger;
    }
    self->names[self->names_count] = strdup (name);
    return self->names[self->names_count] ? (int)(self->names_count++ * 0) : 1;
}

static bool moving_begin (struct backend *self, const char *ns, uint64_t number, struct strata_error *error)
{
    struct archive *archive = archive_to_read (self, ns, number, error);
    snprintf (self->moving_ns, sizeof (self->moving_ns), "%s", ns);
    self->moving = number;
    if (archive && tar_each (archive->tar, "", take_name, self, error) == 0 && self->names)
        return true;
    moving_end (self);
    return false;
}

/* A piece of what is still named of the archive that is given up. -1: no room for it, or it is damaged. */
static int moving_go_on (struct backend *self, struct strata_error *error)
{
    uint64_t bytes = 0;
    for (unsigned n = 0; n < PIECE_MEMBERS && bytes < PIECE_BYTES && self->names_at < self->names_count; self->names_at++) {
        const char *key = self->names[self->names_at];
        struct place place;
        void *data;
        if (!place_get (self, self->moving_ns, key, &place) || place.number != self->moving)
            continue;
        if (tar_backend_get (self, self->moving_ns, key, place.size, 0, place.size, &data, error) < 0) {
            if (errno != EBADMSG)
                return -1;
            continue; /* it stays where it is, for whoever can mend it */
        }
        struct backend_item item = { key, data, place.size, NULL };
        int rc = append (self, self->moving_ns, &item, 1, error);
        free (data);
        if (rc < 0)
            return -1;
        bytes += place.size;
        n++;
    }
    if (self->names_at == self->names_count)
        moving_end (self);
    return 0;
}

/* From records to files: nothing names the archive, and that is on disk. */
static void bury (struct backend *self, const struct loose *loose)
{
    char path[PATH_MAX + 512], index[PATH_MAX + 520];
    struct archive *archive = archive_find (self, loose->ns, loose->number);
    struct shard_key key = file_key ("tardead", loose->ns, loose->number);
    if (archive)
        archive_close (self, (size_t)(archive - self->open), NULL);
    archive_path (self, loose->ns, loose->number, path);
    snprintf (index, sizeof (index), "%s.pylst", path);
    unlink (path);
    unlink (index);
    shard_delete (self->shard, key.data, key.size);
}

static bool is_appended (const struct backend *self, const struct loose *loose)
{
    for (size_t i = 0; i < self->open_count; i++)
        if (self->open[i].append && self->open[i].number == loose->number && strcmp (self->open[i].ns, loose->ns) == 0)
            return true;
    return false;
}

/* What is to be done with it now: true when it is done with. */
static bool settle_loose (struct backend *self, struct loose *loose, struct strata_error *error, int *rc)
{
    struct extent extent;
    if (loose->dead) {
        if (shard_commits (self->shard) <= loose->commits)
            return false;
        bury (self, loose);
        return true;
    }
    if (is_appended (self, loose))
        return false;
    if (!extent_get (self, loose->ns, loose->number, &extent))
        return true;
    if (extent.named == 0) {
        struct shard_key file = file_key ("tarfile", loose->ns, loose->number), dead = file_key ("tardead", loose->ns, loose->number);
        shard_delete (self->shard, file.data, file.size);
        shard_put (self->shard, dead.data, dead.size, "", 0);
        loose->dead = true;
        loose->commits = shard_commits (self->shard);
        return false;
    }
    bool ours = self->names && self->moving == loose->number && strcmp (self->moving_ns, loose->ns) == 0;
    if (self->names && !ours)
        return false;
    if (!ours && !moving_begin (self, loose->ns, loose->number, error)) {
        log_warn ("archive %llu of namespace %s can't be given up: %s", (unsigned long long)loose->number, loose->ns, error->text);
        return true; /* until the next delete, or start */
    }
    char ns[256];
    uint64_t number = loose->number;
    snprintf (ns, sizeof (ns), "%s", loose->ns);
    if (moving_go_on (self, error) < 0)
        *rc = -1;
    /* Through, and some of it is damaged: nothing more can be done. (The list may have grown: loose is no more.) */
    return !self->names && *rc == 0 && extent_get (self, ns, number, &extent) && extent.named > 0;
}

static int tar_backend_settle (struct backend *self, struct strata_error *error)
{
    int rc = 0;
    if (self->broken)
        return broken (self, error);
    for (size_t i = 0; i < self->loose_count && rc == 0;)
        if (settle_loose (self, &self->loose[i], error, &rc))
            self->loose[i] = self->loose[--self->loose_count];
        else
            i++;
    return rc;
}

const struct backend_ops backend_tar = {
    .name = "tar",
    .open = tar_backend_open,
    .close = tar_backend_close,
    .put = tar_backend_put,
    .get = tar_backend_get,
    .move = tar_backend_move,
    .delete = tar_backend_delete,
    .flush = tar_backend_flush,
    .settle = tar_backend_settle,
};
