/* bench_frames_redis.c - the same frames by the pattern of the paper's feedback on a Redis server (SC'21, section 4.4): each
 * frame a key; feedback lists the new keys, gets them in bulk, adds them up, deletes them, and keeps its sums in the server.
 *
 * In C and pipelined: producers keep `window` SETs under way, feedback works on pages of `page` keys. The server appends to its
 * file, and syncs it as its configuration says, before it answers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "bench_frames.h"
#include "redis_client.h"

enum { SOCKET, PRODUCERS, FRAMES, WINDOW, PAGE, OPTIONS };
static struct bench_option options[OPTIONS] = {
    [SOCKET] = { "socket", "Unix socket of the server", "" },
    [PRODUCERS] = { "producers", "processes that hand in", "8" },
    [FRAMES] = { "frames", "of each of them", "5000" },
    [WINDOW] = { "window", "SETs under way of each", "64" },
    [PAGE] = { "page", "keys that feedback gets at once", "1000" },
};
static uint64_t producers, frames, window, page;

static void produce (void *arg)
{
    unsigned number = *(unsigned *)arg;
    static uint32_t counts[FRAME_CELLS];
    redisContext *c = redis_dial (options[SOCKET].text);
    frame_counts (number, counts);
    bench_ready ();
    for (uint64_t sent = 0, done = 0; done < frames;) {
        while (sent < frames && sent - done < window) {
            redisAppendCommand (c, "SET rdf:new:%u:%llu %b", number, (unsigned long long)sent, counts, sizeof (counts));
            sent++;
        }
        freeReplyObject (redis_take (c));
        done++;
    }
    redisFree (c);
}

/* One page: SCAN, MGET, add, DEL and the sums in one transaction. Returns the frames added. */
static uint64_t work (redisContext *c, char *cursor, size_t cursor_size, int64_t *sums)
{
    redisAppendCommand (c, "SCAN %s MATCH rdf:new:* COUNT %llu", cursor, (unsigned long long)page);
    redisReply *scan = redis_take (c);
    redisReply *keys = scan->element[1];
    size_t count = keys->elements;
    snprintf (cursor, cursor_size, "%s", scan->element[0]->str);
    if (count == 0) {
        freeReplyObject (scan);
        return 0;
    }
    const char **argv = malloc ((count + 1) * sizeof (*argv));
    size_t *lengths = malloc ((count + 1) * sizeof (*lengths));
    if (!argv || !lengths)
        bench_fail ("out of memory");
    argv[0] = "MGET";
    lengths[0] = 4;
    for (size_t i = 0; i < count; i++) {
        argv[i + 1] = keys->element[i]->str;
        lengths[i + 1] = keys->element[i]->len;
    }
    redisAppendCommandArgv (c, (int)count + 1, argv, lengths);
    redisReply *values = redis_take (c);
    uint64_t added = 0;
    for (size_t i = 0; i < values->elements; i++) {
        const redisReply *value = values->element[i];
        if (value->type != REDIS_REPLY_STRING) /* SCAN may give a key twice */
            continue;
        unsigned producer;
        if (value->len != FRAME_BYTES || sscanf (argv[i + 1], "rdf:new:%u", &producer) != 1)
            bench_fail ("redis: a frame is wrong");
        for (size_t k = 0; k < FRAME_CELLS; k++) {
            uint32_t cell;
            memcpy (&cell, value->str + k * 4, 4);
            sums[producer % 18 * FRAME_CELLS + k] += cell;
        }
        added++;
    }
    argv[0] = "DEL";
    lengths[0] = 3;
    redisAppendCommand (c, "MULTI");
    redisAppendCommandArgv (c, (int)count + 1, argv, lengths);
    redisAppendCommand (c, "SET rdf:sums %b", sums, sizeof (*sums) * 18 * FRAME_CELLS);
    redisAppendCommand (c, "EXEC");
    for (int i = 0; i < 4; i++)
        freeReplyObject (redis_take (c));
    freeReplyObject (values);
    freeReplyObject (scan);
    free (argv);
    free (lengths);
    return added;
}

int main (int argc, char **argv)
{
    bench_arguments (argc, argv, "frames a second by the paper's pattern on Redis", options, OPTIONS);
    producers = bench_number (&options[PRODUCERS]);
    frames = bench_number (&options[FRAMES]);
    window = bench_number (&options[WINDOW]);
    page = bench_number (&options[PAGE]);
    if (producers < 1 || producers > FRAME_PRODUCERS_MAX || window < 1)
        bench_fail ("1 to %d producers, and a window", FRAME_PRODUCERS_MAX);
    static int64_t sums[18 * FRAME_CELLS], expected[18 * FRAME_CELLS];
    unsigned numbers[FRAME_PRODUCERS_MAX];
    pid_t pids[FRAME_PRODUCERS_MAX];
    char cursor[32] = "0";
    redisContext *c = redis_dial (options[SOCKET].text);
    int64_t begin = bench_now_ns ();
    for (unsigned i = 0; i < producers; i++) {
        numbers[i] = i;
        pids[i] = bench_fork (produce, &numbers[i]);
    }
    uint64_t added = 0;
    while (added < producers * frames)
        added += work (c, cursor, sizeof (cursor), sums);
    int64_t end = bench_now_ns ();
    for (unsigned i = 0; i < producers; i++) {
        static uint32_t counts[FRAME_CELLS];
        bench_join (pids[i]);
        frame_counts (i, counts);
        for (size_t k = 0; k < FRAME_CELLS; k++)
            expected[i % 18 * FRAME_CELLS + k] += (int64_t)frames * counts[k];
    }
    if (memcmp (sums, expected, sizeof (sums)) != 0)
        bench_fail ("redis: the sums are wrong");
    bench_figure ("summed", (double)added * 1e9 / (double)(end - begin), "frames/s");
    redisFree (c);
    return 0;
}
