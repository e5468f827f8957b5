/* place.c - see place.h */
#include "place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/crc32c.h"
#include "core/files.h"
#include "strata_tar.h"

#define TIMEOUT_MS 120000
#define PATH_ROOM 4096

struct place {
    enum { STAGING, FOLDER, ONE_FILE, ARCHIVE } kind;
    char text[PATH_ROOM]; /* the folder, file or archive; the namespace */
    const char *prefix;   /* of staging; stands in text behind the namespace */
    struct strata_client *client;
    struct tar *tar;
    bool writing;
};

/* ---- opening ---- */

/* "ns:prefix": the namespace's length, 0 when it is none. */
static size_t namespace_length (const char *text)
{
    size_t n = strspn (text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+=@-");
    return text[n] == ':' ? n : 0;
}

static bool is_tar (const char *text)
{
    size_t n = strlen (text);
    return n > 4 && strcmp (text + n - 4, ".tar") == 0;
}

static int open_staging (struct place *self, size_t n, const struct cli_args *args, struct strata_error *error)
{
    struct workspace workspace;
    self->kind = STAGING;
    self->text[n] = '\0';
    self->prefix = self->text + n + 1;
    if (workspace_find (args->workspace, &workspace, error) < 0)
        return -1;
    self->client = ask_open (&workspace, args->timeout_s > 0 ? args->timeout_s * 1000 : TIMEOUT_MS, error);
    return self->client ? 0 : -1;
}

struct place *place_open (const char *text, bool writing, const struct cli_args *args, struct strata_error *error)
{
    struct place *self = calloc (1, sizeof (*self));
    struct stat st;
    int rc = 0;
    if (!self || (size_t)snprintf (self->text, sizeof (self->text), "%s", text) >= sizeof (self->text)) {
        strata_fail (error, self ? "%.100s...: the path is too long" : "%.100s: out of memory", text);
        free (self);
        return NULL;
    }
    self->writing = writing;
    size_t n = namespace_length (text);
    if (n)
        rc = open_staging (self, n, args, error);
    else if (is_tar (text)) {
        uint64_t cut = 0;
        self->kind = ARCHIVE;
        self->tar = tar_open (text, writing ? TAR_APPEND : TAR_READ, &cut, error);
        rc = self->tar ? 0 : -1;
        if (cut)
            fprintf (stderr, "strata: %s: %llu bytes of a member that was not written whole were cut off\n", text,
                     (unsigned long long)cut);
    } else {
        self->kind = FOLDER;
        if (!writing && (rc = stat (text, &st)) < 0)
            strata_fail (error, "%.300s: %s", text, strerror (errno));
        else if (!writing && S_ISREG (st.st_mode))
            self->kind = ONE_FILE;
    }
    if (rc < 0)
        place_close (&self, NULL);
    return self;
}

int place_close (struct place **self_p, struct strata_error *error)
{
    struct place *self = *self_p;
    int rc = 0;
    if (!self)
        return 0;
    strata_close (&self->client);
    if (self->tar && self->writing)
        rc = tar_sync (self->tar, error);
    if (tar_close (&self->tar, rc == 0 ? error : NULL) < 0)
        rc = -1;
    if (self->kind == FOLDER && self->writing) {
        int fd = open (self->text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0 && syncfs (fd) < 0)
            rc = strata_fail (error, "%.300s can't be synced: %s", self->text, strerror (errno));
        if (fd >= 0)
            close (fd);
    }
    free (self);
    *self_p = NULL;
    return rc;
}

bool place_is_one_file (const struct place *self)
{
    return self->kind == ONE_FILE;
}

/* ---- listing ---- */

struct list {
    struct place_object *objects;
    size_t count, room, skip; /* skip: bytes of each key that are the prefix */
    bool (*keep_going) (void);
    bool stopped, no_memory;
};

static int list_add (struct list *list, const char *key, uint64_t size, const uint32_t *crc)
{
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 1024;
        struct place_object *bigger = realloc (list->objects, room * sizeof (*bigger));
        if (!bigger) {
            list->no_memory = true;
            return 1;
        }
        list->objects = bigger;
        list->room = room;
    }
    list->stopped |= list->count % 4096 == 0 && !list->keep_going ();
    if (list->stopped)
        return 1;
    struct place_object *object = &list->objects[list->count];
    *object = (struct place_object){ strdup (key + list->skip), size, crc ? *crc : 0, crc != NULL };
    list->no_memory |= !object->key;
    list->count += object->key != NULL;
    return list->no_memory;
}

static int add_object (const char *key, const struct strata_object_info *info, void *arg)
{
    struct list *list = arg;
    return key[list->skip] ? list_add (list, key, info->size, &info->crc32c) : 0;
}

static int add_member (const char *name, const struct tar_member *member, void *arg)
{
    return list_add (arg, name, member->size, NULL);
}

/* What stands below folder/below; `below` ends in '/' unless it is "". */
static int add_folder (const struct place *self, const char *below, struct list *list, struct strata_error *error)
{
    char path[2 * PATH_ROOM], key[PATH_ROOM];
    snprintf (path, sizeof (path), "%s/%s", self->text, below);
    DIR *dir = opendir (path);
    int rc = dir ? 0 : strata_fail (error, "folder %.300s can't be read: %s", path, strerror (errno));
    for (struct dirent *entry; rc == 0 && (entry = readdir (dir));) {
        struct stat st;
        if (strcmp (entry->d_name, ".") == 0 || strcmp (entry->d_name, "..") == 0)
            continue;
        if ((size_t)snprintf (key, sizeof (key) - 1, "%s%s", below, entry->d_name) >= sizeof (key) - 1)
            rc = strata_fail (error, "folder %.300s: names below it are too long", path);
        else if (fstatat (dirfd (dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            rc = strata_fail (error, "%.200s in folder %.200s: %s", entry->d_name, path, strerror (errno));
        else if (S_ISDIR (st.st_mode)) {
            memcpy (key + strlen (key), "/", 2);
            rc = add_folder (self, key, list, error);
        } else if (S_ISREG (st.st_mode))
            rc = list_add (list, key, (uint64_t)st.st_size, NULL) ? -1 : 0;
    }
    if (dir)
        closedir (dir);
    return rc;
}

static int by_key (const void *a, const void *b)
{
    return strcmp (((const struct place_object *)a)->key, ((const struct place_object *)b)->key);
}

int place_list (struct place *self, bool (*keep_going) (void), struct place_object **objects, size_t *count, struct strata_error *error)
{
    struct list list = { .keep_going = keep_going, .skip = self->kind == STAGING ? strlen (self->prefix) : 0 };
    int rc = 0;
    struct stat st;
    const char *slash = strrchr (self->text, '/');
    switch (self->kind) {
    case STAGING:
        rc = strata_list (self->client, self->text, self->prefix, add_object, &list, error);
        break;
    case ARCHIVE:
        rc = tar_each (self->tar, "", add_member, &list, error);
        break;
    case ONE_FILE:
        if (stat (self->text, &st) < 0)
            rc = strata_fail (error, "%.300s: %s", self->text, strerror (errno));
        else
            rc = list_add (&list, slash ? slash + 1 : self->text, (uint64_t)st.st_size, NULL) ? -1 : 0;
        break;
    case FOLDER:
        rc = add_folder (self, "", &list, error);
    }
    if (list.no_memory || list.stopped) {
        errno = list.stopped ? EINTR : ENOMEM;
        rc = strata_fail (error, list.stopped ? "stopped" : "out of memory for a list of %zu objects", list.count);
    }
    *objects = list.objects;
    *count = list.count;
    if (rc < 0) {
        int saved = errno;
        place_list_free (list.objects, list.count);
        errno = saved;
        return -1;
    }
    if (list.count)
        qsort (list.objects, list.count, sizeof (*list.objects), by_key);
    return 0;
}

void place_list_free (struct place_object *objects, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free (objects[i].key);
    free (objects);
}

/* ---- staging ---- */

/* The keys behind the prefix; one allocation. */
static const char **whole_keys (const struct place *self, const char *const *keys, size_t count)
{
    size_t room = count * sizeof (char *), prefix = strlen (self->prefix);
    for (size_t i = 0; i < count; i++)
        room += prefix + strlen (keys[i]) + 1;
    const char **all = malloc (room + 1);
    char *p = all ? (char *)(all + count) : NULL;
    for (size_t i = 0; all && i < count; i++) {
        all[i] = p;
        p = stpcpy (stpcpy (p, self->prefix), keys[i]) + 1;
    }
    return all;
}

/* ---- files ---- */

/* Nothing that leads out of the folder. */
static bool key_is_safe (const char *key)
{
    if (!key[0] || key[0] == '/')
        return false;
    for (const char *part = key; part; part = strchr (part, '/'), part = part ? part + 1 : NULL)
        if (part[0] == '\0' || part[0] == '/' || (part[0] == '.' && (part[1] == '/' || !part[1]))
            || (part[0] == '.' && part[1] == '.' && (part[2] == '/' || !part[2])))
            return false;
    return true;
}

static int read_one (const char *path, void **data, size_t *size, struct strata_error *error)
{
    struct stat st;
    int fd = open (path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    *data = NULL;
    if (fd >= 0 && fstat (fd, &st) == 0 && S_ISREG (st.st_mode)) {
        *size = (size_t)st.st_size;
        *data = malloc (*size ? *size : 1);
        size_t done = 0;
        for (ssize_t n; *data && done < *size; done += (size_t)n)
            if ((n = read (fd, (char *)*data + done, *size - done)) <= 0) {
                errno = n ? errno : EBADMSG;
                break;
            }
        if (*data && done == *size) {
            close (fd);
            return 0;
        }
        free (*data);
        *data = NULL;
    } else if (fd >= 0)
        errno = EINVAL;
    int saved = errno;
    if (fd >= 0)
        close (fd);
    errno = saved;
    return strata_fail (error, "%.400s can't be read: %s", path, strerror (saved));
}

static int folder_path (const struct place *self, const char *key, char path[2 * PATH_ROOM], struct strata_error *error)
{
    if (!key_is_safe (key)) {
        errno = EINVAL;
        return strata_fail (error, "'%.200s' is no name of a file below %.200s", key, self->text);
    }
    snprintf (path, (size_t)2 * PATH_ROOM, "%s/%s", self->text, key);
    return 0;
}

/* Beside its place first, so that no half file ever stands under its name. */
static int write_one (const struct place *self, const char *key, const void *data, size_t size, struct strata_error *error)
{
    char path[2 * PATH_ROOM], fresh[2 * PATH_ROOM + 16];
    if (folder_path (self, key, path, error) < 0)
        return -1;
    char *slash = strrchr (path, '/');
    *slash = '\0';
    int rc = files_make_dirs (path, error);
    *slash = '/';
    snprintf (fresh, sizeof (fresh), "%s.strata-part", path);
    int fd = rc == 0 ? open (fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666) : -1;
    if (rc < 0)
        return -1;
    bool fine = fd >= 0;
    for (size_t done = 0; fine && done < size;) {
        ssize_t n = write (fd, (const char *)data + done, size - done);
        fine = n >= 0 || errno == EINTR;
        done += n > 0 ? (size_t)n : 0;
    }
    int saved = errno;
    if (fd >= 0 && close (fd) < 0 && fine) {
        fine = false;
        saved = errno;
    }
    if (fine && rename (fresh, path) < 0) {
        fine = false;
        saved = errno;
    }
    if (fine)
        return 0;
    if (fd >= 0)
        unlink (fresh);
    errno = saved;
    return strata_fail (error, "%.400s can't be written: %s", path, strerror (saved));
}

/* One object that is no staging's. */
static int get_one (struct place *self, const char *key, void **data, size_t *size, struct strata_error *error)
{
    char path[2 * PATH_ROOM];
    *data = NULL;
    if (self->kind == ARCHIVE)
        return tar_get (self->tar, key, data, size, error);
    if (self->kind == ONE_FILE)
        return read_one (self->text, data, size, error);
    return folder_path (self, key, path, error) < 0 ? -1 : read_one (path, data, size, error);
}

/* ---- all ---- */

/* None of them. */
static void fail_all (int *codes, size_t count, struct strata_error *why)
{
    for (size_t i = 0; i < count; i++)
        codes[i] = ENOMEM;
    strata_fail (why, "out of memory for %zu objects", count);
}

void place_get (struct place *self, const struct place_object *objects, size_t count, void **data, size_t *sizes, int *codes,
                struct strata_error *why)
{
    struct strata_error error;
    bool failed = false;
    if (self->kind != STAGING) {
        for (size_t i = 0; i < count; i++) {
            codes[i] = get_one (self, objects[i].key, &data[i], &sizes[i], &error) < 0 ? errno : 0;
            if (codes[i] && !failed)
                *why = error;
            failed |= codes[i] != 0;
        }
        return;
    }
    const char **keys = calloc (count, sizeof (*keys)), **whole = NULL;
    for (size_t i = 0; i < count; i++) {
        data[i] = NULL;
        if (keys)
            keys[i] = objects[i].key;
    }
    if (keys && (whole = whole_keys (self, keys, count)))
        strata_get_many (self->client, self->text, whole, count, data, sizes, codes, why);
    else
        fail_all (codes, count, why);
    free (keys);
    free (whole);
}

static void put_tar (struct place *self, const char *const *keys, const void *const *data, const size_t *sizes, size_t count, int *codes,
                     struct strata_error *why)
{
    struct strata_error error;
    bool failed = false;
    for (size_t i = 0; i < count; i++) {
        struct tar_item item = { keys[i], data[i], sizes[i] };
        codes[i] = tar_append (self->tar, &item, 1, (int64_t)time (NULL), NULL, &error) < 0 ? errno : 0;
        if (codes[i] && !failed)
            *why = error;
        failed |= codes[i] != 0;
    }
    if (tar_sync (self->tar, &error) < 0) {
        *why = error;
        for (size_t i = 0; i < count; i++)
            codes[i] = EIO;
    }
}

void place_put (struct place *self, const char *const *keys, const void *const *data, const size_t *sizes, size_t count, int *codes,
                struct strata_error *why)
{
    struct strata_error error;
    bool failed = false;
    if (self->kind == ARCHIVE) {
        put_tar (self, keys, data, sizes, count, codes, why);
    } else if (self->kind == STAGING) {
        const char **whole = whole_keys (self, keys, count);
        if (whole)
            strata_put_many (self->client, self->text, whole, data, sizes, count, codes, why);
        else
            fail_all (codes, count, why);
        free (whole);
    } else
        for (size_t i = 0; i < count; i++) {
            codes[i] = write_one (self, keys[i], data[i], sizes[i], &error) < 0 ? errno : 0;
            if (codes[i] && !failed)
                *why = error;
            failed |= codes[i] != 0;
        }
}

void place_has (struct place *self, const char *const *keys, const size_t *sizes, const uint32_t *crcs, size_t count, bool *there)
{
    memset (there, 0, count * sizeof (*there));
    if (self->kind == STAGING) {
        struct strata_object_info *infos = calloc (count ? count : 1, sizeof (*infos));
        int *codes = calloc (count ? count : 1, sizeof (*codes));
        const char **whole = whole_keys (self, keys, count);
        if (infos && codes && whole) {
            strata_stat_many (self->client, self->text, whole, count, infos, codes, NULL);
            for (size_t i = 0; i < count; i++)
                there[i] = codes[i] == 0 && infos[i].size == sizes[i] && infos[i].crc32c == crcs[i];
        }
        free (infos);
        free (codes);
        free (whole);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        void *data = NULL;
        size_t size = 0;
        struct tar_member member;
        char path[2 * PATH_ROOM];
        struct stat st;
        /* Read only what has the right length. */
        if (self->kind == ARCHIVE ? tar_find (self->tar, keys[i], &member, NULL) < 0 || member.size != sizes[i]
                                  : folder_path (self, keys[i], path, NULL) < 0 || lstat (path, &st) < 0 || (size_t)st.st_size != sizes[i])
            continue;
        if (get_one (self, keys[i], &data, &size, NULL) == 0)
            there[i] = size == sizes[i] && crc32c (0, data, size) == crcs[i];
        free (data);
    }
}
