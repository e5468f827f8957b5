/* backend.h - where objects' bytes stand: one table of functions for each kind of place.
 *
 * The core keeps what is known of an object (ObjectInfo); a backend keeps its bytes. Both write into the shard's batch
 * only, so that bytes and knowledge change in the same instant: when the batch is on disk. A backend that needs files
 * makes them durable before that (in its function, or in flush), where nobody reads them, and does what is left to do after
 * the batch is on disk (settle); after a crash it goes on from what the batch says.
 *
 * Names were checked by the core: see stage_core.h. Nothing here is given a key that is also a folder of another key.
 */
#ifndef STRATA_STAGE_BACKEND_H
#define STRATA_STAGE_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/shard.h"
#include "strata_error.h"

struct backend;

struct backend_item {
    const char *key;
    const void *data;
    size_t size;
    const uint32_t *crc32c; /* as the sender had it; NULL: not told */
};

struct backend_ops {
    const char *name;
    /* All that it has stands in the shard: what it does follows from that and what it is asked. Of the others each answer, with
     * what they change in the shard, is a fact from outside (copies.c). */
    bool in_store;
    /* root: folder of all objects (made if missing; unused by backends without files). owner: this shard's name,
     * unique among those that share the root. Ends what a crash left unfinished. */
    struct backend *(*open) (struct shard *shard, const char *root, const char *owner, struct strata_error *error);
    void (*close) (struct backend **self);
    /* Stores all items, in place of what stood there, or none: then -1, errno ENOSPC or another, and the batch is as
     * before. */
    int (*put) (struct backend *self, const char *ns, const struct backend_item *items, size_t count,
                struct strata_error *error);
    /* `length` bytes from `offset` on, of an object of `size`; the caller has seen to it that they are there. *data is
     * malloc'ed (one byte at least); the caller frees it. errno EBADMSG: the bytes are gone or not of that size. */
    int (*get) (struct backend *self, const char *ns, const char *key, uint64_t size, uint64_t offset, uint64_t length,
                void **data, struct strata_error *error);
    /* The destination is free. As put: all or nothing. */
    int (*move) (struct backend *self, const char *ns, const char *key, const char *to_ns, const char *to_key,
                 struct strata_error *error);
    void (*delete) (struct backend *self, const char *ns, const char *key);
    /* Called just before each commit: makes durable what the functions above have written, unless they did themselves (NULL).
     * -1: the commit waits, and so does all that it would let out. */
    int (*flush) (struct backend *self, struct strata_error *error);
    /* Called a few times a second: what is to be done once the batch is on disk. -1: it could not be done, the
     * sentence says why; nothing is lost and it is tried again. */
    int (*settle) (struct backend *self, struct strata_error *error);
};

extern const struct backend_ops backend_file, backend_rocksdb, backend_tar, backend_redis;

/* NULL when there is none of that name (backend.c). */
const struct backend_ops *backend_find (const char *name);

#endif
