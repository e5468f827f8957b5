/* orientation.c - see orientation.h */
#include "orientation.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define REFERENCE_FROM_AXIS_NM 0.5

struct shape {
    double (*r)[3];         /* beads of the G-domain, made whole across the box, relative to their centre */
    double centre[3];
    double axis[3];         /* of either sign */
};

static double dot (const double a[3], const double b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static double nearest_image (double d, double box)
{
    return box > 0 ? d - box * round (d / box) : d;
}

/* The eigenvector of the largest eigenvalue of a symmetric 3 x 3 matrix (which is destroyed), by Jacobi rotations. */
static double largest_axis (double m[3][3], double axis[3])
{
    double v[3][3] = { { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 } };
    for (int sweep = 0; sweep < 60; sweep++) {
        double off = fabs (m[0][1]) + fabs (m[0][2]) + fabs (m[1][2]);
        if (off <= 1e-15 * (fabs (m[0][0]) + fabs (m[1][1]) + fabs (m[2][2])))
            break;
        for (int p = 0; p < 2; p++)
            for (int q = p + 1; q < 3; q++) {
                if (m[p][q] == 0)
                    continue;
                double theta = (m[q][q] - m[p][p]) / (2 * m[p][q]);
                double t = (theta >= 0 ? 1 : -1) / (fabs (theta) + sqrt (theta * theta + 1));
                double c = 1 / sqrt (t * t + 1), s = t * c;
                for (int k = 0; k < 3; k++) {
                    double kp = m[k][p], kq = m[k][q];
                    m[k][p] = c * kp - s * kq;
                    m[k][q] = s * kp + c * kq;
                }
                for (int k = 0; k < 3; k++) {
                    double pk = m[p][k], qk = m[q][k];
                    m[p][k] = c * pk - s * qk;
                    m[q][k] = s * pk + c * qk;
                    double kp = v[k][p], kq = v[k][q];
                    v[k][p] = c * kp - s * kq;
                    v[k][q] = s * kp + c * kq;
                }
            }
    }
    int best = 0;
    for (int i = 1; i < 3; i++)
        if (m[i][i] > m[best][best])
            best = i;
    for (int i = 0; i < 3; i++)
        axis[i] = v[i][best];
    return m[best][best];
}

static void shape_fini (struct shape *self)
{
    free (self->r);
    self->r = NULL;
}

static int shape_init (struct shape *self, const float *x, const float box_nm[3], const struct cg_group *g,
                       struct strata_error *error)
{
    *self = (struct shape){ 0 };
    if (g->count < 3)
        return strata_fail (error, "the G-domain has %zu beads; an orientation needs 3 or more", g->count);
    self->r = malloc (g->count * sizeof (*self->r));
    if (!self->r)
        return strata_fail (error, "no memory for the %zu beads of the G-domain", g->count);
    /* mdrun writes each bead into the box: neighbours in the chain tell which image belongs to the body. */
    for (size_t i = 0; i < g->count; i++)
        for (int k = 0; k < 3; k++) {
            double now = (double)x[3 * (size_t)g->atoms[i] + (size_t)k];
            self->r[i][k] = i == 0 ? now : self->r[i - 1][k] + nearest_image (now - self->r[i - 1][k], (double)box_nm[k]);
            self->centre[k] += self->r[i][k] / (double)g->count;
        }
    double m[3][3] = { { 0 } };
    for (size_t i = 0; i < g->count; i++) {
        for (int k = 0; k < 3; k++)
            self->r[i][k] -= self->centre[k];
        for (int k = 0; k < 3; k++)
            for (int l = 0; l < 3; l++)
                m[k][l] += self->r[i][k] * self->r[i][l] / (double)g->count;
    }
    if (!(largest_axis (m, self->axis) > 1e-12)) {
        shape_fini (self);
        return strata_fail (error, "the %zu beads of the G-domain lie in one point, or are not numbers: no axis", g->count);
    }
    return 0;
}

static double distance_from_axis (const struct shape *self, size_t i)
{
    double along = dot (self->r[i], self->axis);
    double d2 = dot (self->r[i], self->r[i]) - along * along;
    return d2 > 0 ? sqrt (d2) : 0;
}

int cg_body_pick (struct cg_body *self, const float *x, const float box_nm[3], const struct cg_group *g,
                  struct strata_error *error)
{
    struct shape shape;
    if (shape_init (&shape, x, box_nm, g, error) < 0)
        return -1;
    double away = dot (shape.r[g->count - 1], shape.axis) > 0 ? -1 : 1;
    size_t pole = 0, farthest = 0, reference = g->count;
    for (size_t i = 0; i < g->count; i++) {
        if (away * dot (shape.r[i], shape.axis) > away * dot (shape.r[pole], shape.axis))
            pole = i;
        double d = distance_from_axis (&shape, i);
        if (d > distance_from_axis (&shape, farthest))
            farthest = i;
        if (reference == g->count && d >= REFERENCE_FROM_AXIS_NM)
            reference = i;
    }
    self->pole = g->atoms[pole];
    self->reference = g->atoms[reference < g->count ? reference : farthest];
    shape_fini (&shape);
    return 0;
}

/* Mean z of beads in a periodic box: about the mean direction on the circle, so that a membrane that lies across the box's
 * boundary has its middle there and not in the water. */
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

static size_t place_of (const struct cg_group *g, int32_t bead)
{
    size_t i = 0;
    while (i < g->count - 1 && g->atoms[i] != bead)
        i++;
    return i;
}

int cg_orientation_measure (struct cg_orientation *result, const struct cg_body *body, const float *x, const float box_nm[3],
                            const struct cg_group *g, const struct cg_group *inner, const struct cg_group *outer,
                            struct strata_error *error)
{
    if (inner->count == 0 || outer->count == 0)
        return strata_fail (error, "a leaflet without reference beads has no plane to measure from");
    struct shape shape;
    if (shape_init (&shape, x, box_nm, g, error) < 0)
        return -1;
    double box_z = (double)box_nm[2];
    double plane = mean_z (x, box_z, inner);
    double n[3] = { 0, 0, nearest_image (plane - mean_z (x, box_z, outer), box_z) >= 0 ? 1 : -1 };

    double a[3], v[3], e1[3];
    double sign = dot (shape.r[place_of (g, body->pole)], shape.axis) >= 0 ? 1 : -1;
    for (int k = 0; k < 3; k++)
        a[k] = sign * shape.axis[k];
    double along = dot (a, n);
    result->tilt = acos (fmax (-1, fmin (1, along)));
    memcpy (v, shape.r[place_of (g, body->reference)], sizeof (v));
    for (int k = 0; k < 3; k++)
        e1[k] = n[k] - along * a[k];
    const double e2[3] = { a[1] * e1[2] - a[2] * e1[1], a[2] * e1[0] - a[0] * e1[2], a[0] * e1[1] - a[1] * e1[0] };
    result->rotation = dot (e1, e1) < 1e-12 ? 0 : atan2 (dot (v, e2), dot (v, e1));
    result->depth_nm = nearest_image (shape.centre[2] - plane, box_z) * n[2];
    shape_fini (&shape);
    return 0;
}
