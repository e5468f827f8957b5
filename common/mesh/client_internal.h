/* client_internal.h - what client.c and client_records.c share. */
#ifndef STRATA_MESH_CLIENT_INTERNAL_H
#define STRATA_MESH_CLIENT_INTERNAL_H

#include "mesh/client.h"
#include "mesh/mesh.h"

struct channel;

struct strata_client {
    struct mesh mesh;
    uv_loop_t loop;
    int timeout_ms;
    int64_t looked_us;             /* at the cards, for appends */
    struct channel *channels;      /* of appends, one a stream and producer */
    size_t under_way;              /* bytes appended and not answered */
    uint64_t duplicates;           /* of appends since the last flush */
    bool failed;                   /* one failed since the last flush: failure says why, failed_errno how */
    int failed_errno;
    struct strata_error failure;
};

int client_errno (const struct reply *reply);
/* After mesh_fini: no answer comes any more. */
void client_forget_appends (struct strata_client *self);

#endif
