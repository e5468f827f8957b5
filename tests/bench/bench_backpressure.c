/* bench_backpressure.c - a consumer that is stopped costs the producer disk, not memory; at the bound the producer waits, and
 * goes on when there is room again. Ends with 1 when memory grew, or when a record is missing, wrong or there twice.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "bench_mesh.h"
#include "bench_sink.h"

enum { RECORDS, SIZE, RATE, BOUND, GROWTH, OPTIONS };
static struct bench_option options[OPTIONS] = {
    [RECORDS] = { "records", "how many", "200000" },
    [SIZE] = { "size", "bytes of a record", "1024" },
    [RATE] = { "rate", "records a second at most", "100000" },
    [BOUND] = { "bound", "MiB that the stream keeps; fewer than the records have: the producer must wait", "16384" },
    [GROWTH] = { "growth", "MiB that a process may grow between a quarter and all of the records", "48" },
};
#define SAMPLES 4
#define STALL_MS 1500

static void produce (void *arg)
{
    const struct bench_mesh *mesh = arg;
    struct strata_client *c = bench_client (mesh);
    struct strata_error error = { "" };
    uint64_t size = bench_shared->size, rate = bench_number (&options[RATE]);
    uint8_t *record = malloc (size);
    int64_t start = bench_now_ns ();
    bench_ready ();
    strata_set_timeout (c, 600000);
    for (uint64_t i = 0; i < bench_shared->records; i++) {
        int64_t due = start + (int64_t)((double)i * 1e9 / (double)rate), now = i % 64 == 0 ? bench_now_ns () : due;
        if (now < due)
            usleep ((useconds_t)((due - now) / 1000));
        bench_record (record, size, i);
        if (strata_append_ahead (c, "bench", "p", i + 1, record, size, &error) < 0)
            bench_fail ("strata: %s", error.text);
        __atomic_store_n (&bench_shared->appended, i + 1, __ATOMIC_RELEASE);
    }
    if (strata_flush (c, NULL, &error) < 0)
        bench_fail ("strata: %s", error.text);
    bench_figure ("produced", (double)bench_shared->records * 1e9 / (double)(bench_now_ns () - start), "records/s");
    free (record);
    strata_close (&c);
}

static uint64_t appended (void)
{
    return __atomic_load_n (&bench_shared->appended, __ATOMIC_ACQUIRE);
}

static bool is_over (pid_t pid)
{
    siginfo_t info = { .si_pid = 0 };
    return waitid (P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

/* Until the producer has handed over `count`, or ended, or stands still. */
static bool wait_for (pid_t producer, uint64_t count)
{
    uint64_t last = appended ();
    for (int still_ms = 0; appended () < count && !is_over (producer); usleep (20000)) {
        still_ms = appended () == last ? still_ms + 20 : 0;
        last = appended ();
        if (still_ms >= STALL_MS)
            return false;
    }
    return true;
}

static double disk_mb (const struct bench_mesh *mesh)
{
    char command[128];
    double mb = 0;
    snprintf (command, sizeof (command), "du -sm '%s/shards/stage-0'", mesh->workspace);
    FILE *p = popen (command, "r");
    if (!p || fscanf (p, "%lf", &mb) != 1)
        bench_fail ("du failed");
    pclose (p);
    return mb;
}

int main (int argc, char **argv)
{
    struct bench_mesh mesh = { .stage = 0 };
    bench_arguments (argc, argv, "a stopped consumer costs disk, not memory", options, OPTIONS);
    uint64_t bound = bench_number (&options[BOUND]), growth = bench_number (&options[GROWTH]) << 20;
    bench_share (bench_number (&options[RECORDS]), bench_number (&options[SIZE]));
    bool must_wait = bench_shared->records * bench_shared->size > bound << 20;
    bench_mesh_up (&mesh, (unsigned)bound, -1);
    pid_t consumer = bench_service (&mesh, &bench_sink_spec);
    kill (consumer, SIGSTOP);
    pid_t producer = bench_fork (produce, &mesh), pids[] = { mesh.stage, producer };
    const char *const names[] = { "stage", "producer" };
    uint64_t first[2] = { 0 }, rss[2];
    bool stood_still = false;
    for (uint64_t i = 1; i <= SAMPLES && !stood_still; i++) {
        stood_still = !wait_for (producer, bench_shared->records * i / SAMPLES);
        if (i == SAMPLES && is_over (producer))
            break; /* its memory is gone */
        for (int k = 0; k < 2; k++) {
            char name[64];
            rss[k] = bench_rss (pids[k]);
            first[k] = i == 1 ? rss[k] : first[k];
            snprintf (name, sizeof (name), "rss_%s_%d", names[k], (int)(100 * i / SAMPLES));
            bench_figure (name, (double)rss[k] / 1e6, "MB");
            if (rss[k] > first[k] + growth)
                bench_fail ("the %s's memory grew from %.0f to %.0f MB", names[k], (double)first[k] / 1e6, (double)rss[k] / 1e6);
        }
    }
    bench_figure ("handed_over", (double)appended (), "records");
    bench_figure ("on_disk", disk_mb (&mesh), "MB");
    if (stood_still != must_wait)
        bench_fail (must_wait ? "the producer did not wait at the bound" : "the producer stands still, though there is room");
    if (!must_wait)
        bench_join (producer);
    int64_t start = bench_now_ns ();
    kill (consumer, SIGCONT);
    if (must_wait)
        bench_join (producer);
    bench_join (consumer);
    if (bench_shared->committed != bench_shared->records)
        bench_fail ("%llu of %llu records were consumed", (unsigned long long)bench_shared->committed, (unsigned long long)bench_shared->records);
    bench_figure ("caught_up", (double)(bench_now_ns () - start) / 1e9, "s");
    bench_figure ("rss_stage_after", (double)bench_rss (mesh.stage) / 1e6, "MB");
    bench_mesh_down (&mesh);
    return 0;
}
