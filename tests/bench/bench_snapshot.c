/* bench_snapshot.c - writes a snapshot of the continuum as large as the campaign's: 2400 x 2400 points, 300 RAS, 391.7 MB.
 *
 * The records stand in the file as the ranks of an MPI program write them: each rank has a rectangle of the grid and writes
 * it as one block, row after row; the blocks come in shuffled order. Densities are smooth waves, proteins stand at random
 * places, one RAS of five with a RAF beside it. The same seed gives the same bytes.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "strata_gridsim.h"

#define FIELDS (3 + GRIDSIM_LIPIDS)
#define SPACING_NM (1000.0 / 2400)

enum { OUT, GRID, RANK, RAS, LOOP, SEED, OPTIONS };
static struct bench_option options[OPTIONS] = {
    [OUT] = { "out", "folder that the snapshot's folder is put in", "." },
    [GRID] = { "grid", "points along an edge", "2400" },
    [RANK] = { "rank", "points along an edge of a rank's rectangle; divides grid", "48" },
    [RAS] = { "ras", "RAS", "300" },
    [LOOP] = { "loop", "the simulation's step, names the folder", "1" },
    [SEED] = { "seed", "of places and order", "1" },
};

static uint64_t state;

static double uniform (void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) * 0x1p-53;
}

/* Never below 0: a mean and two waves of less than half of it each. */
static void make_densities (struct gridsim *s)
{
    float *wave_x = malloc (s->nx * GRIDSIM_LIPIDS * sizeof (float)), *wave_y = malloc (s->ny * GRIDSIM_LIPIDS * sizeof (float));
    s->wanted = s->nx * s->ny;
    s->density = malloc (s->wanted * GRIDSIM_LIPIDS * sizeof (float));
    if (!wave_x || !wave_y || !s->density)
        bench_fail ("out of memory for %zu x %zu grid points", s->nx, s->ny);
    for (size_t l = 0; l < GRIDSIM_LIPIDS; l++) {
        double length_nm = 20 + 60 * uniform (), phase = 6.28 * uniform ();
        for (size_t i = 0; i < s->nx; i++) {
            wave_x[i * GRIDSIM_LIPIDS + l] = (float)(0.4 * sin ((double)i * SPACING_NM / length_nm * 6.28 + phase));
            wave_y[i * GRIDSIM_LIPIDS + l] = (float)(0.4 * cos ((double)i * SPACING_NM / length_nm * 6.28));
        }
    }
    for (size_t y = 0; y < s->ny; y++)
        for (size_t x = 0; x < s->nx; x++)
            for (size_t l = 0; l < GRIDSIM_LIPIDS; l++)
                s->density[(y * s->nx + x) * GRIDSIM_LIPIDS + l] =
                    (1 + wave_x[x * GRIDSIM_LIPIDS + l] + wave_y[y * GRIDSIM_LIPIDS + l]) * (0.1f + 0.05f * (float)l);
    free (wave_x);
    free (wave_y);
}

static void make_proteins (struct gridsim *s, size_t ras)
{
    s->proteins = calloc (2 * ras + 1, sizeof (*s->proteins));
    s->bonds = calloc (ras + 1, sizeof (*s->bonds));
    if (!s->proteins || !s->bonds)
        bench_fail ("out of memory for %zu proteins", ras);
    for (size_t i = 0; i < ras; i++) {
        struct gridsim_protein *p = &s->proteins[s->nproteins++];
        *p = (struct gridsim_protein){ .id = i + 1, .x = uniform () * s->lx, .y = uniform () * s->ly, .z = 0.25 };
        snprintf (p->type, sizeof (p->type), i % 5 ? "RASa" : "mRASa");
        if (i % 5)
            continue;
        struct gridsim_protein *raf = &s->proteins[s->nproteins++];
        *raf = (struct gridsim_protein){ .id = ras + i + 1, .x = fmod (p->x + 1, s->lx), .y = p->y, .z = 0.5 };
        snprintf (raf->type, sizeof (raf->type), "mRAFa");
        s->bonds[s->nbonds++] = (struct gridsim_bond){ p->id, raf->id, 1 };
    }
}

/* Puts the records of a snapshot, which gridsim_write has written row by row, into the order of ranks. */
static void shuffle_records (const char *path, const struct gridsim *s, size_t edge)
{
    size_t across = s->nx / edge, ranks = across * (s->ny / edge), bytes = edge * edge * FIELDS * sizeof (float);
    size_t *order = calloc (ranks, sizeof (*order));
    float *block = malloc (bytes);
    struct stat st;
    int fd = open (path, O_WRONLY | O_CLOEXEC);
    if (!order || !block || fd < 0 || fstat (fd, &st) != 0)
        bench_fail ("%s can't be shuffled", path);
    off_t at = st.st_size - (off_t)(ranks * bytes);
    for (size_t i = 0; i < ranks; i++) {
        size_t j = (size_t)(uniform () * (double)(i + 1));
        order[i] = order[j];
        order[j] = i;
    }
    for (size_t i = 0; i < ranks; i++, at += (off_t)bytes) {
        float *to = block;
        size_t x0 = order[i] % across * edge, y0 = order[i] / across * edge;
        for (size_t y = y0; y < y0 + edge; y++)
            for (size_t x = x0; x < x0 + edge; x++, to += FIELDS) {
                to[0] = (float)x;
                to[1] = (float)y;
                to[2] = 0;
                memcpy (to + 3, s->density + (y * s->nx + x) * GRIDSIM_LIPIDS, GRIDSIM_LIPIDS * sizeof (float));
            }
        if (pwrite (fd, block, bytes, at) != (ssize_t)bytes)
            bench_fail ("%s can't be written", path);
    }
    if (fsync (fd) != 0 || close (fd) != 0)
        bench_fail ("%s can't be written", path);
    free (order);
    free (block);
}

int main (int argc, char **argv)
{
    bench_arguments (argc, argv, "writes a snapshot as large as the campaign's, its records in shuffled blocks", options, OPTIONS);
    size_t grid = (size_t)bench_number (&options[GRID]), edge = (size_t)bench_number (&options[RANK]);
    if (grid == 0 || edge == 0 || grid % edge != 0)
        bench_fail ("--rank %zu does not divide --grid %zu", edge, grid);
    struct gridsim s = { .nx = grid, .ny = grid, .loop = bench_number (&options[LOOP]), .time_fs = 1e9 };
    struct strata_error error;
    char path[4096];
    s.lx = s.ly = (double)grid * SPACING_NM;
    state = bench_number (&options[SEED]) + s.loop * 1000003;
    make_densities (&s);
    make_proteins (&s, (size_t)bench_number (&options[RAS]));
    if (gridsim_write (options[OUT].text, &s, &error) < 0)
        bench_fail ("%s", error.text);
    snprintf (path, sizeof (path), "%s/snapshot.%08" PRIu64 "/densities#000000", options[OUT].text, s.loop);
    shuffle_records (path, &s, edge);
    bench_figure ("snapshot_bytes", (double)(s.nx * s.ny * FIELDS * sizeof (float)), "B");
    gridsim_fini (&s);
    return 0;
}
