/* The continuum model's physics: conservation, decay of the free energy, analytic rates, and determinism. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../apps/membrane/macro/macro.h"

#define PI 3.14159265358979323846

static struct macro_options small (void)
{
    struct macro_options o;
    macro_options_quick (&o);
    o.nx = 72;
    o.ny = 60;
    o.ras = 4;
    o.noise = 0;
    return o;
}

static struct macro *make (const struct macro_options *options)
{
    struct strata_error error;
    struct macro *m = macro_new (options, &error);
    if (!m)
        fail_msg ("%s", error.text);
    return m;
}

static double least_density (const struct macro *m)
{
    double least = INFINITY;
    for (size_t i = 0; i < MACRO_LIPIDS; i++)
        for (size_t c = 0; c < m->nx * m->ny; c++)
            least = fmin (least, m->n[i][c]);
    return least;
}

static void the_mass_of_each_lipid_is_kept_to_1e_10 (void **state)
{
    const double noises[] = {0, 0.05, 1};
    for (size_t t = 0; t < sizeof (noises) / sizeof (noises[0]); t++) {
        struct macro_options o = small ();
        o.noise = noises[t];
        struct macro *m = make (&o);
        double mass[MACRO_LIPIDS];
        for (size_t i = 0; i < MACRO_LIPIDS; i++) {
            mass[i] = macro_mass (m, i);
            assert_true (fabs (mass[i] / (m->lx * m->ly * macro_mean_density (i)) - 1) < 1e-12);
        }
        for (int s = 0; s < 200; s++)
            macro_step (m, false);
        for (size_t i = 0; i < MACRO_LIPIDS; i++)
            assert_true (fabs (macro_mass (m, i) / mass[i] - 1) < 1e-10);
        assert_true (least_density (m) > 0);
        macro_free (&m);
    }
}

static void free_energy_never_rises_without_noise (void **state)
{
    struct {
        double perturbation;
        size_t ras;
        double scale;   /* of the initial potentials: 2.5 reaches the 3 kT that a report may give */
    } cases[] = {{0.15, 0, 1}, {0.3, 0, 1}, {0, 4, 1}, {0.15, 4, 1}, {0.15, 6, 2.5}, {0.3, 6, -2.5}};
    for (size_t t = 0; t < sizeof (cases) / sizeof (cases[0]); t++) {
        struct macro_options o = small ();
        o.perturbation = cases[t].perturbation;
        o.ras = cases[t].ras;
        o.freeze_proteins = true;
        struct macro *m = make (&o);
        for (size_t s = 0; s < MACRO_STATES; s++)
            for (size_t i = 0; i < MACRO_KINDS; i++)
                for (size_t row = 0; row < MACRO_RDF_ROWS; row++)
                    m->potential.v[s][i][row] *= cases[t].scale;
        double first = macro_energy (m), before = first;
        for (int s = 0; s < 250; s++) {
            macro_step (m, true);
            if (m->energy > before + 1e-13 * fabs (before))
                fail_msg ("case %zu: F rose by %g at step %d", t, m->energy - before, s);
            before = m->energy;
        }
        assert_true (before < first - 0.5);
        assert_true (least_density (m) > 0);
        macro_free (&m);
    }
}

static double wave (const struct macro *m, double ax, double ay, size_t cell)
{
    size_t x = cell % m->nx, y = cell / m->nx;
    return cos (ax * (double)x + ay * (double)y);
}

/* One wave of each lipid decays by (1 - D k^2 dt) a step, exactly so for the discrete k^2 = 4/h^2 sin^2 (k h / 2), and
 * so as exp (-D k^2 t) within (D k^2)^2 dt t / 2. */
static void an_ideal_mixture_relaxes_a_sine_at_the_analytic_rate (void **state)
{
    struct macro_options o = small ();
    o.ideal = true;
    o.ras = 0;
    o.perturbation = 0;
    const struct {
        size_t mx, my;
    } waves[] = {{1, 0}, {0, 1}, {2, 3}, {7, 0}};
    for (size_t t = 0; t < sizeof (waves) / sizeof (waves[0]); t++) {
        struct macro *m = make (&o);
        double h = o.spacing_nm, ax = 2 * PI * (double)waves[t].mx / (double)m->nx;
        double ay = 2 * PI * (double)waves[t].my / (double)m->ny;
        double k2 = 4 / (h * h) * (pow (sin (ax / 2), 2) + pow (sin (ay / 2), 2));
        for (size_t i = 0; i < MACRO_LIPIDS; i++)
            for (size_t c = 0; c < m->nx * m->ny; c++)
                m->n[i][c] *= 1 + 0.4 * wave (m, ax, ay, c);
        for (int s = 0; s < 60; s++)
            macro_step (m, false);
        for (size_t i = 0; i < MACRO_LIPIDS; i++) {
            double rate = macro_kinds[macro_kind_of (i)].diffusion * k2, sum = 0;
            for (size_t c = 0; c < m->nx * m->ny; c++)
                sum += m->n[i][c] * wave (m, ax, ay, c);
            double amplitude = 2 * sum / (double)(m->nx * m->ny) / macro_mean_density (i);
            double euler = 0.4 * pow (1 - rate * m->dt, 60), exact = 0.4 * exp (-rate * m->time_ns);
            assert_true (fabs (amplitude - euler) < 1e-12);
            assert_true (fabs (amplitude / exact - 1) <= 0.51 * rate * rate * m->dt * m->time_ns + 1e-9);
        }
        macro_free (&m);
    }
}

/* A wave of all lipids of small amplitude: d(delta n)/dt = -D k^2 (1 - n c(k)) delta n, checked against the matrix. */
static void correlations_change_the_rate_as_the_kernels_say (void **state)
{
    struct macro_options o = small ();
    o.ras = 0;
    o.perturbation = 0;
    struct macro *m = make (&o);
    double a = 2 * PI * 2 / (double)m->nx, h = o.spacing_nm, k = a / h, wave = 1e-6;
    double k2 = 4 / (h * h) * pow (sin (a / 2), 2);
    for (size_t i = 0; i < MACRO_INNER; i++)
        for (size_t c = 0; c < m->nx * m->ny; c++)
            m->n[i][c] *= 1 + wave * (double)(i + 1) * cos (a * (double)(c % m->nx));
    macro_step (m, false);
    for (size_t i = 0; i < MACRO_INNER; i++) {
        double excess = 0, sum = 0;
        for (size_t j = 0; j < MACRO_INNER; j++) {
            double c = m->kernels.repulsion[i][j] * exp (-k * k * pow (m->kernels.sigma_repulsion_nm, 2) / 2)
                       + m->kernels.pair[i][j] * exp (-k * k * pow (m->kernels.sigma_pair_nm, 2) / 2);
            excess += c * macro_mean_density (j) * wave * (double)(j + 1);
        }
        double start = wave * (double)(i + 1), change = -macro_kinds[i].diffusion * k2 * (start - excess) * m->dt;
        for (size_t c = 0; c < m->nx * m->ny; c++)
            sum += (m->n[i][c] / macro_mean_density (i) - 1) * cos (a * (double)(c % m->nx));
        assert_true (fabs (2 * sum / (double)(m->nx * m->ny) - start - change) < 1e-4 * fabs (change));
    }
    macro_free (&m);
}

static void kernels_are_symmetric_and_the_mixture_is_stable (void **state)
{
    struct macro_kernels kernels;
    double fastest, softest, ideal_fastest, ideal_softest;
    macro_kernels_init (&kernels);
    for (size_t i = 0; i < MACRO_KINDS; i++)
        for (size_t j = 0; j < MACRO_KINDS; j++) {
            assert_true (kernels.pair[i][j] == kernels.pair[j][i]);
            assert_true (kernels.repulsion[i][j] == kernels.repulsion[j][i]);
        }
    macro_spectrum (&kernels, 1000.0 / 2400, &fastest, &softest);
    macro_spectrum (NULL, 1000.0 / 2400, &ideal_fastest, &ideal_softest);
    assert_true (softest > 0.2 && softest < 0.9);
    assert_true (fastest > ideal_fastest);
    assert_true (fabs (ideal_fastest - 0.065 * 8 * 2.4 * 2.4) < 1e-9);
    assert_true (ideal_softest == 1);
    for (int leaflet = 0; leaflet < 2; leaflet++) {
        double area = 0;
        for (size_t i = leaflet ? MACRO_INNER : 0; i < (leaflet ? MACRO_LIPIDS : MACRO_INNER); i++)
            area += macro_kinds[macro_kind_of (i)].area_nm2 * macro_mean_density (i);
        assert_true (fabs (area - 1) < 1e-12);
    }
}

/* The force on a protein is minus the derivative of the free energy with respect to its place. */
static void lipids_push_a_protein_down_the_free_energy (void **state)
{
    struct macro_options o = small ();
    o.ras = 1;
    o.bound_fraction = 0;
    struct macro *m = make (&o);
    m->proteins[0].x = 0.3;   /* across the periodic edge */
    m->proteins[0].y = 11.1;
    macro_protein_forces (m);
    double fx = m->proteins[0].fx, fy = m->proteins[0].fy, step = 1e-5, e[4];
    for (int t = 0; t < 4; t++) {
        struct macro_protein saved = m->proteins[0];
        *(t < 2 ? &m->proteins[0].x : &m->proteins[0].y) += t % 2 ? step : -step;
        e[t] = macro_energy (m);
        m->proteins[0] = saved;
    }
    assert_true (hypot (fx, fy) > 1e-3);
    assert_true (fabs (-(e[1] - e[0]) / (2 * step) - fx) < 0.02 * hypot (fx, fy));
    assert_true (fabs (-(e[3] - e[2]) / (2 * step) - fy) < 0.02 * hypot (fx, fy));
    macro_free (&m);
}

static void a_complex_keeps_its_bond_and_states_follow_their_table (void **state)
{
    struct macro_options o = small ();
    o.ras = 6;
    o.bound_fraction = 0.5;
    struct macro *m = make (&o);
    size_t switches = 0, bound = 0, free_ras = 0;
    for (int s = 0; s < 200000; s++) {
        size_t seen[6];
        for (size_t k = 0; k < 6; k++)
            seen[k] = m->proteins[k].state;
        if (s % 100 == 0)
            macro_protein_forces (m);
        macro_protein_move (m, 0.2);
        m->step++;
        for (size_t k = 0; k < 6; k++) {
            const struct macro_protein *p = &m->proteins[k], *raf = &m->proteins[6 + k];
            switches += p->state != seen[k];
            assert_true (p->present && p->state <= MACRO_ZRAS_A);
            assert_true (p->x >= 0 && p->x < m->lx && p->y >= 0 && p->y < m->ly);
            assert_int_equal (raf->present, p->state >= MACRO_MRAS_A);
            if (raf->present)
                assert_int_equal (raf->state - MACRO_MRAF_A, p->state - MACRO_MRAS_A);
            bound += raf->present;
            free_ras += !raf->present;
        }
    }
    /* 40 us at about 1 to 2 switches a us and RAS: 6 particles, some 300; both kinds must be common */
    assert_in_range (switches, 100, 900);
    assert_true (bound > 0.1 * (double)(bound + free_ras) && free_ras > 0.1 * (double)(bound + free_ras));
    macro_free (&m);
}

static void two_particles_repel_and_a_pair_is_held_at_2_nm (void **state)
{
    struct macro_options o = small ();
    o.ras = 2;
    o.bound_fraction = 0.5;
    struct macro *m = make (&o);
    memset (&m->potential, 0, sizeof (m->potential));
    struct macro_protein *a = &m->proteins[0], *b = &m->proteins[1], *raf = &m->proteins[2];
    assert_true (raf->present);
    assert_true (fabs (hypot (macro_nearest (a->x - raf->x, m->lx), macro_nearest (a->y - raf->y, m->ly)) - 2) < 1e-9);
    a->x = 0.5;
    raf->x = m->lx - 0.5;
    a->y = raf->y = 5;
    b->x = 1.5;
    b->y = 5;
    macro_protein_forces (m);
    assert_true (b->fx > 0 && fabs (b->fy) < 1e-9);
    assert_true (raf->fx < 0);                                     /* 1 nm apart: the bond pushes, so does b */
    assert_true (fabs (a->fx + b->fx + raf->fx) < 1e-9);           /* action and reaction */
    macro_free (&m);
}

static void the_same_seed_gives_the_same_bits_with_any_number_of_threads (void **state)
{
    struct macro *m[3];
    for (int t = 0; t < 3; t++) {
        struct macro_options o = small ();
        o.noise = 0.1;
        o.threads = t == 1 ? 3 : 1;
        o.seed = t == 2 ? 8 : 7;
        m[t] = make (&o);
        for (int s = 0; s < 30; s++)
            macro_step (m[t], true);
    }
    for (size_t i = 0; i < MACRO_LIPIDS; i++) {
        size_t size = m[0]->nx * m[0]->ny * sizeof (double);
        assert_memory_equal (m[0]->n[i], m[1]->n[i], size);
        assert_true (memcmp (m[0]->n[i], m[2]->n[i], size) != 0);
    }
    assert_true (m[0]->energy == m[1]->energy);
    assert_memory_equal (m[0]->proteins, m[1]->proteins, 2 * m[0]->nras * sizeof (*m[0]->proteins));
    for (int t = 0; t < 3; t++)
        macro_free (&m[t]);
}

static void sizes_out_of_range_are_refused_with_a_sentence (void **state)
{
    struct macro_options bad[6];
    for (int t = 0; t < 6; t++)
        bad[t] = small ();
    bad[0].nx = 3;
    bad[1].ny = 1 << 20;
    bad[2].spacing_nm = NAN;
    bad[3].ras = 60000;
    bad[4].noise = -1;
    bad[5].threads = 0;
    for (int t = 0; t < 6; t++) {
        struct strata_error error = {""};
        assert_null (macro_new (&bad[t], &error));
        assert_non_null (strstr (error.text, "; give"));
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (the_mass_of_each_lipid_is_kept_to_1e_10),
        cmocka_unit_test (free_energy_never_rises_without_noise),
        cmocka_unit_test (an_ideal_mixture_relaxes_a_sine_at_the_analytic_rate),
        cmocka_unit_test (correlations_change_the_rate_as_the_kernels_say),
        cmocka_unit_test (kernels_are_symmetric_and_the_mixture_is_stable),
        cmocka_unit_test (lipids_push_a_protein_down_the_free_energy),
        cmocka_unit_test (a_complex_keeps_its_bond_and_states_follow_their_table),
        cmocka_unit_test (two_particles_repel_and_a_pair_is_held_at_2_nm),
        cmocka_unit_test (the_same_seed_gives_the_same_bits_with_any_number_of_threads),
        cmocka_unit_test (sizes_out_of_range_are_refused_with_a_sentence),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
