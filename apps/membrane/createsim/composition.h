/* composition.h - how many of each lipid, and where they stand.
 *
 * The densities of the region, averaged and scaled so that the lipids' areas fill each leaflet, give real expectations;
 * the largest remainders are rounded up, so each count is within one of its expectation. Places are then drawn: a
 * lattice a leaflet, and for each place a lipid, by the local densities and what is left of each.
 */
#ifndef CREATESIM_COMPOSITION_H
#define CREATESIM_COMPOSITION_H

#include "forcefield.h"
#include "patch.h"
#include "random.h"

enum createsim_leaflet { CREATESIM_LEAFLET_INNER, CREATESIM_LEAFLET_OUTER };

struct createsim_composition {
    double edge_nm;
    double expected[CREATESIM_LIPIDS];
    size_t count[CREATESIM_LIPIDS];
};

/* The central edge_nm x edge_nm of the patch; reserved_nm2 of the inner leaflet belongs to protein anchors. Fails when
 * a leaflet has no lipids there, when the region is larger than the patch, or no area is left. */
int createsim_composition_compute (const struct createsim_patch *patch, const struct forcefield *forcefield,
                                   double edge_nm, double reserved_nm2, struct createsim_composition *composition,
                                   struct strata_error *error);
size_t createsim_composition_count (const struct createsim_composition *composition, enum createsim_leaflet leaflet);

struct createsim_place {
    double x, y;        /* nm from the region's centre */
    int lipid;          /* 0..13, or -1 - k for reserved place k */
};

/* Draws a place for each lipid of the leaflet and each of `nreserved` wanted points (these get the nearest place of the
 * lattice each, the first ones first). *places is malloc'ed with *nplaces = lipids + nreserved. */
int createsim_places_draw (const struct createsim_patch *patch, const struct createsim_composition *composition,
                           enum createsim_leaflet leaflet, size_t nreserved, double (*reserved)[2],
                           struct createsim_random *random, struct createsim_place **places, size_t *nplaces,
                           struct strata_error *error);

#endif
