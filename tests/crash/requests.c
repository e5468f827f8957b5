/* requests.c - crash-load requests: a client that asks all services, all the time, and counts what comes of it.
 *
 * It uses the client library as a simulation and the command line do: objects put and got back, records appended, a
 * queue that it shares with the other clients, questions to status, schedule, select and feedback. Each call gets one
 * chance: whatever the library does not retry by itself is a failure. What it reads must be what was written; what it
 * is told is done must be done once. --hold FILE ends it; then it empties the queue and writes <out>/requests.json.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "content.h"
#include "load.h"
#include "mesh/client.h"
#include "schedule.pb-c.h"
#include "status.pb-c.h"
#include "stream.pb-c.h"

#define TIMEOUT_MS 30000
#define OBJECTS 20 /* keys that are written in turn */
#define OBJECT_MAX 20000
#define RECORD 200
#define STREAM "requests"
#define QUEUE "requests-queue"
#define QUEUE_KEEPER "stage-0" /* one queue for all clients, however many stages there are */
#define DONE "requests-done"
#define NAMESPACE "requests"
#define LEASE_MS 60000

enum kind { PUT, GET, APPEND, OFFER, TAKE, ACK, STATUS, JOBS, SELECT, FEEDBACK, KINDS };
static const char *const kind_names[KINDS] = { "put", "get",    "append", "offer",  "take",
                                               "ack", "status", "jobs",   "select", "feedback" };

struct tally {
    uint64_t requests, failures;
    double longest_s;
};

struct requests {
    const struct load_options *options;
    struct strata_client *client;
    struct tally tallies[KINDS];
    uint64_t appended, offered, taken; /* records of this client; taken: acknowledged */
    uint64_t versions[OBJECTS];        /* of each object: what stands in it */
    uint64_t version, random;
    double begun_s;
};

static double now_s (void)
{
    struct timespec ts;
    clock_gettime (CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void begin (struct requests *self)
{
    self->begun_s = now_s ();
}

/* Counts one request; false when it failed. */
static bool ended (struct requests *self, enum kind kind, int rc, const struct strata_error *error)
{
    struct tally *tally = &self->tallies[kind];
    double took_s = now_s () - self->begun_s;
    tally->requests++;
    tally->longest_s = took_s > tally->longest_s ? took_s : tally->longest_s;
    if (rc < 0) {
        tally->failures++;
        fprintf (stderr, "crash-load requests: %s failed after %.1f s: %s\n", kind_names[kind], took_s, error->text);
    }
    return rc == 0;
}

static bool ask (struct requests *self, enum kind kind, const char *peer, uint32_t type, const ProtobufCMessage *body,
                 const ProtobufCMessageDescriptor *descriptor, ProtobufCMessage **reply)
{
    struct strata_error error = { "" };
    begin (self);
    return ended (self, kind,
                  client_request (self->client, peer, type, body, NULL, 0, descriptor, reply, NULL, NULL, &error),
                  &error);
}

/* ---- objects ---- */

static size_t content (const struct requests *self, size_t key, uint64_t version, uint8_t *data)
{
    uint64_t random = content_seed (self->options->simulation, key * 1000003 + version);
    size_t size = 100 + content_next (&random) % (OBJECT_MAX - 100);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)content_next (&random);
    return size;
}

static int put_and_get (struct requests *self, struct strata_error *error)
{
    static uint8_t expected[OBJECT_MAX];
    char key[128];
    void *data = NULL;
    size_t n = content_next (&self->random) % OBJECTS, size = content (self, n, ++self->version, expected), got = 0;
    snprintf (key, sizeof (key), "%.60s/%zu", self->options->simulation, n);
    begin (self);
    if (ended (self, PUT, strata_put (self->client, NAMESPACE, key, expected, size, error), error))
        self->versions[n] = self->version;
    n = content_next (&self->random) % OBJECTS;
    if (!self->versions[n])
        return 0;
    size = content (self, n, self->versions[n], expected);
    snprintf (key, sizeof (key), "%.60s/%zu", self->options->simulation, n);
    begin (self);
    if (!ended (self, GET, strata_get (self->client, NAMESPACE, key, &data, &got, error), error))
        return 0;
    bool same = got == size && memcmp (data, expected, size) == 0;
    free (data);
    if (same)
        return 0;
    strata_fail (error, "object %s is not what was put last", key);
    return load_violation (self->options, error);
}

/* ---- records ---- */

static int append (struct requests *self, struct strata_error *error)
{
    uint8_t record[RECORD];
    bool repeat = false;
    uint64_t random = content_seed (self->options->simulation, ++self->appended);
    for (size_t i = 0; i < RECORD; i++)
        record[i] = (uint8_t)content_next (&random);
    begin (self);
    if (!ended (self, APPEND,
                strata_append (self->client, STREAM, self->options->simulation, self->appended, record, RECORD, &repeat,
                               error),
                error)
        || !repeat)
        return 0;
    strata_fail (error, "record %" PRIu64 " of %s was appended once and called a repeat", self->appended,
                 self->options->simulation);
    return load_violation (self->options, error);
}

static void offer (struct requests *self)
{
    char text[128], producer[128];
    struct strata_error error = { "" };
    ProtobufCMessage *reply;
    uint64_t sequence = ++self->offered;
    snprintf (text, sizeof (text), "%.60s %" PRIu64, self->options->simulation, sequence);
    uint32_t size = (uint32_t)strlen (text);
    struct blob blob = { text, size };
    Strata__StreamAppend body = STRATA__STREAM_APPEND__INIT;
    body.stream = QUEUE;
    body.queue = true;
    snprintf (producer, sizeof (producer), "%.60s.offers", self->options->simulation);
    body.producer = producer; /* another than that of append, which may be another stage's */
    body.producer_sequence = &sequence;
    body.n_producer_sequence = 1;
    body.sizes = &size;
    body.n_sizes = 1;
    begin (self);
    if (ended (self, OFFER,
               client_request (self->client, QUEUE_KEEPER, STRATA__MESSAGE_TYPE__TYPE_STREAM_APPEND, &body.base, &blob, 1,
                               &strata__stream_append_reply__descriptor, &reply, NULL, NULL, &error),
               &error))
        protobuf_c_message_free_unpacked (reply, NULL);
}

/* Takes one of the shared queue and acknowledges it with an output; false when the queue is empty. */
static bool take_and_ack (struct requests *self)
{
    Strata__QueueTake take = STRATA__QUEUE_TAKE__INIT;
    Strata__QueueAck ack = STRATA__QUEUE_ACK__INIT;
    Strata__QueueOutput output = STRATA__QUEUE_OUTPUT__INIT;
    Strata__QueueOutput *outputs[] = { &output };
    ProtobufCMessage *reply, *done;
    struct strata_error error = { "" };
    void *record = NULL;
    size_t size = 0;
    take.queue = QUEUE;
    take.consumer = (char *)self->options->simulation;
    take.lease_ms = LEASE_MS;
    begin (self);
    if (!ended (self, TAKE,
                client_request (self->client, QUEUE_KEEPER, STRATA__MESSAGE_TYPE__TYPE_QUEUE_TAKE, &take.base, NULL, 0,
                                &strata__queue_take_reply__descriptor, &reply, &record, &size, &error),
                &error))
        return false;
    const Strata__QueueTakeReply *taken = (const Strata__QueueTakeReply *)reply;
    ProtobufCBinaryData data = { size, record };
    bool found = taken->count > 0;
    if (found) {
        ack.queue = QUEUE;
        ack.sequence = taken->first;
        ack.token = taken->token;
        output.stream = DONE;
        output.records = &data;
        output.n_records = 1;
        ack.outputs = outputs;
        ack.n_outputs = 1;
        if (ask (self, ACK, QUEUE_KEEPER, STRATA__MESSAGE_TYPE__TYPE_QUEUE_ACK, &ack.base,
                 &strata__queue_ack_reply__descriptor, &done)) {
            self->taken++;
            protobuf_c_message_free_unpacked (done, NULL);
        }
    }
    protobuf_c_message_free_unpacked (reply, NULL);
    free (record);
    return found;
}

/* ---- questions ---- */

static void look (struct requests *self)
{
    Strata__Status status = STRATA__STATUS__INIT;
    Strata__Jobs jobs = STRATA__JOBS__INIT;
    Strata__StreamStat stat = STRATA__STREAM_STAT__INIT;
    const struct {
        enum kind kind;
        const char *service;
        uint32_t type;
        const ProtobufCMessage *body;
        const ProtobufCMessageDescriptor *reply;
    } questions[] = {
        { STATUS, "status", STRATA__MESSAGE_TYPE__TYPE_STATUS, &status.base, &strata__status_reply__descriptor },
        { JOBS, "schedule", STRATA__MESSAGE_TYPE__TYPE_JOBS, &jobs.base, &strata__jobs_reply__descriptor },
        { SELECT, "select", STRATA__MESSAGE_TYPE__TYPE_STREAM_STAT, &stat.base,
          &strata__stream_stat_reply__descriptor },
        { FEEDBACK, "feedback", STRATA__MESSAGE_TYPE__TYPE_STREAM_STAT, &stat.base,
          &strata__stream_stat_reply__descriptor },
    };
    jobs.max = 5;
    for (size_t i = 0; i < sizeof (questions) / sizeof (questions[0]); i++) {
        ProtobufCMessage *reply;
        if (ask (self, questions[i].kind, questions[i].service, questions[i].type, questions[i].body,
                 questions[i].reply, &reply))
            protobuf_c_message_free_unpacked (reply, NULL);
    }
}

/* ---- the end ---- */

static int check_last (struct requests *self, struct strata_error *error)
{
    uint64_t last = 0;
    if (strata_last_sequence (self->client, STREAM, self->options->simulation, &last, error) < 0)
        return -1;
    if (last == self->appended || self->tallies[APPEND].failures)
        return 0;
    strata_fail (error, "%" PRIu64 " records were appended, and the last one kept is %" PRIu64, self->appended, last);
    return load_violation (self->options, error);
}

static int report (const struct requests *self, struct strata_error *error)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream (&text, &size);
    if (!out)
        return strata_fail (error, "out of memory");
    fprintf (out,
             "{\"client\": \"%s\", \"offered\": %" PRIu64 ", \"acknowledged\": %" PRIu64 ", \"resent\": %" PRIu64
             ", \"kinds\": {",
             self->options->simulation, self->offered, self->taken, client_resent (self->client));
    for (size_t i = 0; i < KINDS; i++)
        fprintf (out, "%s\"%s\": {\"requests\": %" PRIu64 ", \"failures\": %" PRIu64 ", \"longest_s\": %.3f}",
                 i ? ", " : "", kind_names[i], self->tallies[i].requests, self->tallies[i].failures,
                 self->tallies[i].longest_s);
    fprintf (out, "}}\n");
    int rc = fclose (out) == 0 ? load_save (self->options->out, "requests.json", text, size, error)
                               : strata_fail (error, "out of memory");
    free (text);
    return rc;
}

int load_requests (const struct load_options *options, struct strata_error *error)
{
    struct requests self = { .options = options, .random = content_seed (options->simulation, options->seed) };
    int rc = 0;
    self.client = strata_open (NULL, options->simulation, TIMEOUT_MS, error);
    if (!self.client)
        return -1;
    for (uint64_t n = 0; rc == 0 && access (options->hold, F_OK) < 0; n++) {
        rc = put_and_get (&self, error);
        if (rc == 0)
            rc = append (&self, error);
        offer (&self);
        take_and_ack (&self);
        if (n % 4 == 0)
            look (&self);
        usleep (options->pace_ms * 1000);
    }
    while (rc == 0 && take_and_ack (&self))
        ;
    if (rc == 0)
        rc = check_last (&self, error);
    if (rc == 0)
        rc = report (&self, error);
    strata_close (&self.client);
    return rc;
}

int load_refused (const struct load_options *options, struct strata_error *error)
{
    struct strata_client *client = strata_open (NULL, "refused", TIMEOUT_MS, error);
    Strata__StreamRead read = STRATA__STREAM_READ__INIT;
    ProtobufCMessage *reply = NULL;
    if (!client)
        return -1;
    read.stream = "../no-stream";
    int rc = client_request (client, options->peer, STRATA__MESSAGE_TYPE__TYPE_STREAM_READ, &read.base, NULL, 0,
                             &strata__stream_read_reply__descriptor, &reply, NULL, NULL, error);
    bool refused = rc < 0 && errno != ETIMEDOUT;
    if (rc == 0) {
        protobuf_c_message_free_unpacked (reply, NULL);
        strata_fail (error, "%s answered what it must refuse", options->peer);
    }
    strata_close (&client);
    return refused ? 0 : -1;
}
