/* stream_server.c - see stream_server.h */
#include "mesh/stream_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/queue.h"
#include "store/stream.h"
#include "stream.pb-c.h"

#define READ_MAX_RECORDS 10000u
#define READ_MAX_BYTES (WIRE_MAX_BODY - (1u << 20))
#define ASIDE_SHOWN 100

#include "mesh/wire.h"

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

/* False, and refused, when a record could never be handed out, or never be taken in. */
static bool is_small_enough (struct service *service, struct request *request, const char *stream, ProtobufCBinaryData *records,
                             size_t count)
{
    struct stream_stat stat;
    uint64_t bytes = 0;
    bound (service, stream);
    stream_stat (service_shard (service), stream, &stat);
    for (size_t i = 0; i < count; i++) {
        bytes += records[i].len;
        if (records[i].len <= READ_MAX_BYTES && (!stat.limit_bytes || bytes <= stat.limit_bytes))
            continue;
        request_refuse (request,
                        STRATA__REFUSAL_CODE__REFUSED_INVALID,
                        "stream %s: a record has at most %u bytes, and all of one request at most the stream's bound of %llu",
                        stream,
                        READ_MAX_BYTES,
                        (unsigned long long)stat.limit_bytes);
        return false;
    }
    return true;
}

/* All or nothing: room for every record is checked before the first is appended. */
static bool has_room (struct service *service, struct request *request, const Strata__StreamAppend *append)
{
    struct stream_stat stat;
    uint64_t bytes = 0;
    bound (service, append->stream);
    stream_stat (service_shard (service), append->stream, &stat);
    for (size_t i = 0; i < append->n_records; i++)
        bytes += append->records[i].len;
    if (!stat.limit_bytes || stat.bytes + bytes <= stat.limit_bytes)
        return true;
    request_refuse (request,
                    STRATA__REFUSAL_CODE__REFUSED_FULL,
                    "stream %s is full: %llu of %llu bytes wait for its consumers; try again later",
                    append->stream,
                    (unsigned long long)stat.bytes,
                    (unsigned long long)stat.limit_bytes);
    return false;
}

/* False, and refused, when another stage keeps this producer, or may: then a record kept here as well would count twice. */
static bool admitted (struct service *service, struct request *request, const char *stream, const char *producer)
{
    struct strata_error error;
    if (!producer || stream_producer_last (service_shard (service), stream, producer) > 0
        || service_admit (service, producer, &error) == 0)
        return true;
    request_refuse (request, code_of_errno (), "%s", error.text);
    return false;
}

static void on_append (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__StreamAppend *append = (const Strata__StreamAppend *)body;
    struct shard *shard = service_shard (service);
    struct strata_error error;
    const char *producer = append->producer[0] ? append->producer : NULL;
    Strata__StreamAppendReply reply = STRATA__STREAM_APPEND_REPLY__INIT;
    if (!stream_name_valid (append->stream) || (producer && !producer_name_valid (producer))
        || (producer && append->n_producer_sequence != append->n_records)) {
        request_refuse (request,
                        STRATA__REFUSAL_CODE__REFUSED_INVALID,
                        "stream '%.80s': its name, the producer's name, or the count of producer sequences (%zu for %zu records) is wrong",
                        append->stream,
                        append->n_producer_sequence,
                        append->n_records);
        return;
    }
    if (!is_small_enough (service, request, append->stream, append->records, append->n_records)
        || !has_room (service, request, append) || !admitted (service, request, append->stream, producer))
        return;
    for (size_t i = 0; i < append->n_records; i++) {
        uint64_t number = producer ? append->producer_sequence[i] : 0;
        int rc = (append->queue ? queue_put : stream_append) (shard,
                                                              append->stream,
                                                              producer,
                                                              number,
                                                              append->records[i].data,
                                                              append->records[i].len,
                                                              service_now_us (service),
                                                              NULL,
                                                              &error);
        if (rc < 0) {
            request_refuse (request, code_of_errno (), "%s", error.text);
            return;
        }
        reply.duplicates += rc == 0;
    }
    struct stream_stat stat;
    stream_stat (shard, append->stream, &stat);
    reply.next = stat.next;
    if (reply.duplicates < append->n_records)
        service_announce (service, append->stream);
    request_reply (request, &reply.base);
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
        stream_trim (shard, name, lowest.committed);
}

struct page {
    Strata__Record *records;
    Strata__Record **pointers;
    size_t count;
};

static int add_record (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    struct page *page = arg;
    Strata__Record *r = &page->records[page->count];
    strata__record__init (r);
    r->data.data = malloc (size ? size : 1);
    if (!r->data.data)
        return 1;
    if (size)
        memcpy (r->data.data, record, size);
    r->data.len = size;
    r->sequence = sequence;
    r->time_us = time_us;
    page->pointers[page->count++] = r;
    return 0;
}

static void on_read (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__StreamRead *read = (const Strata__StreamRead *)body;
    struct shard *shard = service_shard (service);
    if (!stream_name_valid (read->stream) || (read->consumer[0] && !producer_name_valid (read->consumer))) {
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_INVALID, "stream '%.80s': not a valid name", read->stream);
        return;
    }
    if (read->consumer[0]) {
        stream_consumer_set (shard, read->stream, read->consumer, read->committed);
        trim_consumed (shard, read->stream);
    }
    size_t max = read->max_records && read->max_records < READ_MAX_RECORDS ? read->max_records : READ_MAX_RECORDS;
    size_t bytes = read->max_bytes && read->max_bytes < READ_MAX_BYTES ? read->max_bytes : READ_MAX_BYTES;
    struct page page = { calloc (max, sizeof (Strata__Record)), calloc (max, sizeof (Strata__Record *)), 0 };
    if (page.records && page.pointers)
        stream_read (shard, read->stream, read->from, max, bytes, add_record, &page);
    struct stream_stat stat;
    stream_stat (shard, read->stream, &stat);
    Strata__StreamReadReply reply = STRATA__STREAM_READ_REPLY__INIT;
    reply.first = stat.first;
    reply.next = stat.next;
    reply.records = page.pointers;
    reply.n_records = page.count;
    request_reply (request, &reply.base);
    for (size_t i = 0; i < page.count; i++)
        free (page.records[i].data.data);
    free (page.records);
    free (page.pointers);
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
    Strata__QueueTakeReply reply = STRATA__QUEUE_TAKE_REPLY__INIT;
    Strata__Record record = STRATA__RECORD__INIT;
    if (!stream_name_valid (take->queue) || take->lease_ms == 0) {
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_INVALID, "queue '%.80s': bad name, or no lease time", take->queue);
        return;
    }
    if (queue_take (service_shard (service),
                    take->queue,
                    take->consumer,
                    service_now_us (service),
                    (int64_t)take->lease_ms * 1000,
                    take->max_tries,
                    &lease)) {
        record.sequence = lease.sequence;
        record.time_us = lease.time_us;
        record.data.data = lease.record;
        record.data.len = lease.size;
        reply.found = true;
        reply.record = &record;
        reply.token = lease.token;
        reply.tries = lease.tries;
    }
    request_reply (request, &reply.base);
    queue_lease_fini (&lease);
}

static void on_ack (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__QueueAck *ack = (const Strata__QueueAck *)body;
    struct shard *shard = service_shard (service);
    struct strata_error error;
    Strata__QueueAckReply reply = STRATA__QUEUE_ACK_REPLY__INIT;
    bool valid = stream_name_valid (ack->queue);
    uint64_t bytes = 0;
    for (size_t i = 0; valid && i < ack->n_outputs; i++) {
        struct stream_stat stat;
        valid = stream_name_valid (ack->outputs[i]->stream);
        if (!valid)
            break;
        if (!is_small_enough (service, request, ack->outputs[i]->stream, ack->outputs[i]->records, ack->outputs[i]->n_records))
            return;
        stream_stat (shard, ack->outputs[i]->stream, &stat);
        for (size_t n = 0; n < ack->outputs[i]->n_records; n++)
            bytes += ack->outputs[i]->records[n].len;
        if (stat.limit_bytes && stat.bytes + bytes > stat.limit_bytes) {
            request_refuse (request,
                            STRATA__REFUSAL_CODE__REFUSED_FULL,
                            "stream %s is full; acknowledge again when its consumers have caught up",
                            ack->outputs[i]->stream);
            return;
        }
    }
    if (!valid) {
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_INVALID, "queue '%.80s': bad name of a queue or stream", ack->queue);
        return;
    }
    if (queue_ack (shard, ack->queue, ack->sequence, ack->token, &error) < 0) {
        request_refuse (request, code_of_errno (), "%s", error.text);
        return;
    }
    for (size_t i = 0; i < ack->n_outputs; i++) {
        const Strata__QueueOutput *output = ack->outputs[i];
        for (size_t n = 0; n < output->n_records; n++)
            stream_append (shard,
                           output->stream,
                           NULL,
                           0,
                           output->records[n].data,
                           output->records[n].len,
                           service_now_us (service),
                           NULL,
                           &error);
        service_announce (service, output->stream);
    }
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
    bool aside;
    Strata__QueueNackReply reply = STRATA__QUEUE_NACK_REPLY__INIT;
    if (!stream_name_valid (nack->queue)) {
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_INVALID, "queue '%.80s': bad name", nack->queue);
        return;
    }
    if (queue_nack (service_shard (service),
                    nack->queue,
                    nack->sequence,
                    nack->token,
                    nack->reason,
                    nack->final,
                    service_now_us (service),
                    &aside,
                    &error)
        < 0) {
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
