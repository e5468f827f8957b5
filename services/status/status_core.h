/* status_core.h - what is known of every replica, and the newest events of all, each figure with its age.
 *
 * Nothing here is durable: all of it comes again from heartbeats, cards and the others' streams within seconds.
 *
 * A replica (dead: its card is still there, so it was killed or hangs):
 *
 *     heartbeat              no heartbeat for 3 s
 *   ------------> alive <------------------------> dead
 *                   |  card gone                     |
 *                   +----------> stopped <-----------+      dropped STATUS_STOPPED_US later
 *
 * Events come from the stream "events" of every shard, each with a cursor of its own. They wait STATUS_HOLD_US for
 * older ones of other shards, are sorted by time, and get running numbers 1, 2, ... in that order; what comes later
 * than that is numbered when it comes. The ring keeps the newest STATUS_EVENTS_MAX of at most STATUS_EVENTS_BYTES.
 *
 * Ages are counted from when this process heard a thing, by its own clock: clocks of other nodes do not matter.
 */
#ifndef STATUS_CORE_H
#define STATUS_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/campaign.h"
#include "mesh/chunks.h"
#include "core/replicas.h"
#include "status.pb-c.h"
#include "stream.pb-c.h"

#define STATUS_DEAD_US 3000000LL     /* not heard for so long: dead */
#define STATUS_STOPPED_US 60000000LL /* a stopped replica is shown for so long */
#define STATUS_HOLD_US 1000000LL     /* events wait so long for older ones */
#define STATUS_BEHIND_US 5000000LL   /* and so long for a shard of which more is being read */
#define STATUS_EVENTS_MAX 20000u
#define STATUS_EVENTS_BYTES (16u << 20)
#define STATUS_PENDING_MAX 20000u /* above it events are numbered at once */
#define STATUS_PAGE 2000u         /* records of one read */

struct status_core;

/* campaign must outlive it. boot: a number of this process, so that askers see that the running numbers began anew. */
struct status_core *status_new (const struct campaign *campaign, const char *workspace, uint64_t boot);
void status_free (struct status_core **self);

void status_heartbeat (struct status_core *self, const Strata__Heartbeat *heartbeat, int64_t now_us);
/* The replicas that have a card now. */
void status_cards (struct status_core *self, char (*replicas)[64], size_t count, int64_t now_us);
/* How many replicas are wanted. */
void status_wanted (struct status_core *self, const struct replicas *wanted);
/* Numbers the events that have waited long enough, drops what stopped long ago. */
void status_tick (struct status_core *self, int64_t now_us);

/* Whether the replica can be asked for its streams: alive, active, of a service that has a shard. */
bool status_has_streams (const struct status_core *self, const char *replica, int64_t now_us);
void status_take_streams (struct status_core *self, const char *replica, const Strata__StreamStatReply *reply,
                          int64_t now_us);
/* What to read of the replica's stream "events" next: *from, *max for a StreamRead. */
void status_want_events (struct status_core *self, const char *replica, uint64_t *from, uint32_t *max);
/* The answer. True when there is more to read at once. */
bool status_take_events (struct status_core *self, const char *replica, const Strata__StreamReadReply *reply,
                         const struct blob *blobs, size_t blobs_count, int64_t now_us);

/* Fills a reply whose strings and messages belong to self; status_reply_fini frees the lists only. */
void status_reply (struct status_core *self, int64_t now_us, Strata__StatusReply *reply);
void status_reply_fini (Strata__StatusReply *reply);
/* The same for events with a running number above `after`. max 0 = 1,000; at most 5,000. */
void status_events (struct status_core *self, uint64_t after, uint32_t max, Strata__EventsReply *reply);
void status_events_fini (Strata__EventsReply *reply);

struct status_figures {
    size_t replicas, alive;
    size_t events, events_bytes, events_pending;
};
void status_figures (const struct status_core *self, int64_t now_us, struct status_figures *figures);

#endif
