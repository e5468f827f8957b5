/* test_cache.c - the node's cache of objects (services/stage/cache.h): its bound, its order, pins, versions, what a crash leaves. */
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
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../services/stage/cache.h"
#include "../../services/stage/holders.h"
#include "core/crc32c.h"
#include "scratch.h"

#define KEPT 7000              /* bytes of an object of these tests: two pages with what stands behind them */
#define ROOM 8192
#define LIMIT (4 * ROOM)       /* four of them */

static char folder[64];
static struct strata_error error;

static int setup (void **state)
{
    return scratch_new (folder, sizeof (folder)) ? 0 : -1;
}

static int teardown (void **state)
{
    char command[128];
    snprintf (command, sizeof (command), "rm -rf '%s'", folder);
    return system (command);
}

static struct cache *must_open (void)
{
    struct cache *cache = cache_open (folder, "/some/workspace", "stage-0", LIMIT, &error);
    if (!cache)
        fail_msg ("%s", error.text);
    return cache;
}

/* Bytes that tell key and generation. */
static void bytes_of (const char *key, uint64_t generation, uint8_t bytes[KEPT])
{
    for (size_t i = 0; i < KEPT; i++)
        bytes[i] = (uint8_t)(key[i % strlen (key)] + 31 * generation + i / 251);
}

static Strata__ObjectInfo version_of (const char *key, uint64_t generation)
{
    Strata__ObjectInfo version = STRATA__OBJECT_INFO__INIT;
    uint8_t bytes[KEPT];
    bytes_of (key, generation, bytes);
    version.size = KEPT;
    version.generation = generation;
    version.mtime_us = 1000 + (int64_t)generation;
    version.crc32c = crc32c (0, bytes, KEPT);
    return version;
}

static int try_add (struct cache *cache, const char *key, uint64_t generation)
{
    Strata__ObjectInfo version = version_of (key, generation);
    uint8_t bytes[KEPT];
    bytes_of (key, generation, bytes);
    struct cache_file *file = cache_begin (cache, "ns", key, &version, &error);
    if (!file)
        return -1;
    /* In parts, the last one first, as they may come. */
    assert_int_equal (cache_write (file, 4000, bytes + 4000, KEPT - 4000, &error), 0);
    assert_int_equal (cache_write (file, 0, bytes, 4000, &error), 0);
    assert_int_equal (cache_end (&file, &error), 0);
    return 0;
}

static void add (struct cache *cache, const char *key, uint64_t generation)
{
    if (try_add (cache, key, generation) < 0)
        fail_msg ("%s", error.text);
}

static const char *path_of (struct cache *cache, const char *key, uint64_t generation)
{
    Strata__ObjectInfo version = version_of (key, generation);
    return cache_find (cache, "ns", key, &version);
}

/* As a reader does: the file, with its bytes checked, pinned until it is closed. */
static int pin (struct cache *cache, const char *key, uint64_t generation)
{
    uint8_t bytes[KEPT], found[KEPT];
    const char *path = path_of (cache, key, generation);
    assert_non_null (path);
    int fd = open (path, O_RDONLY);
    assert_true (fd >= 0);
    assert_int_equal (flock (fd, LOCK_SH), 0);
    bytes_of (key, generation, bytes);
    assert_int_equal (pread (fd, found, KEPT, 0), KEPT);
    assert_memory_equal (found, bytes, KEPT);
    return fd;
}

static struct cache_figures figures_of (struct cache *cache)
{
    struct cache_figures figures;
    cache_figures (cache, 0, &figures);
    return figures;
}

static int files_in_cache (void)
{
    char command[160];
    int count = -1;
    snprintf (command, sizeof (command), "find '%s' -type f | wc -l", folder);
    FILE *f = popen (command, "r");
    assert_non_null (f);
    assert_int_equal (fscanf (f, "%d", &count), 1);
    pclose (f);
    return count;
}

static void the_longest_unused_goes_first (void **state)
{
    struct cache *cache = must_open ();
    add (cache, "a", 1);
    add (cache, "b", 1);
    add (cache, "c", 1);
    add (cache, "d", 1);
    assert_int_equal (figures_of (cache).bytes, LIMIT);
    assert_non_null (path_of (cache, "a", 1)); /* used: now b is the oldest */
    add (cache, "e", 1);
    assert_null (path_of (cache, "b", 1));
    assert_non_null (path_of (cache, "a", 1));
    assert_non_null (path_of (cache, "c", 1));
    assert_int_equal (figures_of (cache).evicted, 1);
    assert_int_equal (figures_of (cache).bytes, LIMIT);
    assert_int_equal (files_in_cache (), 4);
    cache_close (&cache, true);
    assert_int_equal (files_in_cache (), 0);
}

static void what_a_reader_maps_stays_until_he_lets_go_or_dies (void **state)
{
    struct cache *cache = must_open ();
    const char *keys[] = { "a", "b", "c", "d" };
    int fds[4], ready[2];
    for (int i = 0; i < 4; i++)
        add (cache, keys[i], 1);
    for (int i = 1; i < 4; i++)
        fds[i] = pin (cache, keys[i], 1);
    /* The first one is pinned by a process of its own. */
    const char *path = path_of (cache, "a", 1);
    assert_int_equal (pipe (ready), 0);
    pid_t reader = fork ();
    if (reader == 0) {
        int fd = open (path, O_RDONLY);
        if (fd < 0 || flock (fd, LOCK_SH) < 0 || write (ready[1], "x", 1) != 1)
            _exit (1);
        pause ();
    }
    char x;
    assert_int_equal (read (ready[0], &x, 1), 1);
    assert_int_equal (figures_of (cache).pinned, 4);
    assert_int_equal (try_add (cache, "e", 1), -1);
    assert_int_equal (errno, ENOSPC);
    assert_non_null (strstr (error.text, "ns/e"));
    assert_int_equal (figures_of (cache).evicted, 0);
    kill (reader, SIGKILL);
    waitpid (reader, NULL, 0);
    add (cache, "e", 1); /* in the dead reader's place */
    assert_null (path_of (cache, "a", 1));
    assert_int_equal (figures_of (cache).pinned, 3);
    close (fds[2]);
    add (cache, "f", 1);
    assert_null (path_of (cache, "c", 1));
    close (fds[1]);
    close (fds[3]);
    close (ready[0]);
    close (ready[1]);
    cache_close (&cache, true);
}

static void only_the_version_that_counts_is_found (void **state)
{
    struct cache *cache = must_open ();
    add (cache, "a", 1);
    int old = pin (cache, "a", 1);
    assert_null (path_of (cache, "a", 2));
    add (cache, "a", 2);
    assert_null (path_of (cache, "a", 1));
    assert_int_equal (figures_of (cache).bytes, 2 * ROOM); /* the old one is pinned: it is still counted */
    assert_int_equal (files_in_cache (), 2);
    close (old);
    figures_of (cache);
    assert_int_equal (figures_of (cache).bytes, ROOM);
    int fd = pin (cache, "a", 2);
    close (fd);
    /* Put anew after a deletion: the generation begins again, the version is another one. */
    Strata__ObjectInfo again = version_of ("a", 2);
    again.mtime_us++;
    assert_null (cache_find (cache, "ns", "a", &again));
    cache_close (&cache, true);
}

static void no_part_of_an_object_is_ever_shown (void **state)
{
    struct cache *cache = must_open ();
    Strata__ObjectInfo version = version_of ("a", 1);
    uint8_t bytes[KEPT];
    void *data;
    size_t got;
    bytes_of ("a", 1, bytes);
    struct cache_file *file = cache_begin (cache, "ns", "a", &version, &error);
    assert_non_null (file);
    assert_int_equal (figures_of (cache).bytes, ROOM); /* its room is taken at once */
    assert_int_equal (cache_write (file, 0, bytes, 4000, &error), 0);
    assert_null (path_of (cache, "a", 1));
    assert_int_equal (cache_read (cache, "ns", "a", &version, 0, 10, &data, &got, &error), -1);
    assert_int_equal (errno, ENOENT);
    assert_int_equal (cache_end (&file, &error), -1); /* half of it */
    assert_int_equal (errno, EBADMSG);
    bytes[5000] ^= 1;
    assert_int_equal (cache_write (file, 4000, bytes + 4000, KEPT - 4000, &error), 0);
    assert_int_equal (cache_end (&file, &error), -1); /* a wrong bit */
    assert_int_equal (errno, EBADMSG);
    assert_int_equal (cache_write (file, KEPT, bytes, 1, &error), -1); /* past its end */
    bytes[5000] ^= 1;
    assert_int_equal (cache_write (file, 4000, bytes + 4000, KEPT - 4000, &error), 0);
    assert_int_equal (cache_end (&file, &error), 0);
    assert_int_equal (cache_read (cache, "ns", "a", &version, 6990, 100, &data, &got, &error), 0);
    assert_int_equal (got, 10);
    assert_memory_equal (data, bytes + 6990, 10);
    free (data);
    file = cache_begin (cache, "ns", "b", &version, &error);
    assert_non_null (file);
    cache_abort (&file);
    assert_int_equal (figures_of (cache).bytes, ROOM);
    assert_int_equal (files_in_cache (), 1);
    cache_close (&cache, true);
}

/* What a process that is killed leaves: whole files, and one that is not. */
static void leave_behind (void)
{
    pid_t pid = fork ();
    if (pid == 0) {
        struct cache *cache = must_open ();
        Strata__ObjectInfo version = version_of ("part", 1);
        add (cache, "torn", 1);
        add (cache, "wrong", 1);
        add (cache, "whole", 1);
        struct cache_file *file = cache_begin (cache, "ns", "part", &version, &error);
        cache_write (file, 0, "some", 4, &error);
        kill (getpid (), SIGKILL);
    }
    waitpid (pid, NULL, 0);
}

static void a_start_takes_what_is_whole_and_nothing_else (void **state)
{
    char command[400], sub[200];
    leave_behind ();
    snprintf (command, sizeof (command), "d=$(echo '%s'/strata-*/stage-0); truncate -s 5000 $d/1; printf x | "
              "dd of=$d/2 bs=1 seek=77 conv=notrunc status=none; echo stranger > $d/note; echo 17 > $d/17; mkdir $d/9", folder);
    assert_int_equal (system (command), 0);
    struct cache *cache = must_open ();
    assert_null (path_of (cache, "torn", 1));
    assert_null (path_of (cache, "wrong", 1)); /* its length is right: found when it was to be handed out */
    int fd = pin (cache, "whole", 1);
    close (fd);
    assert_int_equal (files_in_cache (), 1);
    assert_int_equal (figures_of (cache).bytes, ROOM);
    add (cache, "torn", 1); /* numbers go on behind those that were */
    fd = pin (cache, "torn", 1);
    close (fd);
    cache_close (&cache, false);
    assert_int_equal (files_in_cache (), 2);
    snprintf (sub, sizeof (sub), "%s/none/of/it", folder);
    cache = cache_open (sub, "/some/workspace", "stage-0", ROOM, &error); /* made */
    assert_non_null (cache);
    cache_close (&cache, true);
    /* A smaller bound than before: the older one goes. */
    cache = cache_open (folder, "/some/workspace", "stage-0", ROOM, &error);
    assert_non_null (cache);
    assert_int_equal (figures_of (cache).bytes, ROOM);
    assert_non_null (path_of (cache, "torn", 1));
    cache_close (&cache, true);
}

static void a_folder_that_a_fenced_process_holds_is_left_to_it (void **state)
{
    struct cache *old = must_open (), *new = must_open ();
    add (old, "a", 1);
    assert_null (path_of (new, "a", 1));
    add (new, "a", 1);
    assert_string_not_equal (path_of (old, "a", 1), path_of (new, "a", 1));
    cache_close (&new, true);
    assert_non_null (path_of (old, "a", 1));
    cache_close (&old, true);
}

static void what_is_larger_than_the_cache_drives_nothing_out (void **state)
{
    struct cache *cache = must_open ();
    Strata__ObjectInfo version = version_of ("large", 1);
    add (cache, "a", 1);
    for (int i = 0; i < 2; i++) {
        version.size = i ? UINT64_MAX : LIMIT;
        assert_null (cache_begin (cache, "ns", "large", &version, &error));
        assert_int_equal (errno, ENOSPC);
    }
    assert_non_null (path_of (cache, "a", 1));
    cache_close (&cache, true);
}

static void holders_are_of_one_version_and_take_turns (void **state)
{
    struct holders *holders = holders_new ();
    Strata__ObjectInfo one = version_of ("a", 1), two = version_of ("a", 2);
    char *names[HOLDERS_EACH], stage[16];
    assert_int_equal (holders_of (holders, "ns", "a", &one, names), 0);
    holders_add (holders, "ns", "a", &one, "stage-1");
    holders_add (holders, "ns", "a", &one, "stage-1");
    holders_add (holders, "ns", "a", &one, "stage-2");
    assert_int_equal (holders_of (holders, "ns", "a", &one, names), 2);
    char first[16];
    snprintf (first, sizeof (first), "%s", names[0]);
    assert_int_equal (holders_of (holders, "ns", "a", &one, names), 2);
    assert_string_not_equal (first, names[0]);
    assert_int_equal (holders_of (holders, "ns", "a", &two, names), 0);
    holders_remove (holders, "ns", "a", &one, "stage-1");
    assert_int_equal (holders_of (holders, "ns", "a", &one, names), 1);
    assert_string_equal (names[0], "stage-2");
    for (int i = 10; i < 20; i++) {
        snprintf (stage, sizeof (stage), "stage-%d", i);
        holders_add (holders, "ns", "a", &one, stage);
    }
    assert_int_equal (holders_of (holders, "ns", "a", &one, names), HOLDERS_EACH);
    for (int i = 0; i < HOLDERS_EACH; i++)
        assert_true (atoi (names[i] + 6) >= 20 - HOLDERS_EACH);
    holders_free (&holders);
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, setup, teardown)

int main (void)
{
    const struct CMUnitTest tests[] = {
        TEST (the_longest_unused_goes_first),
        TEST (what_a_reader_maps_stays_until_he_lets_go_or_dies),
        TEST (only_the_version_that_counts_is_found),
        TEST (no_part_of_an_object_is_ever_shown),
        TEST (a_start_takes_what_is_whole_and_nothing_else),
        TEST (a_folder_that_a_fenced_process_holds_is_left_to_it),
        TEST (what_is_larger_than_the_cache_drives_nothing_out),
        TEST (holders_are_of_one_version_and_take_turns),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
