/* service_main.c - a replica's process, from its arguments to its clean end: see service.h. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "core/node.h"
#include "mesh/rebuild.h"
#include "mesh/service_internal.h"

#define KEPT_BYTES (32 << 20)

static void usage (FILE *out, const struct service_spec *spec)
{
    fprintf (out,
             "strata-%s: %s\n\n"
             "usage: strata-%s --campaign FILE --workspace DIR [--replica N]\n"
             "       strata-%s --campaign FILE --workspace DIR --replay SHARD [--from TURN] [--scratch DIR] [--json]\n\n"
             "One replica of the service; 'strata up' starts it. It ends cleanly on SIGTERM and SIGINT; on SIGUSR1 it hands over\n"
             "to another replica, or to its own next process, and leaves the campaign's jobs alone.\n"
             "  --campaign FILE    the campaign file\n"
             "  --workspace DIR    the campaign's folder, that every node sees\n"
             "  --replica N        which replica this is (default 0)\n"
             "  --replay SHARD     tells this shard's recorded inputs to the service's code again and compares what comes\n"
             "                     out; see 'strata replay --help', which calls this\n"
             "  --rebuild DIR      makes the shard anew in DIR from what the other stores hold, and ends; 'strata repair' does\n"
             "  --help             this text\n"
             "STRATA_LOG=debug|info|warn|error sets what is logged to stderr.\n",
             spec->name,
             spec->about,
             spec->name,
             spec->name);
}

static int parse_arguments (struct service *self, int argc, char **argv, const char **campaign, struct replay_options *replay)
{
    static const struct option options[] = { { "campaign", required_argument, NULL, 'c' },
                                             { "workspace", required_argument, NULL, 'w' },
                                             { "replica", required_argument, NULL, 'r' },
                                             { "replay", required_argument, NULL, 'p' },
                                             { "from", required_argument, NULL, 'f' },
                                             { "scratch", required_argument, NULL, 's' },
                                             { "json", no_argument, NULL, 'j' },
                                             { "rebuild", required_argument, NULL, 'b' },
                                             { "help", no_argument, NULL, 'h' },
                                             { 0 } };
    const char *workspace = NULL;
    long replica = 0;
    char *end = NULL;
    for (int opt; (opt = getopt_long (argc, argv, "h", options, NULL)) != -1;)
        switch (opt) {
        case 'c':
            *campaign = optarg;
            break;
        case 'w':
            workspace = optarg;
            break;
        case 'r':
            replica = strtol (optarg, &end, 10);
            if (*end || replica < 0 || replica > 9999) {
                fprintf (stderr, "strata-%s: --replica %s: 0 to 9999 is allowed\n", self->spec->name, optarg);
                return 2;
            }
            break;
        case 'p':
            replay->shard = optarg;
            break;
        case 'f':
            replay->from = optarg;
            break;
        case 's':
            replay->scratch = optarg;
            break;
        case 'j':
            replay->json = true;
            break;
        case 'b':
            self->rebuild = optarg;
            break;
        case 'h':
            usage (stdout, self->spec);
            return -1;
        default:
            usage (stderr, self->spec);
            return 2;
        }
    if (!*campaign || !workspace || optind < argc) {
        usage (stderr, self->spec);
        return 2;
    }
    if (!realpath (workspace, self->workspace)) {
        fprintf (stderr, "strata-%s: workspace %s: %s\n", self->spec->name, workspace, strerror (errno));
        return 2;
    }
    snprintf (self->replica, sizeof (self->replica), "%.40s-%ld", self->spec->name, replica);
    self->number = (unsigned)replica;
    return 0;
}

static int make_folder (const char *workspace, const char *name, struct strata_error *error)
{
    char path[4200];
    snprintf (path, sizeof (path), "%s/%s", workspace, name);
    if (mkdir (path, 0777) < 0 && errno != EEXIST)
        return strata_fail (error, "folder %s can't be made: %s", path, strerror (errno));
    return 0;
}

/* One process a replica name: two would answer each other's requests. */
static int lock_name (struct service *self, struct strata_error *error)
{
    char path[4300];
    snprintf (path, sizeof (path), "%s/cards/%s.lock", self->workspace, self->replica);
    self->lock_fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (self->lock_fd < 0)
        return strata_fail (error, "%s: %s", path, strerror (errno));
    if (flock (self->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return strata_fail (error, "%s runs already (%s is locked); give another --replica", self->replica, path);
    return 0;
}

static void find_bin_dir (struct service *self)
{
    char exe[4096];
    ssize_t n = readlink ("/proc/self/exe", exe, sizeof (exe) - 1);
    if (n <= 0)
        return;
    exe[n] = '\0';
    char *slash = strrchr (exe, '/');
    if (slash)
        *slash = '\0';
    snprintf (self->bin_dir, sizeof (self->bin_dir), "%s", exe);
}

static int set_up (struct service *self, struct strata_error *error)
{
    char node[REPLICA_NAME_MAX];
    node_name (node, sizeof (node));
    if (make_folder (self->workspace, "cards", error) < 0 || make_folder (self->workspace, "shards", error) < 0
        || lock_name (self, error) < 0)
        return -1;
    self->started_us = self->now_us = mesh_now_us ();
    if (strcmp (self->campaign->mesh.transport, "tcp") == 0)
        self->mesh.tcp_interface = self->campaign->mesh.interface;
    if (mesh_init (&self->mesh, &self->loop, self->workspace, self->replica, self->spec->name, node, error) < 0)
        return -1;
    return service_begin (self, error);
}

static void close_walked (uv_handle_t *handle, void *arg)
{
    if (!uv_is_closing (handle))
        uv_close (handle, NULL);
}

static void tear_down (struct service *self)
{
    service_end_core (self);
    if (self->shard && !self->held)
        service_commit (self, self->active);
    if (self->mesh.open)
        card_remove (self->workspace, self->replica);
    announce_fini (self);
    mesh_fini (&self->mesh);
    uv_walk (&self->loop, close_walked, NULL);
    uv_run (&self->loop, UV_RUN_DEFAULT);
    uv_loop_close (&self->loop);
    journal_close (&self->journal);
    shard_close (&self->shard);
    if (self->lock_fd >= 0)
        close (self->lock_fd);
    free (self->timers);
    free (self->metrics);
    campaign_free (&self->campaign);
}

/* Messages of hundreds of kilobytes come and go by the thousand: their memory is kept, not given back and faulted in again for
 * each (a sixth of the processor time of records in bulk). */
static void keep_memory (void)
{
    mallopt (M_MMAP_THRESHOLD, KEPT_BYTES);
    mallopt (M_TRIM_THRESHOLD, KEPT_BYTES);
}

int service_main (const struct service_spec *spec, int argc, char **argv)
{
    static struct service service; /* large; one a process */
    struct service *self = &service;
    struct campaign_mistakes mistakes = { 0 };
    struct strata_error error = { "" };
    struct replay_options replay = { 0 };
    const char *campaign = NULL;
    *self = (struct service){ .spec = spec, .lock_fd = -1 };
    int rc = parse_arguments (self, argc, argv, &campaign, &replay);
    if (rc)
        return rc < 0 ? 0 : rc;
    keep_memory ();
    log_init (self->replica);
    signal (SIGPIPE, SIG_IGN);
    self->campaign = campaign_load (campaign, &mistakes);
    for (size_t i = 0; !self->campaign && i < mistakes.count; i++)
        fprintf (stderr, "%s\n", mistakes.lines[i]);
    campaign_mistakes_fini (&mistakes);
    if (!self->campaign)
        return 2;
    find_bin_dir (self);
    if (replay.shard)
        return replay_main (self, &replay);
    if (self->rebuild) {
        rc = rebuild_run (spec, self->campaign, self->workspace, self->rebuild);
        campaign_free (&self->campaign);
        return rc;
    }
    uv_loop_init (&self->loop);
    if (set_up (self, &error) < 0) {
        log_error ("%s", error.text);
        self->code = 1;
    } else {
        log_info ("up, pid %d, workspace %s", (int)getpid (), self->workspace);
        uv_run (&self->loop, UV_RUN_DEFAULT);
        log_info ("down with code %d", self->code);
    }
    tear_down (self);
    return self->code;
}
