/* main.c - strata-shepherd: arguments. What it does is in shepherd.h. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/log.h"
#include "shepherd.h"

static const char usage[] =
    "usage: strata-shepherd --dir FOLDER --attempt N [options] -- COMMAND [ARGUMENT]...\n"
    "Runs one attempt of a job, sees to it that nothing of it outlives it, and writes FOLDER/attempt-N/outcome.json.\n"
    "Started by strata-schedule; outlives it. SIGTERM ends the job.\n"
    "  --dir FOLDER     the job's folder, where the command runs\n"
    "  --attempt N      1, 2 ...; a number that was used is refused (exit code 75)\n"
    "  --walltime S     end it after S seconds (default: never)\n"
    "  --grace S        from SIGTERM to SIGKILL (default 20)\n"
    "  --cores LIST     bind it to these processors, e.g. 0,1 (default: not bound)\n"
    "  --memory-mb M    end it when its processes use more than M MiB (default: no limit)\n"
    "  --output-mb M    end it when its stdout and stderr together have more than M MiB (default: no limit)\n"
    "  --success FILE   after exit code 0, FILE in FOLDER must be there and not empty; may be repeated\n"
    "  --lock-fd FD     attempt-N/lock, open and locked (for strata-schedule)\n"
    "  --starter PID    sync nothing while PID, which started this, lives: it keeps a store of its own (for strata-schedule)\n"
    "  --guard          end what is left when this process itself is killed (for batch systems)\n"
    "  --help           this text\n";

static int wrong (const char *option, const char *value)
{
    fprintf (stderr, "strata-shepherd: %s %s is not allowed; see --help\n", option, value);
    return 2;
}

static int parse_number (const char *option, const char *text, unsigned long min, unsigned long max, unsigned *number)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul (text, &end, 10);
    if (errno || end == text || *end || text[0] == '-' || value < min || value > max)
        return wrong (option, text);
    *number = (unsigned)value;
    return 0;
}

static int parse_cores (struct shepherd_options *options, const char *text)
{
    const char *rest = text;
    free (options->cores);
    options->cores_count = 0;
    options->cores = calloc (strlen (text) + 1, sizeof (*options->cores));
    if (!options->cores)
        return wrong ("--cores", "(out of memory)");
    while (*rest) {
        char *end;
        unsigned long value = strtoul (rest, &end, 10);
        if (end == rest || *rest == '-' || value > 65535 || (*end && *end != ','))
            return wrong ("--cores", text);
        options->cores[options->cores_count++] = (uint32_t)value;
        rest = *end ? end + 1 : end;
    }
    return 0;
}

static int parse (struct shepherd_options *options, int argc, char **argv)
{
    static const struct option table[] = {
        { "dir", required_argument, NULL, 'd' },      { "attempt", required_argument, NULL, 'a' },
        { "walltime", required_argument, NULL, 'w' }, { "grace", required_argument, NULL, 'g' },
        { "cores", required_argument, NULL, 'c' },    { "memory-mb", required_argument, NULL, 'm' },
        { "success", required_argument, NULL, 's' },  { "lock-fd", required_argument, NULL, 'l' },
        { "guard", no_argument, NULL, 'G' },          { "help", no_argument, NULL, 'h' },
        { "output-mb", required_argument, NULL, 'o' }, { "starter", required_argument, NULL, 'p' },
        { NULL, 0, NULL, 0 },
    };
    int c, rc = 0;
    unsigned fd;
    while (rc == 0 && (c = getopt_long (argc, argv, "+", table, NULL)) != -1)
        switch (c) {
        case 'd': options->dir = optarg; break;
        case 'a': rc = parse_number ("--attempt", optarg, 1, 1000000000, &options->attempt); break;
        case 'w': rc = parse_number ("--walltime", optarg, 0, INT_MAX, &options->walltime_s); break;
        case 'g': rc = parse_number ("--grace", optarg, 0, INT_MAX, &options->grace_s); break;
        case 'c': rc = parse_cores (options, optarg); break;
        case 'm': rc = parse_number ("--memory-mb", optarg, 0, INT_MAX, &options->memory_mb); break;
        case 'o': rc = parse_number ("--output-mb", optarg, 0, INT_MAX, &options->output_mb); break;
        case 'p': rc = parse_number ("--starter", optarg, 1, INT_MAX, &options->starter); break;
        case 's': options->success[options->success_count++] = optarg; break;
        case 'l':
            rc = parse_number ("--lock-fd", optarg, 3, 1000000, &fd);
            if (rc == 0)
                options->lock_fd = (int)fd;
            break;
        case 'G': options->guard = true; break;
        case 'h': fputs (usage, stdout); return -1;
        default: return 2;
        }
    if (rc == 0 && (!options->dir || !options->attempt || optind >= argc)) {
        fputs ("strata-shepherd: --dir, --attempt and a command are needed; see --help\n", stderr);
        rc = 2;
    }
    options->argv = argv + optind;
    return rc;
}

/* Nothing of who started us stays open: not its sockets, not its store. */
static void close_others (int keep)
{
    /* The call itself: musl has no function for it. */
    if (keep < 0)
        syscall (SYS_close_range, 3, ~0U, 0);
    else {
        if (keep > 3)
            syscall (SYS_close_range, 3, (unsigned)keep - 1, 0);
        syscall (SYS_close_range, (unsigned)keep + 1, ~0U, 0);
    }
}

int main (int argc, char **argv)
{
    struct shepherd_options options = { .grace_s = 20, .lock_fd = -1 };
    struct strata_error error;
    log_init ("shepherd");
    options.success = calloc ((size_t)argc + 1, sizeof (*options.success));
    int rc = options.success ? parse (&options, argc, argv) : 1;
    if (rc == 0) {
        close_others (options.lock_fd);
        int below = options.guard ? shepherd_guard (&rc) : 0;
        if (below < 0)
            log_error ("no process can be made: %s", strerror (errno));
        if (below != 0)
            rc = below < 0 ? 1 : rc;
        else if (shepherd_run (&options, &error) != 0) {
            rc = errno == EBUSY ? SHEPHERD_BUSY : 1;
            log_error ("%s", error.text);
        }
    }
    free (options.success);
    free (options.cores);
    return rc < 0 ? 0 : rc;
}
