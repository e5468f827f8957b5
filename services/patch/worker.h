/* worker.h - snapshots through one replica: take one under a lease, cut it, put its patches, acknowledge it with its candidates.
 *
 *     IDLE --take--> TAKING --lease--> CUTTING (a thread) --> PUTTING --> ACKING --> IDLE
 *                      | nothing there     | broken               | staging full: lease runs out
 *                      v                   v                      v
 *                    IDLE                NACKING ------------> IDLE
 *
 * A crew has two workers, so that one cuts while the other's patches are on their way into staging. A worker takes a snapshot
 * only when the other has cut its own: a replica never holds one that it does not work on yet.
 *
 * Workers keep nothing on disk. Patches are put under names made from the snapshot (putting them twice is harmless),
 * and the candidates are appended by the queue's owner in the batch of the acknowledgement: they stand once, or, when the
 * lease was lost to another replica, not at all.
 */
#ifndef STRATA_PATCH_WORKER_H
#define STRATA_PATCH_WORKER_H

#include "mesh/service.h"

struct crew;

struct crew *crew_new (struct service *service, struct strata_error *error);
void crew_free (struct crew **self);
/* Takes the next snapshot if a worker is free for it. */
void crew_tick (struct crew *self, int64_t now_us);
void crew_metrics (struct crew *self);
/* Takes nothing more; true when what it had is given back or acknowledged. */
bool crew_finish (struct crew *self);

#endif
