/* service_ask.c - what a core may ask of the shell around it: see service.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "mesh/route.h"
#include "mesh/service_internal.h"
#include "status.pb-c.h"
#include "store/stream.h"
#include "stream.pb-c.h"

#define EVENT_TIMEOUT_MS 60000

void service_set_state (struct service *self, void *state)
{
    self->state = state;
}

void *service_state (struct service *self)
{
    return self->state;
}

struct shard *service_shard (struct service *self)
{
    return self->shard;
}

unsigned service_shard_number (struct service *self)
{
    return self->mesh.card.shard;
}

const struct campaign *service_campaign (struct service *self)
{
    return self->campaign;
}

const char *service_workspace (struct service *self)
{
    return self->workspace;
}

const char *service_bin_dir (struct service *self)
{
    return self->bin_dir;
}

const char *service_replica (struct service *self)
{
    return self->replica;
}

uv_loop_t *service_loop (struct service *self)
{
    return &self->loop;
}

int64_t service_now_us (struct service *self)
{
    return self->now_us;
}

bool service_hands_over (struct service *self)
{
    return self->hands_over;
}

void service_quit (struct service *self, int code)
{
    self->quit = true;
    self->code = code;
}

uint64_t service_append (struct service *self, const char *stream, const ProtobufCMessage *record)
{
    uint64_t sequence = 0;
    struct strata_error error;
    zframe_t *packed = wire_frame (record);
    uint32_t size = (uint32_t)zframe_size (packed);
    if (stream_append (self->shard,
                       stream,
                       NULL,
                       0,
                       zframe_data (packed),
                       zframe_size (packed),
                       self->now_us,
                       &sequence,
                       &error)
        < 0)
        log_error ("%s", error.text);
    else
        announce_records (self, stream, sequence, &size, 1, zframe_data (packed), size);
    zframe_destroy (&packed);
    return sequence;
}

/* A service without a shard has its events kept by stage. */
static void send_event (struct service *self, const ProtobufCMessage *event)
{
    Strata__StreamAppend append = STRATA__STREAM_APPEND__INIT;
    zframe_t *packed = wire_frame (event);
    uint32_t size = (uint32_t)zframe_size (packed);
    struct blob blob = { zframe_data (packed), size };
    append.stream = "events";
    append.sizes = &size;
    append.n_sizes = 1;
    service_call (self,
                  "stage",
                  STRATA__MESSAGE_TYPE__TYPE_STREAM_APPEND,
                  &append.base,
                  &blob,
                  1,
                  &strata__stream_append_reply__descriptor,
                  EVENT_TIMEOUT_MS,
                  NULL,
                  NULL);
    zframe_destroy (&packed);
}

void service_event (struct service *self, const char *kind, const char *subject, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start (ap, fmt);
    vsnprintf (text, sizeof (text), fmt, ap);
    va_end (ap);
    log_info ("%s %s: %s", kind, subject, text);
    Strata__Event event = STRATA__EVENT__INIT;
    event.time_us = self->now_us;
    event.service = self->replica;
    event.kind = (char *)kind;
    event.subject = (char *)subject;
    event.text = text;
    if (!self->shard) {
        send_event (self, &event.base);
        return;
    }
    service_append (self, "events", &event.base);
}

void service_metric (struct service *self, const char *name, double value, double limit)
{
    if (self->metrics_count == self->metrics_size) {
        size_t size = self->metrics_size ? self->metrics_size * 2 : 64;
        Strata__Metric *grown = realloc (self->metrics, size * sizeof (*grown));
        if (!grown)
            return;
        self->metrics = grown;
        self->metrics_size = size;
    }
    Strata__Metric *metric = &self->metrics[self->metrics_count];
    strata__metric__init (metric);
    metric->name = strdup (name);
    metric->value = value;
    metric->limit = limit;
    self->metrics_count += metric->name != NULL;
}

void service_trouble (struct service *self, const char *fmt, ...)
{
    char text[sizeof (self->trouble)] = "";
    if (fmt) {
        va_list ap;
        va_start (ap, fmt);
        vsnprintf (text, sizeof (text), fmt, ap);
        va_end (ap);
    }
    if (strcmp (text, self->trouble) != 0)
        log_warn ("%s", text[0] ? text : "the trouble is over");
    memcpy (self->trouble, text, sizeof (text));
}

void service_on_heartbeat (struct service *self, heartbeat_f *callback, void *arg)
{
    self->on_heartbeat = callback;
    self->on_heartbeat_arg = arg;
    mesh_subscribe (&self->mesh, "hb");
}

int service_admit (struct service *self, const char *producer, bool known, struct strata_error *error)
{
    return self->spec->admit ? self->spec->admit (self, producer, known, error) : 0;
}

/* A card that can't be written now is written by on_housekeeping. */
void service_retires (struct service *self, bool retires)
{
    if (self->mesh.card.retiring == retires)
        return;
    self->mesh.card.retiring = retires;
    self->card_due = true;
    self->again_us = 0;
}

const char *service_object_stage (struct service *self, const char *ns, const char *key)
{
    static char stage[REPLICA_NAME_MAX];
    stage[0] = '\0';
    if (!self->replay)
        snprintf (stage, sizeof (stage), "%s", mesh_route_object (&self->mesh, ns, key));
    service_fact_text (self, stage, sizeof (stage));
    return stage;
}

void service_forget_routes (struct service *self)
{
    if (!self->replay)
        mesh_route_forget (&self->mesh);
}

size_t service_peers (struct service *self, char names[][64], size_t max)
{
    const struct card *cards[1024];
    size_t count = mesh_peers (&self->mesh, cards, 1024);
    for (size_t i = 0; i < count && i < max && i < 1024; i++)
        snprintf (names[i], 64, "%s", cards[i]->replica);
    return count;
}

size_t service_stages (struct service *self, char names[][64], size_t max)
{
    return mesh_route_stages (&self->mesh, names, max);
}
