/* placing.c - see placing.h. */
#include "placing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PUSHES 400

static int in_region (const struct createsim_patch_protein *protein, double edge)
{
    return fabs (protein->position[0]) <= edge / 2 && fabs (protein->position[1]) <= edge / 2;
}

/* The other side of a complex; NULL when the protein is in none. */
static const struct createsim_patch_protein *partner (const struct createsim_patch *patch, uint32_t id, int side)
{
    for (size_t i = 0; i < patch->ncomplexes; i++)
        if (patch->complexes[i][side] == id)
            for (size_t k = 0; k < patch->nproteins; k++)
                if (patch->proteins[k].id == patch->complexes[i][1 - side])
                    return &patch->proteins[k];
    return NULL;
}

/* Moves a and b apart when discs of theirs overlap; 1 when they did. */
static int push (const struct createsim_protein *a, const struct createsim_protein *b, double *pa, double *pb,
                 double edge)
{
    int overlapped = 0;

    for (size_t i = 0; i < a->ndiscs; i++)
        for (size_t k = 0; k < b->ndiscs; k++) {
            double dx = remainder (pb[0] + b->discs[k].x - pa[0] - a->discs[i].x, edge);
            double dy = remainder (pb[1] + b->discs[k].y - pa[1] - a->discs[i].y, edge);
            double d = hypot (dx, dy), least = a->discs[i].radius + b->discs[k].radius;

            if (d >= least)
                continue;
            overlapped = 1;
            if (d < 1e-6) {
                dx = d = 1;
                dy = 0;
            }
            double step = 0.5 * (least - d) + 0.01;
            pa[0] -= step * dx / d;
            pa[1] -= step * dy / d;
            pb[0] += step * dx / d;
            pb[1] += step * dy / d;
        }
    return overlapped;
}

static int spread (const struct createsim_protein *proteins, size_t n, double (*anchors)[2], double edge,
                   struct strata_error *error)
{
    int overlapped = 1;

    for (int round = 0; round < PUSHES && overlapped; round++) {
        overlapped = 0;
        for (size_t i = 0; i < n; i++)
            for (size_t k = i + 1; k < n; k++)
                overlapped |= push (&proteins[i], &proteins[k], anchors[i], anchors[k], edge);
    }
    if (overlapped)
        return strata_fail (error, "%zu proteins do not fit side by side in %g nm; ask for a larger --edge-nm", n,
                            edge);
    for (size_t i = 0; i < n; i++)
        for (int d = 0; d < 2; d++)
            anchors[i][d] = remainder (anchors[i][d], edge);
    return 0;
}

static int place_one (const struct createsim_patch *patch, const struct forcefield *forcefield, double edge,
                      const struct createsim_patch_protein *ras, struct createsim_random *random,
                      struct createsim_protein *protein, double anchor[2], struct strata_error *error)
{
    const struct createsim_patch_protein *raf = partner (patch, ras->id, 0);
    const double needed = raf != NULL ? 7 : 5; /* nm: seen from above, plus water between periodic images */
    double direction = 2 * M_PI * createsim_random_real (random);
    struct createsim_state state;

    if (createsim_state_parse (ras->state, &state) < 0 || state.is_raf)
        return strata_fail (error, "protein %u of state %s can't be built as a RAS", ras->id, ras->state);
    if (edge < needed)
        return strata_fail (error, "a %s needs an edge of %g nm or more; --edge-nm is %g",
                            raf != NULL ? "RAS-RAF complex" : "RAS", needed, edge);
    if (raf != NULL) {
        double dx = raf->position[0] - ras->position[0], dy = raf->position[1] - ras->position[1];

        if (dx != 0 || dy != 0)
            direction = atan2 (dy, dx);
    }
    if (createsim_protein_build (forcefield, state.is_4a, raf != NULL, direction, protein, error) < 0)
        return -1;
    anchor[0] = ras->position[0];
    anchor[1] = ras->position[1];
    return 0;
}

int createsim_placing_proteins (const struct createsim_patch *patch, const struct forcefield *forcefield,
                                double edge_nm, struct createsim_random *random, struct createsim_protein **proteins,
                                size_t *nproteins, double (**anchors)[2], struct strata_error *error)
{
    struct createsim_state state;

    *nproteins = 0;
    *proteins = calloc (patch->nproteins + 1, sizeof **proteins);
    *anchors = calloc (patch->nproteins + 1, sizeof **anchors);
    if (*proteins == NULL || *anchors == NULL)
        return strata_fail (error, "out of memory for %zu proteins", patch->nproteins);
    for (size_t i = 0; i < patch->nproteins; i++) {
        const struct createsim_patch_protein *protein = &patch->proteins[i];

        if (createsim_state_parse (protein->state, &state) < 0)
            return strata_fail (error, "protein %u has the unknown state \"%s\"", protein->id, protein->state);
        if (!in_region (protein, edge_nm))
            continue;
        if (state.is_raf) {
            if (partner (patch, protein->id, 1) == NULL)
                return strata_fail (error, "protein %u (%s) belongs to no RAS; a RAF alone can't be built", protein->id,
                                    protein->state);
            continue;
        }
        if (place_one (patch, forcefield, edge_nm, protein, random, &(*proteins)[*nproteins], (*anchors)[*nproteins],
                       error)
            < 0)
            return -1;
        (*nproteins)++;
    }
    return spread (*proteins, *nproteins, *anchors, edge_nm, error);
}
