/* cgroup.c - a cgroup (version 2) of the attempt's own, where one may be made: what is in it can be killed at once, whatever it forks
 * meanwhile, and the kernel keeps its memory within the limit. Linux, Documentation/admin-guide/cgroup-v2.rst.
 *
 * Where: below the cgroup that STRATA_CGROUP names (a folder below /sys/fs/cgroup that is ours to use), else below our own when
 * systemd has delegated it (Delegate=yes). What root could do anyway is no permission. A limit of memory needs the memory
 * controller below that cgroup, which one with processes of its own can't have: for limits name one without.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "shepherd.h"

static int write_at (int dir, const char *name, const char *text)
{
    int fd = openat (dir, name, O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write (fd, text, strlen (text));
    if (fd >= 0)
        close (fd);
    return n == (ssize_t)strlen (text) ? 0 : -1;
}

/* Finds the line of a file that begins with `begin`; the rest of it without its end goes to `rest`. */
static bool find_line (const char *path, const char *begin, char *rest, size_t size)
{
    char line[PATH_MAX];
    bool found = false;
    FILE *file = fopen (path, "re");
    while (file && !found && fgets (line, sizeof (line), file)) {
        line[strcspn (line, "\n")] = '\0';
        found = strncmp (line, begin, strlen (begin)) == 0 && (size_t)snprintf (rest, size, "%s", line + strlen (begin)) < size;
    }
    if (file)
        fclose (file);
    return found;
}

/* Where the hierarchy of version 2 is mounted: alone, or beside those of version 1. */
static const char *mounted (void)
{
    static const char *const places[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
    char path[64];
    for (size_t i = 0; i < sizeof (places) / sizeof (places[0]); i++) {
        snprintf (path, sizeof (path), "%s/cgroup.procs", places[i]);
        if (access (path, F_OK) == 0)
            return places[i];
    }
    return NULL;
}

static bool is_delegated (const char *path)
{
    static const char *const names[] = { "user.delegate", "trusted.delegate" };
    char value[4];
    for (size_t i = 0; i < sizeof (names) / sizeof (names[0]); i++)
        if (getxattr (path, names[i], value, sizeof (value)) == 1 && value[0] == '1')
            return true;
    return false;
}

/* The cgroup below which ours is made. False: there is none. */
static bool find_base (char base[PATH_MAX])
{
    const char *named = getenv ("STRATA_CGROUP"), *root = mounted ();
    char own[PATH_MAX - 64];
    if (named)
        return named[0] && (size_t)snprintf (base, PATH_MAX, "%s", named) < PATH_MAX;
    if (!root || !find_line ("/proc/self/cgroup", "0::", own, sizeof (own)))
        return false;
    snprintf (base, PATH_MAX, "%s%s", root, strcmp (own, "/") == 0 ? "" : own);
    return is_delegated (base);
}

/* Left by a shepherd of our pid that was killed. */
static void clear_old (const char *path)
{
    struct timespec pause = { 0, 10000000 };
    int dir = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir >= 0) {
        write_at (dir, "cgroup.kill", "1");
        close (dir);
    }
    for (int i = 0; rmdir (path) != 0 && errno == EBUSY && i < 100; i++)
        nanosleep (&pause, NULL);
}

static bool limit_memory (int dir, const char *base, unsigned memory_mb)
{
    char path[PATH_MAX + 32], text[32];
    snprintf (path, sizeof (path), "%s/cgroup.subtree_control", base);
    snprintf (text, sizeof (text), "%llu", (unsigned long long)memory_mb << 20);
    if (faccessat (dir, "memory.max", F_OK, 0) != 0)
        write_at (AT_FDCWD, path, "+memory");
    write_at (dir, "memory.oom.group", "1"); /* all of it, not one process of it */
    return write_at (dir, "memory.max", text) == 0;
}

void shepherd_cgroup_make (struct shepherd_cgroup *self, unsigned memory_mb)
{
    char base[PATH_MAX];
    *self = (struct shepherd_cgroup){ .dir = -1 };
    if (!find_base (base) || snprintf (self->path, sizeof (self->path), "%s/strata-%d", base, (int)getpid ()) >= (int)sizeof (self->path))
        return;
    if (mkdir (self->path, 0755) != 0 && errno == EEXIST) {
        clear_old (self->path);
        mkdir (self->path, 0755);
    }
    self->dir = open (self->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self->dir >= 0)
        self->limited = memory_mb && limit_memory (self->dir, base, memory_mb);
    else if (getenv ("STRATA_CGROUP"))
        log_warn ("%s can't be made (%s): the job runs without a cgroup of its own; mend STRATA_CGROUP", self->path, strerror (errno));
}

void shepherd_cgroup_kill (const struct shepherd_cgroup *self)
{
    if (self->dir >= 0)
        write_at (self->dir, "cgroup.kill", "1");
}

bool shepherd_cgroup_ran_out (const struct shepherd_cgroup *self)
{
    char path[PATH_MAX + 16], count[32];
    snprintf (path, sizeof (path), "%s/memory.events", self->path);
    return self->limited && find_line (path, "oom_kill ", count, sizeof (count)) && strcmp (count, "0") != 0;
}

void shepherd_cgroup_remove (struct shepherd_cgroup *self)
{
    if (self->dir < 0)
        return;
    close (self->dir);
    self->dir = -1;
    if (rmdir (self->path) != 0)
        log_warn ("%s can't be removed: %s", self->path, strerror (errno));
}
