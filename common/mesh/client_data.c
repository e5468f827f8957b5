/* client_data.c - what strata.h makes of objects: numpy archives, checkpoints, signals. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "strata.h"
#include "strata_npz.h"

#define NAME_MAX_BYTES 200
#define CHECKPOINTS_MAX 1000
#define SIGNALS "strata.signals" /* namespace of signals */

/* ---- numpy archives ---- */

int strata_save_npz (struct strata_client *self, const char *ns, const char *key, struct npz_writer *writer,
                     struct strata_error *error)
{
    void *data;
    size_t size;
    if (npz_finish (writer, &data, &size, error) < 0) {
        errno = EINVAL;
        return -1;
    }
    int rc = strata_put (self, ns, key, data, size, error), saved = errno;
    free (data);
    errno = saved;
    return rc;
}

struct npz *strata_load_npz (struct strata_client *self, const char *ns, const char *key, struct strata_error *error)
{
    void *data;
    size_t size;
    if (strata_get (self, ns, key, &data, &size, error) < 0)
        return NULL;
    struct npz *npz = npz_open_take (data, size, error);
    if (!npz) {
        strata_fail_prefix (error, "object %.200s/%.200s", ns, key);
        free (data);
        errno = EBADMSG;
    }
    return npz;
}

/* ---- checkpoints ---- */

struct versions {
    uint64_t numbers[CHECKPOINTS_MAX + 64];
    size_t count, skip; /* skip: length of "<name>/" */
};

static int note_version (const char *key, const struct strata_object_info *info, void *arg)
{
    struct versions *v = arg;
    char *end;
    uint64_t number = strtoull (key + v->skip, &end, 10);
    if (*end == '\0' && number && v->count < sizeof (v->numbers) / sizeof (v->numbers[0]))
        v->numbers[v->count++] = number;
    return 0;
}

static void version_key (char key[NAME_MAX_BYTES + 32], const char *name, uint64_t number)
{
    snprintf (key, NAME_MAX_BYTES + 32, "%.200s/%010" PRIu64, name, number);
}

/* Ascending: numbers have ten digits, and the list is in byte order. They share a first part, so one stage has them all. */
static int find_versions (struct strata_client *self, const char *ns, const char *name, struct versions *v,
                          struct strata_error *error)
{
    char prefix[NAME_MAX_BYTES + 8];
    snprintf (prefix, sizeof (prefix), "%.200s/", name);
    *v = (struct versions){ .skip = strlen (prefix) };
    return strata_list (self, ns, prefix, note_version, v, error);
}

int strata_checkpoint (struct strata_client *self, const char *ns, const char *name, const void *data, size_t size,
                       unsigned keep, uint64_t *number, struct strata_error *error)
{
    char key[NAME_MAX_BYTES + 32];
    struct versions v;
    struct strata_error ignored;
    if (keep < 1 || keep > CHECKPOINTS_MAX) {
        errno = EINVAL;
        return strata_fail (error, "of checkpoint %.200s at least 1 version stays, and at most %d; %u were asked for", name,
                            CHECKPOINTS_MAX, keep);
    }
    if (find_versions (self, ns, name, &v, error) < 0)
        return -1;
    uint64_t next = v.count ? v.numbers[v.count - 1] + 1 : 1;
    for (;; next++) {
        version_key (key, name, next);
        if (strata_put_new (self, ns, key, data, size, error) == 0)
            break;
        if (errno != EEXIST) /* else somebody else's version of the same name was first */
            return -1;
    }
    if (number)
        *number = next;
    for (size_t i = 0; i + keep <= v.count; i++) {
        version_key (key, name, v.numbers[i]);
        /* One that stays is no loss: the next checkpoint tries again. */
        if (strata_delete (self, ns, key, &ignored) < 0 && errno != ENOENT)
            break;
    }
    return 0;
}

int strata_restore (struct strata_client *self, const char *ns, const char *name, void **data, size_t *size,
                    uint64_t *number, struct strata_error *error)
{
    char key[NAME_MAX_BYTES + 32];
    struct versions v;
    if (find_versions (self, ns, name, &v, error) < 0)
        return -1;
    errno = ENOENT;
    strata_fail (error, "there is no checkpoint %.200s in namespace %.200s", name, ns);
    while (v.count) {
        uint64_t newest = v.numbers[--v.count];
        version_key (key, name, newest);
        if (strata_get (self, ns, key, data, size, error) == 0) {
            if (number)
                *number = newest;
            return 0;
        }
        if (errno != EBADMSG && errno != ENOENT)
            break;
    }
    return -1;
}

/* ---- signals ---- */

int strata_signal (struct strata_client *self, const char *name, const char *text, struct strata_error *error)
{
    return strata_put (self, SIGNALS, name, text ? text : "", text ? strlen (text) : 0, error);
}

int strata_wait (struct strata_client *self, const char *name, char **text, struct strata_error *error)
{
    void *data;
    size_t size;
    if (strata_get_wait (self, SIGNALS, name, &data, &size, error) < 0) {
        int saved = errno;
        if (saved == ETIMEDOUT)
            strata_fail (error, "signal %.200s was not given in time", name);
        errno = saved;
        return -1;
    }
    char *copy = text ? strndup (data, size) : NULL;
    free (data);
    if (text && !copy) {
        errno = ENOMEM;
        return strata_fail (error, "out of memory");
    }
    if (text)
        *text = copy;
    return 0;
}

int strata_clear (struct strata_client *self, const char *name, struct strata_error *error)
{
    int rc = strata_delete (self, SIGNALS, name, error);
    return rc < 0 && errno == ENOENT ? 0 : rc;
}
