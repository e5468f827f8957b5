/* bench_tar.c - an indexed archive beside bare write and pread of the same bytes: appended and synced, then read at random by
 * a reader that opens it anew and loads its index.
 *
 * Both write to new files in one folder, a member a call, and sync once at the end; both read from the page cache, in the same
 * order, into memory of their own, and each member's number is checked.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench.h"
#include "strata_tar.h"

enum { MEMBERS, SIZE, DIR_, FIRST, OPTIONS };
static struct bench_option options[OPTIONS] = {
    [MEMBERS] = { "members", "how many", "100000" },
    [SIZE] = { "size", "bytes of a member", "17408" },
    [DIR_] = { "dir", "folder for the files", "" },
    [FIRST] = { "first", "which is measured first: bare or tar", "bare" },
};
static uint64_t members, size;
static char bare_path[4096], tar_path[4096];
static uint8_t *record;

static double cpu_s (void)
{
    struct rusage u;
    getrusage (RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

struct span {
    int64_t began_ns;
    double began_cpu_s;
};

static struct span begin (void)
{
    return (struct span){ bench_now_ns (), cpu_s () };
}

/* MB/s of what was moved, and seconds of processor time for a gigabyte. */
static void end (const char *name, struct span span)
{
    char cpu[64];
    double seconds = (double)(bench_now_ns () - span.began_ns) * 1e-9, bytes = (double)members * (double)size;
    bench_figure (name, bytes / 1e6 / seconds, "MB/s");
    snprintf (cpu, sizeof (cpu), "%s_cpu", name);
    bench_figure (cpu, (cpu_s () - span.began_cpu_s) / (bytes / 1e9), "s/GB");
}

/* Every number below `members` once, in no order that helps anybody. */
static uint64_t shuffled (uint64_t i)
{
    uint64_t step = 7919;
    while (members % step == 0)
        step += 2;
    return i * step % members;
}

static void stamp (uint64_t number)
{
    memcpy (record, &number, sizeof (number));
}

static void check (const uint8_t *data, uint64_t number)
{
    if (memcmp (data, &number, sizeof (number)) != 0 || data[size - 1] != record[size - 1])
        bench_fail ("member %llu has other bytes", (unsigned long long)number);
}

static void write_bare (void)
{
    struct span span = begin ();
    int fd = open (bare_path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    for (uint64_t i = 0; i < members; i++) {
        stamp (i);
        if (write (fd, record, size) != (ssize_t)size)
            bench_fail ("%s: %s", bare_path, strerror (errno));
    }
    struct span sync = begin ();
    if (fdatasync (fd) < 0 || close (fd) < 0)
        bench_fail ("%s: %s", bare_path, strerror (errno));
    bench_figure ("write_bare_sync", (double)(bench_now_ns () - sync.began_ns) * 1e-9, "s");
    end ("write_bare", span);
}

static void write_tar (void)
{
    struct strata_error error;
    char name[32];
    struct span span = begin ();
    struct tar *tar = tar_open (tar_path, TAR_APPEND, NULL, &error);
    for (uint64_t i = 0; i < members; i++) {
        stamp (i);
        snprintf (name, sizeof (name), "frame-%08llu.npz", (unsigned long long)i);
        if (!tar || tar_append (tar, &(struct tar_item){ name, record, size }, 1, 1700000000, NULL, &error) < 0)
            bench_fail ("%s", error.text);
    }
    struct span sync = begin ();
    if (tar_sync (tar, &error) < 0 || tar_close (&tar, &error) < 0)
        bench_fail ("%s", error.text);
    bench_figure ("write_tar_sync", (double)(bench_now_ns () - sync.began_ns) * 1e-9, "s");
    end ("write_tar", span);
}

static void read_bare (void)
{
    uint8_t *data = malloc (size);
    struct span span = begin ();
    int fd = open (bare_path, O_RDONLY);
    for (uint64_t i = 0; i < members; i++) {
        uint64_t number = shuffled (i);
        if (pread (fd, data, size, (off_t)(number * size)) != (ssize_t)size)
            bench_fail ("%s: %s", bare_path, strerror (errno));
        check (data, number);
    }
    close (fd);
    end ("read_bare", span);
    free (data);
}

static void read_tar (void)
{
    struct strata_error error;
    struct tar_member member;
    char name[32];
    uint8_t *data = malloc (size);
    struct span span = begin ();
    struct tar *tar = tar_open (tar_path, TAR_READ, NULL, &error);
    for (uint64_t i = 0; i < members; i++) {
        uint64_t number = shuffled (i);
        snprintf (name, sizeof (name), "frame-%08llu.npz", (unsigned long long)number);
        if (!tar || tar_find (tar, name, &member, &error) < 0 || member.size != size
            || tar_read (tar, name, &member, 0, size, data, &error) < 0)
            bench_fail ("%s", error.text);
        check (data, number);
    }
    tar_close (&tar, NULL);
    end ("read_tar", span);
    free (data);
}

/* Opening, appending one and closing, in the large archive. */
static void open_append_close (void)
{
    struct strata_error error;
    enum { TIMES = 200 };
    static int64_t times[TIMES];
    for (unsigned i = 0; i < TIMES; i++) {
        int64_t began = bench_now_ns ();
        struct tar *tar = tar_open (tar_path, TAR_APPEND, NULL, &error);
        if (!tar || tar_append (tar, &(struct tar_item){ "one more", "x", 1 }, 1, 1700000000, NULL, &error) < 0
            || tar_close (&tar, &error) < 0)
            bench_fail ("%s", error.text);
        times[i] = bench_now_ns () - began;
    }
    bench_figure ("open_append_close", bench_median_us (times, TIMES), "us");
}

int main (int argc, char **argv)
{
    char folder[4000], command[4200];
    bench_arguments (argc, argv, "an indexed tar archive beside bare write and pread", options, OPTIONS);
    members = bench_number (&options[MEMBERS]);
    size = bench_number (&options[SIZE]);
    const char *parent = options[DIR_].text[0] ? options[DIR_].text : getenv ("TMPDIR");
    if (members < 2 || size < 16)
        bench_fail ("at least 2 members of 16 bytes");
    snprintf (folder, sizeof (folder), "%.3900s/strata-bench-XXXXXX", parent ? parent : "/tmp");
    if (!mkdtemp (folder))
        bench_fail ("%s: %s", folder, strerror (errno));
    snprintf (bare_path, sizeof (bare_path), "%s/bare", folder);
    snprintf (tar_path, sizeof (tar_path), "%s/a.tar", folder);
    record = malloc (size);
    bench_record (record, size, 1);
    bool tar_first = strcmp (options[FIRST].text, "tar") == 0;
    if (tar_first)
        write_tar ();
    write_bare ();
    if (!tar_first)
        write_tar ();
    if (tar_first)
        read_tar ();
    read_bare ();
    if (!tar_first)
        read_tar ();
    open_append_close ();
    free (record);
    snprintf (command, sizeof (command), "rm -rf '%s'", folder);
    return system (command) != 0;
}
