/* test_store.c - shard, streams and queues, in memory and through a reopen. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <dirent.h>
#include <rocksdb/c.h>

#include "mesh/replies.h"
#include "store/queue.h"
#include "store/shard.h"
#include "store/stream.h"
#include "store/stream_log.h"

static struct shard *memory (void)
{
    struct strata_error error;
    struct shard *shard = shard_open_memory (&error);
    assert_non_null (shard);
    return shard;
}

static void folder (char *dir, size_t size)
{
    snprintf (dir, size, "/tmp/strata-test-XXXXXX");
    assert_non_null (mkdtemp (dir));
}

static void remove_folder (const char *dir)
{
    char command[256];
    snprintf (command, sizeof (command), "rm -rf '%s'", dir);
    assert_int_equal (system (command), 0);
}

static void reads_see_the_batch_before_it_is_committed (void **state)
{
    struct shard *shard = memory ();
    shard_put_u64 (shard, "k", 7);
    assert_int_equal (shard_get_u64 (shard, "k", 0), 7);
    shard_delete (shard, "k", 1);
    assert_false (shard_has (shard, "k", 1));
    shard_close (&shard);
}

static void what_was_committed_survives_and_what_was_not_is_gone (void **state)
{
    struct strata_error error;
    char dir[64];
    folder (dir, sizeof (dir));
    struct shard *shard = shard_open (dir, &error);
    assert_non_null (shard);
    assert_int_equal (shard_epoch (shard), 1);
    shard_put_u64 (shard, "kept", 1);
    assert_int_equal (shard_commit (shard, &error), 0);
    shard_put_u64 (shard, "lost", 1);
    shard_close (&shard);
    shard = shard_open (dir, &error);
    assert_int_equal (shard_epoch (shard), 2);
    assert_int_equal (shard_get_u64 (shard, "kept", 0), 1);
    assert_int_equal (shard_get_u64 (shard, "lost", 0), 0);
    shard_close (&shard);
    remove_folder (dir);
}

static void a_shard_that_is_held_is_refused_to_another_process (void **state)
{
    struct strata_error error;
    char dir[64];
    folder (dir, sizeof (dir));
    struct shard *shard = shard_open (dir, &error);
    assert_non_null (shard);
    pid_t pid = fork ();
    if (pid == 0) {
        struct shard *second = shard_open (dir, &error);
        _exit (!second && errno == EBUSY ? 0 : 1);
    }
    int status;
    assert_int_equal (waitpid (pid, &status, 0), pid);
    assert_int_equal (status, 0);
    shard_close (&shard);
    remove_folder (dir);
}

static size_t count_files (const char *dir)
{
    size_t n = 0;
    DIR *d = opendir (dir);
    assert_non_null (d);
    while (readdir (d))
        n++;
    closedir (d);
    return n;
}

/* A standby tries ten times a second, for months. */
static void attempts_to_take_a_held_shard_leave_its_folder_as_it_is (void **state)
{
    struct strata_error error;
    char dir[64];
    folder (dir, sizeof (dir));
    struct shard *shard = shard_open (dir, &error);
    assert_non_null (shard);
    size_t before = count_files (dir);
    pid_t pid = fork ();
    if (pid == 0) {
        for (int i = 0; i < 20; i++)
            if (shard_open (dir, &error))
                _exit (1);
        _exit (0);
    }
    int status;
    assert_int_equal (waitpid (pid, &status, 0), pid);
    assert_int_equal (status, 0);
    assert_int_equal (count_files (dir), before);
    shard_close (&shard);
    remove_folder (dir);
}

struct seen {
    uint64_t sequences[64];
    char text[64][16];
    size_t count;
};

static int see (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    struct seen *seen = arg;
    seen->sequences[seen->count] = sequence;
    memcpy (seen->text[seen->count], record, size);
    seen->text[seen->count++][size] = '\0';
    return 0;
}

static void a_stream_numbers_its_records_without_gaps_across_commits (void **state)
{
    struct strata_error error;
    struct shard *shard = memory ();
    uint64_t sequence;
    for (int i = 1; i <= 5; i++) {
        char text[8];
        int n = snprintf (text, sizeof (text), "r%d", i);
        assert_int_equal (stream_append (shard, "a", NULL, 0, text, (size_t)n, i, &sequence, &error), 1);
        assert_int_equal (sequence, i);
        if (i == 3)
            assert_int_equal (shard_commit (shard, &error), 0);
    }
    struct seen seen = { .count = 0 };
    assert_int_equal (stream_read (shard, "a", 2, 3, 1000, see, &seen), 3);
    assert_int_equal (seen.sequences[0], 2);
    assert_string_equal (seen.text[2], "r4");
    memset (&seen, 0, sizeof (seen));
    assert_int_equal (stream_read (shard, "a", 1, 10, 3, see, &seen), 1);
    stream_trim (shard, "a", 4);
    struct stream_stat stat;
    stream_stat (shard, "a", &stat);
    assert_int_equal (stat.first, 4);
    assert_int_equal (stat.next, 6);
    assert_int_equal (stat.bytes, 4);
    shard_close (&shard);
}

static void a_producer_s_repeats_are_dropped (void **state)
{
    struct strata_error error;
    struct shard *shard = memory ();
    uint64_t sequence;
    assert_int_equal (stream_append (shard, "a", "sim", 5, "x", 1, 0, &sequence, &error), 1);
    assert_int_equal (stream_append (shard, "a", "sim", 5, "x", 1, 0, &sequence, &error), 0);
    assert_int_equal (stream_append (shard, "a", "sim", 4, "x", 1, 0, &sequence, &error), 0);
    assert_int_equal (stream_append (shard, "a", "other", 5, "x", 1, 0, &sequence, &error), 1);
    assert_int_equal (stream_append (shard, "a", "sim", 9, "x", 1, 0, &sequence, &error), 1);
    assert_int_equal (stream_producer_last (shard, "a", "sim"), 9);
    assert_int_equal (sequence, 3);
    shard_close (&shard);
}

static void a_full_stream_refuses_and_takes_again_after_trimming (void **state)
{
    struct strata_error error;
    struct shard *shard = memory ();
    uint64_t sequence;
    stream_set_limit (shard, "a", 10);
    assert_int_equal (stream_append (shard, "a", NULL, 0, "12345678", 8, 0, &sequence, &error), 1);
    assert_int_equal (stream_append (shard, "a", NULL, 0, "123", 3, 0, &sequence, &error), -1);
    assert_int_equal (errno, ENOSPC);
    assert_non_null (strstr (error.text, "stream a is full"));
    stream_trim (shard, "a", 2);
    assert_int_equal (stream_append (shard, "a", NULL, 0, "123", 3, 0, &sequence, &error), 1);
    shard_close (&shard);
}

static void bad_names_are_refused (void **state)
{
    struct strata_error error;
    struct shard *shard = memory ();
    static const char *const names[] = { "", "UPPER", "a/b", "a b", "..", NULL };
    for (int i = 0; names[i]; i++)
        assert_int_equal (stream_append (shard, names[i], NULL, 0, "x", 1, 0, NULL, &error), -1);
    assert_int_equal (stream_append (shard, "a", "/x", 1, "x", 1, 0, NULL, &error), -1);
    shard_close (&shard);
}

#define LARGE 3000
#define LARGE_COUNT 40

/* Appends LARGE_COUNT records of LARGE bytes in one batch; those from n on. */
static void append_large (struct shard *shard, uint64_t n)
{
    struct strata_error error;
    static uint8_t bytes[LARGE * LARGE_COUNT];
    uint32_t sizes[LARGE_COUNT];
    uint64_t first;
    for (size_t i = 0; i < LARGE_COUNT; i++) {
        sizes[i] = LARGE;
        memset (bytes + i * LARGE, (int)((n + i) % 251), LARGE);
    }
    struct stream_batch batch = { NULL, NULL, sizes, LARGE_COUNT, bytes, true };
    assert_int_equal (stream_append_batch (shard, "a", &batch, 1, &first, NULL, &error), 0);
    assert_int_equal (first, n);
}

static int see_large (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    const uint8_t *bytes = record;
    uint64_t *next = arg;
    assert_int_equal (sequence, *next);
    assert_int_equal (size, LARGE);
    assert_int_equal (bytes[0], *next % 251);
    assert_int_equal (bytes[LARGE - 1], *next % 251);
    ++*next;
    return 0;
}

static int files_named (const char *dir, const char *pattern)
{
    char command[256], text[32] = "";
    snprintf (command, sizeof (command), "find '%s' -name '%s' | wc -l", dir, pattern);
    FILE *p = popen (command, "r");
    assert_non_null (p);
    assert_non_null (fgets (text, sizeof (text), p));
    pclose (p);
    return atoi (text);
}

static int record_files (const char *dir)
{
    return files_named (dir, "*.records");
}

/* Appends until the stream has so many bytes more; a commit after each 4 MiB. */
static uint64_t append_many (struct shard *shard, uint64_t next, size_t bytes)
{
    struct strata_error error;
    for (size_t done = 0, held = 0; done < bytes; done += LARGE * LARGE_COUNT, next += LARGE_COUNT) {
        append_large (shard, next);
        if ((held += LARGE * LARGE_COUNT) < 4u << 20)
            continue;
        assert_int_equal (shard_commit (shard, &error), 0);
        held = 0;
    }
    assert_int_equal (shard_commit (shard, &error), 0);
    return next;
}

static void forget_below (struct shard *shard, uint64_t next)
{
    struct strata_error error;
    stream_trim (shard, "a", next);
    assert_int_equal (shard_commit (shard, &error), 0);
}

static void files_of_forgotten_records_are_written_over_and_only_a_few_wait_for_it (void **state)
{
    struct strata_error error;
    char dir[64];
    uint64_t bytes, limit, next = 1, from;
    folder (dir, sizeof (dir));
    struct shard *shard = shard_open (dir, &error);
    next = append_many (shard, next, 72u << 20);
    assert_int_equal (record_files (dir), 5);
    forget_below (shard, next);
    assert_int_equal (record_files (dir), 1);
    assert_int_equal (files_named (dir, "*.spare"), STREAM_LOG_SPARES);
    stream_spare (shard, &bytes, &limit);
    assert_int_equal (bytes, STREAM_LOG_SPARES * 16u << 20);
    assert_int_equal (limit, bytes);
    from = next;
    next = append_many (shard, next, 36u << 20);
    uint64_t count = next - from;
    assert_int_equal (files_named (dir, "*.spare"), 0);
    assert_int_equal (stream_read (shard, "a", next - count, SIZE_MAX, SIZE_MAX, see_large, &from), count);
    assert_int_equal (from, next);
    forget_below (shard, next);
    assert_int_equal (files_named (dir, "*.spare"), STREAM_LOG_SPARES);
    shard_close (&shard);
    assert_int_equal (files_named (dir, "*.spare"), 0);
    remove_folder (dir);
}

/* A copy of the store has links to them, and a holder that the shard was taken from may still write into them. */
static void files_that_are_linked_or_of_another_holder_are_not_written_over (void **state)
{
    struct strata_error error;
    char dir[64], copy[80];
    uint64_t next = 1, from = 1;
    folder (dir, sizeof (dir));
    snprintf (copy, sizeof (copy), "%s-copy", dir);
    struct shard *shard = shard_open (dir, &error);
    next = append_many (shard, next, 40u << 20);
    assert_int_equal (shard_copy (shard, copy, &error), 0);
    forget_below (shard, next);
    assert_int_equal (files_named (dir, "*.spare"), 0);
    append_many (shard, next, 36u << 20);
    struct shard *copied = shard_open_copy (copy, &error);
    assert_non_null (copied);
    assert_int_equal (stream_read (copied, "a", 1, SIZE_MAX, SIZE_MAX, see_large, &from), next - 1);
    shard_close (&copied);
    remove_folder (copy);
    shard_close (&shard);
    shard = shard_open (dir, &error);
    struct stream_stat stat;
    stream_stat (shard, "a", &stat);
    forget_below (shard, stat.next);
    append_many (shard, stat.next, 1u << 20);
    forget_below (shard, stat.next);
    assert_int_equal (files_named (dir, "*.spare"), 0);
    shard_close (&shard);
    remove_folder (dir);
}

static void large_chunks_stand_in_files_that_go_when_their_records_are_forgotten (void **state)
{
    struct strata_error error;
    struct stream_stat stat;
    uint64_t next = 1, from = 77;
    char dir[64];
    folder (dir, sizeof (dir));
    struct shard *shard = shard_open (dir, &error);
    assert_non_null (shard);
    /* Two and a half of the files of 16 MiB. */
    while (next * LARGE < 40u << 20) {
        append_large (shard, next);
        next += LARGE_COUNT;
        if (next % 3 == 0)
            assert_int_equal (shard_commit (shard, &error), 0);
    }
    assert_int_equal (shard_commit (shard, &error), 0);
    assert_int_equal (record_files (dir), 3);
    shard_close (&shard);
    shard = shard_open (dir, &error);
    assert_non_null (shard);
    assert_int_equal (stream_read (shard, "a", from, SIZE_MAX, SIZE_MAX, see_large, &from), next - 77);
    assert_int_equal (from, next);
    append_large (shard, next); /* into a new file: the old ones are never touched again */
    assert_int_equal (shard_commit (shard, &error), 0);
    assert_int_equal (record_files (dir), 4);
    stream_trim (shard, "a", next - 10); /* in the middle of a chunk */
    assert_int_equal (record_files (dir), 4);
    assert_int_equal (shard_commit (shard, &error), 0);
    assert_int_equal (record_files (dir), 2);
    stream_stat (shard, "a", &stat);
    assert_int_equal (stat.first, next - 10);
    assert_int_equal (stat.bytes, 2 * LARGE * LARGE_COUNT);
    from = next - 10;
    assert_int_equal (stream_read (shard, "a", 0, SIZE_MAX, SIZE_MAX, see_large, &from), 50);
    shard_close (&shard);
    remove_folder (dir);
}

static void what_a_crash_left_behind_the_records_is_not_read (void **state)
{
    struct strata_error error;
    char dir[64];
    uint64_t from = 1;
    folder (dir, sizeof (dir));
    struct shard *shard = shard_open (dir, &error);
    append_large (shard, 1);
    assert_int_equal (shard_commit (shard, &error), 0);
    append_large (shard, 41);
    shard_close (&shard); /* without a commit */
    shard = shard_open (dir, &error);
    append_large (shard, 41);
    assert_int_equal (shard_commit (shard, &error), 0);
    shard_close (&shard);
    shard = shard_open (dir, &error);
    append_large (shard, 81);
    shard_close (&shard);
    shard = shard_open (dir, &error);
    assert_int_equal (stream_read (shard, "a", 0, SIZE_MAX, SIZE_MAX, see_large, &from), 80);
    assert_int_equal (record_files (dir), 2);
    shard_close (&shard);
    remove_folder (dir);
}

/* A process of its own that forgets old records, writes over their files, and is killed: `cut` says how far it came. */
enum cut { BEFORE_REUSE, WRITTEN, SYNCED, COMMITTED, CUTS };

static void __attribute__ ((noreturn)) reuse_and_die (const char *dir, enum cut cut)
{
    struct strata_error error;
    struct shard *shard = shard_open (dir, &error);
    uint64_t next = append_many (shard, 1, 40u << 20);
    forget_below (shard, next);
    if (files_named (dir, "*.spare") != STREAM_LOG_SPARES)
        _exit (1);
    if (cut != BEFORE_REUSE) {
        next = append_many (shard, next, 12u << 20);
        for (int i = 0; i < 10; i++, next += LARGE_COUNT)
            append_large (shard, next);
    }
    if (cut == SYNCED)
        shard_settle (shard);
    else if (cut == COMMITTED)
        shard_commit (shard, &error);
    _exit (0);
}

static void run_and_join (const char *dir, enum cut cut, void (*run) (const char *dir, enum cut cut), int *status)
{
    pid_t pid = fork ();
    assert_true (pid >= 0);
    if (pid == 0)
        run (dir, cut);
    assert_int_equal (waitpid (pid, status, 0), pid);
}

static void what_stood_in_a_file_that_is_written_over_is_never_a_record_again (void **state)
{
    struct strata_error error;
    struct stream_stat stat;
    for (int cut = 0; cut < CUTS; cut++) {
        char dir[64];
        int status;
        folder (dir, sizeof (dir));
        run_and_join (dir, (enum cut)cut, reuse_and_die, &status);
        assert_int_equal (status, 0);
        struct shard *shard = shard_open (dir, &error);
        assert_non_null (shard);
        stream_stat (shard, "a", &stat);
        uint64_t from = stat.first, again;
        /* 40 MiB of which all was forgotten; then 12 MiB, and 400 records that count only with their batch. */
        uint64_t chunk = LARGE * LARGE_COUNT, old = ((40u << 20) + chunk - 1) / chunk * LARGE_COUNT;
        uint64_t kept = cut == BEFORE_REUSE ? 0 : ((12u << 20) + chunk - 1) / chunk * LARGE_COUNT + (cut == COMMITTED ? 400 : 0);
        assert_int_equal (stat.next, old + kept + 1);
        assert_int_equal (stat.next - stat.first, kept);
        assert_int_equal (stream_read (shard, "a", 0, SIZE_MAX, SIZE_MAX, see_large, &from), kept);
        again = append_many (shard, stat.next, 20u << 20);
        from = stat.first;
        assert_int_equal (stream_read (shard, "a", 0, SIZE_MAX, SIZE_MAX, see_large, &from), again - stat.first);
        assert_int_equal (files_named (dir, "*.spare"), 0); /* of the process that died */
        shard_close (&shard);
        remove_folder (dir);
    }
}

static void read_all_and_die (const char *dir, enum cut cut)
{
    struct strata_error error;
    uint64_t from;
    struct stream_stat stat;
    struct rlimit none = { 0, 0 };
    setrlimit (RLIMIT_CORE, &none);
    struct shard *shard = shard_open (dir, &error);
    stream_stat (shard, "a", &stat);
    from = stat.first;
    stream_read (shard, "a", 0, SIZE_MAX, SIZE_MAX, see_large, &from);
    _exit (0);
}

/* A disk that lost a write after it had told that it was done leaves the bytes of before: they look like records. */
static void bytes_of_before_in_the_place_of_a_record_are_damage (void **state)
{
    struct strata_error error;
    char dir[64], command[300];
    int status;
    folder (dir, sizeof (dir));
    run_and_join (dir, COMMITTED, reuse_and_die, &status);
    assert_int_equal (status, 0);
    /* The reused file's first record, as it was: the stream's first, 3000 bytes of 1. */
    snprintf (command, sizeof (command),
              "f=$(find '%s' -name 'a.*.records' | sort | tail -n 1) && head -c %d /dev/zero | tr '\\0' '\\1' | dd of=\"$f\" conv=notrunc 2> /dev/null",
              dir, LARGE);
    assert_int_equal (system (command), 0);
    run_and_join (dir, COMMITTED, read_all_and_die, &status);
    assert_true (WIFSIGNALED (status) && WTERMSIG (status) == SIGABRT);
    assert_null (shard_open (dir, &error));
    assert_int_equal (errno, EBADMSG);
    remove_folder (dir);
}

static void records_of_an_older_store_are_read (void **state)
{
    struct strata_error error;
    struct shard *shard = memory ();
    struct seen seen = { .count = 0 };
    struct shard_key key, meta = { .size = 0 };
    for (uint64_t n = 1; n <= 2; n++) {
        uint8_t value[10] = { 0, 6, 0, 0, 0, 0, 0, 0, 'r', (uint8_t)('0' + n) };
        shard_key (&key, "s/a/");
        shard_key_u64 (&key, n);
        shard_put (shard, key.data, key.size, value, sizeof (value));
    }
    shard_key_u64 (&meta, 1);
    shard_key_u64 (&meta, 3);
    shard_key_u64 (&meta, 4);
    shard_key_u64 (&meta, 0);
    shard_put (shard, "S/a", 3, meta.data, meta.size);
    assert_int_equal (stream_append (shard, "a", NULL, 0, "r3", 2, 1, NULL, &error), 1);
    assert_int_equal (stream_read (shard, "a", 1, 10, 1000, see, &seen), 3);
    assert_string_equal (seen.text[1], "r2");
    assert_string_equal (seen.text[2], "r3");
    shard_close (&shard);
}

static void a_batch_is_kept_but_for_its_repeats (void **state)
{
    struct strata_error error;
    struct shard *shard = memory ();
    struct seen seen = { .count = 0 };
    uint32_t sizes[] = { 1, 2, 3 };
    uint64_t sequences[] = { 4, 5, 7 }, falling[] = { 8, 8, 9 }, first;
    size_t appended;
    struct stream_batch batch = { "p", sequences, sizes, 3, "abbccc", true };
    assert_int_equal (stream_append (shard, "a", "p", 5, "x", 1, 0, NULL, &error), 1);
    assert_int_equal (stream_append_batch (shard, "a", &batch, 1, &first, &appended, &error), 0);
    assert_int_equal (appended, 1);
    assert_int_equal (first, 2);
    assert_int_equal (stream_append_batch (shard, "a", &batch, 1, &first, &appended, &error), 0);
    assert_int_equal (appended, 0);
    batch.producer_sequences = falling;
    assert_int_equal (stream_append_batch (shard, "a", &batch, 1, &first, &appended, &error), -1);
    assert_int_equal (errno, EINVAL);
    batch.producer = NULL;
    stream_set_limit (shard, "a", 9);
    assert_int_equal (stream_append_batch (shard, "a", &batch, 1, &first, &appended, &error), -1);
    assert_int_equal (errno, ENOSPC);
    assert_int_equal (stream_read (shard, "a", 1, 10, 1000, see, &seen), 2);
    assert_string_equal (seen.text[1], "ccc");
    assert_int_equal (stream_producer_last (shard, "a", "p"), 7);
    shard_close (&shard);
}

/* The bytes of the records taken last. */
static uint8_t taken[4096];

static int take_chunk (const struct stream_chunk *chunk, size_t skip, size_t count, void *arg)
{
    size_t *size = arg, bytes = stream_chunk_bytes (chunk, skip, count);
    assert_true (*size + bytes <= sizeof (taken));
    stream_chunk_copy (chunk, skip, count, taken + *size);
    *size += bytes;
    return 0;
}

static int take_many (struct shard *shard, int64_t now_us, int64_t lease_us, uint32_t max_tries, size_t max, struct queue_lease *lease)
{
    size_t size = 0;
    return queue_take (shard, "q", now_us, lease_us, max_tries, max, SIZE_MAX, lease, take_chunk, &size);
}

static int take (struct shard *shard, int64_t now_us, int64_t lease_us, uint32_t max_tries, struct queue_lease *lease)
{
    return take_many (shard, now_us, lease_us, max_tries, 1, lease);
}

static void put_ten (struct shard *shard)
{
    struct strata_error error;
    uint64_t first, sequences[10];
    uint32_t sizes[10];
    size_t appended;
    char bytes[20] = "";
    for (uint32_t i = 0; i < 10; i++) {
        sizes[i] = 1 + i % 2;
        sequences[i] = i + 1;
        memset (bytes + 3 * (i / 2) + i % 2, 'a' + (int)i, sizes[i]);
    }
    struct stream_batch batch = { "p", sequences, sizes, 10, bytes, true };
    assert_int_equal (queue_put_batch (shard, "q", &batch, 1, &first, &appended, &error), 0);
    assert_int_equal (appended, 10);
    assert_int_equal (first, 1);
}

static void records_are_taken_and_acknowledged_in_runs_and_each_once (void **state)
{
    struct strata_error error;
    struct shard *shard = memory ();
    struct queue_lease a, b, c;
    struct queue_stat stat;
    put_ten (shard);
    assert_int_equal (take_many (shard, 10, 100, 3, 4, &a), 1);
    assert_int_equal (a.first, 1);
    assert_int_equal (a.count, 4);
    assert_memory_equal (taken, "abbcdd", 6);
    assert_int_equal (take_many (shard, 10, 200, 3, 100, &b), 1);
    assert_int_equal (b.first, 5);
    assert_int_equal (b.count, 6);
    assert_memory_equal (taken, "effghhijj", 9);
    assert_int_equal (take_many (shard, 10, 100, 3, 100, &c), 0);
    /* From the middle of a lease: what stands on both sides stays leased. */
    assert_int_equal (queue_ack (shard, "q", 2, 2, a.token, &error), 0);
    assert_int_equal (queue_ack (shard, "q", 2, 2, a.token, &error), 0);
    assert_int_equal (queue_ack (shard, "q", 2, 1, a.token, &error), -1);
    assert_int_equal (errno, ENOENT);
    assert_int_equal (queue_ack (shard, "q", 4, 2, a.token, &error), -1); /* 5 is b's */
    assert_int_equal (errno, ESTALE);
    queue_stat (shard, "q", &stat);
    assert_int_equal (stat.leased, 8);
    assert_int_equal (stat.done, 2);
    /* a's lease ends: 1 and 4 come again, oldest first and apart, before anything new. */
    assert_int_equal (take_many (shard, 111, 100, 3, 100, &c), 1);
    assert_int_equal (c.first, 1);
    assert_int_equal (c.count, 1);
    assert_int_equal (c.tries, 2);
    assert_int_equal (queue_ack (shard, "q", 1, 1, a.token, &error), -1);
    assert_int_equal (errno, ESTALE);
    /* Given back, it was no try. */
    assert_int_equal (queue_give_back (shard, "q", 1, 1, c.token, &error), 0);
    assert_int_equal (queue_give_back (shard, "q", 1, 1, c.token, &error), -1);
    assert_int_equal (take_many (shard, 111, 100, 3, 100, &c), 1);
    assert_int_equal (c.first, 1);
    assert_int_equal (c.tries, 2);
    assert_int_equal (queue_ack (shard, "q", 1, 1, c.token, &error), 0);
    assert_int_equal (take_many (shard, 111, 100, 3, 100, &c), 1);
    assert_int_equal (c.first, 4);
    assert_int_equal (queue_nack (shard, "q", 4, 1, c.token, "no", true, 112, NULL, &error), 0);
    assert_int_equal (queue_renew (shard, "q", 5, 6, b.token, 112, 1000, &error), 0);
    assert_int_equal (queue_ack (shard, "q", 5, 6, b.token, &error), 0);
    queue_stat (shard, "q", &stat);
    assert_int_equal (stat.done, 9);
    assert_int_equal (stat.aside, 1);
    assert_int_equal (stat.aside_bytes, 2);
    assert_int_equal (stat.waiting + stat.leased, 0);
    assert_int_equal (stat.bytes, 0);
    shard_close (&shard);
}

static void a_queue_is_the_same_when_its_store_is_opened_again (void **state)
{
    struct strata_error error;
    char dir[64];
    struct queue_lease a, b, c;
    struct queue_stat before, after;
    folder (dir, sizeof (dir));
    struct shard *shard = shard_open (dir, &error);
    assert_non_null (shard);
    put_ten (shard);
    assert_int_equal (take_many (shard, 10, 100, 9, 3, &a), 1);
    assert_int_equal (take_many (shard, 10, 1000, 9, 3, &b), 1);
    assert_int_equal (queue_ack (shard, "q", 5, 1, b.token, &error), 0);
    assert_int_equal (queue_nack (shard, "q", 1, 3, a.token, "again", false, 11, NULL, &error), 0);
    queue_stat (shard, "q", &before);
    assert_int_equal (shard_commit (shard, &error), 0);
    shard_close (&shard);
    shard = shard_open (dir, &error);
    assert_non_null (shard);
    queue_stat (shard, "q", &after);
    assert_memory_equal (&before, &after, sizeof (before));
    assert_int_equal (queue_ack (shard, "q", 5, 1, b.token, &error), 0); /* done before */
    assert_int_equal (queue_ack (shard, "q", 4, 1, b.token, &error), 0);
    assert_int_equal (queue_ack (shard, "q", 6, 1, b.token, &error), 0);
    assert_int_equal (take_many (shard, 20, 100, 9, 100, &c), 1);
    assert_int_equal (c.first, 1);
    assert_int_equal (c.count, 3);
    assert_int_equal (c.tries, 2);
    assert_true (c.token > b.token);
    assert_int_equal (take_many (shard, 20, 100, 9, 100, &c), 1);
    assert_int_equal (c.first, 7);
    assert_int_equal (c.count, 4);
    shard_close (&shard);
    remove_folder (dir);
}

static void a_queue_s_record_goes_to_one_consumer_until_its_lease_ends (void **state)
{
    struct strata_error error;
    struct shard *shard = memory ();
    struct queue_lease a, b;
    assert_int_equal (queue_put (shard, "q", "p", 1, "one", 3, 0, NULL, &error), 1);
    assert_int_equal (queue_put (shard, "q", "p", 1, "one", 3, 0, NULL, &error), 0);
    assert_int_equal (take (shard, 100, 50, 3, &a), 1);
    assert_memory_equal (taken, "one", 3);
    assert_int_equal (take (shard, 120, 50, 3, &b), 0);
    assert_int_equal (take (shard, 151, 50, 3, &b), 1);
    assert_int_equal (b.tries, 2);
    assert_int_equal (queue_ack (shard, "q", a.first, 1, a.token, &error), -1);
    assert_int_equal (errno, ESTALE);
    assert_int_equal (queue_ack (shard, "q", b.first, 1, b.token, &error), 0);
    assert_int_equal (queue_ack (shard, "q", b.first, 1, b.token, &error), 0);
    struct queue_stat stat;
    queue_stat (shard, "q", &stat);
    assert_int_equal (stat.done, 1);
    assert_int_equal (stat.waiting + stat.leased + stat.aside, 0);
    assert_int_equal (stat.bytes, 0);
    shard_close (&shard);
}

static void a_renewed_lease_ends_later_and_a_lost_one_can_t_be_renewed (void **state)
{
    struct strata_error error;
    struct shard *shard = memory ();
    struct queue_lease a, b;
    queue_put (shard, "q", NULL, 0, "one", 3, 0, NULL, &error);
    assert_int_equal (take (shard, 100, 50, 3, &a), 1);
    assert_int_equal (queue_renew (shard, "q", a.first, 1, a.token, 140, 50, &error), 0);
    assert_int_equal (take (shard, 160, 50, 3, &b), 0);
    assert_int_equal (take (shard, 191, 50, 3, &b), 1);
    assert_int_equal (b.tries, 2);
    assert_int_equal (queue_renew (shard, "q", a.first, 1, a.token, 195, 50, &error), -1);
    assert_int_equal (errno, ESTALE);
    assert_int_equal (queue_ack (shard, "q", b.first, 1, b.token, &error), 0);
    assert_int_equal (queue_renew (shard, "q", b.first, 1, b.token, 200, 50, &error), -1);
    shard_close (&shard);
}

static void count_aside (uint64_t sequence, uint32_t tries, const char *reason, int64_t time_us, void *arg)
{
    char *out = arg;
    snprintf (out, 128, "%llu %u %s", (unsigned long long)sequence, tries, reason);
}

static void a_record_that_fails_too_often_is_set_aside_with_its_reason (void **state)
{
    struct strata_error error;
    struct shard *shard = memory ();
    struct queue_lease lease;
    char text[128] = "";
    bool aside;
    queue_put (shard, "q", NULL, 0, "one", 3, 0, NULL, &error);
    queue_put (shard, "q", NULL, 0, "two", 3, 0, NULL, &error);
    for (int64_t t = 0; t < 2; t++) {
        assert_int_equal (take (shard, t * 100, 50, 2, &lease), 1);
        assert_int_equal (lease.first, 1);
    }
    assert_int_equal (take (shard, 300, 50, 2, &lease), 1);
    assert_int_equal (lease.first, 2);
    queue_aside (shard, "q", 10, count_aside, text);
    assert_string_equal (text, "1 2 handed out 2 times without an answer: its consumer died or hung on it");
    assert_int_equal (queue_nack (shard, "q", 2, 1, lease.token, "broken file", true, 300, &aside, &error), 0);
    assert_true (aside);
    queue_aside (shard, "q", 1, count_aside, text);
    assert_string_equal (text, "2 1 broken file");
    struct queue_stat stat;
    queue_stat (shard, "q", &stat);
    assert_int_equal (stat.aside, 2);
    shard_close (&shard);
}

/* ---- what is deleted costs nothing later ---- */

static uint64_t skipped (rocksdb_perfcontext_t *perf)
{
    return rocksdb_perfcontext_metric (perf, rocksdb_internal_delete_skipped_count);
}

static void work_through (struct shard *shard, uint64_t from, uint64_t to)
{
    struct strata_error error;
    for (uint64_t n = from; n <= to; n++) {
        struct queue_lease lease;
        assert_int_equal (take (shard, 1000, 1000000, 3, &lease), 1);
        assert_int_equal (lease.first, n);
        assert_int_equal (queue_ack (shard, "q", n, 1, lease.token, &error), 0);
        assert_int_equal (shard_commit (shard, &error), 0);
    }
}

static void a_take_does_not_walk_over_what_was_taken_before (void **state)
{
    struct shard *shard = memory ();
    struct strata_error error;
    for (uint64_t n = 1; n <= 2000; n++)
        assert_int_equal (queue_put (shard, "q", "p", n, "record", 6, 1, NULL, &error), 1);
    assert_int_equal (shard_commit (shard, &error), 0);
    work_through (shard, 1, 1900);
    rocksdb_set_perf_level (rocksdb_enable_count);
    rocksdb_perfcontext_t *perf = rocksdb_perfcontext_create ();
    rocksdb_perfcontext_reset (perf);
    work_through (shard, 1901, 2000);
    assert_in_range (skipped (perf), 0, 1000); /* ten a record, not thousands */
    rocksdb_perfcontext_destroy (perf);
    rocksdb_set_perf_level (rocksdb_disable);
    struct queue_stat stat;
    queue_stat (shard, "q", &stat);
    assert_int_equal (stat.done, 2000);
    assert_int_equal (stat.bytes, 0);
    shard_close (&shard);
}

static Strata__Header request_header_of (uint64_t boot, uint64_t request, uint64_t settled)
{
    Strata__Header header = STRATA__HEADER__INIT;
    header.sender = "client";
    header.boot = boot;
    header.request = request;
    header.settled = settled;
    return header;
}

static enum replies_verdict look (struct shard *shard, uint64_t boot, uint64_t request, uint64_t settled)
{
    Strata__Header header = request_header_of (boot, request, settled);
    uint32_t type;
    void *body = NULL;
    size_t size;
    enum replies_verdict verdict = replies_look (shard, &header, &type, &body, &size);
    if (verdict == REPLIES_KNOWN)
        free (body);
    return verdict;
}

static void keep (struct shard *shard, uint64_t boot, uint64_t request, uint64_t settled)
{
    Strata__Header header = request_header_of (boot, request, settled);
    replies_keep (shard, &header, 1, 2, "body", 4);
}

static void forgetting_replies_does_not_walk_over_those_forgotten_before (void **state)
{
    struct shard *shard = memory ();
    struct strata_error error;
    rocksdb_perfcontext_t *perf = rocksdb_perfcontext_create ();
    for (uint64_t n = 1; n <= 2000; n++) {
        if (n == 1901) {
            rocksdb_set_perf_level (rocksdb_enable_count);
            rocksdb_perfcontext_reset (perf);
        }
        assert_int_equal (look (shard, 1, n, n), REPLIES_NEW);
        keep (shard, 1, n, n);
        assert_int_equal (shard_commit (shard, &error), 0);
    }
    assert_in_range (skipped (perf), 0, 1000);
    rocksdb_perfcontext_destroy (perf);
    rocksdb_set_perf_level (rocksdb_disable);
    assert_int_equal (look (shard, 1, 1999, 1), REPLIES_SETTLED);
    assert_int_equal (look (shard, 1, 2000, 1), REPLIES_KNOWN);
    shard_close (&shard);
}

/* Request 2's answer took long: what was settled while it was under way stays so. */
static void what_is_settled_stays_settled_after_a_late_answer (void **state)
{
    struct shard *shard = memory ();
    keep (shard, 1, 3, 1);
    keep (shard, 1, 8, 2);
    keep (shard, 1, 9, 8);
    assert_int_equal (look (shard, 1, 3, 1), REPLIES_SETTLED);
    keep (shard, 1, 8, 2);
    assert_int_equal (look (shard, 1, 3, 1), REPLIES_SETTLED);
    shard_close (&shard);
}

/* Clients that settle late, early and out of order, told to a shard that has forgotten what it had in memory each time too. */
static void what_is_in_memory_of_replies_and_producers_changes_nothing_in_the_store (void **state)
{
    struct shard *shards[2] = { memory (), memory () };
    struct strata_error error;
    for (int k = 0; k < 2; k++) {
        uint64_t settled[3] = { 1, 1, 1 };
        unsigned seed = 7;
        shard_set_digest (shards[k], 1);
        for (uint64_t n = 1; n <= 3000; n++) {
            uint64_t boot = (uint64_t)rand_r (&seed) % 3, request = n - (uint64_t)rand_r (&seed) % (n < 5 ? n : 5);
            unsigned lag = n % 1000 < 500 ? 10 : 150, at = (unsigned)rand_r (&seed) % lag;
            char producer[16];
            uint64_t sequence = n - n % 3;
            if (request > at && request - at > settled[boot])
                settled[boot] = request - at;
            if (k == 1 && n % 7 != 0) {
                assert_int_equal (shard_commit (shards[k], &error), 0);
                shard_forget (shards[k]);
            }
            if (look (shards[k], boot, request, settled[boot]) == REPLIES_NEW)
                keep (shards[k], boot, request, settled[boot]);
            snprintf (producer, sizeof (producer), "p%u", (unsigned)rand_r (&seed) % 5);
            assert_true (stream_append (shards[k], "a", producer, sequence, "r", 1, (int64_t)n, NULL, &error) >= 0);
        }
    }
    assert_true (shard_digest (shards[0]) != 1);
    assert_true (shard_digest (shards[0]) == shard_digest (shards[1]));
    for (int k = 0; k < 2; k++)
        shard_close (&shards[k]);
}

/* Two clients of one process, or of two containers with one host name and process number. */
static void two_clients_of_one_name_do_not_forget_each_other_s_replies (void **state)
{
    struct shard *shard = memory ();
    keep (shard, 1, 1, 1);
    assert_int_equal (look (shard, 2, 1, 1), REPLIES_NEW);
    keep (shard, 2, 1, 1);
    assert_int_equal (look (shard, 1, 1, 1), REPLIES_KNOWN);
    assert_int_equal (look (shard, 2, 1, 1), REPLIES_KNOWN);
    replies_sweep (shard, (REPLIES_KEPT_S + 1) * 1000000LL);
    assert_int_equal (look (shard, 1, 1, 1), REPLIES_NEW);
    assert_int_equal (look (shard, 2, 1, 1), REPLIES_NEW);
    shard_close (&shard);
}

static void a_record_set_aside_makes_room_for_others (void **state)
{
    struct shard *shard = memory ();
    struct strata_error error;
    struct queue_lease lease;
    struct queue_stat stat;
    static char record[1000];
    stream_set_limit (shard, "q", 1000);
    assert_int_equal (queue_put (shard, "q", "p", 1, record, 1000, 1, NULL, &error), 1);
    assert_int_equal (take (shard, 1, 100, 3, &lease), 1);
    assert_int_equal (queue_nack (shard, "q", 1, 1, lease.token, "broken", true, 2, NULL, &error), 0);
    queue_stat (shard, "q", &stat);
    assert_int_equal (stat.bytes, 0);
    assert_int_equal (queue_put (shard, "q", "p", 2, record, 1000, 1, NULL, &error), 1);
    shard_close (&shard);
}

/* Leases end in another order than they were given, and more of them than one take looks at. */
static void every_lease_that_ended_is_handed_out_again (void **state)
{
    struct shard *shard = memory ();
    struct strata_error error;
    struct queue_lease lease;
    struct queue_stat stat;
    for (uint64_t n = 1; n <= 600; n++)
        assert_int_equal (queue_put (shard, "q", "p", n, "r", 1, 1, NULL, &error), 1);
    for (uint64_t n = 1; n <= 600; n++) {
        assert_int_equal (take (shard, 1, n % 2 ? 100 : 5000, 9, &lease), 1);
    }
    assert_int_equal (take (shard, 50, 100, 9, &lease), 0);
    for (uint64_t n = 1; n <= 300; n++) {
        assert_int_equal (take (shard, 200, 100000, 9, &lease), 1);
        assert_int_equal (lease.first, 2 * n - 1);
        assert_int_equal (lease.tries, 2);
    }
    assert_int_equal (take (shard, 300, 100, 9, &lease), 0);
    assert_int_equal (take (shard, 6000, 100000, 9, &lease), 1);
    assert_int_equal (lease.first, 2);
    queue_stat (shard, "q", &stat);
    assert_int_equal (stat.waiting + stat.leased, 600);
    shard_close (&shard);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (reads_see_the_batch_before_it_is_committed),
        cmocka_unit_test (what_was_committed_survives_and_what_was_not_is_gone),
        cmocka_unit_test (a_shard_that_is_held_is_refused_to_another_process),
        cmocka_unit_test (attempts_to_take_a_held_shard_leave_its_folder_as_it_is),
        cmocka_unit_test (a_take_does_not_walk_over_what_was_taken_before),
        cmocka_unit_test (forgetting_replies_does_not_walk_over_those_forgotten_before),
        cmocka_unit_test (what_is_in_memory_of_replies_and_producers_changes_nothing_in_the_store),
        cmocka_unit_test (what_is_settled_stays_settled_after_a_late_answer),
        cmocka_unit_test (two_clients_of_one_name_do_not_forget_each_other_s_replies),
        cmocka_unit_test (large_chunks_stand_in_files_that_go_when_their_records_are_forgotten),
        cmocka_unit_test (files_of_forgotten_records_are_written_over_and_only_a_few_wait_for_it),
        cmocka_unit_test (files_that_are_linked_or_of_another_holder_are_not_written_over),
        cmocka_unit_test (what_a_crash_left_behind_the_records_is_not_read),
        cmocka_unit_test (what_stood_in_a_file_that_is_written_over_is_never_a_record_again),
        cmocka_unit_test (bytes_of_before_in_the_place_of_a_record_are_damage),
        cmocka_unit_test (records_of_an_older_store_are_read),
        cmocka_unit_test (a_batch_is_kept_but_for_its_repeats),
        cmocka_unit_test (records_are_taken_and_acknowledged_in_runs_and_each_once),
        cmocka_unit_test (a_queue_is_the_same_when_its_store_is_opened_again),
        cmocka_unit_test (a_record_set_aside_makes_room_for_others),
        cmocka_unit_test (every_lease_that_ended_is_handed_out_again),
        cmocka_unit_test (a_stream_numbers_its_records_without_gaps_across_commits),
        cmocka_unit_test (a_producer_s_repeats_are_dropped),
        cmocka_unit_test (a_full_stream_refuses_and_takes_again_after_trimming),
        cmocka_unit_test (bad_names_are_refused),
        cmocka_unit_test (a_queue_s_record_goes_to_one_consumer_until_its_lease_ends),
        cmocka_unit_test (a_renewed_lease_ends_later_and_a_lost_one_can_t_be_renewed),
        cmocka_unit_test (a_record_that_fails_too_often_is_set_aside_with_its_reason),
    };
    return cmocka_run_group_tests_name ("store", tests, NULL, NULL);
}
