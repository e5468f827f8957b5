/* nodes.c - see nodes.h */
#include "core/nodes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <jansson.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/files.h"

#define FORMAT 1

bool nodes_name_valid (const char *name)
{
    size_t n = strspn (name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    return n > 0 && n < NODE_NAME_MAX && name[n] == '\0' && name[0] != '.';
}

void nodes_fini (struct nodes *self)
{
    free (self->names);
    *self = (struct nodes){ NULL, 0 };
}

static int take (struct nodes *self, const json_t *names)
{
    size_t i;
    const json_t *name;
    if (!json_is_array (names) || json_array_size (names) > NODES_MAX)
        return -1;
    self->names = calloc (json_array_size (names) + 1, sizeof (*self->names));
    json_array_foreach (names, i, name)
    {
        const char *text = json_string_value (name);
        if (!self->names || !text || !nodes_name_valid (text))
            return -1;
        snprintf (self->names[self->count++], NODE_NAME_MAX, "%s", text);
    }
    return self->names ? 0 : -1;
}

int nodes_read (const char *workspace, struct nodes *self, struct strata_error *error)
{
    char path[4200];
    json_error_t why;
    int format = 0;
    *self = (struct nodes){ NULL, 0 };
    snprintf (path, sizeof (path), "%s/nodes.json", workspace);
    if (access (path, F_OK) < 0 && errno == ENOENT)
        return 0;
    json_t *json = json_load_file (path, JSON_REJECT_DUPLICATES, &why);
    int rc = 0;
    if (!json)
        rc = strata_fail (error, "%s can't be read: %s", path, why.text);
    else if (json_unpack (json, "{s:i}", "format", &format) < 0 || format != FORMAT || take (self, json_object_get (json, "nodes")) < 0) {
        nodes_fini (self);
        rc = strata_fail (error, "%s is not understood: format %d with a list of at most %d names of nodes is expected", path, FORMAT,
                          NODES_MAX);
    }
    json_decref (json);
    return rc;
}

int nodes_find (const struct nodes *self, const char *name)
{
    for (size_t i = 0; i < self->count; i++)
        if (strcmp (self->names[i], name) == 0)
            return (int)i;
    return -1;
}

/* ---- locks ---- */

static int open_lock (const char *workspace, const char *name, int flags)
{
    char path[4200];
    snprintf (path, sizeof (path), "%s/nodes/%s.lock", workspace, name);
    return open (path, flags | O_CLOEXEC, 0666);
}

int nodes_lock (const char *workspace, const char *name, struct strata_error *error)
{
    char folder[4200];
    snprintf (folder, sizeof (folder), "%s/nodes", workspace);
    if (!nodes_name_valid (name)) {
        errno = EINVAL;
        return strata_fail (error, "'%.100s' is no name of a node: letters, digits, . _ - are; set STRATA_NODE", name);
    }
    if (mkdir (folder, 0777) < 0 && errno != EEXIST)
        return strata_fail (error, "folder %s can't be made: %s", folder, strerror (errno));
    int fd = open_lock (workspace, name, O_RDWR | O_CREAT);
    if (fd < 0)
        return strata_fail (error, "%s/%s.lock: %s", folder, name, strerror (errno));
    /* A look at the lock (nodes_is_up) holds it for an instant: try again. */
    for (int i = 0; flock (fd, LOCK_EX | LOCK_NB) < 0; i++) {
        if (errno != EWOULDBLOCK || i == 10) {
            int saved = errno;
            close (fd);
            strata_fail (error, "node %s has a supervisor of this campaign already, pid %ld", name, nodes_supervisor (workspace, name));
            errno = saved;
            return -1;
        }
        usleep (30000);
    }
    nodes_sign (fd, getpid ());
    return fd;
}

void nodes_sign (int fd, long pid)
{
    char text[32];
    int n = snprintf (text, sizeof (text), "%ld\n", pid);
    if (pwrite (fd, text, (size_t)n, 0) < 0 || ftruncate (fd, n) < 0)
        fprintf (stderr, "strata: a node's lock can't be written: %s\n", strerror (errno));
}

long nodes_supervisor (const char *workspace, const char *name)
{
    char text[32] = "";
    int fd = open_lock (workspace, name, O_RDONLY);
    if (fd < 0)
        return 0;
    bool held = flock (fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    ssize_t n = pread (fd, text, sizeof (text) - 1, 0);
    close (fd);
    return held && n > 0 ? strtol (text, NULL, 10) : 0;
}

bool nodes_is_up (const char *workspace, const char *name)
{
    return nodes_supervisor (workspace, name) != 0;
}

bool nodes_live (const char *workspace, const char *name)
{
    struct nodes nodes;
    struct strata_error error;
    bool live = false;
    if (nodes_read (workspace, &nodes, &error) < 0)
        return false;
    for (size_t i = 0; i < nodes.count && !live; i++)
        live = strcmp (nodes.names[i], name) != 0 && nodes_is_up (workspace, nodes.names[i]);
    nodes_fini (&nodes);
    return live;
}

/* ---- the list ---- */

static int save (const char *workspace, int folder, const struct nodes *nodes, struct strata_error *error)
{
    json_t *names = json_array ();
    for (size_t i = 0; i < nodes->count; i++)
        json_array_append_new (names, json_string (nodes->names[i]));
    json_t *json = json_pack ("{s:i s:o}", "format", FORMAT, "nodes", names);
    char *text = json ? json_dumps (json, JSON_INDENT (1)) : NULL;
    int rc = -1;
    if (!text)
        strata_fail (error, "out of memory");
    else if (files_write_synced (folder, workspace, "nodes.json.new", text, strlen (text), error) == 0) {
        rc = renameat (folder, "nodes.json.new", folder, "nodes.json") < 0 || fsync (folder) < 0 ? -1 : 0;
        if (rc < 0)
            strata_fail (error, "%s/nodes.json can't be written: %s", workspace, strerror (errno));
    }
    free (text);
    json_decref (json);
    return rc;
}

static int add (struct nodes *self, const char *name, struct strata_error *error)
{
    if (self->count == NODES_MAX)
        return strata_fail (error, "%d nodes have joined already, which is the most this build takes", NODES_MAX);
    char (*grown)[NODE_NAME_MAX] = realloc (self->names, (self->count + 1) * sizeof (*grown));
    if (!grown)
        return strata_fail (error, "out of memory");
    self->names = grown;
    snprintf (self->names[self->count++], NODE_NAME_MAX, "%s", name);
    return 0;
}

int nodes_join (const char *workspace, const char *name, bool alone, struct strata_error *error)
{
    char path[4200];
    struct nodes nodes = { NULL, 0 };
    int rc = -1, folder = open (workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    snprintf (path, sizeof (path), "%s/nodes/.list.lock", workspace); /* no node's name begins with a dot */
    int lock = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (lock < 0 || folder < 0 || flock (lock, LOCK_EX) < 0)
        strata_fail (error, "%s: %s", path, strerror (errno));
    else if (nodes_read (workspace, &nodes, error) == 0) {
        if (alone && !(nodes.count == 1 && nodes_find (&nodes, name) == 0))
            nodes.count = 0;
        rc = 0;
        if (nodes_find (&nodes, name) < 0)
            rc = add (&nodes, name, error) == 0 ? save (workspace, folder, &nodes, error) : -1;
    }
    nodes_fini (&nodes);
    if (lock >= 0)
        close (lock);
    if (folder >= 0)
        close (folder);
    return rc;
}

bool nodes_own (const bool *up, size_t count, size_t mine, unsigned number)
{
    size_t serving = count < NODES_SERVING ? count : NODES_SERVING;
    for (size_t i = 0; i < serving; i++) {
        size_t node = (number + i) % serving;
        if (node == mine)
            return true;
        if (up[node])
            return false;
    }
    return false;
}

/* ---- the end ---- */

static void down_path (const char *workspace, char *path, size_t size)
{
    snprintf (path, size, "%s/down", workspace);
}

int nodes_say_down (const char *workspace, struct strata_error *error)
{
    char path[4200];
    down_path (workspace, path, sizeof (path));
    int fd = open (path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return strata_fail (error, "%s can't be made: %s", path, strerror (errno));
    close (fd);
    return 0;
}

bool nodes_go_down (const char *workspace)
{
    char path[4200];
    down_path (workspace, path, sizeof (path));
    return access (path, F_OK) == 0;
}

void nodes_forget_down (const char *workspace)
{
    char path[4200];
    down_path (workspace, path, sizeof (path));
    unlink (path);
}

void nodes_address (char *address, size_t size)
{
    const char *given = getenv ("STRATA_ADDRESS");
    struct ifaddrs *all = NULL;
    snprintf (address, size, "%s", given && given[0] ? given : "127.0.0.1");
    if ((given && given[0]) || getifaddrs (&all) < 0)
        return;
    for (const struct ifaddrs *one = all; one; one = one->ifa_next)
        if (one->ifa_addr && one->ifa_addr->sa_family == AF_INET && (one->ifa_flags & IFF_UP) && !(one->ifa_flags & IFF_LOOPBACK)) {
            const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)one->ifa_addr;
            if (size < 128 && inet_ntop (AF_INET, &in->sin_addr, address, (socklen_t)size))
                break;
        }
    freeifaddrs (all);
}
