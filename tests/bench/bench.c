/* bench.c - see bench.h */
#include "bench.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

static int ready_fd = -1;

static void usage (FILE *out, const char *program, const char *about, const struct bench_option *options, size_t count)
{
    const char *slash = strrchr (program, '/');
    fprintf (out, "%s: %s\n\n", slash ? slash + 1 : program, about);
    for (size_t i = 0; i < count; i++)
        fprintf (out, "  --%-12s %s (default %s)\n", options[i].name, options[i].help, options[i].text[0] ? options[i].text : "none");
    fprintf (out, "  --%-12s this text\nPrints one line a figure: name, value, unit, with tabs between.\n", "help");
}

void bench_arguments (int argc, char **argv, const char *about, struct bench_option *options, size_t count)
{
    for (int i = 1; i < argc; i++) {
        size_t n = 0;
        if (strcmp (argv[i], "--help") == 0) {
            usage (stdout, argv[0], about, options, count);
            exit (0);
        }
        while (n < count && (strncmp (argv[i], "--", 2) != 0 || strcmp (argv[i] + 2, options[n].name) != 0))
            n++;
        if (n == count || i + 1 == argc) {
            usage (stderr, argv[0], about, options, count);
            exit (2);
        }
        options[n].text = argv[++i];
    }
}

uint64_t bench_number (const struct bench_option *option)
{
    char *end;
    errno = 0;
    uint64_t n = strtoull (option->text, &end, 10);
    if (errno || end == option->text || *end)
        bench_fail ("--%s %s: not a number", option->name, option->text);
    return n;
}

void bench_fail (const char *fmt, ...)
{
    va_list ap;
    va_start (ap, fmt);
    vfprintf (stderr, fmt, ap);
    va_end (ap);
    fputc ('\n', stderr);
    exit (1);
}

int64_t bench_now_ns (void)
{
    struct timespec t;
    clock_gettime (CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void bench_figure (const char *name, double value, const char *unit)
{
    printf ("%s\t%.6g\t%s\n", name, value, unit);
    fflush (stdout);
}

static int compare (const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

double bench_rank_us (int64_t *times_ns, size_t count, unsigned percent)
{
    size_t at = count * percent / 100;
    qsort (times_ns, count, sizeof (*times_ns), compare);
    return (double)times_ns[at] / 1e3;
}

double bench_median_us (int64_t *times_ns, size_t count)
{
    return bench_rank_us (times_ns, count, 50);
}

void bench_record (uint8_t *record, size_t size, uint64_t number)
{
    memset (record, (int)(number % 251), size);
    memcpy (record, &number, size < sizeof (number) ? size : sizeof (number));
}

void bench_record_check (const uint8_t *record, size_t size, uint64_t number)
{
    uint64_t got = 0;
    memcpy (&got, record, size < sizeof (got) ? size : sizeof (got));
    if (got != number)
        bench_fail ("record %llu came where %llu was due", (unsigned long long)got, (unsigned long long)number);
    for (size_t i = sizeof (number); i < size; i += 64)
        if (record[i] != number % 251)
            bench_fail ("record %llu is not what was published", (unsigned long long)number);
}

pid_t bench_fork (void (*work) (void *arg), void *arg)
{
    int fds[2];
    char byte;
    fflush (NULL);
    if (pipe (fds) < 0)
        bench_fail ("pipe: %s", strerror (errno));
    pid_t pid = fork ();
    if (pid < 0)
        bench_fail ("fork: %s", strerror (errno));
    if (pid == 0) {
        prctl (PR_SET_PDEATHSIG, SIGKILL);
        close (fds[0]);
        ready_fd = fds[1];
        work (arg);
        exit (0);
    }
    close (fds[1]);
    if (read (fds[0], &byte, 1) != 1)
        bench_fail ("the other process ended before it was ready");
    close (fds[0]);
    return pid;
}

void bench_ready (void)
{
    if (write (ready_fd, "", 1) != 1)
        bench_fail ("the first process is gone");
    close (ready_fd);
}

void bench_join (pid_t pid)
{
    int status;
    if (waitpid (pid, &status, 0) < 0 || !WIFEXITED (status) || WEXITSTATUS (status) != 0)
        bench_fail ("the other process failed");
}

/* ---- an echo ---- */

#define ECHO_BYTES 1024

static void echo (void *arg)
{
    const struct bench_echo *self = arg;
    char bytes[ECHO_BYTES];
    int linger = 1000;
    void *context = zmq_ctx_new (), *socket = zmq_socket (context, ZMQ_REP);
    zmq_setsockopt (socket, ZMQ_LINGER, &linger, sizeof (linger));
    if (zmq_bind (socket, self->endpoint) < 0)
        bench_fail ("%s: %s", self->endpoint, zmq_strerror (errno));
    bench_ready ();
    for (size_t i = 0; i < self->trips; i++)
        if (zmq_recv (socket, bytes, sizeof (bytes), 0) < 0 || zmq_send (socket, bytes, sizeof (bytes), 0) < 0)
            bench_fail ("echo: %s", zmq_strerror (errno));
    zmq_close (socket);
    zmq_ctx_term (context);
}

void bench_echo_open (struct bench_echo *self, size_t trips)
{
    const char *tmp = getenv ("TMPDIR");
    *self = (struct bench_echo){ .trips = trips };
    snprintf (self->endpoint, sizeof (self->endpoint), "ipc://%.60s/strata-bench-echo-%d", tmp ? tmp : "/tmp", (int)getpid ());
    self->pid = bench_fork (echo, self);
}

int64_t bench_echo_trip (struct bench_echo *self)
{
    char bytes[ECHO_BYTES] = "x";
    int none = 0;
    if (!self->context) {
        self->context = zmq_ctx_new ();
        self->socket = zmq_socket (self->context, ZMQ_REQ);
        zmq_setsockopt (self->socket, ZMQ_LINGER, &none, sizeof (none));
        if (zmq_connect (self->socket, self->endpoint) < 0)
            bench_fail ("%s: %s", self->endpoint, zmq_strerror (errno));
    }
    int64_t start = bench_now_ns ();
    if (zmq_send (self->socket, bytes, sizeof (bytes), 0) < 0 || zmq_recv (self->socket, bytes, sizeof (bytes), 0) < 0)
        bench_fail ("echo: %s", zmq_strerror (errno));
    return bench_now_ns () - start;
}

void bench_echo_close (struct bench_echo *self)
{
    bench_join (self->pid);
    zmq_close (self->socket);
    zmq_ctx_term (self->context);
    unlink (self->endpoint + 6);
}
