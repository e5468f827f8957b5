/* publish.c - measurements to the mesh. The only file of membrane-cg that calls the client library. */
#include "publish.h"

#include <stdlib.h>
#include <string.h>

#include "strata.h"

struct mesh {
    struct strata_client *client;
    char *simulation, *rdf_stream, *frame_stream;
    uint64_t last_rdf, last_frame; /* frames that the streams have already */
};

static int mesh_last (void *impl, uint64_t *frame, struct strata_error *error)
{
    struct mesh *self = impl;
    if (strata_last_sequence (self->client, self->rdf_stream, self->simulation, &self->last_rdf, error) < 0
        || strata_last_sequence (self->client, self->frame_stream, self->simulation, &self->last_frame, error) < 0)
        return -1;
    *frame = self->last_rdf < self->last_frame ? self->last_rdf : self->last_frame;
    return 0;
}

static int mesh_frame (void *impl, const struct cg_measure *m, struct strata_error *error)
{
    struct mesh *self = impl;
    const double coordinates[3] = { m->orientation.tilt, m->orientation.rotation, m->orientation.depth_nm };
    if (m->frame > self->last_rdf
        && strata_append_histogram (self->client, self->rdf_stream, self->simulation, m->frame, m->state, CG_RDF_ROWS,
                                    CG_RDF_BINS, m->counts, NULL, error)
               < 0)
        return -1;
    if (m->frame > self->last_frame
        && strata_append_frame (self->client, self->frame_stream, self->simulation, m->frame, m->time_ps, 3,
                                coordinates, NULL, 0, NULL, error)
               < 0)
        return -1;
    return 0;
}

static void mesh_close (void *impl)
{
    struct mesh *self = impl;
    strata_close (&self->client);
    free (self->simulation);
    free (self->rdf_stream);
    free (self->frame_stream);
    free (self);
}

int cg_publish_mesh (struct cg_publish *self, const char *simulation, const char *rdf_stream, const char *frame_stream,
                     struct strata_error *error)
{
    struct mesh *mesh = calloc (1, sizeof (*mesh));
    if (!mesh)
        return strata_fail (error, "no memory to publish frames");
    mesh->simulation = strdup (simulation);
    mesh->rdf_stream = strdup (rdf_stream);
    mesh->frame_stream = strdup (frame_stream);
    if (!mesh->simulation || !mesh->rdf_stream || !mesh->frame_stream) {
        mesh_close (mesh);
        return strata_fail (error, "no memory to publish frames");
    }
    mesh->client = strata_open (NULL, simulation, 0, error);
    if (!mesh->client) {
        mesh_close (mesh);
        return -1;
    }
    *self = (struct cg_publish){ .impl = mesh, .last = mesh_last, .frame = mesh_frame, .close = mesh_close };
    return 0;
}

void cg_publish_close (struct cg_publish *self)
{
    if (self->impl)
        self->close (self->impl);
    *self = (struct cg_publish){ 0 };
}
