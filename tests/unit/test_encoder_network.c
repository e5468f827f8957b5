/* test_encoder_network.c - the plug-in that runs TorchScript, with the model of apps/membrane; and what is said without one.
 * That the numbers are those of Python's torch shows tests/peers/encoder_agrees_with_torch.sh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../services/patch/patch_encode.h"

#define COARSE 37
#define K 9
#define PATCHES 8

static char top[4096], model_path[4200];

static int find (void **state)
{
    char plugin[4200];
    ssize_t n = readlink ("/proc/self/exe", top, sizeof (top) - 1); /* <top>/<build>/tests/test_encoder_network */
    if (n <= 0)
        return -1;
    top[n] = '\0';
    for (int i = 0; i < 2; i++)
        *strrchr (top, '/') = '\0';
    snprintf (plugin, sizeof (plugin), "%s/lib/strata/encoder-network.so", top);
    *strrchr (top, '/') = '\0';
    snprintf (model_path, sizeof (model_path), "%s/apps/membrane/encoder/model.pt", top);
    *state = access (plugin, F_OK) == 0 ? model_path : NULL;
    return 0;
}

/* Built without libtorch, or for a tool that can't see into it. */
static void needs_plugin (void **state)
{
    if (!*state)
        skip ();
}

static struct patch_encoder *open_model (void)
{
    struct strata_error error;
    struct patch_encoder *e = patch_encoder_new ("network", model_path, COARSE, K, &error);
    if (!e)
        fail_msg ("%s", error.text);
    return e;
}

static void make_patches (struct patch patches[PATCHES], const struct patch *pointers[PATCHES])
{
    size_t n = (size_t)COARSE * COARSE * GRIDSIM_LIPIDS;
    srand (3);
    for (size_t p = 0; p < PATCHES; p++) {
        patches[p] = (struct patch){ .coarse = COARSE, .points = 2 * COARSE - 1 };
        snprintf (patches[p].id, sizeof (patches[p].id), "sim1-00000001-p%05zu", p);
        patches[p].concentrations = malloc (n * sizeof (float));
        for (size_t i = 0; i < n; i++)
            patches[p].concentrations[i] = (float)(rand () % 1000) / 1000;
        pointers[p] = &patches[p];
    }
}

static void free_patches (struct patch patches[PATCHES])
{
    for (size_t p = 0; p < PATCHES; p++)
        free (patches[p].concentrations);
}

static void a_patch_has_the_same_bits_alone_in_a_batch_again_and_on_any_number_of_threads (void **state)
{
    needs_plugin (state);
    struct patch patches[PATCHES];
    const struct patch *pointers[PATCHES];
    float batch[PATCHES][K], alone[PATCHES][K], threads[PATCHES][K];
    struct strata_error error;
    struct patch_encoder *e = open_model (), *other = open_model ();
    make_patches (patches, pointers);
    assert_int_equal (patch_encoder_dimensions (e), K);
    assert_int_equal (patch_encode (e, pointers, PATCHES, batch[0], &error), 0);
    for (int again = 0; again < 3; again++) { /* a TorchScript executor optimises after some calls */
        for (size_t p = PATCHES; p-- > 0;)
            assert_int_equal (patch_encode (again == 1 ? other : e, &pointers[p], 1, alone[p], &error), 0);
        assert_memory_equal (batch, alone, sizeof (batch));
    }
    int failed = 0;
    omp_set_num_threads (3);
#pragma omp parallel for reduction(+ : failed)
    for (size_t p = 0; p < PATCHES; p++)
        failed += patch_encode (e, &pointers[p], 1, threads[p], NULL) != 0;
    assert_int_equal (failed, 0);
    assert_memory_equal (batch, threads, sizeof (batch));
    assert_int_equal (omp_get_max_threads (), 3); /* the cutter's threads are its own again */
    free_patches (patches);
    patch_encoder_free (&e);
    patch_encoder_free (&other);
    assert_null (e);
}

static void a_point_that_is_not_finite_is_refused_by_the_patch_s_name (void **state)
{
    needs_plugin (state);
    struct patch patches[PATCHES];
    const struct patch *pointers[PATCHES];
    float z[PATCHES][K];
    struct strata_error error;
    struct patch_encoder *e = open_model ();
    make_patches (patches, pointers);
    patches[5].concentrations[100] = NAN;
    assert_int_equal (patch_encode (e, pointers, PATCHES, z[0], &error), -1);
    assert_non_null (strstr (error.text, patches[5].id));
    assert_non_null (strstr (error.text, "nan"));
    assert_int_equal (patch_encode (e, pointers, 5, z[0], &error), 0);
    free_patches (patches);
    patch_encoder_free (&e);
}

static void a_model_of_another_shape_is_refused_with_both_shapes (void **state)
{
    needs_plugin (state);
    struct strata_error error;
    assert_null (patch_encoder_new ("network", model_path, 73, K, &error));
    assert_non_null (strstr (error.text, "patches of 37 x 37 x 14 into 9 numbers"));
    assert_non_null (strstr (error.text, "73 x 73 x 14 (patch.coarse) into 9"));
    assert_null (patch_encoder_new ("network", model_path, COARSE, 8, &error));
    assert_non_null (strstr (error.text, "patches of 37 x 37 x 14 into 9 numbers"));
    assert_non_null (strstr (error.text, "37 x 37 x 14 (patch.coarse) into 8 (patch.encoder.dimensions)"));
}

static void a_broken_model_file_is_refused_with_its_name (void **state)
{
    needs_plugin (state);
    char path[] = "/tmp/test_encoder_network.XXXXXX", data[1 << 20];
    struct strata_error error;
    FILE *f = fopen (model_path, "r");
    assert_non_null (f);
    size_t size = fread (data, 1, sizeof (data), f);
    assert_int_equal (fclose (f), 0);
    assert_in_range (size, 1000, sizeof (data) - 1);
    assert_true (close (mkstemp (path)) == 0);
    size_t lengths[] = { 0, 1, 64, size / 3, size / 2, size - 1 };
    for (size_t i = 0; i < sizeof (lengths) / sizeof (lengths[0]) + 1; i++) { /* cut off, then no archive */
        f = fopen (path, "w");
        if (i < sizeof (lengths) / sizeof (lengths[0]))
            fwrite (data, 1, lengths[i], f);
        else
            fputs ("mean: 0\n", f);
        assert_int_equal (fclose (f), 0);
        assert_null (patch_encoder_new ("network", path, COARSE, K, &error));
        assert_non_null (strstr (error.text, path));
        assert_null (strchr (error.text, '\n'));
    }
    unlink (path);
    assert_null (patch_encoder_new ("network", path, COARSE, K, &error)); /* not there */
    assert_non_null (strstr (error.text, path));
    char pca[4200];
    snprintf (pca, sizeof (pca), "%s/apps/membrane/encoder/pca.npz", top);
    assert_null (patch_encoder_new ("network", pca, COARSE, K, &error)); /* of the other kind, both ways */
    assert_non_null (strstr (error.text, pca));
    assert_null (patch_encoder_new ("pca", model_path, COARSE, K, &error));
    assert_non_null (strstr (error.text, model_path));
    struct patch_encoder *e = open_model (); /* and nothing of that stays */
    patch_encoder_free (&e);
}

static void a_kind_whose_plug_in_is_not_there_is_refused_with_what_to_do (void **state)
{
    struct strata_error error;
    assert_null (patch_encoder_new ("absent", model_path, COARSE, K, &error));
    assert_non_null (strstr (error.text, "patch.encoder.kind: absent needs /"));
    assert_non_null (strstr (error.text, "/lib/strata/encoder-absent.so: No such file"));
    assert_non_null (strstr (error.text, "install libtorch-dev"));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_patch_has_the_same_bits_alone_in_a_batch_again_and_on_any_number_of_threads),
        cmocka_unit_test (a_point_that_is_not_finite_is_refused_by_the_patch_s_name),
        cmocka_unit_test (a_model_of_another_shape_is_refused_with_both_shapes),
        cmocka_unit_test (a_broken_model_file_is_refused_with_its_name),
        cmocka_unit_test (a_kind_whose_plug_in_is_not_there_is_refused_with_what_to_do),
    };
    return cmocka_run_group_tests (tests, find, NULL);
}
