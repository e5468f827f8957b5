/* test_schedule_breaker.c - job types that fail as a whole are paused and probed; what was set aside can be tried again. */
#include "schedule_world.h"

static bool broken = true;              /* whether createsim fails */
static bool cg_broken = false;

static void as_things_are (struct world *world, const char *id, uint32_t attempt, struct outcome *outcome)
{
    bool cg = strncmp (id, "cg", 2) == 0;
    if ((cg && cg_broken) || (!cg && broken)) {
        outcome->code = 4;
        snprintf (outcome->reason, sizeof (outcome->reason), "ended with exit code 4");
        snprintf (outcome->stderr_tail, sizeof (outcome->stderr_tail), "GROMACS (gmx) is not installed");
    }
}

static struct world *broken_world_of (size_t cores, bool createsim, bool cg)
{
    struct world *world = world_new (1, 2, cores);
    broken = createsim;
    cg_broken = cg;
    world->decide = as_things_are;
    world->runtime_us = SECOND / 5;
    up (world);
    return world;
}

static struct world *broken_world (bool createsim, bool cg)
{
    return broken_world_of (2, createsim, cg);
}

static size_t aside (struct world *world, const char *type)
{
    return count_jobs (world, type, "aside", "");
}

static bool paused (struct world *world, size_t type)
{
    struct schedule_figures figures;
    schedule_type_figures (world->drive.core, type, &figures);
    return figures.paused;
}

static void until_paused (struct world *world, size_t type)
{
    for (int i = 0; i < 2000 && !paused (world, type); i++)
        turn (world);
    assert_true (paused (world, type));
}

static size_t retry (struct world *world, const char *id, const char *type)
{
    struct strata_error error = { "" };
    size_t n = 0;
    if (schedule_retry (world->drive.core, id, type, ignore_id, &n, world->now_us, &error) != 0) {
        assert_true (error.text[0]);
        return 0;
    }
    commit (world);
    return n;
}

static void assert_says (struct world *world, const char *words)
{
    const char *trouble = schedule_trouble (world->drive.core, world->now_us);
    assert_non_null (trouble);
    if (!strstr (trouble, words))
        fail_msg ("\"%s\" is not in: %s", words, trouble);
}

static void three_in_a_row_pause_their_type_and_it_says_so (void **state)
{
    struct world *world = broken_world_of (1, true, false);
    until_paused (world, 0);
    assert_int_equal (aside (world, "createsim"), 3);
    assert_string_equal (world->last_event, "job-type-paused");
    assert_non_null (strstr (world->last_text, "strata retry --type createsim"));
    assert_says (world, "createsim: 3 jobs in a row were set aside, the last failure: exit code 4: GROMACS (gmx) is not installed");
    assert_says (world, "the next try is in 10 s");
    size_t starts = world->starts_count, names = world->names_count;
    turns (world, 90);
    assert_int_equal (world->starts_count, starts);
    assert_int_equal (world->names_count, names);
    world_free (world);
}

static void a_broken_machine_burns_a_candidate_for_two_pauses_and_no_more (void **state)
{
    struct world *world = broken_world (true, false);
    until_paused (world, 0);
    turns (world, 10);
    size_t before = world->starts_count;
    turns (world, 6000);
    /* In 600 s: probes after 10, 20, 40, 80, 160 s; the next one is 300 s later. */
    assert_int_equal (world->starts_count - before, 5);
    assert_in_range (aside (world, "createsim"), 5, 7);
    assert_true (world->candidates <= 8);
    for (size_t i = before + 1; i < world->starts_count; i++) {
        int64_t gap_us = world->starts[i].started_us - world->starts[i - 1].started_us;
        assert_in_range (gap_us / SECOND, 20 << (i - before - 1), (20 << (i - before - 1)) + 2);
    }
    turns (world, 12000);
    int64_t last_us = world->starts[world->starts_count - 1].started_us - world->starts[world->starts_count - 2].started_us;
    assert_in_range (last_us / SECOND, 300, 302);
    check_world (world);
    world_free (world);
}

static void a_probe_that_succeeds_ends_the_pause (void **state)
{
    struct world *world = broken_world (true, false);
    until_paused (world, 0);
    turns (world, 10);
    size_t before = world->starts_count;
    broken = false;
    for (int i = 0; i < 200 && world->starts_count == before; i++)
        turn (world);
    turn (world);
    assert_int_equal (world->starts_count, before + 1);    /* alone, though there are two cores */
    turns (world, 100);
    assert_false (paused (world, 0));
    assert_null (schedule_trouble (world->drive.core, world->now_us));
    assert_true (count_jobs (world, "cg", "succeeded", "") > 3);
    check_world (world);
    world_free (world);
}

static void failures_with_a_success_between_pause_nothing (void **state)
{
    struct world *world = world_new (1, 2, 1);
    world->types[0].tries = 1;
    world->decide = as_things_are;
    world->runtime_us = SECOND / 5;
    up (world);
    cg_broken = false;
    for (int i = 0; i < 3000 && aside (world, "createsim") < 12; i++) {
        struct schedule_figures all;
        schedule_figures (world->drive.core, &all);
        /* two of three fail */
        broken = (aside (world, "createsim") + all.succeeded / 2) % 3 != 2;
        turn (world);
        assert_false (paused (world, 0));
    }
    assert_int_equal (aside (world, "createsim"), 12);
    world_free (world);
}

static void a_restart_is_no_way_around_the_pause (void **state)
{
    struct world *world = broken_world (true, false);
    until_paused (world, 0);
    turns (world, 10);
    size_t before = world->starts_count;
    for (int i = 0; i < 80; i++) {
        crash (world);
        turn (world);
        assert_true (paused (world, 0));
    }
    assert_int_equal (world->starts_count, before);
    turns (world, 20);
    assert_int_equal (world->starts_count, before + 1);
    assert_says (world, "jobs in a row were set aside");
    /* A clock that was set back by a day does not make it one longer. */
    world->now_us -= 86400 * SECOND;
    turns (world, 50);
    assert_true (world->starts_count >= before + 2);
    world_free (world);
}

static void a_probe_that_was_stopped_decides_nothing (void **state)
{
    struct world *world = broken_world (true, false);
    until_paused (world, 0);
    turns (world, 10);
    size_t before = world->starts_count;
    world->runtime_us = 1000 * SECOND;
    for (int i = 0; i < 200 && world->starts_count == before; i++)
        turn (world);
    assert_int_equal (world->starts_count, before + 1);
    char id[64];
    snprintf (id, sizeof (id), "%s", world->starts[before].id);
    turn (world);
    assert_says (world, "is tried now");
    assert_int_equal (cancel (world, id), 1);
    turns (world, 5);
    assert_int_equal (state_of (world, id), S (CANCELLED));
    /* Another one goes at once, and the pause did not grow. */
    turns (world, 20);
    assert_int_equal (world->starts_count, before + 2);
    schedule_drain (world->drive.core);
    turns (world, 5);
    crash (world);
    turns (world, 5);
    assert_true (paused (world, 0));
    assert_int_equal (world->starts_count, before + 3);
    world_free (world);
}

static void a_later_step_that_fails_stops_the_asking_for_its_chain (void **state)
{
    struct world *world = broken_world (false, true);
    until_paused (world, 1);
    turns (world, 30);
    unsigned candidates = world->candidates;
    turns (world, 30);
    assert_int_equal (world->candidates, candidates);
    assert_false (paused (world, 0));
    turns (world, 3000);
    /* Some were prepared before the pause: they are the probes; none was asked for beyond them. */
    assert_true (world->candidates - candidates <= 3);
    assert_true (count_jobs (world, "cg", "waiting", "") <= 4); /* buffer, cores */
    cg_broken = false;
    retry (world, "", "cg");
    turns (world, 200);
    assert_false (paused (world, 1));
    assert_int_equal (aside (world, "cg"), 0);
    assert_true (count_jobs (world, "cg", "succeeded", "") > 4);
    check_world (world);
    world_free (world);
}

static void with_nothing_left_to_probe_with_one_candidate_is_asked_for (void **state)
{
    struct world *world = broken_world (true, false);
    world->types[0].tries = 1;
    world->types[0].buffer = 1;
    until_paused (world, 0);
    turns (world, 80);
    size_t before = world->starts_count;
    assert_int_equal (count_jobs (world, "createsim", "waiting", ""), 0);
    unsigned candidates = world->candidates;
    turns (world, 40);
    assert_int_equal (world->candidates, candidates + 1);
    assert_int_equal (world->starts_count, before + 1);
    world_free (world);
}

static void retry_lets_what_was_set_aside_run_again (void **state)
{
    struct world *world = broken_world (true, false);
    world->candidates_max = 4;
    for (int i = 0; i < 3000 && aside (world, "createsim") < 4; i++)
        turn (world);
    assert_int_equal (aside (world, "createsim"), 4);
    assert_int_equal (retry (world, "", ""), 0);
    assert_int_equal (errno, EINVAL);
    assert_int_equal (retry (world, "createsim-000099", ""), 0);
    assert_int_equal (errno, ENOENT);
    assert_int_equal (retry (world, "", "nothing"), 0);
    assert_int_equal (errno, ENOENT);
    assert_int_equal (retry (world, "", "cg"), 0);
    /* By the job's id; it fails again: its tries count from the start, its attempts go on. */
    Strata__Job *job = job_of (world, "createsim-000002");
    uint32_t attempt = job->attempt;
    strata__job__free_unpacked (job, NULL);
    size_t before = world->starts_count;
    assert_int_equal (retry (world, "createsim-000002", ""), 1);
    assert_string_equal (world->last_event, "job-retried");
    assert_int_equal (state_of (world, "createsim-000002"), S (WAITING));
    assert_int_equal (retry (world, "createsim-000002", ""), 0);
    assert_int_equal (errno, EALREADY);
    crash (world);
    turns (world, 10);
    assert_int_equal (world->starts_count, before + 1);    /* at once, as the probe */
    job = job_of (world, "createsim-000002");
    assert_int_equal (job->attempt, attempt + 1);
    assert_int_equal (job->tries, 1);
    strata__job__free_unpacked (job, NULL);
    /* By the simulation's id and the type, with the cause mended: all reach their end. */
    broken = false;
    assert_int_equal (retry (world, "candidate/0", "createsim"), 1);
    assert_int_equal (retry (world, "", "createsim"), 2);
    turns (world, 200);
    assert_int_equal (count_jobs (world, "cg", "succeeded", ""), 4);
    assert_int_equal (count_jobs (world, "", "", ""), 8);
    assert_null (schedule_trouble (world->drive.core, world->now_us));
    check_world (world);
    world_free (world);
}

static void an_always_job_that_was_set_aside_can_be_tried_again (void **state)
{
    struct world *world = world_new (0, 1, 1);
    broken = true;
    world->decide = as_things_are;
    up (world);
    until_state (world, "macro-000001", S (ASIDE));
    assert_says (world, "macro");
    broken = false;
    assert_int_equal (retry (world, "", "macro"), 1);
    assert_null (schedule_trouble (world->drive.core, world->now_us));
    turns (world, 50);
    assert_true (shard_get_u64 (world->shard, "succ/macro", 0) >= 1);
    assert_int_equal (count_jobs (world, "macro", "", ""), 1);
    world_free (world);
}

static void mended_after_8 (struct world *world, const char *id, uint32_t attempt, struct outcome *outcome)
{
    broken = world->starts_count <= 8;
    as_things_are (world, id, attempt, outcome);
}

static void a_crash_at_any_point_of_a_pause_loses_no_job (void **state)
{
    size_t crashes = 0;
    for (long at = 0; at < 600; at++) {
        struct world *world = world_new (1, 2, 2);
        world->candidates_max = 5;
        world->decide = mended_after_8;
        world->crash_in = at;
        cg_broken = false;
        up (world);
        for (int i = 0; i < 1500 && count_jobs (world, "cg", "succeeded", "") < 5; i++) {
            turn (world);
            if (i % 300 == 299)
                retry (world, "", "createsim");
        }
        assert_int_equal (count_jobs (world, "cg", "succeeded", ""), 5);
        assert_int_equal (count_jobs (world, "createsim", "", ""), 5);
        assert_false (paused (world, 0));
        check_world (world);
        bool through = world->crashes == 0;
        crashes += world->crashes;
        world_free (world);
        if (through)
            break;
        at += at > 50 ? 9 : 0; /* most of the time nothing happens */
    }
    assert_true (crashes > 50);
}

static void the_same_failures_in_the_same_order_give_the_same_pauses (void **state)
{
    struct {
        size_t starts;
        int64_t last_us;
        char told[600];
    } runs[2];
    for (int i = 0; i < 2; i++) {
        struct world *world = broken_world (true, false);
        turns (world, 1000);
        const char *trouble = schedule_trouble (world->drive.core, world->now_us);
        runs[i].starts = world->starts_count;
        runs[i].last_us = world->starts[world->starts_count - 1].started_us;
        snprintf (runs[i].told, sizeof (runs[i].told), "%s", trouble ? trouble : "");
        world_free (world);
    }
    assert_int_equal (runs[0].starts, runs[1].starts);
    assert_int_equal (runs[0].last_us, runs[1].last_us);
    assert_string_equal (runs[0].told, runs[1].told);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (three_in_a_row_pause_their_type_and_it_says_so),
        cmocka_unit_test (a_broken_machine_burns_a_candidate_for_two_pauses_and_no_more),
        cmocka_unit_test (a_probe_that_succeeds_ends_the_pause),
        cmocka_unit_test (failures_with_a_success_between_pause_nothing),
        cmocka_unit_test (a_restart_is_no_way_around_the_pause),
        cmocka_unit_test (a_probe_that_was_stopped_decides_nothing),
        cmocka_unit_test (a_later_step_that_fails_stops_the_asking_for_its_chain),
        cmocka_unit_test (with_nothing_left_to_probe_with_one_candidate_is_asked_for),
        cmocka_unit_test (retry_lets_what_was_set_aside_run_again),
        cmocka_unit_test (an_always_job_that_was_set_aside_can_be_tried_again),
        cmocka_unit_test (a_crash_at_any_point_of_a_pause_loses_no_job),
        cmocka_unit_test (the_same_failures_in_the_same_order_give_the_same_pauses),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
