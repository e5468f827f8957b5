/* output.c - see output.h. */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static FILE *create (const char *dir, const char *name, char *path, size_t size, struct strata_error *error)
{
    FILE *file;

    if ((size_t) snprintf (path, size, "%s/%s", dir, name) >= size) {
        strata_fail (error, "%.200s...: the name of the output folder is too long", dir);
        return NULL;
    }
    file = fopen (path, "w");
    if (file == NULL)
        strata_fail (error, "%s: can't be written: %s", path, strerror (errno));
    return file;
}

static int finish (FILE *file, const char *path, struct strata_error *error)
{
    int bad = ferror (file), reason = errno;

    if (fclose (file) != 0 || bad)
        return strata_fail (error, "%s: can't be written: %s", path, strerror (bad ? reason : errno));
    return 0;
}

/* GROMACS .gro: %5d%-5s%5s%5d and %8.3f coordinates; numbers wrap at 100,000. */
static int write_gro (const struct createsim_system *system, const char *dir, const char *title,
                      struct strata_error *error)
{
    char path[4200];
    FILE *file = create (dir, "start.gro", path, sizeof path, error);

    if (file == NULL)
        return -1;
    fprintf (file, "%s\n%zu\n", title, system->natoms);
    for (size_t i = 0; i < system->natoms; i++) {
        const struct system_atom *atom = &system->atoms[i];

        fprintf (file, "%5d%-5.5s%5.5s%5zu%8.3f%8.3f%8.3f\n", atom->residue % 100000, atom->residue_name, atom->name,
                 (i + 1) % 100000, atom->x[0], atom->x[1], atom->x[2]);
    }
    fprintf (file, "%10.5f%10.5f%10.5f\n", system->box[0], system->box[1], system->box[2]);
    return finish (file, path, error);
}

static int write_top (const struct createsim_system *system, const struct forcefield *forcefield, const char *dir,
                      const char *title, struct strata_error *error)
{
    char path[4200];
    FILE *file = create (dir, "system.top", path, sizeof path, error);

    if (file == NULL)
        return -1;
    fprintf (file, "; %s\n#include \"martini.itp\"\n", title);
    for (size_t i = 0; i < forcefield->nlipids; i++)
        fprintf (file, "#include \"%s.itp\"\n", forcefield->lipids[i].name);
    fprintf (file, "#include \"solvent.itp\"\n");
    if (system->nproteins > 0)
        fprintf (file, "#include \"protein.itp\"\n");
    fprintf (file, "\n[ system ]\n%s\n\n[ molecules ]\n", title);
    for (size_t i = 0; i < system->nruns; i++)
        fprintf (file, "%-6s %zu\n", system->runs[i].molecule, system->runs[i].count);
    return finish (file, path, error);
}

static int write_proteins (const struct createsim_system *system, const char *dir, struct strata_error *error)
{
    char path[4200], name[FF_NAME];
    FILE *file;

    if (system->nproteins == 0)
        return 0;
    file = create (dir, "protein.itp", path, sizeof path, error);
    if (file == NULL)
        return -1;
    fprintf (
        file,
        "; Proteins, built from residues.dat and proteins.dat of the force field folder, which name the sources and "
        "what is approximated.\n");
    for (size_t p = 0; p < system->nproteins; p++) {
        snprintf (name, sizeof name, "PROT%u", (unsigned) (p + 1) % 1000);
        createsim_protein_write_itp (&system->proteins[p], name, file);
    }
    return finish (file, path, error);
}

static int copy_itp (const char *from_dir, const char *to_dir, const char *name, struct strata_error *error)
{
    char from[4200], to[4200], buffer[8192];
    size_t n;
    FILE *out, *in;

    snprintf (from, sizeof from, "%s/%s.itp", from_dir, name);
    in = fopen (from, "r");
    if (in == NULL)
        return strata_fail (error, "%s: can't be read: %s", from, strerror (errno));
    snprintf (buffer, sizeof buffer, "%s.itp", name);
    out = create (to_dir, buffer, to, sizeof to, error);
    if (out == NULL) {
        fclose (in);
        return -1;
    }
    while ((n = fread (buffer, 1, sizeof buffer, in)) > 0)
        fwrite (buffer, 1, n, out);
    int bad = ferror (in);
    fclose (in);
    if (finish (out, to, error) < 0)
        return -1;
    return bad ? strata_fail (error, "%s: can't be read", from) : 0;
}

/* ---- index groups ---- */

struct group {
    char name[32];
    enum { WHOLE, PART, GDOMAIN, ANCHOR, REFERENCE } what;
    int which;      /* of PART: enum system_group; of REFERENCE: lipid */
};

static int belongs (const struct system_atom *atom, const struct group *group)
{
    switch (group->what) {
    case WHOLE:
        return 1;
    case PART:
        return (int) atom->group == group->which;
    case GDOMAIN:
        return atom->gdomain;
    case ANCHOR:
        return atom->anchor;
    case REFERENCE:
        return atom->reference == group->which;
    }
    return 0;
}

static void write_group (const struct createsim_system *system, const struct group *group, FILE *file)
{
    size_t count = 0;

    for (size_t i = 0; i < system->natoms; i++)
        if (belongs (&system->atoms[i], group)) {
            if (count == 0)
                fprintf (file, "[ %s ]\n", group->name);
            fprintf (file, "%zu%c", i + 1, ++count % 15 == 0 ? '\n' : ' ');
        }
    if (count % 15 != 0)
        fputc ('\n', file);
}

static int write_ndx (const struct createsim_system *system, const char *dir, struct strata_error *error)
{
    static const struct group fixed[] = {
        { "system", WHOLE, 0 },           { "membrane", PART, GROUP_MEMBRANE }, { "solvent", PART, GROUP_SOLVENT },
        { "protein", PART, GROUP_PROTEIN }, { "gdomain", GDOMAIN, 0 },          { "anchor", ANCHOR, 0 },
    };
    char path[4200];
    FILE *file = create (dir, "index.ndx", path, sizeof path, error);

    if (file == NULL)
        return -1;
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        write_group (system, &fixed[i], file);
    for (int k = 0; k < CREATESIM_LIPIDS; k++) {
        struct group group = { .what = REFERENCE, .which = k };

        snprintf (group.name, sizeof group.name, "%s_%s", k < CREATESIM_INNER ? "inner" : "outer",
                  createsim_lipid_names[k]);
        write_group (system, &group, file);
    }
    return finish (file, path, error);
}

int createsim_output_write (const struct createsim_system *system, const struct forcefield *forcefield, const char *dir,
                            const char *title, struct strata_error *error)
{
    char path[4200];

    snprintf (path, sizeof path, "%s/martini.itp", dir);
    if (forcefield_write_nonbonded (forcefield, path, error) < 0
        || copy_itp (forcefield->dir, dir, "solvent", error) < 0)
        return -1;
    for (size_t i = 0; i < forcefield->nlipids; i++)
        if (copy_itp (forcefield->dir, dir, forcefield->lipids[i].name, error) < 0)
            return -1;
    if (write_proteins (system, dir, error) < 0 || write_top (system, forcefield, dir, title, error) < 0
        || write_gro (system, dir, title, error) < 0)
        return -1;
    return write_ndx (system, dir, error);
}

int createsim_sync (const char *path, struct strata_error *error)
{
    int fd = open (path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fsync (fd) < 0) {
        int reason = errno;

        if (fd >= 0)
            close (fd);
        return strata_fail (error, "%s: can't be brought to disk: %s", path, strerror (reason));
    }
    close (fd);
    return 0;
}

/* One atom's numbers: three coordinates at least. */
static int check_atom_line (const char *line)
{
    if (strlen (line) < 44)
        return -1;
    for (const char *at = line + 20; strlen (at) >= 8 && at < line + 68; at += 8) {
        char field[9], *end;

        memcpy (field, at, 8);
        field[8] = '\0';
        double value = strtod (field, &end);
        if (end == field || !isfinite (value))
            return -1;
    }
    return 0;
}

int createsim_gro_check (const char *path, size_t *natoms, double box[3], struct strata_error *error)
{
    FILE *file = fopen (path, "r");
    char *line = NULL;
    size_t room = 0, expected = 0;
    int rc = -1;

    if (file == NULL)
        return strata_fail (error, "%s: can't be read: %s", path, strerror (errno));
    for (int header = 0; header < 2; header++) /* title, then the number of atoms */
        if (getline (&line, &room, file) < 0) {
            strata_fail (error, "%s: is not a .gro file", path);
            goto done;
        }
    if (sscanf (line, "%zu", &expected) != 1) {
        strata_fail (error, "%s: is not a .gro file", path);
        goto done;
    }
    for (size_t i = 0; i < expected; i++)
        if (getline (&line, &room, file) < 0 || check_atom_line (line) < 0) {
            strata_fail (error, "%s: atom %zu of %zu is missing or not a number", path, i + 1, expected);
            goto done;
        }
    if (getline (&line, &room, file) < 0 || sscanf (line, "%lf %lf %lf", &box[0], &box[1], &box[2]) != 3
        || !(box[0] > 0 && box[1] > 0 && box[2] > 0 && isfinite (box[0] + box[1] + box[2]))) {
        strata_fail (error, "%s: has no box line", path);
        goto done;
    }
    *natoms = expected;
    rc = 0;
done:
    free (line);
    fclose (file);
    return rc;
}
