/* error.c - see strata_error.h */
#include "strata_error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#undef strata_fail /* what the analysers see, not what is defined here */
#undef strata_fail_prefix

static void one_line (char *text)
{
    for (char *p = text; *p; p++)
        if (*p == '\n' || *p == '\r')
            *p = ' ';
}

int strata_fail (struct strata_error *error, const char *fmt, ...)
{
    if (error) {
        int saved = errno;
        va_list ap;
        va_start (ap, fmt);
        vsnprintf (error->text, sizeof (error->text), fmt, ap);
        va_end (ap);
        one_line (error->text);
        errno = saved;
    }
    return -1;
}

int strata_fail_prefix (struct strata_error *error, const char *fmt, ...)
{
    if (error) {
        int saved = errno;
        char old[sizeof (error->text)];
        memcpy (old, error->text, sizeof (old));
        va_list ap;
        va_start (ap, fmt);
        int n = vsnprintf (error->text, sizeof (error->text), fmt, ap);
        va_end (ap);
        if (n >= 0 && (size_t)n < sizeof (error->text))
            snprintf (error->text + n, sizeof (error->text) - (size_t)n, ": %s", old);
        one_line (error->text);
        errno = saved;
    }
    return -1;
}
