/* engine.h - jobs through a batch system that has commands to submit, list and cancel: what is the same for all of them. An
 * executor is this and a table of what its commands look like (executor_slurm.c, executor_flux.c).
 *
 * The commands run beside us (engine_command.h); each turn starts what is due and takes in what has ended:
 *   submit    all waiting jobs of one shape by one command, as the numbered tasks of a batch
 *   list      one command tells of all jobs of ours; a job's end is seen by it, and read from its outcome (core/outcome.h)
 *   cancel    all that are to stop, by one command
 *   capacity  how many cores the engine has for us
 *
 * An attempt starts once. Before a batch is submitted its list of attempts is on disk under the batch's name, and the name
 * is the job's in the engine; so a scheduler that starts anew reads from the engine's listing which attempts it has. It
 * submits nothing before that listing, and lists nothing while a submission of its predecessor may still be on its way
 * (that command holds submit.lock). Should an attempt be submitted twice all the same (a scheduler that was frozen and
 * replaced), its lock lets one shepherd run it.
 *
 * In the workspace: engine/submit.lock, engine/tag, and engine/<batch>/ with `batch.sh` (what the engine runs), `tasks` (line
 * n: id, attempt, and script of task n) and <n>.log (what a task said before its shepherd took over), until the batch is over
 * and the engine has forgotten it.
 */
#ifndef SCHEDULE_ENGINE_H
#define SCHEDULE_ENGINE_H

#include <czmq.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine_command.h"
#include "executor.h"

/* What jobs of one batch have in common. */
struct engine_shape {
    unsigned nodes, cores, gpus, memory_mb; /* cores, gpus, memory: on each node; cores: at least 1; memory_mb 0: none asked for */
    unsigned walltime_s;        /* with all grace; 0: none */
};

enum engine_step {
    ENGINE_QUEUED,              /* here, to be submitted */
    ENGINE_SUBMITTING,
    ENGINE_UNSURE,              /* the submission ended in a way that tells nothing: the next listing does */
    ENGINE_PENDING,
    ENGINE_RUNNING,
    ENGINE_OVER,                /* the engine says so, or has forgotten it */
    ENGINE_REFUSED,
};

/* An attempt in our hands or the engine's. */
struct engine_entry {
    char key[256];              /* <id>#<attempt> */
    char *id, *folder;          /* of the attempt */
    uint32_t attempt;
    enum engine_step step;
    struct engine_shape shape;
    struct engine_batch *batch;
    size_t task;
    char native[40];            /* the engine's id; "" until it was listed */
    char state[24], reason[128], nodes[64]; /* the engine's words */
    bool stop;
    bool ran;                   /* it was listed as running */
    bool news;                  /* poll would tell something that it has not told */
    int64_t stop_sent_ms, over_ms, looked_ms, pending_ms;
    uint64_t listed;            /* number of the listing that it was last seen in */
    uint64_t polled;            /* turn in which it was last asked for */
};

struct engine_batch {
    char name[64];
    struct engine_entry **tasks; /* NULL: nobody asks for it any more */
    size_t count, left;
    uint64_t submitted_after;   /* listings with a higher number began after it was submitted */
    uint64_t listed;
};

/* argv in the making. */
struct engine_words {
    char **list;                /* ends with NULL */
    size_t count, room;
};
void engine_word (struct engine_words *self, const char *fmt, ...) __attribute__ ((format (printf, 2, 3)));
/* A command of the engine, from schedule.engine.commands if that is set. */
void engine_program (struct engine_words *self, const struct campaign_engine *settings, const char *name);

/* A line of the listing. */
struct engine_row {
    const char *name;           /* of the job, as submitted */
    long task;                  /* -1: not a single task of a batch */
    char native[40];
    const char *state, *reason, *nodes;
    enum engine_step step;      /* PENDING, RUNNING or OVER */
    bool lingers;               /* RUNNING, but its script may be through already */
};

typedef void engine_node_f (void *arg, const char *name, unsigned cores, unsigned gpus, uint64_t memory_mb);

/* How a batch system's commands look. Its settings may be NULL. */
struct engine_table {
    const char *name;           /* "Slurm", for people */
    const char *task_variable;  /* environment variable with the number of the task */
    size_t batch_max;           /* tasks of one batch */
    /* Adds the command that submits `folder`/batch.sh as tasks 0 ... count - 1, named `name`, with output to folder/<n>.log. */
    void (*submit) (struct engine_words *words, const struct campaign_engine *settings, const struct engine_shape *shape,
                    const char *folder, const char *name, size_t count);
    /* Whether a failed submission may succeed later as it is. */
    bool (*passing) (const char *error);
    /* All that wait and run, and at least those that have ended in the last since_s seconds. */
    void (*list) (struct engine_words *words, const struct campaign_engine *settings, unsigned since_s);
    /* Cuts the line in place. False: not a job. */
    bool (*row) (char *line, struct engine_row *row);
    /* Adds the command to which native ids are added. running: only a SIGTERM to the script of each, else they must not start. */
    void (*cancel) (struct engine_words *words, const struct campaign_engine *settings, bool running);
    /* The end of an attempt that left no outcome, from the engine's state; END_NONE: that says nothing. */
    Strata__JobEnd (*end) (const char *state);
    /* Whether a job that waits for this reason starts in time by itself. */
    bool (*waits_well) (const char *reason);
    void (*capacity) (struct engine_words *words, const struct campaign_engine *settings);
    /* Calls node (arg, ...) for each line of the answer that is a node which jobs may use now; more than once does no harm. */
    void (*node) (char *line, engine_node_f *node, void *arg);
};

struct engine {
    const struct engine_table *table;
    const struct campaign_engine *settings;
    char *workspace, *folder, *shepherd;
    char tag[17];               /* in the names of our jobs: others of this user are not ours */
    zhash_t *entries, *batches; /* by key; by name */
    struct engine_entry **queue; /* QUEUED, in the order of launches; NULL: taken back */
    size_t queue_count, queue_room;
    size_t stops;               /* entries that are to stop and are not over, at the most */
    struct engine_command submit, list, cancel, capacity;
    struct engine_batch *submitting;
    bool settled;               /* no submission of a predecessor is on its way */
    bool ready;                 /* a listing has been read: what it did not name is not in the engine */
    uint64_t turn, listings;
    int64_t next_list_ms, next_submit_ms, next_capacity_ms, failing_since_ms, submit_pause_ms;
    int64_t listed_ms;          /* when the last listing that was answered had been asked for; 0: never */
    int64_t told_all_ms;        /* when `changed` last had all polled */
    int64_t unknown_ms;         /* when an attempt was last seen that runs without the engine's knowledge */
    char *nodes;                /* the last answer about capacity; NULL: none yet */
    char trouble[512], stuck[512], list_error[400], submit_error[400];
};

/* The functions of an executor. */
void *engine_open (const struct engine_table *table, const struct executor_config *config, struct strata_error *error);
void engine_close (void **self);
int engine_capacity (void *self, struct machine *machine, struct strata_error *error);
int engine_launch (void *self, const struct executor_order *order, uint32_t *pid, struct strata_error *error);
enum executor_state engine_poll (void *self, const struct executor_ref *ref, struct outcome *outcome);
void engine_stop (void *self, const struct executor_ref *ref);
int engine_changed (void *self, void (*each) (const char *id, void *arg), void *each_arg);
void engine_turn (void *self);
const char *engine_trouble (void *self);

/* All but the name, and the function that opens it with its table. */
#define ENGINE_EXECUTOR(executor_name, open_function) { \
    .name = (executor_name), .open = (open_function), .close = engine_close, .capacity = engine_capacity, .launch = engine_launch, \
    .poll = engine_poll, .stop = engine_stop, .changed = engine_changed, .turn = engine_turn, .trouble = engine_trouble, \
}

/* ---- engine_files.c: what stands on disk ---- */
/* <attempt>/run.sh: the environment of the order and its shepherd, in the words of a shell. */
int engine_write_script (const struct engine *self, const struct executor_order *order, const char *folder,
                         struct strata_error *error);
/* The batch's folder with batch.sh and tasks, on disk. */
int engine_write_batch (const struct engine *self, const struct engine_batch *batch, struct strata_error *error);
/* The list of tasks of a batch: calls each (task, id, attempt, folder of the attempt). -1: it can't be read. */
int engine_read_batch (const struct engine *self, const char *name,
                       void (*each) (void *arg, size_t task, const char *id, uint32_t attempt, const char *folder), void *arg);
void engine_remove_batch (const struct engine *self, const char *name);
/* Folders of batches that `keep` does not want. */
void engine_clean_batches (const struct engine *self, bool (*keep) (const struct engine *self, const char *name));
/* Reads engine/tag, or makes one. */
int engine_read_tag (struct engine *self, struct strata_error *error);

/* ---- engine_capacity.c ---- */
/* The nodes of an answer as groups of a machine; -1: out of memory. */
int engine_read_nodes (const struct engine_table *table, const char *answer, struct machine *machine, struct strata_error *error);

/* ---- engine_listing.c: what the engine says of our jobs ---- */
/* An answer of `list` that began as number self->listings. Cuts the text. */
void engine_take_listing (struct engine *self, char *text);
struct engine_entry *engine_find (const struct engine *self, const char *id, uint32_t attempt);
struct engine_entry *engine_add (struct engine *self, const char *id, uint32_t attempt, const char *folder);
/* Takes it out of its batch, too. */
void engine_remove (struct engine *self, struct engine_entry *entry);
void engine_remove_batch_of (struct engine *self, struct engine_batch *batch);
int engine_enqueue (struct engine *self, struct engine_entry *entry);

#endif
