/* forcefield_protein.c - the tables of amino acids, domains, tails and lipid anchors. */
#include "forcefield_protein.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

/* Side chains in residues.dat and anchors in proteins.dat share the lines bead, ring and angle. */
static int read_side_line (struct forcefield *self, struct forcefield_residue *side, struct createsim_line *line,
                           struct strata_error *error)
{
    double ignored;

    if (strcmp (line->words[0], "bead") == 0 && side->nbeads < FF_SIDE_MAX) {
        struct forcefield_side_bead *bead = &side->beads[side->nbeads++];

        if (createsim_line_word (line, 1, bead->name, FF_NAME, error) < 0
            || createsim_line_word (line, 2, bead->type, FF_NAME, error) < 0
            || createsim_line_number (line, 3, &bead->charge, error) < 0
            || createsim_line_number (line, 4, &bead->mass, error) < 0
            || createsim_line_word (line, 5, bead->parent, FF_NAME, error) < 0
            || createsim_line_number (line, 6, &bead->length, error) < 0
            || createsim_line_number (line, 7, &bead->force, error) < 0)
            return -1;
        if (forcefield_pair (self, bead->type, bead->type, &ignored, &ignored) < 0)
            return createsim_line_fail (line, error, "bead type %s is not in nonbonded.dat", bead->type);
        return 0;
    }
    if (strcmp (line->words[0], "ring") == 0 && side->nrings < FF_SIDE_MAX) {
        struct forcefield_side_bead *ring = &side->rings[side->nrings++];

        return createsim_line_word (line, 1, ring->name, FF_NAME, error) < 0
               || createsim_line_word (line, 2, ring->parent, FF_NAME, error) < 0
               || createsim_line_number (line, 3, &ring->length, error) < 0 ? -1 : 0;
    }
    if (strcmp (line->words[0], "angle") == 0 && side->nangles < FF_SIDE_MAX) {
        struct forcefield_side_angle *angle = &side->angles[side->nangles++];

        return createsim_line_word (line, 1, angle->a, FF_NAME, error) < 0
               || createsim_line_word (line, 2, angle->b, FF_NAME, error) < 0
               || createsim_line_word (line, 3, angle->c, FF_NAME, error) < 0
               || createsim_line_number (line, 4, &angle->degrees, error) < 0
               || createsim_line_number (line, 5, &angle->force, error) < 0 ? -1 : 0;
    }
    return createsim_line_fail (line, error, "\"%s\" is not a line that this table knows, or one too many",
                                line->words[0]);
}

static int read_residue_line (struct createsim_line *line, void *arg, struct strata_error *error)
{
    struct forcefield *self = arg;

    if (strcmp (line->words[0], "residue") == 0) {
        struct forcefield_residue *residue = &self->residues[self->nresidues];

        if (self->nresidues == FF_RESIDUES_MAX)
            return createsim_line_fail (line, error, "more than %d residues", FF_RESIDUES_MAX);
        if (line->count != 3 || line->words[1][1] != '\0')
            return createsim_line_fail (line, error, "a residue line has a letter and a name");
        residue->letter = line->words[1][0];
        self->nresidues++;
        return createsim_line_word (line, 2, residue->name, FF_NAME, error);
    }
    if (self->nresidues == 0)
        return createsim_line_fail (line, error, "\"%s\" before the first residue", line->words[0]);
    return read_side_line (self, &self->residues[self->nresidues - 1], line, error);
}

/* Word i as a residue's number: .gro files have room for five digits. */
static int residue_number (const struct createsim_line *line, int i, int *number, struct strata_error *error)
{
    double value;

    if (createsim_line_number (line, i, &value, error) < 0)
        return -1;
    if (value != floor (value) || value < 0 || value > 99999)
        return createsim_line_fail (line, error, "%s is not a residue's number, 0 to 99999", line->words[i]);
    *number = (int) value;
    return 0;
}

/* A new sequence, or more letters for the last one of the same name. */
static int read_sequence (struct forcefield_sequence *list, size_t *count, struct createsim_line *line,
                          struct strata_error *error)
{
    struct forcefield_sequence *last = *count > 0 ? &list[*count - 1] : NULL;
    int first = 0;

    if (line->count != 4)
        return createsim_line_fail (line, error, "a sequence line has a name, the first residue's number, and letters");
    if (residue_number (line, 2, &first, error) < 0)
        return -1;
    if (last == NULL || strcmp (last->name, line->words[1]) != 0) {
        if (*count == FF_DOMAINS_MAX)
            return createsim_line_fail (line, error, "more than %d sequences of a kind", FF_DOMAINS_MAX);
        last = &list[(*count)++];
        last->first = first;
        if (createsim_line_word (line, 1, last->name, FF_NAME, error) < 0)
            return -1;
    } else if (first != last->first + (int) last->length) {
        return createsim_line_fail (line, error, "%s goes on at residue %d; %zu is due", last->name, first,
                                    (size_t) last->first + last->length);
    }
    if (last->length + strlen (line->words[3]) >= FF_SEQUENCE_MAX)
        return createsim_line_fail (line, error, "a sequence has at most %d residues", FF_SEQUENCE_MAX - 1);
    memcpy (last->letters + last->length, line->words[3], strlen (line->words[3]) + 1);
    last->length += strlen (line->words[3]);
    return 0;
}

static int read_anchor (struct forcefield *self, struct createsim_line *line, struct strata_error *error)
{
    struct forcefield_anchor *anchor = &self->anchors[self->nanchors];

    if (self->nanchors == FF_DOMAINS_MAX)
        return createsim_line_fail (line, error, "more than %d anchors", FF_DOMAINS_MAX);
    if (createsim_line_word (line, 1, anchor->tail, FF_NAME, error) < 0
        || residue_number (line, 2, &anchor->residue, error) < 0
        || createsim_line_word (line, 3, anchor->lipid, FF_NAME, error) < 0)
        return -1;
    self->nanchors++;
    return 0;
}

static int read_protein_line (struct createsim_line *line, void *arg, struct strata_error *error)
{
    struct forcefield *self = arg;
    const char *kind = line->words[0];

    if (strcmp (kind, "domain") == 0)
        return read_sequence (self->domains, &self->ndomains, line, error);
    if (strcmp (kind, "tail") == 0)
        return read_sequence (self->tails, &self->ntails, line, error);
    if (strcmp (kind, "anchor") == 0)
        return read_anchor (self, line, error);
    if (strcmp (kind, "elastic") == 0)
        return createsim_line_number (line, 1, &self->elastic_cutoff, error) < 0
               || createsim_line_number (line, 2, &self->elastic_force, error) < 0 ? -1 : 0;
    if (strcmp (kind, "lipid") == 0) {
        if (self->nlipid_anchors == FF_DOMAINS_MAX)
            return createsim_line_fail (line, error, "more than %d lipid anchors", FF_DOMAINS_MAX);
        return createsim_line_word (line, 1, self->lipid_anchors[self->nlipid_anchors++].name, FF_NAME, error);
    }
    if (self->nlipid_anchors == 0)
        return createsim_line_fail (line, error, "\"%s\" is not a line that this table knows", kind);
    return read_side_line (self, &self->lipid_anchors[self->nlipid_anchors - 1], line, error);
}

static const struct forcefield_sequence *find_sequence (const struct forcefield_sequence *list, size_t count,
                                                        const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp (list[i].name, name) == 0)
            return &list[i];
    return NULL;
}

const struct forcefield_sequence *forcefield_domain (const struct forcefield *self, const char *name)
{
    return find_sequence (self->domains, self->ndomains, name);
}

const struct forcefield_sequence *forcefield_tail (const struct forcefield *self, const char *name)
{
    return find_sequence (self->tails, self->ntails, name);
}

const struct forcefield_residue *forcefield_residue (const struct forcefield *self, char letter)
{
    for (size_t i = 0; i < self->nresidues; i++)
        if (self->residues[i].letter == letter)
            return &self->residues[i];
    return NULL;
}

const struct forcefield_residue *forcefield_lipid_anchor (const struct forcefield *self, const char *name)
{
    for (size_t i = 0; i < self->nlipid_anchors; i++)
        if (strcmp (self->lipid_anchors[i].name, name) == 0)
            return &self->lipid_anchors[i];
    return NULL;
}

static int check_proteins (const struct forcefield *self, struct strata_error *error)
{
    static const char *const needed[] = { "gdomain", "rbd", "crd" };

    for (size_t i = 0; i < 3; i++)
        if (forcefield_domain (self, needed[i]) == NULL)
            return strata_fail (error, "%s/proteins.dat: domain %s is missing", self->dir, needed[i]);
    if (forcefield_tail (self, "4a") == NULL || forcefield_tail (self, "4b") == NULL)
        return strata_fail (error, "%s/proteins.dat: tail 4a or 4b is missing", self->dir);
    if (!(self->elastic_cutoff > 0 && self->elastic_force > 0))
        return strata_fail (error, "%s/proteins.dat: the line elastic is missing or not positive", self->dir);
    for (size_t t = 0; t < self->ntails; t++)
        for (size_t i = 0; i < self->tails[t].length; i++)
            if (forcefield_residue (self, self->tails[t].letters[i]) == NULL)
                return strata_fail (error, "%s/proteins.dat: residue %c of tail %s is not in residues.dat", self->dir,
                                    self->tails[t].letters[i], self->tails[t].name);
    for (size_t i = 0; i < self->nanchors; i++)
        if (forcefield_lipid_anchor (self, self->anchors[i].lipid) == NULL)
            return strata_fail (error, "%s/proteins.dat: lipid %s of an anchor is missing", self->dir,
                                self->anchors[i].lipid);
    return 0;
}

int forcefield_read_proteins (struct forcefield *self, struct strata_error *error)
{
    char path[5000];

    snprintf (path, sizeof path, "%s/residues.dat", self->dir);
    if (createsim_text_read (path, read_residue_line, self, error) < 0)
        return -1;
    snprintf (path, sizeof path, "%s/proteins.dat", self->dir);
    if (createsim_text_read (path, read_protein_line, self, error) < 0)
        return -1;
    return check_proteins (self, error);
}
