/* backend_rocksdb.c - objects' bytes as values in the shard itself, under "blob/<ns>/<key>".
 *
 * Everything is in the batch, so there is nothing to settle and nothing to mend after a crash. For many small objects.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"

struct backend {
    struct shard *shard;
};

static struct shard_key blob_key (const char *ns, const char *key)
{
    struct shard_key k;
    shard_key (&k, "blob/%s/%s", ns, key);
    return k;
}

static struct backend *rocks_open (struct shard *shard, const char *root, const char *owner, struct strata_error *error)
{
    struct backend *self = calloc (1, sizeof (*self));
    if (!self)
        strata_fail (error, "out of memory");
    else
        self->shard = shard;
    return self;
}

static void rocks_close (struct backend **self)
{
    free (*self);
    *self = NULL;
}

static int rocks_put (struct backend *self, const char *ns, const struct backend_item *items, size_t count,
                      struct strata_error *error)
{
    for (size_t i = 0; i < count; i++) {
        struct shard_key k = blob_key (ns, items[i].key);
        shard_put (self->shard, k.data, k.size, items[i].data, items[i].size);
    }
    return 0;
}

static int rocks_get (struct backend *self, const char *ns, const char *key, uint64_t size, uint64_t offset,
                      uint64_t length, void **data, struct strata_error *error)
{
    struct shard_key k = blob_key (ns, key);
    size_t found = 0;
    *data = NULL;
    if (shard_get (self->shard, k.data, k.size, data, &found) && found == size) {
        if (*data || (*data = malloc (1))) {
            if (offset)
                memmove (*data, (char *)*data + offset, length);
            return 0;
        }
        errno = ENOMEM;
        return strata_fail (error, "out of memory");
    }
    int rc = *data ? strata_fail (error,
                                  "object %s/%s is damaged: it has %zu bytes in the store, not %llu",
                                  ns,
                                  key,
                                  found,
                                  (unsigned long long)size)
                   : strata_fail (error, "object %s/%s is damaged: its bytes are not in the store", ns, key);
    free (*data);
    *data = NULL;
    errno = EBADMSG;
    return rc;
}

static void rocks_delete (struct backend *self, const char *ns, const char *key)
{
    struct shard_key k = blob_key (ns, key);
    shard_delete (self->shard, k.data, k.size);
}

static int rocks_move (struct backend *self, const char *ns, const char *key, const char *to_ns, const char *to_key,
                       struct strata_error *error)
{
    struct shard_key from = blob_key (ns, key), to = blob_key (to_ns, to_key);
    void *data;
    size_t size;
    if (!shard_get (self->shard, from.data, from.size, &data, &size)) {
        errno = EBADMSG;
        return strata_fail (error, "object %s/%s is damaged: its bytes are not in the store", ns, key);
    }
    shard_put (self->shard, to.data, to.size, data, size);
    shard_delete (self->shard, from.data, from.size);
    free (data);
    return 0;
}

static int rocks_settle (struct backend *self, struct strata_error *error)
{
    return 0;
}

const struct backend_ops backend_rocksdb = {
    .name = "rocksdb",
    .in_store = true,
    .open = rocks_open,
    .close = rocks_close,
    .put = rocks_put,
    .get = rocks_get,
    .move = rocks_move,
    .delete = rocks_delete,
    .settle = rocks_settle,
};
