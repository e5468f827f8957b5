/* test_replicas.c - how many replicas are wanted: the campaign file's numbers, then those of replicas.json. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/replicas.h"
#include "scratch.h"

static char folder[64], file[96];
static const struct campaign campaign = { .replicas = { .stage = 2, .patch = 3, .select = 2, .schedule = 1, .feedback = 1 } };

static int set_up (void **state)
{
    assert_true (scratch_new (folder, sizeof (folder)));
    snprintf (file, sizeof (file), "%s/replicas.json", folder);
    return 0;
}

static int tear_down (void **state)
{
    char lock[96];
    snprintf (lock, sizeof (lock), "%s/replicas.lock", folder);
    unlink (file);
    unlink (lock);
    return rmdir (folder);
}

static void put (const char *text)
{
    FILE *out = fopen (file, "we");
    assert_non_null (out);
    assert_int_equal (fputs (text, out) >= 0 && fclose (out) == 0, 1);
}

static unsigned wanted (const char *service)
{
    struct strata_error error = { "" };
    struct replicas replicas;
    assert_int_equal (replicas_read (folder, &campaign, &replicas, &error), 0);
    return replicas.wanted[replicas_service (service)];
}

static void without_the_file_the_campaigns_numbers_hold (void **state)
{
    static const unsigned numbers[REPLICAS_SERVICES] = { 2, 2, 1, 3, 1, 1 };
    for (size_t i = 0; i < REPLICAS_SERVICES; i++)
        assert_int_equal (wanted (replicas_services[i]), numbers[i]);
}

static void a_number_that_was_written_wins_and_the_others_stay (void **state)
{
    struct strata_error error;
    assert_int_equal (replicas_want (folder, "patch", 5, &error), 0);
    assert_int_equal (replicas_want (folder, "feedback", 2, &error), 0);
    assert_int_equal (replicas_want (folder, "patch", 4, &error), 0);
    assert_int_equal (wanted ("patch"), 4);
    assert_int_equal (wanted ("feedback"), 2);
    assert_int_equal (wanted ("select"), 2);
}

static void the_entry_of_this_node_wins_over_that_of_any (void **state)
{
    char node[256] = "", text[512];
    assert_int_equal (gethostname (node, sizeof (node) - 1), 0);
    snprintf (text, sizeof (text),
              "{\"format\": 1, \"nodes\": {\"*\": {\"patch\": 7, \"select\": 6}, \"%.200s\": {\"patch\": 8}, "
              "\"no such node\": {\"patch\": 9}}, \"restart\": {}}",
              node);
    put (text);
    assert_int_equal (wanted ("patch"), 8);
    assert_int_equal (wanted ("select"), 6);
    setenv ("STRATA_NODE", "no such node", 1);
    assert_int_equal (wanted ("patch"), 9);
    unsetenv ("STRATA_NODE");
}

static void a_restart_stands_beside_the_numbers (void **state)
{
    struct strata_error error;
    struct replicas replicas;
    assert_int_equal (replicas_want (folder, "patch", 5, &error), 0);
    assert_int_equal (replicas_restart (folder, "select-1", 4711, &error), 0);
    assert_int_equal (replicas_read (folder, &campaign, &replicas, &error), 0);
    assert_string_equal (replicas.restart, "select-1");
    assert_int_equal (replicas.restart_pid, 4711);
    assert_int_equal (replicas.wanted[replicas_service ("patch")], 5);
}

static void a_broken_file_is_refused_and_never_overwritten (void **state)
{
    static const struct {
        const char *text, *why;
    } broken[] = {
        { "", "can't be read" },
        { "{", "can't be read" },
        { "[]", "is not understood" },
        { "{\"format\": 2, \"nodes\": {}, \"restart\": {}}", "is not understood" },
        { "{\"format\": 1, \"nodes\": [], \"restart\": {}}", "is not understood" },
        { "{\"format\": 1, \"nodes\": {}}", "is not understood" },
        { "{\"format\": 1, \"nodes\": {\"*\": {\"patch\": 0}}, \"restart\": {}}", "is no service, or its number" },
        { "{\"format\": 1, \"nodes\": {\"*\": {\"patch\": 65}}, \"restart\": {}}", "is no service, or its number" },
        { "{\"format\": 1, \"nodes\": {\"*\": {\"patch\": \"2\"}}, \"restart\": {}}", "is no service, or its number" },
        { "{\"format\": 1, \"nodes\": {\"*\": {\"patches\": 2}}, \"restart\": {}}", "is no service, or its number" },
    };
    for (size_t i = 0; i < sizeof (broken) / sizeof (broken[0]); i++) {
        struct strata_error error = { "" };
        struct replicas replicas;
        put (broken[i].text);
        assert_int_equal (replicas_read (folder, &campaign, &replicas, &error), -1);
        assert_non_null (strstr (error.text, broken[i].why));
        assert_int_equal (replicas.wanted[replicas_service ("patch")], 3); /* the campaign's */
        if (strstr (broken[i].why, "number"))
            continue; /* a number can be mended by writing another */
        assert_int_equal (replicas_want (folder, "patch", 2, &error), -1);
        assert_int_equal (replicas_restart (folder, "patch-0", 1, &error), -1);
    }
}

static void names_of_replicas_are_taken_apart (void **state)
{
    static const struct {
        const char *name, *service;
        unsigned number;
    } names[] = {
        { "patch-0", "patch", 0 },
        { "status-63", "status", 63 },
        { "stage-9999", "stage", 9999 },
        { "patch", NULL, 0 },
        { "patch-", NULL, 0 },
        { "patch-x", NULL, 0 },
        { "patch--1", NULL, 0 },
        { "patch-1x", NULL, 0 },
        { "patches-1", NULL, 0 },
        { "-1", NULL, 0 },
        { "", NULL, 0 },
        { "patch-10000", NULL, 0 },
    };
    for (size_t i = 0; i < sizeof (names) / sizeof (names[0]); i++) {
        unsigned number = 0;
        assert_int_equal (replicas_parse (names[i].name, &number),
                          names[i].service ? replicas_service (names[i].service) : -1);
        if (names[i].service)
            assert_int_equal (number, names[i].number);
    }
}

static void one_at_a_time_steers (void **state)
{
    struct strata_error error = { "" };
    int fd = replicas_lock (folder, &error);
    assert_true (fd >= 0);
    assert_int_equal (replicas_lock (folder, &error), -1);
    assert_non_null (strstr (error.text, "is at work"));
    close (fd);
    fd = replicas_lock (folder, &error);
    assert_true (fd >= 0);
    close (fd);
}

static void the_stamp_changes_with_the_file (void **state)
{
    struct strata_error error;
    struct replicas_stamp none = replicas_stamp (folder), seen[3];
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal (replicas_want (folder, "patch", (unsigned)i + 1, &error), 0);
        seen[i] = replicas_stamp (folder);
        assert_memory_not_equal (&seen[i], i ? &seen[i - 1] : &none, sizeof (none));
    }
}

int main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST (without_the_file_the_campaigns_numbers_hold),
        TEST (a_number_that_was_written_wins_and_the_others_stay),
        TEST (the_entry_of_this_node_wins_over_that_of_any),
        TEST (a_restart_stands_beside_the_numbers),
        TEST (a_broken_file_is_refused_and_never_overwritten),
        TEST (names_of_replicas_are_taken_apart),
        TEST (one_at_a_time_steers),
        TEST (the_stamp_changes_with_the_file),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
