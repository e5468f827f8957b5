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
    struct strata_error error = { "" };
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
    struct strata_error error = { "" };
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
    struct strata_error error = { "" };
    static const char *const other[] = { "file", "tar" };
    static const struct campaign_namespace changed[] = { { (char *)"ns", (char **)other, 2 } };
    commit (w);
    stage_free (&w->stage);
    assert_null (stage_new (w->shard, w->backend, changed, 1, w->root, "stage-0", 1 << 20, &error));
    assert_non_null (strstr (error.text, "stage.namespaces, ns: is 'file,tar', but"));
    assert_non_null (strstr (error.text, "stand in backend 'tar,file'"));
    world_crash (w);
}

/* ---- strata replay ---- */

struct tape {
    uint8_t data[1 << 16];
    size_t size, at;
    bool wrong;
};

static void record_fact (void *arg, void *fact, size_t size)
{
    struct tape *tape = arg;
    assert_true (tape->size + size <= sizeof (tape->data));
    memcpy (tape->data + tape->size, fact, size);
    tape->size += size;
}

static void give_fact (void *arg, void *fact, size_t size)
{
    struct tape *tape = arg;
    assert_true (tape->at + size <= tape->size);
    memcpy (fact, tape->data + tape->at, size);
    tape->at += size;
}

static void remove_files (const char *root, const char *folder)
{
    char path[4400];
    snprintf (path, sizeof (path), "%s/%s", root, folder);
    DIR *dir = opendir (path);
    assert_non_null (dir);
    for (struct dirent *e; (e = readdir (dir));)
        unlinkat (dirfd (dir), e->d_name, 0);
    closedir (dir);
}

/* Puts, reads, a put that is refused, moves and deletes at a new store in `root`; returns the digest of all it changed. */
static uint64_t some_work (const struct shard_facts *facts, const char *root)
{
    struct strata_error error = { "" };
    Strata__ObjectInfo info;
    void *data;
    struct backend_item a = { "dir/a", "hello", 5, NULL }, below = { "dir/a/b", "below", 5, NULL };
    struct shard *shard = shard_open_memory (&error);
    assert_non_null (shard);
    shard_set_facts (shard, facts);
    shard_set_digest (shard, 0);
    struct stage *stage = stage_new (shard, "file", several, 1, root, "stage-0", 1 << 20, &error);
    assert_non_null (stage);
    assert_int_equal (stage_put (stage, "ns", &a, 1, false, 1, &info, &error), 0);
    assert_int_equal (stage_put (stage, "ns", &below, 1, false, 1, &info, &error), -1);
    assert_int_equal (stage_put (stage, "other", &a, 1, false, 1, &info, &error), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal (shard_commit (shard, &error), 0);
        assert_int_equal (stage_settle (stage, &error), 0);
    }
    assert_int_equal (stage_get (stage, "ns", "dir/a", &info, &data, &error), 0);
    free (data);
    assert_int_equal (stage_move (stage, "ns", "dir/a", "other", "moved", 2, &error), 0);
    assert_int_equal (stage_delete (stage, "other", "dir/a", &error), 0);
    if (!facts->replays) /* the file that a read finds missing: known only to the world */
        remove_files (root, "~stage-0");
    assert_int_equal (stage_get (stage, "other", "moved", &info, &data, &error), -1);
    assert_int_equal (errno, EBADMSG);
    assert_non_null (strstr (error.text, "other/moved"));
    uint64_t digest = shard_digest (shard);
    stage_free (&stage);
    shard_close (&shard);
    return digest;
}

static void a_replay_gets_the_recorded_answers_and_touches_no_file (void **state)
{
    struct world *w = *state;
    static struct tape tape;
    char root[4200];
    tape = (struct tape){ .size = 0 };
    snprintf (root, sizeof (root), "%s", in (w, "recorded"));
    uint64_t recorded = some_work (&(struct shard_facts){ record_fact, &tape, false }, root);
    snprintf (root, sizeof (root), "%s", in (w, "replayed"));
    assert_true (some_work (&(struct shard_facts){ give_fact, &tape, true }, root) == recorded);
    assert_true (tape.at == tape.size);
    assert_false (is_there (in (w, "replayed")));
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
        SEVERAL (a_replay_gets_the_recorded_answers_and_touches_no_file),
        SEVERAL (crashes_at_random_never_lose_or_revive_an_object),
    };
    signal (SIGPIPE, SIG_IGN); /* as every service does: a server that went away */
    if (!redis_installed ()) {
        print_message ("redis-server is not installed: namespaces in several backends were not tested\n");
        return 0;
    }
    return cmocka_run_group_tests (tests, NULL, NULL);
}
