/* pdb.c - see pdb.h. Columns are those of the PDB format 3.3, https://www.wwpdb.org/documentation/file-format */
#include "pdb.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RESIDUES_MAX 1000000
#define MODIFIED_MAX 4096

/* A name in a chain's SEQRES that is none of the twenty's. */
struct modified {
    char chain, residue[4];
};

struct reading {
    struct pdb *pdb;
    size_t room;
    bool open;     /* the last residue may get more atoms */
    unsigned seen; /* of it: a bit each of N CA C O */
    struct modified modified[MODIFIED_MAX];
    size_t modified_count;
};

static void columns (const char *line, int from, int to, char *out)
{
    memcpy (out, line + from - 1, (size_t)to - (size_t)from + 1);
    out[to - from + 1] = '\0';
}

/* A finite number below a million, which is more than the columns of the format hold. */
static int number (const char *line, int from, int to, double *value)
{
    char text[16], *end;
    columns (line, from, to, text);
    *value = strtod (text, &end);
    while (*end == ' ')
        end++;
    return end == text || *end || !(fabs (*value) < 1e6) ? -1 : 0;
}

static bool same_residue (const struct pdb_name *a, const struct pdb_name *b)
{
    return a->chain == b->chain && a->number == b->number && a->insertion == b->insertion && strcmp (a->residue, b->residue) == 0;
}

/* The last residue is left out when its backbone is not whole. */
static void end_residue (struct reading *self)
{
    struct pdb *pdb = self->pdb;
    if (self->open && self->seen != 15) {
        pdb->count--;
        pdb->incomplete++;
    }
    self->open = false;
}

static int new_residue (struct reading *self, const struct pdb_name *name)
{
    struct pdb *pdb = self->pdb;
    if (pdb->count + 1 > self->room) {
        size_t room = self->room ? 2 * self->room : 256;
        struct dssp_residue *residues = realloc (pdb->residues, room * sizeof (*residues));
        if (residues)
            pdb->residues = residues;
        struct pdb_name *names = realloc (pdb->names, room * sizeof (*names));
        if (names)
            pdb->names = names;
        if (!residues || !names || room > RESIDUES_MAX)
            return -1;
        self->room = room;
    }
    pdb->names[pdb->count] = *name;
    pdb->residues[pdb->count++] = (struct dssp_residue){ .chain = name->chain, .proline = strcmp (name->residue, "PRO") == 0 };
    self->seen = 0;
    self->open = true;
    return 0;
}

static int take_atom (struct reading *self, const char *line, struct strata_error *error)
{
    static const char *backbone[] = { "N", "CA", "C", "O" };
    struct pdb *pdb = self->pdb;
    struct pdb_name name = { .chain = line[21], .insertion = line[26] };
    char atom[5], *first = atom;
    double value, at[3];
    columns (line, 13, 16, atom);
    while (*first == ' ')
        first++; /* where a name of less than four letters stands differs between programs */
    first[strcspn (first, " ")] = '\0';
    columns (line, 18, 20, name.residue);
    if (number (line, 23, 26, &value) < 0)
        return strata_fail (error, "columns 23-26 are no residue number");
    name.number = (int)value;
    if (!self->open || !same_residue (&name, &pdb->names[pdb->count - 1])) {
        end_residue (self);
        if (new_residue (self, &name) < 0)
            return strata_fail (error, "more than %d residues, or out of memory", RESIDUES_MAX);
    }
    for (unsigned k = 0; k < 4; k++) {
        if (strcmp (first, backbone[k]) != 0)
            continue;
        struct dssp_residue *r = &pdb->residues[pdb->count - 1];
        float *places[] = { r->n, r->ca, r->c, r->o };
        for (int x = 0; x < 3; x++) {
            if (number (line, 31 + 8 * x, 38 + 8 * x, &at[x]) < 0)
                return strata_fail (error, "columns 31-54 are no coordinates");
            places[k][x] = (float)at[x];
        }
        self->seen |= 1u << k;
    }
    return 0;
}

/* SEQRES: up to 13 names from column 20 on, four columns each. */
static void take_sequence (struct reading *self, const char *line)
{
    for (int from = 20; from <= 68; from += 4) {
        struct modified m = { .chain = line[11] };
        columns (line, from, from + 2, m.residue);
        if (m.residue[0] != ' ' && self->modified_count < MODIFIED_MAX)
            self->modified[self->modified_count++] = m;
    }
}

static bool in_sequence (const struct reading *self, const char *line)
{
    char residue[4];
    columns (line, 18, 20, residue);
    for (size_t i = 0; i < self->modified_count; i++)
        if (self->modified[i].chain == line[21] && strcmp (self->modified[i].residue, residue) == 0)
            return true;
    return false;
}

int pdb_read_from (struct pdb *self, FILE *in, const char *name, struct strata_error *error)
{
    struct reading *reading = calloc (1, sizeof (*reading));
    char line[128], rest[128];
    size_t lines = 0;
    int rc = 0;
    *self = (struct pdb){ .count = 0 };
    if (!reading)
        return strata_fail (error, "%s: out of memory", name);
    reading->pdb = self;
    while (rc == 0 && fgets (line, sizeof (line), in)) {
        struct strata_error what;
        size_t length = strcspn (line, "\r\n");
        bool whole = line[length] != '\0';
        memset (line + length, ' ', sizeof (line) - length); /* short lines end in blanks */
        while (!whole && fgets (rest, sizeof (rest), in))
            whole = strchr (rest, '\n') != NULL;
        lines++;
        if (memcmp (line, "ENDMDL", 6) == 0)
            break;
        if (memcmp (line, "SEQRES", 6) == 0)
            take_sequence (reading, line);
        else if ((memcmp (line, "ATOM  ", 6) == 0 || (memcmp (line, "HETATM", 6) == 0 && in_sequence (reading, line)))
                 && (rc = take_atom (reading, line, &what)) < 0)
            strata_fail (error, "%s:%zu: %.300s", name, lines, what.text);
    }
    end_residue (reading);
    if (rc == 0 && ferror (in))
        rc = strata_fail (error, "%s: %s", name, strerror (errno));
    if (rc == 0 && self->count == 0)
        rc = strata_fail (error, "%s: there is no residue with N, CA, C and O in its ATOM records; is it a PDB file with a protein?", name);
    free (reading);
    if (rc < 0)
        pdb_fini (self);
    return rc;
}

int pdb_read (struct pdb *self, const char *path, struct strata_error *error)
{
    FILE *in = strcmp (path, "-") == 0 ? stdin : fopen (path, "r");
    *self = (struct pdb){ .count = 0 };
    if (!in)
        return strata_fail (error, "%s: %s", path, strerror (errno));
    int rc = pdb_read_from (self, in, path, error);
    if (in != stdin)
        fclose (in);
    return rc;
}

void pdb_fini (struct pdb *self)
{
    free (self->residues);
    free (self->names);
    *self = (struct pdb){ .count = 0 };
}
