/* gridsim_header.c - see gridsim_header.h */
#include "data/gridsim_header.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int gridsim_parse_u64 (const char *word, uint64_t *value)
{
    *value = 0;
    const char *p = word;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow (*value, 10, value) || __builtin_add_overflow (*value, (uint64_t)(*p - '0'), value))
            return -1;
    return p > word && *p == '\0' ? 0 : -1;
}

int gridsim_parse_number (const char *word, double *value)
{
    char *end;
    *value = strtod (word, &end);
    return end > word && *end == '\0' && isfinite (*value) ? 0 : -1;
}

/* One entry, NUL-terminated: key = words. */
static int parse_entry (struct gridsim_header *h, char *entry, struct strata_error *error)
{
    static const char space[] = " \t\r\n";
    char *equals = strchr (entry, '='), *save = NULL;
    if (!equals)
        return strata_fail (error, "header entry '%.60s' is not 'key = value;'", entry);
    *equals = '\0';
    char *key = strtok_r (entry, space, &save);
    if (!key || strtok_r (NULL, space, &save))
        return strata_fail (error, "a header entry has no key of one word before its '='");
    for (size_t i = 0; i < h->nkeys; i++)
        if (strcmp (h->keys[i].key, key) == 0)
            return strata_fail (error, "header key '%.60s' comes twice", key);
    if (h->nkeys == GRIDSIM_HEADER_KEYS)
        return strata_fail (error, "its header has more than %d keys", GRIDSIM_HEADER_KEYS);
    h->keys[h->nkeys].key = key;
    h->keys[h->nkeys].first = h->nwords;
    for (char *w = strtok_r (equals + 1, space, &save); w; w = strtok_r (NULL, space, &save)) {
        if (h->nwords == GRIDSIM_HEADER_WORDS)
            return strata_fail (error, "its header has more than %d values", GRIDSIM_HEADER_WORDS);
        h->words[h->nwords++] = w;
    }
    h->keys[h->nkeys].count = h->nwords - h->keys[h->nkeys].first;
    h->nkeys++;
    return 0;
}

/* The line that is only "}", NULL when there is none. */
static char *closing_line (char *text)
{
    for (char *p = strchr (text, '\n'); p; p = strchr (p + 1, '\n')) {
        size_t n = strspn (p + 1, " \t");
        if (p[1 + n] == '}' && p[2 + n + strspn (p + 2 + n, " \t")] == '\n')
            return p + 1;
    }
    return NULL;
}

int gridsim_header_parse (struct gridsim_header *h, char *text, size_t size, size_t file_size, struct strata_error *error)
{
    memset (h, 0, sizeof (*h));
    text[size] = '\0';
    char *first_end = strchr (text, '\n');
    char *open = first_end;
    while (open && open > text && (open[-1] == ' ' || open[-1] == '\t'))
        open--;
    if (!first_end || open == text || open[-1] != '{')
        return strata_fail (error, "its first line doesn't end in '{': not a GridSim2D file");
    char *close = closing_line (first_end);
    if (!close)
        return strata_fail (error,
                            size < file_size ? "no line '}' ends its header in the first %zu bytes"
                                             : "truncated: no line '}' ends its header in its %zu bytes",
                            size);
    char *data = strchr (close, '\n') + 1;
    if (*data != '\n')
        return strata_fail (error, "no blank line follows the header's '}'");
    h->data_offset = (size_t)(data + 1 - text);

    *close = '\0';
    for (char *p = first_end + 1; p[strspn (p, " \t\r\n")] != '\0';) {
        char *semicolon = strchr (p, ';');
        if (!semicolon)
            return strata_fail (error, "header entry '%.60s' doesn't end in ';'", p + strspn (p, " \t\r\n"));
        *semicolon = '\0';
        if (parse_entry (h, p, error) != 0)
            return -1;
        p = semicolon + 1;
    }
    return 0;
}

static const char *header_word (const struct gridsim_header *h, const char *key, size_t i, struct strata_error *error)
{
    for (size_t k = 0; k < h->nkeys; k++)
        if (strcmp (h->keys[k].key, key) == 0) {
            if (i < h->keys[k].count)
                return h->words[h->keys[k].first + i];
            strata_fail (error, "header key '%s' has %zu values, number %zu is needed", key, h->keys[k].count, i + 1);
            return NULL;
        }
    strata_fail (error, "its header has no key '%s'", key);
    return NULL;
}

int gridsim_header_u64 (const struct gridsim_header *h, const char *key, size_t i, uint64_t *value,
                        struct strata_error *error)
{
    const char *word = header_word (h, key, i, error);
    if (word && gridsim_parse_u64 (word, value) != 0)
        return strata_fail (error, "header key '%s' is '%.60s', it has to be a whole number from 0", key, word);
    return word ? 0 : -1;
}

int gridsim_header_number (const struct gridsim_header *h, const char *key, size_t i, double *value,
                           struct strata_error *error)
{
    const char *word = header_word (h, key, i, error);
    if (word && gridsim_parse_number (word, value) != 0)
        return strata_fail (error, "header key '%s' is '%.60s', it has to be a finite number", key, word);
    return word ? 0 : -1;
}

int gridsim_header_expect (const struct gridsim_header *h, const char *key, size_t i, const char *wanted,
                           struct strata_error *error)
{
    const char *word = header_word (h, key, i, error);
    if (word && strcmp (word, wanted) != 0)
        return strata_fail (error, "value %zu of header key '%s' is '%.60s', it has to be '%s'", i + 1, key, word, wanted);
    return word ? 0 : -1;
}
