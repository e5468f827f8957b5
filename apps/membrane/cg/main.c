/* membrane-cg - runs a coarse-grained membrane simulation with GROMACS and analyses it while it runs. See README.md. */
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dump.h"
#include "run.h"

static void usage (FILE *out)
{
    fputs (
        "Usage: membrane-cg --in DIR --out DIR --simulation ID [options]\n"
        "       membrane-cg --dump-xtc FILE\n"
        "\n"
        "Runs the simulation that membrane-createsim prepared in DIR with GROMACS, measures each frame while it runs,\n"
        "hands the measurements to the mesh, and writes OUT/done.json when all is kept. Run it again after any end to "
        "go on.\n"
        "\n"
        "  --in DIR              what createsim made: system.gro, system.top, index.ndx, cg.mdp, sim.json\n"
        "  --out DIR             working folder; made when it is not there\n"
        "  --simulation ID       the simulation's name: 1..200 of A-Z a-z 0-9 . _ + = @ -\n"
        "  --time-ns T           length, a whole number of frames (0.2)\n"
        "  --frame-ps T          time between measured frames (5)\n"
        "  --threads N           OpenMP threads of mdrun, 1..1024 (1)\n"
        "  --segment-steps N     steps from checkpoint to checkpoint, rounded up to whole frames (2500)\n"
        "  --rdf-stream NAME     stream of the pair histograms (rdfs)\n"
        "  --frame-stream NAME   stream of the frames (frames)\n"
        "  --no-mesh             write the measurements to OUT/analysis.jsonl instead\n"
        "  --dump-xtc FILE       print a trajectory as text, as `gmx dump -f` does, and end\n"
        "  --help                print this\n"
        "\n"
        "Exit: 0 done; 1 broken input or a frame could not be kept; 2 usage; 3 GROMACS failed; 4 GROMACS is missing;\n"
        "130, 143 told to stop (SIGINT, SIGTERM).\n",
        out);
}

static void wrong (const char *fmt, const char *what)
{
    fputs ("membrane-cg: ", stderr);
    fprintf (stderr, fmt, what);
    fputs ("; see membrane-cg --help\n", stderr);
    exit (CG_EXIT_USAGE);
}

static double number (const char *option, const char *text, double max)
{
    char *end;
    double v = strtod (text, &end);
    if (end == text || *end || !isfinite (v) || v <= 0 || v > max)
        wrong ("%s must be a number above 0 and not beyond reason", option);
    return v;
}

static int threads (const char *text)
{
    char *end;
    long v = strtol (text, &end, 10);
    if (end == text || *end || v < 1 || v > 1024)
        wrong ("--threads %s is not within 1 .. 1024", text);
    return (int)v;
}

static const char *name (const char *option, const char *text)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+=@-";
    size_t n = strlen (text);
    if (n < 1 || n > 200 || strspn (text, allowed) != n || strcmp (text, ".") == 0 || strcmp (text, "..") == 0)
        wrong ("%s must be 1..200 of A-Z a-z 0-9 . _ + = @ -", option);
    return text;
}

static int dump (const char *path)
{
    struct strata_error error;
    if (cg_dump_xtc (path, stdout, &error) == 0)
        return 0;
    fprintf (stderr, "membrane-cg: %s\n", error.text);
    return CG_EXIT_FAILED;
}

int main (int argc, char **argv)
{
    static const struct option options[] = {
        { "in", required_argument, NULL, 'i' },
        { "out", required_argument, NULL, 'o' },
        { "simulation", required_argument, NULL, 's' },
        { "time-ns", required_argument, NULL, 't' },
        { "frame-ps", required_argument, NULL, 'f' },
        { "threads", required_argument, NULL, 'n' },
        { "segment-steps", required_argument, NULL, 'S' },
        { "no-mesh", no_argument, NULL, 'm' },
        { "rdf-stream", required_argument, NULL, 'r' },
        { "frame-stream", required_argument, NULL, 'F' },
        { "dump-xtc", required_argument, NULL, 'd' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    struct cg_options o = { .time_ns = 0.2,
                            .frame_ps = 5,
                            .threads = 1,
                            .segment_steps = 2500,
                            .mesh = true,
                            .rdf_stream = "rdfs",
                            .frame_stream = "frames" };
    int c;
    while ((c = getopt_long (argc, argv, "h", options, NULL)) != -1) {
        switch (c) {
        case 'i': o.in = optarg; break;
        case 'o': o.out = optarg; break;
        case 's': o.simulation = name ("--simulation", optarg); break;
        case 't': o.time_ns = number ("--time-ns", optarg, 1e6); break;
        case 'f': o.frame_ps = number ("--frame-ps", optarg, 1e9); break;
        case 'S': o.segment_steps = (int64_t)number ("--segment-steps", optarg, INT32_MAX); break;
        case 'n': o.threads = threads (optarg); break;
        case 'm': o.mesh = false; break;
        case 'r': o.rdf_stream = name ("--rdf-stream", optarg); break;
        case 'F': o.frame_stream = name ("--frame-stream", optarg); break;
        case 'd': return dump (optarg);
        case 'h': usage (stdout); return 0;
        default: wrong ("%s", "the option above is unknown or incomplete");
        }
    }
    if (optind < argc)
        wrong ("'%s' is not an option", argv[optind]);
    if (!o.in || !o.out || !o.simulation)
        wrong ("%s is missing", !o.in ? "--in" : !o.out ? "--out" : "--simulation");
    struct sigaction action = { .sa_handler = cg_run_stop };
    sigaction (SIGTERM, &action, NULL);
    sigaction (SIGINT, &action, NULL);
    signal (SIGPIPE, SIG_IGN);
    struct strata_error error = { "" };
    int rc = cg_run (&o, &error);
    if (rc != CG_EXIT_DONE)
        fprintf (stderr, "membrane-cg: %s\n", error.text);
    return rc;
}
