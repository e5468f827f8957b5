/* redis_client.h - what the benches on Redis share: every failure ends the bench with the server's sentence. */
#ifndef STRATA_BENCH_REDIS_CLIENT_H
#define STRATA_BENCH_REDIS_CLIENT_H

#include <hiredis/hiredis.h>

#include "bench.h"

static inline redisContext *redis_dial (const char *socket)
{
    redisContext *c = redisConnectUnix (socket);
    if (!c || c->err)
        bench_fail ("redis at %s: %s", socket, c ? c->errstr : "out of memory");
    return c;
}

/* The next reply; the caller frees it. */
static inline redisReply *redis_take (redisContext *c)
{
    redisReply *reply;
    if (redisGetReply (c, (void **)&reply) != REDIS_OK)
        bench_fail ("redis: %s", c->errstr);
    if (reply->type == REDIS_REPLY_ERROR)
        bench_fail ("redis: %s", reply->str);
    return reply;
}

#endif
