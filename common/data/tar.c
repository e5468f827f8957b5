/* tar.c - opening and appending. See strata_tar.h.
 *
 * A member is written first, its line into the index later: so a line never names what is not there, and what a crash left
 * without a line is found behind the last one. Whoever opens to append looks at the last line alone, if the member's own
 * header agrees with it: an archive of a million members opens as fast as one of ten.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/files.h"
#include "data/tar_header.h"
#include "data/tar_impl.h"

#define LINES_FLUSH ((size_t)64 << 10) /* lines that are kept back at most */
#define LAST_WINDOW (2 * TAR_LINE_MAX)
#define GROUP 64 /* members in one write */
#define COPY ((size_t)1 << 20)

static const uint8_t zeros[TAR_BLOCK];

static int failed (const struct tar *self, const char *what, struct strata_error *error)
{
    return strata_fail (error, "archive %.300s can't be %s: %s", self->path, what, strerror (errno));
}

/* ---- the index's file ---- */

static int write_all (int fd, const char *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = write (fd, data + done, size - done);
        if (n >= 0)
            done += (size_t)n;
        else if (errno != EINTR)
            return -1;
    }
    return 0;
}

/* What was not written whole is torn; the next that opens the archive sees that, and until then lines go nowhere. */
static int flush_lines (struct tar *self, struct strata_error *error)
{
    if (self->dirty_index) {
        errno = EIO;
        return strata_fail (error, "index %.300s could not be written before; open the archive anew", self->index_path);
    }
    if (self->lines_size && write_all (self->index_fd, self->lines, self->lines_size) < 0) {
        self->dirty_index = true;
        return strata_fail (error, "index %.300s can't be written: %s", self->index_path, strerror (errno));
    }
    self->lines_size = 0;
    return 0;
}

static bool room_for_line (struct tar *self)
{
    if (self->lines_room - self->lines_size >= TAR_LINE_MAX)
        return true;
    size_t room = self->lines_room ? 2 * self->lines_room : 2 * LINES_FLUSH;
    char *bigger = realloc (self->lines, room);
    if (!bigger)
        return false;
    self->lines = bigger;
    self->lines_room = room;
    return true;
}

/* False: out of memory. */
static bool add_line (struct tar *self, const char *name, size_t name_size, const struct tar_member *member)
{
    if (!room_for_line (self))
        return false;
    self->lines_size += tar_line_make (self->lines + self->lines_size, name, name_size, member);
    return !self->loaded || tar_map_put (&self->map, name, name_size, member);
}

static int index_open (struct tar *self, struct strata_error *error)
{
    if (self->index_fd >= 0)
        close (self->index_fd);
    self->index_fd = open (self->index_path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    return self->index_fd < 0 ? strata_fail (error, "index %.300s can't be opened: %s", self->index_path, strerror (errno)) : 0;
}

int tar_index_begin (struct tar_index_file *file, const char *index_path, struct strata_error *error)
{
    file->index_path = index_path;
    snprintf (file->path, sizeof (file->path), "%.4090s.new", index_path);
    file->out = fopen (file->path, "we");
    return file->out ? 0 : strata_fail (error, "index %.300s can't be written: %s", file->path, strerror (errno));
}

bool tar_index_add (const char *name, size_t name_size, const struct tar_member *member, void *arg)
{
    struct tar_index_file *file = arg;
    char line[TAR_LINE_MAX];
    size_t n = tar_line_make (line, name, name_size, member);
    return fwrite (line, 1, n, file->out) == n;
}

int tar_index_end (struct tar_index_file *file, bool keep, struct strata_error *error)
{
    int saved = errno;
    bool fine = keep && fflush (file->out) == 0 && fsync (fileno (file->out)) == 0;
    if (keep && !fine)
        saved = errno;
    if (fclose (file->out) != 0 && fine) {
        fine = false;
        saved = errno;
    }
    if (fine && rename (file->path, file->index_path) == 0)
        return 0;
    if (fine)
        saved = errno;
    unlink (file->path);
    errno = saved;
    return keep ? strata_fail (error, "index %.300s can't be written: %s", file->index_path, strerror (saved)) : 0;
}

/* ---- opening ---- */

/* The end of the last member that the index names, if its header agrees: *end. False: the index is of no use. */
static bool end_by_index (struct tar *self, uint64_t file_size, uint64_t *end)
{
    struct stat st;
    struct tar_member member;
    uint8_t blocks[TAR_HEADER_MAX];
    bool agrees = false;
    *end = 0;
    if (fstat (self->index_fd, &st) < 0)
        return false;
    if (st.st_size == 0)
        return file_size == 0;
    size_t size = st.st_size < (off_t)LAST_WINDOW ? (size_t)st.st_size : LAST_WINDOW, line_end, name_size;
    char *text = malloc (size), *name = malloc (TAR_NAME_MAX + 1);
    if (text && name && files_read_at (self->index_fd, text, size, (uint64_t)st.st_size - size) == 0) {
        size_t at = tar_line_last (text, size, &line_end);
        if (at < size && line_end == size && (at > 0 || size == (size_t)st.st_size)
            && tar_line_parse (text + at, size - at, name, &name_size, &member) == (long)(size - at)) {
            size_t header = tar_header_size (name, name_size);
            agrees = member.offset >= header && member.offset <= file_size && member.size <= file_size - member.offset
                     && files_read_at (self->fd, blocks, header, member.offset - header) == 0
                     && tar_header_is (blocks + header - TAR_BLOCK, blocks, header - TAR_BLOCK, name, name_size, member.size);
            *end = member.offset + tar_round (member.size);
        }
    }
    free (text);
    free (name);
    return agrees;
}

static bool line_of_tail (const char *name, size_t name_size, const struct tar_member *member, void *arg)
{
    return add_line (arg, name, name_size, member);
}

/* A file that was something else may not be cut: it holds members, or nothing, or the beginning of one. */
static int is_archive (const struct tar *self, const struct tar_scan *scan, uint64_t members, struct strata_error *error)
{
    if (members || scan->from || scan->step != TAR_STEP_BROKEN || scan->size < TAR_BLOCK)
        return 0;
    errno = EBADMSG;
    return strata_fail (error, "%.400s is no tar archive", self->path);
}

/* The index is missing or wrong: all headers, and a new index. */
static int rebuild (struct tar *self, struct tar_scan *scan, struct strata_error *error)
{
    struct tar_index_file file;
    struct tar_scan whole = *scan;
    if (tar_index_begin (&file, self->index_path, error) < 0)
        return -1;
    whole.from = 0;
    whole.member = tar_index_add;
    whole.arg = &file;
    int rc = tar_scan (&whole, self->path, error);
    if (rc == 0)
        rc = is_archive (self, &whole, whole.report->members, error);
    scan->end = whole.end;
    if (tar_index_end (&file, rc == 0, error) < 0 || rc < 0)
        return -1;
    return index_open (self, error);
}

/* Finds where to append, brings the index up to date, and cuts off what no member is. */
static int find_end (struct tar *self, uint64_t *cut, struct strata_error *error)
{
    struct stat st;
    struct tar_report report = { .members = 0 };
    if (fstat (self->fd, &st) < 0)
        return failed (self, "read", error);
    if (!S_ISREG (st.st_mode)) {
        errno = EINVAL;
        return strata_fail (error, "archive %.300s is no regular file", self->path);
    }
    struct tar_scan scan = { .fd = self->fd, .size = (uint64_t)st.st_size, .resync = true, .member = line_of_tail, .arg = self,
                             .report = &report };
    if (!end_by_index (self, scan.size, &scan.from)) {
        if (rebuild (self, &scan, error) < 0)
            return -1;
    } else if (scan.from < scan.size) {
        if (tar_scan (&scan, self->path, error) < 0 || is_archive (self, &scan, report.members, error) < 0)
            return -1;
    } else
        scan.end = scan.from;
    self->end = scan.end;
    *cut = report.tail_bytes;
    if (scan.end != scan.size && ftruncate (self->fd, (off_t)scan.end) < 0)
        return failed (self, "cut", error);
    return flush_lines (self, error);
}

struct tar *tar_open (const char *path, enum tar_mode mode, uint64_t *cut, struct strata_error *error)
{
    struct tar *self = calloc (1, sizeof (*self));
    uint64_t ignored;
    int rc = 0;
    if (!self) {
        errno = ENOMEM;
        strata_fail (error, "out of memory");
        return NULL;
    }
    self->index_fd = self->fd = -1;
    self->append = mode == TAR_APPEND;
    if ((size_t)snprintf (self->path, sizeof (self->path), "%s", path) + sizeof (".pylst") > TAR_NAMES_PATH - 16) {
        errno = ENAMETOOLONG;
        rc = strata_fail (error, "archive %.200s...: the path is too long", path);
    } else {
        snprintf (self->index_path, sizeof (self->index_path), "%.4080s.pylst", path);
        self->fd = open (path, self->append ? O_RDWR | O_CREAT | O_CLOEXEC : O_RDONLY | O_CLOEXEC, 0666);
        if (self->fd < 0)
            rc = failed (self, "opened", error);
    }
    if (rc == 0 && !self->append)
        self->index_fd = open (self->index_path, O_RDONLY | O_CLOEXEC); /* it may be missing */
    else if (rc == 0) {
        if (flock (self->fd, LOCK_EX | LOCK_NB) < 0) {
            errno = errno == EWOULDBLOCK ? EBUSY : errno;
            rc = errno == EBUSY ? strata_fail (error, "archive %.300s: another process appends to it", path)
                                : failed (self, "locked", error);
        }
        if (rc == 0)
            rc = index_open (self, error);
        if (rc == 0)
            rc = find_end (self, cut ? cut : &ignored, error);
    }
    if (rc < 0) {
        int saved = errno;
        self->append = false; /* nothing to flush */
        tar_close (&self, NULL);
        errno = saved;
    }
    return self;
}

int tar_close (struct tar **self_p, struct strata_error *error)
{
    struct tar *self = *self_p;
    int rc = 0;
    if (!self)
        return 0;
    if (self->append)
        rc = flush_lines (self, error);
    int saved = errno;
    if (self->fd >= 0)
        close (self->fd);
    if (self->index_fd >= 0)
        close (self->index_fd);
    tar_map_clear (&self->map);
    free (self->lines);
    free (self);
    *self_p = NULL;
    errno = saved;
    return rc;
}

/* ---- appending ---- */

static int check_append (const struct tar *self, const char *name, uint64_t size, struct strata_error *error)
{
    size_t n = strlen (name);
    errno = EINVAL;
    if (!self->append)
        return strata_fail (error, "archive %.300s was opened for reading", self->path);
    if (n == 0 || n > TAR_NAME_MAX || name[n - 1] == '/')
        return strata_fail (error, "a member's name has 1-%d bytes and no '/' at its end; '%.100s%s' has %zu", TAR_NAME_MAX, name,
                            n > 100 ? "..." : "", n);
    if (size > TAR_SIZE_MAX)
        return strata_fail (error, "member %.200s: %llu bytes are more than an archive can hold", name, (unsigned long long)size);
    return 0;
}

static int write_parts (int fd, struct iovec *parts, int count, uint64_t offset)
{
    for (int i = 0; i < count;) {
        ssize_t n = pwritev (fd, parts + i, count - i, (off_t)offset);
        if (n < 0) {
            if (errno != EINTR)
                return -1;
            continue;
        }
        offset += (uint64_t)n;
        for (; i < count && (size_t)n >= parts[i].iov_len; i++)
            n -= (ssize_t)parts[i].iov_len;
        if (i < count) {
            parts[i].iov_base = (char *)parts[i].iov_base + n;
            parts[i].iov_len -= (size_t)n;
        }
    }
    return 0;
}

/* Back to `end` after a failure; errno is left. What can't be cut is written over, and found torn if it is not. */
static void take_back (struct tar *self, uint64_t end, size_t lines_size)
{
    int saved = errno;
    self->lines_size = lines_size;
    self->end = end;
    if (ftruncate (self->fd, (off_t)end) < 0)
        self->dirty_index = true;
    if (self->loaded) {
        tar_map_clear (&self->map);
        self->loaded = false;
    }
    errno = saved;
}

static int append_group (struct tar *self, const struct tar_item *items, size_t count, int64_t mtime_s, struct tar_member *members,
                         struct strata_error *error)
{
    /* Long headers are rare: they share what is left of the room of short ones. */
    static _Thread_local uint8_t headers[GROUP * TAR_BLOCK + TAR_HEADER_MAX];
    struct iovec parts[3 * GROUP];
    size_t used = 0, taken = 0;
    int n = 0;
    uint64_t at = self->end;
    for (; taken < count && taken < GROUP && used <= sizeof (headers) - TAR_HEADER_MAX; taken++) {
        const struct tar_item *item = &items[taken];
        size_t name_size = strlen (item->name), header = tar_header_make (headers + used, item->name, name_size, item->size, mtime_s);
        size_t pad = (size_t)(tar_round (item->size) - item->size);
        struct tar_member member = { at + header, item->size };
        parts[n++] = (struct iovec){ headers + used, header };
        if (item->size)
            parts[n++] = (struct iovec){ (void *)item->data, item->size };
        if (pad)
            parts[n++] = (struct iovec){ (void *)zeros, pad };
        used += header;
        at = member.offset + item->size + pad;
        if (members)
            members[taken] = member;
        if (!add_line (self, item->name, name_size, &member)) {
            errno = ENOMEM;
            return strata_fail (error, "archive %.300s: out of memory for its index", self->path);
        }
    }
    if (write_parts (self->fd, parts, n, self->end) < 0)
        return failed (self, "written", error);
    self->end = at;
    return (int)taken;
}

int tar_append (struct tar *self, const struct tar_item *items, size_t count, int64_t mtime_s, struct tar_member *members,
                struct strata_error *error)
{
    uint64_t end = self->end;
    for (size_t i = 0; i < count; i++)
        if (check_append (self, items[i].name, items[i].size, error) < 0)
            return -1;
    if (self->lines_size >= LINES_FLUSH && flush_lines (self, error) < 0)
        return -1;
    size_t lines_size = self->lines_size;
    for (size_t done = 0; done < count;) {
        int n = append_group (self, items + done, count - done, mtime_s, members ? members + done : NULL, error);
        if (n < 0) {
            take_back (self, end, lines_size);
            return -1;
        }
        done += (size_t)n;
    }
    return 0;
}

/* `size` bytes of fd to `at`. In the kernel where both files allow that. */
static int copy_in (struct tar *self, int fd, uint64_t size, uint64_t at)
{
    bool in_kernel = true;
    char *buffer = NULL;
    int rc = 0;
    while (size && rc == 0) {
        loff_t to = (loff_t)at;
        size_t piece = size < COPY * 64 ? (size_t)size : COPY * 64;
        ssize_t n = in_kernel ? copy_file_range (fd, NULL, self->fd, &to, piece, 0) : -1;
        if (in_kernel && n < 0 && errno != EINTR) {
            in_kernel = false;
            continue;
        }
        if (!in_kernel) {
            if (!buffer && !(buffer = malloc (COPY)))
                rc = -1;
            else if ((n = read (fd, buffer, piece < COPY ? piece : COPY)) > 0)
                rc = write_parts (self->fd, &(struct iovec){ buffer, (size_t)n }, 1, at);
        }
        if (rc == 0 && n == 0) {
            errno = EBADMSG;
            rc = -1;
        } else if (rc == 0 && n < 0)
            rc = errno == EINTR ? 0 : -1;
        else if (rc == 0) {
            at += (uint64_t)n;
            size -= (uint64_t)n;
        }
    }
    free (buffer);
    return rc;
}

int tar_append_file (struct tar *self, const char *name, int fd, uint64_t size, int64_t mtime_s, struct strata_error *error)
{
    uint8_t header[TAR_HEADER_MAX];
    size_t name_size = strlen (name);
    if (check_append (self, name, size, error) < 0 || (self->lines_size >= LINES_FLUSH && flush_lines (self, error) < 0))
        return -1;
    size_t n = tar_header_make (header, name, name_size, size, mtime_s), lines_size = self->lines_size;
    struct tar_member member = { self->end + n, size };
    struct iovec parts[2] = { { header, n }, { (void *)zeros, (size_t)(tar_round (size) - size) } };
    int rc = write_parts (self->fd, parts, 1, self->end);
    if (rc == 0)
        rc = copy_in (self, fd, size, member.offset);
    if (rc == 0 && parts[1].iov_len)
        rc = write_parts (self->fd, parts + 1, 1, member.offset + size);
    if (rc == 0 && !add_line (self, name, name_size, &member)) {
        errno = ENOMEM;
        rc = -1;
    }
    if (rc < 0) {
        if (errno == EBADMSG)
            strata_fail (error, "member %.200s: its file ended before its %llu bytes", name, (unsigned long long)size);
        else
            failed (self, "written", error);
        take_back (self, member.offset - n, lines_size);
        return -1;
    }
    self->end = member.offset + tar_round (size);
    return 0;
}

int tar_sync (struct tar *self, struct strata_error *error)
{
    if (fdatasync (self->fd) < 0)
        return failed (self, "synced", error);
    return flush_lines (self, error);
}

uint64_t tar_end (const struct tar *self)
{
    return self->end;
}

/* Lines of members from `end` on go: they are the index's last ones. False: they were not found there. */
static bool cut_lines (struct tar *self, uint64_t end)
{
    struct stat st;
    struct tar_member member;
    bool found = false;
    if (fstat (self->index_fd, &st) < 0)
        return false;
    size_t size = st.st_size < (off_t)COPY ? (size_t)st.st_size : COPY, at = 0, name_size;
    uint64_t base = (uint64_t)st.st_size - size;
    char *text = malloc (size + 1), *name = malloc (TAR_NAME_MAX + 1);
    if (text && name && files_read_at (self->index_fd, text, size, base) == 0) {
        long length = 0;
        if (base) { /* from the first line that begins here */
            tar_line_last (text, size / 2, &at);
            base += at;
        }
        size_t first = at;
        while (at < size && (length = tar_line_parse (text + at, size - at, name, &name_size, &member)) > 0 && member.offset <= end)
            at += (size_t)length;
        found = length >= 0 && (at > first || base == 0) && ftruncate (self->index_fd, (off_t)(base + at - first)) == 0;
    }
    free (text);
    free (name);
    return found;
}

int tar_cut (struct tar *self, uint64_t end, struct strata_error *error)
{
    struct tar_report report = { .members = 0 };
    struct tar_scan scan = { .fd = self->fd, .size = end, .resync = true, .report = &report };
    if (end > self->end) {
        errno = EBADMSG;
        return strata_fail (error, "archive %.300s ends at byte %llu, before byte %llu", self->path,
                            (unsigned long long)self->end, (unsigned long long)end);
    }
    if (end == self->end)
        return 0;
    bool flushed = flush_lines (self, NULL) == 0;
    if (ftruncate (self->fd, (off_t)end) < 0)
        return failed (self, "cut", error);
    self->end = end;
    self->lines_size = 0;
    tar_map_clear (&self->map);
    self->loaded = self->dirty_index = false;
    return flushed && cut_lines (self, end) ? 0 : rebuild (self, &scan, error);
}
