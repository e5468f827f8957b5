/* simjson.c - see simjson.h. */
#include "simjson.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"

/* {"inner": {"POPC": ...}, "outer": {...}} of whole counts or of expectations. */
static json_t *lipids_json (const struct createsim_composition *composition, int expected)
{
    json_t *leaflets[2] = { json_object (), json_object () };

    for (int k = 0; k < CREATESIM_LIPIDS; k++)
        json_object_set_new (leaflets[k >= CREATESIM_INNER], createsim_lipid_names[k],
                             expected ? json_real (composition->expected[k])
                                      : json_integer ((json_int_t) composition->count[k]));
    return json_pack ("{s:o, s:o}", "inner", leaflets[0], "outer", leaflets[1]);
}

int createsim_simjson_write (const char *dir, const struct createsim_patch *patch,
                             const struct createsim_system *system, const struct createsim_options *options,
                             unsigned attempt, const double box[3], struct strata_error *error)
{
    char path[4200], temporary[4200];
    const char *state = patch->nproteins > 0 ? patch->proteins[0].state : "";
    json_t *json =
        json_pack ("{s:s, s:s, s:s, s:s, s:I, s:f, s:I, s:I, s:f, s:[f,f,f], s:I, s:i, s:s, s:o, s:o}", "patch",
                   patch->id, "state", system->nproteins > 0 ? state : "", "configuration", patch->configuration,
                   "simulation", patch->simulation, "snapshot", (json_int_t) patch->snapshot, "time_fs", patch->time_fs,
                   "beads", (json_int_t) system->natoms, "proteins", (json_int_t) system->nproteins, "edge_nm",
                   options->edge_nm, "box_nm", box[0], box[1], box[2], "seed", (json_int_t) options->seed, "attempt",
                   (int) attempt, "inner_side", "+z", "lipids", lipids_json (&system->composition, 0), "expected",
                   lipids_json (&system->composition, 1));
    int rc;

    snprintf (path, sizeof path, "%s/sim.json", dir);
    snprintf (temporary, sizeof temporary, "%s/.sim.json.tmp", dir);
    if (json == NULL)
        return strata_fail (error, "%s: out of memory, or a name in the patch is not UTF-8", path);
    errno = 0;
    rc = json_dump_file (json, temporary, JSON_INDENT (2) | JSON_REAL_PRECISION (10));
    json_decref (json);
    if (rc < 0)
        return strata_fail (error, "%s: can't be written: %s", temporary, strerror (errno));
    if (createsim_sync (temporary, error) < 0)
        return -1;
    if (rename (temporary, path) < 0)
        return strata_fail (error, "%s: can't be written: %s", path, strerror (errno));
    return createsim_sync (dir, error);
}

int createsim_simjson_read (const char *dir, char *patch_id, size_t size, size_t *beads, struct strata_error *error)
{
    char path[4200];
    const char *id = NULL;
    json_int_t count = 0;
    json_error_t reason;
    json_t *json;
    int rc = 0;

    snprintf (path, sizeof path, "%s/sim.json", dir);
    json = json_load_file (path, 0, &reason);
    if (json == NULL)
        return strata_fail (error, "%s: %s", path, reason.text);
    if (json_unpack (json, "{s:s, s:I}", "patch", &id, "beads", &count) < 0 || count < 0
        || (size_t) snprintf (patch_id, size, "%s", id) >= size)
        rc = strata_fail (error, "%s: has no patch or no beads", path);
    *beads = (size_t) count;
    json_decref (json);
    return rc;
}
