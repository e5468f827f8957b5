/* test_store.c - shard, streams and queues, in memory and through a reopen. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <dirent.h>
#include <rocksdb/c.h>

#include "mesh/replies.h"
#include "store/queue.h"
#include "store/shard.h"
#include "store/stream.h"

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

static void a_queue_s_record_goes_to_one_consumer_until_its_lease_ends (void **state)
{
    struct strata_error error;
    struct shard *shard = memory ();
    struct queue_lease a, b;
    assert_int_equal (queue_put (shard, "q", "p", 1, "one", 3, 0, NULL, &error), 1);
    assert_int_equal (queue_put (shard, "q", "p", 1, "one", 3, 0, NULL, &error), 0);
    assert_int_equal (queue_take (shard, "q", "c1", 100, 50, 3, &a), 1);
    assert_memory_equal (a.record, "one", 3);
    assert_int_equal (queue_take (shard, "q", "c2", 120, 50, 3, &b), 0);
    assert_int_equal (queue_take (shard, "q", "c2", 151, 50, 3, &b), 1);
    assert_int_equal (b.tries, 2);
    assert_int_equal (queue_ack (shard, "q", a.sequence, a.token, &error), -1);
    assert_int_equal (errno, ESTALE);
    assert_int_equal (queue_ack (shard, "q", b.sequence, b.token, &error), 0);
    assert_int_equal (queue_ack (shard, "q", b.sequence, b.token, &error), 0);
    struct queue_stat stat;
    queue_stat (shard, "q", &stat);
    assert_int_equal (stat.done, 1);
    assert_int_equal (stat.waiting + stat.leased + stat.aside, 0);
    assert_int_equal (stat.bytes, 0);
    queue_lease_fini (&a);
    queue_lease_fini (&b);
    shard_close (&shard);
}

static void a_renewed_lease_ends_later_and_a_lost_one_can_t_be_renewed (void **state)
{
    struct strata_error error;
    struct shard *shard = memory ();
    struct queue_lease a, b;
    queue_put (shard, "q", NULL, 0, "one", 3, 0, NULL, &error);
    assert_int_equal (queue_take (shard, "q", "c1", 100, 50, 3, &a), 1);
    assert_int_equal (queue_renew (shard, "q", a.sequence, a.token, 140, 50, &error), 0);
    assert_int_equal (queue_take (shard, "q", "c2", 160, 50, 3, &b), 0);
    assert_int_equal (queue_take (shard, "q", "c2", 191, 50, 3, &b), 1);
    assert_int_equal (b.tries, 2);
    assert_int_equal (queue_renew (shard, "q", a.sequence, a.token, 195, 50, &error), -1);
    assert_int_equal (errno, ESTALE);
    assert_int_equal (queue_ack (shard, "q", b.sequence, b.token, &error), 0);
    assert_int_equal (queue_renew (shard, "q", b.sequence, b.token, 200, 50, &error), -1);
    queue_lease_fini (&a);
    queue_lease_fini (&b);
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
        assert_int_equal (queue_take (shard, "q", "c", t * 100, 50, 2, &lease), 1);
        assert_int_equal (lease.sequence, 1);
        queue_lease_fini (&lease);
    }
    assert_int_equal (queue_take (shard, "q", "c", 300, 50, 2, &lease), 1);
    assert_int_equal (lease.sequence, 2);
    queue_aside (shard, "q", 10, count_aside, text);
    assert_string_equal (text, "1 2 handed out 2 times without an answer: its consumer died or hung on it");
    assert_int_equal (queue_nack (shard, "q", 2, lease.token, "broken file", true, 300, &aside, &error), 0);
    assert_true (aside);
    queue_aside (shard, "q", 1, count_aside, text);
    assert_string_equal (text, "2 1 broken file");
    struct queue_stat stat;
    queue_stat (shard, "q", &stat);
    assert_int_equal (stat.aside, 2);
    queue_lease_fini (&lease);
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
        assert_int_equal (queue_take (shard, "q", "c", 1000, 1000000, 3, &lease), 1);
        assert_int_equal (lease.sequence, n);
        assert_int_equal (queue_ack (shard, "q", n, lease.token, &error), 0);
        queue_lease_fini (&lease);
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
    assert_int_equal (queue_take (shard, "q", "c", 1, 100, 3, &lease), 1);
    assert_int_equal (queue_nack (shard, "q", 1, lease.token, "broken", true, 2, NULL, &error), 0);
    queue_lease_fini (&lease);
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
        assert_int_equal (queue_take (shard, "q", "c", 1, n % 2 ? 100 : 5000, 9, &lease), 1);
        queue_lease_fini (&lease);
    }
    assert_int_equal (queue_take (shard, "q", "c", 50, 100, 9, &lease), 0);
    for (uint64_t n = 1; n <= 300; n++) {
        assert_int_equal (queue_take (shard, "q", "c", 200, 100000, 9, &lease), 1);
        assert_int_equal (lease.sequence, 2 * n - 1);
        assert_int_equal (lease.tries, 2);
        queue_lease_fini (&lease);
    }
    assert_int_equal (queue_take (shard, "q", "c", 300, 100, 9, &lease), 0);
    assert_int_equal (queue_take (shard, "q", "c", 6000, 100000, 9, &lease), 1);
    assert_int_equal (lease.sequence, 2);
    queue_lease_fini (&lease);
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
        cmocka_unit_test (what_is_settled_stays_settled_after_a_late_answer),
        cmocka_unit_test (two_clients_of_one_name_do_not_forget_each_other_s_replies),
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
