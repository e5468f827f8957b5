/* main.c - strata-patch: cuts snapshots of the continuum into patches. Wiring only. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "mesh/service.h"
#include "patch_offline.h"
#include "worker.h"

/* Memory that a snapshot's patches took is kept for the next snapshot's: giving it back and having it zeroed again by the kernel costs
 * a fifth of the time. */
static void keep_memory (void)
{
    mallopt (M_MMAP_THRESHOLD, 32 << 20);
    mallopt (M_TRIM_THRESHOLD, 256 << 20);
    mallopt (M_TOP_PAD, 32 << 20);
}

static int patch_start (struct service *service, struct strata_error *error)
{
    struct crew *crew = crew_new (service, error);
    service_set_state (service, crew);
    return crew ? 0 : -1;
}

static void patch_tick (struct service *service, int64_t now_us)
{
    crew_tick (service_state (service), now_us);
}

static void patch_metrics (struct service *service)
{
    crew_metrics (service_state (service));
}

static bool patch_drain (struct service *service, int64_t now_us)
{
    return crew_finish (service_state (service));
}

static void patch_stop (struct service *service)
{
    struct crew *crew = service_state (service);
    crew_free (&crew);
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

int main (int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp (argv[i], "--cut") == 0)
            return patch_offline_main (argc, argv); /* without a mesh */
    keep_memory ();
    return service_main (&spec, argc, argv);
}
