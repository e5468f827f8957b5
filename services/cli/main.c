/* main.c - strata: the command line. A table of commands; each is a file of its own. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "core/log.h"

#define EXIT_CODES "exit codes: 0 done, 1 failed, 2 wrong usage or mistakes in the campaign file"

static const struct command commands[] = {
    { "run", "FILE [--workspace DIR] [--timeout S]", "runs a campaign to its goal, shows it, and audits it",
      "Starts the services (as `strata up`; goes on with what stands in the workspace), shows the campaign until\n"
      "its goal is reached, stops the services, recounts the stores (as `strata audit`) and prints a summary.\n"
      "On a terminal: one screen, redrawn; else one line every 10 s and each event as it comes.\n"
      "Ctrl-C stops cleanly; run it again to go on.\n"
      "If the campaign is up already, it attaches to it; Ctrl-C then leaves it up.\n" EXIT_CODES ", 130 interrupted",
      CLI_WORKSPACE | CLI_TIMEOUT, 1, 1, cmd_run },
    { "up", "FILE [--join] [--workspace DIR] [--foreground]", "starts the services of a campaign",
      "Returns when all services are there; they run on under a supervisor, which starts again what dies.\n"
      "--join: makes this node one more of a campaign that is up; it takes its share of the services, and jobs\n"
      "(schedule.executor: nodes). The nodes' names are STRATA_NODE, or their hosts'. deploy/ does it on many.\n"
      "--foreground: stays, and is the supervisor; Ctrl-C stops the campaign, a second one hurries.\n" EXIT_CODES,
      CLI_WORKSPACE | CLI_FOREGROUND | CLI_JOIN, 1, 1, cmd_up },
    { "down", "[--workspace DIR]", "stops the services; jobs are stopped so that they can go on later", EXIT_CODES,
      CLI_WORKSPACE | CLI_JSON, 0, 0, cmd_down },
    { "status", "[--workspace DIR] [--json]", "shows every figure with its age", EXIT_CODES, CLI_WORKSPACE | CLI_JSON,
      0, 0, cmd_status },
    { "scale", "SERVICE N [--timeout S] [--workspace DIR] [--json]", "sets how many replicas of a service run",
      "Starts what is missing, or lets go what is too many: those that stand by first, then the highest numbers; each\n"
      "hands over or finishes what it has in work. Waits until it is done (--timeout S: at most so long; default 120).\n"
      "The number stays wanted after `strata down` and `strata up`.\n" EXIT_CODES ", 130 interrupted",
      CLI_WORKSPACE | CLI_JSON | CLI_TIMEOUT, 2, 2, cmd_scale },
    { "restart", "[SERVICE|REPLICA] [--timeout S] [--workspace DIR] [--json]", "starts services anew, one replica at a time",
      "All services, one, or one replica; new programs are picked up. Each serves again before the next one is ended, one\n"
      "that stands by goes before one that works; jobs run on. --timeout S: for each replica (default 120).\n"
      "Ctrl-C: the replica under way comes up again, the others stay as they are.\n" EXIT_CODES ", 130 interrupted",
      CLI_WORKSPACE | CLI_JSON | CLI_TIMEOUT, 0, 1, cmd_restart },
    { "jobs", "[ID ...] [-a] [-f STATE,...] [--type T] [--name NAME] [--since WHEN] [-c N] [-n] [-o FORMAT] [--stats] [--why]\n"
              "       [--workspace DIR] [--json]",
      "lists jobs, or tells all about one, as flux-jobs(1)",
      "Those that have not ended, newest first. -a: all; -f: those of the states; --since WHEN: those, too, that ended since then (-10m,\n"
      "-2h, 12:30, 2026-11-27T12:30). --type (--queue), --name: of a job type, of a simulation. -c N: at most N (default 1000, 0: 100000).\n"
      "One ID: all about that job. --why ID: why it waits (which resource is short, what goes before it) or failed; --why TYPE: why\n"
      "there are no more jobs of a type (its buffer is full ...). --stats: how many of each type are in each state.\n"
      "Columns: ST is D proposed, S waiting, L launching, R running, CD succeeded, F set aside, TO that by its walltime, CA cancelled;\n"
      "INFO where it runs, what it waits for, or how it failed. -n: no header. -o FORMAT: {id} {state:>10} {runtime!F:>8h} ..., fields: id type\n"
      "queue name simulation candidate state status status_abbrev result ntasks nnodes ncores ngpus nodelist cores gpus runtime duration\n"
      "t_submit t_run t_inactive returncode end code reason waits info attempt tries tries_limit pid max_rss_mb dir input proposal.\n"
      "States: proposed waiting launching running succeeded aside cancelled, or flux's: depend sched run pending active inactive completed\n"
      "failed canceled timeout.\n" EXIT_CODES,
      CLI_WORKSPACE | CLI_JSON | CLI_STATE | CLI_TYPE | CLI_QUEUE | CLI_COUNT | CLI_ALL | CLI_NAME | CLI_SINCE | CLI_STATS | CLI_WHY | CLI_FORMAT
          | CLI_NO_HEADER,
      0, 10000, cmd_jobs },
    { "cancel", "ID ...|[--state S] [--type T]|--all [--timeout S] [--workspace DIR] [--json]",
      "cancels jobs, or simulations with all of their jobs",
      "By the id of a job or a simulation, or all jobs of a state and a type, or all there are (new ones come as long as the\n"
      "campaign runs: `strata down` stops it). Waits until they have ended, and says of each how; running ones have their grace\n"
      "for that (--timeout S: at most so long; default 120).\n"
      "exit codes: 0 all have ended, 1 failed or some have not, 2 wrong usage",
      CLI_WORKSPACE | CLI_JSON | CLI_STATE | CLI_TYPE | CLI_ALL | CLI_TIMEOUT, 0, 10000, cmd_cancel },
    { "node", "[drain|undrain|lost NODE] [--workspace DIR] [--json]", "lists the nodes, or says what may be put on one",
      "drain: what runs there goes on, and nothing new comes. undrain: it is used again. lost: the jobs that ran there have ended\n"
      "and are tried again elsewhere; only for a node that is really off. NODE: its name or its number. It stays so over restarts.\n" EXIT_CODES,
      CLI_WORKSPACE | CLI_JSON, 0, 2, cmd_node },
    { "update", "[KEY=VALUE ...] [--workspace DIR] [--json]", "changes settings of the campaign file while it runs, or lists them",
      "buffer.TYPE (jobs[].buffer: prepared ahead), share.TYPE (jobs[].gpu_share: 0.7 of all GPUs; 0: no share), submissions and\n"
      "round_s (schedule.submissions, schedule.round_s), end_s (the allocation's end). KEY= (nothing behind it): the\n"
      "campaign file's value again. A change holds over restarts; `strata events` tells of it.\n" EXIT_CODES,
      CLI_WORKSPACE | CLI_JSON, 0, 100, cmd_update },
    { "retry", "ID|--type T [--workspace DIR] [--json]", "lets jobs that were set aside run again",
      "Jobs that failed too often wait again with all of their tries: a job, those of a simulation, or all of a type. Mend the\n"
      "cause first; `strata jobs --state aside` shows it.\n" EXIT_CODES,
      CLI_WORKSPACE | CLI_JSON | CLI_TYPE, 0, 1, cmd_retry },
    { "events", "[-f] [-n N] [--workspace DIR] [--json]", "tells what happened, oldest first",
      "The newest 20,000 are kept. -f: goes on; with --json then one object a line. -n N: only the newest "
      "N.\n" EXIT_CODES,
      CLI_WORKSPACE | CLI_JSON | CLI_FOLLOW | CLI_COUNT, 0, 0, cmd_events },
    { "audit", "[--deep] [--workspace DIR] [--json]", "recounts a campaign from its stores: nothing lost, nothing twice",
      "Works while the campaign runs; exact when it is down. One line a check, each violation named.\n"
      "--deep: reads every block of the stores first and verifies its checksum.\n"
      "exit codes: 0 all holds, 1 violations, a damaged store, or a loss that a repair declared, 2 wrong usage",
      CLI_WORKSPACE | CLI_JSON | CLI_DEEP, 0, 0, cmd_audit },
    { "repair", "[SHARD] [--accept-loss] [--workspace DIR] [--json]", "puts a damaged store back as far as it can be",
      "Says of each store (or of SHARD, as select-0) what is damaged, what can be put back and from where. Repairs what loses\n"
      "nothing; what would lose something only with --accept-loss, and says exactly what. The damaged store is kept beside the\n"
      "new one. A store that a service holds is left alone.\n"
      "exit codes: 0 nothing is damaged any more, 1 something still is, 2 wrong usage",
      CLI_WORKSPACE | CLI_JSON | CLI_ACCEPT_LOSS, 0, 1, cmd_repair },
    { "replay", "SERVICE [--shard S] [--from TURN] [--scratch DIR] [--workspace DIR] [--json]",
      "tells a service its recorded inputs again, and compares what comes out",
      "SERVICE is select, schedule, feedback or stage; S its shard (default 0). Its code starts from the oldest checkpoint, or the\n"
      "one at TURN, and is told all that came in since. Every turn's changes, and every key and value of the store at\n"
      "each later checkpoint and now, must come out the same; the first difference is told with its turn and key.\n"
      "Works while the campaign runs: it only reads. Copies go to DIR, else to $TMPDIR or /tmp, and are removed again.\n"
      "How much is recorded: `replay` in the campaign file.\n"
      "exit codes: 0 identical, 1 different or nothing to replay, 2 wrong usage, 130 interrupted",
      CLI_WORKSPACE | CLI_JSON | CLI_SHARD | CLI_FROM | CLI_SCRATCH, 1, 1, cmd_replay },
    { "invalidate", "[ID ...] [--snapshot SIMULATION:INDEX] --reason TEXT [--workspace DIR] [--json]",
      "takes candidates out that were found bad",
      "By id, and all of a snapshot, also those that are still to come. None of them is proposed any more; those of an\n"
      "open proposal are taken out if it comes back; what was selected before stays.\n" EXIT_CODES,
      CLI_WORKSPACE | CLI_JSON | CLI_REASON | CLI_SNAPSHOT, 0, 10000, cmd_invalidate },
    { "history", "[--queue NAME] [--csv] [--workspace DIR] [--json]", "tells every move of every candidate, oldest first",
      "--csv: DynIm's columns, with the counts of the candidate's queue after the move. --json: one object a line.\n"
      "Reads the store of select, whether it runs or not.\n" EXIT_CODES,
      CLI_WORKSPACE | CLI_JSON | CLI_QUEUE | CLI_CSV, 0, 0, cmd_history },
    { "import", "QUEUE FILE.npz [--workspace DIR] [--json]", "takes candidates of another campaign into a selection queue",
      "The file holds ids (unicode), points (float32 [n][d]), states (int32: 0 waits, 1 selected, 2 discarded) and ranks\n"
      "(float64); scripts/dynim_to_npz.py makes it from a workspace of DynIm. Ids that are known already are left alone.\n"
      EXIT_CODES,
      CLI_WORKSPACE | CLI_JSON, 2, 2, cmd_import },
    { "put", "NAMESPACE KEY FILE [--workspace DIR]", "puts a file into staging", EXIT_CODES,
      CLI_WORKSPACE | CLI_TIMEOUT, 3, 3, cmd_put },
    { "get", "NAMESPACE KEY [FILE] [--wait] [--timeout S] [--workspace DIR]", "gets an object of staging (to standard output without FILE)",
      "--wait: until somebody has put it. --timeout S: at most so long (default 30).\n" EXIT_CODES,
      CLI_WORKSPACE | CLI_TIMEOUT | CLI_WAIT, 2, 3, cmd_get },
    { "ls", "NAMESPACE [PREFIX] [--workspace DIR] [--json]", "lists objects of staging: size, CRC-32C, generation, key",
      EXIT_CODES, CLI_WORKSPACE | CLI_JSON | CLI_TIMEOUT, 1, 2, cmd_ls },
    { "cp", "[-r] FROM TO [--timeout S] [--workspace DIR] [--json]", "copies objects between namespaces, folders and archives",
      "FROM and TO: NAMESPACE:[PREFIX] is staging, FILE.tar an indexed archive, anything else a folder (FROM: or a file).\n"
      "-r: all objects; keys stay the same behind PREFIX. What TO has already with the same length and checksum is passed\n"
      "over: after Ctrl-C or a failure the same command goes on where it was. What is refused is told, and the rest goes on.\n"
      "--timeout S: for each request to staging (default 120).\n" EXIT_CODES ", 130 interrupted",
      CLI_WORKSPACE | CLI_JSON | CLI_TIMEOUT | CLI_RECURSIVE, 2, 2, cmd_cp },
    { "tar", "ls ARCHIVE [PREFIX] | get ARCHIVE MEMBER [FILE] | verify ARCHIVE ... | reindex ARCHIVE ... | import ARCHIVE NAMESPACE\n"
             "           [--workspace DIR] [--json]", "reads, checks and mends indexed tar archives, as pytaridx keeps them",
      "ls: size, offset and name of each member, the last of each name. get: one member (to standard output without FILE).\n"
      "verify: goes through all headers and compares the index ARCHIVE.pylst with them; changes nothing.\n"
      "reindex: makes the index anew from the headers and cuts off a last member that was not written whole.\n"
      "import: copies all members into a namespace of staging (`strata cp -r ARCHIVE NAMESPACE:`).\n"
      "exit codes: 0 done, 1 failed or something is damaged or wrongly indexed, 2 wrong usage, 130 interrupted",
      CLI_WORKSPACE | CLI_JSON | CLI_TIMEOUT, 2, 100000, cmd_tar },
    { "submit", "QUEUE SIMULATION INDEX SNAPSHOT [--workspace DIR] [--json]", "hands a snapshot folder to a queue of patch",
      "An index that SIMULATION handed in before, or one below it, is a repeat and dropped.\n" EXIT_CODES,
      CLI_WORKSPACE | CLI_JSON | CLI_TIMEOUT, 4, 4, cmd_submit },
    { "keygen", "[--workspace DIR]", "makes the campaign's keys: <workspace>/keys",
      "A key pair for the services, one for simulations and this command line, and the list of those that may connect.\n"
      "Needed for `mesh: {transport: tcp}` alone; `strata up` makes them too when there are none. Keys that are there\n"
      "are never overwritten. --workspace DIR may name a folder that is not a workspace yet.\n" EXIT_CODES,
      CLI_WORKSPACE | CLI_JSON, 0, 0, cmd_keygen },
    { "check", "FILE [--json]", "checks a campaign file",
      "Prints each mistake as file:line: key: sentence.\n" EXIT_CODES, CLI_JSON, 1, 1, cmd_check },
    { "emulate", "FILE [--machine NAME:NODES] [--hours H] ...", "runs a campaign on a machine that is not there, in virtual time",
      "", 0, 0, 0, NULL },
};

static void usage (FILE *out)
{
    fprintf (out, "strata: runs campaigns of simulations at several scales\n\nusage: strata COMMAND ...\n\n");
    for (size_t i = 0; i < sizeof (commands) / sizeof (commands[0]); i++)
        fprintf (out, "  %-8s %s\n", commands[i].name, commands[i].about);
    fprintf (out, "\n`strata COMMAND --help` says more. Without --workspace DIR, $STRATA_WORKSPACE is taken, else the "
                  "newest under\n"
                  "./run.\n");
}

static void command_usage (FILE *out, const struct command *command)
{
    fprintf (out, "usage: strata %s %s\n\nstrata %s: %s\n%s\n", command->name, command->usage, command->name,
             command->about, command->help);
}

static int bad_usage (const struct command *command)
{
    fprintf (stderr, "usage: strata %s %s\n", command->name, command->usage);
    return CLI_USAGE;
}

/* The program's arguments are its own, also --help. */
static int run_program (const struct command *command, char **argv)
{
    char self[4096], path[4200];
    ssize_t n = readlink ("/proc/self/exe", self, sizeof (self) - 1);
    char *slash = n > 0 ? memrchr (self, '/', (size_t)n) : NULL;
    snprintf (path, sizeof (path), "%.*s/strata-%s", slash ? (int)(slash - self) : 1, slash ? self : ".", command->name);
    execv (path, argv);
    fprintf (stderr, "strata: %s can't be run: %s; it must stand beside strata\n", path, strerror (errno));
    return CLI_FAILED;
}

static bool number (const char *text, long low, long high, long *out)
{
    char *end;
    *out = strtol (text, &end, 10);
    return *text && !*end && *out >= low && *out <= high;
}

/* 0, or the exit code + 1. */
static int parse (const struct command *command, int argc, char **argv, struct cli_args *args)
{
    static const struct option options[] = {
        { "workspace", required_argument, NULL, CLI_WORKSPACE },
        { "json", no_argument, NULL, CLI_JSON },
        { "foreground", no_argument, NULL, CLI_FOREGROUND },
        { "join", no_argument, NULL, CLI_JOIN },
        { "timeout", required_argument, NULL, CLI_TIMEOUT },
        { "follow", no_argument, NULL, CLI_FOLLOW },
        { "state", required_argument, NULL, CLI_STATE },
        { "type", required_argument, NULL, CLI_TYPE },
        { "shard", required_argument, NULL, CLI_SHARD },
        { "from", required_argument, NULL, CLI_FROM },
        { "scratch", required_argument, NULL, CLI_SCRATCH },
        { "deep", no_argument, NULL, CLI_DEEP },
        { "accept-loss", no_argument, NULL, CLI_ACCEPT_LOSS },
        { "reason", required_argument, NULL, CLI_REASON },
        { "snapshot", required_argument, NULL, CLI_SNAPSHOT },
        { "queue", required_argument, NULL, CLI_QUEUE },
        { "csv", no_argument, NULL, CLI_CSV },
        { "recursive", no_argument, NULL, CLI_RECURSIVE },
        { "all", no_argument, NULL, CLI_ALL },
        { "wait", no_argument, NULL, CLI_WAIT },
        { "filter", required_argument, NULL, CLI_STATE },
        { "count", required_argument, NULL, CLI_COUNT },
        { "name", required_argument, NULL, CLI_NAME },
        { "since", required_argument, NULL, CLI_SINCE },
        { "stats", no_argument, NULL, CLI_STATS },
        { "why", no_argument, NULL, CLI_WHY },
        { "format", required_argument, NULL, CLI_FORMAT },
        { "no-header", no_argument, NULL, CLI_NO_HEADER },
        { "suppress-header", no_argument, NULL, CLI_NO_HEADER },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    long n = 0;
    bool as_flux = command->options & CLI_FORMAT; /* the letters of flux-jobs(1) */
    *args = (struct cli_args){ .count = -1 };
    for (int opt; (opt = getopt_long (argc, argv, as_flux ? "haf:c:no:" : "hfrn:", options, NULL)) != -1;) {
        if (opt == 'h') {
            command_usage (stdout, command);
            return CLI_OK + 1;
        }
        switch (opt) {
        case 'f': opt = as_flux ? CLI_STATE : CLI_FOLLOW; break;
        case 'n': opt = as_flux ? CLI_NO_HEADER : CLI_COUNT; break;
        case 'r': opt = CLI_RECURSIVE; break;
        case 'a': opt = CLI_ALL; break;
        case 'c': opt = CLI_COUNT; break;
        case 'o': opt = CLI_FORMAT; break;
        }
        if (opt == '?')
            return bad_usage (command) + 1;
        if (!(command->options & (unsigned)opt)) {
            fprintf (stderr, "strata %s does not take that option\n", command->name);
            return bad_usage (command) + 1;
        }
        if ((opt == CLI_TIMEOUT && !number (optarg, 0, 100000000, &n))
            || (opt == CLI_COUNT && !number (optarg, 0, 1000000, &n))) {
            fprintf (stderr, "strata %s: '%s' is not a whole number\n", command->name, optarg);
            return bad_usage (command) + 1;
        }
        args->json = args->json || opt == CLI_JSON;
        args->foreground = args->foreground || opt == CLI_FOREGROUND;
        args->join = args->join || opt == CLI_JOIN;
        args->follow = args->follow || opt == CLI_FOLLOW;
        args->deep = args->deep || opt == CLI_DEEP;
        args->accept_loss = args->accept_loss || opt == CLI_ACCEPT_LOSS;
        args->workspace = opt == CLI_WORKSPACE ? optarg : args->workspace;
        args->state = opt == CLI_STATE ? optarg : args->state;
        args->type = opt == CLI_TYPE ? optarg : args->type;
        args->shard = opt == CLI_SHARD ? optarg : args->shard;
        args->from = opt == CLI_FROM ? optarg : args->from;
        args->scratch = opt == CLI_SCRATCH ? optarg : args->scratch;
        args->reason = opt == CLI_REASON ? optarg : args->reason;
        args->snapshot = opt == CLI_SNAPSHOT ? optarg : args->snapshot;
        args->queue = opt == CLI_QUEUE ? optarg : args->queue;
        args->csv = args->csv || opt == CLI_CSV;
        args->stats = args->stats || opt == CLI_STATS;
        args->why = args->why || opt == CLI_WHY;
        args->no_header = args->no_header || opt == CLI_NO_HEADER;
        args->name = opt == CLI_NAME ? optarg : args->name;
        args->since = opt == CLI_SINCE ? optarg : args->since;
        args->format = opt == CLI_FORMAT ? optarg : args->format;
        args->all = args->all || opt == CLI_ALL;
        args->wait = args->wait || opt == CLI_WAIT;
        args->recursive = args->recursive || opt == CLI_RECURSIVE;
        args->timeout_s = opt == CLI_TIMEOUT ? (int)n : args->timeout_s;
        args->count = opt == CLI_COUNT ? n : args->count;
    }
    args->rest = argv + optind;
    args->rest_count = argc - optind;
    if (args->rest_count < command->rest_min || args->rest_count > command->rest_max)
        return bad_usage (command) + 1;
    return 0;
}

int main (int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp (name, "--help") == 0 || strcmp (name, "-h") == 0 || strcmp (name, "help") == 0) {
        usage (stdout);
        return CLI_OK;
    }
    for (size_t i = 0; i < sizeof (commands) / sizeof (commands[0]); i++) {
        struct cli_args args;
        if (strcmp (commands[i].name, name) != 0)
            continue;
        if (!commands[i].run)
            return run_program (&commands[i], argv + 1);
        log_init ("strata");
        int rc = parse (&commands[i], argc - 1, argv + 1, &args);
        return rc ? rc - 1 : commands[i].run (&args);
    }
    if (name[0])
        fprintf (stderr, "strata: there is no command '%s'\n\n", name);
    usage (stderr);
    return CLI_USAGE;
}
