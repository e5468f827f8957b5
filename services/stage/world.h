/* world.h - what a stage asks of claims (mesh/claims.h), which stand in the workspace and not in its store: each answer is a fact
 * (shard_fact), so that a replay of the recorded inputs gets the same one and neither asks the workspace nor changes it.
 *
 * The functions are those of claims.h with the shard in front. claim_sync alone, before a commit, is none of them: nothing
 * but the commit depends on it.
 */
#ifndef STRATA_STAGE_WORLD_H
#define STRATA_STAGE_WORLD_H

#include "mesh/claims.h"
#include "store/shard.h"

int world_claim_read (struct shard *shard, const struct claim *claim, char owner[REPLICA_NAME_MAX], struct strata_error *error);
int world_claim_take (struct shard *shard, const struct claim *claim, const char *stage, char owner[REPLICA_NAME_MAX],
                      struct strata_error *error);
int world_claim_pass (struct shard *shard, const struct claim *claim, const char *to, struct strata_error *error);
int world_claim_drop (struct shard *shard, const struct claim *claim, struct strata_error *error);
int world_claim_sync (struct shard *shard, const struct claim *claim, struct strata_error *error);

#endif
