/* engine.c - see engine.h */
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/crash_point.h"
#include "core/files.h"
#include "core/log.h"
#include "executor_attempt.h"

#define LIST_MS 500             /* between two listings: ten times as long as one takes, from this on ... */
#define LIST_MAX_MS 5000        /* ... to this: one may have taken long because the server was away */
#define SINCE_MS 60000          /* of what had ended before the listing before it, a listing tells for so long: clocks are not the same */
#define SINCE_FIRST_MS 600000
#define CAPACITY_MS 30000
#define LIMIT_MS 30000          /* for a command; these try for long by themselves when their server is down */
#define OPEN_MS 3000            /* for the first question after the cores */
#define SETTLE_MS 3000          /* from the end of a job to its outcome being seen here: caches of network file systems */
#define LOOK_MS 5000            /* between looks at the outcomes of running jobs while the engine does not answer */
#define STOP_AGAIN_MS 10000
#define WAITS_BADLY_MS 60000    /* before it is told that an engine keeps a job waiting for no good reason */
#define PAUSE_MAX_MS 30000
#define UNPOLLED_TURNS 50       /* an ended attempt that nobody asked for so long is forgotten */
#define TIME_MARGIN_S 120       /* the engine's limit comes that long after the shepherd's */
#define CANCEL_MAX 1000         /* jobs of one command */

/* ---- words ---- */

void engine_word (struct engine_words *self, const char *fmt, ...)
{
    va_list ap;
    char *text = NULL;
    va_start (ap, fmt);
    int n = vasprintf (&text, fmt, ap);
    va_end (ap);
    if (n >= 0 && self->count + 1 >= self->room) {
        size_t room = self->room ? self->room * 2 : 16;
        char **more = realloc (self->list, room * sizeof (*more));
        if (more) {
            self->list = more;
            self->room = room;
        }
    }
    if (n < 0 || self->count + 1 >= self->room) {
        log_error ("out of memory");
        abort ();
    }
    self->list[self->count++] = text;
    self->list[self->count] = NULL;
}

void engine_program (struct engine_words *self, const struct campaign_engine *settings, const char *name)
{
    if (settings && settings->commands)
        engine_word (self, "%s/%s", settings->commands, name);
    else
        engine_word (self, "%s", name);
}

static void words_fini (struct engine_words *self)
{
    for (size_t i = 0; i < self->count; i++)
        free (self->list[i]);
    free (self->list);
    *self = (struct engine_words){ 0 };
}

/* Starts the command; what can't be started is told as `trouble`. */
static bool run (struct engine_command *command, struct engine_words *words, int keep_fd, char *trouble, size_t size)
{
    struct strata_error error;
    int rc = engine_command_start (command, words->list, keep_fd, LIMIT_MS, &error);
    words_fini (words);
    if (rc != 0)
        snprintf (trouble, size, "%.300s", error.text);
    return rc == 0;
}

/* ---- capacity ---- */

static void start_capacity (struct engine *self)
{
    struct engine_words words = { 0 };
    self->next_capacity_ms = engine_now_ms () + CAPACITY_MS;
    self->table->capacity (&words, self->settings);
    run (&self->capacity, &words, -1, self->list_error, sizeof (self->list_error));
}

static void take_capacity (struct engine *self)
{
    if (!engine_command_done (&self->capacity))
        return;
    if (self->capacity.error[0])
        snprintf (self->list_error, sizeof (self->list_error), "%s", self->capacity.error);
    else if (self->capacity.text) {
        free (self->nodes);
        self->nodes = self->capacity.text;
        self->capacity.text = NULL;
    }
    engine_command_fini (&self->capacity);
}

int engine_capacity (void *arg, struct machine *machine, struct strata_error *error)
{
    struct engine *self = arg;
    if (self->nodes && engine_read_nodes (self->table, self->nodes, machine, error) != 0)
        return -1;
    if (machine_nodes (machine))
        return 0;
    return strata_fail (error, "%s does not tell which nodes there are for jobs (%s); start it, or mend schedule.engine in the "
                        "campaign file", self->table->name, self->list_error[0] ? self->list_error : "it names none that is up");
}

/* ---- open, close ---- */

void engine_close (void **arg)
{
    struct engine *self = *arg;
    *arg = NULL;
    if (!self)
        return;
    /* A submission under way holds its lock until it is through; who comes next waits for that. */
    engine_command_fini (&self->submit);
    engine_command_fini (&self->list);
    engine_command_fini (&self->cancel);
    engine_command_fini (&self->capacity);
    for (struct engine_batch *batch = self->batches ? zhash_first (self->batches) : NULL; batch;
         batch = zhash_next (self->batches)) {
        free (batch->tasks);
        free (batch);
    }
    zhash_destroy (&self->batches);
    zhash_destroy (&self->entries);
    free (self->queue);
    free (self->nodes);
    free (self->workspace);
    free (self->folder);
    free (self->shepherd);
    free (self);
}

void *engine_open (const struct engine_table *table, const struct executor_config *config, struct strata_error *error)
{
    struct engine *self = calloc (1, sizeof (*self));
    struct timespec pause = { 0, 5000000 };
    if (!self) {
        strata_fail (error, "out of memory");
        return NULL;
    }
    struct engine_command none = { .out = -1, .err = -1 };
    self->submit = self->list = self->cancel = self->capacity = none;
    self->table = table;
    self->settings = config->settings ? &config->settings->engine : NULL;
    self->workspace = strdup (config->workspace);
    self->entries = zhash_new ();
    self->batches = zhash_new ();
    if (!self->workspace || !self->entries || !self->batches
        || asprintf (&self->folder, "%s/engine", config->workspace) < 0)
        strata_fail (error, "out of memory");
    else if ((self->shepherd = shepherd_find (config->bin_dir, error)) && files_make_dirs (self->folder, error) == 0
             && engine_read_tag (self, error) == 0) {
        /* Nothing is served yet, so this one answer is waited for, for a short time. */
        start_capacity (self);
        for (int64_t end_ms = engine_now_ms () + OPEN_MS; self->capacity.pid && engine_now_ms () < end_ms;) {
            take_capacity (self);
            nanosleep (&pause, NULL);
        }
        if (self->capacity.pid)
            snprintf (self->list_error, sizeof (self->list_error), "no answer within %d s", OPEN_MS / 1000);
        return self;
    }
    engine_close ((void **)&self);
    return NULL;
}

/* ---- launch, poll, stop ---- */

static struct engine_shape shape_of (const struct executor_order *order)
{
    struct engine_shape shape;
    memset (&shape, 0, sizeof (shape));
    shape.nodes = order->nodes_count ? (unsigned)order->nodes_count : 1;
    shape.cores = order->cores_count > shape.nodes ? (unsigned)order->cores_count / shape.nodes : 1;
    shape.gpus = (unsigned)order->gpus_count / shape.nodes;
    shape.memory_mb = order->memory_mb;
    shape.walltime_s = order->walltime_s ? order->walltime_s + order->grace_s + TIME_MARGIN_S : 0;
    return shape;
}

int engine_launch (void *arg, const struct executor_order *order, uint32_t *pid, struct strata_error *error)
{
    struct engine *self = arg;
    struct outcome outcome;
    char folder[ATTEMPT_FOLDER_MAX];
    pid_t shepherd;
    *pid = 0;
    struct engine_entry *entry = engine_find (self, order->ref.id, order->ref.attempt);
    if (entry)
        return entry->step >= ENGINE_RUNNING ? 0 : 1;
    if (attempt_folder (&order->ref, folder) != 0)
        return strata_fail (error, "%.200s: the name of this folder is too long", order->ref.dir);
    if (strchr (folder, '\n') || strpbrk (order->ref.id, " \n"))
        return strata_fail (error, "%.200s: no line break may be in this folder's name", folder);
    /* It runs or has run: poll will tell of it. */
    if (attempt_look (folder, &shepherd, &outcome) != EXECUTOR_NEVER)
        return 0;
    if (attempt_make_folders (self->workspace, order->ref.dir, folder, error) != 0
        || engine_write_script (self, order, folder, error) != 0)
        return -1;
    entry = engine_add (self, order->ref.id, order->ref.attempt, folder);
    if (entry)
        entry->shape = shape_of (order);
    if (!entry || engine_enqueue (self, entry) != 0)
        return strata_fail (error, "out of memory");
    crash_point ("engine.queued");
    return 1;
}

/* An attempt that left no outcome, and is over. */
static enum executor_state judge (const struct engine *self, const struct engine_entry *entry, enum executor_state lock,
                                  struct outcome *outcome)
{
    const char *state = entry->state[0] && entry->listed ? entry->state : "it has forgotten the job";
    Strata__JobEnd end = self->table->end (entry->state);
    char log[PATH_MAX], on[96] = "", why[160] = "";
    if (entry->reason[0] && strcmp (entry->reason, "None") != 0)
        snprintf (why, sizeof (why), ": %s", entry->reason);
    if (entry->nodes[0])
        snprintf (on, sizeof (on), " on %s", entry->nodes);
    memset (outcome, 0, sizeof (*outcome));
    if (entry->stop && (end == STRATA__JOB_END__END_NONE || end == STRATA__JOB_END__END_STOPPED)) {
        outcome->end = STRATA__JOB_END__END_STOPPED;
        snprintf (outcome->reason, sizeof (outcome->reason), "ended on request%s",
                  lock == EXECUTOR_NEVER ? ", before it began" : "");
    }
    else if (end != STRATA__JOB_END__END_NONE) {
        outcome->end = end;
        snprintf (outcome->reason, sizeof (outcome->reason), "ended by %s%s: %s%s", self->table->name, on, state, why);
    }
    else if (lock == EXECUTOR_NEVER) {
        outcome->end = STRATA__JOB_END__END_NO_START;
        snprintf (outcome->reason, sizeof (outcome->reason), "over in %s%s before its shepherd began (%s%s)",
                  self->table->name, on, state, why);
    }
    else {
        outcome->end = STRATA__JOB_END__END_LOST;
        snprintf (outcome->reason, sizeof (outcome->reason), "its shepherd vanished without a word%s; %s says: %s", on,
                  self->table->name, state);
    }
    if (entry->batch && snprintf (log, sizeof (log), "%s/%s/%zu.log", self->folder, entry->batch->name, entry->task) > 0)
        outcome_tail (log, outcome->stderr_tail);
    return outcome->end == STRATA__JOB_END__END_LOST || outcome->end == STRATA__JOB_END__END_NODE ? EXECUTOR_LOST : EXECUTOR_ENDED;
}

static enum executor_state poll_over (const struct engine *self, const struct engine_entry *entry, struct outcome *outcome)
{
    pid_t pid;
    enum executor_state lock = attempt_look (entry->folder, &pid, outcome);
    if (lock == EXECUTOR_ENDED || lock == EXECUTOR_RUNNING)
        return lock;
    bool taken_back = entry->stop && !entry->ran && lock == EXECUTOR_NEVER;
    if (!taken_back && engine_now_ms () - entry->over_ms < SETTLE_MS)
        return EXECUTOR_RUNNING;
    return judge (self, entry, lock, outcome);
}

/* While it runs its outcome is asked for only when the engine can't tell of its end. */
static enum executor_state poll_running (const struct engine *self, struct engine_entry *entry, struct outcome *outcome)
{
    pid_t pid;
    int64_t now_ms = engine_now_ms ();
    if (entry->looked_ms && (!self->failing_since_ms || now_ms - entry->looked_ms < LOOK_MS))
        return EXECUTOR_RUNNING;
    entry->looked_ms = now_ms;
    return attempt_look (entry->folder, &pid, outcome) == EXECUTOR_ENDED ? EXECUTOR_ENDED : EXECUTOR_RUNNING;
}

/* Neither the engine nor we know of it: its folder tells. */
static enum executor_state poll_unknown (struct engine *self, const struct executor_ref *ref, struct outcome *outcome)
{
    char folder[ATTEMPT_FOLDER_MAX];
    pid_t pid;
    if (attempt_folder (ref, folder) != 0)
        return EXECUTOR_NEVER;
    enum executor_state lock = attempt_look (folder, &pid, outcome);
    if (lock == EXECUTOR_RUNNING)
        self->unknown_ms = engine_now_ms ();
    if (lock != EXECUTOR_LOST)
        return lock;
    struct engine_entry *entry = engine_add (self, ref->id, ref->attempt, folder);
    if (!entry)
        return EXECUTOR_RUNNING;
    entry->step = ENGINE_OVER;
    entry->over_ms = engine_now_ms ();
    return poll_over (self, entry, outcome);
}

enum executor_state engine_poll (void *arg, const struct executor_ref *ref, struct outcome *outcome)
{
    struct engine *self = arg;
    struct engine_entry *entry = engine_find (self, ref->id, ref->attempt);
    if (!entry)
        return self->ready ? poll_unknown (self, ref, outcome) : EXECUTOR_SUBMITTED;
    entry->polled = self->turn;
    switch (entry->step) {
    case ENGINE_QUEUED:
    case ENGINE_SUBMITTING:
    case ENGINE_UNSURE:
    case ENGINE_PENDING:
        return EXECUTOR_SUBMITTED;
    case ENGINE_RUNNING:
        entry->news = false;
        return poll_running (self, entry, outcome);
    case ENGINE_OVER:
        return poll_over (self, entry, outcome);
    case ENGINE_REFUSED:
        break;
    }
    memset (outcome, 0, sizeof (*outcome));
    outcome->end = STRATA__JOB_END__END_REFUSED;
    snprintf (outcome->reason, sizeof (outcome->reason), "refused by %s: %s", self->table->name, entry->reason);
    return EXECUTOR_ENDED;
}

int engine_changed (void *engine, void (*each) (const char *id, void *arg), void *each_arg)
{
    struct engine *self = engine;
    int64_t now_ms = engine_now_ms ();
    /* The first time; when ends are to be seen in folders; when something runs that no listing tells of. */
    bool in_folders = self->failing_since_ms && now_ms - self->told_all_ms >= LOOK_MS;
    if (!self->told_all_ms || in_folders || (self->unknown_ms && now_ms - self->unknown_ms < LOOK_MS)) {
        self->told_all_ms = self->ready ? now_ms : 0;
        return -1;
    }
    for (struct engine_entry *entry = zhash_first (self->entries); entry; entry = zhash_next (self->entries))
        if (entry->news || entry->step >= ENGINE_OVER)
            each (entry->id, each_arg);
    return 0;
}

void engine_stop (void *arg, const struct executor_ref *ref)
{
    struct engine *self = arg;
    struct engine_entry *entry = engine_find (self, ref->id, ref->attempt);
    if (!entry || entry->stop || entry->step >= ENGINE_OVER)
        return;
    if (entry->step == ENGINE_QUEUED) {
        engine_remove (self, entry);
        return;
    }
    entry->stop = true;
    self->stops++;
}

/* ---- submitting ---- */

static struct engine_batch *make_batch (struct engine *self)
{
    struct engine_batch *batch = calloc (1, sizeof (*batch));
    size_t first = 0, kept = 0;
    uint64_t number = 0;
    while (first < self->queue_count && !self->queue[first])
        first++;
    if (batch && getrandom (&number, sizeof (number), 0) == (ssize_t)sizeof (number))
        batch->tasks = calloc (self->table->batch_max, sizeof (struct engine_entry *));
    if (!batch || !batch->tasks || first == self->queue_count) {
        if (first == self->queue_count)
            self->queue_count = 0;
        if (batch)
            free (batch->tasks);
        free (batch);
        return NULL;
    }
    snprintf (batch->name, sizeof (batch->name), "strata-%s-%016llx", self->tag, (unsigned long long)number);
    struct engine_shape shape = self->queue[first]->shape;
    for (size_t i = first; i < self->queue_count; i++) {
        struct engine_entry *entry = self->queue[i];
        if (!entry)
            continue;
        if (batch->count == self->table->batch_max || memcmp (&entry->shape, &shape, sizeof (shape)) != 0) {
            self->queue[kept++] = entry;
            continue;
        }
        entry->step = ENGINE_SUBMITTING;
        entry->batch = batch;
        entry->task = batch->count;
        batch->tasks[batch->count++] = entry;
    }
    self->queue_count = kept;
    batch->left = batch->count;
    zhash_insert (self->batches, batch->name, batch);
    return batch;
}

static void requeue (struct engine *self, struct engine_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        if (batch->tasks[i] && engine_enqueue (self, batch->tasks[i]) != 0)
            log_error ("out of memory for the queue to %s", self->table->name);
    engine_remove_batch_of (self, batch);
}

static void pause_submitting (struct engine *self)
{
    self->submit_pause_ms = self->submit_pause_ms ? self->submit_pause_ms * 2 : 1000;
    if (self->submit_pause_ms > PAUSE_MAX_MS)
        self->submit_pause_ms = PAUSE_MAX_MS;
    self->next_submit_ms = engine_now_ms () + self->submit_pause_ms;
}

/* The lock of a submission: the command keeps it until it is through, also when we are gone. */
static int open_submit_lock (const struct engine *self, int how)
{
    char path[PATH_MAX];
    snprintf (path, sizeof (path), "%s/submit.lock", self->folder);
    int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd >= 0 && flock (fd, how | LOCK_NB) != 0) {
        close (fd);
        fd = -1;
    }
    return fd;
}

static void start_submit (struct engine *self)
{
    struct strata_error error;
    struct engine_words words = { 0 };
    char folder[PATH_MAX], name[400];
    struct engine_batch *batch = make_batch (self);
    if (!batch)
        return;
    const struct engine_entry *first = batch->tasks[0];
    int lock = open_submit_lock (self, LOCK_SH);
    if (lock < 0 || engine_write_batch (self, batch, &error) != 0) {
        snprintf (self->submit_error, sizeof (self->submit_error), "%.300s",
                  lock < 0 ? "engine/submit.lock can't be locked" : error.text);
        if (lock >= 0)
            close (lock);
        requeue (self, batch);
        pause_submitting (self);
        return;
    }
    snprintf (folder, sizeof (folder), "%s/%s", self->folder, batch->name);
    int n = snprintf (name, sizeof (name), "%s:%s.%u", batch->name, first->id, first->attempt);
    if (batch->count > 1)
        snprintf (name + n, sizeof (name) - (size_t)n, "+%zu", batch->count - 1);
    self->table->submit (&words, self->settings, &first->shape, folder, name, batch->count);
    batch->submitted_after = UINT64_MAX;
    crash_point ("engine.before-submit");
    if (run (&self->submit, &words, lock, self->submit_error, sizeof (self->submit_error)))
        self->submitting = batch;
    else {
        requeue (self, batch);
        pause_submitting (self);
    }
    close (lock);
    crash_point ("engine.submitting");
}

static void set_steps (struct engine_batch *batch, enum engine_step step, const char *reason)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct engine_entry *entry = batch->tasks[i];
        /* A listing may have told more already. */
        if (!entry || entry->step != ENGINE_SUBMITTING)
            continue;
        entry->step = step;
        snprintf (entry->reason, sizeof (entry->reason), "%.127s", reason);
    }
}

static void take_submit (struct engine *self)
{
    struct engine_batch *batch = self->submitting;
    if (!batch || !engine_command_done (&self->submit))
        return;
    crash_point ("engine.submitted");
    self->submitting = NULL;
    batch->submitted_after = self->listings;
    const char *why = self->submit.error;
    if (!why[0]) {
        set_steps (batch, ENGINE_PENDING, "");
        self->submit_error[0] = '\0';
        self->submit_pause_ms = 0;
    }
    else if (self->submit.killed || self->table->passing (why)) {
        snprintf (self->submit_error, sizeof (self->submit_error), "%s", why);
        set_steps (batch, ENGINE_UNSURE, "");
        pause_submitting (self);
    }
    else {
        log_warn ("%s refuses %zu jobs: %s", self->table->name, batch->count, why);
        set_steps (batch, ENGINE_REFUSED, why);
    }
    engine_command_fini (&self->submit);
}

/* ---- listing, cancelling ---- */

static void take_list (struct engine *self)
{
    if (!engine_command_done (&self->list))
        return;
    int64_t now_ms = engine_now_ms (), every_ms = self->list.took_ms * 10;
    self->next_list_ms = now_ms + (every_ms < LIST_MS ? LIST_MS : every_ms > LIST_MAX_MS ? LIST_MAX_MS : every_ms);
    if (!self->list.error[0] && self->list.text) {
        engine_take_listing (self, self->list.text);
        self->listed_ms = self->list.started_ms;
        if (self->failing_since_ms)
            log_info ("%s answers again", self->table->name);
        self->failing_since_ms = 0;
        self->list_error[0] = '\0';
    }
    else {
        if (!self->failing_since_ms) {
            self->failing_since_ms = now_ms;
            log_warn ("%s does not answer: %s", self->table->name, self->list.error);
        }
        snprintf (self->list_error, sizeof (self->list_error), "%s", self->list.error);
        self->next_list_ms = now_ms + LIST_MS;
    }
    engine_command_fini (&self->list);
}

static void start_list (struct engine *self)
{
    struct engine_words words = { 0 };
    if (!self->settled) {
        int lock = open_submit_lock (self, LOCK_EX);
        if (lock < 0) {
            snprintf (self->list_error, sizeof (self->list_error), "a submission of the scheduler before this one is still under way");
            self->next_list_ms = engine_now_ms () + LIST_MS;
            return;
        }
        close (lock);
        self->settled = true;
    }
    int64_t now_ms = engine_now_ms (), since_ms = self->listed_ms ? now_ms - self->listed_ms + SINCE_MS : SINCE_FIRST_MS;
    self->table->list (&words, self->settings, (unsigned)(since_ms / 1000));
    self->listings++;
    self->next_list_ms = now_ms + LIST_MS;
    if (!run (&self->list, &words, -1, self->list_error, sizeof (self->list_error)) && !self->failing_since_ms)
        self->failing_since_ms = engine_now_ms ();
}

/* One command for those that run, one for those that don't: only one of both at once. */
static void start_cancel (struct engine *self)
{
    int64_t now_ms = engine_now_ms ();
    size_t left = 0, taken = 0;
    bool running = false;
    struct engine_words words = { 0 };
    for (struct engine_entry *entry = zhash_first (self->entries); entry; entry = zhash_next (self->entries)) {
        if (!entry->stop || entry->step >= ENGINE_OVER)
            continue;
        left++;
        bool runs = entry->step == ENGINE_RUNNING;
        if (!entry->native[0] || (entry->step != ENGINE_PENDING && !runs) || taken == CANCEL_MAX
            || (entry->stop_sent_ms && now_ms - entry->stop_sent_ms < STOP_AGAIN_MS) || (taken && runs != running))
            continue;
        if (taken++ == 0) {
            running = runs;
            self->table->cancel (&words, self->settings, running);
        }
        engine_word (&words, "%s", entry->native);
        entry->stop_sent_ms = now_ms;
    }
    self->stops = left;
    if (taken)
        run (&self->cancel, &words, -1, self->list_error, sizeof (self->list_error));
}

/* ---- a turn ---- */

/* Ended attempts that the scheduler has taken note of. */
static void forget (struct engine *self)
{
    zlist_t *keys = zhash_keys (self->entries);
    for (const char *key = keys ? zlist_first (keys) : NULL; key; key = zlist_next (keys)) {
        struct engine_entry *entry = zhash_lookup (self->entries, key);
        if (entry->step >= ENGINE_OVER && self->turn - entry->polled > UNPOLLED_TURNS)
            engine_remove (self, entry);
    }
    zlist_destroy (&keys);
}

/* The first job that the engine keeps waiting for a reason that time alone does not mend. */
static const struct engine_entry *find_stuck (const struct engine *self)
{
    int64_t now_ms = engine_now_ms ();
    for (struct engine_entry *entry = zhash_first (self->entries); entry; entry = zhash_next (self->entries))
        if (entry->step == ENGINE_PENDING && entry->pending_ms && now_ms - entry->pending_ms > WAITS_BADLY_MS
            && !self->table->waits_well (entry->reason))
            return entry;
    return NULL;
}

static void tell_trouble (struct engine *self)
{
    if (self->turn % UNPOLLED_TURNS == 0) {
        const struct engine_entry *stuck = find_stuck (self);
        self->stuck[0] = '\0';
        if (stuck)
            snprintf (self->stuck, sizeof (self->stuck), "%s keeps %s waiting: %s", self->table->name, stuck->id, stuck->reason);
    }
    self->trouble[0] = '\0';
    if (self->failing_since_ms || (!self->ready && self->list_error[0]))
        snprintf (self->trouble, sizeof (self->trouble), "%s does not answer (%s); jobs wait, those that run go on",
                  self->table->name, self->list_error);
    else if (self->submit_error[0])
        snprintf (self->trouble, sizeof (self->trouble), "%s takes no job now (%s); it is tried again",
                  self->table->name, self->submit_error);
    else
        snprintf (self->trouble, sizeof (self->trouble), "%s", self->stuck);
}

void engine_turn (void *arg)
{
    struct engine *self = arg;
    self->turn++;
    take_capacity (self);
    take_submit (self);
    take_list (self);
    if (engine_command_done (&self->cancel))
        engine_command_fini (&self->cancel);
    int64_t now_ms = engine_now_ms ();
    if (!self->list.pid && now_ms >= self->next_list_ms)
        start_list (self);
    if (self->ready && !self->submitting && self->queue_count && now_ms >= self->next_submit_ms)
        start_submit (self);
    if (!self->cancel.pid && self->stops)
        start_cancel (self);
    if (!self->capacity.pid && now_ms >= self->next_capacity_ms)
        start_capacity (self);
    if (self->turn % UNPOLLED_TURNS == 0)
        forget (self);
    tell_trouble (self);
}

const char *engine_trouble (void *arg)
{
    struct engine *self = arg;
    return self->trouble[0] ? self->trouble : NULL;
}
