/* checkpoint.c - the whole state on disk, so that a run goes on bitwise where it was.
 *
 * <dir>/checkpoint.<step>, little-endian: struct head, proteins, potentials, the 14 fields as float64, CRC-32 (zlib) of
 * all before it. Random numbers are a function of seed and step and need no state. The file is written under another
 * name, synced and renamed; the newest two stay, so that a broken one leaves one to go back to.
 */
#include "macro.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define MAGIC "STRMACRO"
#define VERSION 1
#define KEEP 2

struct head {
    char magic[8];
    uint64_t version, nx, ny, ras, seed, step, round, round_step;
    double spacing_nm, time_ns, dt;
};

struct particle {
    uint32_t present, state;
    double x, y, fx, fy;
};

struct sink {
    FILE *file;
    uLong crc;
    bool failed;
};

static void put (struct sink *sink, const void *data, size_t size)
{
    sink->crc = crc32_z (sink->crc, data, size);
    if (!sink->failed && fwrite (data, 1, size, sink->file) != size)
        sink->failed = true;
}

static void put_state (struct sink *sink, const struct macro *self)
{
    struct head head = {.version = VERSION, .nx = self->nx, .ny = self->ny, .ras = self->nras,
                        .seed = self->options.seed, .step = self->step, .round = self->round,
                        .round_step = self->round_step, .spacing_nm = self->options.spacing_nm,
                        .time_ns = self->time_ns, .dt = self->dt};
    memcpy (head.magic, MAGIC, sizeof (head.magic));
    put (sink, &head, sizeof (head));
    for (size_t k = 0; k < 2 * self->nras; k++) {
        const struct macro_protein *p = &self->proteins[k];
        struct particle out = {p->present, p->state, p->x, p->y, p->fx, p->fy};
        put (sink, &out, sizeof (out));
    }
    put (sink, self->potential.v, sizeof (self->potential.v));
    for (size_t i = 0; i < MACRO_LIPIDS; i++)
        put (sink, self->n[i], self->nx * self->ny * sizeof (double));
}

static int sync_folder (const char *dir)
{
    int fd = open (dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = fd < 0 ? -1 : fsync (fd);
    if (fd >= 0)
        close (fd);
    return result;
}

/* Steps of the checkpoints in dir, newest first, at most `room` of them; others are counted too. */
static size_t list_checkpoints (const char *dir, uint64_t *steps, size_t room)
{
    size_t count = 0;
    DIR *d = opendir (dir);
    if (!d)
        return 0;
    for (struct dirent *e; (e = readdir (d));) {
        if (strncmp (e->d_name, "checkpoint.", 11) != 0)
            continue;
        size_t digits = strspn (e->d_name + 11, "0123456789");
        if (digits != 12 || e->d_name[11 + digits])
            continue;
        uint64_t step = strtoull (e->d_name + 11, NULL, 10);
        size_t at = count < room ? count : room;
        for (; at > 0 && steps[at - 1] < step; at--)
            if (at < room)
                steps[at] = steps[at - 1];
        if (at < room)
            steps[at] = step;
        count += count < room;
    }
    closedir (d);
    return count;
}

static int name_of (char *path, size_t size, const char *dir, uint64_t step, struct strata_error *error)
{
    if (snprintf (path, size, "%s/checkpoint.%012llu", dir, (unsigned long long)step) >= (int)size)
        return strata_fail (error, "%s: the folder's name is too long", dir);
    return 0;
}

int macro_checkpoint_write (const struct macro *self, const char *dir, struct strata_error *error)
{
    char path[PATH_MAX], temporary[PATH_MAX];
    if (name_of (path, sizeof (path), dir, self->step, error) < 0)
        return -1;
    if (snprintf (temporary, sizeof (temporary), "%s/checkpoint.writing", dir) >= (int)sizeof (temporary))
        return strata_fail (error, "%s: the folder's name is too long", dir);
    struct sink sink = {.file = fopen (temporary, "wbe"), .crc = crc32_z (0, NULL, 0)};
    if (!sink.file)
        return strata_fail (error, "%s: can't be written: %s", temporary, strerror (errno));
    put_state (&sink, self);
    uint64_t crc = sink.crc;
    put (&sink, &crc, sizeof (crc));
    bool failed = sink.failed || fflush (sink.file) != 0 || fsync (fileno (sink.file)) != 0;
    int why = errno;
    failed |= fclose (sink.file) != 0;
    if (failed || rename (temporary, path) < 0 || sync_folder (dir) < 0) {
        why = failed ? why : errno;
        unlink (temporary);
        return strata_fail (error, "%s: can't be written: %s", path, strerror (why));
    }
    uint64_t steps[64];
    size_t count = list_checkpoints (dir, steps, 64);
    for (size_t i = KEEP; i < count; i++)
        if (name_of (path, sizeof (path), dir, steps[i], error) == 0)
            unlink (path);
    return 0;
}

/* Reads the file once for its checksum, so that nothing of a broken one gets into the state. */
static int check_file (FILE *file, const char *path, const struct macro *self, struct strata_error *error)
{
    struct head head;
    if (fread (&head, sizeof (head), 1, file) != 1 || memcmp (head.magic, MAGIC, sizeof (head.magic)) != 0)
        return strata_fail (error, "%s: is no checkpoint of this program", path);
    if (head.version != VERSION)
        return strata_fail (error, "%s: has format %llu and this program reads %d", path,
                            (unsigned long long)head.version, VERSION);
    if (head.nx != self->nx || head.ny != self->ny || head.ras != self->nras || head.seed != self->options.seed
        || head.spacing_nm != self->options.spacing_nm)
        return strata_fail (error, "%s: is of another run (%llu x %llu points of %.17g nm, %llu RAS, seed %llu); "
                                   "give that run's options or another --out",
                            path, (unsigned long long)head.nx, (unsigned long long)head.ny, head.spacing_nm,
                            (unsigned long long)head.ras, (unsigned long long)head.seed);
    size_t left = 2 * self->nras * sizeof (struct particle) + sizeof (self->potential.v)
                  + MACRO_LIPIDS * self->nx * self->ny * sizeof (double);
    uLong crc = crc32_z (crc32_z (0, NULL, 0), (const void *)&head, sizeof (head));
    unsigned char buffer[65536];
    while (left) {
        size_t part = left < sizeof (buffer) ? left : sizeof (buffer);
        if (fread (buffer, 1, part, file) != part)
            return strata_fail (error, "%s: is cut short, %zu bytes are missing", path, left);
        crc = crc32_z (crc, buffer, part);
        left -= part;
    }
    uint64_t stored;
    if (fread (&stored, sizeof (stored), 1, file) != 1)
        return strata_fail (error, "%s: is cut short, its checksum is missing", path);
    if (stored != crc)
        return strata_fail (error, "%s: its checksum does not fit its bytes", path);
    return 0;
}

static int read_state (struct macro *self, FILE *file)
{
    struct head head;
    bool failed = fread (&head, sizeof (head), 1, file) != 1;
    for (size_t k = 0; k < 2 * self->nras && !failed; k++) {
        struct particle in;
        failed = fread (&in, sizeof (in), 1, file) != 1 || in.state >= MACRO_STATES;
        if (!failed)
            self->proteins[k] = (struct macro_protein){in.present, in.state, in.x, in.y, in.fx, in.fy};
    }
    failed = failed || fread (self->potential.v, sizeof (self->potential.v), 1, file) != 1;
    for (size_t i = 0; i < MACRO_LIPIDS && !failed; i++)
        failed = fread (self->n[i], sizeof (double), self->nx * self->ny, file) != self->nx * self->ny;
    if (failed)
        return -1;
    self->step = head.step;
    self->time_ns = head.time_ns;
    self->dt = head.dt;
    self->round = head.round;
    self->round_step = head.round_step;
    macro_potential_set_cutoffs (&self->potential);
    return 0;
}

static int load_one (struct macro *self, const char *path, struct strata_error *error)
{
    FILE *file = fopen (path, "rbe");
    if (!file)
        return strata_fail (error, "%s: can't be opened: %s", path, strerror (errno));
    int result = check_file (file, path, self, error);
    if (result == 0) {
        rewind (file);
        if (read_state (self, file) < 0)
            result = strata_fail (error, "%s: changed while it was read", path);
    }
    fclose (file);
    return result;
}

int macro_checkpoint_load (struct macro *self, const char *dir, void (*refused) (const char *why, void *arg), void *arg,
                           struct strata_error *error)
{
    uint64_t steps[64];
    size_t count = list_checkpoints (dir, steps, 64);
    for (size_t i = 0; i < count; i++) {
        char path[PATH_MAX];
        if (name_of (path, sizeof (path), dir, steps[i], error) < 0)
            return -1;
        if (load_one (self, path, error) == 0)
            return 1;
        if (refused && error)
            refused (error->text, arg);
    }
    if (count)
        strata_fail_prefix (error, "none of the %zu checkpoints is sound; take them away to start anew", count);
    return count ? -1 : 0;
}
