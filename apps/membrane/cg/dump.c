/* dump.c - see dump.h */
#include "dump.h"

#include <errno.h>
#include <string.h>

#include "strata_xtc.h"

static void print_frame (FILE *out, const char *path, int number, const struct xtc_frame *frame)
{
    fprintf (out, "%s frame %d:\n", path, number);
    fprintf (out, "   natoms=%10d  step=%10lld  time=%.7e  prec=%10g\n", (int)frame->natoms, (long long)frame->step,
             (double)frame->time_ps, (double)frame->precision);
    fprintf (out, "   box (3x3):\n");
    for (int i = 0; i < 3; i++)
        fprintf (out, "      box[%5d]={%12.5e, %12.5e, %12.5e}\n", i, (double)frame->box[i][0],
                 (double)frame->box[i][1], (double)frame->box[i][2]);
    fprintf (out, "   x (%dx3):\n", (int)frame->natoms);
    for (int i = 0; i < frame->natoms; i++)
        fprintf (out, "      x[%5d]={%12.5e, %12.5e, %12.5e}\n", i, (double)frame->x[3 * (size_t)i],
                 (double)frame->x[3 * (size_t)i + 1], (double)frame->x[3 * (size_t)i + 2]);
}

int cg_dump_xtc (const char *path, FILE *out, struct strata_error *error)
{
    struct xtc *xtc = xtc_open (path, 0, error);
    if (!xtc)
        return -1;
    struct xtc_frame frame = { 0 };
    int rc, frames = 0;
    while ((rc = xtc_next (xtc, &frame, error)) == 1)
        print_frame (out, path, frames++, &frame);
    xtc_close (&xtc);
    if (rc == 0 && frames == 0)
        return strata_fail (error, "%s: there is no whole frame in it", path);
    if (rc == 0 && (fflush (out) != 0 || ferror (out)))
        return strata_fail (error, "cannot write the frames: %s", strerror (errno));
    return rc;
}
