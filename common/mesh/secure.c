/* secure.c - see secure.h */
#include "mesh/secure.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "mesh/keys.h"
#include "mesh/mesh.h"
#include "mesh/zap.h"

#define LOOK_MS 500           /* between looks at keys/allowed */
#define ACCEPTED_MAX 1024     /* connections whose address is remembered until their handshake is over */
#define ADDRESS_MAX 64
/* A network that is cut tells nobody. A connection over which nothing comes for so long is given up, and so is one that is
 * being made: TCP by itself doubles its pauses, and would find a healed network as late as it was cut long. */
#define SILENCE_MS 3000
#define CONNECT_MS 1000
#define BEAT_MS 1000

struct accepted {
    uint32_t fd;
    char address[ADDRESS_MAX];
};

/* A bound socket and what its monitor told. */
struct side {
    struct secure *secure;
    zsock_t *socket;
    char *endpoint;           /* in the card */
    char bound[SECURE_ENDPOINT_MAX];
    struct zwatch *monitor;
    struct accepted *accepted;
    size_t accepted_count;
    bool failed;              /* a handshake has failed; the next end of a connection says whose */
};

struct secure {
    struct mesh *mesh;
    char interface[104];
    struct keys_allowed allowed;
    struct zap zap;
    struct side sides[2];
    uv_timer_t *look;
    bool rebind;              /* the endpoints are to be bound anew */
    uint64_t refused, unfinished;
    char last[320];
};

/* ---- refused peers ---- */

static void count_refused (void *arg, const char *address, const char *reason)
{
    struct secure *self = arg;
    self->refused++;
    snprintf (self->last, sizeof (self->last), "%.63s: %.240s", address[0] ? address : "unknown address", reason);
    log_debug ("refused %s", self->last);
}

uint64_t secure_refused (const struct secure *self, const char **last)
{
    if (last)
        *last = self ? self->last : "";
    return self ? self->refused : 0;
}

uint64_t secure_unfinished (const struct secure *self)
{
    return self ? self->unfinished : 0;
}

/* Best effort: libzmq tells the descriptor, which may be closed (or another connection's) by the time we look. What ZAP
 * tells of refused keys is exact. */
static void address_of (uint32_t fd, char address[ADDRESS_MAX])
{
    struct sockaddr_storage name;
    socklen_t size = sizeof (name);
    address[0] = '\0';
    if (getpeername ((int)fd, (struct sockaddr *)&name, &size) == 0)
        getnameinfo ((struct sockaddr *)&name, size, address, ADDRESS_MAX, NULL, 0, NI_NUMERICHOST);
}

static void remember (struct side *side, uint32_t fd)
{
    size_t i = 0;
    while (i < side->accepted_count && side->accepted[i].fd != fd)
        i++;
    if (i == ACCEPTED_MAX) /* the oldest makes room */
        memmove (side->accepted, side->accepted + 1, --i * sizeof (*side->accepted));
    side->accepted[i].fd = fd;
    address_of (fd, side->accepted[i].address);
    if (i >= side->accepted_count)
        side->accepted_count = i + 1;
}

static void forget (struct side *side, uint32_t fd, char address[ADDRESS_MAX])
{
    address[0] = '\0';
    for (size_t i = 0; i < side->accepted_count; i++)
        if (side->accepted[i].fd == fd) {
            memcpy (address, side->accepted[i].address, ADDRESS_MAX);
            side->accepted[i] = side->accepted[--side->accepted_count];
            return;
        }
}

static bool event_of (zmsg_t *message, unsigned *event, uint32_t *value, bool *tcp)
{
    zframe_t *numbers = zmsg_first (message), *endpoint = zmsg_next (message);
    uint16_t number;
    if (!numbers || zframe_size (numbers) != sizeof (number) + sizeof (*value) || !endpoint)
        return false;
    memcpy (&number, zframe_data (numbers), sizeof (number));
    memcpy (value, zframe_data (numbers) + sizeof (number), sizeof (*value));
    *event = number;
    *tcp = zframe_size (endpoint) > 6 && memcmp (zframe_data (endpoint), "tcp://", 6) == 0;
    return true;
}

/* Peers that never get as far as showing an allowed or unknown key: without CURVE, or with another server's key. The
 * failure doesn't say whose it is; the end of that connection, which libzmq tells next, does. */
static void on_server_event (void *arg, zsock_t *socket, zmsg_t *message)
{
    struct side *side = arg;
    char address[ADDRESS_MAX];
    unsigned event;
    uint32_t value;
    bool tcp;
    if (event_of (message, &event, &value, &tcp) && tcp) {
        if (event == ZMQ_EVENT_ACCEPTED)
            remember (side, value);
        else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL)
            side->failed = true;
        else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL)
            side->secure->unfinished++;
        else if (event == ZMQ_EVENT_DISCONNECTED) {
            forget (side, value, address);
            if (side->failed)
                count_refused (side->secure, address, "no CURVE, or not with the key of this campaign's services");
            side->failed = false;
        }
    }
    zmsg_destroy (&message);
}

/* ---- binding ---- */

/* 0.0.0.0 and [::] are no places to connect to: this node's name is. */
static void advertise (struct side *side)
{
    const struct card *card = &side->secure->mesh->card;
    const char *port = strrchr (side->bound, ':');
    if (port && (strncmp (side->bound, "tcp://0.0.0.0:", 14) == 0 || strncmp (side->bound, "tcp://[::]:", 11) == 0))
        snprintf (side->endpoint, sizeof (card->tcp_rpc), "tcp://%.63s%.10s", card->node, port);
    else
        snprintf (side->endpoint, sizeof (card->tcp_rpc), "%.127s", side->bound);
}

static int bind_side (struct side *side, struct strata_error *error)
{
    char wanted[SECURE_ENDPOINT_MAX];
    void *socket = zsock_resolve (side->socket);
    int mechanism = ZMQ_NULL;
    size_t size = sizeof (mechanism);
    if (zmq_getsockopt (socket, ZMQ_MECHANISM, &mechanism, &size) < 0 || mechanism != ZMQ_CURVE)
        return strata_fail (error, "a TCP socket without CURVE is not bound; is this libzmq built with it?");
    snprintf (wanted, sizeof (wanted), "tcp://%s:*", side->secure->interface);
    if (zmq_bind (socket, wanted) < 0)
        return strata_fail (error,
                            "%s can't be bound: %s; mesh.interface in the campaign file must be an interface or address of "
                            "this node",
                            wanted,
                            zmq_strerror (errno));
    size = sizeof (side->bound);
    if (zmq_getsockopt (socket, ZMQ_LAST_ENDPOINT, side->bound, &size) < 0)
        return strata_fail (error, "where %s was bound is not known: %s", wanted, zmq_strerror (errno));
    advertise (side);
    return 0;
}

static int open_side (struct side *side, const struct keys *keys, struct strata_error *error)
{
    struct mesh *mesh = side->secure->mesh;
    side->accepted = calloc (ACCEPTED_MAX, sizeof (*side->accepted));
    if (side->accepted)
        side->monitor = zwatch_monitor (mesh->loop,
                                        side->socket,
                                        ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL
                                            | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_DISCONNECTED,
                                        on_server_event,
                                        side);
    if (!side->monitor)
        return strata_fail (error, "out of memory for a TCP socket");
    zsock_set_zap_domain (side->socket, ZAP_DOMAIN);
    zsock_set_curve_server (side->socket, 1);
    zsock_set_curve_publickey (side->socket, keys->public_key);
    zsock_set_curve_secretkey (side->socket, keys->secret_key);
    zsock_set_ipv6 (side->socket, strchr (side->secure->interface, ':') != NULL);
    return bind_side (side, error);
}

static void bind_anew (struct secure *self)
{
    struct strata_error error = { "" };
    int rc = 0;
    for (size_t i = 0; i < 2 && rc == 0; i++) {
        struct side *side = &self->sides[i];
        if (side->bound[0] && zmq_unbind (zsock_resolve (side->socket), side->bound) < 0)
            log_warn ("%s can't be unbound: %s", side->bound, zmq_strerror (errno));
        side->bound[0] = side->endpoint[0] = '\0';
        rc = bind_side (side, &error);
    }
    self->rebind = rc < 0 || mesh_publish_card (self->mesh, &error) < 0;
    if (self->rebind)
        log_error ("%s", error.text);
}

static void on_look (uv_timer_t *timer)
{
    struct secure *self = timer->data;
    if (keys_allowed_look (self->mesh->workspace, &self->allowed)) {
        log_info ("keys/allowed has changed: %zu keys; every TCP peer is checked again", self->allowed.count);
        self->rebind = true;
    }
    if (self->rebind)
        bind_anew (self);
}

struct secure *secure_new (struct mesh *mesh, const char *interface, struct strata_error *error)
{
    struct keys keys;
    struct secure *self = calloc (1, sizeof (*self));
    uv_timer_t *look = calloc (1, sizeof (*look));
    if (!self || !look) {
        free (self);
        free (look);
        strata_fail (error, "out of memory for TCP");
        return NULL;
    }
    self->mesh = mesh;
    self->look = look;
    uv_timer_init (mesh->loop, look);
    look->data = self;
    snprintf (self->interface, sizeof (self->interface), "%.100s", interface);
    self->sides[0] = (struct side){ .secure = self, .socket = mesh->router, .endpoint = mesh->card.tcp_rpc };
    self->sides[1] = (struct side){ .secure = self, .socket = mesh->pub, .endpoint = mesh->card.tcp_pub };
    int rc = keys_load (mesh->workspace, KEYS_SERVICE, &keys, error);
    if (rc == 0) {
        keys_allowed_look (mesh->workspace, &self->allowed);
        memcpy (mesh->card.key, keys.public_key, sizeof (keys.public_key));
        rc = zap_init (&self->zap, mesh->loop, &self->allowed, count_refused, self, error);
    }
    for (size_t i = 0; i < 2 && rc == 0; i++)
        rc = open_side (&self->sides[i], &keys, error);
    keys_wipe (&keys);
    if (rc < 0) {
        /* The endpoints first: none outlives its authenticator. */
        for (size_t i = 0; i < 2; i++)
            if (self->sides[i].bound[0])
                zmq_unbind (zsock_resolve (self->sides[i].socket), self->sides[i].bound);
        secure_stop (self);
        secure_free (&self);
        return NULL;
    }
    uv_timer_start (look, on_look, LOOK_MS, LOOK_MS);
    return self;
}

static void on_timer_closed (uv_handle_t *handle)
{
    free (handle);
}

void secure_stop (struct secure *self)
{
    if (!self)
        return;
    for (size_t i = 0; i < 2; i++)
        zwatch_free (&self->sides[i].monitor);
    if (self->look) {
        uv_timer_stop (self->look);
        uv_close ((uv_handle_t *)self->look, on_timer_closed);
        self->look = NULL;
    }
}

void secure_free (struct secure **self_p)
{
    struct secure *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    zap_fini (&self->zap);
    keys_allowed_fini (&self->allowed);
    for (size_t i = 0; i < 2; i++)
        free (self->sides[i].accepted);
    free (self);
}

/* ---- connecting ---- */

/* An ipc endpoint whose folder only this user can enter: nobody else can have put a socket there. */
static bool is_own_ipc (const char *endpoint, struct strata_error *error, const struct card *card)
{
    char folder[SECURE_ENDPOINT_MAX] = "";
    struct stat st;
    const char *path = strncmp (endpoint, "ipc:///", 7) == 0 ? endpoint + 6 : NULL;
    const char *slash = path ? strrchr (path, '/') : NULL;
    if (slash && (size_t)(slash - path) < sizeof (folder))
        memcpy (folder, path, (size_t)(slash - path));
    if (!folder[0]) {
        strata_fail (error,
                     "the card of %s names '%.120s', which is no Unix socket; it is not connected to",
                     card->replica,
                     endpoint);
        return false;
    }
    if (lstat (folder, &st) < 0) {
        strata_fail (error,
                     "%s listens on node %s at %s, which is not there on this one; other nodes need mesh.transport: tcp",
                     card->replica,
                     card->node,
                     endpoint);
        return false;
    }
    if (!S_ISDIR (st.st_mode) || st.st_uid != getuid () || (st.st_mode & 077)) {
        strata_fail (error,
                     "the card of %s names a socket in %s, which is not a folder of this user alone; it is not connected to",
                     card->replica,
                     folder);
        return false;
    }
    return true;
}

int secure_endpoint (const struct card *card, bool pub, char endpoint[SECURE_ENDPOINT_MAX], struct strata_error *error)
{
    char node[REPLICA_NAME_MAX] = "node";
    const char *force = getenv ("STRATA_FORCE_TCP"), *tcp = pub ? card->tcp_pub : card->tcp_rpc;
    bool forced = force && strcmp (force, "1") == 0;
    gethostname (node, sizeof (node) - 1);
    endpoint[0] = '\0';
    if (forced || (tcp[0] && strcmp (card->node, node) != 0)) {
        if (!tcp[0])
            return strata_fail (error,
                                "%s listens on no TCP port (mesh.transport is ipc), and STRATA_FORCE_TCP allows no other",
                                card->replica);
        if (strncmp (tcp, "tcp://", 6) != 0)
            return strata_fail (error,
                                "the card of %s names '%.120s' where a tcp:// endpoint belongs; it is not connected to",
                                card->replica,
                                tcp);
        snprintf (endpoint, SECURE_ENDPOINT_MAX, "%s", tcp);
        return 0;
    }
    const char *ipc = pub ? card->pub : card->rpc;
    if (!is_own_ipc (ipc, error, card))
        return -1;
    snprintf (endpoint, SECURE_ENDPOINT_MAX, "%s", ipc);
    return 0;
}

int secure_connect (const struct mesh *mesh, zsock_t *socket, const struct card *card, const char *endpoint,
                    struct strata_error *error)
{
    zsock_set_curve_server (socket, 0); /* also: no mechanism, for a SUB that was connected over TCP before */
    if (strncmp (endpoint, "tcp://", 6) == 0) {
        struct keys keys;
        if (keys_load (mesh->workspace, mesh->card.replica[0] ? KEYS_SERVICE : KEYS_CLIENT, &keys, error) < 0)
            return -1;
        if (strcmp (keys.service_key, card->key) != 0) {
            keys_wipe (&keys);
            errno = EACCES;
            return strata_fail (error,
                                "refused: the card of %s shows another server key than keys/service.cert: it is forged, "
                                "or %s runs with older keys",
                                card->replica,
                                card->replica);
        }
        zsock_set_curve_publickey (socket, keys.public_key);
        zsock_set_curve_secretkey (socket, keys.secret_key);
        zsock_set_curve_serverkey (socket, keys.service_key);
        zsock_set_ipv6 (socket, strchr (endpoint, '[') != NULL);
        zsock_set_heartbeat_ivl (socket, BEAT_MS);
        zsock_set_heartbeat_timeout (socket, SILENCE_MS);
        zsock_set_connect_timeout (socket, CONNECT_MS);
        zsock_set_handshake_ivl (socket, SILENCE_MS);
        keys_wipe (&keys);
        if (zsock_mechanism (socket) != ZMQ_CURVE)
            return strata_fail (error, "a TCP connection without CURVE is not made; is this libzmq built with it?");
    }
    if (zsock_connect (socket, "%s", endpoint) < 0)
        return strata_fail (error, "%s at %s can't be connected to: %s", card->replica, endpoint, zmq_strerror (errno));
    return 0;
}

/* ---- what a client knows of its handshake ---- */

struct secure_link {
    struct zwatch *monitor;
    const char *trouble; /* NULL: no handshake has ended yet */
    bool dead;
    bool connected, again; /* again: connected anew, and nobody has asked since */
};

static void on_client_event (void *arg, zsock_t *socket, zmsg_t *message)
{
    struct secure_link *self = arg;
    unsigned event;
    uint32_t value;
    bool tcp;
    if (event_of (message, &event, &value, &tcp) && tcp) {
        if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
            self->trouble = "";
            self->again = self->connected;
            self->connected = true;
        } else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) {
            self->trouble = "it refused this process, whose key isn't in keys/allowed of the workspace";
            self->dead = true; /* libzmq tries again after lost connections, not after a refusal */
        } else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL) {
            self->trouble = "who listens there doesn't have the campaign's keys";
            self->dead = true;
        } else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL && !self->dead)
            self->trouble = "it ends the connection before keys are agreed on: the keys in keys/ aren't those it runs "
                            "with, or who listens there isn't a service of this campaign";
    }
    zmsg_destroy (&message);
}

int secure_link_new (struct secure_link **link, uv_loop_t *loop, zsock_t *dealer, const char *endpoint,
                     struct strata_error *error)
{
    *link = NULL;
    if (strncmp (endpoint, "tcp://", 6) != 0)
        return 0;
    struct secure_link *self = calloc (1, sizeof (*self));
    if (self)
        self->monitor = zwatch_monitor (loop,
                                        dealer,
                                        ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH
                                            | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL,
                                        on_client_event,
                                        self);
    if (!self || !self->monitor) {
        free (self);
        return strata_fail (error, "the connection to %s can't be watched: out of memory or sockets", endpoint);
    }
    *link = self;
    return 0;
}

void secure_link_free (struct secure_link **self_p)
{
    struct secure_link *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    zwatch_free (&self->monitor);
    free (self);
}

const char *secure_link_trouble (const struct secure_link *self)
{
    return self ? self->trouble : NULL;
}

bool secure_link_again (struct secure_link *self)
{
    bool again = self && self->again;
    if (again)
        self->again = false;
    return again;
}

bool secure_link_dead (const struct secure_link *self)
{
    return self && self->dead;
}
