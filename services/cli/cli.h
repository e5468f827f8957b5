/* cli.h - what the commands of `strata` share: the table's row, arguments, and how figures are shown. */
#ifndef STRATA_CLI_H
#define STRATA_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "core/campaign.h"
#include "mesh/client.h"
#include "schedule.pb-c.h"
#include "status.pb-c.h"
#include "workspace.h"

enum cli_exit { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_INTERRUPTED = 130 };

/* Which options a command takes. --help all do. */
enum cli_option {
    CLI_WORKSPACE = 1,  /* --workspace DIR */
    CLI_JSON = 2,       /* --json */
    CLI_FOREGROUND = 4, /* --foreground */
    CLI_TIMEOUT = 8,    /* --timeout S */
    CLI_FOLLOW = 16,    /* -f, --follow */
    CLI_STATE = 32,     /* --state S, --filter S */
    CLI_TYPE = 64,      /* --type T */
    CLI_COUNT = 128,    /* -n N, --count N */
    CLI_SHARD = 256,    /* --shard S */
    CLI_FROM = 512,     /* --from TURN */
    CLI_SCRATCH = 1024, /* --scratch DIR */
    CLI_DEEP = 4096,    /* --deep */
    CLI_ACCEPT_LOSS = 8192, /* --accept-loss */
    CLI_REASON = 1 << 20, /* --reason TEXT */
    CLI_SNAPSHOT = 1 << 21, /* --snapshot SIMULATION:INDEX */
    CLI_QUEUE = 1 << 22,  /* --queue NAME */
    CLI_CSV = 1 << 23,    /* --csv */
    CLI_RECURSIVE = 1 << 24, /* -r, --recursive */
    CLI_ALL = 1 << 25,    /* --all */
    CLI_JOIN = 1 << 26,   /* --join */
    CLI_WAIT = 1 << 27,   /* --wait */
    CLI_NAME = 1 << 14,   /* --name NAME */
    CLI_SINCE = 1 << 15,  /* --since WHEN */
    CLI_STATS = 1 << 16,  /* --stats */
    CLI_WHY = 1 << 17,    /* --why */
    CLI_FORMAT = 1 << 18, /* -o, --format FORMAT; with it -f is --filter, -c --count, -n --no-header, -a --all */
    CLI_NO_HEADER = 1 << 19, /* -n, --no-header, --suppress-header */
};

struct cli_args {
    const char *workspace;
    bool json, foreground, join, follow, deep, accept_loss;
    int timeout_s; /* 0: none */
    const char *state, *type;
    const char *shard, *from, *scratch;
    const char *reason, *snapshot, *queue; /* of select */
    bool csv, recursive, all, wait, stats, why, no_header;
    const char *name, *since, *format; /* of jobs */
    long count;  /* -1: not given */
    char **rest; /* what is no option */
    int rest_count;
};

struct command {
    const char *name, *usage, *about;
    const char *help; /* more lines for --help: what it does, what its exit codes mean */
    unsigned options; /* enum cli_option */
    int rest_min, rest_max;
    int (*run) (const struct cli_args *args); /* NULL: the program strata-<name> beside this one takes all arguments */
};

int cmd_check (const struct cli_args *args);
int cmd_up (const struct cli_args *args);
int cmd_down (const struct cli_args *args);
int cmd_run (const struct cli_args *args);
int cmd_status (const struct cli_args *args);
int cmd_jobs (const struct cli_args *args);
int cmd_events (const struct cli_args *args);
int cmd_cancel (const struct cli_args *args);
int cmd_retry (const struct cli_args *args);
int cmd_node (const struct cli_args *args);
int cmd_update (const struct cli_args *args);
int cmd_audit (const struct cli_args *args);
int cmd_replay (const struct cli_args *args);
int cmd_repair (const struct cli_args *args);
int cmd_put (const struct cli_args *args);
int cmd_get (const struct cli_args *args);
int cmd_cp (const struct cli_args *args);
int cmd_tar (const struct cli_args *args);
int cmd_ls (const struct cli_args *args);
int cmd_submit (const struct cli_args *args);
int cmd_scale (const struct cli_args *args);
int cmd_restart (const struct cli_args *args);
int cmd_invalidate (const struct cli_args *args);
int cmd_history (const struct cli_args *args);
int cmd_import (const struct cli_args *args);
int cmd_keygen (const struct cli_args *args);

/* Prints "strata: <sentence>" to stderr, or {"error": sentence} to stdout with --json; returns code. */
int cli_fail (const struct cli_args *args, int code, const char *fmt, ...) __attribute__ ((format (printf, 3, 4)));
/* Prints the document and frees it. */
void cli_print_json (json_t *json);

/* The campaign of a file; prints each mistake to stderr and returns NULL. */
struct campaign *cli_load_campaign (const char *path);

/* Text from outside as a terminal may get it: control characters are replaced. Returns out. */
const char *cli_clean (const char *text, char *out, size_t size);
/* "0.4 s", "12 s", "3 min 20 s", "2 h 5 min". Returns out. */
const char *cli_duration (double seconds, char *out, size_t size);
/* "512 B", "3.4 MB" (decimal). Returns out. */
const char *cli_bytes (double bytes, char *out, size_t size);
/* Seconds of this machine's monotonic clock. */
double cli_now_s (void);
/* "HH:MM:SS" of this machine's zone. Returns out. */
const char *cli_clock (int64_t time_us, char *out, size_t size);

/* ---- asking a running mesh (ask.c). All return within the client's time limit. ---- */

/* A client for the workspace whose mesh is up; NULL with a sentence that says what is not running and how to start it.
 */
struct strata_client *ask_open (const struct workspace *workspace, int timeout_ms, struct strata_error *error);
/* Freed with strata__status_reply__free_unpacked (reply, NULL), and so on. */
Strata__StatusReply *ask_status (struct strata_client *client, struct strata_error *error);
Strata__EventsReply *ask_events (struct strata_client *client, uint64_t after, uint32_t max,
                                 struct strata_error *error);
Strata__JobsReply *ask_jobs (struct strata_client *client, const Strata__Jobs *query, struct strata_error *error);
/* At most max jobs that run. */
Strata__JobsReply *ask_running (struct strata_client *client, uint32_t max, struct strata_error *error);
/* "": any. */
Strata__CancelReply *ask_cancel (struct strata_client *client, const char *id, const char *state, const char *type, bool all,
                                 struct strata_error *error);
/* name "": nothing is changed. All settings are told. */
Strata__UpdateReply *ask_update (struct strata_client *client, const char *name, const char *value, struct strata_error *error);
/* node "": all; state "": it is not changed. */
Strata__NodeReply *ask_node (struct strata_client *client, const char *node, const char *state, struct strata_error *error);
/* id or type may be "". */
Strata__RetryReply *ask_retry (struct strata_client *client, const char *id, const char *type, struct strata_error *error);

/* ---- figures (figures.c) ---- */

/* The replica of a service that does its work (active), else any of it; NULL when there is none. */
/* A replica's (NULL: none's) figure of that name; NULL: it has none. */
const Strata__Metric *figures_of (const Strata__ReplicaStatus *r, const char *name);
const Strata__ReplicaStatus *figures_replica (const Strata__StatusReply *status, const char *service);
/* A metric of that replica, or `missing`. */
double figures_metric (const Strata__StatusReply *status, const char *service, const char *name, double missing);
/* A stream of all replicas of a service together: next, bytes, waiting, leased, aside, done. False: none has it. */
bool figures_stream (const Strata__StatusReply *status, const char *service, const char *stream, Strata__StreamState *sum);
/* The same figures for programs. */
json_t *figures_json (const Strata__StatusReply *status);
/* One event as JSON. */
json_t *figures_event_json (const Strata__Event *event);
/* Why the goal can't be reached as things stand, or NULL. */
const char *figures_stuck (const Strata__StatusReply *status, const struct campaign *campaign, char *why, size_t size);

#endif
