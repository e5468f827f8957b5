/* gridsim_header.h - the ASCII header of a GridSim2D file, parsed from bytes that may be anything.
 *
 * A first line that ends in '{', entries `key = value value ... ;`, a line '}', one blank line, data. Entries may share
 * a line, as other writers of the format put them.
 */
#ifndef GRIDSIM_HEADER_H
#define GRIDSIM_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include "strata_error.h"

#define GRIDSIM_HEADER_KEYS 64
#define GRIDSIM_HEADER_WORDS 512

struct gridsim_header {
    size_t data_offset;
    size_t nkeys;
    struct {
        const char *key;
        size_t first, count;    /* its values: words[first .. first + count) */
    } keys[GRIDSIM_HEADER_KEYS];
    size_t nwords;
    const char *words[GRIDSIM_HEADER_WORDS];
};

/* Parses the file's first `size` bytes, splitting them in place: words point into text, which has room for one byte more.
 * file_size: to tell "truncated" from "no end found". */
int gridsim_header_parse (struct gridsim_header *header, char *text, size_t size, size_t file_size,
                          struct strata_error *error);
/* Value `i` of a key, as each kind; refused when the key or the value is missing or not of the kind. */
int gridsim_header_u64 (const struct gridsim_header *header, const char *key, size_t i, uint64_t *value,
                        struct strata_error *error);
int gridsim_header_number (const struct gridsim_header *header, const char *key, size_t i, double *value,
                           struct strata_error *error);
/* Value `i` has to be exactly `wanted`. */
int gridsim_header_expect (const struct gridsim_header *header, const char *key, size_t i, const char *wanted,
                           struct strata_error *error);

/* A whole word as a number: digits only, and fitting; a finite number. 0 or -1. */
int gridsim_parse_u64 (const char *word, uint64_t *value);
int gridsim_parse_number (const char *word, double *value);

#endif
