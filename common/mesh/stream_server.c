/* stream_server.c - see stream_server.h */
#include "mesh/stream_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "mesh/chunks.h"
#include "mesh/service_internal.h"
#include "store/queue.h"
#include "store/stream.h"
#include "stream.pb-c.h"

#define ASIDE_SHOWN 100
#define PARTS_MAX 64 /* a page looks at most at so many times what it may hold */

static Strata__RefusalCode code_of_errno (void)
{
    switch (errno) {
    case ENOSPC:
        return STRATA__REFUSAL_CODE__REFUSED_FULL;
    case ESTALE:
        return STRATA__REFUSAL_CODE__REFUSED_STALE;
    case ENOENT:
        return STRATA__REFUSAL_CODE__REFUSED_NOT_FOUND;
    case EXDEV:
        return STRATA__REFUSAL_CODE__REFUSED_ELSEWHERE;
    case EAGAIN:
        return STRATA__REFUSAL_CODE__REFUSED_UNAVAILABLE;
    default:
        return STRATA__REFUSAL_CODE__REFUSED_INVALID;
    }
}

/* A stream that is seen first gets the campaign's bound. */
static void bound (struct service *service, const char *name)
{
    struct stream_stat stat;
    stream_stat (service_shard (service), name, &stat);
    if (stat.limit_bytes == 0)
        stream_set_limit (service_shard (service), name, (uint64_t)service_campaign (service)->stage.queue_mb << 20);
}

/* False, and refused, when records could never be handed out, or never be taken in. */
static bool is_small_enough (struct service *service, struct request *request, const char *stream, const uint32_t *sizes,
                             size_t count)
{
    struct stream_stat stat;
    uint64_t bytes = 0;
    bound (service, stream);
    stream_stat (service_shard (service), stream, &stat);
    for (size_t i = 0; i < count; i++) {
        bytes += sizes[i];
        if (sizes[i] <= CHUNKS_MAX_BYTES && (!stat.limit_bytes || bytes <= stat.limit_bytes))
            continue;
        request_refuse (request,
                        STRATA__REFUSAL_CODE__REFUSED_INVALID,
                        "stream %s: a record has at most %u bytes, and all of one request at most the stream's bound of %llu",
                        stream,
                        CHUNKS_MAX_BYTES,
                        (unsigned long long)stat.limit_bytes);
        return false;
    }
    return true;
}

/* Records that the producer sent ahead of this request were not kept (yet): they come again, and this must come after them. */
static bool comes_too_early (struct shard *shard, struct request *request, const Strata__StreamAppend *append)
{
    if (!append->producer[0] || !append->after || stream_producer_last (shard, append->stream, append->producer) >= append->after)
        return false;
    request_refuse (request,
                    STRATA__REFUSAL_CODE__REFUSED_UNAVAILABLE,
                    "stream %s: record %llu of %s, sent before these, is not kept yet",
                    append->stream,
                    (unsigned long long)append->after,
                    append->producer);
    return true;
}

/* A record that stands for several of the producer's sequences is a repeat as a whole or new as a whole: one of which a part was
 * kept, in another record, would count that part twice. */
static bool overlaps (struct shard *shard, struct request *request, const Strata__StreamAppend *append)
{
    const uint64_t *firsts = append->producer_first, *sequences = append->producer_sequence;
    size_t count = append->n_producer_first;
    if (!count)
        return false;
    bool rises = append->producer[0] && count == append->n_producer_sequence;
    for (size_t i = 0; rises && i < count; i++)
        rises = firsts[i] <= sequences[i] && (i == 0 || firsts[i] > sequences[i - 1]);
    if (!rises) {
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_INVALID,
                        "stream %s: the first sequences of %zu records of '%.80s' do not fit their %zu sequences, or overlap",
                        append->stream, count, append->producer, append->n_producer_sequence);
        return true;
    }
    uint64_t last = stream_producer_last (shard, append->stream, append->producer);
    for (size_t i = 0; i < count; i++)
        if (firsts[i] <= last && last < sequences[i]) {
            request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_EXISTS,
                            "stream %s: of %llu to %llu of %s, one record, those up to %llu are kept already; append again what comes "
                            "after them",
                            append->stream, (unsigned long long)firsts[i], (unsigned long long)sequences[i], append->producer,
                            (unsigned long long)last);
            return true;
        }
    return false;
}

/* False, and refused, when another stage keeps this producer, or may: then a record kept here as well would count twice. */
static bool admitted (struct service *service, struct request *request, const char *stream, const char *producer)
{
    struct strata_error error;
    if (!producer
        || service_admit (service, producer, stream_producer_last (service_shard (service), stream, producer) > 0, &error) == 0)
        return true;
    request_refuse (request, code_of_errno (), "%s", error.text);
    return false;
}

static void append_records (struct service *service, struct request *request, const Strata__StreamAppend *append,
                            const uint32_t *sizes, size_t count, struct blob bytes)
{
    struct shard *shard = service_shard (service);
    struct strata_error error = { "" };
    struct stream_stat stat;
    uint64_t first = 0;
    size_t appended = 0;
    struct stream_batch batch = { append->producer[0] ? append->producer : NULL, append->producer_sequence, sizes, count, bytes.data,
                                  true };
    Strata__StreamAppendReply reply = STRATA__STREAM_APPEND_REPLY__INIT;
    if (!is_small_enough (service, request, append->stream, sizes, count)
        || !admitted (service, request, append->stream, batch.producer) || comes_too_early (shard, request, append)
        || overlaps (shard, request, append))
        return;
    if ((append->queue ? queue_put_batch : stream_append_batch) (
            shard, append->stream, &batch, service_now_us (service), &first, &appended, &error)
        < 0) {
        request_refuse (request, code_of_errno (), "%s", error.text);
        return;
    }
    size_t repeats = count - appended;
    reply.duplicates = (uint32_t)repeats;
    for (size_t i = 0; i < repeats; i++) {
        bytes.data = (const uint8_t *)bytes.data + sizes[i];
        bytes.size -= sizes[i];
    }
    if (appended)
        announce_records (service, append->stream, first, sizes + repeats, appended, bytes.data, bytes.size);
    stream_stat (shard, append->stream, &stat);
    reply.next = stat.next;
    request_reply (request, &reply.base);
}

static void on_append (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__StreamAppend *append = (const Strata__StreamAppend *)body;
    bool has_producer = append->producer[0] != '\0';
    size_t count = has_producer ? append->n_producer_sequence : append->n_sizes;
    struct blob bytes = request_blob (request, 0);
    uint32_t *sizes = chunks_sizes (append->sizes, append->n_sizes, count, bytes.size);
    if (!stream_name_valid (append->stream) || (has_producer && !producer_name_valid (append->producer)) || !sizes)
        request_refuse (request,
                        STRATA__REFUSAL_CODE__REFUSED_INVALID,
                        "stream '%.80s': its name or the producer's is wrong, or its %zu records of %zu sizes are not the %zu bytes "
                        "that came",
                        append->stream,
                        count,
                        append->n_sizes,
                        bytes.size);
    else
        append_records (service, request, append, sizes, count, bytes);
    free (sizes);
}

struct lowest {
    uint64_t committed;
};

static void lower (const char *consumer, uint64_t committed, void *arg)
{
    struct lowest *lowest = arg;
    if (committed < lowest->committed)
        lowest->committed = committed;
}

/* What every consumer has on its disk is kept as long as there is plenty of room: it helps those who look back. */
static void trim_consumed (struct shard *shard, const char *name)
{
    struct stream_stat stat;
    struct lowest lowest = { UINT64_MAX };
    stream_stat (shard, name, &stat);
    if (!stat.limit_bytes || stat.bytes < stat.limit_bytes / 2)
        return;
    stream_consumers (shard, name, lower, &lowest);
    if (lowest.committed != UINT64_MAX)
        stream_trim (shard, name, lowest.committed - (lowest.committed > 0)); /* one more: it shows which stream it was */
}

static size_t up_to (uint32_t asked, size_t most)
{
    return asked && asked < most ? asked : most;
}

struct page {
    struct chunks chunks;
    uint32_t parts, part;
    bool places;
    size_t max_records, max_bytes;
    uint64_t upto;
};

/* Records of other parts are looked at and left out: a page is as full as one of a stream that has this part alone. */
static int add_to_page (const struct stream_chunk *chunk, size_t skip, size_t count, void *arg)
{
    struct page *page = arg;
    size_t fits = 0, bytes = page->chunks.bytes;
    if (page->parts > 1 && chunk->part % page->parts != page->part)
        fits = count;
    else {
        while (fits < count && page->chunks.records + fits < page->max_records
               && (bytes == 0 || bytes + chunk->sizes[skip + fits] <= page->max_bytes))
            bytes += chunk->sizes[skip + fits++];
        if (fits == 0 || (page->places ? chunks_add_place : chunks_add) (chunk, skip, fits, &page->chunks))
            count = 0; /* full */
    }
    page->upto = chunk->first + skip + fits;
    return fits < count || count == 0;
}

static void on_read (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__StreamRead *read = (const Strata__StreamRead *)body;
    struct shard *shard = service_shard (service);
    /* The records of one that says how far it has come are kept for it. */
    struct page page = { .parts = read->parts, .part = read->part, .places = read->in_place && read->consumer[0] };
    if (!stream_name_valid (read->stream) || (read->consumer[0] && !producer_name_valid (read->consumer))) {
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_INVALID, "stream '%.80s': not a valid name", read->stream);
        return;
    }
    if (read->consumer[0]) {
        stream_consumer_set (shard, read->stream, read->consumer, read->committed);
        trim_consumed (shard, read->stream);
    }
    struct stream_stat stat;
    stream_stat (shard, read->stream, &stat);
    page.upto = read->from > stat.first ? read->from : stat.first;
    page.max_records = up_to (read->max_records, CHUNKS_MAX_RECORDS);
    page.max_bytes = up_to (read->max_bytes, CHUNKS_MAX_BYTES);
    size_t parts = read->parts > 1 ? read->parts < PARTS_MAX ? read->parts : PARTS_MAX : 1;
    stream_read_chunks (shard,
                        read->stream,
                        read->from,
                        parts * page.max_records,
                        parts * page.max_bytes,
                        add_to_page,
                        &page);
    Strata__StreamReadReply reply = STRATA__STREAM_READ_REPLY__INIT;
    const struct stream_seen seen = { read->store, read->seen, read->seen_time_us, read->seen_crc };
    reply.store = shard_id (shard);
    reply.life = service->mesh.boot;
    reply.other = stream_is_other (shard, read->stream, &seen);
    reply.first = stat.first;
    reply.next = stat.next;
    reply.upto = page.upto;
    const char *folder = strrchr (shard_path (shard), '/');
    if (page.places && folder)
        reply.folder = (char *)folder + 1;
    reply.chunks = page.chunks.rows;
    reply.n_chunks = page.chunks.count;
    request_reply_chunks (request, &reply.base, &page.chunks);
    chunks_fini (&page.chunks);
}

static void on_producer_last (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__ProducerLast *ask = (const Strata__ProducerLast *)body;
    Strata__ProducerLastReply reply = STRATA__PRODUCER_LAST_REPLY__INIT;
    if (!stream_name_valid (ask->stream) || !producer_name_valid (ask->producer)) {
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_INVALID, "stream '%.80s': not a valid name", ask->stream);
        return;
    }
    if (!admitted (service, request, ask->stream, ask->producer))
        return;
    reply.sequence = stream_producer_last (service_shard (service), ask->stream, ask->producer);
    request_reply (request, &reply.base);
}

static void on_take (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__QueueTake *take = (const Strata__QueueTake *)body;
    struct queue_lease lease;
    struct chunks chunks = { 0 };
    Strata__QueueTakeReply reply = STRATA__QUEUE_TAKE_REPLY__INIT;
    if (!stream_name_valid (take->queue) || take->lease_ms == 0) {
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_INVALID, "queue '%.80s': bad name, or no lease time", take->queue);
        return;
    }
    queue_take (service_shard (service),
                take->queue,
                service_now_us (service),
                (int64_t)take->lease_ms * 1000,
                take->max_tries,
                up_to (take->max_records ? take->max_records : 1, CHUNKS_MAX_RECORDS),
                up_to (take->max_bytes, CHUNKS_MAX_BYTES),
                &lease,
                chunks_add,
                &chunks);
    reply.first = lease.first;
    reply.count = (uint32_t)lease.count;
    reply.token = lease.token;
    reply.tries = lease.tries;
    /* What is remembered for a retry says which records, not what is in them: stream_server_blobs_again. */
    reply.chunks = chunks.rows;
    reply.n_chunks = chunks.count;
    request_reply_chunks (request, &reply.base, &chunks);
    chunks_fini (&chunks);
}

void stream_server_blobs_again (struct service *service, const ProtobufCMessage *body, const void *remembered, size_t size,
                                zmsg_t *message)
{
    if (body->descriptor != &strata__queue_take__descriptor)
        return;
    const Strata__QueueTake *take = (const Strata__QueueTake *)body;
    Strata__QueueTakeReply *taken = strata__queue_take_reply__unpack (NULL, size, remembered);
    struct chunks chunks = { 0 };
    size_t count;
    if (!taken)
        return;
    if (taken->count)
        stream_read_chunks (service_shard (service), take->queue, taken->first, taken->count, SIZE_MAX, chunks_add, &chunks);
    bool whole = chunks.records == taken->count && chunks.count && chunks.rows[0]->first == taken->first;
    zframe_t **blobs = whole ? chunks_blobs (&chunks, &count) : NULL;
    for (size_t i = 0; blobs && i < count; i++)
        zmsg_append (message, &blobs[i]);
    chunks_fini (&chunks);
    strata__queue_take_reply__free_unpacked (taken, NULL);
}

static uint64_t records_of (uint32_t count)
{
    return count ? count : 1;
}

/* False, and refused: an output can't be kept. */
static bool outputs_fit (struct service *service, struct request *request, const Strata__QueueAck *ack)
{
    for (size_t i = 0; i < ack->n_outputs; i++) {
        const Strata__QueueOutput *output = ack->outputs[i];
        struct stream_stat stat;
        uint64_t bytes = 0;
        if (!stream_name_valid (output->stream)) {
            request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_INVALID, "stream '%.80s': not a valid name", output->stream);
            return false;
        }
        bound (service, output->stream);
        stream_stat (service_shard (service), output->stream, &stat);
        for (size_t k = 0; k <= i; k++)
            for (size_t n = 0; strcmp (ack->outputs[k]->stream, output->stream) == 0 && n < ack->outputs[k]->n_records; n++)
                bytes += ack->outputs[k]->records[n].len;
        if (!stat.limit_bytes || stat.bytes + bytes <= stat.limit_bytes)
            continue;
        bool ever = bytes <= stat.limit_bytes;
        request_refuse (request,
                        ever ? STRATA__REFUSAL_CODE__REFUSED_FULL : STRATA__REFUSAL_CODE__REFUSED_INVALID,
                        ever ? "stream %s is full (its bound is %llu bytes); acknowledge again when its consumers have caught up"
                             : "stream %s: all outputs of one acknowledgement have at most its bound of %llu bytes",
                        output->stream,
                        (unsigned long long)stat.limit_bytes);
        return false;
    }
    return true;
}

static void append_output (struct service *service, const Strata__QueueOutput *output)
{
    struct strata_error error;
    size_t count = output->n_records, size = 0;
    for (size_t i = 0; i < count; i++)
        size += output->records[i].len;
    uint32_t *sizes = malloc ((count ? count : 1) * sizeof (*sizes));
    uint8_t *bytes = malloc (size ? size : 1), *p = bytes;
    uint64_t first;
    if (!sizes || !bytes) {
        log_error ("out of memory");
        abort ();
    }
    for (size_t i = 0; i < count; p += sizes[i++]) {
        sizes[i] = (uint32_t)output->records[i].len;
        if (sizes[i])
            memcpy (p, output->records[i].data, sizes[i]);
    }
    struct stream_batch batch = { .sizes = sizes, .count = count, .bytes = bytes };
    if (stream_append_batch (service_shard (service), output->stream, &batch, service_now_us (service), &first, NULL, &error) < 0)
        log_error ("%s", error.text); /* can't be: outputs_fit */
    else if (count)
        announce_records (service, output->stream, first, sizes, count, bytes, size);
    free (sizes);
    free (bytes);
}

static void on_ack (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__QueueAck *ack = (const Strata__QueueAck *)body;
    struct strata_error error;
    Strata__QueueAckReply reply = STRATA__QUEUE_ACK_REPLY__INIT;
    if (!stream_name_valid (ack->queue)) {
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_INVALID, "queue '%.80s': not a valid name", ack->queue);
        return;
    }
    if (!outputs_fit (service, request, ack))
        return;
    if (queue_ack (service_shard (service), ack->queue, ack->sequence, records_of (ack->count), ack->token, &error) < 0) {
        request_refuse (request, code_of_errno (), "%s", error.text);
        return;
    }
    for (size_t i = 0; i < ack->n_outputs; i++)
        append_output (service, ack->outputs[i]);
    request_reply (request, &reply.base);
}

static void on_renew (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__QueueRenew *renew = (const Strata__QueueRenew *)body;
    struct strata_error error;
    Strata__QueueRenewReply reply = STRATA__QUEUE_RENEW_REPLY__INIT;
    if (!stream_name_valid (renew->queue) || renew->lease_ms == 0)
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_INVALID, "queue '%.80s': bad name, or no lease time", renew->queue);
    else if (queue_renew (service_shard (service),
                          renew->queue,
                          renew->sequence,
                          records_of (renew->count),
                          renew->token,
                          service_now_us (service),
                          (int64_t)renew->lease_ms * 1000,
                          &error)
             < 0)
        request_refuse (request, code_of_errno (), "%s", error.text);
    else
        request_reply (request, &reply.base);
}

static void on_nack (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__QueueNack *nack = (const Strata__QueueNack *)body;
    struct strata_error error;
    bool aside = false;
    Strata__QueueNackReply reply = STRATA__QUEUE_NACK_REPLY__INIT;
    if (!stream_name_valid (nack->queue)) {
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_INVALID, "queue '%.80s': bad name", nack->queue);
        return;
    }
    int rc = nack->untried ? queue_give_back (service_shard (service), nack->queue, nack->sequence, records_of (nack->count), nack->token, &error)
                           : queue_nack (service_shard (service), nack->queue, nack->sequence, records_of (nack->count), nack->token,
                                         nack->reason, nack->final, service_now_us (service), &aside, &error);
    if (rc < 0) {
        request_refuse (request, code_of_errno (), "%s", error.text);
        return;
    }
    if (aside)
        service_event (service, "aside", nack->queue, "record %llu set aside: %s", (unsigned long long)nack->sequence, nack->reason);
    reply.aside = aside;
    request_reply (request, &reply.base);
}

/* ---- statistics ---- */

struct stat_list {
    struct shard *shard;
    Strata__StreamState **states;
    size_t count;
};

static void add_consumer (const char *consumer, uint64_t committed, void *arg)
{
    Strata__StreamState *state = arg;
    Strata__ConsumerState *c = malloc (sizeof (*c));
    void *grown = realloc (state->consumers, (state->n_consumers + 1) * sizeof (*state->consumers));
    if (grown)
        state->consumers = grown; /* what it replaces is gone, whatever comes next */
    if (!c || !grown) {
        free (c);
        return;
    }
    strata__consumer_state__init (c);
    c->consumer = strdup (consumer);
    c->committed = committed;
    state->consumers[state->n_consumers++] = c;
}

static void add_stream (const char *name, void *arg)
{
    struct stat_list *list = arg;
    struct stream_stat stat;
    Strata__StreamState *state = malloc (sizeof (*state));
    void *grown = realloc (list->states, (list->count + 1) * sizeof (*list->states));
    if (grown)
        list->states = grown;
    if (!state || !grown) {
        free (state);
        return;
    }
    strata__stream_state__init (state);
    stream_stat (list->shard, name, &stat);
    state->stream = strdup (name);
    state->first = stat.first;
    state->next = stat.next;
    state->bytes = stat.bytes;
    state->limit_bytes = stat.limit_bytes;
    state->queue = queue_exists (list->shard, name);
    if (state->queue) {
        struct queue_stat queue;
        queue_stat (list->shard, name, &queue);
        state->waiting = queue.waiting;
        state->leased = queue.leased;
        state->aside = queue.aside;
        state->done = queue.done;
    }
    stream_consumers (list->shard, name, add_consumer, state);
    list->states[list->count++] = state;
}

/* ---- bounds ---- */

struct fullest {
    struct shard *shard;
    uint64_t bytes, limit, aside_bytes, aside_limit;
};

static void look_at_bounds (const char *name, void *arg)
{
    struct fullest *self = arg;
    struct stream_stat stat;
    struct queue_stat queue;
    stream_stat (self->shard, name, &stat);
    if (stat.limit_bytes && (!self->limit || stat.bytes > self->bytes)) {
        self->bytes = stat.bytes;
        self->limit = stat.limit_bytes;
    }
    if (!stat.limit_bytes || !queue_exists (self->shard, name))
        return;
    queue_stat (self->shard, name, &queue);
    if (!self->aside_limit || queue.aside_bytes > self->aside_bytes) {
        self->aside_bytes = queue.aside_bytes;
        self->aside_limit = stat.limit_bytes;
    }
}

void stream_server_metrics (struct service *service)
{
    struct fullest fullest = { .shard = service_shard (service) };
    uint64_t bytes, limit;
    stream_list (fullest.shard, look_at_bounds, &fullest);
    service_metric (service, "fullest_stream_bytes", (double)fullest.bytes, (double)fullest.limit);
    if (fullest.aside_limit)
        service_metric (service, "queue_aside_bytes", (double)fullest.aside_bytes, (double)fullest.aside_limit);
    stream_cache (fullest.shard, &bytes, &limit);
    service_metric (service, "chunk_cache_bytes", (double)bytes, (double)limit);
    stream_spare (fullest.shard, &bytes, &limit);
    service_metric (service, "spare_segment_bytes", (double)bytes, (double)limit);
}

static void on_stat (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    struct stat_list list = { .shard = service_shard (service) };
    stream_list (list.shard, add_stream, &list);
    Strata__StreamStatReply *reply = malloc (sizeof (*reply));
    if (!reply) {
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_INTERNAL, "out of memory");
        return;
    }
    strata__stream_stat_reply__init (reply);
    reply->streams = list.states;
    reply->n_streams = list.count;
    request_reply (request, &reply->base);
    strata__stream_stat_reply__free_unpacked (reply, NULL);
}

static void add_aside (uint64_t sequence, uint32_t tries, const char *reason, int64_t time_us, void *arg)
{
    Strata__QueueStatReply *reply = arg;
    Strata__QueueAside *aside = malloc (sizeof (*aside));
    if (!aside)
        return;
    strata__queue_aside__init (aside);
    aside->sequence = sequence;
    aside->tries = tries;
    aside->reason = strdup (reason);
    aside->time_us = time_us;
    reply->aside[reply->n_aside++] = aside;
}

static void on_queue_stat (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__QueueStat *ask = (const Strata__QueueStat *)body;
    struct queue_stat stat;
    if (!stream_name_valid (ask->queue) || !queue_exists (service_shard (service), ask->queue)) {
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_NOT_FOUND, "there is no queue '%.80s' here", ask->queue);
        return;
    }
    Strata__QueueStatReply *reply = malloc (sizeof (*reply));
    strata__queue_stat_reply__init (reply);
    reply->aside = calloc (ASIDE_SHOWN, sizeof (*reply->aside));
    queue_stat (service_shard (service), ask->queue, &stat);
    reply->waiting = stat.waiting;
    reply->leased = stat.leased;
    reply->done = stat.done;
    reply->aside_total = stat.aside;
    queue_aside (service_shard (service), ask->queue, ASIDE_SHOWN, add_aside, reply);
    request_reply (request, &reply->base);
    strata__queue_stat_reply__free_unpacked (reply, NULL);
}

const struct service_handler stream_server_handlers[] = {
    { STRATA__MESSAGE_TYPE__TYPE_STREAM_APPEND, &strata__stream_append__descriptor, true, on_append },
    { STRATA__MESSAGE_TYPE__TYPE_STREAM_READ, &strata__stream_read__descriptor, false, on_read },
    { STRATA__MESSAGE_TYPE__TYPE_STREAM_STAT, &strata__stream_stat__descriptor, false, on_stat },
    { STRATA__MESSAGE_TYPE__TYPE_PRODUCER_LAST, &strata__producer_last__descriptor, false, on_producer_last },
    { STRATA__MESSAGE_TYPE__TYPE_QUEUE_TAKE, &strata__queue_take__descriptor, true, on_take },
    { STRATA__MESSAGE_TYPE__TYPE_QUEUE_ACK, &strata__queue_ack__descriptor, true, on_ack },
    { STRATA__MESSAGE_TYPE__TYPE_QUEUE_NACK, &strata__queue_nack__descriptor, true, on_nack },
    { STRATA__MESSAGE_TYPE__TYPE_QUEUE_RENEW, &strata__queue_renew__descriptor, true, on_renew },
    { STRATA__MESSAGE_TYPE__TYPE_QUEUE_STAT, &strata__queue_stat__descriptor, false, on_queue_stat },
    { 0 },
};
