/* workers.h - a pool of programs that stay, each looking at one frame at a time, in any language.
 *
 * A worker reads from its standard input, for each frame, one line of JSON and then that many bytes:
 *
 *   {"simulation": "s-1", "frame": 7, "protein": "ras4b", "bytes": 81234}\n<81234 bytes>
 *
 * and writes lines to its standard output: {"ready": true} once, when it can take the first frame; then one answer (any JSON
 * object in one line) for each frame. At the end of its input it ends. Its standard error goes where the service's goes. It runs
 * in a process group of its own, with STRATA_WORKER and STRATA_WORKSPACE in its environment.
 *
 * A worker that has not answered in time is killed with its whole group; one that ends, or writes what is no answer, has failed
 * on its frame as well. Another process is started in its place: at once, or, when it did not come to be ready, after 1, 2, 4 ...
 * 30 s. Which frames are to be looked at again is the caller's decision. The pool has a thread and a loop of its own: no call here
 * waits for a worker but workers_free.
 */
#ifndef STRATA_FEEDBACK_WORKERS_H
#define STRATA_FEEDBACK_WORKERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "strata_error.h"

#define WORKERS_ANSWER_MAX 65536 /* bytes of an answer */
#define WORKERS_READY_S 60       /* a worker's time to come to be ready */

struct workers;

struct workers_result {
    uint64_t number;  /* as it was given */
    bool answered;    /* else the worker failed on it */
    char *text;       /* the answer's line, or why it failed; the caller frees it */
};

/* Starts count workers. argv ends with NULL and is copied, as is workspace. frame_ms: a worker's time for a frame.
 * Workers that an earlier process of this service left behind on this machine are killed. */
struct workers *workers_new (char *const *argv, const char *workspace, unsigned count, unsigned frame_ms, struct strata_error *error);
/* Kills all workers and waits for them. Frames that were given and results that were not taken are dropped. */
void workers_free (struct workers **self);

/* Hands over a frame; it waits until a worker is free. header: the line without its end; both are copied. */
void workers_give (struct workers *self, uint64_t number, const char *header, const void *bytes, size_t size);
/* The next result; false: there is none now. */
bool workers_take (struct workers *self, struct workers_result *result);

/* How many workers are ready or at work. trouble: [400], "" or why the last one that did not come to be ready ended. */
unsigned workers_ready (struct workers *self, char *trouble);

#endif
