/* service.c - see service.h: a replica's life from its arguments to its clean end. */
#include "mesh/service.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/crash_point.h"
#include "core/log.h"
#include "core/node.h"
#include "mesh/rebuild.h"
#include "mesh/replies.h"
#include "mesh/route.h"
#include "mesh/service_internal.h"
#include "mesh/stream_server.h"
#include "status.pb-c.h"
#include "store/damage.h"
#include "store/stream.h"
#include "stream.pb-c.h"

#define HEARTBEAT_MS 500
#define HOUSEKEEPING_MS 100
#define AGAIN_US 500000
#define SWEEP_US 60000000
#define EVENTS_KEPT 100000
#define EVENT_TIMEOUT_MS 60000
#define REFUSED_EVENT_US 10000000 /* between events on refused peers */

/* ---- what a service may ask ---- */

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

/* Shown before what the service itself says is wrong, and kept apart from it: each ends for a reason of its own. */
static void store_trouble (struct service *self, const char *text)
{
    if (strcmp (text, self->store_trouble) != 0)
        log_warn ("%s", text[0] ? text : "the trouble with the store is over");
    snprintf (self->store_trouble, sizeof (self->store_trouble), "%s", text);
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

static int commit (void *arg)
{
    return service_commit (arg, false);
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

/* ---- from arguments to the end ---- */

static void usage (FILE *out, const struct service_spec *spec)
{
    fprintf (out,
             "strata-%s: %s\n\n"
             "usage: strata-%s --campaign FILE --workspace DIR [--replica N]\n"
             "       strata-%s --campaign FILE --workspace DIR --replay SHARD [--from TURN] [--scratch DIR] [--json]\n\n"
             "One replica of the service; 'strata up' starts it. It ends cleanly on SIGTERM and SIGINT; on SIGUSR1 it hands over\n"
             "to another replica, or to its own next process, and leaves the campaign's jobs alone.\n"
             "  --campaign FILE    the campaign file\n"
             "  --workspace DIR    the campaign's folder, that every node sees\n"
             "  --replica N        which replica this is (default 0)\n"
             "  --replay SHARD     tells this shard's recorded inputs to the service's code again and compares what comes\n"
             "                     out; see 'strata replay --help', which calls this\n"
             "  --rebuild DIR      makes the shard anew in DIR from what the other stores hold, and ends; 'strata repair' does\n"
             "  --help             this text\n"
             "STRATA_LOG=debug|info|warn|error sets what is logged to stderr.\n",
             spec->name,
             spec->about,
             spec->name,
             spec->name);
}

static int parse_arguments (struct service *self, int argc, char **argv, const char **campaign, struct replay_options *replay)
{
    static const struct option options[] = { { "campaign", required_argument, NULL, 'c' },
                                             { "workspace", required_argument, NULL, 'w' },
                                             { "replica", required_argument, NULL, 'r' },
                                             { "replay", required_argument, NULL, 'p' },
                                             { "from", required_argument, NULL, 'f' },
                                             { "scratch", required_argument, NULL, 's' },
                                             { "json", no_argument, NULL, 'j' },
                                             { "rebuild", required_argument, NULL, 'b' },
                                             { "help", no_argument, NULL, 'h' },
                                             { 0 } };
    const char *workspace = NULL;
    long replica = 0;
    char *end = NULL;
    for (int opt; (opt = getopt_long (argc, argv, "h", options, NULL)) != -1;)
        switch (opt) {
        case 'c':
            *campaign = optarg;
            break;
        case 'w':
            workspace = optarg;
            break;
        case 'r':
            replica = strtol (optarg, &end, 10);
            if (*end || replica < 0 || replica > 9999) {
                fprintf (stderr, "strata-%s: --replica %s: 0 to 9999 is allowed\n", self->spec->name, optarg);
                return 2;
            }
            break;
        case 'p':
            replay->shard = optarg;
            break;
        case 'f':
            replay->from = optarg;
            break;
        case 's':
            replay->scratch = optarg;
            break;
        case 'j':
            replay->json = true;
            break;
        case 'b':
            self->rebuild = optarg;
            break;
        case 'h':
            usage (stdout, self->spec);
            return -1;
        default:
            usage (stderr, self->spec);
            return 2;
        }
    if (!*campaign || !workspace || optind < argc) {
        usage (stderr, self->spec);
        return 2;
    }
    if (!realpath (workspace, self->workspace)) {
        fprintf (stderr, "strata-%s: workspace %s: %s\n", self->spec->name, workspace, strerror (errno));
        return 2;
    }
    snprintf (self->replica, sizeof (self->replica), "%.40s-%ld", self->spec->name, replica);
    self->number = (unsigned)replica;
    return 0;
}

static int make_folder (const char *workspace, const char *name, struct strata_error *error)
{
    char path[4200];
    snprintf (path, sizeof (path), "%s/%s", workspace, name);
    if (mkdir (path, 0777) < 0 && errno != EEXIST)
        return strata_fail (error, "folder %s can't be made: %s", path, strerror (errno));
    return 0;
}

/* One process a replica name: two would answer each other's requests. */
static int lock_name (struct service *self, struct strata_error *error)
{
    char path[4300];
    snprintf (path, sizeof (path), "%s/cards/%s.lock", self->workspace, self->replica);
    self->lock_fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (self->lock_fd < 0)
        return strata_fail (error, "%s: %s", path, strerror (errno));
    if (flock (self->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return strata_fail (error, "%s runs already (%s is locked); give another --replica", self->replica, path);
    return 0;
}

static void find_bin_dir (struct service *self)
{
    char exe[4096];
    ssize_t n = readlink ("/proc/self/exe", exe, sizeof (exe) - 1);
    if (n <= 0)
        return;
    exe[n] = '\0';
    char *slash = strrchr (exe, '/');
    if (slash)
        *slash = '\0';
    snprintf (self->bin_dir, sizeof (self->bin_dir), "%s", exe);
}

static int set_up (struct service *self, struct strata_error *error)
{
    char node[REPLICA_NAME_MAX];
    node_name (node, sizeof (node));
    if (make_folder (self->workspace, "cards", error) < 0 || make_folder (self->workspace, "shards", error) < 0
        || lock_name (self, error) < 0)
        return -1;
    self->started_us = self->now_us = mesh_now_us ();
    if (strcmp (self->campaign->mesh.transport, "tcp") == 0)
        self->mesh.tcp_interface = self->campaign->mesh.interface;
    if (mesh_init (&self->mesh, &self->loop, self->workspace, self->replica, self->spec->name, node, error) < 0)
        return -1;
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

static void close_walked (uv_handle_t *handle, void *arg)
{
    if (!uv_is_closing (handle))
        uv_close (handle, NULL);
}

static void tear_down (struct service *self)
{
    service_end_core (self);
    if (self->shard && !self->held)
        service_commit (self, self->active);
    if (self->mesh.open)
        card_remove (self->workspace, self->replica);
    announce_fini (self);
    mesh_fini (&self->mesh);
    uv_walk (&self->loop, close_walked, NULL);
    uv_run (&self->loop, UV_RUN_DEFAULT);
    uv_loop_close (&self->loop);
    journal_close (&self->journal);
    shard_close (&self->shard);
    if (self->lock_fd >= 0)
        close (self->lock_fd);
    free (self->timers);
    free (self->metrics);
    campaign_free (&self->campaign);
}

int service_main (const struct service_spec *spec, int argc, char **argv)
{
    static struct service service; /* large; one a process */
    struct service *self = &service;
    struct campaign_mistakes mistakes = { 0 };
    struct strata_error error = { "" };
    struct replay_options replay = { 0 };
    const char *campaign = NULL;
    *self = (struct service){ .spec = spec, .lock_fd = -1 };
    int rc = parse_arguments (self, argc, argv, &campaign, &replay);
    if (rc)
        return rc < 0 ? 0 : rc;
    log_init (self->replica);
    signal (SIGPIPE, SIG_IGN);
    self->campaign = campaign_load (campaign, &mistakes);
    for (size_t i = 0; !self->campaign && i < mistakes.count; i++)
        fprintf (stderr, "%s\n", mistakes.lines[i]);
    campaign_mistakes_fini (&mistakes);
    if (!self->campaign)
        return 2;
    find_bin_dir (self);
    if (replay.shard)
        return replay_main (self, &replay);
    if (self->rebuild) {
        rc = rebuild_run (spec, self->campaign, self->workspace, self->rebuild);
        campaign_free (&self->campaign);
        return rc;
    }
    uv_loop_init (&self->loop);
    if (set_up (self, &error) < 0) {
        log_error ("%s", error.text);
        self->code = 1;
    } else {
        log_info ("up, pid %d, workspace %s", (int)getpid (), self->workspace);
        uv_run (&self->loop, UV_RUN_DEFAULT);
        log_info ("down with code %d", self->code);
    }
    tear_down (self);
    return self->code;
}
