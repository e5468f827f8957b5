/* fuzz_xtc.c - a trajectory: frames from memory and, the same ones, from the file. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "strata_xtc.h"

static void require_sound (const struct xtc_frame *frame)
{
    FUZZ_REQUIRE (frame->natoms > 0 && isfinite (frame->time_ps));
    for (int32_t i = 0; i < 3 * frame->natoms; i++)
        FUZZ_REQUIRE (isfinite (frame->x[i]));
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct strata_error error = { "" };
    struct xtc_frame frame, same;
    size_t at = 0, used;
    int rc, rc_file = 0;
    struct xtc *memory = xtc_open ("/dev/null", 0, &error);
    struct xtc *file = xtc_open (fuzz_file ("traj.xtc", data, size), 0, &error);
    FUZZ_REQUIRE (memory && file);
    while ((rc = xtc_decode (memory, data + at, size - at, &used, &frame, &error)) == 1) {
        FUZZ_REQUIRE (used > 0 && used <= size - at);
        require_sound (&frame);
        rc_file = xtc_next (file, &same, &error);
        FUZZ_REQUIRE (rc_file == 1 && same.natoms == frame.natoms && same.offset == at && same.step == frame.step);
        FUZZ_REQUIRE (memcmp (same.x, frame.x, (size_t)frame.natoms * 3 * sizeof (float)) == 0);
        at += used;
    }
    fuzz_require_sentence (rc, &error);
    error.text[0] = '\0';
    rc_file = xtc_next (file, &same, &error);
    FUZZ_REQUIRE (rc_file == rc);
    fuzz_require_sentence (rc_file, &error);
    xtc_close (&memory);
    xtc_close (&file);
    return 0;
}
