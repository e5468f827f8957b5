/* bench_limits.c - what this machine allows at this moment: memory, disk and raw ZeroMQ, each as plainly as can be. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "bench.h"

enum { SYNCS, LARGE, MESSAGES, TRIPS, OPTIONS };
static struct bench_option options[OPTIONS] = {
    [SYNCS] = { "syncs", "small writes to sync, of each kind", "1000" },
    [LARGE] = { "large", "MiB to write in pieces of 4 MiB", "128" },
    [MESSAGES] = { "messages", "through ZeroMQ PUSH/PULL", "200000" },
    [TRIPS] = { "trips", "round trips through ZeroMQ", "5000" },
};
#define PIECE (4u << 20)

static void copies (void)
{
    size_t size = 64u << 20;
    char *from = malloc (size), *to = malloc (size);
    if (!from || !to)
        bench_fail ("out of memory");
    memset (from, 1, size);
    memset (to, 2, size);
    int64_t start = bench_now_ns ();
    for (int i = 0; i < 16; i++) {
        memcpy (to, from + i, size - 16);
        __asm__ volatile ("" : : "r"(to) : "memory"); /* the copy is needed */
    }
    bench_figure ("memcpy", 16.0 * (double)size / (double)(bench_now_ns () - start), "GB/s");
    free (from);
    free (to);
}

static int scratch (char *dir)
{
    const char *tmp = getenv ("TMPDIR");
    snprintf (dir, 64, "%.40s/strata-bench-XXXXXX", tmp ? tmp : "/tmp");
    int fd = mkstemp (dir);
    if (fd < 0)
        bench_fail ("%s: %s", dir, strerror (errno));
    return fd;
}

static void fill (int fd, size_t size)
{
    char *zeros = calloc (1, 1u << 20);
    for (size_t at = 0; at < size; at += 1u << 20)
        if (!zeros || pwrite (fd, zeros, 1u << 20, (off_t)at) < 0)
            bench_fail ("write: %s", strerror (errno));
    free (zeros);
    fsync (fd);
}

/* Appends to a file that grows (the sync has metadata to write), or overwrites one that is there. */
static void small_syncs (const char *name, bool in_place)
{
    char dir[64], bytes[1024] = "x";
    size_t count = bench_number (&options[SYNCS]);
    int fd = scratch (dir);
    int64_t *took = malloc (count * sizeof (*took));
    if (!took || count == 0)
        bench_fail ("no syncs");
    if (in_place)
        fill (fd, count * sizeof (bytes));
    for (size_t i = 0; i < count; i++) {
        int64_t start = bench_now_ns ();
        if (pwrite (fd, bytes, sizeof (bytes), (off_t)(i * sizeof (bytes))) < 0 || fdatasync (fd) < 0)
            bench_fail ("sync: %s", strerror (errno));
        took[i] = bench_now_ns () - start;
    }
    bench_figure (name, bench_median_us (took, count), "us");
    free (took);
    close (fd);
    unlink (dir);
}

static void large_writes (const char *name, bool allocated)
{
    char dir[64], *bytes = malloc (PIECE);
    size_t size = bench_number (&options[LARGE]) << 20;
    int fd = scratch (dir);
    if (!bytes || size < PIECE)
        bench_fail ("--large: at least 4");
    memset (bytes, 'x', PIECE);
    if (allocated && fallocate (fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size) < 0)
        bench_fail ("fallocate: %s", strerror (errno));
    int64_t start = bench_now_ns ();
    for (size_t at = 0; at < size; at += PIECE)
        if (pwrite (fd, bytes, PIECE, (off_t)at) < 0 || fdatasync (fd) < 0)
            bench_fail ("write: %s", strerror (errno));
    bench_figure (name, (double)size * 1e3 / (double)(bench_now_ns () - start), "MB/s");
    free (bytes);
    close (fd);
    unlink (dir);
}

struct pipe_end {
    const char *endpoint;
    size_t count, size;
    int type;
};

static void *open_socket (void *context, int type, const char *endpoint, bool bind)
{
    void *socket = zmq_socket (context, type);
    int none = 0;
    zmq_setsockopt (socket, ZMQ_LINGER, &none, sizeof (none));
    if ((bind ? zmq_bind : zmq_connect) (socket, endpoint) < 0)
        bench_fail ("%s: %s", endpoint, zmq_strerror (errno));
    return socket;
}

static void pull (void *arg)
{
    const struct pipe_end *end = arg;
    void *context = zmq_ctx_new (), *socket = open_socket (context, ZMQ_PULL, end->endpoint, true);
    char *bytes = malloc (end->size);
    bench_ready ();
    for (size_t i = 0; i < end->count; i++)
        if (zmq_recv (socket, bytes, end->size, 0) != (int)end->size)
            bench_fail ("a message got lost");
    free (bytes);
    zmq_close (socket);
    zmq_ctx_term (context);
}

static void endpoint (char *text, const char *dir)
{
    unlink (dir);
    snprintf (text, 96, "ipc://%s.sock", dir);
}

static void push (const char *name, size_t count, size_t size)
{
    char dir[64], text[96], *bytes = calloc (1, size);
    close (scratch (dir));
    endpoint (text, dir);
    struct pipe_end end = { text, count, size, ZMQ_PULL };
    pid_t other = bench_fork (pull, &end);
    void *context = zmq_ctx_new (), *socket = open_socket (context, ZMQ_PUSH, text, false);
    int64_t start = bench_now_ns ();
    for (size_t i = 0; i < count; i++)
        if (zmq_send (socket, bytes, size, 0) < 0)
            bench_fail ("%s", zmq_strerror (errno));
    bench_join (other);
    bench_figure (name, (double)count * 1e9 / (double)(bench_now_ns () - start), "messages/s");
    free (bytes);
    zmq_close (socket);
    zmq_ctx_term (context);
    unlink (text + 6);
}

static void round_trips (void)
{
    size_t count = bench_number (&options[TRIPS]);
    int64_t *took = malloc (count * sizeof (*took));
    struct bench_echo echo;
    if (!took || count == 0)
        bench_fail ("no round trips");
    bench_echo_open (&echo, count);
    for (size_t i = 0; i < count; i++)
        took[i] = bench_echo_trip (&echo);
    bench_echo_close (&echo);
    bench_figure ("zmq_round_trip", bench_median_us (took, count), "us");
    free (took);
}

int main (int argc, char **argv)
{
    bench_arguments (argc, argv, "what this machine allows: memory, disk, raw ZeroMQ over a Unix socket", options, OPTIONS);
    size_t messages = bench_number (&options[MESSAGES]);
    copies ();
    small_syncs ("fdatasync_append", false);
    small_syncs ("fdatasync_in_place", true);
    large_writes ("write_append", false);
    large_writes ("write_allocated", true);
    push ("zmq_push_1k", messages, 1024);
    push ("zmq_push_17k", messages / 8 + 1, 17408);
    push ("zmq_push_256k", messages / 128 + 1, 262144);
    round_trips ();
    return 0;
}
