/* test_in_place.c - a consumer on the stage's node reads records out of the stage's files, or, where it can't, by the socket:
 * the same records, each once. */
#include <dirent.h>
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
#include <unistd.h>

#include <cmocka.h>

#include "mesh/cards.h"
#include "mesh/chunks.h"
#include "mesh/client.h"
#include "mesh/in_place.h"
#include "mesh/service.h"
#include "mesh/wire.h"
#include "status.pb-c.h"
#include "store/stream.h"
#include "strata.h"
#include "stream.pb-c.h"
#include "workspace.h"

#define SIZE 20000
#define TOGETHER 5

static int set_up (void **state)
{
    workspace_make (CAMPAIGN_HEAD ("in-place-test") CAMPAIGN_JOBS CAMPAIGN_FEEDBACK "stage: {queue_mb: 64}\n");
    return 0;
}

static void fill (uint8_t record[SIZE], uint64_t n)
{
    memset (record, (int)(n % 251), SIZE);
    memcpy (record, &n, sizeof (n));
}

static void check (const void *record, size_t size, uint64_t n)
{
    uint8_t expected[SIZE];
    fill (expected, n);
    if (size != SIZE || memcmp (record, expected, SIZE) != 0)
        abort (); /* also in a process of its own */
}

/* ---- chunks and files ---- */

struct store {
    char root[64], folder[16];
    struct shard *shard;
    struct chunks chunks;
};

/* A shard "stage-0" whose stream "a" has two chunks of large records in a segment, and a small one in the store. */
static void store_open (struct store *self)
{
    struct strata_error error;
    char dir[160];
    static uint8_t bytes[SIZE * TOGETHER];
    uint32_t sizes[TOGETHER];
    *self = (struct store){ .root = "/tmp/strata-in-place-XXXXXX" };
    assert_non_null (mkdtemp (self->root));
    snprintf (dir, sizeof (dir), "%s/shards", self->root);
    assert_int_equal (mkdir (dir, 0777), 0);
    snprintf (dir, sizeof (dir), "%s/shards/stage-0", self->root);
    self->shard = shard_open (dir, &error);
    assert_non_null (self->shard);
    for (uint64_t chunk = 0; chunk < 2; chunk++) {
        for (uint64_t i = 0; i < TOGETHER; i++) {
            sizes[i] = SIZE;
            fill (bytes + i * SIZE, chunk * TOGETHER + i + 1);
        }
        struct stream_batch batch = { NULL, NULL, sizes, TOGETHER, bytes, true };
        assert_int_equal (stream_append_batch (self->shard, "a", &batch, 1, NULL, NULL, &error), 0);
    }
    fill (bytes, 2 * TOGETHER + 1);
    struct stream_batch small = { NULL, NULL, sizes, 1, bytes, true };
    assert_int_equal (stream_append_batch (self->shard, "a", &small, 1, NULL, NULL, &error), 0);
    assert_int_equal (shard_commit (self->shard, &error), 0);
    snprintf (self->folder, sizeof (self->folder), "%.15s", strrchr (shard_path (self->shard), '/') + 1);
}

static void store_close (struct store *self)
{
    char command[128];
    chunks_fini (&self->chunks);
    shard_close (&self->shard);
    snprintf (command, sizeof (command), "rm -rf '%s'", self->root);
    assert_int_equal (system (command), 0);
}

struct reader {
    struct in_place *in_place;
    const char *folder;
    uint64_t next;
};

static const uint8_t *read_chunk (const Strata__Chunk *row, size_t size, void *arg, struct strata_error *error)
{
    struct reader *self = arg;
    return in_place_read (self->in_place, self->folder, row, size, error);
}

static int see (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    struct reader *self = arg;
    assert_int_equal (sequence, self->next);
    check (record, size, self->next++);
    return 0;
}

/* Reads the stream from `from` on; returns what chunks_each does, and how far it came. */
static int read_from (struct store *store, uint64_t from, const char *folder, bool places, uint64_t *next, struct strata_error *error)
{
    size_t count;
    struct blob blobs[8];
    struct reader reader = { in_place_new (store->root, "stage-0", "a"), folder, from };
    const struct chunks_places by = { read_chunk, &reader };
    chunks_fini (&store->chunks);
    stream_read_chunks (store->shard, "a", from, SIZE_MAX, SIZE_MAX, chunks_add_place, &store->chunks);
    zframe_t **frames = chunks_blobs (&store->chunks, &count);
    assert_in_range (count, 1, 2);
    for (size_t i = 0; i < count; i++)
        blobs[i] = (struct blob){ zframe_data (frames[i]), zframe_size (frames[i]) };
    int rc = chunks_each (store->chunks.rows, store->chunks.count, blobs, count, places ? &by : NULL, see, &reader, error);
    for (size_t i = 0; i < count; i++)
        zframe_destroy (&frames[i]);
    in_place_free (&reader.in_place);
    *next = reader.next;
    return rc;
}

static void chunks_that_are_asked_for_as_a_whole_are_read_in_their_place (void **state)
{
    struct store store;
    struct strata_error error = { "" };
    uint64_t next;
    store_open (&store);
    assert_int_equal (read_from (&store, 1, store.folder, true, &next, &error), 0);
    assert_int_equal (next, 2 * TOGETHER + 2);
    assert_true (store.chunks.rows[0]->place && store.chunks.rows[1]->place && !store.chunks.rows[2]->place);
    /* From the middle of a chunk on its bytes are sent: its checksum is of all. */
    assert_int_equal (read_from (&store, 3, store.folder, true, &next, &error), 0);
    assert_int_equal (next, 2 * TOGETHER + 2);
    assert_true (!store.chunks.rows[0]->place && store.chunks.rows[1]->place);
    /* Places that nobody asked for are no records. */
    assert_int_equal (read_from (&store, 1, store.folder, false, &next, &error), -1);
    assert_int_equal (next, 1);
    assert_non_null (strstr (error.text, "missing"));
    store_close (&store);
}

static void what_is_not_as_it_was_written_is_no_record (void **state)
{
    struct store store;
    struct strata_error error = { "" };
    uint64_t next;
    char path[300];
    struct stat st;
    store_open (&store);
    static const char *const elsewhere[] = { "", "..", "../stage-0", "0/../../stage-0", "/etc", "00000009" };
    for (size_t i = 0; i < sizeof (elsewhere) / sizeof (elsewhere[0]); i++) {
        assert_int_equal (read_from (&store, 1, elsewhere[i], true, &next, &error), -1);
        assert_int_equal (next, 1);
    }
    snprintf (path, sizeof (path), "%s/shards/stage-0/%s/a.%016x.records", store.root, store.folder, 1);
    int fd = open (path, O_RDWR);
    assert_true (fd >= 0 && fstat (fd, &st) == 0);
    assert_int_equal (pwrite (fd, "J", 1, SIZE * TOGETHER + 77), 1); /* in the second chunk */
    assert_int_equal (read_from (&store, 1, store.folder, true, &next, &error), -1);
    assert_int_equal (next, TOGETHER + 1); /* those before it were handed over */
    assert_non_null (strstr (error.text, "not those that were written"));
    assert_int_equal (ftruncate (fd, SIZE), 0);
    assert_int_equal (read_from (&store, 1, store.folder, true, &next, &error), -1);
    assert_int_equal (next, 1);
    assert_non_null (strstr (error.text, "it ends there"));
    close (fd);
    store_close (&store);
}

/* ---- between processes ---- */

static int count (struct service *self, const char *peer, uint64_t sequence, int64_t time_us, const void *record, size_t size,
                  void *arg)
{
    struct shard *shard = service_shard (self);
    uint64_t seen = shard_get_u64 (shard, "test/count", 0);
    check (record, size, seen + 1); /* in order, and each once */
    shard_put_u64 (shard, "test/count", seen + 1);
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
    uint8_t record[SIZE];
    for (uint64_t n = from; n <= to; n++) {
        fill (record, n);
        if (strata_append_ahead (c, "a", "p", n, record, SIZE, &error) < 0)
            fail_msg ("append: %s", error.text);
    }
    if (strata_flush (c, NULL, &error) < 0)
        fail_msg ("flush: %s", error.text);
}

/* Waits for the consumer to have handed over `records`; returns how many bytes of them it has read in place. */
static uint64_t wait_taken (uint64_t records)
{
    uint64_t in_place = 0, committed = 0;
    zsock_t *heartbeats = heartbeats_of ("select-0");
    struct strata_client *c = client_open (20000);
    for (int i = 0; i < 200 && committed != records + 1; i++, nap_ms (50)) {
        Strata__StreamStatReply *stat = ask_stat (c);
        for (size_t s = 0; s < stat->n_streams; s++)
            if (strcmp (stat->streams[s]->stream, "a") == 0 && stat->streams[s]->n_consumers == 1)
                committed = stat->streams[s]->consumers[0]->committed;
        strata__stream_stat_reply__free_unpacked (stat, NULL);
    }
    assert_int_equal (committed, records + 1);
    strata_close (&c);
    for (int i = 0; i < 3; i++) { /* the first ones may have waited */
        Strata__Heartbeat *hb = heartbeat_next (heartbeats);
        in_place = (uint64_t)heartbeat_figure (hb, "read_in_place_bytes");
        strata__heartbeat__free_unpacked (hb, NULL);
    }
    zsock_destroy (&heartbeats);
    return in_place;
}

static void move_segments (const char *from, const char *to)
{
    char command[300];
    snprintf (command, sizeof (command), "cd '%s'/shards/stage-0/0* && for f in a.*%s; do mv \"$f\" \"${f%%%s}%s\"; done", workspace, from,
              from, to);
    assert_int_equal (system (command), 0);
}

static void a_consumer_on_the_stage_s_node_gets_each_record_once_whichever_way_it_comes (void **state)
{
    pid_t stage = replica_start (&producer_spec, 0), select = replica_start (&consumer_spec, 0);
    struct strata_client *c = client_open (20000);
    append (c, 1, 300);
    uint64_t first = wait_taken (300);
    print_message ("%llu of %d bytes were read in place\n", (unsigned long long)first, 300 * SIZE);
    assert_true (first >= 100 * SIZE);
    /* The consumer finds no files, the stage has the one it appends to open: by the socket, without an error. */
    assert_int_equal (process_end (select, SIGTERM), 0);
    append (c, 301, 600);
    move_segments (".records", ".hidden");
    select = replica_start (&consumer_spec, 0);
    assert_int_equal (wait_taken (600), 0);
    move_segments (".hidden", ".records");
    /* And in place again, with another process that keeps the stream. */
    process_end (stage, SIGKILL);
    stage = replica_start (&producer_spec, 0);
    append (c, 601, 900);
    assert_true (wait_taken (900) >= 100 * SIZE);
    assert_int_equal (process_end (select, SIGTERM), 0);
    strata_close (&c);
    assert_int_equal (process_end (stage, SIGTERM), 0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        /* First: it forks, and a RocksDB that this process has opened has threads. */
        cmocka_unit_test (a_consumer_on_the_stage_s_node_gets_each_record_once_whichever_way_it_comes),
        cmocka_unit_test (chunks_that_are_asked_for_as_a_whole_are_read_in_their_place),
        cmocka_unit_test (what_is_not_as_it_was_written_is_no_record),
    };
    return cmocka_run_group_tests_name ("records in place", tests, set_up, workspace_remove);
}
