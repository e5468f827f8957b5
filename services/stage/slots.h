/* slots.h - which names this stage keeps: those in slots that are claimed for it (common/mesh/claims.h).
 *
 * A slot of ours stays ours until we pass it on, so it is looked up once. What belongs to others may change: its claim is
 * read each time. -1 comes with errno: EXDEV another stage keeps the name (the sentence says which), ENOENT nobody does
 * yet, else the claim can't be read or written.
 */
#ifndef STRATA_STAGE_SLOTS_H
#define STRATA_STAGE_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "store/shard.h"
#include "strata_error.h"

struct slots;

/* stage: the shard's name, "stage-0". What the shard keeps and nobody has claimed, of a workspace older than claims, is
 * claimed. */
struct slots *slots_new (struct shard *shard, const char *workspace, const char *stage, struct strata_error *error);
void slots_free (struct slots **self);

bool slots_mine (const struct slots *self, const char *ns, const char *key);
/* For reading: 0 it is ours. */
int slots_look (struct slots *self, const char *ns, const char *key, struct strata_error *error);
/* For writing: 0 it is ours, claimed now if nobody had it. */
int slots_take (struct slots *self, const char *ns, const char *key, struct strata_error *error);
/* The same for a producer of records. */
int slots_take_producer (struct slots *self, const char *producer, struct strata_error *error);

/* Puts on disk what was claimed: before each commit. */
int slots_sync (struct slots *self, struct strata_error *error);
uint64_t slots_version (const struct slots *self); /* rises when a slot is taken or passed on */
unsigned slots_count (const struct slots *self);

#endif
