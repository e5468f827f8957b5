/* forcefield.c - the non-bonded matrix and the lipids; proteins' tables are read in forcefield_protein.c. */
#include "forcefield.h"

#include <errno.h>
#include <libgen.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "forcefield_protein.h"
#include "patch.h"
#include "text.h"

/* Marrink et al. 2007: ring beads interact with each other at 75 % and sigma 0.43 nm. */
#define RING_STRENGTH 0.75
#define RING_SIGMA 0.43

static int find_type (const struct forcefield *self, const char *name)
{
    for (size_t i = 0; i < self->ntypes; i++)
        if (strcmp (self->types[i], name) == 0)
            return (int) i;
    return -1;
}

static int find_level (const struct forcefield *self, const char *name)
{
    for (size_t i = 0; i < self->nlevels; i++)
        if (strcmp (self->levels[i].name, name) == 0)
            return (int) i;
    return -1;
}

static int read_level (struct forcefield *self, struct createsim_line *line, struct strata_error *error)
{
    struct forcefield_level *level = &self->levels[self->nlevels];

    if (self->nlevels == FF_LEVELS_MAX)
        return createsim_line_fail (line, error, "more than %d levels", FF_LEVELS_MAX);
    if (createsim_line_word (line, 1, level->name, FF_NAME, error) < 0
        || createsim_line_number (line, 2, &level->epsilon, error) < 0
        || createsim_line_number (line, 3, &level->sigma, error) < 0)
        return -1;
    if (level->epsilon <= 0 || level->sigma <= 0)
        return createsim_line_fail (line, error, "level %s must have a positive epsilon and sigma", level->name);
    self->nlevels++;
    return 0;
}

static int read_row (struct forcefield *self, struct createsim_line *line, struct strata_error *error)
{
    int row = line->count > 1 ? find_type (self, line->words[1]) : -1;

    if (row < 0)
        return createsim_line_fail (line, error, "a row must name one of the bead types of the line \"types\"");
    if ((size_t) line->count != self->ntypes + 2)
        return createsim_line_fail (line, error, "%d levels for %zu bead types", line->count - 2, self->ntypes);
    for (size_t i = 0; i < self->ntypes; i++) {
        int level = find_level (self, line->words[i + 2]);

        if (level < 0)
            return createsim_line_fail (line, error, "unknown level \"%s\"", line->words[i + 2]);
        self->matrix[row][i] = (signed char) level;
    }
    return 0;
}

static int read_pair (struct forcefield *self, struct createsim_line *line, struct strata_error *error)
{
    struct forcefield_exception *pair = &self->exceptions[self->nexceptions];

    if (self->nexceptions == FF_EXCEPTIONS_MAX)
        return createsim_line_fail (line, error, "more than %d exceptions", FF_EXCEPTIONS_MAX);
    if (createsim_line_word (line, 1, pair->a, FF_NAME, error) < 0
        || createsim_line_word (line, 2, pair->b, FF_NAME, error) < 0
        || createsim_line_number (line, 3, &pair->epsilon, error) < 0
        || createsim_line_number (line, 4, &pair->sigma, error) < 0)
        return -1;
    self->nexceptions++;
    return 0;
}

static int read_nonbonded (struct createsim_line *line, void *arg, struct strata_error *error)
{
    struct forcefield *self = arg;

    if (strcmp (line->words[0], "level") == 0)
        return read_level (self, line, error);
    if (strcmp (line->words[0], "row") == 0)
        return read_row (self, line, error);
    if (strcmp (line->words[0], "pair") == 0)
        return read_pair (self, line, error);
    if (strcmp (line->words[0], "types") != 0)
        return createsim_line_fail (line, error, "\"%s\" is not one of level, types, row, pair", line->words[0]);
    for (int i = 1; i < line->count; i++) {
        if (self->ntypes == FF_TYPES_MAX)
            return createsim_line_fail (line, error, "more than %d bead types", FF_TYPES_MAX);
        if (createsim_line_word (line, i, self->types[self->ntypes++], FF_NAME, error) < 0)
            return -1;
    }
    return 0;
}

static int check_matrix (const struct forcefield *self, const char *path, struct strata_error *error)
{
    if (self->ntypes == 0)
        return strata_fail (error, "%s: has no line \"types\"", path);
    for (size_t i = 0; i < self->ntypes; i++) /* read_row fills whole rows */
        if (self->matrix[i][0] < 0)
            return strata_fail (error, "%s: no row for bead type %s", path, self->types[i]);
    for (size_t i = 0; i < self->ntypes; i++)
        for (size_t j = 0; j < self->ntypes; j++)
            if (self->matrix[i][j] != self->matrix[j][i])
                return strata_fail (error, "%s: %s-%s and %s-%s differ", path, self->types[i], self->types[j],
                                    self->types[j], self->types[i]);
    return 0;
}

/* "SC1" -> C1 and ring; "BP4" -> P4. -1 for an unknown type. */
static int base_type (const struct forcefield *self, const char *name, int *ring)
{
    int base = find_type (self, name);

    *ring = 0;
    if (base < 0 && name[0] == 'S') {
        *ring = 1;
        base = find_type (self, name + 1);
    }
    if (base < 0 && strcmp (name, "BP4") == 0)
        base = find_type (self, "P4");
    return base;
}

int forcefield_pair (const struct forcefield *self, const char *a, const char *b, double *epsilon, double *sigma)
{
    int ring_a, ring_b;
    int ia = base_type (self, a, &ring_a), ib = base_type (self, b, &ring_b);

    if (ia < 0 || ib < 0)
        return -1;
    for (size_t i = 0; i < self->nexceptions; i++) {
        const struct forcefield_exception *pair = &self->exceptions[i];

        if ((strcmp (pair->a, a) == 0 && strcmp (pair->b, b) == 0)
            || (strcmp (pair->a, b) == 0 && strcmp (pair->b, a) == 0)) {
            *epsilon = pair->epsilon;
            *sigma = pair->sigma;
            return 0;
        }
    }
    const struct forcefield_level *level = &self->levels[(int) self->matrix[ia][ib]];
    *epsilon = ring_a && ring_b ? RING_STRENGTH * level->epsilon : level->epsilon;
    *sigma = ring_a && ring_b ? RING_SIGMA : level->sigma;
    return 0;
}

const char *forcefield_type (const struct forcefield *self, size_t i, char buf[FF_NAME])
{
    if (i < self->ntypes)
        snprintf (buf, FF_NAME, "%s", self->types[i]);
    else if (i < 2 * self->ntypes)
        snprintf (buf, FF_NAME, "S%.10s", self->types[i - self->ntypes]);
    else if (i == 2 * self->ntypes)
        snprintf (buf, FF_NAME, "BP4");
    else
        return NULL;
    return buf;
}

int forcefield_write_nonbonded (const struct forcefield *self, const char *path, struct strata_error *error)
{
    char a[FF_NAME], b[FF_NAME];
    double epsilon, sigma;
    FILE *file = fopen (path, "w");

    if (file == NULL)
        return strata_fail (error, "%s: can't be written: %s", path, strerror (errno));
    fprintf (file, "; Martini 2 non-bonded interactions, made from nonbonded.dat, which names the source.\n\n"
                   "[ defaults ]\n; nbfunc comb-rule (sigma, epsilon)\n1  2\n\n"
                   "[ atomtypes ]\n; name mass charge ptype sigma epsilon\n");
    for (size_t i = 0; forcefield_type (self, i, a) != NULL; i++)
        fprintf (file, "%-5s %4.1f  0.0  A  0.0  0.0\n", a, a[0] == 'S' ? 45.0 : 72.0);
    fprintf (file, "\n[ nonbond_params ]\n; i j func sigma epsilon\n");
    for (size_t i = 0; forcefield_type (self, i, a) != NULL; i++)
        for (size_t j = i; forcefield_type (self, j, b) != NULL; j++)
            if (forcefield_pair (self, a, b, &epsilon, &sigma) == 0)
                fprintf (file, "%-5s %-5s 1  %.2f  %.4f\n", a, b, sigma, epsilon);
    int bad = ferror (file);
    if (fclose (file) != 0 || bad)
        return strata_fail (error, "%s: can't be written: %s", path, strerror (errno));
    return 0;
}

/* ---- lipids ---- */

const struct forcefield_lipid *forcefield_lipid (const struct forcefield *self, const char *name)
{
    for (size_t i = 0; i < self->nlipids; i++)
        if (strcmp (self->lipids[i].name, name) == 0)
            return &self->lipids[i];
    return NULL;
}

struct itp_reader {
    struct forcefield *forcefield;
    struct forcefield_lipid *lipid;
    int in_atoms;
};

/* Of an .itp only [ atoms ] matters here: nr type resnr residue bead cgnr charge. */
static int read_itp (struct createsim_line *line, void *arg, struct strata_error *error)
{
    struct itp_reader *reader = arg;
    struct forcefield_lipid *lipid = reader->lipid;
    struct forcefield_bead *bead = &lipid->beads[lipid->nbeads];
    int ring;

    if (line->words[0][0] == '[') {
        reader->in_atoms = line->count > 1 && strcmp (line->words[1], "atoms") == 0;
        return 0;
    }
    if (!reader->in_atoms)
        return 0;
    if (lipid->nbeads == FF_BEADS_MAX)
        return createsim_line_fail (line, error, "more than %d beads", FF_BEADS_MAX);
    if (createsim_line_word (line, 1, bead->type, FF_NAME, error) < 0
        || createsim_line_word (line, 4, bead->name, FF_NAME, error) < 0
        || createsim_line_number (line, 6, &bead->charge, error) < 0)
        return -1;
    if (base_type (reader->forcefield, bead->type, &ring) < 0)
        return createsim_line_fail (line, error, "bead type %s is not in nonbonded.dat", bead->type);
    lipid->nbeads++;
    return 0;
}

static int read_geometry_lipid (struct forcefield *self, struct createsim_line *line, struct strata_error *error)
{
    struct forcefield_lipid *lipid = &self->lipids[self->nlipids];
    struct itp_reader reader = { self, lipid, 0 };
    char reference[FF_NAME], path[5000];

    if (self->nlipids == FF_LIPIDS_MAX)
        return createsim_line_fail (line, error, "more than %d lipids", FF_LIPIDS_MAX);
    if (createsim_line_word (line, 1, lipid->name, FF_NAME, error) < 0
        || createsim_line_number (line, 2, &lipid->area, error) < 0
        || createsim_line_word (line, 3, reference, FF_NAME, error) < 0)
        return -1;
    if (lipid->area < 0.1 || lipid->area > 2)
        return createsim_line_fail (line, error, "lipid %s has an area of %g nm^2; 0.1 to 2 make sense", lipid->name,
                                    lipid->area);
    snprintf (path, sizeof path, "%s/%s.itp", self->dir, lipid->name);
    if (createsim_text_read (path, read_itp, &reader, error) < 0)
        return -1;
    for (lipid->reference = 0; lipid->reference < lipid->nbeads; lipid->reference++)
        if (strcmp (lipid->beads[lipid->reference].name, reference) == 0)
            break;
    if (lipid->reference == lipid->nbeads)
        return createsim_line_fail (line, error, "lipid %s has no reference bead %s", lipid->name, reference);
    self->nlipids++;
    return 0;
}

static int read_geometry (struct createsim_line *line, void *arg, struct strata_error *error)
{
    struct forcefield *self = arg;

    if (strcmp (line->words[0], "lipid") == 0)
        return read_geometry_lipid (self, line, error);
    if (strcmp (line->words[0], "bead") != 0 || line->count < 2 || self->nlipids == 0)
        return createsim_line_fail (line, error, "\"%s\" is not a lipid line nor a bead line after one",
                                    line->words[0]);
    struct forcefield_lipid *lipid = &self->lipids[self->nlipids - 1];
    for (size_t i = 0; i < lipid->nbeads; i++)
        if (strcmp (lipid->beads[i].name, line->words[1]) == 0) {
            lipid->beads[i].placed = 1;
            for (int d = 0; d < 3; d++)
                if (createsim_line_number (line, 2 + d, &lipid->beads[i].shape[d], error) < 0)
                    return -1;
            return 0;
        }
    return createsim_line_fail (line, error, "%s.itp has no bead %s", lipid->name, line->words[1]);
}

static int check_lipids (const struct forcefield *self, struct strata_error *error)
{
    for (size_t i = 0; i < CREATESIM_LIPIDS; i++)
        if (forcefield_lipid (self, createsim_lipid_names[i]) == NULL)
            return strata_fail (error, "%s/geometry.dat: lipid %s is missing", self->dir, createsim_lipid_names[i]);
    for (size_t i = 0; i < self->nlipids; i++)
        for (size_t b = 0; b < self->lipids[i].nbeads; b++)
            if (!self->lipids[i].beads[b].placed)
                return strata_fail (error, "%s/geometry.dat: bead %s of %s has no place", self->dir,
                                    self->lipids[i].beads[b].name, self->lipids[i].name);
    return 0;
}

/* ---- all ---- */

struct forcefield *forcefield_read (const char *dir, struct strata_error *error)
{
    struct forcefield *self = calloc (1, sizeof *self);
    char path[5000];
    int rc = -1;

    if (self == NULL) {
        strata_fail (error, "out of memory for the force field");
        return NULL;
    }
    memset (self->matrix, -1, sizeof self->matrix);
    if ((size_t) snprintf (self->dir, sizeof self->dir, "%s", dir) >= sizeof self->dir) {
        strata_fail (error, "the force field folder's name is too long");
        goto done;
    }
    snprintf (path, sizeof path, "%s/nonbonded.dat", dir);
    if (createsim_text_read (path, read_nonbonded, self, error) < 0 || check_matrix (self, path, error) < 0)
        goto done;
    snprintf (path, sizeof path, "%s/geometry.dat", dir);
    if (createsim_text_read (path, read_geometry, self, error) < 0 || check_lipids (self, error) < 0)
        goto done;
    rc = forcefield_read_proteins (self, error);
done:
    if (rc < 0)
        forcefield_free (&self);
    return self;
}

void forcefield_free (struct forcefield **self)
{
    free (*self);
    *self = NULL;
}

int forcefield_find (const char *given, char *path, size_t size, struct strata_error *error)
{
    char program[3000], tried[4][3200], probe[3300]; /* names longer than that are cut, and then not there */
    const char *campaign = getenv ("STRATA_CAMPAIGN_DIR");
    ssize_t length = readlink ("/proc/self/exe", program, sizeof program - 1);
    size_t n = 0;

    if (given != NULL) {
        snprintf (tried[n++], sizeof *tried, "%s", given);
    } else {
        if (length > 0) {
            program[length] = '\0';
            const char *folder = dirname (program);
            snprintf (tried[n++], sizeof *tried, "%s/../../apps/membrane/createsim/forcefield", folder);
            snprintf (tried[n++], sizeof *tried, "%s/../share/strata/apps/membrane/createsim/forcefield", folder);
        }
        if (campaign != NULL)
            snprintf (tried[n++], sizeof *tried, "%.3000s/createsim/forcefield", campaign);
        snprintf (tried[n++], sizeof *tried, "/usr/local/share/strata/apps/membrane/createsim/forcefield");
    }
    for (size_t i = 0; i < n; i++) {
        snprintf (probe, sizeof probe, "%.3199s/nonbonded.dat", tried[i]);
        if (access (probe, R_OK) == 0) {
            if ((size_t) snprintf (path, size, "%s", tried[i]) >= size)
                return strata_fail (error, "the force field folder's name is too long");
            return 0;
        }
    }
    return strata_fail (error, "no force field (nonbonded.dat) in %.300s%s; name its folder with --forcefield DIR",
                        tried[0], n > 1 ? " nor in the other usual places" : "");
}
