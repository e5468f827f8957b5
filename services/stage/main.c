/* main.c - the stage service: wiring only. See README.md. */
#include "serve.h"

int main (int argc, char **argv)
{
    static const struct service_timer timers[] = { { 50, serve_tick }, { 0, NULL } };
    const struct service_spec spec = {
        .name = "stage",
        .about = "keeps objects, streams of record and queues for the simulations of its node",
        .has_shard = true,
        .handlers = serve_handlers,
        .timers = timers,
        .start = serve_start,
        .stop = serve_stop,
        .admit = serve_admit,
        .flush = serve_flush,
        .metrics = serve_metrics,
    };
    return service_main (&spec, argc, argv);
}
