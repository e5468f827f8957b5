/* fuzz_gridsim.c - a continuum snapshot. Input: densities, atoms and bonds as parts (see fuzz_split). */
#include <math.h>
#include <string.h>

#include "fuzz.h"
#include "strata_gridsim.h"

#define LIMIT ((size_t)1 << 20)

static void require_sound (const struct gridsim *s)
{
    FUZZ_REQUIRE (s->nx > 0 && s->ny > 0 && s->lx > 0 && s->ly > 0);
    for (size_t i = 0; i < s->nx * s->ny * GRIDSIM_LIPIDS; i++)
        FUZZ_REQUIRE (isfinite (s->density[i]) && s->density[i] >= 0);
    for (size_t i = 0; i < s->nproteins; i++) {
        const struct gridsim_protein *p = &s->proteins[i];
        FUZZ_REQUIRE (gridsim_state_index (p->type) >= 0 && isfinite (p->z));
        FUZZ_REQUIRE (p->x >= 0 && p->x < s->lx && p->y >= 0 && p->y < s->ly);
    }
    for (size_t i = 0; i < s->nbonds; i++) {
        size_t ends = 0;
        for (size_t k = 0; k < s->nproteins; k++)
            ends += (s->proteins[k].id == s->bonds[i].a) + (s->proteins[k].id == s->bonds[i].b);
        FUZZ_REQUIRE (ends == 2);
    }
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    static const char *const names[3] = { "in/densities#000000", "in/atoms#000000", "in/bonds#000000" };
    struct strata_error error = { "" };
    struct fuzz_part parts[3];
    struct gridsim snapshot;
    fuzz_split (data, size, parts, 3);
    for (int i = 0; i < 3; i++)
        fuzz_file (names[i], parts[i].data, parts[i].size);
    int rc = gridsim_read (fuzz_path ("in"), LIMIT, &snapshot, &error);
    fuzz_require_sentence (rc, &error);
    if (rc == 0) {
        require_sound (&snapshot);
        gridsim_fini (&snapshot);
    }
    return 0;
}
