/* createsim_patches.h - the force field, and patches made in memory, for the tests of apps/membrane/createsim. */
#ifndef TEST_CREATESIM_PATCHES_H
#define TEST_CREATESIM_PATCHES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../apps/membrane/createsim/forcefield.h"
#include "../../apps/membrane/createsim/patch.h"
#include "../../apps/membrane/createsim/random.h"

#define TEST_GRID 37

static struct forcefield *forcefield;

static inline int read_forcefield (void **state)
{
    struct strata_error error = { "" };
    char dir[4096];

    if (forcefield_find (NULL, dir, sizeof dir, &error) < 0 || (forcefield = forcefield_read (dir, &error)) == NULL) {
        print_error ("%s\n", error.text);
        return -1;
    }
    return 0;
}

static inline int free_forcefield (void **state)
{
    forcefield_free (&forcefield);
    return 0;
}

/* A membrane of the plasma membrane's kind, each density varied by up to +-90 % over the patch. */
static inline void test_patch_init (struct createsim_patch *patch, uint64_t seed)
{
    static const double mean[CREATESIM_LIPIDS] = {
        .28, .16, .28, .14, .10, .22, .06, .45, .42, .16, .09, .04, .30, .55
    };
    struct createsim_random random = { .state = seed };

    memset (patch, 0, sizeof *patch);
    snprintf (patch->id, sizeof patch->id, "test-%llu", (unsigned long long) seed);
    snprintf (patch->configuration, sizeof patch->configuration, "lipid-only");
    snprintf (patch->simulation, sizeof patch->simulation, "macro-1");
    patch->snapshot = 7;
    patch->time_fs = 1e6;
    patch->edge_nm = 30;
    patch->grid = TEST_GRID;
    patch->density = malloc (TEST_GRID * TEST_GRID * CREATESIM_LIPIDS * sizeof (float));
    patch->proteins = calloc (8, sizeof *patch->proteins);
    patch->complexes = calloc (8, sizeof *patch->complexes);
    if (patch->density == NULL || patch->proteins == NULL || patch->complexes == NULL)
        abort ();
    for (size_t k = 0; k < CREATESIM_LIPIDS; k++) {
        double level = mean[k] * (0.1 + 1.8 * createsim_random_real (&random)),
               slope = createsim_random_real (&random) - 0.5;

        for (size_t i = 0; i < TEST_GRID * TEST_GRID; i++)
            patch->density[i * CREATESIM_LIPIDS + k] =
                (float) (level * (1 + slope * ((double) (i % TEST_GRID) / TEST_GRID - 0.5))
                         * (0.6 + 0.8 * createsim_random_real (&random)));
    }
}

static inline void test_patch_add (struct createsim_patch *patch, uint32_t id, const char *state, double x, double y)
{
    struct createsim_patch_protein *protein = &patch->proteins[patch->nproteins++];

    protein->id = id;
    snprintf (protein->state, sizeof protein->state, "%s", state);
    protein->position[0] = x;
    protein->position[1] = y;
    snprintf (patch->configuration, sizeof patch->configuration, "ras");
}

static inline void test_patch_bind (struct createsim_patch *patch, uint32_t ras, uint32_t raf)
{
    patch->complexes[patch->ncomplexes][0] = ras;
    patch->complexes[patch->ncomplexes++][1] = raf;
    snprintf (patch->configuration, sizeof patch->configuration, "ras-raf");
}

#endif
