/* tar_read.c - reading: the index first, the headers where it lacks something or is wrong. See strata_tar.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "core/files.h"
#include "data/tar_header.h"
#include "data/tar_impl.h"

#define LOOK_US 10000        /* how old what is known of the index may be */
#define PIECE ((size_t)1 << 20) /* of the index that is read at once; longer than a line */
#define PROGRESS ((uint64_t)64 << 20)

static int no_memory (const struct tar *self, struct strata_error *error)
{
    errno = ENOMEM;
    return strata_fail (error, "archive %.300s: out of memory for its names", self->path);
}

static int64_t now_us (void)
{
    struct timespec ts;
    clock_gettime (CLOCK_MONOTONIC_COARSE, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* ---- the headers ---- */

int tar_scan (struct tar_scan *scan, const char *path, struct strata_error *error)
{
    struct tar_walk walk;
    struct { /* the member found last: it counts when the next one has not overwritten it */
        struct tar_member member;
        size_t name_size;
        char name[TAR_NAME_MAX + 1];
    } *held = malloc (sizeof (*held));
    bool has = false, fine = held != NULL;
    uint64_t told = scan->from;
    errno = ENOMEM;
    tar_walk_init (&walk, scan->fd, scan->from, scan->size, scan->resync);
    for (scan->step = TAR_STEP_MEMBER; fine && scan->step == TAR_STEP_MEMBER;) {
        scan->step = tar_walk_next (&walk);
        if (has && !walk.dropped) {
            if (scan->report) {
                scan->report->members++;
                scan->report->bytes += held->member.size;
            }
            errno = ENOMEM;
            fine = scan->member (held->name, held->name_size, &held->member, scan->arg);
        }
        has = scan->step == TAR_STEP_MEMBER;
        if (has) {
            held->member = walk.member;
            held->name_size = walk.name_size;
            memcpy (held->name, walk.name, walk.name_size + 1);
        }
        if (fine && scan->progress && walk.at - told >= PROGRESS) {
            told = walk.at;
            errno = EINTR;
            fine = scan->progress (walk.at, scan->size, scan->progress_arg);
        }
    }
    scan->end = walk.at;
    if (scan->report) {
        struct tar_report *report = scan->report;
        report->passed_over += walk.passed_over;
        report->damaged_bytes += walk.damaged_bytes;
        if (walk.damaged_bytes && !report->first[0])
            snprintf (report->first, sizeof (report->first), "%llu bytes from byte %llu on are no members",
                      (unsigned long long)walk.damaged_bytes, (unsigned long long)walk.damaged_at);
        if (scan->step == TAR_STEP_TORN || scan->step == TAR_STEP_BROKEN) {
            report->tail_bytes = scan->size - walk.at;
            if (!report->first[0])
                snprintf (report->first, sizeof (report->first), "the last %llu bytes, from byte %llu on, are no whole member",
                          (unsigned long long)report->tail_bytes, (unsigned long long)walk.at);
        }
    }
    tar_walk_fini (&walk);
    free (held);
    if (!fine)
        return errno == EINTR ? strata_fail (error, "archive %.300s: stopped", path)
                              : strata_fail (error, "archive %.300s: its index can't be made: %s", path, strerror (errno));
    if (scan->step == TAR_STEP_ERROR)
        return strata_fail (error, "archive %.300s can't be read: %s", path, strerror (errno));
    return 0;
}

static bool add_to_map (const char *name, size_t name_size, const struct tar_member *member, void *arg)
{
    return tar_map_put (arg, name, name_size, member);
}

static int file_size (const struct tar *self, uint64_t *size, struct strata_error *error)
{
    struct stat st;
    if (fstat (self->fd, &st) < 0)
        return strata_fail (error, "archive %.300s can't be read: %s", self->path, strerror (errno));
    *size = (uint64_t)st.st_size;
    return 0;
}

/* Members from self->walked on into the map. At the end one may be just being written: no reason to look inside it. */
static int walk_on (struct tar *self, uint64_t size, struct strata_error *error)
{
    struct tar_scan scan = { .fd = self->fd, .from = self->walked, .size = size, .resync = self->walked == 0,
                             .member = add_to_map, .arg = &self->map };
    if (size <= self->walked)
        return 0;
    if (tar_scan (&scan, self->path, error) < 0)
        return -1;
    self->walked = scan.end;
    return 0;
}

int tar_load_by_walk (struct tar *self, struct strata_error *error)
{
    uint64_t size = self->end;
    if (!self->append && file_size (self, &size, error) < 0)
        return -1;
    tar_map_clear (&self->map);
    self->walked = 0;
    self->loaded = self->by_walk = true;
    return walk_on (self, size, error);
}

/* ---- the index ---- */

struct line {
    char name[TAR_NAME_MAX + 1];
    size_t name_size;
    struct tar_member member;
};

enum taken { TAKEN, DISAGREES, FAILED };

/* Between the last line's member and this one's header there is something: members that the index lacks go into the map. */
static enum taken take_gap (struct tar *self, const struct line *line, uint64_t size, struct strata_error *error)
{
    struct tar_walk *walk = malloc (sizeof (*walk)); /* it holds a name */
    enum taken taken = DISAGREES;
    if (!walk) {
        no_memory (self, error);
        return FAILED;
    }
    tar_walk_init (walk, self->fd, self->walked, size, false);
    while (taken == DISAGREES && tar_walk_next (walk) == TAR_STEP_MEMBER) {
        if (walk->member.offset >= line->member.offset) {
            if (walk->member.offset == line->member.offset && walk->member.size == line->member.size
                && walk->name_size == line->name_size && memcmp (walk->name, line->name, line->name_size) == 0)
                taken = TAKEN;
            break;
        }
        if (!add_to_map (walk->name, walk->name_size, &walk->member, &self->map)) {
            no_memory (self, error);
            taken = FAILED;
        }
    }
    tar_walk_fini (walk);
    free (walk);
    return taken;
}

/* A line into the map, if it says where a member can be. */
static enum taken take_line (struct tar *self, const struct line *line, uint64_t size, struct strata_error *error)
{
    uint64_t header = tar_header_size (line->name, line->name_size), data = line->member.offset;
    enum taken taken = TAKEN;
    if (data < self->walked + TAR_BLOCK || data > size || line->member.size > size - data)
        return DISAGREES;
    if (data - self->walked != header && (taken = take_gap (self, line, size, error)) != TAKEN)
        return taken;
    if (!tar_map_put (&self->map, line->name, line->name_size, &line->member)) {
        no_memory (self, error);
        return FAILED;
    }
    self->walked = data + tar_round (line->member.size);
    return TAKEN;
}

/* The lines behind self->index_at. */
static enum taken take_lines (struct tar *self, uint64_t size, struct strata_error *error)
{
    struct line *line = malloc (sizeof (*line));
    char *piece = malloc (PIECE);
    enum taken taken = TAKEN;
    if (!line || !piece) {
        no_memory (self, error);
        taken = FAILED;
    }
    while (taken == TAKEN) {
        ssize_t n = pread (self->index_fd, piece, PIECE, (off_t)self->index_at);
        if (n < 0) {
            strata_fail (error, "index %.300s can't be read: %s", self->index_path, strerror (errno));
            taken = FAILED;
        }
        if (n <= 0)
            break;
        size_t at = 0;
        long length = 0;
        while (taken == TAKEN && at < (size_t)n
               && (length = tar_line_parse (piece + at, (size_t)n - at, line->name, &line->name_size, &line->member)) > 0) {
            taken = take_line (self, line, size, error);
            at += (size_t)length;
        }
        self->index_at += at;
        if (length < 0)
            taken = DISAGREES;
        if (at == 0)
            break; /* a line that has no end yet */
    }
    int saved = errno;
    free (line);
    free (piece);
    errno = saved;
    return taken;
}

static int load_index (struct tar *self, struct strata_error *error)
{
    struct stat st;
    uint64_t size = self->end;
    if (!self->append && file_size (self, &size, error) < 0)
        return -1;
    if (self->index_fd < 0 || self->dirty_index || fstat (self->index_fd, &st) < 0)
        return tar_load_by_walk (self, error);
    self->index_inode = st.st_ino;
    self->loaded = true;
    enum taken taken = take_lines (self, size, error);
    if (taken == FAILED)
        return -1;
    return taken == DISAGREES ? tar_load_by_walk (self, error) : walk_on (self, size, error);
}

static void forget (struct tar *self)
{
    tar_map_clear (&self->map);
    self->loaded = self->by_walk = false;
    self->walked = self->index_at = 0;
}

int tar_load (struct tar *self, struct strata_error *error)
{
    if (self->loaded)
        return 0;
    forget (self);
    if (load_index (self, error) < 0) {
        int saved = errno;
        forget (self);
        errno = saved;
        return -1;
    }
    self->looked_us = now_us ();
    return 0;
}

/* What others have appended since. */
static int look_again (struct tar *self, struct strata_error *error)
{
    struct stat st;
    uint64_t size;
    if (self->append)
        return 0; /* nobody else does */
    self->looked_us = now_us ();
    if (file_size (self, &size, error) < 0)
        return -1;
    if (self->by_walk || self->index_fd < 0)
        return walk_on (self, size, error);
    if (stat (self->index_path, &st) < 0 || st.st_ino != self->index_inode) {
        /* It was made anew. What is known of the archive is right all the same. */
        return walk_on (self, size, error);
    }
    if ((uint64_t)st.st_size == self->index_at)
        return 0;
    enum taken taken = self->index_at > (uint64_t)st.st_size ? DISAGREES : take_lines (self, size, error);
    return taken == FAILED ? -1 : taken == DISAGREES ? tar_load_by_walk (self, error) : 0;
}

/* ---- asking ---- */

int tar_find (struct tar *self, const char *name, struct tar_member *member, struct strata_error *error)
{
    size_t name_size = strlen (name);
    if (tar_load (self, error) < 0)
        return -1;
    bool fresh = self->append;
    if (!fresh && now_us () - self->looked_us > LOOK_US) {
        fresh = true;
        if (look_again (self, error) < 0)
            return -1;
    }
    const struct tar_entry *entry = tar_map_find (&self->map, name, name_size);
    if (!entry && !fresh) {
        if (look_again (self, error) < 0)
            return -1;
        entry = tar_map_find (&self->map, name, name_size);
    }
    if (!entry) {
        errno = ENOENT;
        return strata_fail (error, "archive %.200s has no member %.200s", self->path, name);
    }
    *member = entry->member;
    return 0;
}

static int damaged (const struct tar *self, const char *name, const char *what, struct strata_error *error)
{
    errno = EBADMSG;
    return strata_fail (error, "member %.150s of archive %.150s is damaged: %s", name, self->path, what);
}

/* Whether the member's own header says what we take for granted. header: its last block, as it was read. */
static bool agrees (struct tar *self, const uint8_t *header, const char *name, const struct tar_member *member)
{
    uint8_t before[TAR_HEADER_MAX];
    size_t name_size = strlen (name), more = tar_header_size (name, name_size) - TAR_BLOCK;
    if (more && (member->offset < more + TAR_BLOCK || files_read_at (self->fd, before, more, member->offset - TAR_BLOCK - more) < 0))
        return false;
    return tar_header_is (header, before, more, name, name_size, member->size);
}

/* One read of header and data. -1: can't be read. */
static int read_both (struct tar *self, uint64_t from, uint8_t *header, void *data, size_t size)
{
    struct iovec parts[2] = { { header, TAR_BLOCK }, { data, size } };
    ssize_t n = preadv (self->fd, parts, 2, (off_t)from);
    if (n == (ssize_t)(TAR_BLOCK + size))
        return 0;
    if (n < 0 && errno != EINTR)
        return -1;
    return files_read_at (self->fd, header, TAR_BLOCK, from) < 0 ? -1 : files_read_at (self->fd, data, size, from + TAR_BLOCK);
}

int tar_read (struct tar *self, const char *name, const struct tar_member *member, uint64_t offset, size_t length, void *buffer,
              struct strata_error *error)
{
    uint8_t header[TAR_BLOCK];
    if (offset > member->size || length > member->size - offset || member->offset < TAR_BLOCK) {
        errno = EINVAL;
        return strata_fail (error, "member %.200s of archive %.200s has %llu bytes: there are none from %llu to %llu", name,
                            self->path, (unsigned long long)member->size, (unsigned long long)offset,
                            (unsigned long long)(offset + length));
    }
    int rc;
    if (offset == 0)
        rc = read_both (self, member->offset - TAR_BLOCK, header, buffer, length);
    else if ((rc = files_read_at (self->fd, header, TAR_BLOCK, member->offset - TAR_BLOCK)) == 0)
        rc = files_read_at (self->fd, buffer, length, member->offset + offset);
    if (rc < 0)
        return errno == EBADMSG ? damaged (self, name, "the archive ends before it does", error)
                                : strata_fail (error, "member %.200s of archive %.200s can't be read: %s", name, self->path,
                                               strerror (errno));
    /* What was found by going through the headers agrees with them. */
    if (!self->by_walk && !agrees (self, header, name, member))
        return damaged (self, name, "its header says otherwise than the index", error);
    return 0;
}

int tar_get (struct tar *self, const char *name, void **data, size_t *size, struct strata_error *error)
{
    struct tar_member member;
    *data = NULL;
    for (int tries = 0;; tries++) {
        if (tar_find (self, name, &member, error) < 0)
            return -1;
        if (member.size > SIZE_MAX / 2 || !(*data = malloc (member.size ? member.size : 1))) {
            errno = ENOMEM;
            return strata_fail (error, "member %.200s of archive %.200s: out of memory for its %llu bytes", name, self->path,
                                (unsigned long long)member.size);
        }
        *size = (size_t)member.size;
        if (tar_read (self, name, &member, 0, *size, *data, error) == 0)
            return 0;
        int saved = errno;
        free (*data);
        *data = NULL;
        errno = saved;
        if (errno != EBADMSG || self->by_walk || tries || tar_load_by_walk (self, error) < 0)
            return -1;
    }
}

int tar_each (struct tar *self, const char *prefix, tar_each_f *each, void *arg, struct strata_error *error)
{
    size_t prefix_size = strlen (prefix);
    if (tar_load (self, error) < 0 || look_again (self, error) < 0)
        return -1;
    for (size_t i = 0; i < self->map.count; i++) {
        const struct tar_entry *entry = &self->map.entries[i];
        const char *name = self->map.names + entry->name;
        int rc;
        if (strncmp (name, prefix, prefix_size) == 0 && (rc = each (name, &entry->member, arg)) != 0)
            return rc;
    }
    return 0;
}

size_t tar_count (const struct tar *self)
{
    return self->map.count;
}
