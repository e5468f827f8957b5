/* replicas.c - see replicas.h */
#include "core/replicas.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/files.h"
#include "core/node.h"

#define FORMAT 1
#define ANY_NODE "*"

const char *const replicas_services[REPLICAS_SERVICES] = {
    "stage", "select", "feedback", "patch", "schedule", "status"
};

int replicas_service (const char *name)
{
    for (int i = 0; i < REPLICAS_SERVICES; i++)
        if (strcmp (replicas_services[i], name) == 0)
            return i;
    return -1;
}

int replicas_parse (const char *replica, unsigned *number)
{
    char service[64], *end;
    const char *dash = strrchr (replica, '-');
    if (!dash || dash[1] < '0' || dash[1] > '9' || (size_t)(dash - replica) >= sizeof (service))
        return -1;
    snprintf (service, sizeof (service), "%.*s", (int)(dash - replica), replica);
    unsigned long n = strtoul (dash + 1, &end, 10);
    if (*end || n > 9999)
        return -1;
    *number = (unsigned)n;
    return replicas_service (service);
}

static void path_of (const char *workspace, const char *name, char *path, size_t size)
{
    snprintf (path, size, "%s/%s", workspace, name);
}

/* The document; an empty one when there is no file. NULL with the sentence when it is not understood. */
static json_t *load (const char *workspace, struct strata_error *error)
{
    char path[4200];
    json_error_t why;
    int format = 0;
    path_of (workspace, "replicas.json", path, sizeof (path));
    if (access (path, F_OK) < 0 && errno == ENOENT)
        return json_pack ("{s:i s:{} s:{}}", "format", FORMAT, "nodes", "restart");
    json_t *json = json_load_file (path, JSON_REJECT_DUPLICATES, &why);
    if (!json)
        strata_fail (error, "%s can't be read: %s", path, why.text);
    else if (json_unpack (json, "{s:i}", "format", &format) < 0 || format != FORMAT
             || !json_is_object (json_object_get (json, "nodes"))
             || !json_is_object (json_object_get (json, "restart"))) {
        strata_fail (error, "%s is not understood: format %d with nodes and restart is expected", path, FORMAT);
        json_decref (json);
        json = NULL;
    }
    return json;
}

static int save (const char *workspace, json_t *json, struct strata_error *error)
{
    char path[4200], temp[4300], name[64];
    int rc = -1;
    char *text = json ? json_dumps (json, JSON_INDENT (1)) : NULL;
    int folder = open (workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    path_of (workspace, "replicas.json", path, sizeof (path));
    snprintf (name, sizeof (name), "replicas.json.%d.tmp", (int)getpid ());
    path_of (workspace, name, temp, sizeof (temp));
    if (!text)
        strata_fail (error, "out of memory");
    else if (folder < 0)
        strata_fail (error, "folder %s can't be opened: %s", workspace, strerror (errno));
    else if (files_write_synced (folder, workspace, name, text, strlen (text), error) < 0)
        unlink (temp);
    else if (rename (temp, path) < 0 || fsync (folder) < 0)
        strata_fail (error, "%s can't be written: %s", path, strerror (errno));
    else
        rc = 0;
    if (folder >= 0)
        close (folder);
    free (text);
    json_decref (json);
    return rc;
}

static void from_campaign (const struct campaign *campaign, struct replicas *self)
{
    const struct campaign_replicas *r = &campaign->replicas;
    const struct {
        const char *service;
        unsigned count;
    } counts[REPLICAS_SERVICES] = { { "stage", r->stage }, { "select", r->select },     { "feedback", r->feedback },
                                    { "patch", r->patch }, { "schedule", r->schedule }, { "status", 1 } };
    *self = (struct replicas){ .restart = "" };
    for (int i = 0; i < REPLICAS_SERVICES; i++)
        self->wanted[replicas_service (counts[i].service)] = counts[i].count;
}

static int take_counts (const json_t *nodes, const char *node, struct replicas *self, struct strata_error *error)
{
    const char *service;
    json_t *count;
    json_object_foreach (json_object_get (nodes, node), service, count)
    {
        int i = replicas_service (service);
        json_int_t n = json_integer_value (count);
        if (i < 0 || n < 1 || n > REPLICAS_MAX)
            return strata_fail (error, "replicas.json: %.40s is no service, or its number is not 1 to %d", service,
                                REPLICAS_MAX);
        self->wanted[i] = (unsigned)n;
        self->scaled[i] = true;
    }
    return 0;
}

int replicas_read (const char *workspace, const struct campaign *campaign, struct replicas *self,
                   struct strata_error *error)
{
    char node[256];
    const char *replica;
    int pid, rc = -1;
    from_campaign (campaign, self);
    json_t *json = load (workspace, error);
    if (!json)
        return -1;
    node_name (node, sizeof (node));
    const json_t *nodes = json_object_get (json, "nodes");
    if (take_counts (nodes, ANY_NODE, self, error) == 0 && take_counts (nodes, node, self, error) == 0)
        rc = 0;
    else
        from_campaign (campaign, self);
    if (rc == 0
        && json_unpack (json_object_get (json, "restart"), "{s:s s:i}", "replica", &replica, "pid", &pid) == 0) {
        snprintf (self->restart, sizeof (self->restart), "%s", replica);
        self->restart_pid = pid;
    }
    json_decref (json);
    return rc;
}

int replicas_want (const char *workspace, const char *service, unsigned count, struct strata_error *error)
{
    json_t *json = load (workspace, error);
    if (!json)
        return -1;
    json_t *nodes = json_object_get (json, "nodes"), *any = json_object_get (nodes, ANY_NODE);
    if (!json_is_object (any)) {
        any = json_object ();
        json_object_set_new (nodes, ANY_NODE, any);
    }
    json_object_set_new (any, service, json_integer (count));
    return save (workspace, json, error);
}

bool replicas_stage_unfinished (const char *workspace, unsigned number)
{
    char store[4200], retired[4200];
    struct stat st;
    snprintf (store, sizeof (store), "%s/shards/stage-%u", workspace, number);
    snprintf (retired, sizeof (retired), "%s/claims/retired/stage-%u", workspace, number);
    return stat (store, &st) == 0 && lstat (retired, &st) < 0;
}

int replicas_restart (const char *workspace, const char *replica, pid_t pid, struct strata_error *error)
{
    json_t *json = load (workspace, error);
    if (!json)
        return -1;
    json_object_set_new (json, "restart", json_pack ("{s:s s:i}", "replica", replica, "pid", (int)pid));
    return save (workspace, json, error);
}

int replicas_lock (const char *workspace, struct strata_error *error)
{
    char path[4200];
    path_of (workspace, "replicas.lock", path, sizeof (path));
    int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return strata_fail (error, "%s: %s", path, strerror (errno));
    if (flock (fd, LOCK_EX | LOCK_NB) < 0) {
        close (fd);
        return strata_fail (
            error, "another `strata scale` or `strata restart` is at work on %s; wait for it, or end it", workspace);
    }
    return fd;
}

struct replicas_stamp replicas_stamp (const char *workspace)
{
    char path[4200];
    struct stat st;
    path_of (workspace, "replicas.json", path, sizeof (path));
    if (stat (path, &st) < 0)
        return (struct replicas_stamp){ 0 };
    return (struct replicas_stamp){ (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec, (int64_t)st.st_ino,
                                    (int64_t)st.st_size };
}
