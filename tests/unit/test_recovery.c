/* test_recovery.c - a service that was killed serves again, whatever stands in its store: seconds from its start to the
 * first request it answers. STRATA_RECOVERY_RECORDS records each, 20,000 here; `make recovery` takes 1,000,000.
 * STRATA_RECOVERY_ONLY='stage*': only that test.
 *
 * The records are put into the store by the service's own core or store, in a process that ends as SIGKILL ends it, so that
 * the log is as long as it gets. The promise of one second is read from what `make recovery` prints: on a machine that does
 * other work at the same time it would fail for its neighbours. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../services/feedback/feedback_core.h"
#include "../../services/select/select_core.h"
#include "data/histogram.h"
#include "mesh/client.h"
#include "schedule.pb-c.h"
#include "store/stream.h"
#include "strata.h"
#include "stream.pb-c.h"
#include "workspace.h"

#define STARTS 5
#define BATCH 2000
#define ANSWER_MS 600000

static uint64_t records = 20000;
static struct campaign *campaign;

/* No job fits on any machine, so none is started. */
static const char campaign_text[] =
    "strata: 1\ncampaign: recovery-test\nworkspace: w\nseed: 1\n"
    "patch: {snapshots: snapshots, candidates: patches, encoder: {kind: pca, model: m.npz, dimensions: 9}}\n"
    "select: {from: patches, queues: [{name: all, configuration: other, quota: 1.0}]}\n"
    "jobs: [{name: setup, start: selection, command: [\"true\"], cores: 60000, buffer: 1}]\n"
    "feedback: {from: rdfs, uptake: uptakes, states: [A], rows: [X], bins: 8, frames: 1000000000, seconds: 1000000}\n"
    "stage: {backend: rocksdb, quota_mb: 1000, queue_mb: 100000}\n";

static double now_s (void)
{
    struct timespec ts;
    clock_gettime (CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---- what stands in each store ---- */

static int append (struct shard *shard, const char *stream, uint64_t i, const void *record, size_t size)
{
    struct strata_error error;
    return stream_append (shard, stream, NULL, 0, record, size, (int64_t)i + 1, NULL, &error) == 1 ? 0 : -1;
}

static int fill_stage (struct shard *shard, uint64_t i)
{
    char record[1024];
    memset (record, (int)(i * 31), sizeof (record));
    memcpy (record, &i, sizeof (i));
    return append (shard, "rdfs", i, record, sizeof (record));
}

static int fill_select (struct shard *shard, uint64_t i)
{
    static struct select_core *core;
    struct strata_error error;
    char id[64];
    float point[9];
    Strata__Candidate candidate = STRATA__CANDIDATE__INIT;
    if (!core && !(core = select_open (shard, campaign, &error)))
        return -1;
    for (unsigned k = 0; k < 9; k++)
        point[k] = (float)sin ((double)(i * 9 + k));
    snprintf (id, sizeof (id), "sim-%08llu-p00001", (unsigned long long)i);
    candidate.id = id;
    candidate.configuration = "ras";
    candidate.simulation = "sim";
    candidate.index = i;
    candidate.n_point = 9;
    candidate.point = point;
    return select_add (core, &candidate, (int64_t)i + 1) == STRATA__SELECT_EVENT_KIND__SELECT_ADDED ? 0 : -1;
}

static int fill_schedule (struct shard *shard, uint64_t i)
{
    char id[64], simulation[64], dir[160];
    struct shard_key key;
    Strata__Job job = STRATA__JOB__INIT;
    snprintf (id, sizeof (id), "setup-%06llu", (unsigned long long)i + 1);
    snprintf (simulation, sizeof (simulation), "sim-%08llu-p00001", (unsigned long long)i);
    snprintf (dir, sizeof (dir), "%s/jobs/%s", workspace, id);
    job.id = id;
    job.type = "setup";
    job.simulation = job.candidate = simulation;
    job.state = STRATA__JOB_STATE__JOB_SUCCEEDED;
    job.end = STRATA__JOB_END__END_EXIT;
    job.attempt = job.tries_limit = 1;
    job.reason = "exit code 0";
    job.dir = dir;
    job.input = "";
    job.proposal = "p-00000001";
    job.created_us = job.started_us = job.ended_us = (int64_t)i + 1;
    shard_key (&key, "job/%s", id);
    shard_put_message (shard, &key, &job.base);
    shard_key (&key, "chain/%s", simulation);
    shard_put (shard, key.data, key.size, id, strlen (id));
    shard_put_u64 (shard, "next/setup", i + 1);
    shard_put_u64 (shard, "succ/setup", i + 1);
    struct shard_key counts = { .size = 0 }; /* as services/schedule/schedule_index.c keeps them */
    for (int state = 0; state < 7; state++)
        shard_key_u64 (&counts, state == STRATA__JOB_STATE__JOB_SUCCEEDED ? i + 1 : 0);
    shard_put (shard, "counts/setup", strlen ("counts/setup"), counts.data, counts.size);
    shard_put_u64 (shard, "indexed", 1);
    uint8_t packed[1024];
    return append (shard, "jobs", i, packed, strata__job__pack (&job, packed));
}

static int fill_feedback (struct shard *shard, uint64_t i)
{
    static struct feedback *core;
    struct strata_error error;
    int64_t counts[8] = { (int64_t)(i % 7), 1, 2, 3 };
    char simulation[64];
    Strata__Histogram frame = STRATA__HISTOGRAM__INIT;
    if (!core && !(core = feedback_new (shard, &campaign->feedback, 0, 1, &error)))
        return -1;
    snprintf (simulation, sizeof (simulation), "sim-%06llu", (unsigned long long)i / 100);
    frame.simulation = simulation;
    frame.frame = i % 100 + 1;
    frame.state = "A";
    uint8_t room[8 * 8];
    histogram_set (&frame, counts, 1, 8, room);
    return feedback_add (core, &frame, &error) == FEEDBACK_ADDED ? 0 : -1;
}

/* ---- filling, killing, starting ---- */

static void fill (const char *service, int (*one) (struct shard *, uint64_t))
{
    char dir[160];
    snprintf (dir, sizeof (dir), "%s/shards/%s-0", workspace, service);
    pid_t pid = fork ();
    assert_true (pid >= 0);
    if (pid == 0) {
        struct strata_error error = { "" };
        struct shard *shard = shard_open (dir, &error);
        bool ok = shard != NULL;
        for (uint64_t i = 0; ok && i < records; i++)
            ok = one (shard, i) == 0 && (i % BATCH != BATCH - 1 || shard_commit (shard, &error) == 0);
        ok = ok && shard_commit (shard, &error) == 0;
        if (!ok) {
            fprintf (stderr, "%s can't be filled: %s\n", service, error.text);
            _exit (1);
        }
        kill (getpid (), SIGKILL);
    }
    int status;
    assert_int_equal (waitpid (pid, &status, 0), pid);
    assert_true (WIFSIGNALED (status));
}

/* *cpu_s: what the service computed until then; on a machine that does other work too it says more than the time. */
static double first_answer (const char *service, const char *stream, uint64_t at_least, double *cpu_s)
{
    struct strata_error error;
    Strata__StreamStat ask = STRATA__STREAM_STAT__INIT;
    ProtobufCMessage *reply = NULL;
    double before = now_s ();
    char log[128];
    snprintf (log, sizeof (log), "%s/%s.log", workspace, service);
    pid_t pid = program_start (service, 0, log);
    struct strata_client *client = strata_open (workspace, "recovery", ANSWER_MS, &error);
    assert_non_null (client);
    if (client_request (client, service, STRATA__MESSAGE_TYPE__TYPE_STREAM_STAT, &ask.base, NULL, 0,
                        &strata__stream_stat_reply__descriptor, &reply, NULL, NULL, &error)
        < 0)
        fail_msg ("strata-%s gives no answer: %s", service, error.text);
    double took = now_s () - before;
    const Strata__StreamStatReply *stat = (const Strata__StreamStatReply *)reply;
    uint64_t next = 1;
    for (size_t i = 0; i < stat->n_streams; i++)
        if (stream && strcmp (stat->streams[i]->stream, stream) == 0)
            next = stat->streams[i]->next;
    if (stream && next < at_least + 1)
        fail_msg ("%s of strata-%s ends at %llu, %llu records were put", stream, service, (unsigned long long)next - 1,
                  (unsigned long long)at_least);
    protobuf_c_message_free_unpacked (reply, NULL);
    strata_close (&client);
    kill (pid, SIGKILL);
    struct rusage use;
    assert_int_equal (wait4 (pid, NULL, 0, &use), pid);
    *cpu_s = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) + (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
    return took;
}

static int by_size (const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void recovers (const char *service, const char *stream, int (*one) (struct shard *, uint64_t))
{
    double took[STARTS], cpu[STARTS];
    double before = now_s ();
    fill (service, one);
    double filled = now_s () - before;
    /* The first start finds the log that the filling process left, the others that of the start before. */
    for (int i = 0; i < STARTS; i++)
        took[i] = first_answer (service, stream, records, &cpu[i]);
    double first = took[0];
    qsort (took, STARTS, sizeof (took[0]), by_size);
    print_message ("%-9s %8llu records (%.0f s to put): answers after %.2f s (%.2f s computing); of %d starts: median %.2f s, "
                   "longest %.2f s\n", service, (unsigned long long)records, filled, first, cpu[0], STARTS, took[STARTS / 2],
                   took[STARTS - 1]);
}

static void stage_serves_again_with_its_records (void **state)
{
    recovers ("stage", "rdfs", fill_stage);
}

static void select_serves_again_with_its_candidates (void **state)
{
    recovers ("select", "history", fill_select);
}

static void schedule_serves_again_with_its_jobs (void **state)
{
    recovers ("schedule", "jobs", fill_schedule);
}

static void feedback_serves_again_with_its_frames (void **state)
{
    recovers ("feedback", NULL, fill_feedback);
}

static int set_up (void **state)
{
    char path[160];
    struct campaign_mistakes mistakes = { 0 };
    if (getenv ("STRATA_RECOVERY_RECORDS"))
        records = strtoull (getenv ("STRATA_RECOVERY_RECORDS"), NULL, 10);
    workspace_make (campaign_text);
    snprintf (path, sizeof (path), "%s/shards", workspace);
    mkdir (path, 0755);
    campaign = campaign_load (campaign_file, &mistakes);
    for (size_t i = 0; i < mistakes.count; i++)
        print_error ("%s\n", mistakes.lines[i]);
    campaign_mistakes_fini (&mistakes);
    return campaign ? 0 : -1;
}

static int tear_down (void **state)
{
    campaign_free (&campaign);
    return workspace_remove (state);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (stage_serves_again_with_its_records),
        cmocka_unit_test (select_serves_again_with_its_candidates),
        cmocka_unit_test (schedule_serves_again_with_its_jobs),
        cmocka_unit_test (feedback_serves_again_with_its_frames),
    };
    if (getenv ("STRATA_RECOVERY_ONLY"))
        cmocka_set_test_filter (getenv ("STRATA_RECOVERY_ONLY"));
    return cmocka_run_group_tests (tests, set_up, tear_down);
}
