/* campaign_template.c - see campaign_template.h */
#include "core/campaign_template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const campaign_template_names[] = {
    "job", "simulation", "candidate", "attempt", "dir", "input",
    "cores", "gpus", "workspace", "campaign_dir", "bin_dir", "seed", NULL,
};

struct campaign_piece campaign_template_next (const char **text)
{
    const char *p = *text;
    struct campaign_piece piece = { PIECE_END, p, 0 };
    if (*p == '\0')
        return piece;
    if ((p[0] == '{' || p[0] == '}') && p[1] == p[0]) {
        *text = p + 2;
        return (struct campaign_piece){ PIECE_TEXT, p, 1 };
    }
    if (*p == '{') {
        size_t n = strcspn (p + 1, "{}");
        if (p[1 + n] != '}') {
            *text = p + 1;
            return (struct campaign_piece){ PIECE_OPEN, p, 1 + n };
        }
        *text = p + n + 2;
        return (struct campaign_piece){ PIECE_VARIABLE, p + 1, n };
    }
    if (*p == '}') {
        *text = p + 1;
        return (struct campaign_piece){ PIECE_CLOSE, p, 1 };
    }
    piece.kind = PIECE_TEXT;
    piece.length = strcspn (p, "{}");
    *text = p + piece.length;
    return piece;
}

char *campaign_template_quote (const char *text)
{
    char *out = malloc (2 * strlen (text) + 1), *p = out;
    for (; p && *text; text++) {
        if (*text == '{' || *text == '}')
            *p++ = *text;
        *p++ = *text;
    }
    if (p)
        *p = '\0';
    return out;
}

static const char *value_of (struct campaign_piece piece, const char *(*lookup) (void *arg, const char *name),
                             void *arg)
{
    char name[64];
    if (piece.length >= sizeof (name))
        return NULL;
    memcpy (name, piece.start, piece.length);
    name[piece.length] = '\0';
    return lookup (arg, name);
}

char *campaign_template_expand (const char *text, const char *(*lookup) (void *arg, const char *name), void *arg,
                                struct strata_error *error)
{
    char *out = NULL;
    size_t size = 0;
    FILE *stream = open_memstream (&out, &size);
    if (!stream) {
        strata_fail (error, "out of memory while expanding the argument \"%.200s\"", text);
        return NULL;
    }
    int rc = 0;
    const char *rest = text;
    for (;;) {
        struct campaign_piece piece = campaign_template_next (&rest);
        if (piece.kind == PIECE_END)
            break;
        if (piece.kind == PIECE_TEXT) {
            fwrite (piece.start, 1, piece.length, stream);
            continue;
        }
        const char *value = piece.kind == PIECE_VARIABLE ? value_of (piece, lookup, arg) : NULL;
        if (value) {
            fputs (value, stream);
            continue;
        }
        if (piece.kind == PIECE_VARIABLE)
            rc = strata_fail (error, "the argument \"%.200s\" uses {%.*s}, which has no value for this job", text,
                              (int)(piece.length < 64 ? piece.length : 64), piece.start);
        else
            rc = strata_fail (error,
                              "the argument \"%.200s\" has an unbalanced brace; write {{ or }} for a literal one",
                              text);
        break;
    }
    if (fclose (stream) != 0 && rc == 0)
        rc = strata_fail (error, "out of memory while expanding the argument \"%.200s\"", text);
    if (rc == 0)
        return out;
    free (out);
    return NULL;
}
