/* strata_xtc.h - reads GROMACS XTC trajectories, also while they grow.
 *
 * XTC = XDR frames: magic 1995, natoms, step, time, box[3][3], then for natoms <= 9 plain floats, else the compressed
 * 3dfcoord block (the xdr3dfcoord algorithm: integer coordinates at `precision`, small differences bit-packed).
 * A frame that is not yet whole at the end of the file is "not yet", never an error; a frame that is broken is.
 */
#ifndef STRATA_XTC_H
#define STRATA_XTC_H

#include <stddef.h>
#include <stdint.h>

#include "strata_error.h"

struct xtc;

struct xtc_frame {
    int32_t natoms;
    int64_t step;
    float time_ps;
    float box[3][3];    /* nm, rows are box vectors */
    float precision;
    float *x;           /* [natoms][3] nm, owned by the reader, valid until the next call */
    uint64_t offset;    /* of this frame in the file; with xtc_seek: where to go on after a restart */
};

/* natoms: what the topology says, 0 = take the first frame's. */
struct xtc *xtc_open (const char *path, int32_t natoms, struct strata_error *error);
void xtc_close (struct xtc **self);
/* 1: *frame is the next one. 0: no whole frame there yet. -1: broken (error names file, offset, reason). */
int xtc_next (struct xtc *self, struct xtc_frame *frame, struct strata_error *error);
int xtc_seek (struct xtc *self, uint64_t offset, struct strata_error *error);
/* Decodes one frame from memory; what the fuzzer and xtc_next call. *used: bytes the frame took. Returns as xtc_next. */
int xtc_decode (struct xtc *self, const void *data, size_t size, size_t *used, struct xtc_frame *frame,
                struct strata_error *error);

#endif
