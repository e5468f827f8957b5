/* Which patches are taken, how many lipids of each kind they become, and where those stand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../apps/membrane/createsim/composition.h"
#include "createsim_patches.h"
#include "strata_npz.h"

static void every_count_is_within_one_of_its_expectation_and_both_leaflets_fill_the_area (void **state)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        const double edge = 5 + (double) (seed % 26);
        struct createsim_composition composition;
        struct createsim_patch patch;
        struct strata_error error;

        test_patch_init (&patch, seed);
        assert_int_equal (createsim_composition_compute (&patch, forcefield, edge, 0, &composition, &error), 0);
        for (int leaflet = 0; leaflet < 2; leaflet++) {
            double area = 0, expected_area = 0, expected = 0;
            size_t count = 0;

            for (int k = leaflet ? CREATESIM_INNER : 0; k < (leaflet ? CREATESIM_LIPIDS : CREATESIM_INNER); k++) {
                double one = forcefield_lipid (forcefield, createsim_lipid_names[k])->area;

                assert_true (fabs ((double) composition.count[k] - composition.expected[k]) < 1);
                expected += composition.expected[k];
                count += composition.count[k];
                area += one * (double) composition.count[k];
                expected_area += one * composition.expected[k];
            }
            assert_true (fabs ((double) count - expected) <= 0.5 + 1e-9);
            assert_true (fabs (expected_area - edge * edge) < 1e-6 * edge * edge);
            assert_true (fabs (area - edge * edge) < 3); /* a few lipids' worth of rounding */
        }
        createsim_patch_fini (&patch);
    }
}

static void the_region_is_the_centre_of_the_patch (void **state)
{
    struct createsim_composition composition;
    struct createsim_patch patch;
    struct strata_error error;

    /* POPC and POPE at the rim only, CHOL and PAPC in the central 9 nm and a cell around it */
    test_patch_init (&patch, 3);
    for (size_t i = 0; i < TEST_GRID * TEST_GRID; i++) {
        size_t column = i % TEST_GRID, row = i / TEST_GRID;
        double x = ((double) column + 0.5) * 30 / TEST_GRID - 15, y = ((double) row + 0.5) * 30 / TEST_GRID - 15;
        int central = fabs (x) < 4.5 + 30.0 / TEST_GRID && fabs (y) < 4.5 + 30.0 / TEST_GRID;

        for (size_t k = 0; k < CREATESIM_LIPIDS; k++) {
            const char *name = createsim_lipid_names[k];
            int inside = strcmp (name, "CHOL") == 0 || strcmp (name, "PAPC") == 0;

            patch.density[i * CREATESIM_LIPIDS + k] = inside == central ? 0.5f : 0.0f;
        }
    }
    assert_int_equal (createsim_composition_compute (&patch, forcefield, 9, 0, &composition, &error), 0);
    for (size_t k = 0; k < CREATESIM_LIPIDS; k++) {
        int inside = strcmp (createsim_lipid_names[k], "CHOL") == 0 || strcmp (createsim_lipid_names[k], "PAPC") == 0;

        assert_int_equal (composition.count[k] > 0, inside);
    }
    createsim_patch_fini (&patch);
}

static void places_follow_the_local_densities_and_counts_come_out_exactly (void **state)
{
    struct createsim_random random = { .state = 11 };
    struct createsim_composition composition;
    struct createsim_place *places;
    struct createsim_patch patch;
    struct strata_error error;
    double reserved[2][2] = { { 1, 2 }, { -3, 0 } };
    size_t n, seen[CREATESIM_LIPIDS] = { 0 }, wrong = 0, kept = 0;

    test_patch_init (&patch, 5); /* inner POPC only where x < 0, inner POPE only where x > 0 */
    for (size_t i = 0; i < TEST_GRID * TEST_GRID; i++)
        for (size_t k = 0; k < CREATESIM_INNER; k++)
            patch.density[i * CREATESIM_LIPIDS + k] =
                (k == 0 && i % TEST_GRID < TEST_GRID / 2) || (k == 2 && i % TEST_GRID > TEST_GRID / 2);
    assert_int_equal (createsim_composition_compute (&patch, forcefield, 30, 0.6, &composition, &error), 0);
    assert_int_equal (createsim_places_draw (&patch, &composition, CREATESIM_LEAFLET_INNER, 2, reserved, &random,
                                             &places, &n, &error),
                      0);
    assert_int_equal (n, createsim_composition_count (&composition, CREATESIM_LEAFLET_INNER) + 2);
    for (size_t i = 0; i < n; i++) {
        if (places[i].lipid < 0) {
            int k = -1 - places[i].lipid;

            assert_true (hypot (places[i].x - reserved[k][0], places[i].y - reserved[k][1]) < 0.8);
            kept++;
            continue;
        }
        seen[places[i].lipid]++;
        wrong += places[i].lipid == 0 ? places[i].x > 1 : places[i].x < -1;
    }
    assert_int_equal (kept, 2);
    for (size_t k = 0; k < CREATESIM_INNER; k++)
        assert_int_equal (seen[k], composition.count[k]);
    assert_true (wrong * 20 < n); /* only what the last draws had no choice about */
    free (places);
    createsim_patch_fini (&patch);
}

/* ---- broken patches ---- */

static void break_negative (struct createsim_patch *p) { p->density[20 * CREATESIM_LIPIDS + 7] = -0.1f; }
static void break_nan (struct createsim_patch *p) { p->density[3] = NAN; }
static void break_infinite (struct createsim_patch *p) { p->density[8] = INFINITY; }
static void break_configuration (struct createsim_patch *p) { strcpy (p->configuration, "invalid"); }
static void break_edge (struct createsim_patch *p) { p->edge_nm = NAN; }
static void break_outside (struct createsim_patch *p) { test_patch_add (p, 4, "RASa", 99, 0); }
static void break_nan_position (struct createsim_patch *p) { test_patch_add (p, 4, "RASa", NAN, 0); }
static void break_state (struct createsim_patch *p) { test_patch_add (p, 4, "RASq", 0, 0); }
static void break_complex (struct createsim_patch *p)
{
    test_patch_add (p, 4, "mRASa", 0, 0);
    test_patch_bind (p, 4, 5);
}
static void break_lipid_only (struct createsim_patch *p)
{
    test_patch_add (p, 4, "RASa", 0, 0);
    strcpy (p->configuration, "lipid-only");
}
static void break_leaflet (struct createsim_patch *p)
{
    for (size_t i = 0; i < p->grid * p->grid; i++)
        for (size_t k = CREATESIM_INNER; k < CREATESIM_LIPIDS; k++)
            p->density[i * CREATESIM_LIPIDS + k] = 0;
}

static void a_broken_patch_is_refused_with_its_reason (void **state)
{
    static const struct { void (*harm) (struct createsim_patch *patch); const char *reason; } cases[] = {
        { break_negative, "inner lipid CHOL at grid point (20, 0) is -0.1" },
        { break_nan, "nan" },
        { break_infinite, "outer lipid POPC at grid point (0, 0) is inf" },
        { break_configuration, "configuration is \"invalid\"" },
        { break_edge, "edge_nm is nan" },
        { break_outside, "protein 4 stands at (99, 0)" },
        { break_nan_position, "protein 4 stands at (nan" },
        { break_state, "unknown state \"RASq\"" },
        { break_complex, "names protein 5" },
        { break_lipid_only, "lipid-only but there are 1" },
        { break_leaflet, "the outer leaflet has no lipids" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct strata_error error = { "" };
        struct createsim_patch patch;

        test_patch_init (&patch, i + 1);
        assert_int_equal (createsim_patch_check (&patch, &error), 0);
        cases[i].harm (&patch);
        assert_int_equal (createsim_patch_check (&patch, &error), -1);
        if (strstr (error.text, cases[i].reason) == NULL)
            fail_msg ("case %zu: \"%s\" does not say \"%s\"", i, error.text, cases[i].reason);
        createsim_patch_fini (&patch);
    }
}

static void a_region_larger_than_the_patch_is_refused (void **state)
{
    struct createsim_composition composition;
    struct strata_error error = { "" };
    struct createsim_patch patch;

    test_patch_init (&patch, 1);
    assert_int_equal (createsim_composition_compute (&patch, forcefield, 30.5, 0, &composition, &error), -1);
    assert_non_null (strstr (error.text, "30.5 nm"));
    assert_int_equal (createsim_composition_compute (&patch, forcefield, NAN, 0, &composition, &error), -1);
    createsim_patch_fini (&patch);
}

/* ---- archives ---- */

/* The patch as an .npz, without member `without`. */
static void archive (const struct createsim_patch *patch, const char *without, void **data, size_t *size)
{
    struct npz_writer *writer = npz_writer_new ();
    const size_t cube[3] = { TEST_GRID, TEST_GRID, CREATESIM_LIPIDS }, two = 2, n = patch->nproteins;
    const size_t by3[2] = { n, 3 }, by2[2] = { patch->ncomplexes, 2 };
    const char *id = patch->id, *configuration = patch->configuration, *simulation = patch->simulation;
    const char *states[8] = { "" };
    uint16_t ids[8], pairs[8][2];
    double positions[8][3];
    struct strata_error error;

    for (size_t i = 0; i < n; i++) {
        ids[i] = (uint16_t) patch->proteins[i].id;
        states[i] = patch->proteins[i].state;
        memcpy (positions[i], patch->proteins[i].position, sizeof positions[i]);
    }
    for (size_t i = 0; i < 2 * patch->ncomplexes; i++)
        pairs[i / 2][i % 2] = (uint16_t) patch->complexes[i / 2][i % 2];
#define UNLESS(name) if (strcmp (without, name) != 0)
    UNLESS ("id") npz_add_strings (writer, "id", &id, 1, 1);
    UNLESS ("concentrations") npz_add (writer, "concentrations", NPY_F4, 3, cube, patch->density);
    UNLESS ("center") npz_add (writer, "center", NPY_F8, 1, &two, patch->center);
    UNLESS ("ids") npz_add (writer, "ids", NPY_U2, 1, &n, ids);
    UNLESS ("states") npz_add_strings (writer, "states", states, n, 0);
    UNLESS ("positions") npz_add (writer, "positions", NPY_F8, 2, by3, positions);
    UNLESS ("complex_ids") npz_add (writer, "complex_ids", NPY_U2, 2, by2, pairs);
    UNLESS ("edge_nm") npz_add_f8 (writer, "edge_nm", patch->edge_nm);
    UNLESS ("configuration") npz_add_strings (writer, "configuration", &configuration, 1, 1);
    UNLESS ("simulation") npz_add_strings (writer, "simulation", &simulation, 1, 1);
    UNLESS ("snapshot") npz_add_i8 (writer, "snapshot", patch->snapshot);
    UNLESS ("time_fs") npz_add_f8 (writer, "time_fs", patch->time_fs);
#undef UNLESS
    assert_int_equal (npz_finish (writer, data, size, &error), 0);
    npz_writer_free (&writer);
}

static void an_archive_is_read_member_by_member (void **state)
{
    struct createsim_patch patch, back;
    struct strata_error error = { "" };
    void *data;
    size_t size;

    test_patch_init (&patch, 9);
    test_patch_add (&patch, 12, "mRASa", 0.1, -0.2);
    test_patch_add (&patch, 13, "4AmRAFa", 1.5, 2.5);
    test_patch_bind (&patch, 12, 13);
    archive (&patch, "", &data, &size);
    if (createsim_patch_parse (data, size, &back, &error) < 0)
        fail_msg ("%s", error.text);
    assert_string_equal (back.id, patch.id);
    assert_string_equal (back.configuration, "ras-raf");
    assert_string_equal (back.simulation, "macro-1");
    assert_int_equal (back.snapshot, 7);
    assert_true (back.time_fs == 1e6 && back.edge_nm == 30);
    assert_int_equal (back.grid, TEST_GRID);
    assert_memory_equal (back.density, patch.density, TEST_GRID * TEST_GRID * CREATESIM_LIPIDS * sizeof (float));
    assert_int_equal (back.nproteins, 2);
    assert_string_equal (back.proteins[1].state, "4AmRAFa");
    assert_true (back.proteins[1].position[1] == 2.5);
    assert_int_equal (back.complexes[0][1], 13);
    assert_int_equal (createsim_patch_check (&back, &error), 0);
    createsim_patch_fini (&back);
    free (data);
    createsim_patch_fini (&patch);
}

static void an_archive_without_a_member_or_cut_short_is_refused_and_named (void **state)
{
    static const char *const members[] = { "id",        "concentrations", "center",  "ids",           "states",
                                           "positions", "complex_ids",    "edge_nm", "configuration", "simulation",
                                           "snapshot",  "time_fs" };
    struct createsim_patch patch, back;
    struct strata_error error;
    void *data;
    size_t size;

    test_patch_init (&patch, 9);
    test_patch_add (&patch, 12, "RASa", 0.1, -0.2);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        archive (&patch, members[i], &data, &size);
        assert_int_equal (createsim_patch_parse (data, size, &back, &error), -1);
        assert_non_null (strstr (error.text, members[i]));
        free (data);
    }
    archive (&patch, "", &data, &size);
    for (size_t cut = 0; cut < size; cut += 997) {
        void *part = malloc (cut + 1); /* of its own, so that reading past its end is seen by the sanitizer */

        assert_non_null (part);
        memcpy (part, data, cut);
        assert_int_equal (createsim_patch_parse (part, cut, &back, &error), -1);
        free (part);
    }
    free (data);
    createsim_patch_fini (&patch);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (every_count_is_within_one_of_its_expectation_and_both_leaflets_fill_the_area),
        cmocka_unit_test (the_region_is_the_centre_of_the_patch),
        cmocka_unit_test (places_follow_the_local_densities_and_counts_come_out_exactly),
        cmocka_unit_test (a_broken_patch_is_refused_with_its_reason),
        cmocka_unit_test (a_region_larger_than_the_patch_is_refused),
        cmocka_unit_test (an_archive_is_read_member_by_member),
        cmocka_unit_test (an_archive_without_a_member_or_cut_short_is_refused_and_named),
    };

    return cmocka_run_group_tests (tests, read_forcefield, free_forcefield);
}
