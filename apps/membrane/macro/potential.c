/* potential.c - lipid-protein potentials V(r): the first ones, those from RDFs, and their sum on the grid.
 *
 * V = -kT ln g(r), g = counts / (area of the ring) / the same in the tail. Counts of a short campaign are few, so they
 * are smoothed over 0.1 nm, and a pseudo-count on both sides of the ratio draws g to 1 where next to nothing is
 * expected (the first rings are tiny). |V| is bounded to 3 kT and goes to 0 over the last fifth of the range that has
 * data: a simulation box ends there, and what it says of its own edge is not the protein's doing.
 */
#include "macro.h"
#include "random.h"

#include <math.h>
#include <string.h>

#define V_MAX_KT 3.0
#define SMOOTH_ROWS 5.0       /* 0.1 nm */
#define SMOOTH_REACH 15
#define PSEUDO_COUNT 2.0
#define TAIL 0.6              /* g = 1 on the average from here to the end of the range */
#define TAPER 0.8             /* V goes to 0 from here on */
#define FULL 0.75             /* rings with less of the middle's density are cut by the box */
#define LEAST_ROWS 40         /* 0.8 nm: a shorter range says nothing */
#define INITIAL_REACH_NM 4.0
#define INITIAL_WIDTH_NM 1.2

/* Depths [kT] before the first report. ASSUMED: signs as the campaigns report them (RAS and RAF's cysteine-rich domain
 * gather the charged PAPS and PAP6, and stay away from sphingomyelin and cholesterol), sizes small enough that a
 * feedback from finer simulations soon outweighs them. */
static const double initial_depth[MACRO_STATES][MACRO_KINDS] = {
    /* POPC  PAPC   POPE   DIPE   DPSM  PAPS   PAP6   CHOL */
    {0.0, -0.05, 0.0, -0.10, 0.25, -0.40, -0.9, 0.15},     /* RASa */
    {0.0, -0.05, 0.0, -0.15, 0.30, -0.30, -0.7, 0.20},     /* RASb */
    {0.0, 0.00, 0.0, -0.05, 0.15, -0.50, -1.1, 0.10},      /* RASc */
    {0.0, -0.05, -0.05, -0.10, 0.25, -0.50, -1.0, 0.15},   /* mRASa */
    {0.0, -0.05, -0.05, -0.15, 0.30, -0.40, -0.8, 0.20},   /* mRASb */
    {0.0, 0.00, -0.05, -0.05, 0.15, -0.60, -1.2, 0.10},    /* zRASa */
    {0.1, 0.05, 0.0, 0.05, 0.30, -0.70, -1.2, 0.10},       /* mRAFa */
    {0.1, 0.05, 0.0, 0.00, 0.35, -0.60, -1.0, 0.15},       /* mRAFb */
    {0.1, 0.05, 0.0, 0.05, 0.25, -0.80, -1.4, 0.05},       /* zRAFa */
};

double macro_rdf_radius (size_t row)
{
    return row ? 0.01 + ((double)row - 0.5) * MACRO_RDF_BIN_NM : 0;
}

static double ring_area (size_t row)
{
    return 2 * MACRO_PI * macro_rdf_radius (row) * MACRO_RDF_BIN_NM;
}

void macro_potential_set_cutoffs (struct macro_potential *self)
{
    for (size_t s = 0; s < MACRO_STATES; s++) {
        size_t last = 0;
        for (size_t i = 0; i < MACRO_KINDS; i++)
            for (size_t row = last; row < MACRO_RDF_ROWS; row++)
                if (self->v[s][i][row] != 0)
                    last = row;
        self->cutoff_nm[s] = last ? macro_rdf_radius (last + 1) : 0;
    }
}

void macro_potential_initial (struct macro_potential *self)
{
    for (size_t s = 0; s < MACRO_STATES; s++)
        for (size_t i = 0; i < MACRO_KINDS; i++)
            for (size_t row = 0; row < MACRO_RDF_ROWS; row++) {
                double r = macro_rdf_radius (row ? row : 1), u = r / INITIAL_REACH_NM, w = r / INITIAL_WIDTH_NM;
                double edge = u < 1 ? (1 - u * u) * (1 - u * u) : 0;
                self->v[s][i][row] = initial_depth[s][i] * exp (-w * w / 2) * edge;
            }
    macro_potential_set_cutoffs (self);
}

double macro_potential_at (const struct macro_potential *self, size_t state, size_t kind, double r, double *slope)
{
    const double *v = self->v[state][kind];
    double at = (r - 0.01) / MACRO_RDF_BIN_NM + 0.5;
    if (slope)
        *slope = 0;
    if (at >= MACRO_RDF_ROWS)
        return 0;
    if (at < 1)
        return v[1];
    size_t row = (size_t)at;
    double next = row + 1 < MACRO_RDF_ROWS ? v[row + 1] : 0;
    if (slope)
        *slope = (next - v[row]) / MACRO_RDF_BIN_NM;
    return v[row] + (at - (double)row) * (next - v[row]);
}

/* Adds one protein's potentials to row y of all fields. */
static void stamp_row (struct macro *self, const struct macro_protein *p, size_t y)
{
    double h = self->options.spacing_nm, reach = self->potential.cutoff_nm[p->state];
    reach = fmin (reach, fmin (self->lx, self->ly) / 2 - h);
    double dy = macro_nearest ((double)y * h - p->y, self->ly);
    if (fabs (dy) >= reach)
        return;
    double half = sqrt (reach * reach - dy * dy);
    long nx = (long)self->nx, first = lround (ceil ((p->x - half) / h)), last = lround (floor ((p->x + half) / h));
    for (long ix = first; ix <= last; ix++) {
        double r = hypot ((double)ix * h - p->x, dy);
        size_t cell = y * self->nx + (size_t)((ix % nx + nx) % nx);
        if (r < reach)
            for (size_t i = 0; i < MACRO_INNER; i++)
                self->v[i][cell] += macro_potential_at (&self->potential, p->state, i, r, NULL);
    }
}

void macro_potential_stamp (struct macro *self)
{
#pragma omp parallel for num_threads(self->options.threads) schedule(static)
    for (size_t y = 0; y < self->ny; y++) {
        for (size_t i = 0; i < MACRO_INNER; i++)
            memset (self->v[i] + y * self->nx, 0, self->nx * sizeof (double));
        for (size_t k = 0; k < 2 * self->nras; k++)
            if (self->proteins[k].present)
                stamp_row (self, &self->proteins[k], y);
    }
}

/* ---- from counts ---- */

/* The last row whose ring lies whole in the boxes that were counted: up to there all lipids together have the density
 * of the middle. Beyond half a box's edge only its corners count, or nothing. 0 when there is no such range. */
static size_t populated_rows (const struct macro_rdf *rdf)
{
    double total[MACRO_RDF_ROWS] = {0}, counts = 0, area = 0;
    size_t last = 0;
    for (size_t row = 1; row < MACRO_RDF_ROWS; row++) {
        for (size_t i = 0; i < MACRO_KINDS; i++)
            total[row] += rdf->counts[i][row];
        if (total[row] > 0)
            last = row;
    }
    for (size_t row = last * 3 / 10 + 1; row <= last * 6 / 10; row++) {
        counts += total[row];
        area += ring_area (row);
    }
    if (!(counts > 0))
        return 0;
    while (last) {
        double c = 0, a = 0;
        for (size_t row = last > 10 ? last - 10 : 1; row <= last; row++) {
            c += total[row];
            a += ring_area (row);
        }
        if (c / a >= FULL * counts / area)
            break;
        last--;
    }
    return last >= LEAST_ROWS ? last : 0;
}

static void potential_of_counts (const double *counts, size_t end, double tail_density, double *v)
{
    for (size_t row = 1; row < MACRO_RDF_ROWS; row++) {
        v[row] = 0;
        if (row > end)
            continue;
        double seen = PSEUDO_COUNT, expected = PSEUDO_COUNT;
        for (size_t o = row > SMOOTH_REACH ? row - SMOOTH_REACH : 1; o <= row + SMOOTH_REACH && o <= end; o++) {
            double d = ((double)o - (double)row) / SMOOTH_ROWS, weight = exp (-d * d / 2);
            seen += weight * counts[o];
            expected += weight * tail_density * ring_area (o);
        }
        double at = (double)row / (double)end;
        double taper = at > TAPER ? 0.5 * (1 + cos (MACRO_PI * (at - TAPER) / (1 - TAPER))) : 1;
        v[row] = taper * fmax (-V_MAX_KT, fmin (V_MAX_KT, -log (seen / expected)));
    }
    v[0] = v[1];
}

size_t macro_rdf_potential (const struct macro_rdf *rdf, double min_count, double v[MACRO_KINDS][MACRO_RDF_ROWS],
                            bool used[MACRO_KINDS])
{
    size_t end = populated_rows (rdf), tail = (size_t)(TAIL * (double)end) + 1, set = 0;
    for (size_t i = 0; i < MACRO_KINDS; i++) {
        double all = 0, in_tail = 0, area = 0;
        for (size_t row = 1; row <= end; row++) {
            all += rdf->counts[i][row];
            if (row >= tail) {
                in_tail += rdf->counts[i][row];
                area += ring_area (row);
            }
        }
        used[i] = end > 0 && all >= min_count && in_tail >= min_count / 4 && in_tail > 0;
        if (!used[i])
            continue;
        potential_of_counts (rdf->counts[i], end, in_tail / area, v[i]);
        set++;
    }
    return set;
}
