/* test_stage_core.c - what may be asked of objects, through both backends alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../services/stage/stage_core.h"
#include "core/crc32c.h"
#include "random.h"
#include "scratch.h"

#define QUOTA 10000

struct world {
    const char *backend;
    char dir[64], store[80], root[80];
    struct shard *shard;
    struct stage *stage;
};

static void world_open (struct world *w)
{
    struct strata_error error = { "" };
    w->shard = shard_open (w->store, &error);
    w->stage = w->shard ? stage_new (w->shard, w->backend, NULL, 0, w->root, "stage-0", QUOTA, &error) : NULL;
    if (!w->stage)
        fail_msg ("%s", error.text);
}

static void world_close (struct world *w)
{
    stage_free (&w->stage);
    shard_close (&w->shard);
}

static void world_crash (struct world *w)
{
    world_close (w);
    world_open (w);
}

static void commit (struct world *w)
{
    struct strata_error error;
    assert_int_equal (shard_commit (w->shard, &error), 0);
}

static void settle (struct world *w)
{
    struct strata_error error = { "" };
    if (stage_settle (w->stage, &error) < 0)
        fail_msg ("%s", error.text);
    commit (w);
}

static int setup (void **state)
{
    struct world *w = calloc (1, sizeof (*w));
    w->backend = *state;
    assert_true (scratch_new (w->dir, sizeof (w->dir)));
    snprintf (w->store, sizeof (w->store), "%s/stage-0", w->dir);
    snprintf (w->root, sizeof (w->root), "%s/objects", w->dir);
    world_open (w);
    *state = w;
    return 0;
}

static int teardown (void **state)
{
    struct world *w = *state;
    char command[120];
    world_close (w);
    snprintf (command, sizeof (command), "rm -rf '%s'", w->dir);
    assert_int_equal (system (command), 0);
    free (w);
    return 0;
}

static int put (struct world *w, const char *ns, const char *key, const char *text, Strata__ObjectInfo *info,
                struct strata_error *error)
{
    Strata__ObjectInfo mine;
    struct backend_item item = { key, text, strlen (text), NULL };
    return stage_put (w->stage, ns, &item, 1, false, 1234, info ? info : &mine, error);
}

static void must_put (struct world *w, const char *key, const char *text)
{
    struct strata_error error = { "" };
    if (put (w, "ns", key, text, NULL, &error) < 0)
        fail_msg ("%s", error.text);
}

static void assert_object (struct world *w, const char *ns, const char *key, const char *text, uint64_t generation)
{
    struct strata_error error = { "" };
    Strata__ObjectInfo info;
    void *data;
    if (stage_get (w->stage, ns, key, &info, &data, &error) < 0)
        fail_msg ("%s", error.text);
    assert_int_equal (info.size, strlen (text));
    assert_memory_equal (data, text, info.size);
    assert_int_equal (info.crc32c, crc32c (0, text, strlen (text)));
    assert_int_equal (info.generation, generation);
    free (data);
}

static void assert_missing (struct world *w, const char *key)
{
    struct strata_error error;
    Strata__ObjectInfo info;
    void *data;
    assert_int_equal (stage_get (w->stage, "ns", key, &info, &data, &error), -1);
    assert_int_equal (errno, ENOENT);
    assert_non_null (strstr (error.text, key));
}

static struct stage_figures figures (struct world *w)
{
    struct stage_figures f;
    stage_figures (w->stage, &f);
    return f;
}

static void an_object_is_read_as_it_was_put_before_and_after_settling_and_restart (void **state)
{
    struct world *w = *state;
    Strata__ObjectInfo info;
    struct strata_error error;
    assert_int_equal (put (w, "ns", "a/b", "hello", &info, &error), 0);
    assert_int_equal (info.size, 5);
    assert_int_equal (info.generation, 1);
    assert_int_equal (info.mtime_us, 1234);
    assert_object (w, "ns", "a/b", "hello", 1);
    must_put (w, "empty", "");
    commit (w);
    assert_object (w, "ns", "a/b", "hello", 1);
    world_crash (w);
    assert_object (w, "ns", "a/b", "hello", 1);
    settle (w);
    assert_object (w, "ns", "a/b", "hello", 1);
    must_put (w, "a/b", "hello again");
    assert_object (w, "ns", "a/b", "hello again", 2);
    commit (w);
    settle (w);
    world_crash (w);
    assert_object (w, "ns", "a/b", "hello again", 2);
    assert_object (w, "ns", "empty", "", 1);
    assert_int_equal (figures (w).objects, 2);
    assert_int_equal (figures (w).bytes, 11);
}

static void what_was_not_committed_never_was (void **state)
{
    struct world *w = *state;
    struct strata_error error;
    must_put (w, "kept", "one");
    must_put (w, "gone", "two");
    commit (w);
    settle (w);
    must_put (w, "kept", "overwritten");
    must_put (w, "new", "three");
    assert_int_equal (stage_delete (w->stage, "ns", "gone", &error), 0);
    assert_missing (w, "gone");
    world_crash (w);
    assert_object (w, "ns", "kept", "one", 1);
    assert_object (w, "ns", "gone", "two", 1);
    assert_missing (w, "new");
    assert_int_equal (figures (w).objects, 2);
    assert_int_equal (figures (w).bytes, 6);
    must_put (w, "new", "again");
    commit (w);
    settle (w);
    assert_object (w, "ns", "new", "again", 1);
}

static void a_put_of_many_is_all_or_none (void **state)
{
    struct world *w = *state;
    struct strata_error error;
    Strata__ObjectInfo infos[3];
    static char big[QUOTA];
    struct backend_item items[3] = { { "one", "1", 1, NULL }, { "two", "22", 2, NULL }, { "big", big, sizeof (big), NULL } };
    assert_int_equal (stage_put (w->stage, "ns", items, 3, false, 0, infos, &error), -1);
    assert_int_equal (errno, EINVAL); /* it could never fit: no use to try again */
    assert_non_null (strstr (error.text, "10003 bytes is more than"));
    items[2].key = "../three";
    items[2].size = 3;
    assert_int_equal (stage_put (w->stage, "ns", items, 3, false, 0, infos, &error), -1);
    assert_int_equal (errno, EINVAL);
    items[2].key = "one";
    assert_int_equal (stage_put (w->stage, "ns", items, 3, false, 0, infos, &error), -1);
    assert_int_equal (errno, EINVAL);
    assert_non_null (strstr (error.text, "one stands twice"));
    items[2].key = "one/three"; /* below an object of the same put */
    assert_int_equal (stage_put (w->stage, "ns", items, 3, false, 0, infos, &error), -1);
    assert_int_equal (errno, EEXIST);
    assert_int_equal (stage_put (w->stage, "ns", items, 0, false, 0, infos, &error), -1);
    assert_int_equal (errno, EINVAL);
    assert_missing (w, "one");
    assert_missing (w, "two");
    assert_int_equal (figures (w).bytes, 0);
    items[2].key = "three";
    assert_int_equal (stage_put (w->stage, "ns", items, 3, false, 0, infos, &error), 0);
    commit (w);
    world_crash (w);
    assert_object (w, "ns", "one", "1", 1);
    assert_object (w, "ns", "two", "22", 1);
    assert_int_equal (figures (w).objects, 3);
}

static void names_that_are_not_allowed_are_refused_everywhere (void **state)
{
    struct world *w = *state;
    struct strata_error error;
    Strata__ObjectInfo info;
    void *data;
    char long_ns[STAGE_NAME_MAX + 2], long_key[STAGE_NAME_MAX + 2];
    memset (long_ns, 'n', sizeof (long_ns) - 1);
    memset (long_key, 'k', sizeof (long_key) - 1);
    long_ns[sizeof (long_ns) - 1] = long_key[sizeof (long_key) - 1] = '\0';
    const struct {
        const char *ns, *key;
    } bad[] = {
        { "", "k" },         { ".", "k" },       { "..", "k" },        { "a/b", "k" },    { "a b", "k" },
        { "~stage-0", "1" }, { "n\n", "k" },     { "n\xc3\xa9", "k" }, { "ns", "" },      { "ns", "/" },
        { "ns", "/etc" },    { "ns", "a/" },     { "ns", "a//b" },     { "ns", "." },     { "ns", ".." },
        { "ns", "../x" },    { "ns", "a/../b" }, { "ns", "a/.." },     { "ns", "a/./b" }, { "ns", "a\\b" },
        { "ns", "a b" },     { "ns", "a\tb" },   { "ns", "~1" },       { "ns", "a%2e" },  { long_ns, "k" },
        { "ns", long_key },
    };
    must_put (w, "good", "x");
    for (size_t i = 0; i < sizeof (bad) / sizeof (bad[0]); i++) {
        const int rcs[] = {
            put (w, bad[i].ns, bad[i].key, "x", NULL, &error),
            stage_get (w->stage, bad[i].ns, bad[i].key, &info, &data, &error),
            stage_stat (w->stage, bad[i].ns, bad[i].key, &info, &error),
            stage_move (w->stage, bad[i].ns, bad[i].key, "ns", "free", 0, &error),
            stage_move (w->stage, "ns", "good", bad[i].ns, bad[i].key, 0, &error),
            stage_delete (w->stage, bad[i].ns, bad[i].key, &error),
        };
        for (size_t j = 0; j < sizeof (rcs) / sizeof (rcs[0]); j++)
            if (rcs[j] != -1)
                fail_msg ("'%s' '%s' was taken by function %zu", bad[i].ns, bad[i].key, j);
        errno = 0;
        assert_int_equal (put (w, bad[i].ns, bad[i].key, "x", NULL, &error), -1);
        assert_int_equal (errno, EINVAL);
        assert_null (strchr (error.text, '\n'));
    }
    const struct {
        const char *ns, *key;
    } good[] = { { "A-Z_a.z+=@9", "a" }, { ".hidden", ".a/..b/c..." }, { "...", "@/+/=" } };
    for (size_t i = 0; i < sizeof (good) / sizeof (good[0]); i++) {
        assert_int_equal (put (w, good[i].ns, good[i].key, "x", NULL, &error), 0);
        commit (w);
        settle (w);
        assert_object (w, good[i].ns, good[i].key, "x", 1);
    }
    long_ns[STAGE_NAME_MAX] = long_key[STAGE_NAME_MAX] = '\0';
    assert_int_equal (put (w, long_ns, long_key, "x", NULL, &error), 0);
    commit (w);
    settle (w);
    assert_object (w, long_ns, long_key, "x", 1);
}

struct listed {
    char text[400];
    size_t count;
};

static void note (const char *key, const Strata__ObjectInfo *info, void *arg)
{
    struct listed *l = arg;
    size_t n = strlen (l->text);
    snprintf (l->text + n, sizeof (l->text) - n, "%s%s:%llu", n ? " " : "", key, (unsigned long long)info->size);
    l->count++;
}

static void a_list_is_in_byte_order_and_comes_in_pages (void **state)
{
    struct world *w = *state;
    struct strata_error error;
    must_put (w, "b", "22");
    must_put (w, "a/2", "1");
    must_put (w, "a/10", "1");
    must_put (w, "a.x", "1");
    must_put (w, "B", "1");
    must_put (w, "c", "1");
    commit (w); /* some in the store ... */
    must_put (w, "a/1", "333");
    assert_int_equal (stage_delete (w->stage, "ns", "c", &error), 0); /* ... some only in the batch */
    assert_int_equal (put (w, "ns2", "a/0", "1", NULL, &error), 0);
    const struct {
        const char *prefix, *after, *pattern;
        size_t max;
        const char *keys;
        bool more;
    } cases[] = {
        { "", "", "", 1000, "B:1 a.x:1 a/1:3 a/10:1 a/2:1 b:2", false },
        { "", "", "", 2, "B:1 a.x:1", true },
        { "", "a.x", "", 2, "a/1:3 a/10:1", true },
        { "", "a/10", "", 2, "a/2:1 b:2", false },
        { "", "b", "", 2, "", false },
        { "a/", "", "", 10, "a/1:3 a/10:1 a/2:1", false },
        { "a/", "a/1", "", 10, "a/10:1 a/2:1", false },
        { "a/", "A", "", 10, "a/1:3 a/10:1 a/2:1", false },
        { "a/", "zz", "", 10, "", false },
        { "a/1", "", "", 1, "a/1:3", true },
        { "nothing", "", "", 10, "", false },
        { "", "", "a*", 10, "a.x:1 a/1:3 a/10:1 a/2:1", false },
        { "a/", "", "a/?", 10, "a/1:3 a/2:1", false },
        { "a/", "a/1", "a/?", 10, "a/2:1", false },
        { "", "", "[!a]", 10, "B:1 b:2", false },
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        struct listed l = { "", 0 };
        bool more;
        char last[STAGE_NAME_MAX + 1];
        const struct stage_filter filter = { cases[i].prefix, cases[i].after, cases[i].pattern, NULL, NULL };
        assert_int_equal (stage_list (w->stage, "ns", &filter, cases[i].max, note, &l, &more, last, &error), 0);
        assert_string_equal (l.text, cases[i].keys);
        assert_int_equal (more, cases[i].more);
    }
    struct listed l = { "", 0 };
    bool more;
    char last[STAGE_NAME_MAX + 1];
    const struct stage_filter all = { "", "", "", NULL, NULL };
    assert_int_equal (stage_list (w->stage, "ns", &all, 0, note, &l, &more, last, &error), -1);
    assert_int_equal (stage_list (w->stage, "ns", &all, 1001, note, &l, &more, last, &error), -1);
    assert_int_equal (stage_list (w->stage, "n/s", &all, 10, note, &l, &more, last, &error), -1);
    assert_int_equal (l.count, 0);
}

static void a_move_takes_the_bytes_along_and_never_overwrites (void **state)
{
    struct world *w = *state;
    struct strata_error error;
    must_put (w, "a", "one");
    must_put (w, "a", "first");
    must_put (w, "b", "second");
    commit (w);
    assert_int_equal (stage_move (w->stage, "ns", "a", "ns", "b", 0, &error), -1);
    assert_int_equal (errno, EEXIST);
    assert_int_equal (stage_move (w->stage, "ns", "a", "ns", "a", 0, &error), -1);
    assert_int_equal (errno, EEXIST);
    assert_int_equal (stage_move (w->stage, "ns", "x", "ns", "y", 0, &error), -1);
    assert_int_equal (errno, ENOENT);
    assert_int_equal (stage_move (w->stage, "ns", "a", "ns", "b/c", 0, &error), -1); /* below an object */
    assert_int_equal (errno, EEXIST);
    assert_int_equal (stage_move (w->stage, "ns", "a", "other", "x/y", 77, &error), 0);
    assert_missing (w, "a");
    assert_object (w, "other", "x/y", "first", 1);
    world_crash (w);
    assert_object (w, "ns", "a", "first", 2);
    /* Into a folder of its own name, and back. */
    for (unsigned settled = 0; settled < 2; settled++) {
        assert_int_equal (stage_move (w->stage, "ns", "a", "ns", "a/deep/er", 0, &error), 0);
        commit (w);
        if (settled)
            settle (w);
        assert_object (w, "ns", "a/deep/er", "first", 1);
        assert_int_equal (stage_move (w->stage, "ns", "a/deep/er", "ns", "a", 0, &error), 0);
        commit (w);
        if (settled)
            settle (w);
        world_crash (w);
        assert_object (w, "ns", "a", "first", 1);
        assert_missing (w, "a/deep/er");
    }
    /* Away and back before anything is settled, then something new under the old name. */
    assert_int_equal (stage_move (w->stage, "ns", "a", "ns", "z", 0, &error), 0);
    must_put (w, "a", "newcomer");
    commit (w);
    settle (w);
    settle (w);
    world_crash (w);
    assert_object (w, "ns", "z", "first", 1);
    assert_object (w, "ns", "a", "newcomer", 1);
    assert_int_equal (figures (w).objects, 3);
    assert_int_equal (figures (w).bytes, strlen ("first") + strlen ("second") + strlen ("newcomer"));
}

static void an_object_and_a_folder_never_want_one_name (void **state)
{
    struct world *w = *state;
    struct strata_error error;
    must_put (w, "a", "1");
    must_put (w, "f/g/h", "1");
    const char *const taken[] = { "a/b", "a/b/c", "f", "f/g", "f/g/h/i" };
    for (size_t i = 0; i < sizeof (taken) / sizeof (taken[0]); i++) {
        assert_int_equal (put (w, "ns", taken[i], "x", NULL, &error), -1);
        assert_int_equal (errno, EEXIST);
    }
    must_put (w, "a.b", "x");
    must_put (w, "f/gg", "x");
    commit (w);
    settle (w);
    /* A folder's name becomes free with the last object below it, and an object's name at once. */
    assert_int_equal (stage_delete (w->stage, "ns", "a", &error), 0);
    assert_int_equal (stage_delete (w->stage, "ns", "f/g/h", &error), 0);
    must_put (w, "a/b", "below");
    must_put (w, "f/g", "above");
    commit (w);
    settle (w);
    world_crash (w);
    assert_object (w, "ns", "a/b", "below", 1);
    assert_object (w, "ns", "f/g", "above", 1);
    assert_object (w, "ns", "f/gg", "x", 1);
}

static bool stands_above (const char *folder, const char *key)
{
    size_t n = strlen (folder);
    return strncmp (folder, key, n) == 0 && key[n] == '/';
}

/* By the plain rule, of every pair: whether `count` keys may be put where `standing` are. */
static bool may_put (char keys[][16], size_t count, char standing[][16], size_t standing_count)
{
    for (size_t i = 0; i < count; i++) {
        bool known = false, taken = false;
        for (size_t j = 0; j < standing_count; j++) {
            known = known || strcmp (standing[j], keys[i]) == 0;
            taken = taken || stands_above (standing[j], keys[i]) || stands_above (keys[i], standing[j]);
        }
        for (size_t j = 0; j < count; j++)
            taken = taken || stands_above (keys[j], keys[i]);
        if (taken && !known)
            return false;
    }
    return true;
}

/* Looks that serve several objects of a put find what a look for each would. */
static void objects_of_one_put_are_judged_as_each_by_itself (void **state)
{
    static const char *const parts[] = { "a", "a.b", "b", "a0" };
    struct world *w = *state;
    struct strata_error error;
    char standing[128][16];
    size_t n = 0, done = 0;
    random_state = 2026;
    for (int round = 0; round < 400; round++) {
        char keys[4][16];
        struct backend_item items[4];
        size_t count = 0, wanted = 1 + random_next () % 4;
        for (size_t i = 0; i < wanted; i++) {
            char *key = keys[count];
            snprintf (key, sizeof (keys[0]), "%s", parts[random_next () % 4]);
            for (uint64_t more = random_next () % 3; more > 0; more--)
                snprintf (key + strlen (key), sizeof (keys[0]) - strlen (key), "/%s", parts[random_next () % 4]);
            bool twice = false;
            for (size_t j = 0; j < count; j++)
                twice = twice || strcmp (keys[j], key) == 0;
            items[count] = (struct backend_item){ .key = key, .data = "x", .size = 1 };
            count += !twice;
        }
        bool may = may_put (keys, count, standing, n);
        Strata__ObjectInfo infos[4];
        assert_int_equal (stage_put (w->stage, "ns", items, count, false, 1, infos, &error), may ? 0 : -1);
        for (size_t i = 0; may && i < count; i++) {
            bool known = false;
            for (size_t j = 0; j < n; j++)
                known = known || strcmp (standing[j], keys[i]) == 0;
            if (!known)
                memcpy (standing[n++], keys[i], sizeof (keys[0]));
        }
        done += may && count > 1;
        while (n > 0 && random_next () % 8 < 5) {
            size_t gone = random_next () % n;
            assert_int_equal (stage_delete (w->stage, "ns", standing[gone], &error), 0);
            memmove (standing[gone], standing[--n], sizeof (standing[0]));
        }
        commit (w);
        settle (w);
    }
    assert_in_range (done, 40, 300); /* both answers were seen often */
}

static void the_quota_holds_and_says_its_figures (void **state)
{
    struct world *w = *state;
    struct strata_error error;
    static char text[QUOTA + 2];
    memset (text, 'q', QUOTA - 4);
    must_put (w, "big", text);
    must_put (w, "four", "4444");
    assert_int_equal (put (w, "ns", "more", "1", NULL, &error), -1);
    assert_int_equal (errno, EDQUOT);
    assert_non_null (strstr (error.text, "10001 of 10000"));
    assert_int_equal (put (w, "ns", "four", "55555", NULL, &error), -1);
    assert_object (w, "ns", "four", "4444", 1);
    must_put (w, "four", "333");
    must_put (w, "one", "1");
    commit (w);
    world_crash (w);
    assert_int_equal (figures (w).bytes, QUOTA);
    assert_int_equal (stage_delete (w->stage, "ns", "big", &error), 0);
    must_put (w, "small", "fits");
    assert_int_equal (figures (w).bytes, 8);
    assert_int_equal (figures (w).quota_bytes, QUOTA);
    /* A smaller quota than what is kept: what makes it less is let through. */
    stage_free (&w->stage);
    w->stage = stage_new (w->shard, w->backend, NULL, 0, w->root, "stage-0", 5, &error);
    assert_non_null (w->stage);
    assert_int_equal (put (w, "ns", "new", "1", NULL, &error), -1);
    must_put (w, "four", "1");
}

static void another_backend_than_the_stores_is_refused (void **state)
{
    struct world *w = *state;
    struct strata_error error;
    const char *other = strcmp (w->backend, "file") == 0 ? "rocksdb" : "file";
    commit (w);
    assert_null (stage_new (w->shard, other, NULL, 0, w->root, "stage-0", QUOTA, &error));
    assert_non_null (strstr (error.text, w->backend));
    assert_null (stage_new (w->shard, "tape", NULL, 0, w->root, "stage-0", QUOTA, &error));
    assert_non_null (strstr (error.text, "tape"));
}

#define BOTH(f)                                                                                                        \
    { #f " (file)", f, setup, teardown, (void *)"file" },                                                              \
    {                                                                                                                  \
#f " (rocksdb)", f, setup, teardown, (void *)"rocksdb"                                                         \
    }

int main (void)
{
    const struct CMUnitTest tests[] = {
        BOTH (an_object_is_read_as_it_was_put_before_and_after_settling_and_restart),
        BOTH (what_was_not_committed_never_was),
        BOTH (a_put_of_many_is_all_or_none),
        BOTH (names_that_are_not_allowed_are_refused_everywhere),
        BOTH (a_list_is_in_byte_order_and_comes_in_pages),
        BOTH (a_move_takes_the_bytes_along_and_never_overwrites),
        BOTH (an_object_and_a_folder_never_want_one_name),
        BOTH (objects_of_one_put_are_judged_as_each_by_itself),
        BOTH (the_quota_holds_and_says_its_figures),
        BOTH (another_backend_than_the_stores_is_refused),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
