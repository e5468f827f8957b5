/* test_resources.c - the resource model: first match, lowest number first; where cores sit; what is given back is free. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../services/schedule/resources.h"

enum { SIMULATION, SETUP, CONTINUUM, REQUESTS };

/* Of the scale run: a simulation with its analysis, a set-up job, the continuum job. */
static const struct resources_request scale_run[REQUESTS] = {
    [SIMULATION] = { .nodes = 1, .parts = { { 1, 1, true, MACHINE_LEVELS }, { 2, 0, true, MACHINE_L2 } }, .parts_count = 2 },
    [SETUP] = { .nodes = 1, .parts = { { 24, 0, true, MACHINE_LEVELS } }, .parts_count = 1 },
    [CONTINUUM] = { .nodes = 3, .parts = { { 24, 0, true, MACHINE_LEVELS } }, .parts_count = 1 },
};

static struct machine summit (unsigned nodes)
{
    struct machine machine = { .count = 0 };
    const struct campaign_machine described = { .nodes = nodes, .sockets = 2, .cores = 22, .gpus = 3, .reserved = 1, .l2 = 2 };
    assert_int_equal (machine_add_described (&machine, &described, NULL), 0);
    return machine;
}

struct held {
    uint32_t nodes[8], cores[8 * 64], gpus[8 * 8];
    struct resources_binding binding;
    size_t request;
};

static bool take (struct resources *resources, size_t request, struct held *held)
{
    held->request = request;
    held->binding = (struct resources_binding){ held->nodes, held->cores, held->gpus, 0, 0, 0 };
    return resources_take (resources, request, &held->binding);
}

static void a_described_socket_keeps_its_reserved_cores (void **state)
{
    struct machine machine = summit (4000);
    const struct machine_group *node = &machine.groups[0];
    assert_int_equal (machine_nodes (&machine), 4000);
    assert_int_equal (node->cores, 42);
    assert_int_equal (node->gpus, 6);
    assert_int_equal (node->ids[0], 1);     /* core 0 is the system's */
    assert_int_equal (node->ids[20], 21);
    assert_int_equal (node->ids[21], 23);   /* and so is core 22 */
    assert_int_equal (node->level[MACHINE_SOCKET][20], 0);
    assert_int_equal (node->level[MACHINE_SOCKET][21], 1);
    assert_int_equal (node->gpu_socket[2], 0);
    assert_int_equal (node->gpu_socket[3], 1);
    assert_int_equal (node->level[MACHINE_L2][1], node->level[MACHINE_L2][2]);      /* cores 2 and 3 */
    assert_int_not_equal (node->level[MACHINE_L2][0], node->level[MACHINE_L2][1]);
    machine_fini (&machine);
}

static void this_machine_has_the_processors_that_we_may_use (void **state)
{
    struct machine machine = { .count = 0 };
    struct strata_error error;
    assert_int_equal (machine_discover (&machine, &error), 0);
    assert_int_equal (machine_nodes (&machine), 1);
    assert_true (machine.groups[0].cores > 0);
    assert_int_equal (machine_set_gpus (&machine, 3, &error), 0);
    assert_int_equal (machine.groups[0].gpus, 3);
    machine_limit_cores (&machine, 1);
    assert_int_equal (machine.groups[0].cores, 1);
    machine_fini (&machine);
}

static void the_lowest_node_where_it_fits_is_taken (void **state)
{
    struct machine machine = summit (300);
    struct resources *resources = resources_new (&machine, scale_run, REQUESTS);
    struct held *held = calloc (300 * 6 + 1, sizeof (*held));
    size_t n = 0;
    while (take (resources, SIMULATION, &held[n])) {
        assert_int_equal (held[n].nodes[0], n / 6);
        n++;
    }
    assert_int_equal (n, 300 * 6);
    /* What comes free is found wherever it is, the lowest first. */
    resources_release (resources, SIMULATION, &held[1700].binding);
    resources_release (resources, SIMULATION, &held[130].binding);
    assert_true (take (resources, SIMULATION, &held[130]));
    assert_int_equal (held[130].nodes[0], 130 / 6);
    assert_true (take (resources, SIMULATION, &held[1700]));
    assert_int_equal (held[1700].nodes[0], 1700 / 6);
    assert_false (take (resources, SIMULATION, &held[1800]));
    free (held);
    resources_free (&resources);
    machine_fini (&machine);
}

static void a_simulation_and_its_analysis_sit_in_the_socket_of_their_gpu (void **state)
{
    struct machine machine = summit (1);
    const struct machine_group *node = &machine.groups[0];
    struct resources *resources = resources_new (&machine, scale_run, REQUESTS);
    struct resources_figures figures;
    struct held held[7];
    uint64_t seen = 0, seen_gpus = 0;
    for (int i = 0; i < 6; i++) {
        assert_true (take (resources, SIMULATION, &held[i]));
        assert_int_equal (held[i].binding.cores_count, 3);
        unsigned socket = node->gpu_socket[held[i].gpus[0]];
        for (int j = 0; j < 3; j++) {
            assert_int_equal (held[i].cores[j] / 22, socket);
            assert_int_not_equal (held[i].cores[j] % 22, 0);    /* the reserved one */
            assert_false (seen >> held[i].cores[j] & 1);
            seen |= UINT64_C (1) << held[i].cores[j];
        }
        assert_int_equal (held[i].cores[1] / 2, held[i].cores[2] / 2);  /* the analysis shares an L2 */
        assert_false (seen_gpus >> held[i].gpus[0] & 1);
        seen_gpus |= UINT64_C (1) << held[i].gpus[0];
    }
    resources_figures (resources, &figures);
    assert_int_equal (figures.misplaced, 0);
    assert_int_equal (figures.gpus_busy, 6);
    assert_int_equal (figures.cores_busy, 18);
    assert_true (take (resources, SETUP, &held[6]));
    assert_false (resources_fits (resources, SETUP));
    resources_free (&resources);
    machine_fini (&machine);
}

static void a_set_up_job_leaves_each_free_gpu_its_cores (void **state)
{
    struct machine machine = summit (1);
    struct resources *resources = resources_new (&machine, scale_run, REQUESTS);
    struct resources_figures figures;
    struct held setup, other, held[6];
    assert_true (resources_leaves_gpus_theirs (resources, SETUP));
    assert_true (take (resources, SETUP, &setup));
    assert_int_equal (setup.binding.cores_count, 24);
    assert_false (take (resources, SETUP, &other));
    /* On both sockets, so that all six find their cores beside their GPUs. */
    for (int i = 0; i < 6; i++)
        assert_true (take (resources, SIMULATION, &held[i]));
    resources_figures (resources, &figures);
    assert_int_equal (figures.misplaced, 0);
    assert_int_equal (figures.cores_busy, 42);
    resources_free (&resources);
    machine_fini (&machine);
}

static void a_wish_that_cannot_be_kept_keeps_no_gpu_idle (void **state)
{
    const struct resources_request requests[] = {
        { .nodes = 1, .parts = { { 2, 1, true, MACHINE_L2 } }, .parts_count = 1 },
        { .nodes = 1, .parts = { { 5, 0, true, MACHINE_LEVELS } }, .parts_count = 1 },
    };
    struct machine machine = { .count = 0 };
    const struct campaign_machine described = { .nodes = 1, .sockets = 2, .cores = 4, .gpus = 1, .l2 = 2 };
    assert_int_equal (machine_add_described (&machine, &described, NULL), 0);
    struct resources *resources = resources_new (&machine, requests, 2);
    struct resources_figures figures;
    struct held held;
    /* The other job leaves core 1 of socket 0 and socket 1: only far from GPU 0, or not in one L2. */
    uint32_t node = 0, cores[] = { 0, 2, 3, 4, 5 };
    const struct resources_binding other = { &node, cores, NULL, 1, 5, 0 };
    resources_hold (resources, 1, &other);
    assert_true (take (resources, 0, &held));
    assert_int_equal (held.gpus[0], 1);     /* its socket has two cores left */
    assert_int_equal (held.cores[0], 6);
    assert_int_equal (held.cores[1], 7);
    resources_release (resources, 0, &held.binding);
    uint32_t more[] = { 6, 7 };
    const struct resources_binding rest = { &node, more, NULL, 1, 2, 0 };
    resources_release (resources, 1, &other);
    resources_hold (resources, 1, &rest);
    uint32_t last[] = { 0, 2, 4 };
    const struct resources_binding third = { &node, last, NULL, 1, 3, 0 };
    resources_hold (resources, 1, &third);
    assert_true (take (resources, 0, &held));       /* 1 and 3 are left in socket 0: near, but of two L2s */
    assert_int_equal (held.gpus[0], 0);
    assert_int_equal (held.cores[0], 1);
    assert_int_equal (held.cores[1], 3);
    resources_figures (resources, &figures);
    assert_int_equal (figures.misplaced, 1);
    resources_free (&resources);
    machine_fini (&machine);
}

static void a_job_of_several_nodes_waits_until_all_of_them_have_room (void **state)
{
    struct machine machine = summit (4);
    struct resources *resources = resources_new (&machine, scale_run, REQUESTS);
    struct held setup[2], continuum;
    assert_true (take (resources, SETUP, &setup[0]));
    assert_true (take (resources, SETUP, &setup[1]));
    assert_false (take (resources, CONTINUUM, &continuum));
    resources_release (resources, SETUP, &setup[0].binding);
    assert_true (take (resources, CONTINUUM, &continuum));
    assert_int_equal (continuum.binding.nodes_count, 3);
    assert_int_equal (continuum.binding.cores_count, 72);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal (continuum.nodes[i], i == 0 ? 0 : i + 1);      /* node 1 has the other set-up job */
    resources_free (&resources);
    machine_fini (&machine);
}

static void memory_counts_where_it_is_known (void **state)
{
    const struct resources_request requests[] = {
        { .nodes = 1, .parts = { { 1, 0, true, MACHINE_LEVELS } }, .parts_count = 1, .memory_mb = 600 },
    };
    struct machine machine = { .count = 0 };
    assert_non_null (machine_add (&machine, 2, 8, 0, 1000, NULL));
    struct resources *resources = resources_new (&machine, requests, 1);
    struct held held[3];
    assert_true (take (resources, 0, &held[0]));
    assert_true (take (resources, 0, &held[1]));
    assert_int_equal (held[1].nodes[0], 1);
    assert_false (take (resources, 0, &held[2]));
    resources_release (resources, 0, &held[0].binding);
    assert_true (take (resources, 0, &held[2]));
    resources_free (&resources);
    machine_fini (&machine);
}

static void a_drained_node_gets_nothing_new_and_a_lost_one_is_not_counted (void **state)
{
    struct machine machine = summit (2);
    struct resources *resources = resources_new (&machine, scale_run, REQUESTS);
    struct resources_figures figures;
    struct held held[3];
    assert_true (take (resources, SIMULATION, &held[0]));
    assert_int_equal (resources_set_node (resources, 0, RESOURCES_DRAINED), 0);
    assert_true (take (resources, SIMULATION, &held[1]));
    assert_int_equal (held[1].nodes[0], 1);
    resources_release (resources, SIMULATION, &held[0].binding);
    assert_int_equal (resources_set_node (resources, 1, RESOURCES_LOST), 0);
    resources_figures (resources, &figures);
    assert_int_equal (figures.gpus, 6);
    assert_int_equal (figures.gpus_busy, 0);
    assert_int_equal (figures.nodes_lost, 1);
    assert_int_equal (figures.nodes_drained, 1);
    assert_false (take (resources, SIMULATION, &held[2]));
    resources_release (resources, SIMULATION, &held[1].binding);    /* of a lost node: nothing comes free */
    assert_int_equal (resources_set_node (resources, 1, RESOURCES_UP), 0);
    assert_int_equal (resources_set_node (resources, 0, RESOURCES_UP), 0);
    resources_figures (resources, &figures);
    assert_int_equal (figures.gpus, 12);
    assert_int_equal (figures.gpus_busy, 0);
    assert_int_equal (figures.cores_busy, 0);
    assert_int_equal (resources_set_node (resources, 2, RESOURCES_UP), -1);
    resources_free (&resources);
    machine_fini (&machine);
}

static void what_is_held_on_nodes_that_are_gone_is_left_out (void **state)
{
    struct machine machine = summit (1);
    struct resources *resources = resources_new (&machine, scale_run, REQUESTS);
    struct resources_figures figures;
    uint32_t node = 17, cores[] = { 1, 2, 3 }, gpu = 0;
    struct resources_binding binding = { &node, cores, &gpu, 1, 3, 1 };
    resources_hold (resources, SIMULATION, &binding);
    node = 0;
    cores[2] = 99999;
    gpu = 63;
    resources_hold (resources, SIMULATION, &binding);
    resources_figures (resources, &figures);
    assert_int_equal (figures.cores_busy, 2);
    assert_int_equal (figures.gpus_busy, 0);
    resources_release (resources, SIMULATION, &binding);
    resources_figures (resources, &figures);
    assert_int_equal (figures.cores_busy, 0);
    resources_free (&resources);
    machine_fini (&machine);
}

static void a_request_larger_than_the_machine_is_not_possible (void **state)
{
    const struct resources_request requests[] = {
        { .nodes = 3, .parts = { { 1, 0, true, MACHINE_LEVELS } }, .parts_count = 1 },
        { .nodes = 1, .parts = { { 43, 0, true, MACHINE_LEVELS } }, .parts_count = 1 },
        { .nodes = 1, .parts = { { 40, 0, true, MACHINE_LEVELS } }, .parts_count = 1 },
        { .nodes = 1, .parts = { { 3, 1, true, MACHINE_LEVELS } }, .parts_count = 1 },
    };
    struct machine machine = summit (2);
    struct resources *resources = resources_new (&machine, requests, 4);
    assert_false (resources_possible (resources, 0));
    assert_false (resources_possible (resources, 1));
    assert_true (resources_possible (resources, 2));
    assert_false (resources_leaves_gpus_theirs (resources, 2));     /* it can't: 40 + 18 cores are more than there are */
    assert_true (resources_possible (resources, 3));
    resources_free (&resources);
    machine_fini (&machine);
}

/* ---- against a plain search ---- */

struct plain {
    unsigned cores, gpus;
};

static long plain_first (const struct plain *nodes, size_t count, unsigned cores, unsigned gpus, unsigned keep)
{
    for (size_t i = 0; i < count; i++)
        if (nodes[i].gpus >= gpus && nodes[i].cores >= cores + (gpus ? 0 : keep * nodes[i].gpus))
            return (long)i;
    return -1;
}

/* Random takes and releases: always the node that a search from the first one finds, and nothing is given twice. */
static void every_choice_is_that_of_a_plain_search (void **state)
{
    enum { NODES = 500, JOBS = 6000, STEPS = 60000 };
    struct machine machine = summit (NODES);
    struct resources *resources = resources_new (&machine, scale_run, REQUESTS);
    struct plain nodes[NODES];
    struct held *held = calloc (JOBS, sizeof (*held));
    uint64_t *busy = calloc (NODES, sizeof (*busy));
    unsigned seed = 5, placed = 0, refused = 0;
    for (size_t i = 0; i < NODES; i++)
        nodes[i] = (struct plain){ 42, 6 };
    for (int step = 0; step < STEPS; step++) {
        struct held *job = &held[(size_t)rand_r (&seed) % JOBS];
        if (!job->binding.nodes_count) {
            size_t request = (size_t)rand_r (&seed) % 8 == 0 ? SETUP : SIMULATION;
            unsigned cores = resources_cores (&scale_run[request]), gpus = resources_gpus (&scale_run[request]);
            long expected = plain_first (nodes, NODES, cores, gpus, 3);
            bool took = take (resources, request, job);
            assert_int_equal (took, expected >= 0);
            placed += took;
            refused += !took;
            if (!took)
                continue;
            assert_int_equal (job->nodes[0], expected);
            nodes[expected].cores -= cores;
            nodes[expected].gpus -= gpus;
            for (size_t i = 0; i < job->binding.cores_count; i++) {
                assert_false (busy[expected] >> job->cores[i] & 1);
                busy[expected] |= UINT64_C (1) << job->cores[i];
            }
        }
        else if (rand_r (&seed) % 4 == 0) {
            nodes[job->nodes[0]].cores += (unsigned)job->binding.cores_count;
            nodes[job->nodes[0]].gpus += (unsigned)job->binding.gpus_count;
            for (size_t i = 0; i < job->binding.cores_count; i++)
                busy[job->nodes[0]] &= ~(UINT64_C (1) << job->cores[i]);
            resources_release (resources, job->request, &job->binding);
            job->binding.nodes_count = 0;
        }
    }
    assert_true (placed > JOBS && refused > 0);
    free (busy);
    free (held);
    resources_free (&resources);
    machine_fini (&machine);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_described_socket_keeps_its_reserved_cores),
        cmocka_unit_test (this_machine_has_the_processors_that_we_may_use),
        cmocka_unit_test (the_lowest_node_where_it_fits_is_taken),
        cmocka_unit_test (a_simulation_and_its_analysis_sit_in_the_socket_of_their_gpu),
        cmocka_unit_test (a_set_up_job_leaves_each_free_gpu_its_cores),
        cmocka_unit_test (a_wish_that_cannot_be_kept_keeps_no_gpu_idle),
        cmocka_unit_test (a_job_of_several_nodes_waits_until_all_of_them_have_room),
        cmocka_unit_test (memory_counts_where_it_is_known),
        cmocka_unit_test (a_drained_node_gets_nothing_new_and_a_lost_one_is_not_counted),
        cmocka_unit_test (what_is_held_on_nodes_that_are_gone_is_left_out),
        cmocka_unit_test (a_request_larger_than_the_machine_is_not_possible),
        cmocka_unit_test (every_choice_is_that_of_a_plain_search),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
