/* test_cg_rdf.c - the 2-D histogram of membrane-cg against brute force over periodic images, and its bin edges. That
 * counts equal those of MDAnalysis and numpy on a real trajectory is the business of
 * tests/peers/rdf_agrees_with_mdanalysis.sh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../apps/membrane/cg/rdf.h"

static uint64_t seed = 20261120;

static double uniform (void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(seed >> 11) / 9007199254740992.0;
}

static void edges_are_those_of_numpy_linspace (void **state)
{
    /* numpy.linspace (0.1, 120, 600)[i], printed with repr */
    static const struct {
        size_t bin;
        double edge;
    } cases[] = {
        { 0, 0.1 },
        { 1, 0.3001669449081803 },
        { 2, 0.5003338898163606 },
        { 7, 1.5011686143572622 },
        { 300, 60.1500834724541 },
        { 598, 119.79983305509182 },
        { 599, 120.0 },
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++)
        assert_true (cg_rdf_edge (cases[i].bin) == cases[i].edge);
}

static void a_bin_holds_its_left_edge_and_the_last_one_both (void **state)
{
    for (size_t bin = 0; bin < CG_RDF_BINS; bin++) {
        double left = cg_rdf_edge (bin), right = cg_rdf_edge (bin + 1);
        assert_int_equal (cg_rdf_bin (left), bin);
        assert_int_equal (cg_rdf_bin (nextafter (right, 0)), bin);
        assert_int_equal (cg_rdf_bin (0.5 * (left + right)), bin);
    }
    assert_int_equal (cg_rdf_bin (120.0), 598);
}

static void distances_outside_of_the_range_are_in_no_bin (void **state)
{
    const double outside[] = { 0, nextafter (0.1, 0), nextafter (120.0, 200), 1e300, -1, NAN, INFINITY, -INFINITY };
    for (size_t i = 0; i < sizeof (outside) / sizeof (outside[0]); i++)
        assert_int_equal (cg_rdf_bin (outside[i]), -1);
}

static void the_distance_is_to_the_nearest_image_and_leaves_z_out (void **state)
{
    static const struct {
        float from[3], to[3];
        double expected; /* Angstrom, in a box of 6 x 7 nm */
    } cases[] = {
        { { 1, 1, 0 }, { 1, 1, 5 }, 0 },
        { { 1, 1, 0 }, { 2, 1, 0 }, 10 },
        { { 0.5f, 1, 0 }, { 5.5f, 1, 3 }, 10 },
        { { 1, 0.5f, 0 }, { 1, 6.5f, 3 }, 10 },
        { { 0.5f, 0.5f, 1 }, { 5.5f, 6.5f, 2 }, 14.142135623730951 },
        { { 0, 0, 0 }, { 3, 3.5f, 0 }, 46.09772228646444 },
        { { -6, 0, 0 }, { 13, 0, 0 }, 10 },
    };
    const float box[2] = { 6, 7 };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++)
        assert_true (fabs (cg_rdf_distance (cases[i].from, cases[i].to, box) - cases[i].expected) < 1e-5);
}

/* The definition: the smallest distance over the images all around, in double. */
static double brute_force (const float *a, const float *b, const float box[2])
{
    double best = INFINITY;
    for (int i = -3; i <= 3; i++)
        for (int j = -3; j <= 3; j++)
            best = fmin (best, hypot ((double)b[0] - (double)a[0] + i * (double)box[0],
                                      (double)b[1] - (double)a[1] + j * (double)box[1]));
    return best * 10;
}

static void counts_are_those_of_brute_force (void **state)
{
    enum { BEADS = 400 };
    float x[3 * BEADS];
    for (int round = 0; round < 20; round++) {
        const float box[2] = { (float)(4 + 12 * uniform ()), (float)(4 + 12 * uniform ()) };
        int32_t from_atoms[3] = { 0, 7, 11 }, to_atoms[BEADS];
        for (int i = 0; i < BEADS; i++) {
            to_atoms[i] = BEADS - 1 - i;
            for (int k = 0; k < 3; k++)
                x[3 * i + k] = (float)((uniform () * 2 - 0.5) * (double)box[k % 2]);
        }
        const struct cg_group from = { from_atoms, 3 }, to = { to_atoms, BEADS };
        int64_t counts[CG_RDF_BINS] = { 0 }, expected[CG_RDF_BINS] = { 0 };
        size_t unsure = 0, total = 0;
        for (size_t i = 0; i < from.count; i++)
            for (size_t j = 0; j < to.count; j++) {
                double d = brute_force (x + 3 * from_atoms[i], x + 3 * to_atoms[j], box);
                /* Where float32 may fall on the other side of an edge, this definition has no say. */
                int low = cg_rdf_bin (d - 2e-4), high = cg_rdf_bin (d + 2e-4);
                if (low != high) {
                    unsure++;
                    low = cg_rdf_bin (cg_rdf_distance (x + 3 * from_atoms[i], x + 3 * to_atoms[j], box));
                }
                if (low >= 0)
                    expected[low]++;
                total++;
            }
        assert_true (unsure < total / 50);
        cg_rdf_add (counts, x, box, &from, &to);
        assert_memory_equal (counts, expected, sizeof (counts));
        cg_rdf_add (counts, x, box, &from, &to); /* adds, does not set */
        for (int b = 0; b < CG_RDF_BINS; b++)
            assert_int_equal (counts[b], 2 * expected[b]);
    }
}

static void an_empty_group_counts_nothing (void **state)
{
    const float x[3] = { 1, 1, 1 }, box[2] = { 6, 7 };
    int32_t zero = 0;
    const struct cg_group one = { &zero, 1 }, none = { NULL, 0 };
    int64_t counts[CG_RDF_BINS] = { 0 }, zeros[CG_RDF_BINS] = { 0 };
    cg_rdf_add (counts, x, box, &one, &none);
    cg_rdf_add (counts, x, box, &none, &one);
    cg_rdf_add (counts, x, box, &one, &one); /* 0 A is below the range */
    assert_memory_equal (counts, zeros, sizeof (counts));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (edges_are_those_of_numpy_linspace),
        cmocka_unit_test (a_bin_holds_its_left_edge_and_the_last_one_both),
        cmocka_unit_test (distances_outside_of_the_range_are_in_no_bin),
        cmocka_unit_test (the_distance_is_to_the_nearest_image_and_leaves_z_out),
        cmocka_unit_test (counts_are_those_of_brute_force),
        cmocka_unit_test (an_empty_group_counts_nothing),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
