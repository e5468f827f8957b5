/* generation.h - the folders of a shard, one a generation: made as a whole or not at all, and removed.
 *
 * A new one is made under a name of its own (.taking-XXXXXX) and renamed into place: the folder with the next number is
 * whole, and of two that make the same one the second fails. Files that a store never changes (tables, records) are linked, so
 * that it costs no room; the others are copied, in an order in which a holder that still writes can't tear what is
 * copied: logs, tables, then the manifest. What is then in the copy is all that was synced before copying began; should
 * the old holder have removed a file in between, the copy does not open and is made again.
 */
#ifndef STRATA_STORE_GENERATION_H
#define STRATA_STORE_GENERATION_H

#include <stdint.h>

#include "store/lease.h"

/* The highest generation in `dir`; 0: none. */
uint64_t generation_newest (const char *dir);
void generation_path (const char *dir, uint64_t generation, char path[LEASE_PATH_MAX]);

/* Makes generation `to` from the files in folder `from` (NULL: an empty one), with an empty file `mark` in it that *mark_fd has
 * open and locked (flock). 0, or -1: errno EBUSY when there is such a generation already. */
int generation_make (const char *dir, const char *from, uint64_t to, const char *mark, lease_try_f *try_store, void *arg,
                     int *mark_fd, struct strata_error *error);

/* Copies the store in folder `from`, which a process may write meanwhile, into the new folder `to`, as generation_make does,
 * until try_store finds it whole. */
int generation_copy (const char *from, const char *to, lease_try_f *try_store, void *arg, struct strata_error *error);

/* Links the segments of streams (stream_log.h) in folder `from` into folder `to`. */
void generation_link_records (const char *from, const char *to);

/* Removes what is below generation `keep`: older ones, files of a store from before there were generations, and what
 * processes left that died while they made one (their `mark` is not locked). */
void generation_sweep (const char *dir, uint64_t keep, const char *mark);

#endif
