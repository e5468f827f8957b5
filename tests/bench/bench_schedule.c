/* bench_schedule.c - the core of services/schedule at the size of a machine, on a store on disk.
 *
 * --scene place    so many nodes; simulations of 1 GPU + 3 cores for all GPUs and the continuum job wait: one tick places them,
 *                  one commit makes that durable. Each move is appended to the stream of jobs, as the service does
 * --scene decide   so many jobs run and as many nodes as they need: what a decision costs (one ends, the next is placed), and what
 *                  a tick costs in which nothing happens
 * --scene restart  a store of `running` and `waiting` jobs: until it is open, read, and the first tick is through
 */
#include "bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../../services/schedule/schedule_core.h"
#include "store/stream.h"

enum { SCENE, NODES, RUNNING, WAITING, DECISIONS, DIR, OPTIONS };

static struct bench_option options[OPTIONS] = {
    [SCENE] = { "scene", "place, decide or restart", "place" },
    [NODES] = { "nodes", "of --scene place", "4000" },
    [RUNNING] = { "running", "jobs that run", "24000" },
    [WAITING] = { "waiting", "jobs that wait", "100000" },
    [DECISIONS] = { "decisions", "of --scene decide", "2000" },
    [DIR] = { "dir", "folder of the store, which is made", "" },
};

#define PROPOSED_AT_ONCE 10000
#define SECOND 1000000LL
#define GPUS_OF_A_NODE 6

static char *command[] = { (char *)"program", (char *)"{job}" };
static struct campaign_job types[] = {
    { .name = (char *)"continuum", .start = JOB_ALWAYS, .command = command, .command_count = 2, .nodes = 150, .cores = 24, .tries = 3 },
    { .name = (char *)"cg", .start = JOB_SELECTION, .command = command, .command_count = 2, .nodes = 1, .cores = 3, .gpus = 1,
      .near = (char *)"gpu", .tries = 3, .buffer = 1000000 },
};
static struct campaign campaign = { .jobs = types, .jobs_count = 2 };

struct world {
    struct shard *shard;
    struct schedule *core;
    struct machine machine;
    int64_t now_us;
    uint64_t candidates;
    size_t moves, bytes;            /* told to the sink */
};

static double cpu_of (int who)
{
    struct rusage use;
    getrusage (who, &use);
    return (double)use.ru_utime.tv_sec + (double)use.ru_stime.tv_sec
           + (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static double cpu_s (void)
{
    return cpu_of (RUSAGE_SELF);
}

static void commit (struct world *world)
{
    struct strata_error error;
    if (shard_commit (world->shard, &error) != 0)
        bench_fail ("%s", error.text);
}

static void on_job (void *arg, const Strata__Job *job)
{
    struct world *world = arg;
    struct strata_error error;
    size_t size = strata__job__get_packed_size (job);
    uint8_t *record = malloc (size);
    if (!record)
        bench_fail ("out of memory");
    strata__job__pack (job, record);
    if (stream_append (world->shard, "jobs", NULL, 0, record, size, world->now_us, NULL, &error) < 0)
        bench_fail ("%s", error.text);
    free (record);
    world->moves++;
    world->bytes += size;
}

static void on_event (void *arg, const char *kind, const char *subject, const char *text)
{
    if (strcmp (kind, "job-bug") == 0)
        bench_fail ("%s: %s", subject, text);
}

static void open_core (struct world *world)
{
    struct strata_error error;
    struct schedule_sink sink = { on_job, on_event, world };
    world->core = schedule_new (&campaign, world->shard, "/workspace", &world->machine, &sink, world->now_us, &error);
    if (!world->core)
        bench_fail ("%s", error.text);
}

static void world_open (struct world *world, size_t nodes)
{
    struct strata_error error;
    const struct campaign_machine summit = { .nodes = (unsigned)nodes, .sockets = 2, .cores = 22, .gpus = 3, .reserved = 1, .l2 = 2 };
    *world = (struct world){ .now_us = 1000 * SECOND };
    if (machine_add_described (&world->machine, &summit, &error) != 0)
        bench_fail ("%s", error.text);
    world->shard = shard_open (options[DIR].text, &error);
    if (!world->shard)
        bench_fail ("%s", error.text);
    open_core (world);
}

static void world_close (struct world *world)
{
    schedule_free (&world->core);
    shard_close (&world->shard);
    machine_fini (&world->machine);
}

/* Answers one question with `count` candidates, and confirms. */
static void answer (struct world *world, size_t count)
{
    Strata__ProposeReply reply = STRATA__PROPOSE_REPLY__INIT;
    Strata__Selection *all = calloc (count, sizeof (*all)), **list = calloc (count, sizeof (*list));
    char (*ids)[32] = calloc (count, sizeof (*ids)), name[64];
    if (!all || !list || !ids)
        bench_fail ("out of memory");
    for (size_t i = 0; i < count; i++) {
        strata__selection__init (&all[i]);
        snprintf (ids[i], sizeof (ids[i]), "macro/%08llu", (unsigned long long)world->candidates++);
        all[i].candidate = ids[i];
        list[i] = &all[i];
    }
    reply.selections = list;
    reply.n_selections = count;
    snprintf (name, sizeof (name), "%s", schedule_proposal_at (world->core, 0)->name);
    schedule_proposal_sent (world->core, 0);
    schedule_proposed (world->core, name, &reply, world->now_us);
    commit (world);
    schedule_confirmed (world->core, name, world->now_us);
    commit (world);
    free (ids);
    free (list);
    free (all);
}

/* Until so many wait; none is placed meanwhile. */
static void fill (struct world *world, size_t count)
{
    struct strata_error error;
    /* The continuum job takes it, where there is one. */
    if (schedule_update (world->core, "submissions", "1", &error) != 0 || schedule_update (world->core, "round_s", "86400", &error) != 0)
        bench_fail ("%s", error.text);
    while (count) {
        size_t n = count < PROPOSED_AT_ONCE ? count : PROPOSED_AT_ONCE;
        schedule_tick (world->core, world->now_us);
        if (!schedule_proposals (world->core))
            bench_fail ("the core asks for no candidates");
        answer (world, n);
        count -= n;
    }
    schedule_update (world->core, "submissions", "", &error);
    schedule_update (world->core, "round_s", "", &error);
}

static size_t count_placed (const struct world *world)
{
    return schedule_count (world->core, SCHEDULE_LAUNCHING);
}

static void launched_all (struct world *world)
{
    struct schedule_work work;
    struct strata_error error;
    for (bool more = schedule_first (world->core, SCHEDULE_LAUNCHING, &work); more; more = schedule_next (world->core, &work))
        if (schedule_launched (world->core, work.job->id, work.job->attempt, 1, world->now_us, &error) != 0)
            bench_fail ("%s", error.text);
}

/* What the disk takes for as many bytes, written and synced at once, without any store. */
static double plain_write_s (size_t bytes)
{
    char path[4200];
    snprintf (path, sizeof (path), "%s/plain", options[DIR].text);
    int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    char *buffer = calloc (bytes, 1);
    if (fd < 0 || !buffer)
        bench_fail ("%s can't be written", path);
    int64_t start = bench_now_ns ();
    if (write (fd, buffer, bytes) != (ssize_t)bytes || fdatasync (fd) != 0)
        bench_fail ("%s can't be written", path);
    double took = (double)(bench_now_ns () - start) / 1e9;
    close (fd);
    unlink (path);
    free (buffer);
    return took;
}

static void place (void)
{
    struct world world;
    struct schedule_figures figures;
    size_t nodes = bench_number (&options[NODES]), simulations = nodes * GPUS_OF_A_NODE;
    bool has_continuum = nodes >= 150;
    world_open (&world, nodes);
    fill (&world, simulations);
    size_t before = count_placed (&world);
    world.moves = world.bytes = 0;
    world.now_us += SECOND;
    double cpu = cpu_s ();
    int64_t start = bench_now_ns ();
    schedule_tick (world.core, world.now_us);
    int64_t decided = bench_now_ns ();
    double decided_cpu = cpu_s ();
    commit (&world);
    int64_t end = bench_now_ns ();
    size_t placed = count_placed (&world);
    schedule_figures (world.core, &figures);
    if (placed != simulations + has_continuum || figures.gpus_busy != figures.gpus || figures.misplaced)
        bench_fail ("%zu of %zu jobs were placed, %llu of %llu GPUs are held, %llu bindings are not as wished", placed, simulations + has_continuum,
                    (unsigned long long)figures.gpus_busy, (unsigned long long)figures.gpus, (unsigned long long)figures.misplaced);
    bench_figure ("placed", (double)(placed - before), "jobs");
    bench_figure ("place", (double)(end - start) / 1e9, "s");
    bench_figure ("place_cpu", cpu_s () - cpu, "s");
    bench_figure ("place_decided", (double)(decided - start) / 1e9, "s");
    bench_figure ("place_decided_cpu", decided_cpu - cpu, "s");
    /* Each record stands twice: under its key, and in the stream of jobs. */
    bench_figure ("plain_write", plain_write_s (2 * world.bytes), "s");
    cpu = cpu_s ();
    launched_all (&world);
    commit (&world);
    bench_figure ("launched_cpu", cpu_s () - cpu, "s");
    world_close (&world);
}

static void decide (void)
{
    struct world world;
    struct schedule_work work;
    struct strata_error error;
    size_t running = bench_number (&options[RUNNING]), decisions = bench_number (&options[DECISIONS]), done = 0;
    running = (running + GPUS_OF_A_NODE - 1) / GPUS_OF_A_NODE * GPUS_OF_A_NODE;
    size_t *numbers = calloc (running, sizeof (*numbers)); /* of the jobs that run */
    const struct outcome outcome = { .end = STRATA__JOB_END__END_EXIT, .started_us = 1001 * SECOND, .ended_us = 1002 * SECOND };
    types[0].nodes = 1;
    world_open (&world, running / GPUS_OF_A_NODE);
    fill (&world, running + decisions);
    for (size_t i = 0; i < running; i++)
        numbers[i] = i + 1;
    world.now_us += SECOND;
    schedule_tick (world.core, world.now_us);
    commit (&world);
    launched_all (&world);
    commit (&world);
    /* An end, its successor's start: as they come, a commit for every 50. */
    types[1].buffer = 1; /* no more candidates are asked for */
    unsigned seed = 7;
    /* Of this thread: the store's own sort what the fill has left, at whatever time they like. */
    double cpu = cpu_of (RUSAGE_THREAD);
    for (size_t i = 0; i < decisions; i++) {
        char id[64];
        size_t at = (size_t)rand_r (&seed) % running;
        snprintf (id, sizeof (id), "cg-%06zu", numbers[at]);
        if (!schedule_work_of (world.core, id, &work))
            bench_fail ("job %s does not run", id);
        numbers[at] = running + ++done; /* the next one in the queue */
        if (schedule_ended (world.core, work.job->id, work.job->attempt, &outcome, world.now_us, &error) != 0)
            bench_fail ("%s", error.text);
        world.now_us += SECOND / 100;
        schedule_tick (world.core, world.now_us);
        if (i % 50 == 49) {
            commit (&world);
            launched_all (&world);
        }
    }
    commit (&world);
    bench_figure ("decision_cpu", (cpu_of (RUSAGE_THREAD) - cpu) / (double)decisions * 1e6, "us");
    launched_all (&world);
    commit (&world);
    cpu = cpu_s ();
    enum { IDLE_TICKS = 100000 };
    for (int i = 0; i < IDLE_TICKS; i++)
        schedule_tick (world.core, world.now_us += SECOND / 10);
    bench_figure ("idle_tick_cpu", (cpu_s () - cpu) / IDLE_TICKS * 1e6, "us");
    world_close (&world);
    free (numbers);
}

static void restart (void)
{
    struct world world;
    struct strata_error error;
    size_t running = bench_number (&options[RUNNING]), waiting = bench_number (&options[WAITING]);
    world_open (&world, running / GPUS_OF_A_NODE);
    fill (&world, running + waiting);
    world.now_us += SECOND;
    schedule_tick (world.core, world.now_us);
    commit (&world);
    launched_all (&world);
    commit (&world);
    size_t live = schedule_live (world.core);
    schedule_free (&world.core);
    shard_close (&world.shard);
    double cpu = cpu_s ();
    int64_t start = bench_now_ns ();
    world.shard = shard_open (options[DIR].text, &error);
    if (!world.shard)
        bench_fail ("%s", error.text);
    bench_figure ("restart_open", (double)(bench_now_ns () - start) / 1e9, "s");
    open_core (&world);
    schedule_tick (world.core, world.now_us += SECOND);
    commit (&world);
    bench_figure ("restart", (double)(bench_now_ns () - start) / 1e9, "s");
    bench_figure ("restart_cpu", cpu_s () - cpu, "s");
    if (schedule_live (world.core) != live || schedule_count (world.core, SCHEDULE_RUNNING) < running)
        bench_fail ("%zu jobs were not ended, %zu were found", live, schedule_live (world.core));
    world_close (&world);
}

int main (int argc, char **argv)
{
    bench_arguments (argc, argv, "the scheduler's core at the size of a machine", options, OPTIONS);
    if (!options[DIR].text[0])
        bench_fail ("--dir is needed: a folder for the store");
    if (strcmp (options[SCENE].text, "place") == 0)
        place ();
    else if (strcmp (options[SCENE].text, "decide") == 0)
        decide ();
    else if (strcmp (options[SCENE].text, "restart") == 0)
        restart ();
    else
        bench_fail ("there is no scene %s", options[SCENE].text);
    return 0;
}
