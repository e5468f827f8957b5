/* bench_jobs.c - jobs that do nothing, end to end, beside a bare loop of posix_spawn and waitpid.
 *
 * --scene campaign  strata-schedule as a process with its local executor, in a workspace of its own. A select of the bench hands it
 *                   all candidates in one answer; from that answer to the turn that made the last success durable. Each job
 *                   has a folder, a lock, a shepherd, logs and an outcome on disk
 * --scene loop      posix_spawn and waitpid, one after the other; and the same from as many processes as there are cores
 */
#include "bench.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench_mesh.h"
#include "core/campaign.h"
#include "schedule.pb-c.h"
#include "select.pb-c.h"

enum { SCENE, JOBS, CORES, KEEP, OPTIONS };

static struct bench_option options[OPTIONS] = {
    [SCENE] = { "scene", "campaign or loop", "campaign" },
    [JOBS] = { "jobs", "how many, at most 2000", "1000" },
    [CORES] = { "cores", "of each job, bound to it; 0: all share the machine's", "1" },
    /* Without a journal ext4 gives no inode out anew for minutes after its removal, and looks at each such one again and again. */
    [KEEP] = { "keep", "1: the workspace stays in TMPDIR, and whoever measures again removes all at the end", "0" },
};

#define PROGRAM "/bin/true"
#define POLL_MS 100
#define LIMIT_S 120

extern char **environ;

static const char campaign_text[] =
    "strata: 1\ncampaign: bench\nworkspace: w\nseed: 1\n"
    "patch: {snapshots: snapshots, candidates: patches, encoder: {kind: pca, model: m.npz, dimensions: 2}}\n"
    "select: {from: patches, queues: [{name: all, configuration: other, quota: 1.0}]}\n"
    "feedback: {from: rdfs, uptake: uptakes, states: [S], rows: [R]}\n"
    "jobs: [{name: nothing, start: selection, cores: %llu, buffer: %llu, grace: 1, command: [\"" PROGRAM "\"]}]\n";

/* Of this machine's memory, shared with the processes that it forks. */
struct shared {
    int64_t answered_us;        /* CLOCK_REALTIME when the candidates left for schedule; 0: not yet */
};
static struct shared *shared;
static struct bench_mesh mesh;
static pid_t schedule_pid, select_pid;

static int64_t real_us (void)
{
    struct timespec ts;
    clock_gettime (CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static double cpu_of_children (void)
{
    struct rusage use;
    getrusage (RUSAGE_CHILDREN, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) + (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

/* ---- the select that hands out all candidates at once ---- */

static void on_propose (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    size_t count = shared->answered_us ? 0 : (size_t)bench_number (&options[JOBS]);
    Strata__ProposeReply reply = STRATA__PROPOSE_REPLY__INIT;
    Strata__Selection *all = calloc (count + 1, sizeof (*all)), **list = calloc (count + 1, sizeof (*list));
    char (*ids)[32] = calloc (count + 1, sizeof (*ids));
    if (!all || !list || !ids)
        bench_fail ("out of memory");
    for (size_t i = 0; i < count; i++) {
        strata__selection__init (&all[i]);
        snprintf (ids[i], sizeof (ids[i]), "macro.%zu", i);
        all[i].candidate = ids[i];
        list[i] = &all[i];
    }
    reply.selections = list;
    reply.n_selections = count;
    reply.lease_ms = 600000;
    if (!shared->answered_us)
        shared->answered_us = real_us ();
    request_reply (request, &reply.base);
    free (ids);
    free (list);
    free (all);
}

static void on_confirm (struct service *service, struct request *request, const ProtobufCMessage *body)
{
    Strata__ConfirmReply reply = STRATA__CONFIRM_REPLY__INIT;
    request_reply (request, &reply.base);
}

static int select_start (struct service *service, struct strata_error *error)
{
    bench_ready ();
    return 0;
}

static const struct service_handler select_handlers[] = {
    { STRATA__MESSAGE_TYPE__TYPE_PROPOSE, &strata__propose__descriptor, true, on_propose },
    { STRATA__MESSAGE_TYPE__TYPE_CONFIRM, &strata__confirm__descriptor, true, on_confirm },
    { 0, NULL, false, NULL },
};

static const struct service_spec select_spec = {
    .name = "select", .about = "The select of a bench.", .has_shard = true, .handlers = select_handlers, .start = select_start,
};

/* ---- the workspace ---- */

static void clean_up (void)
{
    char command[128];
    if (schedule_pid > 0 && kill (schedule_pid, SIGTERM) == 0)
        waitpid (schedule_pid, NULL, 0);
    if (select_pid > 0 && kill (select_pid, SIGTERM) == 0)
        waitpid (select_pid, NULL, 0);
    snprintf (command, sizeof (command), "rm -rf '%s'", mesh.workspace);
    if (bench_number (&options[KEEP]))
        return;
    if (system (command) != 0)
        fprintf (stderr, "%s can't be removed\n", mesh.workspace);
}

static void make_workspace (void)
{
    char path[128];
    const char *tmp = getenv ("TMPDIR");
    snprintf (mesh.workspace, sizeof (mesh.workspace), "%.40s/strata-bench-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp (mesh.workspace))
        bench_fail ("%s: %s", mesh.workspace, strerror (errno));
    snprintf (mesh.campaign, sizeof (mesh.campaign), "%s/c.yaml", mesh.workspace);
    snprintf (path, sizeof (path), "%s/m.npz", mesh.workspace);
    FILE *file = fopen (mesh.campaign, "w"), *model = fopen (path, "w");
    if (!file || !model)
        bench_fail ("%s: %s", mesh.workspace, strerror (errno));
    fprintf (file, campaign_text, (unsigned long long)bench_number (&options[CORES]), (unsigned long long)bench_number (&options[JOBS]));
    fputs ("model", model);
    fclose (file);
    fclose (model);
}

static void start_schedule (void)
{
    char exe[4096], path[4200];
    ssize_t n = readlink ("/proc/self/exe", exe, sizeof (exe) - 1);
    if (n < 0)
        bench_fail ("/proc/self/exe: %s", strerror (errno));
    exe[n] = '\0';
    *strrchr (exe, '/') = '\0';
    snprintf (path, sizeof (path), "%s/../bin/strata-schedule", exe);
    schedule_pid = fork ();
    if (schedule_pid < 0)
        bench_fail ("fork: %s", strerror (errno));
    if (schedule_pid == 0) {
        prctl (PR_SET_PDEATHSIG, SIGKILL);
        setenv ("STRATA_LOG", "warn", 0);
        execl (path, path, "--campaign", mesh.campaign, "--workspace", mesh.workspace, (char *)NULL);
        fprintf (stderr, "%s: %s\n", path, strerror (errno));
        _exit (127);
    }
}

/* ---- measuring ---- */

static uint64_t count_succeeded (struct strata_client *client)
{
    struct strata_error error = { "" };
    ProtobufCMessage *message = NULL;
    Strata__Jobs query = STRATA__JOBS__INIT;
    query.state = (char *)"succeeded";
    query.max = 1;
    if (client_request (client, "schedule", STRATA__MESSAGE_TYPE__TYPE_JOBS, &query.base, NULL, 0, &strata__jobs_reply__descriptor, &message,
                        NULL, NULL, &error)
        != 0)
        bench_fail ("%s", error.text);
    uint64_t total = ((Strata__JobsReply *)message)->total;
    protobuf_c_message_free_unpacked (message, NULL);
    return total;
}

/* What the stream of jobs says: it is on disk before anybody can read it. */
struct told {
    uint64_t succeeded, tried_again;
    int64_t last_us;            /* of the turn of the last success */
};

static int on_record (uint64_t sequence, int64_t time_us, const void *record, size_t size, void *arg)
{
    struct told *told = arg;
    Strata__Job *job = strata__job__unpack (NULL, size, record);
    if (!job)
        bench_fail ("record %llu of the stream of jobs can't be read", (unsigned long long)sequence);
    if (job->state == STRATA__JOB_STATE__JOB_SUCCEEDED) {
        told->succeeded++;
        told->last_us = time_us;
    }
    told->tried_again += job->attempt > 1;
    strata__job__free_unpacked (job, NULL);
    return 0;
}

static void campaign (void)
{
    struct strata_error error = { "" };
    struct told told = { 0 };
    size_t jobs = (size_t)bench_number (&options[JOBS]);
    struct timespec pause = { 0, POLL_MS * 1000000L };
    make_workspace ();
    select_pid = bench_service (&mesh, &select_spec);
    double before = cpu_of_children ();
    start_schedule ();
    atexit (clean_up);
    struct strata_client *client = bench_client (&mesh);
    for (int64_t end = real_us () + LIMIT_S * 1000000LL; !shared->answered_us || count_succeeded (client) < jobs;) {
        if (real_us () > end)
            bench_fail ("%llu of %zu jobs succeeded within %d s", (unsigned long long)count_succeeded (client), jobs, LIMIT_S);
        nanosleep (&pause, NULL);
    }
    for (uint64_t from = 0, next = 1; from < next;) {
        int64_t n = client_read (client, "schedule", "jobs", from, on_record, &told, &next, &error);
        if (n < 0)
            bench_fail ("%s", error.text);
        if (n == 0)
            break;
        from = (from ? from : 1) + (uint64_t)n;
    }
    strata_close (&client);
    if (told.succeeded != jobs || told.tried_again)
        bench_fail ("%llu successes of %zu jobs, %llu moves of second attempts", (unsigned long long)told.succeeded, jobs,
                    (unsigned long long)told.tried_again);
    kill (schedule_pid, SIGTERM);
    waitpid (schedule_pid, NULL, 0);
    schedule_pid = 0;
    bench_figure ("rate", (double)jobs * 1e6 / (double)(told.last_us - shared->answered_us), "1/s");
    bench_figure ("cpu", (cpu_of_children () - before) / (double)jobs * 1e3, "ms");
}

static void spawn_one (void)
{
    char *argv[] = { (char *)PROGRAM, NULL };
    pid_t pid;
    int status, rc = posix_spawn (&pid, PROGRAM, NULL, NULL, argv, environ);
    if (rc != 0 || waitpid (pid, &status, 0) != pid || status != 0)
        bench_fail (PROGRAM " can't be run: %s", strerror (rc));
}

static void spawn_many (void *arg)
{
    bench_ready ();
    for (size_t i = 0; i < *(size_t *)arg; i++)
        spawn_one ();
}

static void loop (void)
{
    size_t jobs = (size_t)bench_number (&options[JOBS]);
    long cores = sysconf (_SC_NPROCESSORS_ONLN);
    double before = cpu_of_children ();
    int64_t start = bench_now_ns ();
    for (size_t i = 0; i < jobs; i++)
        spawn_one ();
    bench_figure ("rate", (double)jobs * 1e9 / (double)(bench_now_ns () - start), "1/s");
    bench_figure ("cpu", (cpu_of_children () - before) / (double)jobs * 1e3, "ms");
    pid_t *pids = calloc ((size_t)cores, sizeof (*pids));
    if (!pids)
        bench_fail ("out of memory");
    start = bench_now_ns ();
    for (long i = 0; i < cores; i++)
        pids[i] = bench_fork (spawn_many, &jobs);
    for (long i = 0; i < cores; i++)
        bench_join (pids[i]);
    bench_figure ("rate_all_cores", (double)cores * (double)jobs * 1e9 / (double)(bench_now_ns () - start), "1/s");
    free (pids);
}

int main (int argc, char **argv)
{
    bench_arguments (argc, argv, "jobs that do nothing, end to end", options, OPTIONS);
    uint64_t jobs = bench_number (&options[JOBS]);
    if (jobs < 1 || jobs > 2000)
        bench_fail ("--jobs %s is not allowed: 1 to 2000, what one answer of select holds", options[JOBS].text);
    shared = mmap (NULL, sizeof (*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        bench_fail ("mmap: %s", strerror (errno));
    if (strcmp (options[SCENE].text, "campaign") == 0)
        campaign ();
    else if (strcmp (options[SCENE].text, "loop") == 0)
        loop ();
    else
        bench_fail ("there is no scene %s", options[SCENE].text);
    return 0;
}
