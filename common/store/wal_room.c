/* wal_room.c - see wal_room.h */
#include "store/wal_room.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_COMMITS 256
#define LOOK_BYTES (512u << 10)
#define SMALL_COMMIT (32u << 10)
#define FIRST_COMMITS 16 /* a store that is hardly written is left alone */

static uint64_t newest_log (const char *path)
{
    DIR *d = opendir (path);
    uint64_t newest = 0;
    for (struct dirent *e; d && (e = readdir (d));) {
        char *end;
        uint64_t n = strtoull (e->d_name, &end, 10);
        if (end != e->d_name && strcmp (end, ".log") == 0 && n > newest)
            newest = n;
    }
    if (d)
        closedir (d);
    return newest;
}

/* Nothing is lost where it fails: syncs take longer then. */
static void fill (const char *path, uint64_t log, size_t log_bytes)
{
    static const char zeros[65536];
    char file[4400];
    struct stat st;
    snprintf (file, sizeof (file), "%s/%06llu.log", path, (unsigned long long)log);
    int fd = open (file, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || fstat (fd, &st) < 0)
        goto done;
    size_t room = (size_t)st.st_blocks * 512; /* only blocks that are allocated: a full disk is no matter of ours */
    if (room > log_bytes)
        room = log_bytes;
    for (size_t at = (size_t)st.st_size; at < room;) {
        ssize_t n = pwrite (fd, zeros, room - at < sizeof (zeros) ? room - at : sizeof (zeros), (off_t)at);
        if (n <= 0)
            break;
        at += (size_t)n;
    }
done:
    if (fd >= 0)
        close (fd);
}

void wal_room_after_commit (struct wal_room *self, const char *path, size_t bytes, size_t log_bytes)
{
    self->commits++;
    self->bytes += bytes;
    if (self->log ? self->commits < LOOK_COMMITS && self->bytes < LOOK_BYTES : self->commits < FIRST_COMMITS)
        return;
    uint64_t log = newest_log (path);
    if (log && log != self->log && self->bytes / self->commits < SMALL_COMMIT)
        fill (path, log, log_bytes);
    *self = (struct wal_room){ .log = log };
}
