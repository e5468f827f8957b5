/* procs.c - see procs.h
 *
 * The kernel names each thread's children (/proc/PID/task/TID/children), so a look costs what the tree holds and not what
 * the machine runs: a node with hundreds of jobs has as many shepherds looking. Kernels built without that file get one
 * pass over all of /proc instead. Either way a process that is born or dies during the look may be missed: callers that
 * kill look again until nothing is found.
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

struct procs {
    struct proc *list;      /* malloc'ed */
    size_t count, room;
};

/* Room for one more, cleared; NULL when memory is out. */
static struct proc *procs_next (struct procs *procs)
{
    if (procs->count == procs->room) {
        size_t room = procs->room ? procs->room * 2 : 64;
        struct proc *more = realloc (procs->list, room * sizeof (*more));
        if (!more)
            return NULL;
        procs->list = more;
        procs->room = room;
    }
    struct proc *proc = &procs->list[procs->count];
    *proc = (struct proc){ 0 };
    return proc;
}

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
    return true;
}

/* Adds the children of all threads of `pid`. False when the kernel does not name them. */
static bool add_children (struct procs *procs, pid_t pid)
{
    char path[64];
    bool named = false;
    snprintf (path, sizeof (path), "/proc/%d/task", (int)pid);
    DIR *dir = opendir (path);
    struct dirent *entry;
    while (dir && (entry = readdir (dir))) {
        if (!isdigit ((unsigned char)entry->d_name[0]))
            continue;
        snprintf (path, sizeof (path), "/proc/%d/task/%.20s/children", (int)pid, entry->d_name);
        FILE *file = fopen (path, "re");
        char child[24];
        struct proc *proc;
        while (file && fscanf (file, "%23s", child) == 1 && (proc = procs_next (procs)) != NULL)
            if (read_stat (child, proc)) {
                proc->inside = true;
                procs->count++;
            }
        named |= file != NULL;
        if (file)
            fclose (file);
    }
    if (dir)
        closedir (dir);
    return named;
}

static void add_all (struct procs *procs)
{
    DIR *dir = opendir ("/proc");
    struct dirent *entry;
    struct proc *proc;
    while (dir && (entry = readdir (dir)))
        if (isdigit ((unsigned char)entry->d_name[0]) && (proc = procs_next (procs)) != NULL && read_stat (entry->d_name, proc))
            procs->count++;
    if (dir)
        closedir (dir);
}

/* Marks the children of `parent`, theirs, and so on. Each is looked for once, so n processes with d descendants take
 * n * d steps; a tree is no deeper than `depth`, which only guards against a table torn by pids used again. */
static void mark_descendants (struct procs *procs, pid_t parent, unsigned depth)
{
    for (size_t i = 0; i < procs->count && depth; i++) {
        struct proc *proc = &procs->list[i];
        if (proc->parent == parent && proc->pid != parent && !proc->inside) {
            proc->inside = true;
            mark_descendants (procs, proc->pid, depth - 1);
        }
    }
}
#define DEPTH_MAX 1000
#define TREE_MAX 100000u /* a tree torn by pids used again could name itself for ever */

/* The caller frees .list. */
static struct procs descendants (pid_t root)
{
    struct procs procs = { 0 };
    if (add_children (&procs, root))
        for (size_t i = 0; i < procs.count && procs.count < TREE_MAX; i++)
            add_children (&procs, procs.list[i].pid);
    else {
        add_all (&procs);
        mark_descendants (&procs, root, DEPTH_MAX);
    }
    return procs;
}

size_t procs_descendants (pid_t root, pid_t *pids, size_t max)
{
    size_t found = 0;
    struct procs procs = descendants (root);
    for (size_t i = 0; i < procs.count; i++)
        if (procs.list[i].inside && procs.list[i].state != 'Z' && procs.list[i].state != 'X') {
            if (found < max)
                pids[found] = procs.list[i].pid;
            found++;
        }
    free (procs.list);
    return found;
}

double procs_descendants_rss_mb (pid_t root)
{
    double pages = 0;
    struct procs procs = descendants (root);
    for (size_t i = 0; i < procs.count; i++)
        if (procs.list[i].inside)
            pages += (double)procs.list[i].pages;
    free (procs.list);
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
