/* orientation.c - see orientation.h */
#include "orientation.h"

#include <math.h>
#include <stdlib.h>

struct shape {
    double centre[3];
    double axis[3]; /* of length 1 */
    double side[3];
};

static double dot (const double a[3], const double b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static double nearest_image (double d, double box)
{
    return box > 0 ? d - box * round (d / box) : d;
}

/* Mean of beads [from, from + n) of r, relative to centre. */
static void mean_of (double (*r)[3], size_t from, size_t n, const double centre[3], double mean[3])
{
    for (int k = 0; k < 3; k++) {
        double sum = 0;
        for (size_t i = from; i < from + n; i++)
            sum += r[i][k];
        mean[k] = sum / (double)n - centre[k];
    }
}

static int shape_measure (struct shape *self, const float *x, const float box_nm[3], const struct cg_group *g,
                          struct strata_error *error)
{
    static const double origin[3] = { 0, 0, 0 };
    size_t quarter = g->count / 4;
    if (quarter == 0)
        return strata_fail (error, "the G-domain has %zu beads; an orientation needs 4 or more", g->count);
    double (*r)[3] = malloc (g->count * sizeof (*r));
    if (!r)
        return strata_fail (error, "no memory for the %zu beads of the G-domain", g->count);
    /* mdrun writes each bead into the box: neighbours in the chain tell which image belongs to the body. */
    for (size_t i = 0; i < g->count; i++)
        for (int k = 0; k < 3; k++) {
            double now = (double)x[3 * (size_t)g->atoms[i] + (size_t)k];
            r[i][k] = i == 0 ? now : r[i - 1][k] + nearest_image (now - r[i - 1][k], (double)box_nm[k]);
        }
    mean_of (r, 0, g->count, origin, self->centre);
    mean_of (r, g->count - quarter, quarter, self->centre, self->axis);
    mean_of (r, quarter, quarter, self->centre, self->side);
    free (r);
    double length = sqrt (dot (self->axis, self->axis));
    if (!(length > 1e-6))
        return strata_fail (
            error, "the %zu beads of the G-domain have no axis: the last quarter's centre is that of all", g->count);
    for (int k = 0; k < 3; k++)
        self->axis[k] /= -length;
    return 0;
}

/* Mean z of beads in a periodic box: about the mean direction on the circle, so that a membrane that lies across the
 * box's boundary has its middle there and not in the water. */
static double mean_z (const float *x, double box, const struct cg_group *g)
{
    double c = 0, s = 0;
    for (size_t i = 0; i < g->count; i++) {
        double angle = 2 * M_PI * (double)x[3 * (size_t)g->atoms[i] + 2] / box;
        c += cos (angle);
        s += sin (angle);
    }
    double about = atan2 (s, c) / (2 * M_PI) * box, sum = 0;
    for (size_t i = 0; i < g->count; i++)
        sum += nearest_image ((double)x[3 * (size_t)g->atoms[i] + 2] - about, box);
    return about + sum / (double)g->count;
}

int cg_orientation_measure (struct cg_orientation *result, const float *x, const float box_nm[3],
                            const struct cg_group *g, const struct cg_group *inner, const struct cg_group *outer,
                            struct strata_error *error)
{
    struct shape shape = { .centre = { 0 } };
    if (inner->count == 0 || outer->count == 0)
        return strata_fail (error, "a leaflet without reference beads has no plane to measure from");
    if (shape_measure (&shape, x, box_nm, g, error) < 0)
        return -1;
    double box_z = (double)box_nm[2];
    double plane = mean_z (x, box_z, inner);
    const double n[3] = { 0, 0, nearest_image (plane - mean_z (x, box_z, outer), box_z) >= 0 ? 1 : -1 };
    const double *a = shape.axis, *v = shape.side;
    double along = dot (a, n), e1[3];
    for (int k = 0; k < 3; k++)
        e1[k] = n[k] - along * a[k];
    const double e2[3] = { a[1] * e1[2] - a[2] * e1[1], a[2] * e1[0] - a[0] * e1[2], a[0] * e1[1] - a[1] * e1[0] };
    result->tilt = acos (fmax (-1, fmin (1, along)));
    result->rotation = dot (e1, e1) < 1e-12 ? 0 : atan2 (dot (v, e2), dot (v, e1));
    result->depth_nm = nearest_image (shape.centre[2] - plane, box_z) * n[2];
    return 0;
}
