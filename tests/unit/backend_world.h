/* backend_world.h - a stage on a folder, and its crashes, for the tests of where objects' bytes stand; and the tests that every
 * backend passes. */
#ifndef TEST_BACKEND_WORLD_H
#define TEST_BACKEND_WORLD_H

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

static inline void world_open (struct world *w)
{
    struct strata_error error = { "" };
    w->shard = shard_open (w->store, &error);
    w->stage = w->shard ? stage_new (w->shard, w->backend, w->namespaces, w->namespaces_count, w->root, "stage-0", 1 << 20, &error) : NULL;
    if (!w->stage)
        fail_msg ("%s", error.text);
}

/* What was not committed is lost; files are as they are. */
static inline void world_crash (struct world *w)
{
    stage_free (&w->stage);
    shard_close (&w->shard);
    world_open (w);
}

static inline void commit (struct world *w)
{
    struct strata_error error;
    if (stage_flush (w->stage, &error) < 0 || shard_commit (w->shard, &error) < 0)
        fail_msg ("%s", error.text);
}

static inline void settle (struct world *w)
{
    struct strata_error error = { "" };
    if (stage_settle (w->stage, &error) < 0)
        fail_msg ("%s", error.text);
}

static inline int setup (void **state)
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

static inline int teardown (void **state)
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

static inline int put (struct world *w, const char *key, const char *text, struct strata_error *error)
{
    Strata__ObjectInfo info;
    struct backend_item item = { key, text, strlen (text), NULL };
    return stage_put (w->stage, "ns", &item, 1, false, 0, &info, error);
}

static inline void must_put (struct world *w, const char *key, const char *text)
{
    struct strata_error error = { "" };
    if (put (w, key, text, &error) < 0)
        fail_msg ("%s", error.text);
}

/* The object's text, malloc'ed, or NULL with errno. */
static inline char *get (struct world *w, const char *key, struct strata_error *error)
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
static inline void assert_no_text (struct world *w, const char *key, struct strata_error *error)
{
    char *text = get (w, key, error);
    bool refused = text == NULL;
    int saved = errno;
    free (text);
    errno = saved;
    assert_true (refused);
}

static inline void assert_text (struct world *w, const char *key, const char *expected)
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

static inline bool is_there (const char *path)
{
    struct stat st;
    return lstat (path, &st) == 0;
}

static inline void write_text (const char *path, const char *text)
{
    FILE *f = fopen (path, "w");
    assert_non_null (f);
    fputs (text, f);
    fclose (f);
}

static inline size_t numbered_files (struct world *w)
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

/* ---- all ---- */

static inline void bytes_of_every_value_come_back (void **state)
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

static inline bool below (const char *key, const char *folder)
{
    size_t n = strlen (folder);
    return strncmp (key, folder, n) == 0 && key[n] == '/';
}

/* Whether key i may be made when `gone` goes away with it. */
static inline bool model_free (const struct model *m, size_t i, size_t gone)
{
    for (size_t j = 0; j < NAMES; j++)
        if (m->value[j] && j != gone && (j == i || below (names[i], names[j]) || below (names[j], names[i])))
            return false;
    return true;
}

static inline void model_step (struct world *w, struct model *m, int *version, unsigned *seed)
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

static inline void model_compare (struct world *w, const struct model *m)
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
static inline void crashes_at_random_never_lose_or_revive_an_object (void **state)
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

/* A test in a world of that backend. */
#define ON(backend, f)                                                                                                 \
    {                                                                                                                  \
#f " (" backend ")", f, setup, teardown, (void *)backend                                                       \
    }

#endif
