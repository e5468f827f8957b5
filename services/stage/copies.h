/* copies.h - which backends keep a namespace's objects, and all of them as one.
 *
 * A namespace that the campaign file names (stage.namespaces) has a list of backends: a put writes to all, a get reads from the
 * first that has the bytes as they were put, a delete goes to all. Every other namespace has the one of stage.backend.
 *
 * A put that one of them refuses is refused: it is taken out of those that took it already, so that what stood there before is
 * then kept by the others alone, until it is put again. What a backend has lost, or has wrong, is read from the next one.
 */
#ifndef STRATA_STAGE_COPIES_H
#define STRATA_STAGE_COPIES_H

#include "backend.h"
#include "core/campaign.h"

struct copies;

/* Opens the backends that are named. Refused: one that the objects of this shard don't stand in (a campaign can't change
 * where they are). namespaces [count]: may be NULL; kept by the caller. */
struct copies *copies_open (struct shard *shard, const char *backend, const struct campaign_namespace *namespaces, unsigned count,
                            const char *root, const char *owner, struct strata_error *error);
void copies_close (struct copies **self);

/* As in struct backend_ops. */
int copies_put (struct copies *self, const char *ns, const struct backend_item *items, size_t count, struct strata_error *error);
/* The whole object, which has this checksum. */
int copies_get (struct copies *self, const char *ns, const char *key, uint64_t size, uint32_t crc, void **data,
                struct strata_error *error);
/* A part of an object of a namespace with one backend, that was read whole before. */
int copies_get_range (struct copies *self, const char *ns, const char *key, uint64_t size, uint64_t offset, uint64_t length,
                      void **data, struct strata_error *error);
/* size, crc: of the object. */
int copies_move (struct copies *self, const char *ns, const char *key, const char *to_ns, const char *to_key, uint64_t size,
                 uint32_t crc, struct strata_error *error);
void copies_delete (struct copies *self, const char *ns, const char *key);
int copies_flush (struct copies *self, struct strata_error *error);
int copies_settle (struct copies *self, struct strata_error *error);
/* Whether the namespace has more than one backend. */
bool copies_several (const struct copies *self, const char *ns);

#endif
