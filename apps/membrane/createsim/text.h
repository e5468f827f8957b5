/* text.h - reads small text tables: lines of words, with comments.
 *
 * Both the .dat tables and GROMACS' .itp files of the force field are such: words between blanks, `#` or `;` starts a
 * comment, empty lines mean nothing.
 */
#ifndef CREATESIM_TEXT_H
#define CREATESIM_TEXT_H

#include <stddef.h>

#include "strata_error.h"

#define TEXT_WORDS 40

struct createsim_line {
    const char *path;
    unsigned number;            /* from 1 */
    int count;
    char *words[TEXT_WORDS];
};

/* Calls each (line, arg) for every line with words; stops and returns -1 when it returns non-zero or the file can't be
 * read (the error then names the file; `each` fills it itself, best with createsim_line_fail). */
int createsim_text_read (const char *path,
                         int (*each) (struct createsim_line *line, void *arg, struct strata_error *error), void *arg,
                         struct strata_error *error);
/* "path:number: sentence"; returns -1. */
int createsim_line_fail (const struct createsim_line *line, struct strata_error *error, const char *fmt, ...)
    __attribute__ ((format (printf, 3, 4)));
/* Word i as a finite number. Returns 0 or -1 with the error filled. */
int createsim_line_number (const struct createsim_line *line, int i, double *value, struct strata_error *error);
/* Copies word i into buf of `size` bytes. A missing or too long word: -1. */
int createsim_line_word (const struct createsim_line *line, int i, char *buf, size_t size, struct strata_error *error);

#endif
