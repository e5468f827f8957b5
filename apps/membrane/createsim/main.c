/* main.c - membrane-createsim: arguments and wiring. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "fetch.h"
#include "gmx.h"

static const char *const usage =
    "usage: membrane-createsim (--patch FILE.npz | --candidate ID) --out DIR [options]\n"
    "Makes an equilibrated Martini 2 membrane simulation for GROMACS of a patch of the continuum model.\n"
    "  --patch FILE.npz     the patch; or\n"
    "  --candidate ID       its id: fetched from the stage of this node (STRATA_WORKSPACE)\n"
    "  --out DIR            where the simulation goes; a finished one there is left as it is\n"
    "  --edge-nm E          build the central E x E nm (default: the whole patch, 30)\n"
    "  --threads N          for GROMACS (default 1)\n"
    "  --seed S             same seed, same starting coordinates (default 1)\n"
    "  --antifreeze F       share of the water that is antifreeze, 0 to 0.5 (default 0.1)\n"
    "  --forcefield DIR     the tables (default: looked for beside the program, in the campaign, installed)\n"
    "  --gmx PROGRAM        GROMACS (default gmx)\n"
    "  --help\n"
    "exit codes: 0 done; 1 disk, memory or stage; 2 usage; 3 this patch can't be built; 4 no GROMACS; 128+n signal n\n";

struct arguments {
    const char *patch, *candidate;
    struct createsim_job job;
};

static int number (const char *name, const char *text, double least, double most, double *value)
{
    char *end;

    errno = 0;
    *value = strtod (text, &end);
    if (end != text && *end == '\0' && errno == 0 && *value >= least && *value <= most)
        return 0;
    fprintf (stderr, "membrane-createsim: --%s: \"%s\" is not a number of %g to %g\n", name, text, least, most);
    return -1;
}

/* 0, 1 = --help, -1 = said what is wrong */
static int parse (int argc, char **argv, struct arguments *arguments)
{
    static const struct option options[] = {
        { "patch", required_argument, NULL, 'p' },     { "candidate", required_argument, NULL, 'c' },
        { "out", required_argument, NULL, 'o' },       { "edge-nm", required_argument, NULL, 'e' },
        { "threads", required_argument, NULL, 't' },   { "seed", required_argument, NULL, 's' },
        { "antifreeze", required_argument, NULL, 'a' }, { "forcefield", required_argument, NULL, 'f' },
        { "gmx", required_argument, NULL, 'g' },       { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    struct createsim_job *job = &arguments->job;
    double value;
    int option, rc = 0;

    while (rc == 0 && (option = getopt_long (argc, argv, "h", options, NULL)) != -1)
        switch (option) {
        case 'p': arguments->patch = optarg; break;
        case 'c': arguments->candidate = optarg; break;
        case 'o': job->out = optarg; break;
        case 'f': job->forcefield = optarg; break;
        case 'g': job->gmx = optarg; break;
        case 'e': rc = number ("edge-nm", optarg, 3, 1000, &job->options.edge_nm); break;
        case 'a': rc = number ("antifreeze", optarg, 0, 0.5, &job->options.antifreeze); break;
        case 't':
            if ((rc = number ("threads", optarg, 1, 1024, &value)) == 0)
                job->threads = (unsigned) value;
            break;
        case 's':
            if ((rc = number ("seed", optarg, 0, 9e15, &value)) == 0)
                job->options.seed = (uint64_t) value;
            break;
        case 'h': return 1;
        default: rc = -1;
        }
    if (rc == 0 && optind < argc) {
        fprintf (stderr, "membrane-createsim: what is \"%s\"? Every argument has a name; see --help\n", argv[optind]);
        rc = -1;
    } else if (rc == 0 && (job->out == NULL || (arguments->patch == NULL) == (arguments->candidate == NULL))) {
        fprintf (stderr,
                 "membrane-createsim: needs --out DIR and one of --patch FILE.npz and --candidate ID; see --help\n");
        rc = -1;
    }
    return rc;
}

static int load (const struct arguments *arguments, struct createsim_patch *patch, struct strata_error *error)
{
    int broken = 1;

    if (arguments->patch != NULL)
        return createsim_patch_load (arguments->patch, patch, error) == 0 ? CREATESIM_OK : CREATESIM_UNBUILDABLE;
    if (createsim_fetch (arguments->candidate, patch, &broken, error) == 0)
        return CREATESIM_OK;
    if (createsim_gmx_stopped ())
        return 128 + createsim_gmx_stopped ();
    return broken ? CREATESIM_UNBUILDABLE : CREATESIM_IO;
}

int main (int argc, char **argv)
{
    struct arguments arguments = { .job = { .gmx = "gmx", .threads = 1,
                                            .options = { .salt_molar = 0.15, .antifreeze = 0.1, .seed = 1 } } };
    struct sigaction action = { .sa_handler = createsim_gmx_on_signal };
    struct createsim_patch patch;
    struct strata_error error = { "" };
    char there[256];
    int rc = parse (argc, argv, &arguments);

    if (rc != 0) {
        if (rc > 0)
            fputs (usage, stdout);
        return rc > 0 ? 0 : CREATESIM_USAGE;
    }
    sigaction (SIGTERM, &action, NULL);
    sigaction (SIGINT, &action, NULL);
    if ((rc = load (&arguments, &patch, &error)) == CREATESIM_OK) {
        if (arguments.job.options.edge_nm == 0)
            arguments.job.options.edge_nm = patch.edge_nm;
        if (!createsim_finished (arguments.job.out, there, sizeof there))
            rc = createsim_build (&arguments.job, &patch, &error);
        else if (strcmp (there, patch.id) == 0)
            printf ("createsim: %s already holds the finished simulation of patch %s\n", arguments.job.out, there);
        else {
            strata_fail (&error, "%s holds the simulation of another patch, %s; choose another folder",
                         arguments.job.out, there);
            rc = CREATESIM_USAGE;
        }
        createsim_patch_fini (&patch);
    }
    if (rc != CREATESIM_OK)
        fprintf (stderr, "membrane-createsim: %s\n", error.text);
    return rc;
}
