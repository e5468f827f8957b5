/* strata_tar.h - indexed tar archives: many small files as one, each read in one step.
 *
 * <path> is a plain POSIX tar file that every tar program reads; <path>.pylst beside it is its index, as pytaridx keeps it: a
 * line `name,offset,size` for each member, offset being that of the member's first byte. In a name a backslash stands before
 * each ',', '\' and newline. An archive only grows: a name that is written again is appended again, and the last one counts.
 *
 * The tar file is the truth, the index a short cut: whatever a reader takes from the index it compares with the member's own
 * header, and goes through the headers when they disagree (pytaridx under Python 3.8 and later writes such indexes). Members
 * behind the index's last line are found too. So an index may be missing, old, cut or wrong: reading is then slower, not wrong.
 *
 * One process appends (a second is refused) while any number read: what was appended is seen by them once it was flushed
 * (tar_sync, tar_close, and now and then between). What a crash left of a last member is cut off by the next that appends.
 * No end-of-archive blocks are written, as pytaridx does: tar programs take the file's end for it. pytaridx reads an archive
 * through an index of another kind, <path>.pytree; its own `reindex` makes that.
 *
 * Formats: POSIX.1-1988 ustar; POSIX.1-2001 pax records path and size; base-256 numbers and long names (type L) of GNU tar.
 * Names are bytes without NUL. Only regular files are members here; folders, links and sparse files are passed over.
 *
 * int functions return 0, or -1 with errno and a sentence: ENOENT no such member, EBADMSG damaged or no tar archive, EBUSY
 * another process appends, EINVAL a name or number that is not allowed, EINTR told to stop, else what the system said.
 */
#ifndef STRATA_TAR_H
#define STRATA_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "strata_error.h"

#define TAR_NAME_MAX 4096 /* bytes of a member's name */

struct tar;

enum tar_mode {
    TAR_READ,
    TAR_APPEND, /* made if missing */
};

/* What going through an archive has found. */
struct tar_report {
    uint64_t members, bytes;      /* regular files, with those that a later one replaced; bytes of their data */
    uint64_t passed_over;         /* members of other kinds */
    uint64_t damaged_bytes;       /* inside: what is no member, and members that were overwritten */
    uint64_t tail_bytes;          /* of a member that was not written whole, at the end */
    uint64_t not_indexed;         /* members that the index lacks */
    uint64_t wrongly_indexed;     /* lines of the index that agree with no member */
    char first[256];              /* a sentence about the first of these; "" when all is well */
};

/* Called now and then with the bytes gone through; false: stop. */
typedef bool tar_progress_f (uint64_t done, uint64_t total, void *arg);

/* cut (may be NULL): with TAR_APPEND, bytes of a torn last member that were cut off. NULL on failure. */
struct tar *tar_open (const char *path, enum tar_mode mode, uint64_t *cut, struct strata_error *error);
/* Flushes (without a sync). -1: the index lacks what it said last; the next that opens it puts that right. */
int tar_close (struct tar **self, struct strata_error *error);

struct tar_member {
    uint64_t offset, size; /* of its data in the file */
};

/* ---- appending ---- */
struct tar_item {
    const char *name; /* NUL-terminated */
    const void *data;
    size_t size;
};
/* All items or none; mtime_s: seconds since 1970. members (may be NULL): [count]. Not on disk before tar_sync. */
int tar_append (struct tar *self, const struct tar_item *items, size_t count, int64_t mtime_s, struct tar_member *members,
                struct strata_error *error);
/* `size` bytes of an open file from its current position on, of any length. */
int tar_append_file (struct tar *self, const char *name, int fd, uint64_t size, int64_t mtime_s, struct strata_error *error);
/* All that was appended is on disk. */
int tar_sync (struct tar *self, struct strata_error *error);
/* Where the next member begins. */
uint64_t tar_end (const struct tar *self);
/* Cuts off all from `end` on, which must be where a member began: what was appended there never happened. */
int tar_cut (struct tar *self, uint64_t end, struct strata_error *error);

/* ---- reading ---- */
/* The member of that name that was appended last; one appended by another process less than 10 ms ago may be missed. */
int tar_find (struct tar *self, const char *name, struct tar_member *member, struct strata_error *error);
/* *data is malloc'ed (one byte at least), the caller frees it. */
int tar_get (struct tar *self, const char *name, void **data, size_t *size, struct strata_error *error);
/* `length` bytes from `offset` on, which must be inside the member, into buffer. The member's header is compared first. */
int tar_read (struct tar *self, const char *name, const struct tar_member *member, uint64_t offset, size_t length, void *buffer,
              struct strata_error *error);
/* Calls each for the names that begin with prefix ("": all), the last of each name, until it returns non-zero: that is
 * returned, else 0. In the order in which the names came first. */
typedef int tar_each_f (const char *name, const struct tar_member *member, void *arg);
int tar_each (struct tar *self, const char *prefix, tar_each_f *each, void *arg, struct strata_error *error);
size_t tar_count (const struct tar *self); /* names; call after tar_find or tar_each */

/* ---- keeping in order ---- */
/* Goes through all headers and compares the index with them. 0 also when something is wrong: see report. */
int tar_verify (const char *path, struct tar_report *report, tar_progress_f *progress, void *arg, struct strata_error *error);
/* Makes the index anew from the headers, in one step (rename). A torn tail is cut off, or left when it can't be. */
int tar_reindex (const char *path, struct tar_report *report, tar_progress_f *progress, void *arg, struct strata_error *error);

#endif
