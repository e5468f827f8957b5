/* test_executor_slurm.c - what is Slurm's own beside the contract: a server that is down, refusals, what Slurm does to jobs by
 * itself, and a Slurm that forgets. Against a real one of two nodes with two GPUs each. */
#include "executor_bench.h"

#define SLURM(command, ...) bench_command ("SLURM_CONF=%s/slurm.conf; export SLURM_CONF; " command, folder, ##__VA_ARGS__)

static char folder[] = "/tmp/strata-slurm-XXXXXX";

static void slurm_script (const char *what)
{
    bench_command ("'%s/scripts/slurm.sh' %s", root_dir, what);
}

static void start_slurm (void)
{
    char command[PATH_MAX + 200];
    snprintf (command, sizeof (command), "up %s --nodes 2 --cpus 8 --gpus 2 --set MinJobAge=2 --set MessageTimeout=3", folder);
    slurm_script (command);
}

static bool has_trouble (const struct bench *bench, const char *words)
{
    const char *trouble = bench->ops->trouble (bench->executor);
    return trouble && strstr (trouble, words);
}

static void the_nodes_are_slurms (void **state)
{
    struct bench *bench = bench_new (&executor_slurm);
    struct machine machine = { .count = 0 };
    struct strata_error error;
    assert_int_equal (bench->ops->capacity (bench->executor, &machine, &error), 0);
    assert_int_equal (machine.count, 1);
    assert_int_equal (machine.groups[0].nodes, 2);
    assert_int_equal (machine.groups[0].cores, 8);
    assert_int_equal (machine.groups[0].gpus, 2);
    assert_string_equal (machine.groups[0].names[1], "n2");
    machine_fini (&machine);
    bench_free (bench);
}

static void jobs_of_one_gpu_get_a_gpu_each_and_no_two_the_same (void **state)
{
    struct bench *bench = bench_new (&executor_slurm);
    for (int i = 0; i < 4; i++) {
        struct job *job = bench_job (bench, "echo $CUDA_VISIBLE_DEVICES > gpu; echo ${SLURMD_NODENAME#n} > node; echo 1 > ran; " UNTIL_GO);
        job->order.gpus_count = 1;
        job->environment[2] = "CUDA_VISIBLE_DEVICES=77";
    }
    unsigned seen = 0;
    for (size_t i = 0; i < 4; i++) {
        bench_wait_number (bench, bench->jobs[i], "ran");
        long node = bench_number (bench->jobs[i], "node"), gpu = bench_number (bench->jobs[i], "gpu");
        assert_in_range (node, 1, 2);
        assert_in_range (gpu, 0, 1);
        seen |= 1u << (2 * (node - 1) + gpu);
    }
    assert_int_equal (seen, 15);
    for (size_t i = 0; i < 4; i++)
        bench_go (bench->jobs[i]);
    bench_wait_all (bench);
    bench_free (bench);
}

static void what_slurm_refuses_ends_as_refused_and_says_why (void **state)
{
    struct bench *bench = bench_new (&executor_slurm);
    struct job *job = bench_job (bench, "true");
    job->order.gpus_count = 99;
    assert_int_equal (bench_wait_end (bench, job), EXECUTOR_ENDED);
    assert_int_equal (job->outcome.end, END (REFUSED));
    assert_non_null (strstr (job->outcome.reason, "refused by Slurm: "));
    assert_non_null (strstr (job->outcome.reason, "not available"));
    bench_free (bench);
}

static void a_job_that_somebody_cancels_in_slurm_has_stopped (void **state)
{
    struct bench *bench = bench_new (&executor_slurm);
    struct job *job = bench_job (bench, "echo 1 > ran; sleep 1000");
    bench_wait_number (bench, job, "ran");
    SLURM ("scancel -u $(id -u)");
    assert_int_equal (bench_wait_end (bench, job), EXECUTOR_ENDED);
    assert_int_equal (job->outcome.end, END (STOPPED));
    bench_free (bench);
}

static void the_engines_names_lead_to_our_jobs (void **state)
{
    struct bench *bench = bench_new (&executor_slurm);
    struct job *job = bench_job (bench, "echo 1 > ran; " UNTIL_GO);
    bench_wait_number (bench, job, "ran");
    SLURM ("squeue -h -o %%j | grep -q ':x-000001.1$'");
    bench_go (job);
    bench_wait_all (bench);
    bench_free (bench);
}

/* MinJobAge is 2 s here: what ended while nobody looked is told by its folder, and what Slurm has forgotten is not lost. */
static void an_end_that_slurm_has_forgotten_is_told_by_its_folder (void **state)
{
    struct bench *bench = bench_new (&executor_slurm);
    struct job *job = bench_job (bench, "echo 1 >> ran; exit 9");
    bench_wait_number (bench, job, "ran");
    bench->ops->close (&bench->executor);
    for (int64_t end_ms = bench_now_ms () + bench_limit_ms (); bench_now_ms () < end_ms; pause_ms (200))
        if (system ("[ -z \"$(squeue -h -t all -o %A)\" ]") == 0)
            break;
    bench->executor = bench_open (bench->ops, bench->workspace);
    assert_int_equal (bench_wait_end (bench, job), EXECUTOR_ENDED);
    assert_int_equal (job->outcome.code, 9);
    assert_int_equal (bench_lines (job, "ran"), 1);
    bench_free (bench);
}

static void while_slurmctld_is_down_jobs_wait_and_nothing_blocks (void **state)
{
    struct bench *bench = bench_new (&executor_slurm);
    struct job *runs = bench_job (bench, "echo 1 >> ran; " UNTIL_GO "; exit 3");
    char command[200];
    bench_wait_number (bench, runs, "ran");
    bench_wait_state (bench, runs, EXECUTOR_RUNNING);
    snprintf (command, sizeof (command), "stop %s ctld", folder);
    slurm_script (command);
    bench->longest_ms = 0;
    struct job *waits = bench_job (bench, "echo 1 >> ran");
    for (int64_t end_ms = bench_now_ms () + bench_limit_ms (); !has_trouble (bench, "Slurm does not answer") && bench_now_ms () < end_ms;)
        bench_tick (bench);
    assert_true (has_trouble (bench, "Unable to contact slurm controller"));
    assert_int_equal (waits->state, EXECUTOR_SUBMITTED);
    /* What ends now is seen in its folder. */
    bench_go (runs);
    assert_int_equal (bench_wait_end (bench, runs), EXECUTOR_ENDED);
    assert_int_equal (runs->outcome.code, 3);
    assert_in_range (bench->longest_ms, 0, 2000);
    start_slurm ();
    assert_int_equal (bench_wait_end (bench, waits), EXECUTOR_ENDED);
    assert_int_equal (waits->outcome.code, 0);
    assert_int_equal (bench_lines (waits, "ran"), 1);
    assert_null (bench->ops->trouble (bench->executor));
    bench_free (bench);
}

/* The node's daemon, its job's step and the job are gone at once, as when a machine loses its power. */
static void a_job_whose_node_fails_is_lost_and_can_be_tried_again (void **state)
{
    struct bench *bench = bench_new (&executor_slurm);
    struct job *job = bench_job (bench, "echo ${SLURMD_NODENAME#n} > node; echo $$ > pid; echo 1 > ran; exec sleep 1000");
    bench_wait_number (bench, job, "ran");
    bench_wait_state (bench, job, EXECUTOR_RUNNING);
    bench_command ("kill -KILL $(cat %s/n%ld.pid)", folder, bench_number (job, "node"));
    bench_kill_up_to (job, "slurmstepd");
    /* It would find out after SlurmdTimeout; a site's health check tells it at once. */
    SLURM ("scontrol update nodename=n$(cat %s/node) state=down reason=dead", job->dir);
    assert_int_equal (bench_wait_end (bench, job), EXECUTOR_LOST);
    assert_int_equal (job->outcome.end, END (NODE));
    if (!strstr (job->outcome.reason, "NODE_FAIL"))
        fail_msg ("%s", job->outcome.reason);
    bench_try_again (job, "echo 2 > again");
    assert_int_equal (bench_wait_end (bench, job), EXECUTOR_ENDED);
    if (bench_number (job, "again") != 2)
        fail_msg ("%s: %s", outcome_end_name (job->outcome.end), job->outcome.reason);
    start_slurm ();
    bench_free (bench);
}

static int slurm_down (void **state)
{
    char command[PATH_MAX + 200];
    snprintf (command, sizeof (command), "'%s/scripts/slurm.sh' down %s && rm -rf %s", root_dir, folder, folder);
    return system (command) != 0;
}

int main (void)
{
    bench_find_folders ();
    if (system ("PATH=$PATH:/usr/sbin; command -v slurmctld munged > /dev/null") != 0) {
        print_message ("slurm-wlm and munge are not installed: make deps-tests\n");
        return 77;
    }
    if (!mkdtemp (folder))
        return 1;
    char conf[64];
    snprintf (conf, sizeof (conf), "%s/slurm.conf", folder);
    setenv ("SLURM_CONF", conf, 1);
    start_slurm ();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (the_nodes_are_slurms),
        cmocka_unit_test (jobs_of_one_gpu_get_a_gpu_each_and_no_two_the_same),
        cmocka_unit_test (what_slurm_refuses_ends_as_refused_and_says_why),
        cmocka_unit_test (a_job_that_somebody_cancels_in_slurm_has_stopped),
        cmocka_unit_test (the_engines_names_lead_to_our_jobs),
        cmocka_unit_test (an_end_that_slurm_has_forgotten_is_told_by_its_folder),
        cmocka_unit_test (while_slurmctld_is_down_jobs_wait_and_nothing_blocks),
        cmocka_unit_test (a_job_whose_node_fails_is_lost_and_can_be_tried_again),
    };
    cmocka_set_test_filter (getenv ("ONLY"));
    return cmocka_run_group_tests (tests, NULL, slurm_down);
}
