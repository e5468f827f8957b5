/* client_records.c - records on their way to a stream: gathered into requests, several under way at once. And reading them.
 *
 * What is appended while a request of the same stream and producer is under way is gathered: many small records become few
 * large messages, and one alone leaves at once. Requests name the record sent before them (`after`), so that one that comes
 * without it - lost, refused because the stream is full - is refused too and comes again later: all are kept in order.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/crash_point.h"
#include "data/histogram.h"
#include "feedback.pb-c.h"
#include "mesh/chunks.h"
#include "mesh/client_internal.h"
#include "mesh/route.h"
#include "patch.pb-c.h"
#include "stream.pb-c.h"

#define GATHER_BYTES MESH_GIVEN_BYTES /* a request is sent when it has so many */
#define GATHER_RECORDS 4096
#define READ_BYTES (4u << 20)
#define LOOK_US 300000            /* between looks at the cards */
#define AHEAD_BYTES (16u << 20)   /* under way at most, else an append waits: what the stage syncs, and as much behind it */

struct channel {
    struct channel *next;
    struct strata_client *client;
    char stream[STREAM_NAME_MAX + 1], producer[PRODUCER_NAME_MAX + 1];
    bool queue;
    uint8_t *bytes; /* gathered, size of room */
    size_t size, room;
    uint32_t *sizes;
    uint64_t *sequences, *firsts; /* firsts: the first sequence that each stands for */
    bool sums;          /* there are sums of frames among them, also of one frame */
    size_t count, counts_room;
    uint64_t sent;      /* the last sequence sent since nothing was under way */
    size_t requests;    /* under way */
};

/* One request under way. */
struct sending {
    struct channel *channel;
    size_t size;
    bool sums; /* of frames, that only their sender can make again */
};

static struct channel *channel_of (struct strata_client *self, const char *stream, bool queue, const char *producer,
                                   struct strata_error *error)
{
    for (struct channel **p = &self->channels, *c; (c = *p); p = &c->next)
        if (c->queue == queue && strcmp (c->stream, stream) == 0 && strcmp (c->producer, producer) == 0) {
            *p = c->next; /* the one used last stands first */
            c->next = self->channels;
            return self->channels = c;
        }
    errno = EINVAL;
    if (!stream_name_valid (stream)) {
        strata_fail (error, "stream name '%.80s' is not 1-%d of a-z 0-9 -", stream, STREAM_NAME_MAX);
        return NULL;
    }
    if (!producer_name_valid (producer)) {
        strata_fail (error, "producer name '%.80s' is not 1-%d printable characters", producer, PRODUCER_NAME_MAX);
        return NULL;
    }
    struct channel *c = calloc (1, sizeof (*c));
    if (!c) {
        errno = ENOMEM;
        strata_fail (error, "out of memory");
        return NULL;
    }
    c->client = self;
    c->queue = queue;
    snprintf (c->stream, sizeof (c->stream), "%s", stream);
    snprintf (c->producer, sizeof (c->producer), "%s", producer);
    c->next = self->channels;
    return self->channels = c;
}

static void forget_gathered (struct channel *self)
{
    self->size = self->count = 0;
    self->sums = false;
}

void client_forget_appends (struct strata_client *self)
{
    while (self->channels) {
        struct channel *c = self->channels;
        self->channels = c->next;
        free (c->bytes);
        free (c->sizes);
        free (c->sequences);
        free (c->firsts);
        free (c);
    }
}

static void send_gathered (struct channel *self);

static void on_appended (void *owner, const struct reply *reply, void *arg)
{
    struct sending *sending = arg;
    struct channel *channel = sending->channel;
    struct strata_client *client = channel->client;
    client->under_way -= sending->size;
    client->mesh.stay_awake = true; /* whoever waits looks again */
    channel->requests--;
    bool sums = sending->sums;
    free (sending);
    if (reply->ok)
        client->duplicates += ((const Strata__StreamAppendReply *)reply->body)->duplicates;
    else if (!client->failed) {
        client->failed = true;
        client->failed_errno = client_errno (reply);
        strata_fail (&client->failure, "%s", reply->error);
    }
    if (client->failed) { /* what was gathered comes after what was not kept */
        client->under_way -= channel->size;
        client->sums_lost = client->sums_lost || channel->sums || (sums && !reply->ok);
        forget_gathered (channel);
    }
    if (client->failed || channel->requests == 0)
        channel->sent = 0;
    if (channel->count)
        send_gathered (channel);
}

/* The loop looks now and then, but runs only in calls. */
static void look_at_cards (struct strata_client *self)
{
    int64_t now_us = mesh_now_us ();
    if (now_us - self->looked_us < LOOK_US)
        return;
    self->looked_us = now_us;
    mesh_look_at_cards (&self->mesh);
}

static void send_gathered (struct channel *self)
{
    struct strata_client *client = self->client;
    Strata__StreamAppend ask = STRATA__STREAM_APPEND__INIT;
    struct sending *sending = malloc (sizeof (*sending));
    if (!sending)
        return; /* tried again by the next one */
    bool same = true;
    for (size_t i = 1; i < self->count && same; i++)
        same = self->sizes[i] == self->sizes[0];
    *sending = (struct sending){ self, self->size, self->sums };
    ask.stream = self->stream;
    ask.producer = self->producer;
    ask.queue = self->queue;
    ask.producer_sequence = self->sequences;
    ask.n_producer_sequence = self->count;
    ask.sizes = self->sizes;
    ask.n_sizes = same ? 1 : self->count;
    ask.after = self->sent;
    ask.producer_first = self->firsts;
    ask.n_producer_first = self->sums ? self->count : 0;
    look_at_cards (client);
    self->sent = self->sequences[self->count - 1];
    self->requests++;
    uint8_t *bytes = self->bytes;
    size_t room = self->room;
    self->bytes = NULL;
    self->room = 0;
    mesh_call_given (&client->mesh,
                     self->producer,
                     STRATA__MESSAGE_TYPE__TYPE_STREAM_APPEND,
                     &ask.base,
                     bytes,
                     self->size,
                     room,
                     &strata__stream_append_reply__descriptor,
                     client->timeout_ms,
                     on_appended,
                     NULL,
                     sending);
    forget_gathered (self);
}

static int grow (struct channel *self, size_t size, struct strata_error *error)
{
    size_t room = self->size + size > GATHER_BYTES ? self->size + size : self->requests || self->size ? GATHER_BYTES : size;
    if (room > self->room) {
        uint8_t *bytes = room == MESH_GIVEN_BYTES && !self->bytes ? mesh_given_new () : realloc (self->bytes, room ? room : 1);
        if (!bytes)
            goto no_memory;
        self->bytes = bytes;
        self->room = room;
    }
    if (self->count == self->counts_room) {
        size_t counts = self->counts_room ? self->counts_room * 2 : 64;
        uint32_t *sizes = realloc (self->sizes, counts * sizeof (*sizes));
        if (sizes)
            self->sizes = sizes;
        uint64_t *sequences = realloc (self->sequences, counts * sizeof (*sequences));
        if (sequences)
            self->sequences = sequences;
        uint64_t *firsts = realloc (self->firsts, counts * sizeof (*firsts));
        if (firsts)
            self->firsts = firsts;
        if (!sizes || !sequences || !firsts)
            goto no_memory;
        self->counts_room = counts;
    }
    return 0;
no_memory:
    errno = ENOMEM;
    return strata_fail (error, "out of memory for a record of %zu bytes", size);
}

/* Runs the loop once. wait: until something comes. */
static void run (struct strata_client *self, bool wait)
{
    self->mesh.stay_awake = false;
    uv_run (&self->loop, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
}

static int failure (struct strata_client *self, struct strata_error *error)
{
    self->failed = false;
    *error = self->failure;
    errno = self->failed_errno;
    return -1;
}

int client_append_ahead (struct strata_client *self, const char *stream, bool queue, const char *producer, bool sum, uint64_t first,
                         uint64_t sequence, const void *record, size_t size, struct strata_error *error)
{
    struct channel *channel = channel_of (self, stream, queue, producer, error);
    if (!channel)
        return -1;
    if (size > CHUNKS_MAX_BYTES) {
        errno = EINVAL;
        return strata_fail (error, "a record of %zu bytes for stream %s: at most %u are taken", size, stream, CHUNKS_MAX_BYTES);
    }
    /* Sequences of one request rise. A repeat goes alone: the stage finds out that it is one. */
    bool full = channel->count == GATHER_RECORDS || (channel->count && channel->size + size > GATHER_BYTES)
                || (channel->count && first <= channel->sequences[channel->count - 1]);
    if (full)
        send_gathered (channel);
    while (self->under_way && self->under_way + size > AHEAD_BYTES && !self->failed)
        run (self, true);
    if (self->failed)
        return failure (self, error);
    if (grow (channel, size, error) < 0)
        return -1;
    if (size)
        memcpy (channel->bytes + channel->size, record, size);
    channel->sizes[channel->count] = (uint32_t)size;
    channel->firsts[channel->count] = first;
    channel->sums = channel->sums || sum;
    channel->sequences[channel->count++] = sequence;
    channel->size += size;
    self->under_way += size;
    if (channel->requests == 0)
        send_gathered (channel);
    else if (full)
        run (self, false);
    return 0;
}

int strata_append_ahead (struct strata_client *self, const char *stream, const char *producer, uint64_t sequence,
                         const void *record, size_t size, struct strata_error *error)
{
    return client_append_ahead (self, stream, false, producer, false, sequence, sequence, record, size, error);
}

static size_t requests_under_way (struct strata_client *self)
{
    size_t requests = 0;
    for (struct channel *c = self->channels; c; c = c->next) {
        if (c->count && c->requests == 0)
            send_gathered (c);
        requests += c->requests + (c->count > 0);
    }
    return requests;
}

static int flush_appends (struct strata_client *self, uint64_t *duplicates, struct strata_error *error)
{
    for (struct channel *c = self->channels; c; c = c->next)
        if (c->count && !self->failed)
            send_gathered (c);
    while (requests_under_way (self) && !self->failed)
        run (self, true);
    crash_point ("client.answered-STREAM_APPEND");
    if (duplicates)
        *duplicates = self->duplicates;
    self->duplicates = 0;
    return self->failed ? failure (self, error) : 0;
}

int strata_flush (struct strata_client *self, uint64_t *duplicates, struct strata_error *error)
{
    if (client_send_sums (self, error) == 0 && flush_appends (self, duplicates, error) == 0)
        return client_sums_kept (self, error);
    client_forget_sums (self);
    return -1;
}

static int append (struct strata_client *self, const char *stream, bool queue, const char *producer, uint64_t sequence,
                   const void *record, size_t size, bool *duplicate, struct strata_error *error)
{
    uint64_t duplicates;
    if (client_append_ahead (self, stream, queue, producer, false, sequence, sequence, record, size, error) < 0
        || flush_appends (self, &duplicates, error) < 0)
        return -1;
    if (duplicate)
        *duplicate = duplicates > 0;
    return 0;
}

int strata_append (struct strata_client *self, const char *stream, const char *producer, uint64_t sequence,
                   const void *record, size_t size, bool *duplicate, struct strata_error *error)
{
    return append (self, stream, false, producer, sequence, record, size, duplicate, error);
}

static int append_message (struct strata_client *self, const char *stream, bool queue, const char *producer,
                           uint64_t sequence, const ProtobufCMessage *message, bool *duplicate, struct strata_error *error)
{
    size_t size = protobuf_c_message_get_packed_size (message);
    uint8_t *bytes = malloc (size ? size : 1);
    if (!bytes)
        return strata_fail (error, "out of memory for a record of %zu bytes", size);
    protobuf_c_message_pack (message, bytes);
    int rc = append (self, stream, queue, producer, sequence, bytes, size, duplicate, error);
    free (bytes);
    return rc;
}

struct page {
    struct strata_client *client;
    stream_each_f *each;
    void *arg;
    struct strata_error *error;
    uint64_t next, count;
    int rc;
    bool done;
};

static int read_record (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    struct page *page = arg;
    page->count++;
    return page->each && page->each (sequence, time_us, record, size, page->arg);
}

static void on_page (void *owner, const struct reply *reply, void *arg)
{
    struct page *page = arg;
    page->done = page->client->mesh.stay_awake = true;
    if (!reply->ok) {
        page->rc = strata_fail (page->error, "%s", reply->error);
        errno = client_errno (reply);
        return;
    }
    const Strata__StreamReadReply *body = (const Strata__StreamReadReply *)reply->body;
    page->next = body->next;
    page->rc = chunks_each (body->chunks, body->n_chunks, reply->blobs, reply->blobs_count, NULL, read_record, page, page->error);
}

int64_t client_read (struct strata_client *self, const char *peer, const char *stream, uint64_t from, stream_each_f *each, void *arg,
                     uint64_t *next, struct strata_error *error)
{
    struct page page = { .client = self, .each = each, .arg = arg, .error = error };
    Strata__StreamRead ask = STRATA__STREAM_READ__INIT;
    ask.stream = (char *)stream;
    ask.from = from;
    ask.max_bytes = READ_BYTES;
    mesh_look_at_cards (&self->mesh);
    mesh_call (&self->mesh,
               peer,
               STRATA__MESSAGE_TYPE__TYPE_STREAM_READ,
               &ask.base,
               NULL,
               0,
               &strata__stream_read_reply__descriptor,
               self->timeout_ms,
               on_page,
               NULL,
               &page);
    while (!page.done)
        run (self, true);
    if (next)
        *next = page.next;
    return page.rc < 0 ? -1 : (int64_t)page.count;
}

int strata_last_sequence (struct strata_client *self, const char *stream, const char *producer, uint64_t *sequence,
                          struct strata_error *error)
{
    Strata__ProducerLast ask = STRATA__PRODUCER_LAST__INIT;
    ProtobufCMessage *reply;
    int64_t deadline_us = client_deadline_us (self);
    ask.stream = (char *)stream;
    ask.producer = (char *)producer;
    mesh_look_at_cards (&self->mesh);
    /* At the stage that keeps the producer's records, whichever that is by now. */
    while (client_request (self,
                           mesh_route_producer (&self->mesh, producer),
                           STRATA__MESSAGE_TYPE__TYPE_PRODUCER_LAST,
                           &ask.base,
                           NULL,
                           0,
                           &strata__producer_last_reply__descriptor,
                           &reply,
                           NULL,
                           NULL,
                           error)
           < 0) {
        if (errno != EXDEV || !client_pause (EXDEV, deadline_us))
            return -1;
        mesh_route_forget (&self->mesh);
        mesh_look_at_cards (&self->mesh);
    }
    *sequence = ((Strata__ProducerLastReply *)reply)->sequence;
    protobuf_c_message_free_unpacked (reply, NULL);
    return 0;
}

int strata_append_histogram (struct strata_client *self, const char *stream, const char *simulation, uint64_t frame,
                             const char *state, size_t rows, size_t bins, const int64_t *counts, bool *duplicate,
                             struct strata_error *error)
{
    Strata__Histogram record = STRATA__HISTOGRAM__INIT;
    record.simulation = (char *)simulation;
    record.frame = frame;
    record.state = (char *)state;
    size_t count;
    if (__builtin_mul_overflow (rows, bins, &count) || count > CHUNKS_MAX_BYTES) {
        errno = EINVAL;
        return strata_fail (error, "a histogram of %zu rows x %zu bins: a record has at most %u bytes", rows, bins, CHUNKS_MAX_BYTES);
    }
    uint8_t *room = malloc (count * sizeof (*counts) + 1);
    if (!room)
        return strata_fail (error, "out of memory for a histogram of %zu counts", count);
    histogram_set (&record, counts, rows, bins, room);
    int rc = append_message (self, stream, false, simulation, frame, &record.base, duplicate, error);
    free (room);
    return rc;
}

int strata_append_frame (struct strata_client *self, const char *stream, const char *simulation, uint64_t frame,
                         double time_ps, size_t n, const double *coordinates, const void *blob, size_t blob_size,
                         bool *duplicate, struct strata_error *error)
{
    Strata__Frame record = STRATA__FRAME__INIT;
    record.simulation = (char *)simulation;
    record.frame = frame;
    record.time_ps = time_ps;
    record.coordinates = (double *)coordinates;
    record.n_coordinates = n;
    record.blob.data = (uint8_t *)blob;
    record.blob.len = blob_size;
    return append_message (self, stream, false, simulation, frame, &record.base, duplicate, error);
}

int strata_append_structure (struct strata_client *self, const char *stream, const char *simulation, uint64_t frame,
                             const char *protein, const void *atoms, size_t size, bool *duplicate, struct strata_error *error)
{
    Strata__Structure record = STRATA__STRUCTURE__INIT;
    record.simulation = (char *)simulation;
    record.frame = frame;
    record.protein = (char *)protein;
    record.atoms.data = (uint8_t *)atoms;
    record.atoms.len = size;
    return append_message (self, stream, false, simulation, frame, &record.base, duplicate, error);
}

/* Sequences of producers start at 1; a simulation's own steps may start at 0. */
int strata_append_snapshot (struct strata_client *self, const char *queue, const char *simulation, uint64_t index,
                            const char *path, double time_us, bool *duplicate, struct strata_error *error)
{
    Strata__Snapshot record = STRATA__SNAPSHOT__INIT;
    record.simulation = (char *)simulation;
    record.index = index;
    record.path = (char *)path;
    record.time_us = time_us;
    return append_message (self, queue, true, simulation, index + 1, &record.base, duplicate, error);
}

int strata_append_uptake (struct strata_client *self, const char *stream, const char *model, uint64_t round, uint64_t step,
                          bool *duplicate, struct strata_error *error)
{
    Strata__Uptake record = STRATA__UPTAKE__INIT;
    record.model = (char *)model;
    record.round = round;
    record.step = step;
    return append_message (self, stream, false, model, round, &record.base, duplicate, error);
}
