/* status_core.c - see status_core.h */
#include "status_core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GOALS 2

struct replica {
    char name[64], service[64];
    Strata__Heartbeat *heartbeat; /* the last one; made of the name alone before the first */
    int64_t heard_us;             /* when it came; before the first: when the card was seen */
    bool heard;
    int64_t gone_us; /* since when the card is not there; 0: it is */
    Strata__StreamStatReply *streams;
    int64_t streams_us;
};

/* Where reading the events of a shard stands. A shard outlives the replica that holds it. */
struct source {
    char shard[64];
    uint64_t next; /* sequence wanted; 0: the stream's end is not known yet */
    bool behind;   /* the last page was full */
};

struct entry {
    Strata__Event *event;
    size_t size;
    int64_t came_us;
    uint64_t order; /* among those that came */
};

struct status_core {
    const struct campaign *campaign;
    char *workspace;
    uint64_t boot;
    struct replica *replicas;
    size_t replicas_count;
    struct source *sources;
    size_t sources_count;
    struct entry *pending; /* came and not numbered */
    size_t pending_count, pending_size;
    uint64_t arrivals;
    struct entry *ring;   /* [STATUS_EVENTS_MAX]; event n stands at n % STATUS_EVENTS_MAX */
    uint64_t first, next; /* running numbers kept: first .. next - 1 */
    size_t ring_bytes;
    Strata__Goal goals[GOALS], *goal_pointers[GOALS];
    size_t goals_count;
    char goal_names[GOALS][128];
    char goal_metrics[GOALS][128];
    const char *goal_services[GOALS];
    Strata__ServiceStatus services[REPLICAS_SERVICES], *service_pointers[REPLICAS_SERVICES];
};

static void add_goal (struct status_core *self, const char *service, const char *metric, const char *name,
                      double wanted)
{
    size_t i = self->goals_count++;
    snprintf (self->goal_names[i], sizeof (self->goal_names[i]), "%s", name);
    snprintf (self->goal_metrics[i], sizeof (self->goal_metrics[i]), "%s", metric);
    self->goal_services[i] = service;
    strata__goal__init (&self->goals[i]);
    self->goals[i].name = self->goal_names[i];
    self->goals[i].wanted = wanted;
    self->goal_pointers[i] = &self->goals[i];
}

struct status_core *status_new (const struct campaign *campaign, const char *workspace, uint64_t boot)
{
    char metric[128], name[128];
    const struct campaign_goal *goal = &campaign->goal;
    struct status_core *self = calloc (1, sizeof (*self));
    if (!self)
        return NULL;
    self->campaign = campaign;
    self->boot = boot;
    self->first = self->next = 1;
    for (size_t i = 0; i < REPLICAS_SERVICES; i++) {
        strata__service_status__init (&self->services[i]);
        self->services[i].service = (char *)replicas_services[i];
        self->service_pointers[i] = &self->services[i];
    }
    self->workspace = strdup (workspace);
    self->ring = calloc (STATUS_EVENTS_MAX, sizeof (*self->ring));
    if (!self->workspace || !self->ring) {
        status_free (&self);
        return NULL;
    }
    if (goal->job && goal->successes) {
        snprintf (metric, sizeof (metric), "%s_succeeded", goal->job);
        snprintf (name, sizeof (name), "%s succeeded", goal->job);
        add_goal (self, "schedule", metric, name, goal->successes);
    }
    if (goal->uptakes)
        add_goal (self, "feedback", "reports_taken", "reports taken up", goal->uptakes);
    return self;
}

static void replica_fini (struct replica *r)
{
    if (r->heartbeat)
        strata__heartbeat__free_unpacked (r->heartbeat, NULL);
    if (r->streams)
        strata__stream_stat_reply__free_unpacked (r->streams, NULL);
}

void status_free (struct status_core **self_p)
{
    struct status_core *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->replicas_count; i++)
        replica_fini (&self->replicas[i]);
    for (size_t i = 0; i < self->pending_count; i++)
        strata__event__free_unpacked (self->pending[i].event, NULL);
    for (uint64_t n = self->first; self->ring && n < self->next; n++)
        strata__event__free_unpacked (self->ring[n % STATUS_EVENTS_MAX].event, NULL);
    free (self->replicas);
    free (self->sources);
    free (self->pending);
    free (self->ring);
    free (self->workspace);
    free (self);
    *self_p = NULL;
}

/* A deep copy through the packed form; NULL when memory ran out. */
static ProtobufCMessage *copy (const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size (message);
    uint8_t *bytes = malloc (size ? size : 1);
    if (!bytes)
        return NULL;
    protobuf_c_message_pack (message, bytes);
    ProtobufCMessage *out = protobuf_c_message_unpack (message->descriptor, NULL, size, bytes);
    free (bytes);
    return out;
}

/* ---- replicas ---- */

static struct replica *find (const struct status_core *self, const char *name)
{
    for (size_t i = 0; i < self->replicas_count; i++)
        if (strcmp (self->replicas[i].name, name) == 0)
            return &self->replicas[i];
    return NULL;
}

/* "stage" of "stage-0" */
static void service_of (const char *replica, char *service, size_t size)
{
    snprintf (service, size, "%s", replica);
    char *dash = strrchr (service, '-');
    if (dash)
        *dash = '\0';
}

static struct replica *find_or_add (struct status_core *self, const char *name, int64_t now_us)
{
    struct replica *r = find (self, name);
    if (r || !name[0] || strlen (name) >= sizeof (r->name))
        return r;
    struct replica *grown = realloc (self->replicas, (self->replicas_count + 1) * sizeof (*grown));
    if (!grown)
        return NULL;
    self->replicas = grown;
    r = &grown[self->replicas_count];
    *r = (struct replica){ .heard_us = now_us };
    snprintf (r->name, sizeof (r->name), "%s", name);
    service_of (name, r->service, sizeof (r->service));
    Strata__Heartbeat nothing = STRATA__HEARTBEAT__INIT;
    nothing.replica = r->name;
    nothing.service = r->service;
    r->heartbeat = (Strata__Heartbeat *)copy (&nothing.base);
    if (!r->heartbeat)
        return NULL;
    self->replicas_count++;
    return r;
}

/* A goal never goes back: a service that starts again may say 0 until it has read its store. */
static void update_goals (struct status_core *self, const Strata__Heartbeat *heartbeat)
{
    for (size_t g = 0; g < self->goals_count; g++)
        for (size_t i = 0; strcmp (heartbeat->service, self->goal_services[g]) == 0 && i < heartbeat->n_metrics; i++)
            if (strcmp (heartbeat->metrics[i]->name, self->goal_metrics[g]) == 0
                && heartbeat->metrics[i]->value > self->goals[g].value)
                self->goals[g].value = heartbeat->metrics[i]->value;
}

void status_heartbeat (struct status_core *self, const Strata__Heartbeat *heartbeat, int64_t now_us)
{
    struct replica *r = find_or_add (self, heartbeat->replica, now_us);
    Strata__Heartbeat *kept = r ? (Strata__Heartbeat *)copy (&heartbeat->base) : NULL;
    if (!kept)
        return;
    strata__heartbeat__free_unpacked (r->heartbeat, NULL);
    r->heartbeat = kept;
    r->heard_us = now_us;
    r->heard = true;
    update_goals (self, kept);
}

void status_cards (struct status_core *self, char (*replicas)[64], size_t count, int64_t now_us)
{
    for (size_t i = 0; i < count; i++)
        find_or_add (self, replicas[i], now_us);
    for (size_t i = 0; i < self->replicas_count; i++) {
        struct replica *r = &self->replicas[i];
        bool there = false;
        for (size_t k = 0; k < count && !there; k++)
            there = strcmp (replicas[k], r->name) == 0;
        if (there)
            r->gone_us = 0;
        else if (!r->gone_us)
            r->gone_us = now_us;
    }
}

void status_wanted (struct status_core *self, const struct replicas *wanted)
{
    for (size_t i = 0; i < REPLICAS_SERVICES; i++)
        self->services[i].wanted = wanted->wanted[i];
}

static bool alive (const struct replica *r, int64_t now_us)
{
    return r->heard && !r->gone_us && now_us - r->heard_us < STATUS_DEAD_US;
}

static bool keeps_streams (const char *service)
{
    static const char *const services[] = { "stage", "select", "schedule", "feedback" };
    for (size_t i = 0; i < sizeof (services) / sizeof (services[0]); i++)
        if (strcmp (service, services[i]) == 0)
            return true;
    return false;
}

bool status_has_streams (const struct status_core *self, const char *replica, int64_t now_us)
{
    const struct replica *r = find (self, replica);
    return r && alive (r, now_us) && r->heartbeat->active && keeps_streams (r->service);
}

void status_take_streams (struct status_core *self, const char *replica, const Strata__StreamStatReply *reply,
                          int64_t now_us)
{
    struct replica *r = find (self, replica);
    Strata__StreamStatReply *kept = r ? (Strata__StreamStatReply *)copy (&reply->base) : NULL;
    if (!kept)
        return;
    if (r->streams)
        strata__stream_stat_reply__free_unpacked (r->streams, NULL);
    r->streams = kept;
    r->streams_us = now_us;
}

/* ---- events ---- */

/* Each stage has a shard of its own; the replicas of the other services take turns with that which their heartbeats name. */
static struct source *source_of (struct status_core *self, const char *replica)
{
    char service[48], shard[64];
    const struct replica *r = find (self, replica);
    service_of (replica, service, sizeof (service));
    if (strcmp (service, "stage") == 0)
        snprintf (shard, sizeof (shard), "%s", replica);
    else
        snprintf (shard, sizeof (shard), "%s-%u", service, r && r->heartbeat ? r->heartbeat->shard : 0);
    for (size_t i = 0; i < self->sources_count; i++)
        if (strcmp (self->sources[i].shard, shard) == 0)
            return &self->sources[i];
    struct source *grown = realloc (self->sources, (self->sources_count + 1) * sizeof (*grown));
    if (!grown)
        return NULL;
    self->sources = grown;
    struct source *source = &grown[self->sources_count++];
    *source = (struct source){ .behind = true };
    snprintf (source->shard, sizeof (source->shard), "%s", shard);
    return source;
}

void status_want_events (struct status_core *self, const char *replica, uint64_t *from, uint32_t *max)
{
    const struct source *source = source_of (self, replica);
    *from = source ? source->next : 0;
    *max = *from ? STATUS_PAGE : 1;
}

struct taking {
    struct status_core *self;
    struct source *source;
    int64_t now_us;
};

static int add_pending (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    struct taking *taking = arg;
    struct status_core *self = taking->self;
    if (sequence < taking->source->next)
        return 0;
    taking->source->next = sequence + 1;
    if (self->pending_count == self->pending_size) {
        size_t room = self->pending_size ? self->pending_size * 2 : 256;
        struct entry *grown = realloc (self->pending, room * sizeof (*grown));
        if (!grown)
            return 0;
        self->pending = grown;
        self->pending_size = room;
    }
    Strata__Event *event = strata__event__unpack (NULL, size, record);
    if (event)
        self->pending[self->pending_count++] =
            (struct entry){ event, size + sizeof (*event), taking->now_us, self->arrivals++ };
    return 0;
}

bool status_take_events (struct status_core *self, const char *replica, const Strata__StreamReadReply *reply,
                         const struct blob *blobs, size_t blobs_count, int64_t now_us)
{
    struct strata_error error;
    struct source *source = source_of (self, replica);
    if (!source)
        return false;
    if (source->next == 0) {
        /* The first look: only the newest can stay in the ring. */
        source->next = reply->next > STATUS_EVENTS_MAX ? reply->next - STATUS_EVENTS_MAX : 1;
        if (source->next < reply->first)
            source->next = reply->first;
        if (source->next == 0)
            source->next = 1;
        source->behind = source->next < reply->next;
        return source->behind;
    }
    struct taking taking = { self, source, now_us };
    if (chunks_each (reply->chunks, reply->n_chunks, blobs, blobs_count, NULL, add_pending, &taking, &error) < 0)
        return false; /* asked again with the next look */
    /* A store that was replaced by an older or empty one: go on from its end. */
    if (reply->next && reply->next < source->next)
        source->next = reply->next;
    source->behind = reply->n_chunks > 0 && source->next < reply->next;
    return source->behind;
}

static void drop_oldest (struct status_core *self)
{
    struct entry *oldest = &self->ring[self->first % STATUS_EVENTS_MAX];
    self->ring_bytes -= oldest->size;
    strata__event__free_unpacked (oldest->event, NULL);
    *oldest = (struct entry){ .event = NULL };
    self->first++;
}

static void number (struct status_core *self, const struct entry *entry)
{
    while (self->first < self->next
           && (self->next - self->first >= STATUS_EVENTS_MAX || self->ring_bytes + entry->size > STATUS_EVENTS_BYTES))
        drop_oldest (self);
    self->ring[self->next++ % STATUS_EVENTS_MAX] = *entry;
    self->ring_bytes += entry->size;
}

static int by_time (const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->event->time_us != y->event->time_us)
        return x->event->time_us < y->event->time_us ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

static void number_pending (struct status_core *self, int64_t now_us)
{
    size_t due = 0;
    bool full = self->pending_count > STATUS_PENDING_MAX, late = false;
    if (!self->pending_count)
        return;
    for (size_t i = 0; i < self->pending_count; i++)
        late = late || now_us - self->pending[i].came_us >= STATUS_BEHIND_US;
    for (size_t i = 0; i < self->sources_count && !full && !late; i++)
        if (self->sources[i].behind && self->sources[i].next)
            return; /* older events are on their way, unless that replica died meanwhile */
    qsort (self->pending, self->pending_count, sizeof (*self->pending), by_time);
    for (size_t i = self->pending_count; i > 0 && !due; i--)
        if (full || now_us - self->pending[i - 1].came_us >= STATUS_HOLD_US)
            due = i;
    for (size_t i = 0; i < due; i++)
        number (self, &self->pending[i]);
    self->pending_count -= due;
    memmove (self->pending, self->pending + due, self->pending_count * sizeof (*self->pending));
}

void status_tick (struct status_core *self, int64_t now_us)
{
    number_pending (self, now_us);
    for (size_t i = 0; i < self->replicas_count;) {
        struct replica *r = &self->replicas[i];
        if (r->gone_us && now_us - r->gone_us > STATUS_STOPPED_US) {
            replica_fini (r);
            *r = self->replicas[--self->replicas_count];
        } else
            i++;
    }
}

/* ---- answers ---- */

static int by_name (const void *a, const void *b)
{
    return strcmp ((*(Strata__ReplicaStatus *const *)a)->heartbeat->replica,
                   (*(Strata__ReplicaStatus *const *)b)->heartbeat->replica);
}

static void count_services (struct status_core *self, int64_t now_us)
{
    for (size_t i = 0; i < REPLICAS_SERVICES; i++) {
        Strata__ServiceStatus *service = &self->services[i];
        service->alive = service->active = 0;
        for (size_t k = 0; k < self->replicas_count; k++) {
            const struct replica *r = &self->replicas[k];
            bool counts = alive (r, now_us) && strcmp (r->service, service->service) == 0;
            service->alive += counts;
            service->active += counts && r->heartbeat->active;
        }
    }
}

void status_reply (struct status_core *self, int64_t now_us, Strata__StatusReply *reply)
{
    strata__status_reply__init (reply);
    count_services (self, now_us);
    reply->services = self->service_pointers;
    reply->n_services = REPLICAS_SERVICES;
    reply->campaign = self->campaign->name;
    reply->workspace = self->workspace;
    reply->now_us = now_us;
    reply->goals = self->goal_pointers;
    reply->n_goals = self->goals_count;
    reply->complete = self->goals_count > 0;
    for (size_t i = 0; i < self->goals_count; i++)
        reply->complete = reply->complete && self->goals[i].value >= self->goals[i].wanted;
    reply->replicas = calloc (self->replicas_count + 1, sizeof (*reply->replicas));
    for (size_t i = 0; reply->replicas && i < self->replicas_count; i++) {
        const struct replica *r = &self->replicas[i];
        Strata__ReplicaStatus *out = malloc (sizeof (*out));
        if (!out)
            continue;
        strata__replica_status__init (out);
        out->heartbeat = r->heartbeat;
        out->age_us = now_us > r->heard_us ? now_us - r->heard_us : 0;
        out->alive = alive (r, now_us);
        out->stopped = r->gone_us != 0;
        out->streams_age_us = -1;
        if (r->streams) {
            out->streams = r->streams->streams;
            out->n_streams = r->streams->n_streams;
            out->streams_age_us = now_us > r->streams_us ? now_us - r->streams_us : 0;
        }
        reply->replicas[reply->n_replicas++] = out;
    }
    if (reply->replicas)
        qsort (reply->replicas, reply->n_replicas, sizeof (*reply->replicas), by_name);
}

void status_reply_fini (Strata__StatusReply *reply)
{
    for (size_t i = 0; i < reply->n_replicas; i++)
        free (reply->replicas[i]);
    free (reply->replicas);
    strata__status_reply__init (reply);
}

void status_events (struct status_core *self, uint64_t after, uint32_t max, Strata__EventsReply *reply)
{
    uint64_t from = after + 1 > self->first ? after + 1 : self->first;
    if (max == 0)
        max = 1000;
    if (max > 5000)
        max = 5000;
    strata__events_reply__init (reply);
    reply->boot = self->boot;
    reply->next = self->next - 1;
    if (from >= self->next)
        return;
    size_t count = self->next - from < max ? (size_t)(self->next - from) : max;
    reply->events = malloc (count * sizeof (*reply->events));
    if (!reply->events) {
        reply->next = after;
        return;
    }
    for (size_t i = 0; i < count; i++)
        reply->events[i] = self->ring[(from + i) % STATUS_EVENTS_MAX].event;
    reply->n_events = count;
    reply->next = from + count - 1;
}

void status_events_fini (Strata__EventsReply *reply)
{
    free (reply->events);
    strata__events_reply__init (reply);
}

void status_figures (const struct status_core *self, int64_t now_us, struct status_figures *figures)
{
    *figures = (struct status_figures){ .replicas = self->replicas_count,
                                        .events = (size_t)(self->next - self->first),
                                        .events_bytes = self->ring_bytes,
                                        .events_pending = self->pending_count };
    for (size_t i = 0; i < self->replicas_count; i++)
        figures->alive += alive (&self->replicas[i], now_us);
}
