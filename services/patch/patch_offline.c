/* patch_offline.c - see patch_offline.h */
#include "patch_offline.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "patch_npz.h"
#include "patch_read.h"

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
    if (encoder && patch_encode (encoder, &p, 1, z, error) != 0)
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
    struct patch_set set;
    if (mkdir (out, 0777) != 0 && errno != EEXIST)
        return strata_fail (error, "%s: can't be made: %s", out, strerror (errno));
    if (patch_read (snapshot, 0, NULL, params, &set, error) != 0)
        return -1;
    int rc = 0;
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

/* ---- the offline mode of the program ---- */

const char *const patch_offline_usage =
    "  --cut SNAPSHOT     cut this snapshot folder, without a campaign, and end\n"
    "  --out DIR          folder for the patches, <id>.npz each; made if it is not there\n"
    "  --simulation NAME  first part of each patch's id (offline)\n"
    "  --points N         edge of a patch in grid points, 2 * coarse - 1 (73)\n"
    "  --coarse N         edge after the block mean, odd (37)\n"
    "  --lipid-only N     lipid-only patches (33)\n"
    "  --distance-nm X    of lipid-only centres from proteins and each other (50)\n"
    "  --seed N           of the lipid-only centres (1)\n"
    "  --encoder FILE     also list each patch's coordinates in this model\n"
    "  --kind KIND        of that model: pca or network (pca)\n"
    "  --dimensions N     of that model (9)\n";

struct offline {
    const char *snapshot, *out, *encoder, *kind;
    struct patch_params params;
    unsigned dimensions;
};

static int parse_whole (const char *name, const char *text, uint64_t most, uint64_t *value, struct strata_error *error)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull (text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || n > most)
        return strata_fail (error, "--%s %s: it has to be a whole number from 0 to %llu", name, text, (unsigned long long)most);
    *value = n;
    return 0;
}

static int parse_unsigned (const char *name, const char *text, unsigned *value, struct strata_error *error)
{
    uint64_t n;
    if (parse_whole (name, text, 1000000, &n, error) != 0)
        return -1;
    *value = (unsigned)n;
    return 0;
}

static int parse_option (struct offline *o, int c, const char *name, const char *text, struct strata_error *error)
{
    char *end;
    switch (c) {
    case 'c':
        o->snapshot = text;
        return 0;
    case 'o':
        o->out = text;
        return 0;
    case 's':
        o->params.simulation = text;
        return 0;
    case 'e':
        o->encoder = text;
        return 0;
    case 'm':
        o->kind = text;
        return 0;
    case 'p':
        return parse_unsigned (name, text, &o->params.points, error);
    case 'k':
        return parse_unsigned (name, text, &o->params.coarse, error);
    case 'l':
        return parse_unsigned (name, text, &o->params.lipid_only, error);
    case 'd':
        return parse_unsigned (name, text, &o->dimensions, error);
    case 'r':
        return parse_whole (name, text, UINT64_MAX, &o->params.seed, error);
    case 'x':
        o->params.lipid_only_distance_nm = strtod (text, &end);
        if (end > text && *end == '\0')
            return 0;
        return strata_fail (error, "--%s %s: it has to be a number of nm", name, text);
    default:
        return strata_fail (error, "'%s' is unknown or lacks its value; see --help", text);
    }
}

static int parse_options (struct offline *o, int argc, char **argv, struct strata_error *error)
{
    static const struct option options[] = {
        { "cut", required_argument, NULL, 'c' },        { "out", required_argument, NULL, 'o' },
        { "simulation", required_argument, NULL, 's' }, { "points", required_argument, NULL, 'p' },
        { "coarse", required_argument, NULL, 'k' },     { "lipid-only", required_argument, NULL, 'l' },
        { "distance-nm", required_argument, NULL, 'x' }, { "seed", required_argument, NULL, 'r' },
        { "encoder", required_argument, NULL, 'e' },    { "dimensions", required_argument, NULL, 'd' },
        { "kind", required_argument, NULL, 'm' },       { NULL, 0, NULL, 0 },
    };
    int index = 0;
    optind = 1;
    opterr = 0; /* the sentence comes from here */
    for (int c; (c = getopt_long (argc, argv, "", options, &index)) != -1;)
        if (parse_option (o, c, options[index].name, c == '?' ? argv[optind - 1] : optarg, error) != 0)
            return -1;
    if (optind < argc)
        return strata_fail (error, "'%s' is no option; see --help", argv[optind]);
    if (!o->snapshot || !o->out)
        return strata_fail (error, "--cut SNAPSHOT and --out DIR are both needed; see --help");
    return 0;
}

int patch_offline_main (int argc, char **argv)
{
    struct offline o = { .kind = "pca", .dimensions = 9 };
    o.params = (struct patch_params){ .simulation = "offline", .points = 73, .coarse = 37, .lipid_only = 33,
                                      .lipid_only_distance_nm = 50, .seed = 1 };
    struct strata_error error;
    if (parse_options (&o, argc, argv, &error) != 0) {
        fprintf (stderr, "strata-patch: %s\n", error.text);
        return 2;
    }
    struct patch_encoder *encoder = NULL;
    int rc = 0;
    if (o.encoder && !(encoder = patch_encoder_new (o.kind, o.encoder, o.params.coarse, o.dimensions, &error)))
        rc = -1;
    if (rc == 0)
        rc = patch_offline (o.snapshot, o.out, &o.params, encoder, stdout, &error);
    patch_encoder_free (&encoder);
    if (rc != 0)
        fprintf (stderr, "strata-patch: %s\n", error.text);
    return rc ? 1 : 0;
}
