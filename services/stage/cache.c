/* cache.c - see cache.h */
#include "cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/crc32c.h"
#include "core/files.h"
#include "core/log.h"
#include "mesh/claims.h"
#include "stage_core.h"

#define BUCKETS 65536
#define PAGE_BYTES 4096u
#define FOLDERS 8            /* of one stage on a node: its fenced holders may live in the others */
#define PIN_US (10 * 1000000LL) /* who got a path has locked it by then, or never will */

/* Behind an object's bytes. Read by this machine alone: in its byte order. */
struct trailer {
    char magic[8];
    uint64_t size, generation;
    int64_t mtime_us;
    uint32_t crc32c;
    char ns[STAGE_NAME_MAX + 2], key[STAGE_NAME_MAX + 2];
    uint32_t check; /* CRC-32C of all before it */
};
#define MAGIC "STRATAC1"

struct entry {
    struct entry *same_bucket;
    struct entry *newer, *older; /* by their last use */
    uint64_t number;             /* the file's name */
    Strata__ObjectInfo version;
    char *name;                  /* "<ns>/<key>" */
    int64_t handed_us;           /* a path was told last: a reader may have it pinned; 0: nobody has */
    bool checked;                /* its bytes were, since this process started */
    bool replaced;               /* by another version; it stays while it is pinned */
};

struct cache {
    int folder;
    char path[CACHE_PATH_MAX - 32], answer[CACHE_PATH_MAX];
    uint64_t limit_bytes, bytes, next, evicted, count;
    struct entry *buckets[BUCKETS];
    struct entry *newest, *oldest;
};

struct cache_file {
    struct cache *cache;
    struct entry *entry;
    int fd;
};

static uint64_t room_of (uint64_t size)
{
    return (size + sizeof (struct trailer) + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

bool cache_same_version (const Strata__ObjectInfo *a, const Strata__ObjectInfo *b)
{
    return a->size == b->size && a->crc32c == b->crc32c && a->generation == b->generation && a->mtime_us == b->mtime_us;
}

void cache_set_version (Strata__ObjectInfo *to, const Strata__ObjectInfo *from)
{
    strata__object_info__init (to);
    to->size = from->size;
    to->crc32c = from->crc32c;
    to->generation = from->generation;
    to->mtime_us = from->mtime_us;
}

/* ---- entries ---- */

static struct entry **bucket_of (struct cache *self, const char *name)
{
    return &self->buckets[claim_hash (name, strlen (name)) % BUCKETS];
}

static void unlink_use (struct cache *self, struct entry *e)
{
    *(e->newer ? &e->newer->older : &self->newest) = e->older;
    *(e->older ? &e->older->newer : &self->oldest) = e->newer;
}

static void link_use (struct cache *self, struct entry *e)
{
    e->newer = NULL;
    e->older = self->newest;
    *(e->older ? &e->older->newer : &self->oldest) = e;
    self->newest = e;
}

static struct entry *find (struct cache *self, const char *ns, const char *key)
{
    char name[STAGE_FULL_NAME];
    snprintf (name, sizeof (name), "%s/%s", ns, key);
    for (struct entry *e = *bucket_of (self, name); e; e = e->same_bucket)
        if (!e->replaced && strcmp (e->name, name) == 0)
            return e;
    return NULL;
}

static struct entry *entry_new (const char *ns, const char *key, const Strata__ObjectInfo *version)
{
    struct entry *e = calloc (1, sizeof (*e));
    size_t size = strlen (ns) + strlen (key) + 2;
    if (!e || !(e->name = malloc (size))) {
        free (e);
        return NULL;
    }
    snprintf (e->name, size, "%s/%s", ns, key);
    cache_set_version (&e->version, version);
    return e;
}

static void entry_free (struct entry *e)
{
    free (e->name);
    free (e);
}

static void put_in (struct cache *self, struct entry *e)
{
    struct entry **first = bucket_of (self, e->name);
    e->same_bucket = *first;
    *first = e;
    link_use (self, e);
    self->count++;
}

static void number_name (char name[32], uint64_t number, bool part)
{
    snprintf (name, 32, "%" PRIu64 "%s", number, part ? ".part" : "");
}

/* The file goes; whoever has it open or mapped keeps what he has. */
static void drop (struct cache *self, struct entry *e)
{
    struct entry **p = bucket_of (self, e->name);
    char name[32];
    while (*p != e)
        p = &(*p)->same_bucket;
    *p = e->same_bucket;
    unlink_use (self, e);
    number_name (name, e->number, false);
    unlinkat (self->folder, name, 0);
    self->bytes -= room_of (e->version.size);
    self->count--;
    entry_free (e);
}

static bool is_pinned (const struct cache *self, const struct entry *e)
{
    char name[32];
    if (!e->handed_us)
        return false;
    number_name (name, e->number, false);
    int fd = openat (self->folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool pinned = fd >= 0 && flock (fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    if (fd >= 0)
        close (fd);
    return pinned;
}

/* Until `wanted` bytes fit; false: they don't. Nothing is dropped for what is larger than the cache. */
static bool make_room (struct cache *self, uint64_t wanted)
{
    if (wanted > self->limit_bytes)
        return false;
    for (struct entry *e = self->oldest, *newer; e && self->bytes + wanted > self->limit_bytes; e = newer) {
        newer = e->newer;
        if (is_pinned (self, e))
            continue;
        drop (self, e);
        self->evicted++;
    }
    return self->bytes + wanted <= self->limit_bytes;
}

/* ---- opening ---- */

static bool trailer_read (int fd, const struct stat *st, struct trailer *t)
{
    uint64_t size = (uint64_t)st->st_size;
    return size >= sizeof (*t) && files_read_at (fd, t, sizeof (*t), size - sizeof (*t)) == 0
           && memcmp (t->magic, MAGIC, sizeof (t->magic)) == 0 && t->check == crc32c (0, t, offsetof (struct trailer, check))
           && t->size == size - sizeof (*t) && memchr (t->ns, '\0', sizeof (t->ns)) && memchr (t->key, '\0', sizeof (t->key))
           && stage_namespace_valid (t->ns) && stage_key_valid (t->key);
}

struct found {
    struct entry *entry;
    struct timespec used;
};

static int by_use (const void *a, const void *b)
{
    const struct timespec *x = &((const struct found *)a)->used, *y = &((const struct found *)b)->used;
    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? -1 : 1;
    return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

/* What file `name` holds, NULL: nothing whole. */
static struct entry *entry_of_file (struct cache *self, const char *name, struct timespec *used)
{
    struct trailer t;
    struct stat st;
    char *end;
    struct entry *e = NULL;
    uint64_t number = strtoull (name, &end, 10);
    int fd = *end ? -1 : openat (self->folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0 && fstat (fd, &st) == 0 && S_ISREG (st.st_mode) && trailer_read (fd, &st, &t)) {
        Strata__ObjectInfo version = STRATA__OBJECT_INFO__INIT;
        version.size = t.size;
        version.crc32c = t.crc32c;
        version.generation = t.generation;
        version.mtime_us = t.mtime_us;
        e = entry_new (t.ns, t.key, &version);
        if (e) {
            e->number = number;
            e->handed_us = 1; /* readers outlive us */
            *used = st.st_mtim;
            if (number >= self->next)
                self->next = number + 1;
        }
    }
    if (fd >= 0)
        close (fd);
    return e;
}

/* Takes in what is whole, in the order of its age, and removes the rest. */
static int recover (struct cache *self, struct strata_error *error)
{
    struct found *all = NULL;
    size_t count = 0, room = 0;
    int fd = openat (self->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir (fd);
    if (!dir) {
        if (fd >= 0)
            close (fd);
        return strata_fail (error, "cache folder %s can't be read: %s", self->path, strerror (errno));
    }
    for (struct dirent *d; (d = readdir (dir));) {
        struct timespec used = { 0, 0 };
        if (d->d_name[0] == '.')
            continue;
        struct entry *e = entry_of_file (self, d->d_name, &used);
        if (e && count == room) {
            room = room ? 2 * room : 64;
            struct found *grown = realloc (all, room * sizeof (*all));
            if (!grown) {
                entry_free (e);
                e = NULL;
                room = count;
            } else
                all = grown;
        }
        if (e)
            all[count++] = (struct found){ e, used };
        else
            unlinkat (self->folder, d->d_name, 0);
    }
    closedir (dir);
    if (count)
        qsort (all, count, sizeof (*all), by_use);
    for (size_t i = 0; i < count; i++) {
        char name[STAGE_FULL_NAME];
        snprintf (name, sizeof (name), "%s", all[i].entry->name);
        struct entry *before = find (self, name, stage_split (name)); /* the younger one counts */
        if (before)
            before->replaced = true;
        put_in (self, all[i].entry);
        self->bytes += room_of (all[i].entry->version.size);
    }
    free (all);
    make_room (self, 0);
    return 0;
}

/* A process that was fenced and lives may hold its folder still; one that died has left it to us. */
static int take_folder (struct cache *self, const char *folder, const char *workspace, const char *stage, struct strata_error *error)
{
    for (unsigned n = 0; n < FOLDERS && self->folder < 0; n++) {
        char number[16] = "";
        if (n)
            snprintf (number, sizeof (number), ".%u", n);
        if ((size_t)snprintf (self->path, sizeof (self->path), "%s/strata-%016" PRIx64 "/%s%s", folder,
                              claim_hash (workspace, strlen (workspace)), stage, number)
            >= sizeof (self->path))
            return strata_fail (error, "stage.cache.folder is too long: %.200s...", folder);
        if (files_make_dirs (self->path, error) < 0)
            return -1;
        int fd = open (self->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        struct stat st;
        if (fd < 0 || fstat (fd, &st) < 0 || st.st_uid != geteuid ()) {
            int saved = fd < 0 ? errno : EPERM;
            if (fd >= 0)
                close (fd);
            return strata_fail (error, "cache folder %s can't be used: %s", self->path, strerror (saved));
        }
        fchmod (fd, 0700);
        if (flock (fd, LOCK_EX | LOCK_NB) == 0)
            self->folder = fd;
        else
            close (fd);
    }
    return self->folder < 0 ? strata_fail (error, "cache folder %s is held by other processes, as those before it", self->path) : 0;
}

struct cache *cache_open (const char *folder, const char *workspace, const char *stage, uint64_t limit_bytes,
                          struct strata_error *error)
{
    struct cache *self = calloc (1, sizeof (*self));
    if (!self) {
        strata_fail (error, "out of memory");
        return NULL;
    }
    self->folder = -1;
    self->limit_bytes = limit_bytes;
    self->next = 1;
    if (take_folder (self, folder, workspace, stage, error) < 0 || recover (self, error) < 0)
        cache_close (&self, false);
    return self;
}

void cache_close (struct cache **self_p, bool clear)
{
    struct cache *self = *self_p;
    if (!self)
        return;
    for (struct entry *e = self->oldest, *newer; e; e = newer) {
        newer = e->newer;
        if (clear)
            drop (self, e);
        else
            entry_free (e);
    }
    if (clear && rmdir (self->path) == 0) {
        *strrchr (self->path, '/') = '\0';
        rmdir (self->path); /* the last one of the campaign on this node */
    }
    if (self->folder >= 0)
        close (self->folder);
    free (self);
    *self_p = NULL;
}

/* ---- reading ---- */

/* The checksum of the first `size` bytes; -1: there are fewer. */
static int checksum (int fd, uint64_t size, uint32_t *crc)
{
    struct stat st;
    *crc = 0;
    if (fstat (fd, &st) < 0 || (uint64_t)st.st_size < size)
        return -1;
    if (size == 0)
        return 0;
    void *bytes = mmap (NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED)
        return -1;
    *crc = crc32c (0, bytes, size);
    munmap (bytes, size);
    return 0;
}

/* Its entry, used now; NULL: there is none, or the file is not what it should be and was dropped. *fd: open for reading. */
static struct entry *use (struct cache *self, const char *ns, const char *key, const Strata__ObjectInfo *version, int *fd)
{
    struct entry *e = find (self, ns, key);
    char name[32];
    uint32_t crc = 0;
    if (!e || !cache_same_version (&e->version, version))
        return NULL;
    number_name (name, e->number, false);
    *fd = openat (self->folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*fd < 0 || (!e->checked && (checksum (*fd, e->version.size, &crc) < 0 || crc != e->version.crc32c))) {
        log_warn ("cache: %s is not whole in %s/%s and is dropped", e->name, self->path, name);
        if (*fd >= 0)
            close (*fd);
        drop (self, e);
        return NULL;
    }
    if (!e->checked || e != self->newest)
        futimens (*fd, NULL); /* a later start knows the order */
    e->checked = true;
    unlink_use (self, e);
    link_use (self, e);
    return e;
}

const char *cache_find (struct cache *self, const char *ns, const char *key, const Strata__ObjectInfo *version)
{
    struct timespec now;
    int fd;
    struct entry *e = use (self, ns, key, version, &fd);
    if (!e)
        return NULL;
    close (fd);
    clock_gettime (CLOCK_REALTIME, &now);
    e->handed_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    snprintf (self->answer, sizeof (self->answer), "%s/%" PRIu64, self->path, e->number);
    return self->answer;
}

int cache_read (struct cache *self, const char *ns, const char *key, const Strata__ObjectInfo *version, uint64_t offset,
                uint64_t length, void **data, size_t *got, struct strata_error *error)
{
    int fd;
    struct entry *e = use (self, ns, key, version, &fd);
    *data = NULL;
    if (!e || offset > e->version.size) {
        if (e)
            close (fd);
        errno = ENOENT;
        return strata_fail (error, "object %s/%s is not in this cache in the version that is asked for", ns, key);
    }
    *got = length < e->version.size - offset ? length : e->version.size - offset;
    *data = malloc (*got ? *got : 1);
    int rc = *data ? files_read_at (fd, *data, *got, offset) : -1, saved = *data ? errno : ENOMEM;
    close (fd);
    if (rc == 0)
        return 0;
    free (*data);
    *data = NULL;
    errno = saved;
    return strata_fail (error, "object %s/%s can't be read from this cache: %s", ns, key, strerror (saved));
}

/* ---- writing ---- */

struct cache_file *cache_begin (struct cache *self, const char *ns, const char *key, const Strata__ObjectInfo *version,
                                struct strata_error *error)
{
    uint64_t room = version->size < UINT64_MAX / 2 ? room_of (version->size) : UINT64_MAX;
    char name[32];
    if (!make_room (self, room)) {
        errno = ENOSPC;
        strata_fail (error, "object %s/%s of %" PRIu64 " bytes has no room in the cache: %" PRIu64 " of %" PRIu64
                            " bytes are in use, and pinned or being fetched",
                     ns, key, version->size, self->bytes, self->limit_bytes);
        return NULL;
    }
    struct cache_file *file = calloc (1, sizeof (*file));
    struct entry *e = file ? entry_new (ns, key, version) : NULL;
    if (!e) {
        free (file);
        errno = ENOMEM;
        strata_fail (error, "out of memory");
        return NULL;
    }
    e->number = self->next++;
    number_name (name, e->number, true);
    file->cache = self;
    file->entry = e;
    file->fd = openat (self->folder, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file->fd < 0) {
        int saved = errno;
        strata_fail (error, "cache folder %s takes no file: %s", self->path, strerror (saved));
        entry_free (e);
        free (file);
        errno = saved;
        return NULL;
    }
    self->bytes += room;
    return file;
}

static int write_at (struct cache_file *file, uint64_t offset, const void *data, size_t size, struct strata_error *error)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pwrite (file->fd, (const char *)data + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return strata_fail (error, "cache folder %s: %s", file->cache->path, strerror (errno));
        done += (size_t)n;
    }
    return 0;
}

int cache_write (struct cache_file *file, uint64_t offset, const void *data, size_t size, struct strata_error *error)
{
    uint64_t end;
    if (__builtin_add_overflow (offset, (uint64_t)size, &end) || end > file->entry->version.size) {
        errno = EINVAL;
        return strata_fail (error, "bytes beyond the end of %s", file->entry->name);
    }
    return write_at (file, offset, data, size, error);
}

int cache_check (struct cache_file *file, struct strata_error *error)
{
    const struct entry *e = file->entry;
    uint32_t crc;
    if (checksum (file->fd, e->version.size, &crc) == 0 && crc == e->version.crc32c)
        return 0;
    errno = EBADMSG;
    return strata_fail (error, "object %s came damaged: its checksum is not %08x, as it was put with", e->name, e->version.crc32c);
}

int cache_end (struct cache_file **file_p, struct strata_error *error)
{
    struct cache_file *file = *file_p;
    struct cache *self = file->cache;
    struct entry *e = file->entry;
    struct trailer t = { .size = e->version.size, .generation = e->version.generation, .mtime_us = e->version.mtime_us,
                         .crc32c = e->version.crc32c };
    char ns[STAGE_FULL_NAME], part[32], name[32];
    snprintf (ns, sizeof (ns), "%s", e->name);
    const char *key = stage_split (ns);
    memcpy (t.magic, MAGIC, sizeof (t.magic));
    snprintf (t.ns, sizeof (t.ns), "%.200s", ns);
    snprintf (t.key, sizeof (t.key), "%.200s", key);
    t.check = crc32c (0, &t, offsetof (struct trailer, check));
    number_name (part, e->number, true);
    number_name (name, e->number, false);
    if (cache_check (file, error) < 0 || write_at (file, e->version.size, &t, sizeof (t), error) < 0)
        return -1;
    if (renameat (self->folder, part, self->folder, name) < 0)
        return strata_fail (error, "cache folder %s: %s", self->path, strerror (errno));
    struct entry *before = find (self, ns, key);
    if (before && is_pinned (self, before))
        before->replaced = true;
    else if (before)
        drop (self, before);
    e->checked = true;
    put_in (self, e);
    close (file->fd);
    free (file);
    *file_p = NULL;
    return 0;
}

void cache_abort (struct cache_file **file_p)
{
    struct cache_file *file = *file_p;
    char name[32];
    if (!file)
        return;
    number_name (name, file->entry->number, true);
    unlinkat (file->cache->folder, name, 0);
    file->cache->bytes -= room_of (file->entry->version.size);
    close (file->fd);
    entry_free (file->entry);
    free (file);
    *file_p = NULL;
}

void cache_figures (struct cache *self, int64_t now_us, struct cache_figures *figures)
{
    *figures = (struct cache_figures){ .bytes = self->bytes, .limit_bytes = self->limit_bytes, .objects = self->count,
                                       .evicted = self->evicted };
    for (struct entry *e = self->newest, *older; e; e = older) {
        older = e->older;
        if (!e->handed_us)
            continue;
        if (is_pinned (self, e))
            figures->pinned++;
        else if (e->replaced)
            drop (self, e);
        else if (now_us - e->handed_us > PIN_US)
            e->handed_us = 0;
    }
}
