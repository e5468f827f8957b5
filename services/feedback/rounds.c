/* rounds.c - see rounds.h */
#include "rounds.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/crash_point.h"
#include "core/files.h"
#include "core/log.h"
#include "strata_tar.h"

#define ROUND_NAME "round.%06" PRIu64
#define LINK_NAME "current"
/* Names of one writer's own: a stale holder of the shard may go on with its report while its successor writes the same one. */
#define UNFINISHED ".new"
#define LINK_NEW "current.new"
#define ARCHIVE "history.tar"

/* Removes the files of folder `name` and the folder. Rounds hold no folders. */
static void remove_folder (int parent, const char *name)
{
    int fd = openat (parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir (fd);
    if (!dir) {
        if (fd >= 0)
            close (fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir (dir));)
        if (strcmp (entry->d_name, ".") != 0 && strcmp (entry->d_name, "..") != 0)
            unlinkat (fd, entry->d_name, 0);
    closedir (dir);
    unlinkat (parent, name, AT_REMOVEDIR);
}

/* The number in "round.<digits>", or with an unfinished one's ending; 0 when it is another name. */
static uint64_t round_of (const char *name, bool unfinished)
{
    if (strncmp (name, "round.", 6) != 0)
        return 0;
    size_t digits = strspn (name + 6, "0123456789");
    const char *ending = name + 6 + digits;
    if (digits < 6 || digits > 19 || (unfinished ? strncmp (ending, UNFINISHED, strlen (UNFINISHED)) != 0 : *ending != '\0'))
        return 0;
    return strtoull (name + 6, NULL, 10);
}

/* ---- the archive ---- */

static char *read_file (int folder, const char *name, size_t *size)
{
    struct stat st;
    int fd = openat (folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    char *data = fstat (fd, &st) == 0 && S_ISREG (st.st_mode) ? malloc ((size_t)st.st_size + 1) : NULL;
    *size = data ? (size_t)st.st_size : 0;
    if (data && files_read_at (fd, data, *size, 0) < 0) {
        free (data);
        data = NULL;
    }
    close (fd);
    return data;
}

/* Whether the archive keeps a file of a round. The continuum code's texts say what the .npz says. */
static bool is_kept (const char *name)
{
    return files_end_with (name, ".npz") || files_end_with (name, ".json");
}

/* Appends the files of one round that the archive lacks, or has otherwise. */
static int archive_round (struct tar *tar, int root, const char *round, struct strata_error *error)
{
    int fd = openat (root, round, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), rc = 0;
    DIR *dir = fd < 0 ? NULL : fdopendir (fd);
    if (!dir) {
        if (fd >= 0)
            close (fd);
        return 0;
    }
    for (struct dirent *entry; rc == 0 && (entry = readdir (dir));) {
        char name[400];
        struct strata_error ignored;
        void *old = NULL;
        size_t size = 0, old_size = 0;
        struct stat st;
        if (!is_kept (entry->d_name))
            continue;
        snprintf (name, sizeof (name), "%s/%s", round, entry->d_name);
        char *data = read_file (fd, entry->d_name, &size);
        if (!data)
            rc = strata_fail (error, "%s can't be read: %s", name, strerror (errno));
        else if (tar_get (tar, name, &old, &old_size, &ignored) < 0 || old_size != size || memcmp (old, data, size) != 0) {
            struct tar_item item = { name, data, size };
            rc = tar_append (tar, &item, 1, fstat (fd, &st) == 0 ? (int64_t)st.st_mtime : 0, NULL, error);
        }
        free (old);
        free (data);
    }
    closedir (dir);
    return rc;
}

static int by_number (const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Puts into the archive all rounds that stand here and are not in it: the new one, and what a crash, a full disk or another
 * process that had the archive open kept out. -1: not all are in it now. */
static int archive (int root, const char *dir, struct strata_error *error)
{
    char path[4400];
    struct tar *tar;
    if ((size_t)snprintf (path, sizeof (path), "%s/" ARCHIVE, dir) >= sizeof (path))
        return strata_fail (error, "%.200s...: the path is too long", dir);
    if (!(tar = tar_open (path, TAR_APPEND, NULL, error)))
        return -1;
    int fd = openat (root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
    DIR *all = fd < 0 ? NULL : fdopendir (fd);
    if (!all) {
        rc = strata_fail (error, "%s can't be listed: %s", dir, strerror (errno));
        if (fd >= 0)
            close (fd);
    }
    uint64_t *rounds = NULL;
    size_t count = 0;
    for (struct dirent *entry; rc == 0 && (entry = readdir (all));) {
        uint64_t round = round_of (entry->d_name, false), *grown = round ? reallocarray (rounds, count + 1, sizeof (*rounds)) : NULL;
        if (round && !grown)
            rc = strata_fail (error, "out of memory for the list of rounds");
        if (grown) {
            rounds = grown;
            rounds[count++] = round;
        }
    }
    if (all)
        closedir (all);
    if (count)
        qsort (rounds, count, sizeof (*rounds), by_number);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        char name[40];
        snprintf (name, sizeof (name), ROUND_NAME, rounds[i]);
        rc = archive_round (tar, root, name, error);
    }
    free (rounds);
    if (rc == 0)
        rc = tar_sync (tar, error);
    if (tar_close (&tar, rc < 0 ? NULL : error) < 0)
        rc = -1;
    crash_point ("report.archived");
    return rc;
}

/* Removes rounds up to newest - kept, and what writers that were cut short left. */
static void prune (int root, uint64_t newest)
{
    int fd = openat (root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir (fd);
    if (!dir) {
        if (fd >= 0)
            close (fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir (dir));) {
        uint64_t round = round_of (entry->d_name, false), unfinished = round_of (entry->d_name, true);
        if ((round && round + ROUNDS_KEPT <= newest) || (unfinished && unfinished <= newest))
            remove_folder (root, entry->d_name);
        if (strncmp (entry->d_name, LINK_NEW, strlen (LINK_NEW)) == 0)
            unlinkat (root, entry->d_name, 0);
    }
    closedir (dir);
}

static void own_name (char *out, size_t size, const char *name, const char *ending)
{
    char host[65] = "";
    gethostname (host, sizeof (host) - 1);
    snprintf (out, size, "%.30s%s-%.40s-%d", name, ending, host, (int)getpid ());
}

static int write_files (const struct rounds_file *list, size_t count, int folder, const char *folder_name, struct strata_error *error)
{
    for (size_t i = 0; i < count; i++) {
        int rc = files_write_synced (folder, folder_name, list[i].name, list[i].text, list[i].size, error);
        crash_point ("report.file");
        if (rc < 0)
            return -1;
    }
    if (fsync (folder) < 0)
        return strata_fail (error, "report %s can't be synced: %s", folder_name, strerror (errno));
    return 0;
}

/* Whether the round's folder stands already with this file: it was renamed there whole, before a crash. */
static bool stands (int root, const char *name, const struct rounds_file *last)
{
    char path[400];
    snprintf (path, sizeof (path), "%s/%s", name, last->name);
    int fd = openat (root, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0)
        return false;
    char *found = NULL;
    bool same = fstat (fd, &st) == 0 && (size_t)st.st_size == last->size && (found = malloc (last->size + 1))
                && pread (fd, found, last->size, 0) == (ssize_t)last->size && memcmp (found, last->text, last->size) == 0;
    free (found);
    close (fd);
    return same;
}

static int write_round (const struct rounds_file *list, size_t count, int root, const char *dir, const char *name,
                        struct strata_error *error)
{
    char fresh[96], shown[4400];
    own_name (fresh, sizeof (fresh), name, UNFINISHED);
    snprintf (shown, sizeof (shown), "%s/%s", dir, fresh);
    remove_folder (root, fresh);
    if (mkdirat (root, fresh, 0777) < 0)
        return strata_fail (error, "report folder %s can't be made: %s", shown, strerror (errno));
    int folder = openat (root, fresh, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0)
        return strata_fail (error, "report folder %s can't be opened: %s", shown, strerror (errno));
    int rc = write_files (list, count, folder, shown, error);
    int saved = errno;
    close (folder);
    errno = saved;
    if (rc < 0)
        return -1;
    if (stands (root, name, &list[count - 1])) { /* another writer of the same round was faster */
        remove_folder (root, fresh);
        return 0;
    }
    /* A folder of that name with another report can only be a leftover of a workspace that was copied together. */
    remove_folder (root, name);
    crash_point ("report.folder");
    if (renameat (root, fresh, root, name) < 0)
        return strata_fail (error, "report folder %s can't be renamed to %s: %s", shown, name, strerror (errno));
    return 0;
}

static int write_link (int root, const char *dir, const char *name, struct strata_error *error)
{
    char fresh[96];
    own_name (fresh, sizeof (fresh), "", LINK_NEW);
    unlinkat (root, fresh, 0);
    int made = symlinkat (name, root, fresh);
    crash_point ("report.link");
    if (made < 0 || renameat (root, fresh, root, LINK_NAME) < 0 || fsync (root) < 0)
        return strata_fail (error, "%s/%s can't be pointed at %s: %s", dir, LINK_NAME, name, strerror (errno));
    return 0;
}

int rounds_relink (const char *dir, uint64_t round, struct strata_error *error)
{
    char name[40], now[64];
    snprintf (name, sizeof (name), ROUND_NAME, round);
    int root = open (dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return strata_fail (error, "report folder %s can't be opened: %s", dir, strerror (errno));
    ssize_t n = readlinkat (root, LINK_NAME, now, sizeof (now) - 1);
    now[n > 0 ? n : 0] = '\0';
    int rc = 0;
    if (strcmp (now, name) != 0 && faccessat (root, name, F_OK, 0) == 0)
        rc = write_link (root, dir, name, error) < 0 ? -1 : 1;
    close (root);
    return rc;
}

int rounds_write (const char *dir, uint64_t round, const struct rounds_file *list, size_t count, struct strata_error *error)
{
    char name[40];
    snprintf (name, sizeof (name), ROUND_NAME, round);
    if (files_make_dirs (dir, error) < 0)
        return -1;
    int root = open (dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return strata_fail (error, "report folder %s can't be opened: %s", dir, strerror (errno));
    int rc = stands (root, name, &list[count - 1]) ? 0 : write_round (list, count, root, dir, name, error);
    /* The round's name is on disk before the link that points at it. */
    if (rc == 0 && fsync (root) < 0)
        rc = strata_fail (error, "report folder %s can't be synced: %s", dir, strerror (errno));
    crash_point ("report.renamed");
    if (rc == 0)
        rc = write_link (root, dir, name, error);
    crash_point ("report.linked");
    /* The report is out. What the archive can't take now stands here until it can. */
    struct strata_error why = { "" };
    if (rc == 0 && archive (root, dir, &why) < 0)
        log_warn ("report %" PRIu64 " is not in the archive of rounds yet: %s", round, why.text);
    else if (rc == 0)
        prune (root, round);
    int saved = errno;
    close (root);
    errno = saved;
    return rc;
}
