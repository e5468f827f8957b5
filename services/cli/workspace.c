/* workspace.c - see workspace.h */
#include "workspace.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/files.h"
#include "core/node.h"
#include "core/nodes.h"
#include "mesh/cards.h"

static int copy_file (const char *from, const char *to, struct strata_error *error)
{
    char buffer[65536], temp[4200];
    int rc = -1;
    snprintf (temp, sizeof (temp), "%s.new", to);
    FILE *in = fopen (from, "re"), *out = fopen (temp, "we");
    if (!in || !out) {
        strata_fail (error, "%s can't be copied to %s: %s", from, to, strerror (errno));
        goto done;
    }
    for (size_t n; (n = fread (buffer, 1, sizeof (buffer), in)) > 0;)
        if (fwrite (buffer, 1, n, out) != n)
            break;
    if (ferror (in) || ferror (out) || fflush (out) != 0 || fsync (fileno (out)) < 0 || rename (temp, to) < 0) {
        strata_fail (error, "%s can't be copied to %s: %s", from, to, strerror (errno));
        goto done;
    }
    rc = 0;
done:
    if (in)
        fclose (in);
    if (out)
        fclose (out);
    return rc;
}

/* 1 read, 0 there is none, -1 it is there and can't be understood. */
static int read_identity (const char *path, struct workspace *self, struct strata_error *error)
{
    char name[4200];
    const char *campaign, *file, *fingerprint;
    int format;
    json_error_t why;
    snprintf (name, sizeof (name), "%s/workspace.json", path);
    if (access (name, F_OK) < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : strata_fail (error, "%s: %s", name, strerror (errno));
    json_t *json = json_load_file (name, JSON_REJECT_DUPLICATES, &why);
    if (!json)
        return strata_fail (error, "%s can't be read: %s", name, why.text);
    int rc = json_unpack_ex (json, &why, 0, "{s:i s:s s:s s:s}", "format", &format, "campaign", &campaign,
                             "fingerprint", &fingerprint, "file", &file);
    if (rc < 0)
        strata_fail (error, "%s is not a workspace's: %s", name, why.text);
    else if (format != WORKSPACE_FORMAT)
        rc = strata_fail (error, "%s has format %d; this build knows %d", name, format, WORKSPACE_FORMAT);
    else {
        snprintf (self->campaign, sizeof (self->campaign), "%s", campaign);
        snprintf (self->file, sizeof (self->file), "%s", file);
        self->fingerprint = (uint32_t)strtoul (fingerprint, NULL, 16);
        rc = 1;
    }
    json_decref (json);
    return rc;
}

static int write_identity (const struct workspace *self, struct strata_error *error)
{
    char name[4200], temp[4300], fingerprint[16];
    snprintf (name, sizeof (name), "%s/workspace.json", self->path);
    snprintf (temp, sizeof (temp), "%s.new", name);
    snprintf (fingerprint, sizeof (fingerprint), "%08x", (unsigned)self->fingerprint);
    json_t *json = json_pack ("{s:i s:s s:s s:s}", "format", WORKSPACE_FORMAT, "campaign", self->campaign,
                              "fingerprint", fingerprint, "file", self->file);
    int rc = json ? json_dump_file (json, temp, JSON_INDENT (1)) : -1;
    json_decref (json);
    if (rc < 0 || rename (temp, name) < 0)
        return strata_fail (error, "%s can't be written: %s", name, strerror (errno));
    return 0;
}

int workspace_make (const struct campaign *campaign, const char *dir, struct workspace *self,
                    struct strata_error *error)
{
    static const char *const folders[] = { "log", "cards", "shards", "jobs" };
    char path[4200];
    *self = (struct workspace){ .path = "" };
    if (files_make_dirs (dir ? dir : campaign->workspace, error) < 0)
        return -1;
    if (!realpath (dir ? dir : campaign->workspace, self->path))
        return strata_fail (error, "workspace %s: %s", dir ? dir : campaign->workspace, strerror (errno));
    int there = read_identity (self->path, self, error);
    if (there < 0)
        return -1;
    if (there && strcmp (self->campaign, campaign->name) != 0)
        return strata_fail (error,
                            "workspace %s belongs to campaign '%s', not to '%s' of %s; give `workspace:` in the file, "
                            "or "
                            "--workspace, another folder",
                            self->path, self->campaign, campaign->name, campaign->path);
    if (there && self->fingerprint != campaign_fingerprint (campaign))
        return strata_fail (error,
                            "workspace %s was made from another text of campaign '%s' (its copy: campaign.yaml there, "
                            "now: "
                            "%s); put that text back, name another folder with --workspace, or start over (make run "
                            "FRESH=1, or "
                            "remove the folder)",
                            self->path, self->campaign, campaign->path);
    for (size_t i = 0; i < sizeof (folders) / sizeof (folders[0]); i++) {
        snprintf (path, sizeof (path), "%s/%s", self->path, folders[i]);
        if (mkdir (path, 0777) < 0 && errno != EEXIST)
            return strata_fail (error, "folder %s can't be made: %s", path, strerror (errno));
    }
    if (there && strcmp (self->file, campaign->path) == 0)
        return 0;
    snprintf (self->campaign, sizeof (self->campaign), "%s", campaign->name);
    snprintf (self->file, sizeof (self->file), "%s", campaign->path);
    self->fingerprint = campaign_fingerprint (campaign);
    /* The copy first: a workspace.json says that all before it is there. */
    snprintf (path, sizeof (path), "%s/campaign.yaml", self->path);
    if (!there && copy_file (campaign->path, path, error) < 0)
        return -1;
    return write_identity (self, error);
}

static int find_newest (struct workspace *self, struct strata_error *error)
{
    glob_t found;
    struct timespec newest = { 0 };
    char best[4096] = "";
    if (glob ("run/*/workspace.json", 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            struct stat st;
            char lock[4200];
            snprintf (lock, sizeof (lock), "%.*s/up.lock", (int)(strrchr (found.gl_pathv[i], '/') - found.gl_pathv[i]),
                      found.gl_pathv[i]);
            /* up.lock is written at every start, workspace.json only once. */
            if (stat (lock, &st) < 0 && stat (found.gl_pathv[i], &st) < 0)
                continue;
            if (st.st_mtim.tv_sec > newest.tv_sec
                || (st.st_mtim.tv_sec == newest.tv_sec && st.st_mtim.tv_nsec >= newest.tv_nsec)) {
                newest = st.st_mtim;
                snprintf (best, sizeof (best), "%.*s", (int)(strrchr (found.gl_pathv[i], '/') - found.gl_pathv[i]),
                          found.gl_pathv[i]);
            }
        }
        globfree (&found);
    }
    if (!best[0])
        return strata_fail (error, "no workspace: none under ./run, $STRATA_WORKSPACE is not set; name one with "
                                   "--workspace, or "
                                   "start a campaign with `strata run FILE`");
    if (!realpath (best, self->path))
        return strata_fail (error, "workspace %s: %s", best, strerror (errno));
    return 0;
}

int workspace_find (const char *given, struct workspace *self, struct strata_error *error)
{
    *self = (struct workspace){ .path = "" };
    const char *from = given ? given : getenv ("STRATA_WORKSPACE");
    if (!from || !from[0]) {
        if (find_newest (self, error) < 0)
            return -1;
    } else if (!realpath (from, self->path))
        return strata_fail (error, "workspace %s: %s", from, strerror (errno));
    int there = read_identity (self->path, self, error);
    if (there == 0)
        return strata_fail (error, "%s is not a workspace: it has no workspace.json (`strata up FILE` makes one)",
                            self->path);
    return there < 0 ? -1 : 0;
}

struct campaign *workspace_campaign (const struct workspace *self, struct strata_error *error)
{
    struct campaign_mistakes mistakes = { 0 };
    struct campaign *campaign = campaign_load (self->file, &mistakes);
    if (!campaign)
        strata_fail (error, "%s%s", mistakes.count ? mistakes.lines[0] : self->file,
                     mistakes.count > 1 ? " (and more)" : "");
    campaign_mistakes_fini (&mistakes);
    if (campaign && campaign_fingerprint (campaign) != self->fingerprint) {
        strata_fail (error,
                     "%s has changed since workspace %s was made from it; the text it had is campaign.yaml there",
                     self->file, self->path);
        campaign_free (&campaign);
    }
    return campaign;
}

/* ---- up.lock ---- */

static void lock_path (const struct workspace *self, char *path, size_t size)
{
    snprintf (path, size, "%s/up.lock", self->path);
}

/* node (may be NULL): the second line, "" when there is none. */
static pid_t read_holder (int fd, char node[REPLICA_NAME_MAX])
{
    char text[REPLICA_NAME_MAX + 32] = "";
    ssize_t n = pread (fd, text, sizeof (text) - 1, 0);
    long pid = n > 0 ? strtol (text, NULL, 10) : 0;
    const char *line = strchr (text, '\n');
    if (node)
        snprintf (node, REPLICA_NAME_MAX, "%.*s", line ? (int)strcspn (line + 1, "\n") : 0, line ? line + 1 : "");
    return pid > 0 && pid <= INT_MAX ? (pid_t)pid : 0;
}

static pid_t read_pid (int fd)
{
    return read_holder (fd, NULL);
}

int workspace_lock (const struct workspace *self, pid_t *holder, struct strata_error *error)
{
    char path[4200];
    *holder = 0;
    lock_path (self, path, sizeof (path));
    int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return strata_fail (error, "%s: %s", path, strerror (errno));
    /* A look at the lock (workspace_supervisor) holds it for an instant: try again. */
    for (int i = 0; flock (fd, LOCK_EX | LOCK_NB) < 0; i++) {
        if (errno != EWOULDBLOCK || i == 10) {
            char node[REPLICA_NAME_MAX] = "";
            if (errno == EWOULDBLOCK) {
                *holder = read_holder (fd, node);
                strata_fail (error, "the campaign of %s runs already, pid %d%s%s", self->path, (int)*holder, node[0] ? " of node " : "",
                             node);
            } else
                strata_fail (error, "%s can't be locked: %s", path, strerror (errno));
            close (fd);
            return -1;
        }
        usleep (30000);
    }
    workspace_lock_sign (fd, getpid ());
    return fd;
}

void workspace_lock_sign (int fd, pid_t pid)
{
    char text[REPLICA_NAME_MAX + 32], node[REPLICA_NAME_MAX];
    node_name (node, sizeof (node));
    int n = snprintf (text, sizeof (text), "%d\n%s\n", (int)pid, node);
    /* Written over, then cut: on a full disk the file's one block can be written, a new one can't be had. */
    if (pwrite (fd, text, (size_t)n, 0) < 0 || ftruncate (fd, n) < 0)
        fprintf (stderr, "strata: up.lock can't be written: %s\n", strerror (errno));
}

bool workspace_runs (long pid, const char *name)
{
    char path[64], text[256] = "";
    snprintf (path, sizeof (path), "/proc/%ld/stat", pid);
    FILE *in = fopen (path, "re");
    if (!in)
        return false;
    size_t n = fread (text, 1, sizeof (text) - 1, in);
    fclose (in);
    text[n] = '\0';
    const char *open = strchr (text, '('), *close = strrchr (text, ')'); /* pid (name) state ... */
    return open && close && strncmp (open + 1, name, strlen (name)) == 0 && close[1] == ' ' && close[2] != 'Z' && close[2] != 'X';
}

size_t workspace_shepherds (const struct workspace *self)
{
    char pattern[4200];
    glob_t found;
    size_t running = 0;
    snprintf (pattern, sizeof (pattern), "%s/jobs/*/attempt-*/lock", self->path);
    if (glob (pattern, GLOB_NOSORT, NULL, &found) != 0)
        return 0;
    /* The pid in the lock, not the lock itself: to try it would take it for an instant. */
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char outcome[4300];
        int length = (int)(strrchr (found.gl_pathv[i], '/') - found.gl_pathv[i]);
        snprintf (outcome, sizeof (outcome), "%.*s/outcome.json", length, found.gl_pathv[i]);
        int fd = open (found.gl_pathv[i], O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        pid_t pid = read_pid (fd);
        close (fd);
        running += pid && access (outcome, F_OK) < 0 && workspace_runs (pid, "strata-shepherd");
    }
    globfree (&found);
    return running;
}

bool workspace_is_live (const struct workspace *self)
{
    struct card *cards;
    char node[REPLICA_NAME_MAX];
    size_t count = cards_read (self->path, &cards), live = 0;
    node_name (node, sizeof (node));
    for (size_t i = 0; i < count; i++) {
        /* A killed replica's card stays, and its pid may be somebody else's by now. */
        live += strcmp (cards[i].node, node) != 0 ? card_is_held (self->path, cards[i].replica) : workspace_runs (cards[i].pid, "strata-");
    }
    free (cards);
    return live > 0;
}

/* Of the first node; node: that one's name. */
static pid_t first_supervisor (const struct workspace *self, char node[REPLICA_NAME_MAX])
{
    char path[4200];
    pid_t pid = 0;
    lock_path (self, path, sizeof (path));
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    if (flock (fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK)
        pid = read_holder (fd, node);
    close (fd);
    return pid;
}

pid_t workspace_supervisor (const struct workspace *self)
{
    char node[REPLICA_NAME_MAX];
    struct nodes nodes;
    struct strata_error error;
    pid_t pid = first_supervisor (self, node);
    if (pid || nodes_read (self->path, &nodes, &error) < 0)
        return pid;
    for (size_t i = 0; i < nodes.count && !pid; i++)
        pid = (pid_t)nodes_supervisor (self->path, nodes.names[i]);
    nodes_fini (&nodes);
    return pid;
}

int workspace_stop (const struct workspace *self, struct strata_error *error)
{
    char node[REPLICA_NAME_MAX] = "", here[REPLICA_NAME_MAX];
    pid_t pid = first_supervisor (self, node);
    node_name (here, sizeof (here));
    if (!pid || strcmp (node, here) != 0)
        return nodes_say_down (self->path, error);
    return kill (pid, SIGTERM) == 0 ? 0 : strata_fail (error, "the supervisor, pid %d, can't be signalled: %s", (int)pid, strerror (errno));
}
