/* campaign_yaml.c - see campaign_yaml.h */
#include "core/campaign_yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- mistakes ---- */

void campaign_found_add (struct campaign_found *self, size_t line, const char *key, const char *fmt, ...)
{
    if (self->count == CAMPAIGN_MISTAKES_MAX) {
        self->full = true;
        return;
    }
    if (self->count == self->capacity) {
        size_t capacity = self->capacity ? 2 * self->capacity : 16;
        struct campaign_found_line *items = realloc (self->items, capacity * sizeof (*items));
        if (!items) {
            self->full = true;
            return;
        }
        self->items = items;
        self->capacity = capacity;
    }
    char sentence[2048];
    va_list ap;
    va_start (ap, fmt);
    vsnprintf (sentence, sizeof (sentence), fmt, ap);
    va_end (ap);
    char *text;
    if (asprintf (&text, "%s: %s", key, sentence) < 0) {
        self->full = true;
        return;
    }
    for (char *p = text; *p; p++) /* names from the file may hold anything; a mistake is one line */
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    self->items[self->count] = (struct campaign_found_line){ self->other ? strdup (self->other) : NULL, line ? line : 1, self->count,
                                                             text };
    self->count++;
}

static int by_line (const void *a, const void *b)
{
    const struct campaign_found_line *x = a, *y = b;
    if (!x->file != !y->file)
        return x->file ? 1 : -1;
    if (x->file && strcmp (x->file, y->file) != 0)
        return strcmp (x->file, y->file);
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

void campaign_found_finish (struct campaign_found *self, struct campaign_mistakes *mistakes)
{
    mistakes->lines = NULL;
    mistakes->count = 0;
    if (self->count || self->full)
        mistakes->lines = calloc (self->count + 1, sizeof (char *));
    if (self->count)
        qsort (self->items, self->count, sizeof (*self->items), by_line);
    for (size_t i = 0; i < self->count; i++) {
        char *line = NULL;
        if (mistakes->lines && asprintf (&line,
                                         "%s:%zu: %s", self->items[i].file ? self->items[i].file : self->file,
                                         self->items[i].line, self->items[i].text) >= 0)
            mistakes->lines[mistakes->count++] = line;
        free (self->items[i].text);
        free (self->items[i].file);
    }
    char *line = NULL;
    if (self->full && mistakes->lines
        && asprintf (&line, "%s:1: file: more than %zu mistakes; mend these first, then the rest is listed", self->file,
                     self->count) >= 0)
        mistakes->lines[mistakes->count++] = line;
    free (self->items);
    *self = (struct campaign_found){ .file = self->file };
}

/* ---- reading ---- */

#define FILE_MAX 1048576

static int read_all (int fd, unsigned char *text, size_t size, size_t *used)
{
    *used = 0;
    while (*used < size) {
        ssize_t n = read (fd, text + *used, size - *used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        *used += (size_t)n;
    }
    return 0;
}

unsigned char *campaign_yaml_read (const char *path, size_t *size, struct campaign_found *found)
{
    unsigned char *text = NULL;
    struct stat st;
    /* O_NONBLOCK: the open of a named pipe must not wait for its writer. */
    int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat (fd, &st) != 0) {
        campaign_found_add (found, 1, "file", "cannot be read: %s", strerror (errno));
    } else if (S_ISDIR (st.st_mode)) {
        campaign_found_add (found, 1, "file", "is a folder; name the campaign file in it");
    } else if (!S_ISREG (st.st_mode)) {
        campaign_found_add (found, 1, "file", "is not a regular file");
    } else if (!(text = malloc (FILE_MAX + 1))) {
        campaign_found_add (found, 1, "file", "out of memory while reading it");
    } else if (read_all (fd, text, FILE_MAX + 1, size) != 0) {
        campaign_found_add (found, 1, "file", "cannot be read: %s", strerror (errno));
    } else if (*size > FILE_MAX) {
        campaign_found_add (found, 1, "file", "is larger than 1 MiB; a campaign file is a few KiB");
    } else if (*size == 0) {
        campaign_found_add (found, 1, "file", "is empty; see docs/campaign-file.md for what a campaign file needs");
    }
    if (fd >= 0)
        close (fd);
    if (text && (*size > FILE_MAX || *size == 0 || found->count)) {
        free (text);
        text = NULL;
    }
    return text;
}

/* ---- parsing ---- */

static size_t line_at (const unsigned char *text, size_t size, size_t offset)
{
    size_t line = 1;
    for (size_t i = 0; i < size && i < offset; i++)
        line += text[i] == '\n';
    return line;
}

static void parser_failed (const yaml_parser_t *parser, const unsigned char *text, size_t size,
                           struct campaign_found *found)
{
    const char *problem = parser->problem ? parser->problem : "it cannot be parsed";
    switch (parser->error) {
        case YAML_MEMORY_ERROR:
            campaign_found_add (found, 1, "file", "out of memory while reading it");
            break;
        case YAML_READER_ERROR: /* has an offset in bytes only */
            campaign_found_add (found, line_at (text, size, parser->problem_offset), "file",
                                "not valid text: %s; the file must be UTF-8 without control characters", problem);
            break;
        default:
            if (parser->context)
                campaign_found_add (found, parser->problem_mark.line + 1, "file",
                                    "not valid YAML: %s, %s that begins in line %zu", problem, parser->context,
                                    parser->context_mark.line + 1);
            else
                campaign_found_add (found, parser->problem_mark.line + 1, "file", "not valid YAML: %s", problem);
            break;
    }
}

/* One step of the first pass. Returns 0 to go on, 1 at the end of the stream, -1 on a mistake. */
static int count_event (const yaml_event_t *event, size_t *nodes, size_t *depth, size_t *documents,
                        struct campaign_found *found)
{
    size_t line = event->start_mark.line + 1;
    switch (event->type) {
        case YAML_STREAM_END_EVENT:
            return 1;
        case YAML_DOCUMENT_START_EVENT:
            if (++*documents > 1) {
                campaign_found_add (found, line, "file",
                                    "a second document begins here; a campaign file is one document");
                return -1;
            }
            return 0;
        case YAML_MAPPING_START_EVENT:
        case YAML_SEQUENCE_START_EVENT:
            if (++*depth > CAMPAIGN_DEPTH_MAX) {
                campaign_found_add (found, line, "file", "nested deeper than %d levels", CAMPAIGN_DEPTH_MAX);
                return -1;
            }
            break;
        case YAML_MAPPING_END_EVENT:
        case YAML_SEQUENCE_END_EVENT:
            --*depth;
            return 0;
        case YAML_SCALAR_EVENT:
        case YAML_ALIAS_EVENT:
            break;
        default:
            return 0;
    }
    if (++*nodes > CAMPAIGN_NODES_MAX) {
        campaign_found_add (found, line, "file", "more than %d keys and values", CAMPAIGN_NODES_MAX);
        return -1;
    }
    return 0;
}

static int within_limits (const unsigned char *text, size_t size, struct campaign_found *found)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize (&parser)) {
        campaign_found_add (found, 1, "file", "out of memory while reading it");
        return -1;
    }
    yaml_parser_set_input_string (&parser, text, size);
    size_t nodes = 0, depth = 0, documents = 0;
    int rc = 0;
    while (rc == 0) {
        yaml_event_t event;
        if (!yaml_parser_parse (&parser, &event)) {
            parser_failed (&parser, text, size, found);
            rc = -1;
            break;
        }
        rc = count_event (&event, &nodes, &depth, &documents, found);
        yaml_event_delete (&event);
    }
    yaml_parser_delete (&parser);
    return rc < 0 ? -1 : 0;
}

int campaign_yaml_init (struct campaign_yaml *self, const unsigned char *text, size_t size,
                        struct campaign_found *found)
{
    self->has_document = false;
    if (within_limits (text, size, found))
        return -1;
    yaml_parser_t parser;
    if (!yaml_parser_initialize (&parser)) {
        campaign_found_add (found, 1, "file", "out of memory while reading it");
        return -1;
    }
    yaml_parser_set_input_string (&parser, text, size);
    if (yaml_parser_load (&parser, &self->document))
        self->has_document = true;
    else
        parser_failed (&parser, text, size, found);
    yaml_parser_delete (&parser);
    return self->has_document ? 0 : -1;
}

void campaign_yaml_fini (struct campaign_yaml *self)
{
    if (self->has_document)
        yaml_document_delete (&self->document);
    self->has_document = false;
}

/* ---- the tree ---- */

yaml_node_t *campaign_yaml_root (struct campaign_yaml *self)
{
    return yaml_document_get_root_node (&self->document);
}

yaml_node_t *campaign_yaml_node (struct campaign_yaml *self, int id)
{
    return yaml_document_get_node (&self->document, id);
}

size_t campaign_yaml_line (const yaml_node_t *node)
{
    return node->start_mark.line + 1;
}

yaml_node_t *campaign_yaml_get (struct campaign_yaml *self, yaml_node_t *map, const char *key, size_t *line)
{
    if (!map || map->type != YAML_MAPPING_NODE)
        return NULL;
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
        const yaml_node_t *node = campaign_yaml_node (self, p->key);
        const char *text = campaign_yaml_text (node);
        if (!text || strcmp (text, key) != 0)
            continue;
        if (line)
            *line = campaign_yaml_line (node);
        return campaign_yaml_node (self, p->value);
    }
    return NULL;
}

size_t campaign_yaml_items (const yaml_node_t *list)
{
    if (!list || list->type != YAML_SEQUENCE_NODE)
        return 0;
    return (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);
}

yaml_node_t *campaign_yaml_item (struct campaign_yaml *self, yaml_node_t *list, size_t index)
{
    return campaign_yaml_node (self, list->data.sequence.items.start[index]);
}

static bool is_empty (const yaml_node_t *node)
{
    const char *text = (const char *)node->data.scalar.value;
    return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE
           && (!text[0] || strcmp (text, "~") == 0 || strcasecmp (text, "null") == 0);
}

const char *campaign_yaml_text (const yaml_node_t *node)
{
    if (!node || node->type != YAML_SCALAR_NODE || is_empty (node))
        return NULL;
    const char *text = (const char *)node->data.scalar.value;
    return strlen (text) == node->data.scalar.length ? text : NULL;
}

const char *campaign_yaml_plain (const yaml_node_t *node)
{
    const char *text = campaign_yaml_text (node);
    return text && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? text : NULL;
}

void campaign_yaml_quote (const char *from, size_t length, char *text, size_t size)
{
    size_t n = 0;
    size_t most = size - 4 < 60 ? size - 4 : 60;
    while (n < length && n < most) {
        unsigned char c = (unsigned char)from[n];
        text[n++] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    /* Never half of a UTF-8 character. */
    if (n < length)
        while (n > 0 && ((unsigned char)from[n] & 0xc0) == 0x80)
            n--;
    snprintf (text + n, size - n, "%s", n < length ? "..." : "");
}

void campaign_yaml_describe (const yaml_node_t *node, char *text, size_t size)
{
    if (node->type == YAML_MAPPING_NODE) {
        snprintf (text, size, "a mapping");
    } else if (node->type == YAML_SEQUENCE_NODE) {
        snprintf (text, size, campaign_yaml_items (node) ? "a list" : "an empty list");
    } else if (is_empty (node)) {
        snprintf (text, size, "an empty value");
    } else {
        char quoted[72];
        campaign_yaml_quote ((const char *)node->data.scalar.value, node->data.scalar.length, quoted, sizeof (quoted));
        if (node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
            snprintf (text, size, "%s", quoted);
        else
            snprintf (text, size, "the text \"%s\"", quoted);
    }
}

/* ---- did you mean ---- */

/* Edits (insert, drop, change, swap neighbours) between a and b; texts above 63 bytes are never near. */
static size_t distance (const char *a, const char *b)
{
    size_t n = strlen (a), m = strlen (b);
    if (n > 63 || m > 63)
        return SIZE_MAX;
    size_t d[64][64];
    for (size_t i = 0; i <= n; i++)
        d[i][0] = i;
    for (size_t j = 0; j <= m; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= n; i++)
        for (size_t j = 1; j <= m; j++) {
            size_t best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[n][m];
}

const char *campaign_nearest (const char *word, const char *const *words)
{
    const char *nearest = NULL;
    size_t best = SIZE_MAX;
    for (; *words; words++) {
        size_t d = distance (word, *words);
        /* Two slips at the most, one in short words: a guess that is far off misleads. */
        if (d < best && d <= (strlen (*words) > 4 ? 2 : 1)) {
            best = d;
            nearest = *words;
        }
    }
    return nearest;
}
