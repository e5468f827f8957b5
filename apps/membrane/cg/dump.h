/* dump.h - prints a trajectory for people, and for diff against `gmx dump`. */
#ifndef CG_DUMP_H
#define CG_DUMP_H

#include <stdio.h>

#include "strata_error.h"

/* Prints every whole frame of the XTC file `path` to `out` in the text form of `gmx dump -f`. A last frame that is not
 * yet whole is left out. 0, or -1 when the file can't be read, holds no whole frame, or a frame is broken. */
int cg_dump_xtc (const char *path, FILE *out, struct strata_error *error);

#endif
