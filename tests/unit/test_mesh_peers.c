/* test_mesh_peers.c - peers that come, go, and come back as others: cards, calls, and consumers of their streams. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "mesh/cards.h"
#include "mesh/client.h"
#include "mesh/mesh_internal.h"
#include "mesh/service.h"
#include "mesh/wire.h"
#include "status.pb-c.h"
#include "store/stream.h"
#include "strata.h"
#include "stream.pb-c.h"
#include "workspace.h"

static int set_up (void **state)
{
    workspace_make (CAMPAIGN_HEAD ("peers-test") CAMPAIGN_JOBS CAMPAIGN_FEEDBACK "stage: {queue_mb: 1}\n");
    return 0;
}

/* ---- cards, seen by a process that only connects ---- */

struct looker {
    uv_loop_t loop;
    struct mesh mesh;
};

static void looker_init (struct looker *self)
{
    struct strata_error error;
    *self = (struct looker){ 0 };
    uv_loop_init (&self->loop);
    assert_int_equal (mesh_init (&self->mesh, &self->loop, workspace, "looker", NULL, NULL, &error), 0);
}

static void looker_fini (struct looker *self)
{
    mesh_fini (&self->mesh);
    uv_run (&self->loop, UV_RUN_DEFAULT);
    assert_int_equal (uv_loop_close (&self->loop), 0);
}

static void put_card (const char *replica, const char *rpc, uint64_t boot)
{
    struct strata_error error;
    struct card card = { .service = "patch", .boot = boot, .active = true };
    /* Peers of other nodes are reached by TCP alone. */
    assert_int_equal (gethostname (card.node, sizeof (card.node) - 1), 0);
    snprintf (card.replica, sizeof (card.replica), "%s", replica);
    snprintf (card.rpc, sizeof (card.rpc), "%s", rpc);
    snprintf (card.pub, sizeof (card.pub), "ipc:///tmp/strata-nobody.pub");
    assert_int_equal (card_write (workspace, &card, &error), 0);
}

static void a_card_with_a_broken_endpoint_harms_nobody (void **state)
{
    static struct looker looker;
    looker_init (&looker);
    char good[96];
    snprintf (good, sizeof (good), "ipc://%s/nobody.rpc", workspace); /* in a folder of this user alone */
    for (uint64_t boot = 1; boot <= 3; boot++) {
        put_card ("patch-0", boot == 3 ? good : "no endpoint at all", boot);
        mesh_look_at_cards (&looker.mesh);
        uv_run (&looker.loop, UV_RUN_NOWAIT);
    }
    assert_non_null (mesh_peer_find (&looker.mesh, "patch"));
    assert_non_null (mesh_peer_find (&looker.mesh, "patch")->dealer);
    looker_fini (&looker);
    card_remove (workspace, "patch-0");
}

static void a_card_written_in_the_instant_of_a_look_is_seen_by_the_next (void **state)
{
    static struct looker looker;
    char path[160];
    struct stat st;
    snprintf (path, sizeof (path), "%s/cards", workspace);
    looker_init (&looker);
    put_card ("patch-0", "ipc:///tmp/strata-nobody.rpc", 1);
    mesh_look_at_cards (&looker.mesh);
    assert_int_equal (stat (path, &st), 0);
    put_card ("patch-1", "ipc:///tmp/strata-nobody.rpc", 1);
    /* The folder's clock has not moved on since the look. */
    struct timespec times[2] = { st.st_atim, st.st_mtim };
    assert_int_equal (utimensat (AT_FDCWD, path, times, 0), 0);
    mesh_look_at_cards (&looker.mesh);
    assert_non_null (mesh_peer_find (&looker.mesh, "patch-1"));
    looker_fini (&looker);
    card_remove (workspace, "patch-0");
    card_remove (workspace, "patch-1");
}

static void a_replica_that_took_its_card_away_is_not_asked_while_there_is_another (void **state)
{
    static struct looker looker;
    looker_init (&looker);
    put_card ("patch-0", "ipc:///tmp/strata-nobody.rpc", 1);
    put_card ("patch-1", "ipc:///tmp/strata-nobody.rpc", 1);
    mesh_look_at_cards (&looker.mesh);
    assert_string_equal (mesh_peer_find (&looker.mesh, "patch")->card.replica, "patch-0");
    card_remove (workspace, "patch-0");
    mesh_look_at_cards (&looker.mesh);
    assert_string_equal (mesh_peer_find (&looker.mesh, "patch")->card.replica, "patch-1");
    card_remove (workspace, "patch-1");
    mesh_look_at_cards (&looker.mesh);
    assert_non_null (mesh_peer_find (&looker.mesh, "patch")); /* waits for either to come back */
    looker_fini (&looker);
}

static void count_reply (void *owner, const struct reply *reply, void *arg)
{
    assert_true (reply->timed_out);
    ++*(size_t *)arg;
}

static double now_s (void)
{
    struct timespec ts;
    clock_gettime (CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Each of them is queued, sent, looked up and ended: a walk through all for each would take a minute. */
static void forty_thousand_open_calls_cost_no_more_each_than_one (void **state)
{
    static struct looker looker;
    size_t ended = 0;
    Strata__StreamStat body = STRATA__STREAM_STAT__INIT;
    looker_init (&looker);
    double start = now_s ();
    for (int i = 0; i < 40000; i++)
        mesh_call (&looker.mesh, "nobody", STRATA__MESSAGE_TYPE__TYPE_STREAM_STAT, &body.base, NULL, 0,
                   &strata__stream_stat_reply__descriptor, i % 2 ? 1500 : 60000, count_reply, NULL, &ended);
    assert_int_equal (mesh_calls_open (&looker.mesh), 40000);
    while (ended < 20000)
        uv_run (&looker.loop, UV_RUN_ONCE);
    assert_true (now_s () - start < 6);
    assert_int_equal (mesh_calls_open (&looker.mesh), 20000);
    looker_fini (&looker);
}

/* ---- a consumer of a stream of stage ---- */

static int count (struct service *self, const char *peer, uint64_t sequence, int64_t time_us, const void *record, size_t size,
                  void *arg)
{
    struct shard *shard = service_shard (self);
    shard_put_u64 (shard, "test/count", shard_get_u64 (shard, "test/count", 0) + 1);
    return 0;
}

static int consume (struct service *service, struct strata_error *error)
{
    service_consume (service, "stage", "a", count, NULL);
    return 0;
}

static const struct service_spec producer_spec = { .name = "stage", .about = "the shell alone", .has_shard = true };
static const struct service_spec consumer_spec = {
    .name = "select", .about = "counts what it reads", .has_shard = true, .start = consume
};

static void append (struct strata_client *c, uint64_t from, uint64_t to)
{
    struct strata_error error = { "" };
    for (uint64_t n = from; n <= to; n++)
        if (strata_append (c, "a", "p", n, "record", 6, NULL, &error) < 0)
            fail_msg ("append: %s", error.text);
}

/* Waits until every consumer of stream "a" is at `committed`; returns how many there are. */
static size_t wait_committed (struct strata_client *c, uint64_t committed)
{
    for (int i = 0; i < 150; i++, usleep (100000)) {
        Strata__StreamStatReply *stat = ask_stat (c);
        size_t consumers = 0, there = 0;
        for (size_t s = 0; s < stat->n_streams; s++)
            for (size_t n = 0; strcmp (stat->streams[s]->stream, "a") == 0 && n < stat->streams[s]->n_consumers; n++) {
                consumers++;
                there += stat->streams[s]->consumers[n]->committed == committed;
            }
        strata__stream_stat_reply__free_unpacked (stat, NULL);
        if (consumers && there == consumers)
            return consumers;
    }
    fail_msg ("some consumer does not come to record %llu", (unsigned long long)committed);
    return 0;
}

static void wait_trouble_of (const char *replica, const char *word)
{
    zsock_t *heartbeats = heartbeats_of (replica);
    wait_trouble (heartbeats, word);
    zsock_destroy (&heartbeats);
}

static int answers;

static void on_answer (void *owner, const struct reply *reply, void *arg)
{
    assert_true (reply->ok);
    answers++;
}

/* Answers the call that `request` holds, as the holder of a shard of select in that epoch. */
static void answer_as (zsock_t *router, zmsg_t *request, const char *sender, uint64_t epoch)
{
    zmsg_t *copy = zmsg_dup (request);
    zframe_t *identity = zmsg_pop (copy), *packed = zmsg_pop (copy);
    Strata__Header *asked = strata__header__unpack (NULL, zframe_size (packed), zframe_data (packed));
    assert_non_null (asked);
    Strata__Header header = STRATA__HEADER__INIT;
    header.version = WIRE_VERSION;
    header.type = STRATA__MESSAGE_TYPE__TYPE_STREAM_STAT_REPLY;
    header.sender = (char *)sender;
    header.boot = epoch;
    header.epoch = epoch;
    header.request = asked->request;
    Strata__StreamStatReply body = STRATA__STREAM_STAT_REPLY__INIT;
    zmsg_t *reply = wire_pack (&header, &body.base);
    zmsg_prepend (reply, &identity);
    assert_int_equal (zmsg_send (&reply, router), 0);
    strata__header__free_unpacked (asked, NULL);
    zframe_destroy (&packed);
    zmsg_destroy (&copy);
}

static void put_holder (const char *replica, const char *rpc, uint64_t epoch)
{
    struct strata_error error;
    struct card card = { .service = "select", .boot = epoch, .epoch = epoch, .active = true };
    assert_int_equal (gethostname (card.node, sizeof (card.node) - 1), 0);
    snprintf (card.replica, sizeof (card.replica), "%s", replica);
    snprintf (card.rpc, sizeof (card.rpc), "%s", rpc);
    snprintf (card.pub, sizeof (card.pub), "ipc:///tmp/strata-nobody.pub");
    assert_int_equal (card_write (workspace, &card, &error), 0);
}

static void run_until (struct looker *looker, const int *count, int wanted)
{
    for (int i = 0; i < 2000 && *count < wanted; i++) {
        uv_run (&looker->loop, UV_RUN_NOWAIT);
        usleep (1000);
    }
}

/* The answer was on its way when the shard moved; or its sender was stopped, and does not know yet. */
static void an_answer_of_a_stale_holder_is_dropped_and_counted (void **state)
{
    static struct looker looker;
    Strata__StreamStat body = STRATA__STREAM_STAT__INIT;
    char rpc[96];
    answers = 0;
    snprintf (rpc, sizeof (rpc), "ipc://%s/old.rpc", workspace);
    zsock_t *router = zsock_new_router (rpc);
    assert_non_null (router);
    zsock_set_rcvtimeo (router, 0);
    put_holder ("select-0", rpc, 5);
    looker_init (&looker);
    mesh_look_at_cards (&looker.mesh);
    mesh_call (&looker.mesh, "select-0", STRATA__MESSAGE_TYPE__TYPE_STREAM_STAT, &body.base, NULL, 0,
               &strata__stream_stat_reply__descriptor, 20000, on_answer, NULL, NULL);
    zmsg_t *request = NULL;
    for (int i = 0; i < 2000 && !request; i++) {
        uv_run (&looker.loop, UV_RUN_NOWAIT);
        request = zmsg_recv (router);
        usleep (1000);
    }
    assert_non_null (request);
    put_holder ("select-1", "ipc:///tmp/strata-nobody.rpc", 6);
    mesh_look_at_cards (&looker.mesh);
    answer_as (router, request, "select-0", 5);
    for (int i = 0; i < 2000 && looker.mesh.stale == 0; i++) {
        uv_run (&looker.loop, UV_RUN_NOWAIT);
        usleep (1000);
    }
    assert_int_equal (looker.mesh.stale, 1);
    assert_int_equal (answers, 0);
    /* The call is open: one who is current answers it. A shard of another number has epochs of its own. */
    answer_as (router, request, "select-0", 7);
    run_until (&looker, &answers, 1);
    assert_int_equal (answers, 1);
    Strata__Header other = STRATA__HEADER__INIT;
    other.sender = "select-2";
    other.shard = 1;
    other.epoch = 1;
    assert_true (mesh_epoch_is_current (&looker.mesh, &other));
    other.shard = 0;
    assert_false (mesh_epoch_is_current (&looker.mesh, &other));
    zmsg_destroy (&request);
    looker_fini (&looker);
    zsock_destroy (&router);
    card_remove (workspace, "select-0");
    card_remove (workspace, "select-1");
}

/* What the holder that died had committed is no consumer of its own: it would keep the stream from ever being trimmed. */
static void a_standby_goes_on_as_the_same_consumer (void **state)
{
    pid_t stage = replica_start (&producer_spec, 0), first = replica_start (&consumer_spec, 0);
    struct strata_client *c = client_open (20000);
    append (c, 1, 10);
    assert_int_equal (wait_committed (c, 11), 1);
    pid_t second = replica_start (&consumer_spec, 1);
    process_end (first, SIGKILL);
    append (c, 11, 20);
    assert_int_equal (wait_committed (c, 21), 1);
    assert_int_equal (process_end (second, SIGTERM), 0);
    strata_close (&c);
    assert_int_equal (process_end (stage, SIGTERM), 0);
}

static void a_stream_whose_store_was_lost_is_told_and_not_read_on (void **state)
{
    struct strata_error error;
    char command[160];
    pid_t stage = replica_start (&producer_spec, 0), select = replica_start (&consumer_spec, 0);
    struct strata_client *c = client_open (20000);
    append (c, 21, 30);
    Strata__StreamStatReply *stat = ask_stat (c);
    uint64_t next = 0;
    for (size_t i = 0; i < stat->n_streams; i++)
        next = strcmp (stat->streams[i]->stream, "a") == 0 ? stat->streams[i]->next : next;
    strata__stream_stat_reply__free_unpacked (stat, NULL);
    wait_committed (c, next);
    process_end (stage, SIGKILL);
    snprintf (command, sizeof (command), "rm -rf '%s/shards/stage-0'", workspace);
    assert_int_equal (system (command), 0);
    stage = replica_start (&producer_spec, 0);
    append (c, 1, 5);
    wait_trouble_of ("select-0", "was lost or put back");
    append (c, 6, 40); /* past the cursor: those before it would be skipped */
    wait_trouble_of ("select-0", "was lost or put back");
    assert_int_equal (process_end (select, SIGTERM), 0);
    snprintf (command, sizeof (command), "%s/shards/select-0", workspace);
    struct shard *shard = shard_open (command, &error);
    assert_non_null (shard);
    assert_int_equal (shard_get_u64 (shard, "test/count", 0), next - 1);
    shard_close (&shard);
    strata_close (&c);
    assert_int_equal (process_end (stage, SIGTERM), 0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_card_written_in_the_instant_of_a_look_is_seen_by_the_next),
        cmocka_unit_test (a_replica_that_took_its_card_away_is_not_asked_while_there_is_another),
        cmocka_unit_test (forty_thousand_open_calls_cost_no_more_each_than_one),
        cmocka_unit_test (an_answer_of_a_stale_holder_is_dropped_and_counted),
        cmocka_unit_test (a_standby_goes_on_as_the_same_consumer),
        cmocka_unit_test (a_stream_whose_store_was_lost_is_told_and_not_read_on),
        cmocka_unit_test (a_card_with_a_broken_endpoint_harms_nobody),
    };
    return cmocka_run_group_tests_name ("mesh peers", tests, set_up, workspace_remove);
}
