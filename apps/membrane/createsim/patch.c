/* patch.c - see patch.h. */
#include "patch.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "strata_npz.h"

const char *const createsim_lipid_names[CREATESIM_LIPIDS] = {
    "POPC", "PAPC", "POPE", "DIPE", "DPSM", "PAPS", "PAP6", "CHOL",
    "POPC", "PAPC", "POPE", "DIPE", "DPSM", "CHOL",
};

int createsim_state_parse (const char *type, struct createsim_state *state)
{
    static const char *const ras[] = { "RASa", "RASb", "RASc", "mRASa", "mRASb", "zRASa" };
    static const char *const raf[] = { "mRAFa", "mRAFb", "zRAFa" };
    const char *rest = type;

    state->is_4a = strncmp (type, "4A", 2) == 0;
    if (state->is_4a)
        rest += 2;
    for (size_t i = 0; i < sizeof ras / sizeof *ras; i++)
        if (strcmp (rest, ras[i]) == 0) {
            state->is_raf = 0;
            return 0;
        }
    for (size_t i = 0; i < sizeof raf / sizeof *raf; i++)
        if (strcmp (rest, raf[i]) == 0) {
            state->is_raf = 1;
            return 0;
        }
    return -1;
}

void createsim_patch_fini (struct createsim_patch *patch)
{
    free (patch->density);
    free (patch->proteins);
    free (patch->complexes);
    memset (patch, 0, sizeof *patch);
}

/* Scalars and strings. */
static int parse_scalars (struct npz *npz, struct createsim_patch *patch, struct strata_error *error)
{
    const struct { const char *name; char *to; size_t size; } texts[] = {
        { "id", patch->id, sizeof patch->id },
        { "configuration", patch->configuration, sizeof patch->configuration },
        { "simulation", patch->simulation, sizeof patch->simulation },
    };
    const size_t two = 2;
    const struct npy *member;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if ((member = npz_get_shaped (npz, texts[i].name, NPY_UNICODE, 0, NULL, error)) == NULL)
            return -1;
        if (npy_string (member, 0, texts[i].to, texts[i].size) < 0)
            return strata_fail (error, "member %s: not a readable string", texts[i].name);
    }
    if ((member = npz_get_shaped (npz, "center", NPY_F8, 1, &two, error)) == NULL)
        return -1;
    memcpy (patch->center, member->data, sizeof patch->center);
    if ((member = npz_get_shaped (npz, "edge_nm", NPY_F8, 0, NULL, error)) == NULL)
        return -1;
    memcpy (&patch->edge_nm, member->data, sizeof patch->edge_nm);
    if ((member = npz_get_shaped (npz, "time_fs", NPY_F8, 0, NULL, error)) == NULL)
        return -1;
    memcpy (&patch->time_fs, member->data, sizeof patch->time_fs);
    if ((member = npz_get_shaped (npz, "snapshot", NPY_I8, 0, NULL, error)) == NULL)
        return -1;
    memcpy (&patch->snapshot, member->data, sizeof patch->snapshot);
    return 0;
}

static int parse_density (struct npz *npz, struct createsim_patch *patch, struct strata_error *error)
{
    const size_t shape[3] = { SIZE_MAX, SIZE_MAX, CREATESIM_LIPIDS };
    const struct npy *member = npz_get_shaped (npz, "concentrations", NPY_F4, 3, shape, error);

    if (member == NULL)
        return -1;
    if (member->shape[0] != member->shape[1] || member->shape[0] < 1 || member->shape[0] > 4096)
        return strata_fail (error,
                            "member concentrations: %zu x %zu points; a patch has a square of 1 to 4096 points an edge",
                            member->shape[0], member->shape[1]);
    patch->grid = member->shape[0];
    patch->density = malloc (member->count * sizeof (float));
    if (patch->density == NULL)
        return strata_fail (error, "out of memory for %zu densities", member->count);
    memcpy (patch->density, member->data, member->count * sizeof (float));
    return 0;
}

static int parse_proteins (struct npz *npz, struct createsim_patch *patch, struct strata_error *error)
{
    const size_t any = SIZE_MAX;
    const struct npy *ids, *states, *positions, *pairs;
    uint16_t id;

    if ((ids = npz_get_shaped (npz, "ids", NPY_U2, 1, &any, error)) == NULL)
        return -1;
    const size_t n = ids->count;
    const size_t by3[2] = { n, 3 }, by2[2] = { SIZE_MAX, 2 };

    if (n > CREATESIM_PROTEINS_MAX)
        return strata_fail (error, "member ids: %zu proteins; at most %d can be built", n, CREATESIM_PROTEINS_MAX);
    if ((states = npz_get_shaped (npz, "states", NPY_UNICODE, 1, &n, error)) == NULL
        || (positions = npz_get_shaped (npz, "positions", NPY_F8, 2, by3, error)) == NULL
        || (pairs = npz_get_shaped (npz, "complex_ids", NPY_U2, 2, by2, error)) == NULL)
        return -1;
    if (pairs->shape[0] > CREATESIM_PROTEINS_MAX)
        return strata_fail (error, "member complex_ids: %zu pairs; at most %d can be built", pairs->shape[0],
                            CREATESIM_PROTEINS_MAX);
    patch->proteins = calloc (n + 1, sizeof *patch->proteins);
    patch->complexes = calloc (pairs->shape[0] + 1, sizeof *patch->complexes);
    if (patch->proteins == NULL || patch->complexes == NULL)
        return strata_fail (error, "out of memory for %zu proteins", n);
    patch->nproteins = n;
    patch->ncomplexes = pairs->shape[0];
    for (size_t i = 0; i < n; i++) {
        struct createsim_patch_protein *protein = &patch->proteins[i];

        memcpy (&id, (const char *) ids->data + i * sizeof id, sizeof id);
        protein->id = id;
        memcpy (protein->position, (const char *) positions->data + i * sizeof protein->position,
                sizeof protein->position);
        if (npy_string (states, i, protein->state, sizeof protein->state) < 0)
            return strata_fail (error, "member states: element %zu is not a readable string", i);
    }
    for (size_t i = 0; i < 2 * patch->ncomplexes; i++) {
        memcpy (&id, (const char *) pairs->data + i * sizeof id, sizeof id);
        patch->complexes[i / 2][i % 2] = id;
    }
    return 0;
}

static int parse (struct npz *npz, struct createsim_patch *patch, struct strata_error *error)
{
    memset (patch, 0, sizeof *patch);
    if (parse_scalars (npz, patch, error) < 0 || parse_density (npz, patch, error) < 0
        || parse_proteins (npz, patch, error) < 0) {
        createsim_patch_fini (patch);
        return -1;
    }
    return 0;
}

int createsim_patch_parse (const void *data, size_t size, struct createsim_patch *patch, struct strata_error *error)
{
    struct npz *npz = npz_open_memory (data, size, error);
    int rc;

    if (npz == NULL)
        return -1;
    rc = parse (npz, patch, error);
    npz_close (&npz);
    return rc;
}

int createsim_patch_load (const char *path, struct createsim_patch *patch, struct strata_error *error)
{
    struct npz *npz = npz_open_file (path, error);
    int rc;

    if (npz == NULL)
        return -1;
    rc = parse (npz, patch, error);
    npz_close (&npz);
    if (rc < 0)
        return strata_fail_prefix (error, "%s", path);
    return 0;
}

static int check_density (const struct createsim_patch *patch, struct strata_error *error)
{
    double inner = 0, outer = 0;

    for (size_t i = 0; i < patch->grid * patch->grid * CREATESIM_LIPIDS; i++) {
        size_t lipid = i % CREATESIM_LIPIDS, point = i / CREATESIM_LIPIDS;

        if (!isfinite (patch->density[i]) || patch->density[i] < 0)
            return strata_fail (error, "density of %s lipid %s at grid point (%zu, %zu) is %g; it must be zero or more",
                                lipid < CREATESIM_INNER ? "inner" : "outer", createsim_lipid_names[lipid],
                                point % patch->grid, point / patch->grid, (double) patch->density[i]);
        if (lipid < CREATESIM_INNER)
            inner += patch->density[i];
        else
            outer += patch->density[i];
    }
    if (inner <= 0 || outer <= 0)
        return strata_fail (error, "the %s leaflet has no lipids at all; there is no membrane to build",
                            inner <= 0 ? "inner" : "outer");
    return 0;
}

static const struct createsim_patch_protein *find_protein (const struct createsim_patch *patch, uint32_t id)
{
    for (size_t i = 0; i < patch->nproteins; i++)
        if (patch->proteins[i].id == id)
            return &patch->proteins[i];
    return NULL;
}

int createsim_patch_check (const struct createsim_patch *patch, struct strata_error *error)
{
    static const char *const known[] = { "lipid-only", "ras", "ras-raf", "other" };
    struct createsim_state state;
    size_t k = 0;

    while (k < 4 && strcmp (patch->configuration, known[k]) != 0)
        k++;
    if (k == 4)
        return strata_fail (error, "configuration is \"%s\"; only lipid-only, ras, ras-raf and other can be built",
                            patch->configuration);
    if (!isfinite (patch->edge_nm) || patch->edge_nm < 1 || patch->edge_nm > 1000)
        return strata_fail (error, "edge_nm is %g; an edge of 1 to 1000 nm can be built", patch->edge_nm);
    if (check_density (patch, error) < 0)
        return -1;
    if (k == 0 && patch->nproteins > 0)
        return strata_fail (error, "configuration is lipid-only but there are %zu proteins", patch->nproteins);
    for (size_t i = 0; i < patch->nproteins; i++) {
        const struct createsim_patch_protein *protein = &patch->proteins[i];

        if (createsim_state_parse (protein->state, &state) < 0)
            return strata_fail (error, "protein %u has the unknown state \"%s\"", protein->id, protein->state);
        for (int d = 0; d < 2; d++)
            if (!(fabs (protein->position[d]) <= patch->edge_nm))
                return strata_fail (error, "protein %u stands at (%g, %g) nm from the centre, outside the patch",
                                    protein->id, protein->position[0], protein->position[1]);
    }
    for (size_t i = 0; i < patch->ncomplexes; i++)
        for (int side = 0; side < 2; side++)
            if (find_protein (patch, patch->complexes[i][side]) == NULL)
                return strata_fail (error, "complex %zu names protein %u, which is not in the patch", i,
                                    patch->complexes[i][side]);
    return 0;
}
