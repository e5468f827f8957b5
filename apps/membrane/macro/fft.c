/* fft.c - sum_j c_ij * n_j on the periodic grid, by FFT (FFTW3).
 *
 * A two-dimensional transform is done as rows, then columns. The columns are taken four at a time for all species of a
 * leaflet: transformed, multiplied by the matrix c(k) and transformed back while they are in the cache, so the fields
 * pass through memory three times instead of five. The kernels are Gaussians, which factor into exp (-kx^2 s^2 / 2)
 * exp (-ky^2 s^2 / 2): two short tables instead of a table of 8 x 8 matrices over the grid.
 *
 * Threads share rows and column blocks, each transformed by the same one-dimensional plan, rather than through
 * fftw3_omp: there another number of threads is another plan, whose rounding differs. FFTW_ESTIMATE for the same reason
 * (a measured plan differs from run to run, and a restart would not be bitwise the same).
 */
#include "macro.h"
#include "random.h"

#include <complex.h>
#include <errno.h>
#include <fftw3.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 4  /* columns a block: 64 bytes, a cache line */

struct macro_fft {
    size_t nx, ny;
    size_t columns;                 /* nx/2 + 1, rounded up to whole blocks */
    int threads;
    struct macro_kernels kernels;
    fftw_plan row_forward, row_back, column_forward, column_back;
    fftw_complex *column;           /* [threads][8][BLOCK][ny] */
    double *gx[2], *gy[2];          /* the Gaussians' factors, 0 = repulsion, 1 = pair; gx carries 1/(nx ny) */
};

static double *gaussian (size_t count, size_t points, double length_nm, double sigma_nm, double scale)
{
    double *g = malloc (count * sizeof (*g));
    if (!g)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        double m = i <= points / 2 ? (double)i : (double)i - (double)points;
        double k = 2 * MACRO_PI * m / length_nm;
        g[i] = scale * exp (-k * k * sigma_nm * sigma_nm / 2);
    }
    return g;
}

static int make_plans (struct macro_fft *self)
{
    double *row = fftw_alloc_real (2 * self->columns);
    if (!row)
        return -1;
    fftw_complex *spectrum = (fftw_complex *)row, *column = self->column;
    self->row_forward = fftw_plan_dft_r2c_1d ((int)self->nx, row, spectrum, FFTW_ESTIMATE);
    self->row_back = fftw_plan_dft_c2r_1d ((int)self->nx, spectrum, row, FFTW_ESTIMATE);
    self->column_forward = fftw_plan_dft_1d ((int)self->ny, column, column, FFTW_FORWARD, FFTW_ESTIMATE);
    self->column_back = fftw_plan_dft_1d ((int)self->ny, column, column, FFTW_BACKWARD, FFTW_ESTIMATE);
    fftw_free (row);
    return self->row_forward && self->row_back && self->column_forward && self->column_back ? 0 : -1;
}

struct macro_fft *macro_fft_new (size_t nx, size_t ny, double spacing_nm, const struct macro_kernels *kernels,
                                 int threads, struct strata_error *error)
{
    struct macro_fft *self = calloc (1, sizeof (*self));
    if (!self)
        goto nomem;
    self->nx = nx;
    self->ny = ny;
    self->columns = (nx / 2 + 1 + BLOCK - 1) / BLOCK * BLOCK;
    self->threads = threads;
    self->kernels = *kernels;
    const double sigma[2] = {kernels->sigma_repulsion_nm, kernels->sigma_pair_nm};
    for (int g = 0; g < 2; g++) {
        self->gx[g] = gaussian (self->columns, nx, (double)nx * spacing_nm, sigma[g], 1 / ((double)nx * (double)ny));
        self->gy[g] = gaussian (ny, ny, (double)ny * spacing_nm, sigma[g], 1);
        if (!self->gx[g] || !self->gy[g])
            goto nomem;
    }
    self->column = fftw_alloc_complex ((size_t)threads * MACRO_KINDS * BLOCK * ny);
    if (!self->column || make_plans (self) < 0)
        goto nomem;
    return self;
nomem:
    macro_fft_free (&self);
    errno = ENOMEM;
    strata_fail (error, "no memory for the Fourier transforms of %zu x %zu points; use a smaller --nx", nx, ny);
    return NULL;
}

void macro_fft_free (struct macro_fft **self_p)
{
    struct macro_fft *self = *self_p;
    if (!self)
        return;
    fftw_plan plans[4] = {self->row_forward, self->row_back, self->column_forward, self->column_back};
    for (int i = 0; i < 4; i++)
        if (plans[i])
            fftw_destroy_plan (plans[i]);
    for (int g = 0; g < 2; g++) {
        free (self->gx[g]);
        free (self->gy[g]);
    }
    fftw_free (self->column);
    free (self);
    *self_p = NULL;
}

size_t macro_fft_stride (const struct macro_fft *self)
{
    return 2 * self->columns;
}

/* field[i] <- sum_j c_ij(k) field[j] for the BLOCK columns from kx0 on; field is [count][BLOCK][ny]. */
static void multiply (const struct macro_fft *self, size_t count, const size_t *kind, size_t kx0, fftw_complex *field)
{
    size_t ny = self->ny, species = 2 * BLOCK * ny;   /* doubles */
    double repulsion[MACRO_KINDS][MACRO_KINDS], pair[MACRO_KINDS][MACRO_KINDS];
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++) {
            repulsion[i][j] = self->kernels.repulsion[kind[i]][kind[j]];
            pair[i][j] = self->kernels.pair[kind[i]][kind[j]];
        }
    for (size_t b = 0; b < BLOCK; b++)
        for (size_t y = 0; y < ny; y++) {
            double *f = (double *)(field + b * ny + y), out[2 * MACRO_KINDS];
            double g0 = self->gx[0][kx0 + b] * self->gy[0][y], g1 = self->gx[1][kx0 + b] * self->gy[1][y];
            for (size_t i = 0; i < count; i++) {
                double re = 0, im = 0;
                for (size_t j = 0; j < count; j++) {
                    double c = repulsion[i][j] * g0 + pair[i][j] * g1;
                    re += c * f[j * species];
                    im += c * f[j * species + 1];
                }
                out[2 * i] = re;
                out[2 * i + 1] = im;
            }
            for (size_t i = 0; i < count; i++) {
                f[i * species] = out[2 * i];
                f[i * species + 1] = out[2 * i + 1];
            }
        }
}

static void convolve_columns (struct macro_fft *self, size_t count, const size_t *kind, double *const *work, size_t kx0,
                              fftw_complex *buffer)
{
    size_t ny = self->ny;
    for (size_t i = 0; i < count; i++) {
        fftw_complex *to = buffer + i * BLOCK * ny;
        for (size_t y = 0; y < ny; y++) {
            const fftw_complex *from = (const fftw_complex *)work[i] + y * self->columns + kx0;
            for (size_t b = 0; b < BLOCK; b++)
                to[b * ny + y] = from[b];
        }
        for (size_t b = 0; b < BLOCK; b++)
            fftw_execute_dft (self->column_forward, to + b * ny, to + b * ny);
    }
    multiply (self, count, kind, kx0, buffer);
    for (size_t i = 0; i < count; i++) {
        fftw_complex *from = buffer + i * BLOCK * ny;
        for (size_t b = 0; b < BLOCK; b++)
            fftw_execute_dft (self->column_back, from + b * ny, from + b * ny);
        for (size_t y = 0; y < ny; y++) {
            fftw_complex *to = (fftw_complex *)work[i] + y * self->columns + kx0;
            for (size_t b = 0; b < BLOCK; b++)
                to[b] = from[b * ny + y];
        }
    }
}

void macro_fft_convolve (struct macro_fft *self, size_t count, const size_t *kind, double *const *work)
{
    size_t rows = count * self->ny, used = self->nx / 2 + 1, stride = 2 * self->columns;
#pragma omp parallel num_threads(self->threads)
    {
#pragma omp for schedule(static)
        for (size_t r = 0; r < rows; r++) {
            double *row = work[r / self->ny] + (r % self->ny) * stride;
            fftw_execute_dft_r2c (self->row_forward, row, (fftw_complex *)row);
            /* the columns that only fill the last block */
            memset (row + 2 * used, 0, (stride - 2 * used) * sizeof (*row));
        }
#pragma omp for schedule(dynamic, 1)
        for (size_t block = 0; block < self->columns / BLOCK; block++) {
            size_t thread = (size_t)omp_get_thread_num ();
            convolve_columns (self, count, kind, work, block * BLOCK,
                              self->column + thread * MACRO_KINDS * BLOCK * self->ny);
        }
#pragma omp for schedule(static)
        for (size_t r = 0; r < rows; r++) {
            double *row = work[r / self->ny] + (r % self->ny) * stride;
            fftw_execute_dft_c2r (self->row_back, (fftw_complex *)row, row);
        }
    }
}
