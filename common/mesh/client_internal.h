/* client_internal.h - what client.c and client_records.c share. */
#ifndef STRATA_MESH_CLIENT_INTERNAL_H
#define STRATA_MESH_CLIENT_INTERNAL_H

#include "mesh/client.h"
#include "mesh/mesh.h"

struct channel;
struct sum;

struct strata_client {
    struct mesh mesh;
    uv_loop_t loop;
    int timeout_ms;
    int64_t looked_us;             /* at the cards, for appends */
    struct channel *channels;      /* of appends, one a stream and producer */
    int64_t no_cache_until_us;     /* there was none on this node */
    struct sum *sums;              /* of frames, one a stream and simulation (client_sums.c) */
    bool sums_lost;                /* some were sent and not kept */
    size_t under_way;              /* bytes appended and not answered */
    uint64_t duplicates;           /* of appends since the last flush */
    bool failed;                   /* one failed since the last flush: failure says why, failed_errno how */
    int failed_errno;
    struct strata_error failure;
};

/* An object larger than that is had by the node's cache, if there is one. */
#define CLIENT_MAP_BYTES ((uint64_t)256 << 10)
/* By the cache of this node: 1 it is mapped, 0 the stage that keeps the name is to be asked, -1 with errno. */
int client_map_cached (struct strata_client *self, const char *ns, const char *key, bool wait, int64_t deadline_us,
                       struct strata_mapping *mapping, struct strata_error *error);
/* Whether this node may have one. */
bool client_has_cache (struct strata_client *self, const char *ns, const char *key);
/* All bytes from the stage that keeps the name, malloc'ed. */
int client_get (struct strata_client *self, const char *ns, const char *key, bool wait, int64_t deadline_us, void **data,
                struct strata_object_info *info, struct strata_error *error);

int client_errno (const struct reply *reply);
/* Sums that were not sent yet: appended ahead; forgotten, after a failure; freed. client_sums_kept: -1, and forgotten, when some
 * that were sent were not kept and their sender was not told yet. */
int client_sums_kept (struct strata_client *self, struct strata_error *error);
int client_send_sums (struct strata_client *self, struct strata_error *error);
void client_forget_sums (struct strata_client *self);
void client_free_sums (struct strata_client *self);
/* After mesh_fini: no answer comes any more. */
void client_forget_appends (struct strata_client *self);

#endif
