/* ddft.c - the lipid fields: allocation, free energy, one step of time.
 *
 * dn_i/dt = div (D_i n_i grad mu_i),  mu_i = ln n_i + psi_i,  psi_i = V_i - sum_j c_ij * n_j      (all in kT)
 * F = sum_i integral n_i (ln n_i - 1) - 1/2 n_i (c * n)_i + n_i V_i
 *
 * Finite volumes: what leaves a cell through a face enters its neighbour, so mass is kept to rounding. The flux through
 * a face between cells 1 and 2 is that of Scharfetter and Gummel,
 *   J = D/h^2 (B(psi_2 - psi_1) n_1 - B(psi_1 - psi_2) n_2),   B(x) = x / (e^x - 1),
 * which is exact for a constant force, is plain diffusion where psi is flat, is zero exactly where mu_1 = mu_2, and has
 * the sign of mu_1 - mu_2: every face lowers F. The explicit step keeps that as long as it is below 2 over the fastest
 * rate of the linearised equations; dt_max is 0.4 over the rate of the uniform mixture (macro_spectrum), which leaves
 * room for places five times as stiff. n stays positive while dt D/h^2 times the sum of B over the four faces is below
 * one; steep potentials shorten the step to keep it below 0.6.
 *
 * Noise is a random flux of variance 2 D min (n_1, n_2) / (h^2 dt) (Dean-Kawasaki) times options.noise, bounded to a
 * twelfth of the smaller cell: a cell is much smaller than a lipid, so full thermal noise on this grid has no meaning.
 */
#include "macro.h"
#include "random.h"

#include <errno.h>
#include <fftw3.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#define STABILITY 0.4
#define POSITIVITY 0.6
#define CHUNK 16         /* rows that one thread takes */
#define WAVES 24         /* of the initial perturbation, each species */

void macro_options_quick (struct macro_options *self)
{
    *self = (struct macro_options){
        .nx = 480, .ny = 480, .spacing_nm = 1000.0 / 2400, .ras = 12, .bound_fraction = 0.34, .noise = 0.03,
        .perturbation = 0.15, .seed = 1, .threads = 1, .mix = 0.5, .min_count = 50};
}

void macro_options_paper (struct macro_options *self)
{
    macro_options_quick (self);
    self->nx = self->ny = 2400;
    self->ras = 300;
}

static int check_options (const struct macro_options *o, struct strata_error *error)
{
    errno = EINVAL;
    if (o->nx < 16 || o->nx > 16384 || o->ny < 16 || o->ny > 16384)
        return strata_fail (error, "the grid has %zu x %zu points; give 16 to 16384 along each side", o->nx, o->ny);
    if (!(o->spacing_nm >= 0.1 && o->spacing_nm <= 10))
        return strata_fail (error, "the grid spacing is %g nm; give 0.1 to 10", o->spacing_nm);
    if (o->ras > 30000)
        return strata_fail (error, "%zu RAS are asked for; give at most 30000, since ids are 16 bits wide", o->ras);
    if (o->threads < 1 || o->threads > 1024)
        return strata_fail (error, "%d threads are asked for; give 1 to 1024", o->threads);
    if (!(o->noise >= 0 && o->noise <= 10))
        return strata_fail (error, "the noise amplitude is %g; give 0 to 10", o->noise);
    if (!(o->perturbation >= 0 && o->perturbation <= 0.3))
        return strata_fail (error, "the initial perturbation is %g; give 0 to 0.3", o->perturbation);
    return 0;
}

static int allocate (struct macro *self)
{
    size_t cells = self->nx * self->ny;
    bool missing = false;
    for (size_t i = 0; i < MACRO_LIPIDS; i++) {
        self->n[i] = fftw_alloc_real (cells);
        missing |= !self->n[i];
    }
    /* one block, so that a snapshot can borrow it as its buffer */
    self->work[0] = fftw_alloc_real (MACRO_LIPIDS * self->ny * self->stride);
    missing |= !self->work[0];
    for (size_t i = 1; i < MACRO_LIPIDS && self->work[0]; i++)
        self->work[i] = self->work[0] + i * self->ny * self->stride;
    for (size_t i = 0; i < MACRO_INNER; i++) {
        self->v[i] = fftw_alloc_real (cells);
        missing |= !self->v[i];
    }
    self->spare = fftw_alloc_real (cells);
    self->row_sums = calloc (MACRO_LIPIDS * self->ny, sizeof (double));
    self->scratch = calloc ((size_t)self->options.threads * 3 * self->nx, sizeof (double));
    self->proteins = calloc (self->nras ? 2 * self->nras : 1, sizeof (*self->proteins));
    return missing || !self->spare || !self->row_sums || !self->scratch || !self->proteins ? -1 : 0;
}

struct wave {
    double kx, ky, phase;    /* radians a cell */
};

static void draw_waves (const struct macro *self, size_t lipid, struct wave waves[WAVES])
{
    for (uint64_t w = 0; w < WAVES; w++) {
        uint64_t key = random_key (self->options.seed, 0, RANDOM_WAVES, lipid * WAVES + w);
        double angle = 2 * MACRO_PI * random_unit (key), length = 12 + 48 * random_unit (random_mix (key ^ 1));
        waves[w].kx = 2 * MACRO_PI * round (self->lx / length * cos (angle)) / (double)self->nx;
        waves[w].ky = 2 * MACRO_PI * round (self->ly / length * sin (angle)) / (double)self->ny;
        waves[w].phase = 2 * MACRO_PI * random_unit (random_mix (key ^ 2));
    }
}

/* n_i = mean (1 + waves of 12..60 nm), the mean restored exactly: a membrane with regions to choose from at once.
 * A wave runs along its row by turning a unit vector, so that a row costs one sine and cosine a wave. */
static void initial_field (struct macro *self, size_t lipid)
{
    double mean = macro_mean_density (lipid), *n = self->n[lipid];
    double amplitude = self->options.perturbation * sqrt (2.0 / WAVES);
    struct wave waves[WAVES];
    draw_waves (self, lipid, waves);
#pragma omp parallel for num_threads(self->options.threads) schedule(static)
    for (size_t y = 0; y < self->ny; y++) {
        double *row = n + y * self->nx;
        for (size_t x = 0; x < self->nx; x++)
            row[x] = 1;
        for (size_t w = 0; w < WAVES && amplitude > 0; w++) {
            double turn_re = cos (waves[w].kx), turn_im = sin (waves[w].kx);
            double at = waves[w].ky * (double)y + waves[w].phase;
            double re = amplitude * cos (at), im = amplitude * sin (at);
            for (size_t x = 0; x < self->nx; x++) {
                row[x] += re;
                double next = re * turn_re - im * turn_im;
                im = re * turn_im + im * turn_re;
                re = next;
            }
        }
        for (size_t x = 0; x < self->nx; x++)
            row[x] = mean * fmax (0.1, row[x]);
    }
    double actual = macro_mass (self, lipid) / (self->lx * self->ly);
    for (size_t c = 0; c < self->nx * self->ny; c++)
        n[c] *= mean / actual;
}

struct macro *macro_new (const struct macro_options *options, struct strata_error *error)
{
    if (check_options (options, error) < 0)
        return NULL;
    struct macro *self = calloc (1, sizeof (*self));
    if (!self) {
        strata_fail (error, "no memory for the model's state");
        return NULL;
    }
    self->options = *options;
    self->nx = options->nx;
    self->ny = options->ny;
    self->lx = (double)options->nx * options->spacing_nm;
    self->ly = (double)options->ny * options->spacing_nm;
    self->nras = options->ras;
    macro_kernels_init (&self->kernels);
    self->fft = macro_fft_new (self->nx, self->ny, options->spacing_nm, &self->kernels, options->threads, error);
    if (!self->fft) {
        macro_free (&self);
        return NULL;
    }
    self->stride = macro_fft_stride (self->fft);
    if (allocate (self) < 0) {
        errno = ENOMEM;
        strata_fail (error, "no memory for a grid of %zu x %zu points; use a smaller --nx", self->nx, self->ny);
        macro_free (&self);
        return NULL;
    }
    double fastest, softest;
    macro_spectrum (options->ideal ? NULL : &self->kernels, options->spacing_nm, &fastest, &softest);
    self->dt_max = STABILITY / fastest;
    for (size_t i = 0; i < MACRO_LIPIDS; i++)
        initial_field (self, i);
    macro_potential_initial (&self->potential);
    macro_protein_place (self);
    return self;
}

void macro_free (struct macro **self_p)
{
    struct macro *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < MACRO_LIPIDS; i++)
        fftw_free (self->n[i]);
    for (size_t i = 0; i < MACRO_INNER; i++)
        fftw_free (self->v[i]);
    fftw_free (self->work[0]);
    fftw_free (self->spare);
    free (self->row_sums);
    free (self->scratch);
    free (self->proteins);
    macro_fft_free (&self->fft);
    free (self);
    *self_p = NULL;
}

double macro_mass (const struct macro *self, size_t lipid)
{
    double total = 0;
    for (size_t y = 0; y < self->ny; y++) {
        double row = 0;
        for (size_t x = 0; x < self->nx; x++)
            row += self->n[lipid][y * self->nx + x];
        total += row;
    }
    return total * self->options.spacing_nm * self->options.spacing_nm;
}

void macro_excess (struct macro *self)
{
    size_t nx = self->nx, ny = self->ny, stride = self->stride, kind[MACRO_LIPIDS];
    for (size_t i = 0; i < MACRO_LIPIDS; i++)
        kind[i] = macro_kind_of (i);
    macro_potential_stamp (self);
    if (!self->options.ideal) {
#pragma omp parallel for num_threads(self->options.threads) schedule(static)
        for (size_t r = 0; r < MACRO_LIPIDS * ny; r++)
            memcpy (self->work[r / ny] + (r % ny) * stride, self->n[r / ny] + (r % ny) * nx, nx * sizeof (double));
        macro_fft_convolve (self->fft, MACRO_INNER, kind, self->work);
        macro_fft_convolve (self->fft, MACRO_LIPIDS - MACRO_INNER, kind + MACRO_INNER, self->work + MACRO_INNER);
    }
#pragma omp parallel for num_threads(self->options.threads) schedule(static)
    for (size_t r = 0; r < MACRO_LIPIDS * ny; r++) {
        size_t lipid = r / ny;
        double *psi = self->work[lipid] + (r % ny) * stride;
        const double *v = lipid < MACRO_INNER ? self->v[lipid] + (r % ny) * nx : NULL;
        if (self->options.ideal)
            memset (psi, 0, nx * sizeof (*psi));
        for (size_t x = 0; x < nx; x++)
            psi[x] = (v ? v[x] : 0) - psi[x];
    }
}

/* F from the psi that stands in work: -1/2 n c*n + n V = n (psi + V) / 2. */
static double energy_of_excess (struct macro *self)
{
    size_t nx = self->nx, ny = self->ny;
#pragma omp parallel for num_threads(self->options.threads) schedule(static)
    for (size_t r = 0; r < MACRO_LIPIDS * ny; r++) {
        size_t lipid = r / ny, y = r % ny;
        const double *n = self->n[lipid] + y * nx, *psi = self->work[lipid] + y * self->stride;
        const double *v = lipid < MACRO_INNER ? self->v[lipid] + y * nx : NULL;
        double sum = 0;
        for (size_t x = 0; x < nx; x++)
            sum += n[x] * (log (n[x]) - 1 + 0.5 * (psi[x] + (v ? v[x] : 0)));
        self->row_sums[r] = sum;
    }
    double total = 0;
    for (size_t r = 0; r < MACRO_LIPIDS * ny; r++)
        total += self->row_sums[r];
    return total * self->options.spacing_nm * self->options.spacing_nm;
}

double macro_energy (struct macro *self)
{
    macro_excess (self);
    return energy_of_excess (self);
}

/* E(x) = x/2 coth (x/2), the even part of B: B(x) = E(x) - x/2, B(-x) = E(x) + x/2. */
static double even_part (double x)
{
    double half = fabs (x) / 2;
    return half < 1e-4 ? 1 + half * half / 3 : half / tanh (half);
}

#define LANES 8

/* The largest |a - b|, in lanes: a maximum is no sum, so their order does not matter. */
static double largest_difference (size_t count, const double *a, const double *b)
{
    double lane[LANES] = {0}, most = 0;
    size_t x = 0;
    for (; x + LANES <= count; x += LANES)
#pragma omp simd
        for (size_t j = 0; j < LANES; j++) {
            double d = fabs (a[x + j] - b[x + j]);
            lane[j] = lane[j] > d ? lane[j] : d;
        }
    for (; x < count; x++)
        most = fmax (most, fabs (a[x] - b[x]));
    for (size_t j = 0; j < LANES; j++)
        most = fmax (most, lane[j]);
    return most;
}

#define SERIES_LIMIT 0.5 /* where the series below is right to 1e-13 */

/* flux[x] = B(p2 - p1) n1 - B(p1 - p2) n2 in units of D/h^2. */
static void face_flux (size_t count, const double *n1, const double *n2, const double *p1, const double *p2,
                       double *flux)
{
#pragma omp simd
    for (size_t i = 0; i < count; i++) {
        double d = p2[i] - p1[i], s = d * d;
        double e = 1 + s * (1.0 / 12 + s * (-1.0 / 720 + s * (1.0 / 30240 + s * (-1.0 / 1209600 + s / 47900160.0))));
        flux[i] = (e - d / 2) * n1[i] - (e + d / 2) * n2[i];
    }
    if (largest_difference (count, p1, p2) <= SERIES_LIMIT)
        return;
    for (size_t i = 0; i < count; i++) {
        double d = p2[i] - p1[i];
        if (fabs (d) > SERIES_LIMIT) {
            double e = even_part (d);
            flux[i] = (e - d / 2) * n1[i] - (e + d / 2) * n2[i];
        }
    }
}

/* Adds noise of `amplitude` = noise sqrt (2 D dt) / h^2 (a density) to one flux in units of D/h^2; unit = D dt/h^2.
 * bits: 32 random ones. The numbers are uniform with variance 1: a time step adds many, and only the first two moments
 * count for the weak order of the scheme. */
static inline double noise_flux (double amplitude, double unit, double n1, double n2, uint32_t bits)
{
    double least = n1 < n2 ? n1 : n2;
    double u = ((double)bits + 0.5) * 0x1p-32;
    double q = amplitude * sqrt (least) * 3.4641016151377544 * (u - 0.5), bound = least / 12;
    return (q > bound ? bound : q < -bound ? -bound : q) / unit;
}

struct advance {
    size_t lipid;
    double unit;        /* D dt/h^2 */
    double amplitude;   /* of the noise, 0 = none */
};

/* Noise of row y's faces: to the right (may be NULL) and up. One hash gives both. */
static void noise_row (const struct macro *self, const struct advance *a, size_t y, double *right, double *above)
{
    size_t nx = self->nx, up = (y + 1) % self->ny;
    const double *n = self->n[a->lipid] + y * nx, *next = self->n[a->lipid] + up * nx;
    uint64_t key = random_key (self->options.seed, self->step, RANDOM_NOISE, a->lipid * self->ny + y);
    for (size_t x = 0; x < nx; x++) {
        uint64_t bits = random_mix (key + x);
        above[x] += noise_flux (a->amplitude, a->unit, n[x], next[x], (uint32_t)(bits >> 32));
        if (right)
            right[x] += noise_flux (a->amplitude, a->unit, n[x], n[x + 1 < nx ? x + 1 : 0], (uint32_t)bits);
    }
}

/* The flux from row y to the row above. */
static void flux_up (const struct macro *self, const struct advance *a, size_t y, double *flux)
{
    size_t nx = self->nx, up = (y + 1) % self->ny;
    const double *n = self->n[a->lipid], *psi = self->work[a->lipid];
    face_flux (nx, n + y * nx, n + up * nx, psi + y * self->stride, psi + up * self->stride, flux);
}

/* The flux from each cell of row y to the right. */
static void flux_right (const struct macro *self, const struct advance *a, size_t y, double *flux)
{
    size_t nx = self->nx;
    const double *n = self->n[a->lipid] + y * nx, *psi = self->work[a->lipid] + y * self->stride;
    face_flux (nx - 1, n, n + 1, psi, psi + 1, flux);
    face_flux (1, n + nx - 1, n, psi + nx - 1, psi, flux + nx - 1);
}

static void advance_rows (struct macro *self, const struct advance *a, size_t first, size_t end, double *scratch)
{
    size_t nx = self->nx;
    double *right = scratch, *below = scratch + nx, *above = scratch + 2 * nx;
    flux_up (self, a, first ? first - 1 : self->ny - 1, below);
    if (a->amplitude > 0)
        noise_row (self, a, first ? first - 1 : self->ny - 1, NULL, below);
    for (size_t y = first; y < end; y++) {
        flux_right (self, a, y, right);
        flux_up (self, a, y, above);
        if (a->amplitude > 0)
            noise_row (self, a, y, right, above);
        const double *n = self->n[a->lipid] + y * nx;
        double *to = self->spare + y * nx;
        to[0] = n[0] - a->unit * (right[0] - right[nx - 1] + above[0] - below[0]);
#pragma omp simd
        for (size_t x = 1; x < nx; x++)
            to[x] = n[x] - a->unit * (right[x] - right[x - 1] + above[x] - below[x]);
        double *swap = below;
        below = above;
        above = swap;
    }
}

/* The largest difference of psi between neighbours, for each species. */
static void steepest_faces (struct macro *self, double steepest[MACRO_LIPIDS])
{
    size_t nx = self->nx, ny = self->ny, stride = self->stride;
#pragma omp parallel for num_threads(self->options.threads) schedule(static)
    for (size_t r = 0; r < MACRO_LIPIDS * ny; r++) {
        const double *psi = self->work[r / ny] + (r % ny) * stride;
        const double *up = self->work[r / ny] + ((r + 1) % ny) * stride;
        double along = fmax (largest_difference (nx - 1, psi, psi + 1), fabs (psi[0] - psi[nx - 1]));
        self->row_sums[r] = fmax (along, largest_difference (nx, psi, up));
    }
    for (size_t i = 0; i < MACRO_LIPIDS; i++) {
        steepest[i] = 0;
        for (size_t y = 0; y < ny; y++)
            steepest[i] = fmax (steepest[i], self->row_sums[i * ny + y]);
    }
}

static double choose_dt (struct macro *self)
{
    double steepest[MACRO_LIPIDS], dt = self->dt_max, h2 = self->options.spacing_nm * self->options.spacing_nm;
    steepest_faces (self, steepest);
    for (size_t i = 0; i < MACRO_LIPIDS; i++) {
        double out = 4 * (even_part (steepest[i]) + steepest[i] / 2) * macro_kinds[macro_kind_of (i)].diffusion / h2;
        dt = fmin (dt, POSITIVITY / out);
    }
    return dt;
}

static void advance_fields (struct macro *self, double dt)
{
    size_t ny = self->ny, chunks = (ny + CHUNK - 1) / CHUNK;
    double h2 = self->options.spacing_nm * self->options.spacing_nm;
    for (size_t i = 0; i < MACRO_LIPIDS; i++) {
        double diffusion = macro_kinds[macro_kind_of (i)].diffusion;
        struct advance a = {i, diffusion * dt / h2, self->options.noise * sqrt (2 * diffusion * dt) / h2};
#pragma omp parallel for num_threads(self->options.threads) schedule(static)
        for (size_t c = 0; c < chunks; c++) {
            size_t end = (c + 1) * CHUNK < ny ? (c + 1) * CHUNK : ny;
            advance_rows (self, &a, c * CHUNK, end, self->scratch + (size_t)omp_get_thread_num () * 3 * self->nx);
        }
        double *swap = self->n[i];
        self->n[i] = self->spare;
        self->spare = swap;
    }
}

void macro_step (struct macro *self, bool want_energy)
{
    macro_excess (self);
    if (want_energy)
        self->energy = energy_of_excess (self);
    self->dt = choose_dt (self);
    if (!self->options.freeze_proteins)
        macro_protein_forces (self);
    advance_fields (self, self->dt);
    if (!self->options.freeze_proteins)
        macro_protein_move (self, self->dt);
    self->step++;
    self->time_ns += self->dt;
}
