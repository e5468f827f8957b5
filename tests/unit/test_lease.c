/* test_lease.c - who holds a shard: taken at once from the dead, by force from those that show no life, and lost for good.
 * A holder and its taker may stand in one process: a lock belongs to an open file. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "scratch.h"
#include "store/lease.h"
#include "store/shard.h"
#include "store/stream.h"

#define LEASE_US 200000 /* the holder's, and how long its taker waits */

static char dir[64];

static int set_up (void **state)
{
    return scratch_new (dir, sizeof (dir)) ? 0 : -1;
}

static int tear_down (void **state)
{
    char command[128];
    snprintf (command, sizeof (command), "rm -rf '%s'", dir);
    return system (command) == 0 ? 0 : -1;
}

static int64_t now_us (void)
{
    struct timespec ts;
    clock_gettime (CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static struct shard *take (struct lease_watch *watch)
{
    struct strata_error error;
    struct shard *shard = shard_take (dir, watch, LEASE_US, &error);
    if (!shard && errno != EBUSY)
        fail_msg ("%s", error.text);
    return shard;
}

/* As a standby does. */
static struct shard *take_at_last (void)
{
    struct lease_watch watch = { 0 };
    struct shard *shard = NULL;
    while (!(shard = take (&watch)))
        usleep (10000);
    return shard;
}

static int put (struct shard *shard, const char *key, uint64_t value)
{
    struct strata_error error;
    shard_put_u64 (shard, key, value);
    return shard_commit (shard, &error);
}

/* The names in the shard's folder, or in one under it. */
static size_t count_names (const char *under, const char *with)
{
    char path[128];
    size_t n = 0;
    snprintf (path, sizeof (path), "%s/%s", dir, under);
    DIR *d = opendir (path);
    for (struct dirent *entry; d && (entry = readdir (d));)
        n += strcmp (entry->d_name, ".") != 0 && strcmp (entry->d_name, "..") != 0 && strstr (entry->d_name, with);
    if (d)
        closedir (d);
    return n;
}

/* Until somebody takes the shard by force, or has done so. */
static void wait_for_taking (const char *before)
{
    char now[LEASE_PATH_MAX];
    do
        lease_newest (dir, now);
    while (count_names ("", ".taking") == 0 && strcmp (before, now) == 0);
}

/* ---- the dead ---- */

static void what_a_dead_holder_held_is_taken_at_once_where_it_is (void **state)
{
    int ready[2], status;
    char byte;
    assert_int_equal (pipe (ready), 0);
    pid_t pid = fork ();
    if (pid == 0) {
        struct shard *shard = take (NULL);
        if (!shard || put (shard, "k", 7) < 0 || write (ready[1], "x", 1) != 1)
            _exit (1);
        pause ();
    }
    assert_int_equal (read (ready[0], &byte, 1), 1);
    assert_null (take (NULL));
    kill (pid, SIGKILL);
    assert_int_equal (waitpid (pid, &status, 0), pid);
    int64_t begun_us = now_us ();
    struct shard *shard = take_at_last ();
    print_message ("taken in %lld ms\n", (long long)(now_us () - begun_us) / 1000);
    assert_int_equal (shard_get_u64 (shard, "k", 0), 7);
    assert_int_equal (shard_epoch (shard), 2);
    assert_false (shard_by_force (shard));
    assert_int_equal (count_names ("", "00000001"), 1);
    assert_int_equal (count_names ("", ""), 1);
    shard_close (&shard);
    close (ready[0]);
    close (ready[1]);
}

/* ---- those that show no life ---- */

static void a_holder_that_renews_keeps_its_shard_for_many_leases (void **state)
{
    struct strata_error error;
    struct lease_watch watch = { 0 };
    struct shard *shard = take (NULL);
    shard_close (&shard);
    shard = take (NULL);
    for (int64_t end_us = now_us () + 5 * LEASE_US; now_us () < end_us; usleep (10000)) {
        assert_int_equal (shard_commit (shard, &error), 0);
        assert_null (take (&watch));
    }
    shard_close (&shard);
}

static void a_holder_that_pauses_for_less_than_its_lease_goes_on (void **state)
{
    struct lease_watch watch = { 0 };
    struct shard *shard = take (NULL);
    for (int i = 0; i < 3; i++) {
        assert_int_equal (put (shard, "k", (uint64_t)i), 0);
        for (int64_t end_us = now_us () + LEASE_US / 2; now_us () < end_us; usleep (10000))
            assert_null (take (&watch));
    }
    assert_int_equal (put (shard, "k", 9), 0);
    shard_close (&shard);
}

/* Nobody has asked for it. */
static void a_holder_whose_lease_ran_out_goes_on_when_no_one_has_taken_its_shard (void **state)
{
    struct shard *shard = take (NULL);
    assert_int_equal (put (shard, "k", 1), 0);
    usleep (2 * LEASE_US);
    assert_int_equal (put (shard, "k", 2), 0);
    assert_true (shard_held (shard));
    shard_close (&shard);
}

static void a_standby_that_was_stopped_itself_begins_to_count_anew (void **state)
{
    struct lease_watch watch = { 0 };
    struct shard *shard = take (NULL);
    assert_int_equal (put (shard, "k", 1), 0);
    assert_null (take (&watch));
    usleep (2 * LEASE_US); /* neither does anything */
    assert_null (take (&watch));
    assert_int_equal (put (shard, "k", 2), 0);
    shard_close (&shard);
}

/* Both go on writing, in turns and at once: the one that was late is told so by each commit, and harms nothing. */
static void a_shard_taken_by_force_has_all_that_was_told_and_nothing_of_the_stale_holder_afterwards (void **state)
{
    struct strata_error error;
    static char bytes[4096];
    struct shard *stale = take (NULL);
    for (uint64_t i = 0; i < 2000; i++) { /* enough for tables beside the log */
        struct shard_key key;
        shard_key (&key, "told/");
        shard_key_u64 (&key, i);
        shard_put (stale, key.data, key.size, bytes, sizeof (bytes));
        if (i % 100 == 99)
            assert_int_equal (shard_commit (stale, &error), 0);
    }
    assert_int_equal (put (stale, "told", 1), 0);
    shard_put_u64 (stale, "late", 1); /* in its batch when it is stopped */
    struct shard *next = take_at_last ();
    assert_true (shard_by_force (next));
    assert_int_equal (shard_epoch (next), 2);
    assert_int_equal (put (next, "k", 1), 0);
    assert_false (shard_held (stale));
    for (uint64_t round = 0; round < 20; round++) {
        assert_int_equal (shard_commit (stale, &error), -1);
        assert_int_equal (errno, ESTALE);
        shard_put (stale, "garbage", 7, bytes, sizeof (bytes));
        shard_put (next, "good", 4, bytes, sizeof (bytes));
        assert_int_equal (put (next, "k", round), 0);
    }
    assert_int_equal (shard_get_u64 (next, "told", 0), 1);
    assert_false (shard_has (next, "late", 4));
    shard_close (&stale);
    shard_close (&next);
    next = take (NULL);
    assert_non_null (next);
    struct shard_iter it;
    size_t told = 0;
    for (bool more = shard_iter_begin (next, &it, "told/", 5, NULL, 0); more; more = shard_iter_next (&it))
        told += it.value_size == sizeof (bytes);
    shard_iter_end (&it);
    assert_int_equal (told, 2000);
    assert_false (shard_has (next, "garbage", 7));
    assert_true (shard_has (next, "good", 4));
    assert_int_equal (count_names ("", ""), 1); /* the old generation is gone */
    shard_close (&next);
}

static int count_record (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    *(size_t *)arg += size == 40000 && ((const uint8_t *)record)[39999] == (uint8_t)sequence;
    return 0;
}

static size_t append_large (struct shard *shard, uint64_t from, uint64_t to)
{
    static uint8_t record[40000]; /* in a segment file beside the store */
    struct strata_error error;
    for (uint64_t i = from; i <= to; i++) {
        memset (record, (int)i, sizeof (record));
        assert_int_equal (stream_append (shard, "large", NULL, 0, record, sizeof (record), 1, NULL, &error), 1);
    }
    return (size_t)(to - from + 1);
}

/* Segments are linked: the stale holder, woken, appends to one and forgets another, in a commit that comes too late. It is told so,
 * or ends by itself because its files are gone. */
static void a_shard_taken_by_force_has_the_records_of_its_streams (void **state)
{
    struct strata_error error;
    size_t seen = 0, n = 900; /* more than two segments */
    int status;
    pid_t pid = fork ();
    if (pid == 0) {
        struct shard *stale = take (NULL);
        append_large (stale, 1, n);
        if (shard_commit (stale, &error) < 0)
            _exit (2);
        raise (SIGSTOP);
        append_large (stale, n + 1, n + 10);
        stream_trim (stale, "large", 850);
        _exit (shard_commit (stale, &error) < 0 && errno == ESTALE ? 1 : 3);
    }
    assert_int_equal (waitpid (pid, &status, WUNTRACED), pid);
    assert_true (WIFSTOPPED (status));
    struct shard *next = take_at_last ();
    kill (pid, SIGCONT);
    assert_int_equal (waitpid (pid, &status, 0), pid);
    assert_true (WIFEXITED (status));
    assert_int_equal (WEXITSTATUS (status), 1);
    assert_int_equal (append_large (next, n + 1, n + 5), 5);
    assert_int_equal (shard_commit (next, &error), 0);
    shard_close (&next);
    next = take (NULL);
    assert_non_null (next);
    assert_int_equal (stream_read (next, "large", 0, SIZE_MAX, SIZE_MAX, count_record, &seen), n + 5);
    assert_int_equal (seen, n + 5);
    shard_close (&next);
}

/* The old holder runs on at full speed while its store is copied: what it was told to have committed before it lost the lease
 * must be there, whatever it does to its files meanwhile. */
static void a_holder_that_writes_while_it_is_taken_over_loses_nothing_that_it_told (void **state)
{
    for (int round = 0; round < 3; round++) {
        struct strata_error error;
        int told[2], status;
        assert_int_equal (pipe (told), 0);
        pid_t pid = fork ();
        if (pid == 0) {
            /* It believes in a lease much longer than the taker waits, until a renewal fails: so it writes all the time. */
            static char bytes[20000];
            struct shard *shard = shard_take (dir, NULL, 1000000, &error);
            for (uint64_t i = 1; shard && i < 1000000; i++) {
                struct shard_key key;
                shard_key (&key, "w/");
                shard_key_u64 (&key, i % 500);
                shard_put (shard, key.data, key.size, bytes, sizeof (bytes));
                if (put (shard, "last", i) < 0)
                    _exit (errno == ESTALE ? 0 : 2);
                if (write (told[1], &i, sizeof (i)) != sizeof (i))
                    _exit (3);
                if (i == 200)
                    raise (SIGSTOP);
            }
            _exit (1);
        }
        assert_int_equal (waitpid (pid, &status, WUNTRACED), pid);
        assert_true (WIFSTOPPED (status));
        uint64_t last = 0, i;
        fcntl (told[0], F_SETFL, O_NONBLOCK);
        /* Wakes up in the middle of being taken. */
        char before[LEASE_PATH_MAX];
        lease_newest (dir, before);
        pid_t waker = fork ();
        if (waker == 0) {
            wait_for_taking (before);
            kill (pid, SIGCONT);
            _exit (0);
        }
        struct lease_watch watch = { 0 };
        struct shard *next;
        while (!(next = shard_take (dir, &watch, 1000000, &error))) {
            if (errno != EBUSY)
                fail_msg ("%s", error.text);
            usleep (10000);
        }
        assert_int_equal (waitpid (waker, &status, 0), waker);
        assert_int_equal (waitpid (pid, &status, 0), pid);
        assert_true (WIFEXITED (status));
        assert_int_equal (WEXITSTATUS (status), 0);
        while (read (told[0], &i, sizeof (i)) == sizeof (i))
            last = i;
        assert_true (last >= 200);
        assert_true (shard_get_u64 (next, "last", 0) >= last);
        shard_close (&next);
        close (told[0]);
        close (told[1]);
    }
}

#define TAKERS 20
static void a_taker_killed_in_the_middle_leaves_nothing_half (void **state)
{
    struct strata_error error;
    static char bytes[4096];
    int killed = 0;
    for (int round = 0; round < TAKERS; round++) {
        /* A holder that is stopped for ever, and has something in its log. */
        int ready[2], status;
        char byte, before[LEASE_PATH_MAX];
        assert_int_equal (pipe (ready), 0);
        pid_t holder = fork ();
        if (holder == 0) {
            struct shard *shard = take (NULL);
            for (uint64_t i = 0; shard && i < 200; i++) {
                struct shard_key key;
                shard_key (&key, "k/");
                shard_key_u64 (&key, i);
                shard_put (shard, key.data, key.size, bytes, sizeof (bytes));
            }
            if (!shard || put (shard, "round", (uint64_t)round + 1) < 0 || write (ready[1], "x", 1) != 1)
                _exit (1);
            pause ();
        }
        assert_int_equal (read (ready[0], &byte, 1), 1);
        kill (holder, SIGSTOP);
        lease_newest (dir, before);
        pid_t taker = fork ();
        if (taker == 0) {
            struct lease_watch watch = { 0 };
            while (!shard_take (dir, &watch, 20000, &error))
                usleep (1000);
            pause ();
        }
        /* From the moment when it begins, for up to what all of it takes. */
        wait_for_taking (before);
        usleep ((useconds_t)(round * 300));
        kill (taker, SIGKILL);
        assert_int_equal (waitpid (taker, &status, 0), taker);
        killed += count_names ("", ".taking") > 0;
        struct lease_watch watch = { 0 };
        struct shard *shard;
        while (!(shard = shard_take (dir, &watch, 20000, &error)))
            usleep (1000);
        assert_int_equal (shard_get_u64 (shard, "round", 0), round + 1);
        struct shard_iter it;
        size_t n = 0;
        for (bool more = shard_iter_begin (shard, &it, "k/", 2, NULL, 0); more; more = shard_iter_next (&it))
            n++;
        shard_iter_end (&it);
        assert_int_equal (n, 200);
        assert_int_equal (count_names ("", ""), 1);
        shard_close (&shard);
        kill (holder, SIGKILL);
        assert_int_equal (waitpid (holder, &status, 0), holder);
        close (ready[0]);
        close (ready[1]);
    }
    print_message ("%d of %d takers were killed while they made the next generation\n", killed, TAKERS);
    assert_true (killed >= 3);
}

/* Processes of their own: on a slow machine one that holds the shard may not run for a while. */
/* What the standbys see of each other, by the epoch in which one holds the shard. */
#define EPOCHS 64
struct seen_epoch {
    unsigned takers;
    int64_t committed_us; /* when its last commit that was done began */
};

static _Noreturn void stand_by (struct seen_epoch *epochs, uint64_t first, int64_t length_us)
{
    struct strata_error error;
    struct lease_watch watch = { 0 };
    struct shard *shard;
    while (!(shard = shard_take (dir, &watch, length_us, &error)))
        if (errno != EBUSY)
            _exit (2);
        else
            usleep (5000);
    uint64_t epoch = shard_epoch (shard);
    struct seen_epoch *mine = &epochs[epoch], *before = &epochs[epoch - 1], *after = &epochs[epoch + 1];
    if (epoch >= EPOCHS)
        _exit (3);
    for (bool told = false;; usleep (5000)) {
        int64_t begin_us = now_us ();
        bool over = __atomic_load_n (&after->committed_us, __ATOMIC_SEQ_CST) != 0;
        if (shard_commit (shard, &error) < 0)
            _exit (errno == ESTALE ? 0 : 4); /* another has taken it: the parent sees one that goes on */
        if (over)
            _exit (5); /* a stale holder may tell something */
        if (!told && __atomic_add_fetch (&mine->takers, 1, __ATOMIC_SEQ_CST) != 1)
            _exit (6);
        /* A holder renews when it commits and a fifth of the lease has gone; it may be taken from 9/8 of it after that. */
        if (!told && epoch > first && begin_us - __atomic_load_n (&before->committed_us, __ATOMIC_SEQ_CST) < length_us * 9 / 10)
            _exit (7);
        if (shard_get_u64 (shard, "k", 0) != 5)
            _exit (8);
        told = true;
        __atomic_store_n (&mine->committed_us, begin_us, __ATOMIC_SEQ_CST);
    }
}

/* On a loaded machine one that has it may get no processor for a lease's length: then another takes it from there, rightly. */
static void of_many_standbys_one_takes_the_shard_and_no_other_while_it_keeps_its_lease (void **state)
{
    const char *slow = getenv ("STRATA_SLOW");
    int64_t length_us = (slow ? atoi (slow) : getenv ("SAN") ? 5 : 1) * 1000000LL, since_us = 0;
    struct shard *stopped = take (NULL);
    assert_int_equal (put (stopped, "k", 5), 0);
    uint64_t first = shard_epoch (stopped) + 1;
    struct seen_epoch *epochs = mmap (NULL, (EPOCHS + 1) * sizeof (*epochs), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true (epochs != MAP_FAILED);
    pid_t pids[6];
    int status, left = 6;
    for (int i = 0; i < 6; i++)
        if ((pids[i] = fork ()) == 0)
            stand_by (epochs, first, length_us);
    /* As long as others would need to take it from the one that has it. */
    while (since_us == 0 || now_us () - since_us < length_us + length_us / 2) {
        if (since_us == 0 && __atomic_load_n (&epochs[first].committed_us, __ATOMIC_SEQ_CST))
            since_us = now_us ();
        for (int i = 0; i < 6; i++)
            if (pids[i] && waitpid (pids[i], &status, WNOHANG) == pids[i]) {
                assert_true (WIFEXITED (status));
                assert_int_equal (WEXITSTATUS (status), 0); /* the number of what went wrong in stand_by */
                pids[i] = 0;
                left--;
            }
        assert_true (left > 0);
        usleep (5000);
    }
    for (int i = 0; i < 6; i++) /* all, before one is killed: the others would take what it holds */
        if (pids[i])
            kill (pids[i], SIGSTOP);
    for (int i = 0; i < 6; i++)
        if (pids[i]) {
            kill (pids[i], SIGKILL);
            waitpid (pids[i], &status, 0);
        }
    munmap (epochs, (EPOCHS + 1) * sizeof (*epochs));
    shard_close (&stopped);
}

static void a_store_without_generations_becomes_the_first (void **state)
{
    char command[256];
    struct shard *shard = take (NULL);
    assert_int_equal (put (shard, "old", 3), 0);
    shard_close (&shard);
    snprintf (command, sizeof (command), "cd '%s' && rm 00000001/LEASE.* && mv 00000001/* . && rmdir 00000001 && touch HOLDER", dir);
    assert_int_equal (system (command), 0);
    struct strata_error error;
    shard = shard_open_readonly (dir, &error);
    assert_non_null (shard);
    assert_int_equal (shard_get_u64 (shard, "old", 0), 3);
    shard_close (&shard);
    shard = take (NULL);
    assert_non_null (shard);
    assert_int_equal (shard_get_u64 (shard, "old", 0), 3);
    assert_int_equal (shard_epoch (shard), 2);
    assert_int_equal (count_names ("", ""), 1);
    assert_true (count_names ("00000001", "CURRENT") == 1);
    shard_close (&shard);
}

static void a_store_whose_lease_was_deleted_is_taken_after_a_lease (void **state)
{
    char command[256];
    struct shard *shard = take (NULL);
    assert_int_equal (put (shard, "k", 3), 0);
    shard_close (&shard);
    snprintf (command, sizeof (command), "rm '%s'/00000001/LEASE.*", dir);
    assert_int_equal (system (command), 0);
    shard = take_at_last ();
    assert_int_equal (shard_get_u64 (shard, "k", 0), 3);
    shard_close (&shard);
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, set_up, tear_down)
int main (void)
{
    const struct CMUnitTest tests[] = {
        TEST (what_a_dead_holder_held_is_taken_at_once_where_it_is),
        TEST (a_holder_that_renews_keeps_its_shard_for_many_leases),
        TEST (a_holder_that_pauses_for_less_than_its_lease_goes_on),
        TEST (a_holder_whose_lease_ran_out_goes_on_when_no_one_has_taken_its_shard),
        TEST (a_standby_that_was_stopped_itself_begins_to_count_anew),
        TEST (a_shard_taken_by_force_has_all_that_was_told_and_nothing_of_the_stale_holder_afterwards),
        TEST (a_shard_taken_by_force_has_the_records_of_its_streams),
        TEST (a_holder_that_writes_while_it_is_taken_over_loses_nothing_that_it_told),
        TEST (a_taker_killed_in_the_middle_leaves_nothing_half),
        TEST (of_many_standbys_one_takes_the_shard_and_no_other_while_it_keeps_its_lease),
        TEST (a_store_without_generations_becomes_the_first),
        TEST (a_store_whose_lease_was_deleted_is_taken_after_a_lease),
    };
    return cmocka_run_group_tests_name ("leases", tests, NULL, NULL);
}
