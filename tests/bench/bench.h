/* bench.h - what the programs of tests/bench share: arguments, clocks, a consumer in a process of its own, figures.
 *
 * A program measures once and prints one line a figure, `name<TAB>value<TAB>unit`; run.py runs the programs in turn, takes
 * medians and makes the table.
 */
#ifndef STRATA_BENCH_H
#define STRATA_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct bench_option {
    const char *name;           /* "records": --records N */
    const char *help;
    const char *text;           /* its value; set to the default before */
};

/* Fills in the options' texts; `about` is the first line of --help. Ends the process on --help or a wrong argument. */
void bench_arguments (int argc, char **argv, const char *about, struct bench_option *options, size_t count);
uint64_t bench_number (const struct bench_option *option);
/* Prints the sentence and ends the process with 1. */
void bench_fail (const char *fmt, ...) __attribute__ ((format (printf, 1, 2), noreturn));

int64_t bench_now_ns (void); /* CLOCK_MONOTONIC: the same in every process of this machine */
void bench_figure (const char *name, double value, const char *unit);
/* The value that so many percent of the `count` times are below; sorts them. */
double bench_rank_us (int64_t *times_ns, size_t count, unsigned percent);
double bench_median_us (int64_t *times_ns, size_t count);

/* A record of a bench: its number, then bytes that depend on it, so that each can be checked in full. */
void bench_record (uint8_t *record, size_t size, uint64_t number);
/* Ends the process when the bytes are another record's. */
void bench_record_check (const uint8_t *record, size_t size, uint64_t number);

/* Runs `work (arg)` in a process of its own, which ends with 0 when it returns. Waits until it calls bench_ready. */
pid_t bench_fork (void (*work) (void *arg), void *arg);
void bench_ready (void);
/* Waits for its end; fails when that was not 0. */
void bench_join (pid_t pid);

/* A process that sends back what it gets, by ZeroMQ over a Unix socket: `trips` messages of 1 KB. */
struct bench_echo {
    char endpoint[128];
    size_t trips;
    pid_t pid;
    void *context, *socket;
};
void bench_echo_open (struct bench_echo *self, size_t trips); /* before this process has threads */
int64_t bench_echo_trip (struct bench_echo *self);            /* ns there and back */
void bench_echo_close (struct bench_echo *self);              /* after all trips */

#endif
