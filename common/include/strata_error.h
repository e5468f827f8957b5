/* strata_error.h - one sentence for a person about what went wrong.
 *
 * Every function that can fail returns 0 or -1 (or NULL) and fills a struct strata_error: which input was wrong, how,
 * and what to do. errno keeps the machine's reason. The sentence carries no newline.
 */
#ifndef STRATA_ERROR_H
#define STRATA_ERROR_H

#include <stdarg.h>

struct strata_error {
    char text[512];
};

/* Formats the sentence into *error (NULL: dropped) and returns -1, so that a caller may `return strata_fail (...)`.
 * Leaves errno as it was. */
int strata_fail (struct strata_error *error, const char *fmt, ...) __attribute__ ((format (printf, 2, 3)));

/* Puts "<prefix>: " before the sentence that is already there; returns -1. For adding the name of the outer thing. */
int strata_fail_prefix (struct strata_error *error, const char *fmt, ...) __attribute__ ((format (printf, 2, 3)));

/* The analysers read one file at a time and would follow paths on which strata_fail returns 0. */
#ifdef __clang_analyzer__
static inline int strata_minus_one (int rc)
{
    (void)rc;
    return -1;
}
#define strata_fail(...) strata_minus_one (strata_fail (__VA_ARGS__))
#define strata_fail_prefix(...) strata_minus_one (strata_fail_prefix (__VA_ARGS__))
#endif

#endif
