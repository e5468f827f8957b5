/* test_mesh.c - a real replica in a process of its own, real sockets, real kills.
 *
 * The replica under test is the shell alone (streams and queues, no handlers of its own): what every service shares.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "mesh/cards.h"
#include "mesh/client.h"
#include "mesh/mesh.h"
#include "mesh/wire.h"
#include "strata.h"
#include "stage.pb-c.h"
#include "status.pb-c.h"
#include "stream.pb-c.h"
#include "workspace.h"

/* Refuses a new key with "not now", after a change to the shard; says yes to one it has seen. */
static void on_delete (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    const Strata__ObjectDelete *delete = (const Strata__ObjectDelete *)body;
    Strata__ObjectDeleteReply reply = STRATA__OBJECT_DELETE_REPLY__INIT;
    if (shard_has (service_shard (service), delete->key, strlen (delete->key)))
        request_reply (request, &reply.base);
    else {
        shard_put_u64 (service_shard (service), delete->key, 1);
        request_refuse (request, STRATA__REFUSAL_CODE__REFUSED_UNAVAILABLE, "not now, but soon");
    }
}

static const struct service_handler handlers[] = {
    { STRATA__MESSAGE_TYPE__TYPE_OBJECT_DELETE, &strata__object_delete__descriptor, true, on_delete },
    { 0 },
};

static const struct service_spec spec = { .name = "stage", .about = "the shell alone", .has_shard = true, .handlers = handlers };
static const struct service_spec standby_spec = { .name = "schedule", .about = "the shell alone", .has_shard = true };

static int set_up (void **state)
{
    workspace_make (CAMPAIGN_HEAD ("mesh-test") CAMPAIGN_JOBS CAMPAIGN_FEEDBACK "stage: {queue_mb: 1}\n");
    return 0;
}

static void append (struct strata_client *c, const char *stream, uint64_t n, bool expect_duplicate)
{
    struct strata_error error = { "" };
    bool duplicate;
    if (strata_append (c, stream, "p", n, "record", 6, &duplicate, &error) < 0)
        fail_msg ("append %llu: %s", (unsigned long long)n, error.text);
    assert_int_equal (duplicate, expect_duplicate);
}

static uint64_t stream_end (struct strata_client *c, const char *peer, const char *stream)
{
    struct strata_error error = { "" };
    Strata__StreamRead read = STRATA__STREAM_READ__INIT;
    ProtobufCMessage *reply;
    read.stream = (char *)stream;
    if (client_request (c,
                        peer,
                        STRATA__MESSAGE_TYPE__TYPE_STREAM_READ,
                        &read.base,
                        NULL,
                        0,
                        &strata__stream_read_reply__descriptor,
                        &reply,
                        NULL,
                        NULL,
                        &error)
        < 0)
        fail_msg ("read: %s", error.text);
    uint64_t next = ((Strata__StreamReadReply *)reply)->next;
    protobuf_c_message_free_unpacked (reply, NULL);
    return next;
}

static void a_client_s_records_survive_kill_9_of_the_replica_and_stand_once (void **state)
{
    pid_t pid = replica_start (&spec, 0);
    struct strata_client *c = client_open (20000);
    for (uint64_t n = 1; n <= 20; n++)
        append (c, "a", n, false);
    process_end (pid, SIGKILL);
    pid = replica_start (&spec, 0);
    append (c, "a", 20, true);
    for (uint64_t n = 21; n <= 30; n++)
        append (c, "a", n, false);
    assert_int_equal (stream_end (c, "stage", "a"), 31);
    strata_close (&c);
    assert_int_equal (process_end (pid, SIGTERM), 0);
}

/* The replica is killed again and again while a client appends: the client library rides through. */
static void appends_go_through_restarts_without_an_error (void **state)
{
    pid_t pid = replica_start (&spec, 0);
    pid_t killer = fork ();
    if (killer == 0) {
        struct strata_error error;
        struct strata_client *c = strata_open (workspace, "appender", 30000, &error);
        for (uint64_t n = 1; c && n <= 300; n++)
            if (strata_append (c, "b", "p", n, "record", 6, NULL, &error) < 0)
                _exit (1);
        strata_close (&c);
        _exit (0);
    }
    for (int i = 0; i < 4; i++) {
        usleep (150000);
        process_end (pid, SIGKILL);
        pid = replica_start (&spec, 0);
    }
    int status;
    assert_int_equal (waitpid (killer, &status, 0), killer);
    assert_int_equal (status, 0);
    struct strata_client *c = client_open (20000);
    assert_int_equal (stream_end (c, "stage", "b"), 301);
    strata_close (&c);
    process_end (pid, SIGTERM);
}

static void a_full_stream_makes_the_client_wait_and_then_say_so (void **state)
{
    pid_t pid = replica_start (&spec, 0);
    struct strata_error error = { "" };
    struct strata_client *c = client_open (1500);
    static char large[700 * 1024];
    assert_int_equal (strata_append (c, "full", "p", 1, large, sizeof (large), NULL, &error), 0);
    assert_int_equal (strata_append (c, "full", "p", 2, large, sizeof (large), NULL, &error), -1);
    assert_int_equal (errno, ENOSPC);
    assert_non_null (strstr (error.text, "stream full is full"));
    strata_close (&c);
    process_end (pid, SIGTERM);
}

static void a_client_without_a_mesh_is_told_in_time (void **state)
{
    struct strata_error error = { "" };
    struct strata_client *c = client_open (700);
    assert_int_equal (strata_append (c, "a", "p", 99, "x", 1, NULL, &error), -1);
    assert_int_equal (errno, ETIMEDOUT);
    strata_close (&c);
}

/* ---- raw messages, as a broken or hostile peer would send them ---- */

static zsock_t *raw (void)
{
    struct card *cards;
    zsock_t *socket = NULL;
    for (int i = 0; i < 100 && !socket; i++) {
        size_t count = cards_read (workspace, &cards);
        for (size_t n = 0; n < count; n++)
            if (strcmp (cards[n].replica, "stage-0") == 0 && cards[n].active)
                socket = zsock_new_dealer (cards[n].rpc);
        free (cards);
        usleep (50000);
    }
    assert_non_null (socket);
    zsock_set_rcvtimeo (socket, 5000);
    return socket;
}

static Strata__Header raw_header (uint32_t type, uint64_t request)
{
    Strata__Header header = STRATA__HEADER__INIT;
    header.version = WIRE_VERSION;
    header.type = type;
    header.sender = "raw";
    header.boot = 7;
    header.request = request;
    return header;
}

/* The code of the refusal that comes back, or -1 for a reply. */
static int exchange (zsock_t *socket, zmsg_t **msg, ProtobufCMessage **reply, const ProtobufCMessageDescriptor *descriptor)
{
    struct wire_message message;
    struct strata_error error;
    Strata__RefusalCode code;
    int got = -1;
    assert_int_equal (zmsg_send (msg, socket), 0);
    zmsg_t *frames = zmsg_recv (socket);
    assert_non_null (frames);
    assert_int_equal (wire_parse (&message, &frames, &code, &error), 0);
    if (message.header->type == STRATA__MESSAGE_TYPE__TYPE_REFUSAL) {
        Strata__Refusal *refusal = (Strata__Refusal *)wire_body (&message, &strata__refusal__descriptor, &error);
        assert_non_null (refusal);
        assert_true (strlen (refusal->reason) > 10);
        got = (int)refusal->code;
        strata__refusal__free_unpacked (refusal, NULL);
    } else if (reply)
        *reply = wire_body (&message, descriptor, &error);
    wire_fini (&message);
    return got;
}

enum breakage { NO_BODY, NOT_A_HEADER, LARGE_HEADER, WRONG_VERSION, UNKNOWN_TYPE, NOT_A_BODY, LARGE_BODY, MANY_BLOBS, BAD_SENDER, BAD_NAME };

static zmsg_t *broken (enum breakage how)
{
    static uint8_t junk[WIRE_MAX_BODY + 1];
    Strata__StreamAppend append_body = STRATA__STREAM_APPEND__INIT;
    Strata__Header header = raw_header (how == UNKNOWN_TYPE ? 998 : STRATA__MESSAGE_TYPE__TYPE_STREAM_APPEND, 1000 + how);
    memset (junk, 0xff, sizeof (junk));
    append_body.stream = how == BAD_NAME ? "../../etc" : "raw";
    header.version = how == WRONG_VERSION ? 77 : WIRE_VERSION;
    header.sender = how == BAD_SENDER ? "a/b" : "raw";
    zmsg_t *msg = zmsg_new ();
    switch (how) {
    case NOT_A_HEADER:
        zmsg_addmem (msg, junk, 40);
        zmsg_addmem (msg, junk, 4);
        return msg;
    case LARGE_HEADER:
        zmsg_addmem (msg, junk, WIRE_MAX_HEADER + 1);
        zmsg_addmem (msg, junk, 4);
        return msg;
    case NO_BODY: {
        zframe_t *frame = wire_frame (&header.base);
        zmsg_append (msg, &frame);
        return msg;
    }
    default:
        zmsg_destroy (&msg);
    }
    if (how == NOT_A_BODY || how == LARGE_BODY)
        return wire_pack_bytes (&header, junk, how == LARGE_BODY ? sizeof (junk) : 64);
    msg = wire_pack (&header, &append_body.base);
    for (int i = 0; how == MANY_BLOBS && i <= WIRE_MAX_BLOBS; i++)
        zmsg_addmem (msg, "x", 1);
    return msg;
}

static void broken_messages_get_a_refusal_and_the_replica_lives_on (void **state)
{
    static const struct {
        enum breakage how;
        Strata__RefusalCode code;
    } cases[] = {
        { NO_BODY, STRATA__REFUSAL_CODE__REFUSED_MALFORMED },      { NOT_A_HEADER, STRATA__REFUSAL_CODE__REFUSED_MALFORMED },
        { LARGE_HEADER, STRATA__REFUSAL_CODE__REFUSED_MALFORMED }, { WRONG_VERSION, STRATA__REFUSAL_CODE__REFUSED_VERSION },
        { UNKNOWN_TYPE, STRATA__REFUSAL_CODE__REFUSED_UNKNOWN_TYPE },
        { NOT_A_BODY, STRATA__REFUSAL_CODE__REFUSED_MALFORMED },   { LARGE_BODY, STRATA__REFUSAL_CODE__REFUSED_MALFORMED },
        { MANY_BLOBS, STRATA__REFUSAL_CODE__REFUSED_MALFORMED },   { BAD_SENDER, STRATA__REFUSAL_CODE__REFUSED_INVALID },
        { BAD_NAME, STRATA__REFUSAL_CODE__REFUSED_INVALID },
    };
    pid_t pid = replica_start (&spec, 0);
    zsock_t *socket = raw ();
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        zmsg_t *msg = broken (cases[i].how);
        assert_int_equal (exchange (socket, &msg, NULL, NULL), cases[i].code);
    }
    zsock_destroy (&socket);
    struct strata_client *c = client_open (5000);
    append (c, "after", 1, false);
    strata_close (&c);
    assert_int_equal (process_end (pid, SIGTERM), 0);
}

static zmsg_t *raw_append (uint64_t request, uint64_t settled, int64_t deadline_us, uint64_t epoch)
{
    Strata__StreamAppend body = STRATA__STREAM_APPEND__INIT;
    Strata__Header header = raw_header (STRATA__MESSAGE_TYPE__TYPE_STREAM_APPEND, request);
    uint32_t size = 1;
    header.settled = settled;
    header.deadline_us = deadline_us;
    header.epoch = epoch;
    body.stream = "raw";
    body.sizes = &size;
    body.n_sizes = 1;
    zmsg_t *msg = wire_pack (&header, &body.base);
    zmsg_addmem (msg, "x", 1);
    return msg;
}

static uint64_t raw_append_next (zsock_t *socket, uint64_t request, uint64_t settled)
{
    ProtobufCMessage *reply = NULL;
    zmsg_t *msg = raw_append (request, settled, 0, 0);
    assert_int_equal (exchange (socket, &msg, &reply, &strata__stream_append_reply__descriptor), -1);
    assert_non_null (reply);
    uint64_t next = ((Strata__StreamAppendReply *)reply)->next;
    protobuf_c_message_free_unpacked (reply, NULL);
    return next;
}

static void a_retry_gets_the_remembered_reply_also_after_kill_9 (void **state)
{
    pid_t pid = replica_start (&spec, 0);
    zsock_t *socket = raw ();
    uint64_t first = raw_append_next (socket, 1, 1);
    assert_int_equal (raw_append_next (socket, 1, 1), first);
    process_end (pid, SIGKILL);
    zsock_destroy (&socket);
    pid = replica_start (&spec, 0);
    socket = raw ();
    assert_int_equal (raw_append_next (socket, 1, 1), first);
    assert_int_equal (raw_append_next (socket, 2, 2), first + 1);
    /* A late copy of a settled request is refused, and nothing is appended. */
    zmsg_t *msg = raw_append (1, 1, 0, 0);
    assert_int_equal (exchange (socket, &msg, NULL, NULL), STRATA__REFUSAL_CODE__REFUSED_STALE);
    assert_int_equal (raw_append_next (socket, 3, 3), first + 2);
    zsock_destroy (&socket);
    process_end (pid, SIGTERM);
}

/* The figure `name` of the replica's next heartbeat. */
static int figure (const char *name)
{
    zsock_t *heartbeats = heartbeats_of ("stage-0");
    Strata__Heartbeat *hb = heartbeat_next (heartbeats);
    int value = (int)heartbeat_figure (hb, name);
    strata__heartbeat__free_unpacked (hb, NULL);
    zsock_destroy (&heartbeats);
    return value;
}

/* ---- replay: every message of a conversation recorded, and sent again ---- */

struct recorded {
    zmsg_t *message;
    const ProtobufCMessageDescriptor *reply;
    uint8_t *answer; /* packed */
    size_t answer_size;
};

/* Sends a copy. -1 and the packed answer (malloc'ed), or the refusal's code. */
static int play (zsock_t *socket, const struct recorded *what, uint8_t **answer, size_t *size)
{
    ProtobufCMessage *reply = NULL;
    zmsg_t *copy = zmsg_dup (what->message);
    int code = exchange (socket, &copy, &reply, what->reply);
    *answer = NULL;
    *size = 0;
    if (code < 0) {
        assert_non_null (reply);
        *size = protobuf_c_message_get_packed_size (reply);
        *answer = malloc (*size + 1);
        protobuf_c_message_pack (reply, *answer);
        protobuf_c_message_free_unpacked (reply, NULL);
    }
    return code;
}

static void record (zsock_t *socket, struct recorded *what, uint32_t type, uint64_t request, const ProtobufCMessage *body,
                    const ProtobufCMessageDescriptor *reply)
{
    Strata__Header header = raw_header (type, request);
    header.settled = 1;
    *what = (struct recorded){ .message = wire_pack (&header, body), .reply = reply };
    if (type == STRATA__MESSAGE_TYPE__TYPE_STREAM_APPEND)
        zmsg_addmem (what->message, "work", 4);
    assert_int_equal (play (socket, what, &what->answer, &what->answer_size), -1);
}

/* A snapshot of the conversation's subject: what is in the queue, and in the stream of its outputs. */
static void read_state (struct strata_client *c, uint64_t state[4])
{
    struct strata_error error;
    ProtobufCMessage *reply;
    Strata__QueueStat ask = STRATA__QUEUE_STAT__INIT;
    ask.queue = "work";
    assert_int_equal (client_request (c, "stage", STRATA__MESSAGE_TYPE__TYPE_QUEUE_STAT, &ask.base, NULL, 0,
                                      &strata__queue_stat_reply__descriptor, &reply, NULL, NULL, &error),
                      0);
    const Strata__QueueStatReply *queue = (const Strata__QueueStatReply *)reply;
    state[0] = queue->waiting;
    state[1] = queue->leased;
    state[2] = queue->done;
    protobuf_c_message_free_unpacked (reply, NULL);
    state[3] = stream_end (c, "stage", "results");
}

enum { APPENDED, TAKEN, RENEWED, ACKED, CONVERSATION };

/* Of an item of work: queued, taken, kept longer, acknowledged with an output. */
static void record_conversation (zsock_t *socket, struct recorded all[CONVERSATION])
{
    ProtobufCBinaryData item = { 4, (uint8_t *)"work" };
    uint32_t four = 4;
    Strata__StreamAppend append_body = STRATA__STREAM_APPEND__INIT;
    append_body.stream = "work";
    append_body.queue = true;
    append_body.sizes = &four;
    append_body.n_sizes = 1;
    record (socket, &all[APPENDED], STRATA__MESSAGE_TYPE__TYPE_STREAM_APPEND, 10, &append_body.base,
            &strata__stream_append_reply__descriptor);
    Strata__QueueTake take = STRATA__QUEUE_TAKE__INIT;
    take.queue = "work";
    take.consumer = "raw";
    take.lease_ms = 600000;
    take.max_tries = 3;
    record (socket, &all[TAKEN], STRATA__MESSAGE_TYPE__TYPE_QUEUE_TAKE, 11, &take.base, &strata__queue_take_reply__descriptor);
    Strata__QueueTakeReply *taken = strata__queue_take_reply__unpack (NULL, all[TAKEN].answer_size, all[TAKEN].answer);
    assert_non_null (taken);
    assert_int_equal (taken->count, 1);
    Strata__QueueRenew renew = STRATA__QUEUE_RENEW__INIT;
    renew.queue = "work";
    renew.sequence = taken->first;
    renew.token = taken->token;
    renew.lease_ms = 600000;
    record (socket, &all[RENEWED], STRATA__MESSAGE_TYPE__TYPE_QUEUE_RENEW, 12, &renew.base, &strata__queue_renew_reply__descriptor);
    Strata__QueueAck ack = STRATA__QUEUE_ACK__INIT;
    Strata__QueueOutput output = STRATA__QUEUE_OUTPUT__INIT, *outputs[] = { &output };
    output.stream = "results";
    output.records = &item;
    output.n_records = 1;
    ack.queue = "work";
    ack.sequence = renew.sequence;
    ack.token = renew.token;
    ack.outputs = outputs;
    ack.n_outputs = 1;
    record (socket, &all[ACKED], STRATA__MESSAGE_TYPE__TYPE_QUEUE_ACK, 13, &ack.base, &strata__queue_ack_reply__descriptor);
    strata__queue_take_reply__free_unpacked (taken, NULL);
}

static void must_be_answered_as_before (zsock_t *socket, const struct recorded *one)
{
    uint8_t *answer;
    size_t size;
    assert_int_equal (play (socket, one, &answer, &size), -1);
    assert_int_equal (size, one->answer_size);
    assert_memory_equal (answer, one->answer, size);
    free (answer);
}

static void a_replayed_message_changes_nothing_is_answered_as_before_or_refused_and_is_counted (void **state)
{
    struct recorded all[CONVERSATION];
    uint64_t before[4], after[4];
    pid_t pid = replica_start (&spec, 0);
    zsock_t *socket = raw ();
    struct strata_client *c = client_open (20000);
    record_conversation (socket, all);
    /* Once as it was, once backwards, once by a process that replaced the killed one. */
    read_state (c, before);
    for (int round = 0; round < 3; round++) {
        if (round == 2) {
            zsock_destroy (&socket);
            process_end (pid, SIGKILL);
            pid = replica_start (&spec, 0);
            socket = raw ();
        }
        for (int i = 0; i < CONVERSATION; i++)
            must_be_answered_as_before (socket, &all[round == 1 ? CONVERSATION - 1 - i : i]);
        read_state (c, after);
        assert_memory_equal (after, before, sizeof (before));
        assert_int_equal (figure ("requests_repeated"), round == 1 ? 2 * CONVERSATION : CONVERSATION);
    }
    /* The asker says that it has these answers; they are forgotten, and whoever sends the requests again is refused. */
    raw_append_next (socket, 20, 20);
    int refused = figure ("messages_refused");
    for (int i = 0; i < CONVERSATION; i++) {
        uint8_t *answer;
        size_t size;
        assert_int_equal (play (socket, &all[i], &answer, &size), STRATA__REFUSAL_CODE__REFUSED_STALE);
    }
    read_state (c, after);
    assert_memory_equal (after, before, sizeof (before));
    assert_int_equal (figure ("messages_refused"), refused + CONVERSATION);
    for (int i = 0; i < CONVERSATION; i++) {
        zmsg_destroy (&all[i].message);
        free (all[i].answer);
    }
    strata_close (&c);
    zsock_destroy (&socket);
    assert_int_equal (process_end (pid, SIGTERM), 0);
}

static void a_request_past_its_deadline_is_dropped_and_a_stale_epoch_refused (void **state)
{
    pid_t pid = replica_start (&spec, 0);
    zsock_t *socket = raw ();
    uint64_t next = raw_append_next (socket, 100, 100);
    zmsg_t *msg = raw_append (101, 100, 1, 0);
    assert_int_equal (zmsg_send (&msg, socket), 0);
    assert_int_equal (raw_append_next (socket, 102, 100), next + 1);
    msg = raw_append (103, 100, 0, 5);
    assert_int_equal (exchange (socket, &msg, NULL, NULL), -1);
    msg = raw_append (104, 100, 0, 4);
    assert_int_equal (exchange (socket, &msg, NULL, NULL), STRATA__REFUSAL_CODE__REFUSED_STALE);
    zsock_destroy (&socket);
    process_end (pid, SIGTERM);
}

/* Its caller tries again with the same id: an answer kept would be "not now" for ever. */
static void a_request_that_was_put_off_is_carried_out_when_it_comes_again (void **state)
{
    struct strata_error error = { "" };
    pid_t pid = replica_start (&spec, 0);
    struct strata_client *c = client_open (8000);
    if (strata_delete (c, "n", "put-off", &error) < 0)
        fail_msg ("delete: %s", error.text);
    strata_close (&c);
    process_end (pid, SIGTERM);
}

static zmsg_t *append_of (const char *sender, uint64_t request, uint64_t epoch)
{
    Strata__StreamAppend body = STRATA__STREAM_APPEND__INIT;
    Strata__Header header = raw_header (STRATA__MESSAGE_TYPE__TYPE_STREAM_APPEND, request);
    header.sender = (char *)sender;
    header.epoch = epoch;
    body.stream = "raw";
    return wire_pack (&header, &body.base);
}

static void a_shard_s_former_holder_is_refused_whichever_replica_took_over (void **state)
{
    pid_t pid = replica_start (&spec, 0);
    zsock_t *socket = raw ();
    zmsg_t *msg = append_of ("select-0", 1, 5);
    assert_int_equal (exchange (socket, &msg, NULL, NULL), -1);
    msg = append_of ("select-1", 2, 6);
    assert_int_equal (exchange (socket, &msg, NULL, NULL), -1);
    msg = append_of ("select-0", 3, 5);
    assert_int_equal (exchange (socket, &msg, NULL, NULL), STRATA__REFUSAL_CODE__REFUSED_STALE);
    msg = append_of ("stage-1", 4, 1);
    assert_int_equal (exchange (socket, &msg, NULL, NULL), -1);
    zsock_destroy (&socket);
    process_end (pid, SIGTERM);
}

static void a_record_that_can_never_fit_is_refused_at_once (void **state)
{
    struct strata_error error = { "" };
    pid_t pid = replica_start (&spec, 0);
    struct strata_client *c = client_open (20000);
    static char large[1100 * 1024]; /* the stream's bound is 1 MB */
    assert_int_equal (strata_append (c, "large", "p", 1, large, sizeof (large), NULL, &error), -1);
    assert_int_equal (errno, EINVAL);
    assert_non_null (strstr (error.text, "stream large"));
    strata_close (&c);
    process_end (pid, SIGTERM);
}

static void a_standby_takes_the_shard_when_its_holder_dies (void **state)
{
    pid_t first = replica_start (&standby_spec, 0);
    struct strata_client *c = client_open (20000);
    assert_int_equal (stream_end (c, "schedule", "events"), 1);
    pid_t second = replica_start (&standby_spec, 1);
    usleep (300000);
    process_end (first, SIGKILL);
    assert_int_equal (stream_end (c, "schedule", "events"), 1);
    struct card *cards;
    size_t count = cards_read (workspace, &cards);
    bool found = false;
    for (size_t i = 0; i < count; i++)
        if (strcmp (cards[i].replica, "schedule-1") == 0) {
            found = true;
            assert_true (cards[i].active);
            assert_int_equal (cards[i].epoch, 2);
        }
    free (cards);
    assert_true (found);
    strata_close (&c);
    process_end (second, SIGTERM);
}

static void a_second_process_of_the_same_replica_is_refused (void **state)
{
    pid_t first = replica_start (&spec, 0);
    struct strata_client *c = client_open (20000);
    stream_end (c, "stage", "a");
    pid_t second = replica_start (&spec, 0);
    int status;
    assert_int_equal (waitpid (second, &status, 0), second);
    assert_true (WIFEXITED (status) && WEXITSTATUS (status) == 1);
    strata_close (&c);
    process_end (first, SIGTERM);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_client_s_records_survive_kill_9_of_the_replica_and_stand_once),
        cmocka_unit_test (appends_go_through_restarts_without_an_error),
        cmocka_unit_test (a_full_stream_makes_the_client_wait_and_then_say_so),
        cmocka_unit_test (broken_messages_get_a_refusal_and_the_replica_lives_on),
        cmocka_unit_test (a_retry_gets_the_remembered_reply_also_after_kill_9),
        cmocka_unit_test (a_replayed_message_changes_nothing_is_answered_as_before_or_refused_and_is_counted),
        cmocka_unit_test (a_request_past_its_deadline_is_dropped_and_a_stale_epoch_refused),
        cmocka_unit_test (a_request_that_was_put_off_is_carried_out_when_it_comes_again),
        cmocka_unit_test (a_shard_s_former_holder_is_refused_whichever_replica_took_over),
        cmocka_unit_test (a_record_that_can_never_fit_is_refused_at_once),
        cmocka_unit_test (a_standby_takes_the_shard_when_its_holder_dies),
        cmocka_unit_test (a_second_process_of_the_same_replica_is_refused),
        cmocka_unit_test (a_client_without_a_mesh_is_told_in_time),
    };
    return cmocka_run_group_tests_name ("mesh", tests, set_up, workspace_remove);
}
