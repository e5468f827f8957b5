/* tar_verify.c - archives compared with their indexes, and indexes made anew. See strata_tar.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/tar_header.h"
#include "data/tar_impl.h"

/* Members in order, to be compared with the lines in order. */
struct seen {
    struct tar_map names; /* of all members */
    struct tar_member *members;
    uint64_t *name_of;    /* entry of each member */
    size_t count, room;
};

static bool see (const char *name, size_t name_size, const struct tar_member *member, void *arg)
{
    struct seen *seen = arg;
    if (seen->count == seen->room) {
        size_t room = seen->room ? 2 * seen->room : 1024;
        struct tar_member *members = realloc (seen->members, room * sizeof (*members));
        if (members)
            seen->members = members;
        uint64_t *name_of = members ? realloc (seen->name_of, room * sizeof (*name_of)) : NULL;
        if (!name_of)
            return false;
        seen->name_of = name_of;
        seen->room = room;
    }
    if (!tar_map_put (&seen->names, name, name_size, member))
        return false;
    seen->members[seen->count] = *member;
    seen->name_of[seen->count++] = (uint64_t)(tar_map_find (&seen->names, name, name_size) - seen->names.entries);
    return true;
}

static void seen_free (struct seen *seen)
{
    tar_map_clear (&seen->names);
    free (seen->members);
    free (seen->name_of);
}

static int by_offset (const void *key, const void *element)
{
    uint64_t a = *(const uint64_t *)key, b = ((const struct tar_member *)element)->offset;
    return a < b ? -1 : a > b;
}

/* The member that the line names, or -1. */
static long line_member (const struct seen *seen, const char *name, size_t name_size, const struct tar_member *member)
{
    const struct tar_member *found =
        seen->count ? bsearch (&member->offset, seen->members, seen->count, sizeof (*seen->members), by_offset) : NULL;
    if (!found || found->size != member->size)
        return -1;
    const struct tar_entry *entry = &seen->names.entries[seen->name_of[found - seen->members]];
    return entry->name_size == name_size && memcmp (seen->names.names + entry->name, name, name_size) == 0 ? found - seen->members
                                                                                                            : -1;
}

static void first (struct tar_report *report, const char *what, uint64_t at, const char *name)
{
    char shown[81];
    size_t n = 0;
    for (; n < sizeof (shown) - 1 && name[n]; n++)
        shown[n] = name[n] >= ' ' && name[n] <= '~' ? name[n] : '?';
    shown[n] = '\0';
    if (!report->first[0])
        snprintf (report->first, sizeof (report->first), "%s %llu (%s)", what, (unsigned long long)at, shown);
}

static int compare_index (const struct seen *seen, FILE *index, const char *index_path, struct tar_report *report,
                          struct strata_error *error)
{
    enum { ROOM = 1 << 20 };
    char *text = malloc (ROOM), *name = malloc (TAR_NAME_MAX + 1);
    bool *indexed = calloc (seen->count ? seen->count : 1, sizeof (*indexed));
    size_t size = 0;
    uint64_t line = 0;
    bool more = text && name && indexed;
    int rc = more ? 0 : strata_fail (error, "out of memory to verify index %.300s", index_path);
    while (more) {
        size_t n = fread (text + size, 1, ROOM - size, index), at = 0;
        more = n > 0;
        size += n;
        for (long length; at < size; at += (size_t)length) {
            struct tar_member member;
            size_t name_size;
            length = tar_line_parse (text + at, size - at, name, &name_size, &member);
            if (length == 0 && more)
                break;
            line++;
            long which = length > 0 ? line_member (seen, name, name_size, &member) : -1;
            if (which >= 0) {
                indexed[which] = true;
                continue;
            }
            report->wrongly_indexed++;
            first (report, "the index is wrong in line", line, length > 0 ? name : "no line");
            if (length <= 0) { /* on from the next newline */
                char *end = memchr (text + at, '\n', size - at);
                length = end ? end + 1 - (text + at) : (long)(size - at);
            }
        }
        memmove (text, text + at, size - at);
        size -= at;
        if (!more && ferror (index))
            rc = strata_fail (error, "index %.300s can't be read: %s", index_path, strerror (errno));
    }
    for (size_t i = 0; rc == 0 && i < seen->count; i++)
        if (!indexed[i] && seen->names.entries[seen->name_of[i]].member.offset == seen->members[i].offset) {
            /* One that a later member of its name replaced need not be there: an index made anew lacks it. */
            report->not_indexed++;
            first (report, "the index lacks the member at byte", seen->members[i].offset,
                   seen->names.names + seen->names.entries[seen->name_of[i]].name);
        }
    free (text);
    free (name);
    free (indexed);
    return rc;
}

static int open_archive (const char *path, int flags, uint64_t *size, struct strata_error *error)
{
    struct stat st;
    int fd = open (path, flags | O_CLOEXEC);
    if (fd >= 0 && fstat (fd, &st) == 0 && S_ISREG (st.st_mode)) {
        *size = (uint64_t)st.st_size;
        return fd;
    }
    int saved = fd < 0 ? errno : EINVAL;
    if (fd >= 0)
        close (fd);
    errno = saved;
    return strata_fail (error, "archive %.300s can't be opened: %s", path, fd < 0 ? strerror (saved) : "no regular file");
}

/* Goes through all headers; scan has the file, and what is to be done with each member. */
static int scan_all (const char *path, struct tar_scan *scan, struct strata_error *error)
{
    *scan->report = (struct tar_report){ .members = 0 };
    scan->resync = true;
    if (tar_scan (scan, path, error) < 0)
        return -1;
    if (scan->report->members || scan->step != TAR_STEP_BROKEN || scan->size < TAR_BLOCK)
        return 0;
    errno = EBADMSG;
    return strata_fail (error, "%.400s is no tar archive", path);
}

int tar_verify (const char *path, struct tar_report *report, tar_progress_f *progress, void *arg, struct strata_error *error)
{
    char index_path[TAR_NAMES_PATH + 8];
    struct seen seen = { .count = 0 };
    struct tar_scan scan = { .member = see, .arg = &seen, .progress = progress, .progress_arg = arg, .report = report };
    int fd = scan.fd = open_archive (path, O_RDONLY, &scan.size, error), rc = -1;
    if (fd < 0)
        return -1;
    snprintf (index_path, sizeof (index_path), "%.4090s.pylst", path);
    if (scan_all (path, &scan, error) == 0) {
        FILE *index = fopen (index_path, "re");
        if (index) {
            rc = compare_index (&seen, index, index_path, report, error);
            fclose (index);
        } else if (errno == ENOENT) {
            rc = 0;
            report->not_indexed = seen.names.count;
            first (report, "there is no index; names:", seen.names.count, index_path);
        } else
            rc = strata_fail (error, "index %.300s can't be read: %s", index_path, strerror (errno));
    }
    int saved = errno;
    seen_free (&seen);
    close (fd);
    errno = saved;
    return rc;
}

int tar_reindex (const char *path, struct tar_report *report, tar_progress_f *progress, void *arg, struct strata_error *error)
{
    char index_path[TAR_NAMES_PATH + 8];
    struct tar_index_file file;
    struct tar_scan scan = { .member = tar_index_add, .arg = &file, .progress = progress, .progress_arg = arg, .report = report };
    int fd = open_archive (path, O_RDWR, &scan.size, error);
    bool locked = fd >= 0 && flock (fd, LOCK_EX | LOCK_NB) == 0;
    if (fd < 0 && (errno == EACCES || errno == EROFS || errno == EPERM))
        fd = open_archive (path, O_RDONLY, &scan.size, error);
    else if (fd >= 0 && !locked) {
        close (fd);
        errno = EBUSY;
        return strata_fail (error, "archive %.300s: another process appends to it", path);
    }
    if (fd < 0)
        return -1;
    scan.fd = fd;
    snprintf (index_path, sizeof (index_path), "%.4090s.pylst", path);
    int rc = tar_index_begin (&file, index_path, error);
    if (rc == 0) {
        rc = scan_all (path, &scan, error);
        if (rc == 0 && report->tail_bytes && locked && ftruncate (fd, (off_t)scan.end) < 0)
            rc = strata_fail (error, "archive %.300s can't be cut: %s", path, strerror (errno));
        if (tar_index_end (&file, rc == 0, error) < 0)
            rc = -1;
    }
    int saved = errno;
    close (fd);
    errno = saved;
    return rc;
}
