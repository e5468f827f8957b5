/* files.h - files and folders that are on disk when the function returns. */
#ifndef STRATA_CORE_FILES_H
#define STRATA_CORE_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "strata_error.h"

/* Makes folder `path` and those above it. */
int files_make_dirs (const char *path, struct strata_error *error);
/* Writes and syncs file `name` in the open folder; one that stands there is overwritten. shown: the folder's name in
 * sentences. -1: errno is the reason; a part of the file may stand. The folder itself is the caller's to sync. */
int files_write_synced (int folder, const char *shown, const char *name, const void *data, size_t size,
                        struct strata_error *error);

/* Whether a file's name ends with that. */
bool files_end_with (const char *name, const char *end);
/* Reads all of it. -1 with errno; EBADMSG: the file ends before. */
int files_read_at (int fd, void *data, size_t size, uint64_t offset);

#endif
