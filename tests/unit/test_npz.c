/* test_npz.c - numpy archives: round trips, and refusals of what others may send.
 *
 * With arguments it is the program that tests/peers/numpy_reads_npz.sh runs: `write FILE` writes the members of peer_write,
 * `read FILE` checks that FILE, made by numpy, has the values of peer_read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

#include "strata_npz.h"

static const char *const words[] = { "RASa", "", "m\xc3\xbc\xe2\x82\xac\xf0\x9f\xa7\xac", "4AzRAFa" };

/* One member of each kind and of 0 to 4 dimensions. */
static struct npz_writer *fill_writer (void)
{
    static const float f4[2][3] = { { 0, 1.5f, -2 }, { 3e38f, 1e-40f, 6 } };
    static const double f8[2] = { 0.1, -1e300 };
    static const int32_t i4[2][1][2][1] = { { { { -1 }, { 2 } } }, { { { INT32_MIN }, { INT32_MAX } } } };
    static const int64_t i8[3] = { INT64_MIN, 0, INT64_MAX };
    static const uint16_t u2[1][2] = { { 65535, 1 } };
    static const uint32_t u4 = UINT32_MAX;
    struct npz_writer *w = npz_writer_new ();
    assert_non_null (w);
    assert_int_equal (npz_add (w, "f4", NPY_F4, 2, (size_t[]){ 2, 3 }, f4), 0);
    assert_int_equal (npz_add (w, "f8", NPY_F8, 1, (size_t[]){ 2 }, f8), 0);
    assert_int_equal (npz_add (w, "i4", NPY_I4, 4, (size_t[]){ 2, 1, 2, 1 }, i4), 0);
    assert_int_equal (npz_add (w, "i8", NPY_I8, 1, (size_t[]){ 3 }, i8), 0);
    assert_int_equal (npz_add (w, "u2", NPY_U2, 2, (size_t[]){ 1, 2 }, u2), 0);
    assert_int_equal (npz_add (w, "u4", NPY_U4, 0, NULL, &u4), 0);
    assert_int_equal (npz_add (w, "none", NPY_U2, 2, (size_t[]){ 0, 2 }, NULL), 0);
    assert_int_equal (npz_add_strings (w, "words", words, 4, 0), 0);
    assert_int_equal (npz_add_strings (w, "word", &words[2], 1, 1), 0);
    assert_int_equal (npz_add_strings (w, "nowords", NULL, 0, 0), 0);
    assert_int_equal (npz_add_f8 (w, "pi", 3.25), 0);
    assert_int_equal (npz_add_i8 (w, "minus", -7), 0);
    return w;
}

static void finish (struct npz_writer *w, void **data, size_t *size)
{
    struct strata_error error;
    if (npz_finish (w, data, size, &error) != 0)
        fail_msg ("%s", error.text);
    npz_writer_free (&w);
    assert_null (w);
}

static const struct npy *get (struct npz *z, const char *name)
{
    struct strata_error error = { "" };
    const struct npy *a = npz_get (z, name, &error);
    if (!a)
        fail_msg ("%s", error.text);
    return a;
}

static void every_kind_comes_back_as_it_was_written (void **state)
{
    void *data;
    size_t size;
    char buf[64];
    struct strata_error error;
    finish (fill_writer (), &data, &size);
    struct npz *z = npz_open_memory (data, size, &error);
    assert_non_null (z);
    const struct npy *a = get (z, "f4");
    assert_int_equal (a->kind, NPY_F4);
    assert_int_equal (a->ndim, 2);
    assert_int_equal (a->count, 6);
    assert_int_equal (a->shape[1], 3);
    assert_true (((const float *)a->data)[4] == 1e-40f);
    assert_true (((const double *)get (z, "f8")->data)[1] == -1e300);
    a = get (z, "i4");
    assert_int_equal (a->ndim, 4);
    assert_int_equal (a->shape[2], 2);
    assert_int_equal (((const int32_t *)a->data)[2], INT32_MIN);
    assert_true (((const int64_t *)get (z, "i8")->data)[2] == INT64_MAX);
    assert_int_equal (((const uint16_t *)get (z, "u2")->data)[0], 65535);
    a = get (z, "u4");
    assert_int_equal (a->ndim, 0);
    assert_int_equal (a->count, 1);
    assert_int_equal (*(const uint32_t *)a->data, UINT32_MAX);
    assert_int_equal (get (z, "none")->count, 0);
    assert_int_equal (get (z, "none")->shape[1], 2);
    assert_int_equal (get (z, "nowords")->count, 0);
    assert_true (*(const double *)get (z, "pi")->data == 3.25);
    assert_true (*(const int64_t *)get (z, "minus")->data == -7);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal (npy_string (get (z, "words"), i, buf, sizeof (buf)), 0);
        assert_string_equal (buf, words[i]);
    }
    assert_int_equal (npy_string (get (z, "words"), 4, buf, sizeof (buf)), -1);
    assert_int_equal (npy_string (get (z, "pi"), 0, buf, sizeof (buf)), -1);
    /* cut to fit, never inside a character: m, u-umlaut (2 bytes), euro (3 bytes) */
    assert_int_equal (npy_string (get (z, "word"), 0, buf, 6), 0);
    assert_string_equal (buf, "m\xc3\xbc");
    npz_close (&z);
    assert_null (z);
    free (data);
}

static void equal_members_give_equal_bytes (void **state)
{
    void *a, *b;
    size_t na, nb;
    finish (fill_writer (), &a, &na);
    sleep (2); /* a DOS date counts two seconds: a clock in the archive would show */
    finish (fill_writer (), &b, &nb);
    assert_int_equal (na, nb);
    assert_memory_equal (a, b, na);
    free (a);
    free (b);
}

static void a_failed_add_is_told_by_finish (void **state)
{
    static const double x = 1;
    void *data;
    size_t size;
    struct strata_error error;
    const struct {
        const char *name, *says;
        int how;
    } cases[] = {
        { "twice", "use another", 0 },
        { "deep", "4 dimensions", 1 },
        { "huge", "1 GiB", 2 },
        { "bad-text", "UTF-8", 3 },
        { "empty", "no member", 4 },
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        const char *text = "\xed\xa0\x80"; /* a surrogate */
        struct npz_writer *w = npz_writer_new ();
        switch (cases[i].how) {
        case 0:
            npz_add_f8 (w, "twice", 1);
            assert_int_equal (npz_add_f8 (w, "twice", 2), -1);
            break;
        case 1:
            assert_int_equal (npz_add (w, "deep", NPY_F8, 5, (size_t[]){ 1, 1, 1, 1, 1 }, &x), -1);
            break;
        case 2:
            assert_int_equal (npz_add (w, "huge", NPY_F8, 2, (size_t[]){ SIZE_MAX / 2, 3 }, &x), -1);
            break;
        case 3:
            assert_int_equal (npz_add_strings (w, "bad-text", &text, 1, 1), -1);
            break;
        }
        assert_int_equal (npz_finish (w, &data, &size, &error), -1);
        assert_non_null (strstr (error.text, cases[i].says));
        npz_writer_free (&w);
    }
}

/* ---- archives from outside, made here with libzip ---- */

struct bytes {
    char data[4096];
    size_t size;
};

/* Magic, header length and header as given, then `size` bytes of data. */
static struct bytes make_npy (const char *header, const void *data, size_t size)
{
    struct bytes b = { .size = 0 };
    size_t n = strlen (header);
    memcpy (b.data, "\x93NUMPY\x01\x00", 8);
    b.data[8] = (char)n;
    b.data[9] = (char)(n >> 8);
    memcpy (b.data + 10, header, n);
    memcpy (b.data + 10 + n, data, size);
    b.size = 10 + n + size;
    return b;
}

/* A zip archive of one member, malloc'ed. */
static void make_zip (const char *name, const struct bytes *member, int method, void **data, size_t *size)
{
    zip_error_t why;
    zip_stat_t st;
    zip_error_init (&why);
    zip_source_t *sink = zip_source_buffer_create (NULL, 0, 0, &why);
    zip_t *zip = zip_open_from_source (sink, ZIP_TRUNCATE, &why);
    assert_non_null (zip);
    zip_source_keep (sink);
    zip_source_t *source = zip_source_buffer (zip, member->data, member->size, 0);
    zip_int64_t i = zip_file_add (zip, name, source, 0);
    assert_true (i >= 0);
    assert_int_equal (zip_set_file_compression (zip, (zip_uint64_t)i, method, 0), 0);
    assert_int_equal (zip_close (zip), 0);
    assert_int_equal (zip_source_stat (sink, &st), 0);
    *size = st.size;
    *data = malloc (*size);
    assert_int_equal (zip_source_open (sink), 0);
    assert_true (zip_source_read (sink, *data, *size) == (zip_int64_t)*size);
    zip_source_close (sink);
    zip_source_free (sink);
}

static void headers_as_python_may_write_them_are_read (void **state)
{
    static const char *const headers[] = {
        "{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }\n",
        "{\"shape\":(2,),\"descr\":\"<i4\",\"fortran_order\":False}",
        "  { 'fortran_order' : False , 'shape' : ( 2 , ) , 'descr' : '<i4' }   \n",
        "{'descr': '<i4', 'fortran_order': True, 'shape': (2,), }", /* one dimension has no order */
        "{'descr': '<i4', 'fortran_order': False, 'shape': (1, 2), }",
        "{'descr': '<i4', 'fortran_order': False, 'shape': (1, 1, 2, 1,), }",
    };
    static const int32_t values[2] = { 5, -6 };
    for (size_t i = 0; i < 2 * sizeof (headers) / sizeof (headers[0]); i++) {
        struct bytes member = make_npy (headers[i / 2], values, sizeof (values));
        struct strata_error error = { "" };
        void *data;
        size_t size;
        make_zip ("a.npy", &member, i % 2 ? ZIP_CM_DEFLATE : ZIP_CM_STORE, &data, &size);
        struct npz *z = npz_open_memory (data, size, &error);
        assert_non_null (z);
        const struct npy *a = npz_get (z, "a", &error);
        if (!a)
            fail_msg ("%s: %s", headers[i / 2], error.text);
        assert_int_equal ((uintptr_t)a->data % sizeof (double), 0);
        assert_memory_equal (a->data, values, sizeof (values));
        assert_ptr_equal (npz_get (z, "a", &error), a);
        npz_close (&z);
        free (data);
    }
}

static void members_that_are_not_plain_arrays_are_refused_with_the_reason (void **state)
{
#define HEADER(descr, order, shape) "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }\n"
    static const struct {
        const char *header;
        size_t data;
        const char *says;
    } cases[] = {
        { HEADER ("'|O'", "False", "(1,)"), 8, "pickled" },
        { HEADER ("'>f8'", "False", "(1,)"), 8, "big-endian" },
        { HEADER ("'|b1'", "False", "(8,)"), 8, "not read" },
        { HEADER ("'<U0'", "False", "(1000000000000,)"), 0, "not read" },
        { HEADER ("'<U99999999999999999999'", "False", "(1,)"), 8, "not read" },
        { HEADER ("[('a', '<f8')]", "False", "(1,)"), 8, "structured" },
        { HEADER ("'<f8'", "True", "(1, 1)"), 8, "Fortran" },
        { HEADER ("'<f8'", "False", "(2,)"), 8, "needs 16 bytes of data, there are 8" },
        { HEADER ("'<f8'", "False", "(1,)"), 9, "there are 9" },
        { HEADER ("'<f8'", "False", "(2305843009213693952, 8)"), 8, "there are 8" },
        { HEADER ("'<f8'", "False", "(99999999999999999999,)"), 8, "not a dict" },
        { HEADER ("'<f8'", "False", "(-1,)"), 8, "not a dict" },
        { HEADER ("'<f8'", "False", "(1)"), 8, "not a dict" },
        { HEADER ("'<f8'", "False", "(1, 1, 1, 1, 1)"), 8, "4 dimensions" },
        { HEADER ("'<f8'", "None", "(1,)"), 8, "not a dict" },
        { "{'descr': '<f8', 'shape': (1,), }", 8, "not a dict" },
        { "{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", 8, "not a dict" },
        { "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), 'more': 1}", 8, "not a dict" },
        { "{'descr': '<f8', 'fortran_order': False, 'shape': (1,", 0, "not a dict" },
        { "{'descr': '<f8", 0, "not a dict" },
        { "", 0, "not a dict" },
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        struct bytes member = make_npy (cases[i].header, "\0\0\0\0\0\0\0\0\0", cases[i].data);
        struct strata_error error = { "" };
        void *data;
        size_t size;
        make_zip ("a.npy", &member, ZIP_CM_STORE, &data, &size);
        struct npz *z = npz_open_memory (data, size, &error);
        assert_non_null (z);
        assert_null (npz_get (z, "a", &error));
        if (!strstr (error.text, cases[i].says) || !strstr (error.text, "member 'a'"))
            fail_msg ("%s gives: %s", cases[i].header, error.text);
        npz_close (&z);
        free (data);
    }
}

static void a_member_whose_npy_header_is_cut_or_of_another_version_is_refused (void **state)
{
    struct bytes whole = make_npy ("{'descr': '<i4', 'fortran_order': False, 'shape': (1,), }", "abcd", 4);
    for (size_t n = 0; n <= whole.size; n++) {
        struct bytes member = whole;
        struct strata_error error = { "" };
        void *data;
        size_t size;
        member.size = n;
        if (n == whole.size)
            member.data[6] = 2; /* NPY 2.0 */
        make_zip ("a.npy", &member, ZIP_CM_STORE, &data, &size);
        struct npz *z = npz_open_memory (data, size, &error);
        assert_non_null (z);
        assert_null (npz_get (z, "a", &error));
        assert_true (strlen (error.text) > 0);
        npz_close (&z);
        free (data);
    }
}

/* Opens bytes and asks for all members; true when all can be read. */
static bool read_whole (const void *data, size_t size)
{
    static const char *const names[] = { "f4", "f8", "i4", "i8", "u2", "u4", "none", "words", "word", "nowords", "pi", "minus" };
    struct strata_error error = { "" };
    struct npz *z = npz_open_memory (data, size, &error);
    bool whole = z;
    char buf[32];
    for (size_t i = 0; z && i < sizeof (names) / sizeof (names[0]); i++) {
        const struct npy *a = npz_get (z, names[i], &error);
        whole &= a != NULL;
        for (size_t k = 0; a && a->kind == NPY_UNICODE && k < a->count; k++)
            npy_string (a, k, buf, sizeof (buf));
    }
    if (!whole)
        assert_true (strlen (error.text) > 0);
    npz_close (&z);
    return whole;
}

static void an_archive_cut_anywhere_is_refused (void **state)
{
    void *data;
    size_t size;
    finish (fill_writer (), &data, &size);
    assert_true (read_whole (data, size));
    for (size_t n = 0; n < size; n += n < size - 1500 ? 7 : 1) {
        unsigned char *cut = malloc (n + 1); /* its own allocation: reading past the end shows under a sanitizer */
        memcpy (cut, data, n);
        assert_false (read_whole (cut, n));
        free (cut);
    }
    free (data);
}

static void a_flipped_bit_never_ends_the_reader_and_never_changes_a_value (void **state)
{
    void *data;
    size_t size;
    finish (fill_writer (), &data, &size);
    unsigned char *bytes = data;
    struct strata_error error;
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= (unsigned char)(1 << i % 8);
        read_whole (bytes, size);
        struct npz *z = npz_open_memory (bytes, size, &error);
        const struct npy *a = z ? npz_get (z, "i8", &error) : NULL;
        if (a) { /* what is still read has passed its CRC */
            assert_int_equal (a->count, 3);
            assert_true (((const int64_t *)a->data)[0] == INT64_MIN);
        }
        npz_close (&z);
        bytes[i] ^= (unsigned char)(1 << i % 8);
    }
    free (data);
}

static void a_missing_member_or_one_of_another_shape_is_refused_with_what_is_there (void **state)
{
    static const struct {
        const char *name;
        enum npy_kind kind;
        int ndim;
        size_t shape[4];
        const char *says; /* NULL: fits */
    } cases[] = {
        { "f4", NPY_F4, 2, { 2, 3 }, NULL },
        { "f4", NPY_F4, 2, { SIZE_MAX, 3 }, NULL },
        { "u4", NPY_U4, 0, { 0 }, NULL },
        { "f4", NPY_F8, 2, { 2, 3 }, "is f4(2, 3), it has to be f8(2, 3)" },
        { "f4", NPY_F4, 2, { 3, SIZE_MAX }, "is f4(2, 3), it has to be f4(3, *)" },
        { "f4", NPY_F4, 1, { 6 }, "it has to be f4(6)" },
        { "mean", NPY_F4, 1, { 6 }, "no member 'mean'; there are: f4, f8, i4" },
    };
    void *data;
    size_t size;
    struct strata_error error;
    finish (fill_writer (), &data, &size);
    struct npz *z = npz_open_memory (data, size, &error);
    assert_true (npz_has (z, "f4"));
    assert_false (npz_has (z, "f"));
    assert_false (npz_has (z, "f4.npy"));
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        const struct npy *a = npz_get_shaped (z, cases[i].name, cases[i].kind, cases[i].ndim, cases[i].shape, &error);
        assert_int_equal (a != NULL, cases[i].says == NULL);
        if (!a && !strstr (error.text, cases[i].says))
            fail_msg ("%s", error.text);
    }
    npz_close (&z);
    free (data);
}

static void files_that_are_not_archives_are_refused_with_their_path (void **state)
{
    char dir[] = "/tmp/test_npz.XXXXXX", path[64];
    struct strata_error error;
    assert_non_null (mkdtemp (dir));
    snprintf (path, sizeof (path), "%s/a.npz", dir);
    assert_null (npz_open_file (path, &error));
    assert_non_null (strstr (error.text, path));
    assert_null (npz_open_file (dir, &error));
    assert_non_null (strstr (error.text, "regular file"));
    FILE *f = fopen (path, "w");
    fputs ("PK, but no archive", f);
    fclose (f);
    assert_null (npz_open_file (path, &error));
    assert_non_null (strstr (error.text, path));
    assert_non_null (strstr (error.text, "not a whole zip archive"));
    unlink (path);
    rmdir (dir);
}

/* ---- for tests/peers/numpy_reads_npz.sh ---- */

static int peer_write (const char *path)
{
    void *data;
    size_t size;
    finish (fill_writer (), &data, &size);
    FILE *f = fopen (path, "w");
    bool good = f && fwrite (data, 1, size, f) == size;
    good = f && fclose (f) == 0 && good;
    free (data);
    return good ? 0 : 1;
}

/* What numpy_reads_npz.py writes: f4[i] = i / 8 in shape (5, 4, 3), u2 = 7 * i, and two strings. */
static int peer_read (const char *path)
{
    struct strata_error error;
    char buf[32];
    struct npz *z = npz_open_file (path, &error);
    const struct npy *f4 = z ? npz_get_shaped (z, "f4", NPY_F4, 3, (size_t[]){ 5, 4, 3 }, &error) : NULL;
    const struct npy *u2 = f4 ? npz_get_shaped (z, "u2", NPY_U2, 1, (size_t[]){ 9000 }, &error) : NULL;
    const struct npy *text = u2 ? npz_get_shaped (z, "text", NPY_UNICODE, 1, (size_t[]){ 2 }, &error) : NULL;
    const struct npy *one = text ? npz_get_shaped (z, "one", NPY_UNICODE, 0, NULL, &error) : NULL;
    if (!one) {
        fprintf (stderr, "test_npz: %s\n", error.text);
        npz_close (&z);
        return 1;
    }
    bool good = true;
    for (size_t i = 0; i < f4->count; i++)
        good &= ((const float *)f4->data)[i] == (float)i / 8;
    for (size_t i = 0; i < u2->count; i++)
        good &= ((const uint16_t *)u2->data)[i] == (uint16_t)(7 * i);
    good &= npy_string (text, 1, buf, sizeof (buf)) == 0 && strcmp (buf, words[2]) == 0;
    good &= npy_string (one, 0, buf, sizeof (buf)) == 0 && strcmp (buf, "m\xc3\xbc") == 0;
    good &= npz_get (z, "objects", &error) == NULL && strstr (error.text, "pickled");
    npz_close (&z);
    if (!good)
        fprintf (stderr, "test_npz: %s: values differ from those that numpy wrote\n", path);
    return good ? 0 : 1;
}

static void an_archive_is_finished_once (void **state)
{
    struct npz_writer *w = fill_writer ();
    struct strata_error error;
    void *data;
    size_t size;
    assert_int_equal (npz_finish (w, &data, &size, &error), 0);
    free (data);
    assert_int_equal (npz_finish (w, &data, &size, &error), -1);
    assert_non_null (strstr (error.text, "finished before"));
    npz_writer_free (&w);
}

int main (int argc, char **argv)
{
    if (argc == 3 && strcmp (argv[1], "write") == 0)
        return peer_write (argv[2]);
    if (argc == 3 && strcmp (argv[1], "read") == 0)
        return peer_read (argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (an_archive_is_finished_once),
        cmocka_unit_test (every_kind_comes_back_as_it_was_written),
        cmocka_unit_test (equal_members_give_equal_bytes),
        cmocka_unit_test (a_failed_add_is_told_by_finish),
        cmocka_unit_test (headers_as_python_may_write_them_are_read),
        cmocka_unit_test (members_that_are_not_plain_arrays_are_refused_with_the_reason),
        cmocka_unit_test (a_member_whose_npy_header_is_cut_or_of_another_version_is_refused),
        cmocka_unit_test (an_archive_cut_anywhere_is_refused),
        cmocka_unit_test (a_flipped_bit_never_ends_the_reader_and_never_changes_a_value),
        cmocka_unit_test (a_missing_member_or_one_of_another_shape_is_refused_with_what_is_there),
        cmocka_unit_test (files_that_are_not_archives_are_refused_with_their_path),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
