/* bench_mesh.c - see bench_mesh.h */
#include "bench_mesh.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

static const char campaign_text[] =
    "strata: 1\ncampaign: bench\nworkspace: w\nseed: 1\n"
    "patch: {snapshots: snapshots, candidates: patches, encoder: {kind: pca, model: m.npz, dimensions: 2}}\n"
    "select: {from: patches, queues: [{name: all, configuration: other, quota: 1.0}]}\n"
    "jobs: [{name: a, start: always, command: [\"true\"]}]\n"
    "feedback: {from: rdfs, uptake: uptakes, states: [S], rows: [R]}\n"
    "stage: {quota_mb: 65536, queue_mb: %u}\n"
    "replay: {stage: %s, keep_mb: 4096, checkpoint_mb: 1024}\n";

static struct bench_mesh *running;
static pid_t owner;

static void clean_up (void)
{
    if (running && getpid () == owner)
        bench_mesh_down (running);
}

/* Beside this program: build/bench/NAME and build/bin/strata-stage. */
static void stage_path (char *path, size_t size)
{
    char exe[4096];
    ssize_t n = readlink ("/proc/self/exe", exe, sizeof (exe) - 1);
    if (n < 0)
        bench_fail ("/proc/self/exe: %s", strerror (errno));
    exe[n] = '\0';
    *strrchr (exe, '/') = '\0';
    snprintf (path, size, "%.4000s/../bin/strata-stage", exe);
}

static void start_stage (struct bench_mesh *self, int core)
{
    char path[4096];
    struct strata_error error = { "" };
    struct strata_client *c;
    uint64_t sequence;
    stage_path (path, sizeof (path));
    self->stage = fork ();
    if (self->stage < 0)
        bench_fail ("fork: %s", strerror (errno));
    if (self->stage == 0) {
        prctl (PR_SET_PDEATHSIG, SIGKILL);
        setenv ("STRATA_LOG", "warn", 0);
        cpu_set_t set;
        CPU_ZERO (&set);
        CPU_SET (core, &set);
        if (core >= 0)
            sched_setaffinity (0, sizeof (set), &set);
        char *argv[] = { "stage", "--campaign", self->campaign, "--workspace", self->workspace, NULL };
        if (self->spec)
            _exit (service_main (self->spec, 5, argv));
        execl (path, path, "--campaign", self->campaign, "--workspace", self->workspace, "--replica", "0", (char *)NULL);
        fprintf (stderr, "%s: %s\n", path, strerror (errno));
        _exit (127);
    }
    /* In a process of its own: this one may fork again, and must have no threads then. */
    pid_t asker = fork ();
    if (asker == 0) {
        c = bench_client (self);
        int rc = strata_last_sequence (c, "bench", "p", &sequence, &error);
        if (rc < 0)
            fprintf (stderr, "%s\n", error.text);
        strata_close (&c);
        _exit (rc < 0);
    }
    bench_join (asker);
}

void bench_mesh_up (struct bench_mesh *self, unsigned queue_mb, int core)
{
    char path[96];
    const char *tmp = getenv ("TMPDIR");
    snprintf (self->workspace, sizeof (self->workspace), "%.40s/strata-bench-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp (self->workspace))
        bench_fail ("%s: %s", self->workspace, strerror (errno));
    running = self;
    owner = getpid ();
    atexit (clean_up);
    snprintf (self->campaign, sizeof (self->campaign), "%s/c.yaml", self->workspace);
    snprintf (path, sizeof (path), "%s/m.npz", self->workspace);
    FILE *f = fopen (self->campaign, "w"), *model = fopen (path, "w");
    if (!f || !model)
        bench_fail ("%s: %s", self->workspace, strerror (errno));
    fprintf (f, campaign_text, queue_mb, self->record ? "true" : "false");
    fputs ("model", model);
    fclose (f);
    fclose (model);
    start_stage (self, core);
}

void bench_mesh_down (struct bench_mesh *self)
{
    char command[128];
    running = NULL;
    kill (self->stage, SIGTERM);
    waitpid (self->stage, NULL, 0);
    snprintf (command, sizeof (command), "rm -rf '%s'", self->workspace);
    if (system (command) != 0)
        fprintf (stderr, "%s can't be removed\n", self->workspace);
}

void bench_mesh_restart (struct bench_mesh *self, int core)
{
    kill (self->stage, SIGKILL);
    waitpid (self->stage, NULL, 0);
    start_stage (self, core);
}

struct strata_client *bench_client (const struct bench_mesh *self)
{
    struct strata_error error = { "" };
    struct strata_client *c = strata_open (self->workspace, "bench", 60000, &error);
    if (!c)
        bench_fail ("%s", error.text);
    return c;
}

struct start {
    const struct bench_mesh *mesh;
    const struct service_spec *spec;
};

static void run_service (void *arg)
{
    const struct start *start = arg;
    char *argv[] = { "bench", "--campaign", (char *)start->mesh->campaign, "--workspace", (char *)start->mesh->workspace, NULL };
    setenv ("STRATA_LOG", "warn", 0);
    if (service_main (start->spec, 5, argv) != 0)
        bench_fail ("the service of the bench failed");
}

pid_t bench_service (const struct bench_mesh *self, const struct service_spec *spec)
{
    struct start start = { self, spec };
    return bench_fork (run_service, &start);
}

uint64_t bench_rss (pid_t pid)
{
    char path[64];
    unsigned long pages = 0;
    snprintf (path, sizeof (path), "/proc/%d/statm", (int)pid);
    FILE *f = fopen (path, "r");
    if (!f || fscanf (f, "%*u %lu", &pages) != 1)
        bench_fail ("%s can't be read", path);
    fclose (f);
    return (uint64_t)pages * (uint64_t)sysconf (_SC_PAGESIZE);
}
