/* patch_offline.c - see patch_offline.h */
#include "patch_offline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "patch_npz.h"

/* The patch's archive under its final name, whole or not at all. */
static int write_patch (const char *out, const struct patch *p, struct strata_error *error)
{
    void *data = NULL;
    size_t size;
    char *path = NULL, *temporary = NULL;
    FILE *f = NULL;
    int rc = -1;
    if (patch_npz (p, &data, &size, error) != 0)
        return -1;
    if (asprintf (&path, "%s/%s.npz", out, p->id) < 0)
        path = NULL;
    if (!path || asprintf (&temporary, "%s/.%s.npz.part", out, p->id) < 0)
        temporary = NULL;
    if (!temporary) {
        strata_fail (error, "patch %s: out of memory", p->id);
        goto done;
    }
    f = fopen (temporary, "we");
    bool good = f && fwrite (data, 1, size, f) == size;
    good = f && fclose (f) == 0 && good;
    if (!good || rename (temporary, path) != 0) {
        strata_fail (error, "%s: can't be written: %s", path, strerror (errno));
        unlink (temporary);
        goto done;
    }
    rc = 0;
done:
    free (data);
    free (path);
    free (temporary);
    return rc;
}

static int report_patch (const struct patch *p, const struct patch_encoder *encoder, FILE *report, struct strata_error *error)
{
    float z[PATCH_DIMENSIONS_MAX];
    if (encoder && patch_encode (encoder, p, z, error) != 0)
        return -1;
    if (!report)
        return 0;
    fprintf (report, "%s\t%s", p->id, patch_configuration_names[p->configuration]);
    for (size_t k = 0; encoder && k < patch_encoder_dimensions (encoder); k++)
        fprintf (report, "%c%.9g", k ? ' ' : '\t', (double)z[k]);
    fprintf (report, "%s%s\n", p->reason[0] ? "\t" : "", p->reason);
    return 0;
}

int patch_offline (const char *snapshot, const char *out, const struct patch_params *params,
                   const struct patch_encoder *encoder, FILE *report, struct strata_error *error)
{
    struct gridsim s;
    struct patch_set set;
    if (mkdir (out, 0777) != 0 && errno != EEXIST)
        return strata_fail (error, "%s: can't be made: %s", out, strerror (errno));
    if (gridsim_read (snapshot, 0, &s, error) != 0)
        return -1;
    int rc = patch_cut (&s, params, &set, error);
    gridsim_fini (&s);
    if (rc != 0)
        return strata_fail_prefix (error, "%s", snapshot);
    for (size_t i = 0; rc == 0 && i < set.count; i++) {
        rc = write_patch (out, &set.patches[i], error);
        if (rc == 0)
            rc = report_patch (&set.patches[i], encoder, report, error);
    }
    if (rc == 0 && report) {
        fprintf (report, "%zu patches:", set.count);
        for (int c = 0; c < PATCH_CONFIGURATIONS; c++)
            fprintf (report, " %zu %s%s", set.of[c], patch_configuration_names[c], c + 1 < PATCH_CONFIGURATIONS ? "," : "\n");
    }
    if (rc == 0 && report && (fflush (report) != 0 || ferror (report)))
        rc = strata_fail (error, "the list of patches can't be written: %s", strerror (errno));
    patch_set_fini (&set);
    return rc;
}
