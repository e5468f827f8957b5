/* recording.c - see recording.h */
#include "mesh/recording.h"

#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "core/log.h"
#include "mesh/mesh_internal.h"
#include "mesh/service_internal.h"

/* A core that takes longer to start is seldom started anew for a checkpoint: the service is away for so long. */
#define START_QUICK_US 500000
#define AWAY_PART 50 /* one part of so many of its time at most */

/* ---- inputs ---- */

static void record (struct service *self, enum journal_kind kind, uint64_t a, uint64_t b, const struct blob *parts, size_t count)
{
    const struct journal_item item = { kind, self->now_us, a, b, count, parts };
    journal_input (self->journal, &item);
}

static struct blob text_blob (const char *text)
{
    return (struct blob){ text, strlen (text) };
}

static struct blob frame_blob (zframe_t *frame)
{
    return (struct blob){ zframe_data (frame), zframe_size (frame) };
}

void recording_tick (struct service *self, size_t timer)
{
    record (self, JOURNAL_TICK, timer, 0, NULL, 0);
}

void recording_drain (struct service *self)
{
    record (self, JOURNAL_DRAIN, self->hands_over, 0, NULL, 0);
}

void recording_sweep (struct service *self)
{
    record (self, JOURNAL_SWEEP, 0, 0, NULL, 0);
}

void recording_event (struct service *self, const char *kind, const char *subject, const char *text)
{
    const struct blob parts[] = { text_blob (kind), text_blob (subject), text_blob (text) };
    record (self, JOURNAL_EVENT, 0, 0, parts, 3);
}

void recording_request (struct service *self, const struct wire_message *message)
{
    struct blob parts[JOURNAL_PARTS_MAX];
    size_t count = 0;
    if (!self->journal)
        return;
    for (zframe_t *frame = zmsg_first (message->frames); frame; frame = zmsg_next (message->frames))
        parts[count++] = frame_blob (frame);
    record (self, JOURNAL_REQUEST, 0, 0, parts, count);
}

void recording_page (struct service *self, const char *peer, const char *stream, uint64_t first, uint64_t next)
{
    const struct blob parts[] = { text_blob (peer), text_blob (stream) };
    record (self, JOURNAL_PAGE, first, next, parts, 2);
}

void recording_record (struct service *self, uint64_t sequence, int64_t time_us, const void *data, size_t size)
{
    const struct blob part = { data, size };
    record (self, JOURNAL_RECORD, sequence, (uint64_t)time_us, &part, 1);
}

void recording_cursor (struct service *self, uint64_t next)
{
    record (self, JOURNAL_CURSOR, next, 0, NULL, 0);
}

void recording_output (struct service *self, uint32_t type, const void *bytes, size_t size)
{
    if (self->journal || self->replay)
        self->outputs = hash64 (self->outputs + type, bytes, size);
}

/* ---- facts ---- */

bool service_replays (const struct service *self)
{
    return self->replay != NULL;
}

bool service_restarts (const struct service *self)
{
    return self->restarts;
}

void service_fact (struct service *self, void *fact, size_t size)
{
    if (self->replay)
        replay_fact (self, fact, size);
    else
        journal_fact (self->journal, fact, size);
}

void service_fact_text (struct service *self, char *text, size_t size)
{
    size_t length = strnlen (text, size - 1);
    service_fact (self, &length, sizeof (length));
    if (length >= size)
        length = size - 1; /* only from a broken record */
    service_fact (self, text, length);
    text[length] = '\0';
}

/* ---- calls and their replies ---- */

struct open_call {
    struct open_call *next;
    uint64_t number;            /* 1, 2, ... since the start of the core */
    reply_f *callback;
    void *arg;
    const ProtobufCMessageDescriptor *reply_body;
};

static void forget_call (struct service *self, struct open_call *call)
{
    struct open_call **at = &self->open_calls;
    while (*at && *at != call)
        at = &(*at)->next;
    if (*at)
        *at = call->next;
    free (call);
}

static void record_reply (struct service *self, const struct open_call *call, const struct reply *reply)
{
    struct blob parts[JOURNAL_PARTS_MAX];
    uint64_t how = (reply->ok ? 1 : 0) | (reply->timed_out ? 2 : 0) | (uint64_t)reply->code << 2;
    if (!self->journal)
        return;
    zframe_t *body = reply->ok ? wire_frame (reply->body) : NULL;
    parts[0] = body ? frame_blob (body) : text_blob (reply->error ? reply->error : "");
    if (reply->blobs_count)
        memcpy (parts + 1, reply->blobs, reply->blobs_count * sizeof (parts[0]));
    record (self, JOURNAL_REPLY, call->number, how, parts, 1 + reply->blobs_count);
    zframe_destroy (&body);
}

static void on_reply (void *owner, const struct reply *reply, void *arg)
{
    struct service *self = owner;
    struct open_call *call = arg;
    record_reply (self, call, reply);
    if (call->callback)
        call->callback (self, reply, call->arg);
    forget_call (self, call);
}

void service_call (struct service *self, const char *peer, uint32_t type, const ProtobufCMessage *body,
                   const struct blob *blobs, size_t blobs_count, const ProtobufCMessageDescriptor *reply_body,
                   int timeout_ms, reply_f *callback, void *arg)
{
    struct open_call *call = calloc (1, sizeof (*call));
    if (!call) {
        log_error ("out of memory");
        abort ();
    }
    *call = (struct open_call){ self->open_calls, ++self->calls_made, callback, arg, reply_body };
    self->open_calls = call;
    if (self->journal || self->replay) {
        zframe_t *packed = wire_frame (body);
        recording_output (self, type, zframe_data (packed), zframe_size (packed));
        zframe_destroy (&packed);
    }
    if (!self->replay)
        mesh_call (&self->mesh, peer, type, body, blobs, blobs_count, reply_body, timeout_ms, on_reply, self, call);
}

void replay_reply (struct service *self, const struct journal_item *item)
{
    struct open_call *call = self->open_calls;
    while (call && call->number != item->a)
        call = call->next;
    if (!call || item->parts_count < 1) {
        replay_differs (self, "a reply to call %llu is recorded, which was not made", (unsigned long long)item->a);
        return;
    }
    struct reply reply = { .ok = item->b & 1, .timed_out = item->b & 2, .code = (Strata__RefusalCode)(item->b >> 2) };
    ProtobufCMessage *body = NULL;
    char text[1024];
    if (reply.ok) {
        reply.body = body = protobuf_c_message_unpack (call->reply_body, NULL, item->parts[0].size, item->parts[0].data);
        reply.blobs = item->parts + 1;
        reply.blobs_count = item->parts_count - 1;
    } else {
        snprintf (text, sizeof (text), "%.*s", (int)item->parts[0].size, (const char *)item->parts[0].data);
        reply.error = text;
    }
    if (reply.ok && !body)
        replay_differs (self, "the recorded reply to call %llu can't be parsed", (unsigned long long)item->a);
    else if (call->callback)
        call->callback (self, &reply, call->arg);
    if (body)
        protobuf_c_message_free_unpacked (body, NULL);
    forget_call (self, call);
}

/* ---- the life of a core ---- */

static bool is_wanted (const struct service *self)
{
    const struct campaign_replay *replay = &self->campaign->replay;
    const struct {
        const char *service;
        bool on;
    } choices[] = { { "select", replay->select },
                    { "schedule", replay->schedule },
                    { "feedback", replay->feedback },
                    { "stage", replay->stage } };
    for (size_t i = 0; i < sizeof (choices) / sizeof (choices[0]); i++)
        if (strcmp (choices[i].service, self->spec->name) == 0)
            return choices[i].on;
    return false;
}

static void on_fact (void *arg, void *fact, size_t size)
{
    service_fact (arg, fact, size);
}

void recording_attach (struct service *self)
{
    const struct shard_facts facts = { on_fact, self, self->replay != NULL };
    shard_set_facts (self->shard, &facts);
}

void recording_open (struct service *self)
{
    char dir[4300];
    struct strata_error error;
    const struct campaign_replay *replay = &self->campaign->replay;
    const struct journal_limits limits = { (uint64_t)replay->keep_mb << 20, (uint64_t)replay->checkpoint_mb << 20 };
    if (!is_wanted (self))
        return;
    const char *shard = strrchr (self->shard_dir, '/');
    snprintf (dir, sizeof (dir), "%.4096s/replay/%.100s", self->workspace, shard ? shard + 1 : self->replica);
    self->journal = journal_open (dir, self->shard, &limits, &error);
    if (!self->journal)
        log_warn ("inputs are not recorded: %s", error.text);
    else {
        self->outputs = journal_outputs (self->journal);
        recording_attach (self);
    }
}

void recording_start (struct service *self, bool in_place)
{
    struct strata_error error;
    const struct blob replica = text_blob (self->replica);
    if (!in_place && journal_due (self->journal, self->now_us))
        journal_checkpoint (self->journal, self->now_us, &error); /* says itself when it can't */
    if (self->journal)
        self->outputs = journal_outputs (self->journal);
    record (self, JOURNAL_START, self->shard ? shard_epoch (self->shard) : 0, in_place, &replica, 1);
}

void recording_write (struct service *self, bool all)
{
    if (!self->journal)
        return;
    shard_settle (self->shard);
    journal_write (self->journal, self->outputs, all);
}

void service_end_core (struct service *self)
{
    if (self->active && self->spec->stop)
        self->spec->stop (self);
    service_drop_requests (self);
    consume_fini (self);
    mesh_calls_fini (&self->mesh);
    while (self->open_calls)
        forget_call (self, self->open_calls);
    self->calls_made = 0;
}

bool recording_may_restart (int64_t start_us, int64_t since_us, int64_t lease_us)
{
    if (start_us * 2 > lease_us)
        return false;
    return start_us <= START_QUICK_US || since_us > start_us * AWAY_PART;
}

int recording_tend (struct service *self, struct strata_error *error)
{
    uint64_t begin_ns = uv_hrtime ();
    int64_t since_us = self->now_us - (self->restarted_us ? self->restarted_us : self->started_us);
    if (!recording_may_restart ((int64_t)(self->start_took_ns / 1000), since_us, (int64_t)self->campaign->mesh.lease_s * 1000000)
        || !journal_due (self->journal, self->now_us))
        return 0;
    if (service_commit (self, true) < 0)
        return 0; /* the disk is full: later */
    self->restarts = true;
    service_end_core (self);
    int committed = service_commit (self, true);
    shard_forget (self->shard);
    if (committed == 0)
        journal_checkpoint (self->journal, self->now_us, error);
    int rc = service_start_core (self, true, error);
    self->restarts = false;
    self->restarted_us = self->now_us;
    log_info ("a checkpoint of the inputs' record, %.3f s", (double)(uv_hrtime () - begin_ns) / 1e9);
    return rc;
}

void recording_metrics (struct service *self)
{
    struct journal_figures f;
    if (!self->journal)
        return;
    journal_figures (self->journal, &f);
    service_metric (self, "replay_bytes", (double)f.bytes, (double)f.keep_bytes);
    service_metric (self, "replay_checkpoints", f.checkpoints, 0);
    service_metric (self, "replay_recording", f.recording, 0);
}
