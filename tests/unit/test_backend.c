/* test_backend.c - objects as files: damage, links, leftovers, full disks; and crashes at random on the backends that need no server. */
#include "backend_world.h"

static void a_file_stands_under_its_name_only_when_the_batch_is_on_disk (void **state)
{
    struct world *w = *state;
    must_put (w, "a/b", "hello");
    settle (w);
    assert_false (is_there (in (w, "stage-0/ns/a/b")));
    commit (w);
    settle (w);
    char text[16] = "";
    FILE *f = fopen (in (w, "stage-0/ns/a/b"), "r");
    assert_non_null (f);
    assert_int_equal (fread (text, 1, sizeof (text), f), 5);
    fclose (f);
    assert_string_equal (text, "hello");
    commit (w);
    assert_int_equal (numbered_files (w), 0);
    struct strata_error error;
    assert_int_equal (stage_delete (w->stage, "ns", "a/b", &error), 0);
    settle (w);
    assert_true (is_there (in (w, "stage-0/ns/a/b")));
    commit (w);
    settle (w);
    assert_false (is_there (in (w, "stage-0/ns"))); /* and its folders, now empty */
}

/* settle does its work while other requests keep the batch from ever being empty. */
static void settling_goes_on_under_steady_load (void **state)
{
    struct world *w = *state;
    char key[16];
    for (unsigned i = 0; i < 20; i++) {
        snprintf (key, sizeof (key), "k%u", i);
        must_put (w, key, "x");
        settle (w); /* the batch is never clean here */
        commit (w);
    }
    assert_true (is_there (in (w, "stage-0/ns/k17")));
    assert_true (numbered_files (w) < 4);
}

static void damage_is_told_by_the_objects_name (void **state)
{
    struct world *w = *state;
    struct strata_error error;
    const struct {
        const char *text; /* NULL: removed; else what the file holds now */
        const char *says;
    } cases[] = { { "hellO", "checksum" },
                  { "hell", "4 bytes, not 5" },
                  { "hello!", "6 bytes" },
                  { "", "0 bytes" },
                  { NULL, "opened" } };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        must_put (w, "dir/obj", "hello");
        commit (w);
        settle (w);
        commit (w);
        assert_text (w, "dir/obj", "hello");
        if (cases[i].text)
            write_text (in (w, "stage-0/ns/dir/obj"), cases[i].text);
        else
            assert_int_equal (unlink (in (w, "stage-0/ns/dir/obj")), 0);
        assert_no_text (w, "dir/obj", &error);
        assert_int_equal (errno, EBADMSG);
        assert_non_null (strstr (error.text, "ns/dir/obj is damaged"));
        assert_non_null (strstr (error.text, cases[i].says));
    }
    /* It can be put anew, or deleted. */
    must_put (w, "dir/obj", "fresh");
    assert_text (w, "dir/obj", "fresh");
    assert_int_equal (stage_delete (w->stage, "ns", "dir/obj", &error), 0);
}

static void symbolic_links_are_never_followed (void **state)
{
    struct world *w = *state;
    struct strata_error error;
    char outside[120], secret[140];
    snprintf (outside, sizeof (outside), "%s/outside", w->dir);
    snprintf (secret, sizeof (secret), "%s/secret", outside);
    assert_int_equal (mkdir (outside, 0777), 0);
    write_text (secret, "hello");
    must_put (w, "a/obj", "hello");
    must_put (w, "b", "hello");
    commit (w);
    settle (w);
    commit (w);
    assert_int_equal (unlink (in (w, "stage-0/ns/b")), 0);
    assert_int_equal (symlink (secret, in (w, "stage-0/ns/b")), 0);
    assert_no_text (w, "b", &error); /* the bytes would even be right */
    assert_int_equal (errno, EBADMSG);
    assert_int_equal (symlink (outside, in (w, "stage-0/ns/c")), 0);
    must_put (w, "c/new", "x");
    commit (w);
    assert_int_equal (stage_settle (w->stage, &error), -1);
    assert_non_null (strstr (error.text, "ns/c/new"));
    char escaped[140];
    snprintf (escaped, sizeof (escaped), "%s/new", outside);
    assert_false (is_there (escaped));
    assert_text (w, "c/new", "x"); /* still there, where it was put first */
    assert_int_equal (unlink (in (w, "stage-0/ns/c")), 0);
    settle (w);
    commit (w);
    assert_text (w, "c/new", "x");
    assert_true (is_there (in (w, "stage-0/ns/c/new")));
    /* Putting over a link replaces the link, not what it points to. */
    must_put (w, "b", "mine");
    commit (w);
    settle (w);
    assert_text (w, "b", "mine");
    char text[16] = "";
    FILE *f = fopen (secret, "r");
    assert_int_equal (fread (text, 1, 15, f), 5);
    fclose (f);
    assert_string_equal (text, "hello");
}

static const char *const old_namespaces[] = { "ns", "stage-0", "17" };

/* As it was when all stages' files stood in one folder; undone: how far a start before had come in moving them. */
static void make_old_layout (struct world *w, bool crashed)
{
    char command[900];
    shard_delete (w->shard, "stage/layout", strlen ("stage/layout"));
    commit (w);
    stage_free (&w->stage);
    shard_close (&w->shard);
    snprintf (command, sizeof (command), "cd %s && mv stage-0 tmp && mv tmp/* . && rmdir tmp%s", w->root,
              crashed ? " && mv stage-0 ~stage-0.old && mkdir stage-0 && mv ns stage-0/" : "");
    assert_int_equal (system (command), 0);
    world_open (w);
}

static void files_of_an_older_layout_are_moved_below_their_stage (void **state)
{
    struct world *w = *state;
    struct strata_error error;
    for (int crashed = 0; crashed < 2; crashed++) {
        for (size_t i = 0; i < 3; i++) {
            Strata__ObjectInfo infos[2];
            struct backend_item items[2] = { { "a/b", old_namespaces[i], strlen (old_namespaces[i]), NULL }, { "c", "x", 1, NULL } };
            assert_int_equal (stage_put (w->stage, old_namespaces[i], items, 2, false, 0, infos, &error), 0);
        }
        commit (w);
        settle (w);
        commit (w);
        settle (w);
        must_put (w, "under/way", "not in its place yet");
        make_old_layout (w, crashed);
        for (size_t i = 0; i < 3; i++) {
            Strata__ObjectInfo info;
            void *data = NULL;
            if (stage_get (w->stage, old_namespaces[i], "a/b", &info, &data, &error) < 0)
                fail_msg ("%s", error.text);
            assert_int_equal (info.size, strlen (old_namespaces[i]));
            assert_memory_equal (data, old_namespaces[i], info.size);
            free (data);
        }
        assert_text (w, "under/way", "not in its place yet");
        assert_true (is_there (in (w, "stage-0/stage-0/a/b")));
        assert_false (is_there (in (w, "ns")));
        assert_false (is_there (in (w, "~stage-0.old")));
        commit (w);
        world_crash (w); /* once is enough */
        assert_text (w, "a/b", "ns");
    }
}

static void leftovers_of_a_crash_are_removed_at_the_start (void **state)
{
    struct world *w = *state;
    must_put (w, "kept", "committed");
    commit (w);
    must_put (w, "lost", "not committed");
    write_text (in (w, "~stage-0/999"), "half");
    write_text (in (w, "~stage-0/notes"), "somebody's own");
    assert_int_equal (numbered_files (w), 4);
    world_crash (w); /* finishes what was committed, too */
    assert_int_equal (numbered_files (w), 1);
    assert_true (is_there (in (w, "stage-0/ns/kept")));
    assert_text (w, "kept", "committed");
    commit (w);
    world_crash (w);
    assert_text (w, "kept", "committed");
}

static void a_full_disk_refuses_the_put_and_leaves_nothing_half_written (void **state)
{
    struct world *w = *state;
    struct strata_error error;
    struct rlimit old, small;
    Strata__ObjectInfo infos[2];
    static char big[5000];
    memset (big, 'b', sizeof (big));
    struct backend_item items[2] = { { "small", "1", 1, NULL }, { "big", big, sizeof (big), NULL } };
    must_put (w, "small", "before");
    commit (w);
    /* A file that may not grow further stands for the disk: write() fails in the middle of the second file. */
    signal (SIGXFSZ, SIG_IGN);
    assert_int_equal (getrlimit (RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 1000;
    assert_int_equal (setrlimit (RLIMIT_FSIZE, &small), 0);
    int rc = stage_put (w->stage, "ns", items, 2, false, 0, infos, &error), why = errno;
    assert_int_equal (setrlimit (RLIMIT_FSIZE, &old), 0);
    assert_int_equal (rc, -1);
    assert_int_equal (why, ENOSPC);
    assert_text (w, "small", "before");
    assert_no_text (w, "big", &error);
    assert_int_equal (errno, ENOENT);
    assert_int_equal (numbered_files (w), 1);
    assert_int_equal (stage_put (w->stage, "ns", items, 2, false, 0, infos, &error), 0);
    assert_text (w, "small", "1");
}

/* Then the new name and the old are names of one file, and renaming one to the other does nothing. */
static void a_move_away_and_back_leaves_nothing_behind (void **state)
{
    struct world *w = *state;
    struct strata_error error;
    must_put (w, "a", "hello");
    commit (w);
    settle (w);
    commit (w);
    assert_int_equal (stage_move (w->stage, "ns", "a", "ns", "b", 0, &error), 0);
    assert_int_equal (stage_move (w->stage, "ns", "b", "ns", "a", 0, &error), 0);
    commit (w);
    settle (w);
    commit (w);
    settle (w);
    assert_text (w, "a", "hello");
    assert_false (is_there (in (w, "stage-0/ns/b")));
    assert_int_equal (numbered_files (w), 0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        ON ("file", a_file_stands_under_its_name_only_when_the_batch_is_on_disk),
        ON ("file", settling_goes_on_under_steady_load),
        ON ("file", damage_is_told_by_the_objects_name),
        ON ("file", symbolic_links_are_never_followed),
        ON ("file", files_of_an_older_layout_are_moved_below_their_stage),
        ON ("file", leftovers_of_a_crash_are_removed_at_the_start),
        ON ("file", a_full_disk_refuses_the_put_and_leaves_nothing_half_written),
        ON ("file", a_move_away_and_back_leaves_nothing_behind),
        ON ("file", bytes_of_every_value_come_back),
        ON ("rocksdb", bytes_of_every_value_come_back),
        ON ("tar", bytes_of_every_value_come_back),
        ON ("file", crashes_at_random_never_lose_or_revive_an_object),
        ON ("rocksdb", crashes_at_random_never_lose_or_revive_an_object),
        ON ("tar", crashes_at_random_never_lose_or_revive_an_object),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
