/* bench_redis.c - Redis Streams as their own documentation has them used: XADD pipelined, a consumer group, XACK.
 *
 * The server appends to its file and syncs it before it answers (appendfsync always), at most once for each pass of its
 * event loop: what one read of each connection brought shares a sync, so several connections of the one producer help it.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "redis_client.h"

enum { SOCKET, RECORDS, SIZE, WINDOW, CONNECTIONS, BATCH, OPTIONS };
#define CONNECTIONS_MAX 64

static struct bench_option options[OPTIONS] = {
    [SOCKET] = { "socket", "Unix socket of the server", "" },
    [RECORDS] = { "records", "how many", "20000" },
    [SIZE] = { "size", "bytes of a record", "1024" },
    [WINDOW] = { "window", "records under way on one connection", "64" },
    [CONNECTIONS] = { "connections", "of the producer", "8" },
    [BATCH] = { "batch", "records of one XREADGROUP and one XACK", "500" },
};
static uint64_t records, size, window, connections, batch;

static void run (redisContext *c, const char *command)
{
    redisAppendCommand (c, command);
    freeReplyObject (redis_take (c));
}

/* Acknowledges and deletes what was read: the delete is what our trimming is to our store. */
static void acknowledge (redisContext *c, const redisReply *entries)
{
    size_t n = entries->elements, count = 0;
    const char **argv = malloc ((n + 3) * sizeof (*argv));
    size_t *lengths = malloc ((n + 3) * sizeof (*lengths));
    if (!argv || !lengths)
        bench_fail ("out of memory");
    const char *head[] = { "XACK", "s", "g" };
    for (; count < 3; count++) {
        argv[count] = head[count];
        lengths[count] = strlen (head[count]);
    }
    for (size_t i = 0; i < n; i++, count++) {
        argv[count] = entries->element[i]->element[0]->str;
        lengths[count] = entries->element[i]->element[0]->len;
    }
    redisAppendCommandArgv (c, (int)count, argv, lengths);
    free (argv);
    free (lengths);
}

static void consume (void *arg)
{
    redisContext *c = redis_dial (options[SOCKET].text);
    uint64_t seen = 0, acks = 0;
    uint8_t *counts = calloc (records, 1);
    if (!counts)
        bench_fail ("out of memory");
    bench_ready ();
    redisAppendCommand (c, "XREADGROUP GROUP g c COUNT %llu BLOCK 10000 STREAMS s >", (unsigned long long)batch);
    while (seen < records) {
        redisReply *reply = redis_take (c);
        if (reply->type == REDIS_REPLY_INTEGER) { /* of an XACK sent before */
            acks += (uint64_t)reply->integer;
            freeReplyObject (reply);
            continue;
        }
        if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0)
            bench_fail ("redis: nothing came for 10 s after %llu of %llu records", (unsigned long long)seen, (unsigned long long)records);
        const redisReply *entries = reply->element[0]->element[1];
        acknowledge (c, entries);
        if (seen + entries->elements < records)
            redisAppendCommand (c, "XREADGROUP GROUP g c COUNT %llu BLOCK 10000 STREAMS s >", (unsigned long long)batch);
        for (size_t i = 0; i < entries->elements; i++) {
            const redisReply *data = entries->element[i]->element[1]->element[1];
            uint64_t number;
            memcpy (&number, data->str, sizeof (number));
            if (data->len != size || number >= records || counts[number]++)
                bench_fail ("redis: a record is wrong or came twice");
            bench_record_check ((const uint8_t *)data->str, size, number);
        }
        seen += entries->elements;
        freeReplyObject (reply);
    }
    while (acks < records) {
        redisReply *reply = redis_take (c);
        acks += (uint64_t)reply->integer;
        freeReplyObject (reply);
    }
    free (counts);
    redisFree (c);
}

static void send_record (redisContext *c, uint8_t *record, uint64_t number)
{
    bench_record (record, size, number);
    redisAppendCommand (c, "XADD s * d %b", record, (size_t)size);
}

static void flush_out (redisContext *c)
{
    int done = 0;
    while (!done)
        if (redisBufferWrite (c, &done) != REDIS_OK)
            bench_fail ("redis: %s", c->errstr);
}

/* Keeps `window` records under way on each connection. */
static void produce (void)
{
    redisContext *c[CONNECTIONS_MAX] = { NULL };
    struct pollfd fds[CONNECTIONS_MAX];
    uint64_t sent = 0, done = 0;
    uint8_t *record = malloc (size);
    for (uint64_t i = 0; i < connections; i++) {
        c[i] = redis_dial (options[SOCKET].text);
        fds[i] = (struct pollfd){ c[i]->fd, POLLIN, 0 };
        for (uint64_t n = 0; n < window && sent < records; n++)
            send_record (c[i], record, sent++);
        flush_out (c[i]);
    }
    while (done < records) {
        if (poll (fds, (nfds_t)connections, 10000) <= 0)
            bench_fail ("redis: no answer for 10 s");
        for (uint64_t i = 0; i < connections; i++) {
            if (!(fds[i].revents & POLLIN))
                continue;
            redisReply *reply;
            if (redisBufferRead (c[i]) != REDIS_OK)
                bench_fail ("redis: %s", c[i]->errstr);
            while (redisGetReplyFromReader (c[i], (void **)&reply) == REDIS_OK && reply) {
                if (reply->type == REDIS_REPLY_ERROR)
                    bench_fail ("redis: %s", reply->str);
                freeReplyObject (reply);
                done++;
                if (sent < records)
                    send_record (c[i], record, sent++);
            }
            flush_out (c[i]);
        }
    }
    for (uint64_t i = 0; i < connections; i++)
        redisFree (c[i]);
    free (record);
}

int main (int argc, char **argv)
{
    bench_arguments (argc, argv, "durable publish -> consumed -> acknowledged by Redis Streams", options, OPTIONS);
    records = bench_number (&options[RECORDS]);
    size = bench_number (&options[SIZE]);
    window = bench_number (&options[WINDOW]);
    connections = bench_number (&options[CONNECTIONS]);
    batch = bench_number (&options[BATCH]);
    if (connections == 0 || connections > CONNECTIONS_MAX || window == 0 || size < 8)
        bench_fail ("at least 8 bytes, a window, and 1-%d connections", CONNECTIONS_MAX);
    redisContext *c = redis_dial (options[SOCKET].text);
    run (c, "DEL s");
    run (c, "XGROUP CREATE s g $ MKSTREAM");
    pid_t consumer = bench_fork (consume, NULL);
    int64_t start = bench_now_ns ();
    produce ();
    int64_t published = bench_now_ns ();
    bench_join (consumer);
    int64_t end = bench_now_ns ();
    bench_figure ("published", (double)records * 1e9 / (double)(published - start), "records/s");
    bench_figure ("acknowledged", (double)records * 1e9 / (double)(end - start), "records/s");
    run (c, "DEL s");
    redisFree (c);
    return 0;
}
