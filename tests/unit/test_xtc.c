/* test_xtc.c - the XTC reader against files that gmx wrote (tests/data/water-*.xtc: a few SPC molecules, written by
 * mdrun), whole, cut at every byte, growing, and with wrong bits. That every number of larger files is right is the
 * business of tests/peers/xtc_agrees_with_gmx_dump.sh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "strata_xtc.h"

#define PLAIN "tests/data/water-3.xtc"
#define SMALL "tests/data/water-12.xtc"
#define LARGE "tests/data/water-639.xtc"

static char folder[] = "/tmp/strata-test-xtc-XXXXXX";
static char scratch[64];

static int make_folder (void **state)
{
    if (!mkdtemp (folder))
        return -1;
    snprintf (scratch, sizeof (scratch), "%s/grow.xtc", folder);
    return 0;
}

static int remove_folder (void **state)
{
    unlink (scratch);
    return rmdir (folder);
}

static unsigned char *read_all (const char *path, size_t *size)
{
    FILE *f = fopen (path, "rb");
    assert_non_null (f);
    fseek (f, 0, SEEK_END);
    *size = (size_t)ftell (f);
    rewind (f);
    unsigned char *bytes = malloc (*size);
    assert_non_null (bytes);
    assert_int_equal (fread (bytes, 1, *size, f), *size);
    fclose (f);
    return bytes;
}

static void write_all (const void *bytes, size_t size)
{
    FILE *f = fopen (scratch, "wb");
    assert_non_null (f);
    assert_int_equal (fwrite (bytes, 1, size, f), size);
    fclose (f);
}

/* All coordinates of all frames, one after the other. */
static float *read_frames (const char *path, size_t *frames, int32_t *natoms)
{
    struct strata_error error;
    struct xtc *xtc = xtc_open (path, 0, &error);
    assert_non_null (xtc);
    struct xtc_frame frame;
    float *all = NULL;
    int rc;
    *frames = 0;
    *natoms = 0;
    while ((rc = xtc_next (xtc, &frame, &error)) == 1) {
        size_t one = (size_t)frame.natoms * 3;
        float *grown = realloc (all, (*frames + 1) * one * sizeof (float));
        assert_non_null (grown);
        all = grown;
        memcpy (all + *frames * one, frame.x, one * sizeof (float));
        (*frames)++;
        *natoms = frame.natoms;
    }
    assert_int_equal (rc, 0);
    xtc_close (&xtc);
    return all;
}

/* What `gmx dump` printed. */
static const struct {
    const char *path;
    int natoms, frames, frame, step;
    const char *time, *box, *precision;
    int atom;
    const char *x[3];
} dumped[] = {
    { PLAIN, 3, 11, 10, 50, "2.5000000e-02", "3.00000e+00", "-1", 2, { "2.17144e-01", "6.55412e-01", "1.87461e-02" } },
    { SMALL, 12, 11, 1, 5, "2.4999999e-03", "3.00000e+00", "1000", 0, { "2.32000e-01", "6.27000e-01", "1.13000e-01" } },
    { SMALL, 12, 11, 1, 5, "2.4999999e-03", "3.00000e+00", "1000", 7, { "2.93000e+00", "3.87000e-01", "7.03000e-01" } },
    { SMALL,
      12,
      11,
      10,
      50,
      "2.5000000e-02",
      "3.00000e+00",
      "1000",
      11,
      { "6.11000e-01", "1.36700e+00", "1.20200e+00" } },
    { LARGE, 639, 3, 0, 0, "0.0000000e+00", "1.90000e+00", "1000", 0, { "2.30000e-01", "6.28000e-01", "1.13000e-01" } },
    { LARGE,
      639,
      3,
      2,
      10,
      "4.9999999e-03",
      "1.90000e+00",
      "1000",
      2,
      { "2.29000e-01", "5.90000e-01", "1.80000e-02" } },
    { LARGE,
      639,
      3,
      2,
      10,
      "4.9999999e-03",
      "1.90000e+00",
      "1000",
      293,
      { "1.54800e+00", "1.10500e+00", "1.02800e+00" } },
    { LARGE,
      639,
      3,
      2,
      10,
      "4.9999999e-03",
      "1.90000e+00",
      "1000",
      638,
      { "8.40000e-01", "1.72400e+00", "3.98000e-01" } },
};

static void assert_prints (const char *fmt, float value, const char *expected)
{
    char text[64];
    snprintf (text, sizeof (text), fmt, (double)value);
    assert_string_equal (text, expected);
}

static void frames_hold_the_numbers_that_gmx_dump_prints (void **state)
{
    for (size_t i = 0; i < sizeof (dumped) / sizeof (dumped[0]); i++) {
        struct strata_error error;
        struct xtc *xtc = xtc_open (dumped[i].path, dumped[i].natoms, &error);
        assert_non_null (xtc);
        struct xtc_frame frame;
        int n = 0;
        while (xtc_next (xtc, &frame, &error) == 1) {
            assert_int_equal (frame.natoms, dumped[i].natoms);
            if (n++ != dumped[i].frame)
                continue;
            assert_int_equal (frame.step, dumped[i].step);
            assert_prints ("%.7e", frame.time_ps, dumped[i].time);
            assert_prints ("%g", frame.precision, dumped[i].precision);
            for (int k = 0; k < 3; k++) {
                assert_prints ("%.5e", frame.box[k][k], dumped[i].box);
                assert_prints ("%.5e", frame.x[3 * dumped[i].atom + k], dumped[i].x[k]);
            }
        }
        assert_int_equal (n, dumped[i].frames);
        xtc_close (&xtc);
        assert_null (xtc);
    }
}

static void a_file_cut_at_any_byte_gives_its_whole_frames_and_then_not_yet (void **state)
{
    const char *const paths[] = { PLAIN, SMALL, LARGE };
    for (size_t p = 0; p < 3; p++) {
        size_t size, frames, used, at = 0;
        int32_t natoms;
        unsigned char *bytes = read_all (paths[p], &size);
        float *expected = read_frames (paths[p], &frames, &natoms);
        struct strata_error error;
        struct xtc *probe = xtc_open (paths[p], 0, &error);
        assert_non_null (probe);
        size_t end[16] = { 0 }, n = 0; /* end[i]: where frame i - 1 ends */
        struct xtc_frame frame;
        while (n < 15 && xtc_decode (probe, bytes + at, size - at, &used, &frame, &error) == 1)
            end[++n] = at += used;
        assert_int_equal (n, frames);
        assert_int_equal (at, size);
        size_t whole = 0;
        for (size_t cut = 0; cut <= size; cut++) {
            if (whole < frames && cut == end[whole + 1])
                whole++;
            /* A block of memory of just this size: a read beyond its end is seen by the sanitizer. */
            size_t from = end[whole];
            unsigned char *tail = malloc (cut > from ? cut - from : 1);
            memcpy (tail, bytes + from, cut - from);
            assert_int_equal (xtc_decode (probe, tail, cut - from, &used, &frame, &error), 0);
            assert_int_equal (used, 0);
            free (tail);
            if (cut % 97 == 0 || cut == size) {
                write_all (bytes, cut);
                float *got = read_frames (scratch, &n, &natoms);
                assert_int_equal (n, whole);
                if (n)
                    assert_memory_equal (got, expected, n * (size_t)natoms * 12);
                free (got);
            }
        }
        xtc_close (&probe);
        free (bytes);
        free (expected);
    }
}

static void a_growing_file_gives_the_frames_of_the_whole_one (void **state)
{
    static const size_t pieces[] = { 1, 3, 57, 91, 93, 500, 4096 };
    size_t size, frames;
    int32_t natoms;
    unsigned char *bytes = read_all (LARGE, &size);
    float *expected = read_frames (LARGE, &frames, &natoms);
    for (size_t p = 0; p < sizeof (pieces) / sizeof (pieces[0]); p++) {
        struct strata_error error;
        write_all ("", 0);
        int fd = open (scratch, O_WRONLY | O_APPEND);
        struct xtc *xtc = xtc_open (scratch, 0, &error);
        assert_non_null (xtc);
        size_t n = 0;
        for (size_t at = 0; at < size; at += pieces[p]) {
            size_t now = size - at < pieces[p] ? size - at : pieces[p];
            assert_int_equal (write (fd, bytes + at, now), now);
            struct xtc_frame frame;
            int rc;
            while ((rc = xtc_next (xtc, &frame, &error)) == 1)
                assert_memory_equal (frame.x, expected + n++ * (size_t)natoms * 3, (size_t)natoms * 12);
            assert_int_equal (rc, 0);
        }
        assert_int_equal (n, frames);
        xtc_close (&xtc);
        close (fd);
    }
    free (bytes);
    free (expected);
}

static void wrong_bits_are_told_or_decoded_but_never_harm (void **state)
{
    const char *const paths[] = { PLAIN, SMALL, LARGE };
    for (size_t p = 0; p < 3; p++) {
        size_t size;
        unsigned char *bytes = read_all (paths[p], &size);
        size_t limit = size < 2500 ? size : 2500;
        size_t refused = 0;
        struct strata_error error;
        for (size_t bit = 0; bit < limit * 8; bit++) {
            struct xtc *xtc = xtc_open (paths[p], 0, &error);
            assert_non_null (xtc);
            struct xtc_frame frame;
            size_t used;
            bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
            int rc = xtc_decode (xtc, bytes, limit, &used, &frame, &error);
            assert_true (rc >= -1 && rc <= 1);
            assert_true (used <= limit);
            if (rc < 0) {
                assert_non_null (strstr (error.text, paths[p]));
                refused++;
            }
            bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
            xtc_close (&xtc);
        }
        assert_true (refused > 32);
        free (bytes);
    }
}

static void put32 (unsigned char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (unsigned char)(v >> (24 - 8 * i));
}

static void impossible_fields_are_refused_with_their_reason (void **state)
{
    static const struct {
        size_t at;
        uint32_t value;
        const char *says;
    } cases[] = {
        { 0, 1994, "1995" },
        { 0, 2023, "298 million" },
        { 4, 0, "number of atoms" },
        { 4, 0xffffffff, "number of atoms" },
        { 4, 0x7fffffff, "number of atoms" },
        { 4, 640, "640 atoms where 639" },
        { 12, 0x7fc00000, "finite" },
        { 16, 0x7f800000, "finite" },
        { 52, 638, "differ" },
        { 56, 0, "precision" },
        { 56, 0x7fc00000, "precision" },
        { 56, 0xc47a0000, "precision" },
        { 60, 0x7fffffff, "below the smallest" },
        { 60, 0x80000000, "do not fit" },
        { 84, 8, "small range" },
        { 84, 73, "small range" },
        { 84, 0xffffffff, "small range" },
        { 88, 0, "byte count" },
        { 88, 0xffffffff, "byte count" },
        { 88, 0x7fffffff, "byte count" },
        { 88, 100, "do not fit" },
    };
    size_t size;
    unsigned char *bytes = read_all (LARGE, &size);
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        struct strata_error error = { "" };
        unsigned char saved[4];
        memcpy (saved, bytes + cases[i].at, 4);
        put32 (bytes + cases[i].at, cases[i].value);
        write_all (bytes, size);
        struct xtc *xtc = xtc_open (scratch, 639, &error);
        assert_non_null (xtc);
        struct xtc_frame frame;
        assert_int_equal (xtc_next (xtc, &frame, &error), -1);
        if (!strstr (error.text, cases[i].says))
            fail_msg ("'%s' does not say '%s'", error.text, cases[i].says);
        assert_non_null (strstr (error.text, scratch));
        xtc_close (&xtc);
        memcpy (bytes + cases[i].at, saved, 4);
    }
    free (bytes);
}

static void seek_goes_on_where_a_frame_began (void **state)
{
    struct strata_error error;
    struct xtc *xtc = xtc_open (SMALL, 12, &error);
    struct xtc_frame frame;
    uint64_t offset = 0;
    for (int i = 0; i < 4; i++) {
        assert_int_equal (xtc_next (xtc, &frame, &error), 1);
        offset = frame.offset;
    }
    float x = frame.x[5];
    assert_int_equal (frame.step, 15);
    assert_int_equal (xtc_seek (xtc, 0, &error), 0);
    assert_int_equal (xtc_next (xtc, &frame, &error), 1);
    assert_int_equal (frame.step, 0);
    assert_int_equal (xtc_seek (xtc, offset, &error), 0);
    assert_int_equal (xtc_next (xtc, &frame, &error), 1);
    assert_int_equal (frame.step, 15);
    assert_true (frame.x[5] == x);
    assert_int_equal (xtc_seek (xtc, 1581, &error), -1);
    assert_int_equal (xtc_seek (xtc, offset + 1, &error), 0);
    assert_int_equal (xtc_next (xtc, &frame, &error), -1);
    xtc_close (&xtc);
}

static void a_file_that_was_cut_below_what_was_read_says_so (void **state)
{
    size_t size;
    unsigned char *bytes = read_all (SMALL, &size);
    struct strata_error error;
    struct xtc_frame frame;
    write_all (bytes, size);
    struct xtc *xtc = xtc_open (scratch, 0, &error);
    while (xtc_next (xtc, &frame, &error) == 1)
        ;
    assert_int_equal (truncate (scratch, 700), 0);
    assert_int_equal (xtc_next (xtc, &frame, &error), -1);
    assert_int_equal (errno, ESTALE);
    assert_non_null (strstr (error.text, "cut to 700 bytes"));
    xtc_close (&xtc);
    free (bytes);
}

static void a_missing_file_is_an_error (void **state)
{
    struct strata_error error;
    assert_null (xtc_open ("/nonexistent/traj.xtc", 0, &error));
    assert_int_equal (errno, ENOENT);
    assert_non_null (strstr (error.text, "/nonexistent/traj.xtc"));
    assert_null (xtc_open (SMALL, -1, &error));
    struct xtc *none = NULL;
    xtc_close (&none);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (frames_hold_the_numbers_that_gmx_dump_prints),
        cmocka_unit_test (a_file_cut_at_any_byte_gives_its_whole_frames_and_then_not_yet),
        cmocka_unit_test (a_growing_file_gives_the_frames_of_the_whole_one),
        cmocka_unit_test (wrong_bits_are_told_or_decoded_but_never_harm),
        cmocka_unit_test (impossible_fields_are_refused_with_their_reason),
        cmocka_unit_test (seek_goes_on_where_a_frame_began),
        cmocka_unit_test (a_file_that_was_cut_below_what_was_read_says_so),
        cmocka_unit_test (a_missing_file_is_an_error),
    };
    return cmocka_run_group_tests (tests, make_folder, remove_folder);
}
