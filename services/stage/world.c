/* world.c - see world.h */
#include "world.h"

#include <string.h>

/* Without what stands behind the name: the same answer is the same bytes. */
static void owner_fact (struct shard *shard, char owner[REPLICA_NAME_MAX])
{
    char name[REPLICA_NAME_MAX] = "";
    size_t n = shard_replays (shard) ? 0 : strnlen (owner, sizeof (name) - 1);
    memcpy (name, owner, n);
    shard_fact (shard, name, sizeof (name));
    name[sizeof (name) - 1] = '\0';
    memcpy (owner, name, sizeof (name));
}

int world_claim_read (struct shard *shard, const struct claim *claim, char owner[REPLICA_NAME_MAX], struct strata_error *error)
{
    int rc = shard_fact_rc (shard, shard_replays (shard) ? 0 : claim_read (claim, owner, error), error);
    if (rc > 0)
        owner_fact (shard, owner);
    return rc;
}

int world_claim_take (struct shard *shard, const struct claim *claim, const char *stage, char owner[REPLICA_NAME_MAX],
                      struct strata_error *error)
{
    int rc = shard_fact_rc (shard, shard_replays (shard) ? 0 : claim_take (claim, stage, owner, error), error);
    if (rc >= 0)
        owner_fact (shard, owner);
    return rc;
}

int world_claim_pass (struct shard *shard, const struct claim *claim, const char *to, struct strata_error *error)
{
    return shard_fact_rc (shard, shard_replays (shard) ? 0 : claim_pass (claim, to, error), error);
}

int world_claim_drop (struct shard *shard, const struct claim *claim, struct strata_error *error)
{
    return shard_fact_rc (shard, shard_replays (shard) ? 0 : claim_drop (claim, error), error);
}

int world_claim_sync (struct shard *shard, const struct claim *claim, struct strata_error *error)
{
    return shard_fact_rc (shard, shard_replays (shard) ? 0 : claim_sync (claim, error), error);
}
