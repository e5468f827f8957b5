/* test_backend_redis.c - objects on three Redis servers: some away, all away, leftovers, a wrong password, a full one. */
#include "backend_world.h"

static unsigned server_of (struct world *w, const char *key)
{
    struct shard_key k;
    void *value;
    size_t size;
    shard_key (&k, "redis/ns/%s", key);
    assert_true (shard_get (w->shard, k.data, k.size, &value, &size) && size == 24 + 2);
    unsigned n = (unsigned)(((char *)value)[25] - '0');
    free (value);
    return n;
}

static void while_a_server_is_away_the_others_go_on (void **state)
{
    struct world *w = *state;
    struct strata_error error;
    char key[16], says[64];
    unsigned on[REDIS_SERVERS] = { 0 };
    for (unsigned i = 0; i < 60; i++) {
        snprintf (key, sizeof (key), "k%u", i);
        must_put (w, key, key);
        on[server_of (w, key)]++;
    }
    commit (w);
    for (unsigned n = 0; n < REDIS_SERVERS; n++)
        assert_true (on[n] >= 5); /* each has its share */
    redis_servers_stop (&w->redis, 1);
    for (unsigned i = 0; i < 60; i++) {
        snprintf (key, sizeof (key), "k%u", i);
        if (server_of (w, key) != 1) {
            assert_text (w, key, key);
            continue;
        }
        assert_no_text (w, key, &error);
        assert_int_equal (errno, EAGAIN);
        snprintf (says, sizeof (says), "ns/%s is kept by redis server r1", key);
        assert_non_null (strstr (error.text, says));
    }
    assert_int_equal (stage_settle (w->stage, &error), -1);
    assert_non_null (strstr (error.text, "1 of 3 redis servers do not answer (r1)"));
    /* Puts go to the others, also of names that it keeps; a delete of what it keeps waits for it. */
    for (unsigned i = 0; i < 60; i++) {
        snprintf (key, sizeof (key), i < 40 ? "k%u" : "n%u", i);
        must_put (w, key, "new");
        assert_int_not_equal (server_of (w, key), 1);
    }
    for (unsigned i = 50; i < 60; i++) {
        snprintf (key, sizeof (key), "k%u", i);
        assert_int_equal (stage_delete (w->stage, "ns", key, &error), 0);
    }
    commit (w);
    redis_servers_start (&w->redis, 1);
    for (unsigned tries = 0; stage_settle (w->stage, &error) < 0; tries++) {
        assert_true (tries < 1000);
        nanosleep (&(struct timespec){ 0, 20000000 }, NULL);
    }
    for (unsigned i = 0; i < 50; i++) {
        snprintf (key, sizeof (key), "k%u", i);
        assert_text (w, key, i < 40 ? "new" : key);
    }
    commit (w);
    settle (w);
    commit (w);
    assert_int_equal (redis_servers_keys (&w->redis), 50 + 20); /* what was replaced or deleted is gone from all */
}

static void without_any_server_puts_are_refused_until_one_is_back (void **state)
{
    struct world *w = *state;
    struct strata_error error;
    must_put (w, "a", "before");
    commit (w);
    for (unsigned n = 0; n < REDIS_SERVERS; n++)
        redis_servers_stop (&w->redis, n);
    assert_int_equal (put (w, "a", "while", &error), -1);
    assert_int_equal (errno, EAGAIN);
    assert_non_null (strstr (error.text, "no redis server of 3"));
    for (unsigned n = 0; n < REDIS_SERVERS; n++)
        redis_servers_start (&w->redis, n);
    for (unsigned tries = 0; put (w, "b", "after", &error) < 0; tries++) {
        assert_true (tries < 1000);
        nanosleep (&(struct timespec){ 0, 20000000 }, NULL);
    }
    while (stage_settle (w->stage, &error) < 0)
        nanosleep (&(struct timespec){ 0, 20000000 }, NULL);
    assert_text (w, "a", "before");
    assert_text (w, "b", "after");
}

static void what_a_crash_left_in_the_servers_is_removed (void **state)
{
    struct world *w = *state;
    char key[16];
    must_put (w, "a", "committed");
    commit (w);
    for (unsigned i = 0; i < 30; i++) {
        snprintf (key, sizeof (key), "k%u", i);
        must_put (w, key, "not committed");
    }
    must_put (w, "a", "not committed");
    assert_int_equal (redis_servers_keys (&w->redis), 32);
    world_crash (w);
    assert_int_equal (redis_servers_keys (&w->redis), 1);
    assert_text (w, "a", "committed");
}

static void a_wrong_password_and_a_full_server_are_told (void **state)
{
    struct world *w = *state;
    struct strata_error error;
    redisContext *c;
    redisReply *reply;
    static char big[100000];
    for (unsigned n = 0; n < REDIS_SERVERS; n++) {
        assert_non_null (c = redis_servers_dial (&w->redis, n));
        assert_non_null (reply = redisCommand (c, "CONFIG SET maxmemory 1"));
        freeReplyObject (reply);
        redisFree (c);
    }
    memset (big, 'b', sizeof (big) - 1);
    assert_int_equal (put (w, "a", big, &error), -1);
    assert_int_equal (errno, ENOSPC);
    assert_non_null (strstr (error.text, "OOM"));
    /* An object whose bytes somebody removed. */
    for (unsigned n = 0; n < REDIS_SERVERS; n++) {
        assert_non_null (c = redis_servers_dial (&w->redis, n));
        assert_non_null (reply = redisCommand (c, "CONFIG SET maxmemory 0"));
        freeReplyObject (reply);
        redisFree (c);
    }
    must_put (w, "a", "hello");
    commit (w);
    for (unsigned n = 0; n < REDIS_SERVERS; n++) {
        assert_non_null (c = redis_servers_dial (&w->redis, n));
        assert_non_null (reply = redisCommand (c, "FLUSHALL"));
        freeReplyObject (reply);
        redisFree (c);
    }
    assert_no_text (w, "a", &error);
    assert_int_equal (errno, EBADMSG);
    assert_non_null (strstr (error.text, "ns/a is damaged"));
    char path[200];
    snprintf (path, sizeof (path), "%s/password", w->dir);
    write_text (path, "wrong\n");
    world_crash (w);
    assert_int_equal (stage_settle (w->stage, &error), -1);
    assert_non_null (strstr (error.text, "1 of 3 redis servers do not answer (r1)"));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        ON ("redis", while_a_server_is_away_the_others_go_on),
        ON ("redis", without_any_server_puts_are_refused_until_one_is_back),
        ON ("redis", what_a_crash_left_in_the_servers_is_removed),
        ON ("redis", a_wrong_password_and_a_full_server_are_told),
        ON ("redis", bytes_of_every_value_come_back),
        ON ("redis", crashes_at_random_never_lose_or_revive_an_object),
    };
    signal (SIGPIPE, SIG_IGN); /* as every service does: a server that went away */
    if (!redis_installed ()) {
        print_message ("redis-server is not installed: its backend was not tested\n");
        return 0;
    }
    return cmocka_run_group_tests (tests, NULL, NULL);
}
