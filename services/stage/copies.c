/* copies.c - see copies.h
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

struct copies {
    struct shard *shard;
    struct kind kinds[KINDS_MAX];
    size_t kinds_count;
    struct list usual, *lists; /* lists: of namespaces [count] */
    const struct campaign_namespace *namespaces;
    unsigned count;
};

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
    kind->backend = ops->open (self->shard, root, owner, error);
    if (!kind->backend)
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
        self->kinds[i].ops->close (&self->kinds[i].backend);
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
        if (list->kinds[k]->ops->put (list->kinds[k]->backend, ns, items, count, error) == 0)
            continue;
        int saved = errno;
        for (size_t taken = 0; taken < k; taken++)
            for (size_t i = 0; i < count; i++)
                list->kinds[taken]->ops->delete (list->kinds[taken]->backend, ns, items[i].key);
        errno = saved;
        return -1;
    }
    return 0;
}

static int get_from (const struct kind *kind, const char *ns, const char *key, uint64_t size, uint32_t crc, void **data,
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

int copies_get (struct copies *self, const char *ns, const char *key, uint64_t size, uint32_t crc, void **data,
                struct strata_error *error)
{
    const struct list *list = list_of (self, ns);
    struct strata_error why = { "" };
    int first = 0;
    for (size_t k = 0; k < list->count; k++) {
        if (get_from (list->kinds[k], ns, key, size, crc, data, &why) == 0) {
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
    return list->kinds[0]->ops->get (list->kinds[0]->backend, ns, key, size, offset, length, data, error);
}

int copies_move (struct copies *self, const char *ns, const char *key, const char *to_ns, const char *to_key, uint64_t size,
                 uint32_t crc, struct strata_error *error)
{
    const struct list *from = list_of (self, ns), *to = list_of (self, to_ns);
    void *data;
    if (from->count == 1 && to->count == 1 && from->kinds[0] == to->kinds[0])
        return to->kinds[0]->ops->move (to->kinds[0]->backend, ns, key, to_ns, to_key, error);
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
        list->kinds[k]->ops->delete (list->kinds[k]->backend, ns, key);
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
    struct strata_error why;
    int rc = 0;
    for (size_t i = 0; i < self->kinds_count; i++)
        if (self->kinds[i].ops->settle (self->kinds[i].backend, rc == 0 ? error : &why) < 0)
            rc = -1;
    return rc;
}
