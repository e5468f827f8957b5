/* lines.c - measurements as lines of JSON in a file (--no-mesh); see publish.h */
#include "publish.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct lines {
    FILE *file;
    char *path;
    char *simulation;
    uint64_t last;
};

/* Finds the last whole line's frame and cuts off what comes after that line. */
static int lines_recover (struct lines *self, struct strata_error *error)
{
    char *text = NULL;
    size_t room = 0;
    ssize_t n;
    off_t whole = 0;
    unsigned line = 0;
    int rc = 0;
    while (rc == 0 && (n = getline (&text, &room, self->file)) > 0 && text[n - 1] == '\n') {
        json_error_t je;
        json_t *root = json_loads (text, JSON_REJECT_DUPLICATES, &je);
        json_t *frame = json_object_get (root, "frame");
        const char *simulation = json_string_value (json_object_get (root, "simulation"));
        line++;
        if (!json_is_integer (frame) || json_integer_value (frame) < 1 || !simulation)
            rc = strata_fail (error, "%s:%u: this is not a line that membrane-cg wrote; move the file away", self->path,
                              line);
        else if (strcmp (simulation, self->simulation) != 0)
            rc = strata_fail (error, "%s:%u: it is of simulation '%.60s', not '%s'; each needs a folder of its own",
                              self->path, line, simulation, self->simulation);
        else {
            self->last = (uint64_t)json_integer_value (frame);
            whole += n;
        }
        json_decref (root);
    }
    free (text);
    if (rc == 0 && (ftruncate (fileno (self->file), whole) < 0 || fseeko (self->file, whole, SEEK_SET) < 0))
        rc = strata_fail (error, "%s: cannot cut off its broken last line: %s", self->path, strerror (errno));
    return rc;
}

static int lines_last (void *impl, uint64_t *frame, struct strata_error *error)
{
    *frame = ((struct lines *)impl)->last;
    return 0;
}

static int lines_frame (void *impl, const struct cg_measure *m, struct strata_error *error)
{
    struct lines *self = impl;
    if (m->frame <= self->last)
        return 0;
    fprintf (self->file,
             "{\"simulation\": \"%s\", \"frame\": %llu, \"step\": %lld, \"time_ps\": %.9g, \"state\": \"%s\", ",
             self->simulation, (unsigned long long)m->frame, (long long)m->step, m->time_ps, m->state);
    fprintf (self->file, "\"coordinates\": [%.17g, %.17g, %.17g], \"counts\": [", m->orientation.tilt,
             m->orientation.rotation, m->orientation.depth_nm);
    for (size_t r = 0; r < CG_RDF_ROWS; r++) {
        fputs (r ? ", [" : "[", self->file);
        for (size_t b = 0; b < CG_RDF_BINS; b++)
            fprintf (self->file, "%s%lld", b ? "," : "", (long long)m->counts[r * CG_RDF_BINS + b]);
        fputs ("]", self->file);
    }
    fputs ("]}\n", self->file);
    if (fflush (self->file) != 0 || ferror (self->file) || fdatasync (fileno (self->file)) < 0)
        return strata_fail (error, "%s: cannot write a frame's line: %s", self->path, strerror (errno));
    self->last = m->frame;
    return 0;
}

static void lines_close (void *impl)
{
    struct lines *self = impl;
    if (self->file)
        fclose (self->file);
    free (self->path);
    free (self->simulation);
    free (self);
}

int cg_publish_lines (struct cg_publish *self, const char *simulation, const char *path, struct strata_error *error)
{
    struct lines *lines = calloc (1, sizeof (*lines));
    if (!lines)
        return strata_fail (error, "no memory to publish frames");
    lines->path = strdup (path);
    lines->simulation = strdup (simulation);
    int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd >= 0 && !(lines->file = fdopen (fd, "r+")))
        close (fd);
    int rc = 0;
    if (!lines->path || !lines->simulation)
        rc = strata_fail (error, "no memory to publish frames");
    else if (!lines->file)
        rc = strata_fail (error, "%s: cannot open it to write frames: %s", path, strerror (errno));
    if (rc < 0 || lines_recover (lines, error) < 0) {
        lines_close (lines);
        return -1;
    }
    *self = (struct cg_publish){ .impl = lines, .last = lines_last, .frame = lines_frame, .close = lines_close };
    return 0;
}
