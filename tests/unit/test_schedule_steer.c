/* What is changed while a campaign runs, and where it goes on: shares of GPUs, buffers, the rate of starts; fewer and more nodes. */
#include "schedule_world.h"

/* Two scales that want one GPU and one core each, and never wait for select. */
static const struct campaign_job two_scales[] = {
    { .name = (char *)"cg", .start = JOB_SELECTION, .command = argv_of_all, .command_count = 3, .cores = 1, .gpus = 1, .tries = 3, .buffer = 16 },
    { .name = (char *)"aa", .start = JOB_SELECTION, .command = argv_of_all, .command_count = 3, .cores = 1, .gpus = 1, .tries = 3, .buffer = 16 },
};

static void describe (struct world *world, size_t nodes, unsigned cores, unsigned gpus)
{
    struct strata_error error;
    machine_fini (&world->machine);
    assert_non_null (machine_add (&world->machine, nodes, cores, gpus, 0, &error));
}

static struct world *two_scales_on (unsigned gpus)
{
    struct world *world = world_new (0, 2, 1);
    memcpy (world->types, two_scales, sizeof (two_scales));
    describe (world, 1, gpus, gpus);
    return world;
}

static void update (struct world *world, const char *name, const char *value)
{
    struct strata_error error = { "" };
    if (schedule_update (world->drive.core, name, value, &error) != 0)
        fail_msg ("%s=%s: %s", name, value, error.text);
    commit (world);
}

static void refused (struct world *world, const char *name, const char *value, const char *words)
{
    struct strata_error error = { "" };
    assert_int_equal (schedule_update (world->drive.core, name, value, &error), -1);
    if (!strstr (error.text, words))
        fail_msg ("%s=%s is refused with: %s", name, value, error.text);
}

struct looked_for {
    const char *name;
    double value, of_file;
};

static void look (const char *name, uint64_t value, uint64_t of_file, uint64_t per, void *arg)
{
    struct looked_for *self = arg;
    if (strcmp (name, self->name) != 0)
        return;
    self->value = (double)value / (double)per;
    self->of_file = (double)of_file / (double)per;
}

static struct looked_for setting (struct world *world, const char *name)
{
    struct looked_for found = { name, -1, -1 };
    schedule_settings (world->drive.core, look, &found);
    return found;
}

static uint64_t gpus_of (struct world *world, size_t type)
{
    struct schedule_figures figures;
    schedule_type_figures (world->drive.core, type, &figures);
    return figures.gpus_busy;
}

static void shares_of_gpus_are_changed_while_jobs_run (void **state)
{
    struct world *world = two_scales_on (10);
    world->types[0].gpu_share = 0.8;
    world->types[1].gpu_share = 0.2;
    world->runtime_us = 4 * SECOND;
    up (world);
    turns (world, 300);
    assert_int_equal (gpus_of (world, 0), 8);
    assert_int_equal (gpus_of (world, 1), 2);
    update (world, "share.cg", "0.3");
    update (world, "share.aa", ".7");
    turns (world, 300);
    assert_int_equal (gpus_of (world, 0), 3);
    assert_int_equal (gpus_of (world, 1), 7);
    crash (world);
    turns (world, 300);
    assert_int_equal (gpus_of (world, 0), 3);
    struct looked_for share = setting (world, "share.cg");
    assert_true (share.value == 0.3 && share.of_file == 0.8);
    update (world, "share.cg", "");
    update (world, "share.aa", "");
    turns (world, 300);
    assert_int_equal (gpus_of (world, 0), 8);
    world_free (world);
}

static void a_share_is_a_number_from_0_to_1_and_of_a_type_with_gpus (void **state)
{
    static const char *const wrong[] = { "1.1", "2", "-0.1", "0.1234567", "0.5x", "a", ".", "0..5", "1.000001", "0,5", "99999999999999999999" };
    struct world *world = two_scales_on (2);
    world->types[1].gpus = 0;
    up (world);
    for (size_t i = 0; i < sizeof (wrong) / sizeof (wrong[0]); i++)
        refused (world, "share.cg", wrong[i], "share.cg must be a number from 0 to 1");
    refused (world, "share.aa", "0.5", "there is no setting");
    assert_true (setting (world, "share.aa").value == -1);
    update (world, "share.cg", "1");
    assert_true (setting (world, "share.cg").value == 1);
    update (world, "share.cg", "0.000001");
    assert_true (setting (world, "share.cg").value == 0.000001);
    refused (world, "buffer.cg", "0.5", "whole number");
    world_free (world);
}

static void the_rate_of_starts_is_changed_while_jobs_run (void **state)
{
    struct world *world = two_scales_on (16);
    world->runtime_us = 1000 * SECOND;
    up (world);
    update (world, "round_s", "10");
    update (world, "submissions", "2");
    turns (world, 5);
    assert_int_equal (world->starts_count, 2);
    turns (world, 100);
    assert_int_equal (world->starts_count, 4);
    update (world, "submissions", "0");
    turns (world, 5);
    assert_int_equal (world->starts_count, 16);
    world_free (world);
}

static void a_buffer_is_changed_while_jobs_run_and_what_is_prepared_stays (void **state)
{
    struct world *world = world_new (1, 2, 1);
    world->types[0].cores = world->types[1].cores = 1;
    up (world);
    world->runtime_us = 1000 * SECOND;
    turns (world, 20);
    assert_int_equal (count_jobs (world, "createsim", "", ""), 2);
    update (world, "buffer.createsim", "5");
    turns (world, 20);
    assert_int_equal (count_jobs (world, "createsim", "", ""), 5);
    update (world, "buffer.createsim", "1");
    turns (world, 20);
    assert_int_equal (count_jobs (world, "createsim", "", ""), 5);
    refused (world, "buffer.cg", "3", "there is no setting");
    world_free (world);
}

/* ---- elastic ---- */

static bool stands_within (struct world *world, size_t nodes)
{
    for (size_t i = 0; i < schedule_live (world->drive.core); i++)
        for (size_t j = 0; j < schedule_job_at (world->drive.core, i)->n_nodes; j++)
            if (schedule_job_at (world->drive.core, i)->nodes[j] >= nodes)
                return false;
    return true;
}

static void until_stopped (struct world *world)
{
    schedule_drain (world->drive.core);
    for (int i = 0; i < 100 && schedule_count (world->drive.core, SCHEDULE_RUNNING) + schedule_count (world->drive.core, SCHEDULE_LAUNCHING); i++)
        turn (world);
    assert_int_equal (schedule_count (world->drive.core, SCHEDULE_RUNNING), 0);
}

/* 12 candidates, begun on 6 nodes of 2 cores, stopped in the middle, gone on with on others. */
static void moves_to (size_t nodes, unsigned cores, bool stopped_first)
{
    struct world *world = world_new (1, 2, 1);
    world->types[0].buffer = 12;
    world->candidates_max = 12;
    world->runtime_us = 20 * SECOND;
    describe (world, 6, 2, 0);
    up (world);
    turns (world, 300); /* all are prepared, and simulations run on all of the nodes */
    assert_int_equal (count_jobs (world, "cg", "running", ""), 12);
    if (stopped_first)
        until_stopped (world);
    size_t before = world->starts_count;
    down (world);
    if (!stopped_first) /* they went with their nodes */
        for (size_t i = 0; i < world->starts_count; i++)
            world->starts[i].stop = true;
    describe (world, nodes, cores, 0);
    up (world);
    if (stopped_first)
        assert_int_equal (count_jobs (world, "cg", "waiting", ""), 12);
    size_t most = 0;
    for (int i = 0; i < 3000 && count_jobs (world, "cg", "succeeded", "") < 12; i++) {
        turn (world);
        struct schedule_figures figures;
        schedule_figures (world->drive.core, &figures);
        assert_int_equal (figures.cores, nodes * cores);
        assert_true (figures.cores_busy <= figures.cores);
        most = figures.cores_busy > most ? figures.cores_busy : most;
        if (stopped_first || i > 20)
            assert_true (stands_within (world, nodes));
    }
    assert_int_equal (count_jobs (world, "cg", "succeeded", ""), 12);
    assert_int_equal (count_jobs (world, "createsim", "", ""), 12);
    assert_int_equal (world->starts_count, before + 12); /* what was interrupted began once more, and nothing else did */
    assert_int_equal (most, nodes * cores < 12 ? nodes * cores : 12);
    Strata__Job *job = job_of (world, "cg-000001");
    assert_int_equal (job->tries, 0);
    strata__job__free_unpacked (job, NULL);
    check_world (world);
    world_free (world);
}

static void a_campaign_stopped_on_six_nodes_goes_on_on_two (void **state)
{
    moves_to (2, 2, true);
}

static void a_campaign_stopped_on_six_nodes_goes_on_on_one_of_another_shape (void **state)
{
    moves_to (1, 5, true);
}

static void a_campaign_stopped_on_six_nodes_goes_on_on_twelve (void **state)
{
    moves_to (12, 4, true);
}

static void a_campaign_whose_nodes_were_taken_away_goes_on_on_two (void **state)
{
    moves_to (2, 2, false);
}

static void name_nodes (struct world *world, const char *names)
{
    struct machine_group *group = &world->machine.groups[0];
    group->names = calloc (group->nodes, sizeof (*group->names));
    for (size_t i = 0; i < group->nodes; i++) {
        char name[2] = { names[i], '\0' };
        group->names[i] = strdup (name);
    }
}

/* Which node is drained is known by its name: the others of another allocation are not. */
static void a_node_stays_drained_under_another_number (void **state)
{
    struct strata_error error;
    struct world *world = world_new (1, 2, 1);
    describe (world, 3, 2, 0);
    name_nodes (world, "abc");
    up (world);
    assert_int_equal (schedule_set_node (world->drive.core, 0, RESOURCES_LOST, world->now_us, &error), 0);
    assert_int_equal (schedule_set_node (world->drive.core, 2, RESOURCES_DRAINED, world->now_us, &error), 0);
    commit (world);
    down (world);
    describe (world, 3, 2, 0);
    name_nodes (world, "dca");
    up (world);
    assert_int_equal (schedule_node (world->drive.core, 0), RESOURCES_UP);
    assert_int_equal (schedule_node (world->drive.core, 1), RESOURCES_DRAINED);
    assert_int_equal (schedule_node (world->drive.core, 2), RESOURCES_LOST);
    assert_int_equal (schedule_set_node (world->drive.core, 2, RESOURCES_UP, world->now_us, &error), 0);
    crash (world);
    assert_int_equal (schedule_node (world->drive.core, 2), RESOURCES_LOST); /* it was not committed */
    world_free (world);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (shares_of_gpus_are_changed_while_jobs_run),
        cmocka_unit_test (a_share_is_a_number_from_0_to_1_and_of_a_type_with_gpus),
        cmocka_unit_test (the_rate_of_starts_is_changed_while_jobs_run),
        cmocka_unit_test (a_buffer_is_changed_while_jobs_run_and_what_is_prepared_stays),
        cmocka_unit_test (a_campaign_stopped_on_six_nodes_goes_on_on_two),
        cmocka_unit_test (a_campaign_stopped_on_six_nodes_goes_on_on_one_of_another_shape),
        cmocka_unit_test (a_campaign_stopped_on_six_nodes_goes_on_on_twelve),
        cmocka_unit_test (a_node_stays_drained_under_another_number),
        cmocka_unit_test (a_campaign_whose_nodes_were_taken_away_goes_on_on_two),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
