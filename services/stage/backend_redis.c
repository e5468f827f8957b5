/* backend_redis.c - objects' bytes as strings in independent Redis (or Valkey) servers.
 *
 * The servers stand in the workspace, a file each: <workspace>/redis/<name>. Its first line is the address (host:port, or a
 * Unix socket's path), its second, if there is one, the path of a file with the password (or "user password"). The folder is
 * looked at once a second: a server that is added takes its share of new puts, one whose file goes gets none.
 *
 *   redis/<ns>/<key>     u64 epoch, u64 number, u64 size, the server's name
 *   redisgone/<u64>      u64 epoch, u64 number, the server's name: bytes that nothing names, to be removed
 *   redisnext            u64 epoch, u64 next number, u64 numbers below which some may be used
 *
 * A put writes its bytes under a name nobody else uses, strata:<store>:<epoch>:<number>, and has the servers' word for all of
 * them before the batch names them; what they replace is removed when the batch is on disk. So a crash anywhere leaves at most
 * bytes that no record names, and the next start removes those. A holder of the shard that was taken over from has another
 * epoch: it can't write over anything.
 *
 * Which server takes an object: consistent hashing of its name (64 points a server), so that a server more or less moves only
 * its share; the record says where the bytes are, so that nothing has to move at all. A server that does not answer is passed
 * over by puts, and asked again after a while; what it keeps is refused as unavailable until then. What is durable is what the
 * server makes durable (appendonly yes, appendfsync always): one that keeps all in memory alone is warned of.
 */
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backend.h"
#include "core/crash_point.h"
#include "core/hash.h"
#include "core/log.h"

#define SERVERS_MAX 64
#define POINTS 64              /* of a server on the ring */
#define NAME_ROOM 65
#define CONNECT_MS 300
#define ANSWER_MS 1500         /* shorter than a lease: mesh.lease has 3 s */
#define AGAIN_FIRST_US 500000  /* a server that did not answer is asked again after so long, doubling to */
#define AGAIN_LAST_US 15000000
#define LOOK_US 1000000        /* how often the folder is looked at */
#define BLOCK 8192             /* numbers that are noted as possibly used at once */
#define SETTLE_MAX 512         /* removals of one settle */

struct server {
    char name[NAME_ROOM], address[300], secret[4096];
    redisContext *connection;
    int64_t again_us, wait_us;
    bool listed, told, warned; /* its file is there; that it is away was told; that it forgets was */
};

struct point {
    uint64_t hash;
    size_t server;
};

struct backend {
    struct shard *shard;
    char folder[4300]; /* <workspace>/redis */
    uint64_t id, epoch, next, reserved;
    struct server servers[SERVERS_MAX];
    size_t count;
    struct point ring[SERVERS_MAX * POINTS];
    size_t points;
    int64_t looked_us;
    struct timespec folder_time;
    uint64_t gone_next, gone_mark, mark_commits; /* removals below the mark are on disk once there are more commits */
};

struct place {
    uint64_t epoch, number, size;
    char server[NAME_ROOM];
};

static int64_t now_us (void)
{
    struct timespec ts;
    clock_gettime (CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* ---- records ---- */

static struct shard_key place_key (const char *ns, const char *key)
{
    struct shard_key k;
    shard_key (&k, "redis/%s/%s", ns, key);
    return k;
}

static void place_store (struct backend *self, const struct shard_key *key, const struct place *place)
{
    uint8_t value[24 + NAME_ROOM];
    uint64_t numbers[3] = { htobe64 (place->epoch), htobe64 (place->number), htobe64 (place->size) };
    size_t n = strlen (place->server);
    memcpy (value, numbers, 24);
    memcpy (value + 24, place->server, n);
    shard_put (self->shard, key->data, key->size, value, 24 + n);
}

static bool place_parse (const uint8_t *value, size_t size, struct place *place)
{
    if (size <= 24 || size >= 24 + NAME_ROOM)
        return false;
    place->epoch = shard_u64 (value);
    place->number = shard_u64 (value + 8);
    place->size = shard_u64 (value + 16);
    memcpy (place->server, value + 24, size - 24);
    place->server[size - 24] = '\0';
    return true;
}

static bool place_get (struct backend *self, const char *ns, const char *key, struct place *place)
{
    struct shard_key k = place_key (ns, key);
    void *value = NULL;
    size_t size;
    bool found = shard_get (self->shard, k.data, k.size, &value, &size) && place_parse (value, size, place);
    free (value);
    return found;
}

static void next_store (struct backend *self)
{
    uint64_t numbers[3] = { htobe64 (self->epoch), htobe64 (self->next), htobe64 (self->reserved) };
    shard_put (self->shard, "redisnext", strlen ("redisnext"), numbers, sizeof (numbers));
}

static void gone_add (struct backend *self, const struct place *place)
{
    struct shard_key k;
    shard_key (&k, "redisgone/");
    shard_key_u64 (&k, self->gone_next++);
    place_store (self, &k, place);
}

static const char *bytes_name (const struct backend *self, uint64_t epoch, uint64_t number, char name[80])
{
    snprintf (name, 80, "strata:%016llx:%llu:%llu", (unsigned long long)self->id, (unsigned long long)epoch,
              (unsigned long long)number);
    return name;
}

/* ---- servers ---- */

static void server_away (struct server *server, const char *why)
{
    if (!server->told)
        log_warn ("redis server %s (%s) does not answer: %s", server->name, server->address, why);
    server->told = true;
    if (server->connection)
        redisFree (server->connection);
    server->connection = NULL;
    /* A connection that was closed while nobody used it: the next who asks connects anew. */
    server->again_us = now_us () + server->wait_us;
    server->wait_us = server->wait_us ? server->wait_us * 2 : AGAIN_FIRST_US;
    if (server->wait_us > AGAIN_LAST_US)
        server->wait_us = AGAIN_LAST_US;
}

/* The reply of one command; NULL: the server is away now, or refused (*refusal is filled: "" when away). */
static redisReply *server_reply (struct server *server, char refusal[200])
{
    redisReply *reply = NULL;
    refusal[0] = '\0';
    if (!server->connection)
        return NULL;
    if (redisGetReply (server->connection, (void **)&reply) != REDIS_OK || !reply) {
        server_away (server, server->connection->errstr[0] ? server->connection->errstr : "no answer in time");
        return NULL;
    }
    if (reply->type != REDIS_REPLY_ERROR)
        return reply;
    snprintf (refusal, 200, "%.199s", reply->str);
    freeReplyObject (reply);
    return NULL;
}

/* "password" or "user password" in a file, so that neither stands in the registry. */
static bool server_auth (struct server *server, char why[200])
{
    char text[1024] = "", *space;
    FILE *f = fopen (server->secret, "re");
    size_t n = f ? fread (text, 1, sizeof (text) - 1, f) : 0;
    if (f)
        fclose (f);
    text[n] = '\0';
    text[strcspn (text, "\r\n")] = '\0';
    if (!text[0]) {
        snprintf (why, 200, "its password can't be read from %.150s", server->secret);
        return false;
    }
    space = strchr (text, ' ');
    if (space)
        *space = '\0';
    if (space)
        redisAppendCommand (server->connection, "AUTH %s %s", text, space + 1);
    else
        redisAppendCommand (server->connection, "AUTH %s", text);
    redisReply *reply = server_reply (server, why);
    explicit_bzero (text, sizeof (text));
    if (reply)
        freeReplyObject (reply);
    return reply != NULL;
}

/* Whether what it holds is on its disk; needs no right to see its configuration. */
static bool server_greet (struct server *server, char why[200])
{
    redisAppendCommand (server->connection, "INFO persistence");
    redisReply *reply = server_reply (server, why);
    if (!reply)
        return false;
    if (reply->type == REDIS_REPLY_STRING && !strstr (reply->str, "aof_enabled:1") && !server->warned) {
        log_warn ("redis server %s (%s) keeps objects in memory alone (appendonly no): what it loses when it ends is lost",
                  server->name, server->address);
        server->warned = true;
    }
    bool loading = reply->type == REDIS_REPLY_STRING && strstr (reply->str, "loading:1");
    if (loading)
        snprintf (why, 200, "it is still reading its files");
    freeReplyObject (reply);
    return !loading;
}

/* Connects if need be. False: it is away. */
static bool server_ready (struct server *server)
{
    struct timeval soon = { 0, CONNECT_MS * 1000 }, answer = { ANSWER_MS / 1000, ANSWER_MS % 1000 * 1000 };
    char host[300], why[200] = "";
    if (server->connection)
        return true;
    if (now_us () < server->again_us)
        return false;
    snprintf (host, sizeof (host), "%s", server->address);
    char *colon = strrchr (host, ':');
    if (host[0] == '/')
        server->connection = redisConnectUnixWithTimeout (host, soon);
    else if (colon) {
        *colon = '\0';
        server->connection = redisConnectWithTimeout (host, atoi (colon + 1), soon);
    }
    if (!server->connection || server->connection->err) {
        snprintf (why, sizeof (why), "%.190s", server->connection ? server->connection->errstr : "its address is no host:port and no path");
        server_away (server, why);
        return false;
    }
    redisSetTimeout (server->connection, answer);
    if ((server->secret[0] && !server_auth (server, why)) || !server_greet (server, why)) {
        if (server->connection)
            server_away (server, why);
        return false;
    }
    if (server->told)
        log_info ("redis server %s (%s) answers again", server->name, server->address);
    server->told = false;
    server->wait_us = 0;
    return true;
}

static struct server *server_find (struct backend *self, const char *name)
{
    for (size_t i = 0; i < self->count; i++)
        if (strcmp (self->servers[i].name, name) == 0)
            return &self->servers[i];
    return NULL;
}

/* ---- the registry ---- */

static int by_hash (const void *a, const void *b)
{
    uint64_t x = ((const struct point *)a)->hash, y = ((const struct point *)b)->hash;
    return x < y ? -1 : x > y;
}

static void ring_make (struct backend *self)
{
    self->points = 0;
    for (size_t i = 0; i < self->count; i++)
        for (uint64_t n = 0; self->servers[i].listed && n < POINTS; n++)
            self->ring[self->points++] = (struct point){ hash64 (n + 1, self->servers[i].name, strlen (self->servers[i].name)), i };
    qsort (self->ring, self->points, sizeof (*self->ring), by_hash);
}

static void server_read (struct backend *self, const char *name)
{
    char path[4400], address[300] = "", secret[4096] = "";
    snprintf (path, sizeof (path), "%s/%s", self->folder, name);
    FILE *f = fopen (path, "re");
    if (!f)
        return;
    if (!fgets (address, sizeof (address), f))
        address[0] = '\0';
    if (!fgets (secret, sizeof (secret), f))
        secret[0] = '\0';
    fclose (f);
    address[strcspn (address, "\r\n")] = '\0';
    secret[strcspn (secret, "\r\n")] = '\0';
    struct server *server = server_find (self, name);
    if (!address[0] || (!server && self->count == SERVERS_MAX)) {
        log_warn ("redis server %s is left out: %s", name, address[0] ? "there are 64 already" : "its file has no address");
        return;
    }
    if (!server) {
        server = &self->servers[self->count++];
        *server = (struct server){ .connection = NULL };
        snprintf (server->name, sizeof (server->name), "%s", name);
    }
    server->listed = true;
    if (strcmp (server->address, address) == 0 && strcmp (server->secret, secret) == 0)
        return;
    snprintf (server->address, sizeof (server->address), "%s", address);
    snprintf (server->secret, sizeof (server->secret), "%s", secret);
    if (server->connection)
        redisFree (server->connection);
    server->connection = NULL;
    server->again_us = server->wait_us = 0;
}

static void look_at_servers (struct backend *self)
{
    struct stat st;
    int64_t now = now_us ();
    if (self->looked_us && now - self->looked_us < LOOK_US)
        return;
    self->looked_us = now;
    if (stat (self->folder, &st) < 0)
        memset (&st, 0, sizeof (st));
    /* A file of the folder that is written over, rather than renamed into it, changes no time of the folder: so once in a
     * while all are read. */
    bool same = st.st_mtim.tv_sec == self->folder_time.tv_sec && st.st_mtim.tv_nsec == self->folder_time.tv_nsec;
    if (same && self->points && now / LOOK_US % 10)
        return;
    self->folder_time = st.st_mtim;
    for (size_t i = 0; i < self->count; i++)
        self->servers[i].listed = false;
    DIR *dir = opendir (self->folder);
    for (struct dirent *entry; dir && (entry = readdir (dir));)
        if (entry->d_name[0] != '.' && strlen (entry->d_name) < NAME_ROOM)
            server_read (self, entry->d_name);
    if (dir)
        closedir (dir);
    ring_make (self);
}

/* The first server from the name's place on the ring on that is there and not in `passed`. NULL: none. */
static struct server *server_for (struct backend *self, const char *ns, const char *key, const bool passed[SERVERS_MAX])
{
    uint64_t hash = hash64 (hash64 (1, ns, strlen (ns)), key, strlen (key));
    size_t low = 0, high = self->points;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (self->ring[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    for (size_t i = 0; i < self->points; i++) {
        size_t n = self->ring[(low + i) % self->points].server;
        if (!passed[n] && server_ready (&self->servers[n]))
            return &self->servers[n];
    }
    return NULL;
}

/* ---- opening ---- */

/* What a crash may have left: numbers of the last holder that it noted as possibly used, and no batch names. */
static void sweep (struct backend *self, uint64_t epoch, uint64_t from, uint64_t to)
{
    char name[80], why[200];
    for (size_t i = 0; i < self->count; i++) {
        struct server *server = &self->servers[i];
        if (!server_ready (server))
            continue;
        for (uint64_t n = from; n < to; n++)
            redisAppendCommand (server->connection, "UNLINK %s", bytes_name (self, epoch, n, name));
        for (uint64_t n = from; n < to && server->connection; n++) {
            redisReply *reply = server_reply (server, why);
            if (reply)
                freeReplyObject (reply);
        }
    }
}

static struct backend *redis_open (struct shard *shard, const char *root, const char *owner, struct strata_error *error)
{
    struct backend *self = calloc (1, sizeof (*self));
    void *value = NULL;
    size_t size;
    struct shard_iter it;
    if (!self) {
        strata_fail (error, "out of memory");
        return NULL;
    }
    self->shard = shard;
    self->id = shard_id (shard);
    self->epoch = shard_epoch (shard);
    self->next = 1;
    self->reserved = BLOCK;
    const char *slash = strrchr (root, '/');
    snprintf (self->folder, sizeof (self->folder), "%.*s/redis", slash ? (int)(slash - root) : 1, slash ? root : ".");
    look_at_servers (self);
    if (!self->points) {
        strata_fail (error,
                     "stage.backend is redis, but no server stands in %.300s: put a file there for each, its address (host:port or a "
                     "socket's path) in the first line",
                     self->folder);
        free (self);
        return NULL;
    }
    if (shard_get (shard, "redisnext", strlen ("redisnext"), &value, &size) && size == 24)
        sweep (self, shard_u64 (value), shard_u64 ((uint8_t *)value + 8), shard_u64 ((uint8_t *)value + 16));
    free (value);
    next_store (self);
    for (bool more = shard_iter_begin (shard, &it, "redisgone/", strlen ("redisgone/"), NULL, 0); more; more = shard_iter_next (&it))
        if (it.key_size == strlen ("redisgone/") + 8)
            self->gone_next = shard_u64 (it.key + strlen ("redisgone/")) + 1;
    shard_iter_end (&it);
    self->gone_mark = self->gone_next;
    self->mark_commits = shard_commits (shard);
    return self;
}

static void redis_close (struct backend **self)
{
    if (!*self)
        return;
    for (size_t i = 0; i < (*self)->count; i++)
        if ((*self)->servers[i].connection)
            redisFree ((*self)->servers[i].connection);
    free (*self);
    *self = NULL;
}

/* ---- the objects' operations ---- */

struct writing {
    struct server *server; /* where it goes, or is */
    bool written;
};

/* One round: all that are not written yet, pipelined, each to its server. 0: all are; 1: some server went away, ask again;
 * -1: one refuses, or there is none. */
static int write_round (struct backend *self, const char *ns, const struct backend_item *items, size_t count, struct writing *writing,
                        bool passed[SERVERS_MAX], struct strata_error *error)
{
    char name[80], why[200];
    int rc = 0;
    for (size_t i = 0; i < count; i++) {
        if (writing[i].written)
            continue;
        writing[i].server = server_for (self, ns, items[i].key, passed);
        if (!writing[i].server) {
            errno = EAGAIN;
            return strata_fail (error, "no redis server of %zu in %.300s answers", self->count, self->folder);
        }
        bytes_name (self, self->epoch, self->next + i, name);
        redisAppendCommand (writing[i].server->connection, "SET %s %b", name, items[i].data, items[i].size);
    }
    for (size_t i = 0; i < count; i++) {
        struct server *server = writing[i].server;
        if (writing[i].written)
            continue;
        redisReply *reply = server_reply (server, why);
        if (reply) {
            writing[i].written = true;
            freeReplyObject (reply);
        } else if (why[0] && rc >= 0) {
            /* Read-only, loading, out of memory: what it says is told. */
            rc = strata_fail (error, "redis server %s refuses object %s/%s: %s", server->name, ns, items[i].key, why);
            errno = strncmp (why, "OOM", 3) == 0 ? ENOSPC : EAGAIN;
        } else if (!why[0]) {
            passed[server - self->servers] = true;
            rc = rc < 0 ? rc : 1;
        }
    }
    return rc;
}

/* What was written of a put that failed. */
static void take_back (struct backend *self, const struct writing *writing, size_t count)
{
    char name[80], why[200];
    int saved = errno;
    for (size_t i = 0; i < count; i++)
        if (writing[i].written && writing[i].server->connection)
            redisAppendCommand (writing[i].server->connection, "UNLINK %s", bytes_name (self, self->epoch, self->next + i, name));
    for (size_t i = 0; i < count; i++)
        if (writing[i].written && writing[i].server->connection) {
            redisReply *reply = server_reply (writing[i].server, why);
            if (reply)
                freeReplyObject (reply);
        }
    errno = saved;
}

static int redis_put (struct backend *self, const char *ns, const struct backend_item *items, size_t count, struct strata_error *error)
{
    struct writing *writing = calloc (count, sizeof (*writing));
    bool passed[SERVERS_MAX] = { false };
    int rc;
    if (!writing) {
        errno = ENOMEM;
        return strata_fail (error, "out of memory for a put of %zu objects", count);
    }
    look_at_servers (self);
    crash_point ("redis.put");
    while ((rc = write_round (self, ns, items, count, writing, passed, error)) > 0)
        ;
    crash_point ("redis.written");
    if (rc < 0)
        take_back (self, writing, count);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct place place = { self->epoch, self->next + i, items[i].size, "" }, old;
        struct shard_key k = place_key (ns, items[i].key);
        snprintf (place.server, sizeof (place.server), "%s", writing[i].server->name);
        if (place_get (self, ns, items[i].key, &old))
            gone_add (self, &old);
        place_store (self, &k, &place);
    }
    /* Also when it failed: what could not be taken back is under names that are not used again. */
    self->next += count;
    if (self->next + BLOCK / 2 > self->reserved)
        self->reserved = self->next + BLOCK;
    next_store (self);
    int saved = errno;
    free (writing);
    errno = saved;
    return rc;
}

static int redis_get (struct backend *self, const char *ns, const char *key, uint64_t size, uint64_t offset, uint64_t length,
                      void **data, struct strata_error *error)
{
    struct place place;
    char name[80], why[200];
    *data = NULL;
    if (!place_get (self, ns, key, &place) || place.size != size) {
        errno = EBADMSG;
        return strata_fail (error, "object %s/%s is damaged: its place in the redis servers is not known", ns, key);
    }
    struct server *server = server_find (self, place.server);
    if (!server) {
        look_at_servers (self);
        server = server_find (self, place.server);
    }
    if (!server || !server_ready (server)) {
        errno = EAGAIN;
        return strata_fail (error, "object %s/%s is kept by redis server %s, which %s", ns, key, place.server,
                            server ? "does not answer" : "has no file in the workspace");
    }
    bytes_name (self, place.epoch, place.number, name);
    if (length == size)
        redisAppendCommand (server->connection, "GET %s", name);
    else if (length)
        redisAppendCommand (server->connection, "GETRANGE %s %llu %llu", name, (unsigned long long)offset,
                            (unsigned long long)(offset + length - 1));
    else
        redisAppendCommand (server->connection, "EXISTS %s", name);
    redisReply *reply = server_reply (server, why);
    if (!reply) {
        errno = EAGAIN;
        return strata_fail (error, "object %s/%s is kept by redis server %s, which %s", ns, key, place.server,
                            why[0] ? why : "does not answer");
    }
    int rc = 0;
    if (reply->type == REDIS_REPLY_NIL || (reply->type == REDIS_REPLY_INTEGER && reply->integer == 0)
        || (reply->type == REDIS_REPLY_STRING && reply->len != length)) {
        errno = EBADMSG;
        rc = strata_fail (error, "object %s/%s is damaged: redis server %s has %s of it", ns, key, place.server,
                          reply->type == REDIS_REPLY_STRING ? "another length" : "nothing");
    } else if (!(*data = malloc (length ? length : 1))) {
        errno = ENOMEM;
        rc = strata_fail (error, "object %s/%s: out of memory for its %llu bytes", ns, key, (unsigned long long)length);
    } else if (length)
        memcpy (*data, reply->str, length);
    int saved = errno;
    freeReplyObject (reply);
    errno = saved;
    return rc;
}

/* The bytes stay where they are, under their number. */
static int redis_move (struct backend *self, const char *ns, const char *key, const char *to_ns, const char *to_key,
                       struct strata_error *error)
{
    struct shard_key from = place_key (ns, key), to = place_key (to_ns, to_key);
    struct place place;
    if (!place_get (self, ns, key, &place)) {
        errno = EBADMSG;
        return strata_fail (error, "object %s/%s is damaged: its place in the redis servers is not known", ns, key);
    }
    place_store (self, &to, &place);
    shard_delete (self->shard, from.data, from.size);
    return 0;
}

static void redis_delete (struct backend *self, const char *ns, const char *key)
{
    struct shard_key k = place_key (ns, key);
    struct place place;
    if (place_get (self, ns, key, &place))
        gone_add (self, &place);
    shard_delete (self->shard, k.data, k.size);
}

/* ---- settling ---- */

struct removal {
    uint64_t sequence;
    struct server *server;
    char name[80];
    bool done;
};

/* Removals whose records are on disk, those of servers that answer. */
static void remove_gone (struct backend *self)
{
    static const char prefix[] = "redisgone/";
    struct removal *list = calloc (SETTLE_MAX, sizeof (*list));
    struct shard_iter it;
    char why[200];
    size_t count = 0;
    for (bool more = list && shard_iter_begin (self->shard, &it, prefix, strlen (prefix), NULL, 0); more && count < SETTLE_MAX;
         more = shard_iter_next (&it)) {
        struct place place;
        uint64_t sequence = it.key_size == strlen (prefix) + 8 ? shard_u64 (it.key + strlen (prefix)) : UINT64_MAX;
        if (sequence >= self->gone_mark)
            break;
        if (!place_parse (it.value, it.value_size, &place))
            continue;
        struct server *server = server_find (self, place.server);
        if (!server || !server_ready (server))
            continue;
        list[count].sequence = sequence;
        list[count].server = server;
        bytes_name (self, place.epoch, place.number, list[count++].name);
    }
    if (list)
        shard_iter_end (&it);
    for (size_t i = 0; i < count; i++)
        if (list[i].server->connection)
            redisAppendCommand (list[i].server->connection, "UNLINK %s", list[i].name);
    for (size_t i = 0; i < count; i++) {
        redisReply *reply = server_reply (list[i].server, why);
        if (!reply)
            continue;
        struct shard_key k;
        shard_key (&k, "%s", prefix);
        shard_key_u64 (&k, list[i].sequence);
        shard_delete (self->shard, k.data, k.size);
        freeReplyObject (reply);
    }
    free (list);
}

static int redis_settle (struct backend *self, struct strata_error *error)
{
    uint64_t commits = shard_commits (self->shard);
    size_t away = 0;
    const char *first = "";
    look_at_servers (self);
    if (commits > self->mark_commits || !shard_dirty (self->shard)) {
        if (!shard_dirty (self->shard))
            self->gone_mark = self->gone_next;
        remove_gone (self);
        self->gone_mark = self->gone_next;
        self->mark_commits = commits;
    }
    for (size_t i = 0; i < self->count; i++)
        if (self->servers[i].listed && !server_ready (&self->servers[i])) {
            first = away++ ? first : self->servers[i].name;
        }
    if (!away)
        return 0;
    return strata_fail (error, "%zu of %zu redis servers do not answer (%s): what they keep can't be read", away, self->count, first);
}

const struct backend_ops backend_redis = {
    .name = "redis",
    .open = redis_open,
    .close = redis_close,
    .put = redis_put,
    .get = redis_get,
    .move = redis_move,
    .delete = redis_delete,
    .settle = redis_settle,
};
