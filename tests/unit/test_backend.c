/* test_backend.c - where objects' bytes stand: damage, leftovers, full disks and crashes at random, through all
 * backends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../services/stage/stage_core.h"
#include "redis_servers.h"
#include "strata_tar.h"

struct world {
    const char *backend;
    char dir[64], store[80], root[80];
    struct shard *shard;
    struct stage *stage;
    struct redis_servers redis;
    const struct campaign_namespace *namespaces;
    unsigned namespaces_count;
};

static void world_open (struct world *w)
{
    struct strata_error error = { "" };
    w->shard = shard_open (w->store, &error);
    w->stage = w->shard ? stage_new (w->shard, w->backend, w->namespaces, w->namespaces_count, w->root, "stage-0", 1 << 20, &error) : NULL;
    if (!w->stage)
        fail_msg ("%s", error.text);
}

/* What was not committed is lost; files are as they are. */
static void world_crash (struct world *w)
{
    stage_free (&w->stage);
    shard_close (&w->shard);
    world_open (w);
}

static void commit (struct world *w)
{
    struct strata_error error;
    if (stage_flush (w->stage, &error) < 0 || shard_commit (w->shard, &error) < 0)
        fail_msg ("%s", error.text);
}

static void settle (struct world *w)
{
    struct strata_error error = { "" };
    if (stage_settle (w->stage, &error) < 0)
        fail_msg ("%s", error.text);
}

static int setup (void **state)
{
    struct world *w = calloc (1, sizeof (*w));
    w->backend = *state;
    snprintf (w->dir, sizeof (w->dir), "/tmp/strata-test-XXXXXX");
    assert_non_null (mkdtemp (w->dir));
    snprintf (w->store, sizeof (w->store), "%s/stage-0", w->dir);
    snprintf (w->root, sizeof (w->root), "%s/objects", w->dir);
    assert_int_equal (mkdir (w->root, 0777), 0); /* paths beside it begin with it */
    if (strcmp (w->backend, "redis") == 0)
        redis_servers_open (&w->redis, w->dir);
    world_open (w);
    *state = w;
    return 0;
}

static int teardown (void **state)
{
    struct world *w = *state;
    char command[120];
    stage_free (&w->stage);
    shard_close (&w->shard);
    redis_servers_close (&w->redis);
    snprintf (command, sizeof (command), "rm -rf '%s'", w->dir);
    assert_int_equal (system (command), 0);
    free (w);
    return 0;
}

static int put (struct world *w, const char *key, const char *text, struct strata_error *error)
{
    Strata__ObjectInfo info;
    struct backend_item item = { key, text, strlen (text), NULL };
    return stage_put (w->stage, "ns", &item, 1, false, 0, &info, error);
}

static void must_put (struct world *w, const char *key, const char *text)
{
    struct strata_error error = { "" };
    if (put (w, key, text, &error) < 0)
        fail_msg ("%s", error.text);
}

/* The object's text, malloc'ed, or NULL with errno. */
static char *get (struct world *w, const char *key, struct strata_error *error)
{
    Strata__ObjectInfo info;
    void *data;
    if (stage_get (w->stage, "ns", key, &info, &data, error) < 0)
        return NULL;
    char *text = strndup (data, info.size);
    free (data);
    return text;
}

/* Refused; errno is left as the refusal has set it. */
static void assert_no_text (struct world *w, const char *key, struct strata_error *error)
{
    char *text = get (w, key, error);
    bool refused = text == NULL;
    int saved = errno;
    free (text);
    errno = saved;
    assert_true (refused);
}

static void assert_text (struct world *w, const char *key, const char *expected)
{
    struct strata_error error = { "" };
    char *text = get (w, key, &error);
    if (!text)
        fail_msg ("%s: %s", key, error.text);
    assert_string_equal (text, expected);
    free (text);
}

static const char *in (struct world *w, const char *name)
{
    static char path[4][300];
    static unsigned next;
    char *p = path[next++ % 4];
    snprintf (p, sizeof (path[0]), "%s/%s", w->root, name);
    return p;
}

static bool is_there (const char *path)
{
    struct stat st;
    return lstat (path, &st) == 0;
}

static void write_text (const char *path, const char *text)
{
    FILE *f = fopen (path, "w");
    assert_non_null (f);
    fputs (text, f);
    fclose (f);
}

static size_t numbered_files (struct world *w)
{
    size_t count = 0;
    DIR *dir = opendir (in (w, "~stage-0"));
    assert_non_null (dir);
    for (struct dirent *entry; (entry = readdir (dir));)
        count += entry->d_name[0] != '.';
    closedir (dir);
    return count;
}

/* ---- the file backend's own ---- */

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

/* ---- all ---- */

static void bytes_of_every_value_come_back (void **state)
{
    struct world *w = *state;
    struct strata_error error;
    Strata__ObjectInfo info;
    enum { SIZE = 300000 };
    uint8_t *bytes = malloc (SIZE);
    void *data;
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    struct backend_item item = { "bytes", bytes, SIZE, NULL };
    assert_int_equal (stage_put (w->stage, "ns", &item, 1, false, 0, &info, &error), 0);
    commit (w);
    settle (w);
    world_crash (w);
    assert_int_equal (stage_get (w->stage, "ns", "bytes", &info, &data, &error), 0);
    assert_int_equal (info.size, SIZE);
    assert_memory_equal (data, bytes, SIZE);
    free (data);
    free (bytes);
}

/* Keys that want each other's places. */
static const char *const names[] = { "a", "a/b", "a/b/c", "d", "d/e", "f", "g/h", "g/h/i", "g/j" };
#define NAMES (sizeof (names) / sizeof (names[0]))

struct model {
    int value[NAMES]; /* 0: not there */
};

static bool below (const char *key, const char *folder)
{
    size_t n = strlen (folder);
    return strncmp (key, folder, n) == 0 && key[n] == '/';
}

/* Whether key i may be made when `gone` goes away with it. */
static bool model_free (const struct model *m, size_t i, size_t gone)
{
    for (size_t j = 0; j < NAMES; j++)
        if (m->value[j] && j != gone && (j == i || below (names[i], names[j]) || below (names[j], names[i])))
            return false;
    return true;
}

static void model_step (struct world *w, struct model *m, int *version, unsigned *seed)
{
    struct strata_error error = { "" };
    size_t i = (size_t)rand_r (seed) % NAMES, j = (size_t)rand_r (seed) % NAMES;
    char text[16];
    bool may;
    int rc;
    switch (rand_r (seed) % 5) {
    case 0:
    case 1:
        snprintf (text, sizeof (text), "v%d", ++*version);
        may = m->value[i] || model_free (m, i, NAMES);
        rc = put (w, names[i], text, &error);
        if (may)
            m->value[i] = *version;
        break;
    case 2:
        may = m->value[i] != 0;
        rc = stage_delete (w->stage, "ns", names[i], &error);
        m->value[i] = 0;
        break;
    default:
        may = m->value[i] && i != j && !m->value[j] && model_free (m, j, i);
        rc = stage_move (w->stage, "ns", names[i], "ns", names[j], 0, &error);
        if (may) {
            m->value[j] = m->value[i];
            m->value[i] = 0;
        }
    }
    if ((rc == 0) != may)
        fail_msg ("%s / %s: may %d, rc %d: %s", names[i], names[j], may, rc, error.text);
}

static void model_compare (struct world *w, const struct model *m)
{
    struct stage_figures f;
    uint64_t objects = 0, bytes = 0;
    for (size_t i = 0; i < NAMES; i++) {
        struct strata_error error = { "" };
        char *text = get (w, names[i], &error), expected[16];
        snprintf (expected, sizeof (expected), "v%d", m->value[i]);
        if (m->value[i]) {
            if (!text)
                fail_msg ("%s is lost: %s", names[i], error.text);
            assert_string_equal (text, expected);
            objects++;
            bytes += strlen (expected);
        } else if (text)
            fail_msg ("%s is there again: %s", names[i], text);
        free (text);
    }
    stage_figures (w->stage, &f);
    assert_int_equal (f.objects, objects);
    assert_int_equal (f.bytes, bytes);
}

/* Operations, commits, settlings and crashes in random order: what was committed is there, what was not is not. */
static void crashes_at_random_never_lose_or_revive_an_object (void **state)
{
    struct world *w = *state;
    struct model now = { { 0 } }, committed = { { 0 } };
    int version = 0;
    unsigned seed = 20260101;
    for (unsigned step = 0; step < 2000; step++) {
        switch (rand_r (&seed) % 12) {
        case 0:
        case 1:
            commit (w);
            committed = now;
            break;
        case 2:
        case 3:
            settle (w);
            break;
        case 4:
            if (rand_r (&seed) % 4)
                break;
            world_crash (w);
            now = committed;
            model_compare (w, &now);
            break;
        default:
            model_step (w, &now, &version, &seed);
            break;
        }
        if (step % 10 == 0)
            model_compare (w, &now);
    }
    commit (w);
    settle (w);
    commit (w);
    settle (w);
    model_compare (w, &now);
    /* Nothing is left but the objects: their files, and no numbered one. */
    if (strcmp (w->backend, "file") == 0) {
        assert_int_equal (numbered_files (w), 0);
        for (size_t i = 0; i < NAMES; i++) {
            char name[40];
            struct stat st;
            snprintf (name, sizeof (name), "stage-0/ns/%s", names[i]);
            assert_int_equal (stat (in (w, name), &st) == 0 && S_ISREG (st.st_mode), now.value[i] != 0);
        }
    }
}

/* ---- the tar backend's own ---- */

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

/* ---- namespaces with several backends ---- */

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

/* ---- the redis backend's own ---- */

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

#define FILE_ONLY(f)                                                                                                   \
    {                                                                                                                  \
#f, f, setup, teardown, (void *)"file"                                                                         \
    }
#define TAR(f)                                                                                                         \
    {                                                                                                                  \
#f " (tar)", f, setup, teardown, (void *)"tar"                                                                 \
    }
#define REDIS(f)                                                                                                       \
    {                                                                                                                  \
#f " (redis)", f, setup, teardown, (void *)"redis"                                                             \
    }
#define SEVERAL(f)                                                                                                     \
    {                                                                                                                  \
#f " (tar and file)", f, setup_several, teardown, (void *)"redis"                                              \
    }
#define ROCKSDB(f)                                                                                                     \
    {                                                                                                                  \
#f " (rocksdb)", f, setup, teardown, (void *)"rocksdb"                                                         \
    }

int main (int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        FILE_ONLY (a_file_stands_under_its_name_only_when_the_batch_is_on_disk),
        FILE_ONLY (settling_goes_on_under_steady_load),
        FILE_ONLY (damage_is_told_by_the_objects_name),
        FILE_ONLY (symbolic_links_are_never_followed),
        FILE_ONLY (files_of_an_older_layout_are_moved_below_their_stage),
        FILE_ONLY (leftovers_of_a_crash_are_removed_at_the_start),
        FILE_ONLY (a_full_disk_refuses_the_put_and_leaves_nothing_half_written),
        FILE_ONLY (a_move_away_and_back_leaves_nothing_behind),
        FILE_ONLY (bytes_of_every_value_come_back),
        ROCKSDB (bytes_of_every_value_come_back),
        TAR (bytes_of_every_value_come_back),
        FILE_ONLY (crashes_at_random_never_lose_or_revive_an_object),
        ROCKSDB (crashes_at_random_never_lose_or_revive_an_object),
        TAR (crashes_at_random_never_lose_or_revive_an_object),
        TAR (what_a_crash_left_in_an_archive_is_cut_off),
        TAR (a_damaged_member_is_told_by_the_objects_name),
        TAR (archives_of_deleted_objects_are_given_up),
        TAR (an_archive_that_another_process_holds_is_left_to_it),
        TAR (a_full_disk_refuses_the_put_and_archives_stay_whole),
    };
    const struct CMUnitTest redis_tests[] = {
        REDIS (bytes_of_every_value_come_back),
        REDIS (crashes_at_random_never_lose_or_revive_an_object),
        REDIS (while_a_server_is_away_the_others_go_on),
        REDIS (without_any_server_puts_are_refused_until_one_is_back),
        REDIS (what_a_crash_left_in_the_servers_is_removed),
        REDIS (a_wrong_password_and_a_full_server_are_told),
        SEVERAL (every_backend_has_a_copy_and_any_is_enough),
        SEVERAL (a_put_that_one_backend_refuses_changes_nothing),
        SEVERAL (where_a_namespace_is_kept_cannot_change),
        SEVERAL (crashes_at_random_never_lose_or_revive_an_object),
    };
    signal (SIGPIPE, SIG_IGN); /* as every service does: a server that went away */
    int failed = argc > 1 ? 0 : cmocka_run_group_tests (tests, NULL, NULL); /* test_backend redis: those alone */
    if (!redis_installed ()) {
        print_message ("redis-server is not installed: its backend was not tested\n");
        return failed;
    }
    return failed + cmocka_run_group_tests (redis_tests, NULL, NULL);
}
