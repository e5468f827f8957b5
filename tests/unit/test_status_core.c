/* test_status_core.c - ages, who is dead and who only stopped, goals, and the ring of events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../services/status/status_core.h"

#define S 1000000LL

static struct campaign campaign = { .name = "test", .goal = { .job = "cg", .successes = 6, .uptakes = 2 } };

static int setup (void **state)
{
    *state = status_new (&campaign, "/workspace", 77);
    return *state ? 0 : -1;
}

static int teardown (void **state)
{
    struct status_core *core = *state;
    status_free (&core);
    return 0;
}

static void beat (struct status_core *core, const char *service, const char *replica, const char *metric, double value,
                  int64_t now_us)
{
    Strata__Heartbeat hb = STRATA__HEARTBEAT__INIT;
    Strata__Metric m = STRATA__METRIC__INIT;
    Strata__Metric *metrics[] = { &m };
    m.name = (char *)(metric ? metric : "nothing");
    m.value = value;
    hb.service = (char *)service;
    hb.replica = (char *)replica;
    hb.active = true;
    hb.metrics = metrics;
    hb.n_metrics = 1;
    status_heartbeat (core, &hb, now_us);
}

struct seen {
    bool there, alive, stopped;
    int64_t age_us;
};

static struct seen look (struct status_core *core, const char *replica, int64_t now_us)
{
    Strata__StatusReply reply;
    struct seen seen = { false, false, false, 0 };
    status_reply (core, now_us, &reply);
    for (size_t i = 0; i < reply.n_replicas; i++)
        if (strcmp (reply.replicas[i]->heartbeat->replica, replica) == 0)
            seen =
                (struct seen){ true, reply.replicas[i]->alive, reply.replicas[i]->stopped, reply.replicas[i]->age_us };
    status_reply_fini (&reply);
    return seen;
}

static void cards (struct status_core *core, const char *one, const char *two, int64_t now_us)
{
    char names[2][64] = { "", "" };
    size_t count = 0;
    if (one)
        snprintf (names[count++], 64, "%s", one);
    if (two)
        snprintf (names[count++], 64, "%s", two);
    status_cards (core, names, count, now_us);
}

static void a_figure_is_as_old_as_its_heartbeat (void **state)
{
    beat (*state, "stage", "stage-0", NULL, 0, 100 * S);
    assert_int_equal (look (*state, "stage-0", 100 * S).age_us, 0);
    assert_int_equal (look (*state, "stage-0", 102 * S).age_us, 2 * S);
    beat (*state, "stage", "stage-0", NULL, 0, 103 * S);
    assert_int_equal (look (*state, "stage-0", 103 * S + 5).age_us, 5);
}

static void a_replica_that_is_not_heard_for_three_seconds_is_dead (void **state)
{
    cards (*state, "stage-0", NULL, 100 * S);
    beat (*state, "stage", "stage-0", NULL, 0, 100 * S);
    assert_true (look (*state, "stage-0", 103 * S - 1).alive);
    assert_false (look (*state, "stage-0", 103 * S).alive);
    assert_false (look (*state, "stage-0", 103 * S).stopped);
    cards (*state, "stage-0", NULL, 300 * S);
    status_tick (*state, 300 * S);
    assert_true (look (*state, "stage-0", 300 * S).there); /* as long as its card is there */
    beat (*state, "stage", "stage-0", NULL, 0, 301 * S);
    assert_true (look (*state, "stage-0", 301 * S).alive);
}

static void a_card_without_a_heartbeat_is_shown_dead (void **state)
{
    cards (*state, "patch-3", NULL, 100 * S);
    struct seen seen = look (*state, "patch-3", 104 * S);
    assert_true (seen.there);
    assert_false (seen.alive);
    assert_int_equal (seen.age_us, 4 * S);
}

static void a_replica_whose_card_is_gone_has_stopped_and_is_dropped_later (void **state)
{
    cards (*state, "select-0", "stage-0", 100 * S);
    beat (*state, "select", "select-0", NULL, 0, 100 * S);
    cards (*state, "stage-0", NULL, 101 * S);
    assert_true (look (*state, "select-0", 101 * S).stopped);
    assert_false (look (*state, "select-0", 101 * S).alive);
    status_tick (*state, 101 * S + STATUS_STOPPED_US);
    assert_true (look (*state, "select-0", 102 * S).there);
    status_tick (*state, 101 * S + STATUS_STOPPED_US + 1);
    assert_false (look (*state, "select-0", 102 * S).there);
    assert_true (look (*state, "stage-0", 102 * S).there);
}

static void only_active_replicas_with_a_shard_are_asked_for_streams (void **state)
{
    beat (*state, "stage", "stage-0", NULL, 0, 100 * S);
    beat (*state, "patch", "patch-0", NULL, 0, 100 * S);
    assert_true (status_has_streams (*state, "stage-0", 100 * S));
    assert_false (status_has_streams (*state, "stage-0", 104 * S));
    assert_false (status_has_streams (*state, "patch-0", 100 * S));
    assert_false (status_has_streams (*state, "nobody-0", 100 * S));
}

static bool complete (struct status_core *core, double *value0, double *value1)
{
    Strata__StatusReply reply;
    status_reply (core, 200 * S, &reply);
    assert_int_equal (reply.n_goals, 2);
    *value0 = reply.goals[0]->value;
    *value1 = reply.goals[1]->value;
    bool is = reply.complete;
    status_reply_fini (&reply);
    return is;
}

static void the_campaign_is_complete_when_every_goal_is_reached_and_stays_so (void **state)
{
    double cg, taken;
    assert_false (complete (*state, &cg, &taken));
    beat (*state, "schedule", "schedule-0", "cg_succeeded", 6, 100 * S);
    beat (*state, "feedback", "feedback-0", "reports_taken", 1, 100 * S);
    beat (*state, "stage", "stage-0", "reports_taken", 9, 100 * S); /* not its figure to give */
    assert_false (complete (*state, &cg, &taken));
    assert_float_equal (cg, 6, 0);
    assert_float_equal (taken, 1, 0);
    beat (*state, "feedback", "feedback-0", "reports_taken", 2, 101 * S);
    assert_true (complete (*state, &cg, &taken));
    beat (*state, "schedule", "schedule-0", "cg_succeeded", 0, 102 * S); /* started again, not ready yet */
    assert_true (complete (*state, &cg, &taken));
}

/* ---- events ---- */

/* Gives `count` events with times time_us, time_us + step ... as an answer to a read. */
static bool feed (struct status_core *core, const char *replica, uint64_t first_sequence, size_t count, uint64_t next,
                  int64_t time_us, int64_t step, const char *text, int64_t now_us)
{
    Strata__StreamReadReply reply = STRATA__STREAM_READ_REPLY__INIT;
    struct chunks chunks = { 0 };
    struct blob blobs[WIRE_MAX_BLOBS];
    size_t blobs_count;
    for (size_t i = 0; i < count; i++) {
        Strata__Event event = STRATA__EVENT__INIT;
        event.time_us = time_us + (int64_t)i * step;
        event.service = (char *)replica;
        event.text = (char *)text;
        uint32_t size = (uint32_t)strata__event__get_packed_size (&event);
        uint8_t *bytes = malloc (size);
        strata__event__pack (&event, bytes);
        chunks_add_bytes (&chunks, first_sequence + i, now_us, &size, 1, bytes, size);
        free (bytes);
    }
    zframe_t **frames = chunks_blobs (&chunks, &blobs_count);
    for (size_t i = 0; i < blobs_count; i++)
        blobs[i] = (struct blob){ zframe_data (frames[i]), zframe_size (frames[i]) };
    reply.first = 1;
    reply.next = next;
    reply.chunks = chunks.rows;
    reply.n_chunks = chunks.count;
    bool more = status_take_events (core, replica, &reply, blobs, blobs_count, now_us);
    for (size_t i = 0; i < blobs_count; i++)
        zframe_destroy (&frames[i]);
    chunks_fini (&chunks);
    return more;
}

static void events_of_several_shards_are_merged_by_time_and_numbered (void **state)
{
    Strata__EventsReply reply;
    feed (*state, "stage-0", 0, 0, 3, 0, 0, "", 100 * S); /* the first look: where the stream ends */
    feed (*state, "select-0", 0, 0, 3, 0, 0, "", 100 * S);
    assert_false (feed (*state, "stage-0", 1, 2, 3, 10 * S, 20 * S, "a", 100 * S));
    assert_false (feed (*state, "select-0", 1, 2, 3, 20 * S, 20 * S, "b", 100 * S));
    status_tick (*state, 100 * S + STATUS_HOLD_US - 1);
    status_events (*state, 0, 0, &reply);
    assert_int_equal (reply.n_events, 0); /* they wait for older ones */
    status_tick (*state, 100 * S + STATUS_HOLD_US);
    status_events (*state, 0, 0, &reply);
    assert_int_equal (reply.n_events, 4);
    assert_int_equal (reply.boot, 77);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal (reply.events[i]->time_us, (int64_t)(i + 1) * 10 * S);
    assert_int_equal (reply.next, 4);
    status_events_fini (&reply);
    status_events (*state, 3, 0, &reply);
    assert_int_equal (reply.n_events, 1);
    status_events_fini (&reply);
    status_events (*state, 4, 0, &reply);
    assert_int_equal (reply.n_events, 0);
    assert_int_equal (reply.next, 4);
}

static void a_record_that_comes_twice_is_one_event (void **state)
{
    Strata__EventsReply reply;
    feed (*state, "select-0", 0, 0, 3, 0, 0, "", 100 * S);
    feed (*state, "select-0", 1, 2, 3, S, S, "x", 100 * S);
    feed (*state, "select-1", 1, 2, 3, S, S, "x", 100 * S); /* the shard's next holder */
    status_tick (*state, 102 * S);
    status_events (*state, 0, 0, &reply);
    assert_int_equal (reply.n_events, 2);
    status_events_fini (&reply);
}

static void two_shards_of_a_service_have_events_of_their_own (void **state)
{
    Strata__EventsReply reply;
    for (uint32_t shard = 0; shard < 2; shard++) {
        Strata__Heartbeat hb = STRATA__HEARTBEAT__INIT;
        hb.service = "feedback";
        hb.replica = shard ? "feedback-4" : "feedback-2";
        hb.active = true;
        hb.shard = shard;
        status_heartbeat (*state, &hb, 100 * S);
        feed (*state, hb.replica, 0, 0, 5, 0, 0, "", 100 * S);
    }
    feed (*state, "feedback-2", 1, 4, 5, S, S, "x", 100 * S);
    feed (*state, "feedback-4", 1, 4, 5, S, S, "y", 100 * S);
    status_tick (*state, 102 * S);
    status_events (*state, 0, 0, &reply);
    assert_int_equal (reply.n_events, 8);
    status_events_fini (&reply);
}

static void the_ring_keeps_the_newest_and_goes_on_counting (void **state)
{
    Strata__EventsReply reply;
    struct status_figures f;
    const size_t total = STATUS_EVENTS_MAX + 5000;
    feed (*state, "stage-0", 0, 0, 1, 0, 0, "", 100 * S);
    for (size_t i = 0; i < total; i += 1000) {
        feed (*state, "stage-0", i + 1, 1000, i + 1001, (int64_t)i, 1, "event", 100 * S);
        status_tick (*state, 102 * S);
    }
    status_figures (*state, 102 * S, &f);
    assert_int_equal (f.events, STATUS_EVENTS_MAX);
    status_events (*state, 0, 3, &reply);
    assert_int_equal (reply.n_events, 3);
    assert_int_equal (reply.events[0]->time_us, 5000); /* the oldest 5,000 are gone */
    assert_int_equal (reply.next, 5003);
    status_events_fini (&reply);
    status_events (*state, total - 1, 0, &reply);
    assert_int_equal (reply.n_events, 1);
    assert_int_equal (reply.events[0]->time_us, (int64_t)total - 1);
    status_events_fini (&reply);
}

static void the_ring_is_bounded_in_bytes (void **state)
{
    struct status_figures f;
    char *text = calloc (1, 60001);
    memset (text, 'x', 60000);
    feed (*state, "stage-0", 0, 0, 1, 0, 0, "", 100 * S);
    for (size_t i = 0; i < 10; i++) {
        feed (*state, "stage-0", i * 100 + 1, 100, i * 100 + 101, (int64_t)i * 100, 1, text, 100 * S);
        status_tick (*state, 102 * S);
    }
    status_figures (*state, 102 * S, &f);
    assert_true (f.events_bytes <= STATUS_EVENTS_BYTES);
    assert_true (f.events > 100);
    free (text);
}

static void reading_begins_near_the_end_of_a_long_stream (void **state)
{
    uint64_t from;
    uint32_t max;
    status_want_events (*state, "stage-0", &from, &max);
    assert_int_equal (from, 0);
    assert_int_equal (max, 1);
    assert_true (feed (*state, "stage-0", 1, 1, 90001, 0, 0, "first kept", 100 * S));
    status_want_events (*state, "stage-0", &from, &max);
    assert_int_equal (from, 90001 - STATUS_EVENTS_MAX);
    assert_int_equal (max, STATUS_PAGE);
}

static void each_service_is_counted_against_what_is_wanted (void **state)
{
    Strata__StatusReply reply;
    struct replicas wanted = { .wanted = { 1, 1, 1, 4, 1, 1 } };
    char cards[3][64] = { "patch-0", "patch-1", "patch-2" };
    status_wanted (*state, &wanted);
    status_cards (*state, cards, 3, 100 * S);
    beat (*state, "patch", "patch-0", NULL, 0, 100 * S);
    beat (*state, "patch", "patch-1", NULL, 0, 102 * S);
    status_reply (*state, 103 * S, &reply); /* patch-0 is dead by now, patch-2 was never heard */
    assert_int_equal (reply.n_services, REPLICAS_SERVICES);
    for (size_t i = 0; i < reply.n_services; i++) {
        bool patch = strcmp (reply.services[i]->service, "patch") == 0;
        assert_int_equal (reply.services[i]->wanted, patch ? 4 : 1);
        assert_int_equal (reply.services[i]->alive, patch ? 1 : 0);
        assert_int_equal (reply.services[i]->active, patch ? 1 : 0);
    }
    status_reply_fini (&reply);
}

int main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST (a_figure_is_as_old_as_its_heartbeat),
        TEST (a_replica_that_is_not_heard_for_three_seconds_is_dead),
        TEST (a_card_without_a_heartbeat_is_shown_dead),
        TEST (a_replica_whose_card_is_gone_has_stopped_and_is_dropped_later),
        TEST (each_service_is_counted_against_what_is_wanted),
        TEST (only_active_replicas_with_a_shard_are_asked_for_streams),
        TEST (the_campaign_is_complete_when_every_goal_is_reached_and_stays_so),
        TEST (events_of_several_shards_are_merged_by_time_and_numbered),
        TEST (two_shards_of_a_service_have_events_of_their_own),
        TEST (a_record_that_comes_twice_is_one_event),
        TEST (the_ring_keeps_the_newest_and_goes_on_counting),
        TEST (the_ring_is_bounded_in_bytes),
        TEST (reading_begins_near_the_end_of_a_long_stream),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
