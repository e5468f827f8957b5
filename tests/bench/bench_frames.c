/* bench_frames.c - several simulations hand in frames for feedback at the stage of a running workspace, as fast as it takes them.
 *
 * --sum 0: each frame is a record (strata_append_ahead). --sum N: frames are added up where they are made (strata_sum_histogram),
 * with a flush every N frames: then they are on the stage's disk. --check 1: instead, the sums that feedback has on its disk are
 * compared, bin for bin, with what such producers made (the campaign is down).
 *
 * Each is a process, a client and a producer of its own; its records are Histograms of 8 x 599 counts, made before the clock
 * starts: what a simulation measures with is not what is measured here. Ends when every record is on the stage's disk.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "bench_frames.h"
#include "data/histogram.h"
#include "store/shard.h"
#include "strata.h"

static const char *workspace;
static uint64_t frames, flush_frames;

static void bench_state (unsigned number, char state[16])
{
    snprintf (state, 16, "S%u", number % FRAME_STATES);
}

static void produce_sums (void *arg)
{
    unsigned number = *(unsigned *)arg;
    struct strata_error error;
    char name[32], state[16];
    uint64_t last;
    int64_t (*kinds)[FRAME_CELLS] = malloc (FRAME_KINDS * sizeof (*kinds));
    if (!kinds)
        bench_fail ("out of memory");
    for (uint64_t kind = 0; kind < FRAME_KINDS; kind++)
        frame_kind_counts (number, kind, kinds[kind]);
    snprintf (name, sizeof (name), "simulation-%03u", number);
    bench_state (number, state);
    struct strata_client *client = strata_open (workspace, name, 60000, &error);
    if (!client || strata_last_sequence (client, "rdfs", name, &last, &error) < 0)
        bench_fail ("%s", error.text);
    bench_ready ();
    for (uint64_t frame = last + 1; frame <= last + frames; frame++)
        if (strata_sum_histogram (client, "rdfs", name, frame, state, FRAME_ROWS, FRAME_BINS, kinds[frame % FRAME_KINDS], NULL, &error) < 0
            || (frame % flush_frames == 0 && strata_flush (client, NULL, &error) < 0))
            bench_fail ("%s", error.text);
    if (strata_flush (client, NULL, &error) < 0)
        bench_fail ("%s", error.text);
    strata_close (&client);
    free (kinds);
}

/* Frames 1 to `frames` of each producer must be in feedback's sums, in each bin. */
static void check_sums (unsigned producers)
{
    static int64_t expected[FRAME_STATES * FRAME_CELLS], counts[FRAME_CELLS];
    struct strata_error error;
    char path[4200];
    for (unsigned p = 0; p < producers; p++)
        for (uint64_t kind = 0; kind < FRAME_KINDS; kind++) {
            int64_t times = (int64_t)(frames / FRAME_KINDS + (kind && kind <= frames % FRAME_KINDS));
            frame_kind_counts (p, kind, counts);
            for (size_t i = 0; i < FRAME_CELLS; i++)
                expected[p % FRAME_STATES * FRAME_CELLS + i] += times * counts[i];
        }
    snprintf (path, sizeof (path), "%s/shards/feedback-0", workspace);
    struct shard *shard = shard_open_readonly (path, &error);
    if (!shard)
        bench_fail ("%s", error.text);
    for (uint64_t row = 0; row < FRAME_STATES * FRAME_ROWS; row++) {
        struct shard_key key;
        static const int64_t none[FRAME_BINS];
        void *value = NULL;
        size_t size;
        shard_key (&key, "feedback/sum/");
        shard_key_u64 (&key, row);
        if (!shard_get (shard, key.data, key.size, &value, &size))
            size = sizeof (none); /* rows without counts are left out */
        if (size != sizeof (none) || memcmp (value ? value : none, expected + row * FRAME_BINS, size) != 0)
            bench_fail ("row %llu of feedback's sums is not what the producers made", (unsigned long long)row);
        free (value);
    }
    shard_close (&shard);
    bench_figure ("bins_equal", FRAME_STATES * FRAME_CELLS, "bins");
}

/* What a frame costs at least: one core adds it to a sum, and does nothing else. */
static void floor_of_adding (void)
{
    static int64_t sums[FRAME_CELLS];
    int64_t (*kinds)[FRAME_CELLS] = malloc (FRAME_KINDS * sizeof (*kinds));
    uint64_t rounds = 20000, total = 0;
    if (!kinds)
        bench_fail ("out of memory");
    for (uint64_t kind = 0; kind < FRAME_KINDS; kind++)
        frame_kind_counts (0, kind, kinds[kind]);
    int64_t begin = bench_now_ns ();
    for (uint64_t n = 0; n < rounds; n++) {
        for (size_t i = 0; i < FRAME_CELLS; i++)
            sums[i] += kinds[n % FRAME_KINDS][i];
        total += (uint64_t)sums[n % FRAME_CELLS];
    }
    double ns = (double)(bench_now_ns () - begin);
    if (total == 0)
        bench_fail ("nothing was added");
    bench_figure ("adding", (double)rounds * 1e9 / ns, "frames/s");
    free (kinds);
}

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
    bench_state (number, state);
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
        { "sum", "added up where they are made, a flush every so many; 0: each a record", "0" },
        { "check", "1: compares what feedback has summed with what was made; 2: what adding alone takes", "0" },
    };
    bench_arguments (argc, argv, "frames handed in a second", options, 5);
    unsigned producers = (unsigned)bench_number (&options[1]), numbers[FRAME_PRODUCERS_MAX];
    pid_t pids[FRAME_PRODUCERS_MAX];
    workspace = options[0].text;
    frames = bench_number (&options[2]);
    if (producers < 1 || producers > FRAME_PRODUCERS_MAX)
        bench_fail ("--producers %u: 1 to %d", producers, FRAME_PRODUCERS_MAX);
    flush_frames = bench_number (&options[3]);
    if (bench_number (&options[4])) {
        (void)(bench_number (&options[4]) == 2 ? floor_of_adding () : check_sums (producers));
        return 0;
    }
    int64_t begin = bench_now_ns (); /* the first begins while the others start */
    for (unsigned i = 0; i < producers; i++) {
        numbers[i] = i;
        pids[i] = bench_fork (flush_frames ? produce_sums : produce, &numbers[i]);
    }
    for (unsigned i = 0; i < producers; i++)
        bench_join (pids[i]);
    bench_figure ("handed_in", (double)(producers * frames) * 1e9 / (double)(bench_now_ns () - begin), "frames/s");
    return 0;
}
