/* copies.c - see copies.h
 *
 * A backend with files or servers of its own is the world outside: in a replay of the recorded inputs it is neither opened nor
 * asked, and its recorded answers are given again, with the changes that it made in the shard.
 *
 *   stage/backend                the default backend's name
 *   stage/backend/<ns>           names of the backends of a namespace that has a list, with ',' between
 */
#include "copies.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/crc32c.h"
#include "core/log.h"

#define KINDS_MAX 8
#define BACKEND_KEY "stage/backend"

struct kind {
    const struct backend_ops *ops;
    struct backend *backend;
};

/* The backends of a namespace, in the order in which they are read. */
struct list {
    const struct kind *kinds[KINDS_MAX];
    size_t count;
};

/* Changes of the shard, as a backend made them: for each a flag (1: a value, 0: a delete), the two sizes (4 bytes each), the key
 * and the value. */
struct changes {
    uint8_t *data;
    size_t size, room;
};

struct copies {
    struct shard *shard;
    struct changes changes; /* of the call that is made */
    struct kind kinds[KINDS_MAX];
    size_t kinds_count;
    struct list usual, *lists; /* lists: of namespaces [count] */
    const struct campaign_namespace *namespaces;
    unsigned count;
};

/* ---- the world outside ---- */

/* Room for so many bytes more. */
static void changes_room (struct changes *self, size_t size)
{
    if (self->size + size <= self->room)
        return;
    size_t room = 2 * self->room + size;
    uint8_t *grown = realloc (self->data, room);
    if (!grown) {
        log_error ("out of memory");
        abort ();
    }
    self->data = grown;
    self->room = room;
}

static void changes_add (struct changes *self, const void *data, size_t size)
{
    changes_room (self, size);
    if (size)
        memcpy (self->data + self->size, data, size);
    self->size += size;
}

static void note_change (const void *key, size_t key_size, const void *value, size_t value_size, void *arg)
{
    struct changes *changes = arg;
    const uint32_t sizes[] = { (uint32_t)key_size, (uint32_t)value_size };
    changes_add (changes, value ? "\1" : "\0", 1);
    changes_add (changes, sizes, sizeof (sizes));
    changes_add (changes, key, key_size);
    changes_add (changes, value, value ? value_size : 0);
}

/* False: what is left of them is broken. */
static bool change_again (struct shard *shard, const struct changes *changes, size_t *at)
{
    uint32_t sizes[2];
    size_t left = changes->size - *at;
    const uint8_t *p = changes->data + *at;
    if (left < 1 + sizeof (sizes))
        return false;
    memcpy (sizes, p + 1, sizeof (sizes));
    left -= 1 + sizeof (sizes);
    if (sizes[0] > left || sizes[1] > left - sizes[0])
        return false;
    const uint8_t *key = p + 1 + sizeof (sizes);
    if (p[0])
        shard_put (shard, key, sizes[0], key + sizes[0], sizes[1]);
    else
        shard_delete (shard, key, sizes[0]);
    *at += 1 + sizeof (sizes) + sizes[0] + (p[0] ? sizes[1] : 0);
    return true;
}

/* Around each call of a backend. True: it is to be called. */
static bool enter (struct copies *self, const struct kind *kind)
{
    if (!kind->ops->in_store && shard_records (self->shard)) {
        self->changes.size = 0;
        shard_watch (self->shard, note_change, &self->changes);
    }
    return kind->ops->in_store || !shard_replays (self->shard);
}

/* rc: what it answered; returns what the answer is. */
static int leave (struct copies *self, const struct kind *kind, int rc, struct strata_error *error)
{
    struct changes *changes = &self->changes;
    if (kind->ops->in_store)
        return rc;
    shard_watch (self->shard, NULL, NULL);
    rc = shard_fact_rc (self->shard, rc, error);
    int saved = errno;
    uint32_t size = shard_records (self->shard) ? (uint32_t)changes->size : 0;
    shard_fact (self->shard, &size, sizeof (size));
    if (shard_replays (self->shard)) {
        size_t at = 0;
        changes->size = 0;
        changes_room (changes, size);
        if (size)
            shard_fact (self->shard, changes->data, size);
        changes->size = size;
        while (at < size && change_again (self->shard, changes, &at))
            ;
    } else if (size)
        shard_fact (self->shard, changes->data, size);
    errno = saved;
    return rc;
}

static void kind_delete (struct copies *self, const struct kind *kind, const char *ns, const char *key)
{
    struct strata_error none = { "" };
    if (enter (self, kind))
        kind->ops->delete (kind->backend, ns, key);
    leave (self, kind, 0, &none);
}

/* ---- opening ---- */

/* What stood in the store under that key is what the campaign file says now. */
static int same_as_before (struct copies *self, const char *key, const char *names, const char *setting, struct strata_error *error)
{
    void *stored = NULL;
    size_t size;
    int rc = 0;
    if (!shard_get (self->shard, key, strlen (key), &stored, &size)) {
        shard_put (self->shard, key, strlen (key), names, strlen (names));
        return 0;
    }
    if (size != strlen (names) || memcmp (stored, names, size) != 0)
        rc = strata_fail (error,
                          "%s is '%s', but the objects of store %s stand in backend '%.*s'; put that back, or start a "
                          "campaign in a new workspace",
                          setting, names, shard_dir (self->shard), (int)(size < 60 ? size : 60), (const char *)stored);
    free (stored);
    return rc;
}

static const struct kind *kind_open (struct copies *self, const char *name, const char *root, const char *owner,
                                     struct strata_error *error)
{
    for (size_t i = 0; i < self->kinds_count; i++)
        if (strcmp (self->kinds[i].ops->name, name) == 0)
            return &self->kinds[i];
    const struct backend_ops *ops = backend_find (name);
    if (!ops || self->kinds_count == KINDS_MAX) {
        strata_fail (error, "stage.backend is '%s'; this build has file, rocksdb, tar and redis", name);
        return NULL;
    }
    struct kind *kind = &self->kinds[self->kinds_count];
    kind->ops = ops;
    if (enter (self, kind))
        kind->backend = ops->open (self->shard, root, owner, error);
    if (leave (self, kind, kind->backend || shard_replays (self->shard) ? 0 : -1, error) < 0)
        return NULL;
    self->kinds_count++;
    return kind;
}

static int list_open (struct copies *self, unsigned i, const char *root, const char *owner, struct strata_error *error)
{
    const struct campaign_namespace *n = &self->namespaces[i];
    char key[300], setting[300], names[KINDS_MAX * 16] = "";
    struct list *list = &self->lists[i];
    for (unsigned k = 0; k < n->backends_count; k++)
        snprintf (names + strlen (names), sizeof (names) - strlen (names), "%s%s", k ? "," : "", n->backends[k]);
    snprintf (key, sizeof (key), BACKEND_KEY "/%.200s", n->name);
    snprintf (setting, sizeof (setting), "stage.namespaces, %.200s:", n->name);
    if (same_as_before (self, key, names, setting, error) < 0)
        return -1;
    for (unsigned k = 0; k < n->backends_count && k < KINDS_MAX; k++) {
        if (!(list->kinds[k] = kind_open (self, n->backends[k], root, owner, error)))
            return -1;
        list->count++;
    }
    return 0;
}

struct copies *copies_open (struct shard *shard, const char *backend, const struct campaign_namespace *namespaces, unsigned count,
                            const char *root, const char *owner, struct strata_error *error)
{
    struct copies *self = calloc (1, sizeof (*self));
    struct list *lists = calloc (count ? count : 1, sizeof (*lists));
    if (!self || !lists) {
        strata_fail (error, "out of memory");
        free (self);
        free (lists);
        return NULL;
    }
    self->shard = shard;
    self->namespaces = namespaces;
    self->count = count;
    self->lists = lists;
    int rc = backend_find (backend) ? same_as_before (self, BACKEND_KEY, backend, "stage.backend", error) : 0;
    if (rc == 0 && !(self->usual.kinds[0] = kind_open (self, backend, root, owner, error)))
        rc = -1;
    self->usual.count = 1;
    for (unsigned i = 0; rc == 0 && i < count; i++)
        rc = list_open (self, i, root, owner, error);
    if (rc < 0)
        copies_close (&self);
    return self;
}

void copies_close (struct copies **self_p)
{
    struct copies *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->kinds_count; i++)
        if (self->kinds[i].backend)
            self->kinds[i].ops->close (&self->kinds[i].backend);
    free (self->changes.data);
    free (self->lists);
    free (self);
    *self_p = NULL;
}

static const struct list *list_of (const struct copies *self, const char *ns)
{
    for (unsigned i = 0; i < self->count; i++)
        if (strcmp (self->namespaces[i].name, ns) == 0)
            return &self->lists[i];
    return &self->usual;
}

bool copies_several (const struct copies *self, const char *ns)
{
    return list_of (self, ns)->count > 1;
}

/* ---- the objects' operations ---- */

int copies_put (struct copies *self, const char *ns, const struct backend_item *items, size_t count, struct strata_error *error)
{
    const struct list *list = list_of (self, ns);
    for (size_t k = 0; k < list->count; k++) {
        int rc = enter (self, list->kinds[k]) ? list->kinds[k]->ops->put (list->kinds[k]->backend, ns, items, count, error) : 0;
        if (leave (self, list->kinds[k], rc, error) == 0)
            continue;
        int saved = errno;
        for (size_t taken = 0; taken < k; taken++)
            for (size_t i = 0; i < count; i++)
                kind_delete (self, list->kinds[taken], ns, items[i].key);
        errno = saved;
        return -1;
    }
    return 0;
}

static int get_whole (const struct kind *kind, const char *ns, const char *key, uint64_t size, uint32_t crc, void **data,
                     struct strata_error *error)
{
    if (kind->ops->get (kind->backend, ns, key, size, 0, size, data, error) < 0)
        return -1;
    uint32_t found = crc32c (0, *data, size);
    if (found == crc)
        return 0;
    free (*data);
    *data = NULL;
    errno = EBADMSG;
    return strata_fail (error, "object %s/%s is damaged: its checksum is %08x, it was put with %08x", ns, key, found, crc);
}

/* A replay is not told the bytes: nothing that it compares depends on them. */
static int fetched (struct copies *self, const struct kind *kind, int rc, uint64_t size, void **data, struct strata_error *error)
{
    if (leave (self, kind, rc, error) < 0) {
        free (*data);
        *data = NULL;
        return -1;
    }
    if (*data || (*data = calloc (1, size ? size : 1)))
        return 0;
    errno = ENOMEM;
    return strata_fail (error, "out of memory");
}

static int get_from (struct copies *self, const struct kind *kind, const char *ns, const char *key, uint64_t size, uint32_t crc,
                     void **data, struct strata_error *error)
{
    *data = NULL;
    int rc = enter (self, kind) ? get_whole (kind, ns, key, size, crc, data, error) : 0;
    return fetched (self, kind, rc, size, data, error);
}

int copies_get (struct copies *self, const char *ns, const char *key, uint64_t size, uint32_t crc, void **data,
                struct strata_error *error)
{
    const struct list *list = list_of (self, ns);
    struct strata_error why = { "" };
    int first = 0;
    for (size_t k = 0; k < list->count; k++) {
        if (get_from (self, list->kinds[k], ns, key, size, crc, data, &why) == 0) {
            if (k)
                log_warn ("object %s/%s was read from %s: %s", ns, key, list->kinds[k]->ops->name, error ? error->text : "");
            return 0;
        }
        /* One that may have it, but not now, says more than one that does not have it. */
        if (k == 0 || (first == EBADMSG && errno != EBADMSG)) {
            first = errno;
            if (error)
                *error = why;
        }
    }
    errno = first;
    return -1;
}

int copies_get_range (struct copies *self, const char *ns, const char *key, uint64_t size, uint64_t offset, uint64_t length,
                      void **data, struct strata_error *error)
{
    const struct list *list = list_of (self, ns);
    const struct kind *kind = list->kinds[0];
    *data = NULL;
    int rc = enter (self, kind) ? kind->ops->get (kind->backend, ns, key, size, offset, length, data, error) : 0;
    return fetched (self, kind, rc, length, data, error);
}

int copies_move (struct copies *self, const char *ns, const char *key, const char *to_ns, const char *to_key, uint64_t size,
                 uint32_t crc, struct strata_error *error)
{
    const struct list *from = list_of (self, ns), *to = list_of (self, to_ns);
    void *data;
    if (from->count == 1 && to->count == 1 && from->kinds[0] == to->kinds[0]) {
        const struct kind *kind = to->kinds[0];
        int moved = enter (self, kind) ? kind->ops->move (kind->backend, ns, key, to_ns, to_key, error) : 0;
        return leave (self, kind, moved, error);
    }
    if (copies_get (self, ns, key, size, crc, &data, error) < 0)
        return -1;
    struct backend_item item = { to_key, data, size, &crc };
    int rc = copies_put (self, to_ns, &item, 1, error), saved = errno;
    free (data);
    if (rc == 0)
        copies_delete (self, ns, key);
    errno = saved;
    return rc;
}

void copies_delete (struct copies *self, const char *ns, const char *key)
{
    const struct list *list = list_of (self, ns);
    for (size_t k = 0; k < list->count; k++)
        kind_delete (self, list->kinds[k], ns, key);
}

int copies_flush (struct copies *self, struct strata_error *error)
{
    for (size_t i = 0; i < self->kinds_count; i++)
        if (self->kinds[i].ops->flush && self->kinds[i].ops->flush (self->kinds[i].backend, error) < 0)
            return -1;
    return 0;
}

int copies_settle (struct copies *self, struct strata_error *error)
{
    struct strata_error why = { "" };
    int rc = 0;
    for (size_t i = 0; i < self->kinds_count; i++) {
        const struct kind *kind = &self->kinds[i];
        struct strata_error *told = rc == 0 ? error : &why;
        if (leave (self, kind, enter (self, kind) ? kind->ops->settle (kind->backend, told) : 0, told) < 0)
            rc = -1;
    }
    return rc;
}
