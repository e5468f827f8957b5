/* text.c - see text.h. */
#include "text.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int createsim_line_fail (const struct createsim_line *line, struct strata_error *error, const char *fmt, ...)
{
    char sentence[400];
    va_list args;

    va_start (args, fmt);
    vsnprintf (sentence, sizeof sentence, fmt, args);
    va_end (args);
    return strata_fail (error, "%s:%u: %s", line->path, line->number, sentence);
}

int createsim_line_number (const struct createsim_line *line, int i, double *value, struct strata_error *error)
{
    char *end;

    if (i >= line->count)
        return createsim_line_fail (line, error, "word %d is missing; a number is due there", i + 1);
    *value = strtod (line->words[i], &end);
    if (end == line->words[i] || *end != '\0' || !isfinite (*value))
        return createsim_line_fail (line, error, "\"%s\" is not a number", line->words[i]);
    return 0;
}

int createsim_line_word (const struct createsim_line *line, int i, char *buf, size_t size, struct strata_error *error)
{
    if (i >= line->count)
        return createsim_line_fail (line, error, "word %d is missing", i + 1);
    if (strlen (line->words[i]) >= size)
        return createsim_line_fail (line, error, "\"%s\" is longer than %zu characters", line->words[i], size - 1);
    memcpy (buf, line->words[i], strlen (line->words[i]) + 1);
    return 0;
}

/* Cuts the comment off and splits in place. Returns -1 when there are too many words. */
static int split (char *text, struct createsim_line *line)
{
    char *save = NULL;

    text[strcspn (text, "#;\r\n")] = '\0';
    line->count = 0;
    for (char *word = strtok_r (text, " \t", &save); word != NULL; word = strtok_r (NULL, " \t", &save)) {
        if (line->count == TEXT_WORDS)
            return -1;
        line->words[line->count++] = word;
    }
    return 0;
}

int createsim_text_read (const char *path,
                         int (*each) (struct createsim_line *line, void *arg, struct strata_error *error), void *arg,
                         struct strata_error *error)
{
    struct createsim_line line = { .path = path };
    char *text = NULL;
    size_t room = 0;
    int rc = 0;
    FILE *file = fopen (path, "r");

    if (file == NULL)
        return strata_fail (error, "%s: can't be read: %s", path, strerror (errno));
    while (rc == 0 && getline (&text, &room, file) >= 0) {
        line.number++;
        if (split (text, &line) < 0)
            rc = createsim_line_fail (&line, error, "more than %d words in one line", TEXT_WORDS);
        else if (line.count > 0)
            rc = each (&line, arg, error) == 0 ? 0 : -1;
    }
    if (rc == 0 && ferror (file))
        rc = strata_fail (error, "%s: can't be read: %s", path, strerror (errno));
    free (text);
    fclose (file);
    return rc;
}
