/* test_security.c - who gets in over TCP and who does not: a real replica in its own process, real sockets and keys.
 *
 * The replica is this program again (--replica), the shell alone: what every service shares.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "mesh/cards.h"
#include "mesh/client.h"
#include "mesh/keys.h"
#include "mesh/mesh.h"
#include "mesh/wire.h"
#include "strata.h"
#include "stream.pb-c.h"
#include "workspace.h"

#define SOON_MS 20000 /* a limit, never a wait */

#define CAMPAIGN CAMPAIGN_HEAD ("security-test") CAMPAIGN_JOBS CAMPAIGN_FEEDBACK

static pid_t replica;

static const struct service_spec spec = { .name = "stage", .about = "the shell alone", .has_shard = true };

/* ---- the workspace and the replica ---- */

static void in_workspace (char path[256], const char *name)
{
    snprintf (path, 256, "%s/%s", workspace, name);
}

/* Each test has a workspace with keys of its own. */
static int set_up (void **state)
{
    struct strata_error error;
    workspace_make (CAMPAIGN "mesh: {transport: tcp}\n");
    if (keys_make (workspace, &error) < 0)
        fail_msg ("%s", error.text);
    setenv ("STRATA_FORCE_TCP", "1", 1);
    return 0;
}

static int end (void)
{
    int status = 0;
    if (replica > 0) {
        kill (replica, SIGTERM);
        waitpid (replica, &status, 0);
    }
    replica = 0;
    return status;
}

static int tear_down (void **state)
{
    end ();
    return workspace_remove (state);
}

/* The card of the active replica. */
static struct card the_card (void)
{
    struct card *cards, card = { .pid = 0 };
    for (int i = 0; i < SOON_MS / 50 && !card.pid; i++) {
        size_t count = cards_read (workspace, &cards);
        for (size_t n = 0; n < count; n++)
            if (strcmp (cards[n].replica, "stage-0") == 0 && cards[n].active)
                card = cards[n];
        free (cards);
        usleep (50000);
    }
    assert_true (card.pid > 0);
    return card;
}

/* The replica has seen that the list is another one. */
static void wait_for_other_ports (struct card *card)
{
    struct card now = *card;
    for (int i = 0; i < SOON_MS / 50 && strcmp (now.tcp_rpc, card->tcp_rpc) == 0; i++) {
        usleep (50000);
        now = the_card ();
    }
    assert_string_not_equal (now.tcp_rpc, card->tcp_rpc);
    *card = now;
}

/* exec: ZeroMQ's threads of this process don't go with a fork. */
static void fork_replica (void)
{
    replica = fork ();
    assert_true (replica >= 0);
    if (replica == 0) {
        process_prepare (NULL);
        execl ("/proc/self/exe", "test_security", "--replica", campaign_file, workspace, (char *)NULL);
        _exit (4);
    }
}

static struct card start (void)
{
    fork_replica ();
    return the_card ();
}

static void must_append (struct strata_client *c, uint64_t n)
{
    struct strata_error error = { "" };
    bool duplicate;
    if (strata_append (c, "a", "p", n, "record", 6, &duplicate, &error) < 0)
        fail_msg ("append %llu: %s", (unsigned long long)n, error.text);
    assert_false (duplicate);
}

/* The record doesn't get there, and the sentence has `text`. */
static void must_be_refused (struct strata_client *c, uint64_t n, const char *text)
{
    struct strata_error error = { "" };
    int64_t before = mesh_now_us ();
    assert_int_equal (strata_append (c, "a", "p", n, "record", 6, NULL, &error), -1);
    assert_int_equal (errno, ETIMEDOUT);
    assert_true (mesh_now_us () - before < 10 * 1000000);
    if (!strstr (error.text, text))
        fail_msg ("'%s' is not in: %s", text, error.text);
}

/* Over the Unix socket, whoever is let in over TCP. */
static uint64_t last_sequence (void)
{
    struct strata_error error = { "" };
    uint64_t sequence = 0;
    unsetenv ("STRATA_FORCE_TCP");
    struct strata_client *c = client_open (SOON_MS);
    if (strata_last_sequence (c, "a", "p", &sequence, &error) < 0)
        fail_msg ("%s", error.text);
    strata_close (&c);
    setenv ("STRATA_FORCE_TCP", "1", 1);
    return sequence;
}

/* Waits until the replica's heartbeats (from its Unix socket) say that at least `least` peers were refused. all: also
 * count those who left by themselves: libzmq without CURVE sees as soon as the replica that they do not fit. */
static void wait_for_count (double least, bool all)
{
    double seen = 0;
    zsock_t *heartbeats = heartbeats_of ("stage-0");
    for (int i = 0; i < SOON_MS / 500 && seen < least; i++) {
        Strata__Heartbeat *hb = heartbeat_next (heartbeats);
        seen = heartbeat_figure (hb, "peers_refused") + (all ? heartbeat_figure (hb, "handshakes_unfinished") : 0);
        strata__heartbeat__free_unpacked (hb, NULL);
    }
    zsock_destroy (&heartbeats);
    assert_true (seen >= least);
}

static void wait_for_refused (double least)
{
    wait_for_count (least, false);
}

/* ---- raw peers ---- */

static zmsg_t *raw_append (void)
{
    Strata__StreamAppend body = STRATA__STREAM_APPEND__INIT;
    Strata__Header header = STRATA__HEADER__INIT;
    uint32_t size = 1;
    header.version = WIRE_VERSION;
    header.type = STRATA__MESSAGE_TYPE__TYPE_STREAM_APPEND;
    header.sender = "raw";
    header.boot = 7;
    header.request = 1;
    body.stream = "raw";
    body.sizes = &size;
    body.n_sizes = 1;
    zmsg_t *msg = wire_pack (&header, &body.base);
    zmsg_addmem (msg, "x", 1);
    return msg;
}

/* A socket of somebody else's making with these keys (NULL: in clear). A DEALER sends a request, a SUB wants all. */
static zsock_t *raw (int type, const char *endpoint, const struct keys *keys)
{
    zsock_t *socket = zsock_new (type);
    assert_non_null (socket);
    if (keys) {
        zsock_set_curve_publickey (socket, keys->public_key);
        zsock_set_curve_secretkey (socket, keys->secret_key);
        zsock_set_curve_serverkey (socket, keys->service_key);
    }
    zsock_set_linger (socket, 0);
    if (type == ZMQ_SUB)
        zsock_set_subscribe (socket, "");
    assert_int_equal (zsock_connect (socket, "%s", endpoint), 0);
    zmsg_t *message = raw_append ();
    if (type == ZMQ_DEALER)
        assert_int_equal (zmsg_send (&message, socket), 0);
    zmsg_destroy (&message);
    return socket;
}

/* A TCP connection that greets as a ZMTP 3.0 peer of this mechanism (ZeroMQ RFC 23: signature, version, 20 bytes of
 * mechanism, as-server, filler) and then waits: the replica is the one to end it. */
static int greet (const char *endpoint, const char *mechanism)
{
    uint8_t greeting[64] = { 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0 };
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
    snprintf ((char *)greeting + 12, 20, "%s", mechanism);
    address.sin_port = htons ((uint16_t)atoi (strrchr (endpoint, ':') + 1));
    int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true (fd >= 0);
    assert_int_equal (connect (fd, (struct sockaddr *)&address, sizeof (address)), 0);
    assert_int_equal (send (fd, greeting, sizeof (greeting), MSG_NOSIGNAL), sizeof (greeting));
    return fd;
}

static bool gets_something (zsock_t *socket, int wait_ms)
{
    zsock_set_rcvtimeo (socket, wait_ms);
    zmsg_t *message = zmsg_recv (socket);
    bool got = message != NULL;
    zmsg_destroy (&message);
    return got;
}

static void new_pair (char public_key[KEY_TEXT], char secret_key[KEY_TEXT])
{
    assert_int_equal (zmq_curve_keypair (public_key, secret_key), 0);
}

static struct keys client_keys (void)
{
    struct keys keys;
    struct strata_error error;
    if (keys_load (workspace, KEYS_CLIENT, &keys, &error) < 0)
        fail_msg ("%s", error.text);
    return keys;
}

/* ---- tests ---- */

static void records_go_over_tcp_and_are_read_back (void **state)
{
    struct strata_error error = { "" };
    struct card card = start ();
    assert_memory_equal (card.tcp_rpc, "tcp://127.0.0.1:", 16);
    assert_memory_equal (card.tcp_pub, "tcp://127.0.0.1:", 16);
    /* Nothing but TCP can carry this. */
    assert_int_equal (unlink (card.rpc + strlen ("ipc://")), 0);
    struct strata_client *c = client_open (SOON_MS);
    for (uint64_t n = 1; n <= 50; n++)
        must_append (c, n);
    uint64_t last = 0;
    assert_int_equal (strata_last_sequence (c, "a", "p", &last, &error), 0);
    assert_int_equal (last, 50);
    strata_close (&c);
    assert_int_equal (end (), 0);
}

static void with_transport_ipc_nothing_listens_on_tcp (void **state)
{
    workspace_write ("c.yaml", CAMPAIGN "mesh: {transport: ipc}\n");
    struct card card = start ();
    assert_string_equal (card.tcp_rpc, "");
    assert_string_equal (card.tcp_pub, "");
    assert_string_equal (card.key, "");
    struct strata_client *c = client_open (1000);
    must_be_refused (c, 1, "STRATA_FORCE_TCP");
    strata_close (&c);
    assert_int_equal (last_sequence (), 0);
}

static void a_key_taken_from_the_list_ends_an_open_connection_and_one_put_back_works_again (void **state)
{
    char allowed[256], aside[256];
    struct card card = start ();
    in_workspace (allowed, "keys/allowed/client.cert");
    in_workspace (aside, "keys/client.aside");
    struct strata_client *c = client_open (SOON_MS);
    must_append (c, 1);
    assert_int_equal (rename (allowed, aside), 0);
    wait_for_other_ports (&card);
    strata_set_timeout (c, 2000);
    must_be_refused (c, 2, "keys/allowed");
    wait_for_refused (1);
    assert_int_equal (last_sequence (), 1);
    struct strata_client *other = client_open (2000);
    must_be_refused (other, 2, "keys/allowed");
    assert_int_equal (rename (aside, allowed), 0);
    strata_set_timeout (c, SOON_MS);
    strata_set_timeout (other, SOON_MS);
    must_append (c, 2);
    must_append (other, 3);
    strata_close (&c);
    strata_close (&other);
}

static void a_key_that_is_not_in_the_list_is_refused_and_counted (void **state)
{
    char text[512];
    struct keys keys;
    start ();
    new_pair (keys.public_key, keys.secret_key);
    snprintf (text,
              sizeof (text),
              "curve\n    public-key = \"%s\"\n    secret-key = \"%s\"\n",
              keys.public_key,
              keys.secret_key);
    workspace_write ("keys/client.cert_secret", text);
    struct strata_client *c = client_open (1500);
    must_be_refused (c, 1, "key isn't in keys/allowed");
    strata_close (&c);
    wait_for_refused (1);
    assert_int_equal (last_sequence (), 0);
}

/* On both sockets of a replica; then somebody with good keys, to show that it would have been heard. */
static void must_be_shut_out (const struct keys *keys)
{
    struct card card = start ();
    struct keys good = client_keys ();
    zsock_t *dealer = raw (ZMQ_DEALER, card.tcp_rpc, keys);
    wait_for_count (1, !keys);
    zsock_t *sub = raw (ZMQ_SUB, card.tcp_pub, keys);
    assert_false (gets_something (dealer, 1000));
    assert_false (gets_something (sub, 1000)); /* a heartbeat comes each 500 ms */
    wait_for_count (2, !keys);
    zsock_destroy (&dealer);
    zsock_destroy (&sub);
    dealer = raw (ZMQ_DEALER, card.tcp_rpc, &good);
    sub = raw (ZMQ_SUB, card.tcp_pub, &good);
    assert_true (gets_something (dealer, SOON_MS));
    assert_true (gets_something (sub, SOON_MS));
    zsock_destroy (&dealer);
    zsock_destroy (&sub);
}

static void who_has_no_curve_is_shut_out_and_counted (void **state)
{
    must_be_shut_out (NULL);
}

static void who_has_another_server_s_key_is_shut_out_and_counted (void **state)
{
    char secret[KEY_TEXT];
    struct keys keys = client_keys ();
    new_pair (keys.service_key, secret);
    must_be_shut_out (&keys);
}

static void who_has_an_unknown_key_is_shut_out_and_counted (void **state)
{
    struct keys keys = client_keys ();
    new_pair (keys.public_key, keys.secret_key);
    must_be_shut_out (&keys);
}

static void plain_is_shut_out_and_counted (void **state)
{
    struct card card = start ();
    zsock_t *socket = zsock_new (ZMQ_DEALER);
    zsock_set_plain_username (socket, "client");
    zsock_set_plain_password (socket, "secret");
    zsock_set_linger (socket, 0);
    assert_int_equal (zsock_connect (socket, "%s", card.tcp_rpc), 0);
    zmsg_t *message = raw_append ();
    assert_int_equal (zmsg_send (&message, socket), 0);
    wait_for_count (1, true);
    assert_false (gets_something (socket, 1000));
    zsock_destroy (&socket);
}

static void a_mechanism_other_than_curve_is_refused_counted_and_cut_off (void **state)
{
    static const char *const mechanisms[] = { "NULL", "PLAIN", "GSSAPI", "NONSENSE" };
    struct card card = start ();
    for (size_t i = 0; i < sizeof (mechanisms) / sizeof (mechanisms[0]); i++) {
        char bytes[256];
        struct timeval limit = { .tv_sec = SOON_MS / 1000 };
        int fd = greet (i % 2 ? card.tcp_pub : card.tcp_rpc, mechanisms[i]);
        setsockopt (fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof (limit));
        ssize_t n;
        while ((n = recv (fd, bytes, sizeof (bytes), 0)) > 0)
            ; /* its greeting, then the end */
        assert_true (n == 0 || errno == ECONNRESET);
        close (fd);
        wait_for_refused ((double)i + 1);
    }
}

static int find_refused_peer (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    bool *found = arg;
    *found = *found || (memmem (record, size, "peer-refused", 12) && memmem (record, size, "127.0.0.1: its key", 18));
    return 0;
}

static void refused_peers_are_told_in_an_event_with_their_address (void **state)
{
    struct card card = start ();
    struct strata_error error = { "" };
    bool found = false;
    struct keys keys = client_keys ();
    new_pair (keys.public_key, keys.secret_key);
    zsock_t *stranger = raw (ZMQ_DEALER, card.tcp_rpc, &keys);
    wait_for_refused (1);
    zsock_destroy (&stranger);
    struct strata_client *c = client_open (SOON_MS);
    for (int i = 0; i < SOON_MS / 100 && !found; i++) {
        if (client_read (c, "stage", "events", 1, find_refused_peer, &found, NULL, &error) < 0)
            fail_msg ("%s", error.text);
        usleep (100000);
    }
    strata_close (&c);
    assert_true (found);
}

/* ---- forged cards: there is no replica, and somebody who writes cards ---- */

struct forger {
    zsock_t *router;
    struct card card;
};

static void forger_init (struct forger *self, bool curve, const char *key)
{
    char public_key[KEY_TEXT], secret_key[KEY_TEXT];
    new_pair (public_key, secret_key);
    self->card = (struct card){ .pid = (uint32_t)getpid (), .boot = 5, .active = true, .epoch = 1 };
    snprintf (self->card.replica, sizeof (self->card.replica), "stage-0");
    snprintf (self->card.service, sizeof (self->card.service), "stage");
    gethostname (self->card.node, sizeof (self->card.node) - 1);
    self->router = zsock_new (ZMQ_ROUTER);
    if (curve) {
        zsock_set_curve_server (self->router, 1);
        zsock_set_curve_publickey (self->router, public_key);
        zsock_set_curve_secretkey (self->router, secret_key);
    }
    int port = zsock_bind (self->router, "tcp://127.0.0.1:*");
    assert_true (port > 0);
    zsock_set_rcvtimeo (self->router, 0);
    snprintf (self->card.tcp_rpc, sizeof (self->card.tcp_rpc), "tcp://127.0.0.1:%d", port);
    snprintf (self->card.key, sizeof (self->card.key), "%s", key ? key : public_key);
}

static void must_not_reach_the_forger (struct forger *self, const char *text)
{
    struct strata_error error;
    if (card_write (workspace, &self->card, &error) < 0)
        fail_msg ("%s", error.text);
    struct strata_client *c = client_open (1200);
    must_be_refused (c, 1, text);
    strata_close (&c);
    assert_null (zmsg_recv (self->router));
    zsock_destroy (&self->router);
}

static void a_card_with_another_server_key_is_refused (void **state)
{
    struct forger forger;
    char folder[256];
    in_workspace (folder, "cards");
    forger_init (&forger, true, NULL);
    must_not_reach_the_forger (&forger, "refused: the card of stage-0 shows another server key");
}

static void a_forger_with_the_services_public_key_gets_no_message (void **state)
{
    struct forger forger;
    struct keys keys = client_keys ();
    forger_init (&forger, true, keys.service_key);
    must_not_reach_the_forger (&forger, "keys");
    forger_init (&forger, false, keys.service_key);
    must_not_reach_the_forger (&forger, "keys");
}

static void a_card_that_names_tcp_where_a_unix_socket_belongs_is_refused (void **state)
{
    struct forger forger;
    struct keys keys = client_keys ();
    unsetenv ("STRATA_FORCE_TCP");
    forger_init (&forger, false, keys.service_key);
    snprintf (forger.card.rpc, sizeof (forger.card.rpc), "%s", forger.card.tcp_rpc);
    forger.card.tcp_rpc[0] = '\0';
    must_not_reach_the_forger (&forger, "no Unix socket");
}

static void a_unix_socket_in_a_folder_that_others_can_enter_is_refused (void **state)
{
    struct forger forger;
    char folder[200];
    unsetenv ("STRATA_FORCE_TCP");
    forger_init (&forger, false, "");
    snprintf (folder, sizeof (folder), "%s/open", workspace);
    assert_int_equal (mkdir (folder, 0755), 0);
    snprintf (forger.card.rpc, sizeof (forger.card.rpc), "ipc://%.100s/s.rpc", folder);
    assert_true (zsock_bind (forger.router, "%s", forger.card.rpc) >= 0);
    must_not_reach_the_forger (&forger, "not a folder of this user alone");
}

/* ---- key files ---- */

static mode_t mode_of (const char *name)
{
    char path[256];
    struct stat st;
    in_workspace (path, name);
    assert_int_equal (stat (path, &st), 0);
    return st.st_mode & 07777;
}

static void secrets_are_0600_in_a_0700_folder_and_keys_are_never_overwritten (void **state)
{
    struct strata_error error = { "" };
    struct keys before = client_keys (), after;
    assert_int_equal (mode_of ("keys"), 0700);
    assert_int_equal (mode_of ("keys/allowed"), 0700);
    assert_int_equal (mode_of ("keys/service.cert_secret"), 0600);
    assert_int_equal (mode_of ("keys/client.cert_secret"), 0600);
    assert_int_equal (keys_make (workspace, &error), -1);
    assert_int_equal (errno, EEXIST);
    assert_non_null (strstr (error.text, "keys are there already"));
    after = client_keys ();
    assert_memory_equal (&before, &after, sizeof (before));
}

static void a_secret_that_others_can_read_is_refused (void **state)
{
    static const char *const names[] = { "keys/client.cert_secret", "keys" };
    for (size_t i = 0; i < 2; i++) {
        struct strata_error error = { "" };
        struct keys keys;
        char path[256];
        mode_t mode = mode_of (names[i]);
        in_workspace (path, names[i]);
        assert_int_equal (chmod (path, mode | 040), 0);
        assert_int_equal (keys_load (workspace, KEYS_CLIENT, &keys, &error), -1);
        assert_non_null (strstr (error.text, "open to others"));
        assert_int_equal (chmod (path, mode), 0);
    }
}

static void broken_key_files_allow_nobody_and_are_named (void **state)
{
    static const char *const texts[] = { "", "curve\n    public-key = \"short\"\n", "\xff\xfe\x01 = = \"\n\n\t#",
                                         "curve\n    public-key = \"~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~\"\n" };
    for (size_t i = 0; i < sizeof (texts) / sizeof (texts[0]); i++) {
        struct strata_error error = { "" };
        struct keys_allowed allowed = { .keys = NULL };
        struct keys keys;
        workspace_write ("keys/allowed/client.cert", texts[i]);
        assert_true (keys_allowed_look (workspace, &allowed));
        assert_int_equal (allowed.count, 1); /* service.cert */
        assert_false (keys_allowed_look (workspace, &allowed));
        keys_allowed_fini (&allowed);
        workspace_write ("keys/service.cert", texts[i]);
        assert_int_equal (keys_load (workspace, KEYS_CLIENT, &keys, &error), -1);
        assert_non_null (strstr (error.text, "service.cert"));
    }
}

static void a_replica_without_keys_does_not_listen (void **state)
{
    char path[256], aside[256];
    int status;
    in_workspace (path, "keys");
    in_workspace (aside, "keys.aside");
    assert_int_equal (rename (path, aside), 0);
    fork_replica ();
    assert_int_equal (waitpid (replica, &status, 0), replica);
    replica = 0;
    assert_true (WIFEXITED (status) && WEXITSTATUS (status) == 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown (name, set_up, tear_down)

int main (int argc, char **argv)
{
    if (argc == 4 && strcmp (argv[1], "--replica") == 0) {
        char *arguments[] = { "stage", "--campaign", argv[2], "--workspace", argv[3], NULL };
        return service_main (&spec, 5, arguments);
    }
    const struct CMUnitTest tests[] = {
        TEST (records_go_over_tcp_and_are_read_back),
        TEST (with_transport_ipc_nothing_listens_on_tcp),
        TEST (a_key_taken_from_the_list_ends_an_open_connection_and_one_put_back_works_again),
        TEST (a_key_that_is_not_in_the_list_is_refused_and_counted),
        TEST (who_has_no_curve_is_shut_out_and_counted),
        TEST (who_has_another_server_s_key_is_shut_out_and_counted),
        TEST (who_has_an_unknown_key_is_shut_out_and_counted),
        TEST (plain_is_shut_out_and_counted),
        TEST (a_mechanism_other_than_curve_is_refused_counted_and_cut_off),
        TEST (refused_peers_are_told_in_an_event_with_their_address),
        TEST (a_card_with_another_server_key_is_refused),
        TEST (a_forger_with_the_services_public_key_gets_no_message),
        TEST (a_card_that_names_tcp_where_a_unix_socket_belongs_is_refused),
        TEST (a_unix_socket_in_a_folder_that_others_can_enter_is_refused),
        TEST (secrets_are_0600_in_a_0700_folder_and_keys_are_never_overwritten),
        TEST (a_secret_that_others_can_read_is_refused),
        TEST (broken_key_files_allow_nobody_and_are_named),
        TEST (a_replica_without_keys_does_not_listen),
    };
    return cmocka_run_group_tests_name ("security", tests, NULL, NULL);
}
