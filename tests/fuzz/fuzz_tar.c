/* fuzz_tar.c - an archive and its index ("=====" between them): read, verified, appended to, and its index made anew. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "strata_tar.h"

static int read_member (const char *name, const struct tar_member *member, void *arg)
{
    struct strata_error error = { "" };
    void *data;
    size_t size;
    FUZZ_REQUIRE (name[0]);
    int rc = tar_get (arg, name, &data, &size, &error);
    fuzz_require_sentence (rc, &error);
    if (rc == 0) {
        unsigned sum = 0;
        for (size_t i = 0; i < size; i++)
            sum += ((unsigned char *)data)[i];
        ((volatile unsigned char *)data)[0] = (unsigned char)sum;
    }
    free (data);
    return 0;
}

/* Every name, by a list that is taken first: reading may go through the archive anew. */
struct names {
    char *of[64];
    size_t count;
};

static int take_name (const char *name, const struct tar_member *member, void *arg)
{
    struct names *names = arg;
    if (names->count == 64)
        return 1;
    names->of[names->count++] = strdup (name);
    return 0;
}

static void read_all (const char *path)
{
    struct strata_error error = { "" };
    struct names names = { .count = 0 };
    struct tar *tar = tar_open (path, TAR_READ, NULL, &error);
    fuzz_require_sentence (tar ? 0 : -1, &error);
    if (!tar)
        return;
    int rc = tar_each (tar, "", take_name, &names, &error);
    if (rc < 0)
        fuzz_require_sentence (rc, &error);
    for (size_t i = 0; i < names.count; i++) {
        read_member (names.of[i], NULL, tar);
        free (names.of[i]);
    }
    FUZZ_REQUIRE (tar_close (&tar, &error) == 0);
}

/* What is appended now is there afterwards, whatever stood there before. */
static void assert_appended (const char *path)
{
    struct strata_error error = { "" };
    void *data;
    size_t size;
    struct tar *tar = tar_open (path, TAR_READ, NULL, &error);
    FUZZ_REQUIRE (tar);
    FUZZ_REQUIRE (tar_get (tar, "appended", &data, &size, &error) == 0 && size == 5 && memcmp (data, "bytes", 5) == 0);
    free (data);
    tar_close (&tar, NULL);
}

/* Headers' checksums made right, so that changed bytes get past them. */
static uint8_t *mend (const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc (size + 1);
    memcpy (copy, data, size);
    for (size_t at = 0; at + 512 <= size; at += 512) {
        unsigned sum = 8 * ' ';
        if (memcmp (copy + at + 257, "ustar", 5) != 0)
            continue;
        for (size_t i = 0; i < 512; i++)
            sum += i >= 148 && i < 156 ? 0 : copy[at + i];
        snprintf ((char *)copy + at + 148, 8, "%06o", sum);
    }
    return copy;
}

static void try_archive (const uint8_t *archive, size_t archive_size, const struct fuzz_part *lines)
{
    struct strata_error error = { "" };
    struct tar_report report;
    char path[200], index[210];
    struct stat st;
    snprintf (index, sizeof (index), "%s", fuzz_file ("a.tar.pylst", lines->data, lines->size));
    snprintf (path, sizeof (path), "%s", fuzz_file ("a.tar", archive, archive_size));
    if (lines->size == 0)
        unlink (index);
    read_all (path);
    FUZZ_REQUIRE (stat (path, &st) == 0 && (size_t)st.st_size == archive_size); /* reading changes nothing */
    int rc = tar_verify (path, &report, NULL, NULL, &error);
    fuzz_require_sentence (rc, &error);
    struct tar *tar = tar_open (path, TAR_APPEND, NULL, &error);
    fuzz_require_sentence (tar ? 0 : -1, &error);
    if (!tar) { /* it is no archive, and left alone */
        FUZZ_REQUIRE (rc < 0 && stat (path, &st) == 0 && (size_t)st.st_size == archive_size);
        return;
    }
    bool sound = rc == 0 && report.wrongly_indexed == 0;
    FUZZ_REQUIRE (tar_append (tar, &(struct tar_item){ "appended", "bytes", 5 }, 1, 0, NULL, &error) == 0);
    FUZZ_REQUIRE (tar_close (&tar, &error) == 0);
    if (sound) /* an index that points into a member's data may lead the next one there */
        assert_appended (path);
    read_all (path);
    if (tar_reindex (path, &report, NULL, NULL, &error) < 0)
        return;
    FUZZ_REQUIRE (tar_verify (path, &report, NULL, NULL, &error) == 0);
    FUZZ_REQUIRE (report.not_indexed == 0 && report.wrongly_indexed == 0 && report.tail_bytes == 0);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct fuzz_part parts[2];
    fuzz_split (data, size, parts, 2);
    uint8_t *mended = mend (parts[0].data, parts[0].size);
    try_archive (parts[0].data, parts[0].size, &parts[1]);
    if (memcmp (mended, parts[0].data, parts[0].size) != 0)
        try_archive (mended, parts[0].size, &parts[1]);
    free (mended);
    return 0;
}
