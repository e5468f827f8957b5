/* test_backend_tar.c - objects in archives: what a crash left, damage, archives given up, held and on a full disk. */
#include "backend_world.h"

static struct tar_report verify (struct world *w, const char *name)
{
    struct strata_error error = { "" };
    struct tar_report report;
    if (tar_verify (in (w, name), &report, NULL, NULL, &error) < 0)
        fail_msg ("%s", error.text);
    return report;
}

static void what_a_crash_left_in_an_archive_is_cut_off (void **state)
{
    struct world *w = *state;
    must_put (w, "a", "committed");
    commit (w);
    must_put (w, "a", "not committed");
    must_put (w, "b", "not committed");
    world_crash (w);
    assert_text (w, "a", "committed");
    must_put (w, "c", "later");
    commit (w);
    struct tar_report report = verify (w, "../archives/stage-0/ns/00000001.tar");
    assert_string_equal (report.first, "");
    assert_int_equal (report.members, 2);
    assert_text (w, "c", "later");
    /* An archive that no batch names goes. */
    write_text (in (w, "../archives/stage-0/ns/00000009.tar"), "left by a crash");
    world_crash (w);
    assert_false (is_there (in (w, "../archives/stage-0/ns/00000009.tar")));
    assert_true (is_there (in (w, "../archives/stage-0/ns/00000001.tar")));
}

static void a_damaged_member_is_told_by_the_objects_name (void **state)
{
    struct world *w = *state;
    struct strata_error error;
    must_put (w, "dir/obj", "hello");
    must_put (w, "other", "fine");
    commit (w);
    const struct {
        long at;
        const char *says;
    } cases[] = { { 514, "checksum" }, { 3, "header" } };
    for (size_t i = 0; i < 2; i++) {
        FILE *f = fopen (in (w, "../archives/stage-0/ns/00000001.tar"), "r+");
        assert_true (f && fseek (f, cases[i].at, SEEK_SET) == 0 && fputc ('X', f) == 'X' && fclose (f) == 0);
        assert_no_text (w, "dir/obj", &error);
        assert_int_equal (errno, EBADMSG);
        assert_non_null (strstr (error.text, "ns/dir/obj is damaged"));
        assert_non_null (strstr (error.text, cases[i].says));
    }
    assert_text (w, "other", "fine");
    must_put (w, "dir/obj", "fresh");
    assert_text (w, "dir/obj", "fresh");
    commit (w);
    stage_free (&w->stage);
    assert_int_equal (unlink (in (w, "../archives/stage-0/ns/00000001.tar")), 0);
    world_crash (w);
    assert_no_text (w, "dir/obj", &error);
    assert_int_equal (errno, EBADMSG);
    must_put (w, "dir/obj", "again");
    assert_text (w, "dir/obj", "again");
}

/* An archive holds so much that the quota of these tests would not fill one: its last is begun anew by a start instead. */
static void archives_of_deleted_objects_are_given_up (void **state)
{
    struct world *w = *state;
    struct strata_error error;
    char key[16];
    for (unsigned i = 0; i < 200; i++) {
        snprintf (key, sizeof (key), "k%u", i);
        must_put (w, key, key);
    }
    commit (w);
    FILE *held = fopen (in (w, "../archives/stage-0/ns/00000001.tar"), "r");
    assert_non_null (held);
    stage_free (&w->stage);
    assert_int_equal (flock (fileno (held), LOCK_EX | LOCK_NB), 0); /* so that another archive is begun */
    world_crash (w);
    must_put (w, "new", "one");
    assert_true (is_there (in (w, "../archives/stage-0/ns/00000002.tar")));
    for (unsigned i = 0; i < 150; i++) {
        snprintf (key, sizeof (key), "k%u", i);
        assert_int_equal (stage_delete (w->stage, "ns", key, &error), 0);
    }
    for (unsigned i = 0; i < 20 && is_there (in (w, "../archives/stage-0/ns/00000001.tar")); i++) {
        settle (w);
        if (i == 3) { /* what was appended anew and not committed is lost, and done again */
            world_crash (w);
            for (unsigned k = 0; k < 150; k++) {
                snprintf (key, sizeof (key), "k%u", k);
                if (stage_delete (w->stage, "ns", key, &error) < 0)
                    assert_int_equal (errno, ENOENT);
            }
        }
        commit (w);
        for (unsigned k = 150; k < 200; k++) {
            snprintf (key, sizeof (key), "k%u", k);
            assert_text (w, key, key);
        }
    }
    assert_false (is_there (in (w, "../archives/stage-0/ns/00000001.tar")));
    assert_false (is_there (in (w, "../archives/stage-0/ns/00000001.tar.pylst")));
    commit (w);
    world_crash (w);
    for (unsigned k = 150; k < 200; k++) {
        snprintf (key, sizeof (key), "k%u", k);
        assert_text (w, key, key);
    }
    fclose (held);
}

/* The holder of the shard that was taken over from may still run. */
static void an_archive_that_another_process_holds_is_left_to_it (void **state)
{
    struct world *w = *state;
    struct strata_error error;
    must_put (w, "a", "first");
    commit (w);
    stage_free (&w->stage);
    struct tar *stale = tar_open (in (w, "../archives/stage-0/ns/00000001.tar"), TAR_APPEND, NULL, &error);
    assert_non_null (stale);
    world_crash (w);
    must_put (w, "a", "second");
    commit (w);
    assert_int_equal (tar_append (stale, &(struct tar_item){ "a", "stale", 5 }, 1, 0, NULL, &error), 0);
    tar_close (&stale, &error);
    assert_text (w, "a", "second");
    world_crash (w);
    assert_text (w, "a", "second");
}

static void a_full_disk_refuses_the_put_and_archives_stay_whole (void **state)
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
    signal (SIGXFSZ, SIG_IGN);
    assert_int_equal (getrlimit (RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 4000;
    assert_int_equal (setrlimit (RLIMIT_FSIZE, &small), 0);
    int rc = stage_put (w->stage, "ns", items, 2, false, 0, infos, &error), why = errno;
    assert_int_equal (setrlimit (RLIMIT_FSIZE, &old), 0);
    assert_int_equal (rc, -1);
    assert_int_equal (why, ENOSPC);
    assert_text (w, "small", "before");
    assert_int_equal (stage_put (w->stage, "ns", items, 2, false, 0, infos, &error), 0);
    commit (w);
    assert_text (w, "small", "1");
    assert_string_equal (verify (w, "../archives/stage-0/ns/00000001.tar").first, "");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        ON ("tar", what_a_crash_left_in_an_archive_is_cut_off),
        ON ("tar", a_damaged_member_is_told_by_the_objects_name),
        ON ("tar", archives_of_deleted_objects_are_given_up),
        ON ("tar", an_archive_that_another_process_holds_is_left_to_it),
        ON ("tar", a_full_disk_refuses_the_put_and_archives_stay_whole),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
