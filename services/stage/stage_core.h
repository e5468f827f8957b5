/* stage_core.h - objects: what is known of each, the bound on their bytes, and what may be asked of them.
 *
 *   obj/<ns>/<key>    ObjectInfo: size, CRC-32C, generation, time
 *   stage/objects     how many; stage/bytes: their bytes (big-endian u64)
 *   stage/backend     name of the backend that holds the bytes; another one is refused
 *
 * Every function that changes something writes into the shard's batch only, or has made its files durable (backend.h):
 * once the batch is on disk the change has happened whole, before that not at all.
 *
 * Names (strata.h): a namespace is 1..200 bytes of [A-Za-z0-9._+=@-]; a key is the same with '/' between parts; no part
 * is "." or "..". A key may not stand where another key's folder is ("a" beside "a/b"): the file backend could not hold
 * both, and a campaign can change its backend.
 *
 * Functions return -1 with errno, which says what kind of refusal it is:
 *   EINVAL a name or number that is not allowed     ENOENT no such object       EEXIST a name is taken
 *   EDQUOT the quota is reached                     ENOSPC the disk is full     EBADMSG the object is damaged
 */
#ifndef STRATA_STAGE_CORE_H
#define STRATA_STAGE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend.h"
#include "stage.pb-c.h"
#include "store/shard.h"

#define STAGE_NAME_MAX 200
#define STAGE_KEYS_MAX 1024 /* objects in one put */
#define STAGE_LIST_MAX 1000

struct stage;

struct stage_figures {
    uint64_t objects, bytes, quota_bytes;
    uint64_t puts, gets; /* objects put and read since this process started */
};

/* backend: "file" or "rocksdb". root, owner: see backend.h. */
struct stage *stage_new (struct shard *shard, const char *backend, const char *root, const char *owner,
                         uint64_t quota_bytes, struct strata_error *error);
void stage_free (struct stage **self);

bool stage_namespace_valid (const char *ns);
bool stage_key_valid (const char *key);

/* Puts all items or none. infos: [count], filled. */
int stage_put (struct stage *self, const char *ns, const struct backend_item *items, size_t count, int64_t now_us,
               Strata__ObjectInfo *infos, struct strata_error *error);
/* The object's bytes, verified against its checksum. *data is malloc'ed; the caller frees it. */
int stage_get (struct stage *self, const char *ns, const char *key, Strata__ObjectInfo *info, void **data,
               struct strata_error *error);
int stage_stat (struct stage *self, const char *ns, const char *key, Strata__ObjectInfo *info,
                struct strata_error *error);
/* Calls each for the keys of ns that begin with prefix and come after `after` (either may be ""), in byte order, at
 * most max (1..STAGE_LIST_MAX). *more: whether there are others. */
int stage_list (struct stage *self, const char *ns, const char *prefix, const char *after, size_t max,
                void (*each) (const char *key, const Strata__ObjectInfo *info, void *arg), void *arg, bool *more,
                struct strata_error *error);
/* To a name that is free. The object there has generation 1. */
int stage_move (struct stage *self, const char *ns, const char *key, const char *to_ns, const char *to_key,
                int64_t now_us, struct strata_error *error);
int stage_delete (struct stage *self, const char *ns, const char *key, struct strata_error *error);
/* Call a few times a second: see backend.h. */
int stage_settle (struct stage *self, struct strata_error *error);

void stage_figures (const struct stage *self, struct stage_figures *figures);

#endif
