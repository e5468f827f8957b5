/* generation.c - see generation.h */
#include "store/generation.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/crash_point.h"
#include "core/files.h"
#include "store/damage.h"
#include "store/stream_log.h"

#define TEMPORARY ".taking-"
#define DIGITS 8
#define TRIES 10 /* copies of a store that its old holder may still change, until it finds that it has lost it */
#define PAUSE_US 200000

void generation_path (const char *dir, uint64_t generation, char path[LEASE_PATH_MAX])
{
    snprintf (path, LEASE_PATH_MAX, "%s/%0*" PRIu64, dir, DIGITS, generation);
}

/* The number of a generation's folder; 0: it is none. */
static uint64_t number_of (const char *name)
{
    if (strspn (name, "0123456789") < DIGITS || name[strspn (name, "0123456789")] != '\0')
        return 0;
    return strtoull (name, NULL, 10);
}

uint64_t generation_newest (const char *dir)
{
    uint64_t newest = 0;
    DIR *d = opendir (dir);
    for (struct dirent *entry; d && (entry = readdir (d));) {
        uint64_t number = number_of (entry->d_name);
        newest = number > newest ? number : newest;
    }
    if (d)
        closedir (d);
    return newest;
}

/* ---- copying ---- */

enum kind { CLAIMS, LOG_OF_WRITES, TABLE, OTHER, NOT_OURS };

static bool begins (const char *name, const char *with)
{
    return strncmp (name, with, strlen (with)) == 0;
}

/* What a new generation needs of a store's files: what it must hold, first of all, so that it claims no more than is copied
 * after it; its write-ahead logs; its tables; its manifest with what belongs to it. */
static enum kind kind_of (const char *name)
{
    if (strcmp (name, ANCHOR_FILE) == 0)
        return CLAIMS;
    if (files_end_with (name, ".log"))
        return LOG_OF_WRITES;
    if (files_end_with (name, ".sst") || files_end_with (name, ".blob") || files_end_with (name, STREAM_LOG_END))
        return TABLE;
    if (begins (name, "MANIFEST-") || begins (name, "OPTIONS-") || strcmp (name, "CURRENT") == 0 || strcmp (name, "IDENTITY") == 0)
        return files_end_with (name, ".dbtmp") ? NOT_OURS : OTHER;
    return NOT_OURS;
}

/* Besides those: what lies about in the folder of a store from before there were generations. */
static bool is_of_a_store (const char *name)
{
    return kind_of (name) != NOT_OURS || begins (name, "LOG") || strcmp (name, "LOCK") == 0 || strcmp (name, "HOLDER") == 0
           || strcmp (name, "TRIAL") == 0 || begins (name, ANCHOR_FILE) || strcmp (name, DAMAGED_FILE) == 0
           || files_end_with (name, ".dbtmp");
}

static int copy_bytes (int in, int out)
{
    static char buffer[1 << 18];
    for (;;) {
        ssize_t n = read (in, buffer, sizeof (buffer));
        if (n == 0)
            return fsync (out);
        if (n < 0 && errno != EINTR)
            return -1;
        for (ssize_t done = 0; done < n;) {
            ssize_t m = write (out, buffer + done, (size_t)(n - done));
            if (m < 0 && errno != EINTR)
                return -1;
            done += m > 0 ? m : 0;
        }
    }
}

static int copy_file (int from, int to, const char *name)
{
    int in = openat (from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int out = in < 0 ? -1 : openat (to, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
    int rc = out < 0 ? -1 : copy_bytes (in, out);
    int saved = errno;
    if (in >= 0)
        close (in);
    if (out >= 0)
        close (out);
    errno = saved;
    return rc;
}

/* Some file systems link only within a folder, or not at all. */
static int bring (int from, int to, const char *name, enum kind kind)
{
    if (kind == TABLE && (linkat (from, name, to, name, 0) == 0 || errno == EEXIST))
        return 0;
    return kind == TABLE && errno == ENOENT ? -1 : copy_file (from, to, name);
}

/* Records that a holder forgets while its logs are copied: the copied logs still know them. Where nothing can be linked they
 * are missing then, should that holder still run. */
void generation_link_records (const char *from, const char *to)
{
    DIR *d = opendir (from);
    int to_fd = open (to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (struct dirent *entry; d && (entry = readdir (d));)
        if (files_end_with (entry->d_name, STREAM_LOG_END))
            (void)!linkat (dirfd (d), entry->d_name, to_fd, entry->d_name, 0);
    if (to_fd >= 0)
        close (to_fd);
    if (d)
        closedir (d);
}

/* A file that is gone by the time it is copied was removed by a holder that still runs: the trial finds out what is missing. */
static int copy_all (const char *from, const char *to, struct strata_error *error)
{
    int from_fd = open (from, O_RDONLY | O_DIRECTORY | O_CLOEXEC), to_fd = open (to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = from_fd < 0 || to_fd < 0 ? strata_fail (error, "store %s can't be copied to %s: %s", from, to, strerror (errno)) : 0;
    if (rc == 0)
        generation_link_records (from, to);
    for (enum kind kind = CLAIMS; rc == 0 && kind < NOT_OURS; kind++) {
        DIR *d = opendir (from);
        for (struct dirent *entry; rc == 0 && d && (entry = readdir (d));)
            if (kind_of (entry->d_name) == kind && bring (from_fd, to_fd, entry->d_name, kind) < 0 && errno != ENOENT)
                rc = strata_fail (error, "file %s/%s can't be copied to %s: %s", from, entry->d_name, to, strerror (errno));
        crash_point ("generation.copied-%d", (int)kind);
        if (!d)
            rc = strata_fail (error, "folder %s can't be read: %s", from, strerror (errno));
        else
            closedir (d);
    }
    int saved = errno;
    if (from_fd >= 0)
        close (from_fd);
    if (to_fd >= 0)
        close (to_fd);
    errno = saved;
    return rc;
}

/* Files of a folder, but not the one called `but`, nor folders. */
static void remove_files (const char *dir, const char *but)
{
    int fd = open (dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir (fd);
    if (!d) {
        if (fd >= 0)
            close (fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir (d));)
        if (strcmp (entry->d_name, ".") != 0 && strcmp (entry->d_name, "..") != 0 && (!but || strcmp (entry->d_name, but) != 0))
            unlinkat (fd, entry->d_name, 0);
    closedir (d);
}

static void remove_folder (const char *dir)
{
    remove_files (dir, NULL);
    rmdir (dir);
}

static int sync_folder (const char *dir)
{
    int fd = open (dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 ? -1 : fsync (fd);
    if (fd >= 0)
        close (fd);
    return rc;
}

static int copy_until_whole (const char *from, const char *to, const char *mark, lease_try_f *try_store, void *arg,
                             struct strata_error *error)
{
    int rc = -1;
    for (int i = 0; i < TRIES; i++) {
        if (i)
            usleep (PAUSE_US);
        remove_files (to, mark);
        rc = copy_all (from, to, error);
        if (rc == 0)
            rc = try_store (to, arg, error);
        if (rc == 0 || errno == ENOSPC)
            break;
    }
    return rc;
}

int generation_copy (const char *from, const char *to, lease_try_f *try_store, void *arg, struct strata_error *error)
{
    if (mkdir (to, 0777) < 0)
        return strata_fail (error, "folder %s can't be made: %s", to, strerror (errno));
    return copy_until_whole (from, to, NULL, try_store, arg, error);
}

static int fill (const char *from, const char *to, const char *mark, lease_try_f *try_store, void *arg, struct strata_error *error)
{
    int rc = damage_refuse_marked (from, error);
    if (rc == 0)
        rc = copy_until_whole (from, to, mark, try_store, arg, error);
    else
        return -1;
    if (rc < 0 && errno == EBADMSG) { /* not a matter of a holder that writes */
        damage_mark (from, error->text);
        errno = EBADMSG;
    }
    return rc;
}

static int publish (const char *dir, const char *temporary, uint64_t to, struct strata_error *error)
{
    char path[LEASE_PATH_MAX];
    generation_path (dir, to, path);
    if (sync_folder (temporary) < 0)
        return strata_fail (error, "folder %s can't be synced: %s", temporary, strerror (errno));
    crash_point ("generation.whole");
    if (rename (temporary, path) < 0) {
        int why = errno;
        strata_fail (error, "store %s can't be made: %s", path, strerror (why));
        errno = why == ENOTEMPTY || why == EEXIST ? EBUSY : why;
        return -1;
    }
    crash_point ("generation.in-place");
    /* One that was stopped for long may come when its number was used and removed already. */
    if (generation_newest (dir) > to) {
        remove_folder (path);
        errno = EBUSY;
        return strata_fail (error, "store %s was made by another process meanwhile", path);
    }
    return sync_folder (dir) < 0 ? strata_fail (error, "folder %s can't be synced: %s", dir, strerror (errno)) : 0;
}

int generation_make (const char *dir, const char *from, uint64_t to, const char *mark, lease_try_f *try_store, void *arg,
                     int *mark_fd, struct strata_error *error)
{
    char temporary[LEASE_PATH_MAX], path[LEASE_PATH_MAX + 64];
    int rc = -1;
    uint64_t random;
    *mark_fd = -1;
    if (getrandom (&random, sizeof (random), 0) != sizeof (random))
        return strata_fail (error, "no random numbers from the system: %s", strerror (errno));
    snprintf (temporary, sizeof (temporary), "%s/" TEMPORARY "%016" PRIx64, dir, random);
    if (mkdir (temporary, 0777) < 0)
        return strata_fail (error, "folder %s can't be made: %s", temporary, strerror (errno));
    snprintf (path, sizeof (path), "%s/%s", temporary, mark);
    *mark_fd = open (path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (*mark_fd < 0 || flock (*mark_fd, LOCK_EX | LOCK_NB) < 0) {
        strata_fail (error, "file %s can't be made and locked: %s", path, strerror (errno));
        errno = errno == ENOENT ? EBUSY : errno; /* swept away before it was locked */
    } else if (!from || fill (from, temporary, mark, try_store, arg, error) == 0)
        rc = publish (dir, temporary, to, error);
    if (rc == 0)
        return 0;
    int saved = errno;
    remove_folder (temporary); /* not there any more when it was renamed */
    if (*mark_fd >= 0)
        close (*mark_fd);
    *mark_fd = -1;
    errno = saved;
    return -1;
}

/* Left by a process that died: nobody has its mark locked. */
static void sweep_temporary (const char *path, const char *mark)
{
    char file[LEASE_PATH_MAX + 320];
    snprintf (file, sizeof (file), "%s/%s", path, mark);
    int fd = open (file, O_RDWR | O_CLOEXEC);
    if (fd < 0 ? errno == ENOENT : flock (fd, LOCK_EX | LOCK_NB) == 0)
        remove_folder (path);
    if (fd >= 0)
        close (fd);
}

void generation_sweep (const char *dir, uint64_t keep, const char *mark)
{
    DIR *d = opendir (dir);
    for (struct dirent *entry; d && (entry = readdir (d));) {
        char path[LEASE_PATH_MAX + 256];
        uint64_t number = number_of (entry->d_name);
        snprintf (path, sizeof (path), "%s/%s", dir, entry->d_name);
        if (number && number < keep)
            remove_folder (path);
        else if (begins (entry->d_name, TEMPORARY))
            sweep_temporary (path, mark);
        else if (!number && is_of_a_store (entry->d_name))
            unlink (path);
    }
    if (d)
        closedir (d);
}
