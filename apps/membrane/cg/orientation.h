/* orientation.h - how the G-domain stands on the membrane: tilt, rotation, depth of one frame.
 *
 * n  the membrane's normal: along z, from the outer leaflet to the inner one, where the protein is.
 * a  the G-domain's long axis: the direction of largest variance of its beads. It points to the body's `pole` bead.
 * v  from the G-domain's centre (mean of its beads) to the body's `reference` bead.
 *
 * tilt      angle between a and n, 0 .. pi
 * rotation  angle of v around a, -pi .. pi, from the direction in which n lies as seen along a:
 *           e1 = n without its part along a, e2 = a x e1, rotation = atan2 (v.e2, v.e1). 0 where a and n are parallel.
 * depth     nm, from the plane of the inner leaflet's reference beads (mean z) to the G-domain's centre, along n:
 *           positive on the protein's side, negative inside of the membrane.
 *
 * pole and reference are picked once, from the first frame, so that they stay on the body: the pole is the bead farthest
 * along the long axis on the side away from the G-domain's last bead (where the tail to the anchor begins); the reference is
 * the first bead that is 0.5 nm or more from the long axis (the farthest from it, when there is none).
 */
#ifndef CG_ORIENTATION_H
#define CG_ORIENTATION_H

#include "rdf.h"
#include "strata_error.h"

struct cg_body {
    int32_t pole;           /* bead numbers */
    int32_t reference;
};

struct cg_orientation {
    double tilt;
    double rotation;
    double depth_nm;
};

/* x: [beads][3] nm; box_nm: the edges of a rectangular box. gdomain: 3 beads or more, each within half a box of the one
 * before it. -1 when the beads have no long axis (all in one point). */
int cg_body_pick (struct cg_body *self, const float *x, const float box_nm[3], const struct cg_group *gdomain,
                  struct strata_error *error);
/* inner, outer: reference beads of the leaflets, at least one each. */
int cg_orientation_measure (struct cg_orientation *result, const struct cg_body *body, const float *x, const float box_nm[3],
                            const struct cg_group *gdomain, const struct cg_group *inner, const struct cg_group *outer,
                            struct strata_error *error);

#endif
