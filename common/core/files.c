/* files.c - see files.h */
#include "core/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int files_make_dirs (const char *dir, struct strata_error *error)
{
    char path[PATH_MAX];
    if ((size_t)snprintf (path, sizeof (path), "%s", dir) >= sizeof (path) || !dir[0]) {
        errno = dir[0] ? ENAMETOOLONG : EINVAL;
        return strata_fail (error, "folder '%.200s' can't be made: %s", dir, strerror (errno));
    }
    for (char *p = path + 1;; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char saved = *p;
        *p = '\0';
        if (mkdir (path, 0777) < 0 && errno != EEXIST)
            return strata_fail (error, "folder %.300s can't be made: %s", path, strerror (errno));
        *p = saved;
        if (!saved)
            return 0;
    }
}

int files_write_synced (int folder, const char *shown, const char *name, const void *data, size_t size,
                        struct strata_error *error)
{
    int fd = openat (folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
    int rc = fd < 0 ? -1 : 0;
    for (size_t done = 0; rc == 0 && done < size;) {
        ssize_t n = write (fd, (const char *)data + done, size - done);
        if (n >= 0)
            done += (size_t)n;
        else if (errno != EINTR)
            rc = -1;
    }
    if (rc == 0 && fsync (fd) < 0)
        rc = -1;
    int saved = errno;
    if (fd >= 0 && close (fd) < 0 && rc == 0) {
        saved = errno;
        rc = -1;
    }
    if (rc < 0) {
        errno = saved;
        strata_fail (error, "file %.300s/%s can't be written: %s", shown, name, strerror (saved));
    }
    return rc;
}

bool files_end_with (const char *name, const char *end)
{
    size_t n = strlen (name), m = strlen (end);
    return n >= m && strcmp (name + n - m, end) == 0;
}

int files_read_at (int fd, void *data, size_t size, uint64_t offset)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pread (fd, (char *)data + done, size - done, (off_t)(offset + done));
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR) {
            if (n == 0)
                errno = EBADMSG;
            return -1;
        }
    }
    return 0;
}
