/* outcome.c - see outcome.h */
#include "core/outcome.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/crash_point.h"

static const char *const end_names[] = {
    [STRATA__JOB_END__END_NONE] = "none",           [STRATA__JOB_END__END_EXIT] = "exit",
    [STRATA__JOB_END__END_SIGNAL] = "signal",       [STRATA__JOB_END__END_WALLTIME] = "walltime",
    [STRATA__JOB_END__END_MEMORY] = "memory",       [STRATA__JOB_END__END_NO_START] = "no-start",
    [STRATA__JOB_END__END_NO_OUTPUT] = "no-output", [STRATA__JOB_END__END_LOST] = "lost",
    [STRATA__JOB_END__END_CANCELLED] = "cancelled", [STRATA__JOB_END__END_STOPPED] = "stopped",
    [STRATA__JOB_END__END_OUTPUT] = "output",       [STRATA__JOB_END__END_NODE] = "node-lost",
};
#define END_COUNT (sizeof (end_names) / sizeof (end_names[0]))

const char *outcome_end_name (Strata__JobEnd end)
{
    return (unsigned)end < END_COUNT ? end_names[end] : "unknown";
}

static int write_all (int fd, const char *text, size_t size)
{
    while (size) {
        ssize_t n = write (fd, text, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        text += n;
        size -= (size_t)n;
    }
    return 0;
}

static int sync_folder (const char *folder)
{
    int fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = fsync (fd);
    close (fd);
    return rc;
}

int outcome_write (const char *folder, const struct outcome *outcome, bool sync, struct strata_error *error)
{
    char path[PATH_MAX], part[PATH_MAX];
    if (snprintf (path, sizeof (path), "%s/outcome.json", folder) >= (int)sizeof (path)
        || snprintf (part, sizeof (part), "%s/outcome.json.part", folder) >= (int)sizeof (part))
        return strata_fail (error, "%.200s: the name of this folder is too long; choose a shorter workspace path",
                            folder);
    json_t *json = json_pack ("{s:s, s:i, s:s, s:s, s:f, s:I, s:I}",
                              "end", outcome_end_name (outcome->end),
                              "code", outcome->code,
                              "reason", outcome->reason,
                              "stderr_tail", outcome->stderr_tail,
                              "max_rss_mb", outcome->max_rss_mb,
                              "started_us", (json_int_t)outcome->started_us,
                              "ended_us", (json_int_t)outcome->ended_us);
    char *text = json ? json_dumps (json, JSON_INDENT (2)) : NULL;
    json_decref (json);
    if (!text)
        return strata_fail (error, "%s: the outcome could not be put into JSON", path);
    int fd = open (part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool ok = fd >= 0 && write_all (fd, text, strlen (text)) == 0 && write_all (fd, "\n", 1) == 0 && (!sync || fsync (fd) == 0);
    int saved = errno;
    if (fd >= 0)
        close (fd);
    free (text);
    errno = saved;
    crash_point ("outcome.written");
    if (!ok || rename (part, path) != 0 || (sync && sync_folder (folder) != 0))
        return strata_fail (error, "%s can't be written (%s); make room or mend its permissions", path,
                            strerror (errno));
    return 0;
}

/* Cut to fit, but never inside a UTF-8 character: the text goes on into protobuf and JSON. */
static void copy_text (char *to, size_t size, const char *from)
{
    size_t n = strnlen (from, size);
    if (n == size)
        for (n--; n > 0 && ((unsigned char)from[n] & 0xc0) == 0x80;)
            n--;
    memcpy (to, from, n);
    to[n] = '\0';
}

static int understand (json_t *json, struct outcome *outcome, const char *path, struct strata_error *error)
{
    json_error_t wrong;
    const char *end, *reason, *tail;
    json_int_t started, ended;
    if (json_unpack_ex (json, &wrong, 0, "{s:s, s:i, s:s, s:s, s:F, s:I, s:I}",
                        "end", &end,
                        "code", &outcome->code,
                        "reason", &reason,
                        "stderr_tail", &tail,
                        "max_rss_mb", &outcome->max_rss_mb,
                        "started_us", &started,
                        "ended_us", &ended) != 0)
        return strata_fail (error, "%s is not an outcome (%s); remove it to have the attempt counted as lost", path,
                            wrong.text);
    for (size_t i = 1; i < END_COUNT; i++)
        if (strcmp (end_names[i], end) == 0)
            outcome->end = (Strata__JobEnd)i;
    if (outcome->end == STRATA__JOB_END__END_NONE)
        return strata_fail (
            error, "%s: \"%.40s\" is not a way to end; remove the file to have the attempt counted as lost", path, end);
    copy_text (outcome->reason, sizeof (outcome->reason), reason);
    copy_text (outcome->stderr_tail, sizeof (outcome->stderr_tail), tail);
    outcome->started_us = started;
    outcome->ended_us = ended;
    return 1;
}

int outcome_read (const char *folder, struct outcome *outcome, struct strata_error *error)
{
    char path[PATH_MAX];
    memset (outcome, 0, sizeof (*outcome));
    if (snprintf (path, sizeof (path), "%s/outcome.json", folder) >= (int)sizeof (path))
        return strata_fail (error, "%.200s: the name of this folder is too long; choose a shorter workspace path",
                            folder);
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : strata_fail (error, "%s can't be opened (%s); mend that", path, strerror (errno));
    json_error_t wrong;
    json_t *json = json_loadfd (fd, JSON_REJECT_DUPLICATES, &wrong);
    close (fd);
    int rc = json ? understand (json, outcome, path, error)
                  : strata_fail (error, "%s is not JSON (%s); remove it to have the attempt counted as lost", path,
                                 wrong.text);
    json_decref (json);
    return rc;
}

void outcome_tail (const char *path, char *tail)
{
    tail[0] = '\0';
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    off_t size = lseek (fd, 0, SEEK_END);
    off_t from = size > OUTCOME_TAIL_MAX ? size - OUTCOME_TAIL_MAX : 0;
    ssize_t n = pread (fd, tail, OUTCOME_TAIL_MAX, from);
    close (fd);
    if (n <= 0)
        return;
    while (n > 0 && (tail[n - 1] == '\n' || tail[n - 1] == '\0'))
        n--;
    ssize_t start = n;
    for (int lines = 0; start > 0; start--)
        if (tail[start - 1] == '\n' && ++lines == OUTCOME_TAIL_LINES)
            break;
    n -= start;
    memmove (tail, tail + start, (size_t)n);
    tail[n] = '\0';
    /* Programs print what they like; JSON, protobuf and terminals must all be able to carry it. */
    for (ssize_t i = 0; i < n; i++)
        if (tail[i] != '\n' && (tail[i] < ' ' || tail[i] > '~'))
            tail[i] = tail[i] == '\t' || tail[i] == '\r' ? ' ' : '?';
}
