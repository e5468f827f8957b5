/* test_journal.c - the record of a shard's inputs: what is written is read again, a crash at any point leaves it in step with
 * the store, what is lost or broken is seen, and it stays below its bound. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "mesh/recording.h"
#include "mesh/journal.h"

static const struct journal_limits plenty = { 64u << 20, 32u << 20 };

struct world {
    char dir[64], store[80], journal[128];
    struct shard *shard;
    struct journal *j;
    int64_t now_us;
};

static void open_world (struct world *w, const struct journal_limits *limits)
{
    struct strata_error error;
    w->shard = shard_open_copy (w->store, &error);
    assert_non_null (w->shard);
    w->j = journal_open (w->journal, w->shard, limits, &error);
    assert_non_null (w->j);
}

static void close_world (struct world *w)
{
    journal_close (&w->j);
    shard_close (&w->shard);
}

static void make_world (struct world *w, const struct journal_limits *limits)
{
    *w = (struct world){ .now_us = 1000000000 };
    snprintf (w->dir, sizeof (w->dir), "/tmp/strata-test-XXXXXX");
    assert_non_null (mkdtemp (w->dir));
    snprintf (w->store, sizeof (w->store), "%s/store", w->dir);
    snprintf (w->journal, sizeof (w->journal), "%s/replay/select-0", w->dir);
    open_world (w, limits);
}

static void end_world (struct world *w)
{
    char command[128];
    close_world (w);
    snprintf (command, sizeof (command), "rm -rf '%s'", w->dir);
    assert_int_equal (system (command), 0);
}

static void input (struct world *w, enum journal_kind kind, uint64_t a, const void *bytes, size_t size)
{
    const struct blob part = { bytes, size };
    const struct journal_item item = { kind, w->now_us += 1000, a, 5, size ? 1 : 0, &part };
    journal_input (w->j, &item);
}

/* A turn that is told something and changes a key. */
static void turn (struct world *w, uint64_t number, size_t bytes)
{
    struct strata_error error;
    char *filler = malloc (bytes + 1);
    memset (filler, 'a' + (int)(number % 26), bytes);
    input (w, JOURNAL_RECORD, number, filler, bytes);
    shard_put_u64 (w->shard, "last", number);
    journal_write (w->j, number * 3, false);
    assert_int_equal (shard_commit (w->shard, &error), 0);
    journal_committed (w->j);
    free (filler);
}

static void checkpoint (struct world *w)
{
    struct strata_error error;
    w->now_us += 1000000;
    assert_int_equal (journal_checkpoint (w->j, w->now_us, &error), 0);
}

static struct journal_position position (struct world *w)
{
    struct journal_position p = { { 0, 0 }, 0, 0, 0, 0, 0 };
    assert_true (journal_position_get (w->shard, &p));
    return p;
}

static FILE *segment (struct world *w, struct journal_id id, char path[256])
{
    char name[JOURNAL_NAME_MAX];
    snprintf (path, 256, "%s/%s", w->journal, journal_name (id, ".inputs", name));
    return fopen (path, "r+b");
}

static struct journal_figures figures (struct world *w)
{
    struct journal_figures f;
    journal_figures (w->j, &f);
    return f;
}

static void what_is_recorded_is_read_again (void **state)
{
    struct world w;
    struct strata_error error;
    static struct journal_cursor cursor;
    struct journal_head head;
    struct journal_record record;
    struct journal_item item;
    char path[256];
    make_world (&w, &plenty);
    checkpoint (&w);
    input (&w, JOURNAL_START, 7, "select-1", 8);
    w.now_us -= 500000; /* a clock that was set back */
    turn (&w, UINT64_MAX, 3);
    struct journal_position p = position (&w);
    FILE *file = segment (&w, p.segment, path);
    assert_int_equal (journal_head_read (file, path, &head, &error), 0);
    assert_int_equal (head.base, 1);
    assert_int_equal (head.previous.epoch, 0);
    assert_int_equal (journal_record_read (file, path, &record, &error), 1);
    assert_int_equal (record.turn, 1);
    assert_int_equal (record.state, shard_digest (w.shard));
    assert_int_not_equal (record.state, head.state);
    cursor = (struct journal_cursor){ .record = &record };
    assert_int_equal (journal_item_read (&cursor, &item), 1);
    assert_int_equal (item.kind, JOURNAL_START);
    assert_int_equal (item.a, 7);
    assert_int_equal (item.b, 5);
    assert_memory_equal (item.parts[0].data, "select-1", 8);
    int64_t first_us = item.now_us;
    assert_int_equal (journal_item_read (&cursor, &item), 1);
    assert_int_equal (item.a, UINT64_MAX);
    assert_int_equal (item.now_us, first_us - 499000);
    assert_int_equal (item.parts[0].size, 3);
    assert_int_equal (journal_item_read (&cursor, &item), 0);
    free (record.payload);
    assert_int_equal (journal_record_read (file, path, &record, &error), 0);
    fclose (file);
    end_world (&w);
}

/* A new world that has a checkpoint, and was told a tick. */
static void make_world_with_tick (struct world *w)
{
    make_world (w, &plenty);
    checkpoint (w);
    input (w, JOURNAL_TICK, 0, NULL, 0);
}

/* The first turn's items are of these kinds (T tick, F fact, A fact again, R other); the last fact came again so often. */
static void assert_first_turn (struct world *w, const char *letters, uint64_t again)
{
    static struct journal_cursor cursor;
    struct strata_error error;
    struct journal_head head;
    struct journal_record record;
    struct journal_item item;
    char path[256], seen[64], *next = seen;
    uint64_t seen_again = 0;
    FILE *file = segment (w, position (w).segment, path);
    assert_int_equal (journal_head_read (file, path, &head, &error), 0);
    assert_int_equal (journal_record_read (file, path, &record, &error), 1);
    cursor = (struct journal_cursor){ .record = &record };
    while (next < seen + sizeof (seen) - 1 && journal_item_read (&cursor, &item) == 1) {
        *next++ = item.kind == JOURNAL_FACT ? 'F' : item.kind == JOURNAL_FACT_AGAIN ? 'A' : item.kind == JOURNAL_TICK ? 'T' : 'R';
        if (item.kind == JOURNAL_FACT_AGAIN)
            seen_again = item.a;
    }
    *next = '\0';
    free (record.payload);
    fclose (file);
    assert_string_equal (seen, letters);
    assert_int_equal (seen_again, again);
}

static void an_answer_that_comes_again_is_only_counted (void **state)
{
    struct world w;
    make_world_with_tick (&w);
    for (int i = 0; i < 1000; i++)
        journal_fact (w.j, "run", 3);
    journal_fact (w.j, "end", 3);
    input (&w, JOURNAL_TICK, 0, NULL, 0);
    journal_fact (w.j, "end", 3); /* of another input: stands for itself */
    turn (&w, 1, 10);
    assert_first_turn (&w, "TFAFTFR", 999);
    end_world (&w);
}

static void what_only_read_is_taken_back (void **state)
{
    struct world w;
    make_world_with_tick (&w);
    journal_fact (w.j, "run", 3);
    journal_fact (w.j, "run", 3);
    struct journal_mark mark = journal_mark (w.j);
    input (&w, JOURNAL_REQUEST, 0, "a read", 6);
    journal_fact (w.j, "other", 5);
    journal_undo (w.j, &mark);
    journal_fact (w.j, "run", 3);
    turn (&w, 1, 10);
    assert_first_turn (&w, "TFAR", 2);
    end_world (&w);
}

static void inputs_without_effect_wait_for_one_with_but_not_without_bound (void **state)
{
    struct world w;
    make_world_with_tick (&w);
    journal_write (w.j, 0, false);
    assert_false (shard_dirty (w.shard));
    for (int i = 0; i < 20000; i++)
        input (&w, JOURNAL_TICK, 0, NULL, 0);
    journal_write (w.j, 0, false);
    assert_true (shard_dirty (w.shard));
    end_world (&w);
}

static void a_turn_that_was_never_committed_is_not_in_the_record (void **state)
{
    struct world w;
    make_world (&w, &plenty);
    checkpoint (&w);
    turn (&w, 1, 100);
    input (&w, JOURNAL_RECORD, 2, "lost", 4);
    shard_put_u64 (w.shard, "last", 2);
    journal_write (w.j, 0, false); /* on disk, but the commit never came: SIGKILL */
    close_world (&w);
    open_world (&w, &plenty);
    assert_int_equal (figures (&w).turns, 1);
    assert_int_equal (figures (&w).checkpoints, 1);
    turn (&w, 2, 100);
    struct journal_position p = position (&w);
    assert_int_equal (p.turn, 2);
    /* The new process wrote into a segment of its own, which goes on from the other's turn 1. */
    struct strata_error error;
    struct journal_head head;
    char path[256];
    FILE *file = segment (&w, p.segment, path);
    assert_int_equal (journal_head_read (file, path, &head, &error), 0);
    assert_int_equal (head.id.turn, 1);
    assert_int_equal (head.previous.turn, 0);
    assert_int_not_equal (head.previous.epoch, 0);
    assert_int_equal (head.base, 0);
    fclose (file);
    end_world (&w);
}

static void a_commit_that_is_tried_again_is_one_turn (void **state)
{
    struct world w;
    struct strata_error error;
    make_world (&w, &plenty);
    checkpoint (&w);
    input (&w, JOURNAL_RECORD, 1, "one", 3);
    shard_put_u64 (w.shard, "last", 1);
    journal_write (w.j, 0, false);
    input (&w, JOURNAL_REPLY, 2, "late", 4); /* while the disk is full */
    shard_put_u64 (w.shard, "late", 1);
    journal_write (w.j, 0, false);
    assert_int_equal (shard_commit (w.shard, &error), 0);
    journal_committed (w.j);
    assert_first_turn (&w, "RR", 0);
    assert_int_equal (position (&w).state, shard_digest (w.shard));
    end_world (&w);
}

static void a_record_whose_end_the_machine_lost_is_begun_anew (void **state)
{
    struct world w;
    char path[256];
    make_world (&w, &plenty);
    checkpoint (&w);
    turn (&w, 1, 1000);
    turn (&w, 2, 1000);
    struct journal_position p = position (&w);
    close_world (&w);
    fclose (segment (&w, p.segment, path));
    assert_int_equal (truncate (path, (off_t)p.end - 10), 0);
    open_world (&w, &plenty);
    assert_int_equal (figures (&w).checkpoints, 0);
    assert_true (journal_due (w.j, w.now_us));
    assert_int_equal (access (path, F_OK), -1);
    checkpoint (&w);
    turn (&w, 3, 10);
    assert_int_equal (position (&w).turn, 3);
    end_world (&w);
}

static void a_flipped_bit_is_found (void **state)
{
    struct world w;
    struct strata_error error;
    struct journal_head head;
    struct journal_record record;
    char path[256];
    make_world (&w, &plenty);
    checkpoint (&w);
    turn (&w, 1, 100);
    FILE *file = segment (&w, position (&w).segment, path);
    for (long at = 0; at < (long)position (&w).end; at++) {
        fseek (file, at, SEEK_SET);
        int c = fgetc (file);
        fseek (file, at, SEEK_SET);
        fputc (c ^ 1 << at % 8, file);
        rewind (file);
        int rc = journal_head_read (file, path, &head, &error);
        if (rc == 0)
            rc = journal_record_read (file, path, &record, &error) == 1 ? 0 : -1;
        assert_int_equal (rc, -1);
        assert_non_null (strstr (error.text, path));
        fseek (file, at, SEEK_SET);
        fputc (c, file);
    }
    fclose (file);
    end_world (&w);
}

static void it_stays_below_its_bound_and_keeps_a_checkpoint (void **state)
{
    static const struct journal_limits small = { 4u << 20, 1u << 20 };
    struct world w;
    make_world (&w, &small);
    checkpoint (&w);
    unsigned made = 0;
    for (uint64_t i = 1; i <= 4000; i++) {
        w.now_us += 100000;
        turn (&w, i, 10000);
        if (journal_due (w.j, w.now_us)) {
            checkpoint (&w);
            made++;
        }
        struct journal_figures f = figures (&w);
        assert_true (f.bytes <= small.keep_bytes);
        assert_true (f.checkpoints >= 1);
    }
    assert_in_range (made, 35, 45);
    /* The figure is true: what du says of the folder is no more, its links into the store aside. */
    char command[256];
    snprintf (command, sizeof (command), "test $(cat %s/*.inputs | wc -c) -le %d", w.journal, 4 << 20);
    assert_int_equal (system (command), 0);
    end_world (&w);
}

static void a_flood_of_inputs_is_not_recorded_and_does_not_pass_the_bound (void **state)
{
    static const struct journal_limits small = { 4u << 20, 1u << 20 };
    struct world w;
    make_world (&w, &small);
    checkpoint (&w);
    for (uint64_t i = 1; i <= 2000; i++) {
        turn (&w, i, 10000);
        assert_false (journal_due (w.j, w.now_us)); /* no checkpoint after checkpoint */
        assert_true (figures (&w).bytes <= small.keep_bytes);
        if (i < 400 || i > 430)
            assert_int_equal (figures (&w).recording, i < 400);
    }
    assert_true (figures (&w).bytes == 0);
    w.now_us += 60000000;
    assert_true (journal_due (w.j, w.now_us));
    checkpoint (&w);
    turn (&w, 2001, 10000);
    assert_true (figures (&w).recording);
    end_world (&w);
}

static void what_only_the_checkpoints_keep_alive_counts (void **state)
{
    static const struct journal_limits small = { 4u << 20, 1u << 20 };
    struct world w;
    struct strata_error error;
    char *big = calloc (1, 3u << 20), key[16];
    make_world (&w, &small);
    for (size_t i = 0; i < 3u << 20; i++)
        big[i] = (char)(rand () >> 7); /* bytes that don't compress */
    shard_put (w.shard, "big", 3, big, 3u << 20);
    assert_int_equal (shard_commit (w.shard, &error), 0);
    checkpoint (&w);
    assert_true (figures (&w).bytes < 1u << 20); /* linked */
    shard_delete (w.shard, "big", 3);
    for (int i = 0; i < 40; i++) { /* until RocksDB has thrown the old file away */
        snprintf (key, sizeof (key), "filler%d", i % 4);
        shard_put (w.shard, key, strlen (key), big, 1u << 20);
        assert_int_equal (shard_commit (w.shard, &error), 0);
    }
    for (int i = 0; i < 100 && figures (&w).bytes < 3u << 20; i++) {
        w.now_us += 1000000;
        turn (&w, 1, 100000);
        if (journal_due (w.j, w.now_us))
            checkpoint (&w);
        usleep (20000);
    }
    w.now_us += 60000000;
    for (int i = 0; i < 20 && journal_due (w.j, w.now_us); i++) {
        checkpoint (&w);
        w.now_us += 60000000;
    }
    assert_true (figures (&w).bytes <= small.keep_bytes);
    free (big);
    end_world (&w);
}

static void a_record_that_cannot_be_written_stops_nothing_and_is_begun_anew (void **state)
{
    struct world w;
    struct strata_error error;
    char command[400];
    make_world (&w, &plenty);
    checkpoint (&w);
    turn (&w, 1, 100);
    close_world (&w);
    open_world (&w, &plenty);
    /* The folder is gone, and a file is in its place: the next segment can't be made. */
    snprintf (command, sizeof (command), "rm -rf '%s' && touch '%s'", w.journal, w.journal);
    assert_int_equal (system (command), 0);
    turn (&w, 2, 100);
    assert_int_equal (shard_get_u64 (w.shard, "last", 0), 2);
    assert_false (figures (&w).recording);
    struct journal_position p;
    turn (&w, 3, 100);
    assert_false (journal_position_get (w.shard, &p)); /* it vouches for nothing */
    assert_false (journal_due (w.j, w.now_us));        /* not at once */
    snprintf (command, sizeof (command), "rm '%s' && mkdir '%s'", w.journal, w.journal);
    assert_int_equal (system (command), 0);
    w.now_us += 60000000;
    assert_true (journal_due (w.j, w.now_us));
    assert_int_equal (journal_checkpoint (w.j, w.now_us, &error), 0);
    assert_true (figures (&w).recording);
    turn (&w, 4, 100);
    assert_true (journal_position_get (w.shard, &p));
    end_world (&w);
}

static void digests_tell_changes_apart (void **state)
{
    static const char *const cases[][2] = { { "a", "bc" }, { "ab", "c" }, { "a", "" }, { "b", "bc" }, { "a", "bd" } };
    struct strata_error error;
    uint64_t seen[8];
    size_t count = 0;
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        struct shard *shard = shard_open_memory (&error);
        shard_set_digest (shard, 1);
        shard_put (shard, cases[i][0], strlen (cases[i][0]), cases[i][1], strlen (cases[i][1]));
        seen[count++] = shard_digest (shard);
        shard_put (shard, "!own", 4, "x", 1);
        assert_int_equal (shard_digest (shard), seen[count - 1]);
        shard_close (&shard);
    }
    struct shard *shard = shard_open_memory (&error);
    shard_set_digest (shard, 1);
    shard_delete (shard, "a", 1);
    seen[count++] = shard_digest (shard);
    shard_close (&shard);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal (seen[i], seen[j]);
}

/* A core of many candidates takes seconds to start: its record gets checkpoints too, but seldom, and never at a lease's cost. */
static void a_slow_core_gets_checkpoints_seldom_and_none_when_its_lease_could_end (void **state)
{
    static const struct {
        int64_t start_us, since_us, lease_us;
        bool may;
    } cases[] = {
        { 100000, 0, 3000000, true },           { 500000, 0, 3000000, true },         { 600000, 0, 3000000, false },
        { 600000, 29000000, 3000000, false },   { 600000, 31000000, 3000000, true },  { 1500000, 80000000, 3000000, true },
        { 1600000, 900000000, 3000000, false }, { 1600000, 90000000, 10000000, true }, { 600000, 90000000, 1000000, false },
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++)
        if (recording_may_restart (cases[i].start_us, cases[i].since_us, cases[i].lease_us) != cases[i].may)
            fail_msg ("case %zu is decided otherwise", i);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (what_is_recorded_is_read_again),
        cmocka_unit_test (an_answer_that_comes_again_is_only_counted),
        cmocka_unit_test (what_only_read_is_taken_back),
        cmocka_unit_test (inputs_without_effect_wait_for_one_with_but_not_without_bound),
        cmocka_unit_test (a_turn_that_was_never_committed_is_not_in_the_record),
        cmocka_unit_test (a_commit_that_is_tried_again_is_one_turn),
        cmocka_unit_test (a_record_whose_end_the_machine_lost_is_begun_anew),
        cmocka_unit_test (a_flipped_bit_is_found),
        cmocka_unit_test (it_stays_below_its_bound_and_keeps_a_checkpoint),
        cmocka_unit_test (a_flood_of_inputs_is_not_recorded_and_does_not_pass_the_bound),
        cmocka_unit_test (what_only_the_checkpoints_keep_alive_counts),
        cmocka_unit_test (a_record_that_cannot_be_written_stops_nothing_and_is_begun_anew),
        cmocka_unit_test (digests_tell_changes_apart),
        cmocka_unit_test (a_slow_core_gets_checkpoints_seldom_and_none_when_its_lease_could_end),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
