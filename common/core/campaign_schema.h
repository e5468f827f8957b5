/* campaign_schema.h - the one description of the campaign file's keys.
 *
 * A row for each key: where its value goes in struct campaign, its type, what is allowed, its default, help and an
 * example. From the rows come libcyaml's schema (loading), the checks and their messages, the defaults, and the tables
 * of docs/campaign-file.md. To add a key: a member in campaign.h, a row in campaign_schema.c, a line in the document
 * (the unit test prints it).
 */
#ifndef STRATA_CAMPAIGN_SCHEMA_H
#define STRATA_CAMPAIGN_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cyaml/cyaml.h>

#include "core/campaign_yaml.h"

enum campaign_kind {
    KIND_WHOLE,             /* unsigned or uint64_t */
    KIND_REAL,              /* double */
    KIND_BOOL,              /* bool: true or false */
    KIND_NAME,              /* char *: a-z 0-9 - */
    KIND_LABEL,             /* char *: what may be a key of staging and a part of a file name */
    KIND_TEXT,              /* char *: one line, no control characters */
    KIND_ARGUMENT,          /* char *: anything but NUL */
    KIND_FILE,              /* char *: relative, no part `..` */
    KIND_WORD,              /* char *: one of words */
    KIND_CHOICE,            /* enum: index in words */
    KIND_MAP,               /* struct in place: fields */
    KIND_LIST,              /* array and its count: item */
    KIND_FREE,              /* a mapping of any keys; not in the structs */
};

struct campaign_field {
    const char *key;                        /* NULL: end of a table, or the item of a list */
    enum campaign_kind kind;
    bool required;
    bool odd;                               /* KIND_WHOLE: even numbers are refused */
    uint32_t offset;                        /* in the struct that the table is of */
    uint32_t size;                          /* of the member; KIND_LIST: of one item */
    uint32_t count_offset;                  /* KIND_LIST: of the unsigned that counts */
    uint64_t min, max;                      /* KIND_WHOLE: the value; texts: bytes; KIND_LIST: items */
    double low, high;                       /* KIND_REAL */
    const char *const *words;               /* ends with NULL */
    const char *fallback;                   /* the default as the file would spell it; NULL: none */
    const struct campaign_field *fields;    /* KIND_MAP: ends with key NULL */
    const struct campaign_field *item;      /* KIND_LIST */
    const char *help, *example;
};

/* The whole file: a KIND_MAP. */
extern const struct campaign_field campaign_schema;

/* `run` of a job type. */
extern const struct campaign_field campaign_run_fields[];

/* Puts the value that text spells, which was checked, to `at`; a text is malloc'ed. 0, or -1: out of memory. */
int campaign_schema_value (const struct campaign_field *field, const char *text, void *at);
/* Fills the numbers, booleans and texts of *base from a mapping that was checked (NULL: all are left out); texts are
 * malloc'ed. 0, or -1: out of memory. */
int campaign_schema_fill (struct campaign_yaml *yaml, const struct campaign_field *fields, yaml_node_t *node, void *base);

/* libcyaml's form of the table; the same object at each call, never freed. NULL: a table outgrew campaign_schema.c's
 * pools, which the unit tests would have seen. */
const cyaml_schema_value_t *campaign_schema_cyaml (void);

/* What a value of this field must be, as words that follow "must be": "a whole number from 1 to 1000". */
void campaign_schema_allowed (const struct campaign_field *field, char *text, size_t size);

/* Calls each (row, arg) for every key, in the table's order, with its row of the document:
 * "| `jobs[].cores` | a whole number from 0 to 100000 | 1 | help | `cores: 4` |". */
void campaign_schema_document (void (*each) (const char *row, void *arg), void *arg);

/* Whole number without sign, blanks or leading zeros. False: not one, or above UINT64_MAX. */
bool campaign_parse_whole (const char *text, uint64_t *value);
/* Decimal number, optional sign, fraction and exponent; finite. */
bool campaign_parse_real (const char *text, double *value);

#endif
