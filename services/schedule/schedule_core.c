/* schedule_core.c - see schedule_core.h: making jobs, moving them, what their ends mean. */
#include "schedule_core.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "schedule_impl.h"

#define S(state) STRATA__JOB_STATE__JOB_##state
#define END(end) STRATA__JOB_END__END_##end
#define PAUSE_US 1000000
#define PAUSE_MAX_US 30000000
#define AGAIN_SHORT_US 60000000 /* an `always` job that ran shorter starts again after a pause that grows */
#define WORDS_MAX 300           /* of stderr's last line in a reason */
#define MOVES_FIRST 2            /* kept of a job that has made more than MOVES_MAX moves, with the last ones */
#define MOVES_MAX 26
#define MOVE_WORDS_MAX 160

/* ---- small help ---- */

static void out_of_memory (void)
{
    /* The batch of this turn is not written: the restart finds the state before it. */
    log_error ("out of memory; ending, the supervisor starts us again");
    abort ();
}

void schedule_set_string (char **field, const char *value)
{
    char *copy = value[0] ? strdup (value) : (char *)protobuf_c_empty_string;
    if (!copy)
        out_of_memory ();
    if (*field && *field != (char *)protobuf_c_empty_string)
        free (*field);
    *field = copy;
}

void *schedule_grow (void *list, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return list;
    *room = *room ? *room * 2 : 64;
    list = realloc (list, *room * size);
    if (!list)
        out_of_memory ();
    return list;
}

void schedule_event (struct schedule *self, const char *kind, const char *subject, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start (ap, fmt);
    vsnprintf (text, sizeof (text), fmt, ap);
    va_end (ap);
    self->sink.event (self->sink.arg, kind, subject, text);
}

bool schedule_pause_over (int64_t until_us, int64_t now_us)
{
    return now_us >= until_us || until_us - now_us > 2 * PAUSE_MAX_US;
}

struct job_type *schedule_find_type (struct schedule *self, const char *name)
{
    for (size_t i = 0; i < self->types_count; i++)
        if (strcmp (self->types[i].campaign->name, name) == 0)
            return &self->types[i];
    return NULL;
}

/* ---- records ---- */

static void put_job (struct schedule *self, const Strata__Job *job)
{
    struct shard_key key;
    shard_key (&key, "job/%s", job->id);
    shard_put_message (self->shard, &key, &job->base);
    self->sink.job (self->sink.arg, job);
}

static void set_folder (const struct schedule *self, char **field, const char *job)
{
    char path[PATH_MAX];
    snprintf (path, sizeof (path), "%s/jobs/%s", self->workspace, job);
    schedule_set_string (field, path);
}

/* A workspace may have been moved: folders are where it is now. */
static void renew_folders (const struct schedule *self, Strata__Job *job)
{
    const char *base = strrchr (job->input, '/');
    set_folder (self, &job->dir, job->id);
    if (base) {
        char name[256];
        snprintf (name, sizeof (name), "%s", base + 1);
        set_folder (self, &job->input, name);
    }
}

struct live *schedule_revive (struct schedule *self, Strata__Job *job, struct job_type *type)
{
    renew_folders (self, job);
    /* Written before nodes had numbers: there was one. */
    if ((job->n_cores || job->n_gpus) && !job->n_nodes && (job->nodes = calloc (1, sizeof (*job->nodes))))
        job->n_nodes = 1;
    return schedule_live_add (self, job, type);
}

static uint64_t next_number (struct schedule *self, struct job_type *type)
{
    char key[128];
    snprintf (key, sizeof (key), "next/%s", type->campaign->name);
    shard_put_u64 (self->shard, key, ++type->last_number);
    return type->last_number;
}

/* Keeps that the job has come into its state. */
static void note_move (Strata__Job *job, const char *reason, int64_t now_us)
{
    if (job->n_moves == MOVES_MAX) {
        strata__move__free_unpacked (job->moves[MOVES_FIRST], NULL);
        memmove (job->moves + MOVES_FIRST, job->moves + MOVES_FIRST + 1, (MOVES_MAX - MOVES_FIRST - 1) * sizeof (*job->moves));
        job->n_moves--;
    }
    Strata__Move *move = malloc (sizeof (*move)), **moves = realloc (job->moves, (job->n_moves + 1) * sizeof (*moves));
    if (!move || !moves)
        out_of_memory ();
    strata__move__init (move);
    move->state = job->state;
    move->time_us = now_us;
    move->attempt = job->attempt;
    char text[MOVE_WORDS_MAX];
    snprintf (text, sizeof (text), "%.*s", (int)outcome_whole (reason, sizeof (text) - 1), reason);
    schedule_set_string (&move->reason, text);
    job->moves = moves;
    job->moves[job->n_moves++] = move;
}

struct live *schedule_create (struct schedule *self, struct job_type *type, Strata__JobState state,
                              const char *simulation, const char *candidate, const char *input, const char *proposal,
                              const char *reason, int64_t now_us)
{
    char id[128];
    snprintf (id, sizeof (id), "%s-%06llu", type->campaign->name,
              (unsigned long long)next_number (self, type));
    Strata__Job *job = malloc (sizeof (*job));
    if (!job)
        out_of_memory ();
    strata__job__init (job);
    schedule_set_string (&job->id, id);
    schedule_set_string (&job->type, type->campaign->name);
    schedule_set_string (&job->simulation, simulation ? simulation : id);
    schedule_set_string (&job->candidate, candidate);
    schedule_set_string (&job->input, input);
    schedule_set_string (&job->proposal, proposal);
    set_folder (self, &job->dir, id);
    job->state = state;
    job->tries_limit = type->campaign->tries ? type->campaign->tries : 1;
    job->created_us = now_us;
    note_move (job, reason, now_us);
    struct live *live = schedule_live_add (self, job, type);
    type->counts[state]++;
    type->counts_changed = true;
    put_job (self, job);
    schedule_index_put (self, job);
    return live;
}

int schedule_move (struct schedule *self, struct live *live, Strata__JobState to, const char *reason, int64_t now_us, struct strata_error *error)
{
    Strata__Job *job = live->job;
    Strata__JobState from = job->state;
    if (!schedule_state_allows (from, to))
        return strata_fail (error, "job %s can't go from %s to %s", job->id, schedule_state_name (from),
                            schedule_state_name (to));
    schedule_leave (self, live);
    if (to != S (LAUNCHING) && to != S (RUNNING))
        schedule_give_back (self, live);
    job->state = to;
    if (schedule_state_check (job, live->type->campaign, error) != 0) {
        job->state = from;
        schedule_enter (self, live);
        schedule_event (self, "job-bug", job->id, "%s", error ? error->text : "a rule of the job's state is broken");
        return -1;
    }
    schedule_enter (self, live);
    note_move (job, reason, now_us);
    live->type->counts[from]--;
    live->type->counts[to]++;
    live->type->counts_changed = true;
    put_job (self, job);
    if (schedule_state_ended (from) || schedule_state_ended (to))
        schedule_index_put (self, job);
    if (schedule_state_ended (to)) {
        schedule_live_remove (self, live);
        self->ended = schedule_grow (self->ended, self->ended_count, &self->ended_room, sizeof (*self->ended));
        self->ended[self->ended_count++] = live;
    }
    return 0;
}

void schedule_sweep (struct schedule *self)
{
    while (self->ended_count)
        schedule_live_free (self->ended[--self->ended_count]);
}

void schedule_forget (struct schedule *self, struct live *live)
{
    struct shard_key key;
    shard_key (&key, "job/%s", live->job->id);
    shard_delete (self->shard, key.data, key.size);
    shard_key (&key, "chain/%s", live->job->simulation);
    shard_delete (self->shard, key.data, key.size);
    live->type->counts[live->job->state]--;
    live->type->counts_changed = true;
    schedule_index_forget (self, live->job);
    schedule_live_remove (self, live);
    schedule_live_free (live);
}

/* ---- building ---- */

static int level_of (const char *share)
{
    static const char *const names[MACHINE_LEVELS] = { [MACHINE_L2] = "l2", [MACHINE_L3] = "l3", [MACHINE_SOCKET] = "socket" };
    int level = 0;
    while (level < MACHINE_LEVELS && !(share && strcmp (share, names[level]) == 0))
        level++;
    return level;
}

static bool is_near (const char *near)
{
    return !near || strcmp (near, "gpu") == 0;
}

static void make_request (struct resources_request *request, const struct campaign_job *job)
{
    *request = (struct resources_request){ .nodes = job->nodes ? job->nodes : 1, .memory_mb = job->memory_mb };
    request->parts_count = job->parts_count ? job->parts_count : 1;
    request->parts[0] = (struct resources_part){ job->cores, job->gpus, is_near (job->near), level_of (job->share) };
    for (unsigned i = 0; i < job->parts_count && i < RESOURCES_PARTS_MAX; i++) {
        const struct campaign_part *part = &job->parts[i];
        request->parts[i] = (struct resources_part){ part->cores, part->gpus, is_near (part->near), level_of (part->share) };
    }
}

static void make_types (struct schedule *self)
{
    const struct campaign *campaign = self->campaign;
    self->types_count = campaign->jobs_count;
    self->types = calloc (campaign->jobs_count + 1, sizeof (*self->types));
    if (!self->types)
        out_of_memory ();
    for (size_t i = 0; i < self->types_count; i++) {
        struct job_type *type = &self->types[i];
        char key[128];
        type->campaign = &campaign->jobs[i];
        snprintf (key, sizeof (key), "succ/%s", type->campaign->name);
        type->successes = shard_get_u64 (self->shard, key, 0);
        snprintf (key, sizeof (key), "next/%s", type->campaign->name);
        type->last_number = shard_get_u64 (self->shard, key, 0);
        make_request (&type->request, type->campaign);
        type->wants = type->campaign->cores || type->campaign->gpus;
        const struct campaign_job *at = type->campaign;
        if (at->start == JOB_ALWAYS)
            type->depth = UINT_MAX;
        /* A chain is no longer than there are types; the campaign file's check has refused circles. */
        for (size_t steps = 0; at && at->start == JOB_AFTER && steps < campaign->jobs_count; steps++) {
            type->depth++;
            at = campaign_job_find (campaign, at->after);
        }
    }
}

static void load_nodes (struct schedule *self)
{
    struct shard_iter it;
    for (bool more = shard_iter_begin (self->shard, &it, "node/", 5, NULL, 0); more; more = shard_iter_next (&it)) {
        char name[MACHINE_NODE_MAX];
        snprintf (name, sizeof (name), "%.*s", (int)(it.key_size - 5), (const char *)it.key + 5);
        size_t node = machine_find_node (self->machine, name);
        if (node != SIZE_MAX && it.value_size == 8)
            resources_set_node (self->resources, node, (enum resources_node_state)shard_u64 (it.value));
    }
    shard_iter_end (&it);
}

static void make_resources (struct schedule *self, const struct machine *machine)
{
    const struct campaign_schedule *wanted = &self->campaign->schedule;
    struct resources_request *requests = calloc (self->types_count + 1, sizeof (*requests));
    struct resources_figures there;
    bool gpu_types = false;
    if (!requests)
        out_of_memory ();
    for (size_t i = 0; i < self->types_count; i++) {
        requests[i] = self->types[i].request;
        gpu_types = gpu_types || self->types[i].campaign->gpus;
    }
    self->resources = resources_new (machine, requests, self->types_count);
    free (requests);
    if (!self->resources)
        out_of_memory ();
    resources_figures (self->resources, &there);
    load_nodes (self);
    if (wanted->cores > there.cores) {
        snprintf (self->capacity_trouble, sizeof (self->capacity_trouble),
                  "the campaign file asks for schedule.cores: %u, but this machine gives %" PRIu64 "; jobs run on those",
                  wanted->cores, there.cores);
        schedule_event (self, "cores-missing", "schedule", "%s", self->capacity_trouble);
    }
    for (size_t i = 0; i < self->types_count; i++) {
        struct job_type *type = &self->types[i];
        type->lanes = type->campaign->gpus ? 1 : gpu_types && !resources_leaves_gpus_theirs (self->resources, i) ? 3 : 2;
        type->too_big = type->wants && !resources_possible (self->resources, i);
        if (!type->too_big)
            continue;
        snprintf (self->capacity_trouble, sizeof (self->capacity_trouble),
                  "jobs of type %.60s need %u cores and %u GPUs on %u nodes, but there are %" PRIu64 " and %" PRIu64
                  " on %zu nodes; they wait for ever", type->campaign->name, type->campaign->cores, type->campaign->gpus,
                  type->request.nodes, there.cores, there.gpus, there.nodes);
        schedule_event (self, "cores-missing", type->campaign->name, "%s", self->capacity_trouble);
    }
}

static void before_commit (void *self)
{
    schedule_index_counts (self);
}

struct schedule *schedule_new (const struct campaign *campaign, struct shard *shard, const char *workspace,
                               const struct machine *machine, const struct schedule_sink *sink, int64_t now_us,
                               struct strata_error *error)
{
    struct schedule *self = calloc (1, sizeof (*self));
    if (!self)
        out_of_memory ();
    self->campaign = campaign;
    self->machine = machine;
    self->shard = shard;
    self->sink = *sink;
    self->since_us = now_us;
    self->workspace = strdup (workspace);
    if (!self->workspace)
        out_of_memory ();
    *shard_part (shard, SHARD_CORE) = (struct shard_part){ .data = self, .before_commit = before_commit };
    make_types (self);
    make_resources (self, machine);
    self->end_us = machine->end_us;
    schedule_settings_load (self, now_us);
    if (schedule_index_load (self, error) != 0 || schedule_load_proposals (self, error) != 0
        || schedule_breaker_load (self, error) != 0)
        schedule_free (&self);
    return self;
}

void schedule_free (struct schedule **self_p)
{
    struct schedule *self = *self_p;
    if (!self)
        return;
    struct shard_part *part = shard_part (self->shard, SHARD_CORE);
    if (part->data == self) {
        schedule_index_counts (self); /* a last commit may come */
        *part = (struct shard_part){ .data = NULL };
    }
    schedule_sweep (self);
    for (size_t i = 0; i < self->live_count; i++)
        schedule_live_free (self->live[i]);
    schedule_free_proposals (self);
    for (size_t i = 0; i < self->types_count; i++) {
        schedule_breaker_free (&self->types[i]);
        free (self->types[i].ready.list);
    }
    resources_free (&self->resources);
    free (self->live);
    free (self->buckets);
    free (self->ended);
    free (self->paused.list);
    free (self->types);
    free (self->workspace);
    free (self);
    *self_p = NULL;
}

/* ---- time ---- */

static void keep_time (struct schedule *self, int64_t now_us)
{
    double seconds = now_us > self->since_us ? (double)(now_us - self->since_us) / 1e6 : 0;
    struct resources_figures there;
    resources_figures (self->resources, &there);
    self->core_seconds += seconds * (double)there.cores;
    self->busy_core_seconds += seconds * (double)there.cores_busy;
    self->gpu_seconds += seconds * (double)there.gpus;
    self->busy_gpu_seconds += seconds * (double)there.gpus_busy;
    self->since_us = now_us;
}

void schedule_tick (struct schedule *self, int64_t now_us)
{
    keep_time (self, now_us);
    schedule_end_tell (self);
    if (self->draining)
        return;
    for (size_t i = 0; i < self->types_count; i++) {
        struct job_type *type = &self->types[i];
        if (type->campaign->start == JOB_ALWAYS && type->last_number == 0)
            schedule_create (self, type, S (WAITING), NULL, "", "", "", "the campaign needs one", now_us);
    }
    schedule_ask (self, now_us);
    schedule_place (self, now_us);
}

int schedule_hold_type (struct schedule *self, const char *name, bool hold)
{
    struct job_type *type = schedule_find_type (self, name);
    if (type)
        type->on_hold = hold;
    return type ? 0 : -1;
}

void schedule_drain (struct schedule *self)
{
    self->draining = true;
}

bool schedule_is_draining (const struct schedule *self)
{
    return self->draining;
}

unsigned schedule_grace_s (const struct schedule *self)
{
    unsigned grace_s = 0;
    for (size_t i = 0; i < self->types_count; i++) {
        const struct job_type *type = &self->types[i];
        if (type->counts[S (LAUNCHING)] + type->counts[S (RUNNING)] && type->campaign->grace_s > grace_s)
            grace_s = type->campaign->grace_s;
    }
    return grace_s;
}

/* ---- jobs ---- */

static struct live *find_attempt (struct schedule *self, const char *id, uint32_t attempt, struct strata_error *error)
{
    struct live *live = schedule_find_live (self, id);
    if (!live || live->job->attempt != attempt
        || (live->job->state != S (LAUNCHING) && live->job->state != S (RUNNING))) {
        strata_fail (error, "job %.100s has no attempt %u in work", id, attempt);
        return NULL;
    }
    return live;
}

int schedule_launched (struct schedule *self, const char *id, uint32_t attempt, uint32_t pid, int64_t now_us,
                       struct strata_error *error)
{
    struct live *live = find_attempt (self, id, attempt, error);
    if (!live)
        return -1;
    Strata__Job *job = live->job;
    char cores[64] = "no core of its own";
    job->pid = pid;
    job->started_us = now_us;
    job->ended_us = 0;
    if (schedule_move (self, live, S (RUNNING), "", now_us, error) != 0)
        return -1;
    size_t used = job->n_nodes > 1 ? (size_t)snprintf (cores, sizeof (cores), "%zu nodes from %u on, ", job->n_nodes, job->nodes[0]) : 0;
    for (size_t i = 0; i < job->n_cores && used < sizeof (cores) - 16; i++)
        used += (size_t)snprintf (cores + used, sizeof (cores) - used, "%s%u", i ? "," : "core ", job->cores[i]);
    schedule_event (self, "job-started", job->id, "attempt %u started on %s for %s", attempt, cores, job->simulation);
    return 0;
}

/* `always` types: whether a clean end is the last one. */
static bool reached_goal (const struct schedule *self, const struct job_type *type)
{
    const struct campaign_goal *goal = &self->campaign->goal;
    return goal->job && goal->successes && strcmp (goal->job, type->campaign->name) == 0
           && type->successes >= goal->successes;
}

static int succeed (struct schedule *self, struct live *live, int64_t now_us, struct strata_error *error)
{
    Strata__Job *job = live->job;
    struct job_type *type = live->type;
    bool always = type->campaign->start == JOB_ALWAYS;
    char key[128];
    snprintf (key, sizeof (key), "succ/%s", type->campaign->name);
    type->successes++;
    bool again = always && !reached_goal (self, type);
    job->tries = 0;
    if (schedule_move (self, live, again ? S (WAITING) : S (SUCCEEDED), again ? "it ended well, and starts again while the campaign goes on" : "", now_us, error) != 0) {
        type->successes--;
        return -1;
    }
    shard_put_u64 (self->shard, key, type->successes);
    schedule_breaker_succeeded (self, live);
    /* One that has nothing left to do ends at once, every time. */
    bool brief = now_us - job->started_us < AGAIN_SHORT_US;
    live->pause_us = !brief ? 0 : live->pause_us ? live->pause_us * 2 : PAUSE_US;
    live->pause_us = live->pause_us < PAUSE_MAX_US ? live->pause_us : PAUSE_MAX_US;
    if (again && live->pause_us)
        schedule_pause (self, live, now_us + live->pause_us);
    schedule_event (self, "job-succeeded", job->id, "attempt %u ended well after %.1f s%s", job->attempt,
                    (double)(job->ended_us - job->started_us) / 1e6,
                    again ? "; it starts again while the campaign goes on" : "");
    char follows[sizeof ("follows ") + 128];
    snprintf (follows, sizeof (follows), "follows %s", job->id);
    for (size_t i = 0; i < self->types_count; i++) {
        const struct campaign_job *next = self->types[i].campaign;
        if (next->start == JOB_AFTER && strcmp (next->after, job->type) == 0)
            schedule_create (self, &self->types[i], S (WAITING), job->simulation, job->candidate, job->dir,
                             job->proposal, follows, now_us);
    }
    return 0;
}

static int cancelled (struct schedule *self, struct live *live, int64_t now_us, struct strata_error *error)
{
    live->job->end = END (CANCELLED);
    if (schedule_move (self, live, S (CANCELLED), "by request", now_us, error) != 0)
        return -1;
    schedule_breaker_undecided (self, live);
    schedule_event (self, "job-cancelled", live->job->id, "cancelled; no job follows it for %s", live->job->simulation);
    return 0;
}

static int stopped (struct schedule *self, struct live *live, int64_t now_us, struct strata_error *error)
{
    if (schedule_move (self, live, S (WAITING), live->job->reason, now_us, error) != 0)
        return -1;
    schedule_breaker_undecided (self, live);
    schedule_event (self, "job-stopped", live->job->id, "attempt %u: %s; it goes on when it is started again",
                    live->job->attempt, live->job->reason);
    return 0;
}

/* Before a failed job is tried again. */
static int64_t retry_pause_us (const struct live *live)
{
    int64_t pause_us = PAUSE_US;
    if (live->type->campaign->retry_delay_s)
        return (int64_t)live->type->campaign->retry_delay_s * 1000000;
    for (uint32_t i = 1; i < live->job->tries && pause_us < PAUSE_MAX_US; i++)
        pause_us *= 2;
    return pause_us < PAUSE_MAX_US ? pause_us : PAUSE_MAX_US;
}

/* What Merlin's exit codes ask for, where the job type says that they are meant (jobs[].exit_codes: merlin). */
enum merlin { MERLIN_NONE, MERLIN_RESTART = 100, MERLIN_SOFT_FAIL, MERLIN_HARD_FAIL, MERLIN_DRY_SUCCESS, MERLIN_RETRY };

static enum merlin merlin_code (const struct live *live, const struct outcome *outcome)
{
    const char *codes = live->type->campaign->exit_codes;
    bool meant = codes && strcmp (codes, "merlin") == 0 && outcome->end == END (EXIT);
    return meant && outcome->code >= MERLIN_RESTART && outcome->code <= MERLIN_RETRY ? (enum merlin)outcome->code : MERLIN_NONE;
}

static int failed (struct schedule *self, struct live *live, enum merlin merlin, int64_t now_us, struct strata_error *error)
{
    Strata__Job *job = live->job;
    bool final = merlin == MERLIN_SOFT_FAIL || merlin == MERLIN_HARD_FAIL; /* trying again can't help, whatever tries are left */
    job->tries++;
    if (final)
        job->tries_limit = job->tries;
    bool last = job->tries >= job->tries_limit;
    if (schedule_move (self, live, last ? S (ASIDE) : S (WAITING), job->reason, now_us, error) != 0)
        return -1;
    if (last) {
        if (final)
            schedule_event (self, "job-aside", job->id, "set aside, as its exit code asks: %s", job->reason);
        else
            schedule_event (self, "job-aside", job->id, "set aside after %u tries: %s", job->tries, job->reason);
        if (merlin != MERLIN_SOFT_FAIL || schedule_breaker_open (live->type))
            schedule_breaker_failed (self, live, merlin == MERLIN_HARD_FAIL, now_us);
        return 0;
    }
    schedule_pause (self, live, now_us + retry_pause_us (live));
    schedule_event (self, "job-failed", job->id, "attempt %u: %s; try %u of %u follows", job->attempt, job->reason,
                    job->tries + 1, job->tries_limit);
    schedule_breaker_failed (self, live, false, now_us);
    return 0;
}

/* "exit code 4: <last words>": what a table of jobs has room for, and what a person asks first. */
static void set_reason (Strata__Job *job, const struct outcome *outcome)
{
    char text[sizeof (outcome->reason) + WORDS_MAX + 8];
    const char *reason = outcome->reason[0] ? outcome->reason : outcome_end_name (outcome->end);
    static const char prefix[] = "ended with ";
    if (outcome->end == END (EXIT) && strncmp (reason, prefix, sizeof (prefix) - 1) == 0)
        reason += sizeof (prefix) - 1;
    /* Where the end says by itself what went wrong, the last words may be about anything. */
    bool asks = (outcome->end == END (EXIT) && outcome->code) || outcome->end == END (SIGNAL)
                || outcome->end == END (NO_OUTPUT);
    const char *end = outcome->stderr_tail + strlen (outcome->stderr_tail), *words;
    while (end > outcome->stderr_tail && (end[-1] == '\n' || end[-1] == ' '))
        end--;
    for (words = end; words > outcome->stderr_tail && words[-1] != '\n'; words--)
        ;
    if (!asks || words == end)
        snprintf (text, sizeof (text), "%s", reason);
    else
        snprintf (text, sizeof (text), "%s: %.*s", reason, (int)(end - words < WORDS_MAX ? end - words : WORDS_MAX), words);
    schedule_set_string (&job->reason, text);
}

/* It asks to be started again, or its node went away below it: that is no failure. Not at once, for one that does nothing else. */
static int restarted (struct schedule *self, struct live *live, int64_t now_us, struct strata_error *error)
{
    int rc = stopped (self, live, now_us, error);
    if (rc == 0)
        schedule_pause (self, live, now_us + PAUSE_US);
    return rc;
}

int schedule_ended (struct schedule *self, const char *id, uint32_t attempt, const struct outcome *outcome,
                    int64_t now_us, struct strata_error *error)
{
    struct live *live = find_attempt (self, id, attempt, error);
    if (!live)
        return -1;
    Strata__Job *job = live->job;
    enum merlin merlin = merlin_code (live, outcome);
    /* It was started and ended while we were away, or before we were told. */
    bool ran = outcome->end != END (STOPPED) || outcome->started_us;
    if (job->state == S (LAUNCHING) && ran
        && schedule_launched (self, id, attempt, 0, outcome->started_us ? outcome->started_us : now_us, error) != 0)
        return -1;
    job->end = outcome->end;
    job->code = merlin == MERLIN_DRY_SUCCESS ? 0 : outcome->code;
    job->max_rss_mb = outcome->max_rss_mb;
    job->started_us = outcome->started_us ? outcome->started_us : job->started_us;
    job->ended_us = outcome->ended_us ? outcome->ended_us : now_us;
    job->pid = 0;
    set_reason (job, outcome);
    schedule_set_string (&job->stderr_tail, outcome->stderr_tail);
    if (ran)
        job->interrupted = outcome->end == END (WALLTIME) || outcome->end == END (LOST) || outcome->end == END (NODE)
                           || outcome->end == END (STOPPED) || merlin == MERLIN_RESTART;
    bool always = live->type->campaign->start == JOB_ALWAYS;
    int rc;
    if (always && outcome->end == END (WALLTIME))
        job->tries = 0; /* it did what it is for: failures before it and after it are not in a row */
    if (job->cancel)
        rc = cancelled (self, live, now_us, error);
    else if (merlin == MERLIN_RESTART || outcome->end == END (NODE))
        rc = restarted (self, live, now_us, error);
    else if (outcome->end == END (EXIT) && (outcome->code == 0 || merlin == MERLIN_DRY_SUCCESS))
        rc = succeed (self, live, now_us, error);
    else if (outcome->end == END (STOPPED) || outcome->end == END (CANCELLED)
             || (always && outcome->end == END (WALLTIME)))
        rc = stopped (self, live, now_us, error);
    else
        rc = failed (self, live, merlin, now_us, error);
    schedule_sweep (self);
    return rc;
}

/* ---- nodes ---- */

static bool stands_on (const Strata__Job *job, size_t node)
{
    for (size_t i = 0; i < job->n_nodes; i++)
        if (job->nodes[i] == node)
            return true;
    return false;
}

static void end_on_lost (struct schedule *self, size_t node, int64_t now_us)
{
    struct outcome outcome = { .end = END (NODE) };
    snprintf (outcome.reason, sizeof (outcome.reason), "its node %zu was lost", node);
    for (int list = 0; list < SCHEDULE_LISTS; list++)
        for (struct live *live = self->lists[list].first, *next; live; live = next) {
            next = live->list_next;
            if (stands_on (live->job, node))
                schedule_ended (self, live->job->id, live->job->attempt, &outcome, now_us, NULL);
        }
}

enum resources_node_state schedule_node (const struct schedule *self, size_t node)
{
    return resources_node (self->resources, node);
}

int schedule_set_node (struct schedule *self, size_t node, enum resources_node_state state, int64_t now_us,
                       struct strata_error *error)
{
    static const char *const names[] = { "works", "is drained", "is lost" };
    struct shard_key key;
    char subject[32], name[MACHINE_NODE_MAX];
    enum resources_node_state was = resources_node (self->resources, node);
    if (resources_set_node (self->resources, node, state) != 0)
        return strata_fail (error, "there is no node %zu; they are numbered from 0 on", node);
    if (was == state)
        return 0;
    machine_node (self->machine, node, name);
    shard_key (&key, "node/%s", name);
    if (state == RESOURCES_UP)
        shard_delete (self->shard, key.data, key.size);
    else {
        struct shard_key value = { .size = 0 };
        shard_key_u64 (&value, (uint64_t)state);
        shard_put (self->shard, key.data, key.size, value.data, value.size);
    }
    snprintf (subject, sizeof (subject), "node-%zu", node);
    schedule_event (self, "node-changed", subject, "node %zu %s", node, names[state]);
    if (state == RESOURCES_LOST)
        end_on_lost (self, node, now_us);
    return 0;
}

/* ---- cancelling ---- */

static int cancel_one (struct schedule *self, struct live *live, int64_t now_us)
{
    Strata__Job *job = live->job;
    job->cancel = true;
    schedule_set_string (&job->reason, "cancelled by request");
    if (job->state == S (WAITING)) {
        job->ended_us = now_us;
        return cancelled (self, live, now_us, NULL);
    }
    /* RUNNING: when it has ended. PROPOSED: when select knows that the candidate is ours. */
    schedule_leave (self, live);
    schedule_enter (self, live);
    put_job (self, job);
    return 0;
}

/* Whether the shard knows the id, as that of a job or of a chain. */
static bool known (struct schedule *self, const char *id)
{
    struct shard_key job, chain;
    shard_key (&job, "job/%s", id);
    shard_key (&chain, "chain/%s", id);
    return shard_has (self->shard, job.data, job.size) || shard_has (self->shard, chain.data, chain.size);
}

/* Whether the question can be answered; which states it is of. */
static int check_wanted (struct schedule *self, const struct schedule_wanted *wanted, unsigned *states, struct strata_error *error)
{
    errno = EINVAL;
    if (strlen (wanted->id) > SCHEDULE_ID_MAX || (!wanted->id[0] && !wanted->state[0] && !wanted->type[0] && !wanted->all))
        return strata_fail (error, "which jobs? an id of 1 to %d bytes, a state, a type, or all", SCHEDULE_ID_MAX);
    if (schedule_states_read (wanted->state, states, error) != 0)
        return -1;
    errno = ENOENT;
    if (wanted->type[0] && !schedule_find_type (self, wanted->type))
        return strata_fail (error, "the campaign file has no job type %.100s", wanted->type);
    return 0;
}

int schedule_cancel (struct schedule *self, const struct schedule_wanted *wanted, void (*each) (const char *id, void *arg), void *arg,
                     int64_t now_us, struct strata_error *error)
{
    const char *id = wanted->id;
    unsigned states;
    if (check_wanted (self, wanted, &states, error) != 0)
        return -1;
    size_t found = 0, room = 0;
    struct live **matching = NULL;
    for (size_t i = 0; i < self->live_count; i++) {
        struct live *live = self->live[i];
        if (live->job->state == S (ASIDE) || !schedule_fits (live->job, id, states, wanted->type))
            continue;
        matching = schedule_grow (matching, found, &room, sizeof (*matching));
        matching[found++] = live;
    }
    for (size_t i = 0; i < found; i++) {
        each (matching[i]->job->id, arg);
        cancel_one (self, matching[i], now_us);
    }
    free (matching);
    schedule_sweep (self);
    if (found)
        return 0;
    if (!id[0]) {
        errno = ENOENT;
        return strata_fail (error, "there is no such job that has not ended; `strata jobs` lists them");
    }
    if (known (self, id)) {
        errno = EALREADY;
        return strata_fail (error, "%s has ended already; there is nothing to cancel", id);
    }
    errno = ENOENT;
    return strata_fail (error, "no job and no simulation has the id %s; `strata jobs` lists them", id);
}
