/* test_emulate.c - the emulated machine: the same seed is the same run, GPUs are busy, nodes and jobs are lost without loss, and a
 * campaign of N nodes goes on on M. A small machine for some hours; the promises at full size are measured by make bench. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../services/emulate/emulated.h"
#include "../../services/emulate/report.h"
#include "../../services/emulate/world.h"
#include "../../services/schedule/schedule_core.h"
#include "scratch.h"
#include "store/shard.h"

#define CAMPAIGN "apps/membrane/machine.yaml"

enum { CONTINUUM, CREATESIM, CG, BACKMAP, AA };

static struct campaign *load (void)
{
    struct campaign_mistakes mistakes;
    struct campaign *campaign = campaign_load (CAMPAIGN, &mistakes);
    if (!campaign)
        fail_msg ("%s", mistakes.lines[0]);
    campaign_mistakes_fini (&mistakes);
    campaign->jobs[CREATESIM].buffer = 30;
    campaign->jobs[BACKMAP].buffer = 12;
    return campaign;
}

static struct machine summit (unsigned nodes)
{
    struct machine machine = { .count = 0 };
    const struct campaign_machine described = { .nodes = nodes, .sockets = 2, .cores = 22, .gpus = 3, .reserved = 1, .l2 = 2 };
    assert_int_equal (machine_add_described (&machine, &described, NULL), 0);
    return machine;
}

static int keep (const struct world_sample *sample, void *arg)
{
    report_add (arg, sample);
    return 0;
}

static void remove_folder (const char *folder)
{
    char command[200];
    snprintf (command, sizeof (command), "rm -rf '%s'", folder);
    assert_int_equal (system (command), 0);
}

static void run (struct world *world, double hours, struct report *report)
{
    struct strata_error error = { "" };
    if (world_run (world, hours, keep, report, &error) != 0)
        fail_msg ("%s", error.text);
    report_finish (report);
}

static struct world *open_world (const struct campaign *campaign, const struct machine *machine, const char *folder, uint64_t seed,
                                 uint64_t prepared)
{
    struct strata_error error = { "" };
    const struct world_options options = { campaign, machine, folder, seed, prepared, 20 };
    struct world *world = world_new (&options, &error);
    if (!world)
        fail_msg ("%s", error.text);
    return world;
}

static void one_run (uint64_t seed, struct report *report, struct world_totals *totals)
{
    char folder[64];
    struct campaign *campaign = load ();
    struct machine machine = summit (20);
    assert_true (scratch_new (folder, sizeof (folder)));
    campaign->emulate.node_losses = 300;  /* of each in a year: some a day */
    struct world *world = open_world (campaign, &machine, folder, seed, 120);
    run (world, 5, report);
    world_totals (world, totals);
    world_free (&world);
    machine_fini (&machine);
    campaign_free (&campaign);
    remove_folder (folder);
    report->campaign = NULL;
}

static void the_same_seed_is_the_same_run (void **state)
{
    struct report one = { 0 }, two = { 0 }, other = { 0 };
    struct world_totals totals[3];
    one_run (7, &one, &totals[0]);
    one_run (7, &two, &totals[1]);
    one_run (8, &other, &totals[2]);
    assert_int_equal (one.count, 30);
    assert_int_equal (two.count, 30);
    for (size_t i = 0; i < one.count; i++)
        assert_memory_equal (&one.samples[i], &two.samples[i], sizeof (one.samples[i]));
    assert_int_equal (totals[0].decisions, totals[1].decisions);
    assert_int_equal (totals[0].frames, totals[1].frames);
    assert_true (totals[0].decisions != totals[2].decisions || totals[0].frames != totals[2].frames);
    assert_true (totals[0].lost_nodes > 0);
    assert_true (totals[0].frames_told > 0 && totals[0].frames_told <= totals[0].frames);
    assert_true (totals[0].reports > 10);
    report_fini (&one);
    report_fini (&two);
    report_fini (&other);
}

static void gpus_stay_busy_through_ends_failures_and_lost_nodes (void **state)
{
    struct report report = { 0 };
    struct world_totals totals;
    one_run (3, &report, &totals);
    assert_true (report.loaded < report.count);
    assert_true (report.gpus.full >= 98);
    assert_true (report.gpus.mean >= 99);
    assert_true (totals.lost_nodes > 0);
    assert_true (totals.started > 120);
    assert_int_equal (totals.aside, 0);
    report_fini (&report);
}

/* Jobs of a type that are not ended, read from the store that the emulation left. */
static size_t jobs_in (const char *folder, const char *type, const char *wanted)
{
    char dir[128];
    struct strata_error error;
    Strata__Jobs query = STRATA__JOBS__INIT;
    Strata__JobsReply reply;
    snprintf (dir, sizeof (dir), "%s/schedule", folder);
    struct shard *shard = shard_open_copy (dir, &error);
    assert_non_null (shard);
    query.type = (char *)type;
    query.state = (char *)wanted;
    query.max = 100000;
    assert_int_equal (schedule_jobs (shard, &query, &reply, &error), 0);
    size_t n = reply.total;
    schedule_jobs_fini (&reply);
    shard_close (&shard);
    return n;
}

static void a_campaign_of_n_nodes_goes_on_on_m (void **state)
{
    static const unsigned nodes[] = { 20, 40, 10 };
    char folder[64];
    struct strata_error error = { "" };
    struct campaign *campaign = load ();
    struct machine machines[3];
    struct report reports[3] = { { 0 }, { 0 }, { 0 } };
    assert_true (scratch_new (folder, sizeof (folder)));
    for (int i = 0; i < 3; i++)
        machines[i] = summit (nodes[i]);
    campaign->emulate.node_losses = 0;
    struct world *world = open_world (campaign, &machines[0], folder, 1, 240);
    for (int i = 0; i < 3; i++) {
        if (i && world_restart (world, &machines[i], &error) != 0)
            fail_msg ("%s", error.text);
        run (world, 2, &reports[i]);
        const struct world_sample *last = &reports[i].samples[reports[i].count - 1];
        assert_int_equal (last->gpus, nodes[i] * 6);
        assert_true (last->gpus_busy * 100 >= last->gpus * 98);
        /* Every simulation that was ready is there still: it runs, or waits for a larger machine. */
        assert_true (last->running[CG] + last->waiting[CG] + last->running[AA] + last->waiting[AA] >= 235);
    }
    struct world_totals totals;
    world_totals (world, &totals);
    world_free (&world);
    assert_int_equal (jobs_in (folder, "continuum", ""), 1);
    assert_int_equal (jobs_in (folder, "cg", "running") + jobs_in (folder, "aa", "running"), 60);
    assert_true (jobs_in (folder, "cg", "") >= 192);
    for (int i = 0; i < 3; i++) {
        machine_fini (&machines[i]);
        report_fini (&reports[i]);
    }
    campaign_free (&campaign);
    remove_folder (folder);
}

static void a_campaign_that_begins_sets_up_its_simulations_first (void **state)
{
    char folder[64];
    struct report report = { 0 };
    struct campaign *campaign = load ();
    struct machine machine = summit (10);
    assert_true (scratch_new (folder, sizeof (folder)));
    struct world *world = open_world (campaign, &machine, folder, 1, 0);
    run (world, 6, &report);
    assert_int_equal (report.samples[0].gpus_busy, 0);
    assert_true (report.samples[0].running[CREATESIM] + report.samples[0].running[BACKMAP] > 0);
    assert_true (report.samples[report.count - 1].running[CG] > 0);
    assert_true (report.samples[report.count - 1].running[AA] > 0);
    world_free (&world);
    report_fini (&report);
    machine_fini (&machine);
    campaign_free (&campaign);
    remove_folder (folder);
}

static void durations_are_those_of_the_model (void **state)
{
    struct campaign *campaign = load ();
    const struct campaign_job *createsim = &campaign->jobs[CREATESIM];
    double sum = 0, squares = 0, hours, after;
    size_t failed = 0;
    enum { JOBS = 20000 };
    for (int i = 0; i < JOBS; i++) {
        char id[32];
        snprintf (id, sizeof (id), "createsim-%06d", i);
        hours = (double)model_duration_us (createsim, 5, id) / 3.6e9;
        sum += hours;
        squares += hours * hours;
        failed += model_fails (createsim, 5, id, 1, &after);
        assert_true (after >= 0 && after < 1);
    }
    double mean = sum / JOBS, variance = squares / JOBS - mean * mean;
    assert_true (mean > 1.49 && mean < 1.51);
    assert_true (variance > 0.14 * 0.14 && variance < 0.16 * 0.16);
    assert_true (failed > JOBS * 0.017 && failed < JOBS * 0.023);
    campaign_free (&campaign);
}

static void count_id (const char *id, void *arg)
{
    ++*(size_t *)arg;
}

/* The executor alone: what an attempt had done before a loss is not done again by a type that resumes. */
static void an_attempt_goes_on_where_the_lost_one_ended (void **state)
{
    struct campaign *campaign = load ();
    struct strata_error error;
    struct outcome outcome;
    uint32_t pid, nodes[] = { 3 };
    campaign->jobs[CG].model.failures = 0;
    const int64_t hour_us = 3600000000, total_us = model_duration_us (&campaign->jobs[CG], 1, "cg-000001");
    struct emulated *emulated = emulated_new (campaign, 1, 0);
    struct executor_order order = { .ref = { "cg-000001", "/dir", 1 }, .nodes = nodes, .nodes_count = 1 };
    const struct executor_ops *ops = &executor_emulated;
    assert_int_equal (ops->poll (emulated, &order.ref, &outcome), EXECUTOR_NEVER);
    assert_int_equal (ops->launch (emulated, &order, &pid, &error), 0);
    assert_int_equal (ops->launch (emulated, &order, &pid, &error), 0);     /* again: it runs already */
    assert_int_equal (emulated_started (emulated), 1);
    emulated_move_on (emulated, 50 * hour_us);
    emulated_lose_node (emulated, 2);
    assert_int_equal (ops->poll (emulated, &order.ref, &outcome), EXECUTOR_RUNNING);
    emulated_lose_node (emulated, 3);
    assert_int_equal (ops->poll (emulated, &order.ref, &outcome), EXECUTOR_LOST);
    order.ref.attempt = 2;
    emulated_move_on (emulated, 60 * hour_us);
    assert_int_equal (ops->launch (emulated, &order, &pid, &error), 0);
    size_t ended = 0;
    emulated_move_on (emulated, 10 * hour_us + total_us - 1000000);
    ops->changed (emulated, count_id, &ended);
    assert_int_equal (ended, 0);
    assert_int_equal (ops->poll (emulated, &order.ref, &outcome), EXECUTOR_RUNNING);
    emulated_move_on (emulated, 10 * hour_us + total_us);   /* 50 hours before, the rest after hour 60 */
    assert_int_equal (ops->changed (emulated, count_id, &ended), 0);
    assert_int_equal (ended, 1);
    assert_int_equal (ops->poll (emulated, &order.ref, &outcome), EXECUTOR_ENDED);
    assert_int_equal (outcome.end, STRATA__JOB_END__END_EXIT);
    emulated_free (&emulated);
    campaign_free (&campaign);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (the_same_seed_is_the_same_run),
        cmocka_unit_test (gpus_stay_busy_through_ends_failures_and_lost_nodes),
        cmocka_unit_test (a_campaign_of_n_nodes_goes_on_on_m),
        cmocka_unit_test (a_campaign_that_begins_sets_up_its_simulations_first),
        cmocka_unit_test (durations_are_those_of_the_model),
        cmocka_unit_test (an_attempt_goes_on_where_the_lost_one_ended),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
