/* The force field's tables, and the starting system that is built with them. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../apps/membrane/createsim/build.h"
#include "../../apps/membrane/createsim/gmx.h"
#include "../../apps/membrane/createsim/output.h"
#include "../../apps/membrane/createsim/simjson.h"
#include "createsim_patches.h"

static char folder[64];

static int make_folder (void **state)
{
    snprintf (folder, sizeof folder, "/tmp/createsim-test-XXXXXX");
    return mkdtemp (folder) == NULL ? -1 : 0;
}

static int remove_folder (void **state)
{
    char command[100];

    snprintf (command, sizeof command, "rm -rf '%s'", folder);
    return system (command);
}

static void put (const char *name, const char *text)
{
    char path[200];
    FILE *file;

    snprintf (path, sizeof path, "%s/%s", folder, name);
    file = fopen (path, "w");
    assert_non_null (file);
    fputs (text, file);
    fclose (file);
}

/* ---- force field ---- */

static void lipids_have_the_beads_and_charges_of_the_literature (void **state)
{
    static const struct { const char *name; size_t beads; double charge; const char *reference; } cases[] = {
        { "POPC", 12, 0, "C1A" }, { "PAPC", 13, 0, "D1A" }, { "POPE", 12, 0, "C1A" }, { "DIPE", 12, 0, "C1A" },
        { "DPSM", 11, 0, "T1A" }, { "PAPS", 13, -1, "D1A" }, { "PAP6", 17, -4, "D1A" }, { "CHOL", 8, 0, "R1" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct forcefield_lipid *lipid = forcefield_lipid (forcefield, cases[i].name);
        double charge = 0;

        assert_non_null (lipid);
        assert_int_equal (lipid->nbeads, cases[i].beads);
        for (size_t b = 0; b < lipid->nbeads; b++)
            charge += lipid->beads[b].charge;
        assert_true (fabs (charge - cases[i].charge) < 1e-9);
        assert_string_equal (lipid->beads[lipid->reference].name, cases[i].reference);
    }
}

static void pairs_have_the_strengths_of_the_paper (void **state)
{
    static const struct { const char *a, *b; double epsilon, sigma;
    } cases[] = {
        { "P4", "P4", 5.0, 0.47 },     { "C1", "C1", 3.5, 0.47 },  { "P4", "C1", 2.0, 0.47 },
        { "Qda", "Qda", 5.6, 0.47 },   { "Q0", "C1", 2.0, 0.62 },  { "C1", "Qa", 2.0, 0.62 },
        { "Na", "Na", 4.0, 0.47 },     { "Nd", "Na", 4.5, 0.47 },  { "Q0", "Q0", 3.5, 0.47 },
        { "SC1", "SC1", 2.625, 0.43 }, { "SC1", "C1", 3.5, 0.47 }, { "SP1", "SC1", 2.025, 0.43 },
        { "BP4", "P4", 5.6, 0.57 },    { "P4", "BP4", 5.6, 0.57 }, { "BP4", "BP4", 5.0, 0.47 },
        { "BP4", "C1", 2.0, 0.47 },
    };
    double epsilon, sigma;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal (forcefield_pair (forcefield, cases[i].a, cases[i].b, &epsilon, &sigma), 0);
        assert_true (fabs (epsilon - cases[i].epsilon) < 1e-9 && fabs (sigma - cases[i].sigma) < 1e-9);
    }
    assert_int_equal (forcefield_pair (forcefield, "P4", "X1", &epsilon, &sigma), -1);
    assert_int_equal (forcefield_pair (forcefield, "S", "P4", &epsilon, &sigma), -1);
}

static void the_written_topology_has_every_pair_of_bead_types_once (void **state)
{
    char path[200], line[200], a[FF_NAME], b[FF_NAME], name[FF_NAME];
    static unsigned char seen[FF_TYPES_MAX * 2][FF_TYPES_MAX * 2];
    struct strata_error error;
    size_t n = 0, pairs = 0;
    int in_pairs = 0;

    while (forcefield_type (forcefield, n, name) != NULL)
        n++;
    assert_int_equal (n, 37);
    snprintf (path, sizeof path, "%s/martini.itp", folder);
    assert_int_equal (forcefield_write_nonbonded (forcefield, path, &error), 0);
    FILE *file = fopen (path, "r");
    assert_non_null (file);
    while (fgets (line, sizeof line, file) != NULL) {
        double sigma, epsilon;
        size_t i = 0, j = 0;

        if (line[0] == '[')
            in_pairs = strstr (line, "nonbond_params") != NULL;
        if (!in_pairs || sscanf (line, "%11s %11s 1 %lf %lf", a, b, &sigma, &epsilon) != 4)
            continue;
        while (strcmp (forcefield_type (forcefield, i, name), a) != 0)
            i++;
        while (strcmp (forcefield_type (forcefield, j, name), b) != 0)
            j++;
        assert_true (epsilon >= 1.5 && epsilon <= 5.6 && sigma >= 0.43 && sigma <= 0.62);
        assert_int_equal (seen[i][j]++ + seen[j][i] * (i != j), 0);
        pairs++;
    }
    fclose (file);
    assert_int_equal (pairs, n * (n + 1) / 2);
}

/* Copies the force field folder to ours, one line of one file changed by sed. */
static void copy_with (const char *sed, const char *name)
{
    char command[6000];

    snprintf (command, sizeof command, "cp '%s'/* %s/ && sed -i '%s' %s/%s", forcefield->dir, folder, sed, folder,
              name);
    assert_int_equal (system (command), 0);
}

static void a_broken_table_is_refused_with_its_file (void **state)
{
    static const struct { const char *sed, *file, *reason; } cases[] = {
        { "/^row C1 /d", "nonbonded.dat", "no row for bead type C1" },
        { "s/^row Qd  O /row Qd  I /", "nonbonded.dat", "differ" },
        { "s/^level VI .*/level VI x 0.47/", "nonbonded.dat", "\"x\" is not a number" },
        { "s/ IX$/ XX/", "nonbonded.dat", "unknown level \"XX\"" },
        { "/^lipid POPE/,/^lipid DIPE/{/^lipid DIPE/!d}", "geometry.dat", "lipid POPE is missing" },
        { "s/^lipid CHOL .*/lipid CHOL 0.3 R9/", "geometry.dat", "no reference bead R9" },
        { "s/^bead R2 .*//", "geometry.dat", "bead R2 of CHOL has no place" },
        { "s/  SP1 /  SX1 /", "CHOL.itp", "SX1 is not in nonbonded.dat" },
        { "s/^residue K LYS/residue B LYS/", "residues.dat", "residue K of tail" },
        { "s/^anchor 4b 185 farnesyl/anchor 4b 185 heptyl/", "proteins.dat", "lipid heptyl" },
        { "/^elastic/d", "proteins.dat", "elastic" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct strata_error error = { "" };

        copy_with (cases[i].sed, cases[i].file);
        struct forcefield *broken = forcefield_read (folder, &error);
        if (broken != NULL)
            fail_msg ("case %zu: read without complaint", i);
        if (strstr (error.text, cases[i].reason) == NULL)
            fail_msg ("case %zu: \"%s\" does not say \"%s\"", i, error.text, cases[i].reason);
    }
}

/* ---- systems ---- */

static const struct createsim_options options = { .edge_nm = 9, .salt_molar = 0.15, .antifreeze = 0.1, .seed = 5 };

static void build (int kind, uint64_t seed, struct createsim_patch *patch, struct createsim_system *system)
{
    struct createsim_options with = options;
    struct strata_error error = { "" };

    test_patch_init (patch, seed);
    if (kind >= 1)
        test_patch_add (patch, 1, kind == 2 ? "mRASa" : kind == 3 ? "4ARASb" : "RASa", 0.2, -0.3);
    if (kind == 2) {
        test_patch_add (patch, 2, "mRAFa", 1.2, 1.3);
        test_patch_bind (patch, 1, 2);
    }
    if (kind == 4)
        test_patch_add (patch, 3, "RASc", 0.5, -0.2);
    with.seed = seed;
    if (createsim_system_build (patch, forcefield, &with, system, &error) < 0)
        fail_msg ("kind %d: %s", kind, error.text);
}

static void every_system_is_neutral_and_of_the_size_that_was_asked_for (void **state)
{
    for (int kind = 0; kind <= 4; kind++)
        for (uint64_t seed = 1; seed <= 5; seed++) {
            struct createsim_patch patch;
            struct createsim_system system;
            double charge = 0;

            build (kind, seed, &patch, &system);
            for (size_t i = 0; i < system.natoms; i++) {
                charge += system.atoms[i].charge;
                assert_true (isfinite (system.atoms[i].x[0]) && isfinite (system.atoms[i].x[1])
                             && isfinite (system.atoms[i].x[2]));
            }
            assert_true (fabs (charge) < 1e-6);
            assert_true (system.natoms >= 2000 && system.natoms <= 9000);
            assert_int_equal (system.nproteins, kind == 0 ? 0 : kind == 4 ? 2 : 1);
            createsim_system_fini (&system);
            createsim_patch_fini (&patch);
        }
}

static void the_same_seed_gives_the_same_coordinates_and_another_seed_others (void **state)
{
    struct createsim_patch p1, p2, p3;
    struct createsim_system a, b, c;
    struct createsim_options other = options;
    struct strata_error error;

    build (1, 5, &p1, &a);
    build (1, 5, &p2, &b);
    test_patch_init (&p3, 5);
    test_patch_add (&p3, 1, "RASa", 0.2, -0.3);
    other.seed = 6;
    assert_int_equal (createsim_system_build (&p3, forcefield, &other, &c, &error), 0);
    assert_int_equal (a.natoms, b.natoms);
    size_t same = 0, least = a.natoms < c.natoms ? a.natoms : c.natoms;
    for (size_t i = 0; i < a.natoms; i++)
        assert_memory_equal (a.atoms[i].x, b.atoms[i].x, sizeof a.atoms[i].x);
    for (size_t i = 0; i < least; i++)
        same += a.atoms[i].x[0] == c.atoms[i].x[0] && a.atoms[i].x[1] == c.atoms[i].x[1];
    assert_true (same * 10 < least);
    createsim_system_fini (&a);
    createsim_system_fini (&b);
    createsim_system_fini (&c);
    createsim_patch_fini (&p1);
    createsim_patch_fini (&p2);
    createsim_patch_fini (&p3);
}

static void a_ras_hangs_in_the_inner_leaflet_by_its_farnesyl_and_its_domain_is_rigid (void **state)
{
    for (int kind = 1; kind <= 3; kind++) {
        struct createsim_patch patch;
        struct createsim_system system;
        unsigned *network;
        size_t gdomain = 0, anchors = 0;

        build (kind, 8, &patch, &system);
        const struct createsim_protein *protein = &system.proteins[0];
        network = calloc (protein->nbeads, sizeof *network);
        assert_non_null (network);
        for (size_t i = 0; i < protein->nbonds; i++)
            if (protein->bonds[i].force == forcefield->elastic_force) {
                network[protein->bonds[i].a]++;
                network[protein->bonds[i].b]++;
            }
        for (size_t i = 0; i < protein->nbeads; i++)
            if (protein->beads[i].part != PROTEIN_TAIL)
                assert_true (network[i] >= 6); /* three hold a point in space; a corner bead has six */
        free (network);
        for (size_t i = 0; i < system.natoms; i++) {
            gdomain += (size_t) system.atoms[i].gdomain;
            if (!system.atoms[i].anchor)
                continue;
            anchors++;
            assert_string_equal (system.atoms[i].name, "F1");
            /* 2.8 nm is the bilayer's middle; tails reach 1.35 nm over it, glycerols stand at 1.7 */
            assert_true (system.atoms[i].x[2] > 2.8 + 1.2 && system.atoms[i].x[2] < 2.8 + 2.0);
            assert_true (hypot (system.atoms[i].x[0] - 4.7, system.atoms[i].x[1] - 4.2)
                         < 0.8); /* where the patch has it */
        }
        assert_int_equal (gdomain, 163);
        assert_int_equal (anchors, 1);
        createsim_system_fini (&system);
        createsim_patch_fini (&patch);
    }
}

static void no_two_beads_of_different_molecules_start_in_the_same_place (void **state)
{
    for (int kind = 0; kind <= 4; kind++) {
        struct createsim_patch patch;
        struct createsim_system system;

        build (kind, 21, &patch, &system);
        for (size_t i = 0; i < system.natoms; i++)
            for (size_t k = i + 1; k < system.natoms; k++) {
                double d2 = 0;

                if (system.atoms[i].residue == system.atoms[k].residue)
                    continue;
                for (int d = 0; d < 3; d++) {
                    double r = remainder (system.atoms[i].x[d] - system.atoms[k].x[d], system.box[d]);
                    d2 += r * r;
                }
                assert_true (d2 > 0.02 * 0.02); /* steepest descent parts the rest */
            }
        createsim_system_fini (&system);
        createsim_patch_fini (&patch);
    }
}

static void what_cannot_be_built_is_refused_with_its_reason (void **state)
{
    struct createsim_options with = options;
    struct createsim_system system;
    struct strata_error error = { "" };
    struct createsim_patch patch;

    test_patch_init (&patch, 2);
    test_patch_add (&patch, 1, "mRASa", 0, 0);
    test_patch_add (&patch, 2, "mRAFa", 2, 0);
    assert_int_equal (createsim_system_build (&patch, forcefield, &with, &system, &error), -1);
    assert_non_null (strstr (error.text, "protein 2 (mRAFa) belongs to no RAS"));
    test_patch_bind (&patch, 1, 2);
    with.edge_nm = 6;
    assert_int_equal (createsim_system_build (&patch, forcefield, &with, &system, &error), -1);
    assert_non_null (strstr (error.text, "RAS-RAF complex needs an edge of 7 nm"));
    with.edge_nm = 9;
    for (uint32_t id = 3; id < 8; id++)
        test_patch_add (&patch, id, "RASa", id * 0.5 - 2, 1);
    assert_int_equal (createsim_system_build (&patch, forcefield, &with, &system, &error), -1);
    assert_non_null (strstr (error.text, "do not fit side by side in 9 nm"));
    createsim_patch_fini (&patch);
}

static void the_index_has_a_reference_bead_for_each_lipid_and_no_empty_group (void **state)
{
    struct createsim_patch patch;
    struct createsim_system system;
    struct strata_error error;
    char path[200], word[64], group[64] = "";
    size_t members = 0, groups = 0, references = 0;
    int has_protein = 0;

    build (0, 4, &patch, &system);
    assert_int_equal (createsim_output_write (&system, forcefield, folder, "test", &error), 0);
    snprintf (path, sizeof path, "%s/index.ndx", folder);
    FILE *file = fopen (path, "r");
    assert_non_null (file);
    while (fscanf (file, "%63s", word) == 1) {
        if (strcmp (word, "[") == 0) {
            assert_true (groups == 0 || members > 0);
            assert_int_equal (fscanf (file, "%63s ]", group), 1);
            has_protein |=
                strcmp (group, "protein") == 0 || strcmp (group, "gdomain") == 0 || strcmp (group, "anchor") == 0;
            groups++;
            members = 0;
            continue;
        }
        size_t atom = strtoul (word, NULL, 10);
        assert_true (atom >= 1 && atom <= system.natoms);
        members++;
        if (strncmp (group, "inner_", 6) == 0 || strncmp (group, "outer_", 6) == 0) {
            const struct system_atom *bead = &system.atoms[atom - 1];

            assert_string_equal (bead->residue_name, group + 6);
            assert_true (strcmp (bead->name, "C1A") == 0 || strcmp (bead->name, "D1A") == 0
                         || strcmp (bead->name, "T1A") == 0 || strcmp (bead->name, "R1") == 0);
            assert_int_equal (bead->x[2] > 2.8, group[0] == 'i');
            references++;
        }
    }
    fclose (file);
    assert_int_equal (has_protein, 0);
    assert_int_equal (references, createsim_composition_count (&system.composition, CREATESIM_LEAFLET_INNER)
                                      + createsim_composition_count (&system.composition, CREATESIM_LEAFLET_OUTER));
    createsim_system_fini (&system);
    createsim_patch_fini (&patch);
}

/* ---- finished folders and GROMACS as a child ---- */

static void a_folder_is_finished_only_with_whole_coordinates (void **state)
{
    static const char *const gro =
        "t\n2\n    1W        W    1   1.000   1.000   1.000\n    2W        W    2   2.000   1.000   1.000\n";
    struct createsim_patch patch;
    struct createsim_system system;
    struct strata_error error;
    const double box[3] = { 9, 9, 9 };
    char text[400], id[200];

    build (0, 4, &patch, &system);
    system.natoms = 2;
    assert_int_equal (createsim_finished (folder, id, sizeof id), 0);
    put ("system.top", "x");
    put ("index.ndx", "x");
    put ("cg.mdp", "x");
    snprintf (text, sizeof text, "%s   9.00000   9.00000   9.00000\n", gro);
    put ("system.gro", text);
    assert_int_equal (createsim_finished (folder, id, sizeof id), 0);
    assert_int_equal (createsim_simjson_write (folder, &patch, &system, &options, 1, box, &error), 0);
    assert_int_equal (createsim_finished (folder, id, sizeof id), 1);
    assert_string_equal (id, patch.id);
    put ("system.gro", gro); /* cut before the box */
    assert_int_equal (createsim_finished (folder, id, sizeof id), 0);
    char *number = strstr (text, "2.000");
    assert_non_null (number);
    for (int i = 0; i < 5; i++)
        number[i] = "  nan"[i];
    put ("system.gro", text);
    assert_int_equal (createsim_finished (folder, id, sizeof id), 0);
    createsim_system_fini (&system);
    createsim_patch_fini (&patch);
}

static void a_failing_child_is_reported_with_its_last_error_lines (void **state)
{
    char log[200];
    struct strata_error error = { "" };
    char *const fails[] = { "/bin/sh", "-c",
                            "echo hello; echo; echo '-------'; echo 'Fatal error:'; echo 'Too many'; echo '  LINCS "
                            "warnings (1)'; echo; echo 'For more information see'; echo '-------'; exit 3",
                            NULL };
    char *const dies[] = { "/bin/sh", "-c", "echo one; echo two; echo three; kill -9 $$", NULL };
    char *const works[] = { "/bin/sh", "-c", "pwd; test -t 0 && exit 1; exit 0", NULL };

    snprintf (log, sizeof log, "%s/log", folder);
    assert_int_equal (createsim_gmx_run (fails, folder, log, &error), -1);
    assert_non_null (strstr (error.text, "exit code 3"));
    assert_non_null (strstr (error.text, "Fatal error: Too many LINCS warnings (1)"));
    assert_null (strstr (error.text, "hello"));
    assert_int_equal (createsim_gmx_run (dies, folder, log, &error), -1);
    assert_non_null (strstr (error.text, "signal 9: two three"));
    assert_int_equal (createsim_gmx_run (works, folder, log, &error), 0);
}

static void without_gromacs_the_program_says_what_to_install (void **state)
{
    const struct createsim_job job = {
        .out = folder, .gmx = "gmx-that-is-not-there", .threads = 1, .options = options
    };
    struct strata_error error = { "" };
    struct createsim_patch patch;

    test_patch_init (&patch, 1);
    assert_int_equal (createsim_build (&job, &patch, &error), CREATESIM_NO_GROMACS);
    assert_non_null (strstr (error.text, "apt install gromacs"));
    createsim_patch_fini (&patch);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (lipids_have_the_beads_and_charges_of_the_literature),
        cmocka_unit_test (pairs_have_the_strengths_of_the_paper),
        cmocka_unit_test_setup_teardown (the_written_topology_has_every_pair_of_bead_types_once, make_folder,
                                         remove_folder),
        cmocka_unit_test_setup_teardown (a_broken_table_is_refused_with_its_file, make_folder, remove_folder),
        cmocka_unit_test (every_system_is_neutral_and_of_the_size_that_was_asked_for),
        cmocka_unit_test (the_same_seed_gives_the_same_coordinates_and_another_seed_others),
        cmocka_unit_test (a_ras_hangs_in_the_inner_leaflet_by_its_farnesyl_and_its_domain_is_rigid),
        cmocka_unit_test (no_two_beads_of_different_molecules_start_in_the_same_place),
        cmocka_unit_test (what_cannot_be_built_is_refused_with_its_reason),
        cmocka_unit_test_setup_teardown (the_index_has_a_reference_bead_for_each_lipid_and_no_empty_group, make_folder,
                                         remove_folder),
        cmocka_unit_test_setup_teardown (a_folder_is_finished_only_with_whole_coordinates, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown (a_failing_child_is_reported_with_its_last_error_lines, make_folder,
                                         remove_folder),
        cmocka_unit_test_setup_teardown (without_gromacs_the_program_says_what_to_install, make_folder, remove_folder),
    };

    return cmocka_run_group_tests (tests, read_forcefield, free_forcefield);
}
