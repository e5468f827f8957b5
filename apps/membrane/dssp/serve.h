/* serve.h - membrane-dssp as a worker of feedback.patterns: frame after frame (services/feedback/workers.h has the form). */
#ifndef MEMBRANE_DSSP_SERVE_H
#define MEMBRANE_DSSP_SERVE_H

#include <stdio.h>

#include "strata_error.h"

#define SERVE_BYTES_MAX (64 << 20) /* of a frame */

/* Answers every frame of `in` on `out`, until in ends. A frame that can't be read is answered by an error. -1: the input does not
 * have that form. */
int serve (FILE *in, FILE *out, struct strata_error *error);

#endif
