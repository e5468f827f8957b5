/* bench_frames.c - several simulations hand in frames for feedback at the stage of a running workspace, as fast as it takes them.
 *
 * Each is a process, a client and a producer of its own; its records are Histograms of 8 x 599 counts, made before the clock
 * starts: what a simulation measures with is not what is measured here. Ends when every record is on the stage's disk.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "bench_frames.h"
#include "data/histogram.h"
#include "strata.h"

static const char *workspace;
static uint64_t frames;

static void produce (void *arg)
{
    unsigned number = *(unsigned *)arg;
    struct strata_error error;
    char name[32], state[16];
    static uint32_t counts[FRAME_CELLS];
    static int64_t wide[FRAME_CELLS];
    static uint8_t room[FRAME_CELLS * 8], bytes[FRAME_BYTES + 256];
    uint64_t last;
    snprintf (name, sizeof (name), "simulation-%03u", number);
    snprintf (state, sizeof (state), "S%u", number % 18);
    Strata__Histogram record = STRATA__HISTOGRAM__INIT;
    record.simulation = name;
    record.state = state;
    frame_counts (number, counts);
    for (size_t i = 0; i < FRAME_CELLS; i++)
        wide[i] = counts[i];
    histogram_set (&record, wide, FRAME_ROWS, FRAME_BINS, room);
    struct strata_client *client = strata_open (workspace, name, 60000, &error);
    if (!client || strata_last_sequence (client, "rdfs", name, &last, &error) < 0)
        bench_fail ("%s", error.text);
    bench_ready ();
    for (uint64_t frame = last + 1; frame <= last + frames; frame++) {
        record.frame = frame;
        size_t size = strata__histogram__pack (&record, bytes);
        if (strata_append_ahead (client, "rdfs", name, frame, bytes, size, &error) < 0)
            bench_fail ("%s", error.text);
    }
    if (strata_flush (client, NULL, &error) < 0)
        bench_fail ("%s", error.text);
    strata_close (&client);
}

int main (int argc, char **argv)
{
    struct bench_option options[] = {
        { "workspace", "folder of a campaign whose stage and feedback run", "" },
        { "producers", "processes that hand in", "8" },
        { "frames", "of each of them", "5000" },
    };
    bench_arguments (argc, argv, "frames handed in a second", options, 3);
    unsigned producers = (unsigned)bench_number (&options[1]), numbers[FRAME_PRODUCERS_MAX];
    pid_t pids[FRAME_PRODUCERS_MAX];
    workspace = options[0].text;
    frames = bench_number (&options[2]);
    if (producers < 1 || producers > FRAME_PRODUCERS_MAX)
        bench_fail ("--producers %u: 1 to %d", producers, FRAME_PRODUCERS_MAX);
    int64_t begin = bench_now_ns (); /* the first begins while the others start */
    for (unsigned i = 0; i < producers; i++) {
        numbers[i] = i;
        pids[i] = bench_fork (produce, &numbers[i]);
    }
    for (unsigned i = 0; i < producers; i++)
        bench_join (pids[i]);
    bench_figure ("handed_in", (double)(producers * frames) * 1e9 / (double)(bench_now_ns () - begin), "frames/s");
    return 0;
}
