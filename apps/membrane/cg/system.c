/* system.c - see system.h */
#include "system.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEADS_MAX 100000000

const char *const cg_lipids[CG_RDF_ROWS] = { "POPC", "PAPC", "POPE", "DIPE", "DPSM", "PAPS", "PAP6", "CHOL" };

/* ---- index.ndx ---- */

static int index_begin_group (struct cg_index *self, const char *path, unsigned line, char *text,
                              struct strata_error *error)
{
    char *from = text + 1, *end = strchr (from, ']');
    if (!end)
        return strata_fail (error, "%s:%u: a group's name has no closing ']'", path, line);
    while (from < end && isspace ((unsigned char)*from))
        from++;
    while (end > from && isspace ((unsigned char)end[-1]))
        end--;
    *end = '\0';
    if (from == end)
        return strata_fail (error, "%s:%u: a group has no name", path, line);
    if (cg_index_find (self, from))
        return strata_fail (error, "%s:%u: the group '%.60s' is there twice; which one is meant?", path, line, from);
    struct cg_index_group *groups = realloc (self->groups, (self->count + 1) * sizeof (*groups));
    if (!groups)
        return strata_fail (error, "%s: no memory for its groups", path);
    self->groups = groups;
    groups[self->count] = (struct cg_index_group){ .name = strdup (from) };
    if (!groups[self->count].name)
        return strata_fail (error, "%s: no memory for its groups", path);
    self->count++;
    return 0;
}

static int group_append (struct cg_group *self, int32_t bead)
{
    if ((self->count & (self->count - 1)) == 0) { /* full at each power of two */
        size_t room = self->count ? self->count * 2 : 1;
        int32_t *atoms = realloc (self->atoms, room * sizeof (*atoms));
        if (!atoms)
            return -1;
        self->atoms = atoms;
    }
    self->atoms[self->count++] = bead;
    return 0;
}

static int index_numbers (struct cg_index *self, const char *path, unsigned line, char *text, int32_t beads,
                          struct strata_error *error)
{
    char *save = NULL;
    for (char *word = strtok_r (text, " \t\r\n", &save); word; word = strtok_r (NULL, " \t\r\n", &save)) {
        char *end;
        errno = 0;
        long n = strtol (word, &end, 10);
        if (*end || errno || !isdigit ((unsigned char)*word))
            return strata_fail (error, "%s:%u: '%.40s' is not a bead number", path, line, word);
        if (self->count == 0)
            return strata_fail (error, "%s:%u: a bead number stands before the first [ group ]", path, line);
        if (n < 1 || n > beads)
            return strata_fail (error, "%s:%u: bead %ld of group '%.60s' is not within 1 .. %d, the system's beads",
                                path, line, n, self->groups[self->count - 1].name, (int)beads);
        if (group_append (&self->groups[self->count - 1].group, (int32_t)(n - 1)) < 0)
            return strata_fail (error, "%s: no memory for its groups", path);
    }
    return 0;
}

int cg_index_load (struct cg_index *self, const char *path, int32_t beads, struct strata_error *error)
{
    *self = (struct cg_index){ 0 };
    FILE *f = fopen (path, "r");
    if (!f)
        return strata_fail (error, "%s: cannot open this index file: %s", path, strerror (errno));
    char *text = NULL;
    size_t room = 0;
    unsigned line = 0;
    int rc = 0;
    while (rc == 0 && getline (&text, &room, f) >= 0) {
        char *from = text + strspn (text, " \t\r\n");
        char *comment = strchr (from, ';');
        if (comment)
            *comment = '\0';
        line++;
        if (*from == '[')
            rc = index_begin_group (self, path, line, from, error);
        else
            rc = index_numbers (self, path, line, from, beads, error);
    }
    if (rc == 0 && ferror (f))
        rc = strata_fail (error, "%s: cannot read this index file: %s", path, strerror (errno));
    if (rc == 0 && self->count == 0)
        rc = strata_fail (error, "%s: there is no [ group ] in it", path);
    free (text);
    fclose (f);
    if (rc < 0)
        cg_index_fini (self);
    return rc;
}

void cg_index_fini (struct cg_index *self)
{
    for (size_t i = 0; i < self->count; i++) {
        free (self->groups[i].name);
        free (self->groups[i].group.atoms);
    }
    free (self->groups);
    *self = (struct cg_index){ 0 };
}

const struct cg_group *cg_index_find (const struct cg_index *self, const char *name)
{
    for (size_t i = 0; i < self->count; i++)
        if (strcmp (self->groups[i].name, name) == 0)
            return &self->groups[i].group;
    return NULL;
}

/* ---- sim.json and system.gro ---- */

static int load_sim (struct cg_system *self, const char *path, struct strata_error *error)
{
    json_error_t je;
    json_t *root = json_load_file (path, JSON_REJECT_DUPLICATES, &je);
    if (!root) {
        if (json_error_code (&je) == json_error_cannot_open_file)
            return strata_fail (error, "%s: cannot open it; is this a folder that membrane-createsim finished?", path);
        return strata_fail (error, "%s:%d: it is not JSON: %s", path, je.line, je.text);
    }
    int rc = 0;
    json_t *state = json_object_get (root, "state");
    json_t *beads = json_object_get (root, "beads");
    if (!json_is_object (root))
        rc = strata_fail (error, "%s: it is not a JSON object", path);
    else if (!json_is_string (state) || json_string_length (state) >= sizeof (self->state))
        rc = strata_fail (error, "%s: 'state' must be a protein state of up to %zu letters, or \"\"", path,
                          sizeof (self->state) - 1);
    else if (!json_is_integer (beads) || json_integer_value (beads) < 1 || json_integer_value (beads) > BEADS_MAX)
        rc = strata_fail (error, "%s: 'beads' must be a whole number within 1 .. %d", path, BEADS_MAX);
    if (rc == 0) {
        snprintf (self->state, sizeof (self->state), "%s", json_string_value (state));
        self->beads = (int32_t)json_integer_value (beads);
        for (const char *p = self->state; *p && rc == 0; p++)
            if (!isalnum ((unsigned char)*p))
                rc = strata_fail (error, "%s: 'state' may hold letters and digits only", path);
    }
    json_decref (root);
    return rc;
}

/* The second line of system.gro: how many beads follow. grompp checks the rest. */
static int check_gro (const struct cg_system *self, const char *path, struct strata_error *error)
{
    FILE *f = fopen (path, "r");
    if (!f)
        return strata_fail (error, "%s: cannot open this structure: %s", path, strerror (errno));
    char *text = NULL;
    size_t room = 0;
    char *end = NULL;
    long beads = 0;
    ssize_t read = getline (&text, &room, f); /* the title */
    if (read >= 0)
        read = getline (&text, &room, f);
    if (read >= 0)
        beads = strtol (text, &end, 10);
    int rc = 0;
    if (!end || end == text || end[strspn (end, " \t\r\n")])
        rc = strata_fail (error, "%s:2: the number of beads is not there; is the file cut short?", path);
    else if (beads != self->beads)
        rc = strata_fail (error, "%s:2: it holds %ld beads where sim.json says %d; they do not belong together", path,
                          beads, (int)self->beads);
    free (text);
    fclose (f);
    return rc;
}

/* ---- the groups ---- */

static int group_add_all (struct cg_group *self, const struct cg_group *more)
{
    for (size_t i = 0; i < more->count; i++)
        if (group_append (self, more->atoms[i]) < 0)
            return -1;
    return 0;
}

static int take_group (struct cg_group *self, const struct cg_index *index, const char *name)
{
    const struct cg_group *group = cg_index_find (index, name);
    return group ? group_add_all (self, group) : 0;
}

static int take_groups (struct cg_system *self, const struct cg_index *index, const char *path,
                        struct strata_error *error)
{
    int rc = take_group (&self->anchor, index, "anchor");
    rc |= take_group (&self->gdomain, index, "gdomain");
    for (int i = 0; i < CG_RDF_ROWS; i++) {
        char name[32];
        snprintf (name, sizeof (name), "inner_%s", cg_lipids[i]);
        rc |= take_group (&self->row[i], index, name);
    }
    for (size_t i = 0; i < index->count; i++) {
        if (strncmp (index->groups[i].name, "inner_", 6) == 0)
            rc |= group_add_all (&self->inner, &index->groups[i].group);
        if (strncmp (index->groups[i].name, "outer_", 6) == 0)
            rc |= group_add_all (&self->outer, &index->groups[i].group);
    }
    if (rc < 0)
        return strata_fail (error, "%s: no memory for its groups", path);
    if (!self->state[0])
        return 0;
    if (self->anchor.count == 0)
        return strata_fail (error, "%s: the group 'anchor' is missing or empty, but sim.json tells of a protein (%s)",
                            path, self->state);
    if (self->gdomain.count < 4)
        return strata_fail (error,
                            "%s: the group 'gdomain' is missing or has less than 4 beads, but sim.json tells of a "
                            "protein (%s)",
                            path, self->state);
    if (self->inner.count == 0 || self->outer.count == 0)
        return strata_fail (error, "%s: there is no bead in the groups %s_*, the %s leaflet's reference beads", path,
                            self->inner.count ? "outer" : "inner", self->inner.count ? "outer" : "inner");
    return 0;
}

struct cg_system *cg_system_load (const char *dir, struct strata_error *error)
{
    struct cg_system *self = calloc (1, sizeof (*self));
    char sim[4096], gro[4096], ndx[4096];
    struct cg_index index = { 0 };
    if (!self || !(self->dir = strdup (dir))) {
        free (self);
        strata_fail (error, "no memory to load %s", dir);
        return NULL;
    }
    if ((size_t)snprintf (sim, sizeof (sim), "%s/sim.json", dir) >= sizeof (sim)) {
        strata_fail (error, "%.100s...: the folder's name is too long", dir);
        goto failed;
    }
    snprintf (gro, sizeof (gro), "%s/system.gro", dir);
    snprintf (ndx, sizeof (ndx), "%s/index.ndx", dir);
    if (load_sim (self, sim, error) < 0 || check_gro (self, gro, error) < 0
        || cg_index_load (&index, ndx, self->beads, error) < 0 || take_groups (self, &index, ndx, error) < 0)
        goto failed;
    cg_index_fini (&index);
    return self;
failed:
    cg_index_fini (&index);
    cg_system_free (&self);
    return NULL;
}

void cg_system_free (struct cg_system **self)
{
    if (!self || !*self)
        return;
    free ((*self)->dir);
    free ((*self)->anchor.atoms);
    free ((*self)->gdomain.atoms);
    free ((*self)->inner.atoms);
    free ((*self)->outer.atoms);
    for (int i = 0; i < CG_RDF_ROWS; i++)
        free ((*self)->row[i].atoms);
    free (*self);
    *self = NULL;
}
