/* test_schedule_core.c - the scheduler's core in the world of schedule_world.h: chains, places, failures, crashes. */
#include "schedule_world.h"

static void the_state_table_allows_these_moves_and_no_others (void **state)
{
    static const char *const rows[7] = {
        /* to: P W L R S A C */
        [S (PROPOSED)] = ".W....C", [S (WAITING)] = "..L...C", [S (LAUNCHING)] = ".W.R.AC", [S (RUNNING)] = ".W..SAC",
        [S (SUCCEEDED)] = ".......", [S (ASIDE)] = ".W.....", [S (CANCELLED)] = ".......",
    };
    for (unsigned from = 0; from < 9; from++)
        for (unsigned to = 0; to < 9; to++) {
            bool allowed = from < 7 && to < 7 && rows[from][to] != '.';
            assert_int_equal (schedule_state_allows ((Strata__JobState)from, (Strata__JobState)to), allowed);
        }
}

static void a_job_that_breaks_a_rule_of_its_state_is_refused (void **state)
{
    struct strata_error error;
    uint32_t cores[1] = { 0 };
    Strata__Job job = STRATA__JOB__INIT;
    job.id = (char *)"createsim-000001";
    job.tries_limit = 2;
    job.state = S (WAITING);
    assert_int_equal (schedule_state_check (&job, &job_types[1], &error), 0);
    job.tries = job.attempt = 2;
    assert_int_equal (schedule_state_check (&job, &job_types[1], &error), -1);
    job.state = S (ASIDE);
    assert_int_equal (schedule_state_check (&job, &job_types[1], &error), -1);   /* no reason */
    job.reason = (char *)"x";
    assert_int_equal (schedule_state_check (&job, &job_types[1], &error), 0);
    job.state = S (RUNNING);
    job.started_us = 1;
    assert_int_equal (schedule_state_check (&job, &job_types[1], &error), -1);   /* no core */
    job.cores = cores;
    job.n_cores = 1;
    job.nodes = cores;
    job.n_nodes = 1;
    assert_int_equal (schedule_state_check (&job, &job_types[1], &error), 0);
    job.state = S (SUCCEEDED);
    assert_int_equal (schedule_state_check (&job, &job_types[1], &error), -1);
    assert_non_null (strstr (error.text, "createsim-000001"));
}

static void a_selection_becomes_a_chain_of_jobs (void **state)
{
    struct world *world = world_new (0, 3, 2);
    world->candidates_max = 1;
    up (world);
    until_state (world, "cg-000001", S (SUCCEEDED));
    Strata__Job *one = job_of (world, "createsim-000001"), *two = job_of (world, "cg-000001");
    assert_int_equal (one->state, S (SUCCEEDED));
    assert_string_equal (one->candidate, "candidate/0");
    assert_string_equal (two->simulation, "candidate/0");
    assert_string_equal (two->input, one->dir);
    assert_string_equal (two->dir, "/workspace/jobs/cg-000001");
    assert_int_equal (two->attempt, 1);
    strata__job__free_unpacked (one, NULL);
    strata__job__free_unpacked (two, NULL);
    turns (world, 100);
    assert_int_equal (count_jobs (world, "cg", "", ""), 1);
    check_world (world);
    world_free (world);
}

static void no_more_than_buffer_are_prepared_ahead (void **state)
{
    struct world *world = world_new (1, 2, 1);
    world->types[0].buffer = 3;
    up (world);
    size_t most = 0, prepared = 0;
    for (int i = 0; i < 600; i++) {
        struct schedule_figures all;
        turn (world);
        schedule_figures (world->drive.core, &all);
        size_t ahead = count_jobs (world, "createsim", "proposed", "") + count_jobs (world, "createsim", "waiting", "")
                       + count_jobs (world, "createsim", "launching", "")
                       + count_jobs (world, "createsim", "running", "") + all.buffer_ready;
        most = ahead > most ? ahead : most;
        prepared = all.buffer_ready > prepared ? all.buffer_ready : prepared;
        assert_true (all.cores_busy <= 1);
    }
    assert_int_equal (most, 3);
    assert_true (prepared >= 1);
    /* The one core went to the later scale whenever there was a choice: nothing piles up between the two. */
    size_t done = count_jobs (world, "cg", "succeeded", "");
    assert_true (done > 15);
    assert_true (count_jobs (world, "createsim", "succeeded", "") - done <= 2);
    check_world (world);
    world_free (world);
}

static void an_empty_answer_is_asked_again_after_a_growing_pause (void **state)
{
    struct world *world = world_new (1, 2, 2);
    world->candidates = world->candidates_max = 5;
    up (world);
    turns (world, 600);
    /* 60 s: after 1, 2, 4, 5, 5 ... s */
    assert_in_range (world->names_count, 12, 15);
    world->candidates_max = 6;
    turns (world, 60);
    assert_int_equal (count_jobs (world, "", "", "candidate/5"), 2);
    world_free (world);
}

static void a_stale_proposal_leaves_no_job_and_its_candidate_can_come_again (void **state)
{
    struct world *world = world_new (1, 2, 2);
    world->types[0].buffer = 1;
    up (world);
    turn (world);
    assert_int_equal (state_of (world, "createsim-000001"), S (PROPOSED));
    world->names[0].state = NAME_EXPIRED;
    world->candidates = 0;
    turn (world);
    assert_int_equal (state_of (world, "createsim-000001"), -1);
    assert_string_equal (world->last_event, "proposal-stale");
    until_state (world, "cg-000001", S (SUCCEEDED));
    assert_int_equal (count_jobs (world, "createsim", "", "candidate/0"), 1);
    assert_int_equal (state_of (world, "createsim-000001"), -1);
    world_free (world);
}

static void a_question_whose_name_is_stale_is_asked_under_a_new_one (void **state)
{
    struct world *world = world_new (1, 2, 2);
    up (world);
    world->now_us += SECOND;
    schedule_tick (world->drive.core, world->now_us);
    assert_int_equal (schedule_proposals (world->drive.core), 1);
    assert_string_equal (schedule_proposal_at (world->drive.core, 0)->name, "p-00000001");
    schedule_stale (world->drive.core, "p-00000001", world->now_us);
    assert_int_equal (schedule_proposals (world->drive.core), 0);
    schedule_tick (world->drive.core, world->now_us);
    assert_string_equal (schedule_proposal_at (world->drive.core, 0)->name, "p-00000002");
    /* No answer: the same name again, after a pause. */
    schedule_proposal_sent (world->drive.core, 0);
    assert_false (schedule_proposal_due (world->drive.core, 0, world->now_us + 3600 * SECOND));
    schedule_unanswered (world->drive.core, "p-00000002", "no answer", world->now_us);
    assert_false (schedule_proposal_due (world->drive.core, 0, world->now_us));
    assert_true (schedule_proposal_due (world->drive.core, 0, world->now_us + SECOND));
    world_free (world);
}

static void sometimes_fails (struct world *world, const char *id, uint32_t attempt, struct outcome *outcome)
{
    unsigned number = (unsigned)atoi (strrchr (id, '-') + 1);
    if (number % 3 == 2 && attempt == 1)
        outcome->code = 3;
    else if (number % 4 == 3)
        outcome->end = attempt == 1 ? END (LOST) : outcome->end;
}

static void a_crash_at_any_point_leaves_each_selection_one_chain_and_each_attempt_one_start (void **state)
{
    size_t crashes = 0;
    for (long at = 0; at < 400; at++) {
        struct world *world = world_new (0, 3, 2);
        world->candidates_max = 4;
        world->decide = sometimes_fails;
        world->crash_in = at;
        up (world);
        for (int i = 0; i < 400 && count_jobs (world, "cg", "succeeded", "") < 4; i++)
            turn (world);
        assert_int_equal (count_jobs (world, "cg", "succeeded", ""), 4);
        assert_int_equal (count_jobs (world, "createsim", "", ""), 4);
        check_world (world);
        crashes += world->crashes;
        bool through = world->crashes == 0;
        world_free (world);
        if (through)
            break;
    }
    assert_true (crashes > 60);
}

static void fails (struct world *world, const char *id, uint32_t attempt, struct outcome *outcome)
{
    outcome->code = 3;
    snprintf (outcome->reason, sizeof (outcome->reason), "ended with exit code 3");
    snprintf (outcome->stderr_tail, sizeof (outcome->stderr_tail), "first\nno force field");
}

static void a_job_that_fails_is_tried_again_and_then_set_aside_with_its_reason (void **state)
{
    struct world *world = world_new (1, 2, 2);
    world->candidates_max = 1;
    world->decide = fails;
    up (world);
    until_state (world, "createsim-000001", S (ASIDE));
    Strata__Job *job = job_of (world, "createsim-000001");
    assert_int_equal (job->attempt, 2);
    assert_int_equal (job->tries, 2);
    assert_int_equal (job->end, END (EXIT));
    assert_int_equal (job->code, 3);
    assert_string_equal (job->reason, "exit code 3: no force field");
    assert_string_equal (job->stderr_tail, "first\nno force field");
    assert_int_equal (job->n_cores, 0);
    strata__job__free_unpacked (job, NULL);
    assert_string_equal (world->last_event, "job-aside");
    assert_non_null (strstr (world->last_text, "no force field"));
    turns (world, 50);
    assert_int_equal (world->starts_count, 2);
    assert_int_equal (count_jobs (world, "cg", "", ""), 0);
    world_free (world);
}

static void the_reason_of_a_failure_has_its_last_words_where_they_tell_more (void **state)
{
    static const struct {
        Strata__JobEnd end;
        int code;
        const char *reason, *tail, *told;
    } cases[] = {
        { END (EXIT), 4, "ended with exit code 4", "a\nGROMACS is missing\n\n", "exit code 4: GROMACS is missing" },
        { END (EXIT), 4, "ended with exit code 4; 2 processes that it left behind were ended", "",
          "exit code 4; 2 processes that it left behind were ended" },
        { END (EXIT), 1, "", "only words", "exit: only words" },
        { END (SIGNAL), 11, "killed by signal 11 (Segmentation fault)", "step 5", "killed by signal 11 (Segmentation fault): step 5" },
        { END (NO_OUTPUT), 0, "ended with exit code 0, but its file x is missing", "no room",
          "ended with exit code 0, but its file x is missing: no room" },
        { END (WALLTIME), 0, "still ran after its walltime of 5 s and was ended", "step 5",
          "still ran after its walltime of 5 s and was ended" },
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        struct outcome outcome = { .end = cases[i].end, .code = cases[i].code };
        struct world *world = world_new (1, 2, 2);
        world->candidates_max = 1;
        snprintf (outcome.reason, sizeof (outcome.reason), "%s", cases[i].reason);
        snprintf (outcome.stderr_tail, sizeof (outcome.stderr_tail), "%s", cases[i].tail);
        up (world);
        until_state (world, "createsim-000001", S (RUNNING));
        assert_int_equal (schedule_ended (world->drive.core, "createsim-000001", 1, &outcome, world->now_us, NULL), 0);
        Strata__Job *job = job_of (world, "createsim-000001");
        assert_string_equal (job->reason, cases[i].told);
        strata__job__free_unpacked (job, NULL);
        world_free (world);
    }
}

static void assert_moves (const Strata__Job *job, size_t count, const Strata__Move *moves)
{
    assert_int_equal (job->n_moves, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal (job->moves[i]->state, moves[i].state);
        assert_int_equal (job->moves[i]->attempt, moves[i].attempt);
        assert_string_equal (job->moves[i]->reason, moves[i].reason);
        assert_true (job->moves[i]->time_us >= (i ? job->moves[i - 1]->time_us : job->created_us));
    }
    assert_int_equal (job->moves[count - 1]->state, job->state);
}

#define MOVE(s, a, r) { .state = S (s), .attempt = (a), .reason = (char *)(r) }

static void a_job_knows_each_of_its_moves_with_time_and_reason (void **state)
{
    struct world *world = world_new (1, 2, 2);
    world->decide = fails;
    world->candidates_max = 1;
    up (world);
    until_state (world, "createsim-000001", S (ASIDE));
    crash (world);
    Strata__Job *job = job_of (world, "createsim-000001");
    const Strata__Move set_aside[] = {
        MOVE (PROPOSED, 0, "selected"), MOVE (WAITING, 0, "select knows that it was taken"),
        MOVE (LAUNCHING, 1, ""), MOVE (RUNNING, 1, ""), MOVE (WAITING, 1, job->reason),
        MOVE (LAUNCHING, 2, ""), MOVE (RUNNING, 2, ""), MOVE (ASIDE, 2, job->reason),
    };
    assert_moves (job, 8, set_aside);
    assert_true (job->moves[5]->time_us - job->moves[4]->time_us >= SECOND); /* the pause before a try */
    strata__job__free_unpacked (job, NULL);
    /* A success is what the next job of the chain begins with. */
    size_t n = 0;
    world->decide = NULL;
    assert_int_equal (schedule_retry (world->drive.core, "createsim-000001", "", ignore_id, &n, world->now_us, NULL), 0);
    until_state (world, "createsim-000001", S (SUCCEEDED));
    job = job_of (world, "createsim-000001");
    assert_string_equal (job->moves[8]->reason, "asked for by hand");
    strata__job__free_unpacked (job, NULL);
    until_state (world, "cg-000001", S (RUNNING));
    job = job_of (world, "cg-000001");
    const Strata__Move runs[] = { MOVE (WAITING, 0, "follows createsim-000001"), MOVE (LAUNCHING, 1, ""), MOVE (RUNNING, 1, "") };
    assert_moves (job, 3, runs);
    strata__job__free_unpacked (job, NULL);
    world_free (world);
}

static void a_job_that_moves_for_ever_keeps_its_first_and_last_moves (void **state)
{
    struct world *world = world_new (0, 1, 1);
    up (world);
    turns (world, 6000);
    Strata__Job *job = job_of (world, "macro-000001");
    assert_true (job->attempt > 12);
    assert_int_equal (job->n_moves, 26);
    assert_string_equal (job->moves[0]->reason, "the campaign needs one");
    assert_int_equal (job->moves[0]->time_us, job->created_us);
    assert_int_equal (job->moves[1]->attempt, 1);
    assert_int_equal (job->moves[25]->attempt, job->attempt);
    assert_int_equal (job->moves[25]->state, job->state);
    strata__job__free_unpacked (job, NULL);
    world_free (world);
}

static void an_always_job_starts_again_after_a_clean_end (void **state)
{
    struct world *world = world_new (0, 1, 1);
    up (world);
    turns (world, 200);
    assert_true (world->starts_count >= 3);
    assert_int_equal (count_jobs (world, "macro", "", ""), 1);
    assert_int_equal (shard_get_u64 (world->shard, "succ/macro", 0) + 1, world->starts_count);
    assert_null (schedule_trouble (world->drive.core, world->now_us));
    world_free (world);
}

/* Attempts 1, 2, ... of the first job end with these codes. */
static const int *codes;
static void ends_with_codes (struct world *world, const char *id, uint32_t attempt, struct outcome *outcome)
{
    outcome->code = strncmp (id, "createsim", 9) == 0 ? codes[attempt - 1] : 0;
}

static Strata__Job *run_with_codes (struct world *world, const char *exit_codes, const int *list, Strata__JobState end)
{
    for (size_t i = 0; i < sizeof (world->types) / sizeof (world->types[0]); i++)
        world->types[i].exit_codes = (char *)exit_codes;
    codes = list;
    world->candidates_max = 1;
    world->decide = ends_with_codes;
    up (world);
    until_state (world, "createsim-000001", end);
    return job_of (world, "createsim-000001");
}

static void merlins_exit_codes_mean_what_they_mean_there_where_the_type_says_so (void **state)
{
    struct world *world = world_new (1, 2, 2);
    /* Restart twice, a failure to try again, restart, hard fail: of two tries the second is the last, which is not used up by 100. */
    Strata__Job *job = run_with_codes (world, "merlin", (int[]){ 100, 100, 104, 100, 102 }, S (ASIDE));
    assert_int_equal (job->attempt, 5);
    assert_int_equal (job->tries, 2);
    strata__job__free_unpacked (job, NULL);
    world_free (world);
    world = world_new (1, 2, 2);
    job = run_with_codes (world, "merlin", (int[]){ 101 }, S (ASIDE));
    assert_int_equal (job->attempt, 1);
    /* 101 is of that one alone, however many there are; 102 is of all. */
    struct schedule_figures figures;
    world->candidates_max = 6;
    turns (world, 300);
    assert_int_equal (count_jobs (world, "createsim", "aside", ""), 6);
    schedule_figures (world->drive.core, &figures);
    assert_int_equal (figures.paused, 0);
    strata__job__free_unpacked (job, NULL);
    world_free (world);
    world = world_new (1, 2, 2);
    job = run_with_codes (world, "merlin", (int[]){ 102 }, S (ASIDE));
    schedule_figures (world->drive.core, &figures);
    assert_int_equal (figures.paused, 1);
    strata__job__free_unpacked (job, NULL);
    world_free (world);
    world = world_new (1, 2, 2);
    job = run_with_codes (world, "merlin", (int[]){ 104, 103 }, S (SUCCEEDED));
    assert_int_equal (job->attempt, 2);
    strata__job__free_unpacked (job, NULL);
    world_free (world);
    /* Without the key they are failures like any other. */
    world = world_new (1, 2, 2);
    job = run_with_codes (world, "plain", (int[]){ 100, 103 }, S (ASIDE));
    assert_int_equal (job->attempt, 2);
    assert_int_equal (job->tries, 2);
    strata__job__free_unpacked (job, NULL);
    world_free (world);
}

static void an_always_job_that_fails_in_a_row_is_set_aside_loudly (void **state)
{
    struct world *world = world_new (0, 1, 1);
    world->decide = fails;
    up (world);
    until_state (world, "macro-000001", S (ASIDE));
    assert_int_equal (world->starts_count, 3);
    assert_non_null (schedule_trouble (world->drive.core, world->now_us));
    assert_non_null (strstr (schedule_trouble (world->drive.core, world->now_us), "macro"));
    turns (world, 50);
    assert_int_equal (count_jobs (world, "macro", "", ""), 1);
    world_free (world);
}

static void hits_walltime (struct world *world, const char *id, uint32_t attempt, struct outcome *outcome)
{
    outcome->end = END (WALLTIME);
}

static void the_walltime_of_an_always_job_is_no_failure (void **state)
{
    struct world *world = world_new (0, 1, 1);
    world->decide = hits_walltime;
    up (world);
    turns (world, 100);
    assert_true (world->starts_count > 5);
    assert_int_not_equal (state_of (world, "macro-000001"), S (ASIDE));
    world_free (world);
}

static void fails_but_for_each_third (struct world *world, const char *id, uint32_t attempt, struct outcome *outcome)
{
    if (attempt % 3 == 0)
        hits_walltime (world, id, attempt, outcome);
    else
        fails (world, id, attempt, outcome);
}

static void failures_of_an_always_job_with_a_walltime_between_are_not_in_a_row (void **state)
{
    struct world *world = world_new (0, 1, 1);
    world->decide = fails_but_for_each_third;
    up (world);
    turns (world, 300);
    assert_true (world->starts_count > 6);
    assert_int_not_equal (state_of (world, "macro-000001"), S (ASIDE));
    world_free (world);
}

static void an_always_job_that_is_the_goal_ends_when_it_is_reached (void **state)
{
    struct world *world = world_new (0, 1, 1);
    world->campaign.goal.job = (char *)"macro";
    world->campaign.goal.successes = 2;
    up (world);
    until_state (world, "macro-000001", S (SUCCEEDED));
    turns (world, 50);
    assert_int_equal (world->starts_count, 2);
    world_free (world);
}

static void a_waiting_job_is_cancelled_at_once (void **state)
{
    struct world *world = world_new (1, 2, 1);
    world->candidates_max = 2;
    world->runtime_us = 1000 * SECOND;
    up (world);
    until_state (world, "createsim-000001", S (RUNNING));
    assert_int_equal (state_of (world, "createsim-000002"), S (WAITING));
    assert_int_equal (cancel (world, "createsim-000002"), 1);
    assert_int_equal (state_of (world, "createsim-000002"), S (CANCELLED));
    assert_int_equal (cancel (world, "createsim-000002"), 0);
    assert_int_equal (cancel (world, "no-such"), 0);
    world_free (world);
}

static void a_running_job_is_cancelled_when_it_has_ended_and_nothing_follows_it (void **state)
{
    struct world *world = world_new (1, 2, 1);
    world->candidates_max = 1;
    world->runtime_us = 1000 * SECOND;
    up (world);
    until_state (world, "createsim-000001", S (RUNNING));
    assert_int_equal (cancel (world, "candidate/0"), 1);
    assert_int_equal (state_of (world, "createsim-000001"), S (RUNNING));
    crash (world);
    turns (world, 5);
    assert_int_equal (state_of (world, "createsim-000001"), S (CANCELLED));
    turns (world, 20);
    assert_int_equal (count_jobs (world, "cg", "", ""), 0);
    assert_int_equal (world->starts_count, 1);
    world_free (world);
}

static void a_proposed_job_is_cancelled_once_it_is_confirmed (void **state)
{
    struct world *world = world_new (1, 2, 1);
    world->candidates_max = 1;
    up (world);
    turn (world);
    assert_int_equal (state_of (world, "createsim-000001"), S (PROPOSED));
    assert_int_equal (cancel (world, "createsim-000001"), 1);
    turns (world, 20);
    assert_int_equal (state_of (world, "createsim-000001"), S (CANCELLED));
    assert_int_equal (world->names[0].state, NAME_CONFIRMED);
    assert_int_equal (world->starts_count, 0);
    world_free (world);
}

static void jobs_stopped_with_the_campaign_wait_and_lose_no_try (void **state)
{
    struct world *world = world_new (0, 3, 2);
    world->candidates_max = 2;
    world->runtime_us = 1000 * SECOND;
    up (world);
    until_state (world, "createsim-000002", S (RUNNING));
    schedule_drain (world->drive.core);
    for (int i = 0; i < 10 && drive_in_hands (&world->drive); i++)
        turn (world);
    assert_int_equal (drive_in_hands (&world->drive), 0);
    assert_int_equal (count_jobs (world, "", "waiting", ""), 3);
    crash (world);
    until_state (world, "createsim-000001", S (RUNNING));
    Strata__Job *job = job_of (world, "createsim-000001");
    assert_int_equal (job->attempt, 2);
    assert_int_equal (job->tries, 0);
    strata__job__free_unpacked (job, NULL);
    world_free (world);
}

static void expect_attempt (struct world *world, const char *id, uint32_t attempt, Strata__JobEnd before)
{
    Strata__Job *job = job_of (world, id);
    assert_int_equal (job->attempt, attempt);
    assert_int_equal (job->end, before);
    assert_int_equal (job->tries, 0);
    strata__job__free_unpacked (job, NULL);
}

static void a_job_whose_node_is_lost_begins_anew_elsewhere_and_loses_no_try (void **state)
{
    struct world *world = world_new (1, 2, 2);
    world->candidates_max = 1;
    world->runtime_us = 1000 * SECOND;
    up (world);
    /* Oftener than it has tries. */
    for (uint32_t attempt = 1; attempt <= 5; attempt++) {
        until_state (world, "createsim-000001", S (RUNNING));
        expect_attempt (world, "createsim-000001", attempt, attempt == 1 ? END (NONE) : END (NODE));
        assert_int_equal (schedule_set_node (world->drive.core, 0, RESOURCES_LOST, world->now_us, NULL), 0);
        assert_int_equal (state_of (world, "createsim-000001"), S (WAITING));
        assert_int_equal (schedule_set_node (world->drive.core, 0, RESOURCES_UP, world->now_us, NULL), 0);
    }
    world_free (world);
}

/* A loss of power can take back from an attempt's folder that it began: the store alone tells that it may have. */
static void after_a_restart_of_the_machine_no_attempt_begins_a_second_time (void **state)
{
    struct world *world = world_new (1, 2, 2);
    world->candidates_max = 1;
    world->runtime_us = 1000 * SECOND;
    up (world);
    until_state (world, "createsim-000001", S (LAUNCHING));
    drive_machine_restarted (&world->drive, world->now_us);
    until_state (world, "createsim-000001", S (RUNNING));
    expect_attempt (world, "createsim-000001", 2, END (NODE));
    drive_machine_restarted (&world->drive, world->now_us); /* its folder tells that it runs: on another machine's word it stays */
    assert_int_equal (state_of (world, "createsim-000001"), S (RUNNING));
    world->starts_count = 0;
    drive_machine_restarted (&world->drive, world->now_us);
    until_state (world, "createsim-000001", S (RUNNING));
    expect_attempt (world, "createsim-000001", 3, END (NODE));
    assert_int_equal (world->starts_count, 1);
    world_free (world);
}

static void jobs_get_cores_of_their_own_and_later_scales_come_first (void **state)
{
    struct world *world = world_new (1, 2, 4);
    world->types[0].buffer = 8;
    world->candidates_max = 8;
    up (world);
    until_state (world, "createsim-000001", S (RUNNING));
    unsigned used[8] = { 0 };
    for (size_t i = 0; i < schedule_live (world->drive.core); i++) {
        const Strata__Job *job = schedule_job_at (world->drive.core, i);
        for (size_t j = 0; j < job->n_cores; j++)
            assert_int_equal (used[job->cores[j]]++, 0);
    }
    assert_int_equal (used[1] + used[3] + used[5] + used[7], 4);
    /* A restart knows which are taken. */
    struct schedule_figures all;
    crash (world);
    schedule_figures (world->drive.core, &all);
    assert_int_equal (all.cores_busy, 4);
    turns (world, 15);
    /* The first four are prepared, the other four wait: the four cores go to what was prepared. */
    assert_int_equal (count_jobs (world, "cg", "running", "") + count_jobs (world, "cg", "succeeded", ""), 4);
    assert_int_equal (count_jobs (world, "createsim", "succeeded", ""), 4);
    world_free (world);
}

static void a_wide_job_is_not_starved_by_narrow_ones (void **state)
{
    struct world *world = world_new (1, 2, 2);
    world->types[0].buffer = 16;
    world->types[1].cores = 2;
    world->uneven = true;
    up (world);
    until_state (world, "cg-000001", S (RUNNING));
    /* Each core was left alone when it came free: no third one of the narrow jobs was started. */
    assert_int_equal (world->starts_count, 3);
    turns (world, 400);
    assert_true (count_jobs (world, "cg", "succeeded", "") >= 8);
    world_free (world);
}

static void asking_for_more_cores_than_there_are_is_told (void **state)
{
    struct world *world = world_new (1, 2, 2);
    world->campaign.schedule.cores = 64;
    up (world);
    assert_string_equal (world->last_event, "cores-missing");
    assert_non_null (strstr (schedule_trouble (world->drive.core, world->now_us), "schedule.cores: 64"));
    down (world);
    world->campaign.schedule.cores = 0;
    world->types[1].cores = 3;
    up (world);
    assert_non_null (strstr (schedule_trouble (world->drive.core, world->now_us), "cg need 3 cores"));
    world_free (world);
}

static void broken_answers_of_select_are_not_used (void **state)
{
    static const struct {
        const char *candidate;
        unsigned count;
    } cases[] = { { "", 1 }, { "a\nb", 1 }, { "a\xffz", 1 }, { "fine", 3 } };
    struct world *world = world_new (1, 2, 2);
    up (world);
    schedule_tick (world->drive.core, world->now_us);
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        Strata__ProposeReply reply = STRATA__PROPOSE_REPLY__INIT;
        Strata__Selection selection = STRATA__SELECTION__INIT, *list[3] = { &selection, &selection, &selection };
        selection.candidate = (char *)cases[i].candidate;
        reply.selections = list;
        reply.n_selections = cases[i].count;
        schedule_proposed (world->drive.core, "p-00000001", &reply, world->now_us);
        assert_string_equal (world->last_event, "proposal-broken");
        assert_int_equal (schedule_live (world->drive.core), 0);
        assert_int_equal (schedule_proposal_at (world->drive.core, 0)->state, STRATA__QUESTION_STATE__QUESTION_ASKED);
    }
    /* The same candidate twice gets one chain, and answers to unknown names nothing. */
    tell_proposed (world, "p-00000009", 0, 1);
    assert_int_equal (schedule_live (world->drive.core), 0);
    tell_proposed (world, "p-00000001", 7, 1);
    schedule_confirmed (world->drive.core, "p-00000001", world->now_us);
    schedule_tick (world->drive.core, world->now_us);
    tell_proposed (world, "p-00000002", 7, 1);
    assert_string_equal (world->last_event, "selection-repeated");
    assert_int_equal (count_jobs (world, "", "", "candidate/7"), 1);
    world_free (world);
}

static void outcomes_of_other_attempts_are_refused (void **state)
{
    struct strata_error error;
    struct outcome outcome = { .end = END (EXIT) };
    struct world *world = world_new (1, 2, 2);
    world->candidates_max = 1;
    up (world);
    until_state (world, "createsim-000001", S (RUNNING));
    assert_int_equal (schedule_ended (world->drive.core, "createsim-000001", 2, &outcome, world->now_us, &error), -1);
    assert_int_equal (schedule_ended (world->drive.core, "createsim-000009", 1, &outcome, world->now_us, &error), -1);
    assert_int_equal (schedule_ended (world->drive.core, "createsim-000001", 1, &outcome, world->now_us, &error), 0);
    assert_int_equal (schedule_ended (world->drive.core, "createsim-000001", 1, &outcome, world->now_us, &error), -1);
    assert_int_equal (count_jobs (world, "cg", "", ""), 1);
    world_free (world);
}

static void jobs_are_listed_newest_first_and_no_more_than_asked_for (void **state)
{
    struct strata_error error;
    Strata__Jobs query = STRATA__JOBS__INIT;
    Strata__JobsReply reply;
    struct world *world = world_new (1, 2, 2);
    world->candidates_max = 9;
    up (world);
    turns (world, 300);
    query.max = 4;
    assert_int_equal (schedule_jobs (world->shard, &query, &reply, &error), 0);
    assert_int_equal (reply.total, 18);
    assert_int_equal (reply.n_jobs, 4);
    assert_string_equal (reply.jobs[0]->id, "cg-000009");
    for (size_t i = 1; i < reply.n_jobs; i++)
        assert_true (reply.jobs[i - 1]->created_us >= reply.jobs[i]->created_us);
    schedule_jobs_fini (&reply);
    query.state = (char *)"asleep";
    assert_int_equal (schedule_jobs (world->shard, &query, &reply, &error), -1);
    world_free (world);
}

static void figures_count_what_there_is (void **state)
{
    struct schedule_figures all, cg;
    struct world *world = world_new (1, 2, 2);
    world->types[0].buffer = 1;
    world->candidates_max = 1;
    up (world);
    turns (world, 100);
    schedule_figures (world->drive.core, &all);
    schedule_type_figures (world->drive.core, 1, &cg);
    assert_int_equal (all.cores, 2);
    assert_int_equal (all.succeeded, 2);
    assert_int_equal (cg.succeeded, 1);
    assert_int_equal (all.running + all.waiting + all.aside + all.cancelled + all.cores_busy, 0);
    /* Two jobs of a second, and a turn or two around each, on one of two cores in 10 s. */
    assert_true (all.occupancy > 0.1 && all.occupancy < 0.15);
    crash (world);
    schedule_figures (world->drive.core, &all);
    assert_int_equal (all.succeeded, 2);
    world_free (world);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (the_state_table_allows_these_moves_and_no_others),
        cmocka_unit_test (a_job_that_breaks_a_rule_of_its_state_is_refused),
        cmocka_unit_test (a_selection_becomes_a_chain_of_jobs),
        cmocka_unit_test (no_more_than_buffer_are_prepared_ahead),
        cmocka_unit_test (an_empty_answer_is_asked_again_after_a_growing_pause),
        cmocka_unit_test (a_stale_proposal_leaves_no_job_and_its_candidate_can_come_again),
        cmocka_unit_test (a_question_whose_name_is_stale_is_asked_under_a_new_one),
        cmocka_unit_test (a_crash_at_any_point_leaves_each_selection_one_chain_and_each_attempt_one_start),
        cmocka_unit_test (a_job_that_fails_is_tried_again_and_then_set_aside_with_its_reason),
        cmocka_unit_test (the_reason_of_a_failure_has_its_last_words_where_they_tell_more),
        cmocka_unit_test (a_job_knows_each_of_its_moves_with_time_and_reason),
        cmocka_unit_test (a_job_that_moves_for_ever_keeps_its_first_and_last_moves),
        cmocka_unit_test (an_always_job_starts_again_after_a_clean_end),
        cmocka_unit_test (merlins_exit_codes_mean_what_they_mean_there_where_the_type_says_so),
        cmocka_unit_test (an_always_job_that_fails_in_a_row_is_set_aside_loudly),
        cmocka_unit_test (the_walltime_of_an_always_job_is_no_failure),
        cmocka_unit_test (failures_of_an_always_job_with_a_walltime_between_are_not_in_a_row),
        cmocka_unit_test (an_always_job_that_is_the_goal_ends_when_it_is_reached),
        cmocka_unit_test (a_waiting_job_is_cancelled_at_once),
        cmocka_unit_test (a_running_job_is_cancelled_when_it_has_ended_and_nothing_follows_it),
        cmocka_unit_test (a_proposed_job_is_cancelled_once_it_is_confirmed),
        cmocka_unit_test (jobs_stopped_with_the_campaign_wait_and_lose_no_try),
        cmocka_unit_test (a_job_whose_node_is_lost_begins_anew_elsewhere_and_loses_no_try),
        cmocka_unit_test (after_a_restart_of_the_machine_no_attempt_begins_a_second_time),
        cmocka_unit_test (jobs_get_cores_of_their_own_and_later_scales_come_first),
        cmocka_unit_test (a_wide_job_is_not_starved_by_narrow_ones),
        cmocka_unit_test (asking_for_more_cores_than_there_are_is_told),
        cmocka_unit_test (broken_answers_of_select_are_not_used),
        cmocka_unit_test (outcomes_of_other_attempts_are_refused),
        cmocka_unit_test (jobs_are_listed_newest_first_and_no_more_than_asked_for),
        cmocka_unit_test (figures_count_what_there_is),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
