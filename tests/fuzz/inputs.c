/* inputs.c - see fuzz.h */
#include "fuzz.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static char folder[PATH_MAX / 2];

void fuzz_broken (const char *file, int line, const char *what, const char *text)
{
    fprintf (stderr, "%s:%d: does not hold: %s%s%s\n", file, line, what, text ? ": " : "", text ? text : "");
    abort ();
}

void fuzz_require_sentence (int rc, const struct strata_error *error)
{
    if (rc >= 0)
        return;
    if (!memchr (error->text, '\0', sizeof (error->text)))
        fuzz_broken (__FILE__, __LINE__, "a sentence ends", NULL);
    fuzz_require_line (error->text);
}

void fuzz_require_line (const char *text)
{
    if (getenv ("FUZZ_SAY"))
        fprintf (stderr, "    %s\n", text);
    if (!text[0])
        fuzz_broken (__FILE__, __LINE__, "a failure has a sentence", NULL);
    if (strpbrk (text, "\r\n"))
        fuzz_broken (__FILE__, __LINE__, "a sentence is one line", text);
}

/* ---- files ---- */

static int remove_one (const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove (path);
}

void fuzz_remove (const char *path)
{
    nftw (path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void remove_folder (void)
{
    fuzz_remove (folder);
}

const char *fuzz_folder (void)
{
    const char *parent = getenv ("FUZZ_TMP");
    if (folder[0])
        return folder;
    if (!parent)
        parent = access ("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf (folder, sizeof (folder), "%.1000s/strata-fuzz-XXXXXX", parent);
    if (!mkdtemp (folder)) {
        perror (folder);
        exit (2);
    }
    atexit (remove_folder);
    return folder;
}

const char *fuzz_path (const char *name)
{
    static char path[PATH_MAX];
    const char *slash = strchr (name, '/');
    if (slash) {
        snprintf (path, sizeof (path), "%s/%.*s", fuzz_folder (), (int)(slash - name), name);
        mkdir (path, 0700);
    }
    snprintf (path, sizeof (path), "%s/%s", fuzz_folder (), name);
    return path;
}

const char *fuzz_file (const char *name, const void *data, size_t size)
{
    const char *path = fuzz_path (name);
    int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write (fd, data, size) != (ssize_t)size || close (fd) < 0) {
        perror (path);
        exit (2);
    }
    return path;
}

size_t fuzz_split (const uint8_t *data, size_t size, struct fuzz_part *parts, size_t most)
{
    static const char mark[] = "=====\n";
    size_t n = 0, width = sizeof (mark) - 1;
    memset (parts, 0, most * sizeof (*parts));
    for (size_t i = 0; i < most; i++)
        parts[i].data = (const uint8_t *)"";
    while (n < most) {
        const uint8_t *cut = n + 1 < most ? memmem (data, size, mark, width) : NULL;
        size_t length = cut ? (size_t)(cut - data) : size;
        parts[n++] = (struct fuzz_part){ data, length };
        if (!cut)
            break;
        size -= length + width;
        data = cut + width;
    }
    return n;
}

/* ---- zip ---- */

static uint32_t le (const uint8_t *p, int bytes)
{
    uint32_t v = 0;
    while (bytes-- > 0)
        v = v << 8 | p[bytes];
    return v;
}

static void put_le32 (uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++, v >>= 8)
        p[i] = (uint8_t)v;
}

uint8_t *fuzz_zip_mend (const uint8_t *data, size_t size)
{
    uint8_t *zip = malloc (size + 1);
    if (!zip)
        abort ();
    memcpy (zip, data, size);
    /* Every entry of a central directory: 46 bytes, method at 10, CRC at 16, size at 20, local header at 42. */
    for (size_t at = 0; size >= 46 && at <= size - 46; at++) {
        if (memcmp (zip + at, "PK\1\2", 4) != 0 || le (zip + at + 10, 2) != 0)
            continue;
        size_t local = le (zip + at + 42, 4), length = le (zip + at + 20, 4);
        if (local > size || size - local < 30 || memcmp (zip + local, "PK\3\4", 4) != 0)
            continue;
        size_t start = local + 30 + le (zip + local + 26, 2) + le (zip + local + 28, 2);
        if (start > size || length > size - start)
            continue;
        uint32_t crc = (uint32_t)crc32 (0, zip + start, (uInt)length);
        put_le32 (zip + at + 16, crc);
        put_le32 (zip + local + 14, crc);
    }
    return zip;
}
