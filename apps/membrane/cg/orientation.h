/* orientation.h - how the G-domain stands on the membrane: tilt, rotation, depth of one frame.
 *
 * n  the membrane's normal: along z, from the outer leaflet to the inner one, where the protein is.
 * c  the G-domain's centre: the mean of its beads.
 * a  its axis: from the centre of the last quarter of its beads (in the order of the group, which is that of the chain)
 *    through c. The tail to the membrane's anchor begins in that quarter.
 * v  its side: from c to the centre of the second quarter of its beads.
 *
 * tilt      angle between a and n, 0 .. pi
 * rotation  angle of v around a, -pi .. pi, from the direction in which n lies as seen along a:
 *           e1 = n without its part along a, e2 = a x e1, rotation = atan2 (v.e2, v.e1). 0 where a and n are parallel.
 * depth     nm, from the plane of the inner leaflet's reference beads (mean z) to c, along n: positive on the protein's
 *           side, negative inside of the membrane.
 *
 * Why not the axis of inertia: the G-domain is a globule (principal variances of our model within 6 % of each other),
 * whose longest axis changes from frame to frame by tens of degrees. Means over quarters of the chain move by about 1
 * degree.
 */
#ifndef CG_ORIENTATION_H
#define CG_ORIENTATION_H

#include "rdf.h"
#include "strata_error.h"

struct cg_orientation {
    double tilt;
    double rotation;
    double depth_nm;
};

/* x: [beads][3] nm; box_nm: the edges of a rectangular box. gdomain: 4 beads or more, each within half a box of the one
 * before it. inner, outer: reference beads of the leaflets, at least one each. -1 when the beads give no axis (all in
 * one point). */
int cg_orientation_measure (struct cg_orientation *result, const float *x, const float box_nm[3],
                            const struct cg_group *gdomain, const struct cg_group *inner, const struct cg_group *outer,
                            struct strata_error *error);

#endif
