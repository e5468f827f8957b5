/* crash_point.c - see crash_point.h */
#include "core/crash_point.h"

#ifdef STRATA_CRASH_POINTS
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define NAME_MAX_BYTES 160

/* Counts a passing in the file, which all processes share: the new count, 0 when it can't be counted. */
static uint64_t count (const char *dir, const char *name)
{
    char path[4300], text[24] = "";
    uint64_t n = 0;
    snprintf (path, sizeof (path), "%s/%s", dir, name);
    int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return 0;
    if (flock (fd, LOCK_EX) == 0 && pread (fd, text, sizeof (text) - 1, 0) >= 0) {
        n = strtoull (text, NULL, 10) + 1;
        int size = snprintf (text, sizeof (text), "%llu\n", (unsigned long long)n);
        if (pwrite (fd, text, (size_t)size, 0) != size)
            n = 0;
    }
    close (fd);
    return n;
}

/* Whether `at` (see crash_point.h) names this place and this passing. */
static bool is_named (const char *at, const char *name, uint64_t n)
{
    size_t size = strlen (name);
    if (strncmp (at, name, size) != 0 || at[size] != ':')
        return false;
    for (const char *p = at + size; *p; ) {
        char *end;
        if (strtoull (p + 1, &end, 10) == n)
            return true;
        if (end == p + 1)
            break;
        p = end;
    }
    return false;
}

void crash_point_passed (const char *fmt, ...)
{
    static const struct timespec leave = { 0, 3000000 }, never = { 10, 0 };
    char name[NAME_MAX_BYTES];
    const char *dir = getenv ("STRATA_CRASH_DIR"), *at = getenv ("STRATA_CRASH_AT");
    const char *program = program_invocation_short_name;
    int saved = errno;
    va_list ap;
    if (!dir)
        return;
    if (strncmp (program, "strata-", 7) == 0)
        program += 7;
    int size = snprintf (name, sizeof (name), "%.60s!", program);
    va_start (ap, fmt);
    vsnprintf (name + size, sizeof (name) - (size_t)size, fmt, ap);
    va_end (ap);
    uint64_t n = count (dir, name);
    if (n && at && is_named (at, name, n)) {
        fprintf (stderr, "crash point %s, passing %llu: kills itself\n", name, (unsigned long long)n);
        nanosleep (&leave, NULL); /* what was handed to libzmq's own thread is on its way */
        for (;;) {
            kill (getpid (), SIGKILL);
            nanosleep (&never, NULL);
        }
    }
    errno = saved;
}
#endif
