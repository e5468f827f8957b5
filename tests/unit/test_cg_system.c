/* test_cg_system.c - what membrane-cg reads and writes beside the trajectory: createsim's folder, run parameters, the
 * run's own records, the lines of measurements, and GROMACS' words in case of failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../apps/membrane/cg/engine.h"
#include "../../apps/membrane/cg/mdp.h"
#include "../../apps/membrane/cg/publish.h"
#include "../../apps/membrane/cg/record.h"
#include "../../apps/membrane/cg/system.h"

static char folder[] = "/tmp/strata-test-cg-XXXXXX";

static int make_folder (void **state)
{
    return mkdtemp (folder) ? 0 : -1;
}

static int remove_one (const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove (path);
}

static int remove_folder (void **state)
{
    return nftw (folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *path_of (const char *name)
{
    static char path[256];
    snprintf (path, sizeof (path), "%s/%s", folder, name);
    return path;
}

static void write_text (const char *name, const char *text)
{
    FILE *f = fopen (path_of (name), "w");
    assert_non_null (f);
    fputs (text, f);
    fclose (f);
}

static char *read_text (const char *name)
{
    static char text[65536];
    FILE *f = fopen (path_of (name), "r");
    assert_non_null (f);
    text[fread (text, 1, sizeof (text) - 1, f)] = '\0';
    fclose (f);
    return text;
}

static void assert_says (const struct strata_error *error, const char *what)
{
    if (!strstr (error->text, what))
        fail_msg ("'%s' does not say '%s'", error->text, what);
}

#define SIM "{\"state\": \"RASa\", \"beads\": 12}"
#define GRO "title\n   12\n"
#define NDX                                                                                                            \
    "[ system ]\n1 2 3 4 5 6 7 8 9 10 11 12\n[ gdomain ]\n1 2 3 11 ; comment\n[anchor]\n4\n\n[ inner_POPC ]\n5 6\n"    \
    "[ inner_CHOL ]\n7\n[ inner_XXXX ]\n8\n[ outer_POPC ]\n 9\n10\n"

static void a_prepared_folder_gives_its_groups (void **state)
{
    struct strata_error error;
    write_text ("sim.json", SIM);
    write_text ("system.gro", GRO);
    write_text ("index.ndx", NDX);
    struct cg_system *s = cg_system_load (folder, &error);
    assert_non_null (s);
    assert_string_equal (s->state, "RASa");
    assert_int_equal (s->beads, 12);
    assert_int_equal (s->anchor.count, 1);
    assert_int_equal (s->anchor.atoms[0], 3);
    assert_int_equal (s->gdomain.count, 4);
    assert_int_equal (s->row[0].count, 2);
    assert_int_equal (s->row[0].atoms[1], 5);
    assert_int_equal (s->row[1].count, 0);
    assert_int_equal (s->row[7].atoms[0], 6);
    assert_int_equal (s->inner.count, 4);
    assert_int_equal (s->outer.count, 2);
    cg_system_free (&s);
    assert_null (s);
    /* Without a protein none of the protein's groups is asked for. */
    write_text ("sim.json", "{\"state\": \"\", \"beads\": 12}");
    write_text ("index.ndx", "[ system ]\n1 2\n");
    s = cg_system_load (folder, &error);
    assert_non_null (s);
    cg_system_free (&s);
}

static void broken_folders_are_refused_by_file_and_reason (void **state)
{
    static const struct {
        const char *sim, *gro, *ndx;
        const char *file, *says;
    } cases[] = {
        { "", GRO, NDX, "sim.json", "not JSON" },
        { "[]", GRO, NDX, "sim.json", "not a JSON object" },
        { "{\"state\": \"RASa\"", GRO, NDX, "sim.json", "not JSON" },
        { "{\"beads\": 12}", GRO, NDX, "sim.json", "'state'" },
        { "{\"state\": 3, \"beads\": 12}", GRO, NDX, "sim.json", "'state'" },
        { "{\"state\": \"a/../b\", \"beads\": 12}", GRO, NDX, "sim.json", "letters" },
        { "{\"state\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\", \"beads\": 12}", GRO, NDX, "sim.json", "'state'" },
        { "{\"state\": \"RASa\"}", GRO, NDX, "sim.json", "'beads'" },
        { "{\"state\": \"RASa\", \"beads\": -1}", GRO, NDX, "sim.json", "'beads'" },
        { "{\"state\": \"RASa\", \"beads\": 99999999999}", GRO, NDX, "sim.json", "'beads'" },
        { "{\"state\": \"RASa\", \"beads\": 1e1}", GRO, NDX, "sim.json", "'beads'" },
        { SIM, "", NDX, "system.gro", "cut short" },
        { SIM, "title\n", NDX, "system.gro", "cut short" },
        { SIM, "title\nmany\n", NDX, "system.gro", "number of beads" },
        { SIM, "title\n13\n", NDX, "system.gro", "13 beads where sim.json says 12" },
        { SIM, GRO, "", "index.ndx", "no [ group ]" },
        { SIM, GRO, "1 2 3\n", "index.ndx:1", "before the first" },
        { SIM, GRO, "[ a \n1\n", "index.ndx:1", "no closing" },
        { SIM, GRO, "[  ]\n1\n", "index.ndx:1", "no name" },
        { SIM, GRO, "[ a ]\n1\n[ a ]\n2\n", "index.ndx:3", "twice" },
        { SIM, GRO, "[ a ]\n0\n", "index.ndx:2", "not within 1 .. 12" },
        { SIM, GRO, "[ a ]\n13\n", "index.ndx:2", "not within 1 .. 12" },
        { SIM, GRO, "[ a ]\n99999999999999999999\n", "index.ndx:2", "not a bead number" },
        { SIM, GRO, "[ a ]\n1 2x\n", "index.ndx:2", "'2x' is not a bead number" },
        { SIM, GRO, "[ a ]\n-1\n", "index.ndx:2", "not a bead number" },
        { SIM, GRO, "[ gdomain ]\n1 2 3 11\n[ inner_POPC ]\n5\n[ outer_POPC ]\n6\n", "index.ndx", "'anchor'" },
        { SIM, GRO, "[ anchor ]\n4\n[ gdomain ]\n1 2 3\n[ inner_POPC ]\n5\n[ outer_POPC ]\n6\n", "index.ndx",
          "'gdomain'" },
        { SIM, GRO, "[ anchor ]\n4\n[ gdomain ]\n1 2 3 11\n[ outer_POPC ]\n6\n", "index.ndx", "inner" },
        { SIM, GRO, "[ anchor ]\n4\n[ gdomain ]\n1 2 3 11\n[ inner_POPC ]\n6\n", "index.ndx", "outer" },
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        struct strata_error error = { "" };
        write_text ("sim.json", cases[i].sim);
        write_text ("system.gro", cases[i].gro);
        write_text ("index.ndx", cases[i].ndx);
        assert_null (cg_system_load (folder, &error));
        assert_says (&error, path_of (cases[i].file));
        assert_says (&error, cases[i].says);
    }
    struct strata_error error;
    const char *const files[] = { "index.ndx", "system.gro", "sim.json" };
    write_text ("system.gro", GRO);
    write_text ("sim.json", SIM);
    for (size_t i = 0; i < 3; i++) {
        unlink (path_of (files[i]));
        assert_null (cg_system_load (folder, &error));
        assert_says (&error, path_of (files[i]));
        assert_says (&error, "cannot open");
    }
}

static void the_plan_counts_steps_and_frames (void **state)
{
    static const struct {
        const char *mdp;
        double time_ns, frame_ps;
        int64_t steps, each;
        const char *says; /* NULL: no failure */
    } cases[] = {
        { "dt = 0.02\nintegrator = md\n", 0.2, 5, 10000, 250, NULL },
        { "DT=0.02;dt = 3\n", 0.2, 5, 10000, 250, NULL },
        { "; nothing\n", 0.002, 1, 2000, 1000, NULL },
        { "dt = 0.03\n", 0.3, 3, 10000, 100, NULL },
        { "dt = 0.02\n", 0.2, 5.01, 0, 0, "not a whole number of time steps" },
        { "dt = 0.02\n", 0.2, 3, 0, 0, "not a whole number of frames" },
        { "dt = 0.02\n", 0.001, 5, 0, 0, "not a whole number of frames" },
        { "dt = 0.02\n", 1000000, 5, 0, 0, "most a trajectory can count" },
        { "dt = 0\n", 0.2, 5, 0, 0, "dt = '0'" },
        { "dt = -1\n", 0.2, 5, 0, 0, "dt = '-1'" },
        { "dt = nan\n", 0.2, 5, 0, 0, "dt = 'nan'" },
        { "dt = 0.02x\n", 0.2, 5, 0, 0, "dt = '0.02x'" },
        { "integrator = steep\n", 0.2, 5, 0, 0, "does not move in time" },
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        struct strata_error error = { "" };
        struct cg_plan plan;
        write_text ("cg.mdp", cases[i].mdp);
        int rc = cg_plan_make (&plan, path_of ("cg.mdp"), cases[i].time_ns, cases[i].frame_ps, 2500, "s", &error);
        assert_int_equal (rc, cases[i].says ? -1 : 0);
        if (cases[i].says) {
            assert_says (&error, cases[i].says);
            continue;
        }
        assert_int_equal (plan.steps, cases[i].steps);
        assert_int_equal (plan.steps_per_frame, cases[i].each);
    }
}

static void the_run_parameters_keep_all_but_what_the_plan_sets (void **state)
{
    struct strata_error error;
    const struct cg_plan plan = { .steps = 10000, .steps_per_frame = 250, .seed = 42 };
    write_text ("cg.mdp",
                "dt = 0.02 ; kept\nNSteps = 7\nnstxout-compressed=1\nnstxout_compressed = 2\r\n nst-xout = 3\n"
                "compressed-x-grps = membrane\n; nsteps = in a comment\nref-t = 310");
    char from[256];
    snprintf (from, sizeof (from), "%s", path_of ("cg.mdp"));
    assert_int_equal (cg_mdp_write (&plan, from, path_of ("run.mdp"), &error), 0);
    const char *text = read_text ("run.mdp");
    assert_non_null (strstr (text, "dt = 0.02 ; kept\n nst-xout = 3\n; nsteps = in a comment\nref-t = 310\n"));
    assert_non_null (strstr (text, "\nnsteps = 10000\n"));
    assert_non_null (strstr (text, "\nnstxout-compressed = 250\n"));
    assert_non_null (strstr (text, "\nld-seed = 42\n"));
    assert_null (strstr (text, "NSteps"));
    assert_null (strstr (text, "membrane\n"));
}

static void a_run_goes_on_only_as_it_was_begun (void **state)
{
    struct strata_error error;
    struct cg_plan plan = { .steps = 10000, .steps_per_frame = 250, .segment = 2500, .seed = 42, .dt_ps = 0.02 };
    int starts = -1;
    assert_int_equal (cg_record_load (folder, "s", &plan, &starts, &error), 0);
    assert_int_equal (cg_record_save (folder, "s", &plan, 3, &error), 0);
    assert_int_equal (cg_record_load (folder, "s", &plan, &starts, &error), 1);
    assert_int_equal (starts, 3);
    assert_int_equal (cg_record_load (folder, "other", &plan, &starts, &error), -1);
    assert_says (&error, "'s', not 'other'");
    plan.steps = 20000;
    assert_int_equal (cg_record_load (folder, "s", &plan, &starts, &error), -1);
    assert_says (&error, "10000 steps");
    write_text ("run.json", "{\"steps\": ");
    assert_int_equal (cg_record_load (folder, "s", &plan, &starts, &error), -1);
    assert_says (&error, "run.json");
    const struct cg_done done = { .time_ns = 0.2, .frames = 40, .steps = 10000, .beads = 12, .restarts = 1 };
    assert_int_equal (cg_done_load (folder, "s", &error), 0);
    assert_int_equal (cg_done_save (folder, "s", &done, &error), 0);
    assert_int_equal (cg_done_load (folder, "s", &error), 1);
    assert_int_equal (cg_done_load (folder, "other", &error), -1);
    const char *text = read_text ("done.json");
    assert_non_null (strstr (text, "\"frames\": 40"));
    assert_non_null (strstr (text, "\"ns_per_day\": null"));
}

static void lines_take_each_frame_once_and_mend_a_torn_end (void **state)
{
    struct strata_error error;
    char path[256];
    snprintf (path, sizeof (path), "%s", path_of ("analysis.jsonl"));
    static int64_t counts[CG_RDF_ROWS * CG_RDF_BINS];
    counts[1] = 5;
    struct cg_measure m = { .state = "RASa", .counts = counts, .time_ps = 5 };
    uint64_t last = 9;
    for (int round = 0; round < 3; round++) {
        struct cg_publish p = { 0 };
        assert_int_equal (cg_publish_lines (&p, "s", path, &error), 0);
        assert_int_equal (p.last (p.impl, &last, &error), 0);
        assert_int_equal (last, round == 0 ? 0 : 4);
        for (m.frame = 2; m.frame <= 4; m.frame++)
            assert_int_equal (p.frame (p.impl, &m, &error), 0);
        cg_publish_close (&p);
        const char *text = read_text ("analysis.jsonl");
        int n = 0;
        for (const char *c = text; (c = strchr (c, '\n')); c++)
            n++;
        assert_int_equal (n, 3);
        assert_int_equal (text[strlen (text) - 1], '\n');
        assert_non_null (strstr (text, "\"frame\": 4, "));
        FILE *f = fopen (path, "a");
        fputs ("{\"simulation\": \"s\", \"frame\": 5, \"st", f);
        fclose (f);
    }
    struct cg_publish p = { 0 };
    assert_int_equal (cg_publish_lines (&p, "t", path, &error), -1);
    assert_says (&error, "simulation 's', not 't'");
    write_text ("analysis.jsonl", "{}\n");
    assert_int_equal (cg_publish_lines (&p, "s", path, &error), -1);
    assert_says (&error, "analysis.jsonl:1");
    cg_publish_close (&p);
}

static void the_reason_is_found_in_what_gromacs_prints (void **state)
{
    static const struct {
        const char *log, *reason;
    } cases[] = {
        { "noise\n\n---\nProgram: gmx mdrun\n\nFatal error:\nStep 40: The total potential energy is nan,\nwhich is not "
          "finite.\n\nFor more information and tips\nvisit\n-----\n",
          "Fatal error: Step 40: The total potential energy is nan, which is not finite." },
        { "Error in user input:\nInvalid command-line options\n  x\n\nFor more information\n",
          "Error in user input: Invalid command-line options x" },
        { "Setting up\n\nERROR 1 [file system.top, line 12]:\n  No such moleculetype POPX\n\n\nThere was 1 "
          "error\nFatal error:\n"
          "There was 1 error in input file(s)\n\nFor more",
          "ERROR 1 [file system.top, line 12]: No such moleculetype POPX" },
        { "\n-----\nProgram:  gmx mdrun\nSource file: x\n\nInternal error (bug):\nStep 0: it is high.\n\nFor more "
          "information",
          "Internal error (bug): Step 0: it is high." },
        { "x\nWARNING 1 [file run.mdp]:\n  dt is large\n\nFatal error:\nToo many warnings (1).\n",
          "WARNING 1 [file run.mdp]: dt is "
          "large" },
        { "Fatal error:\nfirst\n-----\nFatal error:\nlast\n-------\n", "Fatal error: last" },
        { "all is well\n", NULL },
        { "", NULL },
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        char text[128] = "";
        assert_int_equal (cg_engine_find_error (cases[i].log, text, sizeof (text)), cases[i].reason != NULL);
        if (cases[i].reason)
            assert_string_equal (text, cases[i].reason);
        char tiny[8];
        cg_engine_find_error (cases[i].log, tiny, sizeof (tiny));
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_prepared_folder_gives_its_groups),
        cmocka_unit_test (broken_folders_are_refused_by_file_and_reason),
        cmocka_unit_test (the_plan_counts_steps_and_frames),
        cmocka_unit_test (the_run_parameters_keep_all_but_what_the_plan_sets),
        cmocka_unit_test (a_run_goes_on_only_as_it_was_begun),
        cmocka_unit_test (lines_take_each_frame_once_and_mend_a_torn_end),
        cmocka_unit_test (the_reason_is_found_in_what_gromacs_prints),
    };
    return cmocka_run_group_tests (tests, make_folder, remove_folder);
}
