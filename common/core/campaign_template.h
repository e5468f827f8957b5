/* campaign_template.h - the {variables} in a job's command.
 *
 * An argument is text with variables: `{name}` stands for a value that differs from job to job, `{{` and `}}` for one
 * literal brace. The campaign file's check and the scheduler's expansion read arguments with the same scanner, so what
 * passes the one cannot fail in the other.
 */
#ifndef STRATA_CAMPAIGN_TEMPLATE_H
#define STRATA_CAMPAIGN_TEMPLATE_H

#include <stddef.h>

#include "strata_error.h"

/* All names that may stand between braces; ends with NULL. */
extern const char *const campaign_template_names[];

enum campaign_piece_kind {
    PIECE_END,              /* nothing left */
    PIECE_TEXT,             /* literal bytes */
    PIECE_VARIABLE,         /* start, length: the name without its braces; it may be unknown */
    PIECE_OPEN,             /* mistake: `{` that no `}` closes */
    PIECE_CLOSE,            /* mistake: `}` that no `{` opened */
};

struct campaign_piece {
    enum campaign_piece_kind kind;
    const char *start;      /* into the text that is scanned, not terminated */
    size_t length;
};

/* Takes the next piece off the front of *text. */
struct campaign_piece campaign_template_next (const char **text);

/* Text as a template that stands for it: its braces are doubled. malloc'ed; NULL: out of memory. */
char *campaign_template_quote (const char *text);

/* The argument with every variable replaced by lookup (arg, name), whose result is copied. malloc'ed, the caller frees
 * it. NULL with a sentence when lookup returns NULL (a variable that has no value here), a brace is unbalanced, or
 * memory ran out. */
char *campaign_template_expand (const char *text, const char *(*lookup) (void *arg, const char *name), void *arg,
                                struct strata_error *error);

#endif
