/* main.c - strata-emulate: the arguments of `strata emulate`, a folder for the stores, and the runs. */
#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "report.h"
#include "world.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

struct arguments {
    const char *file, *machine, *plot, *stores;
    double hours;
    uint64_t seed;
    uint64_t prepared;
    bool prepared_given, json, paper;
    unsigned frames;
};

static const char usage_text[] =
    "usage: strata emulate FILE [--machine NAME:NODES] [--hours H] [--seed N] [--prepared N] [--paper] [--frames N]\n"
    "                      [--plot DIR] [--stores DIR] [--json]\n\n"
    "strata emulate: runs a campaign on a machine that is not there, in virtual time\n"
    "The cores of select, schedule and feedback are those of production, each on a store on disk; jobs take as long as the\n"
    "campaign file says (jobs[].model), fail and lose their nodes. The same seed gives the same run. Prints what is busy every 10\n"
    "virtual minutes after the machine was loaded, jobs started over time, sizes of feedback, and what the cores cost.\n"
    "  --machine NAME:NODES  summit (2 x 21 cores and 2 x 3 GPUs a node) or lassen (2 x 20, 2 x 2); default: schedule.machine\n"
    "  --hours H             virtual hours; default 24\n"
    "  --seed N              of all that is drawn; default: the campaign's\n"
    "  --prepared N          simulations that are ready when it begins, and have run for a part of their time; default: as many as\n"
    "                        GPUs, with --paper 0. 0: a campaign that begins, and must set up all of them first\n"
    "  --paper               32 runs on 100, 500, 1,000 and 4,000 nodes, each restored from the stores of the one before\n"
    "  --frames N            of a round of feedback that its core sums up, the others are only counted; default 200\n"
    "  --plot DIR            writes figures (gnuplot) and their numbers\n"
    "  --stores DIR          keeps the stores there; default: a folder in $TMPDIR that is removed\n"
    "exit codes: 0 done, 1 failed, 2 wrong usage or mistakes in the campaign file, 130 interrupted\n";

static volatile sig_atomic_t interrupted;

static void on_signal (int signal)
{
    interrupted = 1;
}

static int usage (const char *fmt, const char *what)
{
    fprintf (stderr, "strata emulate: ");
    fprintf (stderr, fmt, what);
    fprintf (stderr, "; strata emulate --help says more\n");
    return EXIT_USAGE;
}

static int fail (const struct arguments *args, const char *sentence)
{
    if (args->json)
        printf ("{\"error\": \"%s\"}\n", sentence);
    fprintf (stderr, "strata: %s\n", sentence);
    return EXIT_FAILED;
}

static bool whole (const char *text, uint64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoull (text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && !*end && errno == 0;
}

/* 0, or the exit code + 1. */
static int parse (int argc, char **argv, struct arguments *args)
{
    static const struct option options[] = {
        { "machine", required_argument, NULL, 'm' }, { "hours", required_argument, NULL, 't' },
        { "seed", required_argument, NULL, 's' },    { "prepared", required_argument, NULL, 'r' },
        { "frames", required_argument, NULL, 'f' },  { "plot", required_argument, NULL, 'p' },
        { "stores", required_argument, NULL, 'd' },  { "json", no_argument, NULL, 'j' },
        { "paper", no_argument, NULL, 'P' },         { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    bool seeded = false;
    uint64_t frames = 200;
    *args = (struct arguments){ .hours = 24 };
    for (int opt; (opt = getopt_long (argc, argv, "h", options, NULL)) != -1;) {
        char *end = NULL;
        if (opt == 'h') {
            fputs (usage_text, stdout);
            return EXIT_OK + 1;
        }
        if (opt == '?')
            return EXIT_USAGE + 1;
        args->machine = opt == 'm' ? optarg : args->machine;
        args->plot = opt == 'p' ? optarg : args->plot;
        args->stores = opt == 'd' ? optarg : args->stores;
        args->json = args->json || opt == 'j';
        args->paper = args->paper || opt == 'P';
        args->prepared_given = args->prepared_given || opt == 'r';
        seeded = seeded || opt == 's';
        if (opt == 't' && (args->hours = strtod (optarg, &end), end == optarg || *end || !(args->hours > 0 && args->hours <= 87600)))
            return usage ("--hours: %s is no number above 0 and at most 87600", optarg) + 1;
        if ((opt == 's' && !whole (optarg, &args->seed)) || (opt == 'r' && (!whole (optarg, &args->prepared) || args->prepared > 10000000))
            || (opt == 'f' && (!whole (optarg, &frames) || frames > 1000000)))
            return usage ("'%s' is no whole number, or too large", optarg) + 1;
    }
    if (optind + 1 != argc)
        return usage ("%s", "one campaign file is needed") + 1;
    args->frames = (unsigned)frames;
    args->file = argv[optind];
    if (!seeded)
        args->seed = UINT64_MAX;
    return 0;
}

/* ---- the machine ---- */

static int make_machine (const char *name, size_t nodes, const struct campaign *campaign, struct machine *machine, struct strata_error *error)
{
    static const struct {
        const char *name;
        struct campaign_machine node;
    } known[] = {
        { "summit", { .nodes = 1, .sockets = 2, .cores = 22, .gpus = 3, .reserved = 1, .l2 = 2, .memory_mb = 524288 } },
        { "lassen", { .nodes = 1, .sockets = 2, .cores = 22, .gpus = 2, .reserved = 2, .l2 = 2, .memory_mb = 262144 } },
    };
    struct campaign_machine described = campaign->schedule.machine;
    size_t n = name ? strcspn (name, ":") : 0;
    uint64_t given = 0;
    bool found = !name;
    for (size_t i = 0; name && i < sizeof (known) / sizeof (known[0]); i++)
        if (strlen (known[i].name) == n && strncmp (name, known[i].name, n) == 0) {
            described = known[i].node;
            found = true;
        }
    if (!found || (name && name[n] && (!whole (name + n + 1, &given) || given == 0 || given > 1000000)))
        return strata_fail (error, "--machine: '%s' must be summit:NODES or lassen:NODES, NODES from 1 to 1000000", name);
    if (given)
        described.nodes = (unsigned)given;
    if (nodes)
        described.nodes = (unsigned)nodes;
    if (!described.nodes)
        return strata_fail (error, "%s describes no machine (schedule.machine); --machine names one", campaign->path);
    return machine_add_described (machine, &described, error);
}

/* ---- the stores ---- */

static int remove_one (const char *path, const struct stat *st, int kind, struct FTW *at)
{
    return remove (path);
}

static void remove_tree (const char *folder)
{
    if (nftw (folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
        fprintf (stderr, "strata: %s can't be removed: %s\n", folder, strerror (errno));
}

/* ---- a run ---- */

struct running {
    struct report report;
    bool progress;
    const char *what;
};

static int on_sample (const struct world_sample *sample, void *arg)
{
    struct running *running = arg;
    report_add (&running->report, sample);
    if (running->progress)
        fprintf (stderr, "\r%s%6.1f h  %6.2f %% of %" PRIu64 " GPUs busy ", running->what, sample->hours,
                 sample->gpus ? 100.0 * (double)sample->gpus_busy / (double)sample->gpus : 0, sample->gpus);
    return interrupted;
}

static double wall_s (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Since the process began. */
static void costs_now (struct report_costs *costs)
{
    struct rusage use;
    getrusage (RUSAGE_SELF, &use);
    costs->cpu_s = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) + (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
    costs->memory_mb = (double)use.ru_maxrss / 1024;
}

static int run_once (const struct arguments *args, const struct campaign *campaign, const char *folder, struct strata_error *error)
{
    struct machine machine = { .count = 0 };
    struct running running = { .report = { .campaign = campaign }, .progress = isatty (STDERR_FILENO), .what = "" };
    struct world_totals totals;
    struct world *world = NULL;
    int rc = make_machine (args->machine, 0, campaign, &machine, error);
    double start = wall_s ();
    struct report_costs costs = { .hours = args->hours, .seed = args->seed, .nodes = machine_nodes (&machine) };
    uint64_t gpus = rc == 0 ? machine_nodes (&machine) * machine.groups[0].gpus : 0;
    struct world_options options = { campaign, &machine, folder, args->seed, args->prepared_given ? args->prepared : gpus, args->frames };
    if (rc == 0)
        rc = (world = world_new (&options, error)) ? world_run (world, args->hours, on_sample, &running, error) : -1;
    if (running.progress)
        fprintf (stderr, "\r%60s\r", "");
    if (rc == 0) {
        costs.wall_s = wall_s () - start;
        costs_now (&costs);
        world_totals (world, &totals);
        report_finish (&running.report);
        if (args->json) {
            json_t *json = report_json (&running.report, &totals, &costs);
            json_dumpf (json, stdout, JSON_INDENT (1) | JSON_REAL_PRECISION (6));
            printf ("\n");
            json_decref (json);
        }
        else
            report_print (&running.report, &totals, &costs, stdout);
        if (args->plot)
            rc = report_plot (&running.report, args->plot, error);
    }
    report_fini (&running.report);
    world_free (&world);
    machine_fini (&machine);
    return rc;
}

/* ---- the paper's runs ---- */

/* Table 1 of MuMMI (SC'21): 32 runs, 600,600 node hours. */
static const struct paper_runs {
    unsigned nodes, hours, runs;
} paper[] = { { 100, 6, 5 }, { 100, 12, 3 }, { 500, 12, 3 }, { 1000, 24, 20 }, { 4000, 24, 1 } };

static json_t *paper_line (const struct arguments *args, struct report *report, unsigned run, const struct paper_runs *of, double start)
{
    struct report_costs costs;
    report_finish (report);
    costs_now (&costs);
    bool was_loaded = report->loaded < report->count;
    double loaded = was_loaded ? report->samples[report->loaded].hours : -1;
    uint64_t started = 0, frames = 0;
    for (size_t i = 0; i < report->count; i++) {
        started += report->samples[i].started;
        frames += report->samples[i].frames;
    }
    if (!args->json) {
        printf ("%3u %6u %6u %9u %8.2f", run, of->nodes, of->hours, of->nodes * of->hours, report->gpus_whole);
        if (was_loaded)
            printf (" %8.1f %8.2f %8.2f %8.2f", loaded, report->gpus.mean, report->gpus.full, report->cores.mean);
        else
            printf (" %8s %8s %8s %8s", "never", "-", "-", "-");
        printf (" %9" PRIu64 " %11" PRIu64 " %8.0f\n", started, frames, wall_s () - start);
        fflush (stdout);
    }
    return json_pack ("{s:i, s:i, s:i, s:f, s:o, s:o, s:o, s:o, s:I, s:I, s:f}", "run", (int)run, "nodes", (int)of->nodes, "hours", (int)of->hours,
                      "gpu_mean_whole_run", report->gpus_whole, "loaded_after_hours", was_loaded ? json_real (loaded) : json_null (), "gpu_mean",
                      was_loaded ? json_real (report->gpus.mean) : json_null (), "gpu_time_at_least_98",
                      was_loaded ? json_real (report->gpus.full) : json_null (), "core_mean",
                      was_loaded ? json_real (report->cores.mean) : json_null (), "started", (json_int_t)started, "frames",
                      (json_int_t)frames, "wall_s", wall_s () - start);
}

/* Each run goes on from the stores of the one before, whatever its number of nodes. */
static int run_paper (const struct arguments *args, const struct campaign *campaign, const char *folder, struct strata_error *error)
{
    struct machine machine[2] = { { .count = 0 }, { .count = 0 } };
    struct world *world = NULL;
    json_t *runs = json_array ();
    unsigned run = 0;
    int rc = 0;
    if (!args->json)
        printf ("%27s %8s %35s\n%3s %6s %6s %9s %8s %8s %8s %8s %8s %9s %11s %8s\n", "", "in all", "once 98 % of the GPUs are busy", "run", "nodes",
                "hours", "node-h", "GPUs %", "after h", "GPUs %", ">=98 %", "cores %", "started", "frames", "real s");
    for (size_t i = 0; i < sizeof (paper) / sizeof (paper[0]); i++)
        for (unsigned n = 0; rc == 0 && !interrupted && n < paper[i].runs; n++, run++) {
            struct machine *here = &machine[run % 2];
            char what[64];
            snprintf (what, sizeof (what), "run %u, %u nodes, %u h: ", run + 1, paper[i].nodes, paper[i].hours);
            struct running running = { .report = { .campaign = campaign }, .progress = isatty (STDERR_FILENO) && !args->json, .what = what };
            double start = wall_s ();
            machine_fini (here);
            rc = make_machine (args->machine ? args->machine : "summit", paper[i].nodes, campaign, here, error);
            struct world_options options = { campaign, here, folder, args->seed, args->prepared, args->frames };
            if (rc == 0 && run == 0)
                rc = (world = world_new (&options, error)) ? 0 : -1;
            else if (rc == 0)
                rc = world_restart (world, here, error);
            if (rc == 0)
                rc = world_run (world, paper[i].hours, on_sample, &running, error);
            if (running.progress)
                fprintf (stderr, "\r%60s\r", "");
            if (rc == 0 && !interrupted)
                json_array_append_new (runs, paper_line (args, &running.report, run + 1, &paper[i], start));
            report_fini (&running.report);
        }
    if (rc == 0 && args->json) {
        json_dumpf (runs, stdout, JSON_INDENT (1) | JSON_REAL_PRECISION (6));
        printf ("\n");
    }
    json_decref (runs);
    world_free (&world);
    machine_fini (&machine[0]);
    machine_fini (&machine[1]);
    return rc;
}

int main (int argc, char **argv)
{
    struct arguments args;
    struct strata_error error;
    char folder[4096];
    log_init ("strata-emulate");
    int rc = parse (argc, argv, &args);
    if (rc)
        return rc - 1;
    struct campaign_mistakes mistakes;
    struct campaign *campaign = campaign_load (args.file, &mistakes);
    for (size_t i = 0; !campaign && i < mistakes.count; i++)
        fprintf (stderr, "%s\n", mistakes.lines[i]);
    campaign_mistakes_fini (&mistakes);
    if (!campaign)
        return EXIT_USAGE;
    if (args.seed == UINT64_MAX)
        args.seed = campaign->seed;
    struct sigaction action = { .sa_handler = on_signal };
    sigaction (SIGINT, &action, NULL);
    sigaction (SIGTERM, &action, NULL);
    const char *tmp = getenv ("TMPDIR");
    snprintf (folder, sizeof (folder), "%s/strata-emulate.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (args.stores)
        snprintf (folder, sizeof (folder), "%s", args.stores);
    else if (!mkdtemp (folder)) {
        campaign_free (&campaign);
        return fail (&args, "no folder for the stores can be made in $TMPDIR");
    }
    rc = (args.paper ? run_paper : run_once) (&args, campaign, folder, &error);
    if (!args.stores)
        remove_tree (folder);
    campaign_free (&campaign);
    if (rc != 0)
        return fail (&args, error.text);
    return interrupted ? EXIT_INTERRUPTED : EXIT_OK;
}
