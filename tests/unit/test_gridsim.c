/* test_gridsim.c - continuum snapshots: what is written is read, records come in any order, broken ones are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "strata_gridsim.h"
#include "scratch.h"

#define NX 12
#define NY 10
#define FIELDS 17
#define LOOP 40
static char dir[64];
static char snapshot_path[96];

/* A density that no other point or lipid has. */
static float value_at (size_t x, size_t y, size_t lipid)
{
    return (float)(y * 1000 + x) / 64 + (float)lipid / 1024;
}

static const struct gridsim_protein proteins[] = {
    { 7, "RASa", 0, 0, 1.25 },
    { 300, "mRASb", 4.9, 3.999, -2 },
    { 12, "mRAFb", 0.1, 0.05, 0 },
    { UINT64_MAX, "4AzRAFa", 2.5, 1, 3 },
};
static const struct gridsim_bond bonds[] = { { 300, 12, 0.5 } };

static struct gridsim make_snapshot (void)
{
    struct gridsim s = { .nx = NX, .ny = NY, .lx = 5, .ly = 4, .time_fs = 2.5e9 + 0.25, .loop = LOOP };
    s.density = malloc (NX * NY * GRIDSIM_LIPIDS * sizeof (float));
    for (size_t y = 0; y < NY; y++)
        for (size_t x = 0; x < NX; x++)
            for (size_t l = 0; l < GRIDSIM_LIPIDS; l++)
                s.density[(y * NX + x) * GRIDSIM_LIPIDS + l] = value_at (x, y, l);
    s.nproteins = 4;
    s.proteins = malloc (sizeof (proteins));
    memcpy (s.proteins, proteins, sizeof (proteins));
    s.nbonds = 1;
    s.bonds = malloc (sizeof (bonds));
    memcpy (s.bonds, bonds, sizeof (bonds));
    return s;
}

static void write_snapshot (void)
{
    struct strata_error error;
    struct gridsim s = make_snapshot ();
    if (gridsim_write (dir, &s, &error) != 0)
        fail_msg ("%s", error.text);
    gridsim_fini (&s);
}

static void assert_same_as_made (const struct gridsim *s)
{
    assert_int_equal (s->nx, NX);
    assert_int_equal (s->ny, NY);
    assert_int_equal (s->loop, LOOP);
    assert_true (s->lx == 5 && s->ly == 4 && s->time_fs == 2.5e9 + 0.25);
    for (size_t y = 0; y < NY; y++)
        for (size_t x = 0; x < NX; x++)
            for (size_t l = 0; l < GRIDSIM_LIPIDS; l++)
                assert_true (s->density[(y * NX + x) * GRIDSIM_LIPIDS + l] == value_at (x, y, l));
    assert_int_equal (s->nproteins, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_true (s->proteins[i].id == proteins[i].id);
        assert_string_equal (s->proteins[i].type, proteins[i].type);
        assert_true (fabs (s->proteins[i].x - proteins[i].x) < 1e-12);
        assert_true (fabs (s->proteins[i].y - proteins[i].y) < 1e-12);
        assert_true (fabs (s->proteins[i].z - proteins[i].z) < 1e-12);
    }
    assert_int_equal (s->nbonds, 1);
    assert_int_equal (s->bonds[0].a, 300);
    assert_int_equal (s->bonds[0].b, 12);
    assert_true (fabs (s->bonds[0].length - 0.5) < 1e-12);
}

/* ---- editing a file of the snapshot ---- */

struct file {
    char path[128];
    char *bytes;
    size_t size;
    size_t data; /* where the data begins */
};

static struct file load (const char *name)
{
    struct file f;
    struct stat st;
    snprintf (f.path, sizeof (f.path), "%s/%s", snapshot_path, name);
    FILE *in = fopen (f.path, "r");
    assert_non_null (in);
    assert_int_equal (fstat (fileno (in), &st), 0);
    f.size = (size_t)st.st_size;
    f.bytes = calloc (f.size + 4096, 1);
    assert_int_equal (fread (f.bytes, 1, f.size, in), f.size);
    fclose (in);
    char *end = memmem (f.bytes, f.size, "\n}\n\n", 4);
    assert_non_null (end);
    f.data = (size_t)(end + 4 - f.bytes);
    return f;
}

static void store (struct file *f)
{
    FILE *out = fopen (f->path, "w");
    assert_non_null (out);
    assert_int_equal (fwrite (f->bytes, 1, f->size, out), f->size);
    assert_int_equal (fclose (out), 0);
    free (f->bytes);
}

/* The first `old` becomes `new`, of any length. */
static void edit (const char *name, const char *old, const char *new)
{
    struct file f = load (name);
    char *at = memmem (f.bytes, f.size, old, strlen (old));
    if (!at)
        fail_msg ("%s has no '%s'", name, old);
    size_t rest = f.size - (size_t)(at - f.bytes) - strlen (old);
    memmove (at + strlen (new), at + strlen (old), rest);
    for (size_t i = 0; new[i]; i++) /* the file is bytes: no '\0' goes with them */
        at[i] = new[i];
    f.size = f.size - strlen (old) + strlen (new);
    store (&f);
}

static void set_field (size_t record, size_t field, float value)
{
    struct file f = load ("densities#000000");
    memcpy (f.bytes + f.data + (record * FIELDS + field) * sizeof (float), &value, sizeof (float));
    store (&f);
}

static void resize (const char *name, long by)
{
    struct file f = load (name);
    f.size = (size_t)((long)f.size + by);
    store (&f);
}

/* ---- tests ---- */

static void a_snapshot_is_read_as_it_was_written (void **state)
{
    struct strata_error error;
    struct gridsim s;
    write_snapshot ();
    if (gridsim_read (snapshot_path, 0, &s, &error) != 0)
        fail_msg ("%s", error.text);
    assert_same_as_made (&s);
    gridsim_fini (&s);
}

static void records_may_come_in_any_order (void **state)
{
    struct strata_error error;
    struct gridsim s;
    write_snapshot ();
    struct file f = load ("densities#000000");
    srand (5);
    for (size_t i = NX * NY - 1; i > 0; i--) {
        char swap[FIELDS * 4];
        char *a = f.bytes + f.data + i * sizeof (swap), *b = f.bytes + f.data + (size_t)rand () % (i + 1) * sizeof (swap);
        memcpy (swap, a, sizeof (swap));
        memmove (a, b, sizeof (swap));
        memcpy (b, swap, sizeof (swap));
    }
    store (&f);
    if (gridsim_read (snapshot_path, 0, &s, &error) != 0)
        fail_msg ("%s", error.text);
    assert_same_as_made (&s);
    gridsim_fini (&s);
}

/* More than one block of records, so that threads share the work. */
static void a_large_grid_is_read_whole_and_its_lowest_wrong_record_is_named (void **state)
{
    struct strata_error error;
    struct gridsim s = { .nx = 700, .ny = 300, .lx = 70, .ly = 30, .loop = 1 }, t;
    char path[96], large[128];
    size_t n = s.nx * s.ny * GRIDSIM_LIPIDS;
    s.density = malloc (n * sizeof (float));
    for (size_t i = 0; i < n; i++)
        s.density[i] = (float)i;
    assert_int_equal (gridsim_write (dir, &s, &error), 0);
    snprintf (path, sizeof (path), "%s/snapshot.00000001", dir);
    assert_int_equal (gridsim_read (path, 0, &t, &error), 0);
    assert_memory_equal (s.density, t.density, n * sizeof (float));
    gridsim_fini (&t);
    s.density[(200 * 700 + 3) * GRIDSIM_LIPIDS + 5] = NAN;
    s.density[(299 * 700 + 4) * GRIDSIM_LIPIDS + 6] = -1;
    assert_int_equal (gridsim_write (dir, &s, &error), 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal (gridsim_read (path, 0, &t, &error), -1);
        assert_non_null (strstr (error.text, "nInner_PAPS at grid point (3, 200) is nan"));
    }
    /* The same point in records of different threads' blocks, and a density of -0, which is no flaw. */
    s.density[(200 * 700 + 3) * GRIDSIM_LIPIDS + 5] = -0.0f;
    s.density[(299 * 700 + 4) * GRIDSIM_LIPIDS + 6] = 0;
    assert_int_equal (gridsim_write (dir, &s, &error), 0);
    assert_int_equal (gridsim_read (path, 0, &t, &error), 0);
    gridsim_fini (&t);
    snprintf (large, sizeof (large), "%s/densities#000000", path);
    FILE *f = fopen (large, "r+");
    for (size_t record = 100000; record < 210000; record += 100000) {
        assert_int_equal (fseek (f, -(long)((s.nx * s.ny - record) * 17 * sizeof (float)), SEEK_END), 0);
        assert_int_equal (fwrite ((float[]){ 2, 1 }, sizeof (float), 2, f), 2);
    }
    assert_int_equal (fclose (f), 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal (gridsim_read (path, 0, &t, &error), -1);
        assert_non_null (strstr (error.text, "grid point (2, 1) comes twice"));
    }
    gridsim_fini (&s);
    snprintf (large, sizeof (large), "rm -r '%s'", path);
    assert_int_equal (system (large), 0);
}

enum how { EDIT, FIELD, RESIZE, REMOVE };

/* Every refusal that the header names, and more; each starts from a good snapshot. */
static const struct {
    const char *about;
    enum how how;
    const char *file;
    const char *old, *new; /* EDIT */
    size_t record, field;  /* FIELD */
    float value;
    long by;               /* RESIZE */
    const char *says[2];
} cases[] = {
    { "no densities", REMOVE, "densities#000000", .says = { "densities#000000", "No such file" } },
    { "no atoms", REMOVE, "atoms#000000", .says = { "atoms#000000", "No such file" } },
    { "no bonds", REMOVE, "bonds#000000", .says = { "bonds#000000", "No such file" } },
    { "truncated", RESIZE, "densities#000000", .by = -1, .says = { "densities#000000", "truncated" } },
    { "truncated by a record", RESIZE, "densities#000000", .by = -68, .says = { "densities#000000", "truncated" } },
    { "too long", RESIZE, "densities#000000", .by = 1, .says = { "densities#000000", "too long" } },
    { "atoms truncated", RESIZE, "atoms#000000", .by = -3, .says = { "atoms#000000", "truncated" } },
    { "bonds truncated", RESIZE, "bonds#000000", .by = -1, .says = { "bonds#000000", "truncated" } },
    { "no brace", EDIT, "densities#000000", "{\n", "\n", .says = { "densities#000000", "'{'" } },
    { "no closing brace", EDIT, "bonds#000000", "\n}\n", "\n", .says = { "bonds#000000", "truncated" } },
    { "no blank line", EDIT, "atoms#000000", "}\n\n", "}\n", .says = { "atoms#000000", "blank line" } },
    { "no semicolon", EDIT, "bonds#000000", "fs;", "fs", .says = { "bonds#000000", "';'" } },
    { "no equals sign", EDIT, "bonds#000000", "nfiles = 1", "nfiles 1", .says = { "bonds#000000", "key = value" } },
    { "key twice", EDIT, "bonds#000000", "nfiles = 1;", "nfiles = 1; nfiles = 1;", .says = { "'nfiles'", "twice" } },
    { "no nx", EDIT, "densities#000000", "nx = 12", "mx = 12", .says = { "densities#000000", "no key 'nx'" } },
    { "no loop", EDIT, "atoms#000000", "loop", "lop", .says = { "atoms#000000", "no key 'loop'" } },
    { "nx negative", EDIT, "densities#000000", "nx = 12", "nx = -12", .says = { "'nx'", "-12" } },
    { "nx zero", EDIT, "densities#000000", "nx = 12", "nx = 0", .says = { "0 x 10 points", "2^24" } },
    { "nx huge", EDIT, "densities#000000", "nx = 12", "nx = 18446744073709551615", .says = { "nx", "2^24" } },
    { "nx over any integer", EDIT, "densities#000000", "nx = 12", "nx = 99999999999999999999", .says = { "'nx'", "whole" } },
    { "nx other than records", EDIT, "densities#000000", "nx = 12", "nx = 13", .says = { "nrecord", "130" } },
    { "nrecord wrong", EDIT, "densities#000000", "nrecord = 120", "nrecord = 121", .says = { "nrecord", "120" } },
    { "ascii densities", EDIT, "densities#000000", "FIXRECORDBINARY", "FIXRECORDASCII", .says = { "datatype", "BINARY" } },
    { "two files", EDIT, "densities#000000", "nfiles = 1", "nfiles = 2", .says = { "densities#000000", "nfiles" } },
    { "13 lipids", EDIT, "densities#000000", "nLipids = 14", "nLipids = 13", .says = { "nLipids", "14" } },
    { "lipids swapped", EDIT, "densities#000000", "nInner_POPC nInner_PAPC", "nInner_PAPC nInner_POPC",
      .says = { "field_names", "nInner_POPC" } },
    { "other unit", EDIT, "densities#000000", "Lx = 5 nm", "Lx = 50 Ang", .says = { "Lx", "'nm'" } },
    { "no unit", EDIT, "densities#000000", "Lx = 5 nm", "Lx = 5", .says = { "Lx", "number 2 is needed" } },
    { "Lx is no number", EDIT, "densities#000000", "Lx = 5", "Lx = nan", .says = { "Lx", "finite" } },
    { "Lx zero", EDIT, "densities#000000", "Lx = 5", "Lx = 0", .says = { "Lx", "above 0" } },
    { "delta of another grid", EDIT, "densities#000000", "delta = 0.4", "delta = 0.9", .says = { "delta", "Lx / nx" } },
    { "a point twice", FIELD, .record = 14, .field = 0, .value = 3, .says = { "grid point (3, 1) comes twice", "never" } },
    { "ix outside", FIELD, .record = 14, .field = 0, .value = 12, .says = { "record 14", "not in the 12 x 10 grid" } },
    { "iy negative", FIELD, .record = 14, .field = 1, .value = -1, .says = { "record 14", "not in the 12 x 10 grid" } },
    { "ix between points", FIELD, .record = 14, .field = 0, .value = 1.5f, .says = { "record 14", "not in the" } },
    { "ix NaN", FIELD, .record = 14, .field = 0, .value = NAN, .says = { "record 14", "not in the" } },
    { "iy huge", FIELD, .record = 14, .field = 1, .value = 3e38f, .says = { "record 14", "not in the" } },
    { "density NaN", FIELD, .record = 14, .field = 3, .value = NAN, .says = { "nInner_POPC at grid point (2, 1)", "nan" } },
    { "density infinite", FIELD, .record = 13, .field = 10, .value = INFINITY, .says = { "nInner_CHOL at grid point (1, 1)", "inf" } },
    { "density negative", FIELD, .record = 119, .field = 16, .value = -1e-6f, .says = { "nOuter_CHOL at grid point (11, 9)", "-1e-06" } },
    { "protein outside", EDIT, "atoms#000000", " 49 ", " 51 ", .says = { "protein 300", "outside the box" } },
    { "protein below 0", EDIT, "atoms#000000", " 49 ", " -1 ", .says = { "protein 300", "outside the box" } },
    { "protein nowhere", EDIT, "atoms#000000", " 49 ", " nan ", .says = { "protein 300", "outside the box" } },
    { "unknown type", EDIT, "atoms#000000", "ATOM mRASb", "ATOM mRASx", .says = { "protein 300", "unknown type 'mRASx'" } },
    { "id is no number", EDIT, "atoms#000000", " 7 ATOM", " x ATOM", .says = { "record 0", "no id" } },
    { "id twice", EDIT, "atoms#000000", " 7 ATOM", " 12 ATOM", .says = { "atoms#000000", "two proteins have id 12" } },
    { "too few columns", EDIT, "atoms#000000", " 0 0 0\n", "\n", .says = { NULL } }, /* velocities aren't read */
    { "no z", EDIT, "atoms#000000", " 12.5 0 0 0\n", "\n", .says = { "record 0", "coordinates" } },
    { "one atom fewer", EDIT, "atoms#000000", "nrecord = 4", "nrecord = 3", .says = { "nrecord is 3", "4 whole lines" } },
    { "one atom more", EDIT, "atoms#000000", "nrecord = 4", "nrecord = 5", .says = { "truncated", "4 whole lines" } },
    { "skewed box", EDIT, "atoms#000000", "h = 50 0", "h = 50 1", .says = { "atoms#000000", "skewed" } },
    { "box of another simulation", EDIT, "atoms#000000", "h = 50 ", "h = 500 ", .says = { "atoms#000000", "two simulations" } },
    { "box too short", EDIT, "atoms#000000", "0 0 0 0 Ang", "0 Ang", .says = { "'h'", "finite" } },
    { "bond to no protein", EDIT, "bonds#000000", " 300 ", " 301 ", .says = { "bond 0", "no protein 301" } },
    { "bond between two RAS", EDIT, "bonds#000000", " 12 ", " 7 ", .says = { "bond 0", "a RAS and a RAF" } },
    { "bond of no length", EDIT, "bonds#000000", " 5\n", " x\n", .says = { "record 0", "length" } },
    { "mixed-up atoms", EDIT, "atoms#000000", "loop = 40", "loop = 41", .says = { "atoms#000000", "mixed-up" } },
    { "mixed-up bonds", EDIT, "bonds#000000", "loop = 40", "loop = 39", .says = { "bonds#000000", "mixed-up" } },
    { "mixed-up time", EDIT, "bonds#000000", "time = 2", "time = 3", .says = { "bonds#000000", "mixed-up" } },
    { "bond the other way round", EDIT, "bonds#000000", "         300           12", "          12          300", .says = { NULL } },
    { "isoform in the campaign's spelling", EDIT, "atoms#000000", "ATOM 4AzRAFa", "ATOM zRAF4Aa", .says = { NULL } },
    { "entries that share a line", EDIT, "atoms#000000", ";\n  nrecord", "; nrecord", .says = { NULL } },
};

static void broken_snapshots_are_refused_with_the_reason (void **state)
{
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        struct strata_error error = { "" };
        struct gridsim s;
        write_snapshot ();
        if (cases[i].how == EDIT)
            edit (cases[i].file, cases[i].old, cases[i].new);
        else if (cases[i].how == FIELD)
            set_field (cases[i].record, cases[i].field, cases[i].value);
        else if (cases[i].how == RESIZE)
            resize (cases[i].file, cases[i].by);
        else {
            char path[128];
            snprintf (path, sizeof (path), "%s/%s", snapshot_path, cases[i].file);
            assert_int_equal (unlink (path), 0);
        }
        int rc = gridsim_read (snapshot_path, 0, &s, &error);
        if (!cases[i].says[0]) { /* allowed: read all the same */
            if (rc != 0)
                fail_msg ("%s: %s", cases[i].about, error.text);
            assert_same_as_made (&s);
            gridsim_fini (&s);
            continue;
        }
        if (rc == 0)
            fail_msg ("%s: was read", cases[i].about);
        if (!strstr (error.text, cases[i].says[0]) || !strstr (error.text, cases[i].says[1])
            || !strstr (error.text, snapshot_path))
            fail_msg ("%s: %s", cases[i].about, error.text);
        assert_null (s.density);
        assert_null (s.proteins);
        assert_null (s.bonds);
    }
}

static void a_header_of_any_bytes_never_ends_the_reader (void **state)
{
    static const char *const names[] = { "densities#000000", "atoms#000000", "bonds#000000" };
    struct strata_error error;
    struct gridsim s;
    srand (11);
    for (int round = 0; round < 300; round++) {
        write_snapshot ();
        struct file f = load (names[round % 3]);
        size_t limit = f.data + 200 < f.size ? f.data + 200 : f.size;
        for (int k = 0; k < 1 + round % 4; k++)
            f.bytes[(size_t)rand () % limit] = (char)rand ();
        if (round % 5 == 0)
            f.size = (size_t)rand () % f.size;
        store (&f);
        if (gridsim_read (snapshot_path, 0, &s, &error) == 0)
            gridsim_fini (&s);
        else
            assert_true (strlen (error.text) > strlen (snapshot_path));
    }
}

static void a_snapshot_over_the_limit_is_refused (void **state)
{
    struct strata_error error;
    struct gridsim s;
    write_snapshot ();
    struct file f = load ("densities#000000");
    free (f.bytes);
    assert_int_equal (gridsim_read (snapshot_path, f.size - 1, &s, &error), -1);
    assert_non_null (strstr (error.text, "limit"));
    assert_int_equal (gridsim_read (snapshot_path, f.size, &s, &error), -1); /* all three files count */
    assert_non_null (strstr (error.text, "atoms#000000"));
    assert_int_equal (gridsim_read (snapshot_path, f.size + 100000, &s, &error), 0);
    gridsim_fini (&s);
}

static size_t entries_of (const char *path)
{
    DIR *d = opendir (path);
    size_t n = 0;
    while (d && readdir (d))
        n++;
    closedir (d);
    return n - 2;
}

static void writing_again_replaces_the_snapshot_and_leaves_nothing_behind (void **state)
{
    struct strata_error error;
    struct gridsim s = make_snapshot (), t;
    write_snapshot ();
    size_t before = entries_of (dir);
    s.density[0] = 9;
    assert_int_equal (gridsim_write (dir, &s, &error), 0);
    assert_int_equal (entries_of (dir), before);
    assert_int_equal (entries_of (snapshot_path), 3);
    assert_int_equal (gridsim_read (snapshot_path, 0, &t, &error), 0);
    assert_true (t.density[0] == 9);
    gridsim_fini (&t);
    strcpy (s.proteins[0].type, "RAS");
    assert_int_equal (gridsim_write (dir, &s, &error), -1);
    assert_non_null (strstr (error.text, "unknown type 'RAS'"));
    gridsim_fini (&s);
    assert_int_equal (entries_of (dir), before);
}

static void a_snapshot_without_proteins_is_read (void **state)
{
    struct strata_error error;
    struct gridsim s = make_snapshot (), t;
    s.nproteins = s.nbonds = 0;
    assert_int_equal (gridsim_write (dir, &s, &error), 0);
    assert_int_equal (gridsim_read (snapshot_path, 0, &t, &error), 0);
    assert_int_equal (t.nproteins, 0);
    assert_int_equal (t.nbonds, 0);
    gridsim_fini (&t);
    gridsim_fini (&s);
}

static void each_state_has_its_index (void **state)
{
    for (int i = 0; i < 18; i++)
        assert_int_equal (gridsim_state_index (gridsim_states[i]), i);
    assert_int_equal (gridsim_state_index ("RAS4Aa"), 9);
    assert_int_equal (gridsim_state_index ("zRAF4Aa"), 17);
    assert_int_equal (gridsim_state_index ("RASd"), -1);
    assert_int_equal (gridsim_state_index (""), -1);
}

static int make_dir (void **state)
{
    if (!scratch_new (dir, sizeof (dir)))
        return -1;
    snprintf (snapshot_path, sizeof (snapshot_path), "%s/snapshot.%08d", dir, LOOP);
    return 0;
}

static int remove_dir (void **state)
{
    char command[128];
    snprintf (command, sizeof (command), "rm -r '%s'", dir);
    return system (command);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_snapshot_is_read_as_it_was_written),
        cmocka_unit_test (records_may_come_in_any_order),
        cmocka_unit_test (a_large_grid_is_read_whole_and_its_lowest_wrong_record_is_named),
        cmocka_unit_test (broken_snapshots_are_refused_with_the_reason),
        cmocka_unit_test (a_header_of_any_bytes_never_ends_the_reader),
        cmocka_unit_test (a_snapshot_over_the_limit_is_refused),
        cmocka_unit_test (writing_again_replaces_the_snapshot_and_leaves_nothing_behind),
        cmocka_unit_test (a_snapshot_without_proteins_is_read),
        cmocka_unit_test (each_state_has_its_index),
    };
    return cmocka_run_group_tests (tests, make_dir, remove_dir);
}
