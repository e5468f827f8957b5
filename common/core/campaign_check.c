/* campaign_check.c - see campaign_check.h */
#include "core/campaign_check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/campaign_schema.h"

struct check {
    struct campaign_yaml *yaml;
    struct campaign_found *found;
};

static void check_value (struct check *self, const struct campaign_field *field, yaml_node_t *node, const char *path,
                         size_t line);

static bool only (const char *text, const char *more)
{
    for (; *text; text++)
        if (!(*text >= 'a' && *text <= 'z') && !(*text >= '0' && *text <= '9') && !strchr (more, *text))
            return false;
    return true;
}

/* Relative, no empty part, no part "." or "..". */
static bool is_inner_path (const char *text)
{
    while (true) {
        size_t n = strcspn (text, "/");
        if (n == 0 || (n == 1 && text[0] == '.') || (n == 2 && text[0] == '.' && text[1] == '.'))
            return false;
        if (!text[n])
            return true;
        text += n + 1;
    }
}

static bool is_one_line (const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

static bool is_allowed (const struct campaign_field *field, const yaml_node_t *node)
{
    const char *text = campaign_yaml_text (node);
    const char *plain = campaign_yaml_plain (node);
    uint64_t whole;
    double real;
    switch (field->kind) {
        case KIND_WHOLE:
            return plain && campaign_parse_whole (plain, &whole) && whole >= field->min && whole <= field->max
                   && !(field->odd && whole % 2 == 0);
        case KIND_REAL:
            return plain && campaign_parse_real (plain, &real) && real >= field->low && real <= field->high;
        case KIND_BOOL:
            return plain && (strcmp (plain, "true") == 0 || strcmp (plain, "false") == 0);
        case KIND_WORD:
        case KIND_CHOICE:
            for (size_t i = 0; text && field->words[i]; i++)
                if (strcmp (text, field->words[i]) == 0)
                    return true;
            return false;
        case KIND_MAP:
        case KIND_FREE:
            return node->type == YAML_MAPPING_NODE;
        case KIND_LIST:
            return node->type == YAML_SEQUENCE_NODE && campaign_yaml_items (node) >= field->min
                   && campaign_yaml_items (node) <= field->max;
        default:
            break;
    }
    if (!text || strlen (text) < field->min || strlen (text) > field->max)
        return false;
    if (field->kind == KIND_NAME)
        return only (text, "-");
    if (field->kind == KIND_LABEL)
        return only (text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ._+=@-") && strcmp (text, ".") != 0 && strcmp (text, "..") != 0;
    if (field->kind == KIND_FILE)
        return is_one_line (text) && is_inner_path (text);
    return field->kind == KIND_ARGUMENT || is_one_line (text);
}

static void refuse_value (struct check *self, const struct campaign_field *field, const yaml_node_t *node,
                          const char *path, size_t line)
{
    char allowed[1024], is[128];
    campaign_schema_allowed (field, allowed, sizeof (allowed));
    campaign_yaml_describe (node, is, sizeof (is));
    if (field->kind == KIND_LIST && campaign_yaml_items (node))
        snprintf (is, sizeof (is), "%zu items", campaign_yaml_items (node));
    const char *text = campaign_yaml_text (node);
    const char *near = field->words && text ? campaign_nearest (text, field->words) : NULL;
    campaign_found_add (self->found, line, path, "must be %s, not %s%s%s%s", allowed, is, near ? "; did you mean " : "",
                        near ? near : "", near ? "?" : "");
}

static const struct campaign_field *field_of (const struct campaign_field *fields, const char *key)
{
    for (; fields->key; fields++)
        if (strcmp (fields->key, key) == 0)
            return fields;
    return NULL;
}

static void refuse_key (struct check *self, const struct campaign_field *map, const yaml_node_t *key, const char *path)
{
    const char *words[32] = { NULL };
    char list[768] = "";
    for (size_t i = 0, n = 0; map->fields[i].key && i + 1 < sizeof (words) / sizeof (words[0]); i++) {
        words[i] = map->fields[i].key;
        n += (size_t)snprintf (list + n, sizeof (list) - n, "%s%s", i ? ", " : "", words[i]);
    }
    const char *text = campaign_yaml_text (key);
    const char *near = text ? campaign_nearest (text, words) : NULL;
    campaign_found_add (self->found, campaign_yaml_line (key), path, "unknown key; %s%s%sallowed here: %s",
                        near ? "did you mean " : "", near ? near : "", near ? "? " : "", list);
}

static void join (char *out, size_t size, const char *path, const char *key, size_t length)
{
    char quoted[72];
    campaign_yaml_quote (key, length, quoted, sizeof (quoted));
    snprintf (out, size, "%s%s%s", path, *path ? "." : "", quoted);
}

/* The line of the first of two equal keys; 0 when this is the first. */
static size_t given_before (struct check *self, yaml_node_t *map, const yaml_node_pair_t *pair, const char *key)
{
    for (const yaml_node_pair_t *p = map->data.mapping.pairs.start; p < pair; p++) {
        const yaml_node_t *other = campaign_yaml_node (self->yaml, p->key);
        const char *text = campaign_yaml_text (other);
        if (text && strcmp (text, key) == 0)
            return campaign_yaml_line (other);
    }
    return 0;
}

static void check_map (struct check *self, const struct campaign_field *map, yaml_node_t *node, const char *path,
                       size_t line)
{
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
        if (self->found->full)
            return;
        const yaml_node_t *key = campaign_yaml_node (self->yaml, p->key);
        const char *text = campaign_yaml_text (key);
        char inner[256];
        if (!text) {
            char is[128];
            campaign_yaml_describe (key, is, sizeof (is));
            campaign_found_add (self->found, campaign_yaml_line (key), *path ? path : "file",
                                "a key here is %s; keys are plain words", is);
            continue;
        }
        join (inner, sizeof (inner), path, text, strlen (text));
        size_t first = given_before (self, node, p, text);
        const struct campaign_field *field = field_of (map->fields, text);
        if (first)
            campaign_found_add (self->found, campaign_yaml_line (key), inner, "given twice; the first is in line %zu",
                                first);
        else if (!field)
            refuse_key (self, map, key, inner);
        else
            check_value (self, field, campaign_yaml_node (self->yaml, p->value), inner, campaign_yaml_line (key));
    }
    for (const struct campaign_field *f = map->fields; f->key; f++) {
        if (!f->required || campaign_yaml_get (self->yaml, node, f->key, NULL))
            continue;
        char inner[256], allowed[1024];
        join (inner, sizeof (inner), path, f->key, strlen (f->key));
        campaign_schema_allowed (f, allowed, sizeof (allowed));
        campaign_found_add (self->found, line, inner, "missing; it must be %s", allowed);
    }
}

/* line: of the key whose value node is, or of the list item. */
static void check_value (struct check *self, const struct campaign_field *field, yaml_node_t *node, const char *path,
                         size_t line)
{
    const char *tag = (const char *)node->tag;
    if (tag && strncmp (tag, "tag:yaml.org,2002:", 18) != 0) {
        char quoted[72];
        campaign_yaml_quote (tag, strlen (tag), quoted, sizeof (quoted));
        campaign_found_add (self->found, line, *path ? path : "file",
                            "has the tag %s; tags mean nothing here, leave it out",
                            quoted);
        return;
    }
    if (!is_allowed (field, node))
        refuse_value (self, field, node, path, line);
    if (field->kind == KIND_MAP && node->type == YAML_MAPPING_NODE)
        check_map (self, field, node, path, line);
    if (field->kind == KIND_LIST && campaign_yaml_items (node) <= field->max)
        for (size_t i = 0; i < campaign_yaml_items (node) && !self->found->full; i++) {
            yaml_node_t *item = campaign_yaml_item (self->yaml, node, i);
            char inner[288];
            snprintf (inner, sizeof (inner), "%s[%zu]", path, i);
            check_value (self, field->item, item, inner, campaign_yaml_line (item));
        }
}

/* True when the file is of a format that this build cannot judge. */
static bool other_format (struct campaign_yaml *yaml, struct campaign_found *found)
{
    size_t line = 1;
    const char *text = campaign_yaml_plain (campaign_yaml_get (yaml, campaign_yaml_root (yaml), "strata", &line));
    uint64_t format;
    if (!text || !campaign_parse_whole (text, &format) || format == CAMPAIGN_FORMAT)
        return false;
    campaign_found_add (found, line, "strata", "this file is format %" PRIu64 ", this build reads format %d", format,
                        CAMPAIGN_FORMAT);
    return true;
}

void campaign_check_table (struct campaign_yaml *yaml, const struct campaign_field *table, struct campaign_found *found)
{
    struct check self = { yaml, found };
    yaml_node_t *root = campaign_yaml_root (yaml);
    if (root)
        check_value (&self, table, root, "", 1);
    else
        campaign_found_add (found, 1, "file", "holds no keys");
}

void campaign_check (struct campaign_yaml *yaml, const char *dir, struct campaign_found *found)
{
    yaml_node_t *root = campaign_yaml_root (yaml);
    if (!root) {
        campaign_found_add (found, 1, "file",
                            "holds no keys; see docs/campaign-file.md for what a campaign file needs");
        return;
    }
    if (root->type != YAML_MAPPING_NODE) {
        char is[128];
        campaign_yaml_describe (root, is, sizeof (is));
        campaign_found_add (found, campaign_yaml_line (root), "file",
                            "must be a mapping of keys to values, not %s", is);
        return;
    }
    if (other_format (yaml, found))
        return;
    struct check self = { yaml, found };
    check_value (&self, &campaign_schema, root, "", 1);
    campaign_check_cross (yaml, dir, found);
}
