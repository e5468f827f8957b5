/* redis_servers.h - real redis-server processes of a test, listed in its workspace's registry (backend_redis.c). */
#ifndef STRATA_TESTS_REDIS_SERVERS_H
#define STRATA_TESTS_REDIS_SERVERS_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>

#define REDIS_SERVERS 3
#define REDIS_PASSWORD "correct-horse"

struct redis_servers {
    char folder[128]; /* the workspace */
    pid_t pids[REDIS_SERVERS];
};

static inline bool redis_installed (void)
{
    return access ("/usr/bin/redis-server", X_OK) == 0 || access ("/usr/local/bin/redis-server", X_OK) == 0;
}

/* NULL: it does not answer. The second one wants a password. */
static inline redisContext *redis_servers_dial (const struct redis_servers *self, unsigned n)
{
    char path[200];
    snprintf (path, sizeof (path), "%s/r%u.sock", self->folder, n);
    redisContext *c = redisConnectUnix (path);
    if (c && !c->err) {
        redisReply *reply = n == 1 ? redisCommand (c, "AUTH " REDIS_PASSWORD) : NULL;
        if (reply)
            freeReplyObject (reply);
        reply = redisCommand (c, "PING");
        if (reply && reply->type == REDIS_REPLY_STATUS) {
            freeReplyObject (reply);
            return c;
        }
        if (reply)
            freeReplyObject (reply);
    }
    if (c)
        redisFree (c);
    return NULL;
}

/* Starts it, with what it held before, and waits until it answers. */
static inline void redis_servers_start (struct redis_servers *self, unsigned n)
{
    char socket[200], data[200];
    snprintf (socket, sizeof (socket), "%s/r%u.sock", self->folder, n);
    snprintf (data, sizeof (data), "%s/r%u.data", self->folder, n);
    mkdir (data, 0700);
    self->pids[n] = fork ();
    assert_true (self->pids[n] >= 0);
    if (self->pids[n] == 0) {
        prctl (PR_SET_PDEATHSIG, SIGKILL);
        if (!freopen ("/dev/null", "w", stdout))
            _exit (3);
        execlp ("redis-server", "redis-server", "--port", "0", "--unixsocket", socket, "--dir", data, "--appendonly", "yes",
                "--appendfsync", "always", "--save", "", n == 1 ? "--requirepass" : (char *)NULL, REDIS_PASSWORD, (char *)NULL);
        _exit (4);
    }
    for (unsigned tries = 0; tries < 3000; tries++) {
        redisContext *c = redis_servers_dial (self, n);
        if (c) {
            redisFree (c);
            return;
        }
        nanosleep (&(struct timespec){ 0, 10000000 }, NULL);
    }
    fail_msg ("redis-server %u does not answer", n);
}

static inline void redis_servers_stop (struct redis_servers *self, unsigned n)
{
    int status;
    kill (self->pids[n], SIGKILL);
    assert_int_equal (waitpid (self->pids[n], &status, 0), self->pids[n]);
    self->pids[n] = 0;
}

/* Keys of all servers together. */
static inline long long redis_servers_keys (const struct redis_servers *self)
{
    long long keys = 0;
    for (unsigned n = 0; n < REDIS_SERVERS; n++) {
        redisContext *c = redis_servers_dial (self, n);
        redisReply *reply = c ? redisCommand (c, "DBSIZE") : NULL;
        assert_true (reply && reply->type == REDIS_REPLY_INTEGER);
        keys += reply->integer;
        freeReplyObject (reply);
        redisFree (c);
    }
    return keys;
}

static inline void redis_servers_open (struct redis_servers *self, const char *folder)
{
    char path[200];
    snprintf (self->folder, sizeof (self->folder), "%s", folder);
    snprintf (path, sizeof (path), "%s/redis", folder);
    assert_int_equal (mkdir (path, 0700), 0);
    snprintf (path, sizeof (path), "%s/password", folder);
    FILE *f = fopen (path, "w");
    assert_true (f && fputs (REDIS_PASSWORD "\n", f) >= 0 && fclose (f) == 0);
    for (unsigned n = 0; n < REDIS_SERVERS; n++) {
        snprintf (path, sizeof (path), "%s/redis/r%u", folder, n);
        f = fopen (path, "w");
        assert_true (f && fprintf (f, "%s/r%u.sock\n", folder, n) > 0);
        if (n == 1)
            fprintf (f, "%s/password\n", folder);
        fclose (f);
        redis_servers_start (self, n);
    }
}

static inline void redis_servers_close (struct redis_servers *self)
{
    for (unsigned n = 0; n < REDIS_SERVERS; n++)
        if (self->pids[n])
            redis_servers_stop (self, n);
}

#endif
