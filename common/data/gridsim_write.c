/* gridsim_write.c - writes GridSim2D snapshots; see strata_gridsim.h.
 *
 * Crash-safe by order: three files in a hidden temporary folder, each fsync'ed, the folder too, then one rename and an
 * fsync of the parent. An existing snapshot is exchanged in one step (renameat2) and the old one removed after it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "strata_gridsim.h"

#define FIELDS (3 + GRIDSIM_LIPIDS)
#define ROWS_A_WRITE 16

static const char *const file_names[3] = { "densities#000000", "atoms#000000", "bonds#000000" };

static void header_densities (FILE *f, const struct gridsim *s)
{
    fprintf (f, "densities FILEHEADER {\n  datatype = FIXRECORDBINARY;\n  nfiles = 1;\n  nrecord = %zu;\n", s->nx * s->ny);
    fprintf (f, "  nfields = %d;\n  lrec = %zu;\n  field_names = ix iy iz", FIELDS, FIELDS * sizeof (float));
    for (int l = 0; l < GRIDSIM_LIPIDS; l++)
        fprintf (f, " %s", gridsim_lipid_names[l]);
    fprintf (f, ";\n  field_types =");
    for (int i = 0; i < FIELDS; i++)
        fprintf (f, " f4");
    fprintf (f, ";\n  field_units = 1 1 1");
    for (int l = 0; l < GRIDSIM_LIPIDS; l++)
        fprintf (f, " nm^-2");
    fprintf (f, ";\n  loop = %" PRIu64 ";\n  time = %.17g fs;\n  nx = %zu;\n  ny = %zu;\n", s->loop, s->time_fs, s->nx, s->ny);
    fprintf (f, "  nl = 2;\n  nLipids = %d;\n  Lx = %.17g nm;\n  Ly = %.17g nm;\n", GRIDSIM_LIPIDS, s->lx, s->ly);
    fprintf (f, "  delta = %.17g nm;\n}\n\n", s->lx / (double)s->nx);
}

static int write_densities (FILE *f, const struct gridsim *s)
{
    header_densities (f, s);
    float *rows = malloc (ROWS_A_WRITE * s->nx * FIELDS * sizeof (float));
    if (!rows) {
        errno = ENOMEM;
        return -1;
    }
    size_t n = 0;
    for (size_t y = 0; y < s->ny; y++) {
        for (size_t x = 0; x < s->nx; x++, n += FIELDS) {
            rows[n] = (float)x;
            rows[n + 1] = (float)y;
            rows[n + 2] = 0;
            memcpy (rows + n + 3, s->density + (y * s->nx + x) * GRIDSIM_LIPIDS, GRIDSIM_LIPIDS * sizeof (float));
        }
        if ((y + 1) % ROWS_A_WRITE == 0 || y + 1 == s->ny) {
            if (fwrite (rows, sizeof (float), n, f) != n)
                break;
            n = 0;
        }
    }
    free (rows);
    return ferror (f) ? -1 : 0;
}

static int write_atoms (FILE *f, const struct gridsim *s)
{
    fprintf (f, "atoms FILEHEADER {\n  datatype = VARRECORDASCII;\n  nfiles = 1;\n  nrecord = %zu;\n", s->nproteins);
    fprintf (f, "  nfields = 10;\n  field_names = id class type group rx ry rz vx vy vz;\n");
    fprintf (f, "  field_types = u s s s f f f f f f;\n  field_units = 1 1 1 1 Ang Ang Ang Ang/fs Ang/fs Ang/fs;\n");
    fprintf (f, "  loop = %" PRIu64 ";\n  time = %.17g fs;\n", s->loop, s->time_fs);
    fprintf (f, "  h = %.17g 0 0 0 %.17g 0 0 0 0 Ang;\n  species =", s->lx * 10, s->ly * 10);
    /* Other readers refuse species they don't know, so only those are named that occur. */
    bool present[18] = { false };
    for (size_t i = 0; i < s->nproteins; i++)
        present[gridsim_state_index (s->proteins[i].type)] = true;
    present[0] |= s->nproteins == 0;
    for (int i = 0; i < 18; i++)
        if (present[i])
            fprintf (f, " %s", gridsim_states[i]);
    fprintf (f, ";\n  complexes = mRASa_mRAFa <-> mRASb_mRAFb <-> zRASa_zRAFa");
    for (int i = 0; i < 3; i++) /* states 12.. are the RAS of a complex of the 4A isoform, 15.. their RAF */
        if (present[12 + i])
            fprintf (f, " <-> %s_%s", gridsim_states[12 + i], gridsim_states[15 + i]);
    fprintf (f, ";\n}\n\n");
    for (size_t i = 0; i < s->nproteins; i++) {
        const struct gridsim_protein *p = &s->proteins[i];
        fprintf (f, "%12" PRIu64 " ATOM %-8s group %.17g %.17g %.17g 0 0 0\n", p->id, p->type, p->x * 10, p->y * 10, p->z * 10);
    }
    return ferror (f) ? -1 : 0;
}

static int write_bonds (FILE *f, const struct gridsim *s)
{
    fprintf (f, "bonds FILEHEADER {\n  datatype = VARRECORDASCII;\n  nfiles = 1;\n  nrecord = %zu;\n", s->nbonds);
    fprintf (f, "  nfields = 3;\n  field_names = a b length;\n  field_types = u u f;\n  field_units = 1 1 Ang;\n");
    fprintf (f, "  loop = %" PRIu64 ";\n  time = %.17g fs;\n}\n\n", s->loop, s->time_fs);
    for (size_t i = 0; i < s->nbonds; i++)
        fprintf (f, "%12" PRIu64 " %12" PRIu64 " %.17g\n", s->bonds[i].a, s->bonds[i].b, s->bonds[i].length * 10);
    return ferror (f) ? -1 : 0;
}

/* One file, on disk when this returns 0. */
static int write_file (int folder, int which, const struct gridsim *s)
{
    static int (*const writers[3]) (FILE *, const struct gridsim *) = { write_densities, write_atoms, write_bonds };
    int fd = openat (folder, file_names[which], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    FILE *f = fd < 0 ? NULL : fdopen (fd, "w");
    if (!f) {
        if (fd >= 0)
            close (fd);
        return -1;
    }
    int rc = writers[which](f, s);
    if (rc == 0 && (fflush (f) != 0 || fsync (fd) != 0))
        rc = -1;
    int saved = errno;
    if (fclose (f) != 0 && rc == 0)
        return -1;
    errno = saved;
    return rc;
}

/* Removes a snapshot folder: its three files, then itself. What else someone put in stays, and the folder with it. */
static void remove_snapshot (const char *path)
{
    int folder = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; folder >= 0 && i < 3; i++)
        unlinkat (folder, file_names[i], 0);
    if (folder >= 0)
        close (folder);
    rmdir (path);
}

static int check_snapshot (const struct gridsim *s, struct strata_error *error)
{
    if (s->nx == 0 || s->ny == 0 || !s->density || s->want || !(s->lx > 0) || !(s->ly > 0) || !isfinite (s->time_fs))
        return strata_fail (error, "a snapshot to write needs a whole grid, a box above 0 nm and a time");
    for (size_t i = 0; i < s->nproteins; i++)
        if (gridsim_state_index (s->proteins[i].type) < 0)
            return strata_fail (error, "protein %" PRIu64 " is of unknown type '%s'", s->proteins[i].id, s->proteins[i].type);
    return 0;
}

/* Files, folder, rename; `temporary` exists and is empty. errno tells why not. */
static int fill_and_rename (int parent, int folder, const char *temporary, const char *path, const struct gridsim *s)
{
    for (int i = 0; i < 3; i++)
        if (write_file (folder, i, s) != 0)
            return -1;
    if (fchmod (folder, 0755) != 0 || fsync (folder) != 0)
        return -1;
    if (renameat2 (AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) != 0) {
        if (errno != EEXIST || renameat2 (AT_FDCWD, temporary, AT_FDCWD, path, RENAME_EXCHANGE) != 0)
            return -1;
        remove_snapshot (temporary); /* now the old one */
    }
    return fsync (parent);
}

int gridsim_write (const char *parent, const struct gridsim *snapshot, struct strata_error *error)
{
    char *path = NULL, *temporary = NULL;
    int rc = -1, parent_fd = -1, folder = -1;
    if (check_snapshot (snapshot, error) != 0)
        return -1;
    if (asprintf (&path, "%s/snapshot.%08" PRIu64, parent, snapshot->loop) < 0)
        path = NULL;
    if (!path || asprintf (&temporary, "%s/.snapshot.%08" PRIu64 ".XXXXXX", parent, snapshot->loop) < 0) {
        temporary = NULL;
        strata_fail (error, "%s: out of memory", parent);
        goto done;
    }
    parent_fd = open (parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent_fd < 0 || !mkdtemp (temporary)) {
        strata_fail (error, "%s: can't be written to: %s", parent, strerror (errno));
        goto done;
    }
    folder = open (temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    rc = folder < 0 ? -1 : fill_and_rename (parent_fd, folder, temporary, path, snapshot);
    if (rc != 0) {
        strata_fail (error, "%s: can't be written: %s", path, strerror (errno));
        remove_snapshot (temporary);
    }
done:
    if (folder >= 0)
        close (folder);
    if (parent_fd >= 0)
        close (parent_fd);
    free (temporary);
    free (path);
    return rc;
}
