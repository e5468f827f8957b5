/* kernels.c - the lipids and their direct correlations: the data of the model, and the spectrum that follows from it.
 *
 * What is measured and what is assumed
 * - Mole fractions: after the eight-lipid plasma membrane mimic of the RAS campaigns (Ingolfsson et al., PNAS 119,
 *   e2113297119, 2022); not compared digit by digit with the paper's table. Areas: ASSUMED round numbers of the usual
 *   size for each lipid at 310 K; only their ratios matter.
 * - Repulsion: a leaflet resists changes of its area fraction phi = sum_i a_i n_i as K/2 (phi - 1)^2 kT/nm^2 with
 *   K = 28 = half of a bilayer's stretch modulus of 240 mN/m (Rawicz et al., Biophys. J. 79, 328, 2000) at 310 K,
 *   spread over a lipid's size by a Gaussian.
 * - Pair table: ASSUMED. The campaigns of the papers took c_ij from coarse-grained simulations by inverting the
 *   Ornstein-Zernike equation (Stanton et al. 2023); those tables are not public, so the numbers here are chosen to
 *   have their known signs: sphingomyelin and cholesterol like each other, polyunsaturated lipids (DIPE, PAPC) like
 *   each other and avoid both, charged lipids (PAPS, PAP6) repel each other. Roughly 0.55 s_i s_j with an order
 *   parameter s, plus those pairs. The mixture stays stable (no phase separation by itself) but soft: composition
 *   waves of long wavelength relax about 2.5 times slower than in an ideal mixture.
 * - Diffusion: of the size that Martini lipids show (tens of um^2/s; 0.05 nm^2/ns = 50 um^2/s). Assumed.
 */
#include "macro.h"
#include "random.h"

#include <math.h>
#include <string.h>

#define STRETCH_KT_NM2 28.0

const char *const macro_kind_names[MACRO_KINDS] = {"POPC", "PAPC", "POPE", "DIPE", "DPSM", "PAPS", "PAP6", "CHOL"};

const struct macro_kind macro_kinds[MACRO_KINDS] = {
    /*  area  diffusion inner  outer */
    {0.64, 0.050, 0.139, 0.243},   /* POPC */
    {0.68, 0.050, 0.075, 0.121},   /* PAPC */
    {0.60, 0.050, 0.054, 0.020},   /* POPE */
    {0.68, 0.055, 0.161, 0.061},   /* DIPE */
    {0.52, 0.040, 0.108, 0.242},   /* DPSM */
    {0.66, 0.045, 0.161, 0},       /* PAPS */
    {0.70, 0.035, 0.022, 0},       /* PAP6 */
    {0.36, 0.065, 0.280, 0.313},   /* CHOL */
};

/* nm^2 at k = 0; positive attracts. Symmetric. */
static const double pair_table[MACRO_KINDS][MACRO_KINDS] = {
    /* POPC   PAPC   POPE   DIPE   DPSM   PAPS   PAP6   CHOL */
    {0.00, 0.01, 0.00, 0.02, -0.03, 0.01, 0.01, -0.02},      /* POPC */
    {0.01, 0.14, 0.03, 0.25, -0.28, 0.10, 0.14, -0.22},      /* PAPC */
    {0.00, 0.03, 0.01, 0.05, -0.06, 0.02, 0.03, -0.04},      /* POPE */
    {0.02, 0.25, 0.05, 0.45, -0.50, 0.17, 0.25, -0.50},      /* DIPE */
    {-0.03, -0.28, -0.06, -0.50, 0.55, -0.19, -0.28, 0.79},  /* DPSM */
    {0.01, 0.10, 0.02, 0.17, -0.19, -0.23, -0.40, -0.15},    /* PAPS */
    {0.01, 0.14, 0.03, 0.25, -0.28, -0.40, -0.86, -0.22},    /* PAP6 */
    {-0.02, -0.22, -0.04, -0.50, 0.79, -0.15, -0.22, 0.35},  /* CHOL */
};

void macro_kernels_init (struct macro_kernels *self)
{
    memset (self, 0, sizeof (*self));
    self->sigma_repulsion_nm = 0.5;
    self->sigma_pair_nm = 0.9;
    for (size_t i = 0; i < MACRO_KINDS; i++)
        for (size_t j = 0; j < MACRO_KINDS; j++) {
            self->repulsion[i][j] = -STRETCH_KT_NM2 * (macro_kinds[i].area_nm2 * macro_kinds[j].area_nm2);
            self->pair[i][j] = pair_table[i][j];
        }
}

size_t macro_kind_of (size_t lipid)
{
    static const size_t outer[MACRO_LIPIDS - MACRO_INNER] = {0, 1, 2, 3, 4, 7};
    return lipid < MACRO_INNER ? lipid : outer[lipid - MACRO_INNER];
}

double macro_mean_density (size_t lipid)
{
    bool inner = lipid < MACRO_INNER;
    double area = 0;
    for (size_t i = 0; i < MACRO_KINDS; i++)
        area += macro_kinds[i].area_nm2 * (inner ? macro_kinds[i].inner : macro_kinds[i].outer);
    const struct macro_kind *kind = &macro_kinds[macro_kind_of (lipid)];
    return (inner ? kind->inner : kind->outer) / area;
}

/* Eigenvalues of a symmetric m x m matrix by cyclic Jacobi rotations (Golub and van Loan, section 8.5), in place: they
 * end on the diagonal. Ten sweeps reach rounding for m <= 8. */
static void jacobi (size_t m, double a[MACRO_KINDS][MACRO_KINDS])
{
    for (int sweep = 0; sweep < 10; sweep++)
        for (size_t p = 0; p < m; p++)
            for (size_t q = p + 1; q < m; q++) {
                if (fabs (a[p][q]) < 1e-300)
                    continue;
                double tau = (a[q][q] - a[p][p]) / (2 * a[p][q]);
                double t = (tau >= 0 ? 1 : -1) / (fabs (tau) + sqrt (1 + tau * tau));
                double c = 1 / sqrt (1 + t * t), s = t * c;
                for (size_t k = 0; k < m; k++) {
                    double x = a[k][p], y = a[k][q];
                    a[k][p] = c * x - s * y;
                    a[k][q] = s * x + c * y;
                }
                for (size_t k = 0; k < m; k++) {
                    double x = a[p][k], y = a[q][k];
                    a[p][k] = c * x - s * y;
                    a[q][k] = s * x + c * y;
                }
            }
}

void macro_spectrum (const struct macro_kernels *kernels, double spacing_nm, double *fastest, double *softest)
{
    *fastest = 0;
    *softest = 1;
    for (int leaflet = 0; leaflet < 2; leaflet++) {
        size_t first = leaflet ? MACRO_INNER : 0, m = leaflet ? MACRO_LIPIDS - MACRO_INNER : MACRO_INNER;
        for (int step = 0; step <= 200; step++) {
            /* along the grid's diagonal, where the discrete Laplacian reaches its largest value 8 / spacing^2 */
            double angle = MACRO_PI * step / 200;
            double k2 = 2 * angle * angle / (spacing_nm * spacing_nm);
            double laplacian = 8 / (spacing_nm * spacing_nm) * sin (angle / 2) * sin (angle / 2);
            double rate[MACRO_KINDS][MACRO_KINDS], soft[MACRO_KINDS][MACRO_KINDS];
            for (size_t i = 0; i < m; i++)
                for (size_t j = 0; j < m; j++) {
                    size_t p = macro_kind_of (first + i), q = macro_kind_of (first + j);
                    double c = 0;
                    if (kernels)
                        c = kernels->repulsion[p][q] * exp (-k2 * pow (kernels->sigma_repulsion_nm, 2) / 2)
                            + kernels->pair[p][q] * exp (-k2 * pow (kernels->sigma_pair_nm, 2) / 2);
                    double n = sqrt (macro_mean_density (first + i) * macro_mean_density (first + j));
                    soft[i][j] = (i == j) - n * c;
                    rate[i][j] = sqrt (macro_kinds[p].diffusion * macro_kinds[q].diffusion) * laplacian * soft[i][j];
                }
            jacobi (m, rate);
            jacobi (m, soft);
            for (size_t i = 0; i < m; i++) {
                *fastest = fmax (*fastest, rate[i][i]);
                *softest = fmin (*softest, soft[i][i]);
            }
        }
    }
}
