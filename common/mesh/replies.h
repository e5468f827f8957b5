/* replies.h - remembered replies: a retry of a request that changed something gets the same answer, also after a crash.
 *
 * The reply is stored in the batch of its effect. It is forgotten when the sender says that it has it (`settled`), or
 * after REPLIES_KEPT_S. Processes of the same name at the same time do not disturb each other: their boots differ.
 */
#ifndef STRATA_MESH_REPLIES_H
#define STRATA_MESH_REPLIES_H

#include "mesh/wire.h"
#include "store/shard.h"

#define REPLIES_KEPT_S 900

enum replies_verdict {
    REPLIES_NEW,        /* carry it out */
    REPLIES_KNOWN,      /* *type, *body are the reply; the caller frees *body */
    REPLIES_SETTLED,    /* a late copy of what the sender has the answer to: drop it */
};

enum replies_verdict replies_look (struct shard *shard, const Strata__Header *header, uint32_t *type, void **body, size_t *size);
/* Also forgets what the header says is settled. */
void replies_keep (struct shard *shard, const Strata__Header *header, int64_t now_us, uint32_t type, const void *body,
                   size_t size);
/* Forgets old ones; now and then. Returns how many entries are kept. */
uint64_t replies_sweep (struct shard *shard, int64_t now_us);

#endif
