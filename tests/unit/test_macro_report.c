/* From RDF files to potentials and to the lipids around a protein; refusal of broken reports. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../apps/membrane/macro/macro.h"
#include "scratch.h"

#define PI 3.14159265358979323846

static char dir[64];

static int make_dir (void **state)
{
    return scratch_new (dir, sizeof (dir)) ? 0 : -1;
}

static int remove_dir (void **state)
{
    char command[128];
    snprintf (command, sizeof (command), "rm -rf '%s'", dir);
    return system (command);
}

/* g of lipid i: a peak or a hole of depth kT at the protein, 1 far away. */
static double true_v (size_t i, double r)
{
    static const double depth[MACRO_KINDS] = {0, 0.3, -0.3, 0.8, 1.5, -0.8, -1.5, 0.1};
    return depth[i] * exp (-r * r / 2);
}

/* Counts of a campaign that saw `frames` lipids at unit density, in boxes that end at range_nm (12 = none do). */
static void fill (struct macro_rdf *rdf, double frames, double range_nm)
{
    memset (rdf, 0, sizeof (*rdf));
    for (size_t row = 1; row < MACRO_RDF_ROWS; row++) {
        double r = macro_rdf_radius (row), area = 2 * PI * r * MACRO_RDF_BIN_NM;
        for (size_t i = 0; i < MACRO_KINDS && r < range_nm; i++)
            rdf->counts[i][row] = round (frames * area * macro_mean_density (i) * exp (-true_v (i, r)));
    }
}

static void write_rdf (const char *path, const struct macro_rdf *rdf)
{
    FILE *f = fopen (path, "w");
    assert_non_null (f);
    fprintf (f, "bin");
    for (size_t i = 0; i < MACRO_KINDS; i++)
        fprintf (f, " %s", macro_kind_names[i]);
    for (size_t row = 0; row < MACRO_RDF_ROWS; row++) {
        fprintf (f, "\n%.2f", macro_rdf_radius (row));
        for (size_t i = 0; i < MACRO_KINDS; i++)
            fprintf (f, " %12lld", (long long)rdf->counts[i][row]);
    }
    fprintf (f, "\n");
    assert_int_equal (fclose (f), 0);
}

/* A round with data for the states of `mask` and the link to it, moved by rename as the service does. */
static void write_round (unsigned round, unsigned mask, const struct macro_rdf *rdf)
{
    char path[160], target[32], link[128], current[128];
    static const struct macro_rdf empty;
    snprintf (path, sizeof (path), "%s/round.%06u", dir, round);
    assert_int_equal (mkdir (path, 0777), 0);
    for (size_t s = 0; s < MACRO_STATES; s++) {
        snprintf (path, sizeof (path), "%s/round.%06u/rdf_%s.txt", dir, round, macro_state_names[s]);
        write_rdf (path, mask & (1u << s) ? rdf : &empty);
    }
    snprintf (target, sizeof (target), "round.%06u", round);
    snprintf (link, sizeof (link), "%s/link", dir);
    snprintf (current, sizeof (current), "%s/current", dir);
    assert_int_equal (symlink (target, link), 0);
    assert_int_equal (rename (link, current), 0);
}

static struct macro *make (double mix)
{
    struct strata_error error;
    struct macro_options o;
    macro_options_quick (&o);
    o.nx = o.ny = 72;
    o.ras = 1;
    o.bound_fraction = 0;
    o.noise = 0;
    o.perturbation = 0;
    o.freeze_proteins = true;
    o.mix = mix;
    struct macro *m = macro_new (&o, &error);
    if (!m)
        fail_msg ("%s", error.text);
    return m;
}

static void an_analytic_rdf_gives_its_potential_back (void **state)
{
    const struct {
        double frames, range, tolerance;
    } cases[] = {{1e6, 13, 0.03}, {1e6, 8, 0.03}, {1e4, 13, 0.06}, {1e4, 5, 0.06}};
    for (size_t t = 0; t < sizeof (cases) / sizeof (cases[0]); t++) {
        struct macro_rdf rdf, read;
        struct strata_error error;
        static double v[MACRO_KINDS][MACRO_RDF_ROWS];
        bool used[MACRO_KINDS];
        char path[128];
        fill (&rdf, cases[t].frames, cases[t].range);
        snprintf (path, sizeof (path), "%s/rdf_RASa.txt", dir);
        write_rdf (path, &rdf);
        if (macro_rdf_read (path, &read, &error) < 0)
            fail_msg ("%s", error.text);
        assert_memory_equal (&rdf, &read, sizeof (rdf));
        assert_int_equal (macro_rdf_potential (&read, 50, v, used), MACRO_KINDS);
        for (size_t i = 0; i < MACRO_KINDS; i++)
            for (size_t row = 0; row < MACRO_RDF_ROWS; row++) {
                double r = macro_rdf_radius (row);
                if (r >= cases[t].range)
                    assert_true (v[i][row] == 0);
                else if (r > 0.15 && fabs (v[i][row] - true_v (i, r)) > cases[t].tolerance)
                    fail_msg ("case %zu: V of lipid %zu at %.2f nm is %.3f, not %.3f", t, i, r, v[i][row],
                              true_v (i, r));
            }
    }
}

static void potentials_are_bounded_and_few_counts_change_nothing (void **state)
{
    struct macro_rdf rdf;
    static double v[MACRO_KINDS][MACRO_RDF_ROWS];
    bool used[MACRO_KINDS];
    fill (&rdf, 1e5, 13);
    for (size_t row = 1; row < 100; row++) {
        rdf.counts[0][row] = 0;          /* an excluded core: -ln 0 */
        rdf.counts[1][row] *= 1000;
    }
    for (size_t row = 1; row < MACRO_RDF_ROWS; row++)
        rdf.counts[6][row] = row % 60 == 0;
    v[6][50] = 0.125;
    assert_int_equal (macro_rdf_potential (&rdf, 50, v, used), MACRO_KINDS - 1);
    assert_false (used[6]);
    assert_true (v[6][50] == 0.125);
    assert_true (v[0][60] == 3 && v[1][60] == -3);
    for (size_t row = 0; row < MACRO_RDF_ROWS; row++)
        for (size_t i = 0; i < MACRO_KINDS; i++)
            assert_true (fabs (v[i][row]) <= 3);
    memset (&rdf, 0, sizeof (rdf));
    assert_int_equal (macro_rdf_potential (&rdf, 50, v, used), 0);
}

static void counts_from_a_box_s_corners_do_not_pass_for_depletion (void **state)
{
    struct macro_rdf rdf;
    static double v[MACRO_KINDS][MACRO_RDF_ROWS];
    bool used[MACRO_KINDS];
    double half = 4.5;
    fill (&rdf, 1e5, half * sqrt (2));
    for (size_t row = 1; row < MACRO_RDF_ROWS; row++) {
        double r = macro_rdf_radius (row), part = r > half ? 1 - 4 / PI * acos (half / r) : 1;
        for (size_t i = 0; i < MACRO_KINDS; i++)
            rdf.counts[i][row] = round (rdf.counts[i][row] * fmax (0, part));
    }
    assert_int_equal (macro_rdf_potential (&rdf, 50, v, used), MACRO_KINDS);
    for (size_t i = 0; i < MACRO_KINDS; i++)
        for (size_t row = 10; row < MACRO_RDF_ROWS; row++) {
            double r = macro_rdf_radius (row);
            assert_true (fabs (v[i][row] - (r < half ? true_v (i, r) : 0)) < 0.06);
        }
}

/* Excess of lipid i within 1 nm of the protein, relative to the mean. */
static double near_protein (const struct macro *m, size_t i)
{
    double sum = 0, count = 0;
    for (size_t c = 0; c < m->nx * m->ny; c++) {
        double h = m->options.spacing_nm;
        size_t row = c / m->nx;
        double dx = macro_nearest ((double)(c % m->nx) * h - m->proteins[0].x, m->lx);
        double dy = macro_nearest ((double)row * h - m->proteins[0].y, m->ly);
        if (hypot (dx, dy) < 1) {
            sum += m->n[i][c];
            count++;
        }
    }
    return sum / count / macro_mean_density (i) - 1;
}

static void a_report_changes_the_potentials_and_the_lipids_near_the_protein_follow (void **state)
{
    struct macro *m = make (1);
    struct macro_uptake uptake;
    struct strata_error error;
    struct macro_rdf rdf;
    assert_int_equal (macro_report_round (dir), 0);
    memset (&m->potential, 0, sizeof (m->potential));   /* from a protein that lipids do not feel */
    for (int s = 0; s < 20; s++)
        macro_step (m, false);
    for (size_t i = 0; i < MACRO_INNER; i++)
        assert_true (fabs (near_protein (m, i)) < 1e-9);
    fill (&rdf, 1e6, 13);
    write_round (3, 1u << MACRO_RAS_A | 1u << MACRO_MRAF_B, &rdf);
    assert_int_equal (macro_report_round (dir), 3);
    if (macro_report_take (m, dir, 3, &uptake, &error) < 0)
        fail_msg ("%s", error.text);
    assert_int_equal (uptake.states, 2);
    assert_int_equal (uptake.lipids, 16);
    assert_true (fabs (uptake.max_change - 1.5) < 0.05);
    assert_int_equal (m->round, 3);
    assert_int_equal (m->round_step, 20);
    for (int s = 0; s < 300; s++)
        macro_step (m, false);
    assert_true (near_protein (m, 6) > 0.5);     /* PAP6, -1.5 kT */
    assert_true (near_protein (m, 5) > 0.2);     /* PAPS, -0.8 */
    assert_true (near_protein (m, 4) < -0.5);    /* DPSM, +1.5 */
    assert_true (near_protein (m, 3) < -0.2);    /* DIPE, +0.8 */
    macro_free (&m);
}

static void a_new_report_is_blended_with_the_potentials_in_force (void **state)
{
    struct macro *m = make (0.25);
    struct macro_uptake uptake;
    struct strata_error error;
    struct macro_rdf rdf;
    fill (&rdf, 1e6, 13);
    write_round (1, 1u << MACRO_RAS_A, &rdf);
    double before = m->potential.v[MACRO_RAS_A][6][60], other = m->potential.v[MACRO_RAS_B][6][60];
    assert_int_equal (macro_report_take (m, dir, 1, &uptake, &error), 0);
    double want = 0.75 * before + 0.25 * true_v (6, macro_rdf_radius (60));
    assert_true (fabs (m->potential.v[MACRO_RAS_A][6][60] - want) < 0.01);
    assert_true (m->potential.v[MACRO_RAS_B][6][60] == other);
    assert_true (m->potential.cutoff_nm[MACRO_RAS_A] > 4);
    macro_free (&m);
}

/* Puts `text` in place of line `line` (1-based) of a file; NULL: cuts the file there. */
static void edit (const char *path, size_t line, const char *text)
{
    char command[512];
    if (text)
        snprintf (command, sizeof (command), "sed -i '%zus/.*/%s/' '%s'", line, text, path);
    else
        snprintf (command, sizeof (command), "sed -i '%zu,$d' '%s'", line, path);
    assert_int_equal (system (command), 0);
}

static void a_broken_report_is_refused_by_name_and_changes_nothing (void **state)
{
    const struct {
        size_t line;
        const char *text, *want;
    } cases[] = {
        {1, "bin POPC PAPC POPE DIPE DPSM PAPS CHOL PAP6", "rdf_mRASb.txt:1: column 8 is 'CHOL'"},
        {1, "bin POPC PAPC POPE DIPE DPSM PAPS PAP6 CHOL CHOL", "rdf_mRASb.txt:1: column 'CHOL' follows"},
        {1, "", "rdf_mRASb.txt:1: column 1 is ''"},
        {2, "0.00 0 0 0 7 0 0 0 0", "rdf_mRASb.txt:2: the first row must be zero"},
        {52, "1.40 1 1 1 1 1 1 1 1", "rdf_mRASb.txt:52: the radius"},
        {52, "nan 1 1 1 1 1 1 1 1", "rdf_mRASb.txt:52: the radius"},
        {52, "1.00 1 1 1 1 1 1 1", "rdf_mRASb.txt:52: the count of CHOL"},
        {52, "1.00 1 1 1 1 1 1 1 1 1", "rdf_mRASb.txt:52: '"},
        {52, "1.00 1 1 -4 1 1 1 1 1", "rdf_mRASb.txt:52: the count of POPE, '-4 "},
        {52, "1.00 1 1 1.5 1 1 1 1 1", "rdf_mRASb.txt:52: the count of POPE, '1.5 "},
        {52, "1.00 1 99999999999999999999 1 1 1 1 1 1", "rdf_mRASb.txt:52: the count of PAPC"},
        {601, NULL, "rdf_mRASb.txt: ends after 600 lines"},
        {1, NULL, "rdf_mRASb.txt: ends after 0 lines"},
        {601, "11.99 0 0 0 0 0 0 0 0\\n12.01 0 0 0 0 0 0 0 0", ":602: a line follows"},
    };
    struct macro *m = make (1);
    struct macro_uptake uptake;
    struct macro_rdf rdf;
    char path[160];
    struct macro_potential *before = malloc (sizeof (*before));
    assert_non_null (before);
    *before = m->potential;
    fill (&rdf, 1e5, 13);
    for (unsigned t = 0; t < sizeof (cases) / sizeof (cases[0]); t++) {
        struct strata_error error = {""};
        write_round (t + 1, 0x1ff, &rdf);
        snprintf (path, sizeof (path), "%s/round.%06u/rdf_mRASb.txt", dir, t + 1);
        edit (path, cases[t].line, cases[t].text);
        assert_int_equal (macro_report_take (m, dir, t + 1, &uptake, &error), -1);
        if (!strstr (error.text, cases[t].want))
            fail_msg ("case %u: '%s' lacks '%s'", t, error.text, cases[t].want);
    }
    struct strata_error error = {""};
    unlink (path);
    assert_int_equal (macro_report_take (m, dir, 14, &uptake, &error), -1);
    assert_non_null (strstr (error.text, "rdf_mRASb.txt: can't be opened"));
    assert_int_equal (mkfifo (path, 0666), 0);   /* must not wait for a writer */
    assert_int_equal (macro_report_take (m, dir, 14, &uptake, &error), -1);
    assert_non_null (strstr (error.text, "is no plain file"));
    assert_memory_equal (before, &m->potential, sizeof (*before));
    assert_int_equal (m->round, 0);
    free (before);
    macro_free (&m);
}

static void a_link_that_names_no_round_is_no_report (void **state)
{
    const struct {
        const char *target;
        uint64_t round;
    } cases[] = {{"round.000012", 12}, {"/elsewhere/round.000007", 7}, {"round.9/", 9}, {"round.", 0}, {"round.12x", 0},
                 {"round.-1", 0}, {"rounds.000001", 0}, {"round.99999999999999999999", 0}, {".", 0}};
    char link[128];
    snprintf (link, sizeof (link), "%s/current", dir);
    for (size_t t = 0; t < sizeof (cases) / sizeof (cases[0]); t++) {
        assert_int_equal (symlink (cases[t].target, link), 0);
        assert_int_equal (macro_report_round (dir), cases[t].round);
        unlink (link);
    }
}

#define WITH_DIR(f) cmocka_unit_test_setup_teardown (f, make_dir, remove_dir)

int main (void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIR (an_analytic_rdf_gives_its_potential_back),
        WITH_DIR (potentials_are_bounded_and_few_counts_change_nothing),
        WITH_DIR (counts_from_a_box_s_corners_do_not_pass_for_depletion),
        WITH_DIR (a_report_changes_the_potentials_and_the_lipids_near_the_protein_follow),
        WITH_DIR (a_new_report_is_blended_with_the_potentials_in_force),
        WITH_DIR (a_broken_report_is_refused_by_name_and_changes_nothing),
        WITH_DIR (a_link_that_names_no_round_is_no_report),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
