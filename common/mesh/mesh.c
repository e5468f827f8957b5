/* mesh.c - see mesh.h: sockets, the turn, the outbox, peers. Calls are in calls.c. */
#include "mesh/mesh.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/crash_point.h"
#include "core/log.h"
#include "core/node.h"
#include "mesh/mesh_internal.h"
#include "mesh/route.h"

#define MESH_TICK_MS 100
#define CARDS_EVERY_TICKS 3  /* folders on network file systems tell nobody when they change: look */
#define RECONNECT_EVERY_TICKS 20 /* peers that could not be connected to, or refused us */

#define SEND_BUFFER (1 << 20) /* of a socket; the system gives as much of it as it allows */
#define CARDS_SETTLE_US 3000000

int64_t mesh_now_us (void)
{
    struct timespec ts;
    clock_gettime (CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* ---- the outbox ---- */

static struct mesh_out *out_new (struct mesh_outbox *box)
{
    struct mesh_out *out = calloc (1, sizeof (*out));
    if (!out) {
        log_error ("out of memory");
        abort ();
    }
    *(box->first ? box->tail : &box->first) = out;
    box->tail = &out->next;
    return out;
}

void mesh_send_reply (struct mesh *self, zframe_t *identity, uint32_t type, zmsg_t **message_p)
{
    struct mesh_out *out = out_new (&self->out);
    out->type = type;
    out->message = *message_p;
    *message_p = NULL;
    zframe_t *copy = zframe_dup (identity);
    zmsg_prepend (out->message, &copy);
    out->socket = self->router;
}

static zmsg_t *publication (struct mesh *self, const char *topic, uint32_t type, const ProtobufCMessage *body)
{
    Strata__Header header = mesh_header (self, type);
    zmsg_t *msg = wire_pack (&header, body);
    zmsg_pushstr (msg, topic);
    return msg;
}

void mesh_send_publication (struct mesh *self, const char *topic, uint32_t type, const ProtobufCMessage *body, zframe_t **blobs,
                            size_t blobs_count)
{
    if (!self->pub)
        return;
    struct mesh_out *out = out_new (&self->publications);
    out->message = publication (self, topic, type, body);
    out->type = type;
    out->socket = self->pub;
    for (size_t i = 0; i < blobs_count; i++)
        zmsg_append (out->message, &blobs[i]);
}

void mesh_send_heartbeat (struct mesh *self, const ProtobufCMessage *body)
{
    zmsg_t *msg = publication (self, "hb", STRATA__MESSAGE_TYPE__TYPE_HEARTBEAT, body);
    if (zmsg_send (&msg, self->pub) < 0)
        zmsg_destroy (&msg);
}

static void most (size_t *highest, size_t value)
{
    if (value > *highest)
        *highest = value;
}

/* What is put into the box meanwhile leaves with the next flush. */
static size_t flush_box (struct mesh *self, struct mesh_outbox *box)
{
    struct mesh_out *out = box->first;
    size_t count = 0;
    box->first = NULL;
    for (; out; count++) {
        struct mesh_out *next = out->next;
        if (out->call_id)
            mesh_call_send (self, out->call_id);
        else {
            crash_point ("send.%s", wire_type_name (out->type));
            if (zmsg_send (&out->message, out->socket) < 0)
                zmsg_destroy (&out->message); /* the peer is gone or far behind: it asks again */
            crash_point ("sent.%s", wire_type_name (out->type));
        }
        free (out);
        out = next;
    }
    return count;
}

/* A record's consumers work on it while its producer reads that it is kept. */
static void flush (struct mesh *self)
{
    size_t publications = flush_box (self, &self->publications);
    most (&self->out_most, publications + flush_box (self, &self->out));
}

static void drop_box (struct mesh_outbox *box)
{
    while (box->first) {
        struct mesh_out *next = box->first->next;
        zmsg_destroy (&box->first->message);
        free (box->first);
        box->first = next;
    }
}

void mesh_queue_call (struct mesh *self, uint64_t id)
{
    out_new (&self->out)->call_id = id;
}

Strata__Header mesh_header (struct mesh *self, uint32_t type)
{
    Strata__Header header = STRATA__HEADER__INIT;
    header.version = WIRE_VERSION;
    header.type = type;
    header.sender = self->name;
    header.boot = self->boot;
    header.epoch = self->card.epoch;
    header.shard = self->card.shard;
    return header;
}

/* ---- epochs ---- */

static struct mesh_epoch *epoch_find (struct mesh *self, const char *replica, uint32_t number)
{
    char shard[sizeof (self->epochs->shard)];
    const char *dash = strrchr (replica, '-');
    snprintf (shard, sizeof (shard), "%.*s-%" PRIu32, (int)(dash ? dash - replica : (long)strlen (replica)), replica, number);
    for (size_t i = 0; i < self->epochs_count; i++)
        if (strcmp (self->epochs[i].shard, shard) == 0)
            return &self->epochs[i];
    struct mesh_epoch *grown = realloc (self->epochs, (self->epochs_count + 1) * sizeof (*grown));
    if (!grown)
        return NULL;
    self->epochs = grown;
    struct mesh_epoch *fresh = &grown[self->epochs_count++];
    *fresh = (struct mesh_epoch){ .epoch = 0 };
    memcpy (fresh->shard, shard, sizeof (shard));
    return fresh;
}

static void epoch_note (struct mesh_epoch *seen, const char *replica, uint64_t boot, uint64_t epoch)
{
    snprintf (seen->replica, sizeof (seen->replica), "%s", replica);
    seen->boot = boot;
    seen->epoch = epoch;
}

bool mesh_epoch_is_current (struct mesh *self, const Strata__Header *header)
{
    if (header->epoch == 0 || strlen (header->sender) >= REPLICA_NAME_MAX)
        return true;
    struct mesh_epoch *seen = epoch_find (self, header->sender, header->shard);
    if (seen && header->epoch < seen->epoch) {
        self->stale++;
        return false;
    }
    if (seen && header->epoch > seen->epoch)
        epoch_note (seen, header->sender, header->boot, header->epoch);
    return true;
}

/* Epochs only rise, but when a shard's store was lost or put back from a copy: then the replica that was seen in the
 * highest one lives again (one process a name) and tells a lower one. */
static void epoch_of_card (struct mesh *self, const struct card *card)
{
    struct mesh_epoch *seen = card->active && card->epoch ? epoch_find (self, card->replica, card->shard) : NULL;
    if (!seen)
        return;
    bool again = strcmp (seen->replica, card->replica) == 0 && seen->boot != card->boot;
    if (card->epoch > seen->epoch || again)
        epoch_note (seen, card->replica, card->boot, card->epoch);
}

/* ---- the turn ---- */

static bool readable (zsock_t *socket)
{
    return socket && (zsock_events (socket) & ZMQ_POLLIN);
}

/* One message of socket, if one is there; NULL, and *empty, else. Sockets don't wait (rcvtimeo 0): asking each time whether
 * something is there first would cost a system call a message. */
static zmsg_t *receive (struct mesh *self, zsock_t *socket, bool *empty)
{
    zmsg_t *frames = socket && !*empty ? zmsg_recv (socket) : NULL;
    if (frames)
        self->turn_bytes += zmsg_content_size (frames);
    else
        *empty = true;
    return frames;
}

static void refuse_raw (struct mesh *self, zframe_t *identity, const struct wire_message *message,
                        Strata__RefusalCode code, const char *reason)
{
    Strata__Header header = mesh_header (self, STRATA__MESSAGE_TYPE__TYPE_REFUSAL);
    Strata__Refusal refusal = STRATA__REFUSAL__INIT;
    refusal.code = code;
    refusal.reason = (char *)reason;
    header.request = message->header ? message->header->request : 0;
    zmsg_t *msg = wire_pack (&header, &refusal.base);
    mesh_send_reply (self, identity, header.type, &msg);
    self->refused++;
}

static void take_request (struct mesh *self, zmsg_t *frames)
{
    struct strata_error error;
    struct wire_message message;
    Strata__RefusalCode code;
    zframe_t *identity = zmsg_pop (frames);
    if (wire_parse (&message, &frames, &code, &error) < 0) {
        log_warn ("refused a message: %s", error.text);
        refuse_raw (self, identity, &message, code, error.text);
        wire_fini (&message);
    } else if (message.header->deadline_us && message.header->deadline_us < mesh_now_us ()) {
        self->late++;
        wire_fini (&message); /* its sender no longer waits */
    } else
        self->on_request (self, identity, &message, self->arg);
    zframe_destroy (&identity);
}

static void take_publication (struct mesh *self, zmsg_t *frames)
{
    struct strata_error error;
    struct wire_message message;
    Strata__RefusalCode code;
    char *topic = zmsg_popstr (frames);
    if (!topic || wire_parse (&message, &frames, &code, &error) < 0) {
        log_warn ("dropped a publication: %s", topic ? error.text : "no topic");
        self->refused++;
        if (topic)
            wire_fini (&message);
        else
            zmsg_destroy (&frames);
    } else if (!mesh_epoch_is_current (self, message.header)) {
        log_info ("dropped a publication of %s: its epoch %" PRIu64 " is over", message.header->sender, message.header->epoch);
        wire_fini (&message);
    } else {
        self->on_publication (self, topic, &message, self->arg);
        wire_fini (&message);
    }
    free (topic);
}

/* Takes in one message from each socket in turn, so that none starves another. False: nothing was there. */
static bool take_in (struct mesh *self)
{
    bool any = false;
    zmsg_t *frames = receive (self, self->router, &self->router_empty);
    if (frames) {
        take_request (self, frames);
        any = true;
    }
    frames = receive (self, self->sub, &self->sub_empty);
    if (frames) {
        take_publication (self, frames);
        any = true;
    }
    for (size_t i = 0; i < self->peers_count; i++)
        if ((frames = receive (self, self->peers[i].dealer, &self->peers[i].empty))) {
            mesh_take_reply (self, frames);
            any = true;
        }
    return any;
}

static bool any_readable (struct mesh *self)
{
    bool any = readable (self->router) || readable (self->sub);
    for (size_t i = 0; !any && i < self->peers_count; i++)
        any = readable (self->peers[i].dealer);
    return any;
}

static void on_idle (uv_idle_t *handle)
{
}

static void on_prepare (uv_prepare_t *handle)
{
    struct mesh *self = handle->data;
    bool more = false;
    if (!self->may_take || self->may_take (self->arg)) {
        int n = 0;
        self->turn_bytes = 0;
        self->router_empty = self->sub_empty = false;
        for (size_t i = 0; i < self->peers_count; i++)
            self->peers[i].empty = false;
        while ((more = take_in (self)) && ++n < MESH_TURN_MESSAGES && self->turn_bytes < MESH_TURN_BYTES)
            ;
        most (&self->turn_messages_most, (size_t)n);
    }
    most (&self->turn_bytes_most, self->turn_bytes);
    if (!self->commit || self->commit (self->arg) == 0)
        flush (self);
    /* Sending and committing take time and may swallow edges: look once more before the loop sleeps. */
    if (!more && (!self->may_take || self->may_take (self->arg)))
        more = self->out.first || self->publications.first || any_readable (self);
    if (more || self->stay_awake)
        uv_idle_start (&self->idle, on_idle);
    else
        uv_idle_stop (&self->idle);
}

static void on_wake (uv_poll_t *handle, int status, int events)
{
    /* The loop is awake: the next prepare looks at every socket. */
}

static int watch (struct mesh *self, uv_poll_t *poll, zsock_t *socket)
{
    int rc = uv_poll_init (self->loop, poll, (int)zsock_fd (socket));
    poll->data = self;
    return rc < 0 ? rc : uv_poll_start (poll, UV_READABLE, on_wake);
}

/* ---- peers ---- */

static zsock_t *new_dealer (void)
{
    zsock_t *dealer = zsock_new (ZMQ_DEALER);
    if (!dealer)
        return NULL;
    zsock_set_sndtimeo (dealer, 0);
    zsock_set_rcvtimeo (dealer, 0);
    zsock_set_linger (dealer, 0);
    zsock_set_maxmsgsize (dealer, WIRE_MAX_MESSAGE);
    zsock_set_sndbuf (dealer, SEND_BUFFER);
    zsock_set_reconnect_ivl (dealer, 50);
    zsock_set_reconnect_ivl_max (dealer, 500);
    return dealer;
}

/* One that ended, and took its card away, is asked only when there is no other: it may come back. */
static bool better (const struct mesh_peer *a, const struct mesh_peer *b)
{
    if (a->gone != b->gone)
        return b->gone;
    if (a->card.active != b->card.active)
        return a->card.active;
    if (a->card.retiring != b->card.retiring)
        return b->card.retiring;
    return a->card.epoch > b->card.epoch;
}

void mesh_shard_name (const char *replica, uint32_t shard, char name[REPLICA_NAME_MAX])
{
    const char *dash = strrchr (replica, '-');
    if (!dash || strncmp (replica, "stage-", 6) == 0)
        snprintf (name, REPLICA_NAME_MAX, "%s", replica);
    else
        snprintf (name, REPLICA_NAME_MAX, "%.*s#%" PRIu32, (int)(dash - replica), replica, shard);
}

struct mesh_peer *mesh_peer_find (struct mesh *self, const char *name)
{
    struct mesh_peer *best = NULL;
    const char *number = strchr (name, '#');
    for (size_t i = 0; i < self->peers_count; i++) {
        struct mesh_peer *peer = &self->peers[i];
        char shard[REPLICA_NAME_MAX];
        if (strcmp (peer->card.replica, name) == 0)
            return peer;
        if (number) {
            mesh_shard_name (peer->card.replica, peer->card.shard, shard);
            if (strcmp (shard, name) == 0 && peer->card.active && (!best || better (peer, best)))
                best = peer;
            continue;
        }
        /* Of a service's replicas the active one with the highest epoch. */
        if (strcmp (peer->card.service, name) == 0 && (!best || better (peer, best)))
            best = peer;
    }
    return best;
}

static void on_poll_closed (uv_handle_t *handle)
{
    free (handle);
}

static void peer_disconnect (struct mesh_peer *peer)
{
    if (peer->poll) {
        uv_poll_stop (peer->poll);
        uv_close ((uv_handle_t *)peer->poll, on_poll_closed);
        peer->poll = NULL;
    }
    secure_link_free (&peer->link);
    zsock_destroy (&peer->dealer);
}

/* Said once, not at each try. */
static void peer_trouble (struct mesh_peer *peer, const char *text)
{
    if (text[0] && strcmp (peer->trouble, text) != 0)
        log_warn ("%s", text);
    snprintf (peer->trouble, sizeof (peer->trouble), "%s", text);
}

static void peer_connect (struct mesh *self, struct mesh_peer *peer)
{
    char endpoint[SECURE_ENDPOINT_MAX];
    struct strata_error error = { "a peer's socket can't be made or watched" };
    uv_poll_t *poll = calloc (1, sizeof (*poll));
    peer->dealer = new_dealer ();
    if (poll && peer->dealer && secure_endpoint (&peer->card, false, endpoint, &error) == 0
        && secure_link_new (&peer->link, self->loop, peer->dealer, endpoint, &error) == 0
        && secure_connect (self, peer->dealer, &peer->card, endpoint, &error) == 0
        && watch (self, poll, peer->dealer) == 0) {
        peer->poll = poll;
        return;
    }
    peer_trouble (peer, error.text);
    free (poll);
    peer_disconnect (peer);
}

static void peer_subscribe (struct mesh *self, struct mesh_peer *peer)
{
    char endpoint[SECURE_ENDPOINT_MAX];
    struct strata_error error;
    if (!self->sub)
        return;
    if (peer->sub_endpoint[0])
        zsock_disconnect (self->sub, "%s", peer->sub_endpoint);
    peer->sub_endpoint[0] = '\0';
    if (secure_endpoint (&peer->card, true, endpoint, &error) == 0
        && secure_connect (self, self->sub, &peer->card, endpoint, &error) == 0)
        snprintf (peer->sub_endpoint, sizeof (peer->sub_endpoint), "%s", endpoint);
    else
        log_debug ("no publications: %s", error.text); /* the dealer's sentence stands in the log */
}

/* libzmq gives up after a refusal; and what was wrong with a card or the keys may have been put right. */
static void reconnect (struct mesh *self)
{
    for (size_t i = 0; i < self->peers_count; i++) {
        struct mesh_peer *peer = &self->peers[i];
        if (peer->gone || (peer->dealer && !secure_link_dead (peer->link)))
            continue;
        bool refused = peer->dealer != NULL;
        if (refused) {
            char text[sizeof (peer->trouble)];
            snprintf (text, sizeof (text), "%s: %s", peer->card.replica, secure_link_trouble (peer->link));
            peer_trouble (peer, text);
        }
        peer_disconnect (peer);
        peer_connect (self, peer);
        if (!refused && peer->dealer)
            peer->trouble[0] = '\0';
        if (!peer->sub_endpoint[0])
            peer_subscribe (self, peer);
    }
}

/* A card that is new, or of a restarted replica. */
static void peer_update (struct mesh *self, const struct card *card)
{
    struct mesh_peer *peer = NULL;
    for (size_t i = 0; i < self->peers_count && !peer; i++)
        if (strcmp (self->peers[i].card.replica, card->replica) == 0)
            peer = &self->peers[i];
    bool fresh = !peer || peer->card.boot != card->boot;
    if (!peer) {
        struct mesh_peer *grown = realloc (self->peers, (self->peers_count + 1) * sizeof (*grown));
        if (!grown)
            return;
        self->peers = grown;
        peer = &grown[self->peers_count++];
        *peer = (struct mesh_peer){ .dealer = NULL };
    }
    bool moved = strcmp (peer->card.rpc, card->rpc) != 0 || strcmp (peer->card.pub, card->pub) != 0
                 || strcmp (peer->card.tcp_rpc, card->tcp_rpc) != 0 || strcmp (peer->card.tcp_pub, card->tcp_pub) != 0
                 || strcmp (peer->card.key, card->key) != 0;
    bool changed = fresh || peer->gone || peer->card.active != card->active || peer->card.epoch != card->epoch;
    peer->card = *card;
    peer->gone = false;
    epoch_of_card (self, card);
    if (moved)
        peer_subscribe (self, peer);
    /* A restarted peer gets a new socket: what lay in the old one's pipe is sent again by its calls. */
    if (fresh || moved) {
        peer_disconnect (peer);
        peer->trouble[0] = '\0';
        peer_connect (self, peer);
    }
    if (changed) {
        mesh_calls_resend (self, peer);
        if (self->on_peer)
            self->on_peer (self, card, self->arg);
    }
}

static bool has_card (const struct card *cards, size_t count, const char *replica)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp (cards[i].replica, replica) == 0)
            return true;
    return false;
}

/* A folder's time stamp moves in steps of milliseconds (of seconds on some network file systems): a card that is written
 * in the step in which the folder was looked at does not change it. So a stamp is believed only when it is old. */
void mesh_look_at_cards (struct mesh *self)
{
    uint64_t stamp = cards_stamp (self->workspace);
    int64_t age_us = mesh_now_us () - (int64_t)(stamp / 1000);
    if (stamp == self->cards_seen)
        return;
    struct card *cards;
    size_t count = cards_read (self->workspace, &cards);
    for (size_t i = 0; i < count; i++)
        if (strcmp (cards[i].replica, self->card.replica) != 0)
            peer_update (self, &cards[i]);
    for (size_t i = 0; i < self->peers_count; i++)
        self->peers[i].gone = !has_card (cards, count, self->peers[i].card.replica);
    free (cards);
    self->cards_seen = age_us > CARDS_SETTLE_US ? stamp : 0;
}

size_t mesh_peers (struct mesh *self, const struct card **cards, size_t max)
{
    for (size_t i = 0; i < self->peers_count && i < max; i++)
        cards[i] = &self->peers[i].card;
    return self->peers_count;
}

void mesh_subscribe (struct mesh *self, const char *topic)
{
    if (self->sub)
        zsock_set_subscribe (self->sub, topic);
}

static void on_tick (uv_timer_t *timer)
{
    struct mesh *self = timer->data;
    static const unsigned every = CARDS_EVERY_TICKS;
    if (self->may_send && !self->may_send (self->arg))
        return;
    if (self->ticks++ % every == 0)
        mesh_look_at_cards (self);
    if (self->ticks % RECONNECT_EVERY_TICKS == 0)
        reconnect (self);
    /* What was under way on a connection that broke is lost, and its next try may be seconds away. */
    for (size_t i = 0; i < self->peers_count; i++)
        if (secure_link_again (self->peers[i].link))
            mesh_calls_resend (self, &self->peers[i]);
    mesh_calls_tick (self, mesh_now_us ());
}

/* ---- open and close ---- */

static zsock_t *bind_socket (int type, const char *endpoint, struct strata_error *error)
{
    zsock_t *socket = zsock_new (type);
    if (!socket) {
        strata_fail (error, "a ZeroMQ socket can't be made: %s", zmq_strerror (errno));
        return NULL;
    }
    zsock_set_maxmsgsize (socket, WIRE_MAX_MESSAGE);
    zsock_set_sndbuf (socket, SEND_BUFFER);
    zsock_set_sndtimeo (socket, 0);
    zsock_set_rcvtimeo (socket, 0);
    zsock_set_linger (socket, 200);
    if (type == ZMQ_ROUTER)
        zsock_set_sndhwm (socket, 10000);
    if (zsock_bind (socket, "%s", endpoint) < 0) {
        strata_fail (error, "socket %s can't be bound: %s", endpoint, zmq_strerror (errno));
        zsock_destroy (&socket);
    }
    return socket;
}

static int bind_replica (struct mesh *self, const char *service, const char *node, struct strata_error *error)
{
    char dir[160];
    struct card *card = &self->card;
    if (cards_socket_dir (self->workspace, dir, sizeof (dir), error) < 0)
        return -1;
    snprintf (card->replica, sizeof (card->replica), "%.63s", self->name);
    snprintf (card->service, sizeof (card->service), "%s", service);
    snprintf (card->node, sizeof (card->node), "%s", node);
    int n = snprintf (card->rpc, sizeof (card->rpc), "ipc://%s/%s.rpc", dir, self->name);
    int m = snprintf (card->pub, sizeof (card->pub), "ipc://%s/%s.pub", dir, self->name);
    if (n > 106 || m > 106)
        return strata_fail (error, "socket path %s is longer than 107 bytes; set XDG_RUNTIME_DIR to a short folder", card->rpc);
    card->pid = (uint32_t)getpid ();
    card->boot = self->boot;
    card->started_us = mesh_now_us ();
    if (!(self->router = bind_socket (ZMQ_ROUTER, card->rpc, error)) || !(self->pub = bind_socket (ZMQ_PUB, card->pub, error)))
        return -1;
    self->sub = zsock_new (ZMQ_SUB);
    if (!self->sub || watch (self, &self->router_poll, self->router) < 0 || watch (self, &self->sub_poll, self->sub) < 0)
        return strata_fail (error, "a ZeroMQ socket can't be made: %s", zmq_strerror (errno));
    zsock_set_linger (self->sub, 0);
    zsock_set_rcvtimeo (self->sub, 0);
    zsock_set_maxmsgsize (self->sub, WIRE_MAX_MESSAGE);
    if (self->tcp_interface && !(self->secure = secure_new (self, self->tcp_interface, error)))
        return -1;
    return 0;
}

int mesh_init (struct mesh *self, uv_loop_t *loop, const char *workspace, const char *name, const char *service,
               const char *node, struct strata_error *error)
{
    zsys_handler_set (NULL); /* signals are the owner's */
    self->loop = loop;
    snprintf (self->workspace, sizeof (self->workspace), "%s", workspace);
    snprintf (self->name, sizeof (self->name), "%s", name);
    node_name (self->node, sizeof (self->node));
    if (getrandom (&self->boot, sizeof (self->boot), 0) != sizeof (self->boot))
        return strata_fail (error, "no random numbers from the system: %s", strerror (errno));
    self->boot |= 1;
    self->next_request = 1;
    self->open = true;
    uv_prepare_init (loop, &self->prepare);
    uv_idle_init (loop, &self->idle);
    uv_timer_init (loop, &self->tick);
    self->prepare.data = self->idle.data = self->tick.data = self;
    if (service && bind_replica (self, service, node, error) < 0)
        return -1;
    uv_prepare_start (&self->prepare, on_prepare);
    uv_timer_start (&self->tick, on_tick, 0, MESH_TICK_MS);
    return 0;
}

int mesh_publish_card (struct mesh *self, struct strata_error *error)
{
    return card_write (self->workspace, &self->card, error);
}

static void close_handle (uv_handle_t *handle)
{
    if (handle->type != UV_UNKNOWN_HANDLE && !uv_is_closing (handle))
        uv_close (handle, NULL);
}

void mesh_fini (struct mesh *self)
{
    if (!self->open)
        return;
    self->open = false;
    for (size_t i = 0; i < self->peers_count; i++)
        peer_disconnect (&self->peers[i]);
    free (self->peers);
    free (self->epochs);
    self->peers = NULL;
    self->epochs = NULL;
    self->epochs_count = 0;
    self->peers_count = 0;
    mesh_calls_fini (self);
    mesh_route_fini (self);
    drop_box (&self->publications);
    drop_box (&self->out);
    close_handle ((uv_handle_t *)&self->prepare);
    close_handle ((uv_handle_t *)&self->idle);
    close_handle ((uv_handle_t *)&self->tick);
    close_handle ((uv_handle_t *)&self->router_poll);
    close_handle ((uv_handle_t *)&self->sub_poll);
    secure_stop (self->secure);
    zsock_destroy (&self->router);
    zsock_destroy (&self->pub);
    zsock_destroy (&self->sub);
    secure_free (&self->secure); /* after the sockets whose peers it checks */
}
