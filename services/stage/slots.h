/* slots.h - which names this stage keeps: those in slots that are claimed for it (common/mesh/claims.h).
 *
 * A slot of ours stays ours until we pass it on, so it is looked up once. What belongs to others may change: its claim is
 * read each time. -1 comes with errno: EXDEV another stage keeps the name, or is about to (the sentence says which), ENOENT
 * nobody does yet, else the claim can't be read or written.
 *
 *           take              hold                    pass                 drop
 *   (not ours) --> ours, read and written --> held: read --> passed: listed alone --> (not ours)
 */
#ifndef STRATA_STAGE_SLOTS_H
#define STRATA_STAGE_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "stage.pb-c.h"
#include "store/shard.h"
#include "strata_error.h"

struct slots;

/* stage: the shard's name, "stage-0". What the shard keeps and nobody has claimed, of a workspace older than claims, is
 * claimed. */
struct slots *slots_new (struct shard *shard, const char *workspace, const char *stage, struct strata_error *error);
void slots_free (struct slots **self);

/* Whether a list tells of it: also between passing its slot on and knowing that the next stage lists it. */
bool slots_listed (const struct slots *self, const char *ns, const char *key);
/* For reading: 0 it is ours. */
int slots_look (struct slots *self, const char *ns, const char *key, struct strata_error *error);
/* For changing what is there: 0 it is ours. */
int slots_change (struct slots *self, const char *ns, const char *key, struct strata_error *error);
/* For putting: 0 it is ours, claimed now if nobody had it. */
int slots_take (struct slots *self, const char *ns, const char *key, struct strata_error *error);
/* The same for a producer of records; known: it has some here already. */
int slots_take_producer (struct slots *self, const char *producer, bool known, struct strata_error *error);

/* ---- handing names on (handover.c) ---- */
/* Nothing new is claimed while we go. */
void slots_close (struct slots *self, bool closed);
bool slots_ours (const struct slots *self, unsigned slot); /* and not held or passed */
bool slots_held (const struct slots *self, unsigned slot); /* and not passed */
/* Names of `item` are held from now on: neither changed here nor taken from their producers. NULL: none is. The item stays
 * the caller's. */
void slots_hold (struct slots *self, const Strata__Handover *item);
/* The item's claims say the next stage now. EXDEV: a claim is not ours to pass. On disk when it returns. */
int slots_pass (struct slots *self, const Strata__Handover *item, struct strata_error *error);
/* All of the item is over. */
void slots_drop (struct slots *self, const Strata__Handover *item);
/* A claim that is `from`'s or ours already: 1 ours, 0 from's. -1 with errno: EXDEV it is another's. */
int slots_offered (struct slots *self, unsigned slot, const char *from, struct strata_error *error);
int slots_offered_producer (struct slots *self, const char *producer, const char *from, struct strata_error *error);
/* Before anything is taken over: whoever lists names knows us. */
int slots_ready (struct slots *self, struct strata_error *error);
/* The slot's claim is ours by now. */
void slots_passed_on (struct slots *self, unsigned slot);

/* Puts on disk what was claimed: before each commit. */
int slots_sync (struct slots *self, struct strata_error *error);
uint64_t slots_version (const struct slots *self); /* rises when a slot is taken or passed on */
unsigned slots_count (const struct slots *self);

#endif
