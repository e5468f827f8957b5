/* service.c - see service.h: a replica's turns, and its becoming active. What its core may ask: service_ask.c; the process: service_main.c. */
#include "mesh/service.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/crash_point.h"
#include "core/log.h"
#include "mesh/replies.h"
#include "mesh/service_internal.h"
#include "mesh/stream_server.h"
#include "status.pb-c.h"
#include "store/damage.h"
#include "store/stream.h"

#define HEARTBEAT_MS 500
#define HOUSEKEEPING_MS 100
#define AGAIN_US 500000
#define SWEEP_US 60000000
#define EVENTS_KEPT 100000
#define REFUSED_EVENT_US 10000000 /* between events on refused peers */
/* Shown before what the service itself says is wrong, and kept apart from it: each ends for a reason of its own. */
static void store_trouble (struct service *self, const char *text)
{
    if (strcmp (text, self->store_trouble) != 0)
        log_warn ("%s", text[0] ? text : "the trouble with the store is over");
    snprintf (self->store_trouble, sizeof (self->store_trouble), "%s", text);
}

/* ---- the turn ---- */

static bool may_take (void *arg)
{
    struct service *self = arg;
    self->now_us = mesh_now_us ();
    return !self->held;
}

/* Another replica has the shard, in files of its own: what is here is of no use any more. The supervisor starts a standby. */
static void lose_shard (struct service *self, const char *why)
{
    if (!self->lost)
        log_warn ("%s; nothing of this one is told any more, it ends", why);
    self->lost = self->held = true;
    service_quit (self, 0);
    uv_stop (&self->loop);
}

static bool may_send (void *arg)
{
    struct service *self = arg;
    return !self->shard || (!self->lost && shard_held (self->shard));
}

int service_commit (struct service *self, bool all)
{
    struct strata_error error;
    if (!self->shard)
        return 0;
    if (self->lost)
        return -1;
    announce_flush (self);
    if (self->held && self->now_us < self->commit_again_us)
        return -1;
    recording_write (self, all);
    bool dirty = shard_dirty (self->shard);
    if (dirty)
        crash_point ("commit.before");
    if ((self->active && self->spec->flush && self->spec->flush (self, &error) < 0) || shard_commit (self->shard, &error) < 0) {
        if (errno == ESTALE) {
            lose_shard (self, error.text);
            return -1;
        }
        self->held = true;
        self->commit_again_us = self->now_us + AGAIN_US;
        store_trouble (self, error.text);
        return -1;
    }
    if (dirty)
        crash_point ("commit.written");
    journal_committed (self->journal);
    self->held = false;
    store_trouble (self, "");
    return 0;
}

static void on_service_timer (uv_timer_t *timer);

/* Only after the commit: a timer that sets itself to now would run again before it. */
static int commit (void *arg)
{
    struct service *self = arg;
    int rc = service_commit (self, false);
    for (size_t i = 0; rc == 0 && self->timers && i < self->timers_count; i++) {
        struct timer_state *state = &self->timers[i];
        if (state->soon)
            uv_timer_start (&state->timer, on_service_timer, 0, state->spec->every_ms);
        state->soon = false;
    }
    return rc;
}

static void on_publication (struct mesh *mesh, const char *topic, struct wire_message *message, void *arg)
{
    struct service *self = arg;
    struct strata_error error;
    if (message->header->type == STRATA__MESSAGE_TYPE__TYPE_HEARTBEAT && self->on_heartbeat && self->active) {
        Strata__Heartbeat *hb = (Strata__Heartbeat *)wire_body (message, &strata__heartbeat__descriptor, &error);
        if (hb) {
            self->on_heartbeat (self, hb, self->on_heartbeat_arg);
            strata__heartbeat__free_unpacked (hb, NULL);
        }
    } else if (message->header->type == STRATA__MESSAGE_TYPE__TYPE_ANNOUNCEMENT && self->active) {
        Strata__Announcement *a = (Strata__Announcement *)wire_body (message, &strata__announcement__descriptor, &error);
        if (a) {
            struct blob *blobs = wire_blobs (message);
            consume_announced (self, message->header, a, blobs, message->blobs);
            free (blobs);
            consume_tick (self);
            strata__announcement__free_unpacked (a, NULL);
        }
    }
}

static void on_peer (struct mesh *mesh, const struct card *card, void *arg)
{
    struct service *self = arg;
    if (self->active)
        consume_peer (self, card);
}

static void on_heartbeat_timer (uv_timer_t *timer)
{
    struct service *self = timer->data;
    Strata__Heartbeat hb = STRATA__HEARTBEAT__INIT;
    if (!may_send (self))
        return;
    self->now_us = mesh_now_us ();
    self->metrics_count = 0;
    if (self->active && self->spec->metrics && !self->held)
        self->spec->metrics (self);
    service_metric (self, "requests_handled", (double)self->handled, 0);
    service_metric (self, "requests_repeated", (double)self->repeated, 0);
    service_metric (self, "requests_late", (double)self->mesh.late, 0);
    service_metric (self, "messages_refused", (double)(self->refused + self->mesh.refused), 0);
    service_metric (self, "messages_stale", (double)self->mesh.stale, 0);
    if (self->mesh.secure) {
        service_metric (self, "peers_refused", (double)secure_refused (self->mesh.secure, NULL), 0);
        service_metric (self, "handshakes_unfinished", (double)secure_unfinished (self->mesh.secure), 0);
    }
    service_metric (self, "calls_open", (double)mesh_calls_open (&self->mesh), 0);
    service_metric (self, "turn_messages", (double)self->mesh.turn_messages_most, MESH_TURN_MESSAGES);
    service_metric (self, "turn_bytes", (double)self->mesh.turn_bytes_most, MESH_TURN_BYTES + (double)WIRE_MAX_MESSAGE);
    service_metric (self, "outbox_messages", (double)self->mesh.out_most, 0);
    self->mesh.turn_messages_most = self->mesh.turn_bytes_most = self->mesh.out_most = 0;
    if (self->shard && !self->held) {
        service_metric (self, "commits", (double)shard_commits (self->shard), 0);
        service_metric (self, "replies_remembered", (double)self->replies, 0);
        stream_server_metrics (self);
        consume_metrics (self);
    }
    recording_metrics (self);
    Strata__Metric **pointers = calloc (self->metrics_count + 1, sizeof (*pointers));
    for (size_t i = 0; pointers && i < self->metrics_count; i++)
        pointers[i] = &self->metrics[i];
    hb.service = (char *)self->spec->name;
    hb.replica = self->replica;
    hb.node = self->mesh.card.node;
    hb.pid = (uint32_t)getpid ();
    hb.now_us = self->now_us;
    hb.started_us = self->started_us;
    hb.active = self->active;
    hb.shard = self->mesh.card.shard;
    hb.metrics = pointers;
    hb.n_metrics = pointers ? self->metrics_count : 0;
    hb.trouble = self->store_trouble[0] ? self->store_trouble : self->stream_trouble[0] ? self->stream_trouble : self->trouble;
    mesh_send_heartbeat (&self->mesh, &hb.base);
    for (size_t i = 0; i < self->metrics_count; i++)
        free (self->metrics[i].name);
    free (pointers);
}

static void on_service_timer (uv_timer_t *timer)
{
    struct timer_state *state = timer->data;
    struct service *self = state->service;
    if (!self->active || self->held || !may_send (self))
        return;
    self->now_us = mesh_now_us ();
    recording_tick (self, (size_t)(state - self->timers));
    state->spec->tick (self, self->now_us);
}

void service_tick_soon (struct service *self, void (*tick) (struct service *service, int64_t now_us))
{
    for (size_t i = 0; self->timers && i < self->timers_count; i++) /* a replay has none */
        if (self->timers[i].spec->tick == tick)
            self->timers[i].soon = true;
}

/* ---- becoming active ---- */

/* A card that the disk has no room for is written later: the process serves those who know it already. */
static int publish (struct service *self, struct strata_error *error)
{
    self->card_due = mesh_publish_card (&self->mesh, error) < 0;
    crash_point ("service.card");
    if (!self->card_due)
        return 0;
    self->again_us = self->now_us + AGAIN_US;
    return errno == ENOSPC ? 0 : -1;
}

static void name_shard (struct service *self, unsigned number)
{
    self->mesh.card.shard = number;
    snprintf (self->shard_dir, sizeof (self->shard_dir), "%s/shards/%s-%u", self->workspace, self->spec->name, number);
}

/* Any shard that can be had, beginning with the one of the replica's own number, so that each finds one at once. stage serves its
 * own node's objects: each replica has a shard of its own. -1 with errno EBUSY when all are held. */
static int take_any (struct service *self, struct strata_error *error)
{
    int64_t length_us = (int64_t)self->campaign->mesh.lease_s * 1000000;
    bool own = strcmp (self->spec->name, "stage") == 0;
    unsigned count = self->spec->shards ? self->spec->shards (self->campaign) : 1;
    int why = EBUSY;
    for (unsigned i = 0; i < (own ? 1 : count); i++) {
        struct strata_error one;
        unsigned number = own ? self->number : (self->number + i) % count;
        name_shard (self, number);
        self->shard = shard_take (self->shard_dir, &self->watches[own ? 0 : number], length_us, &one);
        if (self->shard)
            return 0;
        if (errno == EBUSY)
            continue;
        why = errno;
        *error = one;
    }
    if (why == EBUSY)
        strata_fail (error, "every shard of %s is held", self->spec->name);
    errno = why;
    return -1;
}

/* 1 it is held (or none is needed), 0 not yet: another replica holds it, the disk is full, or the store is damaged. */
static int take_shard (struct service *self, struct strata_error *error)
{
    if (!self->spec->has_shard)
        return 1;
    if (self->now_us < self->again_us)
        return 0;
    if (take_any (self, error) < 0) {
        /* A damaged store is not served: the replica stands there and says so until the store was repaired. */
        if (errno == ENOSPC || errno == EBADMSG) {
            self->again_us = self->now_us + AGAIN_US;
            store_trouble (self, error->text);
            return 0;
        }
        return errno == EBUSY ? 0 : -1;
    }
    crash_point ("shard.taken");
    store_trouble (self, "");
    self->mesh.card.epoch = shard_epoch (self->shard);
    self->by_force = shard_by_force (self->shard);
    log_info ("holds shard %s in epoch %llu", self->shard_dir, (unsigned long long)self->mesh.card.epoch);
    return 1;
}

int service_start_core (struct service *self, bool in_place, struct strata_error *error)
{
    const struct card *cards[1024];
    uint64_t begin_ns = uv_hrtime ();
    recording_start (self, in_place);
    if (self->spec->start && self->spec->start (self, error) < 0)
        return -1;
    self->start_took_ns = uv_hrtime () - begin_ns;
    size_t count = mesh_peers (&self->mesh, cards, 1024);
    for (size_t i = 0; i < count && i < 1024; i++)
        consume_peer (self, cards[i]);
    return 0;
}

static int activate (struct service *self, struct strata_error *error)
{
    int rc = take_shard (self, error);
    if (rc <= 0)
        return rc;
    self->now_us = mesh_now_us ();
    mesh_look_at_cards (&self->mesh);
    if (self->shard)
        recording_open (self);
    errno = 0;
    if (service_start_core (self, false, error) < 0) {
        if (self->shard && errno == EBADMSG)
            damage_mark (shard_path (self->shard), error->text); /* so that the next start doesn't try again and again */
        return -1;
    }
    self->active = true;
    self->mesh.card.active = true;
    crash_point ("service.active");
    return publish (self, error);
}

/* Somebody who tries all the time doesn't fill the events: one of them tells of many. */
static void tell_refused_peers (struct service *self)
{
    char text[512];
    const char *last;
    uint64_t count = secure_refused (self->mesh.secure, &last);
    if (count == self->peers_told || self->now_us - self->peers_told_us < REFUSED_EVENT_US)
        return;
    snprintf (text,
              sizeof (text),
              "%llu TCP connections refused (%llu since the start), the last from %s",
              (unsigned long long)(count - self->peers_told),
              (unsigned long long)count,
              last);
    recording_event (self, "peer-refused", self->replica, text);
    service_event (self, "peer-refused", self->replica, "%s", text);
    self->peers_told = count;
    self->peers_told_us = self->now_us;
}

static void tell_taken (struct service *self)
{
    char text[128], *name = strrchr (self->shard_dir, '/') + 1;
    if (!self->by_force)
        return;
    self->by_force = false;
    snprintf (text,
              sizeof (text),
              "taken by force in epoch %llu: its holder had not renewed the lease for %u s",
              (unsigned long long)self->mesh.card.epoch,
              self->campaign->mesh.lease_s);
    recording_event (self, "shard-taken", name, text);
    service_event (self, "shard-taken", name, "%s", text);
}

void service_sweep (struct service *self)
{
    struct stream_stat events;
    self->replies = replies_sweep (self->shard, self->now_us);
    stream_stat (self->shard, "events", &events);
    if (events.next > EVENTS_KEPT)
        stream_trim (self->shard, "events", events.next - EVENTS_KEPT);
}

static bool drained (struct service *self)
{
    if (!self->active || !self->spec->drain || self->held)
        return true;
    recording_drain (self);
    return self->spec->drain (self, self->now_us);
}

static void on_housekeeping (uv_timer_t *timer)
{
    struct service *self = timer->data;
    struct strata_error error;
    self->now_us = mesh_now_us ();
    if (self->quit) {
        uv_stop (&self->loop);
        return;
    }
    if (!self->active && !self->ending && activate (self, &error) < 0) {
        log_error ("%s", error.text);
        service_quit (self, 1);
        return;
    }
    if (self->card_due && self->now_us >= self->again_us && publish (self, &error) < 0)
        log_warn ("%s", error.text);
    if (!self->active || self->held)
        goto ending;
    if (!self->ending && recording_tend (self, &error) < 0) {
        log_error ("%s", error.text);
        self->active = false;
        service_quit (self, 1);
        return;
    }
    consume_tick (self);
    tell_refused_peers (self);
    tell_taken (self);
    if (self->shard && self->now_us - self->swept_us > SWEEP_US) {
        recording_sweep (self);
        service_sweep (self);
        self->swept_us = self->now_us;
    }
ending:
    if (self->ending && drained (self))
        service_quit (self, self->code);
}

static void on_signal (uv_signal_t *handle, int signum)
{
    struct service *self = handle->data;
    bool over = signum == SIGUSR1;
    if (over && self->ending)
        return; /* it does so already, or the campaign goes down */
    self->quit = self->ending && !self->hands_over;
    log_info ("signal %d: %s", signum, over ? "hands over and ends" : self->quit ? "ends at once" : "ends");
    self->ending = true;
    self->hands_over = over;
}

int service_begin (struct service *self, struct strata_error *error)
{
    self->mesh.on_request = service_take_request;
    self->mesh.on_publication = on_publication;
    self->mesh.on_peer = on_peer;
    self->mesh.may_take = may_take;
    self->mesh.may_send = may_send;
    self->mesh.commit = commit;
    self->mesh.arg = self;
    uv_timer_init (&self->loop, &self->heartbeat);
    uv_timer_init (&self->loop, &self->housekeeping);
    self->heartbeat.data = self->housekeeping.data = self;
    uv_timer_start (&self->heartbeat, on_heartbeat_timer, 0, HEARTBEAT_MS);
    uv_timer_start (&self->housekeeping, on_housekeeping, 0, HOUSEKEEPING_MS);
    static const int numbers[] = { SIGTERM, SIGINT, SIGUSR1 };
    for (size_t i = 0; i < sizeof (numbers) / sizeof (numbers[0]); i++) {
        uv_signal_init (&self->loop, &self->signals[i]);
        self->signals[i].data = self;
        uv_signal_start (&self->signals[i], on_signal, numbers[i]);
    }
    for (const struct service_timer *t = self->spec->timers; t && t->every_ms; t++)
        self->timers_count++;
    self->timers = calloc (self->timers_count ? self->timers_count : 1, sizeof (*self->timers));
    if (!self->timers)
        return strata_fail (error, "out of memory");
    for (size_t i = 0; i < self->timers_count; i++) {
        struct timer_state *state = &self->timers[i];
        state->service = self;
        state->spec = &self->spec->timers[i];
        uv_timer_init (&self->loop, &state->timer);
        state->timer.data = state;
        uv_timer_start (&state->timer, on_service_timer, state->spec->every_ms, state->spec->every_ms);
    }
    return publish (self, error);
}
