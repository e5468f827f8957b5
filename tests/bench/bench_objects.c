/* bench_objects.c - objects of one size put and read: at a stage of the client's node, and of another.
 *
 * Two stages with caches run, on node-0 and node-1. A client on the first puts: its node's stage keeps the objects. Clients on
 * both get them (a copy in memory), twice on the second node, and map them when the caches have them. What is mapped is read
 * whole, as what is got is for its checksum: no page is promised only.
 *
 * Beside them, of the same sizes and as many: memcpy, a request by raw ZeroMQ over a Unix socket that carries the bytes there
 * (put) or back (get), one at a time as here, and write with fsync of a file each.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include "bench.h"
#include "core/crc32c.h"
#include "strata.h"

struct world {
    struct strata_client *a, *b;
    uint64_t size, count;
    uint8_t *bytes, *copy;
    uint32_t crc;
    char endpoint[128];
};

static struct strata_error error;

static struct strata_client *client_on (const char *workspace, const char *node)
{
    setenv ("STRATA_NODE", node, 1);
    struct strata_client *client = strata_open (workspace, node, 0, &error);
    unsetenv ("STRATA_NODE");
    if (!client)
        bench_fail ("%s", error.text);
    return client;
}

/* What one operation on object number i is; and how fast all were, in GB (10^9 bytes) a second. */
typedef void operation_f (struct world *w, uint64_t i);

static void measure (struct world *w, const char *name, operation_f *operation)
{
    int64_t begin = bench_now_ns ();
    for (uint64_t i = 0; i < w->count; i++)
        operation (w, i);
    int64_t took_ns = bench_now_ns () - begin;
    char in_us[64];
    bench_figure (name, (double)(w->size * w->count) / (double)took_ns, "GB/s");
    snprintf (in_us, sizeof (in_us), "%s_us", name);
    bench_figure (in_us, (double)took_ns / 1e3 / (double)w->count, "us");
}

/* ---- ours ---- */

static const char *key_of (uint64_t i)
{
    static char key[48];
    snprintf (key, sizeof (key), "of-a/%llu", (unsigned long long)i);
    return key;
}

static void put (struct world *w, uint64_t i)
{
    memcpy (w->bytes, &i, sizeof (i)); /* each is another one */
    if (strata_put (w->a, "bench", key_of (i), w->bytes, w->size, &error) < 0)
        bench_fail ("%s", error.text);
}

static void check (struct world *w, const void *data, size_t size, uint64_t i)
{
    memcpy (w->bytes, &i, sizeof (i));
    if (size != w->size || memcmp (data, w->bytes, size < 4096 ? size : 4096) != 0)
        bench_fail ("object %s is not what was put", key_of (i));
}

static void get (struct world *w, struct strata_client *client, uint64_t i)
{
    void *data;
    size_t size;
    if (strata_get (client, "bench", key_of (i), &data, &size, &error) < 0)
        bench_fail ("%s", error.text);
    check (w, data, size, i);
    free (data);
}

static void map (struct world *w, struct strata_client *client, uint64_t i)
{
    struct strata_mapping mapping;
    if (strata_map (client, "bench", key_of (i), false, &mapping, &error) < 0)
        bench_fail ("%s", error.text);
    if (!mapping.mapped)
        bench_fail ("%s was not mapped: the cache is too small for this run", key_of (i));
    check (w, mapping.data, mapping.size, i);
    if (crc32c (0, mapping.data, mapping.size) != mapping.info.crc32c)
        bench_fail ("object %s is not what was put", key_of (i));
    strata_unmap (&mapping);
}

static void get_near (struct world *w, uint64_t i)
{
    get (w, w->a, i);
}

static void get_far (struct world *w, uint64_t i)
{
    get (w, w->b, i);
}

static void map_near (struct world *w, uint64_t i)
{
    map (w, w->a, i);
}

static void map_far (struct world *w, uint64_t i)
{
    map (w, w->b, i);
}

/* ---- what the machine does ---- */

static void copy (struct world *w, uint64_t i)
{
    memcpy (w->bytes, &i, sizeof (i));
    memcpy (w->copy, w->bytes, w->size);
    __asm__ volatile ("" : : "r" (w->copy) : "memory");
}

static int file_folder = -1;

static void write_and_sync (struct world *w, uint64_t i)
{
    char name[32];
    snprintf (name, sizeof (name), "bare-%llu", (unsigned long long)i);
    int fd = openat (file_folder, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    uint64_t done = 0;
    while (fd >= 0 && done < w->size) {
        ssize_t n = write (fd, w->bytes + done, w->size - done);
        if (n < 0)
            break;
        done += (uint64_t)n;
    }
    if (fd < 0 || done < w->size || fsync (fd) < 0)
        bench_fail ("a bare file can't be written: %s", strerror (errno));
    close (fd);
    unlinkat (file_folder, name, 0);
}

static void *context, *socket_;

/* Answers requests of some bytes with one, and those of one byte with as many as an object has, until "end". */
static void serve (void *arg)
{
    struct world *w = arg;
    void *own = zmq_ctx_new (), *rep = zmq_socket (own, ZMQ_REP);
    if (zmq_bind (rep, w->endpoint) < 0)
        bench_fail ("%s: %s", w->endpoint, zmq_strerror (errno));
    bench_ready ();
    for (;;) {
        zmq_msg_t message;
        zmq_msg_init (&message);
        if (zmq_msg_recv (&message, rep, 0) < 0)
            bench_fail ("%s", zmq_strerror (errno));
        size_t size = zmq_msg_size (&message);
        zmq_msg_close (&message);
        if (size == 0)
            break;
        if (zmq_send (rep, w->bytes, size == 1 ? w->size : 1, 0) < 0)
            bench_fail ("%s", zmq_strerror (errno));
    }
    zmq_close (rep);
    zmq_ctx_term (own);
}

static void ask (struct world *w, size_t there, size_t back)
{
    zmq_msg_t message;
    zmq_msg_init (&message);
    if (zmq_send (socket_, w->bytes, there, 0) < 0 || zmq_msg_recv (&message, socket_, 0) < 0 || zmq_msg_size (&message) != back)
        bench_fail ("raw ZeroMQ: %s", zmq_strerror (errno));
    zmq_msg_close (&message);
}

static void zmq_there (struct world *w, uint64_t i)
{
    (void)i;
    ask (w, w->size, 1);
}

static void zmq_back (struct world *w, uint64_t i)
{
    (void)i;
    ask (w, 1, w->size);
}

/* A port that was free a moment ago. */
static unsigned free_port (void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
    socklen_t size = sizeof (at);
    int fd = socket (AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind (fd, (struct sockaddr *)&at, size) < 0 || getsockname (fd, (struct sockaddr *)&at, &size) < 0)
        bench_fail ("no TCP port is free: %s", strerror (errno));
    close (fd);
    return ntohs (at.sin_port);
}

static void measure_zmq (struct world *w, const char *folder, bool tcp)
{
    if (tcp)
        snprintf (w->endpoint, sizeof (w->endpoint), "tcp://127.0.0.1:%u", free_port ());
    else
        snprintf (w->endpoint, sizeof (w->endpoint), "ipc://%.90s/raw.%d", folder, (int)getpid ());
    pid_t server = bench_fork (serve, w);
    context = zmq_ctx_new ();
    socket_ = zmq_socket (context, ZMQ_REQ);
    if (zmq_connect (socket_, w->endpoint) < 0)
        bench_fail ("%s: %s", w->endpoint, zmq_strerror (errno));
    zmq_there (w, 0);
    measure (w, "zmq_put", zmq_there);
    measure (w, "zmq_get", zmq_back);
    if (zmq_send (socket_, "", 0, 0) < 0)
        bench_fail ("raw ZeroMQ: %s", zmq_strerror (errno));
    zmq_close (socket_);
    zmq_ctx_term (context);
    bench_join (server);
}

int main (int argc, char **argv)
{
    struct bench_option options[] = {
        { "workspace", "folder of a campaign with stages on node-0 and node-1, and caches", "" },
        { "size", "bytes of an object, at least 8", "65536" },
        { "count", "objects", "100" },
        { "tcp", "1: raw ZeroMQ goes by TCP too (the mesh's own: STRATA_FORCE_TCP)", "0" },
    };
    bench_arguments (argc, argv, "objects put, got and mapped, near and far, beside memcpy, raw ZeroMQ and write", options, 4);
    struct world w = { .size = bench_number (&options[1]), .count = bench_number (&options[2]) };
    if (w.size < 8 || w.count < 1 || !(w.bytes = malloc (w.size)) || !(w.copy = malloc (w.size)))
        bench_fail ("--size %llu: at least 8 bytes, and memory for two", (unsigned long long)w.size);
    for (uint64_t i = 0; i < w.size; i++)
        w.bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    memset (w.copy, 0, w.size);
    if ((file_folder = open (options[0].text, O_RDONLY | O_DIRECTORY)) < 0)
        bench_fail ("--workspace %s: %s", options[0].text, strerror (errno));
    measure_zmq (&w, options[0].text, bench_number (&options[3]) != 0); /* before there are threads */
    measure (&w, "memcpy", copy);
    measure (&w, "write_sync", write_and_sync);
    w.a = client_on (options[0].text, "node-0");
    w.b = client_on (options[0].text, "node-1");
    put (&w, w.count); /* connected, and the names are node a's */
    get_far (&w, w.count);
    measure (&w, "put", put);
    measure (&w, "get_near", get_near);
    measure (&w, "get_far", get_far);
    measure (&w, "get_far_again", get_far);
    for (uint64_t i = 0; i < w.count; i++) { /* now the caches have them, small ones too */
        map_near (&w, i);
        map_far (&w, i);
    }
    measure (&w, "map_near", map_near);
    measure (&w, "map_far", map_far);
    for (uint64_t i = 0; i < w.count; i++)
        if (strata_delete (w.a, "bench", key_of (i), &error) < 0)
            bench_fail ("%s", error.text);
    strata_close (&w.a);
    strata_close (&w.b);
    free (w.bytes);
    free (w.copy);
    return 0;
}
