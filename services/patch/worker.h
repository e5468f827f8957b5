/* worker.h - one snapshot at a time: take it under a lease, cut it, put its patches, acknowledge it with its candidates.
 *
 *     IDLE --take--> TAKING --lease--> CUTTING (a thread) --> PUTTING --> ACKING --> IDLE
 *                      | nothing there     | broken               | staging full: lease runs out
 *                      v                   v                      v
 *                    IDLE                NACKING ------------> IDLE
 *
 * The worker keeps nothing on disk. Patches are put under names made from the snapshot (putting them twice is harmless),
 * and the candidates are appended by the queue's owner in the batch of the acknowledgement: they stand once, or, when the
 * lease was lost to another replica, not at all.
 */
#ifndef STRATA_PATCH_WORKER_H
#define STRATA_PATCH_WORKER_H

#include "mesh/service.h"

struct worker;

struct worker *worker_new (struct service *service, struct strata_error *error);
void worker_free (struct worker **self);
/* Takes the next snapshot if idle. */
void worker_tick (struct worker *self, int64_t now_us);
void worker_metrics (struct worker *self);
/* Takes nothing more; true when what it had is given back or acknowledged. */
bool worker_finish (struct worker *self);

#endif
