/* test_disk.c - a full disk, made of a small tmpfs: nothing ends, nothing is lost or doubled, and work goes on when there
 * is room again. Skipped where this user may not mount.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "mesh/cards.h"
#include "mesh/client.h"
#include "mesh/service.h"
#include "mesh/wire.h"
#include "status.pb-c.h"
#include "store/shard.h"
#include "store/stream.h"
#include "strata.h"
#include "stream.pb-c.h"
#include "workspace.h"

static bool mounted;

static int set_up (void **state)
{
    strcpy (workspace, "/tmp/strata-disk-XXXXXX");
    assert_non_null (mkdtemp (workspace));
    mounted = mount ("strata-test", workspace, "tmpfs", 0, "size=96m,mode=0700") == 0;
    return 0;
}

static int tear_down (void **state)
{
    if (mounted)
        umount2 (workspace, MNT_DETACH);
    return rmdir (workspace);
}

static void need_disk (void)
{
    if (!mounted) {
        print_message ("skipped: a tmpfs can't be mounted here\n");
        skip ();
    }
}

/* Takes all room there is. */
static void fill (void)
{
    char path[96];
    static char junk[4096];
    snprintf (path, sizeof (path), "%s/filler", workspace);
    int fd = open (path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_true (fd >= 0);
    while (write (fd, junk, sizeof (junk)) > 0)
        ;
    close (fd);
}

static void make_room (void)
{
    char path[96];
    snprintf (path, sizeof (path), "%s/filler", workspace);
    assert_int_equal (unlink (path), 0);
}

static void clear (void)
{
    char command[128];
    snprintf (command, sizeof (command), "rm -rf %s/*", workspace);
    assert_int_equal (system (command), 0);
}

/* ---- the store alone ---- */

/* Commits until the log's room, taken ahead, is used up as well. Returns how many were committed. */
static uint64_t commit_until_full (struct shard *shard, uint64_t n)
{
    struct strata_error error;
    static char value[512 * 1024];
    for (;; n++) {
        struct shard_key key;
        memset (value, (int)n, sizeof (value));
        for (size_t i = 0; i < sizeof (value); i += 8)
            memcpy (value + i, &n, 8); /* tables are compressed: no two values alike */
        shard_key (&key, "v/");
        shard_key_u64 (&key, n);
        shard_put (shard, key.data, key.size, value, sizeof (value));
        if (shard_commit (shard, &error) < 0) {
            assert_int_equal (errno, ENOSPC);
            assert_non_null (strstr (error.text, "can't be written"));
            return n;
        }
        assert_true (n < 1000);
    }
}

static void a_store_on_a_full_disk_stays_readable_and_goes_on_when_there_is_room (void **state)
{
    struct strata_error error;
    char dir[96];
    need_disk ();
    snprintf (dir, sizeof (dir), "%s/shard", workspace);
    struct shard *shard = shard_open (dir, &error);
    assert_non_null (shard);
    shard_put_u64 (shard, "before", 1);
    assert_int_equal (shard_commit (shard, &error), 0);
    fill ();
    uint64_t last = 1;
    for (int round = 0; round < 3; round++) {
        last = commit_until_full (shard, last);
        for (int i = 0; i < 3; i++) {
            /* What is on disk, and what waits for it, is read; a try is refused and nothing ends. */
            struct shard_iter it;
            uint64_t count = 0;
            assert_int_equal (shard_get_u64 (shard, "before", 0), 1);
            for (bool more = shard_iter_begin (shard, &it, "v/", 2, NULL, 0); more; more = shard_iter_next (&it))
                count++;
            shard_iter_end (&it);
            assert_int_equal (count, last);
            assert_int_equal (shard_commit (shard, &error), -1);
            assert_int_equal (errno, ENOSPC);
            assert_true (shard_dirty (shard));
        }
        make_room ();
        assert_int_equal (shard_commit (shard, &error), 0);
        fill ();
        last++;
    }
    make_room ();
    shard_put_u64 (shard, "after", 1);
    assert_int_equal (shard_commit (shard, &error), 0);
    shard_close (&shard);
    shard = shard_open (dir, &error);
    assert_non_null (shard);
    assert_int_equal (shard_get_u64 (shard, "after", 0), 1);
    for (uint64_t n = 1; n < last; n++) {
        struct shard_key key;
        shard_key (&key, "v/");
        shard_key_u64 (&key, n);
        assert_true (shard_has (shard, key.data, key.size));
    }
    shard_close (&shard);
    clear ();
}

/* ---- a replica ---- */

static const char campaign_text[] =
    "strata: 1\ncampaign: disk-test\nworkspace: w\nseed: 1\n"
    "patch: {snapshots: snapshots, candidates: patches, encoder: {kind: pca, model: m.npz, dimensions: 2}}\n"
    "select: {from: patches, queues: [{name: all, configuration: other, quota: 1.0}]}\n"
    "jobs: [{name: a, start: always, command: [\"true\"]}]\n"
    "feedback: {from: rdfs, uptake: uptakes, states: [S], rows: [R]}\n"
    "stage: {queue_mb: 200}\n";

static int drop (struct service *self, const char *peer, uint64_t sequence, int64_t time_us, const void *record, size_t size,
                 void *arg)
{
    return 0;
}

/* It looks into its store whenever a peer shows up or answers: also while it holds still. */
static int consume_schedule (struct service *service, struct strata_error *error)
{
    service_consume (service, "schedule", "jobs", drop, NULL);
    return 0;
}

static const struct service_spec spec = {
    .name = "stage", .about = "the shell alone", .has_shard = true, .start = consume_schedule
};

static uint64_t stream_end (struct strata_client *c)
{
    struct strata_error error = { "" };
    Strata__StreamRead read = STRATA__STREAM_READ__INIT;
    ProtobufCMessage *reply;
    read.stream = "a";
    read.max_records = 1;
    if (client_request (c, "stage", STRATA__MESSAGE_TYPE__TYPE_STREAM_READ, &read.base, NULL, 0,
                        &strata__stream_read_reply__descriptor, &reply, NULL, NULL, &error)
        < 0)
        fail_msg ("read: %s", error.text);
    uint64_t next = ((Strata__StreamReadReply *)reply)->next;
    protobuf_c_message_free_unpacked (reply, NULL);
    return next;
}

/* A card of schedule-0, that nobody answers for. A card can't be written on the full disk: it is renamed. */
static void prepare_card (void)
{
    struct strata_error error;
    char from[160], to[160];
    struct card card = { .replica = "schedule-0", .service = "schedule", .node = "n", .rpc = "ipc:///tmp/strata-nobody.rpc",
                         .pub = "ipc:///tmp/strata-nobody.pub", .boot = 9, .epoch = 1, .active = true };
    assert_int_equal (card_write (workspace, &card, &error), 0);
    snprintf (from, sizeof (from), "%s/cards/schedule-0.json", workspace);
    snprintf (to, sizeof (to), "%s/cards/schedule-0.later", workspace);
    assert_int_equal (rename (from, to), 0);
}

static void show_card (void)
{
    char from[160], to[160];
    snprintf (from, sizeof (from), "%s/cards/schedule-0.later", workspace);
    snprintf (to, sizeof (to), "%s/cards/schedule-0.json", workspace);
    assert_int_equal (rename (from, to), 0);
}

static void a_full_disk_holds_a_replica_still_and_nothing_is_lost_or_doubled (void **state)
{
    struct strata_error error = { "" };
    static char record[1024 * 1024];
    uint64_t n = 1;
    int status;
    need_disk ();
    workspace_fill (campaign_text);
    pid_t pid = replica_start (&spec, 0);
    zsock_t *heartbeats = heartbeats_of ("stage-0");
    struct strata_client *c = client_open (20000);
    assert_non_null (c);
    assert_int_equal (strata_append (c, "a", "p", n++, record, sizeof (record), NULL, &error), 0);
    wait_trouble (heartbeats, NULL);
    prepare_card ();
    fill ();
    strata_set_timeout (c, 1500);
    while (strata_append (c, "a", "p", n, record, sizeof (record), NULL, &error) == 0)
        assert_true (++n < 200);
    assert_true (errno == ETIMEDOUT || errno == ENOSPC);
    wait_trouble (heartbeats, "can't be written");
    show_card ();
    sleep (2); /* it looks for cards and tries to commit several times in that */
    wait_trouble (heartbeats, "can't be written");
    assert_int_equal (waitpid (pid, &status, WNOHANG), 0);
    make_room ();
    wait_trouble (heartbeats, NULL);
    strata_set_timeout (c, 20000);
    /* Whether the last one was kept only the producer's number tells: it is sent again. */
    assert_int_equal (strata_append (c, "a", "p", n, record, sizeof (record), NULL, &error), 0);
    assert_int_equal (stream_end (c), n + 1);
    strata_close (&c);
    zsock_destroy (&heartbeats);
    assert_int_equal (process_end (pid, SIGTERM), 0);
    clear ();
}

static void a_replica_that_starts_on_a_full_disk_waits_for_room (void **state)
{
    struct strata_error error = { "" };
    int status;
    need_disk ();
    workspace_fill (campaign_text);
    pid_t pid = replica_start (&spec, 0);
    struct strata_client *c = client_open (20000);
    assert_non_null (c);
    assert_int_equal (strata_append (c, "a", "p", 1, "x", 1, NULL, &error), 0);
    process_end (pid, SIGKILL);
    fill ();
    pid = replica_start (&spec, 0);
    sleep (3);
    assert_int_equal (waitpid (pid, &status, WNOHANG), 0);
    zsock_t *heartbeats = heartbeats_of ("stage-0");
    wait_trouble (heartbeats, "shards/stage-0");
    make_room ();
    wait_trouble (heartbeats, NULL);
    assert_int_equal (strata_append (c, "a", "p", 2, "x", 1, NULL, &error), 0);
    assert_int_equal (stream_end (c), 3);
    strata_close (&c);
    zsock_destroy (&heartbeats);
    assert_int_equal (process_end (pid, SIGTERM), 0);
    clear ();
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_store_on_a_full_disk_stays_readable_and_goes_on_when_there_is_room),
        cmocka_unit_test (a_full_disk_holds_a_replica_still_and_nothing_is_lost_or_doubled),
        cmocka_unit_test (a_replica_that_starts_on_a_full_disk_waits_for_room),
    };
    return cmocka_run_group_tests_name ("disk", tests, set_up, tear_down);
}
