/* continuum.c - crash-load continuum: a coarse model that writes snapshots, hands them in, and takes up reports.
 *
 * Its state is what stands in its folder: the newest snapshot says where to go on. On every start it hands in again the
 * last few that the queue has (they must be known as repeats) and all that it lacks.
 */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "content.h"
#include "load.h"
#include "strata.h"
#include "strata_gridsim.h"

#define QUEUE "snapshots"
#define MODEL "continuum"
#define STEP_FS 25e6 /* of a snapshot: 25 ns */
#define AGAIN 10     /* snapshots handed in again at a start */

struct continuum {
    const struct load_options *options;
    struct strata_client *client;
    uint64_t known; /* the queue had all up to this when we started */
    uint64_t taken; /* the report taken up last */
};

/* A membrane of smooth random waves, another in each snapshot, and proteins that wander; a third of the RAS has a RAF.
 */
static int make (const struct load_options *options, uint64_t index, struct gridsim *snapshot,
                 struct strata_error *error)
{
    size_t n = options->grid, ras = options->ras, raf = ras / 3;
    double edge = (double)n * 5.0 / 12, wave[GRIDSIM_LIPIDS][3]; /* spacing as on the paper's grid: 1000 nm / 2400 */
    uint64_t random = content_seed (MODEL, index) ^ options->seed;
    *snapshot =
        (struct gridsim){ .nx = n, .ny = n, .lx = edge, .ly = edge, .time_fs = (double)index * STEP_FS, .loop = index };
    snapshot->density = calloc (n * n * GRIDSIM_LIPIDS, sizeof (float));
    snapshot->proteins = calloc (ras + raf + 1, sizeof (*snapshot->proteins));
    snapshot->bonds = calloc (raf + 1, sizeof (*snapshot->bonds));
    if (!snapshot->density || !snapshot->proteins || !snapshot->bonds)
        return strata_fail (error, "no memory for a snapshot of %zu x %zu", n, n);
    for (size_t l = 0; l < GRIDSIM_LIPIDS; l++)
        for (size_t k = 0; k < 3; k++)
            wave[l][k] = floor (content_unit (&random) * 6) + (k == 2 ? content_unit (&random) : 0);
    for (size_t i = 0; i < n * n; i++)
        for (size_t l = 0; l < GRIDSIM_LIPIDS; l++) {
            size_t x = i % n, y = i / n;
            double phase = (wave[l][0] * (double)x + wave[l][1] * (double)y) / (double)n + wave[l][2];
            snapshot->density[i * GRIDSIM_LIPIDS + l] = (float)(0.1 + 0.08 * sin (2 * M_PI * phase));
        }
    for (size_t i = 0; i < ras + raf; i++) {
        struct gridsim_protein *p = &snapshot->proteins[i];
        static const char *const alone[] = { "RASa", "RASb", "RASc" };
        bool bound = i < raf;
        p->id = i + 1;
        snprintf (p->type, sizeof (p->type), "%s",
                  i >= ras ? "mRAFa"
                  : bound  ? "mRASa"
                           : alone[content_next (&random) % 3]);
        p->x = content_unit (&random) * edge;
        p->y = content_unit (&random) * edge;
        if (i >= ras) {
            const struct gridsim_protein *partner = &snapshot->proteins[i - ras];
            p->x = fmod (partner->x + 0.3, edge);
            p->y = partner->y;
            snapshot->bonds[i - ras] = (struct gridsim_bond){ partner->id, p->id, 0.3 };
        }
    }
    snapshot->nproteins = ras + raf;
    snapshot->nbonds = raf;
    return 0;
}

/* The newest index in our folder; 0 when there is none. */
static uint64_t newest (const char *dir)
{
    DIR *folder = opendir (dir);
    uint64_t last = 0;
    for (struct dirent *entry; folder && (entry = readdir (folder));) {
        unsigned long long index;
        char end;
        if (sscanf (entry->d_name, "snapshot.%8llu%c", &index, &end) == 1 && index > last)
            last = index;
    }
    if (folder)
        closedir (folder);
    return last;
}

static int hand_in (struct continuum *self, uint64_t index, struct strata_error *error)
{
    char path[4096];
    bool known = false;
    int rc;
    snprintf (path, sizeof (path), "%s/snapshot.%08llu", self->options->out, (unsigned long long)index);
    do
        rc = strata_append_snapshot (self->client, QUEUE, MODEL, index, path, (double)index * STEP_FS * 1e-9, &known,
                                     error);
    while (rc < 0 && (errno == ETIMEDOUT || errno == ENOSPC));
    if (rc == 0 && index <= self->known && !known) {
        strata_fail (error, "snapshot %llu was in the queue, and was taken again as new", (unsigned long long)index);
        rc = load_violation (self->options, error);
    }
    return rc;
}

/* Tells feedback which report is in force, once it is another. */
static int take_up (struct continuum *self, uint64_t index, struct strata_error *error)
{
    char path[4096], target[256];
    unsigned long long round = 0;
    snprintf (path, sizeof (path), "%s/current", self->options->reports);
    ssize_t n = readlink (path, target, sizeof (target) - 1);
    if (n <= 0)
        return 0;
    target[n] = '\0';
    const char *name = strrchr (target, '/') ? strrchr (target, '/') + 1 : target;
    if (sscanf (name, "round.%llu", &round) != 1 || round <= self->taken)
        return 0;
    int rc;
    do
        rc = strata_append_uptake (self->client, "uptakes", MODEL, round, index, NULL, error);
    while (rc < 0 && (errno == ETIMEDOUT || errno == ENOSPC));
    self->taken = rc == 0 ? round : self->taken;
    return rc;
}

static int write_next (struct continuum *self, uint64_t index, struct strata_error *error)
{
    struct gridsim snapshot;
    int rc = make (self->options, index, &snapshot, error);
    while (rc == 0 && gridsim_write (self->options->out, &snapshot, error) < 0) {
        fprintf (stderr, "crash-load continuum: %s\n", error->text); /* a full disk passes */
        load_pace (self->options, 500);
    }
    gridsim_fini (&snapshot);
    return rc;
}

int load_continuum (const struct load_options *options, struct strata_error *error)
{
    struct continuum self = { .options = options };
    uint64_t index = newest (options->out);
    int rc = load_alone (options, error);
    if (rc < 0)
        return -1;
    if (options->grid < 2 * LOAD_COARSE || options->grid > 4096)
        return strata_fail (error, "--grid %u: 10 to 4096", options->grid);
    self.client = strata_open (NULL, MODEL, LOAD_CALL_MS, error);
    if (!self.client)
        return -1;
    do
        rc = strata_last_sequence (self.client, QUEUE, MODEL, &self.known, error);
    while (rc < 0 && errno == ETIMEDOUT);
    self.known -= self.known > 0; /* strata_append_snapshot's sequence is index + 1: there may be a snapshot 0 */
    if (rc == 0 && self.known > index) {
        strata_fail (error, "the queue has snapshot %llu, our folder only %llu", (unsigned long long)self.known,
                     (unsigned long long)index);
        rc = load_violation (options, error);
    }
    for (uint64_t i = self.known > AGAIN ? self.known - AGAIN + 1 : 1; rc == 0 && i <= index; i++)
        rc = hand_in (&self, i, error);
    while (rc == 0) {
        load_pace (options, options->pace_ms);
        if ((rc = write_next (&self, ++index, error)) == 0 && (rc = hand_in (&self, index, error)) == 0
            && options->reports)
            rc = take_up (&self, index, error);
    }
    strata_close (&self.client);
    return rc;
}
