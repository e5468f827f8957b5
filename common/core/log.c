/* log.c - see log.h */
#include "core/log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = { "debug", "info", "warn", "error" };
static char log_name[64] = "strata";
static const char *log_path; /* that is not open yet */
static enum log_level log_threshold = LOG_LEVEL_INFO;

void log_init (const char *name)
{
    snprintf (log_name, sizeof (log_name), "%s", name);
    const char *wanted = getenv ("STRATA_LOG");
    for (size_t i = 0; wanted && i < sizeof (level_names) / sizeof (level_names[0]); i++)
        if (strcmp (wanted, level_names[i]) == 0)
            log_threshold = (enum log_level)i;
}

void log_to (const char *path)
{
    log_path = path;
}

void log_line (enum log_level level, const char *fmt, ...)
{
    if (level < log_threshold)
        return;
    struct timespec ts;
    struct tm tm;
    clock_gettime (CLOCK_REALTIME, &ts);
    gmtime_r (&ts.tv_sec, &tm);
    char line[2048];
    int n = snprintf (line,
                      sizeof (line),
                      "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %-5s %s: ",
                      tm.tm_year + 1900,
                      tm.tm_mon + 1,
                      tm.tm_mday,
                      tm.tm_hour,
                      tm.tm_min,
                      tm.tm_sec,
                      ts.tv_nsec / 1000000,
                      level_names[level],
                      log_name);
    va_list ap;
    va_start (ap, fmt);
    int m = vsnprintf (line + n, sizeof (line) - (size_t)n - 1, fmt, ap);
    va_end (ap);
    size_t len = (size_t)n + (m < 0 ? 0 : (size_t)m);
    if (len > sizeof (line) - 2)
        len = sizeof (line) - 2;
    line[len++] = '\n';
    int fd = log_path ? open (log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : -1;
    if (fd >= 0) {
        dup2 (fd, STDERR_FILENO);
        close (fd);
        log_path = NULL;
    }
    /* One write a line: lines of processes that share a file never interleave. */
    if (write (STDERR_FILENO, line, len) < 0) {
        /* Nowhere left to tell it. */
    }
}
