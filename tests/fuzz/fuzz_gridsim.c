/* fuzz_gridsim.c - a continuum snapshot. Input: densities, atoms and bonds as parts (see fuzz_split). */
#include <math.h>
#include <stdio.h>
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

/* What was read can be written, and reads back: the same grid and proteins, coordinates to the writer's precision. */
static void require_same_again (const struct gridsim *s)
{
    struct strata_error error = { "" };
    struct gridsim again;
    char path[512], name[64];
    strcpy (path, fuzz_path ("out/none"));
    *strrchr (path, '/') = '\0';
    if (gridsim_write (path, s, &error) < 0)
        fuzz_broken (__FILE__, __LINE__, "what was read can be written", error.text);
    snprintf (name, sizeof (name), "out/snapshot.%08llu", (unsigned long long)s->loop);
    strcpy (path, fuzz_path (name));
    if (gridsim_read (path, 0, &again, &error) < 0)
        fuzz_broken (__FILE__, __LINE__, "what was written can be read", error.text);
    FUZZ_REQUIRE (again.nx == s->nx && again.ny == s->ny && again.loop == s->loop && again.nproteins == s->nproteins
                  && again.nbonds == s->nbonds);
    FUZZ_REQUIRE (memcmp (again.density, s->density, s->nx * s->ny * GRIDSIM_LIPIDS * sizeof (float)) == 0);
    for (size_t i = 0; i < s->nproteins; i++) {
        FUZZ_REQUIRE (again.proteins[i].id == s->proteins[i].id);
        FUZZ_REQUIRE (strcmp (again.proteins[i].type, s->proteins[i].type) == 0);
    }
    gridsim_fini (&again);
    fuzz_remove (path);
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
        require_same_again (&snapshot);
        gridsim_fini (&snapshot);
    }
    return 0;
}
