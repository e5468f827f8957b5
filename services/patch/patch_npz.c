/* patch_npz.c - see patch_npz.h */
#include "patch_npz.h"

#include <inttypes.h>
#include <stdlib.h>

#include "strata_npz.h"

static int check_id (const struct patch *p, uint64_t id, struct strata_error *error)
{
    if (id <= UINT16_MAX)
        return 0;
    return strata_fail (error,
                        "patch %s: protein id %" PRIu64 " is above 65535, which the patch format can't hold; number proteins from 1",
                        p->id,
                        id);
}

/* ids, states, positions, complex_ids. A failed add is kept by the writer and told by npz_finish. */
static int add_proteins (struct npz_writer *w, const struct patch *p, struct strata_error *error)
{
    size_t n = p->nproteins, m = p->ncomplexes;
    uint16_t *ids = malloc ((n + 1) * sizeof (*ids));
    uint16_t (*complexes)[2] = malloc ((m + 1) * sizeof (*complexes));
    double (*positions)[3] = malloc ((n + 1) * sizeof (*positions));
    const char **states = malloc ((n + 1) * sizeof (*states));
    int rc = ids && complexes && positions && states ? 0 : strata_fail (error, "patch %s: out of memory", p->id);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = check_id (p, p->proteins[i].id, error);
        ids[i] = (uint16_t)p->proteins[i].id;
        states[i] = p->proteins[i].state;
        for (int k = 0; k < 3; k++)
            positions[i][k] = p->proteins[i].position[k];
    }
    for (size_t i = 0; rc == 0 && i < m; i++) /* both are among the proteins: they fit */
        for (int k = 0; k < 2; k++)
            complexes[i][k] = (uint16_t)p->complexes[i][k];
    if (rc == 0) {
        npz_add (w, "ids", NPY_U2, 1, &n, ids);
        npz_add_strings (w, "states", states, n, 0);
        npz_add (w, "positions", NPY_F8, 2, (size_t[]){ n, 3 }, positions);
        npz_add (w, "complex_ids", NPY_U2, 2, (size_t[]){ m, 2 }, complexes);
    }
    free (ids);
    free (complexes);
    free (positions);
    free (states);
    return rc;
}

static void add_scalar_string (struct npz_writer *w, const char *name, const char *text)
{
    npz_add_strings (w, name, &text, 1, 1);
}

int patch_npz (const struct patch *p, void **data, size_t *size, struct strata_error *error)
{
    struct npz_writer *w = npz_writer_new ();
    if (!w)
        return strata_fail (error, "patch %s: out of memory", p->id);
    add_scalar_string (w, "id", p->id);
    npz_add (w, "concentrations", NPY_F4, 3, (size_t[]){ p->coarse, p->coarse, GRIDSIM_LIPIDS }, p->concentrations);
    npz_add (w, "center", NPY_F8, 1, (size_t[]){ 2 }, p->center);
    int rc = add_proteins (w, p, error);
    npz_add_f8 (w, "edge_nm", p->edge_nm);
    add_scalar_string (w, "configuration", patch_configuration_names[p->configuration]);
    add_scalar_string (w, "simulation", p->simulation);
    npz_add_i8 (w, "snapshot", (int64_t)p->snapshot);
    npz_add_f8 (w, "time_fs", p->time_fs);
    add_scalar_string (w, "units", "nm, 1/nm^2, fs");
    if (rc == 0 && npz_finish (w, data, size, error) != 0)
        rc = strata_fail_prefix (error, "patch %s", p->id);
    npz_writer_free (&w);
    return rc;
}
