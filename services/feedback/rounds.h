/* rounds.h - reports as folders, a round each, for the coarser model to read.
 *
 *   <dir>/round.%06d/...   the round's files
 *   <dir>/current          symbolic link to the newest round's folder
 *   <dir>/history.tar      an indexed archive (strata_tar.h) of all rounds ever: round.%06d/<name> of their .npz and .json files
 *
 * A reader that opens <dir>/current sees a whole round or the one before, never a part: the folder is made under another name,
 * synced, and renamed; the link is replaced by rename. One report always gives the same bytes.
 */
#ifndef STRATA_FEEDBACK_ROUNDS_H
#define STRATA_FEEDBACK_ROUNDS_H

#include <stddef.h>
#include <stdint.h>

#include "strata_error.h"

#define ROUNDS_KEPT 10

struct rounds_file {
    const char *name; /* in the round's folder */
    const char *text; /* [size] */
    size_t size;
};

/* Writes the round's files under `dir` (made if missing), points `current` at it, appends it to the archive, and removes rounds
 * older than the last ROUNDS_KEPT once they are in it. count: at least 1; the last file tells a report from every other. Doing it again is harmless. When it returns 0
 * all of it is on disk. -1: nothing but unfinished files under a name of their own was left; the sentence names the file and
 * the reason. */
int rounds_write (const char *dir, uint64_t round, const struct rounds_file *list, size_t count, struct strata_error *error);

/* Points `current` at that round where it names another, or is not there. 1: it did, 0: it is right, or the round is not there. */
int rounds_relink (const char *dir, uint64_t round, struct strata_error *error);

#endif
