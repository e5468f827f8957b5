/* emulated.c - see emulated.h. Runs are found by id in a tree, and by their end in a heap. */
#include "emulated.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"

#define END(end) STRATA__JOB_END__END_##end
#define HOUR_US 3600000000.0

/* A job, from its first attempt on. */
struct run {
    char *id;
    const struct campaign_job *type;
    uint32_t attempt;
    int64_t total_us, done_us;      /* of its work; done: by the attempts before */
    int64_t start_us, end_us;       /* of this attempt */
    Strata__JobEnd end;             /* how it will end, or has */
    bool running;
    uint64_t frames;                /* handed over so far */
    uint32_t *nodes;
    size_t nodes_count;
    size_t heap_at;
};

struct emulated {
    const struct campaign *campaign;
    uint64_t seed, started;
    int64_t now_us;
    bool prepare, told_all;
    uint64_t begun[64];             /* by type: jobs up to this number had begun before; as many as a campaign may have types */
    void *tree;
    struct run **runs;              /* all */
    size_t runs_count, runs_room;
    struct run **heap;              /* running ones, the first to end on top */
    size_t heap_count, heap_room;
};

static void out_of_memory (void)
{
    log_error ("out of memory for emulated jobs");
    abort ();
}

static void *grow (void *list, size_t count, size_t *room)
{
    if (count < *room)
        return list;
    *room = *room ? *room * 2 : 1024;
    list = realloc (list, *room * sizeof (struct run *));
    if (!list)
        out_of_memory ();
    return list;
}

/* ---- the heap ---- */

static bool before (const struct run *a, const struct run *b)
{
    return a->end_us != b->end_us ? a->end_us < b->end_us : strcmp (a->id, b->id) < 0;
}

static void set_at (struct emulated *self, size_t i, struct run *run)
{
    self->heap[i] = run;
    run->heap_at = i;
}

static void settle (struct emulated *self, size_t i)
{
    struct run *run = self->heap[i];
    for (; i > 0 && before (run, self->heap[(i - 1) / 2]); i = (i - 1) / 2)
        set_at (self, i, self->heap[(i - 1) / 2]);
    for (size_t child; (child = 2 * i + 1) < self->heap_count; i = child) {
        child += child + 1 < self->heap_count && before (self->heap[child + 1], self->heap[child]);
        if (!before (self->heap[child], run))
            break;
        set_at (self, i, self->heap[child]);
    }
    set_at (self, i, run);
}

static void begin (struct emulated *self, struct run *run)
{
    run->running = true;
    self->heap = grow (self->heap, self->heap_count, &self->heap_room);
    set_at (self, self->heap_count++, run);
    settle (self, run->heap_at);
}

static void take_off (struct emulated *self, struct run *run)
{
    struct run *last = self->heap[--self->heap_count];
    run->running = false;
    if (last == run)
        return;
    set_at (self, run->heap_at, last);
    settle (self, last->heap_at);
}

/* ---- jobs ---- */

static int by_id (const void *a, const void *b)
{
    return strcmp (((const struct run *)a)->id, ((const struct run *)b)->id);
}

static struct run *find (struct emulated *self, const char *id)
{
    struct run key = { .id = (char *)id };
    struct run **found = tfind (&key, &self->tree, by_id);
    return found ? *found : NULL;
}

static const struct campaign_job *type_of (const struct emulated *self, const char *id)
{
    const char *dash = strrchr (id, '-');
    for (unsigned i = 0; dash && i < self->campaign->jobs_count; i++) {
        const char *name = self->campaign->jobs[i].name;
        if (strlen (name) == (size_t)(dash - id) && strncmp (name, id, (size_t)(dash - id)) == 0)
            return &self->campaign->jobs[i];
    }
    return NULL;
}

static struct run *add (struct emulated *self, const char *id)
{
    struct run *run = calloc (1, sizeof (*run));
    if (!run || !(run->id = strdup (id)))
        out_of_memory ();
    run->type = type_of (self, id);
    if (!run->type || run->type->model.hours <= 0) {
        free (run->id);
        free (run);
        return NULL;
    }
    run->total_us = model_duration_us (run->type, self->seed, id);
    if (run->type->model.resumes && strtoull (strrchr (id, '-') + 1, NULL, 10) <= self->begun[run->type - self->campaign->jobs])
        run->done_us = (int64_t)((double)run->total_us * model_done_before (self->seed, id));
    run->frames = (uint64_t)((double)run->done_us / HOUR_US * run->type->model.frames);
    self->runs = grow (self->runs, self->runs_count, &self->runs_room);
    self->runs[self->runs_count++] = run;
    if (!tsearch (run, &self->tree, by_id))
        out_of_memory ();
    return run;
}

/* How the attempt that begins now will end, and when. */
static void foresee (struct emulated *self, struct run *run)
{
    int64_t left_us = run->total_us - run->done_us, walltime_us = (int64_t)run->type->walltime_s * 1000000;
    double after;
    run->end = END (EXIT);
    if (self->prepare && !run->type->model.resumes)
        left_us = 1000000;
    else if (model_fails (run->type, self->seed, run->id, run->attempt, &after)) {
        run->end = END (SIGNAL);
        left_us = (int64_t)((double)left_us * after);
    }
    if (walltime_us && left_us > walltime_us) {
        run->end = END (WALLTIME);
        left_us = walltime_us;
    }
    run->end_us = self->now_us + (left_us > 0 ? left_us : 1000000);
}

static void end_now (struct emulated *self, struct run *run, Strata__JobEnd end)
{
    take_off (self, run);
    run->end = end;
    run->end_us = run->end_us < self->now_us ? run->end_us : self->now_us;
    if (run->type->model.resumes)
        run->done_us += run->end_us - run->start_us;
}

/* ---- the executor's table ---- */

static int launch (void *arg, const struct executor_order *order, uint32_t *pid, struct strata_error *error)
{
    struct emulated *self = arg;
    struct run *run = find (self, order->ref.id);
    *pid = 1;
    if (!run && !(run = add (self, order->ref.id)))
        return strata_fail (error, "job %s: the campaign file does not say how long its type takes: jobs[].model.hours", order->ref.id);
    if (run->attempt == order->ref.attempt)
        return 0;
    if (run->running)
        end_now (self, run, END (LOST));
    run->attempt = order->ref.attempt;
    run->start_us = self->now_us;
    free (run->nodes);
    run->nodes = malloc ((order->nodes_count + 1) * sizeof (*run->nodes));
    if (!run->nodes)
        out_of_memory ();
    if (order->nodes_count)
        memcpy (run->nodes, order->nodes, order->nodes_count * sizeof (*run->nodes));
    run->nodes_count = order->nodes_count;
    foresee (self, run);
    begin (self, run);
    self->started++;
    return 0;
}

static enum executor_state poll (void *arg, const struct executor_ref *ref, struct outcome *outcome)
{
    struct run *run = find (arg, ref->id);
    if (!run || run->attempt != ref->attempt)
        return EXECUTOR_NEVER;
    if (run->running)
        return EXECUTOR_RUNNING;
    memset (outcome, 0, sizeof (*outcome));
    outcome->end = run->end;
    outcome->code = run->end == END (SIGNAL) ? 11 : 0;
    outcome->started_us = run->start_us;
    outcome->ended_us = run->end_us;
    snprintf (outcome->reason, sizeof (outcome->reason), "%s", run->end == END (SIGNAL) ? "signal 11 (drawn by the model)" : "");
    return run->end == END (LOST) ? EXECUTOR_LOST : EXECUTOR_ENDED;
}

static void stop (void *arg, const struct executor_ref *ref)
{
    struct emulated *self = arg;
    struct run *run = find (self, ref->id);
    if (run && run->running && run->attempt == ref->attempt)
        end_now (self, run, END (STOPPED));
}

static int changed (void *arg, void (*each) (const char *id, void *arg), void *each_arg)
{
    struct emulated *self = arg;
    bool first = !self->told_all;
    self->told_all = true;
    while (self->heap_count && self->heap[0]->end_us <= self->now_us) {
        struct run *run = self->heap[0];
        end_now (self, run, run->end);
        each (run->id, each_arg);
    }
    return first ? -1 : 0;
}

const struct executor_ops executor_emulated = { .name = "emulated", .launch = launch, .poll = poll, .stop = stop, .changed = changed };

/* ---- time and trouble ---- */

struct emulated *emulated_new (const struct campaign *campaign, uint64_t seed, int64_t now_us)
{
    struct emulated *self = calloc (1, sizeof (*self));
    if (!self)
        out_of_memory ();
    self->campaign = campaign;
    self->seed = seed;
    self->now_us = now_us;
    return self;
}

static void keep_all (void *node)
{
}

void emulated_free (struct emulated **self_p)
{
    struct emulated *self = *self_p;
    if (!self)
        return;
    tdestroy (self->tree, keep_all);
    for (size_t i = 0; i < self->runs_count; i++) {
        free (self->runs[i]->id);
        free (self->runs[i]->nodes);
        free (self->runs[i]);
    }
    free (self->runs);
    free (self->heap);
    free (self);
    *self_p = NULL;
}

void emulated_move_on (struct emulated *self, int64_t now_us)
{
    self->now_us = now_us;
}

void emulated_prepare (struct emulated *self, bool on)
{
    self->prepare = on;
}

void emulated_have_begun (struct emulated *self, const char *type, uint64_t count)
{
    const struct campaign_job *of = campaign_job_find (self->campaign, type);
    if (of)
        self->begun[of - self->campaign->jobs] = count;
}

void emulated_lose_node (struct emulated *self, uint32_t node)
{
    for (size_t i = self->heap_count; i-- > 0;) {
        struct run *run = i < self->heap_count ? self->heap[i] : NULL;
        for (size_t j = 0; run && j < run->nodes_count; j++)
            if (run->nodes[j] == node) {
                end_now (self, run, END (LOST));
                i = self->heap_count; /* the heap was moved about */
                break;
            }
    }
}

void emulated_frames (struct emulated *self, void (*each) (const char *id, uint64_t last, uint64_t frames, void *arg), void *arg)
{
    for (size_t i = 0; i < self->runs_count; i++) {
        struct run *run = self->runs[i];
        if (!run->running || run->type->model.frames <= 0)
            continue;
        int64_t done_us = run->done_us + self->now_us - run->start_us;
        uint64_t frames = (uint64_t)((double)done_us / HOUR_US * run->type->model.frames);
        if (frames > run->frames)
            each (run->id, frames, frames - run->frames, arg);
        run->frames = frames > run->frames ? frames : run->frames;
    }
}

uint64_t emulated_started (const struct emulated *self)
{
    return self->started;
}
