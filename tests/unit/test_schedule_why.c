/* Why jobs wait and how they failed, and which jobs are listed. */
#include "schedule_world.h"

static void describe (struct world *world, size_t nodes, unsigned cores, unsigned gpus, uint64_t memory_mb)
{
    struct strata_error error;
    machine_fini (&world->machine);
    assert_non_null (machine_add (&world->machine, nodes, cores, gpus, memory_mb, &error));
}

/* What a job waits for, in a word; and that the sentence of why it does has these words. */
static void waits_for (struct world *world, const char *id, const char *word, const char *words)
{
    Strata__Jobs query = STRATA__JOBS__INIT;
    Strata__JobsReply reply;
    struct strata_error error;
    query.id = (char *)id;
    assert_int_equal (schedule_jobs (world->shard, &query, &reply, &error), 0);
    schedule_jobs_tell (world->drive.core, &query, &reply, world->now_us);
    if (reply.n_jobs != 1 || reply.n_waits != 1 || strcmp (reply.waits[0], word) != 0 || !strstr (reply.why, words))
        fail_msg ("%s: %zu jobs, waits for \"%s\" and not \"%s\": %s", id, reply.n_jobs, reply.n_waits ? reply.waits[0] : "?", word, reply.why);
    schedule_jobs_fini (&reply);
}

static void type_says (struct world *world, const char *type, const char *words)
{
    char text[1024] = "";
    assert_true (schedule_why_type (world->drive.core, type, world->now_us, text, sizeof (text)));
    if (!strstr (text, words))
        fail_msg ("%s: %s", type, text);
}

/* Set-up alone, as many as wanted, of which each runs for good. */
static struct world *setups (unsigned buffer)
{
    struct world *world = world_new (1, 2, 2);
    world->types[0].buffer = buffer;
    world->runtime_us = 1000 * SECOND;
    return world;
}

static void the_resource_that_is_short_is_named (void **state)
{
    struct world *world = setups (3);
    up (world);
    turns (world, 30);
    waits_for (world, "createsim-000003", "cores", "it waits for cores: it asks for 1 cores, 0 GPUs on 1 of the 1 nodes; of 2 cores 0 are free, of 0 GPUs 0. 0 of its");
    waits_for (world, "createsim-000001", "", "attempt 1 runs");
    world_free (world);

    world = setups (4);
    world->types[0].gpus = 1;
    describe (world, 1, 8, 2, 0);
    up (world);
    turns (world, 30);
    waits_for (world, "createsim-000003", "gpus", "it waits for GPUs: it asks for 1 cores, 1 GPUs on 1 of the 1 nodes; of 8 cores 6 are free, of 2 GPUs 0");
    waits_for (world, "createsim-000004", "gpus", "1 of its type go before it");
    world_free (world);

    world = setups (3);
    world->types[0].memory_mb = 600;
    describe (world, 2, 8, 0, 1000);
    up (world);
    turns (world, 30);
    waits_for (world, "createsim-000003", "memory", "it waits for memory: it asks for 1 cores, 0 GPUs, 600 MB on 1 of the 2 nodes; 0 nodes have that much free");
    world_free (world);
}

/* What is free stands on another node than what else is. */
static void that_no_node_has_all_of_it_at_once_is_told (void **state)
{
    static const struct resources_request requests[] = {
        { .nodes = 1, .parts = { { .cores = 1, .share = MACHINE_LEVELS } }, .parts_count = 1, .memory_mb = 900 },
        { .nodes = 1, .parts = { { .cores = 6, .share = MACHINE_LEVELS } }, .parts_count = 1, .memory_mb = 200 },
        { .nodes = 1, .parts = { { .cores = 4, .share = MACHINE_LEVELS } }, .parts_count = 1, .memory_mb = 500 },
    };
    struct machine machine = { .count = 0 };
    assert_non_null (machine_add (&machine, 2, 8, 0, 1000, NULL));
    struct resources *resources = resources_new (&machine, requests, 3);
    struct resources_lack lack;
    uint32_t nodes[1], cores[8], gpus[1];
    struct resources_binding binding = { nodes, cores, gpus, 0, 0, 0 };
    resources_lack (resources, 2, &lack);
    assert_int_equal (lack.what, RESOURCES_LACKS_NOTHING);
    assert_true (resources_take (resources, 0, &binding) && nodes[0] == 0);
    assert_true (resources_take (resources, 1, &binding) && nodes[0] == 1);
    assert_false (resources_fits (resources, 2));
    resources_lack (resources, 2, &lack);
    assert_int_equal (lack.what, RESOURCES_LACKS_TOGETHER);
    assert_true (lack.up == 2 && lack.with_cores == 1 && lack.with_memory == 1 && !lack.kept);
    resources_free (&resources);
    machine_fini (&machine);
}

/* Cores that are free and left to free GPUs are not told as if they could be had. */
static void cores_that_are_kept_for_gpus_are_told (void **state)
{
    struct world *world = world_new (0, 2, 1);
    world->types[0] = (struct campaign_job){ .name = (char *)"setup", .start = JOB_SELECTION, .command = argv_of_all, .command_count = 3, .cores = 1,
                                             .tries = 3, .buffer = 6 };
    world->types[1] = (struct campaign_job){ .name = (char *)"cg", .start = JOB_AFTER, .after = (char *)"setup", .command = argv_of_all,
                                             .command_count = 3, .cores = 3, .gpus = 1, .tries = 3 };
    world->runtime_us = 1000 * SECOND;
    describe (world, 1, 8, 2, 0);
    up (world);
    turns (world, 30);
    waits_for (world, "setup-000003", "cores", "of 8 cores 6 are free (some are kept for free GPUs), of 2 GPUs 2");
    world_free (world);
}

static void drained_nodes_are_named (void **state)
{
    struct world *world = setups (2);
    up (world);
    assert_int_equal (schedule_set_node (world->drive.core, 0, RESOURCES_DRAINED, world->now_us, NULL), 0);
    turns (world, 30);
    waits_for (world, "createsim-000001", "nodes", "1 are drained and 0 lost (strata node)");
    assert_int_equal (schedule_set_node (world->drive.core, 0, RESOURCES_UP, world->now_us, NULL), 0);
    turns (world, 3);
    waits_for (world, "createsim-000001", "", "attempt 1 runs");
    world_free (world);
}

static void fails (struct world *world, const char *id, uint32_t attempt, struct outcome *outcome)
{
    outcome->code = 4;
    snprintf (outcome->stderr_tail, sizeof (outcome->stderr_tail), "no such table");
}

static void pauses_rounds_and_the_end_are_named (void **state)
{
    struct strata_error error;
    struct world *world = setups (2);
    world->types[0].tries = 5;
    world->decide = fails;
    world->runtime_us = SECOND;
    up (world);
    for (int i = 0; i < 100 && !(state_of (world, "createsim-000001") == S (WAITING) && world->starts_count); i++)
        turn (world);
    waits_for (world, "createsim-000001", "retry", "attempt 1 ended (ended: no such table); it is tried again in 1 s");
    world_free (world);

    world = setups (8);
    world->types[0].tries = 1;
    world->decide = fails;
    world->runtime_us = SECOND / 2;
    describe (world, 1, 3, 0, 0);
    up (world);
    struct schedule_figures figures = { .paused = 0 };
    for (int i = 0; i < 100 && !figures.paused; i++) {
        turn (world);
        schedule_figures (world->drive.core, &figures);
    }
    assert_int_equal (figures.paused, 1);
    waits_for (world, "createsim-000008", "paused", "3 jobs in a row were set aside");
    waits_for (world, "createsim-000001", "", "it failed 1 times, the last time (exit): ended: no such table. When the cause is mended: strata retry createsim-000001");
    world_free (world);

    world = setups (3);
    up (world);
    assert_int_equal (schedule_update (world->drive.core, "submissions", "1", &error), 0);
    assert_int_equal (schedule_update (world->drive.core, "round_s", "100", &error), 0);
    turns (world, 30);
    waits_for (world, "createsim-000002", "round", "1 jobs were started in this round of 100 s");
    schedule_drain (world->drive.core);
    waits_for (world, "createsim-000002", "next-start", "the campaign goes down");
    world_free (world);
}

static void a_type_says_why_there_are_no_more_of_it (void **state)
{
    struct world *world = setups (3);
    world->candidates_max = 4;
    up (world);
    turns (world, 30);
    type_says (world, "createsim", "its buffer of 3 is full: 0 prepared and not begun by what follows, 2 in work, 1 waiting (strata update buffer.createsim=N)");
    type_says (world, "cg", "one follows each success of createsim: 0 have succeeded, 2 are in work, 1 wait, 0 were set aside");
    char text[64];
    assert_false (schedule_why_type (world->drive.core, "nothing", world->now_us, text, sizeof (text)));
    assert_int_equal (schedule_update (world->drive.core, "buffer.createsim", "9", NULL), 0);
    turns (world, 4);
    type_says (world, "createsim", "select had no candidate; it is asked again in");
    world_free (world);
}

/* ---- lists ---- */

static size_t listed (struct world *world, const char *state, const char *simulation, int64_t since_us)
{
    Strata__Jobs query = STRATA__JOBS__INIT;
    Strata__JobsReply reply;
    struct strata_error error = { "" };
    query.state = (char *)state;
    query.simulation = (char *)simulation;
    query.since_us = since_us;
    if (schedule_jobs (world->shard, &query, &reply, &error) != 0)
        return SIZE_MAX;
    size_t n = reply.total;
    assert_int_equal (reply.n_jobs, n);
    for (size_t i = 1; i < n; i++)
        assert_true (reply.jobs[i - 1]->created_us >= reply.jobs[i]->created_us);
    schedule_jobs_fini (&reply);
    return n;
}

static void ends_in_turn (struct world *world, const char *id, uint32_t attempt, struct outcome *outcome)
{
    unsigned number = (unsigned)strtoul (id + strlen (id) - 6, NULL, 10);
    if (strncmp (id, "cg-", 3) == 0)
        return;
    if (number % 4 == 1)
        outcome->code = 4;
    else if (number % 4 == 2)
        outcome->end = END (WALLTIME);
}

static void jobs_are_filtered_by_states_in_our_words_and_in_those_of_flux (void **state)
{
    static const struct {
        const char *one, *other;
    } same[] = {
        { "waiting", "sched" }, { "waiting", "ready" }, { "running", "RUN" }, { "proposed", "depend" }, { "launching", "submitted" },
        { "succeeded", "completed" }, { "succeeded", "done" }, { "cancelled", "canceled" }, { "aside", "failed,timeout" }, { "aside", "set-aside" },
        { "proposed,waiting,launching", "pending" }, { "pending,running", "active" }, { "succeeded,aside,cancelled", "inactive" },
        { "active,inactive", "" }, { "", "proposed,waiting,launching,running,succeeded,aside,cancelled" },
    };
    static const char *const wrong[] = { "asleep", ",", "running,", ",running", "running,,aside", "run ning", "runningx" };
    struct world *world = world_new (1, 2, 2);
    world->types[0].tries = 1;
    world->types[0].buffer = 4;
    world->decide = ends_in_turn;
    world->candidates_max = 7;
    up (world);
    turns (world, 60);
    cancel (world, "createsim-000007");
    for (int i = 0; i < 400; i++) {
        turn (world);
        for (size_t k = 0; k < sizeof (same) / sizeof (same[0]); k++)
            assert_int_equal (listed (world, same[k].one, "", 0), listed (world, same[k].other, "", 0));
        assert_int_equal (listed (world, "active", "", 0), schedule_live (world->drive.core));
    }
    assert_int_equal (listed (world, "failed", "", 0), 2);
    assert_int_equal (listed (world, "timeout", "", 0), 2);
    assert_int_equal (listed (world, "active", "", 0), 0);
    for (size_t i = 0; i < sizeof (wrong) / sizeof (wrong[0]); i++)
        assert_true (listed (world, wrong[i], "", 0) == SIZE_MAX);
    world_free (world);
}

static void jobs_are_filtered_by_simulation_and_by_when_they_ended (void **state)
{
    struct world *world = world_new (1, 2, 1);
    world->types[0].buffer = 1;
    world->candidates_max = 3;
    up (world);
    turns (world, 25);
    int64_t then_us = world->now_us;
    size_t before = listed (world, "inactive", "", 0);
    turns (world, 200);
    assert_int_equal (listed (world, "", "", 0), 6);
    assert_int_equal (listed (world, "", "candidate/1", 0), 2);
    assert_int_equal (listed (world, "", "candidate/9", 0), 0);
    assert_true (before >= 1);
    assert_int_equal (listed (world, "", "", then_us), 6 - before);
    assert_int_equal (listed (world, "", "", world->now_us), 0);
    world_free (world);
}

static void types_tell_their_shape_and_counts (void **state)
{
    Strata__Jobs query = STRATA__JOBS__INIT;
    Strata__JobsReply reply;
    struct world *world = setups (3);
    world->types[0].walltime_s = 77;
    up (world);
    turns (world, 30);
    query.counts = true;
    assert_int_equal (schedule_jobs (world->shard, &query, &reply, NULL), 0);
    schedule_jobs_tell (world->drive.core, &query, &reply, world->now_us);
    assert_int_equal (reply.n_jobs, 0);
    assert_int_equal (reply.n_types, 2);
    assert_string_equal (reply.types[0]->name, "createsim");
    assert_int_equal (reply.types[0]->counts[S (RUNNING)], 2);
    assert_int_equal (reply.types[0]->counts[S (WAITING)], 1);
    assert_int_equal (reply.types[0]->walltime_s, 77);
    assert_int_equal (reply.types[0]->nodes, 1);
    assert_int_equal (reply.types[0]->tasks, 1);
    schedule_jobs_fini (&reply);
    world_free (world);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (the_resource_that_is_short_is_named),
        cmocka_unit_test (that_no_node_has_all_of_it_at_once_is_told),
        cmocka_unit_test (cores_that_are_kept_for_gpus_are_told),
        cmocka_unit_test (drained_nodes_are_named),
        cmocka_unit_test (pauses_rounds_and_the_end_are_named),
        cmocka_unit_test (a_type_says_why_there_are_no_more_of_it),
        cmocka_unit_test (jobs_are_filtered_by_states_in_our_words_and_in_those_of_flux),
        cmocka_unit_test (jobs_are_filtered_by_simulation_and_by_when_they_ended),
        cmocka_unit_test (types_tell_their_shape_and_counts),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
