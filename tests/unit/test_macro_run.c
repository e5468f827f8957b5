/* Restarts of the continuum program: bitwise, from the newest sound checkpoint, without losing a snapshot. */
#include <dirent.h>
#include <fcntl.h>
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
#include "strata_gridsim.h"

static char dir[64];

static int make_dir (void **state)
{
    strcpy (dir, "/tmp/strata-macro-XXXXXX");
    return mkdtemp (dir) ? 0 : -1;
}

static int remove_dir (void **state)
{
    char command[128];
    snprintf (command, sizeof (command), "rm -rf '%s'", dir);
    return system (command);
}

static struct macro_options small (void)
{
    struct macro_options o;
    macro_options_quick (&o);
    o.nx = o.ny = 64;
    o.ras = 5;
    o.noise = 0.05;
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

static void assert_same (const struct macro *a, const struct macro *b)
{
    for (size_t i = 0; i < MACRO_LIPIDS; i++)
        assert_memory_equal (a->n[i], b->n[i], a->nx * a->ny * sizeof (double));
    for (size_t k = 0; k < 2 * a->nras; k++) {
        const struct macro_protein *p = &a->proteins[k], *q = &b->proteins[k];
        assert_int_equal (p->present, q->present);
        assert_int_equal (p->state, q->state);
        assert_true (p->x == q->x && p->y == q->y);
    }
    assert_memory_equal (&a->potential, &b->potential, sizeof (a->potential));
    assert_int_equal (a->step, b->step);
    assert_int_equal (a->round, b->round);
    assert_int_equal (a->round_step, b->round_step);
    assert_true (a->time_ns == b->time_ns);
}

static void two_halves_with_a_restart_between_give_the_bits_of_one_run (void **state)
{
    struct strata_error error;
    struct macro_options o = small ();
    struct macro *whole = make (&o), *first = make (&o);
    o.threads = 2;
    struct macro *second = make (&o);
    for (int s = 0; s < 25; s++) {
        macro_step (whole, false);
        macro_step (first, false);
    }
    /* a report was taken up in between: it must come back too */
    for (int m = 0; m < 2; m++) {
        struct macro *it = m ? first : whole;
        it->potential.v[MACRO_RAS_B][3][40] = 0.777;
        macro_potential_set_cutoffs (&it->potential);
        it->round = 4;
        it->round_step = 25;
    }
    assert_int_equal (macro_checkpoint_write (first, dir, &error), 0);
    assert_int_equal (macro_checkpoint_load (second, dir, NULL, NULL, &error), 1);
    assert_same (first, second);
    for (int s = 0; s < 25; s++) {
        macro_step (whole, false);
        macro_step (second, false);
    }
    assert_same (whole, second);
    macro_free (&whole);
    macro_free (&first);
    macro_free (&second);
}

struct refusals {
    int count;
    char text[2][512];
};

static void note (const char *why, void *arg)
{
    struct refusals *r = arg;
    if (r->count < 2)
        snprintf (r->text[r->count], sizeof (r->text[0]), "%s", why);
    r->count++;
}

static void damage (const char *path, int how)
{
    struct stat st;
    assert_int_equal (stat (path, &st), 0);
    int fd = open (path, O_RDWR);
    assert_true (fd >= 0);
    char byte;
    off_t at = how == 0 ? st.st_size / 2 : 2;
    switch (how) {
    case 0:
    case 1:
        assert_int_equal (pread (fd, &byte, 1, at), 1);
        byte ^= 0x10;
        assert_int_equal (pwrite (fd, &byte, 1, at), 1);
        break;
    case 2:
        assert_int_equal (ftruncate (fd, st.st_size - 9), 0);
        break;
    default:
        assert_int_equal (ftruncate (fd, 0), 0);
        break;
    }
    close (fd);
}

static void a_broken_checkpoint_is_refused_by_name_and_the_one_before_is_used (void **state)
{
    const char *reasons[] = {"checksum does not fit", "is no checkpoint", "is cut short", "is no checkpoint"};
    struct macro_options o = small ();
    struct strata_error error;
    for (int how = 0; how < 4; how++) {
        struct macro *m = make (&o), *back = make (&o);
        struct refusals refusals = {0};
        char path[128];
        for (int s = 1; s <= 3; s++) {
            macro_step (m, false);
            assert_int_equal (macro_checkpoint_write (m, dir, &error), 0);
        }
        snprintf (path, sizeof (path), "%s/checkpoint.000000000001", dir);
        assert_int_equal (access (path, F_OK), -1);   /* two are kept */
        snprintf (path, sizeof (path), "%s/checkpoint.000000000003", dir);
        damage (path, how);
        assert_int_equal (macro_checkpoint_load (back, dir, note, &refusals, &error), 1);
        assert_int_equal (back->step, 2);
        assert_int_equal (refusals.count, 1);
        assert_non_null (strstr (refusals.text[0], "checkpoint.000000000003"));
        assert_non_null (strstr (refusals.text[0], reasons[how]));
        macro_step (back, false);
        assert_same (m, back);
        macro_free (&m);
        macro_free (&back);
    }
}

static void a_folder_of_only_broken_or_foreign_checkpoints_is_refused (void **state)
{
    struct macro_options o = small ();
    struct strata_error error;
    struct macro *m = make (&o);
    assert_int_equal (macro_checkpoint_load (m, dir, NULL, NULL, &error), 0);
    macro_step (m, false);
    assert_int_equal (macro_checkpoint_write (m, dir, &error), 0);
    o.seed++;
    struct macro *other = make (&o);
    assert_int_equal (macro_checkpoint_load (other, dir, NULL, NULL, &error), -1);
    assert_non_null (strstr (error.text, "is of another run"));
    assert_int_equal (other->step, 0);
    macro_free (&m);
    macro_free (&other);
}

static struct macro_settings settings_of (uint64_t steps)
{
    return (struct macro_settings){.model = small (), .out = dir, .queue = "snapshots", .steps = steps,
                                   .snapshot_every = 10, .checkpoint_every = 5};
}

static void a_run_leaves_readable_snapshots_and_goes_on_where_it_was (void **state)
{
    const volatile sig_atomic_t stop = 0, stopped = 1;
    struct macro_settings s = settings_of (23);
    assert_int_equal (macro_run (&s, &stop), 0);
    s.steps = 0;
    assert_int_equal (macro_run (&s, &stopped), 0);   /* started and asked to stop at once: nothing moves */
    s.max_snapshots = 4;
    assert_int_equal (macro_run (&s, &stop), 0);

    struct strata_error error;
    uint64_t *indices;
    size_t count;
    assert_int_equal (macro_snapshot_list (dir, &indices, &count, &error), 0);
    assert_int_equal (count, 4);
    for (size_t i = 0; i < count; i++)
        assert_int_equal (indices[i], 10 * (i + 1));
    free (indices);

    struct macro_options o = small ();
    struct macro *m = make (&o);
    for (int step = 0; step < 40; step++)
        macro_step (m, false);
    char path[128];
    struct gridsim g;
    snprintf (path, sizeof (path), "%s/snapshot.00000040", dir);
    if (gridsim_read (path, 0, &g, &error) < 0)
        fail_msg ("%s", error.text);
    assert_int_equal (g.nx, 64);
    assert_int_equal (g.loop, 40);
    assert_true (g.time_fs > 0.999999 * m->time_ns * 1e6 && g.time_fs < 1.000001 * m->time_ns * 1e6);
    for (size_t c = 0; c < 64 * 64; c++)
        for (size_t i = 0; i < MACRO_LIPIDS; i++)
            assert_true (g.density[c * MACRO_LIPIDS + i] == (float)m->n[i][c]);
    size_t present = 0, bonds = 0;
    for (size_t k = 0; k < 2 * m->nras; k++) {
        present += m->proteins[k].present;
        bonds += k >= m->nras && m->proteins[k].present;
    }
    assert_int_equal (g.nproteins, present);
    assert_int_equal (g.nbonds, bonds);
    for (size_t p = 0; p < g.nproteins; p++) {
        const struct macro_protein *mine = &m->proteins[g.proteins[p].id - 1];
        assert_string_equal (g.proteins[p].type, macro_state_names[mine->state]);
        assert_int_equal (gridsim_state_index (g.proteins[p].type), mine->state);
    }
    gridsim_fini (&g);
    macro_free (&m);
}

static void a_snapshot_that_is_there_already_stays_as_it_is (void **state)
{
    struct macro_options o = small ();
    struct strata_error error;
    struct macro *m = make (&o);
    struct stat before, after;
    char path[128];
    snprintf (path, sizeof (path), "%s/snapshot.00000001", dir);
    macro_step (m, false);
    assert_int_equal (macro_snapshot_write (m, dir, &error), 0);
    assert_int_equal (stat (path, &before), 0);
    assert_int_equal (macro_snapshot_write (m, dir, &error), 0);
    assert_int_equal (stat (path, &after), 0);
    assert_int_equal (before.st_ino, after.st_ino);
    /* folders of other names are not taken for snapshots */
    snprintf (path, sizeof (path), "%s/snapshot.00000002.tmp", dir);
    assert_int_equal (mkdir (path, 0777), 0);
    uint64_t *indices;
    size_t count;
    assert_int_equal (macro_snapshot_list (dir, &indices, &count, &error), 0);
    assert_int_equal (count, 1);
    free (indices);
    macro_free (&m);
}

static void wrong_arguments_are_refused_with_their_name (void **state)
{
    const struct {
        const char *argv[6], *want;
    } cases[] = {
        {{"m"}, "--out is missing"},
        {{"m", "--out"}, "--out needs a value"},
        {{"m", "--out", "d", "--frobnicate"}, "--frobnicate is no option"},
        {{"m", "--out", "d", "extra"}, "'extra' is no option"},
        {{"m", "--out", "d", "--nx", "0x10"}, "--nx '0x10'"},
        {{"m", "--out", "d", "--nx", "8"}, "--nx '8' is no whole number from 16"},
        {{"m", "--out", "d", "--seed", "-1"}, "--seed '-1'"},
        {{"m", "--out", "d", "--steps", "1e3"}, "--steps '1e3'"},
        {{"m", "--out", "d", "--noise", "nan"}, "--noise 'nan'"},
        {{"m", "--out", "d", "--preset", "huge"}, "--preset 'huge'"},
        {{"m", "--out", "d", "--snapshot-every", "0"}, "--snapshot-every '0'"},
    };
    for (size_t t = 0; t < sizeof (cases) / sizeof (cases[0]); t++) {
        struct macro_settings s;
        struct strata_error error = {""};
        int argc = 0;
        while (argc < 6 && cases[t].argv[argc])
            argc++;
        char *argv[7] = {NULL};
        for (int i = 0; i < argc; i++)
            assert_non_null (argv[i] = strdup (cases[t].argv[i]));
        assert_int_equal (macro_settings_parse (&s, argc, argv, &error), -1);
        if (!strstr (error.text, cases[t].want))
            fail_msg ("'%s' lacks '%s'", error.text, cases[t].want);
        for (int i = 0; i < argc; i++)
            free (argv[i]);
    }
}

static void options_override_the_preset_wherever_it_stands (void **state)
{
    char *argv[] = {"m", "--nx", "96", "--pace", "2.5", "--preset", "paper", "--out", "d", "--no-mesh", NULL};
    struct macro_settings s;
    struct strata_error error;
    assert_int_equal (macro_settings_parse (&s, 10, argv, &error), 0);
    assert_int_equal (s.model.nx, 96);
    assert_int_equal (s.model.ny, 96);
    assert_int_equal (s.model.ras, 300);
    assert_true (s.pace_s == 2.5);
    assert_int_equal (s.snapshot_every, 4000);
    assert_false (s.mesh);
}

#define WITH_DIR(f) cmocka_unit_test_setup_teardown (f, make_dir, remove_dir)

int main (void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIR (two_halves_with_a_restart_between_give_the_bits_of_one_run),
        WITH_DIR (a_broken_checkpoint_is_refused_by_name_and_the_one_before_is_used),
        WITH_DIR (a_folder_of_only_broken_or_foreign_checkpoints_is_refused),
        WITH_DIR (a_run_leaves_readable_snapshots_and_goes_on_where_it_was),
        WITH_DIR (a_snapshot_that_is_there_already_stays_as_it_is),
        cmocka_unit_test (wrong_arguments_are_refused_with_their_name),
        cmocka_unit_test (options_override_the_preset_wherever_it_stands),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
