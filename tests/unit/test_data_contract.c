/* test_data_contract.c - the data interface of strata.h: one contract, kept by every backend and any number of stages.
 *
 * Each row of `worlds` starts real stage processes; each row of `contracts` is a promise that is then checked through the
 * client library, by two clients on different nodes: what one does the other sees.
 */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/replicas.h"
#include "mesh/client.h"
#include "mesh/claims.h"
#include "strata.h"
#include "strata_npz.h"
#include "redis_servers.h"
#include "scratch.h"
#include "stream.pb-c.h"
#include "workspace.h"

#define STAGES_MAX 2
#define OBJECTS_SPOILED 20
#define SOON_MS 60000 /* more than any answer takes here */

struct world {
    const char *backend, *cache; /* cache: NULL, or its folder */
    const char *second;          /* NULL, or the backend that has every object too; the first is spoiled midway */
    unsigned stages;
    pid_t pids[STAGES_MAX];
    struct redis_servers redis;
    struct strata_client *here, *there; /* clients on the stages' node, and on another */
};

static struct strata_error error;

static void must (int rc)
{
    if (rc < 0)
        fail_msg ("%s (errno %d)", error.text, errno);
}

/* The call has failed, with this errno and a sentence with this text in it. */
static void refused (int rc, int wanted, const char *text)
{
    int saved = errno;
    if (rc != -1 || saved != wanted || !strstr (error.text, text))
        fail_msg ("rc %d, errno %d instead of %d, '%s' instead of '...%s...'", rc, saved, wanted, error.text, text);
}

static double now_s (void)
{
    struct timespec ts;
    clock_gettime (CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void until_active (struct world *w)
{
    for (unsigned tries = 0; tries < 6000; tries++) {
        struct card *cards;
        unsigned active = 0;
        size_t count = cards_read (workspace, &cards);
        for (size_t i = 0; i < count; i++)
            for (unsigned n = 0; n < w->stages; n++)
                active += cards[i].pid == (uint32_t)w->pids[n] && cards[i].active;
        free (cards);
        if (active == w->stages)
            return;
        nanosleep (&(struct timespec){ 0, 10000000 }, NULL);
    }
    fail_msg ("the stages are not up");
}

static void world_open (struct world *w)
{
    /* What the contracts use. */
    static const char *const named[] = { "ns", "list", "many", "moved", "new", "bulk", "late", "npz", "ckpt", "strata.signals", "large",
                                         "away", "goes", "meanwhile", "again", "spoiled" };
    char text[4096], cache[160] = "", spaces[2048] = "";
    if (w->cache)
        snprintf (cache, sizeof (cache), ", cache: {folder: %s, mb: 32}", w->cache);
    for (size_t i = 0; w->second && i < sizeof (named) / sizeof (named[0]); i++)
        snprintf (spaces + strlen (spaces), sizeof (spaces) - strlen (spaces), "%s{name: %s, backends: [%s, %s]}%s",
                  i ? ", " : ", namespaces: [", named[i], w->backend, w->second, i + 1 < sizeof (named) / sizeof (named[0]) ? "" : "]");
    snprintf (text, sizeof (text),
              CAMPAIGN_HEAD ("contract") CAMPAIGN_JOBS CAMPAIGN_FEEDBACK "stage: {backend: %s, quota_mb: 256, queue_mb: 16%s%s}\n",
              w->backend, cache, spaces);
    workspace_make (text);
    if (strcmp (w->backend, "redis") == 0 || (w->second && strcmp (w->second, "redis") == 0))
        redis_servers_open (&w->redis, workspace);
    for (unsigned i = 0; i < w->stages; i++)
        w->pids[i] = program_start ("stage", i, NULL);
    until_active (w);
    w->here = strata_open (workspace, "here", SOON_MS, &error);
    setenv ("STRATA_NODE", "another-node", 1);
    w->there = strata_open (workspace, "there", SOON_MS, &error);
    unsetenv ("STRATA_NODE");
    assert_true (w->here && w->there);
}

static void world_close (struct world *w)
{
    char command[128];
    strata_close (&w->here);
    strata_close (&w->there);
    for (unsigned i = 0; i < w->stages; i++) {
        int status;
        kill (w->pids[i], SIGTERM);
        assert_int_equal (waitpid (w->pids[i], &status, 0), w->pids[i]);
        assert_int_equal (status, 0);
    }
    redis_servers_close (&w->redis);
    snprintf (command, sizeof (command), "rm -rf '%s'", workspace);
    assert_int_equal (system (command), 0);
}

static void assert_object (struct strata_client *c, const char *ns, const char *key, const char *expected)
{
    void *data;
    size_t size;
    must (strata_get (c, ns, key, &data, &size, &error));
    assert_int_equal (size, strlen (expected));
    assert_memory_equal (data, expected, size);
    free (data);
}

/* ---- two backends, of which one is spoiled ---- */

#define MARK "bytes that are spoiled"

static unsigned spoiled;

/* Other bytes, or, of every other plain object's file, none at all. */
static int spoil_file (const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    if (type != FTW_F || st->st_size == 0)
        return 0;
    int fd = open (path, O_RDWR);
    char *bytes = mmap (NULL, (size_t)st->st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), *end = bytes + st->st_size;
    assert_true (fd >= 0 && bytes != MAP_FAILED);
    unsigned before = spoiled;
    for (char *at = bytes; (at = memmem (at, (size_t)(end - at), MARK, sizeof (MARK) - 1)); at++, spoiled++)
        *at = 'B';
    munmap (bytes, (size_t)st->st_size);
    close (fd);
    if (spoiled == before + 1 && spoiled % 2 && !strstr (path, ".tar"))
        unlink (path);
    return 0;
}

static void put_to_both (struct world *w)
{
    for (unsigned i = 0; i < OBJECTS_SPOILED; i++) {
        char key[24], text[64];
        snprintf (key, sizeof (key), "s%u/x", i);
        snprintf (text, sizeof (text), "%s-%u", MARK, i);
        must (strata_put (w->here, "spoiled", key, text, strlen (text), &error));
    }
}

static void get_from_either (struct world *w)
{
    for (unsigned i = 0; i < OBJECTS_SPOILED; i++) {
        char key[24], text[64];
        snprintf (key, sizeof (key), "s%u/x", i);
        snprintf (text, sizeof (text), "%s-%u", MARK, i);
        assert_object (i % 2 ? w->here : w->there, "spoiled", key, text);
    }
}

static void spoil_the_first (struct world *w)
{
    static const char *const folders[] = { "objects", "archives" };
    spoiled = 0;
    for (size_t i = 0; i < 2; i++) {
        char path[200];
        snprintf (path, sizeof (path), "%s/%s", workspace, folders[i]);
        nftw (path, spoil_file, 16, FTW_PHYS);
    }
    assert_int_equal (spoiled, OBJECTS_SPOILED); /* of the first backend alone: the second keeps its bytes elsewhere */
    get_from_either (w);
}

/* ---- the contracts ---- */

static void what_one_puts_the_other_gets (struct world *w)
{
    struct strata_object_info info;
    assert_int_equal (strata_exists (w->there, "ns", "a", &error), 0);
    must (strata_put (w->here, "ns", "a", "one", 3, &error));
    assert_int_equal (strata_exists (w->there, "ns", "a", &error), 1);
    assert_object (w->there, "ns", "a", "one");
    must (strata_put (w->there, "ns", "a", "second", 6, &error));
    must (strata_stat (w->here, "ns", "a", &info, &error));
    assert_int_equal (info.generation, 2);
    assert_int_equal (info.size, 6);
    assert_true (info.mtime_us > 1600000000000000);
    assert_object (w->here, "ns", "a", "second");
    must (strata_put (w->here, "ns", "empty", "", 0, &error));
    assert_object (w->there, "ns", "empty", "");
    must (strata_delete (w->there, "ns", "a", &error));
    refused (strata_delete (w->here, "ns", "a", &error), ENOENT, "no object ns/a");
    void *data;
    size_t size;
    refused (strata_get (w->here, "ns", "a", &data, &size, &error), ENOENT, "no object ns/a");
    assert_null (data);
    refused (strata_stat (w->here, "ns", "a", &info, &error), ENOENT, "no object ns/a");
}

static void names_that_are_not_allowed_are_refused (struct world *w)
{
    static const char *const bad[][2] = { { "", "a" }, { "ns", "" }, { "n/s", "a" }, { "ns", "/a" }, { "ns", "a//b" },
                                          { "ns", "../a" }, { "ns", "a b" }, { "ns", "a/" } };
    void *data;
    size_t size;
    for (size_t i = 0; i < sizeof (bad) / sizeof (bad[0]); i++) {
        refused (strata_put (w->here, bad[i][0], bad[i][1], "x", 1, &error), EINVAL, " is not 1-200 of ");
        refused (strata_get (w->here, bad[i][0], bad[i][1], &data, &size, &error), EINVAL, " is not 1-200 of ");
        refused (strata_move (w->here, bad[i][0], bad[i][1], "ns", "b", &error), EINVAL, " is not 1-200 of ");
        refused (strata_delete (w->here, bad[i][0], bad[i][1], &error), EINVAL, " is not 1-200 of ");
    }
    must (strata_put (w->here, "ns", "x", "1", 1, &error));
    refused (strata_put (w->here, "ns", "x/y", "1", 1, &error), EEXIST, "x, which is an object itself");
    must (strata_delete (w->here, "ns", "x", &error));
}

static void a_new_object_never_replaces_another (struct world *w)
{
    must (strata_put_new (w->here, "new", "a", "first", 5, &error));
    refused (strata_put_new (w->there, "new", "a", "other", 5, &error), EEXIST, "new/a is there already");
    assert_object (w->there, "new", "a", "first");
}

static void ranges_are_cut_at_the_end (struct world *w)
{
    static const struct {
        uint64_t offset, length;
        const char *expected;
    } cases[] = { { 0, 3, "012" }, { 3, 4, "3456" }, { 8, 100, "89" }, { 10, 1, "" }, { 0, 0, "" }, { 9, UINT64_MAX, "9" } };
    void *data;
    size_t size;
    must (strata_put (w->here, "ns", "range", "0123456789", 10, &error));
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        must (strata_get_range (w->there, "ns", "range", cases[i].offset, cases[i].length, &data, &size, &error));
        assert_int_equal (size, strlen (cases[i].expected));
        assert_memory_equal (data, cases[i].expected, size);
        free (data);
    }
    refused (strata_get_range (w->there, "ns", "range", 11, 1, &data, &size, &error), EINVAL, "past its end");
    must (strata_put (w->here, "ns", "range", "abc", 3, &error)); /* what was known of the old one does not help */
    must (strata_get_range (w->there, "ns", "range", 1, 9, &data, &size, &error));
    assert_int_equal (size, 2);
    assert_memory_equal (data, "bc", 2);
    free (data);
}

struct listed {
    char text[4000];
    size_t count, stop_after;
};

static int note (const char *key, const struct strata_object_info *info, void *arg)
{
    struct listed *l = arg;
    assert_true (info->generation > 0);
    if (strlen (l->text) + strlen (key) + 2 < sizeof (l->text)) {
        strcat (l->text, key);
        strcat (l->text, " ");
    }
    return ++l->count == l->stop_after;
}

static void lists_are_whole_and_in_order (struct world *w)
{
    static const char *const keys[] = { "b/2", "a", "b/1", "c/x/1", "b/10", "Z", "c/x/2", "c.x" };
    for (size_t i = 0; i < 8; i++)
        must (strata_put (w->here, "list", keys[i], "x", 1, &error));
    static const struct {
        const char *prefix, *expected;
    } cases[] = { { "", "Z a b/1 b/10 b/2 c.x c/x/1 c/x/2 " }, { "b/", "b/1 b/10 b/2 " }, { "c", "c.x c/x/1 c/x/2 " }, { "q", "" } };
    for (size_t i = 0; i < 4; i++) {
        struct listed l = { .text = "" };
        must (strata_list (w->there, "list", cases[i].prefix, note, &l, &error));
        assert_string_equal (l.text, cases[i].expected);
    }
    static const struct {
        const char *pattern, *after;
        size_t max;
        const char *expected;
        bool more;
    } globs[] = { { "*", "", 100, "Z a b/1 b/10 b/2 c.x c/x/1 c/x/2 ", false }, { "*", "", 3, "Z a b/1 ", true },
                  { "*", "b/1", 3, "b/10 b/2 c.x ", true },                    { "b/?", "", 10, "b/1 b/2 ", false },
                  { "*1", "", 10, "b/1 c/x/1 ", false },                       { "[a-b]*", "a", 2, "b/1 b/10 ", true } };
    for (size_t i = 0; i < sizeof (globs) / sizeof (globs[0]); i++) {
        struct listed l = { .text = "" };
        bool more;
        must (strata_glob (w->there, "list", globs[i].pattern, globs[i].after, globs[i].max, note, &l, &more, &error));
        assert_string_equal (l.text, globs[i].expected);
        assert_int_equal (more, globs[i].more);
    }
    struct listed stopped = { .text = "", .stop_after = 2 };
    must (strata_list (w->here, "list", "", note, &stopped, &error));
    assert_int_equal (stopped.count, 2);
    refused (strata_list (w->here, "l/ist", "", note, &stopped, &error), EINVAL, "namespace 'l/ist' is not");
}

static void many_objects_are_listed_page_by_page (struct world *w)
{
    enum { COUNT = 1200 };
    char (*names)[24] = calloc (COUNT, sizeof (*names));
    const char **keys = calloc (COUNT, sizeof (*keys));
    const void **data = calloc (COUNT, sizeof (*data));
    size_t *sizes = calloc (COUNT, sizeof (*sizes));
    for (size_t i = 0; i < COUNT; i++) {
        snprintf (names[i], sizeof (names[i]), "%05zu", i);
        keys[i] = data[i] = names[i];
        sizes[i] = 5;
    }
    must (strata_put_many (w->here, "many", keys, data, sizes, COUNT, NULL, &error));
    struct listed l = { .text = "" };
    must (strata_list (w->there, "many", "", note, &l, &error));
    assert_int_equal (l.count, COUNT);
    must (strata_delete_many (w->there, "many", keys, COUNT, NULL, &error));
    l = (struct listed){ .text = "" };
    must (strata_list (w->here, "many", "", note, &l, &error));
    assert_int_equal (l.count, 0);
    free (names);
    free (keys);
    free (data);
    free (sizes);
}

static void a_move_goes_to_any_free_name (struct world *w)
{
    char key[32], to[32];
    for (unsigned i = 0; i < 12; i++) { /* enough names for moves within a stage and between two */
        snprintf (key, sizeof (key), "from-%u", i);
        snprintf (to, sizeof (to), "to-%u/x", i);
        must (strata_put (w->here, "ns", key, key, strlen (key), &error));
        must (strata_put (w->here, "ns", key, key, strlen (key), &error));
        must (strata_move (w->there, "ns", key, "moved", to, &error));
        assert_int_equal (strata_exists (w->here, "ns", key, &error), 0);
        assert_object (w->here, "moved", to, key);
        struct strata_object_info info;
        must (strata_stat (w->here, "moved", to, &info, &error));
        assert_int_equal (info.generation, 1);
        must (strata_put (w->here, "ns", key, "again", 5, &error));
        refused (strata_move (w->here, "ns", key, "moved", to, &error), EEXIST, "already");
        assert_object (w->there, "ns", key, "again");
        assert_object (w->there, "moved", to, key);
    }
    refused (strata_move (w->here, "ns", "nothing", "moved", "to", &error), ENOENT, "no object ns/nothing");
}

static void bulk_calls_tell_of_each (struct world *w)
{
    static const char *const keys[] = { "p", "q", "r/1", "r/2", "s" }, *const to[] = { "p2", "q2", "r2/1", "r2/2", "s2" };
    static const char *const some[] = { "p", "missing", "s" };
    const void *data[] = { "P", "QQ", "R1", "R2", "S" };
    const size_t sizes[] = { 1, 2, 2, 2, 1 };
    struct strata_object_info infos[5];
    void *got[5];
    size_t got_sizes[5];
    int codes[5] = { -1, -1, -1, -1, -1 };
    must (strata_put_many (w->here, "bulk", keys, data, sizes, 5, codes, &error));
    for (int i = 0; i < 5; i++)
        assert_int_equal (codes[i], 0);
    must (strata_stat_many (w->there, "bulk", keys, 5, infos, NULL, &error));
    must (strata_get_many (w->there, "bulk", keys, 5, got, got_sizes, NULL, &error));
    for (int i = 0; i < 5; i++) {
        assert_int_equal (infos[i].size, sizes[i]);
        assert_int_equal (got_sizes[i], sizes[i]);
        assert_memory_equal (got[i], data[i], sizes[i]);
        free (got[i]);
    }
    static const char *const twice[] = { "q", "q", "r/1" };
    static const uint64_t offsets[] = { 0, 1, 1 }, lengths[] = { 1, 9, 1 };
    must (strata_get_range_many (w->there, "bulk", twice, offsets, lengths, 3, got, got_sizes, codes, &error));
    for (int i = 0; i < 3; i++) {
        assert_int_equal (got_sizes[i], 1);
        assert_int_equal (*(char *)got[i], "QQ1"[i]);
        free (got[i]);
    }
    bool there[3];
    must (strata_exists_many (w->there, "bulk", some, 3, there, &error));
    assert_true (there[0] && !there[1] && there[2]);
    static const char *const bad[] = { "missing", "not allowed" };
    refused (strata_exists_many (w->there, "bulk", bad, 2, there, &error), EINVAL, "not allowed");
    refused (strata_get_many (w->there, "bulk", some, 3, got, got_sizes, codes, &error), ENOENT, "bulk/missing");
    assert_int_equal (codes[0], 0);
    assert_int_equal (codes[1], ENOENT);
    assert_int_equal (codes[2], 0);
    assert_null (got[1]);
    free (got[0]);
    free (got[2]);
    must (strata_move_many (w->here, "bulk", keys, "bulk2", to, 5, NULL, &error));
    must (strata_stat_many (w->there, "bulk2", to, 5, infos, NULL, &error));
    refused (strata_delete_many (w->here, "bulk2", some, 3, codes, &error), ENOENT, "bulk2/");
    must (strata_delete_many (w->here, "bulk2", to, 5, codes, &error));
    must (strata_put_many (w->here, "bulk", keys, data, sizes, 0, NULL, &error));
    /* Of one folder: all or none. */
    static const char *const folder[] = { "f/1", "f/2", "f/not allowed" };
    refused (strata_put_many (w->here, "bulk", folder, data, sizes, 3, codes, &error), EINVAL, "not allowed");
    assert_int_equal (strata_exists (w->there, "bulk", "f/1", &error), 0);
}

static void who_asks_first_waits_until_it_is_put (struct world *w)
{
    void *data;
    size_t size;
    pid_t pid = fork ();
    if (pid == 0) {
        struct strata_error why;
        nanosleep (&(struct timespec){ 0, 300000000 }, NULL);
        struct strata_client *c = strata_open (workspace, "late", SOON_MS, &why);
        _exit (c && strata_put (c, "late", "one", "here", 4, &why) == 0 ? 0 : 1);
    }
    must (strata_get_wait (w->here, "late", "one", &data, &size, &error));
    assert_int_equal (size, 4);
    assert_memory_equal (data, "here", 4);
    free (data);
    int status;
    assert_int_equal (waitpid (pid, &status, 0), pid);
    assert_int_equal (status, 0);
    must (strata_get_wait (w->there, "late", "one", &data, &size, &error)); /* there already */
    free (data);
    strata_set_timeout (w->here, 300);
    double before = now_s ();
    refused (strata_get_wait (w->here, "late", "never", &data, &size, &error), ETIMEDOUT, "late/never was not put in time");
    assert_true (now_s () - before >= 0.29);
    strata_set_timeout (w->here, SOON_MS);
}

static void arrays_come_back_as_they_were (struct world *w)
{
    static const double values[2][3] = { { 1, 2, 3 }, { -0.5, 1e300, 0 } };
    static const char *const words[] = { "RASa", "zRAFa" };
    char word[16];
    struct npz_writer *writer = npz_writer_new ();
    npz_add (writer, "values", NPY_F8, 2, (size_t[]){ 2, 3 }, values);
    npz_add_strings (writer, "words", words, 2, 0);
    must (strata_save_npz (w->here, "npz", "a.npz", writer, &error));
    npz_writer_free (&writer);
    struct npz *npz = strata_load_npz (w->there, "npz", "a.npz", &error);
    assert_non_null (npz);
    const struct npy *array = npz_get_shaped (npz, "values", NPY_F8, 2, (size_t[]){ 2, 3 }, &error);
    assert_non_null (array);
    assert_memory_equal (array->data, values, sizeof (values));
    assert_int_equal (npy_string (npz_get (npz, "words", &error), 1, word, sizeof (word)), 0);
    assert_string_equal (word, "zRAFa");
    npz_close (&npz);
    must (strata_put (w->here, "npz", "broken.npz", "no archive", 10, &error));
    assert_null (strata_load_npz (w->there, "npz", "broken.npz", &error));
    assert_int_equal (errno, EBADMSG);
    assert_non_null (strstr (error.text, "npz/broken.npz"));
}

static void the_last_checkpoints_stay (struct world *w)
{
    void *data;
    size_t size;
    uint64_t number;
    char text[16];
    refused (strata_restore (w->here, "ckpt", "sim/state", &data, &size, &number, &error), ENOENT, "no checkpoint sim/state");
    for (unsigned i = 1; i <= 5; i++) {
        snprintf (text, sizeof (text), "state %u", i);
        must (strata_checkpoint (i % 2 ? w->here : w->there, "ckpt", "sim/state", text, strlen (text), 2, &number, &error));
        assert_int_equal (number, i);
    }
    struct listed l = { .text = "" };
    must (strata_list (w->here, "ckpt", "", note, &l, &error));
    assert_string_equal (l.text, "sim/state/0000000004 sim/state/0000000005 ");
    must (strata_restore (w->there, "ckpt", "sim/state", &data, &size, &number, &error));
    assert_int_equal (number, 5);
    assert_int_equal (size, 7);
    assert_memory_equal (data, "state 5", 7);
    free (data);
    refused (strata_checkpoint (w->here, "ckpt", "sim/state", "x", 1, 0, NULL, &error), EINVAL, "at least 1 version");
    if (strcmp (w->backend, "file") != 0)
        return;
    /* Somebody writes over the newest: the one before it is taken. */
    char command[300];
    struct strata_object_info info;
    snprintf (command, sizeof (command),
              "for i in $(seq 100); do f=$(ls %s/objects/stage-*/ckpt/sim/state/0000000005 2> /dev/null) && break; sleep 0.1; "
              "done; printf xxxxxxx > $f",
              workspace);
    assert_int_equal (system (command), 0);
    must (strata_stat (w->here, "ckpt", "sim/state/0000000005", &info, &error));
    if (w->second) { /* the other backend has it */
        assert_object (w->here, "ckpt", "sim/state/0000000005", "state 5");
        return;
    }
    refused (strata_get (w->here, "ckpt", "sim/state/0000000005", &data, &size, &error), EBADMSG, "is damaged");
    must (strata_restore (w->here, "ckpt", "sim/state", &data, &size, &number, &error));
    assert_int_equal (number, 4);
    free (data);
    must (strata_delete (w->here, "ckpt", "sim/state/0000000005", &error));
}

static void a_signal_is_seen_by_those_who_wait (struct world *w)
{
    char *text;
    must (strata_signal (w->here, "model.ready", "epoch 7", &error));
    must (strata_wait (w->there, "model.ready", &text, &error));
    assert_string_equal (text, "epoch 7");
    free (text);
    must (strata_clear (w->there, "model.ready", &error));
    must (strata_clear (w->there, "model.ready", &error));
    strata_set_timeout (w->here, 200);
    refused (strata_wait (w->here, "model.ready", NULL, &error), ETIMEDOUT, "signal model.ready was not given in time");
    strata_set_timeout (w->here, SOON_MS);
    must (strata_signal (w->here, "model.ready", NULL, &error));
    must (strata_wait (w->there, "model.ready", NULL, &error));
}

static void a_large_object_arrives_whole (struct world *w)
{
    size_t size = (size_t)24 << 20, got;
    uint8_t *bytes = malloc (size), *back;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    must (strata_put (w->here, "large", "one", bytes, size, &error));
    must (strata_get (w->there, "large", "one", (void **)&back, &got, &error));
    assert_int_equal (got, size);
    assert_memory_equal (back, bytes, size);
    free (back);
    struct strata_mapping m; /* what is mapped is the same */
    must (strata_map (w->here, "large", "one", false, &m, &error));
    assert_int_equal (m.mapped, w->cache != NULL);
    assert_int_equal (m.size, size);
    assert_int_equal (m.info.generation, 1);
    assert_memory_equal (m.data, bytes, size);
    strata_unmap (&m);
    must (strata_get_range (w->there, "large", "one", 12345678, 1000, (void **)&back, &got, &error));
    assert_memory_equal (back, bytes + 12345678, 1000);
    free (back);
    must (strata_delete (w->here, "large", "one", &error));
    free (bytes);
}

/* One record straight to a stage, whatever its claim says. */
static int append_to (struct strata_client *c, const char *stage, const char *producer, uint64_t sequence)
{
    Strata__StreamAppend ask = STRATA__STREAM_APPEND__INIT;
    struct blob record = { "x", 1 };
    uint32_t size = 1;
    ProtobufCMessage *reply;
    ask.stream = "records";
    ask.producer = (char *)producer;
    ask.producer_sequence = &sequence;
    ask.n_producer_sequence = 1;
    ask.sizes = &size;
    ask.n_sizes = 1;
    int rc = client_request (c, stage, STRATA__MESSAGE_TYPE__TYPE_STREAM_APPEND, &ask.base, &record, 1,
                             &strata__stream_append_reply__descriptor, &reply, NULL, NULL, &error);
    if (rc == 0)
        protobuf_c_message_free_unpacked (reply, NULL);
    return rc;
}

static void records_of_a_producer_stay_at_one_stage (struct world *w)
{
    char name[24], owner[REPLICA_NAME_MAX];
    unsigned of[STAGES_MAX] = { 0 };
    bool duplicate;
    uint64_t last;
    for (unsigned i = 0; i < 40; i++) {
        struct claim claim;
        snprintf (name, sizeof (name), "sim-%u", i);
        must (strata_last_sequence (w->here, "records", name, &last, &error));
        assert_int_equal (last, 0);
        for (uint64_t n = 1; n <= 3; n++)
            must (strata_append (w->here, "records", name, n, "x", 1, &duplicate, &error));
        /* Restarted on another node, from the start: all are repeats, the next is not. */
        for (uint64_t n = 1; n <= 4; n++) {
            must (strata_append (w->there, "records", name, n, "x", 1, &duplicate, &error));
            assert_int_equal (duplicate, n <= 3);
        }
        must (strata_last_sequence (w->here, "records", name, &last, &error));
        assert_int_equal (last, 4);
        claim_of_producer (&claim, workspace, name);
        assert_int_equal (claim_read (&claim, owner, &error), 1);
        unsigned keeper = (unsigned)atoi (strrchr (owner, '-') + 1);
        of[keeper]++;
        if (w->stages > 1) {
            char other[24], kept[80];
            snprintf (other, sizeof (other), "stage-%u", 1 - keeper);
            snprintf (kept, sizeof (kept), "%s is kept by stage-%u", name, keeper);
            refused (append_to (w->here, other, name, 5), EXDEV, kept);
        }
    }
    for (unsigned i = 0; i < w->stages; i++)
        assert_true (of[i] > 0);
}

/* Which stage keeps the object; it is claimed. */
static unsigned keeper_of (struct world *w, const char *ns, const char *key)
{
    struct claim claim;
    char owner[REPLICA_NAME_MAX];
    claim_of_slot (&claim, workspace, claim_slot (ns, key));
    assert_int_equal (claim_read (&claim, owner, &error), 1);
    return (unsigned)atoi (strrchr (owner, '-') + 1);
}

static void while_a_stage_is_away_the_others_go_on (struct world *w)
{
    char key[24], text[64];
    unsigned away = w->stages - 1;
    for (unsigned i = 0; i < 20; i++) {
        snprintf (key, sizeof (key), "k%u", i);
        must (strata_put (w->here, "away", key, key, strlen (key), &error));
    }
    kill (w->pids[away], SIGKILL);
    int status;
    assert_int_equal (waitpid (w->pids[away], &status, 0), w->pids[away]);
    for (unsigned i = 0; i < 20; i++) {
        void *data;
        size_t size;
        snprintf (key, sizeof (key), "k%u", i);
        if (keeper_of (w, "away", key) != away) {
            assert_object (w->there, "away", key, key);
            continue;
        }
        strata_set_timeout (w->here, 300);
        snprintf (text, sizeof (text), "object away/%s is kept by stage-%u", key, away);
        refused (strata_get (w->here, "away", key, &data, &size, &error), ETIMEDOUT, text);
        strata_set_timeout (w->here, SOON_MS);
    }
    if (w->stages > 1) {
        /* New producers and names that nobody keeps go to those that live. */
        for (unsigned i = 0; i < 10; i++) {
            snprintf (key, sizeof (key), "fresh-%u", i);
            must (strata_append (w->here, "records", key, 1, "x", 1, NULL, &error));
        }
        strata_set_timeout (w->there, 300);
        struct listed l = { .text = "" };
        refused (strata_list (w->there, "away", "", note, &l, &error), ETIMEDOUT, "the list of away lacks what stage-1 keeps");
        strata_set_timeout (w->there, SOON_MS);
    }
    w->pids[away] = program_start ("stage", away, NULL);
    until_active (w);
    for (unsigned i = 0; i < 20; i++) {
        snprintf (key, sizeof (key), "k%u", i);
        assert_object (w->here, "away", key, key);
    }
}

#define GOING 60  /* objects */
#define GOERS 20  /* producers */

/* What `there` sees of all that stage-1 or stage-0 had: bytes, generations, last sequences; and repeats are known. */
static void assert_all_is_at_stage_0 (struct world *w, const uint64_t last[GOERS])
{
    struct listed l = { .text = "" };
    for (unsigned i = 0; i < GOING; i++) {
        struct strata_object_info info;
        char key[24];
        snprintf (key, sizeof (key), "g%02u/x", i);
        assert_object (w->there, "goes", key, key);
        must (strata_stat (w->there, "goes", key, &info, &error));
        assert_int_equal (info.generation, i % 3 == 0 ? 2 : 1);
        assert_int_equal (keeper_of (w, "goes", key), 0);
    }
    must (strata_list (w->there, "goes", "", note, &l, &error));
    assert_int_equal (l.count, GOING);
    for (unsigned i = 0; i < GOERS; i++) {
        char name[24];
        uint64_t kept;
        bool repeat;
        snprintf (name, sizeof (name), "goer-%u", i);
        must (strata_last_sequence (w->there, "records", name, &kept, &error));
        assert_int_equal (kept, last[i]);
        must (strata_append (w->there, "records", name, last[i], "x", 1, &repeat, &error));
        assert_true (repeat);
    }
}

static void a_stage_that_goes_hands_on_all_that_it_keeps (struct world *w)
{
    uint64_t last[GOERS];
    char key[24], name[24];
    unsigned of_1 = 0;
    int status = -1;
    if (w->stages < 2)
        return;
    for (unsigned i = 0; i < GOING; i++) {
        snprintf (key, sizeof (key), "g%02u/x", i);
        for (unsigned times = 0; times < (i % 3 == 0 ? 2 : 1); times++)
            must (strata_put (w->here, "goes", key, key, strlen (key), &error));
        of_1 += keeper_of (w, "goes", key) == 1;
    }
    assert_true (of_1 > 0);
    for (unsigned i = 0; i < GOERS; i++) {
        snprintf (name, sizeof (name), "goer-%u", i);
        for (last[i] = 0; last[i] < 3;)
            must (strata_append (w->here, "records", name, ++last[i], "x", 1, NULL, &error));
    }
    must (replicas_want (workspace, "stage", 1, &error));
    for (unsigned n = 0; waitpid (w->pids[1], &status, WNOHANG) == 0; n++) { /* nobody is refused meanwhile */
        snprintf (key, sizeof (key), "k%u/x", n % 40);
        snprintf (name, sizeof (name), "goer-%u", n % GOERS);
        must (strata_put (w->here, "meanwhile", key, name, strlen (name), &error));
        assert_object (w->there, "meanwhile", key, name);
        must (strata_append (w->here, "records", name, ++last[n % GOERS], "x", 1, NULL, &error));
    }
    assert_int_equal (status, 0);
    assert_all_is_at_stage_0 (w, last);
    /* Wanted again, it takes names as before. */
    must (replicas_want (workspace, "stage", 2, &error));
    w->pids[1] = program_start ("stage", 1, NULL);
    until_active (w);
    assert_all_is_at_stage_0 (w, last);
    for (unsigned i = of_1 = 0; i < 64 || (!of_1 && i < 1024); i++) {
        snprintf (key, sizeof (key), "fresh-%u", i);
        must (strata_put (w->here, "again", key, key, strlen (key), &error));
        of_1 += keeper_of (w, "again", key) == 1;
    }
    assert_true (of_1 > 0);
}

static const struct {
    const char *name;
    void (*check) (struct world *w);
} contracts[] = {
    { "what one puts the other gets", what_one_puts_the_other_gets },
    { "names that are not allowed are refused", names_that_are_not_allowed_are_refused },
    { "a new object never replaces another", a_new_object_never_replaces_another },
    { "ranges are cut at the end", ranges_are_cut_at_the_end },
    { "lists are whole and in order", lists_are_whole_and_in_order },
    { "many objects are listed page by page", many_objects_are_listed_page_by_page },
    { "a move goes to any free name", a_move_goes_to_any_free_name },
    { "bulk calls tell of each", bulk_calls_tell_of_each },
    { "who asks first waits until it is put", who_asks_first_waits_until_it_is_put },
    { "arrays come back as they were", arrays_come_back_as_they_were },
    { "the last checkpoints stay", the_last_checkpoints_stay },
    { "a signal is seen by those who wait", a_signal_is_seen_by_those_who_wait },
    { "a large object arrives whole", a_large_object_arrives_whole },
    { "records of a producer stay at one stage", records_of_a_producer_stay_at_one_stage },
    { "while a stage is away the others go on", while_a_stage_is_away_the_others_go_on },
    { "a stage that goes hands on all that it keeps", a_stage_that_goes_hands_on_all_that_it_keeps },
};

static void keep_all_in (struct world world)
{
    struct world *w = calloc (1, sizeof (*w));
    size_t count = sizeof (contracts) / sizeof (contracts[0]);
    *w = world;
    world_open (w);
    if (w->second)
        put_to_both (w);
    for (size_t i = 0; i < count; i++) {
        double before = now_s ();
        if (w->second && i == count / 2)
            spoil_the_first (w);
        print_message ("  %s%s%s, %u stage(s): %s", w->backend, w->second ? " and " : "", w->second ? w->second : "", w->stages,
                       contracts[i].name);
        contracts[i].check (w);
        print_message (" (%.2f s)\n", now_s () - before);
    }
    if (w->second)
        get_from_either (w);
    world_close (w);
    free (w);
}

static void keep_all (const char *backend, unsigned stages)
{
    keep_all_in ((struct world){ .backend = backend, .stages = stages });
}

static void file_beside_rocksdb_keeps_the_contract_though_it_is_spoiled (void **state)
{
    keep_all_in ((struct world){ .backend = "file", .second = "rocksdb", .stages = 2 });
}

static void tar_beside_redis_keeps_the_contract_though_it_is_spoiled (void **state)
{
    if (redis_installed ())
        keep_all_in ((struct world){ .backend = "tar", .second = "redis", .stages = 2 });
    else
        skip ();
}

static void file_at_two_stages_with_caches_keeps_the_contract (void **state)
{
    char folder[64];
    assert_true (scratch_new (folder, sizeof (folder)));
    keep_all_in ((struct world){ .backend = "file", .cache = folder, .stages = 2 });
    assert_int_equal (rmdir (folder), 0); /* they removed what they had */
}

static void file_keeps_the_contract (void **state)
{
    keep_all ("file", 1);
}

static void file_at_two_stages_keeps_the_contract (void **state)
{
    keep_all ("file", 2);
}

static void rocksdb_keeps_the_contract (void **state)
{
    keep_all ("rocksdb", 1);
}

static void rocksdb_at_two_stages_keeps_the_contract (void **state)
{
    keep_all ("rocksdb", 2);
}

static void tar_keeps_the_contract (void **state)
{
    keep_all ("tar", 1);
}

static void tar_at_two_stages_keeps_the_contract (void **state)
{
    keep_all ("tar", 2);
}

static void redis_keeps_the_contract (void **state)
{
    if (redis_installed ())
        keep_all ("redis", 1);
    else
        skip ();
}

static void redis_at_two_stages_keeps_the_contract (void **state)
{
    if (redis_installed ())
        keep_all ("redis", 2);
    else
        skip ();
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (file_keeps_the_contract),
        cmocka_unit_test (file_at_two_stages_keeps_the_contract),
        cmocka_unit_test (file_at_two_stages_with_caches_keeps_the_contract),
        cmocka_unit_test (rocksdb_keeps_the_contract),
        cmocka_unit_test (rocksdb_at_two_stages_keeps_the_contract),
        cmocka_unit_test (tar_keeps_the_contract),
        cmocka_unit_test (tar_at_two_stages_keeps_the_contract),
        cmocka_unit_test (redis_keeps_the_contract),
        cmocka_unit_test (redis_at_two_stages_keeps_the_contract),
        cmocka_unit_test (file_beside_rocksdb_keeps_the_contract_though_it_is_spoiled),
        cmocka_unit_test (tar_beside_redis_keeps_the_contract_though_it_is_spoiled),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
