/* manager.h - one kind of feedback from a finer to a coarser scale. A new one is a file with this table, and a line in main.c.
 *
 * A manager collects (start subscribes to its streams; each record reaches it once, in the batch of the reading position), weighs
 * and aggregates in a core of its own that keeps all that decides in the service's shard, and reports: folders of rounds in the
 * workspace (rounds.h), written after the batch that decided them. What it asks of the world goes through service_fact. The looking
 * at a frame may be left to programs that stay (workers.h).
 */
#ifndef STRATA_FEEDBACK_MANAGER_H
#define STRATA_FEEDBACK_MANAGER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/campaign.h"
#include "mesh/service.h"
#include "strata_error.h"

struct feedback_manager {
    const char *name;
    /* Whether this shard has it, by the campaign file. */
    bool (*wanted) (const struct campaign *campaign, unsigned shard);
    /* Its state, from the shard. NULL: the service ends with the error (errno EBADMSG: the store is damaged). */
    void *(*start) (struct service *service, struct strata_error *error);
    /* Ten times a second. */
    void (*tick) (void *self, struct service *service, int64_t now_us);
    void (*metrics) (void *self, struct service *service);
    /* Frees the state; the shard is still open. */
    void (*stop) (void *self, struct service *service);
};

extern const struct feedback_manager rdf_manager, patterns_manager;

#endif
