/* report.c - reports of the feedback service: noticing a new one, reading it, taking it up.
 *
 * The service writes <dir>/round.<digits>/ whole and then moves the symbolic link <dir>/current to it, so a round that
 * the link names is complete and does not change any more. All files are read before anything changes: a report is
 * taken up whole or not at all.
 */
#include "macro.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((off_t)1 << 20)     /* 600 rows of 8 counts are 70 kB */
#define RADIUS_TOLERANCE_NM 0.0151    /* radii are printed with two digits; an edge for a centre is 0.01 off */
#define COUNT_MAX 1e15                /* exact in a double, far above any campaign's */

/* The whole file as a string. A folder, pipe or device is refused rather than waited for. */
static char *read_text (const char *path, struct strata_error *error)
{
    char *text = NULL;
    struct stat st;
    int fd = open (path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        strata_fail (error, "%s: can't be opened: %s", path, strerror (errno));
        return NULL;
    }
    if (fstat (fd, &st) < 0 || !S_ISREG (st.st_mode) || st.st_size > FILE_MAX) {
        strata_fail (error, "%s: is no plain file of at most %ld bytes", path, (long)FILE_MAX);
        goto done;
    }
    size_t size = (size_t)st.st_size, got = 0;
    if (!(text = malloc (size + 1))) {
        strata_fail (error, "%s: no memory for its %zu bytes", path, size);
        goto done;
    }
    while (got < size) {
        ssize_t r = read (fd, text + got, size - got);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            break;
        got += (size_t)r;
    }
    text[got] = '\0';
    if (got < size || strlen (text) != size) {
        strata_fail (error, "%s: byte %zu can't be read or is no text", path, strlen (text));
        free (text);
        text = NULL;
    }
done:
    close (fd);
    return text;
}

static int parse_header (const char *path, char *line, struct strata_error *error)
{
    char *save = NULL, *word = strtok_r (line, " \t\r", &save);
    for (size_t i = 0; i <= MACRO_KINDS; i++, word = strtok_r (NULL, " \t\r", &save)) {
        const char *want = i ? macro_kind_names[i - 1] : "bin";
        if (!word || strcmp (word, want) != 0)
            return strata_fail (error, "%s:1: column %zu is '%.20s' where '%s' belongs", path, i + 1,
                                word ? word : "", want);
    }
    if (word)
        return strata_fail (error, "%s:1: column '%.20s' follows after %s", path, word,
                            macro_kind_names[MACRO_KINDS - 1]);
    return 0;
}

static int parse_row (const char *path, const char *line, size_t row, struct macro_rdf *rdf, struct strata_error *error)
{
    char *end;
    double radius = strtod (line, &end);
    if (end == line || !(fabs (radius - macro_rdf_radius (row)) <= RADIUS_TOLERANCE_NM))
        return strata_fail (error, "%s:%zu: the radius '%.12s' is not %.2f nm, the centre of bin %zu of 599 over 0.01 "
                                   "to 12 nm", path, row + 2, line, macro_rdf_radius (row), row);
    for (size_t i = 0; i < MACRO_KINDS; i++) {
        const char *from = end;
        errno = 0;
        long long count = strtoll (from, &end, 10);
        bool ends = *end == ' ' || *end == '\t' || *end == '\r' || *end == '\0';
        if (end == from || !ends || errno || count < 0 || (double)count > COUNT_MAX)
            return strata_fail (error, "%s:%zu: the count of %s, '%.20s', is no integer from 0 to 1e15", path, row + 2,
                                macro_kind_names[i], from + strspn (from, " \t"));
        if (row == 0 && count)
            return strata_fail (error, "%s:2: the first row must be zero, and the count of %s is %lld", path,
                                macro_kind_names[i], count);
        rdf->counts[i][row] = (double)count;
    }
    if (end[strspn (end, " \t\r")])
        return strata_fail (error, "%s:%zu: '%.20s' follows after the last count", path, row + 2, end);
    return 0;
}

int macro_rdf_read (const char *path, struct macro_rdf *rdf, struct strata_error *error)
{
    char *text = read_text (path, error), *next = text;
    int result = text ? 0 : -1;
    size_t line = 0;
    memset (rdf, 0, sizeof (*rdf));
    for (; result == 0 && *next; line++) {
        char *start = next, *newline = strchr (start, '\n');
        next = newline ? newline + 1 : start + strlen (start);
        if (newline)
            *newline = '\0';
        if (line > MACRO_RDF_ROWS)
            result = strata_fail (error, "%s:%zu: a line follows after the %d rows", path, line + 1, MACRO_RDF_ROWS);
        else
            result = line ? parse_row (path, start, line - 1, rdf, error) : parse_header (path, start, error);
    }
    if (result == 0 && line != MACRO_RDF_ROWS + 1)
        result = strata_fail (error, "%s: ends after %zu lines; a header and %d rows belong there", path, line,
                              MACRO_RDF_ROWS);
    free (text);
    return result;
}

uint64_t macro_report_round (const char *dir)
{
    char link[PATH_MAX], target[PATH_MAX];
    if (snprintf (link, sizeof (link), "%s/current", dir) >= (int)sizeof (link))
        return 0;
    ssize_t size = readlink (link, target, sizeof (target) - 1);
    if (size <= 0)
        return 0;
    target[size] = '\0';
    while (size > 1 && target[size - 1] == '/')
        target[--size] = '\0';
    const char *name = strrchr (target, '/') ? strrchr (target, '/') + 1 : target;
    if (strncmp (name, "round.", 6) != 0)
        return 0;
    size_t digits = strspn (name + 6, "0123456789");
    if (digits < 1 || digits > 18 || name[6 + digits])
        return 0;
    return strtoull (name + 6, NULL, 10);
}

/* Blends one state's new potentials into the ones in force. */
static void blend (struct macro_potential *potential, size_t state, double mix,
                   const double v[MACRO_KINDS][MACRO_RDF_ROWS], const bool used[MACRO_KINDS],
                   struct macro_uptake *uptake)
{
    for (size_t i = 0; i < MACRO_KINDS; i++) {
        if (!used[i])
            continue;
        for (size_t row = 0; row < MACRO_RDF_ROWS; row++) {
            double change = mix * (v[i][row] - potential->v[state][i][row]);
            potential->v[state][i][row] += change;
            if (fabs (potential->v[state][i][row]) < 1e-6)   /* what is left of a longer range fades out */
                potential->v[state][i][row] = 0;
            uptake->max_change = fmax (uptake->max_change, fabs (change));
        }
    }
}

int macro_report_take (struct macro *self, const char *dir, uint64_t round, struct macro_uptake *uptake,
                       struct strata_error *error)
{
    int result = -1;
    struct macro_rdf *rdf = malloc (MACRO_STATES * sizeof (*rdf));
    double (*v)[MACRO_RDF_ROWS] = malloc (MACRO_KINDS * sizeof (*v));
    *uptake = (struct macro_uptake){.round = round};
    if (!rdf || !v) {
        strata_fail (error, "report %llu: no memory to read it", (unsigned long long)round);
        goto done;
    }
    for (size_t s = 0; s < MACRO_STATES; s++) {
        char path[PATH_MAX];
        int size = snprintf (path, sizeof (path), "%s/round.%06llu/rdf_%s.txt", dir, (unsigned long long)round,
                             macro_state_names[s]);
        if (size >= (int)sizeof (path)) {
            strata_fail (error, "report %llu: the folder's name is too long", (unsigned long long)round);
            goto done;
        }
        if (macro_rdf_read (path, &rdf[s], error) < 0)
            goto done;
    }
    for (size_t s = 0; s < MACRO_STATES; s++) {
        bool used[MACRO_KINDS];
        size_t set = macro_rdf_potential (&rdf[s], self->options.min_count, v, used);
        blend (&self->potential, s, self->options.mix, v, used, uptake);
        uptake->states += set > 0;
        uptake->lipids += set;
    }
    macro_potential_set_cutoffs (&self->potential);
    self->round = round;
    self->round_step = self->step;
    result = 0;
done:
    free (rdf);
    free (v);
    return result;
}
