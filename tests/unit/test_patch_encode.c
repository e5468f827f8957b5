/* test_patch_encode.c - the PCA encoder against its formula and against numpy's trainer; the offline cutter end to end. */
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
#include <unistd.h>

#include "../../services/patch/patch_encode.h"
#include "../../services/patch/patch_offline.h"
#include "strata_gridsim.h"
#include "strata_npz.h"

#define COARSE 3
#define D (COARSE * COARSE * GRIDSIM_LIPIDS)
#define K 5

static char dir[] = "/tmp/test_patch_encode.XXXXXX";
static char model_path[64];

struct model {
    double mean[D], components[K][D], scale[D];
};

static struct model make_model (void)
{
    struct model m;
    srand (1);
    for (size_t i = 0; i < D; i++) {
        m.mean[i] = (float)(rand () / (double)RAND_MAX);
        m.scale[i] = (float)(0.5 + rand () / (double)RAND_MAX);
        for (size_t k = 0; k < K; k++)
            m.components[k][i] = (float)(rand () / (double)RAND_MAX - 0.5);
    }
    return m;
}

static void add_numbers (struct npz_writer *w, const char *name, enum npy_kind kind, size_t rows, size_t n, const double *x)
{
    size_t shape[2] = { rows, n };
    float f[K * D];
    for (size_t i = 0; i < (rows ? rows : 1) * n; i++)
        f[i] = (float)x[i];
    npz_add (w, name, kind, rows ? 2 : 1, rows ? shape : shape + 1, kind == NPY_F4 ? (const void *)f : (const void *)x);
}

static void save (struct npz_writer *w)
{
    void *data;
    size_t size;
    struct strata_error error;
    if (npz_finish (w, &data, &size, &error) != 0)
        fail_msg ("%s", error.text);
    FILE *f = fopen (model_path, "w");
    assert_int_equal (fwrite (data, 1, size, f), size);
    assert_int_equal (fclose (f), 0);
    free (data);
    npz_writer_free (&w);
}

static void save_model (const struct model *m, enum npy_kind kind, bool scaled)
{
    struct npz_writer *w = npz_writer_new ();
    add_numbers (w, "mean", kind, 0, D, m->mean);
    add_numbers (w, "components", kind, K, D, m->components[0]);
    if (scaled)
        add_numbers (w, "scale", kind, 0, D, m->scale);
    save (w);
}

static struct patch make_patch (size_t coarse)
{
    struct patch p = { .id = "sim1-00000001-p00001", .coarse = coarse, .points = 2 * coarse - 1 };
    p.concentrations = malloc (coarse * coarse * GRIDSIM_LIPIDS * sizeof (float));
    for (size_t i = 0; i < coarse * coarse * GRIDSIM_LIPIDS; i++)
        p.concentrations[i] = (float)(i % 11) / 8;
    return p;
}

static int encode (const struct patch_encoder *e, const struct patch *patch, float *z, struct strata_error *error)
{
    return patch_encode (e, &patch, 1, z, error);
}

static void a_patch_is_encoded_as_the_formula_says (void **state)
{
    struct model m = make_model ();
    for (int variant = 0; variant < 4; variant++) {
        bool scaled = variant & 1;
        struct strata_error error;
        struct patch p = make_patch (COARSE);
        float z[K], again[K];
        save_model (&m, variant & 2 ? NPY_F8 : NPY_F4, scaled);
        struct patch_encoder *e = patch_encoder_new ("pca", model_path, COARSE, K, &error);
        if (!e)
            fail_msg ("%s", error.text);
        assert_int_equal (patch_encoder_dimensions (e), K);
        assert_int_equal (encode (e, &p, z, &error), 0);
        assert_int_equal (encode (e, &p, again, &error), 0);
        assert_memory_equal (z, again, sizeof (z));
        for (size_t k = 0; k < K; k++) {
            double sum = 0;
            for (size_t i = 0; i < D; i++)
                sum += m.components[k][i] * (p.concentrations[i] - m.mean[i]) / (scaled ? m.scale[i] : 1);
            assert_true (fabs (z[k] - sum) < 1e-5);
        }
        patch_encoder_free (&e);
        assert_null (e);
        free (p.concentrations);
    }
}

static void the_mean_itself_is_the_origin (void **state)
{
    struct model m = make_model ();
    struct strata_error error;
    struct patch p = make_patch (COARSE);
    float z[K];
    save_model (&m, NPY_F8, true);
    for (size_t i = 0; i < D; i++)
        p.concentrations[i] = (float)m.mean[i];
    struct patch_encoder *e = patch_encoder_new ("pca", model_path, COARSE, K, &error);
    assert_int_equal (encode (e, &p, z, &error), 0);
    for (size_t k = 0; k < K; k++)
        assert_true (z[k] == 0);
    patch_encoder_free (&e);
    free (p.concentrations);
}

enum damage { NO_MEAN, NO_COMPONENTS, MEAN_SHORT, MEAN_2D, MEAN_I4, NAN_MEAN, INF_COMPONENT, ZERO_SCALE, NEGATIVE_SCALE, SCALE_SHORT, SOUND };

static void a_model_that_doesn_t_fit_is_refused_with_both_shapes (void **state)
{
    static const struct {
        enum damage damage;
        size_t coarse, dimensions;
        const char *says[2];
    } cases[] = {
        { NO_MEAN, 3, 5, { "no member 'mean'", "components" } },
        { NO_COMPONENTS, 3, 5, { "no member 'components'", "mean" } },
        { MEAN_SHORT, 3, 5, { "f8(125)", "(126)" } },
        { MEAN_2D, 3, 5, { "f8(1, 126)", "f8(126)" } },
        { MEAN_I4, 3, 5, { "i4(126)", "f8(126)" } },
        { SCALE_SHORT, 3, 5, { "member 'scale' is f8(125)", "(126)" } },
        { SOUND, 37, 5, { "f8(126)", "f8(19166)" } },
        { SOUND, 3, 9, { "f8(5, 126)", "f8(9, 126)" } },
        { SOUND, 3, 0, { "dimensions are 1 to 64", "0" } },
        { SOUND, 3, 65, { "dimensions are 1 to 64", "65" } },
        { NAN_MEAN, 3, 5, { "mean[7]", "not finite" } },
        { INF_COMPONENT, 3, 5, { "components[2][9]", "not finite" } },
        { ZERO_SCALE, 3, 5, { "scale[4] is 0", "above 0" } },
        { NEGATIVE_SCALE, 3, 5, { "scale[4] is -1", "above 0" } },
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        struct model m = make_model ();
        struct strata_error error = { "" };
        struct npz_writer *w = npz_writer_new ();
        int32_t whole[D] = { 0 };
        enum damage d = cases[i].damage;
        if (d == NAN_MEAN)
            m.mean[7] = NAN;
        if (d == INF_COMPONENT)
            m.components[2][9] = INFINITY;
        if (d == ZERO_SCALE || d == NEGATIVE_SCALE)
            m.scale[4] = d == ZERO_SCALE ? 0 : -1;
        if (d == MEAN_I4)
            npz_add (w, "mean", NPY_I4, 1, (size_t[]){ D }, whole);
        else if (d != NO_MEAN)
            add_numbers (w, "mean", NPY_F8, d == MEAN_2D, d == MEAN_SHORT ? D - 1 : D, m.mean);
        if (d != NO_COMPONENTS)
            add_numbers (w, "components", NPY_F8, K, D, m.components[0]);
        add_numbers (w, "scale", NPY_F8, 0, d == SCALE_SHORT ? D - 1 : D, m.scale);
        save (w);
        assert_null (patch_encoder_new ("pca", model_path, cases[i].coarse, cases[i].dimensions, &error));
        if (!strstr (error.text, cases[i].says[0]) || !strstr (error.text, cases[i].says[1]) || !strstr (error.text, model_path))
            fail_msg ("case %zu: %s", i, error.text);
    }
}

static void a_patch_of_another_size_or_beyond_float_is_refused (void **state)
{
    struct model m = make_model ();
    struct strata_error error;
    struct patch large = make_patch (5), huge = make_patch (COARSE);
    float z[K];
    save_model (&m, NPY_F8, false);
    struct patch_encoder *e = patch_encoder_new ("pca", model_path, COARSE, K, &error);
    assert_int_equal (encode (e, &large, z, &error), -1);
    assert_non_null (strstr (error.text, "is 5 x 5 x 14, the encoder's model is for 3 x 3 x 14"));
    for (size_t i = 0; i < D; i++)
        huge.concentrations[i] = m.components[1][i] > 0 ? 3e38f : 0;
    assert_int_equal (encode (e, &huge, z, &error), -1);
    assert_non_null (strstr (error.text, "no float32"));
    patch_encoder_free (&e);
    free (large.concentrations);
    free (huge.concentrations);
}

/* A snapshot whose lipids vary on the scale of a patch, with RAS at random. */
static void write_snapshot (const char *parent)
{
    struct strata_error error;
    struct gridsim s = { .nx = 120, .ny = 120, .lx = 50, .ly = 50, .time_fs = 1e6, .loop = 3 };
    s.density = malloc (s.nx * s.ny * GRIDSIM_LIPIDS * sizeof (float));
    for (size_t y = 0; y < s.ny; y++)
        for (size_t x = 0; x < s.nx; x++)
            for (size_t l = 0; l < GRIDSIM_LIPIDS; l++)
                s.density[(y * s.nx + x) * GRIDSIM_LIPIDS + l]
                    = 1 + 0.4f * (float)(sin (0.1 * (double)x * (double)(1 + l % 3)) * cos (0.07 * (double)y * (double)(1 + l % 4)));
    s.proteins = calloc (40, sizeof (*s.proteins));
    srand (9);
    for (s.nproteins = 0; s.nproteins < 40; s.nproteins++) {
        struct gridsim_protein *p = &s.proteins[s.nproteins];
        p->id = s.nproteins + 1;
        strcpy (p->type, "RASa");
        p->x = 49.9 * (rand () / (double)RAND_MAX);
        p->y = 49.9 * (rand () / (double)RAND_MAX);
    }
    if (gridsim_write (parent, &s, &error) != 0)
        fail_msg ("%s", error.text);
    gridsim_fini (&s);
}

static const struct patch_params small = { .simulation = "t", .points = 13, .coarse = 7, .lipid_only = 2, .lipid_only_distance_nm = 3, .seed = 1 };

static size_t cut_offline (const char *out, const struct patch_encoder *encoder, char **report)
{
    struct strata_error error;
    char path[128];
    size_t size, n = 0;
    snprintf (path, sizeof (path), "%s/snapshot.00000003", dir);
    FILE *f = open_memstream (report, &size);
    if (patch_offline (path, out, &small, encoder, f, &error) != 0)
        fail_msg ("%s", error.text);
    fclose (f);
    DIR *d = opendir (out);
    assert_non_null (d);
    for (struct dirent *e; (e = readdir (d));)
        n += e->d_name[0] != '.';
    closedir (d);
    return n;
}

/* scripts/train_pca.py on patches cut offline; its coordinates, which numpy computes, have to be ours. */
static void a_model_trained_by_numpy_gives_numpy_s_coordinates (void **state)
{
    char out[64], command[768], line[512], *report;
    struct strata_error error;
    write_snapshot (dir);
    snprintf (out, sizeof (out), "%s/patches", dir);
    assert_int_equal (cut_offline (out, NULL, &report), 42);
    assert_non_null (strstr (report, "42 patches: "));
    free (report);
    char top[256]; /* this program is <top>/<build>/tests/test_patch_encode */
    ssize_t n = readlink ("/proc/self/exe", top, sizeof (top) - 1);
    assert_true (n > 0);
    top[n] = '\0';
    for (int i = 0; i < 3; i++)
        *strrchr (top, '/') = '\0';
    snprintf (command,
              sizeof (command),
              "/usr/bin/python3 '%s/scripts/train_pca.py' --dimensions %d --out %s --coordinates %s/z.txt %s >%s/log 2>&1",
              top,
              K,
              model_path,
              dir,
              out,
              dir);
    assert_int_equal (system (command), 0);
    struct patch_encoder *e = patch_encoder_new ("pca", model_path, small.coarse, K, &error);
    if (!e)
        fail_msg ("%s", error.text);
    cut_offline (out, e, &report);
    snprintf (line, sizeof (line), "%s/z.txt", dir);
    FILE *f = fopen (line, "r");
    size_t compared = 0;
    while (fgets (line, sizeof (line), f)) { /* id, then numpy's coordinates */
        char *save = NULL, *id = strtok_r (line, "\t", &save), *ours = strstr (report, id);
        assert_non_null (ours);
        ours = strchr (strchr (ours, '\t') + 1, '\t');
        for (int k = 0; k < K; k++) {
            double want = strtod (strtok_r (NULL, "\t \n", &save), NULL), have = strtod (ours + 1, &ours);
            assert_true (fabs (have - want) <= 1e-4 * (1 + fabs (want)));
            compared++;
        }
    }
    fclose (f);
    assert_true (compared >= 10 * K);
    free (report);
    patch_encoder_free (&e);
}

static int make_dir (void **state)
{
    if (!mkdtemp (dir))
        return -1;
    snprintf (model_path, sizeof (model_path), "%s/pca.npz", dir);
    return 0;
}

static int remove_dir (void **state)
{
    char command[64];
    snprintf (command, sizeof (command), "rm -r '%s'", dir);
    return system (command);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_patch_is_encoded_as_the_formula_says),
        cmocka_unit_test (the_mean_itself_is_the_origin),
        cmocka_unit_test (a_model_that_doesn_t_fit_is_refused_with_both_shapes),
        cmocka_unit_test (a_patch_of_another_size_or_beyond_float_is_refused),
        cmocka_unit_test (a_model_trained_by_numpy_gives_numpy_s_coordinates),
    };
    return cmocka_run_group_tests (tests, make_dir, remove_dir);
}
