/* bench_strata.c - the mesh's streams, queues and requests, each between real processes: a producer with the client library,
 * the stage, and a consumer that is a service with a store of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bench.h"
#include "bench_mesh.h"
#include "bench_sink.h"
#include "mesh/chunks.h"
#include "mesh/client_internal.h"
#include "mesh/service_internal.h"
#include "stream.pb-c.h"

#define LEASE_MS 60000
#define TAKES_AHEAD 4

enum { WHAT, RECORDS, SIZE, BATCH, QUEUED, RECORD, OPTIONS };
static struct bench_option options[OPTIONS] = {
    [WHAT] = { "what", "streams, queues, lockstep, trace (of lockstep), requests or takes", "streams" },
    [RECORDS] = { "records", "how many (requests: how many requests)", "20000" },
    [SIZE] = { "size", "bytes of a record", "1024" },
    [BATCH] = { "batch", "records of one take and one acknowledgement", "256" },
    [RECORD] = { "record", "1: the stage's inputs are recorded for strata replay", "0" },
    [QUEUED] = { "queued", "records that wait already (requests, takes)", "1000" },
};
static uint64_t records, size, batch, queued;

/* The stage's shell alone, which is what serves streams, with its commit watched. */
static int (*stage_commit) (void *arg);

static int watched_commit (void *arg)
{
    struct service *service = arg;
    bool dirty = shard_dirty (service->shard);
    int64_t begin = bench_now_ns ();
    int rc = stage_commit (arg);
    if (dirty) {
        bench_shared->stage_ns[0] = begin;
        bench_shared->stage_ns[1] = bench_now_ns ();
    }
    return rc;
}

static int start_stage (struct service *service, struct strata_error *error)
{
    stage_commit = service->mesh.commit;
    service->mesh.commit = watched_commit;
    return 0;
}

static const struct service_spec stage_spec = { .name = "stage", .about = "the shell alone", .has_shard = true, .start = start_stage };

/* ---- a consumer of the queue: several takes under way, each run acknowledged as a whole ---- */

struct worker {
    uint64_t taken, acknowledged;
    size_t takes; /* under way */
    uint8_t *counts;
};

static void take_more (struct service *service);

static int see_taken (uint64_t sequence, int64_t time_us, const void *record, size_t bytes, void *arg)
{
    struct worker *self = arg;
    if (bytes != size || sequence > records || self->counts[sequence - 1]++)
        bench_fail ("strata: a record is wrong or came twice");
    bench_record_check (record, bytes, sequence - 1);
    self->taken++;
    return 0;
}

static void on_acked (struct service *service, const struct reply *reply, void *arg)
{
    struct worker *self = service_state (service);
    if (!reply->ok)
        bench_fail ("strata: %s", reply->error);
    self->acknowledged += (uint64_t)(uintptr_t)arg;
    if (self->acknowledged == records) {
        bench_shared->committed_ns = bench_now_ns ();
        service_quit (service, 0);
    }
}

static void on_taken (struct service *service, const struct reply *reply, void *arg)
{
    struct worker *self = service_state (service);
    struct strata_error error;
    if (!reply->ok)
        bench_fail ("strata: %s", reply->error);
    const Strata__QueueTakeReply *taken = (const Strata__QueueTakeReply *)reply->body;
    self->takes--;
    if (chunks_each (taken->chunks, taken->n_chunks, reply->blobs, reply->blobs_count, NULL, see_taken, self, &error) < 0)
        bench_fail ("strata: %s", error.text);
    if (taken->count) {
        Strata__QueueAck ack = STRATA__QUEUE_ACK__INIT;
        ack.queue = "bench";
        ack.sequence = taken->first;
        ack.count = taken->count;
        ack.token = taken->token;
        service_call (service,
                      "stage",
                      STRATA__MESSAGE_TYPE__TYPE_QUEUE_ACK,
                      &ack.base,
                      NULL,
                      0,
                      &strata__queue_ack_reply__descriptor,
                      60000,
                      on_acked,
                      (void *)(uintptr_t)taken->count);
        take_more (service);
    }
}

static void take_more (struct service *service)
{
    struct worker *self = service_state (service);
    Strata__QueueTake take = STRATA__QUEUE_TAKE__INIT;
    take.queue = "bench";
    take.consumer = "worker";
    take.lease_ms = LEASE_MS;
    take.max_records = (uint32_t)batch;
    for (; self->takes < TAKES_AHEAD && self->taken < records; self->takes++)
        service_call (service,
                      "stage",
                      STRATA__MESSAGE_TYPE__TYPE_QUEUE_TAKE,
                      &take.base,
                      NULL,
                      0,
                      &strata__queue_take_reply__descriptor,
                      60000,
                      on_taken,
                      NULL);
}

/* Takes that found nothing are made again. */
static void look_again (struct service *service, int64_t now_us)
{
    take_more (service);
}

static int start_worker (struct service *service, struct strata_error *error)
{
    static struct worker worker;
    worker.counts = calloc (records, 1);
    if (!worker.counts)
        return strata_fail (error, "out of memory");
    service_set_state (service, &worker);
    bench_ready ();
    return 0;
}

static const struct service_timer worker_timers[] = { { 1, look_again }, { 0, NULL } };
static const struct service_spec worker_spec = { .name = "worker", .about = "takes", .start = start_worker, .timers = worker_timers };

/* ---- the producer ---- */

static void put_records (struct strata_client *c, bool queue, uint64_t count)
{
    struct strata_error error = { "" };
    uint8_t *record = malloc (size);
    for (uint64_t i = 0; i < count; i++) {
        bench_record (record, size, i);
        if (client_append_ahead (c, "bench", queue, "p", false, i + 1, i + 1, record, size, &error) < 0)
            bench_fail ("strata: %s", error.text);
    }
    if (strata_flush (c, NULL, &error) < 0)
        bench_fail ("strata: %s", error.text);
    free (record);
}

static void through (struct bench_mesh *mesh, bool queue)
{
    pid_t consumer = bench_service (mesh, queue ? &worker_spec : &bench_sink_spec);
    struct strata_client *c = bench_client (mesh);
    uint64_t none;
    strata_last_sequence (c, "bench", "p", &none, &(struct strata_error){ "" }); /* connected, as the peers' clients are */
    int64_t start = bench_now_ns ();
    put_records (c, queue, records);
    int64_t published = bench_now_ns ();
    bench_join (consumer);
    bench_figure ("published", (double)records * 1e9 / (double)(published - start), "records/s");
    bench_figure ("acknowledged", (double)records * 1e9 / (double)(bench_shared->committed_ns - start), "records/s");
    bench_figure ("rss_stage", (double)bench_rss (mesh->stage) / 1e6, "MB");
    strata_close (&c);
}

/* A file beside the stores, synced in turn with them: the disk is in the same mood for both. */
struct probe {
    int fd;
    off_t at;
    int64_t *took;
};

static void probe_open (struct probe *self, const struct bench_mesh *mesh, const char *name, bool filled)
{
    char path[128];
    snprintf (path, sizeof (path), "%s/%s", mesh->workspace, name);
    *self = (struct probe){ open (path, O_RDWR | O_CREAT, 0666), 0, malloc (records * sizeof (int64_t)) };
    uint8_t *zeros = calloc (records, size);
    if (self->fd < 0 || !self->took || !zeros || (filled && pwrite (self->fd, zeros, records * size, 0) < 0) || fsync (self->fd) < 0)
        bench_fail ("%s: %s", path, strerror (errno));
    free (zeros);
}

static void probe_sync (struct probe *self, uint64_t i, const uint8_t *record)
{
    int64_t start = bench_now_ns ();
    if (pwrite (self->fd, record, size, self->at) < 0 || fdatasync (self->fd) < 0)
        bench_fail ("fdatasync: %s", strerror (errno));
    self->took[i] = bench_now_ns () - start;
    self->at += (off_t)size;
}

static void probe_end (struct probe *self, const char *name)
{
    bench_figure (name, bench_median_us (self->took, records), "us");
    free (self->took);
    close (self->fd);
}

/* One record at a time: from before it is published until the consumer has its effect on its own disk. */
static void lockstep (struct bench_mesh *mesh)
{
    struct strata_error error = { "" };
    uint8_t *record = malloc (size);
    int64_t *took = malloc (records * sizeof (*took)), *steps[5];
    eventfd_t value;
    static const char *const step_names[5] = { "publish_to_stage", "stage_commit", "stage_to_consumer", "consumer_commit", "all" };
    for (int k = 0; k < 5; k++)
        if (!(steps[k] = malloc (records * sizeof (**steps))))
            bench_fail ("out of memory");
    bench_shared->wake = eventfd (0, 0);
    int64_t *trips = malloc (records * sizeof (*trips));
    struct bench_echo echo;
    bench_echo_open (&echo, records);
    pid_t consumer = bench_service (mesh, &bench_sink_spec);
    struct strata_client *c = bench_client (mesh);
    struct probe append, in_place;
    probe_open (&append, mesh, "append", false);
    probe_open (&in_place, mesh, "in-place", true);
    if (!record || !took || !trips || bench_shared->wake < 0)
        bench_fail ("out of memory");
    for (uint64_t i = 0; i < records; i++) {
        bench_record (record, size, i);
        int64_t start = bench_now_ns ();
        if (strata_append (c, "bench", "p", i + 1, record, size, NULL, &error) < 0)
            bench_fail ("strata: %s", error.text);
        while (__atomic_load_n (&bench_shared->committed, __ATOMIC_ACQUIRE) <= i)
            if (eventfd_read (bench_shared->wake, &value) < 0)
                bench_fail ("eventfd: %s", strerror (errno));
        took[i] = bench_shared->committed_ns - start;
        int64_t at[] = { start, bench_shared->stage_ns[0], bench_shared->stage_ns[1], bench_shared->seen_ns, bench_shared->committed_ns };
        for (int k = 0; k < 4; k++)
            steps[k][i] = at[k + 1] - at[k];
        steps[4][i] = took[i];
        probe_sync (&append, i, record);
        probe_sync (&in_place, i, record);
        trips[i] = bench_echo_trip (&echo);
    }
    bench_echo_close (&echo);
    bench_figure ("zmq_round_trip", bench_median_us (trips, records), "us");
    free (trips);
    probe_end (&append, "fdatasync_append");
    probe_end (&in_place, "fdatasync_in_place");
    bench_join (consumer);
    strata_close (&c);
    bench_figure ("lockstep_median", bench_median_us (took, records), "us");
    bench_figure ("lockstep_p99", bench_rank_us (took, records, 99), "us");
    for (int k = 0; k < 5; k++) {
        if (mesh->spec)
            bench_figure (step_names[k], bench_median_us (steps[k], records), "us");
        free (steps[k]);
    }
    free (record);
    free (took);
}

/* ---- read-only requests, pipelined ---- */

struct asking {
    struct strata_client *c;
    uint64_t asked, answered;
    uint64_t expected;
};

static void ask (struct asking *self);

static void on_last (void *owner, const struct reply *reply, void *arg)
{
    struct asking *self = arg;
    if (!reply->ok)
        bench_fail ("strata: %s", reply->error);
    if (((const Strata__ProducerLastReply *)reply->body)->sequence != self->expected)
        bench_fail ("strata: a request has a wrong answer");
    if (++self->answered == records)
        self->c->mesh.stay_awake = true;
    if (self->asked < records)
        ask (self);
}

static void ask (struct asking *self)
{
    Strata__ProducerLast ask = STRATA__PRODUCER_LAST__INIT;
    ask.stream = "bench";
    ask.producer = "p";
    self->asked++;
    mesh_call (&self->c->mesh,
               "stage",
               STRATA__MESSAGE_TYPE__TYPE_PRODUCER_LAST,
               &ask.base,
               NULL,
               0,
               &strata__producer_last_reply__descriptor,
               60000,
               on_last,
               NULL,
               self);
}

static void requests (struct bench_mesh *mesh)
{
    struct strata_client *c = bench_client (mesh);
    put_records (c, false, queued);
    struct asking asking = { .c = c, .expected = queued };
    int64_t start = bench_now_ns ();
    for (uint64_t i = 0; i < 1000 && i < records; i++)
        ask (&asking);
    c->mesh.stay_awake = false;
    while (asking.answered < records)
        uv_run (&c->loop, UV_RUN_ONCE);
    bench_figure ("requests", (double)records * 1e9 / (double)(bench_now_ns () - start), "requests/s");
    strata_close (&c);
}

/* Take and acknowledge one record at a time beside many that wait. */
static void takes (struct bench_mesh *mesh)
{
    struct strata_client *c = bench_client (mesh);
    struct strata_error error = { "" };
    put_records (c, true, queued);
    int64_t *took = malloc (records * sizeof (*took));
    if (!took || records > queued)
        bench_fail ("takes: fewer records than are queued");
    for (uint64_t i = 0; i < records; i++) {
        Strata__QueueTake take = STRATA__QUEUE_TAKE__INIT;
        Strata__QueueAck ack = STRATA__QUEUE_ACK__INIT;
        ProtobufCMessage *reply, *done;
        void *record;
        size_t bytes;
        take.queue = "bench";
        take.consumer = "worker";
        take.lease_ms = LEASE_MS;
        int64_t start = bench_now_ns ();
        if (client_request (c, "stage", STRATA__MESSAGE_TYPE__TYPE_QUEUE_TAKE, &take.base, NULL, 0,
                            &strata__queue_take_reply__descriptor, &reply, &record, &bytes, &error)
            < 0)
            bench_fail ("strata: %s", error.text);
        const Strata__QueueTakeReply *taken = (const Strata__QueueTakeReply *)reply;
        if (taken->count != 1 || bytes != size)
            bench_fail ("strata: a take found %u records", taken->count);
        bench_record_check (record, bytes, taken->first - 1);
        ack.queue = "bench";
        ack.sequence = taken->first;
        ack.token = taken->token;
        if (client_request (c, "stage", STRATA__MESSAGE_TYPE__TYPE_QUEUE_ACK, &ack.base, NULL, 0,
                            &strata__queue_ack_reply__descriptor, &done, NULL, NULL, &error)
            < 0)
            bench_fail ("strata: %s", error.text);
        took[i] = bench_now_ns () - start;
        protobuf_c_message_free_unpacked (reply, NULL);
        protobuf_c_message_free_unpacked (done, NULL);
        free (record);
    }
    bench_figure ("take_ack_median", bench_median_us (took, records), "us");
    free (took);
    strata_close (&c);
}

int main (int argc, char **argv)
{
    struct bench_mesh mesh = { .stage = 0 };
    bench_arguments (argc, argv, "streams, queues and requests of the stage, between real processes", options, OPTIONS);
    const char *what = options[WHAT].text;
    records = bench_number (&options[RECORDS]);
    size = bench_number (&options[SIZE]);
    batch = bench_number (&options[BATCH]);
    queued = bench_number (&options[QUEUED]);
    bench_share (records, size);
    bool asking = strcmp (what, "requests") == 0;
    mesh.record = bench_number (&options[RECORD]);
    mesh.spec = strcmp (what, "trace") == 0 ? &stage_spec : NULL;
    bench_mesh_up (&mesh, 16384, asking ? 0 : -1);
    if (strcmp (what, "streams") == 0 || strcmp (what, "queues") == 0)
        through (&mesh, what[0] == 'q');
    else if (strcmp (what, "lockstep") == 0 || mesh.spec)
        lockstep (&mesh);
    else if (asking)
        requests (&mesh);
    else if (strcmp (what, "takes") == 0)
        takes (&mesh);
    else
        bench_fail ("--what %s: streams, queues, lockstep, trace, requests or takes", what);
    bench_mesh_down (&mesh);
    return 0;
}
