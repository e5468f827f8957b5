/* test_backend_copies.c - namespaces in several backends: any copy is enough, and a put is in all or in none. */
#include "backend_world.h"

static const char *const tar_and_file[] = { "tar", "file" }, *const rocksdb_and_redis[] = { "rocksdb", "redis" };
static const struct campaign_namespace several[] = { { (char *)"ns", (char **)tar_and_file, 2 },
                                                     { (char *)"far", (char **)rocksdb_and_redis, 2 } };

static int setup_several (void **state)
{
    if (!redis_installed ())
        return -1;
    setup (state);
    struct world *w = *state;
    w->namespaces = several;
    w->namespaces_count = 2;
    stage_free (&w->stage); /* the namespaces are new to it */
    world_crash (w);
    return 0;
}

static void every_backend_has_a_copy_and_any_is_enough (void **state)
{
    struct world *w = *state;
    struct strata_error error;
    Strata__ObjectInfo info;
    void *data;
    must_put (w, "dir/a", "hello");
    commit (w);
    settle (w);
    commit (w);
    assert_true (is_there (in (w, "stage-0/ns/dir/a")));
    assert_true (is_there (in (w, "../archives/stage-0/ns/00000001.tar")));
    FILE *f = fopen (in (w, "../archives/stage-0/ns/00000001.tar"), "r+"); /* the first one's is damaged */
    assert_true (f && fseek (f, 512, SEEK_SET) == 0 && fputc ('J', f) == 'J' && fclose (f) == 0);
    assert_text (w, "dir/a", "hello");
    assert_int_equal (stage_get_range (w->stage, "ns", "dir/a", 1, 3, &info, &data, &(size_t){ 0 }, &error), 0);
    assert_memory_equal (data, "ell", 3);
    free (data);
    write_text (in (w, "stage-0/ns/dir/a"), "jello"); /* and the second's */
    assert_no_text (w, "dir/a", &error);
    assert_int_equal (errno, EBADMSG);
    must_put (w, "dir/a", "anew");
    assert_text (w, "dir/a", "anew");
    /* To another namespace's backends, and gone from its own. */
    assert_int_equal (stage_move (w->stage, "ns", "dir/a", "far", "b", 0, &error), 0);
    commit (w);
    settle (w);
    commit (w);
    settle (w);
    assert_false (is_there (in (w, "stage-0/ns/dir/a")));
    assert_int_equal (redis_servers_keys (&w->redis), 1);
    world_crash (w);
    assert_int_equal (stage_get (w->stage, "far", "b", &info, &data, &error), 0);
    assert_memory_equal (data, "anew", 4);
    free (data);
    assert_int_equal (stage_delete (w->stage, "far", "b", &error), 0);
    commit (w);
    settle (w);
    assert_int_equal (redis_servers_keys (&w->redis), 0);
}

static void a_put_that_one_backend_refuses_changes_nothing (void **state)
{
    struct world *w = *state;
    struct strata_error error;
    Strata__ObjectInfo info;
    void *data;
    struct backend_item item = { "a", "before", 6, NULL }, later = { "a", "later", 5, NULL }, fresh = { "b", "new", 3, NULL };
    assert_int_equal (stage_put (w->stage, "far", &item, 1, false, 0, &info, &error), 0);
    commit (w);
    for (unsigned n = 0; n < REDIS_SERVERS; n++)
        redis_servers_stop (&w->redis, n);
    assert_int_equal (stage_put (w->stage, "far", &fresh, 1, false, 0, &info, &error), -1);
    assert_int_equal (errno, EAGAIN);
    assert_int_equal (stage_get (w->stage, "far", "b", &info, &data, &error), -1);
    assert_int_equal (errno, ENOENT);
    assert_int_equal (stage_get (w->stage, "far", "a", &info, &data, &error), 0); /* of the one that is there */
    free (data);
    assert_int_equal (stage_put (w->stage, "far", &later, 1, false, 0, &info, &error), -1);
    commit (w);
    for (unsigned n = 0; n < REDIS_SERVERS; n++)
        redis_servers_start (&w->redis, n);
    world_crash (w);
    assert_int_equal (stage_get (w->stage, "far", "a", &info, &data, &error), 0);
    assert_memory_equal (data, "before", 6);
    free (data);
    assert_int_equal (stage_put (w->stage, "far", &later, 1, false, 0, &info, &error), 0);
    assert_int_equal (info.generation, 2);
    commit (w);
}

static void where_a_namespace_is_kept_cannot_change (void **state)
{
    struct world *w = *state;
    struct strata_error error;
    static const char *const other[] = { "file", "tar" };
    static const struct campaign_namespace changed[] = { { (char *)"ns", (char **)other, 2 } };
    commit (w);
    stage_free (&w->stage);
    assert_null (stage_new (w->shard, w->backend, changed, 1, w->root, "stage-0", 1 << 20, &error));
    assert_non_null (strstr (error.text, "stage.namespaces, ns: is 'file,tar', but"));
    assert_non_null (strstr (error.text, "stand in backend 'tar,file'"));
    world_crash (w);
}

#define SEVERAL(f)                                                                                                     \
    {                                                                                                                  \
#f, f, setup_several, teardown, (void *)"redis"                                                                \
    }

int main (void)
{
    const struct CMUnitTest tests[] = {
        SEVERAL (every_backend_has_a_copy_and_any_is_enough),
        SEVERAL (a_put_that_one_backend_refuses_changes_nothing),
        SEVERAL (where_a_namespace_is_kept_cannot_change),
        SEVERAL (crashes_at_random_never_lose_or_revive_an_object),
    };
    signal (SIGPIPE, SIG_IGN); /* as every service does: a server that went away */
    if (!redis_installed ()) {
        print_message ("redis-server is not installed: namespaces in several backends were not tested\n");
        return 0;
    }
    return cmocka_run_group_tests (tests, NULL, NULL);
}
