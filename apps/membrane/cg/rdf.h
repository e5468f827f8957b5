/* rdf.h - the 2-D protein-lipid pair histogram that corrects the continuum model (SC'21, CG -> continuum feedback).
 *
 * Distances lie in the plane of the membrane (x, y; z is left out), periodic, minimum image. Range 0.1 .. 120 Angstrom
 * in 599 equal bins; a bin holds its left edge, not its right one, but the last bin holds both: numpy.histogram's rule.
 *
 * Arithmetic is that of MDAnalysis 2 (distance_array with an orthogonal box), so that counts agree with it bin for bin:
 * float32 nm x 10 = float32 Angstrom; differences in float32; the image shift, box * (s - round (s)) with s =
 * difference x float32 (1 / box), the square root and the bin edges (those of numpy.linspace) in float64.
 */
#ifndef CG_RDF_H
#define CG_RDF_H

#include <stddef.h>
#include <stdint.h>

#define CG_RDF_BINS 599
#define CG_RDF_ROWS 8
#define CG_RDF_MIN_ANGSTROM 0.1
#define CG_RDF_MAX_ANGSTROM 120.0

/* Bead numbers from 0, as in the topology. */
struct cg_group {
    int32_t *atoms;
    size_t count;
};

/* The left edge of `bin` in Angstrom; bin = CG_RDF_BINS gives the right end of the range. */
double cg_rdf_edge (size_t bin);
/* The bin of a distance in Angstrom, -1 when it is outside of the range or not a number. */
int cg_rdf_bin (double distance);
/* The distance in Angstrom of two points given in nm, in a box of box_nm[0] x box_nm[1]. */
double cg_rdf_distance (const float *from_nm, const float *to_nm, const float box_nm[2]);
/* Adds 1 to counts[599] for each pair of a bead of `from` and one of `to`. x: [beads][3] nm. */
void cg_rdf_add (int64_t *counts, const float *x, const float box_nm[2], const struct cg_group *from,
                 const struct cg_group *to);

#endif
