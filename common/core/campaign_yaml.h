/* campaign_yaml.h - the campaign file as a tree whose every node knows its line; and the list of mistakes.
 *
 * libcyaml 1.3.1 loads the values but stops at the first mistake and knows lines only for some. So the text is parsed
 * here once more with libyaml, into a tree that the checks walk to find every mistake with its line. Limits on nodes
 * and depth are applied while reading events, before the tree is built: no input can make it large or slow.
 */
#ifndef STRATA_CAMPAIGN_YAML_H
#define STRATA_CAMPAIGN_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include <yaml.h>

#include "core/campaign.h"

#define CAMPAIGN_NODES_MAX 10000
#define CAMPAIGN_DEPTH_MAX 16
#define CAMPAIGN_MISTAKES_MAX 200

/* Mistakes while they are found: sorted by line at the end. */
struct campaign_found {
    const char *file;       /* as the caller named it; borrowed */
    const char *other;      /* not NULL: what is added now is in this file, which the first one names; borrowed for so long */
    struct campaign_found_line {
        char *file;         /* NULL: the first one */
        size_t line;        /* 1 = first */
        size_t order;
        char *text;         /* "key: sentence" */
    } *items;
    size_t count, capacity;
    bool full;              /* more than CAMPAIGN_MISTAKES_MAX, or memory ran out: the rest is not listed */
};

/* Adds "key: sentence". line 0 counts as 1. */
void campaign_found_add (struct campaign_found *self, size_t line, const char *key, const char *fmt, ...)
    __attribute__ ((format (printf, 4, 5)));
/* Moves everything, sorted, into *mistakes (at least one line if anything was found) and leaves self empty. */
void campaign_found_finish (struct campaign_found *self, struct campaign_mistakes *mistakes);

struct campaign_yaml {
    yaml_document_t document;
    bool has_document;
};

/* malloc'ed text of a file of at most 1 MiB; NULL with a mistake. */
unsigned char *campaign_yaml_read (const char *path, size_t *size, struct campaign_found *found);
/* Parses the text. 0, or -1 with a mistake added. */
int campaign_yaml_init (struct campaign_yaml *self, const unsigned char *text, size_t size,
                        struct campaign_found *found);
void campaign_yaml_fini (struct campaign_yaml *self);

yaml_node_t *campaign_yaml_root (struct campaign_yaml *self);
yaml_node_t *campaign_yaml_node (struct campaign_yaml *self, int id);
/* The line a node begins on; 1 = first. */
size_t campaign_yaml_line (const yaml_node_t *node);
/* The value of key in a mapping; the first, when it stands there twice. *line (may be NULL) becomes the key's line.
 * NULL when there is none, or map is NULL or no mapping. */
yaml_node_t *campaign_yaml_get (struct campaign_yaml *self, yaml_node_t *map, const char *key, size_t *line);
/* Items of a sequence: 0 when it is NULL or none. */
size_t campaign_yaml_items (const yaml_node_t *list);
yaml_node_t *campaign_yaml_item (struct campaign_yaml *self, yaml_node_t *list, size_t index);
/* The text of a scalar without NUL bytes in it; NULL for everything else, an empty value (`key:`, `~`, null) too. */
const char *campaign_yaml_text (const yaml_node_t *node);
/* A plain (unquoted) scalar's text, else NULL: what may be a number or a boolean. */
const char *campaign_yaml_plain (const yaml_node_t *node);
/* What a node is, for a message: `4`, `the text "4"`, `a list`, `an empty value`. */
void campaign_yaml_describe (const yaml_node_t *node, char *text, size_t size);
/* Text of unknown length from the file made fit for a message: at most 60 bytes, control characters as '?'. */
void campaign_yaml_quote (const char *from, size_t length, char *text, size_t size);

/* The word of the list (ends with NULL) that word was probably meant to be, NULL when none is near. */
const char *campaign_nearest (const char *word, const char *const *words);

#endif
