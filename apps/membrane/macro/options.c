/* options.c - the command line of membrane-macro. */
#include "macro.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char macro_usage[] =
    "usage: membrane-macro --out DIR [options]\n"
    "\n"
    "Runs the continuum model of the membrane (dynamic density functional theory of 14 lipids, RAS and RAF\n"
    "particles), writes snapshots to DIR, hands them to the campaign's queue, and takes up reports of the feedback\n"
    "service while it runs. Goes on from the checkpoint in DIR if there is one. SIGTERM: checkpoint and end.\n"
    "\n"
    "  --out DIR             folder of snapshots and checkpoints; made if it is not there\n"
    "  --report DIR          folder in which the feedback service keeps its rounds and the link `current`\n"
    "  --preset NAME         quick: 480 x 480 points, 12 RAS (default); paper: 2400 x 2400 points, 300 RAS\n"
    "  --nx N                points along each side\n"
    "  --spacing-nm X        distance of two points (0.41667)\n"
    "  --ras N               RAS particles\n"
    "  --noise X             amplitude of the lipids' noise against full thermal noise (0.03); 0 = none\n"
    "  --seed N              of all random numbers (1)\n"
    "  --threads N           (1); the result does not depend on it\n"
    "  --steps N             end at this step; 0 = run until stopped (0)\n"
    "  --snapshot-every N    steps between snapshots (quick 40, paper 4000)\n"
    "  --checkpoint-every N  steps between checkpoints (quick 40, paper 500)\n"
    "  --max-snapshots N     end after this many snapshots, counted from step 0; 0 = no limit (0)\n"
    "  --pace SECONDS        wall time between two snapshots at the least (quick 15, paper 0)\n"
    "  --nice N              lower the process's priority by this much (quick 5, paper 0)\n"
    "  --mix X               weight of a new report's potentials against those in force, 0 to 1 (0.5)\n"
    "  --min-count N         counts that a state and lipid must have for its potential to change (50)\n"
    "  --queue NAME          queue of the campaign that gets the snapshots (snapshots)\n"
    "  --no-mesh             no campaign: snapshots stay on disk, nothing is published\n"
    "  --help                this text\n";

enum option_id {
    OPT_OUT, OPT_REPORT, OPT_PRESET, OPT_NX, OPT_SPACING, OPT_RAS, OPT_NOISE, OPT_SEED, OPT_THREADS, OPT_STEPS,
    OPT_SNAPSHOT, OPT_CHECKPOINT, OPT_MAX_SNAPSHOTS, OPT_PACE, OPT_NICE, OPT_MIX, OPT_MIN_COUNT, OPT_QUEUE, OPT_NO_MESH,
    OPT_HELP
};

static const struct option long_options[] = {
    {"out", required_argument, NULL, OPT_OUT},
    {"report", required_argument, NULL, OPT_REPORT},
    {"preset", required_argument, NULL, OPT_PRESET},
    {"nx", required_argument, NULL, OPT_NX},
    {"spacing-nm", required_argument, NULL, OPT_SPACING},
    {"ras", required_argument, NULL, OPT_RAS},
    {"noise", required_argument, NULL, OPT_NOISE},
    {"seed", required_argument, NULL, OPT_SEED},
    {"threads", required_argument, NULL, OPT_THREADS},
    {"steps", required_argument, NULL, OPT_STEPS},
    {"snapshot-every", required_argument, NULL, OPT_SNAPSHOT},
    {"checkpoint-every", required_argument, NULL, OPT_CHECKPOINT},
    {"max-snapshots", required_argument, NULL, OPT_MAX_SNAPSHOTS},
    {"pace", required_argument, NULL, OPT_PACE},
    {"nice", required_argument, NULL, OPT_NICE},
    {"mix", required_argument, NULL, OPT_MIX},
    {"min-count", required_argument, NULL, OPT_MIN_COUNT},
    {"queue", required_argument, NULL, OPT_QUEUE},
    {"no-mesh", no_argument, NULL, OPT_NO_MESH},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static int whole (const char *name, const char *text, uint64_t least, uint64_t most, uint64_t *value,
                  struct strata_error *error)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull (text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || number < least || number > most)
        return strata_fail (error, "--%s '%s' is no whole number from %llu to %llu", name, text,
                            (unsigned long long)least, (unsigned long long)most);
    *value = number;
    return 0;
}

static int real (const char *name, const char *text, double least, double most, double *value,
                 struct strata_error *error)
{
    char *end;
    double number = strtod (text, &end);
    if (end == text || *end || !(number >= least && number <= most))
        return strata_fail (error, "--%s '%s' is no number from %g to %g", name, text, least, most);
    *value = number;
    return 0;
}

static int apply_preset (struct macro_settings *self, const char *name, struct strata_error *error)
{
    bool quick = strcmp (name, "quick") == 0;
    if (!quick && strcmp (name, "paper") != 0)
        return strata_fail (error, "--preset '%s' is neither quick nor paper", name);
    *self = (struct macro_settings){.queue = "snapshots", .mesh = true};
    if (quick)
        macro_options_quick (&self->model);
    else
        macro_options_paper (&self->model);
    self->snapshot_every = quick ? 40 : 4000;
    self->checkpoint_every = quick ? 40 : 500;
    self->pace_s = quick ? 15 : 0;
    self->nice = quick ? 5 : 0;
    return 0;
}

/* One option other than --preset. */
static int apply (struct macro_settings *self, int id, const char *name, const char *text, struct strata_error *error)
{
    uint64_t n = 0;
    int r = 0;
    switch (id) {
    case OPT_OUT: self->out = text; break;
    case OPT_REPORT: self->report = text; break;
    case OPT_QUEUE: self->queue = text; break;
    case OPT_NO_MESH: self->mesh = false; break;
    case OPT_HELP: self->help = true; break;
    case OPT_NX:
        r = whole (name, text, 16, 16384, &n, error);
        self->model.nx = self->model.ny = n;
        break;
    case OPT_RAS:
        r = whole (name, text, 0, 30000, &n, error);
        self->model.ras = n;
        break;
    case OPT_THREADS:
        r = whole (name, text, 1, 1024, &n, error);
        self->model.threads = (int)n;
        break;
    case OPT_NICE:
        r = whole (name, text, 0, 19, &n, error);
        self->nice = (int)n;
        break;
    case OPT_SEED: return whole (name, text, 0, UINT64_MAX, &self->model.seed, error);
    case OPT_STEPS: return whole (name, text, 0, 99999999, &self->steps, error);
    case OPT_SNAPSHOT: return whole (name, text, 1, 99999999, &self->snapshot_every, error);
    case OPT_CHECKPOINT: return whole (name, text, 1, 99999999, &self->checkpoint_every, error);
    case OPT_MAX_SNAPSHOTS: return whole (name, text, 0, 99999999, &self->max_snapshots, error);
    case OPT_SPACING: return real (name, text, 0.1, 10, &self->model.spacing_nm, error);
    case OPT_NOISE: return real (name, text, 0, 10, &self->model.noise, error);
    case OPT_PACE: return real (name, text, 0, 86400, &self->pace_s, error);
    case OPT_MIX: return real (name, text, 0, 1, &self->model.mix, error);
    case OPT_MIN_COUNT: return real (name, text, 1, 1e12, &self->model.min_count, error);
    default: break;
    }
    return r;
}

/* getopt_long keeps its place in globals; 0 makes it start over. */
static int next_option (int argc, char *const argv[], int *index, bool restart)
{
    if (restart)
        optind = 0;
    opterr = 0;
    return getopt_long (argc, argv, ":", long_options, index);
}

int macro_settings_parse (struct macro_settings *self, int argc, char *const argv[], struct strata_error *error)
{
    int index = 0, id;
    if (apply_preset (self, "quick", error) < 0)
        return -1;
    /* the preset first, wherever it stands: it sets what others override */
    for (bool first = true; (id = next_option (argc, argv, &index, first)) != -1; first = false) {
        if (id == '?' || id == ':')
            return strata_fail (error, "%s %s; see --help", argv[optind - 1],
                                id == ':' ? "needs a value" : "is no option of this program");
        if (id == OPT_PRESET && apply_preset (self, optarg, error) < 0)
            return -1;
    }
    if (optind < argc)
        return strata_fail (error, "'%s' is no option of this program; see --help", argv[optind]);
    for (bool first = true; (id = next_option (argc, argv, &index, first)) != -1; first = false)
        if (apply (self, id, long_options[index].name, optarg, error) < 0)
            return -1;
    if (!self->help && !self->out)
        return strata_fail (error, "--out is missing: the folder for snapshots and checkpoints");
    return 0;
}
