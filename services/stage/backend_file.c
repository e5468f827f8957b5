/* backend_file.c - objects' bytes as files <root>/<owner>/<ns>/<key>.
 *
 * A file can't be renamed in the same instant as the batch is written. So bytes go first, synced, into a file of a
 * number of its own in the folder <root>/~<owner> ('~' stands in no name), and the batch gets an intent:
 *
 *   intent/<ns>/<key>    operation (PUT, DELETE), number
 *
 * While a PUT stands there, the object's bytes are in that numbered file; when it is gone, they are in their place.
 * Once the batch is on disk, settle does what the intents say (deletes before puts, so that a folder's name can become
 * a file's and the other way), syncs the folders, and takes the intents out in the next batch. There is at most one
 * intent a key: a later operation replaces it, and a numbered file replaced so is removed once that is on disk. Doing
 * an intent twice does no harm, therefore a crash anywhere is mended by doing at the start what the intents say, and
 * removing numbered files that none names.
 *
 * <owner> is the shard's name, so that several stages share <root>.
 *
 * No path from outside is ever followed: each part is opened below the one before it, and symbolic links are refused.
 */
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend.h"
#include "core/crash_point.h"
#include "core/files.h"
#include "core/log.h"

#define INTENT_PREFIX "intent/"
#define LAYOUT_KEY "stage/layout" /* 2: files stand below their owner's folder; they stood in <root> before */

enum operation { OP_NONE, OP_PUT, OP_DELETE };

struct garbage {
    uint64_t number, after; /* remove the file once operation `after` is on disk */
};

struct backend {
    struct shard *shard;
    int root, fresh;                   /* folders: of this owner's objects; of its numbered files */
    char shown[4200];                  /* the latter's name, for sentences */
    uint64_t next;                     /* number of the next operation */
    uint64_t safe;                     /* operations below it are on disk */
    uint64_t barrier, barrier_commits; /* operations below barrier are on disk once there are more commits than that */
    size_t intents;
    struct garbage *garbage;
    size_t garbage_count, garbage_room;
};

struct intent {
    char *ns, *key;
    uint64_t operation, number;
    bool done;
};

/* ---- numbered files ---- */

static const char *number_name (uint64_t number, char name[24])
{
    snprintf (name, 24, "%llu", (unsigned long long)number);
    return name;
}

static void number_remove (struct backend *self, uint64_t number)
{
    char name[24];
    unlinkat (self->fresh, number_name (number, name), 0);
}

static void garbage_add (struct backend *self, uint64_t number, uint64_t after)
{
    if (self->garbage_count == self->garbage_room) {
        size_t room = self->garbage_room ? 2 * self->garbage_room : 64;
        struct garbage *bigger = realloc (self->garbage, room * sizeof (*bigger));
        if (!bigger)
            return; /* the next start removes it */
        self->garbage = bigger;
        self->garbage_room = room;
    }
    self->garbage[self->garbage_count++] = (struct garbage){ number, after };
}

static void garbage_sweep (struct backend *self)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->garbage_count; i++)
        if (self->garbage[i].after < self->safe)
            number_remove (self, self->garbage[i].number);
        else
            self->garbage[kept++] = self->garbage[i];
    self->garbage_count = kept;
}

/* A full disk has several names. */
static void full_disk (void)
{
    if (errno == EDQUOT || errno == EFBIG)
        errno = ENOSPC;
}

/* ---- intents ---- */

static struct shard_key intent_key (const char *ns, const char *key)
{
    struct shard_key k;
    shard_key (&k, INTENT_PREFIX "%s/%s", ns, key);
    return k;
}

static void intent_parse (const void *value, size_t size, uint64_t *operation, uint64_t *number)
{
    uint64_t stored[2] = { 0, 0 };
    if (size == sizeof (stored))
        memcpy (stored, value, size);
    *operation = be64toh (stored[0]);
    *number = be64toh (stored[1]);
}

static enum operation intent_get (struct backend *self, const char *ns, const char *key, uint64_t *number)
{
    struct shard_key k = intent_key (ns, key);
    void *value;
    size_t size;
    uint64_t operation;
    if (!shard_get (self->shard, k.data, k.size, &value, &size))
        return OP_NONE;
    intent_parse (value, size, &operation, number);
    free (value);
    return (enum operation)operation;
}

static void intent_put (struct backend *self, const char *ns, const char *key, enum operation operation,
                        uint64_t number)
{
    struct shard_key k = intent_key (ns, key);
    uint64_t old, stored[2] = { htobe64 ((uint64_t)operation), htobe64 (number) };
    switch (intent_get (self, ns, key, &old)) {
    case OP_NONE:
        self->intents++;
        break;
    case OP_PUT:
        garbage_add (self, old, number);
        break;
    case OP_DELETE:
        break;
    }
    shard_put (self->shard, k.data, k.size, stored, sizeof (stored));
}

/* ---- folders ---- */

/* The folder that <ns>/<key> stands in, made if wanted; *base is the file's name in it. -1 with errno. */
static int folder_of (struct backend *self, const char *ns, const char *key, bool make, const char **base)
{
    int fd = -1;
    const char *rest = key;
    char part[256];
    snprintf (part, sizeof (part), "%s", ns);
    for (int above = self->root;; above = fd) {
        if (make && mkdirat (above, part, 0777) == 0)
            fsync (above);
        fd = openat (above, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int saved = errno;
        if (above != self->root)
            close (above);
        errno = saved;
        const char *slash = fd < 0 ? NULL : strchr (rest, '/');
        if (!slash) {
            *base = rest;
            return fd;
        }
        snprintf (part, sizeof (part), "%.*s", (int)(slash - rest), rest);
        rest = slash + 1;
    }
}

/* Removes the folders above <ns>/<key> that are empty now, the deepest first. */
static void folders_prune (struct backend *self, const char *ns, const char *key)
{
    char path[512];
    snprintf (path, sizeof (path), "%s", key);
    for (char *slash; (slash = strrchr (path, '/'));) {
        const char *base;
        *slash = '\0';
        int fd = folder_of (self, ns, path, false, &base);
        if (fd < 0)
            return;
        bool gone = unlinkat (fd, base, AT_REMOVEDIR) == 0 && fsync (fd) == 0;
        close (fd);
        if (!gone)
            return;
    }
    if (unlinkat (self->root, ns, AT_REMOVEDIR) == 0)
        fsync (self->root);
}

/* ---- settling ---- */

static int settle_fail (const struct intent *intent, struct strata_error *error)
{
    return strata_fail (error,
                        "object %s/%s waits to be put in its place: %s%s",
                        intent->ns,
                        intent->key,
                        strerror (errno),
                        errno == ELOOP || errno == ENOTDIR ? " (something else stands in its path; remove it)" : "");
}

static int settle_delete (struct backend *self, struct intent *intent, struct strata_error *error)
{
    const char *base;
    int fd = folder_of (self, intent->ns, intent->key, false, &base);
    /* A link or a file in the path is not ours: then our file is not there either. */
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) {
        intent->done = true;
        return 0;
    }
    int rc = fd < 0 ? -1 : unlinkat (fd, base, 0);
    crash_point ("settle.deleted");
    if (rc == 0)
        rc = fsync (fd);
    else if (fd >= 0 && (errno == ENOENT || errno == EISDIR))
        rc = 0;
    if (rc < 0)
        settle_fail (intent, error);
    else
        intent->done = true;
    if (fd >= 0)
        close (fd);
    if (rc == 0)
        folders_prune (self, intent->ns, intent->key);
    return rc;
}

static int settle_put (struct backend *self, struct intent *intent, struct strata_error *error)
{
    char name[24];
    const char *base;
    number_name (intent->number, name);
    /* No numbered file: a start before this one had renamed it already. */
    if (faccessat (self->fresh, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT) {
        intent->done = true;
        return 0;
    }
    int fd = folder_of (self, intent->ns, intent->key, true, &base);
    if (fd < 0)
        return settle_fail (intent, error);
    int rc = renameat (self->fresh, name, fd, base);
    if (rc < 0 && errno == EISDIR && unlinkat (fd, base, AT_REMOVEDIR) == 0) /* an empty folder that a crash left */
        rc = renameat (self->fresh, name, fd, base);
    if (rc < 0)
        settle_fail (intent, error);
    else {
        crash_point ("settle.renamed");
        unlinkat (self->fresh, name, 0); /* renaming one name of a file to another of its names leaves both */
        intent->done = true;
    }
    int saved = errno;
    close (fd);
    errno = saved;
    return rc;
}

static bool same_folder (const struct intent *a, const struct intent *b)
{
    const char *sa = strrchr (a->key, '/'), *sb = strrchr (b->key, '/');
    size_t na = sa ? (size_t)(sa - a->key) : 0, nb = sb ? (size_t)(sb - b->key) : 0;
    return strcmp (a->ns, b->ns) == 0 && na == nb && memcmp (a->key, b->key, na) == 0;
}

/* Syncs the folders of the puts that were done, each run of neighbours once; where that fails, they were not done. */
static int sync_folders (struct backend *self, struct intent *list, size_t count, struct strata_error *error)
{
    int rc = 0;
    for (size_t first = 0, end; first < count; first = end) {
        bool any = false;
        const char *base;
        for (end = first; end < count && same_folder (&list[first], &list[end]); end++)
            any |= list[end].operation == OP_PUT && list[end].done;
        if (!any)
            continue;
        int fd = folder_of (self, list[first].ns, list[first].key, false, &base);
        if (fd < 0 || fsync (fd) < 0) {
            rc = settle_fail (&list[first], error);
            for (size_t i = first; i < end; i++)
                list[i].done = list[i].done && list[i].operation != OP_PUT;
        }
        if (fd >= 0)
            close (fd);
    }
    return rc;
}

/* Intents that are on disk; *count of them, the caller frees. */
static struct intent *intents_ready (struct backend *self, size_t *count)
{
    size_t prefix_size = strlen (INTENT_PREFIX);
    struct intent *list = calloc (self->intents, sizeof (*list));
    struct shard_iter it;
    *count = 0;
    if (!list)
        return NULL;
    for (bool more = shard_iter_begin (self->shard, &it, INTENT_PREFIX, prefix_size, NULL, 0);
         more && *count < self->intents;
         more = shard_iter_next (&it)) {
        struct intent *intent = &list[*count];
        intent_parse (it.value, it.value_size, &intent->operation, &intent->number);
        if (intent->number >= self->safe)
            continue;
        intent->ns = strndup ((const char *)it.key + prefix_size, it.key_size - prefix_size);
        char *slash = intent->ns ? strchr (intent->ns, '/') : NULL;
        if (!slash) {
            free (intent->ns);
            continue;
        }
        *slash = '\0';
        intent->key = slash + 1;
        ++*count;
    }
    shard_iter_end (&it);
    return list;
}

static int settle_all (struct backend *self, struct strata_error *error)
{
    size_t count;
    int rc = 0;
    struct intent *list = intents_ready (self, &count);
    if (!list)
        return strata_fail (error, "out of memory for %zu files to put in their place", self->intents);
    if (count)
        crash_point ("settle.begun");
    for (size_t i = 0; i < count; i++)
        if (list[i].operation == OP_DELETE && settle_delete (self, &list[i], error) < 0)
            rc = -1;
    for (size_t i = 0; i < count; i++)
        if (list[i].operation == OP_PUT && settle_put (self, &list[i], error) < 0)
            rc = -1;
    if (sync_folders (self, list, count, error) < 0)
        rc = -1;
    if (count)
        crash_point ("settle.synced");
    for (size_t i = 0; i < count; i++) {
        if (list[i].done) {
            struct shard_key k = intent_key (list[i].ns, list[i].key);
            shard_delete (self->shard, k.data, k.size);
            self->intents--;
        }
        free (list[i].ns);
    }
    free (list);
    return rc;
}

static int file_settle (struct backend *self, struct strata_error *error)
{
    uint64_t commits = shard_commits (self->shard);
    if (!shard_dirty (self->shard))
        self->safe = self->next;
    else if (commits > self->barrier_commits && self->barrier > self->safe)
        self->safe = self->barrier;
    self->barrier = self->next;
    self->barrier_commits = commits;
    garbage_sweep (self);
    return self->intents ? settle_all (self, error) : 0;
}

/* ---- opening ---- */

static int compare_numbers (const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Removes what is in the folder of numbered files but in no intent. */
static int sweep_start (struct backend *self, const uint64_t *live, size_t count, struct strata_error *error)
{
    int fd = openat (self->fresh, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir (fd);
    if (!dir) {
        strata_fail (error, "folder %s can't be read: %s", self->shown, strerror (errno));
        if (fd >= 0)
            close (fd);
        return -1;
    }
    for (struct dirent *entry; (entry = readdir (dir));) {
        char *end;
        uint64_t number = strtoull (entry->d_name, &end, 10);
        if (*end == '\0' && !(count && bsearch (&number, live, count, sizeof (*live), compare_numbers)))
            unlinkat (self->fresh, entry->d_name, 0);
    }
    closedir (dir);
    return 0;
}

static int recover (struct backend *self, struct strata_error *error)
{
    struct shard_iter it;
    uint64_t *live = NULL, operation;
    size_t room = 0, count = 0;
    bool memory = true;
    self->next = 1;
    for (bool more = shard_iter_begin (self->shard, &it, INTENT_PREFIX, strlen (INTENT_PREFIX), NULL, 0);
         more && memory;
         more = shard_iter_next (&it)) {
        if (count == room) {
            room = room ? 2 * room : 64;
            uint64_t *bigger = realloc (live, room * sizeof (*live));
            memory = bigger != NULL;
            if (!memory)
                break;
            live = bigger;
        }
        intent_parse (it.value, it.value_size, &operation, &live[count]);
        if (live[count] >= self->next)
            self->next = live[count] + 1;
        count++;
    }
    shard_iter_end (&it);
    self->intents = count;
    if (live)
        qsort (live, count, sizeof (*live), compare_numbers);
    int rc = memory ? sweep_start (self, live, count, error) : strata_fail (error, "out of memory");
    free (live);
    self->safe = self->next;
    struct strata_error why;
    if (rc == 0 && self->intents && settle_all (self, &why) < 0)
        log_warn ("%s; it is tried again", why.text);
    return rc;
}

static void file_close (struct backend **self_p)
{
    struct backend *self = *self_p;
    if (!self)
        return;
    if (self->root >= 0)
        close (self->root);
    if (self->fresh >= 0)
        close (self->fresh);
    free (self->garbage);
    free (self);
    *self_p = NULL;
}

/* Moves folder `ns` of an older layout below the owner's. `base`: the folder of all objects. */
static int move_namespace (struct backend *self, int base, const char *owner, const char *ns, struct strata_error *error)
{
    struct stat st;
    char aside[300];
    const char *from = ns;
    snprintf (aside, sizeof (aside), "~%.100s.old", owner);
    if (strcmp (ns, owner) == 0)
        from = aside; /* it stood where the owner's folder stands: file_open has put it aside */
    if (fstatat (base, from, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR (st.st_mode))
        return 0;
    if (renameat (base, from, self->root, ns) < 0)
        return strata_fail (error, "objects of namespace %s can't be moved to folder %s/: %s", ns, owner,
                            strerror (errno));
    return 0;
}

/* Each namespace that the shard's keys with this prefix name. */
static int move_namespaces (struct backend *self, int base, const char *owner, const char *prefix,
                            struct strata_error *error)
{
    struct shard_key from;
    struct shard_iter it;
    shard_key (&from, "%s", prefix);
    for (size_t n = strlen (prefix); shard_iter_begin (self->shard, &it, prefix, n, from.data, from.size);) {
        char ns[256];
        const uint8_t *slash = memchr (it.key + n, '/', it.key_size - n);
        snprintf (ns, sizeof (ns), "%.*s", (int)(slash ? slash - it.key - (long)n : 0), (const char *)it.key + n);
        shard_iter_end (&it);
        if (!slash)
            return 0;
        if (move_namespace (self, base, owner, ns, error) < 0)
            return -1;
        shard_key (&from, "%s%s%c", prefix, ns, '/' + 1);
    }
    shard_iter_end (&it);
    return 0;
}

static int move_old_layout (struct backend *self, const char *root, const char *owner, struct strata_error *error)
{
    int base = open (root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
    if (base < 0 || move_namespaces (self, base, owner, "obj/", error) < 0
        || move_namespaces (self, base, owner, INTENT_PREFIX, error) < 0)
        rc = base < 0 ? strata_fail (error, "folder %s can't be opened: %s", root, strerror (errno)) : -1;
    if (rc == 0 && (fsync (base) < 0 || fsync (self->root) < 0))
        rc = strata_fail (error, "folder %s can't be synced: %s", root, strerror (errno));
    if (base >= 0)
        close (base);
    if (rc == 0)
        shard_put_u64 (self->shard, LAYOUT_KEY, 2);
    return rc;
}

/* A namespace of an older layout may be called as this owner. */
static void put_namesake_aside (struct shard *shard, const char *root, const char *owner)
{
    char from[4300], to[4300];
    struct shard_key key;
    struct shard_iter it;
    shard_key (&key, "obj/%s/", owner);
    bool has = shard_iter_begin (shard, &it, key.data, key.size, NULL, 0);
    shard_iter_end (&it);
    snprintf (from, sizeof (from), "%s/%s", root, owner);
    snprintf (to, sizeof (to), "%s/~%.100s.old", root, owner);
    if (has && access (to, F_OK) < 0)
        rename (from, to);
}

static struct backend *file_open (struct shard *shard, const char *root, const char *owner, struct strata_error *error)
{
    struct backend *self = calloc (1, sizeof (*self));
    if (!self) {
        strata_fail (error, "out of memory");
        return NULL;
    }
    self->shard = shard;
    self->root = self->fresh = -1;
    int rc = 0;
    char own[4300];
    bool old = shard_get_u64 (shard, LAYOUT_KEY, 0) != 2;
    if (old)
        put_namesake_aside (shard, root, owner);
    snprintf (own, sizeof (own), "%.4150s/%.100s", root, owner);
    if ((size_t)snprintf (self->shown, sizeof (self->shown), "%s/~%s", root, owner) >= sizeof (self->shown))
        rc = strata_fail (error, "folder %.200s...: the path is too long", root);
    if (rc == 0)
        rc = files_make_dirs (self->shown, error);
    if (rc == 0)
        rc = files_make_dirs (own, error);
    if (rc == 0) {
        self->root = open (own, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        self->fresh = open (self->shown, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (self->root < 0 || self->fresh < 0 || fsync (self->root) < 0)
            rc = strata_fail (error, "folder %s can't be opened: %s", self->shown, strerror (errno));
    }
    if (rc == 0 && old)
        rc = move_old_layout (self, root, owner, error);
    if (rc < 0 || recover (self, error) < 0)
        file_close (&self);
    return self;
}

/* ---- the objects' operations ---- */

static int file_put (struct backend *self, const char *ns, const struct backend_item *items, size_t count,
                     struct strata_error *error)
{
    uint64_t first = self->next;
    char name[24];
    int rc = 0;
    crash_point ("file.put");
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = files_write_synced (
            self->fresh, self->shown, number_name (self->next++, name), items[i].data, items[i].size, error);
        crash_point ("file.written");
    }
    if (rc == 0 && fsync (self->fresh) < 0)
        rc = strata_fail (error, "folder %s can't be synced: %s", self->shown, strerror (errno));
    if (rc < 0) {
        full_disk ();
        int saved = errno;
        for (uint64_t number = first; number < self->next; number++)
            number_remove (self, number);
        errno = saved;
        return -1;
    }
    for (size_t i = 0; i < count; i++)
        intent_put (self, ns, items[i].key, OP_PUT, first + i);
    crash_point ("file.synced");
    return 0;
}

/* Opens the object's file, wherever it stands now. -1 with errno. */
static int open_object (struct backend *self, const char *ns, const char *key)
{
    uint64_t number;
    char name[24];
    const char *base;
    enum operation operation = intent_get (self, ns, key, &number);
    /* Not in its place and not under its number: it was renamed, and only the intent's end is not on disk. */
    if (operation == OP_PUT) {
        int fd = openat (self->fresh, number_name (number, name), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0 || errno != ENOENT)
            return fd;
    }
    int folder = folder_of (self, ns, key, false, &base);
    if (folder < 0)
        return -1;
    int fd = openat (folder, base, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int saved = errno;
    close (folder);
    errno = saved;
    return fd;
}

static int damaged (const char *ns, const char *key, const char *what, struct strata_error *error)
{
    errno = EBADMSG;
    return strata_fail (error, "object %s/%s is damaged: %s", ns, key, what);
}

static int file_get (struct backend *self, const char *ns, const char *key, uint64_t size, uint64_t offset,
                     uint64_t length, void **data, struct strata_error *error)
{
    struct stat st;
    char what[160];
    int fd = open_object (self, ns, key);
    *data = NULL;
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == EACCES)
            return strata_fail (error, "object %s/%s can't be opened: %s", ns, key, strerror (errno));
        snprintf (what, sizeof (what), "its file can't be opened (%s)", strerror (errno));
        return damaged (ns, key, what, error);
    }
    int rc = 0;
    if (fstat (fd, &st) < 0 || !S_ISREG (st.st_mode))
        rc = damaged (ns, key, "its file is no regular file", error);
    else if ((uint64_t)st.st_size != size) {
        snprintf (
            what, sizeof (what), "its file has %lld bytes, not %llu", (long long)st.st_size, (unsigned long long)size);
        rc = damaged (ns, key, what, error);
    } else if (!(*data = malloc (length ? length : 1))) {
        errno = ENOMEM;
        rc = strata_fail (error, "object %s/%s: out of memory for its %llu bytes", ns, key, (unsigned long long)length);
    } else if (files_read_at (fd, *data, length, offset) < 0) {
        snprintf (what, sizeof (what), "its file can't be read (%s)", strerror (errno));
        rc = damaged (ns, key, what, error);
        free (*data);
        *data = NULL;
    }
    int saved = errno;
    close (fd);
    errno = saved;
    return rc;
}

/* A second name for the object's file among the numbered ones; where the file system has no second names, a copy. */
static int link_or_copy (struct backend *self, const char *ns, const char *key, uint64_t number,
                         struct strata_error *error)
{
    char name[24], path[32];
    struct stat st;
    int fd = open_object (self, ns, key), rc = 0;
    if (fd < 0 || fstat (fd, &st) < 0 || !S_ISREG (st.st_mode)) {
        if (fd >= 0)
            close (fd);
        return damaged (ns, key, "its file is gone or no regular file", error);
    }
    number_name (number, name);
    snprintf (path, sizeof (path), "/proc/self/fd/%d", fd);
    if (linkat (AT_FDCWD, path, self->fresh, name, AT_SYMLINK_FOLLOW) < 0) {
        void *data = malloc (st.st_size ? (size_t)st.st_size : 1);
        if (!data || files_read_at (fd, data, (size_t)st.st_size, 0) < 0)
            rc = strata_fail (error, "object %s/%s can't be copied: %s", ns, key, strerror (errno));
        else
            rc = files_write_synced (self->fresh, self->shown, name, data, (size_t)st.st_size, error);
        free (data);
    }
    if (rc == 0 && fsync (self->fresh) < 0)
        rc = strata_fail (error, "folder %s can't be synced: %s", self->shown, strerror (errno));
    int saved = errno;
    close (fd);
    errno = saved;
    return rc;
}

static void file_delete (struct backend *self, const char *ns, const char *key)
{
    intent_put (self, ns, key, OP_DELETE, self->next++);
}

static int file_move (struct backend *self, const char *ns, const char *key, const char *to_ns, const char *to_key,
                      struct strata_error *error)
{
    uint64_t number = self->next++;
    if (link_or_copy (self, ns, key, number, error) < 0) {
        full_disk ();
        int saved = errno;
        number_remove (self, number);
        errno = saved;
        return -1;
    }
    crash_point ("file.linked");
    intent_put (self, to_ns, to_key, OP_PUT, number);
    file_delete (self, ns, key);
    return 0;
}

const struct backend_ops backend_file = {
    .name = "file",
    .open = file_open,
    .close = file_close,
    .put = file_put,
    .get = file_get,
    .move = file_move,
    .delete = file_delete,
    .settle = file_settle,
};
