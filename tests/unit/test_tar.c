/* test_tar.c - indexed tar archives: names, sizes, torn tails, wrong indexes, readers beside the writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "data/tar_header.h"
#include "scratch.h"
#include "strata_tar.h"

static char dir[64], path[96], index_path[104];
static struct strata_error error;

static int setup (void **state)
{
    assert_true (scratch_new (dir, sizeof (dir)));
    snprintf (path, sizeof (path), "%s/a.tar", dir);
    snprintf (index_path, sizeof (index_path), "%s.pylst", path);
    return 0;
}

static int teardown (void **state)
{
    char command[128];
    snprintf (command, sizeof (command), "rm -rf '%s'", dir);
    return system (command);
}

static struct tar *must_open (enum tar_mode mode)
{
    uint64_t cut;
    struct tar *tar = tar_open (path, mode, &cut, &error);
    if (!tar)
        fail_msg ("%s", error.text);
    assert_int_equal (cut * (mode == TAR_APPEND), 0);
    return tar;
}

static void must (int rc)
{
    if (rc < 0)
        fail_msg ("%s", error.text);
}

static void append (struct tar *tar, const char *name, const void *data, size_t size)
{
    must (tar_append (tar, &(struct tar_item){ name, data, size }, 1, 1700000000, NULL, &error));
}

static void append_text (struct tar *tar, const char *name, const char *text)
{
    append (tar, name, text, strlen (text));
}

static void assert_member (struct tar *tar, const char *name, const void *data, size_t size)
{
    void *got;
    size_t got_size;
    if (tar_get (tar, name, &got, &got_size, &error) < 0)
        fail_msg ("%s", error.text);
    assert_int_equal (got_size, size);
    assert_memory_equal (got, data, size);
    free (got);
}

static void assert_text (struct tar *tar, const char *name, const char *text)
{
    assert_member (tar, name, text, strlen (text));
}

static void assert_missing (struct tar *tar, const char *name)
{
    struct tar_member member;
    assert_int_equal (tar_find (tar, name, &member, &error), -1);
    assert_int_equal (errno, ENOENT);
}

static uint64_t file_size (const char *file)
{
    struct stat st;
    assert_int_equal (stat (file, &st), 0);
    return (uint64_t)st.st_size;
}

static char *slurp (const char *file, size_t *size)
{
    *size = (size_t)file_size (file);
    char *data = malloc (*size + 1);
    FILE *in = fopen (file, "r");
    assert_true (in && fread (data, 1, *size, in) == *size);
    fclose (in);
    data[*size] = '\0';
    return data;
}

static void spill (const char *file, const void *data, size_t size)
{
    FILE *out = fopen (file, "w");
    assert_true (out && fwrite (data, 1, size, out) == size && fclose (out) == 0);
}

static void assert_clean (uint64_t members)
{
    struct tar_report report;
    must (tar_verify (path, &report, NULL, NULL, &error));
    assert_string_equal (report.first, "");
    assert_int_equal (report.members, members);
    assert_int_equal (report.damaged_bytes + report.tail_bytes + report.not_indexed + report.wrongly_indexed, 0);
}

static char *repeated (const char *text, size_t count)
{
    char *all = calloc (count, strlen (text) + 1);
    for (size_t i = 0; i < count; i++)
        strcat (all, text);
    return all;
}

/* ---- names and sizes ---- */

static void names_and_bytes_of_every_kind_come_back (void **state)
{
    char *hundred = repeated ("0123456789", 10), *split = repeated ("folder/of/ten/", 17), *flat = repeated ("x", 101),
         *longest = repeated ("abcdefg/", TAR_NAME_MAX / 8);
    longest[TAR_NAME_MAX - 1] = 'z';
    char deep[300];
    snprintf (deep, sizeof (deep), "%sname", split);
    const char *names[] = { "a",         "a,b",     "back\\slash",      "new\nline",      "\\\n,", "quote\"'",     "blank s",
                            "\xc3\xa4\xe2\x82\xac", "\xff\xfe",  hundred, flat, deep, longest, "./dot", "/absolute", "a/../b" };
    static const size_t sizes[] = { 0, 1, 511, 512, 513, 1024, 17000, 300000 };
    enum { NAMES = sizeof (names) / sizeof (names[0]), SIZES = sizeof (sizes) / sizeof (sizes[0]) };
    uint8_t *bytes = malloc (300100);
    for (size_t i = 0; i < 300100; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    for (int how = 0; how < 4; how++) { /* as written, read anew, from the headers, by an index made anew */
        struct tar *tar = must_open (how ? TAR_READ : TAR_APPEND);
        for (size_t i = 0; i < NAMES; i++) {
            size_t size = sizes[i % SIZES];
            if (how == 0)
                append (tar, names[i], bytes + i, size);
            assert_member (tar, names[i], bytes + i, size);
        }
        assert_int_equal (tar_count (tar), NAMES);
        assert_missing (tar, "b");
        must (tar_close (&tar, &error));
        if (how == 0) {
            size_t before_size, after_size;
            char *before = slurp (index_path, &before_size);
            struct tar_report report;
            assert_clean (NAMES);
            must (tar_reindex (path, &report, NULL, NULL, &error));
            char *after = slurp (index_path, &after_size);
            assert_int_equal (before_size, after_size);
            assert_memory_equal (before, after, after_size);
            free (before);
            free (after);
        } else if (how == 1)
            assert_int_equal (unlink (index_path), 0);
        else if (how == 2) {
            tar = must_open (TAR_APPEND); /* makes it anew */
            must (tar_close (&tar, &error));
            assert_clean (NAMES);
        }
    }
    free (bytes);
    free (hundred);
    free (split);
    free (flat);
    free (longest);
}

static void names_that_are_none_are_refused (void **state)
{
    char *too_long = repeated ("x", TAR_NAME_MAX + 1);
    const char *bad[] = { "", "folder/", too_long };
    struct tar *tar = must_open (TAR_APPEND);
    for (size_t i = 0; i < 3; i++) {
        struct tar_item items[2] = { { "good", "1", 1 }, { bad[i], "2", 1 } };
        assert_int_equal (tar_append (tar, items, 2, 0, NULL, &error), -1);
        assert_int_equal (errno, EINVAL);
        assert_missing (tar, "good");
    }
    must (tar_close (&tar, &error));
    tar = must_open (TAR_READ);
    assert_int_equal (tar_append (tar, &(struct tar_item){ "a", "1", 1 }, 1, 0, NULL, &error), -1);
    assert_non_null (strstr (error.text, "opened for reading"));
    must (tar_close (&tar, &error));
    free (too_long);
}

static void a_member_above_8_gib_is_passed_by_its_size (void **state)
{
    uint8_t header[TAR_HEADER_MAX];
    uint64_t size = 9ull << 30;
    struct tar_member member;
    char buffer[4];
    size_t n = tar_header_make (header, "huge", 4, size, 1);
    spill (path, header, n);
    assert_int_equal (truncate (path, (off_t)(n + size)), 0); /* a hole */
    struct tar *tar = must_open (TAR_APPEND);
    append_text (tar, "behind", "it");
    must (tar_find (tar, "huge", &member, &error));
    assert_int_equal (member.size, size);
    must (tar_read (tar, "huge", &member, size - 4, 4, buffer, &error));
    assert_memory_equal (buffer, "\0\0\0", 4);
    assert_int_equal (tar_read (tar, "huge", &member, size - 3, 4, buffer, &error), -1);
    assert_int_equal (errno, EINVAL);
    assert_text (tar, "behind", "it");
    must (tar_close (&tar, &error));
    assert_clean (2);
}

static void a_file_is_appended_whole (void **state)
{
    char source[96];
    size_t size = 3 << 20;
    uint8_t *bytes = malloc (size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 11);
    snprintf (source, sizeof (source), "%s/source", dir);
    spill (source, bytes, size - 5);
    int fd = open (source, O_RDONLY);
    struct tar *tar = must_open (TAR_APPEND);
    must (tar_append_file (tar, "file", fd, size - 5, 1, &error));
    assert_member (tar, "file", bytes, size - 5);
    assert_int_equal (tar_append_file (tar, "short", fd, 10, 1, &error), -1); /* it is at its end */
    assert_non_null (strstr (error.text, "ended before"));
    append_text (tar, "next", "x");
    must (tar_close (&tar, &error));
    close (fd);
    assert_clean (2);
    free (bytes);
}

/* ---- one writer, many readers ---- */

static void the_last_of_a_name_counts (void **state)
{
    struct tar *tar = must_open (TAR_APPEND);
    append_text (tar, "a", "first");
    append_text (tar, "b", "other");
    append_text (tar, "a", "second");
    assert_text (tar, "a", "second");
    must (tar_close (&tar, &error));
    for (int again = 0; again < 2; again++) {
        struct tar_report report;
        tar = must_open (TAR_READ);
        assert_text (tar, "a", "second");
        assert_text (tar, "b", "other");
        assert_int_equal (tar_count (tar), 2);
        must (tar_close (&tar, &error));
        assert_clean (3);
        must (tar_reindex (path, &report, NULL, NULL, &error));
    }
}

static void a_reader_sees_what_is_appended_beside_it (void **state)
{
    struct tar *writer = must_open (TAR_APPEND), *reader = must_open (TAR_READ);
    char name[16];
    assert_missing (reader, "a");
    for (unsigned i = 0; i < 300; i++) {
        snprintf (name, sizeof (name), "n%u", i);
        append_text (writer, name, name);
        append_text (writer, "same", name);
        if (i % 3)
            must (tar_sync (writer, &error));
        if (i % 3 == 2) {
            assert_text (reader, name, name);
            usleep (i % 30 == 2 ? 15000 : 0);
        }
        if (i % 30 == 2)
            assert_text (reader, "same", name);
    }
    struct tar *second = tar_open (path, TAR_APPEND, NULL, &error);
    assert_null (second);
    assert_int_equal (errno, EBUSY);
    assert_non_null (strstr (error.text, "another process appends"));
    must (tar_close (&writer, &error));
    usleep (15000);
    assert_text (reader, "same", "n299");
    must (tar_close (&reader, &error));
}

static int note (const char *name, const struct tar_member *member, void *arg)
{
    strcat (arg, name);
    strcat (arg, " ");
    return strcmp (name, "stop") == 0 ? 7 : 0;
}

static void names_are_listed_by_prefix (void **state)
{
    char text[100] = "";
    struct tar *tar = must_open (TAR_APPEND);
    append_text (tar, "b/1", "1");
    append_text (tar, "a", "2");
    append_text (tar, "b/2", "3");
    append_text (tar, "b/1", "4");
    assert_int_equal (tar_each (tar, "b/", note, text, &error), 0);
    assert_string_equal (text, "b/1 b/2 ");
    append_text (tar, "stop", "");
    append_text (tar, "z", "");
    text[0] = '\0';
    assert_int_equal (tar_each (tar, "", note, text, &error), 7);
    assert_string_equal (text, "b/1 a b/2 stop ");
    must (tar_close (&tar, &error));
}

/* ---- crashes ---- */

/* Three members; the last one has a long name, so that its header is of several blocks. */
static char *long_name;
static uint64_t make_three (uint64_t *second_end)
{
    long_name = long_name ? long_name : repeated ("long", 40);
    struct tar *tar = must_open (TAR_APPEND);
    append_text (tar, "one", "111");
    append_text (tar, "two", "2222");
    *second_end = tar_end (tar);
    append (tar, long_name, "333", 3);
    uint64_t end = tar_end (tar);
    must (tar_close (&tar, &error));
    return end;
}

static void a_torn_tail_is_cut_off_and_told (void **state)
{
    uint64_t second_end, end = make_three (&second_end), cut;
    size_t archive_size, index_size;
    char *archive = slurp (path, &archive_size), *index = slurp (index_path, &index_size);
    uint64_t data_end = end - 512 + 3;
    for (uint64_t size = 0; size <= archive_size; size += size + 20 < second_end ? 101 : 1) {
        for (int indexed = 0; indexed < 2; indexed++) {
            spill (path, archive, size);
            unlink (index_path);
            if (indexed)
                spill (index_path, index, index_size);
            struct tar *tar = tar_open (path, TAR_READ, NULL, &error); /* a reader is not disturbed, and changes nothing */
            assert_non_null (tar);
            if (size >= second_end)
                assert_text (tar, "two", "2222");
            must (tar_close (&tar, &error));
            assert_int_equal (file_size (path), size);
            tar = tar_open (path, TAR_APPEND, &cut, &error);
            if (!tar)
                fail_msg ("%llu bytes: %s", (unsigned long long)size, error.text);
            if (size >= second_end && size < data_end)
                assert_int_equal (cut, size - second_end);
            if (size >= second_end)
                assert_text (tar, "two", "2222");
            if (size >= data_end)
                assert_text (tar, long_name, "333");
            else
                assert_missing (tar, long_name);
            append_text (tar, "next", "4");
            must (tar_close (&tar, &error));
            struct tar_report report;
            must (tar_verify (path, &report, NULL, NULL, &error));
            assert_string_equal (report.first, "");
            assert_int_equal (file_size (path) % 512, 0);
        }
    }
    free (archive);
    free (index);
}

static void an_index_cut_anywhere_is_put_right (void **state)
{
    uint64_t second_end;
    make_three (&second_end);
    size_t index_size;
    char *index = slurp (index_path, &index_size);
    for (size_t size = 0; size <= index_size; size++) {
        spill (index_path, index, size);
        struct tar *tar = must_open (TAR_READ);
        assert_text (tar, "one", "111");
        assert_text (tar, long_name, "333");
        assert_int_equal (tar_count (tar), 3);
        must (tar_close (&tar, &error));
        tar = must_open (TAR_APPEND);
        must (tar_close (&tar, &error));
        assert_clean (3);
    }
    free (index);
}

/* Where index and headers disagree, the headers are right. */
static void a_wrong_index_is_not_believed (void **state)
{
    uint64_t second_end;
    make_three (&second_end);
    static const char *const wrong[] = {
        "one,512,3\ntwo,2048,4\n",                       /* offsets beside the headers */
        "one,512,4\ntwo,1536,3\n",                       /* sizes */
        "two,512,3\none,1536,4\n",                       /* names */
        "two,1536,4\none,512,3\n",                       /* order */
        "one,512,3\ntwo,1536,4\nthree,18446744073709551615,1\n",
        "one,512,3\ntwo,1536,4\nthree,9000,99999999\n",  /* beyond the end */
        "one,512,3\nno line\ntwo,1536,4\n",
        "one,512,3\na raw\nnewline,1024,4\n",
        "two,1536,4\n",                                  /* lacks the first */
        ",512,3\n", "\n\n", "one,,\n", "one,512,3,4\n",
    };
    for (size_t i = 0; i < sizeof (wrong) / sizeof (wrong[0]); i++)
        for (int mode = TAR_READ; mode <= TAR_APPEND; mode++) {
            spill (index_path, wrong[i], strlen (wrong[i]));
            struct tar *tar = must_open ((enum tar_mode)mode);
            assert_text (tar, "one", "111");
            assert_text (tar, "two", "2222");
            assert_text (tar, long_name, "333");
            must (tar_close (&tar, &error));
            if (mode == TAR_READ) {
                struct tar_report report;
                must (tar_verify (path, &report, NULL, NULL, &error));
                assert_true (report.not_indexed + report.wrongly_indexed > 0);
                assert_string_not_equal (report.first, "");
            }
        }
}

/* As pytaridx writes under Python 3.8 and later: a pax header of the time before each, which its index does not count. One
 * large member: by its index it would end before the file does. */
static void an_index_that_ignores_pax_headers_loses_nothing (void **state)
{
    for (unsigned members = 1; members <= 3; members++) {
        size_t size = 40000;
        uint8_t *all = calloc (members, size + 4096), *p = all, header[TAR_HEADER_MAX];
        char lines[200] = "", *line = lines;
        for (unsigned i = 0; i < members; i++) {
            char name[20], record[] = "28 mtime=1795678700.5477333\n";
            snprintf (name, sizeof (name), "key%u", i);
            line += sprintf (line, "%s,%zu,%zu\n", name, (size_t)(p - all) + 512, size);
            tar_header_make (header, "././@PaxHeader", 14, sizeof (record) - 1, 1);
            header[156] = 'x';
            memset (header + 148, ' ', 8);
            unsigned sum = 0;
            for (int b = 0; b < 512; b++)
                sum += header[b];
            sprintf ((char *)header + 148, "%06o", sum);
            memcpy (p, header, 512);
            memcpy (p + 512, record, sizeof (record));
            tar_header_make (p + 1024, name, 4, size, 1);
            memset (p + 1536, 'a' + (int)i, size);
            p += 1536 + tar_round (size);
        }
        for (int mode = TAR_READ; mode <= TAR_APPEND; mode++) {
            spill (path, all, (size_t)(p - all));
            spill (index_path, lines, strlen (lines));
            struct tar *tar = must_open ((enum tar_mode)mode);
            for (unsigned i = 0; i < members; i++) {
                char name[20];
                snprintf (name, sizeof (name), "key%u", i);
                assert_member (tar, name, all + i * (1536 + tar_round (size)) + 1536, size);
            }
            assert_int_equal (tar_count (tar), members);
            must (tar_close (&tar, &error));
            assert_int_equal (file_size (path), p - all);
        }
        free (all);
    }
}

/* A member torn by a crash, with others appended right behind what was left of it: pytaridx does that. */
static void members_behind_a_torn_one_are_found (void **state)
{
    static char data[7000];
    memset (data, 'd', sizeof (data));
    for (unsigned left = 100; left < 6900; left += left == 100 ? 412 : 768) { /* some of them whole blocks */
        uint8_t header[TAR_HEADER_MAX];
        struct tar *tar = must_open (TAR_APPEND);
        append_text (tar, "before", "1");
        must (tar_close (&tar, &error));
        FILE *f = fopen (path, "a");
        size_t n = tar_header_make (header, "torn", 4, sizeof (data), 1);
        assert_true (fwrite (header, 1, n, f) == n && fwrite (data, 1, left, f) == left);
        for (int i = 0; i < 3; i++) {
            char name[20];
            snprintf (name, sizeof (name), "after%d", i);
            n = tar_header_make (header, name, 6, 600, 1);
            assert_true (fwrite (header, 1, n, f) == n && fwrite (name, 1, 6, f) == 6 && fwrite (data, 1, 1018, f) == 1018);
        }
        fclose (f);
        tar = must_open (TAR_APPEND);
        assert_text (tar, "before", "1");
        for (int i = 0; i < 3; i++) {
            char name[20], expected[600];
            snprintf (name, sizeof (name), "after%d", i);
            memset (expected, 'd', sizeof (expected));
            memcpy (expected, name, 6);
            assert_member (tar, name, expected, sizeof (expected));
        }
        assert_missing (tar, "torn");
        append_text (tar, "more", "2");
        must (tar_close (&tar, &error));
        struct tar_report report;
        must (tar_verify (path, &report, NULL, NULL, &error));
        assert_int_equal (report.members, 5);
        assert_int_equal (report.damaged_bytes, 512 + left);
        assert_int_equal (report.wrongly_indexed + report.not_indexed, 0);
        unlink (path);
        unlink (index_path);
    }
}

static void members_of_a_stored_archive_are_not_taken_for_ours (void **state)
{
    uint64_t second_end;
    make_three (&second_end);
    size_t inner_size;
    char *inner = slurp (path, &inner_size);
    unlink (path);
    unlink (index_path);
    struct tar *tar = must_open (TAR_APPEND);
    append (tar, "inner.tar", inner, inner_size);
    uint64_t end = tar_end (tar);
    append (tar, "last.tar", inner, inner_size);
    must (tar_close (&tar, &error));
    /* The last one torn within the stored archive, within its second member; and garbage behind the first. */
    size_t size;
    char *all = slurp (path, &size);
    for (uint64_t at = end + 512 + 1024 + 7; at < end + 512 + second_end; at += 13)
        for (int garbage = 0; garbage < 2; garbage++) {
            memset (all + end, 'g', 512 * (size_t)garbage);
            spill (path, all, (size_t)at);
            unlink (index_path);
            tar = tar_open (path, TAR_READ, NULL, &error);
            assert_non_null (tar);
            assert_member (tar, "inner.tar", inner, inner_size);
            if (!garbage)
                assert_missing (tar, "one");
            must (tar_close (&tar, &error));
            if (!garbage)
                continue;
            spill (path, all, size); /* as it was, for the next */
            char *whole = slurp (path, &size);
            memcpy (all, whole, size);
            uint8_t header[TAR_HEADER_MAX] = { 0 };
            memcpy (all + end, header, tar_header_make (header, "last.tar", 8, inner_size, 1700000000));
            free (whole);
        }
    free (all);
    free (inner);
}

static void what_is_no_archive_is_left_alone (void **state)
{
    char *text = repeated ("this is somebody's diary\n", 100);
    spill (path, text, strlen (text));
    assert_null (tar_open (path, TAR_APPEND, NULL, &error));
    assert_int_equal (errno, EBADMSG);
    assert_non_null (strstr (error.text, "is no tar archive"));
    struct tar_report report;
    assert_int_equal (tar_reindex (path, &report, NULL, NULL, &error), -1);
    assert_int_equal (tar_verify (path, &report, NULL, NULL, &error), -1);
    size_t size;
    char *after = slurp (path, &size);
    assert_string_equal (after, text);
    free (after);
    free (text);
}

static void a_full_disk_leaves_the_archive_as_it_was (void **state)
{
    struct rlimit old, small;
    static char big[9000];
    struct tar_item items[2] = { { "small", "1", 1 }, { "big", big, sizeof (big) } };
    struct tar *tar = must_open (TAR_APPEND);
    append_text (tar, "before", "b");
    signal (SIGXFSZ, SIG_IGN);
    assert_int_equal (getrlimit (RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 5000;
    assert_int_equal (setrlimit (RLIMIT_FSIZE, &small), 0);
    int rc = tar_append (tar, items, 2, 0, NULL, &error), why = errno;
    assert_int_equal (setrlimit (RLIMIT_FSIZE, &old), 0);
    assert_int_equal (rc, -1);
    assert_int_equal (why, EFBIG);
    assert_int_equal (file_size (path), tar_end (tar));
    assert_missing (tar, "small");
    must (tar_append (tar, items, 2, 0, NULL, &error));
    must (tar_close (&tar, &error));
    assert_clean (3);
}

static void what_was_appended_can_be_taken_back (void **state)
{
    char name[16];
    struct tar *tar = must_open (TAR_APPEND);
    for (unsigned i = 0; i < 5000; i++) {
        snprintf (name, sizeof (name), "n%u", i);
        append_text (tar, name, name);
    }
    uint64_t ends[] = { 5000 * 1024, 4999 * 1024, 4000 * 1024, 1024, 0 };
    for (size_t i = 0; i < 5; i++) {
        must (tar_cut (tar, ends[i], &error));
        assert_int_equal (file_size (path), ends[i]);
        must (tar_sync (tar, &error));
        assert_clean (ends[i] / 1024);
        append_text (tar, "again", "x");
        assert_text (tar, "again", "x");
        must (tar_cut (tar, ends[i], &error));
    }
    assert_int_equal (tar_cut (tar, 512, &error), -1);
    must (tar_close (&tar, &error));
}

static void many_members_are_found_after_opening (void **state)
{
    enum { MANY = 200000 };
    struct tar_item items[1000];
    char names[1000][24];
    struct tar *tar = must_open (TAR_APPEND);
    for (unsigned i = 0; i < MANY; i += 1000) {
        for (unsigned k = 0; k < 1000; k++) {
            snprintf (names[k], sizeof (names[k]), "frame-%u", (i + k) * 7919u % MANY);
            items[k] = (struct tar_item){ names[k], "", 0 };
        }
        must (tar_append (tar, items, 1000, 1, NULL, &error));
    }
    must (tar_close (&tar, &error));
    tar = must_open (TAR_READ);
    for (unsigned i = 0; i < MANY; i++) {
        struct tar_member member;
        snprintf (names[0], sizeof (names[0]), "frame-%u", i);
        must (tar_find (tar, names[0], &member, &error));
        assert_int_equal (member.offset % 512, 0);
    }
    assert_int_equal (tar_count (tar), MANY);
    must (tar_close (&tar, &error));
    assert_clean (MANY);
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, setup, teardown)

int main (void)
{
    const struct CMUnitTest tests[] = {
        TEST (names_and_bytes_of_every_kind_come_back),
        TEST (names_that_are_none_are_refused),
        TEST (a_member_above_8_gib_is_passed_by_its_size),
        TEST (a_file_is_appended_whole),
        TEST (the_last_of_a_name_counts),
        TEST (a_reader_sees_what_is_appended_beside_it),
        TEST (names_are_listed_by_prefix),
        TEST (a_torn_tail_is_cut_off_and_told),
        TEST (an_index_cut_anywhere_is_put_right),
        TEST (a_wrong_index_is_not_believed),
        TEST (an_index_that_ignores_pax_headers_loses_nothing),
        TEST (members_behind_a_torn_one_are_found),
        TEST (members_of_a_stored_archive_are_not_taken_for_ours),
        TEST (what_is_no_archive_is_left_alone),
        TEST (a_full_disk_leaves_the_archive_as_it_was),
        TEST (what_was_appended_can_be_taken_back),
        TEST (many_members_are_found_after_opening),
    };
    int rc = cmocka_run_group_tests (tests, NULL, NULL);
    free (long_name);
    return rc;
}
