/* route.h - which stage a request for a name goes to.
 *
 * A name that is claimed (claims.h) goes to the stage that keeps it. One that is not goes to a stage of this node: of
 * several, the one with the highest hash of stage and name, so that names are spread and everybody on the node chooses
 * alike. That stage claims it, or refuses with REFUSED_ELSEWHERE when another was first: ask mesh_route_* again then.
 */
#ifndef STRATA_MESH_ROUTE_H
#define STRATA_MESH_ROUTE_H

#include "mesh/mesh.h"

/* A replica's name; or "stage", whichever comes up, while there is none. Valid until the next call. */
const char *mesh_route_object (struct mesh *self, const char *ns, const char *key);
/* The stage of this node that has the object in its cache, or should: the same for all of the node. NULL: there is none here. */
const char *mesh_route_cache (struct mesh *self, const char *ns, const char *key);
const char *mesh_route_producer (struct mesh *self, const char *producer);
/* What was remembered of claims is read anew. */
void mesh_route_forget (struct mesh *self);
/* Names of the stages that are there, in byte order; at most max, returns how many. */
size_t mesh_route_stages (struct mesh *self, char names[][REPLICA_NAME_MAX], size_t max);
/* Whether a stage's card says that it goes. */
bool mesh_route_retires (struct mesh *self, const char *stage);
void mesh_route_fini (struct mesh *self);

#endif
