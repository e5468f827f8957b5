/* outcome.h - how an attempt of a job ended, as its shepherd writes it and an executor reads it.
 *
 * In the job's folder, attempt n has the folder attempt-<n>/ with
 *   lock           held (flock) by the shepherd while it lives; holds its pid from just before the command is started, and in
 *                  a second line the cgroup of the command if it has one of its own.
 *                  So: lock held = running; not held, empty = never started; not held, not empty, no outcome = lost.
 *   stdout stderr  of the command
 *   outcome.json   written last, by atomic rename: it is whole or not there
 *   shepherd.log   what the shepherd itself had to say, if anything
 */
#ifndef STRATA_OUTCOME_H
#define STRATA_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

#include "schedule.pb-c.h"
#include "strata_error.h"

#define OUTCOME_TAIL_MAX 4096    /* bytes of stderr_tail */
#define OUTCOME_TAIL_LINES 20

struct outcome {
    Strata__JobEnd end;
    int code;                    /* exit code, signal, or errno of a program that could not be started; else 0 */
    char reason[512];            /* one sentence */
    char stderr_tail[OUTCOME_TAIL_MAX + 1]; /* last lines; printable ASCII and newlines */
    double max_rss_mb;
    int64_t started_us, ended_us;
};

/* "exit", "signal", "walltime" ...: the words in outcome.json and for people. */
const char *outcome_end_name (Strata__JobEnd end);
/* END_NONE: there is no such word. */
Strata__JobEnd outcome_end_of (const char *name);

/* Writes <folder>/outcome.json: file synced, renamed, folder synced. Without `sync` only a loss of power can undo it, and leave
 * nothing, or what outcome_read does not understand. */
int outcome_write (const char *folder, const struct outcome *outcome, bool sync, struct strata_error *error);
/* 1 read, 0 there is none, -1 it can't be read or understood. */
int outcome_read (const char *folder, struct outcome *outcome, struct strata_error *error);

/* How many of at most `most` bytes of a text can be kept without cutting a UTF-8 character: it goes on into protobuf and JSON. */
size_t outcome_whole (const char *text, size_t most);

/* The last lines of a file into tail[OUTCOME_TAIL_MAX + 1]; "" when there is none. */
void outcome_tail (const char *path, char *tail);

#endif
