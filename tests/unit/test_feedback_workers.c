/* test_feedback_workers.c - a pool of real processes: one that hangs or dies fails on its frame alone, and another takes its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../services/feedback/workers.h"
#include "core/procs.h"
#include "scratch.h"

/* What a frame says is done: `echo` answers it, `hang` answers never (and leaves a grandchild), `die` ends, `huge` answers without
 * end, `two` answers twice. Its process number is in each answer. */
static const char script[] =
    "import sys, json, os, subprocess, time\n"
    "print('{\"ready\": true}', flush=True)\n"
    "while line := sys.stdin.buffer.readline():\n"
    "    head = json.loads(line)\n"
    "    text = sys.stdin.buffer.read(head['bytes']).decode()\n"
    "    if text == 'hang':\n"
    "        subprocess.Popen(['sleep', '1000'])\n"
    "        time.sleep(1000)\n"
    "    if text == 'die': os._exit(7)\n"
    "    if text == 'huge': print('x' * 200000, flush=True)\n"
    "    print(json.dumps({'frame': head['frame'], 'text': text[:20], 'bytes': len(text), 'pid': os.getpid()}), flush=True)\n"
    "    if text == 'two': print('{}', flush=True)\n";

static char dir[64], path[80];

static int setup (void **state)
{
    assert_true (scratch_new (dir, sizeof (dir)));
    snprintf (path, sizeof (path), "%s/worker.py", dir);
    FILE *file = fopen (path, "w");
    assert_non_null (file);
    fputs (script, file);
    fclose (file);
    return 0;
}

static int teardown (void **state)
{
    char command[120], setting[100];
    snprintf (setting, sizeof (setting), "STRATA_WORKSPACE=%s", dir);
    /* No process is left, when those that were killed have come to their ends. */
    size_t left = 1;
    for (int i = 0; i < 5000 && left; i++) {
        left = procs_kill_by_environment ("STRATA_WORKER=patterns", setting, 0);
        nanosleep (&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    assert_int_equal (left, 0);
    snprintf (command, sizeof (command), "rm -rf '%s'", dir);
    return system (command);
}

static struct workers *pool (unsigned count, unsigned frame_ms)
{
    struct strata_error error = { "" };
    char *argv[] = { "/usr/bin/python3", path, NULL };
    struct workers *workers = workers_new (argv, dir, count, frame_ms, &error);
    if (!workers)
        fail_msg ("%s", error.text);
    return workers;
}

static void give (struct workers *workers, uint64_t number, const char *text, size_t size)
{
    char header[100];
    snprintf (header, sizeof (header), "{\"frame\": %llu, \"bytes\": %zu}", (unsigned long long)number, size);
    workers_give (workers, number, header, text, size);
}

/* Waits for a result; the text must be freed. */
static struct workers_result wait_for_result (struct workers *workers)
{
    struct workers_result result;
    for (int i = 0; i < 60000; i++) {
        if (workers_take (workers, &result))
            return result;
        nanosleep (&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    fail_msg ("no result came in a minute");
    return result;
}

static void each_frame_is_answered_by_one_of_the_workers (void **state)
{
    struct workers *workers = pool (2, 20000);
    size_t big = 3000000;
    char *bytes = malloc (big);
    bool seen[64] = { false };
    memset (bytes, 'a', big);
    for (unsigned i = 1; i <= 40; i++)
        give (workers, i, bytes, i == 7 ? big : i);
    for (int i = 0; i < 40; i++) {
        struct workers_result r = wait_for_result (workers);
        char wanted[40];
        assert_true (r.answered && r.number >= 1 && r.number <= 40 && !seen[r.number]);
        seen[r.number] = true;
        snprintf (wanted, sizeof (wanted), "\"bytes\": %zu,", r.number == 7 ? big : (size_t)r.number);
        assert_non_null (strstr (r.text, wanted));
        free (r.text);
    }
    char trouble[400];
    for (int i = 0; i < 60000 && workers_ready (workers, trouble) < 2; i++) /* one may have done all before the other was there */
        nanosleep (&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    assert_int_equal (workers_ready (workers, trouble), 2);
    assert_string_equal (trouble, "");
    free (bytes);
    workers_free (&workers);
}

static void one_that_hangs_is_killed_with_all_it_started_and_another_takes_its_place (void **state)
{
    struct workers *workers = pool (1, 700);
    give (workers, 1, "hang", 4);
    give (workers, 2, "echo", 4);
    struct workers_result r = wait_for_result (workers);
    assert_int_equal (r.number, 1);
    assert_false (r.answered);
    assert_string_equal (r.text, "it took longer than 0.7 s");
    free (r.text);
    r = wait_for_result (workers);
    assert_int_equal (r.number, 2);
    assert_true (r.answered);
    free (r.text);
    workers_free (&workers);
}

static void one_that_dies_or_says_too_much_fails_on_its_frame_alone (void **state)
{
    struct workers *workers = pool (1, 20000);
    give (workers, 1, "die", 3);
    give (workers, 2, "huge", 4);
    give (workers, 3, "echo", 4);
    struct workers_result r = wait_for_result (workers);
    assert_false (r.answered);
    assert_string_equal (r.text, "it ended with exit code 7");
    free (r.text);
    r = wait_for_result (workers);
    assert_false (r.answered);
    assert_non_null (strstr (r.text, "its answer has more than"));
    free (r.text);
    r = wait_for_result (workers);
    assert_true (r.answered);
    free (r.text);
    /* An answer that nobody asked for: the worker can't be trusted with the next frame. */
    give (workers, 4, "two", 3);
    r = wait_for_result (workers);
    assert_true (r.answered);
    free (r.text);
    give (workers, 5, "echo", 4);
    r = wait_for_result (workers);
    assert_int_equal (r.number, 5);
    free (r.text);
    workers_free (&workers);
}

static void a_program_that_is_not_there_or_no_worker_is_told_and_tried_again (void **state)
{
    struct strata_error error;
    char *missing[] = { "/nowhere/worker", NULL }, *other[] = { "/bin/echo", "hello", NULL }, trouble[400] = "";
    struct workers *workers = workers_new (missing, dir, 1, 1000, &error);
    assert_non_null (workers);
    for (int i = 0; i < 5000 && !*trouble; i++) {
        assert_int_equal (workers_ready (workers, trouble), 0);
        nanosleep (&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    assert_non_null (strstr (trouble, "/nowhere/worker: it can't be started: no such file"));
    workers_free (&workers);
    workers = workers_new (other, dir, 1, 1000, &error);
    assert_non_null (workers);
    trouble[0] = '\0';
    for (int i = 0; i < 5000 && !*trouble; i++) {
        assert_int_equal (workers_ready (workers, trouble), 0);
        nanosleep (&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    assert_non_null (strstr (trouble, "its first line is not"));
    workers_free (&workers);
}

static void frames_in_work_are_dropped_with_the_pool (void **state)
{
    struct workers *workers = pool (2, 60000);
    for (uint64_t i = 1; i <= 5; i++)
        give (workers, i, "hang", 4);
    char trouble[400];
    for (int i = 0; i < 10000 && workers_ready (workers, trouble) < 2; i++)
        nanosleep (&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    workers_free (&workers);
}

int main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST (each_frame_is_answered_by_one_of_the_workers),
        TEST (one_that_hangs_is_killed_with_all_it_started_and_another_takes_its_place),
        TEST (one_that_dies_or_says_too_much_fails_on_its_frame_alone),
        TEST (a_program_that_is_not_there_or_no_worker_is_told_and_tried_again),
        TEST (frames_in_work_are_dropped_with_the_pool),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
