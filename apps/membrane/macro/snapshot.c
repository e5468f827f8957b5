/* snapshot.c - the state as a GridSim2D snapshot, <dir>/snapshot.<step>, by way of gridsim_write. */
#include "macro.h"
#include "strata_gridsim.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

_Static_assert (GRIDSIM_LIPIDS == MACRO_LIPIDS && GRIDSIM_INNER == MACRO_INNER, "the format's lipids are the model's");

/* work as [ny][nx][14] float32: 56 bytes a cell of the block's 112 and more. */
static float *interleave (struct macro *self)
{
    float *to = (void *)self->work[0]; /* allocated memory is of the type last stored there */
#pragma omp parallel for num_threads(self->options.threads) schedule(static)
    for (size_t c = 0; c < self->nx * self->ny; c++)
        for (size_t i = 0; i < MACRO_LIPIDS; i++)
            to[c * MACRO_LIPIDS + i] = (float)self->n[i][c];
    return to;
}

static void fill_proteins (const struct macro *self, struct gridsim *snapshot)
{
    for (size_t k = 0; k < 2 * self->nras; k++) {
        const struct macro_protein *p = &self->proteins[k];
        if (!p->present)
            continue;
        struct gridsim_protein *to = &snapshot->proteins[snapshot->nproteins++];
        *to = (struct gridsim_protein){.id = k + 1, .x = p->x, .y = p->y};
        snprintf (to->type, sizeof (to->type), "%s", macro_state_names[p->state]);
        if (k < self->nras)
            continue;
        const struct macro_protein *ras = &self->proteins[k - self->nras];
        double length = hypot (macro_nearest (p->x - ras->x, self->lx), macro_nearest (p->y - ras->y, self->ly));
        struct gridsim_bond *bond = &snapshot->bonds[snapshot->nbonds++];
        *bond = (struct gridsim_bond){.a = k - self->nras + 1, .b = k + 1, .length = length};
    }
}

int macro_snapshot_write (struct macro *self, const char *dir, struct strata_error *error)
{
    char path[PATH_MAX];
    struct stat st;
    int size = snprintf (path, sizeof (path), "%s/snapshot.%08llu", dir, (unsigned long long)self->step);
    if (size >= (int)sizeof (path))
        return strata_fail (error, "%s: the folder's name is too long", dir);
    if (lstat (path, &st) == 0)
        return 0;   /* written before a restart; a reader may hold it open, so it stays as it is */
    struct gridsim snapshot = {.nx = self->nx, .ny = self->ny, .lx = self->lx, .ly = self->ly, .loop = self->step,
                               .time_fs = self->time_ns * 1e6};
    snapshot.proteins = calloc (2 * self->nras + 1, sizeof (*snapshot.proteins));
    snapshot.bonds = calloc (self->nras + 1, sizeof (*snapshot.bonds));
    int result = -1;
    if (!snapshot.proteins || !snapshot.bonds)
        strata_fail (error, "%s: no memory for the snapshot's proteins", path);
    else {
        snapshot.density = interleave (self);
        fill_proteins (self, &snapshot);
        result = gridsim_write (dir, &snapshot, error);
    }
    free (snapshot.proteins);
    free (snapshot.bonds);
    return result;
}

static int by_index (const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

int macro_snapshot_list (const char *dir, uint64_t **indices, size_t *count, struct strata_error *error)
{
    size_t room = 0;
    *indices = NULL;
    *count = 0;
    DIR *d = opendir (dir);
    if (!d)
        return strata_fail (error, "%s: can't be listed: %s", dir, strerror (errno));
    for (struct dirent *e; (e = readdir (d));) {
        if (strncmp (e->d_name, "snapshot.", 9) != 0)
            continue;
        const char *number = e->d_name + 9;
        size_t digits = strspn (number, "0123456789");
        if (digits < 8 || digits > 18 || number[digits])
            continue;   /* another's, or one that is still being written */
        if (*count == room) {
            room = room ? 2 * room : 64;
            uint64_t *more = realloc (*indices, room * sizeof (*more));
            if (!more) {
                closedir (d);
                free (*indices);
                *indices = NULL;
                return strata_fail (error, "%s: no memory to list its snapshots", dir);
            }
            *indices = more;
        }
        (*indices)[(*count)++] = strtoull (number, NULL, 10);
    }
    closedir (d);
    if (*count)
        qsort (*indices, *count, sizeof (**indices), by_index);
    return 0;
}
