/* frames.c - crash-load frames: hands in many frames of many simulations as fast as the stage takes them, for benches. */
#include <stdio.h>
#include <stdlib.h>

#include "content.h"
#include "data/histogram.h"
#include "feedback.pb-c.h"
#include "load.h"
#include "strata.h"

#define SIMULATIONS 64

static int hand_in (struct strata_client *client, const char *simulation, uint64_t frame, struct strata_error *error)
{
    static uint8_t bytes[CONTENT_BLOCK * 10 + 4096];
    static uint8_t cells[CONTENT_BLOCK * 8];
    static int64_t counts[CONTENT_BLOCK];
    char state[16];
    Strata__Histogram record = STRATA__HISTOGRAM__INIT;
    for (size_t i = 0; i < CONTENT_BLOCK; i++)
        counts[i] = 0;
    snprintf (state, sizeof (state), "S%u", content_histogram (simulation, frame, counts));
    record.simulation = (char *)simulation;
    record.frame = frame;
    record.state = state;
    histogram_set (&record, counts, CONTENT_ROWS, CONTENT_BINS, cells);
    size_t size = strata__histogram__pack (&record, bytes);
    return strata_append_ahead (client, "rdfs", simulation, frame, bytes, size, error);
}

int load_frames_of_many (const struct load_options *options, struct strata_error *error)
{
    struct strata_client *client = strata_open (options->workspace, "frames", 60000, error);
    int rc = client ? 0 : -1;
    for (uint64_t frame = 1; rc == 0 && frame <= options->frames; frame++)
        for (unsigned i = 0; rc == 0 && i < SIMULATIONS; i++) {
            char name[32];
            snprintf (name, sizeof (name), "simulation-%03u", i);
            rc = hand_in (client, name, frame, error);
        }
    if (rc == 0)
        rc = strata_flush (client, NULL, error);
    strata_close (&client);
    return rc;
}
