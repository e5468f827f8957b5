/* procs.c - see procs.h
 *
 * One pass over /proc reads (pid, parent, state, resident pages) of every process; the tree is then walked in memory. A
 * process that is born during the pass may be missed: callers that kill look again until nothing is found.
 */
#include "core/procs.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct proc {
    pid_t pid, parent;
    char state;
    long pages;
    bool inside;            /* a descendant of the root asked for */
};

static bool read_stat (const char *pid, struct proc *proc)
{
    char path[64], text[1024];
    snprintf (path, sizeof (path), "/proc/%.20s/stat", pid);
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read (fd, text, sizeof (text) - 1);
    close (fd);
    if (n <= 0)
        return false;
    text[n] = '\0';
    /* The name in parentheses may hold anything, parentheses too: the last one ends it. */
    char *end = strrchr (text, ')');
    int parent;
    if (!end || sscanf (end + 1,
                        " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %*u %*u %ld",
                        &proc->state,
                        &parent,
                        &proc->pages) != 3)
        return false;
    proc->pid = (pid_t)atoi (pid);
    proc->parent = (pid_t)parent;
    proc->inside = false;
    return true;
}

/* All processes; the caller frees. */
static struct proc *read_all (size_t *count)
{
    struct proc *procs = NULL;
    size_t n = 0, room = 0;
    DIR *dir = opendir ("/proc");
    if (dir) {
        struct dirent *entry;
        while ((entry = readdir (dir))) {
            if (!isdigit ((unsigned char)entry->d_name[0]))
                continue;
            if (n == room) {
                room = room ? room * 2 : 256;
                struct proc *more = realloc (procs, room * sizeof (*procs));
                if (!more)
                    break;
                procs = more;
            }
            if (read_stat (entry->d_name, &procs[n]))
                n++;
        }
        closedir (dir);
    }
    *count = n;
    return procs;
}

/* Marks the children of `parent`, theirs, and so on. Each is looked for once, so n processes with d descendants take
 * n * d steps; a tree is no deeper than `depth`, which only guards against a table torn by pids used again. */
static void mark_descendants (struct proc *procs, size_t n, pid_t parent, unsigned depth)
{
    for (size_t i = 0; i < n && depth; i++)
        if (procs[i].parent == parent && procs[i].pid != parent && !procs[i].inside) {
            procs[i].inside = true;
            mark_descendants (procs, n, procs[i].pid, depth - 1);
        }
}
#define DEPTH_MAX 1000

size_t procs_descendants (pid_t root, pid_t *pids, size_t max)
{
    size_t n, found = 0;
    struct proc *procs = read_all (&n);
    mark_descendants (procs, n, root, DEPTH_MAX);
    for (size_t i = 0; i < n; i++)
        if (procs[i].inside && procs[i].state != 'Z' && procs[i].state != 'X') {
            if (found < max)
                pids[found] = procs[i].pid;
            found++;
        }
    free (procs);
    return found;
}

double procs_descendants_rss_mb (pid_t root)
{
    size_t n;
    double pages = 0;
    struct proc *procs = read_all (&n);
    mark_descendants (procs, n, root, DEPTH_MAX);
    for (size_t i = 0; i < n; i++)
        if (procs[i].inside)
            pages += (double)procs[i].pages;
    free (procs);
    return pages * (double)sysconf (_SC_PAGESIZE) / (1024.0 * 1024.0);
}

/* Whether `text` (settings that each end with a zero byte) has exactly this one. */
static bool has_setting (const char *text, size_t size, const char *setting)
{
    size_t length = strlen (setting);
    for (size_t at = 0; at < size;) {
        size_t here = strnlen (text + at, size - at);
        if (here == length && memcmp (text + at, setting, length) == 0)
            return true;
        at += here + 1;
    }
    return false;
}

/* The environment that a process was started with; at most 256 KiB of it. NULL when it can't be read. Caller frees. */
static char *read_environment (const char *pid, size_t *size)
{
    enum { ENVIRONMENT_MAX = 256 * 1024 };
    char path[64];
    snprintf (path, sizeof (path), "/proc/%.20s/environ", pid);
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    char *text = malloc (ENVIRONMENT_MAX);
    size_t have = 0;
    ssize_t n = 0;
    while (text && have < ENVIRONMENT_MAX && (n = read (fd, text + have, ENVIRONMENT_MAX - have)) > 0)
        have += (size_t)n;
    close (fd);
    *size = have;
    return text;
}

size_t procs_kill_by_environment (const char *setting1, const char *setting2, int sig)
{
    size_t found = 0;
    DIR *dir = opendir ("/proc");
    if (!dir)
        return 0;
    struct dirent *entry;
    while ((entry = readdir (dir))) {
        pid_t pid = isdigit ((unsigned char)entry->d_name[0]) ? (pid_t)atoi (entry->d_name) : 0;
        if (pid <= 0 || pid == getpid ())
            continue;
        size_t size = 0;
        char *text = read_environment (entry->d_name, &size);
        if (text && has_setting (text, size, setting1) && has_setting (text, size, setting2) && kill (pid, sig) == 0)
            found++;
        free (text);
    }
    closedir (dir);
    return found;
}
