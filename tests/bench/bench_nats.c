/* bench_nats.c - NATS JetStream as its documentation has it used: asynchronous publishes with a bound on those under way, a
 * pull consumer with explicit acknowledgements.
 *
 * Its promise here is weaker than ours: nats-server before 2.10 syncs files every two minutes and can't be asked for less
 * (`sync_interval` is unknown to it), so "acknowledged" says that a record is in the page cache.
 */
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { URL, RECORDS, SIZE, WINDOW, BATCH, OPTIONS };

static struct bench_option options[OPTIONS] = {
    [URL] = { "url", "of the server", "nats://127.0.0.1:4222" },
    [RECORDS] = { "records", "how many", "20000" },
    [SIZE] = { "size", "bytes of a record", "1024" },
    [WINDOW] = { "window", "publishes under way", "4000" },
    [BATCH] = { "batch", "records of one fetch", "500" },
};
#define ANSWER_MS 60000 /* the server may be as slow as that */

static uint64_t records, size, window, batch;

static void check (natsStatus status, const char *what)
{
    if (status != NATS_OK)
        bench_fail ("nats: %s: %s", what, natsStatus_GetText (status));
}

static jsCtx *dial (natsConnection **connection, jsOptions *o)
{
    jsCtx *js;
    check (natsConnection_ConnectTo (connection, options[URL].text), options[URL].text);
    check (jsOptions_Init (o), "options");
    o->PublishAsync.MaxPending = (int64_t)window;
    o->PublishAsync.StallWait = ANSWER_MS; /* its default of 200 ms fails where the disk is slow for that long */
    check (natsConnection_JetStream (&js, *connection, o), "JetStream");
    return js;
}

static void hang_up (natsConnection *connection, jsCtx *js)
{
    jsCtx_Destroy (js);
    natsConnection_Destroy (connection);
    nats_Close ();
}

static void consume (void *arg)
{
    natsConnection *connection;
    jsOptions o;
    jsCtx *js = dial (&connection, &o);
    natsSubscription *sub;
    jsSubOptions so;
    uint64_t seen = 0;
    uint8_t *counts = calloc (records, 1);
    jsSubOptions_Init (&so);
    so.Stream = "s";
    so.Consumer = "c";
    check (js_PullSubscribe (&sub, js, "s", "c", &o, &so, NULL), "subscribe");
    bench_ready ();
    while (seen < records) {
        natsMsgList list;
        natsStatus status = natsSubscription_Fetch (&list, sub, (int)batch, 10000, NULL);
        if (status != NATS_TIMEOUT)
            check (status, "fetch");
        if (list.Count == 0)
            bench_fail ("nats: nothing came for 10 s after %llu of %llu records", (unsigned long long)seen, (unsigned long long)records);
        for (int i = 0; i < list.Count; i++) {
            uint64_t number;
            memcpy (&number, natsMsg_GetData (list.Msgs[i]), sizeof (number));
            if ((uint64_t)natsMsg_GetDataLength (list.Msgs[i]) != size || number >= records || counts[number]++)
                bench_fail ("nats: a record is wrong or came twice");
            bench_record_check ((const uint8_t *)natsMsg_GetData (list.Msgs[i]), size, number);
            /* The last one waits for the server's word: it has all before it by then. */
            check (++seen < records ? natsMsg_Ack (list.Msgs[i], NULL) : natsMsg_AckSync (list.Msgs[i], NULL, NULL), "ack");
        }
        natsMsgList_Destroy (&list);
    }
    for (int tries = 0;; tries++) {
        jsConsumerInfo *info;
        check (js_GetConsumerInfo (&info, js, "s", "c", NULL, NULL), "consumer info");
        int64_t pending = info->NumAckPending;
        jsConsumerInfo_Destroy (info);
        if (pending == 0)
            break;
        if (tries == 1000)
            bench_fail ("nats: %lld acknowledgements did not arrive", (long long)pending);
        nats_Sleep (1);
    }
    free (counts);
    natsSubscription_Destroy (sub);
    hang_up (connection, js);
}

static void set_up (void)
{
    natsConnection *connection;
    jsOptions o;
    jsCtx *js = dial (&connection, &o);
    jsStreamConfig sc;
    jsConsumerConfig cc;
    const char *subjects[] = { "s" };
    js_DeleteStream (js, "s", NULL, NULL);
    jsStreamConfig_Init (&sc);
    sc.Name = "s";
    sc.Subjects = subjects;
    sc.SubjectsLen = 1;
    sc.Storage = js_FileStorage;
    check (js_AddStream (NULL, js, &sc, NULL, NULL), "stream");
    jsConsumerConfig_Init (&cc);
    cc.Durable = "c";
    cc.AckPolicy = js_AckExplicit;
    cc.MaxAckPending = 20000;
    check (js_AddConsumer (NULL, js, "s", &cc, NULL, NULL), "consumer");
    jsCtx_Destroy (js);
    natsConnection_Destroy (connection);
}

static void set_up_process (void *arg)
{
    set_up ();
    nats_Close ();
    bench_ready ();
}

int main (int argc, char **argv)
{
    bench_arguments (argc, argv, "publish -> consumed -> acknowledged by NATS JetStream, file storage", options, OPTIONS);
    records = bench_number (&options[RECORDS]);
    size = bench_number (&options[SIZE]);
    window = bench_number (&options[WINDOW]);
    batch = bench_number (&options[BATCH]);
    if (size < 8 || window == 0 || batch == 0)
        bench_fail ("at least 8 bytes, a window and a batch");
    /* Each in a process of its own: the library starts threads, and a process with threads must not fork. */
    bench_join (bench_fork (set_up_process, NULL));
    pid_t consumer = bench_fork (consume, NULL);
    natsConnection *connection;
    jsOptions o;
    uint8_t *record = malloc (size);
    jsCtx *js = dial (&connection, &o);
    int64_t start = bench_now_ns ();
    for (uint64_t i = 0; i < records; i++) {
        bench_record (record, size, i);
        check (js_PublishAsync (js, "s", record, (int)size, NULL), "publish");
    }
    jsPubOptions po;
    jsPubOptions_Init (&po);
    po.MaxWait = ANSWER_MS;
    check (js_PublishAsyncComplete (js, &po), "publishes without an answer");
    int64_t published = bench_now_ns ();
    bench_join (consumer);
    int64_t end = bench_now_ns ();
    bench_figure ("published", (double)records * 1e9 / (double)(published - start), "records/s");
    bench_figure ("acknowledged", (double)records * 1e9 / (double)(end - start), "records/s");
    free (record);
    hang_up (connection, js);
    return 0;
}
