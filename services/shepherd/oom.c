/* oom.c - the kernel's count of out-of-memory kills.
 *
 * A process killed so looks like any other killed by signal 9. cgroup v2 counts the kills of each cgroup in
 * memory.events; the root cgroup and cgroup v1 don't, there /proc/vmstat counts those of the whole machine.
 */
#include <stdio.h>
#include <string.h>

#include "shepherd.h"

static bool find_count (const char *path, uint64_t *count)
{
    FILE *file = fopen (path, "re");
    if (!file)
        return false;
    char line[256];
    unsigned long long value;
    bool found = false;
    while (!found && fgets (line, sizeof (line), file))
        found = sscanf (line, "oom_kill %llu", &value) == 1;
    fclose (file);
    if (found)
        *count = value;
    return found;
}

uint64_t shepherd_oom_kills (void)
{
    uint64_t count = 0;
    char line[512], path[640];
    FILE *file = fopen ("/proc/self/cgroup", "re");
    bool found = false;
    while (file && !found && fgets (line, sizeof (line), file)) {
        line[strcspn (line, "\n")] = '\0';
        if (strncmp (line, "0::", 3) != 0)
            continue;
        snprintf (path, sizeof (path), "/sys/fs/cgroup%s/memory.events", line + 3);
        found = find_count (path, &count);
    }
    if (file)
        fclose (file);
    if (!found)
        find_count ("/proc/vmstat", &count);
    return count;
}
