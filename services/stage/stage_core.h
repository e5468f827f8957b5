/* stage_core.h - objects: what is known of each, the bound on their bytes, and what may be asked of them.
 *
 *   obj/<ns>/<key>    ObjectInfo: size, CRC-32C, generation, time
 *   stage/objects     how many; stage/bytes: their bytes (big-endian u64)
 *   adopted/<origin>  u64, "<ns>/<key>": when an object came from another stage and to which name, so that it doesn't come twice
 *   stage/backend...  which backends hold the bytes: copies.c
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
#include "core/campaign.h"
#include "stage.pb-c.h"
#include "store/shard.h"

#define STAGE_NAME_MAX 200
#define STAGE_KEYS_MAX 1024 /* objects in one put */
#define STAGE_LIST_MAX 1000
#define STAGE_SCAN_MAX 20000

struct stage;

struct stage_figures {
    uint64_t objects, bytes, quota_bytes;
    uint64_t puts, gets; /* objects put and read since this process started */
};

/* backend: the name of the one that keeps all namespaces but `namespaces` [count], which may be NULL (copies.h). root, owner: see backend.h. */
struct stage *stage_new (struct shard *shard, const char *backend, const struct campaign_namespace *namespaces, unsigned count,
                         const char *root, const char *owner, uint64_t quota_bytes, struct strata_error *error);
void stage_free (struct stage **self);

bool stage_namespace_valid (const char *ns);
bool stage_key_valid (const char *key);

/* Puts all items or none. only_new: none when one of them is there (EEXIST). infos: [count], filled. errno EPROTO: the
 * bytes don't have the checksum that their sender told. */
int stage_put (struct stage *self, const char *ns, const struct backend_item *items, size_t count, bool only_new,
               int64_t now_us, Strata__ObjectInfo *infos, struct strata_error *error);
/* An object of another stage (info: its size, checksum, time, origin), to a name that is free. What was adopted from
 * that origin before is not adopted again: 0, nothing changes. */
int stage_adopt (struct stage *self, const char *ns, const char *key, const Strata__ObjectInfo *info, const void *data,
                 size_t size, int64_t now_us, struct strata_error *error);
/* An object of a stage that hands over the name: as it was there, with its generation and time. Again: 0, nothing changes. */
int stage_take_over (struct stage *self, const char *ns, const char *key, const Strata__ObjectInfo *info, const void *data,
                     size_t size, struct strata_error *error);
/* What another stage had adopted, so that it is not adopted here again; and what is known here of that, by calls of each until
 * it returns non-zero. name: "<ns>/<key>", "" of an older store. */
void stage_origin_put (struct stage *self, const char *origin, const char *name, int64_t time_us);
void stage_origins (struct stage *self, int (*each) (const char *origin, const char *name, int64_t time_us, void *arg), void *arg);
/* The next object behind `name` ("<ns>/<key>", "" at first) that is wanted: 1, its name is in `name`. 0: there is none. 2: `max`
 * were looked at, the last is in `name`. */
#define STAGE_FULL_NAME (2 * STAGE_NAME_MAX + 2)
int stage_next (struct stage *self, char name[STAGE_FULL_NAME], size_t max,
                bool (*wanted) (const char *ns, const char *key, const void *arg), const void *arg);
/* Splits "<ns>/<key>" in place; returns the key. */
char *stage_split (char name[STAGE_FULL_NAME]);
/* Forgets origins of objects adopted before `before_us`; call now and then. */
void stage_forget_origins (struct stage *self, int64_t before_us);
/* The object's bytes, verified against its checksum. *data is malloc'ed; the caller frees it. */
int stage_get (struct stage *self, const char *ns, const char *key, Strata__ObjectInfo *info, void **data,
               struct strata_error *error);
/* At most `length` bytes from `offset` on; *got: how many. An object's first such read verifies all of it. errno EINVAL:
 * offset is past its end. */
int stage_get_range (struct stage *self, const char *ns, const char *key, uint64_t offset, uint64_t length,
                     Strata__ObjectInfo *info, void **data, size_t *got, struct strata_error *error);
int stage_stat (struct stage *self, const char *ns, const char *key, Strata__ObjectInfo *info,
                struct strata_error *error);
/* Which keys a list is of; "" (or NULL for `mine`): all. */
struct stage_filter {
    const char *prefix, *after; /* begin with, come after */
    const char *pattern;        /* as in a shell; '*' and '?' match '/' as well */
    bool (*mine) (const char *ns, const char *key, const void *arg);
    const void *arg;
};
/* Calls each for keys of ns in byte order, at most max (1..STAGE_LIST_MAX). *more: whether there may be others, after
 * the key in last[STAGE_NAME_MAX + 1]: one call looks at STAGE_SCAN_MAX keys at most, so that a turn stays short. */
int stage_list (struct stage *self, const char *ns, const struct stage_filter *filter, size_t max,
                void (*each) (const char *key, const Strata__ObjectInfo *info, void *arg), void *arg, bool *more,
                char *last, struct strata_error *error);
/* To a name that is free. The object there has generation 1. */
int stage_move (struct stage *self, const char *ns, const char *key, const char *to_ns, const char *to_key,
                int64_t now_us, struct strata_error *error);
int stage_delete (struct stage *self, const char *ns, const char *key, struct strata_error *error);
/* Call just before each commit: see backend.h. */
int stage_flush (struct stage *self, struct strata_error *error);
/* Call a few times a second: see backend.h. */
int stage_settle (struct stage *self, struct strata_error *error);

void stage_figures (const struct stage *self, struct stage_figures *figures);

#endif
