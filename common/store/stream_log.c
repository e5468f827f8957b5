/* stream_log.c - see stream_log.h */
#include "store/stream_log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/files.h"
#include "core/log.h"

#define SPARE_END ".spare"
#define SEGMENT_BYTES (16u << 20)
#define CUT_BYTES (SEGMENT_BYTES / 8) /* a full segment with more than that left is cut off */
#define BEGIN_BYTES (2u << 20) /* the disk is told to begin with so many at once: a call costs half as much as writing 256 KB */

struct stream_log {
    struct shard *shard;
    char stream[80];
    uint64_t *segments; /* first sequences, rising */
    size_t count;
    int fd;                 /* the one appended to, the last of segments; -1: none */
    uint64_t size, begun;   /* of it; up to where it is being written or synced */
    bool dirty, fresh;      /* fresh: made since the last sync */
    uint64_t own;           /* segments from it on were made by this process */
    unsigned spares;
    int read_fd;            /* the one read last, -1: none */
    uint64_t read_segment;
};

void stream_log_path (const struct stream_log *self, uint64_t segment, char path[STREAM_LOG_PATH])
{
    snprintf (path, STREAM_LOG_PATH, "%s/%s.%016" PRIx64 STREAM_LOG_END, shard_path (self->shard), self->stream, segment);
}

__attribute__ ((noreturn)) static void damaged (const struct stream_log *self, uint64_t segment, const char *what, const char *why)
{
    char path[STREAM_LOG_PATH];
    stream_log_path (self, segment, path);
    shard_damaged (self->shard, "%s %s: %s", what, path, why);
}

static int add_segment (struct stream_log *self, uint64_t segment)
{
    uint64_t *grown = realloc (self->segments, (self->count + 1) * sizeof (*grown));
    if (!grown)
        return -1;
    self->segments = grown;
    grown[self->count++] = segment;
    return 0;
}

static void spare_path (const struct stream_log *self, unsigned number, char path[STREAM_LOG_PATH])
{
    snprintf (path, STREAM_LOG_PATH, "%s/%s.%u" SPARE_END, shard_path (self->shard), self->stream, number);
}

static void unlink_in_store (const struct stream_log *self, const char *name)
{
    char path[STREAM_LOG_PATH];
    snprintf (path, sizeof (path), "%s/%s", shard_path (self->shard), name);
    unlink (path);
}

static int compare (const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The segments there are. What stands at or behind `next` was written by a batch that never became one. */
static int find_segments (struct stream_log *self, uint64_t next)
{
    DIR *d = opendir (shard_path (self->shard));
    size_t n = strlen (self->stream);
    int rc = 0;
    for (struct dirent *e; d && rc == 0 && (e = readdir (d));) {
        if (strncmp (e->d_name, self->stream, n) != 0 || e->d_name[n] != '.')
            continue;
        const char *rest = e->d_name + n + 1;
        uint64_t segment = strtoull (rest, NULL, 16);
        bool is_segment = strcmp (rest + strspn (rest, "0123456789abcdef"), STREAM_LOG_END) == 0;
        if (is_segment && segment < next)
            rc = add_segment (self, segment);
        else if ((is_segment || files_end_with (rest, SPARE_END)) && !shard_is_readonly (self->shard))
            unlink_in_store (self, e->d_name);
    }
    if (d)
        closedir (d);
    if (self->count)
        qsort (self->segments, self->count, sizeof (*self->segments), compare);
    return rc;
}

struct stream_log *stream_log_open (struct shard *shard, const char *stream, uint64_t next)
{
    struct stream_log *self = calloc (1, sizeof (*self));
    if (!self)
        return NULL;
    self->shard = shard;
    self->fd = self->read_fd = -1;
    self->own = UINT64_MAX;
    snprintf (self->stream, sizeof (self->stream), "%s", stream);
    if (shard_path (shard)[0] && find_segments (self, next) < 0)
        stream_log_free (&self);
    return self;
}

/* Gives back what was allocated ahead, when it is more than so many bytes: a full segment is worth more as it is. */
static void seal (struct stream_log *self, uint64_t bytes)
{
    if (self->fd < 0)
        return;
    if (self->size + bytes < SEGMENT_BYTES && ftruncate (self->fd, (off_t)self->size) < 0)
        log_debug ("stream %s: a segment's end can't be cut off: %s", self->stream, strerror (errno));
    close (self->fd);
    self->fd = -1;
}

static void forget_read (struct stream_log *self)
{
    if (self->read_fd >= 0)
        close (self->read_fd);
    self->read_fd = -1;
}

void stream_log_free (struct stream_log **self_p)
{
    struct stream_log *self = *self_p;
    if (!self)
        return;
    seal (self, 0);
    forget_read (self);
    while (self->spares) {
        char path[STREAM_LOG_PATH];
        spare_path (self, --self->spares, path);
        unlink (path);
    }
    free (self->segments);
    free (self);
    *self_p = NULL;
}

/* Space is allocated before anything is written: a full disk shows here, not at the sync; and a sync then has no blocks to
 * find (measured on ext4: 1.8 instead of 0.3 GB/s). */
static int make_segment (const char *path, size_t size)
{
    int fd = open (path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0 && fallocate (fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size) < 0) {
        close (fd);
        unlink (path);
        return -1;
    }
    return fd;
}

/* Nobody but this process has it, and it has its blocks. */
static bool can_be_spare (const struct stat *st)
{
    uint64_t bytes = (uint64_t)st->st_blocks * 512;
    return st->st_nlink == 1 && bytes >= SEGMENT_BYTES && bytes < SEGMENT_BYTES + CUT_BYTES;
}

/* A spare one under this name, or -1. */
static int take_spare (struct stream_log *self, const char *path)
{
    while (self->spares) {
        char spare[STREAM_LOG_PATH];
        struct stat st;
        spare_path (self, --self->spares, spare);
        int fd = open (spare, O_RDWR | O_CLOEXEC);
        if (fd >= 0 && fstat (fd, &st) == 0 && can_be_spare (&st) && rename (spare, path) == 0)
            return fd;
        unlink (spare);
        if (fd >= 0)
            close (fd);
    }
    return -1;
}

static int begin_segment (struct stream_log *self, uint64_t first, size_t size)
{
    char path[STREAM_LOG_PATH];
    stream_log_sync (self);
    seal (self, CUT_BYTES);
    stream_log_path (self, first, path);
    unlink (path);
    if (size <= SEGMENT_BYTES)
        self->fd = take_spare (self, path);
    if (self->fd < 0)
        self->fd = make_segment (path, size > SEGMENT_BYTES ? size : SEGMENT_BYTES);
    if (self->fd < 0)
        return -1;
    if (add_segment (self, first) < 0) {
        close (self->fd);
        self->fd = -1;
        unlink (path);
        return -1;
    }
    if (self->own == UINT64_MAX)
        self->own = first;
    self->size = self->begun = 0;
    self->fresh = true;
    return 0;
}

/* The disk begins with it now, while more is taken in; the sync waits for the end. */
static void begin_to_write (struct stream_log *self)
{
    if (self->size - self->begun < BEGIN_BYTES)
        return;
    sync_file_range (self->fd, (off_t)self->begun, (off_t)(self->size - self->begun), SYNC_FILE_RANGE_WRITE);
    self->begun = self->size;
}

int stream_log_write (struct stream_log *self, uint64_t first, const void *data, size_t size, uint64_t *segment,
                      uint64_t *offset)
{
    if (!shard_path (self->shard)[0] || shard_is_readonly (self->shard))
        return -1;
    if ((self->fd < 0 || self->size + size > SEGMENT_BYTES) && begin_segment (self, first, size) < 0)
        return -1;
    for (size_t done = 0; done < size;) {
        ssize_t n = pwrite (self->fd, (const char *)data + done, size - done, (off_t)(self->size + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1; /* what was written of it is named by nothing */
        done += (size_t)n;
    }
    *segment = self->segments[self->count - 1];
    *offset = self->size;
    self->size += size;
    self->dirty = true;
    begin_to_write (self);
    return 0;
}

void stream_log_read (struct stream_log *self, uint64_t segment, uint64_t offset, void *data, size_t size)
{
    int fd = self->fd >= 0 && self->segments[self->count - 1] == segment ? self->fd : -1;
    if (fd < 0 && (self->read_fd < 0 || self->read_segment != segment)) {
        char path[STREAM_LOG_PATH];
        forget_read (self);
        stream_log_path (self, segment, path);
        self->read_fd = open (path, O_RDONLY | O_CLOEXEC);
        self->read_segment = segment;
        if (self->read_fd < 0)
            damaged (self, segment, "opening", strerror (errno));
    }
    if (fd < 0)
        fd = self->read_fd;
    for (size_t done = 0; done < size;) {
        ssize_t n = pread (fd, (char *)data + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            damaged (self, segment, "reading", n == 0 ? "it is shorter than the records that the store has in it" : strerror (errno));
        done += (size_t)n;
    }
}

void stream_log_sync (struct stream_log *self)
{
    if (!self->dirty)
        return;
    if (fdatasync (self->fd) < 0)
        shard_die (self->shard, "syncing records of", self->stream, strerror (errno));
    int fd = self->fresh ? open (shard_path (self->shard), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (self->fresh && (fd < 0 || fsync (fd) < 0))
        shard_die (self->shard, "syncing", shard_path (self->shard), strerror (errno));
    if (fd >= 0)
        close (fd);
    self->dirty = self->fresh = false;
    self->begun = self->size;
}

/* One that another process made it may still write; one that is linked belongs to a copy of the store. */
static void set_aside (struct stream_log *self, uint64_t segment, const char *path)
{
    char spare[STREAM_LOG_PATH];
    struct stat st;
    spare_path (self, self->spares, spare);
    if (self->spares < STREAM_LOG_SPARES && segment >= self->own && stat (path, &st) == 0 && can_be_spare (&st)
        && rename (path, spare) == 0)
        self->spares++;
    else
        unlink (path);
}

void stream_log_spare (const struct stream_log *self, uint64_t *bytes, uint64_t *limit_bytes)
{
    *bytes = (uint64_t)self->spares * SEGMENT_BYTES;
    *limit_bytes = (uint64_t)STREAM_LOG_SPARES * SEGMENT_BYTES;
}

/* A segment ends where the next one begins; the last one may grow. */
void stream_log_trim (struct stream_log *self, uint64_t first)
{
    size_t gone = 0;
    while (gone + 1 < self->count && self->segments[gone + 1] <= first) {
        char path[STREAM_LOG_PATH];
        if (self->read_fd >= 0 && self->read_segment == self->segments[gone])
            forget_read (self);
        stream_log_path (self, self->segments[gone], path);
        set_aside (self, self->segments[gone++], path);
    }
    if (!gone)
        return;
    self->count -= gone;
    memmove (self->segments, self->segments + gone, self->count * sizeof (*self->segments));
}
