/* outcome_read.c - see outcome.h */
#include "core/outcome.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Bytes of the file, at the most: each of its texts' may take six (\u0001). */
#define OUTCOME_FILE_MAX (6 * (OUTCOME_TAIL_MAX + 1024))

/* Cut to fit, but never inside a UTF-8 character: the text goes on into protobuf and JSON. */
static void copy_text (char *to, size_t size, const char *from)
{
    size_t n = outcome_whole (from, size - 1);
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
    outcome->end = outcome_end_of (end);
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
    char text[OUTCOME_FILE_MAX];
    ssize_t n = 0;
    size_t size = 0;
    while (size < sizeof (text) && (n = read (fd, text + size, sizeof (text) - size)) > 0) /* json_loadfd reads byte by byte */
        size += (size_t)n;
    close (fd);
    json_t *json = json_loadb (text, size, JSON_REJECT_DUPLICATES, &wrong);
    int rc = json ? understand (json, outcome, path, error)
                  : strata_fail (error, "%s is not JSON (%s); remove it to have the attempt counted as lost", path,
                                 wrong.text);
    json_decref (json);
    return rc;
}
