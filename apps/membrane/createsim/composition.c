/* composition.c - see composition.h. */
#include "composition.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define JITTER 0.1 /* of a lattice cell: no two rows line up exactly, which a minimiser dislikes */

/* Share of the interval [lo, lo + width) that lies in [-half, half). */
static double overlap (double lo, double width, double half)
{
    double a = fmax (lo, -half), b = fmin (lo + width, half);

    return b > a ? b - a : 0;
}

static void mean_densities (const struct createsim_patch *patch, double edge_nm, double mean[CREATESIM_LIPIDS])
{
    const double cell = patch->edge_nm / (double) patch->grid;
    double weight = 0;

    memset (mean, 0, CREATESIM_LIPIDS * sizeof *mean);
    for (size_t iy = 0; iy < patch->grid; iy++) {
        double wy = overlap (-patch->edge_nm / 2 + (double) iy * cell, cell, edge_nm / 2);

        if (wy <= 0)
            continue;
        for (size_t ix = 0; ix < patch->grid; ix++) {
            double w = wy * overlap (-patch->edge_nm / 2 + (double) ix * cell, cell, edge_nm / 2);

            weight += w;
            for (size_t k = 0; k < CREATESIM_LIPIDS && w > 0; k++)
                mean[k] += w * patch->density[(iy * patch->grid + ix) * CREATESIM_LIPIDS + k];
        }
    }
    for (size_t k = 0; k < CREATESIM_LIPIDS; k++)
        mean[k] = weight > 0 ? mean[k] / weight : 0;
}

/* Largest remainders: floors first, then one more each to those nearest to the next, until the sum is round(sum
 * expected). */
static void round_counts (struct createsim_composition *composition, size_t first, size_t last)
{
    double sum = 0;
    size_t have = 0, want;
    int raised[CREATESIM_LIPIDS] = { 0 };

    for (size_t k = first; k < last; k++) {
        sum += composition->expected[k];
        composition->count[k] = (size_t) floor (composition->expected[k]);
        have += composition->count[k];
    }
    want = (size_t) llround (sum);
    while (have < want) {
        size_t best = last;
        double most = -1;

        for (size_t k = first; k < last; k++) {
            double rest = composition->expected[k] - floor (composition->expected[k]);

            if (!raised[k] && rest > most) {
                most = rest;
                best = k;
            }
        }
        if (best == last)
            return;
        raised[best] = 1;
        composition->count[best]++;
        have++;
    }
}

int createsim_composition_compute (const struct createsim_patch *patch, const struct forcefield *forcefield,
                                   double edge_nm, double reserved_nm2, struct createsim_composition *composition,
                                   struct strata_error *error)
{
    double mean[CREATESIM_LIPIDS];

    if (!(edge_nm >= 3) || edge_nm > patch->edge_nm * (1 + 1e-9))
        return strata_fail (error,
                            "an edge of %g nm can't be cut from a patch of %g nm; ask for 3 nm to the patch's edge",
                            edge_nm, patch->edge_nm);
    memset (composition, 0, sizeof *composition);
    composition->edge_nm = edge_nm;
    mean_densities (patch, edge_nm, mean);
    for (int leaflet = 0; leaflet < 2; leaflet++) {
        size_t first = leaflet ? CREATESIM_INNER : 0, last = leaflet ? CREATESIM_LIPIDS : CREATESIM_INNER;
        double area = edge_nm * edge_nm - (leaflet ? 0 : reserved_nm2);
        double covered = 0;     /* nm^2 of lipid a nm^2 of region, before scaling */

        for (size_t k = first; k < last; k++)
            covered += mean[k] * forcefield_lipid (forcefield, createsim_lipid_names[k])->area;
        if (!(covered > 0) || area <= 0)
            return strata_fail (error, "the %s leaflet has %s in the central %g nm; there is no membrane to build",
                                leaflet ? "outer" : "inner", area <= 0 ? "no room beside the proteins" : "no lipids",
                                edge_nm);
        for (size_t k = first; k < last; k++)
            composition->expected[k] = mean[k] * area / covered;
        round_counts (composition, first, last);
    }
    return 0;
}

size_t createsim_composition_count (const struct createsim_composition *composition, enum createsim_leaflet leaflet)
{
    size_t sum = 0;

    for (size_t k = leaflet == CREATESIM_LEAFLET_INNER ? 0 : CREATESIM_INNER;
         k < (leaflet == CREATESIM_LEAFLET_INNER ? CREATESIM_INNER : CREATESIM_LIPIDS); k++)
        sum += composition->count[k];
    return sum;
}

/* nx * ny places, at least n, with as few too many as a nearly square lattice allows; the rest is left out at random.
 */
static size_t lattice (size_t n, double edge, struct createsim_random *random, struct createsim_place *places)
{
    size_t nx = (size_t) ceil (sqrt ((double) n)), ny = (n + nx - 1) / nx, total = nx * ny;

    for (size_t i = 0; i < total; i++) {
        size_t column = i % nx, row = i / nx;
        double dx = JITTER * (createsim_random_real (random) - 0.5),
               dy = JITTER * (createsim_random_real (random) - 0.5);

        places[i].x = (((double) column + 0.5 + dx) / (double) nx - 0.5) * edge;
        places[i].y = (((double) row + 0.5 + dy) / (double) ny - 0.5) * edge;
        places[i].lipid = CREATESIM_LIPIDS; /* free */
    }
    for (size_t i = total; i > 1; i--) {
        size_t j = createsim_random_below (random, i);
        struct createsim_place swap = places[i - 1];

        places[i - 1] = places[j];
        places[j] = swap;
    }
    return total;
}

static void reserve (struct createsim_place *places, size_t nplaces, double edge, size_t nreserved,
                     double (*reserved)[2])
{
    for (size_t k = 0; k < nreserved; k++) {
        size_t best = 0;
        double nearest = INFINITY;

        for (size_t i = 0; i < nplaces; i++) {
            double dx = remainder (places[i].x - reserved[k][0], edge),
                   dy = remainder (places[i].y - reserved[k][1], edge);

            if (places[i].lipid == CREATESIM_LIPIDS && dx * dx + dy * dy < nearest) {
                nearest = dx * dx + dy * dy;
                best = i;
            }
        }
        places[best].lipid = -1 - (int) k;
    }
}

static const float *densities_at (const struct createsim_patch *patch, double x, double y)
{
    double cell = patch->edge_nm / (double) patch->grid, top = (double) patch->grid - 1;
    size_t ix = (size_t) fmin (top, fmax (0, floor ((x + patch->edge_nm / 2) / cell)));
    size_t iy = (size_t) fmin (top, fmax (0, floor ((y + patch->edge_nm / 2) / cell)));

    return patch->density + (iy * patch->grid + ix) * CREATESIM_LIPIDS;
}

/* Which lipid: with the chance  left_k * density_k (place) / expected_k , so that counts come out exactly and each kind
 * stands where the continuum has it. */
static size_t draw (const float *density, const struct createsim_composition *composition, const size_t *left,
                    size_t first, size_t last, struct createsim_random *random)
{
    double weight[CREATESIM_LIPIDS], sum = 0;

    for (size_t k = first; k < last; k++) {
        weight[k] = composition->expected[k] > 0 ? (double) left[k] * density[k] / composition->expected[k] : 0;
        sum += weight[k];
    }
    if (!(sum > 0)) /* none of those left has density here: any of them */
        for (size_t k = first; k < last; k++) {
            weight[k] = (double) left[k];
            sum += weight[k];
        }
    double mark = createsim_random_real (random) * sum;
    size_t chosen = last;
    for (size_t k = first; k < last; k++)
        if (weight[k] > 0) {
            chosen = k;
            if (mark < weight[k])
                break;
            mark -= weight[k];
        }
    return chosen;
}

int createsim_places_draw (const struct createsim_patch *patch, const struct createsim_composition *composition,
                           enum createsim_leaflet leaflet, size_t nreserved, double (*reserved)[2],
                           struct createsim_random *random, struct createsim_place **places, size_t *nplaces,
                           struct strata_error *error)
{
    size_t first = leaflet == CREATESIM_LEAFLET_INNER ? 0 : CREATESIM_INNER;
    size_t last = leaflet == CREATESIM_LEAFLET_INNER ? CREATESIM_INNER : CREATESIM_LIPIDS;
    size_t n = createsim_composition_count (composition, leaflet) + nreserved;
    size_t left[CREATESIM_LIPIDS], room = n + (size_t) ceil (sqrt ((double) n)) + 1;

    memcpy (left, composition->count, sizeof left);
    *places = calloc (room + 1, sizeof **places);
    if (*places == NULL)
        return strata_fail (error, "out of memory for %zu lipids", n);
    size_t total = lattice (n, composition->edge_nm, random, *places);
    reserve (*places, total, composition->edge_nm, nreserved, reserved);
    /* reserved places first: then the cut at n can't drop one */
    size_t front = 0;
    for (size_t i = 0; i < total; i++)
        if ((*places)[i].lipid < 0) {
            struct createsim_place swap = (*places)[front];

            (*places)[front++] = (*places)[i];
            (*places)[i] = swap;
        }
    for (size_t i = front; i < n; i++) {
        struct createsim_place *place = &(*places)[i];
        size_t lipid = draw (densities_at (patch, place->x, place->y), composition, left, first, last, random);

        left[lipid]--;
        place->lipid = (int) lipid;
    }
    *nplaces = n;
    return 0;
}
