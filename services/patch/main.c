/* main.c - strata-patch: cuts snapshots of the continuum into patches. Wiring only. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mesh/service.h"
#include "patch_offline.h"
#include "worker.h"

static int patch_start (struct service *service, struct strata_error *error)
{
    struct worker *worker = worker_new (service, error);
    service_set_state (service, worker);
    return worker ? 0 : -1;
}

static void patch_tick (struct service *service, int64_t now_us)
{
    worker_tick (service_state (service), now_us);
}

static void patch_metrics (struct service *service)
{
    worker_metrics (service_state (service));
}

static bool patch_drain (struct service *service, int64_t now_us)
{
    return worker_finish (service_state (service));
}

static void patch_stop (struct service *service)
{
    struct worker *worker = service_state (service);
    worker_free (&worker);
}

static const struct service_timer timers[] = { { 100, patch_tick }, { 0 } };

static const struct service_spec spec = {
    .name = "patch",
    .about = "cuts snapshots of the continuum into patches, encodes them and publishes candidates",
    .timers = timers,
    .start = patch_start,
    .drain = patch_drain,
    .stop = patch_stop,
    .metrics = patch_metrics,
};

/* strata-patch --cut SNAPSHOT --out DIR [--points N --coarse N --lipid-only N --seed S --model FILE --dimensions N] */
static int offline (int argc, char **argv)
{
    struct strata_error error;
    struct patch_params params = { .simulation = "offline", .points = 73, .coarse = 37, .lipid_only = 33, .lipid_only_distance_nm = 50 };
    struct patch_encoder *encoder = NULL;
    const char *snapshot = NULL, *out = NULL, *model = NULL;
    size_t dimensions = 9;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        char *end = NULL;
        unsigned long number = value ? strtoul (value, &end, 10) : 0;
        bool is_number = value && *value && !*end;
        if (value && strcmp (argv[i], "--cut") == 0)
            snapshot = value;
        else if (value && strcmp (argv[i], "--out") == 0)
            out = value;
        else if (value && strcmp (argv[i], "--model") == 0)
            model = value;
        else if (value && strcmp (argv[i], "--simulation") == 0)
            params.simulation = value;
        else if (is_number && strcmp (argv[i], "--points") == 0)
            params.points = (unsigned)number;
        else if (is_number && strcmp (argv[i], "--coarse") == 0)
            params.coarse = (unsigned)number;
        else if (is_number && strcmp (argv[i], "--lipid-only") == 0)
            params.lipid_only = (unsigned)number;
        else if (is_number && strcmp (argv[i], "--lipid-only-distance-nm") == 0)
            params.lipid_only_distance_nm = (double)number;
        else if (is_number && strcmp (argv[i], "--seed") == 0)
            params.seed = number;
        else if (is_number && strcmp (argv[i], "--dimensions") == 0)
            dimensions = number;
        else {
            fprintf (stderr, "strata-patch: '%s' is not an option here, or its value is missing or wrong\n", argv[i]);
            return 2;
        }
        i++;
    }
    if (!snapshot || !out) {
        fprintf (stderr,
                 "usage: strata-patch --cut SNAPSHOT --out DIR [--simulation NAME] [--points N] [--coarse N]\n"
                 "                    [--lipid-only N] [--lipid-only-distance-nm NM] [--seed S] [--model FILE --dimensions N]\n");
        return 2;
    }
    int rc = -1;
    if (!model || (encoder = patch_encoder_new (model, params.coarse, dimensions, &error)))
        rc = patch_offline (snapshot, out, &params, encoder, stdout, &error);
    if (rc < 0)
        fprintf (stderr, "strata-patch: %s\n", error.text);
    patch_encoder_free (&encoder);
    return rc < 0 ? 1 : 0;
}

int main (int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp (argv[i], "--cut") == 0)
            return offline (argc, argv);
    return service_main (&spec, argc, argv);
}
