/* outcome.c - see outcome.h */
#include "core/outcome.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
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
    [STRATA__JOB_END__END_REFUSED] = "refused",
};
#define END_COUNT (sizeof (end_names) / sizeof (end_names[0]))

Strata__JobEnd outcome_end_of (const char *name)
{
    for (size_t i = 1; i < END_COUNT; i++)
        if (end_names[i] && strcmp (end_names[i], name) == 0)
            return (Strata__JobEnd)i;
    return STRATA__JOB_END__END_NONE;
}

const char *outcome_end_name (Strata__JobEnd end)
{
    return (unsigned)end < END_COUNT && end_names[end] ? end_names[end] : "unknown";
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

/* How many bytes the UTF-8 character at `text` has; 0: it is none (RFC 3629: not longer than needed, no surrogate, at most U+10FFFF). */
static size_t character (const char *text)
{
    const unsigned char *c = (const unsigned char *)text;
    size_t n = c[0] < 0x80 ? 1 : c[0] >= 0xc2 && c[0] < 0xe0 ? 2 : c[0] >= 0xe0 && c[0] < 0xf0 ? 3 : c[0] >= 0xf0 && c[0] < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < n; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) || (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f))
        return 0;
    return n;
}

/* A JSON string. Names of files may hold bytes that are no text: each becomes a question mark. */
static void put_text (FILE *file, const char *name, const char *text)
{
    fprintf (file, "  \"%s\": \"", name);
    while (*text) {
        size_t n = character (text);
        if (n == 0)
            putc ('?', file);
        else if (*text == '\n')
            fputs ("\\n", file);
        else if ((unsigned char)*text < 0x20)
            fprintf (file, "\\u%04x", (unsigned)*text);
        else if (*text == '"' || *text == '\\')
            fprintf (file, "\\%c", *text);
        else
            fwrite (text, 1, n, file);
        text += n ? n : 1;
    }
    fputs ("\",\n", file);
}

/* Without jansson: a shepherd is started for every job, and brings no library along. Malloc'ed. */
static char *print (const struct outcome *outcome)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream (&text, &size);
    if (!file)
        return NULL;
    fputs ("{\n", file);
    put_text (file, "end", outcome_end_name (outcome->end));
    fprintf (file, "  \"code\": %d,\n", outcome->code);
    put_text (file, "reason", outcome->reason);
    put_text (file, "stderr_tail", outcome->stderr_tail);
    fprintf (file, "  \"max_rss_mb\": %.3f,\n  \"started_us\": %" PRId64 ",\n  \"ended_us\": %" PRId64 "\n}\n", outcome->max_rss_mb,
             outcome->started_us, outcome->ended_us);
    if (fclose (file) == 0)
        return text;
    free (text);
    return NULL;
}

int outcome_write (const char *folder, const struct outcome *outcome, bool sync, struct strata_error *error)
{
    char path[PATH_MAX], part[PATH_MAX];
    if (snprintf (path, sizeof (path), "%s/outcome.json", folder) >= (int)sizeof (path)
        || snprintf (part, sizeof (part), "%s/outcome.json.part", folder) >= (int)sizeof (part))
        return strata_fail (error, "%.200s: the name of this folder is too long; choose a shorter workspace path",
                            folder);
    char *text = print (outcome);
    if (!text)
        return strata_fail (error, "%s: out of memory", path);
    int fd = open (part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool ok = fd >= 0 && write_all (fd, text, strlen (text)) == 0 && (!sync || fsync (fd) == 0);
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

size_t outcome_whole (const char *text, size_t most)
{
    size_t n = strnlen (text, most + 1);
    if (n > most)
        for (n--; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80;)
            n--;
    return n;
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
