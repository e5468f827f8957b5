/* publish.h - where the measurements of a frame go: to the mesh (publish.c), or as lines of JSON to a file (lines.c).
 *
 * Both take a frame again without keeping it twice, so a run that was interrupted simply goes over its frames once
 * more.
 */
#ifndef CG_PUBLISH_H
#define CG_PUBLISH_H

#include <stdint.h>

#include "orientation.h"
#include "rdf.h"
#include "strata_error.h"

struct cg_measure {
    uint64_t frame; /* 1 + step / steps per frame */
    int64_t step;
    double time_ps;
    const char *state;
    const int64_t *counts; /* [CG_RDF_ROWS][CG_RDF_BINS] */
    struct cg_orientation orientation;
};

struct cg_publish {
    void *impl;
    /* The last frame that is safely kept; 0 when none. */
    int (*last) (void *impl, uint64_t *frame, struct strata_error *error);
    /* Returns when the frame is safely kept. */
    int (*frame) (void *impl, const struct cg_measure *measure, struct strata_error *error);
    void (*close) (void *impl);
};

/* Through the stage of this node (STRATA_WORKSPACE). */
int cg_publish_mesh (struct cg_publish *self, const char *simulation, const char *rdf_stream, const char *frame_stream,
                     struct strata_error *error);
/* Appends to the file `path`, one JSON object a line: simulation, frame, step, time_ps, state, coordinates [tilt,
 * rotation, depth], counts [8][599]. A last line that an interruption left without its end is cut off first. */
int cg_publish_lines (struct cg_publish *self, const char *simulation, const char *path, struct strata_error *error);
void cg_publish_close (struct cg_publish *self);

#endif
