/* audit_redis.c - objects' bytes in Redis servers, for audit_objects.c. Keys and the registry: services/stage/backend_redis.c.
 */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit_impl.h"
#include "core/crc32c.h"

#define SERVERS_MAX 64

/* Connections stay open until the process ends: an audit looks at every object. */
static struct {
    char name[80];
    redisContext *connection; /* NULL: it does not answer */
} servers[SERVERS_MAX];
static size_t servers_count;

static bool login (redisContext *connection, const char *secret)
{
    char text[1024] = "";
    FILE *f = fopen (secret, "re");
    size_t n = f ? fread (text, 1, sizeof (text) - 1, f) : 0;
    if (f)
        fclose (f);
    text[n] = '\0';
    text[strcspn (text, "\r\n")] = '\0';
    char *space = strchr (text, ' ');
    if (space)
        *space = '\0';
    redisReply *reply = space ? redisCommand (connection, "AUTH %s %s", text, space + 1) : redisCommand (connection, "AUTH %s", text);
    bool fine = reply && reply->type == REDIS_REPLY_STATUS;
    if (reply)
        freeReplyObject (reply);
    explicit_bzero (text, sizeof (text));
    return fine;
}

static redisContext *dial (const struct audit_world *world, const char *name)
{
    char path[4300], address[300] = "", secret[4096] = "";
    struct timeval patience = { 5, 0 };
    for (size_t i = 0; i < servers_count; i++)
        if (strcmp (servers[i].name, name) == 0)
            return servers[i].connection;
    snprintf (path, sizeof (path), "%s/redis/%.80s", world->workspace, name);
    FILE *f = fopen (path, "re");
    if (f && fgets (address, sizeof (address), f) && !fgets (secret, sizeof (secret), f))
        secret[0] = '\0';
    if (f)
        fclose (f);
    address[strcspn (address, "\r\n")] = '\0';
    secret[strcspn (secret, "\r\n")] = '\0';
    char *colon = strrchr (address, ':');
    redisContext *connection = NULL;
    if (address[0] == '/')
        connection = redisConnectUnixWithTimeout (address, patience);
    else if (colon) {
        *colon = '\0';
        connection = redisConnectWithTimeout (address, atoi (colon + 1), patience);
    }
    if (connection && (connection->err || redisSetTimeout (connection, patience) != REDIS_OK || (secret[0] && !login (connection, secret)))) {
        redisFree (connection);
        connection = NULL;
    }
    if (servers_count < SERVERS_MAX) {
        snprintf (servers[servers_count].name, sizeof (servers[0].name), "%s", name);
        servers[servers_count++].connection = connection;
    }
    return connection;
}

int audit_read_redis (struct audit_world *world, size_t stage, const char *id, uint64_t *size, uint32_t *crc)
{
    struct shard_key key;
    void *value = NULL;
    size_t value_size = 0;
    char server[80];
    redisReply *reply = NULL;
    shard_key (&key, "redis/%s", id);
    bool found = shard_get (world->stages[stage], key.data, key.size, &value, &value_size) && value_size > 24 && value_size < 24 + sizeof (server);
    errno = ENOENT;
    if (found) {
        snprintf (server, sizeof (server), "%.*s", (int)(value_size - 24), (char *)value + 24);
        redisContext *connection = dial (world, server);
        char name[80];
        snprintf (name, sizeof (name), "strata:%016" PRIx64 ":%" PRIu64 ":%" PRIu64, shard_id (world->stages[stage]),
                  shard_u64 (value), shard_u64 ((uint8_t *)value + 8));
        if (connection)
            reply = redisCommand (connection, "GET %s", name);
        errno = connection && reply ? ENOENT : EHOSTUNREACH;
    }
    found = reply && reply->type == REDIS_REPLY_STRING;
    if (found) {
        *size = reply->len;
        *crc = crc32c (0, reply->str, reply->len);
    }
    int saved = errno;
    if (reply)
        freeReplyObject (reply);
    free (value);
    errno = saved;
    return found ? 0 : -1;
}
