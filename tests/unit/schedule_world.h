/* schedule_world.h - the world around a scheduler's core, for the tests of it: a real shard, with time, select and an
 * executor in hand.
 *
 * The world outlives the core: a small select that follows select.proto (the same answer to the same name until it is
 * confirmed or its lease ends), and an executor in virtual time that remembers every start. Crashes close the shard
 * without a commit and build everything anew from disk.
 */
#ifndef SCHEDULE_WORLD_H
#define SCHEDULE_WORLD_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../services/schedule/drive.h"
#include "../../services/schedule/schedule_core.h"
#include "scratch.h"

#define S(state) STRATA__JOB_STATE__JOB_##state
#define END(end) STRATA__JOB_END__END_##end
#define SECOND 1000000LL
#define STARTS_MAX 512
#define NAMES_MAX 256

/* ---- a campaign ---- */

static char *argv_of_all[] = { (char *)"program", (char *)"{job}", (char *)"{attempt}" };

static const struct campaign_job job_types[] = {
    { .name = (char *)"macro",
      .start = JOB_ALWAYS,
      .command = argv_of_all,
      .command_count = 3,
      .cores = 0,
      .tries = 3 },
    { .name = (char *)"createsim",
      .start = JOB_SELECTION,
      .command = argv_of_all,
      .command_count = 3,
      .cores = 1,
      .tries = 2,
      .buffer = 2 },
    { .name = (char *)"cg",
      .start = JOB_AFTER,
      .after = (char *)"createsim",
      .command = argv_of_all,
      .command_count = 3,
      .cores = 1,
      .tries = 3 },
};

/* ---- the world ---- */

enum name_state { NAME_OPEN, NAME_CONFIRMED, NAME_EXPIRED };

struct world {
    char dir[64];
    struct campaign campaign;
    struct campaign_job types[3];
    struct machine machine;
    struct shard *shard;
    struct drive drive;
    int64_t now_us;
    size_t events, jobs_told;
    char last_event[64], last_text[1024];
    /* select */
    struct {
        char name[64];
        unsigned first, count;
        enum name_state state;
    } names[NAMES_MAX];
    size_t names_count;
    unsigned candidates, candidates_max;   /* handed out; 0 = without end */
    /* executor */
    struct {
        char id[64];
        uint32_t attempt;
        int64_t started_us;
        bool stop;
    } starts[STARTS_MAX];
    size_t starts_count;
    int64_t runtime_us;
    bool uneven;                /* every other start runs half as long again */
    void (*decide) (struct world *, const char *id, uint32_t attempt, struct outcome *);
    /* crash before the n-th commit or message from now on; -1 never */
    long crash_in;
    size_t crashes;
};

static inline void on_job (void *arg, const Strata__Job *job)
{
    ((struct world *)arg)->jobs_told++;
}

static inline void on_event (void *arg, const char *kind, const char *subject, const char *text)
{
    struct world *world = arg;
    world->events++;
    snprintf (world->last_event, sizeof (world->last_event), "%s", kind);
    snprintf (world->last_text, sizeof (world->last_text), "%s", text);
    if (strcmp (kind, "job-bug") == 0)
        fail_msg ("%s: %s", subject, text);
}

/* ---- the executor ---- */

static inline long find_start (struct world *world, const struct executor_ref *ref)
{
    for (size_t i = 0; i < world->starts_count; i++)
        if (strcmp (world->starts[i].id, ref->id) == 0 && world->starts[i].attempt == ref->attempt)
            return (long)i;
    return -1;
}

/* What another process would find on the disk now. */
static inline Strata__Job *on_disk (struct world *world, const char *id)
{
    struct strata_error error;
    struct shard_key key;
    struct shard *look = shard_open_readonly (world->dir, &error);
    if (!look)
        return NULL;
    shard_key (&key, "job/%s", id);
    Strata__Job *job = (Strata__Job *)shard_get_message (look, &key, &strata__job__descriptor);
    shard_close (&look);
    return job;
}

static inline int virtual_launch (void *self, const struct executor_order *order, uint32_t *pid, struct strata_error *error)
{
    struct world *world = self;
    *pid = 1;
    assert_string_equal (order->argv[1], order->ref.id);
    if (find_start (world, &order->ref) >= 0)
        return 0;
    Strata__Job *job = on_disk (world, order->ref.id);
    assert_non_null (job);
    assert_int_equal (job->state, S (LAUNCHING));
    assert_int_equal (job->attempt, order->ref.attempt);
    strata__job__free_unpacked (job, NULL);
    assert_true (world->starts_count < STARTS_MAX);
    snprintf (world->starts[world->starts_count].id, 64, "%s", order->ref.id);
    world->starts[world->starts_count].attempt = order->ref.attempt;
    world->starts[world->starts_count].stop = false;
    world->starts[world->starts_count++].started_us = world->now_us;
    return 0;
}

static inline enum executor_state virtual_poll (void *self, const struct executor_ref *ref, struct outcome *outcome)
{
    struct world *world = self;
    long i = find_start (world, ref);
    if (i < 0)
        return EXECUTOR_NEVER;
    int64_t runtime_us = world->runtime_us + (world->uneven && i % 2 ? world->runtime_us / 2 : 0);
    if (!world->starts[i].stop && world->now_us < world->starts[i].started_us + runtime_us)
        return EXECUTOR_RUNNING;
    memset (outcome, 0, sizeof (*outcome));
    outcome->end = world->starts[i].stop ? END (STOPPED) : END (EXIT);
    outcome->started_us = world->starts[i].started_us;
    outcome->ended_us = world->now_us;
    snprintf (outcome->reason, sizeof (outcome->reason), "ended");
    if (world->decide && !world->starts[i].stop)
        world->decide (world, ref->id, ref->attempt, outcome);
    return outcome->end == END (LOST) ? EXECUTOR_LOST : EXECUTOR_ENDED;
}

static inline void virtual_stop (void *self, const struct executor_ref *ref)
{
    struct world *world = self;
    world->starts[find_start (world, ref)].stop = true;
}

static const struct executor_ops virtual_executor = { .name = "virtual", .launch = virtual_launch, .poll = virtual_poll,
                                                      .stop = virtual_stop };

/* ---- coming up, going down ---- */

static inline void up (struct world *world)
{
    struct strata_error error = { "" };
    world->shard = shard_open (world->dir, &error);
    if (!world->shard)
        fail_msg ("%s", error.text);
    struct schedule_sink sink = { on_job, on_event, world };
    world->drive = (struct drive){ .ops = &virtual_executor, .executor = world,
                                   .context = { "/workspace", "/campaign", "/bin", 1 } };
    world->drive.core =
        schedule_new (&world->campaign, world->shard, "/workspace", &world->machine, &sink, world->now_us, &error);
    if (!world->drive.core)
        fail_msg ("%s", error.text);
}

static inline void down (struct world *world)
{
    schedule_free (&world->drive.core);
    shard_close (&world->shard);
}

static inline void crash (struct world *world)
{
    world->crashes++;
    down (world);
    up (world);
}

static inline void commit (struct world *world)
{
    struct strata_error error;
    assert_int_equal (shard_commit (world->shard, &error), 0);
}

/* type: which of the three there are, from the first one. */
static inline struct world *world_new (size_t from, size_t count, size_t cores)
{
    struct world *world = calloc (1, sizeof (*world));
    assert_non_null (world);
    assert_true (scratch_new (world->dir, sizeof (world->dir)));
    memcpy (world->types, job_types + from, count * sizeof (job_types[0]));
    world->campaign.jobs = world->types;
    world->campaign.jobs_count = (unsigned)count;
    struct machine_group *node = machine_add (&world->machine, 1, (unsigned)cores, 0, 0, NULL);
    assert_non_null (node);
    for (size_t i = 0; i < cores; i++)
        node->ids[i] = (uint32_t)(2 * i + 1);
    world->now_us = 1000 * SECOND;
    world->runtime_us = SECOND;
    world->crash_in = -1;
    return world;
}

static inline void world_free (struct world *world)
{
    char command[128];
    if (world->shard)
        down (world);
    snprintf (command, sizeof (command), "rm -rf '%s'", world->dir);
    assert_int_equal (system (command), 0);
    machine_fini (&world->machine);
    free (world);
}

/* True once: the moment to crash at has come. */
static inline bool crash_now (struct world *world)
{
    return world->crash_in >= 0 && world->crash_in-- == 0;
}

/* ---- select ---- */

static inline size_t find_name (struct world *world, const char *name)
{
    size_t i = 0;
    while (i < world->names_count && strcmp (world->names[i].name, name) != 0)
        i++;
    return i;
}

static inline void candidate_id (unsigned number, char *id)
{
    snprintf (id, 32, "candidate/%u", number);
}

/* The answer of select to `name`; count 0 when it has none left. False: the name is stale. */
static inline bool select_answer (struct world *world, const char *name, unsigned count, unsigned *first, unsigned *got)
{
    size_t i = find_name (world, name);
    if (i < world->names_count && world->names[i].count && world->names[i].state != NAME_OPEN)
        return false;
    if (i == world->names_count) {
        unsigned left = world->candidates_max ? world->candidates_max - world->candidates : count;
        assert_true (world->names_count < NAMES_MAX);
        snprintf (world->names[i].name, sizeof (world->names[i].name), "%s", name);
        world->names[i].first = world->candidates;
        world->names[i].count = count < left ? count : left;
        world->names[i].state = NAME_OPEN;
        world->candidates += world->names[i].count;
        world->names_count++;
    }
    *first = world->names[i].first;
    *got = world->names[i].count;
    return true;
}

static inline void tell_proposed (struct world *world, const char *name, unsigned first, unsigned count)
{
    Strata__ProposeReply reply = STRATA__PROPOSE_REPLY__INIT;
    Strata__Selection selections[16], *list[16];
    char ids[16][32];
    assert_true (count <= 16);
    for (unsigned i = 0; i < count; i++) {
        strata__selection__init (&selections[i]);
        candidate_id (first + i, ids[i]);
        selections[i].candidate = ids[i];
        list[i] = &selections[i];
    }
    reply.n_selections = count;
    reply.selections = list;
    schedule_proposed (world->drive.core, name, &reply, world->now_us);
}

/* One question and its answer, each in a turn of its own; may crash between any two. */
static inline void carry (struct world *world, size_t i)
{
    const Strata__Question *question = schedule_proposal_at (world->drive.core, i);
    char name[64];
    unsigned first, got;
    snprintf (name, sizeof (name), "%s", question->name);
    schedule_proposal_sent (world->drive.core, i);
    if (question->state == STRATA__QUESTION_STATE__QUESTION_ASKED) {
        bool stale = !select_answer (world, name, question->count, &first, &got);
        if (crash_now (world)) {
            crash (world);
            return;
        }
        if (stale)
            schedule_stale (world->drive.core, name, world->now_us);
        else
            tell_proposed (world, name, first, got);
    }
    else {
        size_t n = find_name (world, name);
        assert_true (n < world->names_count);
        bool stale = world->names[n].state == NAME_EXPIRED;
        if (!stale)
            world->names[n].state = NAME_CONFIRMED;
        if (crash_now (world)) {
            crash (world);
            return;
        }
        if (stale)
            schedule_stale (world->drive.core, name, world->now_us);
        else
            schedule_confirmed (world->drive.core, name, world->now_us);
    }
    if (crash_now (world))
        crash (world);
    else
        commit (world);
}

/* A turn of the service, then its outputs. */
static inline void turn (struct world *world)
{
    world->now_us += SECOND / 10;
    schedule_tick (world->drive.core, world->now_us);
    drive_tick (&world->drive, world->now_us);
    if (crash_now (world)) {
        crash (world);
        return;
    }
    commit (world);
    for (size_t i = 0; i < schedule_proposals (world->drive.core); i++)
        if (schedule_proposal_due (world->drive.core, i, world->now_us)) {
            carry (world, i);
            return;
        }
}

static inline void turns (struct world *world, int n)
{
    while (n-- > 0)
        turn (world);
}

/* ---- looking ---- */

static inline Strata__Job *job_of (struct world *world, const char *id)
{
    struct shard_key key;
    shard_key (&key, "job/%s", id);
    return (Strata__Job *)shard_get_message (world->shard, &key, &strata__job__descriptor);
}

static inline int state_of (struct world *world, const char *id)
{
    Strata__Job *job = job_of (world, id);
    int state = job ? (int)job->state : -1;
    if (job)
        strata__job__free_unpacked (job, NULL);
    return state;
}

static inline size_t count_jobs (struct world *world, const char *type, const char *state, const char *id)
{
    Strata__Jobs query = STRATA__JOBS__INIT;
    Strata__JobsReply reply;
    struct strata_error error;
    query.type = (char *)type;
    query.state = (char *)state;
    query.id = (char *)id;
    assert_int_equal (schedule_jobs (world->shard, &query, &reply, &error), 0);
    size_t n = reply.total;
    schedule_jobs_fini (&reply);
    return n;
}

static inline void until_state (struct world *world, const char *id, Strata__JobState state)
{
    for (int i = 0; i < 1000 && state_of (world, id) != (int)state; i++)
        turn (world);
    assert_int_equal (state_of (world, id), state);
}

static inline void ignore_id (const char *id, void *arg)
{
    (*(size_t *)arg)++;
}

static inline size_t cancel (struct world *world, const char *id)
{
    struct strata_error error;
    size_t n = 0;
    if (schedule_cancel (world->drive.core, &(struct schedule_wanted){ id, "", "", false }, ignore_id, &n, world->now_us, &error) != 0)
        return 0;
    commit (world);
    return n;
}

/* What must be true whenever everything is at rest. */
static inline void check_world (struct world *world)
{
    for (size_t i = 0; i < world->names_count; i++)
        for (unsigned j = 0; j < world->names[i].count; j++) {
            char id[32];
            candidate_id (world->names[i].first + j, id);
            size_t chains = count_jobs (world, "createsim", "", id);
            if (world->names[i].state == NAME_CONFIRMED)
                assert_int_equal (chains, 1);
            else
                assert_int_equal (chains, count_jobs (world, "createsim", "proposed", id));
            assert_int_equal (count_jobs (world, "cg", "", id), count_jobs (world, "createsim", "succeeded", id));
        }
    for (size_t i = 0; i < world->starts_count; i++)
        for (size_t j = i + 1; j < world->starts_count; j++)
            assert_false (strcmp (world->starts[i].id, world->starts[j].id) == 0
                          && world->starts[i].attempt == world->starts[j].attempt);
    assert_int_equal (shard_get_u64 (world->shard, "succ/cg", 0), count_jobs (world, "cg", "succeeded", ""));
    assert_int_equal (shard_get_u64 (world->shard, "succ/createsim", 0),
                      count_jobs (world, "createsim", "succeeded", ""));
}

#endif
