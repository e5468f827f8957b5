/* tar_impl.h - an open archive, shared by the files that append, read and keep it in order. See strata_tar.h. */
#ifndef STRATA_DATA_TAR_IMPL_H
#define STRATA_DATA_TAR_IMPL_H

#include <stdio.h>
#include <sys/types.h>

#include "data/tar_index.h"
#include "data/tar_walk.h"

#define TAR_NAMES_PATH 4096

struct tar {
    char path[TAR_NAMES_PATH], index_path[TAR_NAMES_PATH];
    int fd, index_fd; /* index_fd -1: there is none (when reading) */
    bool append;
    bool dirty_index; /* appending: pending lines could not be written; the index is behind */
    /* Appending: where the next member begins, and lines that are not in the index yet. */
    uint64_t end;
    char *lines;
    size_t lines_size, lines_room;
    /* Names, read when the first is asked for. */
    bool loaded, by_walk; /* by_walk: from the headers, because the index is missing or wrong */
    struct tar_map map;
    uint64_t index_at; /* read so far of the index, */
    uint64_t walked;   /* and of the archive: behind it are members that are not in the map */
    ino_t index_inode;
    int64_t looked_us; /* when the index was looked at last */
};

/* tar_read.c. -1 with errno: can't be read. */
int tar_load (struct tar *self, struct strata_error *error);
/* From the headers alone. */
int tar_load_by_walk (struct tar *self, struct strata_error *error);

/* Calls member for each that counts, in order; -1 with errno when it returned false (out of memory) or told to stop (EINTR).
 * *end: where the next one belongs; step: what stands there. report (may be NULL) is filled. */
struct tar_scan {
    int fd;
    uint64_t from, size;
    bool resync; /* passes over what is broken */
    bool (*member) (const char *name, size_t name_size, const struct tar_member *member, void *arg);
    void *arg;
    tar_progress_f *progress;
    void *progress_arg;
    struct tar_report *report;
    uint64_t end;
    enum tar_step step;
};
int tar_scan (struct tar_scan *scan, const char *path, struct strata_error *error);
/* A whole new index: begun beside the old one, filled, and put in its place (or, with keep false, removed). -1 with errno. */
struct tar_index_file {
    const char *index_path;
    char path[TAR_NAMES_PATH + 8];
    FILE *out;
};
int tar_index_begin (struct tar_index_file *file, const char *index_path, struct strata_error *error);
bool tar_index_add (const char *name, size_t name_size, const struct tar_member *member, void *file);
int tar_index_end (struct tar_index_file *file, bool keep, struct strata_error *error);

#endif
