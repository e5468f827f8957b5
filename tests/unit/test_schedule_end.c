/* test_schedule_end.c - the end of an allocation: what does not start before it, what is stopped when, and what the next one does. */
#include "schedule_world.h"

#define END_S 2000 /* the world begins at 1000 */

/* macro: grace 10; createsim: walltime 100, grace 5; cg: walltime 200, grace 20; margin 60. So simulations are stopped at 1920,
 * their feeders at 1910. */
static struct world *world_with_end (int64_t now_s)
{
    struct world *world = world_new (0, 3, 3);
    world->types[0].grace_s = 10;
    world->types[1].walltime_s = 100;
    world->types[1].grace_s = 5;
    world->types[2].walltime_s = 200;
    world->types[2].grace_s = 20;
    world->campaign.schedule.end_margin_s = 60;
    world->machine.end_us = END_S * SECOND;
    world->runtime_us = 1000 * SECOND;
    world->now_us = now_s * SECOND;
    up (world);
    return world;
}

static size_t running (struct world *world, const char *type)
{
    return count_jobs (world, type, "running", "");
}

static size_t ever (struct world *world, const char *type)
{
    return count_jobs (world, type, "", "");
}

static void check_why (struct world *world, const char *id, const char *expected)
{
    char why[1024];
    Strata__Job *job = job_of (world, id);
    assert_non_null (job);
    schedule_why (world->drive.core, job, world->now_us, why, sizeof (why));
    strata__job__free_unpacked (job, NULL);
    if (!strstr (why, expected))
        fail_msg ("why %s: \"%s\" lacks \"%s\"", id, why, expected);
}

static void what_can_not_end_in_time_is_not_started (void **state)
{
    (void)state;
    struct world *world = world_with_end (1800); /* createsim: 110 s until it is stopped; cg: 120 s */
    turns (world, 20);
    assert_int_equal (running (world, "macro"), 1);
    assert_int_equal (running (world, "createsim"), 2);
    world->runtime_us = SECOND; /* they end at once: cg would follow */
    turns (world, 30);
    assert_true (count_jobs (world, "createsim", "succeeded", "") >= 2);
    assert_int_equal (running (world, "cg"), 0);
    assert_true (count_jobs (world, "cg", "waiting", "") >= 2);
    check_why (world, "cg-000001", "it may take its walltime of 200 s, and can't go on where it was");
    world_free (world);
}

static void one_that_goes_on_where_it_was_starts_until_the_last_minute (void **state)
{
    (void)state;
    static char *restart[] = { (char *)"program", (char *)"{job}", (char *)"again" };
    for (int by_restart = 0; by_restart < 2; by_restart++) {
        struct world *world = world_with_end (1800);
        world->types[2].checkpoint = !by_restart;
        world->types[2].restart = restart;
        world->types[2].restart_count = by_restart ? 3 : 0;
        world->runtime_us = SECOND;
        for (int i = 0; i < 1000 && count_jobs (world, "cg", "succeeded", "") == 0; i++)
            turn (world);
        assert_true (world->now_us < 1860 * SECOND);
        assert_true (count_jobs (world, "cg", "succeeded", "") > 0);
        world_free (world);
    }
}

static void feeders_are_stopped_first_and_simulations_last (void **state)
{
    (void)state;
    struct world *world = world_with_end (1000);
    world->runtime_us = SECOND;
    for (int i = 0; i < 200 && running (world, "cg") == 0; i++)
        turn (world);
    world->runtime_us = 100000 * SECOND; /* what runs now does not end by itself */
    for (int i = 0; i < 200 && running (world, "createsim") + running (world, "cg") + running (world, "macro") < 4; i++)
        turn (world);
    size_t simulations = running (world, "cg");
    assert_true (simulations > 0 && simulations < 3);
    assert_int_equal (running (world, "macro"), 1);

    world->now_us = 1909 * SECOND;
    turn (world);
    assert_int_equal (running (world, "macro"), 1);
    world->now_us = 1910 * SECOND;
    size_t made = ever (world, "createsim");
    turns (world, 5);
    assert_string_equal (world->last_event, "job-stopped");
    assert_int_equal (running (world, "macro"), 0);
    assert_int_equal (running (world, "createsim"), 0);
    assert_int_equal (running (world, "cg"), simulations);
    assert_int_equal (ever (world, "createsim"), made); /* select is not asked any more */
    check_why (world, "macro-000001", "jobs of type macro are stopped, and go on in the next one");

    world->now_us = 1920 * SECOND;
    turns (world, 5);
    assert_int_equal (running (world, "cg"), 0);
    assert_int_equal (schedule_count (world->drive.core, SCHEDULE_RUNNING), 0);
    Strata__Job *job = job_of (world, "cg-000001");
    assert_int_equal (job->state, S (WAITING));
    assert_int_equal (job->tries, 0); /* to be stopped is no failure */
    assert_true (job->interrupted);
    strata__job__free_unpacked (job, NULL);

    /* The next allocation: everything goes on. */
    down (world);
    world->now_us = 3000 * SECOND;
    world->machine.end_us = 10000 * SECOND;
    up (world);
    turns (world, 20);
    assert_int_equal (running (world, "macro"), 1);
    assert_int_equal (running (world, "cg"), simulations);
    world_free (world);
}

static void the_end_can_be_changed_and_one_gone_by_is_forgotten (void **state)
{
    (void)state;
    struct strata_error error;
    struct schedule_figures figures;
    struct world *world = world_with_end (1950); /* all is stopped already */
    turns (world, 5);
    assert_int_equal (running (world, "macro"), 0);
    assert_int_equal (schedule_update (world->drive.core, "end_s", "4000", &error), 0);
    turns (world, 20);
    assert_int_equal (running (world, "macro"), 1);

    /* It holds over a crash, and not into another allocation. */
    crash (world);
    schedule_figures (world->drive.core, &figures);
    assert_int_equal (figures.end_us, 4000 * SECOND);
    down (world);
    world->machine.end_us = 3000 * SECOND;
    up (world);
    schedule_figures (world->drive.core, &figures);
    assert_int_equal (figures.end_us, 3000 * SECOND);

    /* Nor when it has gone by. */
    assert_int_equal (schedule_update (world->drive.core, "end_s", "4000", &error), 0);
    commit (world);
    down (world);
    world->now_us = 5000 * SECOND;
    world->machine.end_us = 0;
    up (world);
    schedule_figures (world->drive.core, &figures);
    assert_int_equal (figures.end_us, 0);
    turns (world, 20);
    assert_int_equal (running (world, "macro"), 1);
    world_free (world);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (what_can_not_end_in_time_is_not_started),
        cmocka_unit_test (one_that_goes_on_where_it_was_starts_until_the_last_minute),
        cmocka_unit_test (feeders_are_stopped_first_and_simulations_last),
        cmocka_unit_test (the_end_can_be_changed_and_one_gone_by_is_forgotten),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
